/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of another device (a GPU) that a NIC may write to by itself.  Its
 * regions are numbered behind those of the arena.  What stands behind one
 * changes: its owner puts memory there and takes it away, and each session
 * brings its registrations in line (rdma_sync).
 *
 * Memory that was taken away may be freed once every session has done so.
 * Any thread.
 */
#ifndef S3RDMAFS_RDMA_PEERMEM_H
#define S3RDMAFS_RDMA_PEERMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peermem;

struct peermem_region {
	uint64_t iova; /* the device's own address, which tokens name */
	uint64_t len;
	int dmabuf;      /* borrowed; -1: registered by address */
	uint64_t offset; /* in the dma-buf */
	uint64_t addr;   /* what a driver for peer memory knows it by */
};

/* n regions of at most len bytes, without memory.  0 or -errno. */
int peermem_new(unsigned int n, size_t len, struct peermem **out);
void peermem_free(struct peermem *p);

unsigned int peermem_count(const struct peermem *p);
size_t peermem_len(const struct peermem *p);

/* NULL takes the memory away. */
void peermem_set(struct peermem *p, unsigned int i,
		 const struct peermem_region *r);

/* Counts the changes of all regions, from 1 on. */
uint64_t peermem_version(struct peermem *p);
/* Returns the version of the region's own last change, 0 for none; fills out
 * when it has memory, which *there tells. */
uint64_t peermem_get(struct peermem *p, unsigned int i,
		     struct peermem_region *out, bool *there);

#endif
