/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_s3.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

struct object {
	char *bucket, *key; /* owned */
	char etag[S3_ETAG_MAX];
	uint64_t size;
};

struct s3 {
	enum fake_order order;
	unsigned int page;
	pthread_mutex_t lock;

	/* Under lock. */
	struct object *objects; /* owned, in order */
	size_t n, cap;
	int err, page_err;
	unsigned int pages_left; /* before page_err, if that is set */
	struct fake_calls calls;
	void (*hook)(void *ctx, unsigned int page);
	void *hook_ctx;
};

struct s3 *fake_s3_new(enum fake_order order, unsigned int page)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	assert(s3);
	s3->order = order;
	s3->page = page;
	pthread_mutex_init(&s3->lock, NULL);
	return s3;
}

void fake_s3_free(struct s3 *s3)
{
	for (size_t i = 0; i < s3->n; i++) {
		free(s3->objects[i].bucket);
		free(s3->objects[i].key);
	}
	free(s3->objects);
	pthread_mutex_destroy(&s3->lock);
	free(s3);
}

/* Where the key stands or belongs. */
static size_t place(const struct s3 *s3, const char *bucket, const char *key)
{
	size_t lo = 0, hi = s3->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct object *o = &s3->objects[mid];
		int c = strcmp(o->bucket, bucket);

		c = c ? c : strcmp(o->key, key);
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct object *find(const struct s3 *s3, const char *bucket,
			   const char *key)
{
	const size_t at = place(s3, bucket, key);
	struct object *o = &s3->objects[at];

	return at < s3->n && !strcmp(o->bucket, bucket) && !strcmp(o->key, key)
		       ? o
		       : NULL;
}

void fake_s3_put(struct s3 *s3, const char *bucket, const char *key,
		 const char *etag, uint64_t size)
{
	struct object *o;
	size_t at;

	LOCK_SCOPE(&s3->lock);
	o = find(s3, bucket, key);
	if (!o) {
		if (s3->n == s3->cap) {
			s3->cap = s3->cap ? 2 * s3->cap : 64;
			s3->objects = realloc(s3->objects,
					      s3->cap * sizeof(*o));
			assert(s3->objects);
		}
		at = place(s3, bucket, key);
		o = &s3->objects[at];
		memmove(o + 1, o, (s3->n++ - at) * sizeof(*o));
		o->bucket = strdup(bucket);
		o->key = strdup(key);
	}
	snprintf(o->etag, sizeof(o->etag), "%s", etag);
	o->size = size;
}

void fake_s3_delete(struct s3 *s3, const char *bucket, const char *key)
{
	struct object *o;

	LOCK_SCOPE(&s3->lock);
	o = find(s3, bucket, key);
	if (!o)
		return;
	free(o->bucket);
	free(o->key);
	s3->n--;
	memmove(o, o + 1, (s3->n - (size_t)(o - s3->objects)) * sizeof(*o));
}

void fake_s3_set_error(struct s3 *s3, int err)
{
	LOCK_SCOPE(&s3->lock);
	s3->err = err;
}

void fake_s3_set_page_error(struct s3 *s3, unsigned int after, int err)
{
	LOCK_SCOPE(&s3->lock);
	s3->page_err = err;
	s3->pages_left = after;
}

void fake_s3_set_hook(struct s3 *s3, void (*hook)(void *ctx, unsigned int page),
		      void *ctx)
{
	LOCK_SCOPE(&s3->lock);
	s3->hook = hook;
	s3->hook_ctx = ctx;
}

struct fake_calls fake_s3_calls(struct s3 *s3)
{
	LOCK_SCOPE(&s3->lock);
	const struct fake_calls c = s3->calls;

	s3->calls = (struct fake_calls){0};
	return c;
}

/* ---- single objects ---- */

static int head(const struct s3 *s3, const char *bucket, const char *key,
		struct s3_attr *out)
{
	const struct object *o;

	*out = (struct s3_attr){.mtime = 1000};
	if (!key) {
		const size_t at = place(s3, bucket, "");

		return at < s3->n && !strcmp(s3->objects[at].bucket, bucket)
			       ? 0
			       : -ENOENT;
	}
	o = find(s3, bucket, key);
	if (!o)
		return -ENOENT;
	out->size = o->size;
	snprintf(out->etag, sizeof(out->etag), "%s", o->etag);
	snprintf(out->content_type, sizeof(out->content_type), "text/plain");
	return 0;
}

int s3_head(struct s3 *s3, const char *bucket, const char *key,
	    void (*meta)(void *ctx, const char *name, const char *value),
	    void *ctx, struct s3_attr *out)
{
	int err;

	{
		LOCK_SCOPE(&s3->lock);
		s3->calls.head++;
		err = s3->err ? s3->err : head(s3, bucket, key, out);
	}
	if (!err && meta)
		meta(ctx, "color", "red");
	return err;
}

int s3_get_tags(struct s3 *s3, const char *bucket, const char *key,
		void (*tag)(void *ctx, const char *name, const char *value),
		void *ctx)
{
	struct s3_attr unused;
	int err;

	{
		LOCK_SCOPE(&s3->lock);
		s3->calls.head++;
		err = s3->err ? s3->err : head(s3, bucket, key, &unused);
	}
	if (!err)
		tag(ctx, "Kind", "test");
	return err;
}

void s3_look(struct s3 *s3, const char *bucket, const char *key,
	     struct s3_look *out)
{
	char prefix[S3_KEY_MAX + 2];
	size_t at;

	LOCK_SCOPE(&s3->lock);
	s3->calls.look++;
	*out = (struct s3_look){.object_err = s3->err, .prefix_err = s3->err};
	if (s3->err)
		return;
	out->object_err = head(s3, bucket, key, &out->object);
	snprintf(prefix, sizeof(prefix), "%s/", key);
	at = place(s3, bucket, prefix);
	out->prefix_err = at < s3->n &&
					  !strcmp(s3->objects[at].bucket,
						  bucket) &&
					  !strncmp(s3->objects[at].key, prefix,
						   strlen(prefix))
				  ? 0
				  : -ENOENT;
}

/* ---- listings ---- */

struct item {
	char *key; /* owned */
	bool is_prefix;
	char etag[S3_ETAG_MAX];
	uint64_t size;
};

struct s3_pager {
	struct s3 *s3;
	struct s3_list l;
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	char after[S3_KEY_MAX + 300], end[S3_KEY_MAX + 300];
	bool after_is_prefix; /* and nothing under it is wanted */
	bool done;
	unsigned int page;
	struct item *items; /* owned: the page; or all, when reversed */
	size_t n, at;
};

int s3_pager_new(struct s3 *s3, const struct s3_list *l, struct s3_pager **out)
{
	struct s3_pager *p = calloc(1, sizeof(*p));

	assert(p);
	p->s3 = s3;
	p->l = *l;
	snprintf(p->bucket, sizeof(p->bucket), "%s",
		 l->bucket ? l->bucket : "");
	snprintf(p->prefix, sizeof(p->prefix), "%s",
		 l->prefix ? l->prefix : "");
	snprintf(p->after, sizeof(p->after), "%s",
		 l->start_after ? l->start_after : "");
	LOCK_SCOPE(&s3->lock);
	s3->calls.pagers++;
	*out = p;
	return 0;
}

void s3_pager_set_end(struct s3_pager *p, const char *key)
{
	snprintf(p->end, sizeof(p->end), "%s", key);
}

static void drop_items(struct s3_pager *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->items[i].key);
	free(p->items);
	p->items = NULL;
	p->n = p->at = 0;
}

