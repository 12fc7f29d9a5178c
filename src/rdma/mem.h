/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registrations of an arena with one device: a memory key a region, so
 * that a token never names a neighbour's bytes.  Those of peer memory are made
 * from its dma-buf where there is one, else by its address, for which the
 * kernel needs a driver (nvidia-peermem).
 *
 * mem_has_key, mem_window: any thread.  The rest: the session's thread.
 */
#ifndef S3RDMAFS_RDMA_MEM_H
#define S3RDMAFS_RDMA_MEM_H

#include "rdma/device.h"

/* For how long a dead key must not come back. */
#define MEM_HOLD_MS (10ULL * 60 * 1000)

struct mem;

/* Registers every region with the access flags.  0, or -errno and why.  That
 * the device cannot reach peer memory is no error. */
int mem_new(struct device *d, const struct rdma_arena *arena, int access,
	    struct mem **out, char *why, size_t cap);
void mem_free(struct mem *m);

bool mem_has_key(const struct mem *m, unsigned int region);

/* Where a server may write, for a token: counts as told.  False while the
 * region has no key. */
bool mem_window(const struct mem *m, unsigned int region, uint64_t *addr,
		uint32_t *rkey);

/*
 * Kills the region's key: when it returns 0 the NIC writes to that memory
 * under no key that any token of the region has had within the hold time, and
 * it has a new one (peer memory: if the device can reach it).  -EAGAIN: not
 * now; call again.  Another error: the old key may be alive.
 */
int mem_renew(struct mem *m, unsigned int region, uint64_t now_ms);

/* As rdma_sync. */
uint64_t mem_sync(struct mem *m, uint64_t now_ms);

#endif
