/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: any; those that must ask the server block. */
#include "cache/namespace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strbuf.h"

#define LISTING_MAX (1ULL << 32) /* bytes of names in one directory */

struct namespace
{
	char bucket[S3_BUCKET_MAX + 1];
	char prefix[S3_KEY_MAX + 1];
	struct s3 *s3;     /* borrowed */
	struct meta *meta; /* owned */
};

int namespace_new(const struct namespace_config *cfg, struct s3 *s3,
		  struct namespace **out)
{
	struct namespace *ns = calloc(1, sizeof(*ns));
	int err;

	if (!ns)
		return -ENOMEM;
	snprintf(ns->bucket, sizeof(ns->bucket), "%s", cfg->bucket);
	snprintf(ns->prefix, sizeof(ns->prefix), "%s", cfg->prefix);
	ns->s3 = s3;
	err = meta_new(&cfg->meta, &ns->meta);
	if (err) {
		free(ns);
		return err;
	}
	*out = ns;
	return 0;
}

void namespace_free(struct namespace *ns)
{
	if (!ns)
		return;
	meta_free(ns->meta);
	free(ns);
}

int namespace_resolve(const struct namespace *ns, const char *path,
		      char *bucket, char *key)
{
	size_t n = 0;

	if (!ns->bucket[0]) {
		n = strcspn(path, "/");
		if (n > S3_BUCKET_MAX)
			return -ENAMETOOLONG;
		snprintf(bucket, S3_BUCKET_MAX + 1, "%.*s", (int)n, path);
		path += n + (path[n] == '/');
	} else {
		snprintf(bucket, S3_BUCKET_MAX + 1, "%s", ns->bucket);
	}
	if (strlen(ns->prefix) + strlen(path) > S3_KEY_MAX)
		return -ENAMETOOLONG;
	snprintf(key, S3_KEY_MAX + 1, "%s%s", ns->prefix, path);
	return 0;
}

int namespace_peek(struct namespace *ns, const char *path,
		   struct meta_attr *out)
{
	if (!*path) {
		*out = (struct meta_attr){.is_dir = true};
		return 0;
	}
	return meta_get(ns->meta, path, out);
}

static void from_s3(const struct s3_attr *a, struct meta_attr *out)
{
	*out = (struct meta_attr){.size = a->size, .mtime = a->mtime};
	snprintf(out->etag, sizeof(out->etag), "%s", a->etag);
	snprintf(out->storage_class, sizeof(out->storage_class), "%s",
		 a->storage_class);
}

/* Does a bucket of that name exist?  A listing of one key tells. */
static int look_bucket(struct namespace *ns, const char *bucket)
{
	struct s3_attr unused;

	return s3_head(ns->s3, bucket, NULL, NULL, NULL, &unused);
}

static int ask(struct namespace *ns, const char *path, struct meta_attr *out)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	struct s3_look look;
	int err = namespace_resolve(ns, path, bucket, key);

	if (err)
		return err;
	if (!*key) {
		err = look_bucket(ns, bucket);
		*out = (struct meta_attr){.is_dir = true};
		return err;
	}
	s3_look(ns->s3, bucket, key, &look);
	/* The directory comes first, see namespace.h. */
	if (!look.prefix_err) {
		*out = (struct meta_attr){.is_dir = true};
		return 0;
	}
	if (look.prefix_err != -ENOENT)
		return look.prefix_err;
	if (!look.object_err)
		from_s3(&look.object, out);
	return look.object_err;
}

int namespace_look(struct namespace *ns, const char *path,
		   struct meta_attr *out)
{
	int err = namespace_peek(ns, path, out);

	if (err != -EAGAIN)
		return err;
	err = ask(ns, path, out);
	if (!err)
		meta_put(ns->meta, path, out);
	else if (err == -ENOENT)
		meta_put(ns->meta, path, NULL);
	return err;
}

int namespace_revalidate(struct namespace *ns, const char *path,
			 struct meta_attr *out, bool *changed)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	struct meta_attr known;
	struct s3_attr a;
	int err = namespace_resolve(ns, path, bucket, key);

	if (err)
		return err;
	err = s3_head(ns->s3, bucket, key, NULL, NULL, &a);
	if (err) {
		if (err == -ENOENT)
			meta_forget(ns->meta, path);
		return err;
	}
	from_s3(&a, out);
	*changed = !meta_get(ns->meta, path, &known) &&
		   (strcmp(known.etag, out->etag) != 0 ||
		    known.size != out->size);
	meta_put(ns->meta, path, out);
	return 0;
}

void namespace_forget(struct namespace *ns, const char *path)
{
	meta_forget(ns->meta, path);
}

/* ---- listings ---- */

struct listing {
	const char *prefix; /* of every key that belongs here */
	size_t prefix_len;
	struct strbuf text; /* names and ETags, terminated */
	struct raw {
		size_t name, etag; /* offsets into text */
		uint64_t size;
		time_t mtime;
		bool is_dir;
	} * raw;
	size_t n, cap;
	size_t hidden;
};

/* Is it one component that a directory can show? */
static bool is_name(const char *s, size_t n)
{
	return n > 0 && n <= 255 && !memchr(s, '/', n) &&
	       !(n == 1 && s[0] == '.') &&
	       !(n == 2 && s[0] == '.' && s[1] == '.');
}

