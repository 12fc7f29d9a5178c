/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunk table: object version and place -> slot.
 *
 *   state     slot     on a list       pins       waiters
 *   UNUSED    none     cache->unused   0          none
 *   FILLING   ARMED (*) none           any        any
 *   READY     READY    lru, hot or     any        none
 *                      fresh iff no
 *                      pins
 *   FAILED    none     none            some       none
 *
 *   (*) none while it waits for another, see fill.c.
 *   FILLING is on cache->going besides, and may have a hedge; READY may be
 *   late and is pinned then (hedge.c).
 *
 * A chunk that is listed is found by its place.  One that is not (replaced by
 * a wider one, its object stale, or its fill failed) serves those who have it
 * pinned and becomes UNUSED with the last of them.
 *
 * Those that were read again (heat.h) are kept on a list of their own, which
 * has at most half the slots of a class: what is read once goes before them,
 * and never takes more than is left.  The list grows old all the same: with
 * each few that go, its last one comes back to the others.
 *
 * Everything is under cache->lock.
 */
#include "cache/chunk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

static void check(const struct chunk *ch)
{
	switch (ch->state) {
	case CHUNK_UNUSED:
		assert(!ch->slot && !ch->listed && ch->pins == 0);
		assert(!ch->is_late && !ch->hedge);
		break;
	case CHUNK_FILLING:
		assert(!ch->slot || ch->slot->state == SLOT_ARMED);
		assert(list_empty(&ch->link));
		break;
	case CHUNK_READY:
		assert(ch->slot && ch->slot->state == SLOT_READY);
		assert(list_empty(&ch->waiters));
		assert(list_empty(&ch->link) == (ch->pins > 0));
		assert(!ch->hedge && (!ch->is_late || ch->pins > 0));
		break;
	case CHUNK_FAILED:
		assert(!ch->slot && !ch->listed && ch->pins > 0);
		break;
	}
}

struct chunk *chunk_at(struct cache *c, const struct object *o,
		       enum slot_class class, uint64_t index)
{
	const struct chunk_key where = {o->id, index, class};
	struct chunk *ch;

	HASH_FIND(hh, c->table, &where, sizeof(where), ch);
	return ch;
}

struct chunk *chunk_find(struct cache *c, const struct object *o, uint64_t off)
{
	for (int class = 0; class < SLOT_CLASSES; class ++) {
		const uint64_t step = staging_slot_size(c->staging, class);
		struct chunk *ch = chunk_at(c, o, class, off / step);

		if (ch && ch->lo <= off && off < ch->hi)
			return ch;
	}
	return NULL;
}

/* Half of a class. */
static unsigned int most_hot(const struct cache *c, unsigned int class)
{
	return staging_slots(c->staging, class) / 2;
}

static void unlink_chunk(struct chunk *ch)
{
	list_del(&ch->link);
	if (ch->is_kept)
		ch->cache->nhot[ch->where.class]--;
	ch->is_kept = false;
}

/* The one that was fetched ahead longest ago, and never read, is as the others:
 * were it to wait until there are no others, what was fetched in vain would
 * leave no room to fetch ahead. */
static void give_one_up(struct cache *c, unsigned int class)
{
	struct list *e = c->fresh[class].next;

	if (list_empty(&c->fresh[class]))
		return;
	list_del(e);
	list_add_tail(&c->lru[class], e);
}

/* The one of the hot that was read longest ago is as the others again. */
static void cool_one(struct cache *c, unsigned int class)
{
	struct chunk *ch;

	if (list_empty(&c->hot[class]))
		return;
	ch = list_first(&c->hot[class], struct chunk, link);
	unlink_chunk(ch);
	ch->heat = (struct heat){.hot = false};
	list_add_tail(&c->lru[class], &ch->link);
}

void chunk_note_read(struct chunk *ch, uint64_t lo, uint64_t hi)
{
	heat_read(&ch->heat, lo, hi, ch->hi - ch->lo,
		  ch->where.class == SLOT_SMALL);
}

