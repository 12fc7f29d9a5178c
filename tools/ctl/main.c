/* SPDX-License-Identifier: Apache-2.0 */
/* s3rdmactl: asks the daemon of a mount over its control socket. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "base/strbuf.h"
#include "progress.h"

#define REQUEST_MAX 16000 /* the daemon's bound, its words encoded */

static const char usage[] =
	"usage: s3rdmactl MOUNTPOINT COMMAND [--json]\n"
	"\n"
	"  status             what is mounted, and how data comes\n"
	"  stats              counters\n"
	"  config             every setting, and where its value came from\n"
	"  drop               forget the data that nobody reads now\n"
	"  log LEVEL          error, warning, info, debug or trace\n"
	"  refresh [PATH]     list PATH and all under it anew\n"
	"  snapshot [PATH]    the same, and keep it so until the next refresh\n"
	"  import FILE        believe a list of objects, - for stdin\n"
	"    --columns NAMES  its columns; Bucket,Key,Size,LastModifiedDate,"
	"ETag,\n"
	"                     StorageClass as S3 Inventory has them\n"
	"  export FILE [PATH] write what is known as such a list, - for "
	"stdout\n"
	"  find               files whose metadata are known and match\n"
	"    --prefix PATH    under PATH\n"
	"    --meta NAME=VALUE, --tag NAME=VALUE\n";

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

/* One line of the answer; 1 when it is an error. */
static int show_line(char *line, size_t n, FILE *out, struct progress *p)
{
	int code = 0;

	if (n > 9 && !strncmp(line, "progress ", 9)) {
		line[n - 1] = '\0';
		progress_show(p, line + 9);
		return 0;
	}
	if (n > 6 && !strncmp(line, "error:", 6))
		code = 1;
	progress_clear(p);
	fwrite(line, 1, n,
	       code || (n > 8 && !strncmp(line, "warning:", 8)) ? stderr : out);
	return code;
}

/* Copies the answer out; not 0 when it is an error, or has not the NUL byte
 * that ends it: half of it must not be taken for all. */
static int show(int fd, FILE *out)
{
	FILE *in = fdopen(fd, "r");
	struct progress p;
	char *line = NULL;
	size_t cap = 0;
	bool ended = false;
	int code = 0;
	ssize_t n;

	if (!in)
		return fail("answer", strerror(errno));
	progress_init(&p);
	while (!ended && (n = getline(&line, &cap, in)) > 0) {
		ended = !line[n - 1];
		n -= ended;
		if (n)
			code |= show_line(line, (size_t)n, out, &p);
	}
	progress_clear(&p);
	if (!ended)
		code = fail("answer",
			    ferror(in) ? strerror(errno) : "was cut short");
	else if (fflush(out) || ferror(out))
		code = fail("output", strerror(errno));
	free(line);
	fclose(in);
	return code;
}

/* A word of the request: no blank, no newline; "%" alone is "". */
static void add_word(struct strbuf *b, const char *s)
{
	strbuf_puts(b, *s ? " " : " %");
	for (; *s; s++) {
		const unsigned char c = (unsigned char)*s;

		if (c <= ' ' || c == '%' || c >= 0x7f)
			strbuf_printf(b, "%%%02X", c);
		else
			strbuf_add(b, s, 1);
	}
}

/* A path may be given as it stands under the mount point. */
static const char *below(const char *mount, const char *path, char *real)
{
	size_t n;

	if (*path != '/' || !realpath(mount, real))
		return path;
	n = strlen(real);
	return !strncmp(path, real, n) && (path[n] == '/' || !path[n])
		       ? path + n
		       : path;
}

struct arguments {
	const char *mount, *command;
	const char *words[2]; /* behind the command */
	int nwords;
	const char *columns, *prefix;
	const char *filters[24]; /* "meta" or "tag", then name=value */
	int nfilters;
	bool json;
};

static bool add_filter(struct arguments *a, const char *kind, const char *value)
{
	if (!value || !strchr(value, '=') || a->nfilters + 2 > 24)
		return false;
	a->filters[a->nfilters++] = kind;
	a->filters[a->nfilters++] = value;
	return true;
}

