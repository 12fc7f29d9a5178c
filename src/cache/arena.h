/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of the pool: files mapped one after the other, pinned.
 *
 * Each file but the last is an extent, some big slots; it is a file of its own
 * so that it can be handed to an application alone.  The last has the small
 * slots.
 */
#ifndef S3RDMAFS_CACHE_ARENA_H
#define S3RDMAFS_CACHE_ARENA_H

#include "cache/staging.h"

/*
 * Cuts, maps and pins what cfg asks for.  runs[0] are the big slots, per_file
 * of them in a file (the last extent may have fewer); runs[1] the small ones.
 * 0 or -errno.
 */
int arena_new(const struct staging_config *cfg, struct rdma_arena *a,
	      unsigned int *per_file, bool *pinned);
void arena_free(struct rdma_arena *a);

#endif
