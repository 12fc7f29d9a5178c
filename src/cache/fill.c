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
 * Under lock: the fill gives its slot up, and takes another when there is one.
 * Until then it has none: were it to keep the old one, many fills that all
 * wait for another could wait for each other.  Returns the slot to fence.
 */
static struct slot *swap_slots(struct cache *c, struct chunk *ch,
			       struct xfer_get *g)
{
	struct slot *old = ch->slot;

	LOCK_SCOPE(&c->lock);
	if (old) {
		quarantine(c, old, &g->span);
		ch->slot = NULL;
		c->slotless[ch->where.class]++;
	}
	ch->slot = chunk_take_slot(c, (enum slot_class)ch->where.class);
	if (ch->slot) {
		ch->slot->chunk = ch;
		c->slotless[ch->where.class]--;
		g->span = ch->slot->span;
	}
	return old;
}

static bool replace(struct xfer_get *g)
{
	struct chunk *ch = container_of(g, struct chunk, get);
	struct slot *old = swap_slots(ch->cache, ch, g);

	if (old)
		xfer_fence(ch->cache->xfer, &old->fence);
	return ch->slot != NULL;
}

/* Under lock: READY or FAILED; its waiters get what they waited for. */
static void publish(struct chunk *ch, int err, bool fence,
		    struct slot **to_fence, struct list *finished)
{
	struct cache *c = ch->cache;
	struct list waiters, *e, *n;

	c->stats.filling--;
	if (c->stats.filling == 0)
		pthread_cond_broadcast(&c->idle);
	if (err == -ESTALE || err == -ENOENT)
		ch->object->gone = err;
	if (!ch->slot) {
		c->slotless[ch->where.class]--;
	} else if (fence) {
		quarantine(c, ch->slot, &ch->get.span);
		*to_fence = ch->slot;
		ch->slot = NULL;
	}
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

static void on_filled(struct xfer_get *g, int err, bool fence)
{
	struct chunk *ch = container_of(g, struct chunk, get);
	struct cache *c = ch->cache;
	struct fill_list fills = {.n = 0};
	struct slot *to_fence = NULL;
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		publish(ch, err, fence, &to_fence, &finished);
		read_retry_starved(c, &fills, &finished);
	}
	if (to_fence)
		xfer_fence(c->xfer, &to_fence->fence);
	fill_start(c, &fills);
	read_complete(&finished);
}

static void start_one(struct chunk *ch, bool plain)
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
	g->replace = replace;
	g->done = on_filled;
	xfer_get_start(ch->cache->xfer, g);
}

void fill_start(struct cache *c, struct fill_list *fills)
{
	bool plain;

	if (fills->n == 0)
		return;
	{
		LOCK_SCOPE(&c->lock);
		plain = staging_is_strained(c->staging);
	}
	for (unsigned int i = 0; i < fills->n; i++)
		start_one(fills->fills[i], plain);
	fills->n = 0;
}
