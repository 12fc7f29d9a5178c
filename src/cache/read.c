/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads over chunks, and what is fetched ahead of them.
 *
 * A read first looks up what is there or coming, byte by byte forward; what
 * is missing it plans to fetch.  Only when all the slots that the plan needs
 * can be had at once are they taken: a read that waits for a slot holds none,
 * so reads cannot wait for each other.  Those that wait stand in one queue
 * (cache->starved) and are tried in their order when a slot comes free.
 *
 *   planned -> done          all bytes were there
 *           -> pending       every missing chunk is FILLING
 *           -> starved       no slots; holds no pins; ends with -EIO after the
 *                            deadline of a request in which nothing came
 *   pending -> starved       once, when what failed was on its way for long
 *                            before the read
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cache/chunk.h"

#define PAGE 4096ULL
/* A missing piece of at least this many bytes gets a big slot. */
#define BIG_PIECE (384ULL << 10)

/* One piece of a plan: a chunk that is listed, or a range to fetch. */
struct planned {
	struct chunk *chunk; /* NULL: fetch */
	enum slot_class class;
	uint64_t lo, hi;
};

struct plan {
	struct planned pieces[CACHE_PIECES];
	unsigned int n;
	unsigned int need[SLOT_CLASSES];
	unsigned int
		held[SLOT_CLASSES]; /* slots of the chunks that are there */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t deadline_ns(const struct cache *c)
{
	return c->cfg.deadline_ms ? c->cfg.deadline_ms * 1000000 : UINT64_MAX;
}

/* The range to fetch for the bytes from pos to end, and its class. */
static void choose_fetch(struct cache *c, const struct object *o, uint64_t pos,
			 uint64_t end, bool sequential, bool few,
			 struct planned *p)
{
	const uint64_t big = staging_slot_size(c->staging, SLOT_BIG);
	const uint64_t page = pos & ~(PAGE - 1);
	uint64_t step;