/* Gives the chunk's slot and object back. */
static void retire(struct chunk *ch)
{
	struct cache *c = ch->cache;

	assert(!ch->listed && ch->pins == 0 && ch->state != CHUNK_UNUSED);
	unlink_chunk(ch);
	if (ch->slot)
		staging_put(ch->slot);
	ch->slot = NULL;
	ch->state = CHUNK_UNUSED;
	object_put_locked(c, ch->object);
	ch->object = NULL;
	list_add(&c->unused, &ch->link);
	c->nunused++;
	check(ch);
}

void chunk_unlist(struct chunk *ch)
{
	if (!ch->listed)
		return;
	HASH_DELETE(hh, ch->cache->table, ch);
	ch->listed = false;
	if (ch->state == CHUNK_READY && ch->pins == 0)
		retire(ch);
}

void chunk_pin(struct chunk *ch)
{
	if (ch->pins++ == 0 && ch->state == CHUNK_READY)
		unlink_chunk(ch);
	check(ch);
}

static bool is_worth_keeping(const struct chunk *ch)
{
	const unsigned int most = most_hot(ch->cache, ch->where.class);

	return most &&
	       (ch->heat.hot || (ch->heat.came_back &&
				 ch->cache->nhot[ch->where.class] < most));
}

static void keep(struct chunk *ch)
{
	struct cache *c = ch->cache;
	const unsigned int class = ch->where.class;

	list_add_tail(&c->hot[class], &ch->link);
	ch->is_kept = true;
	if (++c->nhot[class] > most_hot(c, class))
		cool_one(c, class);
}

void chunk_unpin(struct chunk *ch)
{
	assert(ch->pins > 0);
	if (--ch->pins > 0 || ch->state == CHUNK_FILLING)
		return;
	if (!ch->listed) {
		retire(ch);
		return;
	}
	if (is_worth_keeping(ch))
		keep(ch);
	else
		list_add_tail(&ch->cache->lru[ch->where.class], &ch->link);
	check(ch);
}

/* Entries of a list, as far as it matters. */
static unsigned int count(const struct list *l)
{
	unsigned int n = 0;

	for (const struct list *e = l->next; e != l && n < 2 * CACHE_PIECES;
	     e = e->next)
		n++;
	return n;
}

unsigned int chunk_available(struct cache *c, enum slot_class class, bool ahead)
{
	const unsigned int n =
		staging_free_slots(c->staging, class) + count(&c->lru[class]) +
		(ahead ? 0 : count(&c->fresh[class]) + count(&c->hot[class]));

	return n > c->slotless[class] ? n - c->slotless[class] : 0;
}

bool chunk_has_unused(const struct cache *c, unsigned int n)
{
	return c->nunused >= n;
}

#define COOL_EVERY 16

/* The next to go, or NULL. */
static struct chunk *next_to_go(struct cache *c, enum slot_class class)
{
	struct list *const order[] = {&c->lru[class], &c->fresh[class],
				      &c->hot[class]};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (!list_empty(order[i]))
			return list_first(order[i], struct chunk, link);
	return NULL;
}

struct slot *chunk_take_slot(struct cache *c, enum slot_class class)
{
	struct slot *s = staging_take(c->staging, class);
	struct chunk *ch = s ? NULL : next_to_go(c, class);

	if (ch) {
		ghosts_note(&c->ghosts, ch->where.object, ch->where.index,
			    ch->where.class);
		chunk_unlist(ch);
		if (++c->stats.evictions % COOL_EVERY == 0) {
			cool_one(c, class);
			give_one_up(c, class);
		}
		s = staging_take(c->staging, class);
	}
	return s;
}

struct chunk *chunk_claim(struct cache *c, struct object *o,
			  enum slot_class class, uint64_t lo, uint64_t hi,
			  struct fill_list *fills)
{
	const uint64_t step = staging_slot_size(c->staging, class);
	struct chunk *old = chunk_at(c, o, class, lo / step);
	struct slot *slot;
	struct chunk *ch;

