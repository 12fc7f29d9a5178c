/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that move bytes for a token. */
#ifndef S3RDMAFS_GATEWAY_RDMA_H
#define S3RDMAFS_GATEWAY_RDMA_H

#include "nic.h"
#include "request.h"

/* Answers for an errno of a transfer or a hand-shake. */
void rdma_reply_errno(struct request *r, int err);

/* Is the GID the address that the request came from?  A client must not name
 * another's memory.  Where GIDs are no addresses it cannot be told. */
bool rdma_is_peers(const struct request *r, const uint8_t gid[TOKEN_GID]);

/* "unsupported", with 501. */
void rdma_unsupported(struct request *r, const char *why);

/* Runs work after the request was answered, ms later: a server that stalls.
 * work frees ctx. */
void rdma_start_late(struct request *r, uint64_t ms, void (*work)(void *ctx),
		     void *ctx);

#endif
