/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents that leave the pool for a while.  One that is to go must have no
 * slot in use: what only stands there is evicted, what is being filled, read
 * or fenced keeps its extent here.
 */
#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "cache/chunk.h"

/* The least that stays: a quarter, and what two reads need. */
#define STAY_SHARE 4
#define STAY_SLOTS 4

static unsigned int stay_of(unsigned int all)
{
	const unsigned int stay = all / STAY_SHARE;

	return stay < STAY_SLOTS ? STAY_SLOTS : stay;
}

/* Would enough be left for reads? */
static bool may_go(struct cache *c, const struct extent *e)
{
	struct staging_stats s;
	const unsigned int here = staging_slots(c->staging, SLOT_BIG);
	/* Those of stalled requests and of their hedges serve nobody. */
	const unsigned int apart = 2 * c->hedging.apart[SLOT_BIG];

	staging_get_stats(c->staging, &s);
	return here >=
	       stay_of(here + s.states[SLOT_LENT]) + e->nregions + apart;
}

/* How many slots hold something; -1 when one of them cannot be had, or is of
 * the object that shall be spared. */
static int in_use(struct cache *c, const struct extent *e,
		  const struct object *spare)
{
	int n = 0;

	for (unsigned int i = 0; i < e->nregions; i++) {
		const struct slot *s = staging_slot(c->staging, e->region + i);

		if (s->state == SLOT_READY && s->chunk->pins == 0 &&
		    s->chunk->object != spare)
			n++;
		else if (s->state != SLOT_FREE)
			return -1;
	}
	return n;
}

static void empty(struct cache *c, const struct extent *e)
{
	for (unsigned int i = 0; i < e->nregions; i++) {
		const struct slot *s = staging_slot(c->staging, e->region + i);

		if (s->state == SLOT_READY)
			chunk_unlist(s->chunk);
		assert(s->state == SLOT_FREE);
	}
}

static struct extent *lend(struct cache *c, bool easily,
			   const struct object *spare)
{
	struct extent *e, *best = NULL;
	int least = 0;

	LOCK_SCOPE(&c->lock);
	if (c->stopped)
		return NULL;
	for (unsigned int i = 0; (e = staging_extent(c->staging, i)); i++) {
		const int n = e->lent ? -1 : in_use(c, e, spare);

		if (n < 0 || (easily && n > 0) || !may_go(c, e) ||
		    (best && n >= least))
			continue;
		best = e;
		least = n;
	}
	if (!best)
		return NULL;
	c->stats.evictions += (unsigned int)least;
	empty(c, best);
	staging_lend(c->staging, best);
	return best;
}

struct extent *cache_lend(struct cache *c, bool easily,
			  const struct object *spare)
{
	struct extent *e = lend(c, easily, spare);
	bool (*on_lack)(void *ctx);
	void *ctx;

	if (e || easily)
		return e;
	{
		LOCK_SCOPE(&c->lock);
		on_lack = c->on_lack;
		ctx = c->on_lack_ctx;
	}
	return on_lack && on_lack(ctx) ? lend(c, false, spare) : NULL;
}

void cache_on_lack(struct cache *c, bool (*on_lack)(void *ctx), void *ctx)
{
	LOCK_SCOPE(&c->lock);
	c->on_lack = on_lack;
	c->on_lack_ctx = ctx;
}

unsigned int cache_lendable(struct cache *c)
{
	const struct extent *e = staging_extent(c->staging, 0);
	struct staging_stats s;
	unsigned int all;

	LOCK_SCOPE(&c->lock);
	staging_get_stats(c->staging, &s);
	all = staging_slots(c->staging, SLOT_BIG) + s.states[SLOT_LENT];
	return all > stay_of(all) ? (all - stay_of(all)) / e->nregions : 0;
}

void cache_unlend(struct cache *c, struct extent *e)
{
	struct fill_list fills = {.n = 0};
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		staging_unlend(c->staging, e);
		read_retry_starved(c, &fills, &finished);
	}
	fill_start(c, &fills);
	read_complete(&finished);
}

bool cache_extent_empty(struct extent *e)
{
	if (fallocate(e->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)e->len))
		return false;
	e->dirty = false;
	return true;
}

void cache_extent_fill(const struct extent *e)
{
	if (mlock(e->addr, e->len))
		memset(e->addr, 0, e->len);
}

