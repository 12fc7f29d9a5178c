/* SPDX-License-Identifier: Apache-2.0 */
/* s3rdmactl: asks the daemon of a mount over its control socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char usage[] =
	"usage: s3rdmactl MOUNTPOINT COMMAND [--json]\n"
	"\n"
	"  status        what is mounted, and how data comes\n"
	"  stats         counters\n"
	"  config        every setting, and where its value came from\n"
	"  drop          forget the data that nobody reads now\n"
	"  log LEVEL     error, warning, info, debug or trace\n";

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "s3rdmactl: %s: %s\n", what, why);
	return 1;
}

static int connect_to(const char *mount)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const ssize_t n = getxattr(mount, "user.s3rdmafs.control",
				   addr.sun_path, sizeof(addr.sun_path) - 1);
	int fd;

	if (n <= 0) {
		fail(mount, errno == ENODATA || errno == EOPNOTSUPP
				    ? "is no s3rdmafs mount"
				    : strerror(errno));
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		fail(addr.sun_path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* Copies the answer out; 1 when it is an error. */
static int show(int fd)
{
	char buf[65536];
	int code = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
		if (n > 6 && !strncmp(buf, "error:", 6))
			code = 1;
		fwrite(buf, 1, (size_t)n, code ? stderr : stdout);
	}
	return n < 0 ? fail("answer", strerror(errno)) : code;
}

int main(int argc, char **argv)
{
	const char *words[3] = {NULL};
	char line[512];
	int n = 0, json = 0, fd, code;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = 1;
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return fputs(usage, stdout) < 0;
		else if (!strcmp(argv[i], "--version"))
			return puts("s3rdmactl " S3RDMAFS_VERSION) < 0;
		else if (n < 3)
			words[n++] = argv[i];
	}
	if (n < 2) {
		fputs(usage, stderr);
		return 2;
	}
	fd = connect_to(words[0]);
	if (fd < 0)
		return 1;
	snprintf(line, sizeof(line), "%s%s%s%s\n", json ? "json " : "",
		 words[1], words[2] ? " " : "", words[2] ? words[2] : "");
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
		return fail("control socket", strerror(errno));
	code = show(fd);
	close(fd);
	return code;
}
