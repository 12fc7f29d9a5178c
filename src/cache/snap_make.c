/* SPDX-License-Identifier: Apache-2.0 */
/* Making listings: of what was stored, and of what arrives. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cache/dirs_int.h"

static struct snap *new_snap(uint32_t room)
{
	struct snap *s = calloc(1, sizeof(*s) + room * sizeof(struct snap_seg));

	if (!s)
		return NULL;
	s->refs = 1;
	s->room = room;
	return s;
}

static void fill_snap(struct snap *s, const struct store_dir *sd)
{
	uint64_t before = 0;

	s->whole = true;
	s->since_ms = sd->since_ms;
	s->entries = sd->entries;
	s->flags = sd->flags;
	s->nsegs = sd->nsegs;
	for (uint32_t i = 0; i < sd->nsegs; i++) {
		s->segs[i] = (struct snap_seg){
			.snap = sd->segs[i].snap,
			.before = before,
			.leaves = sd->segs[i].leaves,
			.next = i + 1 < sd->nsegs ? i + 1 : SNAP_NONE,
			.done = true};
		before += sd->segs[i].leaves;
	}
}

struct snap *dirs_snap_of(const struct store_dir *sd)
{
	/* There are thousands in memory: each no larger than it must be. */
	struct snap *s = sd->since_ms ? new_snap(sd->nsegs) : NULL;

	if (s)
		fill_snap(s, sd);
	return s;
}

void dirs_snap_whole(struct dirs *d, struct snap *s,
		     const struct store_dir *stored)
{
	LOCK_SCOPE(&d->lock);
	fill_snap(s, stored);
	s->segs[0].done = true;
	s->version++;
	if (!s->nsegs) {
		s->nsegs = 1;
		s->segs[0] = (struct snap_seg){.next = SNAP_NONE, .done = true};
	}
	pthread_cond_broadcast(&d->changed);
}

struct snap *dirs_snap_new(uint64_t since_ms)
{
	struct snap *s = new_snap(STORE_SEGS);

	if (!s)
		return NULL;
	s->since_ms = since_ms;
	s->nsegs = 1;
	s->segs[0].next = SNAP_NONE;
	return s;
}

uint32_t dirs_seg_add(struct dirs *d, struct snap *s, uint32_t behind)
{
	uint32_t at;

	LOCK_SCOPE(&d->lock);
	if (s->nsegs == s->room)
		return SNAP_NONE;
	at = s->nsegs++;
	s->segs[at] = (struct snap_seg){.next = s->segs[behind].next};
	s->segs[behind].next = at;
	return at;
}

void dirs_seg_grow(struct dirs *d, struct snap *s, uint32_t seg, uint64_t snap,
		   uint32_t leaves)
{
	LOCK_SCOPE(&d->lock);
	s->segs[seg].snap = snap;
	/* Nobody reads on; but it stands in the store, and must go from there. */
	if (s->err)
		return;
	s->segs[seg].leaves = leaves;
	s->version++;
	pthread_cond_broadcast(&d->changed);
}

void dirs_seg_end(struct dirs *d, struct snap *s, uint32_t seg,
		  uint64_t entries, uint32_t flags)
{
	LOCK_SCOPE(&d->lock);
	if (s->err)
		return;
	s->segs[seg].done = true;
	s->entries += entries;
	s->version++;
	s->flags |= flags;
	pthread_cond_broadcast(&d->changed);
}

void dirs_snap_fail(struct dirs *d, struct snap *s, int err)
{
	LOCK_SCOPE(&d->lock);
	if (!s->err)
		s->err = err;
	s->version++;
	pthread_cond_broadcast(&d->changed);
}

bool dirs_snap_empty(struct dirs *d, const struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	return s->whole && !s->entries;
}

bool dirs_snap_frozen(struct dirs *d, const struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	return s->flags & STORE_FROZEN;
}

int dirs_snap_err(struct dirs *d, const struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	return s->err;
}

struct snap *dirs_listing(struct dirs *d, struct dir *dir)
{
	LOCK_SCOPE(&d->lock);
	if (dir->listing)
		dir->listing->refs++;
	return dir->listing;
}

struct snap *dirs_listing_ref(struct dirs *d, struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	s->refs++;
	return s;
}

unsigned int dirs_snap_readers(struct dirs *d, const struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	return s->refs > 2 ? s->refs - 2 : 0;
}

bool dirs_listing_set(struct dirs *d, struct dir *dir, const struct snap *was,
		      struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	if (dir->listing != was)
		return false;
	dirs_drop_snap(dir->listing);
	dir->listing = s;
	if (s)
		s->refs++;
	return true;
}

void dirs_snap_pack(struct dirs *d, const struct dir *dir, const struct snap *s,
		    struct store_dir *out)
{
	*out = (struct store_dir){.id = dir->id, .parent = dir->parent};
	snprintf(out->name, sizeof(out->name), "%s", dir->path + dir->name_at);
	LOCK_SCOPE(&d->lock);
	out->since_ms = s->since_ms;
	out->entries = s->entries;
	out->flags = s->flags;
	for (uint32_t i = 0; i != SNAP_NONE; i = s->segs[i].next)
		if (s->segs[i].leaves)
			out->segs[out->nsegs++] = (struct store_seg){
				s->segs[i].snap, s->segs[i].leaves};
}

unsigned int dirs_snap_begun(struct dirs *d, const struct snap *s,
			     uint64_t snaps[STORE_SEGS])
{
	unsigned int n = 0;

	LOCK_SCOPE(&d->lock);
	for (uint32_t i = 0; i < s->nsegs; i++)
		if (s->segs[i].snap)
			snaps[n++] = s->segs[i].snap;
	return n;
}

static bool has_seg(const struct snap *s, uint64_t snap)
{
	for (uint32_t i = 0; i < s->nsegs; i++)
		if (s->segs[i].snap == snap)
			return true;
	return false;
}

bool dirs_snap_is(struct dirs *d, const struct snap *s,
		  const struct store_dir *stored)
{
	LOCK_SCOPE(&d->lock);
	if (s->since_ms != stored->since_ms)
		return false;
	for (unsigned int i = 0; i < stored->nsegs; i++)
		if (!has_seg(s, stored->segs[i].snap))
			return false;
	return true;
}

void dirs_snap_segs(struct dirs *d, const struct snap *s, struct strbuf *out)
{
	LOCK_SCOPE(&d->lock);
	for (uint32_t i = 0; i < s->nsegs; i++)
		if (s->segs[i].snap)
			strbuf_add(out, &s->segs[i].snap,
				   sizeof(s->segs[i].snap));
}

void dirs_snap_set(struct dirs *d, struct dir *dir,
		   const struct store_dir *stored)
{
	struct snap *s = dirs_snap_of(stored);

	LOCK_SCOPE(&d->lock);
	dirs_drop_snap(dir->snap);
	dir->snap = s;
	pthread_cond_broadcast(&d->changed);
}