	p->class = few || sequential || end - pos >= BIG_PIECE ? SLOT_BIG
							       : SLOT_SMALL;
	if (o->size <= STAGING_SMALL)
		p->class = SLOT_SMALL;
	step = p->class == SLOT_BIG ? big : STAGING_SMALL;
	p->lo = page;
	p->hi = min_u64((pos / step + 1) * step, o->size);
	if (sequential)
		return;
	/* Exact for random reads.  But a small block that was asked for in
	 * part before is now wanted whole, and so is the head of a file. */
	if (p->class == SLOT_SMALL &&
	    (pos < step || chunk_at(c, o, SLOT_SMALL, pos / step)))
		p->lo = pos / step * step;
	else
		p->hi = min_u64(p->hi, (end + PAGE - 1) & ~(PAGE - 1));
}

/* Plans the read; false only when it would need too many pieces. */
static bool make_plan(struct cache *c, const struct cache_read *r,
		      bool sequential, bool few, struct plan *plan)
{
	const uint64_t end = r->off + r->len;

	*plan = (struct plan){.n = 0};
	for (uint64_t pos = r->off; pos < end;) {
		struct planned *p = &plan->pieces[plan->n];

		if (plan->n++ == CACHE_PIECES - 1)
			return false;
		p->chunk = few ? NULL : chunk_find(c, r->object, pos);
		if (p->chunk) {
			p->lo = p->chunk->lo;
			p->hi = p->chunk->hi;
			plan->held[p->chunk->where.class]++;
		} else {
			choose_fetch(c, r->object, pos, end, sequential, few,
				     p);
			plan->need[p->class]++;
		}
		pos = p->hi;
	}
	return true;
}

static void pin_planned(const struct plan *plan)
{
	for (unsigned int i = 0; i < plan->n; i++)
		if (plan->pieces[i].chunk)
			chunk_pin(plan->pieces[i].chunk);
}

static void unpin_planned(const struct plan *plan)
{
	for (unsigned int i = 0; i < plan->n; i++)
		if (plan->pieces[i].chunk)
			chunk_unpin(plan->pieces[i].chunk);
}

/* Has it been coming for so long that its failure says little of what a read
 * that began now could get? */
static bool is_old_fill(const struct chunk *ch)
{
	return clock_ns() - ch->begun_ns > deadline_ns(ch->cache) / 4;
}

static void add_piece(struct cache_read *r, struct chunk *ch, bool is_own)
{
	struct cache_piece *p = &r->pieces[r->npieces++];

	p->read = r;
	p->chunk = ch;
	chunk_note_read(ch, r->off > ch->lo ? r->off : ch->lo,
			min_u64(r->off + r->len, ch->hi));
	list_init(&p->link);
	if (ch->state == CHUNK_FILLING) {
		list_add_tail(&ch->waiters, &p->link);
		r->pending++;
		r->joined = r->joined || (!is_own && is_old_fill(ch));
	}
}

static void set_iov(struct cache_read *r)
{
	uint64_t pos = r->off;

	r->niov = 0;
	for (unsigned int i = 0; i < r->npieces; i++) {
		const struct chunk *ch = r->pieces[i].chunk;
		const uint64_t n = min_u64(ch->hi, r->off + r->len) - pos;

		r->iov[r->niov++] = (struct iovec){
			ch->slot->span.addr + (pos - ch->lo), n};
		pos += n;
	}
	assert(pos == r->off + r->len);
}

static void finish(struct cache_read *r, struct list *finished)
{
	if (!r->err)
		set_iov(r);
	list_add_tail(finished, &r->link);
}

static void starve(struct cache *c, struct cache_read *r)
{
	list_add_tail(&c->starved, &r->link);
	r->starved_ns = clock_ns();
	c->nstarved++;
	c->stats.waited_for_slot++;
}

/* From the beginning, once: what failed was asked for long before the read. */
static void begin_again(struct cache *c, struct cache_read *r)
{
	for (unsigned int i = 0; i < r->npieces; i++)
		if (r->pieces[i].chunk)
			chunk_unpin(r->pieces[i].chunk);
	r->npieces = 0;
	r->err = 0;
	r->again = true;
	starve(c, r);
}

void read_piece_done(struct cache_piece *p, int err, struct list *finished)
{
	struct cache_read *r = p->read;
	struct cache *c = p->chunk->cache;

	if (err) {
		/* What failed is of no use: its chunk may go at once. */
		chunk_unpin(p->chunk);
		p->chunk = NULL;
		if (!r->err)
			r->err = err;
	}
	assert(r->pending > 0);
	if (--r->pending > 0)
		return;
	if (r->err == -EIO && r->joined && !r->again)
		begin_again(c, r);
	else
		finish(r, finished);
}

/* Is a plan possible that fetches nothing of a stale or stopped source? */
static int may_fetch(const struct cache *c, const struct cache_read *r,
		     const struct plan *plan)
{
	if (plan->need[SLOT_BIG] + plan->need[SLOT_SMALL] == 0)
		return 0;
	if (r->object->gone)
		return r->object->gone;
	return c->stopped ? -EIO : 0;
}

static bool has_slots(struct cache *c, const struct plan *plan)
{
	for (int i = 0; i < SLOT_CLASSES; i++)
		if (plan->need[i] &&
		    plan->need[i] >
			    chunk_available(c, (enum slot_class)i, false))
			return false;
	return chunk_has_unused(c,
				plan->need[SLOT_BIG] + plan->need[SLOT_SMALL]);
}

/* Could the plan's pieces stand in the pool at one time? */
static bool is_possible(struct cache *c, const struct plan *plan)
{
	for (int i = 0; i < SLOT_CLASSES; i++)
		if (plan->need[i] + plan->held[i] >
		    staging_slots(c->staging, (enum slot_class)i))
			return false;
	return true;
}

/*
 * Under lock: tries the read.  Returns false when it must wait for slots, and
 * then holds nothing.  One whose turn has not come takes none.
 */
static bool try_read(struct cache *c, struct cache_read *r, bool in_turn,
		     struct fill_list *fills, struct list *finished)
{
	struct plan plan;