/* -1 to go on, else an exit code. */
static int parse(int argc, char **argv, struct arguments *a)
{
	for (int i = 1; i < argc; i++) {
		const char *s = argv[i];
		const char *next = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(s, "--json"))
			a->json = true;
		else if (!strcmp(s, "--help") || !strcmp(s, "-h"))
			return fputs(usage, stdout) < 0;
		else if (!strcmp(s, "--version"))
			return puts("s3rdmactl " S3RDMAFS_VERSION) < 0;
		else if (!strcmp(s, "--columns") && next)
			a->columns = argv[++i];
		else if (!strcmp(s, "--prefix") && next)
			a->prefix = argv[++i];
		else if (!strcmp(s, "--meta") && add_filter(a, "meta", next))
			i++;
		else if (!strcmp(s, "--tag") && add_filter(a, "tag", next))
			i++;
		else if (!strncmp(s, "--", 2))
			return fputs(usage, stderr) < 0 ? 1 : 2;
		else if (!a->mount)
			a->mount = s;
		else if (!a->command)
			a->command = s;
		else if (a->nwords < 2)
			a->words[a->nwords++] = s;
		else
			return fputs(usage, stderr) < 0 ? 1 : 2;
	}
	if (a->command)
		return -1;
	fputs(usage, stderr);
	return 2;
}

/* The file that import reads or export writes; -2 for a mistake, -1: none. */
static int open_file(const struct arguments *a)
{
	const bool reads = !strcmp(a->command, "import");
	int fd;

	if (!reads && strcmp(a->command, "export") != 0)
		return -1;
	if (!a->nwords) {
		fputs(usage, stderr);
		return -2;
	}
	if (!strcmp(a->words[0], "-"))
		return dup(reads ? STDIN_FILENO : STDOUT_FILENO);
	fd = open(a->words[0],
		  reads ? O_RDONLY | O_CLOEXEC
			: O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		  0666);
	if (fd < 0)
		fail(a->words[0], strerror(errno));
	return fd < 0 ? -2 : fd;
}

static void add_words(const struct arguments *a, struct strbuf *b)
{
	char real[PATH_MAX];

	if (!strcmp(a->command, "import")) {
		if (a->columns)
			add_word(b, a->columns);
	} else if (!strcmp(a->command, "export")) {
		add_word(b, below(a->mount, a->nwords > 1 ? a->words[1] : "",
				  real));
	} else if (!strcmp(a->command, "find")) {
		const char *p = below(a->mount, a->prefix ? a->prefix : "",
				      real);

		add_word(b, p + strspn(p, "/"));
		for (int i = 0; i < a->nfilters; i++)
			add_word(b, a->filters[i]);
	} else if (a->nwords) {
		add_word(b, below(a->mount, a->words[0], real));
	}
}

static int ask(const struct arguments *a, int file)
{
	const int fd = connect_to(a->mount);
	struct strbuf b;
	int code;

	if (fd < 0)
		return 1;
	strbuf_init(&b, REQUEST_MAX);
	strbuf_printf(&b, "%s%s", a->json ? "json " : "", a->command);
	add_words(a, &b);
	strbuf_puts(&b, "\n");
	if (b.failed) {
		close(fd);
		code = fail(a->command, "too long");
	} else if (fdpass_send(fd, b.s, b.len, &file, file >= 0,
			       MSG_NOSIGNAL) != (ssize_t)b.len) {
		close(fd);
		code = fail("control socket", strerror(errno));
	} else {
		/* What is exported may go to stdout itself. */
		code = show(fd, file >= 0 ? stderr : stdout);
	}
	strbuf_free(&b);
	return code;
}

int main(int argc, char **argv)
{
	struct arguments a = {.mount = NULL};
	int code = parse(argc, argv, &a), file;

	if (code >= 0)
		return code;
	file = open_file(&a);
	if (file == -2)
		return 1;
	code = ask(&a, file);
	if (file >= 0 && close(file) && !code)
		code = fail(a.words[0], strerror(errno));
	return code;
}
