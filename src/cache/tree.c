/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in order, without delimiter, to the listings of all directories that
 * they lie in.  Since all keys of a directory stand together, only those that
 * the last key lies in are open: a stack.  One that is left is complete.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/namespace_int.h"

#define MAX_LEVELS 514         /* components of a key, and the base */
#define SINGLES_MAX (1U << 20) /* bytes of names to tell of, in a page */
#define COMPLETED_MAX 4096     /* directories, when it is time to commit */

struct level {
	size_t end; /* of the directory's path in t->path */
	size_t name_at;
	uint64_t id, parent;
	struct build *b; /* owned; kept for the next directory so deep */
	/* The segment that was open here at the last commit, or 0.  What the
	 * builder says may have been rolled back. */
	uint64_t begun;
};

/* What was completed since the last tree_publish: of a struct store_dir what a
 * listing out of a tree needs, for there may be hundreds in each key. */
struct completed {
	struct changed_dir {
		uint64_t id, since_ms, entries;
		struct store_seg seg; /* the first of nsegs */
		struct snap *before;  /* owned; when that is to be told */
		uint32_t flags, nsegs;
	} * dirs; /* owned */
	size_t n, cap;
};

struct tree {
	struct namespace *ns;
	bool with_base, tells, begun;
	uint64_t since_ms, entries;
	uint32_t flags;
	char path[S3_BUCKET_MAX + S3_KEY_MAX + 8]; /* below the base */
	struct level levels[MAX_LEVELS];
	unsigned int depth; /* open levels; the first is the base */
	struct completed completed;
	struct strbuf singles; /* numbers of directories, each with a name */
	uint64_t single_dir;
};

int tree_new(struct namespace *ns, const struct dir *base, bool with_base,
	     uint64_t since_ms, uint32_t flags, struct tree **out)
{
	struct tree *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ns = ns;
	t->with_base = with_base;
	t->since_ms = since_ms;
	t->flags = flags;
	t->depth = 1;
	t->levels[0].id = base->id;
	t->levels[0].parent = base->parent;
	snprintf(t->path, sizeof(t->path), "%s", base->path + base->name_at);
	t->levels[0].end = strlen(t->path);
	t->levels[0].b = malloc(sizeof(struct build));
	if (!t->levels[0].b) {
		free(t);
		return -ENOMEM;
	}
	build_init(t->levels[0].b, ns->store, base->id);
	strbuf_init(&t->singles, SINGLES_MAX);
	*out = t;
	return 0;
}

/* Of a tree that was given up: they would stand in the store for a day. */
static void drop_begun(struct tree *t)
{
	struct store *store = t->ns->store;
	bool any = false;
	int err = 0;

	for (unsigned int i = 0; i < MAX_LEVELS; i++)
		any |= t->levels[i].begun != 0;
	if (!any || store_begin(store))
		return;
	for (unsigned int i = 0; i < MAX_LEVELS && !err; i++)
		if (t->levels[i].begun)
			err = store_snap_drop(store, t->levels[i].begun);
	if (err)
		store_abort(store);
	else
		store_commit(store);
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	drop_begun(t);
	for (unsigned int i = 0; i < MAX_LEVELS && t->levels[i].b; i++)
		free(t->levels[i].b);
	for (size_t i = 0; i < t->completed.n; i++)
		dirs_snap_put(t->ns->dirs, t->completed.dirs[i].before);
	free(t->completed.dirs);
	strbuf_free(&t->singles);
	free(t);
}

void tree_tell(struct tree *t)
{
	t->tells = true;
}

uint64_t tree_entries(const struct tree *t)
{
	return t->entries;
}

/* ---- leaving directories ---- */

/* The listing that the directory had; its leaves can be read for a while. */
static struct snap *listing_before(struct tree *t, uint64_t id)
{
	struct store_dir d;

	return t->tells && !store_dir_get(t->ns->store, id, &d)
		       ? dirs_snap_of(&d)
		       : NULL;
}

/* Names that were asked for one by one are forgotten with the old listing. */
static void note_single(void *ctx, const char *name)
{
	struct tree *t = ctx;

	strbuf_add(&t->singles, &t->single_dir, sizeof(t->single_dir));
	strbuf_add(&t->singles, name, strlen(name) + 1);
}

static void tell_singles(struct tree *t)
{
	size_t at = 0;

	while (at < t->singles.len) {
		const char *name = t->singles.s + at + sizeof(uint64_t);
		uint64_t dir;

		memcpy(&dir, t->singles.s + at, sizeof(dir));
		namespace_changed(t->ns, dir, name);
		at += sizeof(dir) + strlen(name) + 1;
	}
	strbuf_clear(&t->singles);
}

static int note_completed(struct tree *t, const struct store_dir *d,
			  struct snap *before)
{
	struct completed *c = &t->completed;

