/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files that were read again, each in memory of its own at its own
 * offsets, so that the kernel can read and map it without the daemon (FUSE
 * passthrough).
 *
 * Their memory is the pool's: for what they take, extents are taken out of it
 * and emptied, so both together never have more than the pool, but for one
 * extent while a file is being copied.  They go again, those first that were
 * opened longest ago, when somebody wants an extent, or when the cache is short
 * of memory and they were not opened for a minute; never while a file is open
 * or mapped.
 *
 * An inode is open in one way only at a time: by its resident file, or
 * through the cache.  resident.c has the states.
 */
#ifndef S3RDMAFS_CACHE_RESIDENT_H
#define S3RDMAFS_CACHE_RESIDENT_H

#include "cache/cache.h"

/* Of files; each costs a descriptor. */
#define RESIDENT_MIN (1ULL << 20)
#define RESIDENT_FILES 256

struct resident;
struct residents;

struct residents_config {
	struct cache *cache; /* borrowed */
	/* Has the kernel know the file; an id above 0, or -errno.  Not called
	 * under a lock. */
	int (*back)(void *ctx, int fd);
	void (*unback)(void *ctx, int id);
	void *ctx;
};

int residents_new(const struct residents_config *cfg, struct residents **out);
/* Nothing is copied any more: whoever waits may go on, through the cache. */
void residents_stop(struct residents *rs);
/* After that; no handle is open.  The kernel knows none any more. */
void residents_free(struct residents *rs);

/* Somebody who wants to open what is being copied. */
struct resident_waiter {
	struct list link;
	/* On the copier's thread, once: to be tried again. */
	void (*ready)(struct resident_waiter *w);
};

/*
 * An object was opened.  *id is what back returned for its resident file, or 0
 * when it is to be read through the cache.  While it is being copied: -EAGAIN,
 * or with a waiter -EINPROGRESS, and that is the callee's until ready.  Never
 * blocks.
 */
int resident_open(struct residents *rs, struct object *o,
		  struct resident_waiter *w, int *id);

/* It was closed; so many bytes were read through the cache by that handle. */
void resident_close(struct residents *rs, struct object *o, int id,
		    uint64_t read);

/* Gives the memory of all back that are neither open nor mapped. */
void residents_drop(struct residents *rs);

struct residents_stats {
	unsigned int files;
	uint64_t bytes;
	uint64_t opens; /* of resident files */
};
void residents_get_stats(struct residents *rs, struct residents_stats *out);

#endif
