/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects as files under a root folder.
 *
 * A bucket is a folder of the root, an object a file in it; an object's
 * headers, tags, ETag and checksums are an extended attribute of its file, so
 * that data and metadata appear by one rename.  Keys that no path can hold lie
 * under ROOT/.s3rdma/odd/BUCKET by the hash of their name, which the attribute
 * spells out.  No path is ever resolved through a symbolic link or out of the
 * bucket's folder.
 *
 * All calls: any thread; they block on the local file system only.  They
 * return 0 or -errno; -ENOENT for an object and -ENOTDIR for a bucket that is
 * not there.
 */
#ifndef S3RDMAFS_GATEWAY_STORE_H
#define S3RDMAFS_GATEWAY_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define STORE_ETAG_MAX 72 /* 32 hex digits, "-" and a part count */

struct store;

/* What is kept of an object beside its bytes. */
struct store_meta {
	uint64_t size;
	struct timespec mtime;
	char etag[STORE_ETAG_MAX]; /* without quotes */
	json_t *headers; /* owned; name -> value, answered as they stand */
	json_t *tags;    /* owned; key -> value, or NULL for none */
};

void store_meta_free(struct store_meta *m);

int store_open(const char *root, struct store **out);
void store_close(struct store *s);

int store_bucket_create(struct store *s, const char *bucket);
int store_bucket_check(struct store *s, const char *bucket);
/* -ENOTEMPTY while it holds an object. */
int store_bucket_delete(struct store *s, const char *bucket);
/* In order of names; mtime is the folder's. */
int store_bucket_each(struct store *s,
		      void (*each)(void *ctx, const char *name, time_t made),
		      void *ctx);

/* Opens an object for reading: a file that an overwrite does not change.
 * *fd and *meta are owned on success. */
int store_get(struct store *s, const char *bucket, const char *key, int *fd,
	      struct store_meta *meta);

/* What must hold for a change to happen. */
struct store_condition {
	bool if_none;         /* nothing of that key exists */
	const char *if_match; /* an ETag, "*" or a list, as in the header */
};

/* Is the ETag in the list of an If-Match or If-None-Match header? */
bool store_etag_listed(const char *list, const char *etag);

/* A new object in the making: a file that nobody sees. */
struct store_tmp {
	int fd; /* owned; write it from 0 */
	char name[48];
};
int store_tmp_new(struct store *s, struct store_tmp *out);
/* Ends one that was not published; harmless after a publish. */
void store_tmp_drop(struct store *s, struct store_tmp *t);

/*
 * Makes the file an object, at once and whole.  meta's size and mtime are
 * taken from the file and set in it.  Returns also -EEXIST (if_none) and
 * -ESTALE (if_match; -ENOENT when there is nothing to match).
 */
int store_publish(struct store *s, struct store_tmp *t, const char *bucket,
		  const char *key, struct store_meta *meta,
		  const struct store_condition *cond);

/* 0 also when there was none. */
int store_delete(struct store *s, const char *bucket, const char *key,
		 const struct store_condition *cond);

/* Gives an object these tags (borrowed; none when empty or NULL) in place of
 * its own, at once and whole.  Nothing else of it changes.  -E2BIG when the
 * file system has no room for them; the old ones then stay. */
int store_set_tags(struct store *s, const char *bucket, const char *key,
		   json_t *tags);

struct store_list {
	const char *prefix;
	const char *delimiter; /* "" for none */
	const char *after;     /* only what sorts behind it */
	unsigned int max;
	/* meta is NULL for a common prefix.  Borrowed for the call. */
	void (*each)(void *ctx, const char *key, const struct store_meta *meta);
	void *ctx;
};

/* Lists in the order of bytes.  *truncated: more would have come.  last gets
 * the last key or prefix given (cap >= 1025). */
int store_list(struct store *s, const char *bucket, const struct store_list *l,
	       bool *truncated, char *last, size_t cap);

/*
 * Multipart uploads: folders under ROOT/.s3rdma/uploads.
 */
#define STORE_UPLOAD_ID 33 /* 32 hex digits, terminated */

struct store_upload {
	char id[STORE_UPLOAD_ID];
	char bucket[256];
	char key[1025];
	json_t *headers; /* owned */
	json_t *tags;    /* owned; NULL for none */
	time_t made;
};
void store_upload_free(struct store_upload *u);

int store_upload_create(struct store *s, const char *bucket, const char *key,
			json_t *headers, json_t *tags,
			char id[STORE_UPLOAD_ID]);
/* -ENOENT when there is no such upload of that key. */
int store_upload_find(struct store *s, const char *bucket, const char *key,
		      const char *id, struct store_upload *out);
int store_upload_abort(struct store *s, const char *id);
/* Any order. */
int store_upload_each(struct store *s, const char *bucket,
		      void (*each)(void *ctx, const struct store_upload *u),
		      void *ctx);

/* Makes the file part n of the upload, in place of an earlier one. */
int store_part_publish(struct store *s, struct store_tmp *t, const char *id,
		       unsigned int n, struct store_meta *meta);
int store_part_open(struct store *s, const char *id, unsigned int n, int *fd,
		    struct store_meta *meta);
/* In order of their numbers. */
int store_part_each(struct store *s, const char *id,
		    void (*each)(void *ctx, unsigned int n,
				 const struct store_meta *meta),
		    void *ctx);

/* Appends all of from to the file of t.  Shares blocks where the file system
 * can. */
int store_append(struct store_tmp *t, int from, uint64_t off, uint64_t len);

/* The lock of a key: held by publish and delete, and by whoever must look
 * and then change.  Recursive use is an error. */
void store_lock(struct store *s, const char *bucket, const char *key);
void store_unlock(struct store *s, const char *bucket, const char *key);

#endif
