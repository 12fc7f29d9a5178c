/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in the order of S3 to leaves in the store.  All calls of one
 * builder come between a store_begin and the store_commit that belongs to it,
 * a transaction or many.
 */
#ifndef S3RDMAFS_CACHE_BUILD_H
#define S3RDMAFS_CACHE_BUILD_H

#include "cache/rec.h"
#include "cache/store.h"

/* One segment of a directory's listing. */
struct build {
	struct store *store; /* borrowed */
	uint64_t dir;
	uint64_t snap;     /* 0: no leaf yet */
	uint32_t leaves;   /* in the store */
	uint64_t entries;  /* added, not all in leaves yet */
	uint32_t flags;    /* STORE_HIDES */
	uint64_t last_dir; /* number of the directory that was added last */
	struct rec_writer w;
	/* For each length: the last name begins with a file's name that long,
	 * which a directory behind it may hide. */
	uint64_t files[4];
	char last[REC_NAME_MAX + 1];
	size_t last_len;
	bool last_is_dir;
};

void build_init(struct build *b, struct store *store, uint64_t dir);

/*
 * Adds an entry.  0; 1 when it was there already, as the last one; -ERANGE
 * when it belongs before the last; -EFBIG when the segment is full; or why the
 * store failed.  A directory gets its number, which r is given too.
 */
int build_add(struct build *b, struct rec *r);

/* What was added is in leaves from now on.  0 or -errno. */
int build_flush(struct build *b);

#endif
