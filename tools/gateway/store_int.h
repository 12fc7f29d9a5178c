/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's files share with each other. */
#ifndef S3RDMAFS_GATEWAY_STORE_INT_H
#define S3RDMAFS_GATEWAY_STORE_INT_H

#include <uthash.h>
#include <pthread.h>

#include "store.h"

#define STORE_LOCKS 256
#define STORE_ATTR "user.s3rdma"
#define STORE_ATTR_MAX 32768 /* more is not written, for it is not read */

/* The odd keys of a bucket, sorted. */
struct odd_keys {
	struct odd_keys *next;
	char bucket[256];
	char **keys; /* owned, as each of them */
	size_t n, cap;
};

struct dir_cache;

struct store {
	/* Constant after store_open. */
	int root;                /* owned */
	int tmp;                 /* owned: ROOT/.s3rdma/tmp */
	int odd;                 /* owned: ROOT/.s3rdma/odd */
	int uploads;             /* owned: ROOT/.s3rdma/uploads */
	struct dir_cache *cache; /* owned */

	pthread_mutex_t locks[STORE_LOCKS]; /* by key; outermost */

	pthread_mutex_t odd_lock;
	/* Under odd_lock. */
	struct odd_keys *odd_keys; /* owned list */
};

/* Removes what a killed gateway left of uploads. */
void store_upload_sweep(struct store *s);

/* Opens below dir, never out of it, through no symbolic link. */
int store_openat(int dir, const char *path, int flags);

/* S3's rules, and no name that could mean another place. */
bool store_is_bucket_name(const char *b);

/* Opens the folder of a bucket; -ENOTDIR when there is none. */
int store_bucket_dir(struct store *s, const char *bucket);

/* Can a path be the key? */
bool store_key_is_plain(const char *key);

/* The name that an odd key's file has (65 bytes). */
void store_odd_name(const char *key, char *out);

int store_odd_dir(struct store *s, const char *bucket, bool make);
void store_odd_add(struct store *s, const char *bucket, const char *key);
void store_odd_remove(struct store *s, const char *bucket, const char *key);
bool store_odd_has(struct store *s, const char *bucket, const char *key);
/* The first odd key behind after (or at it, when at), into out; false when
 * there is none. */
bool store_odd_next(struct store *s, const char *bucket, const char *after,
		    bool at, char *out, size_t cap);

/* Metadata of an open file; what stands in no attribute is made up. */
int store_meta_read(int fd, struct store_meta *out);
/* Writes meta, with size and mtime of the file, and key when not NULL. */
int store_meta_write(int fd, const char *key, struct store_meta *meta);

/* The sorted names of a folder; folders end in '/'. */
struct dir_list {
	UT_hash_handle hh; /* in the cache */
	unsigned int refs; /* under the cache's lock */
	char *path;
	struct timespec mtime;
	size_t n;
	char **names;
	struct dir_meta
		*metas; /* owned, beside names; under the cache's lock */
};
struct dir_cache *dir_cache_new(void);
void dir_cache_free(struct dir_cache *c);
/* dirfd is open on the folder, path its name in the cache. */
int dir_cache_get(struct dir_cache *c, int dirfd, const char *path,
		  struct dir_list **out);
void dir_cache_put(struct dir_cache *c, struct dir_list *l);
/* What a listing shows of the file names[at] of the folder, without headers.
 * -ENOENT when it is gone, or no regular file. */
int dir_meta_get(struct dir_cache *c, struct dir_list *l, size_t at, int dirfd,
		 struct store_meta *out);

#endif
