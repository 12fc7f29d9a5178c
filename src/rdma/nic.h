/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What dc and rc have in common: a session on a NIC, with its registered
 * memory and, where an answer may come by another NIC, the flush.
 */
#ifndef S3RDMAFS_RDMA_NIC_H
#define S3RDMAFS_RDMA_NIC_H

#include "rdma/flush.h"
#include "rdma/mem.h"

struct nic {
	struct rdma rdma; /* first */
	struct device *device;
	struct mem *mem;
	struct flush *flush; /* NULL: not needed */
};

static inline struct nic *to_nic(struct rdma *r)
{
	return (struct nic *)r;
}

/* Opens the device, then registers the memory.  0, or -errno and why;
 * nic_stop takes what there is. */
int nic_open(struct nic *n, const struct rdma_want *want, char *why,
	     size_t cap);
int nic_register(struct nic *n, const struct rdma_arena *arena, char *why,
		 size_t cap);
void nic_stop(struct nic *n);

/* Entries of rdma_ops that dc and rc share. */
int nic_revoke(struct rdma *r, unsigned int region, int timeout_ms);
int nic_flush(struct rdma *r, unsigned int region, size_t off);
const struct rdma_place *nic_place(const struct rdma *r);
bool nic_reaches(struct rdma *r, unsigned int region);
uint64_t nic_sync(struct rdma *r);

#endif
