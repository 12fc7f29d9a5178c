/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables, each in the order of their making, so that the oldest goes
 * first when a bound is reached.  Lock: lock, a leaf.
 */
#include "cache/meta.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define MAX_NAMES 65536
#define MAX_DIR_ENTRIES 262144 /* in all directories kept */

struct name {
	UT_hash_handle hh;
	uint64_t until_ms;
	bool exists;
	struct meta_attr attr;
	char path[];
};

struct dir {
	UT_hash_handle hh;
	struct meta_dir *list; /* a reference */
	char path[];
};

struct meta {
	struct meta_config cfg; /* constant */
	pthread_mutex_t lock;

	/* Under lock. */
	struct name *names; /* uthash, in order of making */
	struct dir *dirs;   /* likewise */
	size_t entries;
};

int meta_new(const struct meta_config *cfg, struct meta **out)
{
	struct meta *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->cfg = *cfg;
	pthread_mutex_init(&m->lock, NULL);
	*out = m;
	return 0;
}

static void remove_name(struct meta *m, struct name *n)
{
	HASH_DELETE(hh, m->names, n);
	free(n);
}

static void put_dir_locked(struct meta_dir *d)
{
	if (--d->refs > 0)
		return;
	free(d->entries);
	free(d->text);
	free(d);
}

static void remove_dir(struct meta *m, struct dir *d)
{
	m->entries -= d->list->n;
	HASH_DELETE(hh, m->dirs, d);
	put_dir_locked(d->list);
	free(d);
}

void meta_free(struct meta *m)
{
	if (!m)
		return;
	while (m->names)
		remove_name(m, m->names);
	while (m->dirs)
		remove_dir(m, m->dirs);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct name *find_name(struct meta *m, const char *path)
{
	struct name *n;

	HASH_FIND_STR(m->names, path, n);
	return n;
}

static struct dir *find_dir(struct meta *m, const char *path)
{
	struct dir *d;

	HASH_FIND_STR(m->dirs, path, d);
	if (d && d->list->until_ms <= clock_ms()) {
		remove_dir(m, d);
		return NULL;
	}
	return d;
}

/* What the listing of the directory that holds path says of it. */
static int ask_parent(struct meta *m, const char *path, struct meta_attr *out)
{
	const char *slash = strrchr(path, '/');
	const struct meta_entry *e;
	char parent[S3_BUCKET_MAX + S3_KEY_MAX + 4];
	struct dir *d;

	if (slash && (size_t)(slash - path) >= sizeof(parent))
		return -EAGAIN;
	memcpy(parent, path, slash ? (size_t)(slash - path) : 0);
	parent[slash ? slash - path : 0] = '\0';
	d = find_dir(m, parent);
	if (!d)
		return -EAGAIN;
	e = meta_dir_find(d->list, slash ? slash + 1 : path);
	if (!e)
		return -ENOENT;
	*out = (struct meta_attr){
		.is_dir = e->is_dir, .size = e->size, .mtime = e->mtime};
	snprintf(out->etag, sizeof(out->etag), "%s", e->etag);
	return 0;
}

int meta_get(struct meta *m, const char *path, struct meta_attr *out)
{
	struct name *n;

	LOCK_SCOPE(&m->lock);
	n = find_name(m, path);
	if (n && n->until_ms > clock_ms()) {
		if (!n->exists)
			return -ENOENT;
		*out = n->attr;
		return 0;
	}
	return ask_parent(m, path, out);
}

void meta_put(struct meta *m, const char *path, const struct meta_attr *attr)
{
	const size_t len = strlen(path);
	struct name *n = calloc(1, sizeof(*n) + len + 1), *old;

	if (!n)
		return;
	memcpy(n->path, path, len);
	n->exists = attr != NULL;
	if (attr)
		n->attr = *attr;
	n->until_ms = clock_ms() +
		      (attr ? m->cfg.ttl_ms : m->cfg.negative_ttl_ms);
	LOCK_SCOPE(&m->lock);
	old = find_name(m, path);
	if (old)
		remove_name(m, old);
	else if (HASH_COUNT(m->names) >= MAX_NAMES)
		remove_name(m, m->names);
	HASH_ADD_STR(m->names, path, n);
}

void meta_forget(struct meta *m, const char *path)
{
	char parent[S3_BUCKET_MAX + S3_KEY_MAX + 4];
	struct name *n;
	struct dir *d;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash)
		*slash = '\0';
	else
		parent[0] = '\0';
	LOCK_SCOPE(&m->lock);
	n = find_name(m, path);
	if (n)
		remove_name(m, n);
	d = find_dir(m, parent);
	if (d)
		remove_dir(m, d);
}

struct meta_dir *meta_dir_get(struct meta *m, const char *path)
{
	struct dir *d;

	LOCK_SCOPE(&m->lock);
	d = find_dir(m, path);
	if (!d)
		return NULL;
	d->list->refs++;
	return d->list;
}

void meta_dir_put(struct meta *m, struct meta_dir *d)
{
	LOCK_SCOPE(&m->lock);
	put_dir_locked(d);
}

struct meta_dir *meta_dir_keep(struct meta *m, const char *path,
			       struct meta_dir *list)
{
	const size_t len = strlen(path);
	struct dir *d = calloc(1, sizeof(*d) + len + 1), *old;

	list->until_ms = clock_ms() + m->cfg.ttl_ms;
	if (!d)
		return list;
	memcpy(d->path, path, len);
	d->list = list;
	LOCK_SCOPE(&m->lock);
	old = find_dir(m, path);
	if (old)
		remove_dir(m, old);
	list->refs++;
	m->entries += list->n;
	HASH_ADD_STR(m->dirs, path, d);
	while (m->entries > MAX_DIR_ENTRIES && m->dirs != d)
		remove_dir(m, m->dirs);
	return list;
}

const struct meta_entry *meta_dir_find(const struct meta_dir *d,
				       const char *name)
{
	size_t lo = 0, hi = d->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const int c = strcmp(d->entries[mid].name, name);

		if (c == 0)
			return &d->entries[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void meta_get_stats(struct meta *m, struct meta_stats *out)
{
	LOCK_SCOPE(&m->lock);
	*out = (struct meta_stats){.names = HASH_COUNT(m->names),
				   .dirs = HASH_COUNT(m->dirs),
				   .entries = m->entries};
}
