/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the leaves of a large listing begin with, eight bytes of each, so that
 * a name is found with one leaf read rather than with one at every step of the
 * search.  Filled as leaves are seen.  Any thread, no lock.
 */
#ifndef S3RDMAFS_CACHE_SNAP_INDEX_H
#define S3RDMAFS_CACHE_SNAP_INDEX_H

#include "cache/rec.h"

struct snap_index;

/* Of the listing whose first and last entries these are.  Owned; NULL without
 * memory. */
struct snap_index *snap_index_new(const struct rec *first,
				  const struct rec *last, uint64_t leaves);

/* Keeps what the leaf begins with. */
void snap_index_note(struct snap_index *x, uint64_t leaf,
		     const struct rec *first);

/* As rec_compare of the leaf's first entry with the name; 0 when it is not
 * known, or they may be the same. */
int snap_index_compare(const struct snap_index *x, uint64_t leaf,
		       const char *name, size_t len, bool is_dir);

#endif