	assert(lo < hi && hi <= o->size && (hi - 1) / step == lo / step);
	if (old)
		chunk_unlist(old);
	slot = chunk_take_slot(c, class);
	assert(slot && !list_empty(&c->unused) && fills->n < FILLS_MAX);
	ch = list_first(&c->unused, struct chunk, link);
	list_del(&ch->link);
	c->nunused--;
	ch->where = (struct chunk_key){o->id, lo / step, class};
	ch->object = o;
	o->refs++;
	ch->lo = lo;
	ch->hi = hi;
	ch->slot = slot;
	slot->chunk = ch;
	ch->state = CHUNK_FILLING;
	ch->begun_ns = clock_ns(); /* for who joins before it is started */
	ch->with = pace_begin(&c->pace, hi - lo);
	ch->listed = true;
	ch->heat = (struct heat){
		.came_back = ghosts_has(&c->ghosts, o->id, lo / step, class,
					staging_slots(c->staging, class))};
	HASH_ADD(hh, c->table, where, sizeof(ch->where), ch);
	c->stats.filling++;
	c->ngets++;
	fills->fills[fills->n++] = ch;
	check(ch);
	return ch;
}

void chunk_publish(struct chunk *ch, int err)
{
	assert(ch->state == CHUNK_FILLING);
	if (err) {
		chunk_unlist(ch);
		ch->state = CHUNK_FAILED;
		if (ch->slot)
			staging_put(ch->slot);
		ch->slot = NULL;
	} else {
		ch->state = CHUNK_READY;
		staging_ready(ch->slot);
	}
	if (ch->pins > 0)
		check(ch);
	else if (ch->listed)
		list_add_tail(&ch->cache->fresh[ch->slot->class], &ch->link);
	else
		retire(ch);
}

/* ---- objects ---- */

/* FNV-1a: no secret, and no two versions of a file with equal ones. */
static uint64_t version_of(const char *name, size_t n, uint64_t size)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ size;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)name[i]) * 0x100000001b3ULL;
	return h;
}

struct object *cache_object_get(struct cache *c, const char *bucket,
				const char *key, const char *etag,
				uint64_t size)
{
	const size_t nb = strlen(bucket), nk = strlen(key), ne = strlen(etag);
	const size_t nname = nb + nk + ne + 2;
	struct object *o, *found;

	o = calloc(1, sizeof(*o) + 2 * nname + 4);
	if (!o)
		return NULL;
	snprintf(o->name, nname + 1, "%s\n%s\n%s", bucket, key, etag);
	LOCK_SCOPE(&c->lock);
	HASH_FIND(hh, c->objects, o->name, nname, found);
	/* One that was gone is there again, by what the caller knows: where
	 * there must not be two of it, it is tried again. */
	if (found && found->size == size && (!found->gone || c->on_lack)) {
		free(o);
		found->gone = 0;
		found->refs++;
		return found;
	}
	if (found) { /* a stale one: it lives on for those who have it */
		HASH_DELETE(hh, c->objects, found);
		found->hashed = false;
	}
	o->bucket = o->name + nname + 1;
	o->key = o->bucket + nb + 1;
	o->etag = o->key + nk + 1;
	memcpy(o->name + nname + 1, bucket, nb + 1);
	memcpy(o->name + nname + nb + 2, key, nk + 1);
	memcpy(o->name + nname + nb + nk + 3, etag, ne + 1);
	o->size = size;
	o->refs = 1;
	o->id = c->next_object++;
	o->version = version_of(o->name, nname, size);
	o->hashed = true;
	HASH_ADD(hh, c->objects, name, nname, o);
	return o;
}

void object_put_locked(struct cache *c, struct object *o)
{
	assert(o->refs > 0);
	if (--o->refs > 0)
		return;
	if (o->hashed)
		HASH_DELETE(hh, c->objects, o);
	free(o);
}

void cache_object_hold(struct cache *c, struct object *o)
{
	LOCK_SCOPE(&c->lock);
	o->refs++;
}

void cache_object_put(struct cache *c, struct object *o)
{
	LOCK_SCOPE(&c->lock);
	object_put_locked(c, o);
}