void s3_pager_free(struct s3_pager *p)
{
	if (!p)
		return;
	drop_items(p);
	free(p);
}

static void add_item(struct s3_pager *p, const char *key, size_t len,
		     const struct object *o)
{
	struct item *i;

	p->items = realloc(p->items, (p->n + 1) * sizeof(*p->items));
	i = &p->items[p->n++];
	*i = (struct item){.key = strndup(key, len), .is_prefix = !o};
	if (o) {
		memcpy(i->etag, o->etag, sizeof(i->etag));
		i->size = o->size;
	}
}

static bool is_past(const struct s3_pager *p, const char *key)
{
	return !p->after[0] || (strcmp(key, p->after) > 0 &&
				!(p->after_is_prefix &&
				  !strncmp(key, p->after, strlen(p->after))));
}

/* Under the lock: up to max entries behind p->after, which moves. */
static void gather(struct s3_pager *p, size_t max)
{
	const struct s3 *s3 = p->s3;
	const size_t plen = strlen(p->prefix);
	const bool flat = !p->l.delimiter || !*p->l.delimiter;
	size_t at = place(s3, p->bucket, p->prefix), from;

	if (p->after[0] && strcmp(p->after, p->prefix) > 0)
		at = place(s3, p->bucket, p->after);
	for (from = p->n; at < s3->n; at++) {
		const struct object *o = &s3->objects[at];
		const char *slash;

		if (strcmp(o->bucket, p->bucket) != 0 ||
		    strncmp(o->key, p->prefix, plen) != 0)
			break;
		if (!is_past(p, o->key))
			continue;
		if (p->n - from == max)
			return;
		slash = flat ? NULL : strchr(o->key + plen, '/');
		snprintf(p->after, sizeof(p->after), "%.*s",
			 slash ? (int)(slash - o->key + 1) : S3_KEY_MAX,
			 o->key);
		p->after_is_prefix = slash != NULL;
		add_item(p, p->after, strlen(p->after), slash ? NULL : o);
	}
	p->done = true;
}

