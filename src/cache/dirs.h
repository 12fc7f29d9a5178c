/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories in memory: a bounded number of those that the store knows, and
 * of the leaves of their listings.  Counted references; any thread.
 *
 * A listing (struct snap) is a chain of segments, each a run of leaves in the
 * store.  It grows at the ends of its segments while it is being made, and
 * never changes once it is whole: whoever reads one sees each name once.
 */
#ifndef S3RDMAFS_CACHE_DIRS_H
#define S3RDMAFS_CACHE_DIRS_H

#include <pthread.h>
#include <stdatomic.h>
#include <uthash.h>

#include "base/list.h"
#include "base/strbuf.h"
#include "cache/rec.h"
#include "cache/store.h"

#define SNAP_NONE UINT32_MAX

struct snap_seg {
	uint64_t snap;   /* in the store; 0 while it has no leaf */
	uint64_t before; /* of a whole listing: leaves in front of it */
	uint32_t leaves; /* that can be read */
	uint32_t next;   /* the segment behind it, or SNAP_NONE */
	bool done;       /* no leaf will come */
};

/* A listing.  All but refs under dirs->lock while it is not whole. */
struct snap {
	unsigned int refs; /* under dirs->lock */
	bool whole;
	int err;           /* it will not become whole */
	uint64_t since_ms; /* wall clock, when it began */
	uint64_t entries;
	uint32_t flags;   /* STORE_HIDES, STORE_FROZEN */
	uint64_t version; /* counts what came */
	struct snap_index
		*index; /* of a large one, when a name was looked for */
	uint32_t nsegs;
	uint32_t room;          /* for segments; constant */
	struct snap_seg segs[]; /* the first one is the first */
};

struct dir {
	UT_hash_handle hh;
	struct list idle;    /* on dirs->idle while refs is 0 */
	uint64_t id, parent; /* constant */
	size_t name_at;      /* where the name begins in path; constant */

	/* Under dirs->lock. */
	unsigned int refs;
	bool gone;             /* its number means nothing any more */
	struct snap *snap;     /* a reference; whole; or NULL */
	struct snap *listing;  /* a reference; being made; or NULL */
	atomic_bool unsorted;  /* the server lists it in another order */
	atomic_bool has_names; /* entries by store_name_put; any thread */
	uint64_t touched_ms;

	char path[]; /* "" for the root; constant */
};

struct dirs {
	struct store *store;   /* borrowed */
	struct leaves *leaves; /* owned */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a leaf came, or a listing ended */

	/* Under lock. */
	struct dir *by_id; /* uthash */
	struct list idle;  /* the one used longest ago first */
	unsigned int nidle;
	uint64_t generation; /* of the store that all this is of */
	bool stopped;        /* nobody waits any more */
};

int dirs_new(struct store *store, struct dirs **out);
/* Every wait for a listing ends with -EIO. */
void dirs_stop(struct dirs *d);
void dirs_free(struct dirs *d);

/* A directory with a reference, or NULL: no such number (any more). */
struct dir *dirs_get(struct dirs *d, uint64_t id);
void dirs_put(struct dirs *d, struct dir *dir);
/* One more reference to a directory that the caller has one of. */
struct dir *dirs_ref(struct dirs *d, struct dir *dir);

/* Its whole listing with a reference, or NULL. */
struct snap *dirs_snap(struct dirs *d, struct dir *dir);
void dirs_snap_put(struct dirs *d, struct snap *s);

/* The directory has no listing any more (it went out of the store). */
void dirs_forget_snap(struct dirs *d, uint64_t id);

/* It has entries by store_name_put from now on. */
void dirs_has_names(struct dirs *d, struct dir *dir);

/* Is it the first call for the directory in so many milliseconds? */
bool dirs_touch(struct dirs *d, struct dir *dir, uint64_t now_ms,
		uint64_t every_ms);

/* Finds a name in a whole listing: 1 and the entry, 0, or -EAGAIN when the
 * listing cannot be read (any more). */
int dirs_find(struct dirs *d, struct snap *s, const char *name,
	      struct rec *out);

/* Finds it in what has come of a listing that is being made: 1, or 0 when it
 * may still come. */
int dirs_find_early(struct dirs *d, const struct snap *s, const char *name,
		    struct rec *out);

