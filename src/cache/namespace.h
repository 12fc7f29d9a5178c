/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree over flat keys.  A path is "a/b/c", "" for the root; what bucket
 * and key it means depends on what is mounted.
 *
 *   - A key is a file; each '/' in it makes a directory above it.
 *   - "dir/" (a marker) is the directory itself.
 *   - Where a key `a` stands beside `a/b`, `a` is the directory, and the
 *     object `a` is not to be seen: hiding one object loses less than hiding
 *     all that lies under it, and it holds whichever is looked at first.
 *   - A key with an empty, "." or ".." component, or one of more than 255
 *     bytes, or with a NUL, has no path and is not shown.
 */
#ifndef S3RDMAFS_CACHE_NAMESPACE_H
#define S3RDMAFS_CACHE_NAMESPACE_H

#include "cache/meta.h"

#define NAMESPACE_PATH_MAX (S3_BUCKET_MAX + 1 + S3_KEY_MAX)

struct namespace;

struct namespace_config {
	const char *bucket; /* "": every bucket is a directory */
	const char *prefix; /* "", or a key prefix that ends in '/' */
	struct meta_config meta;
};

/* s3 is borrowed and must outlive it; the strings are copied. */
int namespace_new(const struct namespace_config *cfg, struct s3 *s3,
		  struct namespace **out);
void namespace_free(struct namespace *ns);

/* What is known without asking: as meta_get. */
int namespace_peek(struct namespace *ns, const char *path,
		   struct meta_attr *out);

/* Asks the server when need be; blocks.  0, -ENOENT, -EACCES, -EIO ... */
int namespace_look(struct namespace *ns, const char *path,
		   struct meta_attr *out);

/* The attributes of a file as the server has them now; blocks.  *changed
 * tells that another version was known before. */
int namespace_revalidate(struct namespace *ns, const char *path,
			 struct meta_attr *out, bool *changed);

/* The listing of a directory, with a reference; blocks. */
int namespace_list(struct namespace *ns, const char *path,
		   struct meta_dir **out);
struct meta_dir *namespace_list_known(struct namespace *ns, const char *path);
void namespace_list_put(struct namespace *ns, struct meta_dir *d);

/* A version that turned out to be gone. */
void namespace_forget(struct namespace *ns, const char *path);

/* Content type and user metadata of a file; blocks. */
int namespace_xattrs(struct namespace *ns, const char *path,
		     struct s3_attr *attr,
		     void (*meta)(void *ctx, const char *name,
				  const char *value),
		     void *ctx);

/* The bucket and key of a path; key is "" for a bucket itself.  Both buffers
 * hold S3_BUCKET_MAX + 1 and S3_KEY_MAX + 1.  -ENAMETOOLONG. */
int namespace_resolve(const struct namespace *ns, const char *path,
		      char *bucket, char *key);

void namespace_get_stats(struct namespace *ns, struct meta_stats *out);

#endif
