/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps a range of a file of an s3rdmafs mount without a library, compares it
 * with what pread(2) gives, and lets it go.  See s3rdmafs_ioctl(4).
 *
 *     cc -Wall -Wextra -o map map.c
 *     ./map FILE [OFFSET [LENGTH]]
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <s3rdmafs/ioctl.h>

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (sock < 0)
		err(1, "socket");
	memcpy(addr.sun_path, path, sizeof(addr.sun_path));
	addr.sun_path[sizeof(addr.sun_path) - 1] = '\0';
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)))
		err(1, "%s", path);
	return sock;
}

/* A ticket for a read-only descriptor of the allocation. */
static int redeem(int sock, const __u8 *ticket)
{
	struct s3rdmafs_msg m = {.magic = S3RDMAFS_MSG_MAGIC,
				 .type = S3RDMAFS_MSG_REDEEM};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;
	int fd;

	memcpy(m.ticket, ticket, sizeof(m.ticket));
	if (send(sock, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m))
		err(1, "send");
	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(m) ||
	    m.magic != S3RDMAFS_MSG_MAGIC)
		errx(1, "no answer");
	if (m.status) {
		errno = m.status;
		err(1, "redeem");
	}
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		errx(1, "no descriptor");
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void compare(int file, __u64 off, const char *p, __u64 len)
{
	static char buf[1 << 20];

	while (len > 0) {
		const size_t want = len < sizeof(buf) ? len : sizeof(buf);
		const ssize_t n = pread(file, buf, want, (off_t)off);

		if (n <= 0)
			err(1, "pread");
		if (memcmp(p, buf, (size_t)n) != 0)
			errx(1, "bytes differ at or after %llu", off);
		p += n;
		off += (__u64)n;
		len -= (__u64)n;
	}
}

/* Maps what one handle covers; how much that was. */
static __u64 map_one(int file, int sock, __u64 off, __u64 len)
{
	struct s3rdmafs_map m = {.size = sizeof(m),
				 .kind = S3RDMAFS_HOST,
				 .offset = off,
				 .length = len};
	struct s3rdmafs_unmap u = {.size = sizeof(u)};
	char *p;
	int fd;

	if (ioctl(file, S3RDMAFS_IOC_MAP, &m))
		err(1, "MAP");
	fd = redeem(sock, m.export_);
	/* All of it, which works whatever the size of its pages is. */
	p = mmap(NULL, m.alloc_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		err(1, "mmap");
	close(fd);
	printf("%llu bytes from %llu on: allocation %llx, version %llu\n",
	       m.valid, off, m.allocation, m.generation);

	compare(file, off, p + m.alloc_offset, m.valid);

	munmap(p, m.alloc_size);
	u.handle = m.handle;
	if (ioctl(file, S3RDMAFS_IOC_UNMAP, &u))
		err(1, "UNMAP");
	return m.valid;
}

int main(int argc, char **argv)
{
	struct s3rdmafs_info info = {.size = sizeof(info)};
	__u64 off, len, end;
	int file, sock;

	if (argc < 2 || argc > 4)
		errx(2, "usage: map FILE [OFFSET [LENGTH]]");
	file = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (file < 0)
		err(1, "%s", argv[1]);
	end = (__u64)lseek(file, 0, SEEK_END);
	off = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
	if (off >= end)
		errx(1, "the file ends at %llu", end);
	len = argc > 3 ? strtoull(argv[3], NULL, 0) : end - off;
	if (len < end - off)
		end = off + len;

	if (ioctl(file, S3RDMAFS_IOC_INFO, &info))
		err(1, "%s: not of an s3rdmafs mount", argv[1]);
	sock = connect_to(info.socket);
	while (off < end)
		off += map_one(file, sock, off, end - off);
	close(sock);
	close(file);
	puts("all bytes are the same");
	return 0;
}
