/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of names, for a while: attributes, that a name is nothing,
 * and whole directories.  Keyed by path ("" is the root); bounded; any
 * thread; never blocks.
 */
#ifndef S3RDMAFS_CACHE_META_H
#define S3RDMAFS_CACHE_META_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "s3/s3.h"

struct meta_attr {
	bool is_dir;
	uint64_t size;
	time_t mtime;
	char etag[S3_ETAG_MAX];
	char storage_class[40];
};

/* One name of a directory. */
struct meta_entry {
	const char *name; /* into the directory */
	const char *etag; /* likewise */
	uint64_t size;
	time_t mtime;
	bool is_dir;
};

/* A listing as it was at one time: never changes, counted. */
struct meta_dir {
	unsigned int refs; /* meta's */
	uint64_t until_ms;
	struct meta_entry *entries; /* sorted by name */
	size_t n;
	char *text; /* what names point into */
};

struct meta;

struct meta_config {
	uint64_t ttl_ms, negative_ttl_ms;
};

int meta_new(const struct meta_config *cfg, struct meta **out);
void meta_free(struct meta *m);

/* 0 and the attributes, -ENOENT when it is known to be nothing, -EAGAIN when
 * nothing is known (any more). */
int meta_get(struct meta *m, const char *path, struct meta_attr *out);

/* attr NULL: the name is nothing. */
void meta_put(struct meta *m, const char *path, const struct meta_attr *attr);
void meta_forget(struct meta *m, const char *path);

/* The directory's listing with a reference, or NULL. */
struct meta_dir *meta_dir_get(struct meta *m, const char *path);
void meta_dir_put(struct meta *m, struct meta_dir *d);

/* Keeps a listing; takes over the caller's one reference and gives another
 * one back. */
struct meta_dir *meta_dir_keep(struct meta *m, const char *path,
			       struct meta_dir *d);

const struct meta_entry *meta_dir_find(const struct meta_dir *d,
				       const char *name);

struct meta_stats {
	uint64_t names, dirs, entries;
};
void meta_get_stats(struct meta *m, struct meta_stats *out);

#endif
