/* SPDX-License-Identifier: Apache-2.0 */
/* Lock: lock.  It is not held while the store is read. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "cache/dirs_int.h"

#define MAX_IDLE 8192 /* directories kept without a user */
#define MAX_PATH 1400

int dirs_new(struct store *store, struct dirs **out)
{
	struct dirs *d = calloc(1, sizeof(*d));

	if (!d || leaves_new(store, &d->leaves)) {
		free(d);
		return -ENOMEM;
	}
	d->store = store;
	d->generation = store_generation(store);
	pthread_mutex_init(&d->lock, NULL);
	thread_cond_init(&d->changed);
	list_init(&d->idle);
	*out = d;
	return 0;
}

void dirs_stop(struct dirs *d)
{
	LOCK_SCOPE(&d->lock);
	d->stopped = true;
	pthread_cond_broadcast(&d->changed);
}

void dirs_drop_snap(struct snap *s)
{
	if (s && --s->refs == 0) {
		free(s->index);
		free(s);
	}
}

static void free_dir(struct dirs *d, struct dir *dir)
{
	if (!dir->gone)
		HASH_DELETE(hh, d->by_id, dir);
	dirs_drop_snap(dir->snap);
	dirs_drop_snap(dir->listing);
	free(dir);
}

void dirs_free(struct dirs *d)
{
	struct dir *dir, *next;

	if (!d)
		return;
	HASH_ITER(hh, d->by_id, dir, next)
	free_dir(d, dir);
	leaves_free(d->leaves);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

/* ---- directories ---- */

/* The store has been begun anew: nothing here is of it.  Those in use go when
 * their users do. */
static void forget_all(struct dirs *d)
{
	struct dir *dir, *next;

	while (!list_empty(&d->idle)) {
		dir = list_first(&d->idle, struct dir, idle);
		list_del(&dir->idle);
		free_dir(d, dir);
	}
	d->nidle = 0;
	HASH_ITER(hh, d->by_id, dir, next)
	{
		HASH_DELETE(hh, d->by_id, dir);
		dir->gone = true;
	}
	d->generation = store_generation(d->store);
}

static struct dir *take_locked(struct dirs *d, uint64_t id)
{
	struct dir *dir;

	if (d->generation != store_generation(d->store))
		forget_all(d);
	HASH_FIND(hh, d->by_id, &id, sizeof(id), dir);
	if (dir && dir->refs++ == 0) {
		list_del(&dir->idle);
		d->nidle--;
	}
	return dir;
}

static struct dir *new_dir(struct dirs *d, const struct store_dir *sd,
			   const char *above)
{
	const size_t n = strlen(above), len = strlen(sd->name);
	struct dir *dir;

	if (n + 1 + len >= MAX_PATH)
		return NULL;
	dir = calloc(1, sizeof(*dir) + n + len + 2);
	if (!dir)
		return NULL;
	dir->id = sd->id;
	dir->parent = sd->parent;
	dir->name_at = n ? n + 1 : 0;
	snprintf(dir->path, n + len + 2, "%s%s%s", above, n ? "/" : "",
		 sd->name);
	dir->snap = dirs_snap_of(sd);
	dir->has_names = store_has_names(d->store, sd->id);
	list_init(&dir->idle);
	dir->refs = 1;
	return dir;
}

static struct dir *load_dir(struct dirs *d, uint64_t id, unsigned int depth)
{
	struct dir *dir, *parent = NULL, *other;
	struct store_dir sd;

	/* Deeper than a key can be: parents that go round in a circle. */
	if (depth > MAX_PATH / 2 || store_dir_get(d->store, id, &sd))
		return NULL;
	if (id != STORE_ROOT) {
		{
			LOCK_SCOPE(&d->lock);
			parent = take_locked(d, sd.parent);
		}
		if (!parent)
			parent = load_dir(d, sd.parent, depth + 1);
		if (!parent)
			return NULL;
	}
	dir = new_dir(d, &sd, parent ? parent->path : "");
	if (parent)
		dirs_put(d, parent);
	if (!dir)
		return NULL;
	LOCK_SCOPE(&d->lock);
	other = take_locked(d, id);
	if (other) { /* somebody else was faster */
		dirs_drop_snap(dir->snap);
		free(dir);
		return other;
	}
	HASH_ADD(hh, d->by_id, id, sizeof(dir->id), dir);
	return dir;
}

struct dir *dirs_get(struct dirs *d, uint64_t id)
{
	{
		LOCK_SCOPE(&d->lock);
		struct dir *dir = take_locked(d, id);

		if (dir)
			return dir;
	}
	/* A row that cannot be read takes the file with it: once more. */
	return load_dir(d, id, 0)
		       ?: store_heal(d->store) ? load_dir(d, id, 0)
					       : NULL;
}

struct dir *dirs_ref(struct dirs *d, struct dir *dir)
{
	LOCK_SCOPE(&d->lock);
	dir->refs++;
	return dir;
}

void dirs_put(struct dirs *d, struct dir *dir)
{
	LOCK_SCOPE(&d->lock);
	if (--dir->refs > 0)
		return;
	if (dir->gone) {
		free_dir(d, dir);
		return;
	}
	list_add_tail(&d->idle, &dir->idle);
	if (++d->nidle > MAX_IDLE) {
		dir = list_first(&d->idle, struct dir, idle);
		list_del(&dir->idle);
		d->nidle--;
		free_dir(d, dir);
	}
}

struct snap *dirs_snap(struct dirs *d, struct dir *dir)
{
	LOCK_SCOPE(&d->lock);
	if (dir->snap)
		dir->snap->refs++;
	return dir->snap;
}

void dirs_snap_put(struct dirs *d, struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	dirs_drop_snap(s);
}

void dirs_forget_snap(struct dirs *d, uint64_t id)
{
	struct dir *dir;

	LOCK_SCOPE(&d->lock);
	HASH_FIND(hh, d->by_id, &id, sizeof(id), dir);
	if (!dir)
		return;
	dirs_drop_snap(dir->snap);
	dir->snap = NULL;
}

void dirs_has_names(struct dirs *d, struct dir *dir)
{
	(void)d;
	atomic_store(&dir->has_names, true);
}

bool dirs_touch(struct dirs *d, struct dir *dir, uint64_t now_ms,
		uint64_t every_ms)
{
	LOCK_SCOPE(&d->lock);
	if (dir->touched_ms && now_ms - dir->touched_ms < every_ms)
		return false;
	dir->touched_ms = now_ms;
	return true;
}

/* ---- what there is now ---- */

void dirs_update(struct dirs *d, const struct store_dir *stored)
{
	struct dir *dir;

	{
		LOCK_SCOPE(&d->lock);
		dir = take_locked(d, stored->id);
	}
	if (!dir)
		return;
	dirs_snap_set(d, dir, stored);
	dirs_put(d, dir);
}

void dirs_get_stats(struct dirs *d, struct dirs_stats *out)
{
	LOCK_SCOPE(&d->lock);
	*out = (struct dirs_stats){.dirs = HASH_COUNT(d->by_id),
				   .leaves = leaves_count(d->leaves)};
}