/* Of a listing that has failed: does a reader get the name before he gets the
 * error?  What had come of segments behind that he does not. */
bool dirs_find_given(struct dirs *d, const struct snap *s, const char *name);

/* Where a reader stands: segment, leaf and entry; 0 is the beginning. */
typedef uint64_t snap_pos;

/* The place behind a name in a whole listing, there or not.  0 or -EAGAIN. */
int dirs_seek(struct dirs *d, struct snap *s, const char *name, bool is_dir,
	      snap_pos *pos);

/*
 * Calls each for the entries from *pos on, which is moved, until it returns
 * non-zero (the entry is not taken) or the listing ends.  A directory and the
 * file that it hides are one entry.  When nothing has been given and nothing
 * is there yet, waits if wait is set, else returns -EAGAIN.
 * Returns 0, -EAGAIN, -ESTALE when the listing is gone, or why it failed.
 */
int dirs_read(struct dirs *d, struct snap *s, snap_pos *pos, bool wait,
	      int (*each)(void *ctx, const struct rec *r, snap_pos next),
	      void *ctx);

/* ---- making a listing ---- */

/* One segment, empty; with a reference. */
struct snap *dirs_snap_new(uint64_t since_ms);
/* A new segment behind another; its number, or SNAP_NONE when there is room
 * for none. */
uint32_t dirs_seg_add(struct dirs *d, struct snap *s, uint32_t behind);
/* So many leaves can be read. */
void dirs_seg_grow(struct dirs *d, struct snap *s, uint32_t seg, uint64_t snap,
		   uint32_t leaves);
/* No more will come; how many entries it had in all, and their flags. */
void dirs_seg_end(struct dirs *d, struct snap *s, uint32_t seg,
		  uint64_t entries, uint32_t flags);
/* It is whole at once, as it was stored, before anybody has read of it. */
void dirs_snap_whole(struct dirs *d, struct snap *s,
		     const struct store_dir *stored);
/* Has failed: who waits is told.  Nothing more comes of it from then on. */
void dirs_snap_fail(struct dirs *d, struct snap *s, int err);
int dirs_snap_err(struct dirs *d, const struct snap *s);
/* Known to the end, and nothing is in it. */
bool dirs_snap_empty(struct dirs *d, const struct snap *s);
/* What `s3rdmactl snapshot` made: never asked for again. */
bool dirs_snap_frozen(struct dirs *d, const struct snap *s);
/* Waits for the first leaf, or for the end.  0, or why it failed. */
int dirs_await(struct dirs *d, struct snap *s);

/* The listing that is being made, with a reference, or NULL. */
struct snap *dirs_listing(struct dirs *d, struct dir *dir);
struct snap *dirs_listing_ref(struct dirs *d, struct snap *s);
/* Puts s, or none, in the place of was, or of none; a reference is taken.
 * false when another is there. */
bool dirs_listing_set(struct dirs *d, struct dir *dir, const struct snap *was,
		      struct snap *s);
/* Who else has a reference, of one that a directory and its maker have? */
unsigned int dirs_snap_readers(struct dirs *d, const struct snap *s);

/* What to store of it: segments in order, the empty ones left out. */
void dirs_snap_pack(struct dirs *d, const struct dir *dir, const struct snap *s,
		    struct store_dir *out);
/* What of it stands in the store, read or not; returns how many. */
unsigned int dirs_snap_begun(struct dirs *d, const struct snap *s,
			     uint64_t snaps[STORE_SEGS]);
/* Is that listing the one that is stored? */
bool dirs_snap_is(struct dirs *d, const struct snap *s,
		  const struct store_dir *stored);
/* Adds the numbers of its segments in the store, eight bytes each. */
void dirs_snap_segs(struct dirs *d, const struct snap *s, struct strbuf *out);
/* The directory's listing is what was stored. */
void dirs_snap_set(struct dirs *d, struct dir *dir,
		   const struct store_dir *stored);

/* The same for a directory that need not be in memory. */
void dirs_update(struct dirs *d, const struct store_dir *stored);

/* A whole listing as it is stored, with one reference, of the caller's alone;
 * NULL when there is none, or without memory. */
struct snap *dirs_snap_of(const struct store_dir *stored);

struct dirs_stats {
	uint64_t dirs, leaves;
};
void dirs_get_stats(struct dirs *d, struct dirs_stats *out);

#endif
