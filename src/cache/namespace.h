/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree over flat keys.  A directory has a number, which never changes; a
 * path is "a/b/c", "" for the root; what bucket and key it means depends on
 * what is mounted.
 *
 *   - A key is a file; each '/' in it makes a directory above it.
 *   - "dir/" (a marker) is the directory itself.
 *   - Where a key `a` stands beside `a/b`, `a` is the directory, and the
 *     object `a` is not to be seen: hiding one object loses less than hiding
 *     all that lies under it, and it holds whichever is looked at first.
 *   - A key with an empty, "." or ".." component, or one of more than 255
 *     bytes, or with a NUL, has no path and is not shown.
 *
 * What is known is kept in the store (store.h), for as long as the rules say
 * (fresh.h).  Any thread.
 */
#ifndef S3RDMAFS_CACHE_NAMESPACE_H
#define S3RDMAFS_CACHE_NAMESPACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "cache/fresh.h"
#include "s3/s3.h"

#define NAMESPACE_PATH_MAX (S3_BUCKET_MAX + 1 + S3_KEY_MAX)
#define NAMESPACE_ROOT 1

struct namespace;
struct rec;

struct ns_attr {
	bool is_dir;
	uint64_t dir; /* its number, when it is one */
	uint64_t size;
	time_t mtime;
	char etag[S3_ETAG_MAX];
	char storage_class[40];
};

struct namespace_config {
	const char *bucket; /* "": every bucket is a directory */
	const char *prefix; /* "", or a key prefix that ends in '/' */
	struct fresh fresh; /* its prefixes are copied */
	const char *folder; /* of the store; NULL: none that stays */
	const char *endpoint;
	uint64_t max_bytes; /* of the store; 0: no limit */
};

/* s3 is borrowed and must outlive it; the strings are copied.  0, or -errno
 * with the reason in why. */
int namespace_new(const struct namespace_config *cfg, struct s3 *s3,
		  struct namespace **out, char *why, size_t cap);
/* Ends what waits, and tells nobody of changes any more; after s3_stop. */
void namespace_stop(struct namespace *ns);
/* Waits for its threads; once nobody asks for names any more. */
void namespace_wait(struct namespace *ns);
void namespace_free(struct namespace *ns);

/* Is told of each name that is not any more what was known before, of calls
 * below that say so.  Not under any lock. */
void namespace_on_change(struct namespace *ns,
			 void (*changed)(void *ctx, uint64_t dir,
					 const char *name),
			 void *ctx);

/* 16 bytes that stay with the mount's source. */
const unsigned char *namespace_hash_key(const struct namespace *ns);

/* The path of a directory, or of a name in it when name is not NULL, into a
 * buffer of NAMESPACE_PATH_MAX + 1.  -ESTALE, -ENAMETOOLONG. */
int namespace_path(struct namespace *ns, uint64_t dir, const char *name,
		   char *path);

/* The bucket and key of a path; key is "" for a bucket itself.  Both buffers
 * hold S3_BUCKET_MAX + 1 and S3_KEY_MAX + 1.  -ENAMETOOLONG. */
int namespace_resolve(const struct namespace *ns, const char *path,
		      char *bucket, char *key);

/*
 * What is known of a name without asking the server: 0 and its attributes,
 * -ENOENT when it is known to be nothing, -EAGAIN when nothing is known (any
 * more), -ESTALE when there is no such directory.  *left_ms: how long that is
 * still believed.
 */
int namespace_peek(struct namespace *ns, uint64_t dir, const char *name,
		   struct ns_attr *out, uint64_t *left_ms);

/* Asks the server when need be; blocks.  0, -ENOENT, -EACCES, -EIO ... */
int namespace_look(struct namespace *ns, uint64_t dir, const char *name,
		   struct ns_attr *out, uint64_t *left_ms);

/* The attributes of a file that is being opened: as the server has them now,
 * unless the rules say to believe what is known.  Blocks. */
int namespace_revalidate(struct namespace *ns, uint64_t dir, const char *name,
			 struct ns_attr *out);

/* The same where the rules say to believe what is known, else -EAGAIN.  Asks
 * nobody. */
int namespace_settled(struct namespace *ns, uint64_t dir, const char *name,
		      struct ns_attr *out);

/* Calls each for the names behind one of a directory whose listing is known,
 * in its order, until it returns non-zero or there are no more.  Asks nobody.
 * 0, or -EAGAIN where no listing is known. */
int namespace_next(struct namespace *ns, uint64_t dir, const char *name,
		   bool is_dir,
		   int (*each)(void *ctx, const char *name,
			       const struct ns_attr *attr),
		   void *ctx);

/*
 * Under a trusted prefix nobody is asked whether a name on the way is a
 * directory: it is taken for one until somebody wants to know.  Only where
 * the kernel says when that is, see fuse_ops.
 */

/* Gives the name a directory's number.  -EAGAIN where it is not trusted, or
 * where something is known of it.  May write to the store. */
int namespace_assume(struct namespace *ns, uint64_t dir, const char *name,
		     struct ns_attr *out);

/* Is no more known of the directory than that it was taken for one? */
bool namespace_is_assumed(struct namespace *ns, uint64_t dir);

/* Finds out, by one HEAD: 0 when it is a directory, -ESTALE when it is a file
 * (the name is to be looked up again), -ENOENT when it is no file, nor known
 * to be a directory.  Blocks. */
int namespace_settle(struct namespace *ns, uint64_t dir);

/* ---- reading directories ---- */

/* A directory that is being read: one listing of it, whatever happens. */
struct ns_dir;

/* When its listing is known: 0; -EAGAIN when it must be asked for. */
int namespace_open_known(struct namespace *ns, uint64_t dir,
			 struct ns_dir **out);
/* Blocks until there is a first entry. */
int namespace_open_dir(struct namespace *ns, uint64_t dir, struct ns_dir **out);
void namespace_close_dir(struct namespace *ns, struct ns_dir *d);

/* Is it known to hold nothing? */
bool namespace_dir_is_empty(struct namespace *ns, const struct ns_dir *d);

/* How long its entries are believed from now on, for the kernel. */
uint64_t namespace_dir_left(struct namespace *ns, struct ns_dir *d);

/* As dirs_read: calls each for entries from *pos on. */
int namespace_read_dir(
	struct namespace *ns, struct ns_dir *d, uint64_t *pos, bool wait,
	int (*each)(void *ctx, const struct rec *r, uint64_t next), void *ctx);

/*
 * What else there is to know of a version of a file, as an object of the
 * caller's: {"etag", "type", "class", "meta": {name: value}, "tags": likewise
 * when with_tags}.  From the store when it is known there, else blocks.
 */
int namespace_note(struct namespace *ns, uint64_t dir, const char *name,
		   const char *etag, bool with_tags, json_t **out);

struct ns_stats {
	uint64_t dirs;    /* in memory */
	uint64_t leaves;  /* likewise, 4 KiB each */
	uint64_t bytes;   /* of the store */
	uint64_t rebuilt; /* how often it was begun anew */
};
void namespace_get_stats(struct namespace *ns, struct ns_stats *out);

#endif
