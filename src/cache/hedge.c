/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While chunks are filled a timer looks for those that somebody waits for and
 * that take too long.
 *
 *   chunk                  its get     hedge        ends by
 *   FILLING, hedge NULL    under way   none         on_filled
 *   FILLING, hedge set     under way   under way    whichever is first
 *   READY, is_late         under way   has won      on_filled, which unpins it
 *   any                    ended       has lost     on_hedged: its slot is freed
 *
 * A chunk that is late is pinned: the struct holds the get.  Its old slot,
 * chunk->late, stays ARMED until that ends, and is fenced if it must be.  A
 * hedge is tried once, and what it says of the object counts for nothing: the
 * chunk's own get is the one that is retried, until it is outrun.
 *
 * Readers do not wait for what stalls, so stalled gets would gather: hedges and
 * gets that were outrun are counted together (apart), and few.
 */
#include "cache/hedge.h"

#include <assert.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cache/chunk.h"

#define TICKS 4 /* looks in the shortest time after which one is made */

void hedge_init(struct cache *c, uint64_t floor_ns)
{
	for (unsigned int i = 0; i < HEDGES_MAX; i++)
		c->hedging.all[i].cache = c;
	hedge_policy_init(&c->hedging.policy, floor_ns);
}

void hedge_leave(struct chunk *ch)
{
	if (ch->hedge)
		ch->hedge->chunk = NULL;
	ch->hedge = NULL;
}

void hedge_caught_up(struct chunk *ch)
{
	ch->is_late = false;
	ch->cache->hedging.apart[ch->where.class]--;
	chunk_unpin(ch);
}

/* ---- its end ---- */

/* Under lock: the chunk gets the hedge's bytes; its own get goes on alone. */
static void win(struct hedge *h, struct list *finished)
{
	struct chunk *ch = h->chunk;
	struct cache *c = h->cache;

	hedge_leave(ch);
	if (!ch->slot)
		c->slotless[ch->where.class]--;
	ch->late = ch->slot;
	ch->is_late = true;
	ch->get.once = true;
	c->hedging.apart[h->class]++; /* the late one; the hedge's own ends */
	chunk_pin(ch);
	ch->slot = h->slot;
	ch->slot->chunk = ch;
	h->slot = NULL;
	c->stats.hedges_won++;
	fill_publish(ch, 0, finished);
}

static void on_hedged(struct xfer_get *g, int err, bool fence)
{
	struct hedge *h = container_of(g, struct hedge, get);
	struct cache *c = h->cache;
	struct fill_list fills = {.n = 0};
	struct slot *to_fence = NULL;
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		if (h->chunk && h->slot && !err)
			win(h, &finished);
		else if (h->chunk)
			hedge_leave(h->chunk);
		to_fence = fill_drop_slot(c, &h->slot, &g->span, fence);
		object_put_locked(c, h->object);
		h->object = NULL;
		c->hedging.apart[h->class]--;
		fill_ended(c);
		read_retry_starved(c, &fills, &finished);
	}
	if (to_fence)
		xfer_fence(c->xfer, &to_fence->fence);
	fill_start(c, &fills);
	read_complete(&finished);
}

/* As fill.c's, but nothing is set aside for it: it may come to nothing. */
static bool replace(struct xfer_get *g)
{
	struct hedge *h = container_of(g, struct hedge, get);
	struct cache *c = h->cache;
	struct slot *old;

	{
		LOCK_SCOPE(&c->lock);
		old = fill_drop_slot(c, &h->slot, &g->span, true);
		if (h->chunk && chunk_available(c, h->class, false))
			h->slot = chunk_take_slot(c, h->class);
		if (h->slot)
			g->span = h->slot->span;
	}
	if (old)
		xfer_fence(c->xfer, &old->fence);
	return h->slot != NULL;
}

/* ---- its beginning ---- */

