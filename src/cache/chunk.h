/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunk table, shared by the files of this folder that read and fill it.
 * Everything here is called under cache->lock.
 */
#ifndef S3RDMAFS_CACHE_CHUNK_H
#define S3RDMAFS_CACHE_CHUNK_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "cache/cache.h"
#include "cache/heat.h"
#include "cache/hedge.h"
#include "cache/pace.h"

struct object {
	UT_hash_handle hh; /* by name, in cache->objects */
	unsigned int refs; /* files and chunks */
	int gone; /* -ESTALE: there is another version; -ENOENT: none */
	bool hashed;
	/* resident.c's, under its lock. */
	unsigned int opens, wholes; /* through the cache; of the whole file */
	struct resident *resident;
	uint64_t size;
	uint64_t id;                     /* never used again */
	uint64_t version;                /* a hash of name and size */
	const char *bucket, *key, *etag; /* into name */
	char name[];                     /* bucket \n key \n etag, then each */
};

/* chunk.c has the invariants. */
enum chunk_state { CHUNK_UNUSED, CHUNK_FILLING, CHUNK_READY, CHUNK_FAILED };

/* Its place in an object: slot-sized steps of its class. */
struct chunk_key {
	uint64_t object;
	uint64_t index;
	uint64_t class;
};

struct chunk {
	UT_hash_handle hh; /* by where, while listed */
	struct list
		link; /* unused: cache->unused; READY, no pins: lru, hot, fresh */
	struct chunk_key where;
	struct cache *cache;
	struct object *object; /* a reference */
	enum chunk_state state;
	bool listed;     /* in the table; else it goes when nobody uses it */
	uint64_t lo, hi; /* the bytes of the object that it has, or will */
	struct slot *slot;
	unsigned int pins;
	struct heat heat;
	bool is_kept;        /* on cache->hot */
	struct list waiters; /* pieces; while FILLING */
	struct xfer_get get;

	/* While FILLING, see hedge.c. */
	struct list going; /* on cache->going, in the order of begun_ns */
	uint64_t begun_ns;
	uint64_t with; /* bytes under way when it was claimed, its own too */
	struct hedge *hedge;
	/* READY by a hedge: get goes on, into late. */
	bool is_late;
	struct slot *late;
};

struct cache {
	/* Constant after cache_start. */
	struct cache_config cfg;
	struct staging *staging; /* owned */
	struct xfer *xfer;       /* borrowed */
	struct chunk *chunks;    /* owned, one a slot */
	unsigned int nchunks;

	pthread_mutex_t lock;
	pthread_cond_t idle; /* ngets has become 0 */

	/* Under lock. */
	struct object *objects; /* uthash */
	struct chunk *table;    /* uthash */
	struct list unused;
	unsigned int nunused;
	struct list lru[SLOT_CLASSES];   /* the next to go first */
	struct list hot[SLOT_CLASSES];   /* were read again; likewise */
	unsigned int nhot[SLOT_CLASSES]; /* entries of that */
	struct ghosts ghosts;
	struct list fresh[SLOT_CLASSES]; /* fetched ahead, not yet read */
	/* Fills that wait for a slot in place of one that is in quarantine:
	 * the next free ones are theirs. */
	unsigned int slotless[SLOT_CLASSES];
	struct list starved; /* reads that wait for slots, in their order */
	unsigned int nstarved;
	struct list going;  /* chunks that are FILLING */
	unsigned int ngets; /* under way, of chunks and hedges */
	struct hedging hedging;
	uint64_t next_object;
	bool stopped;
	bool (*on_lack)(void *ctx);
	void *on_lack_ctx;
	struct pace pace;
	struct shares shares;
	struct cache_stats stats;

	atomic_ullong came_ns; /* when bytes last did */
};

/* Fills that were claimed under the lock and start without it. */
#define FILLS_MAX 96
struct fill_list {
	struct chunk *fills[FILLS_MAX];
	unsigned int n;
};

/* The chunk that has the byte at off, or will have it; NULL when none. */
struct chunk *chunk_find(struct cache *c, const struct object *o, uint64_t off);
struct chunk *chunk_at(struct cache *c, const struct object *o,
		       enum slot_class class, uint64_t index);

/* How many more slots of a class could be taken now; what was fetched ahead
 * and not yet read counts for those who wait only. */
unsigned int chunk_available(struct cache *c, enum slot_class class,
			     bool ahead);
/* Are there so many chunks to claim? */
bool chunk_has_unused(const struct cache *c, unsigned int n);

/*
 * Claims a chunk for the bytes lo..hi of an object: FILLING, listed in place
 * of an older one, added to fills.  There must be a slot (chunk_available).
 */
struct chunk *chunk_claim(struct cache *c, struct object *o,
			  enum slot_class class, uint64_t lo, uint64_t hi,
			  struct fill_list *fills);

/* FILLING -> READY, or FAILED with err.  Its waiters must have been taken. */
void chunk_publish(struct chunk *ch, int err);

/* A free slot, or that of the chunk that was used longest ago; NULL. */
struct slot *chunk_take_slot(struct cache *c, enum slot_class class);

/* Bytes of it, from lo to hi of its object, are being read. */
void chunk_note_read(struct chunk *ch, uint64_t lo, uint64_t hi);

void chunk_pin(struct chunk *ch);
void chunk_unpin(struct chunk *ch);
void chunk_unlist(struct chunk *ch);

/* fill.c: starts what was claimed.  Not under the lock. */
void fill_start(struct cache *c, struct fill_list *fills);
/* fill.c: READY or FAILED; its waiters get what they waited for. */
void fill_publish(struct chunk *ch, int err, struct list *finished);
/*
 * fill.c: gives a slot back that a get was to fill, NULL for none.  When it
 * may still be written to it goes into quarantine and is returned: xfer_fence
 * is then to be called for it, not under the lock.
 */
struct slot *fill_drop_slot(struct cache *c, struct slot **slot,
			    const struct xfer_span *span, bool fence);
/* fill.c: a get has ended. */
void fill_ended(struct cache *c);

/* read.c: tries the reads that wait for slots again, adding to fills. */
void read_retry_starved(struct cache *c, struct fill_list *fills,
			struct list *finished);
/* read.c: calls done of what has finished.  Not under the lock. */
void read_complete(struct list *finished);
/* read.c: one of the read's pieces has come, or failed. */
void read_piece_done(struct cache_piece *p, int err, struct list *finished);

void object_put_locked(struct cache *c, struct object *o);

#endif
