/* SPDX-License-Identifier: Apache-2.0 */
/* Checked calls in front of the transports. */
#include "rdma/rdma.h"

#include <assert.h>
#include <string.h>

/* Length of a region, 0 when there is none of that number. */
static uint64_t region_len(const struct rdma_arena *a, unsigned int region)
{
	uint64_t i = region;

	for (unsigned int r = 0; r < a->nruns; r++) {
		if (i < a->runs[r].count)
			return a->runs[r].len;
		i -= a->runs[r].count;
	}
	return 0;
}

const char *rdma_name(const struct rdma *r)
{
	return r->ops->name;
}

int rdma_token(struct rdma *r, unsigned int region, size_t off, size_t len,
	       char out[TOKEN_MAX])
{
	const uint64_t room = region_len(r->arena, region);
	int err;

	assert(len > 0 && off <= room && len <= room - off);
	err = r->ops->token(r, region, off, len, out);
	assert(err <= 0 && (err || strlen(out) > 0));
	return err;
}

int rdma_revoke(struct rdma *r, unsigned int region, int timeout_ms)
{
	assert(region_len(r->arena, region) > 0);
	return r->ops->revoke(r, region, timeout_ms);
}

bool rdma_alive(struct rdma *r)
{
	return r->ops->alive(r);
}

void rdma_close(struct rdma *r)
{
	if (r)
		r->ops->close(r);
}
