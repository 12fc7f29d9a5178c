/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums the bytes of a file of an s3rdmafs mount, without a copy, in pieces of
 * 64 MiB.  See libs3rdmafs(3).
 *
 *     cc -Wall -Wextra -o sum sum.c $(pkg-config --cflags --libs libs3rdmafs)
 *     ./sum FILE
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <s3rdmafs/s3rdmafs.h>

#define PIECE (64ULL << 20)

int main(int argc, char **argv)
{
	uint64_t off = 0, sum = 0;
	int fd;

	if (argc != 2)
		errx(2, "usage: sum FILE");
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", argv[1]);
	for (;;) {
		struct s3rdma_map *map;
		const unsigned char *p;
		const int r = s3rdma_map(fd, off, PIECE, 0, &map);
		size_t n;

		if (r == -ENXIO) /* the end of the file */
			break;
		if (r)
			errx(1, "%s: %s", argv[1], s3rdma_strerror(r));
		p = s3rdma_map_data(map);
		n = s3rdma_map_size(map);
		for (size_t i = 0; i < n; i++)
			sum += p[i];
		s3rdma_unmap(map);
		off += n;
	}
	close(fd);
	printf("%llu bytes, sum %llu\n", (unsigned long long)off,
	       (unsigned long long)sum);
	return 0;
}
