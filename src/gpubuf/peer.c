/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPU's memory in front of NICs: while a block has memory, its regions of
 * the arena's peer memory name it, and a server may be let write there.
 */
#include <unistd.h>

#include "gpubuf/gpubuf_int.h"

static unsigned int regions_of(size_t len)
{
	return (unsigned int)((len + GPUBUF_REGION - 1) / GPUBUF_REGION);
}

size_t gpu_block_len(uint64_t size)
{
	size_t len = GPU_BLOCK;

	while (len > GPU_ALIGN && size / len < GPU_BLOCKS_MIN)
		len /= 2;
	return len;
}

unsigned int gpu_blocks(uint64_t size)
{
	const uint64_t n = size / gpu_block_len(size);

	return n ? (unsigned int)n : 1;
}

unsigned int gpubuf_regions(const struct gpubuf_config *cfg)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < cfg->ngpus; i++)
		n += gpu_blocks(cfg->gpus[i].size) *
		     regions_of(gpu_block_len(cfg->gpus[i].size));
	return n;
}

void peer_number(struct gpubuf *g, struct block *b)
{
	b->peer = g->npeers;
	g->npeers += regions_of(b->len);
}

void peer_show(struct gpubuf *g, struct block *b)
{
	struct peermem *peers = cache_arena(g->cache)->peers;
	struct gpu *u = b->dev->gpu;
	struct gpu_reach r;
	size_t at = 0;

	if (!peers || u->ops->reach(u, &b->mem, &r))
		return;
	b->dmabuf = r.dmabuf;
	b->is_shown = true;
	for (unsigned int i = 0; at < b->len; i++, at += GPUBUF_REGION)
		peermem_set(peers, b->peer + i,
			    &(struct peermem_region){
				    .iova = b->mem.addr + at,
				    .len = b->len - at < GPUBUF_REGION
						   ? b->len - at
						   : GPUBUF_REGION,
				    .dmabuf = r.dmabuf,
				    .offset = r.offset + at,
				    .addr = r.addr + at});
	xfer_peers_shown(g->xfer);
}

bool peer_hide(struct gpubuf *g, struct block *b)
{
	struct peermem *peers = cache_arena(g->cache)->peers;

	if (!b->is_shown)
		return true;
	for (unsigned int i = 0; i < regions_of(b->len); i++)
		peermem_set(peers, b->peer + i, NULL);
	if (!xfer_peers_hidden(g->xfer))
		return false;
	b->is_shown = false;
	peer_close(b);
	return true;
}

void peer_close(struct block *b)
{
	if (b->dmabuf >= 0)
		close(b->dmabuf);
	b->dmabuf = -1;
}
