/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resident ranges: bytes lo..hi of an object version, in adjoining units of
 * one block, so of one user.
 *
 *   state     listed   pins   parts under way   on lease->idle
 *   FILLING   yes      any    some              no
 *   READY     yes      any    none              iff no pins
 *   FAILED    no       any    any               no
 *
 * A FAILED one goes when nobody has it and its last part has ended: until
 * then a server may still write there.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "gpubuf/gpubuf_int.h"

static void check(const struct run *r)
{
	const bool parts = r->job.queued || r->job.pending > 0;

	switch (r->state) {
	case RUN_FILLING:
		assert(r->listed && parts && list_empty(&r->idle));
		break;
	case RUN_READY:
		assert(r->listed && !parts);
		assert(list_empty(&r->idle) == (r->pins > 0));
		break;
	case RUN_FAILED:
		assert(!r->listed && list_empty(&r->idle));
		break;
	}
	(void)parts;
}

static struct list *bucket(struct gpubuf *g, const struct lease *l,
			   uint64_t object, uint64_t span)
{
	uint64_t h = (object * 0x9E3779B97F4A7C15ULL) ^ (uintptr_t)l ^
		     (span * 0xC2B2AE3D27D4EB4FULL);

	h ^= h >> 29;
	return &g->buckets[h % RUN_BUCKETS];
}

static struct run *best_of(struct list *in, const struct lease *l,
			   const struct object *o, uint64_t off,
			   struct run *best)
{
	struct list *e, *n;

	list_for_each_safe(e, n, in)
	{
		struct run *r = container_of(e, struct run, link);

		if (r->block->state == BLOCK_LEASED && r->lease == l &&
		    r->job.object == o && r->job.lo <= off && off < r->job.hi &&
		    (!best || r->job.hi > best->job.hi))
			best = r;
	}
	return best;
}

struct run *run_find(struct gpubuf *g, const struct lease *l,
		     const struct object *o, uint64_t off)
{
	const uint64_t id = cache_object_name(o).id;
	const uint64_t last = off / SPAN;
	const uint64_t back = l->dev->block_len / SPAN + 1;
	struct run *best = NULL;

	/* It may begin as far before as a block is long. */
	for (uint64_t s = last > back ? last - back : 0; s <= last; s++)
		best = best_of(bucket(g, l, id, s), l, o, off, best);
	return best;
}

static struct run *take(struct gpubuf *g)
{
	struct run *r;

	if (!list_empty(&g->free_runs)) {
		r = list_first(&g->free_runs, struct run, link);
		list_del(&r->link);
		return r;
	}
	return g->fresh_runs < g->nruns ? &g->runs[g->fresh_runs++] : NULL;
}

/* The oldest that nobody has mapped, of whoever has any. */
static void evict_any(struct gpubuf *g)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &g->leases)
	{
		struct lease *l = container_of(e, struct lease, link);

		if (list_empty(&l->idle))
			continue;
		run_evict(g, list_first(&l->idle, struct run, idle));
		return;
	}
}

static bool is_busy(const struct run *r)
{
	return r->pins > 0 || r->job.queued || r->job.pending > 0;
}

static void forget(struct gpubuf *g, struct run *r)
{
	assert(!is_busy(r) && list_empty(&r->waiters));
	if (r->listed) {
		list_del(&r->link);
		g->stats.resident_bytes -= r->job.hi - r->job.lo;
	}
	list_del(&r->idle);
	block_release(r->block, r->unit, r->nunits);
	cache_object_put(g->cache, r->job.object);
	*r = (struct run){.state = RUN_FAILED};
	list_add(&g->free_runs, &r->link);
}

/* After pins or parts have changed, from what it was. */
static void settle(struct gpubuf *g, struct run *r, bool was_busy)
{
	const bool busy = is_busy(r);

	r->block->nbusy += (unsigned int)busy - (unsigned int)was_busy;
	if (busy || r->state == RUN_FILLING) {
		list_del(&r->idle);
	} else if (r->state == RUN_FAILED) {
		forget(g, r);
		return;
	} else if (list_empty(&r->idle)) {
		r->lease->used_ms = clock_ms();
		list_add_tail(&r->lease->idle, &r->idle);
	}
	check(r);
}

