/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: what is known of names, on disk, one file for each endpoint,
 * bucket and prefix.  SQLite keeps it; every record carries a CRC32C besides.
 *
 * Two mounts may share a file.  A process may be killed at any point: what it
 * had not committed is gone, and nothing else.  A file that is damaged is
 * thrown away and begun anew, which is logged; until then, and whenever a
 * record is not what was written, the answer is that nothing is known.
 *
 * Any thread.  Reads take some microseconds and never wait for writers;
 * writes are made between store_begin and store_commit, by one thread at a
 * time.
 */
#ifndef S3RDMAFS_CACHE_STORE_H
#define S3RDMAFS_CACHE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_ROOT 1 /* number of the root directory */
#define STORE_SEGS 256
#define STORE_LEAVES (1U << 20) /* in one segment */

struct store;

struct store_config {
	const char *folder; /* made when missing, 0700; NULL: a private one
				that goes with the process */
	const char *source; /* what is mounted: endpoint, bucket and prefix */
	uint64_t max_bytes; /* directories used longest ago go beyond it */
};

/* 0, or -errno with the reason in why. */
int store_open(const struct store_config *cfg, struct store **out, char *why,
	       size_t cap);
void store_close(struct store *s);

/* Changes when the file was begun anew: numbers of directories from before mean
 * nothing any more, but for the root's. */
uint64_t store_generation(const struct store *s);

/* 16 bytes that stay with the file: what inode numbers are hashed with. */
const unsigned char *store_hash_key(const struct store *s);

/* A run of leaves, numbered from 0. */
struct store_seg {
	uint64_t snap;
	uint32_t leaves;
};

enum {
	STORE_HIDES = 1,  /* some directory hides a file of its name */
	STORE_FROZEN = 2, /* believed until it is refreshed */
};

/* A directory.  Its number never changes, nor is it used for another. */
struct store_dir {
	uint64_t id, parent;
	char name[256];
	uint64_t since_ms; /* wall clock, when its listing began; 0: none */
	uint64_t entries;
	uint32_t flags;
	unsigned int nsegs;
	struct store_seg segs[STORE_SEGS]; /* in the order of names */
};

/* 0, or -ENOENT. */
int store_dir_get(struct store *s, uint64_t id, struct store_dir *out);
int store_dir_find(struct store *s, uint64_t parent, const char *name,
		   uint64_t *id);
/* Has the directory entries that names have, by store_name_put? */
bool store_has_names(struct store *s, uint64_t dir);

/* The leaf at of a segment into buf of REC_LEAF_MAX bytes: its size, or
 * -ENOENT.  It has been checked. */
int store_leaf_get(struct store *s, uint64_t snap, uint32_t at, void *buf);

/* One name's entry (rec_unpack_one), or "" for a name that is nothing; and
 * when it was learnt.  Its size, or -ENOENT. */
int store_name_get(struct store *s, uint64_t dir, const char *name, void *buf,
		   size_t cap, uint64_t *since_ms);

/* What else is known of an object: text for the caller to read.  Its size,
 * or -ENOENT. */
int store_note_get(struct store *s, uint64_t dir, const char *name, char *buf,
		   size_t cap);
/* Calls each for all of them, in no order; a non-zero return ends it. */
int store_notes_each(struct store *s,
		     int (*each)(void *ctx, uint64_t dir, const char *name,
				 const char *text),
		     void *ctx);

/* ---- writing ---- */

/* Begins; nobody else writes until store_commit or store_abort.  0 or
 * -errno, and then nothing has begun. */
int store_begin(struct store *s);
/* 0 or -errno; what was written is there for all, or for nobody. */
int store_commit(struct store *s);
void store_abort(struct store *s);

/* Each of these between the two; 0 or -errno. */
int store_child_make(struct store *s, uint64_t parent, const char *name,
		     size_t len, uint64_t *id);
int store_snap_new(struct store *s, uint64_t *snap);
int store_leaf_put(struct store *s, uint64_t snap, uint32_t at,
		   const void *leaf, size_t n);
/* The directory's listing from now on; the one before is freed later, when
 * whoever reads it will have ended.  -ESTALE when there is no such number. */
int store_dir_put(struct store *s, const struct store_dir *d);
/* A segment that is not wanted after all; one that is a directory's by now
 * stays. */
int store_snap_drop(struct store *s, uint64_t snap);
int store_name_put(struct store *s, uint64_t dir, const char *name,
		   const void *data, size_t n, uint64_t since_ms);
/* Calls each for the names that the directory has by store_name_put. */
int store_names_each(struct store *s, uint64_t dir,
		     void (*each)(void *ctx, const char *name), void *ctx);
/* Forgets names of the directory that were learnt before. */
int store_names_drop(struct store *s, uint64_t dir, uint64_t before_ms);
int store_note_put(struct store *s, uint64_t dir, const char *name,
		   const char *text);

/* The number of a leaf, which it carries. */
static inline uint64_t store_leaf_id(uint64_t snap, uint32_t at)
{
	return snap * STORE_LEAVES + at;
}

/* Begins the file anew if it was found to be damaged; true when it was. */
bool store_heal(struct store *s);

/* There is no room on the disk, and freeing what is wanted least has not made
 * any: the next store_begin begins the file anew, which does unless there is
 * little in it. */
void store_starved(struct store *s);

/* Something read was not what was written: says so, once. */
void store_doubt(struct store *s);

/* Frees listings that were replaced long enough ago, and those used longest
 * ago when the file is too large, or a write found no room (-ENOSPC).  Does a
 * bounded piece of it; true when there is more to do.  gone is called for each
 * directory that lost its listing. */
bool store_tidy(struct store *s, void (*gone)(void *ctx, uint64_t dir),
		void *ctx);
/* Segments are being read, n numbers of eight bytes: those that were replaced
 * stay for as long again. */
void store_keep(struct store *s, const void *snaps, size_t n);
/* Directories are in use now: they are not the first to go. */
void store_touch(struct store *s, const uint64_t *dirs, unsigned int n);

struct store_stats {
	uint64_t bytes; /* of the file that are in use */
	uint64_t rebuilt;
};
void store_get_stats(struct store *s, struct store_stats *out);

#endif
