/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's half of the shm transport: it takes memory that clients of
 * this host hand over, and reads files straight into it.
 */
#ifndef S3RDMAFS_RDMA_SHM_INITIATOR_H
#define S3RDMAFS_RDMA_SHM_INITIATOR_H

#include <stddef.h>
#include <stdint.h>

#include "rdma/shm_wire.h"

struct shm_server;

/* Listens on an abstract socket of a random name.  0 or -errno. */
int shm_server_new(struct shm_server **out);

/* Ends every session.  No shm_server_write may be going on. */
void shm_server_free(struct shm_server *s);

/* The socket's name, without the leading NUL. */
const char *shm_server_name(const struct shm_server *s);

/*
 * A ticket for one session, for whoever has proved his right to ask: single
 * use, good for ten seconds.  hex, terminated.
 */
void shm_server_ticket(struct shm_server *s, char out[SHM_TICKET + 1]);

/*
 * Reads len bytes at off of the file fd into the window that token names.
 * Any thread; blocks on the file.  Returns 0; -EINVAL for what is no token or
 * a window that is too small; -ESTALE when its session or key is gone; or the
 * error of the file.  With an error, part of the bytes may have been written.
 */
int shm_server_read(struct shm_server *s, const char *token, int fd,
		    uint64_t off, uint64_t len);

#endif
