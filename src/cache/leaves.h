/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The leaves of listings that are in memory; others are read from the store
 * and take the place of what nobody asked for.  A leaf never changes.
 * Any thread; leaves_get may wait for the disk.
 */
#ifndef S3RDMAFS_CACHE_LEAVES_H
#define S3RDMAFS_CACHE_LEAVES_H

#include <stdatomic.h>

#include "base/list.h"
#include "cache/rec.h"
#include "cache/store.h"

struct leaf {
	struct list turn;  /* under leaves->lock, as are next and used */
	struct leaf *next; /* of its bucket */
	uint64_t id;
	bool used; /* asked for since its turn to go came last */
	/* Counted up under the lock, down anywhere. */
	atomic_uint refs;
	size_t n;
	unsigned char data[REC_LEAF_MAX];
};

struct leaves;

/* The store is borrowed.  0 or -ENOMEM. */
int leaves_new(struct store *store, struct leaves **out);
void leaves_free(struct leaves *ls);

/* A leaf, pinned, or NULL when the store has it no more.  A thread has
 * a few at most. */
struct leaf *leaves_get(struct leaves *ls, uint64_t snap, uint32_t at);
void leaves_put(struct leaf *l);

/* How many are in memory. */
unsigned int leaves_count(struct leaves *ls);

#endif
