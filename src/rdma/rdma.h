/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a server may write into, and the tokens that let it.
 *
 * An arena is cut into regions; each is a memory key of its own, so that one
 * lost request costs one key and not the pool's.  A token, once sent, is a
 * promise of write access: a region whose request had no certain outcome may
 * be used again only after rdma_revoke has said that the old key is dead.
 *
 * A session is one transport to one endpoint.  When it has ended (rdma_alive
 * is false) every key of it is dead.
 */
#ifndef S3RDMAFS_RDMA_RDMA_H
#define S3RDMAFS_RDMA_RDMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rdma/token.h"

#define RDMA_RUNS SHM_RUNS

/* count regions of len bytes, the first at off; regions are numbered through
 * the runs. */
struct rdma_run {
	uint64_t off, len, count;
};

/* Memory of the owner of the session; outlives it. */
struct rdma_arena {
	int fd; /* the memfd behind addr */
	char *addr;
	size_t size;
	struct rdma_run runs[RDMA_RUNS];
	unsigned int nruns;
};

struct rdma;

/* What a transport is.  All entries are given; sessions come from a function
 * of each transport's own. */
struct rdma_ops {
	const char *name;
	int (*token)(struct rdma *r, unsigned int region, size_t off,
		     size_t len, char out[TOKEN_MAX]);
	int (*revoke)(struct rdma *r, unsigned int region, int timeout_ms);
	bool (*alive)(struct rdma *r);
	void (*close)(struct rdma *r);
};

/* The head of every transport's session. */
struct rdma {
	const struct rdma_ops *ops;
	const struct rdma_arena *arena; /* borrowed */
};

/*
 * Connects to the server's socket and hands the arena over.  Blocks for some
 * seconds at most.  Returns 0 and an owned session, or -errno.
 */
int rdma_shm_open(const char *socket_name, const char *ticket,
		  const struct rdma_arena *arena, struct rdma **out);

const char *rdma_name(const struct rdma *r);

/*
 * The token for len bytes at off of a region.  Any thread, never blocks.
 * Returns 0, or -EPIPE when the session has ended.
 */
int rdma_token(struct rdma *r, unsigned int region, size_t off, size_t len,
	       char out[TOKEN_MAX]);

/*
 * The fence: returns 0 when no write under the region's old key can land any
 * more; the next token has another key.  -ETIMEDOUT: not known yet, call
 * again; -EPIPE: the session has ended.  One thread at a time.
 */
int rdma_revoke(struct rdma *r, unsigned int region, int timeout_ms);

/* False once the session has ended and all its keys are dead. */
bool rdma_alive(struct rdma *r);

/* Ends the session and frees it; blocks until the server has let the memory
 * go, or is dead, or for two seconds. */
void rdma_close(struct rdma *r);

#endif