static bool is_stalled(const struct cache *c, const struct chunk *ch,
		       uint64_t now)
{
	const uint64_t after = hedge_policy_after(
		&c->hedging.policy, (enum slot_class)ch->where.class);

	return now - ch->begun_ns >= after && !ch->hedge && ch->slot &&
	       !list_empty(&ch->waiters);
}

/* Is there memory for one more, and nobody who needs it more? */
static bool has_room(struct cache *c, enum slot_class class)
{
	const unsigned int apart = c->hedging.apart[class] + 1;

	return 2 * apart * HEDGE_SLOTS <= staging_slots(c->staging, class) &&
	       list_empty(&c->starved) && chunk_available(c, class, false);
}

/* May there be one more of any class? */
static bool may_be_more(const struct cache *c)
{
	unsigned int n = 0;

	for (int i = 0; i < SLOT_CLASSES; i++)
		n += c->hedging.apart[i];
	return n < HEDGES_MAX;
}

/* Under lock, with room for it: a hedge for the chunk. */
static struct hedge *claim(struct cache *c, struct chunk *ch)
{
	struct hedge *h = c->hedging.all;

	while (h->object)
		h++;
	assert(h < c->hedging.all + HEDGES_MAX);
	h->class = (enum slot_class)ch->where.class;
	h->slot = chunk_take_slot(c, h->class);
	assert(h->slot);
	h->slot->chunk = ch;
	h->object = ch->object;
	h->object->refs++;
	h->chunk = ch;
	ch->hedge = h;
	c->hedging.apart[h->class]++;
	c->ngets++;
	c->stats.hedges++;
	return h;
}

static void start(struct hedge *h, const struct chunk *ch)
{
	struct xfer_get *g = &h->get;

	g->bucket = h->object->bucket;
	g->key = h->object->key;
	g->etag = h->object->etag;
	g->object_len = h->object->size;
	g->off = ch->get.off;
	g->len = ch->get.len;
	g->span = h->slot->span;
	g->plain = ch->get.plain;
	g->once = true;
	g->replace = replace;
	g->done = on_hedged;
}

/* Under lock: claims hedges for what is stalled; how many. */
static unsigned int look(struct cache *c, struct hedge *claimed[HEDGES_MAX])
{
	const uint64_t now = clock_ns();
	unsigned int n = 0;
	struct list *e, *next;

	list_for_each_safe(e, next, &c->going)
	{
		struct chunk *ch = container_of(e, struct chunk, going);

		if (now - ch->begun_ns < c->hedging.policy.floor_ns)
			break; /* in the order of their beginnings */
		if (!is_stalled(c, ch, now) ||
		    !has_room(c, (enum slot_class)ch->where.class))
			continue;
		if (!may_be_more(c) || !hedge_policy_spend(&c->hedging.policy))
			break;
		claimed[n] = claim(c, ch);
		start(claimed[n++], ch);
	}
	return n;
}

static void on_tick(struct xfer_timer *t, bool ended)
{
	struct cache *c = container_of(t, struct cache, hedging.timer);
	struct hedge *claimed[HEDGES_MAX];
	unsigned int n = 0;
	bool more;

	{
		LOCK_SCOPE(&c->lock);
		if (!ended && !c->stopped)
			n = look(c, claimed);
		more = !ended && !c->stopped && !list_empty(&c->going);
		c->hedging.ticking = more;
	}
	for (unsigned int i = 0; i < n; i++)
		xfer_get_start(c->xfer, &claimed[i]->get);
	if (more)
		hedge_watch(c);
}

bool hedge_wants_watch(struct cache *c)
{
	if (!c->hedging.policy.floor_ns || c->hedging.ticking)
		return false;
	c->hedging.ticking = true;
	return true;
}

void hedge_watch(struct cache *c)
{
	const uint64_t ms = c->hedging.policy.floor_ns / 1000000 / TICKS;

	c->hedging.timer.done = on_tick;
	xfer_after(c->xfer, &c->hedging.timer, ms ? (uint32_t)ms : 1);
}