static void unlist(struct gpubuf *g, struct run *r)
{
	if (!r->listed)
		return;
	list_del(&r->link);
	r->listed = false;
	g->stats.resident_bytes -= r->job.hi - r->job.lo;
}

static void answer(struct run *r, struct list *finished)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &r->waiters)
	{
		struct gpubuf_map *m = container_of(e, struct gpubuf_map,
						    wait.link);

		m->wait.err = r->job.err;
		list_del(e);
		list_add_tail(finished, e);
	}
}

/* The first part that failed: whoever waits need not wait for the others. */
static void on_failed(struct gpubuf *g, struct gpubuf_job *j,
		      struct list *finished)
{
	struct run *r = container_of(j, struct run, job);

	unlist(g, r);
	r->state = RUN_FAILED;
	answer(r, finished);
}

static void on_ended(struct gpubuf *g, struct gpubuf_job *j,
		     struct list *finished)
{
	struct run *r = container_of(j, struct run, job);

	if (r->state == RUN_FILLING)
		r->state = RUN_READY;
	answer(r, finished);
	settle(g, r, true);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void aim(const struct gpubuf *g, struct run *r)
{
	const struct rdma_arena *a = cache_arena(g->cache);
	struct block *b = r->block;
	struct place *to = &r->job.to;
	const size_t at = r->unit * UNIT;

	*to = (struct place){.dev = b->dev, .fd = -1};
	r->job.at = 0;
	if (b->dev->kind == GPUBUF_HOST) {
		to->addr = b->extent->addr + at;
		to->region = b->extent->region;
		to->region_at = at;
		to->region_len = b->extent->region_len;
	} else {
		to->gpu = b->mem.addr + at;
		to->region = rdma_regions(a) + b->peer;
		to->region_at = at;
		to->region_len = b->is_shown ? GPUBUF_REGION : 0;
	}
}

struct run *run_new(struct gpubuf *g, struct lease *l, struct object *o,
		    uint64_t off, uint64_t len)
{
	const uint64_t size = cache_object_name(o).size;
	const uint64_t lo = off & ~(PAGE - 1);
	uint64_t hi = min_u64((off + len + PAGE - 1) & ~(PAGE - 1), size);
	unsigned int unit, nunits;
	struct block *b;
	struct run *r;

	hi = min_u64(hi, lo + l->dev->block_len);
	nunits = (unsigned int)((hi - lo + UNIT - 1) / UNIT);
	b = lease_place(l, nunits, &unit);
	if (!b)
		return NULL;
	r = take(g);
	if (!r) {
		evict_any(g);
		r = take(g);
	}
	if (!r) {
		block_release(b, unit, nunits);
		return NULL;
	}
	*r = (struct run){.state = RUN_FILLING,
			  .listed = true,
			  .lease = l,
			  .block = b,
			  .unit = unit,
			  .nunits = nunits,
			  .pins = 1,
			  .job = {.object = o,
				  .lo = lo,
				  .next = lo,
				  .hi = hi,
				  .failed = on_failed,
				  .ended = on_ended}};
	list_init(&r->idle);
	list_init(&r->waiters);
	cache_object_hold(g->cache, o);
	list_add(bucket(g, l, cache_object_name(o).id, lo / SPAN), &r->link);
	g->stats.resident_bytes += hi - lo;
	aim(g, r);
	b->nbusy++;
	job_queue(g, &r->job);
	check(r);
	return r;
}

void run_pin(struct run *r)
{
	const bool was_busy = is_busy(r);

	r->pins++;
	r->block->nbusy += !was_busy;
	list_del(&r->idle);
	check(r);
}

void run_unpin(struct gpubuf *g, struct run *r)
{
	assert(r->pins > 0);
	r->pins--;
	settle(g, r, true);
}

void run_evict(struct gpubuf *g, struct run *r)
{
	assert(r->state == RUN_READY && !is_busy(r));
	forget(g, r);
}
