/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads one byte of the arena through the NIC itself: a read that the NIC
 * serves pushes every write that came before it to where the CPU sees it.
 * Takes a queue pair that is connected to its twin on the same port.
 */
#ifndef S3RDMAFS_RDMA_FLUSH_H
#define S3RDMAFS_RDMA_FLUSH_H

#include "rdma/device.h"

struct flush;

/* Registers the arena once more, to be read by the twin alone.  0 or -errno. */
int flush_new(struct device *d, const struct rdma_arena *arena,
	      struct flush **out);
void flush_free(struct flush *f);

/* Any thread; waits for the NIC, a second at most.  0, or -EIO. */
int flush_read(struct flush *f, const void *addr);

#endif
