/* SPDX-License-Identifier: Apache-2.0 */
/* Open directories: their listing, and what takes its place when it fails. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cache/namespace_int.h"

#define TOUCH_MS 3600000 /* a directory in use is marked so, this often */

struct ns_dir {
	struct dir *dir;         /* a reference */
	struct snap *snap;       /* a reference */
	struct held held;        /* the same */
	struct held held_failed; /* that of failed */
	struct snap *failed;     /* a reference to the one before, or NULL */
};

/* Takes over the reference to the listing. */
static int new_ns_dir(struct namespace *ns, struct dir *dir, struct snap *s,
		      struct ns_dir **out)
{
	struct ns_dir *d = malloc(sizeof(*d));

	if (!d) {
		dirs_snap_put(ns->dirs, s);
		return -ENOMEM;
	}
	d->dir = dirs_ref(ns->dirs, dir);
	d->snap = s;
	namespace_hold(ns, &d->held, s);
	d->failed = NULL;
	*out = d;
	return 0;
}

/* Another one is read from now on. */
static void set_snap(struct namespace *ns, struct ns_dir *d, struct snap *s)
{
	namespace_let_go(ns, &d->held);
	d->snap = s;
	namespace_hold(ns, &d->held, s);
}

static void touch(struct namespace *ns, struct dir *dir)
{
	if (!dirs_touch(ns->dirs, dir, clock_ms(), TOUCH_MS))
		return;
	LOCK_SCOPE(&ns->lock);
	if (ns->ntouched < TOUCHED_MAX)
		ns->touched[ns->ntouched++] = dir->id;
}

int namespace_open_known(struct namespace *ns, uint64_t id, struct ns_dir **out)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	struct snap *s;
	int err = -EAGAIN;

	if (!dir)
		return -ESTALE;
	s = namespace_fresh_snap(ns, dir, NULL);
	if (s) {
		walk_pass(ns, dir);
		touch(ns, dir);
		err = new_ns_dir(ns, dir, s, out);
	}
	dirs_put(ns->dirs, dir);
	return err;
}

/* The disk is full, for the second time when tries is 1. */
static void find_room(struct namespace *ns, int tries)
{
	if (tries == 0)
		namespace_make_room(ns);
	else
		store_starved(ns->store);
}

/* *healed: the store was damaged, and is another now. */
static int open_dir(struct namespace *ns, uint64_t id, struct ns_dir **out,
		    bool *healed)
{
	const uint64_t generation = store_generation(ns->store);
	struct dir *dir = dirs_get(ns->dirs, id);
	struct snap *s;
	int err = 0;

	*healed = false;
	if (!dir)
		return -ESTALE;
	s = namespace_fresh_snap(ns, dir, NULL);
	if (s)
		walk_pass(ns, dir);
	else
		s = walk_arrive(ns, dir);
	for (int tries = 0; !s && tries < 2; tries++) {
		err = listing_start(ns, dir, &s);
		if (err == -ENOSPC)
			find_room(ns, tries);
		/* A server of another order: once more, and sorted. */
		else if (err != -ERANGE)
			break;
	}
	*healed = err && (store_heal(ns->store) ||
			  store_generation(ns->store) != generation);
	if (!err)
		err = new_ns_dir(ns, dir, s, out);
	dirs_put(ns->dirs, dir);
	return err;
}

int namespace_open_dir(struct namespace *ns, uint64_t id, struct ns_dir **out)
{
	bool healed;
	int err = open_dir(ns, id, out, &healed);

	/* The kernel comes again from the root, whose number is the same. */
	if (healed)
		err = id == STORE_ROOT ? open_dir(ns, id, out, &healed)
				       : -ESTALE;
	return err;
}

void namespace_close_dir(struct namespace *ns, struct ns_dir *d)
{
	if (!d)
		return;
	namespace_let_go(ns, &d->held);
	dirs_snap_put(ns->dirs, d->snap);
	if (d->failed) {
		namespace_let_go(ns, &d->held_failed);
		dirs_snap_put(ns->dirs, d->failed);
	}
	dirs_put(ns->dirs, d->dir);
	free(d);
}

