/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object data in the staging pool: which bytes of which object version are
 * there, are coming, or must be fetched.
 *
 * A read is a struct of the caller's.  It completes at once when its bytes
 * are there, else when they have come; in either case done is called once,
 * with the bytes as pieces of the pool, which stay as they are until
 * cache_read_end.
 */
#ifndef S3RDMAFS_CACHE_CACHE_H
#define S3RDMAFS_CACHE_CACHE_H

#include <sys/uio.h>

#include "cache/staging.h"
#include "cache/window.h"

struct cache;
struct chunk;
struct object;

struct cache_config {
	struct staging_config staging;
	uint64_t prefetch_max; /* bytes ahead of one stream */
	/* A request that somebody waits for is made again once it takes twice
	 * as long as 99 in 100, but not sooner than this; 0: never. */
	uint32_t hedge_ms;
	uint64_t deadline_ms; /* of a get with its retries; 0: none */
};

int cache_new(const struct cache_config *cfg, struct cache **out);

/* The pool's memory, for xfer_new. */
const struct rdma_arena *cache_arena(const struct cache *c);

/* Before the first read.  x is borrowed until its event loops have stopped and
 * cache_stop has returned. */
void cache_start(struct cache *c, struct xfer *x);

/* No more fetches begin, and reads that wait for memory end with -EIO; before
 * the engine is stopped, so that they do not begin one after the other then. */
void cache_close(struct cache *c);

/* The same; then waits until those that go on have ended.  Reads that
 * wait end with -EIO; the done of one that was being answered just now may
 * still run on its event loop, which s3_stop waits for. */
void cache_stop(struct cache *c);

/* After xfer_free. */
void cache_free(struct cache *c);

/* ---- objects ---- */

/*
 * The version of an object that an open file reads.  Equal versions are one
 * object, so that a file opened again finds its bytes.  Returns an owned
 * reference, or NULL without memory.
 */
struct object *cache_object_get(struct cache *c, const char *bucket,
				const char *key, const char *etag,
				uint64_t size);
void cache_object_hold(struct cache *c, struct object *o); /* one more */
void cache_object_put(struct cache *c, struct object *o);

/* ---- reads ---- */

#define CACHE_PIECES 24

struct cache_piece {
	struct list link; /* on its chunk's waiters; cache's */
	struct cache_read *read;
	struct chunk *chunk;
};

struct cache_read {
	/* Set by the caller. */
	struct object *object;
	struct window *window; /* of the handle; used under the cache's lock */
	uint64_t off;
	uint64_t len; /* clamped to the object's end by cache_read_start */
	/*
	 * err 0: iov[0..niov) are the bytes.  On the caller's thread inside
	 * cache_read_start, or on an event loop.
	 */
	void (*done)(struct cache_read *r, int err);

	/* The outcome. */
	struct iovec iov[CACHE_PIECES];
	int niov;

	/* cache's own. */
	struct list link;
	struct cache_piece pieces[CACHE_PIECES];
	unsigned int npieces, pending;
	uint64_t starved_ns;
	bool sequential;
	bool joined; /* waits for what was on its way for long before it */
	bool again;  /* has begun again */
	int err;
};

/* Never blocks. */
void cache_read_start(struct cache *c, struct cache_read *r);

/* The handle was closed: none of its reads goes on. */
void cache_window_end(struct cache *c, struct window *w);

/* The pieces of a read that was done may change from now on. */
void cache_read_end(struct cache *c, struct cache_read *r);

/* Has the bytes of an object fetched that fit, without waiting.  False when
 * some did not. */
bool cache_prefetch(struct cache *c, struct object *o, uint64_t off,
		    uint64_t len);

/* ---- memory for others ---- */

/*
 * Takes an extent out of the pool, for the caller alone; what stood in it is
 * forgotten.  easily: only one that the cache does not use at all; spare: none
 * where something of that object stands, NULL: any.  Wiping it is the caller's
 * (extent->dirty).  NULL when none can be had: a share of the
 * pool always stays.
 */
struct extent *cache_lend(struct cache *c, bool easily,
			  const struct object *spare);
/*
 * Is called when no extent can be had, without a lock; true: try again.  NULL:
 * nobody, once the last call has returned.  While somebody is, equal versions
 * are always one object, so that what he knows of it holds for all.
 */
void cache_on_lack(struct cache *c, bool (*on_lack)(void *ctx), void *ctx);
/* How many can be lent at most. */
unsigned int cache_lendable(struct cache *c);
/* No key that was given out for it may be alive any more. */
void cache_unlend(struct cache *c, struct extent *e);

/* The pages of a lent extent out of the memory, which no device may know; and
 * others in their place, pinned as before where that is allowed. */
bool cache_extent_empty(struct extent *e);
void cache_extent_fill(const struct extent *e);

/* Extents by number, lent or not; NULL behind the last. */
struct extent *cache_extent(struct cache *c, unsigned int i);

/*
 * Copies bytes of an object that stand in the pool, all or none of them, and
 * tells whether it did.  Never waits.
 */
bool cache_copy(struct cache *c, struct object *o, uint64_t off, uint64_t len,
		char *to);

/* The same, at their place in a file. */
bool cache_write(struct cache *c, struct object *o, uint64_t off, uint64_t len,
		 int fd);
/* Forgets those chunks of them that nobody reads now. */
void cache_forget(struct cache *c, struct object *o, uint64_t off,
		  uint64_t len);

/* Could it just now? */
bool cache_holds(struct cache *c, struct object *o, uint64_t off, uint64_t len);

/* The object, for who fetches its bytes himself; as long as it is held. */
struct object_name {
	const char *bucket, *key, *etag;
	uint64_t size;
	uint64_t id;      /* of this struct; never used again */
	uint64_t version; /* equal for equal versions, after a remount too */
};
struct object_name cache_object_name(const struct object *o);
/* -ESTALE or -ENOENT once it is known that this version is no more. */
void cache_object_is_gone(struct cache *c, struct object *o, int err);
int cache_object_gone(struct cache *c, const struct object *o);

/* Forgets all bytes that nobody reads now. */
void cache_drop(struct cache *c);

struct cache_stats {
	struct staging_stats pool;
	uint64_t reads, read_bytes, hits, waited_for_slot;
	uint64_t quarantines, evictions, prefetched;
	uint64_t hedges, hedges_won; /* made; that came first */
	unsigned int waiting;        /* reads that wait for a slot now */
	unsigned int filling;
};
void cache_get_stats(struct cache *c, struct cache_stats *out);

#endif
