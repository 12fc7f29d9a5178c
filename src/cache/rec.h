/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leaves: blocks of a directory's entries, as they stand in the store.  Pure.
 *
 * The order of entries is that in which S3 lists keys: by the bytes of the
 * name, with a '/' behind that of a directory ("a-b" before "a/").
 *
 * A leaf knows its number and carries a CRC32C: one that was changed on disk,
 * or that is another's, is refused.
 */
#ifndef S3RDMAFS_CACHE_REC_H
#define S3RDMAFS_CACHE_REC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "s3/s3.h"

#define REC_LEAF_MAX 3968 /* bytes: two of them fill a page of the store */
#define REC_NAME_MAX 255
#define REC_CLASS_MAX 40

struct rec {
	char name[REC_NAME_MAX + 1];
	size_t len; /* of name */
	bool is_dir;
	bool hides;   /* a directory that hides a file of its name */
	uint64_t dir; /* number of a directory */
	uint64_t size;
	time_t mtime;
	char etag[S3_ETAG_MAX]; /* with quotes */
	char storage_class[REC_CLASS_MAX];
};

/* Compares names in the order of S3; flags tell which are directories. */
int rec_compare(const char *a, size_t alen, bool a_dir, const char *b,
		size_t blen, bool b_dir);

/* ---- writing ---- */

struct rec_writer {
	unsigned char buf[REC_LEAF_MAX];
	size_t len;
	unsigned int count;
	time_t mtime; /* of the last file */
	char last[REC_NAME_MAX + 1];
	size_t last_len;
};

void rec_writer_init(struct rec_writer *w);

/* Appends an entry, which must come behind the last.  false when the leaf has
 * no room: it is to be finished, and the entry to go to the next one. */
bool rec_writer_add(struct rec_writer *w, const struct rec *r);

/* Completes the leaf of that number; w->buf and w->len are what to store. */
void rec_writer_finish(struct rec_writer *w, uint64_t id);

/* ---- reading ---- */

struct rec_reader {
	const unsigned char *p, *end; /* borrowed */
	unsigned int left;
	struct rec rec; /* the entry that rec_next has read */
	/* Where what is behind its name begins, and what came before. */
	const unsigned char *body;
	time_t before;
};

/* Is it the leaf of that number, unharmed? */
bool rec_check(const void *leaf, size_t n, uint64_t id);

/* Of a leaf that rec_check has passed. */
void rec_reader_init(struct rec_reader *r, const void *leaf, size_t n);
unsigned int rec_count(const void *leaf);

/* The next entry into r->rec; false at the end. */
bool rec_next(struct rec_reader *r);
/* The same without ETag and storage class, which rec_fill adds; false when
 * they are none. */
bool rec_skim(struct rec_reader *r);
bool rec_fill(struct rec_reader *r);

/* ---- entries by themselves, for names that no listing has told ---- */

#define REC_ONE_MAX 512
/* Returns the bytes written. */
size_t rec_pack_one(const struct rec *r, unsigned char out[REC_ONE_MAX]);
/* false for what is none. */
bool rec_unpack_one(const void *data, size_t n, struct rec *out);

#endif
