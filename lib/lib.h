/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the library. */
#ifndef S3RDMAFS_LIB_LIB_H
#define S3RDMAFS_LIB_LIB_H

#include "s3rdmafs/s3rdmafs.h"

/* An allocation of a mount that this process has mapped, counted. */
struct alloc {
	unsigned int refs;
	int fd;     /* owned */
	char *base; /* owned mapping of size bytes */
	size_t size;
	uint64_t id;
	int whole_pages; /* reserved huge ones: mapped whole, or not at all */
	uint64_t used;   /* when, for who goes first */
};

/* The allocation that a MAP of file named, with a reference: one that is known,
 * or the one that the ticket gives. */
int alloc_get(int file, const struct s3rdmafs_map *m, struct alloc **out);
void alloc_put(struct alloc *a);

/* Hands a descriptor to the daemon of file, for REGISTER. */
int socket_offer(int file, int fd, unsigned char ticket[S3RDMAFS_TICKET]);
/* The descriptor for a ticket, owned; or -errno. */
int socket_redeem(int file, const unsigned char ticket[S3RDMAFS_TICKET]);

/* 0 or -errno. */
int call(int fd, unsigned long cmd, void *arg);

#endif