	/* Where many small pieces are too many, two big ones do. */
	if (!make_plan(c, r, r->sequential, false, &plan) ||
	    !is_possible(c, &plan))
		make_plan(c, r, r->sequential, true, &plan);
	r->err = may_fetch(c, r, &plan);
	if (r->err) {
		finish(r, finished);
		return true;
	}
	if (fills->n + plan.n > FILLS_MAX ||
	    (!in_turn && plan.need[SLOT_BIG] + plan.need[SLOT_SMALL] > 0))
		return false;
	pin_planned(&plan);
	if (!has_slots(c, &plan)) {
		unpin_planned(&plan);
		return false;
	}
	for (unsigned int i = 0; i < plan.n; i++) {
		struct planned *p = &plan.pieces[i];
		const bool is_own = !p->chunk;

		if (is_own) {
			p->chunk = chunk_claim(c, r->object, p->class, p->lo,
					       p->hi, fills);
			chunk_pin(p->chunk);
		}
		add_piece(r, p->chunk, is_own);
	}
	if (plan.need[SLOT_BIG] + plan.need[SLOT_SMALL] == 0)
		c->stats.hits++;
	if (r->pending == 0)
		finish(r, finished);
	return true;
}

/* Slots that prefetch leaves to reads that wait for their bytes now. */
static bool may_prefetch(struct cache *c, enum slot_class class)
{
	const unsigned int total = staging_slots(c->staging, class);
	const unsigned int spare = total / 4 ? total / 4 : 1;
	const unsigned int most = class == SLOT_BIG ? 4 : CACHE_PIECES;

	return list_empty(&c->starved) && pace_allows(&c->pace) &&
	       chunk_available(c, class, true) > (spare < most ? spare : most);
}

/* Claims the bytes lo..hi ahead of who wants them; false when there is no room
 * for them now. */
static bool claim_one(struct cache *c, struct object *o, enum slot_class class,
		      uint64_t lo, uint64_t hi, struct fill_list *fills)
{
	if (o->gone || c->stopped || fills->n >= FILLS_MAX / 2 ||
	    !may_prefetch(c, class) || !chunk_has_unused(c, CACHE_PIECES))
		return false;
	chunk_claim(c, o, class, lo, hi, fills);
	c->stats.prefetched += hi - lo;
	return true;
}

/* A file that one small slot holds does not take a big one. */
static enum slot_class class_of(const struct object *o)
{
	return o->size <= STAGING_SMALL ? SLOT_SMALL : SLOT_BIG;
}

/* Under lock: claims what is missing of the bytes from..to, in order; false
 * when there is no room for all. */
static bool claim_ahead(struct cache *c, struct object *o, uint64_t from,
			uint64_t to, struct fill_list *fills)
{
	const enum slot_class class = class_of(o);
	const uint64_t step = staging_slot_size(c->staging, class);

	while (from < to) {
		const uint64_t next = min_u64((from / step + 1) * step,
					      o->size);
		const struct chunk *ch = chunk_find(c, o, from);

		if (ch) {
			from = ch->hi;
			continue;
		}
		if (!claim_one(c, o, class, from, next, fills))
			return false;
		from = next;
	}
	return true;
}

/* The same from the end on, for who reads backwards. */
static void claim_back(struct cache *c, struct object *o, uint64_t from,
		       uint64_t to, struct fill_list *fills)
{
	const enum slot_class class = class_of(o);
	const uint64_t step = staging_slot_size(c->staging, class);

	while (from < to) {
		const uint64_t begin = (to - 1) / step * step;
		const struct chunk *ch = chunk_find(c, o, to - 1);

		if (ch) {
			to = ch->lo;
			continue;
		}
		if (!claim_one(c, o, class, begin, to, fills))
			return;
		to = begin;
	}
}

/* One piece of those that come at equal distances, exactly.  What stands in
 * its chunk's place stays: it is as likely to be wanted. */
static void claim_piece(struct cache *c, struct object *o, uint64_t from,
			uint64_t to, struct fill_list *fills)
{
	struct planned p;

	while (from < to) {
		const struct chunk *ch = chunk_find(c, o, from);

		if (ch) {
			from = ch->hi;
			continue;
		}
		choose_fetch(c, o, from, to, false, false, &p);
		if (chunk_at(c, o, p.class,
			     p.lo / staging_slot_size(c->staging, p.class)) ||
		    !claim_one(c, o, p.class, p.lo, p.hi, fills))
			return;
		from = p.hi;
	}
}

/* Under lock: what is expected to be read soon. */
static void claim_advised(struct cache *c, const struct cache_read *r,
			  const struct window_advice *a,
			  struct fill_list *fills)
{
	struct object *o = r->object;
	const uint64_t end = r->off + r->len;

