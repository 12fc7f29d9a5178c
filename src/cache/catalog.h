/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole trees of names at once: listed anew, frozen, read from a list of
 * objects, written to one.  All of these block, for as long as it takes.
 */
#ifndef S3RDMAFS_CACHE_CATALOG_H
#define S3RDMAFS_CACHE_CATALOG_H

#include "cache/namespace.h"

/* How far it is, now and then; total is 0 while it is not known.  false ends
 * the work with -ECANCELED: directories that are complete stay. */
struct catalog_watch {
	bool (*step)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

/*
 * What is known of path, "" for the root, and of all under it is replaced by
 * what the server lists now, and the kernel is told.  freeze: names, sizes
 * and ETags are believed as they are until the next refresh.
 * 0 and how many files there are; -ENOENT ...
 */
int catalog_refresh(struct namespace *ns, const char *path, bool freeze,
		    const struct catalog_watch *watch, uint64_t *files);

/*
 * Reads a list of objects (inventory.h) from fd, and believes it until the
 * next refresh: no listing is made any more.  columns: NULL for the default.
 * Rows of other buckets and prefixes are passed over; -ENODATA when there are
 * no others, and then everything stays as it is.  *line is where it failed
 * with -EBADMSG.
 */
int catalog_import(struct namespace *ns, int fd, const char *columns,
		   const struct catalog_watch *watch, uint64_t *files,
		   uint64_t *line);

/* Writes what is known under path to fd, in order.  *unlisted: directories of
 * which nothing is known. */
int catalog_export(struct namespace *ns, int fd, const char *path,
		   const struct catalog_watch *watch, uint64_t *files,
		   uint64_t *unlisted);

/*
 * The files that are prefix or under it ("" is all; a '/' may be behind it)
 * whose user metadata (or tags) are known and have all of these values;
 * "name=value" each.  Calls found with their paths.
 */
int catalog_find(struct namespace *ns, const char *prefix,
		 const char *const *meta, unsigned int nmeta,
		 const char *const *tags, unsigned int ntags,
		 int (*found)(void *ctx, const char *path), void *ctx);

#endif
