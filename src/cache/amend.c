/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of a listing made right.  What was learnt of a name by itself is
 * forgotten before a listing that is believed for ever is, and no reader of
 * the directory sees it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/namespace_int.h"

struct amend {
	struct build *b;
	const char *name;
	struct rec *entry; /* to be put in; NULL: none is, or it has been */
	uint64_t read;     /* entries of the listing before */
	int err;
};

static int put_entry(struct amend *a)
{
	const int err = build_add(a->b, a->entry);

	a->entry = NULL;
	return err > 0 ? 0 : err;
}

static int copy_entry(void *ctx, const struct rec *r, snap_pos next)
{
	struct amend *a = ctx;
	struct rec copy = *r;

	(void)next;
	if (a->entry &&
	    rec_compare(a->entry->name, a->entry->len, a->entry->is_dir,
			r->name, r->len, r->is_dir) <= 0)
		a->err = put_entry(a);
	if (!a->err && strcmp(r->name, a->name) != 0) {
		a->err = build_add(a->b, &copy);
		a->err = a->err > 0 ? 0 : a->err;
	}
	a->read++;
	return a->err != 0;
}

/* All of the listing before, but for the name. */
static int copy_listing(struct namespace *ns, const struct store_dir *d,
			struct amend *a)
{
	struct snap *s = dirs_snap_of(d);
	snap_pos pos = 0;
	uint64_t before;
	int err = 0;

	if (!s)
		return -ENOMEM;
	/* As they stand there: a hidden file may be what is gone. */
	s->flags = 0;
	do {
		before = a->read;
		err = dirs_read(ns->dirs, s, &pos, false, copy_entry, a);
	} while (!err && !a->err && a->read > before);
	dirs_snap_put(ns->dirs, s);
	err = err ? err : a->err;
	if (!err && a->entry)
		err = put_entry(a);
	return err ? err : build_flush(a->b);
}

/* In a transaction: nobody puts another listing there meanwhile. */
static int amend_listing(struct namespace *ns, uint64_t id, struct amend *a,
			 struct store_dir *d)
{
	int err = store_dir_get(ns->store, id, d);

	if (err || !d->since_ms)
		return err ? err : -ENOENT;
	build_init(a->b, ns->store, id);
	err = copy_listing(ns, d, a);
	if (err)
		return err;
	d->entries = a->b->entries;
	d->flags = (d->flags & STORE_FROZEN) | a->b->flags;
	d->nsegs = a->b->leaves > 0;
	d->segs[0] = (struct store_seg){a->b->snap, a->b->leaves};
	return store_dir_put(ns->store, d);
}

static int amend(struct namespace *ns, uint64_t id, const char *name,
		 struct rec *entry)
{
	struct amend a = {.b = malloc(sizeof(struct build)),
			  .name = name,
			  .entry = entry};
	struct store_dir d;
	int err = a.b ? store_begin(ns->store) : -ENOMEM;

	if (!err) {
		err = amend_listing(ns, id, &a, &d);
		if (err)
			store_abort(ns->store);
		else
			err = store_commit(ns->store);
	}
	if (!err)
		dirs_update(ns->dirs, &d);
	free(a.b);
	return err;
}

/* Does the listing say the same?  Most do, and it may be a long one. */
static bool is_listed(struct namespace *ns, struct snap *s, const char *name,
		      const struct rec *entry)
{
	struct rec r;
	const int found = dirs_find(ns->dirs, s, name, &r);

	if (found <= 0 || !entry)
		return !found && !entry;
	return r.is_dir == entry->is_dir &&
	       (r.is_dir ||
		(r.size == entry->size && !strcmp(r.etag, entry->etag)));
}

int namespace_amend(struct namespace *ns, uint64_t id, const char *name,
		    const struct ns_attr *attr)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	struct snap *s = dir ? namespace_fresh_snap(ns, dir, NULL) : NULL;
	struct rec r = {.len = strlen(name)};
	int err = 0;

	memcpy(r.name, name, r.len + 1);
	if (attr) {
		r.is_dir = attr->is_dir;
		r.size = attr->size;
		r.mtime = attr->mtime < 0 ? 0 : attr->mtime;
		memcpy(r.etag, attr->etag, sizeof(r.etag));
		memcpy(r.storage_class, attr->storage_class,
		       sizeof(r.storage_class));
	}
	if (s && !is_listed(ns, s, name, attr ? &r : NULL)) {
		err = amend(ns, id, name, attr ? &r : NULL);
		/* It cannot be read, or is no more. */
		if (err == -ESTALE || err == -ENOENT) {
			namespace_forget_listing(ns, dir, s, 0);
			err = 0;
		}
		namespace_changed(ns, id, name);
	}
	if (s)
		dirs_snap_put(ns->dirs, s);
	if (dir)
		dirs_put(ns->dirs, dir);
	return err;
}