static int add_entry(void *ctx, const struct s3_entry *e)
{
	struct listing *l = ctx;
	const char *name = e->key + l->prefix_len;
	size_t n = strlen(e->key);
	struct raw *r;

	/* A server that answers with what was not asked for. */
	if (n < l->prefix_len || memcmp(e->key, l->prefix, l->prefix_len) != 0)
		return 0;
	n -= l->prefix_len;
	if (n == 0 && !e->is_prefix)
		return 0; /* the directory's own marker */
	if (e->is_prefix && n > 0 && name[n - 1] == '/')
		n--;
	if (!is_name(name, n)) {
		l->hidden++;
		return 0;
	}
	if (l->n == l->cap) {
		const size_t cap = l->cap ? 2 * l->cap : 256;
		void *more = realloc(l->raw, cap * sizeof(*l->raw));

		if (!more)
			return -ENOMEM;
		l->raw = more;
		l->cap = cap;
	}
	r = &l->raw[l->n++];
	*r = (struct raw){.name = l->text.len,
			  .size = e->size,
			  .mtime = e->mtime,
			  .is_dir = e->is_prefix};
	strbuf_add(&l->text, name, n);
	strbuf_add(&l->text, "", 1);
	r->etag = l->text.len;
	strbuf_add(&l->text, e->etag ? e->etag : "",
		   (e->etag ? strlen(e->etag) : 0) + 1);
	return l->text.failed ? -ENOMEM : 0;
}

static int add_bucket(void *ctx, const struct s3_entry *e)
{
	struct s3_entry dir = *e;

	dir.is_prefix = true;
	return add_entry(ctx, &dir);
}

/* Directories before files of the same name, so that the first stays. */
static int by_name(const void *a, const void *b)
{
	const struct meta_entry *x = a, *y = b;
	const int c = strcmp(x->name, y->name);

	return c ? c : (int)y->is_dir - (int)x->is_dir;
}

static struct meta_dir *to_dir(struct listing *l)
{
	struct meta_dir *d = calloc(1, sizeof(*d));
	size_t kept = 0;

	if (!d)
		return NULL;
	d->refs = 1;
	d->entries = calloc(l->n + 1, sizeof(*d->entries));
	if (!d->entries) {
		free(d);
		return NULL;
	}
	d->text = l->text.s;
	l->text = (struct strbuf){.max = l->text.max};
	for (size_t i = 0; i < l->n; i++)
		d->entries[i] = (struct meta_entry){
			.name = d->text + l->raw[i].name,
			.etag = d->text + l->raw[i].etag,
			.size = l->raw[i].size,
			.mtime = l->raw[i].mtime,
			.is_dir = l->raw[i].is_dir};
	qsort(d->entries, l->n, sizeof(*d->entries), by_name);
	for (size_t i = 0; i < l->n; i++)
		if (!kept ||
		    strcmp(d->entries[kept - 1].name, d->entries[i].name) != 0)
			d->entries[kept++] = d->entries[i];
	d->n = kept;
	return d;
}

static int fetch_list(struct namespace *ns, const char *path,
		      struct meta_dir **out)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 2];
	struct s3_list l = {.delimiter = "/", .entry = add_entry};
	struct listing listing = {0};
	int err = namespace_resolve(ns, path, bucket, key);

	if (err)
		return err;
	if (*key && key[strlen(key) - 1] != '/')
		strcat(key, "/");
	strbuf_init(&listing.text, LISTING_MAX);
	listing.prefix = key;
	listing.prefix_len = *bucket ? strlen(key) : 0;
	l.ctx = &listing;
	l.prefix = key;
	l.bucket = *bucket ? bucket : NULL;
	if (!*bucket)
		l.entry = add_bucket;
	err = s3_list(ns->s3, &l, NULL);
	if (!err) {
		*out = to_dir(&listing);
		err = *out ? 0 : -ENOMEM;
	}
	if (listing.hidden)
		log_info("namespace: %zu keys under \"%s\" have no path and "
			 "are not shown",
			 listing.hidden, path);
	free(listing.raw);
	strbuf_free(&listing.text);
	return err;
}

struct meta_dir *namespace_list_known(struct namespace *ns, const char *path)
{
	return meta_dir_get(ns->meta, path);
}

int namespace_list(struct namespace *ns, const char *path,
		   struct meta_dir **out)
{
	struct meta_dir *d = meta_dir_get(ns->meta, path);
	int err = 0;

	if (!d) {
		err = fetch_list(ns, path, &d);
		if (!err)
			d = meta_dir_keep(ns->meta, path, d);
	}
	if (!err)
		*out = d;
	return err;
}

void namespace_list_put(struct namespace *ns, struct meta_dir *d)
{
	meta_dir_put(ns->meta, d);
}

int namespace_xattrs(
	struct namespace *ns, const char *path, struct s3_attr *attr,
	void (*meta)(void *ctx, const char *name, const char *value), void *ctx)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	const int err = namespace_resolve(ns, path, bucket, key);

	return err ? err : s3_head(ns->s3, bucket, key, meta, ctx, attr);
}

void namespace_get_stats(struct namespace *ns, struct meta_stats *out)
{
	meta_get_stats(ns->meta, out);
}