	claim_ahead(c, o, end, end + a->ahead, fills);
	claim_back(c, o, r->off - a->back, r->off, fills);
	for (unsigned int i = 1; i <= a->steps; i++) {
		const uint64_t from = r->off + (uint64_t)a->step * i;

		claim_piece(c, o, from, min_u64(from + a->piece, o->size),
			    fills);
	}
}

/* What a handle may have fetched ahead: its share of half of the pool. */
static uint64_t prefetch_bound(struct cache *c, const struct window *w,
			       uint64_t now)
{
	const uint64_t pool = (uint64_t)staging_slots(c->staging, SLOT_BIG) *
			      staging_slot_size(c->staging, SLOT_BIG);
	const unsigned int n = shares_count(&c->shares, w->share, now);

	return min_u64(c->cfg.prefetch_max, pool / 2 / n);
}

void cache_read_start(struct cache *c, struct cache_read *r)
{
	struct fill_list fills = {.n = 0};
	struct list finished;

	list_init(&finished);
	r->npieces = r->pending = 0;
	r->joined = r->again = false;
	r->err = 0;
	r->niov = 0;
	r->len = r->off >= r->object->size
			 ? 0
			 : min_u64(r->len, r->object->size - r->off);
	{
		LOCK_SCOPE(&c->lock);
		const uint64_t now = clock_ns();
		const struct window_advice a = window_read(
			r->window, r->off, r->len, r->object->size,
			prefetch_bound(c, r->window, now));
		unsigned int own;

		c->stats.reads++;
		c->stats.read_bytes += r->len;
		r->sequential = a.sequential;
		/* One that waits for slots is only overtaken by who takes
		 * none. */
		if (!try_read(c, r, c->stopped || list_empty(&c->starved),
			      &fills, &finished)) {
			starve(c, r);
			read_retry_starved(c, &fills, &finished);
		}
		own = fills.n;
		claim_advised(c, r, &a, &fills);
		if (fills.n > own)
			shares_note(&c->shares, &r->window->share, now);
	}
	/* First the answer that is there, then the work for the next. */
	read_complete(&finished);
	fill_start(c, &fills);
}

void cache_window_end(struct cache *c, struct window *w)
{
	LOCK_SCOPE(&c->lock);
	shares_leave(&c->shares, w->share);
}

/* Has it waited as long as a request may take, and nothing has come meanwhile?
 * Those before it had their time, and it shall not wait for its own. */
static bool waits_in_vain(const struct cache *c, const struct cache_read *r)
{
	const uint64_t came_ns = atomic_load(&c->came_ns);
	const uint64_t since = r->starved_ns > came_ns ? r->starved_ns
						       : came_ns;

	return clock_ns() - since >= deadline_ns(c);
}

void read_retry_starved(struct cache *c, struct fill_list *fills,
			struct list *finished)
{
	while (!list_empty(&c->starved) && fills->n < FILLS_MAX / 2) {
		struct cache_read *r = list_first(&c->starved,
						  struct cache_read, link);

		list_del(&r->link);
		if (waits_in_vain(c, r)) {
			r->err = -EIO;
			finish(r, finished);
		} else if (!try_read(c, r, true, fills, finished)) {
			list_add(&c->starved, &r->link);
			return;
		}
		c->nstarved--;
	}
}

void read_complete(struct list *finished)
{
	struct list *e, *n;

	list_for_each_safe(e, n, finished)
	{
		struct cache_read *r = container_of(e, struct cache_read, link);

		list_del(e);
		r->done(r, r->err);
	}
}

void cache_read_end(struct cache *c, struct cache_read *r)
{
	struct fill_list fills = {.n = 0};
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&c->lock);
		for (unsigned int i = 0; i < r->npieces; i++)
			if (r->pieces[i].chunk)
				chunk_unpin(r->pieces[i].chunk);
		r->npieces = 0;
		read_retry_starved(c, &fills, &finished);
	}
	fill_start(c, &fills);
	read_complete(&finished);
}

bool cache_prefetch(struct cache *c, struct object *o, uint64_t off,
		    uint64_t len)
{
	struct fill_list fills = {.n = 0};
	bool all;

	if (off >= o->size)
		return true;
	{
		LOCK_SCOPE(&c->lock);
		all = claim_ahead(c, o, off, off + min_u64(len, o->size - off),
				  &fills);
	}
	fill_start(c, &fills);
	return all;
}
