/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests made a second time, into other memory, because the first does not
 * come.  Whichever comes first is what readers get; the other goes on to its
 * own end.  Under cache->lock, but for hedge_watch.
 */
#ifndef S3RDMAFS_CACHE_HEDGE_H
#define S3RDMAFS_CACHE_HEDGE_H

#include "cache/hedge_policy.h"

#define HEDGES_MAX 8  /* under way at a time, with those that were outrun */
#define HEDGE_SLOTS 4 /* of a class they have at most a quarter, with theirs */

struct cache;
struct chunk;
struct object;

struct hedge {
	struct xfer_get get;
	struct cache *cache;
	struct object *object; /* a reference; NULL: the struct is unused */
	struct chunk *chunk;   /* FILLING; NULL once its own get has ended */
	struct slot *slot;     /* NULL while it has no memory */
	enum slot_class class;
};

struct hedging {
	struct hedge all[HEDGES_MAX];
	struct hedge_policy policy;
	/* Of each class: hedges under way, and gets that were outrun and go on.
	 * Each has a slot that nobody else can have. */
	unsigned int apart[SLOT_CLASSES];
	struct xfer_timer timer;
	bool ticking; /* the timer runs */
};

void hedge_init(struct cache *c, uint64_t floor_ns);

/* Something is fetched: is the timer to be started?  Then the caller does. */
bool hedge_wants_watch(struct cache *c);
void hedge_watch(struct cache *c);

/* The chunk is not filled any more, or has been: its hedge is on its own. */
void hedge_leave(struct chunk *ch);
/* The get of one that was late has ended. */
void hedge_caught_up(struct chunk *ch);

#endif
