/* SPDX-License-Identifier: Apache-2.0 */
/* Checked calls in front of the transports. */
#include "rdma/rdma.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

char *rdma_region(const struct rdma_arena *a, unsigned int region, size_t *len)
{
	uint64_t i = region;

	for (unsigned int r = 0; r < a->nruns; r++) {
		if (i < a->runs[r].count) {
			*len = a->runs[r].len;
			return a->addr + a->runs[r].off + i * a->runs[r].len;
		}
		i -= a->runs[r].count;
	}
	*len = 0;
	return NULL;
}

unsigned int rdma_regions(const struct rdma_arena *a)
{
	uint64_t n = 0;

	for (unsigned int r = 0; r < a->nruns; r++)
		n += a->runs[r].count;
	return (unsigned int)n;
}

int rdma_region_node(const struct rdma_arena *a, unsigned int region)
{
	return a->nnodes && region < a->runs[0].count
		       ? a->nodes[region % a->nnodes]
		       : -1;
}

/* Length of a region, 0 when there is none of that number. */
static size_t region_len(const struct rdma_arena *a, unsigned int region)
{
	const unsigned int n = rdma_regions(a);
	size_t len;

	if (region >= n)
		return region - n < peermem_count(a->peers)
			       ? peermem_len(a->peers)
			       : 0;
	rdma_region(a, region, &len);
	return len;
}

const char *rdma_name(const struct rdma *r)
{
	return r->ops->name;
}

int rdma_token(struct rdma *r, unsigned int region, size_t off, size_t len,
	       char out[TOKEN_MAX])
{
	const size_t room = region_len(r->arena, region);
	int err;

	assert(len > 0 && off <= room && len <= room - off);
	if (!rdma_reaches(r, region))
		return -EOPNOTSUPP;
	err = r->ops->token(r, region, off, len, out);
	assert(err <= 0 && (err || strlen(out) > 0));
	return err;
}

int rdma_revoke(struct rdma *r, unsigned int region, int timeout_ms)
{
	assert(region_len(r->arena, region) > 0);
	return r->ops->revoke(r, region, timeout_ms);
}

int rdma_flush(struct rdma *r, unsigned int region, size_t off)
{
	assert(off < region_len(r->arena, region));
	return r->ops->flush ? r->ops->flush(r, region, off) : 0;
}

const struct rdma_place *rdma_get_place(const struct rdma *r)
{
	static const struct rdma_place nowhere = {.numa = -1};

	return r->ops->place ? r->ops->place(r) : &nowhere;
}

bool rdma_reaches(struct rdma *r, unsigned int region)
{
	if (r->ops->reaches)
		return r->ops->reaches(r, region);
	return region < rdma_regions(r->arena);
}

uint64_t rdma_sync(struct rdma *r)
{
	if (!r->arena->peers)
		return 0;
	return r->ops->sync ? r->ops->sync(r)
			    : peermem_version(r->arena->peers);
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
