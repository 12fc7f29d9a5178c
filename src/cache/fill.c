/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a claimed chunk to a filled one.  Claim is chunk_claim, do is
 * xfer_get_start without the lock, publish is on_filled on an event loop.
 *
 * A fill whose window became uncertain changes its slot: the old one goes
 * into quarantine until its key is dead.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cache/chunk.h"

/* On the session's thread: the slot's old key is dead. */
static void on_fenced(struct xfer_fence *f)
{
	struct slot *s = container_of(f, struct slot, fence);
	struct cache *c = f->owner;
	struct fill_list fills = {.n = 0};
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		staging_fenced(s);
		read_retry_starved(c, &fills, &finished);
	}
	fill_start(c, &fills);
	read_complete(&finished);
}

/* Under lock.  The fence itself is asked for by start_fence. */
static void quarantine(struct cache *c, struct slot *s,
		       const struct xfer_span *span)
{
	staging_quarantine(s);
	c->stats.quarantines++;
	s->fence = (struct xfer_fence){.region = span->region,
				       .rail = span->rail,
				       .session = span->session,
				       .done = on_fenced,
				       .owner = c};
}

/*
 * The fill gives its slot up, to be fenced, and takes another when there is
 * one: true.  Until then it has none: were it to keep the old one, many fills
 * that all wait for another could wait for each other.
 */
static bool swap_slots(struct chunk *ch, struct xfer_get *g, struct slot **old)
{
	struct cache *c = ch->cache;

	LOCK_SCOPE(&c->lock);
	/* One that was outrun has nothing to gain by more memory. */
	if (ch->is_late) {
		*old = fill_drop_slot(c, &ch->late, &g->span, true);
		return false;
	}
	*old = fill_drop_slot(c, &ch->slot, &g->span, true);
	if (*old)
		c->slotless[ch->where.class]++;
	ch->slot = chunk_take_slot(c, (enum slot_class)ch->where.class);
	if (!ch->slot)
		return false;
	ch->slot->chunk = ch;
	c->slotless[ch->where.class]--;
	g->span = ch->slot->span;
	return true;
}

static bool replace(struct xfer_get *g)
{
	struct chunk *ch = container_of(g, struct chunk, get);
	struct slot *old;
	const bool found = swap_slots(ch, g, &old);

	if (old)
		xfer_fence(ch->cache->xfer, &old->fence);
	return found;
}

struct slot *fill_drop_slot(struct cache *c, struct slot **slot,
			    const struct xfer_span *span, bool fence)
{
	struct slot *s = *slot;

	*slot = NULL;
	if (s && fence) {
		quarantine(c, s, span);
		return s;
	}
	if (s)
		staging_put(s);
	return NULL;
}

void fill_ended(struct cache *c)
{
	if (--c->ngets == 0)
		pthread_cond_broadcast(&c->idle);
}

void fill_publish(struct chunk *ch, int err, struct list *finished)
{
	struct list waiters, *e, *n;

	if (!err)
		atomic_store(&ch->cache->came_ns, clock_ns());
	ch->cache->stats.filling--;
	list_del(&ch->going);
	list_init(&waiters);
	list_for_each_safe(e, n, &ch->waiters)
	{
		list_del(e);
		list_add_tail(&waiters, e);
	}
	/* The waiters' pins keep it from being retired here. */
	chunk_publish(ch, err);
	list_for_each_safe(e, n, &waiters)
	{
		list_del(e);
		read_piece_done(container_of(e, struct cache_piece, link), err,
				finished);
	}
}

/* Under lock: the chunk's own get has ended.  Returns the slot to fence. */
static struct slot *end(struct chunk *ch, int err, bool fence,
			struct list *finished)
{
	struct cache *c = ch->cache;
	const uint64_t took_ns = clock_ns() - ch->begun_ns;
	struct slot *to_fence = NULL;

	hedge_policy_note(&c->hedging.policy, (enum slot_class)ch->where.class,
			  took_ns);
	pace_end(&c->pace, ch->hi - ch->lo, ch->with, took_ns, !err);
	if (err == -ESTALE || err == -ENOENT)
		ch->object->gone = err;
	if (ch->is_late) {
		to_fence = fill_drop_slot(c, &ch->late, &ch->get.span, fence);
		hedge_caught_up(ch);
		return to_fence;
	}
	hedge_leave(ch);
	if (!ch->slot)
		c->slotless[ch->where.class]--;
	else if (fence)
		to_fence = fill_drop_slot(c, &ch->slot, &ch->get.span, true);
	fill_publish(ch, err, finished);
	return to_fence;
}

static void on_filled(struct xfer_get *g, int err, bool fence)
{
	struct chunk *ch = container_of(g, struct chunk, get);
	struct cache *c = ch->cache;
	struct fill_list fills = {.n = 0};
	struct slot *to_fence;
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		to_fence = end(ch, err, fence, &finished);
		fill_ended(c);
		read_retry_starved(c, &fills, &finished);
	}
	if (to_fence)
		xfer_fence(c->xfer, &to_fence->fence);
	fill_start(c, &fills);
	read_complete(&finished);
}

/* Under lock: the get is complete from here on, for a hedge to copy. */
static void prepare(struct chunk *ch, bool plain, uint64_t now)
{
	struct xfer_get *g = &ch->get;
	const struct object *o = ch->object;

	g->bucket = o->bucket;
	g->key = o->key;
	g->etag = o->etag;
	g->object_len = o->size;
	g->off = ch->lo;
	g->len = ch->hi - ch->lo;
	g->span = ch->slot->span;
	g->plain = plain;
	g->once = false;
	g->replace = replace;
	g->came_ns = &ch->cache->came_ns;
	g->done = on_filled;
	ch->begun_ns = now;
	list_add_tail(&ch->cache->going, &ch->going);
}

void fill_start(struct cache *c, struct fill_list *fills)
{
	bool watch;

	if (fills->n == 0)
		return;
	{
		LOCK_SCOPE(&c->lock);
		for (unsigned int i = 0; i < fills->n; i++)
			prepare(fills->fills[i],
				staging_is_strained(c->staging), clock_ns());
		watch = hedge_wants_watch(c);
	}
	for (unsigned int i = 0; i < fills->n; i++)
		xfer_get_start(c->xfer, &fills->fills[i]->get);
	fills->n = 0;
	if (watch)
		hedge_watch(c);
}
