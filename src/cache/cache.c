/* SPDX-License-Identifier: Apache-2.0 */
/* The cache as a whole: made, started, stopped, counted. */
#include "cache/cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "cache/chunk.h"

static int make_chunks(struct cache *c)
{
	c->nchunks = staging_slots(c->staging, SLOT_BIG) +
		     staging_slots(c->staging, SLOT_SMALL);
	/* A fill whose slot is in quarantine has none, see fill.c: there may
	 * be as many of them as slots. */
	c->nchunks *= 2;
	c->chunks = calloc(c->nchunks, sizeof(*c->chunks));
	if (!c->chunks)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->nchunks; i++) {
		struct chunk *ch = &c->chunks[i];

		ch->cache = c;
		list_init(&ch->waiters);
		list_init(&ch->going);
		list_add_tail(&c->unused, &ch->link);
		c->nunused++;
	}
	return 0;
}

int cache_new(const struct cache_config *cfg, struct cache **out)
{
	struct cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->cfg = *cfg;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->idle, NULL);
	list_init(&c->unused);
	list_init(&c->starved);
	list_init(&c->going);
	pace_init(&c->pace);
	hedge_init(c, cfg->hedge_ms * 1000000ULL);
	for (int i = 0; i < SLOT_CLASSES; i++) {
		list_init(&c->lru[i]);
		list_init(&c->hot[i]);
		list_init(&c->fresh[i]);
	}
	err = staging_new(&cfg->staging, &c->staging);
	if (!err)
		err = make_chunks(c);
	if (err) {
		cache_free(c);
		return err;
	}
	*out = c;
	return 0;
}

const struct rdma_arena *cache_arena(const struct cache *c)
{
	return staging_arena(c->staging);
}

void cache_start(struct cache *c, struct xfer *x)
{
	c->xfer = x;
}

void cache_close(struct cache *c)
{
	struct fill_list fills = {.n = 0};
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		c->stopped = true;
		read_retry_starved(c, &fills, &finished);
	}
	read_complete(&finished);
}

void cache_stop(struct cache *c)
{
	cache_close(c);
	LOCK_SCOPE(&c->lock);
	while (c->ngets > 0)
		pthread_cond_wait(&c->idle, &c->lock);
}

static void drop_list(struct list *l)
{
	while (!list_empty(l))
		chunk_unlist(list_first(l, struct chunk, link));
}

/* Under lock, or with no thread left. */
static void drop_unpinned(struct cache *c)
{
	for (int i = 0; i < SLOT_CLASSES; i++) {
		drop_list(&c->lru[i]);
		drop_list(&c->hot[i]);
		drop_list(&c->fresh[i]);
	}
}

void cache_drop(struct cache *c)
{
	LOCK_SCOPE(&c->lock);
	drop_unpinned(c);
}

void cache_free(struct cache *c)
{
	if (!c)
		return;
	drop_unpinned(c);
	HASH_CLEAR(hh, c->table);
	HASH_CLEAR(hh, c->objects);
	free(c->chunks);
	staging_free(c->staging);
	pthread_cond_destroy(&c->idle);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void cache_get_stats(struct cache *c, struct cache_stats *out)
{
	LOCK_SCOPE(&c->lock);
	*out = c->stats;
	out->waiting = c->nstarved;
	staging_get_stats(c->staging, &out->pool);
}