static void gather_buckets(struct s3_pager *p)
{
	const struct s3 *s3 = p->s3;

	for (size_t i = 0; i < s3->n; i++)
		if (!i || strcmp(s3->objects[i].bucket,
				 s3->objects[i - 1].bucket) != 0)
			add_item(p, s3->objects[i].bucket, S3_KEY_MAX,
				 &s3->objects[i]);
	p->done = true;
}

static void reverse(struct s3_pager *p)
{
	for (size_t i = 0; i < p->n / 2; i++) {
		const struct item x = p->items[i];

		p->items[i] = p->items[p->n - 1 - i];
		p->items[p->n - 1 - i] = x;
	}
}

static void group(struct s3_pager *p)
{
	struct item *items = malloc((p->n + 1) * sizeof(*items));
	size_t n = 0;

	for (int prefix = 1; prefix >= 0; prefix--)
		for (size_t i = 0; i < p->n; i++)
			if (p->items[i].is_prefix == (bool)prefix)
				items[n++] = p->items[i];
	free(p->items);
	p->items = items;
}

/* Pages of all there is. */
static bool is_gathered(const struct s3_pager *p)
{
	return p->l.bucket &&
	       (p->s3->order == FAKE_REVERSED || p->s3->order == FAKE_GROUPED);
}

/* Under the lock: the next page's items are from p->at on; how many. */
static size_t turn(struct s3_pager *p)
{
	const struct s3 *s3 = p->s3;
	const size_t max = p->l.max_keys ? p->l.max_keys : s3->page;

	if (is_gathered(p)) {
		if (!p->page) {
			gather(p, SIZE_MAX);
			if (s3->order == FAKE_REVERSED)
				reverse(p);
			else
				group(p);
		}
		p->done = p->n - p->at <= max;
		return p->done ? p->n - p->at : max;
	}
	if (s3->order == FAKE_TWICE && p->n) {
		const struct item last = p->items[p->n - 1];

		p->items[p->n - 1].key = NULL;
		drop_items(p);
		p->items = malloc(sizeof(last));
		p->items[0] = last;
		p->n = 1;
	} else {
		drop_items(p);
	}
	if (p->l.bucket)
		gather(p, max);
	else
		gather_buckets(p);
	p->done |= p->l.max_keys > 0;
	return p->n;
}

static int give(struct s3_pager *p, size_t count, bool prefixes, bool files)
{
	for (size_t i = 0; i < count; i++) {
		const struct item *it = &p->items[p->at + i];
		const struct s3_entry e = {.key = it->key,
					   .is_prefix = it->is_prefix,
					   .size = it->size,
					   .mtime = 1000,
					   .etag = it->etag,
					   .storage_class = ""};
		int err;

		if (it->is_prefix ? !prefixes : !files)
			continue;
		if (p->end[0] && strcmp(it->key, p->end) > 0)
			p->done = true;
		err = p->l.entry(p->l.ctx, &e);
		if (err)
			return err;
	}
	return 0;
}

/* Under the lock. */
static int count_page(struct s3 *s3, const struct s3_pager *p)
{
	s3->calls.list++;
	s3->calls.flat += p->l.bucket && (!p->l.delimiter || !*p->l.delimiter);
	s3->calls.probes += p->l.max_keys == 1;
	if (s3->page_err && s3->pages_left-- == 0) {
		s3->pages_left = 0;
		return s3->page_err;
	}
	return s3->err;
}

int s3_pager_next(struct s3_pager *p, bool *more, struct s3_answer *answer)
{
	struct s3 *s3 = p->s3;
	void (*hook)(void *ctx, unsigned int page);
	void *ctx;
	size_t count;
	int err;

	(void)answer;
	*more = false;
	{
		LOCK_SCOPE(&s3->lock);
		hook = s3->hook;
		ctx = s3->hook_ctx;
	}
	if (hook)
		hook(ctx, p->page);
	{
		LOCK_SCOPE(&s3->lock);
		err = count_page(s3, p);
		if (err)
			return err;
		count = turn(p);
	}
	if (s3->order == FAKE_SPLIT)
		err = give(p, count, false, true)
			      ?: give(p, count, true, false);
	else
		err = give(p, count, true, true);
	if (is_gathered(p))
		p->at += count;
	p->page++;
	*more = !p->done;
	return err;
}

int s3_list(struct s3 *s3, const struct s3_list *l, struct s3_answer *answer)
{
	struct s3_pager *p;
	bool more = true;
	int err = s3_pager_new(s3, l, &p);

	while (!err && more)
		err = s3_pager_next(p, &more, answer);
	s3_pager_free(p);
	return err;
}