	if (c->n == c->cap) {
		const size_t cap = c->cap ? 2 * c->cap : 16;
		void *more = realloc(c->dirs, cap * sizeof(*c->dirs));

		if (!more)
			return -ENOMEM;
		c->dirs = more;
		c->cap = cap;
	}
	c->dirs[c->n++] = (struct changed_dir){.id = d->id,
					       .since_ms = d->since_ms,
					       .entries = d->entries,
					       .seg = d->segs[0],
					       .before = before,
					       .flags = d->flags,
					       .nsegs = d->nsegs};
	return 0;
}

/* All of it that makes the listing; after the commit.  What is no tree's may
 * have more segments, which the store knows. */
static const struct store_dir *as_stored(const struct tree *t,
					 const struct changed_dir *c,
					 struct store_dir *out)
{
	if (c->nsegs > 1 && !store_dir_get(t->ns->store, c->id, out))
		return out;
	memset(out, 0, offsetof(struct store_dir, segs));
	out->id = c->id;
	if (c->nsegs > 1)
		return out; /* gone already: nothing is known */
	out->since_ms = c->since_ms;
	out->entries = c->entries;
	out->flags = c->flags;
	out->nsegs = c->nsegs;
	out->segs[0] = c->seg;
	return out;
}

/* The deepest directory is complete. */
static int leave(struct tree *t)
{
	struct level *l = &t->levels[--t->depth];
	struct store_dir d = {.id = l->id,
			      .parent = l->parent,
			      .since_ms = t->since_ms,
			      .entries = l->b->entries,
			      .flags = l->b->flags | t->flags};
	struct snap *before;
	bool kept = false;
	int err;

	if (t->depth == 0 && !t->with_base)
		return 0;
	snprintf(d.name, sizeof(d.name), "%.*s", (int)(l->end - l->name_at),
		 t->path + l->name_at);
	err = build_flush(l->b);
	if (err)
		return err;
	d.nsegs = l->b->leaves > 0;
	d.segs[0] = (struct store_seg){l->b->snap, l->b->leaves};
	before = listing_before(t, d.id);
	t->single_dir = d.id;
	if (t->tells)
		store_names_each(t->ns->store, d.id, note_single, t);
	err = listing_keep(t->ns, &d, t->tells, &kept);
	/* Its last page came just now, after what was learnt meanwhile. */
	if (!err && kept)
		err = store_names_drop(t->ns->store, d.id, namespace_now());
	if (!err)
		err = note_completed(t, &d, before);
	if (err)
		dirs_snap_put(t->ns->dirs, before);
	return err;
}

/* ---- telling what changed ---- */

struct forget {
	struct namespace *ns;
	unsigned int depth;
};

static int forget_child(void *ctx, const struct rec *r, snap_pos next)
{
	const struct forget *f = ctx;

	(void)next;
	if (r->is_dir)
		tree_forget(f->ns, r->dir, f->depth + 1);
	return 0;
}

void tree_forget(struct namespace *ns, uint64_t id, unsigned int depth)
{
	struct dir *dir = depth < MAX_LEVELS ? dirs_get(ns->dirs, id) : NULL;
	struct snap *s = dir ? dirs_snap(ns->dirs, dir) : NULL;
	struct forget f = {ns, depth};
	snap_pos pos = 0;

	if (s) {
		dirs_read(ns->dirs, s, &pos, false, forget_child, &f);
		namespace_forget_listing(ns, dir, s, namespace_now());
	}
	dirs_snap_put(ns->dirs, s);
	if (dir)
		dirs_put(ns->dirs, dir);
}

struct compare {
	struct tree *t;
	uint64_t dir;
	struct snap *other;
	bool only_missing;
};

static bool is_equal(const struct rec *a, const struct rec *b)
{
	return a->is_dir == b->is_dir &&
	       (a->is_dir || (a->size == b->size && !strcmp(a->etag, b->etag)));
}

static int compare_entry(void *ctx, const struct rec *r, snap_pos next)
{
	const struct compare *c = ctx;
	struct namespace *ns = c->t->ns;
	struct rec other;
	const int found = dirs_find(ns->dirs, c->other, r->name, &other);

	(void)next;
	/* Should it come back, it is another. */
	if (found <= 0 && r->is_dir && !c->only_missing)
		tree_forget(ns, r->dir, 0);
	if (found <= 0 || (!c->only_missing && !is_equal(r, &other)))
		namespace_changed(ns, c->dir, r->name);
	return 0;
}

static struct snap *listing_now(const struct tree *t,
				const struct changed_dir *d)
{
	struct store_dir stored;

	return dirs_snap_of(as_stored(t, d, &stored));
}

static void tell_changes(struct tree *t, const struct changed_dir *d)
{
	struct snap *now = listing_now(t, d);
	struct compare gone = {.t = t, .dir = d->id, .other = now};
	struct compare come = {
		.t = t, .dir = d->id, .other = d->before, .only_missing = true};
	snap_pos pos = 0;

	if (now) {
		dirs_read(t->ns->dirs, d->before, &pos, false, compare_entry,
			  &gone);
		pos = 0;
		dirs_read(t->ns->dirs, now, &pos, false, compare_entry, &come);
	}
	dirs_snap_put(t->ns->dirs, now);
}