bool namespace_dir_is_empty(struct namespace *ns, const struct ns_dir *d)
{
	return dirs_snap_empty(ns->dirs, d->snap);
}

uint64_t namespace_dir_left(struct namespace *ns, struct ns_dir *d)
{
	if (dirs_snap_frozen(ns->dirs, d->snap))
		return FRESH_FOREVER;
	return fresh_left(fresh_ttl(&ns->fresh, d->dir->path),
			  d->snap->since_ms, namespace_now());
}

/* Positions in the listing that took the place of one which failed. */
#define AGAIN (1ULL << 62)

struct again {
	struct namespace *ns;
	struct ns_dir *d;
	int (*each)(void *ctx, const struct rec *r, uint64_t next);
	void *ctx;
};

static int give_again(void *ctx, const struct rec *r, uint64_t next)
{
	const struct again *a = ctx;

	/* It was given before the first listing failed. */
	if (dirs_find_given(a->ns->dirs, a->d->failed, r->name))
		return 0;
	return a->each(a->ctx, r, next | AGAIN);
}

static int read_again(
	struct namespace *ns, struct ns_dir *d, uint64_t *pos, bool wait,
	int (*each)(void *ctx, const struct rec *r, uint64_t next), void *ctx)
{
	struct again a = {ns, d, each, ctx};
	snap_pos at;
	int err;

	/* Who goes back: what the first listing had comes from it again. */
	if (!(*pos & AGAIN)) {
		err = dirs_read(ns->dirs, d->failed, pos, wait, each, ctx);
		if (!err)
			return 0;
		*pos = AGAIN;
	}
	at = *pos & ~AGAIN;
	err = dirs_read(ns->dirs, d->snap, &at, wait, give_again, &a);
	*pos = at | AGAIN;
	return err;
}

/* The server lists in another order, which a later page has shown: a sorted
 * listing takes the place of the one that is being read. */
static int begin_again(struct namespace *ns, struct ns_dir *d)
{
	struct snap *s = NULL;
	const int err = listing_start(ns, d->dir, &s);

	if (err)
		return err;
	d->failed = d->snap;
	namespace_hold(ns, &d->held_failed, d->failed);
	set_snap(ns, d, s);
	return 0;
}

/* What the store had of it is gone or harmed, which is seen before anything
 * of it was given: it is listed anew. */
static int replace_listing(struct namespace *ns, struct ns_dir *d)
{
	/* Of another store, only the root has the same number. */
	struct dir *dir = dirs_get(ns->dirs, d->dir->id);
	/* Another mount may have listed it meanwhile. */
	struct snap *s = dir ? namespace_fresh_snap(ns, dir, NULL) : NULL, *was;
	const int err = s ? 0 : dir ? listing_start(ns, dir, &s) : -ESTALE;

	if (err) {
		if (dir)
			dirs_put(ns->dirs, dir);
		store_heal(ns->store);
		return -ESTALE;
	}
	was = d->snap;
	set_snap(ns, d, s);
	dirs_snap_put(ns->dirs, was);
	dirs_put(ns->dirs, d->dir);
	d->dir = dir;
	return 0;
}

int namespace_read_dir(
	struct namespace *ns, struct ns_dir *d, uint64_t *pos, bool wait,
	int (*each)(void *ctx, const struct rec *r, uint64_t next), void *ctx)
{
	int err = d->failed
			  ? read_again(ns, d, pos, wait, each, ctx)
			  : dirs_read(ns->dirs, d->snap, pos, wait, each, ctx);

	if (err == -ERANGE && !d->failed) {
		if (!wait)
			return -EAGAIN;
		err = begin_again(ns, d);
		if (!err)
			err = read_again(ns, d, pos, wait, each, ctx);
	}
	if (err != -ESTALE)
		return err;
	/* A leaf is gone, or harmed. */
	namespace_forget_listing(ns, d->dir, d->snap, 0);
	if (*pos || d->failed)
		return -ESTALE; /* who opens it next lists it anew */
	if (!wait)
		return -EAGAIN;
	err = replace_listing(ns, d);
	return err ? err : dirs_read(ns->dirs, d->snap, pos, wait, each, ctx);
}