struct extent *cache_extent(struct cache *c, unsigned int i)
{
	return staging_extent(c->staging, i);
}

#define COPY_CHUNKS 64
#define PAGE_BYTES 4096

/* Pins the chunks of a range; their number, or 0 when a byte is missing. */
static unsigned int pin_range(struct cache *c, const struct object *o,
			      uint64_t off, uint64_t len,
			      struct chunk *chunks[COPY_CHUNKS])
{
	unsigned int n = 0;

	LOCK_SCOPE(&c->lock);
	for (uint64_t pos = off; pos < off + len; pos = chunks[n++]->hi) {
		struct chunk *ch = n < COPY_CHUNKS ? chunk_find(c, o, pos)
						   : NULL;

		if (!ch || ch->state != CHUNK_READY) {
			while (n > 0)
				chunk_unpin(chunks[--n]);
			return 0;
		}
		chunk_pin(ch);
		chunks[n] = ch;
	}
	return n;
}

static void unpin_range(struct cache *c, struct chunk *const *chunks,
			unsigned int n)
{
	struct fill_list fills = {.n = 0};
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		for (unsigned int i = 0; i < n; i++)
			chunk_unpin(chunks[i]);
		read_retry_starved(c, &fills, &finished);
	}
	fill_start(c, &fills);
	read_complete(&finished);
}

bool cache_holds(struct cache *c, struct object *o, uint64_t off, uint64_t len)
{
	struct chunk *chunks[COPY_CHUNKS];
	const unsigned int n = pin_range(c, o, off, len, chunks);

	if (n > 0)
		unpin_range(c, chunks, n);
	return n > 0;
}

/* The pinned bytes, one piece after the other. */
static unsigned int pieces_of(struct chunk *const *chunks, unsigned int n,
			      uint64_t off, uint64_t len,
			      struct iovec iov[COPY_CHUNKS])
{
	uint64_t pos = off;

	for (unsigned int i = 0; i < n; i++) {
		const struct chunk *ch = chunks[i];
		const uint64_t end = ch->hi < off + len ? ch->hi : off + len;

		iov[i] = (struct iovec){ch->slot->span.addr + (pos - ch->lo),
					end - pos};
		pos = end;
	}
	return n;
}

bool cache_copy(struct cache *c, struct object *o, uint64_t off, uint64_t len,
		char *to)
{
	struct chunk *chunks[COPY_CHUNKS];
	struct iovec iov[COPY_CHUNKS];
	const unsigned int n = pin_range(c, o, off, len, chunks);

	if (n == 0)
		return false;
	pieces_of(chunks, n, off, len, iov);
	for (unsigned int i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	unpin_range(c, chunks, n);
	return true;
}

bool cache_write(struct cache *c, struct object *o, uint64_t off, uint64_t len,
		 int fd)
{
	struct chunk *chunks[COPY_CHUNKS];
	struct iovec iov[COPY_CHUNKS];
	const unsigned int n = pin_range(c, o, off, len, chunks);
	ssize_t done;

	if (n == 0)
		return false;
	pieces_of(chunks, n, off, len, iov);
	done = pwritev(fd, iov, (int)n, (off_t)off);
	unpin_range(c, chunks, n);
	return done == (ssize_t)len;
}

void cache_forget(struct cache *c, struct object *o, uint64_t off, uint64_t len)
{
	LOCK_SCOPE(&c->lock);
	for (uint64_t pos = off; pos < off + len;) {
		struct chunk *ch = chunk_find(c, o, pos);

		if (!ch) {
			pos += PAGE_BYTES - pos % PAGE_BYTES;
			continue;
		}
		pos = ch->hi;
		/* One that reaches behind them is needed once more. */
		if (ch->state == CHUNK_READY && ch->pins == 0 &&
		    ch->hi <= off + len)
			chunk_unlist(ch);
	}
}

struct object_name cache_object_name(const struct object *o)
{
	return (struct object_name){.bucket = o->bucket,
				    .key = o->key,
				    .etag = o->etag,
				    .size = o->size,
				    .id = o->id,
				    .version = o->version};
}

void cache_object_is_gone(struct cache *c, struct object *o, int err)
{
	LOCK_SCOPE(&c->lock);
	o->gone = err;
}

int cache_object_gone(struct cache *c, const struct object *o)
{
	LOCK_SCOPE(&c->lock);
	return o->gone;
}
