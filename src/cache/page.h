/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of one page of a listing, with their keys behind the prefix that
 * was listed, in the order of S3.  For one thread.
 */
#ifndef S3RDMAFS_CACHE_PAGE_H
#define S3RDMAFS_CACHE_PAGE_H

#include "base/strbuf.h"
#include "cache/rec.h"

struct page_item {
	size_t key, etag, storage_class; /* offsets into text */
	size_t len;                      /* of the key, a '/' at its end not
					    counted where is_prefix */
	uint64_t size;
	time_t mtime;
	bool is_prefix;
};

struct page {
	const char *prefix; /* of every key that belongs here; borrowed */
	size_t prefix_len;
	bool buckets; /* names are buckets, each a directory */
	struct strbuf text;
	struct page_item *items; /* owned */
	size_t n, cap;
};

void page_init(struct page *p, const char *prefix, bool buckets);
void page_clear(struct page *p);
void page_free(struct page *p);

/* For struct s3_list: takes an entry; what does not begin with the prefix, a
 * server's mistake, and the prefix itself are passed over.  0 or -ENOMEM. */
int page_take(void *page, const struct s3_entry *e);

/* Puts the items in order: a server sends files first, then prefixes. */
void page_sort(struct page *p);

const char *page_key(const struct page *p, size_t at);

/* One component that a directory can show? */
bool page_is_name(const char *s, size_t n);

/* The item as an entry of that name; rec->dir is not set. */
void page_rec(const struct page *p, size_t at, const char *name, size_t len,
	      bool is_dir, struct rec *out);

#endif
