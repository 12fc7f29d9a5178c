/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of x-amz-rdma-token.  Pure.
 *
 * shm:  "shm:" session(32) ":" region(8) ":" gen(8) ":" off(16) ":" len(8)
 *       all lower-case hex; off is into the region, not the memory.
 */
#ifndef S3RDMAFS_RDMA_TOKEN_H
#define S3RDMAFS_RDMA_TOKEN_H

#include <stddef.h>
#include <stdint.h>

#include "rdma/shm_wire.h"

#define TOKEN_MAX 200 /* bytes of the longest form, terminated */

struct token_shm {
	char session[SHM_SESSION + 1];
	uint32_t region;
	uint32_t gen;
	uint64_t off;
	uint32_t len;
};

void token_shm_format(const struct token_shm *t, char out[TOKEN_MAX]);

/* Returns 0, or -EINVAL for anything but the exact form. */
int token_shm_parse(const char *s, struct token_shm *out);

#endif