void tree_publish(struct tree *t)
{
	struct store_dir stored;
	struct dirs *dirs = t->ns->dirs;

	for (unsigned int i = 0; i < MAX_LEVELS && t->levels[i].b; i++)
		t->levels[i].begun = i < t->depth ? t->levels[i].b->snap : 0;
	for (size_t i = 0; i < t->completed.n; i++)
		dirs_update(dirs, as_stored(t, &t->completed.dirs[i], &stored));
	for (size_t i = 0; i < t->completed.n; i++) {
		struct changed_dir *d = &t->completed.dirs[i];

		if (d->before)
			tell_changes(t, d);
		dirs_snap_put(t->ns->dirs, d->before);
	}
	t->completed.n = 0;
	tell_singles(t);
}

int tree_begin(struct tree *t)
{
	const int err = store_begin(t->ns->store);

	t->begun = !err;
	return err;
}

int tree_commit(struct tree *t, int err)
{
	if (!t->begun)
		return err;
	t->begun = false;
	if (err) {
		store_abort(t->ns->store);
		return err;
	}
	err = store_commit(t->ns->store);
	if (!err)
		tree_publish(t);
	return err;
}

int tree_end(struct tree *t)
{
	int err = 0;

	while (t->depth && !err)
		err = leave(t);
	return err;
}

/* ---- entering them ---- */

/* Numbers a directory in the one above it.  Of the base no listing is made
 * unless it was asked for, but the order must be right there too. */
static int add_child(struct tree *t, struct rec *r)
{
	struct build *b = t->levels[t->depth - 1].b;
	int err;

	if (t->depth > 1 || t->with_base) {
		err = build_add(b, r);
		return err > 0 ? -ERANGE : err; /* it was left already */
	}
	if (b->last_len &&
	    rec_compare(b->last, b->last_len, true, r->name, r->len, true) >= 0)
		return -ERANGE;
	memcpy(b->last, r->name, r->len + 1);
	b->last_len = r->len;
	return store_child_make(t->ns->store, b->dir, r->name, r->len, &r->dir);
}

/* The component at name is a directory in the deepest one: enters it. */
static int enter(struct tree *t, const char *name, size_t n)
{
	struct level *above = &t->levels[t->depth - 1];
	struct level *l = &t->levels[t->depth];
	struct rec r = {.len = n, .is_dir = true};
	int err;

	if (t->depth == MAX_LEVELS || above->end + 1 + n >= sizeof(t->path))
		return -ENAMETOOLONG;
	memcpy(r.name, name, n);
	err = add_child(t, &r);
	if (err)
		return err;
	if (!l->b)
		l->b = malloc(sizeof(struct build));
	if (!l->b)
		return -ENOMEM;
	build_init(l->b, t->ns->store, r.dir);
	l->id = r.dir;
	l->parent = above->id;
	l->name_at = above->end + 1;
	l->end = l->name_at + n;
	t->path[above->end] = '/';
	memcpy(t->path + l->name_at, name, n);
	t->path[l->end] = '\0';
	t->depth++;
	return 0;
}

static bool is_level(const struct tree *t, unsigned int depth, const char *name,
		     size_t n)
{
	const struct level *l = &t->levels[depth];

	return l->end - l->name_at == n &&
	       !memcmp(t->path + l->name_at, name, n);
}

/* Leaves and enters directories until the deepest is that of the key; what is
 * left of the key, or NULL when its place cannot be shown. */
static const char *go_to(struct tree *t, const char *key, size_t len, int *err)
{
	const char *end = key + len, *slash;
	unsigned int depth = 1;

	*err = 0;
	while ((slash = memchr(key, '/', (size_t)(end - key)))) {
		const size_t n = (size_t)(slash - key);

		if (!page_is_name(key, n))
			return NULL;
		if (depth >= t->depth || !is_level(t, depth, key, n)) {
			while (t->depth > depth && !*err)
				*err = leave(t);
			if (!*err)
				*err = enter(t, key, n);
			if (*err)
				return NULL;
		}
		depth++;
		key = slash + 1;
	}
	while (t->depth > depth && !*err)
		*err = leave(t);
	return *err ? NULL : key;
}

static int add_key(struct tree *t, const struct page *p, size_t at)
{
	const char *key = page_key(p, at);
	const size_t len = p->items[at].len;
	struct rec r;
	size_t n;
	int err;

	key = go_to(t, key, len, &err);
	if (err || !key)
		return err;
	n = len - (size_t)(key - page_key(p, at));
	if (!page_is_name(key, n) || (t->depth == 1 && !t->with_base))
		return 0; /* a marker, a name that has no path, or not asked */
	page_rec(p, at, key, n, false, &r);
	err = build_add(t->levels[t->depth - 1].b, &r);
	t->entries += err == 0;
	return err > 0 ? 0 : err;
}

int tree_add(struct tree *t, const struct page *p, size_t at)
{
	int err = add_key(t, p, at);

	if (err || !t->begun || t->completed.n < COMPLETED_MAX)
		return err;
	err = tree_commit(t, 0);
	return err ? err : tree_begin(t);
}
