/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps and their handles.  A map is answered when its range is resident; one
 * that finds no room for it waits in g->waiting, of which the keeper (keeper.c)
 * tries all again when something has come free.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "gpubuf/gpubuf_int.h"

int handles_new(struct gpubuf *g)
{
	g->handles = calloc(HANDLES_MAX, sizeof(*g->handles));
	return g->handles ? 0 : -ENOMEM;
}

void gpubuf_owner_init(struct gpubuf_owner *o)
{
	list_init(&o->handles);
	list_init(&o->buffers);
	o->next = 0;
	o->in_order = 0;
}

static struct handle_slot *take_handle(struct gpubuf *g, struct lease *l)
{
	struct handle_slot *h;

	/* One user leaves half of them to the others. */
	if (l->handles >= HANDLES_MAX / 2)
		return NULL;
	if (!list_empty(&g->free_handles)) {
		h = list_first(&g->free_handles, struct handle_slot, link);
		list_del(&h->link);
	} else if (g->fresh_handles < HANDLES_MAX) {
		h = &g->handles[g->fresh_handles++];
		list_init(&h->link);
	} else {
		return NULL;
	}
	/* The low bits find it again. */
	h->id = ++g->next_id * HANDLES_MAX + (uint64_t)(h - g->handles);
	l->handles++;
	return h;
}

static void put_handle(struct gpubuf *g, struct lease *l, struct handle_slot *h)
{
	list_del(&h->link);
	*h = (struct handle_slot){.id = 0};
	list_add(&g->free_handles, &h->link);
	l->handles--;
}

/* ---- answers ---- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Under the lock: what the caller is told of a range that is there. */
static void tell(struct gpubuf *g, struct gpubuf_map *m)
{
	const struct run *r = m->run;
	struct block *b = r->block;

	m->valid = min_u64(r->job.hi, m->off + m->len) - m->off;
	m->alloc_off = r->unit * UNIT + (m->off - r->job.lo);
	m->alloc_size = b->len;
	m->allocation = b->id;
	m->generation = cache_object_name(m->object).version;
	m->handle = m->slot->id;
	m->slot->run = m->run;
	m->slot->owner = m->owner;
	m->slot->bytes = m->valid;
	list_add_tail(&m->owner->handles, &m->slot->link);
	g->stats.handles++;
	g->stats.mapped_bytes += m->valid;
	if (m->kind == GPUBUF_HOST)
		ticket_new(m->lease, b, m->caller.pid, m->export);
	else
		memcpy(m->export, b->mem.export, sizeof(m->export));
}

/* Not under the lock. */
static void answer(struct gpubuf *g, struct gpubuf_wait *w)
{
	struct gpubuf_map *m = container_of(w, struct gpubuf_map, wait);

	{
		LOCK_SCOPE(&g->lock);
		if (!w->err) {
			tell(g, m);
		} else {
			if (m->run)
				run_unpin(g, m->run);
			put_handle(g, m->lease, m->slot);
		}
	}
	m->done(m, w->err);
}

/* ---- room ---- */

/*
 * Would it be answered with far less than could be?  Memory of a GPU cannot be
 * put together of pieces; pages can, but not of crumbs.
 */
static bool is_too_short(const struct gpubuf_map *m, const struct run *r,
			 uint64_t end)
{
	const uint64_t most = m->lease->dev->block_len;
	const uint64_t want = min_u64(end - m->off, most - PAGE);
	const uint64_t has = min_u64(r->job.hi, end) - m->off;

	return has < (m->kind == GPUBUF_CUDA ? want : want / 4);
}

/* Under the lock: the range's run is there or coming.  False: no room. */
static bool place(struct gpubuf *g, struct gpubuf_map *m, uint64_t len)
{
	struct run *r = run_find(g, m->lease, m->object, m->off);
	const uint64_t end = min_u64(m->off + len,
				     cache_object_name(m->object).size);

	if (r && is_too_short(m, r, end)) {
		/* One that is in use stays beside the longer one. */
		if (r->state == RUN_READY && r->pins == 0)
			run_evict(g, r);
		r = NULL;
	}
	if (r) {
		run_pin(r);
		g->stats.hits += r->state == RUN_READY;
	} else {
		r = run_new(g, m->lease, m->object, m->off, len);
	}
	if (!r)
		return false;
	m->run = r;
	list_add_tail(&r->waiters, &m->wait.link);
	return true;
}

/* Under the lock: places it once enough of what nobody has mapped is gone. */
static bool place_after_eviction(struct gpubuf *g, struct gpubuf_map *m)
{
	while (!place(g, m, m->len)) {
		if (list_empty(&m->lease->idle))
			return false;
		run_evict(g, list_first(&m->lease->idle, struct run, idle));
	}
	return true;
}

/* Takes the map from its run's waiters when the bytes are there already. */
static bool is_there(struct gpubuf_map *m)
{
	if (!m->run || m->run->state != RUN_READY)
		return false;
	list_del(&m->wait.link);
	m->wait.err = 0;
	return true;
}

/* ---- maps in order ---- */

/* Under the lock: the next ranges of the same length, as far as they can be had
 * for nothing that anybody holds. */
static void go_ahead(struct gpubuf *g, struct gpubuf_map *m)
{
	const uint64_t size = cache_object_name(m->object).size;
	const uint64_t from = m->off + m->len;
	const uint64_t most = min_u64(g->cfg.ahead_max,
				      (m->owner->in_order + 1) * m->len);
	const uint64_t to = from + min_u64(most, 8 * m->len);

	for (uint64_t at = from; at < to && at < size; at += m->len) {
		struct run *r = run_find(g, m->lease, m->object, at);

		if (r)
			continue;
		r = run_new(g, m->lease, m->object, at, m->len);
		while (!r && !list_empty(&m->lease->idle)) {
			struct run *old = list_first(&m->lease->idle,
						     struct run, idle);

			/* What was fetched for later maps is no room. */
			if (old->job.object == m->object && old->job.lo >= from)
				return;
			run_evict(g, old);
			r = run_new(g, m->lease, m->object, at, m->len);
		}
		if (!r)
			return;
		g->stats.ahead_bytes += r->job.hi - r->job.lo;
		run_unpin(g, r);
	}
}

/* Under the lock. */
static void note_order(struct gpubuf *g, struct gpubuf_map *m)
{
	struct gpubuf_owner *o = m->owner;

	o->in_order = o->next == m->off && m->off > 0 ? o->in_order + 1 : 0;
	o->next = m->off + m->len;
	/* From the second on; a first map of all there is needs none. */
	if (o->in_order > 0 && m->len >= UNIT)
		go_ahead(g, m);
}

/* Under the lock: as much as there is room for side by side.  Of pages alone:
 * pieces on a GPU are of little use. */
static bool place_less(struct gpubuf *g, struct gpubuf_map *m)
{
	uint64_t len = min_u64(m->len, m->lease->dev->block_len);

	while (m->kind == GPUBUF_HOST && len > UNIT) {
		len /= 2;
		if (place(g, m, len))
			return true;
	}
	return false;
}

static bool try_step(struct gpubuf *g, struct gpubuf_map *m, int step)
{
	return step < 2   ? place(g, m, m->len)
	       : step < 4 ? place_after_eviction(g, m)
			  : place_less(g, m);
}

/*
 * First where there is room, then in memory that nobody uses, then in the place
 * of what nobody has mapped, then in the place of what is cached; and at last
 * less than was asked for.
 */
static bool find_room(struct gpubuf *g, struct gpubuf_map *m, bool *there)
{
	for (int step = 0; step < 5; step++) {
		if (step % 2 == 1 && lease_grow(g, m->lease, step == 1))
			continue;
		LOCK_SCOPE(&g->lock);
		if (!try_step(g, m, step))
			continue;
		/* Once unlocked, it may be answered by another. */
		note_order(g, m);
		*there = is_there(m);
		return true;
	}
	return false;
}

/* ---- calls ---- */

static int begin(struct gpubuf *g, struct gpubuf_map *m, struct dev *d)
{
	LOCK_SCOPE(&g->lock);
	if (g->stopped)
		return -EIO;
	m->lease = lease_get(g, d, m->caller.uid);
	if (!m->lease)
		return -ENOMEM;
	m->slot = take_handle(g, m->lease);
	if (!m->slot)
		return -EMFILE;
	g->stats.maps++;
	return 0;
}

/* No room: later, or never.  Returns what to answer now; 0 for nothing. */
static int wait_for_room(struct gpubuf *g, struct gpubuf_map *m)
{
	if (m->nowait)
		return -EAGAIN;
	LOCK_SCOPE(&g->lock);
	if (g->stopped)
		return -EIO;
	m->until_ms = clock_ms() + g->cfg.deadline_ms;
	list_add_tail(&g->waiting, &m->wait.link);
	g->stats.waiting++;
	pthread_cond_signal(&g->wake);
	return 0;
}

/* The map was placed: it is answered now, or by its run. */
static void go_on(struct gpubuf *g, struct gpubuf_map *m, bool there)
{
	if (there)
		answer(g, &m->wait);
	jobs_pump(g);
}

void gpubuf_map_start(struct gpubuf *g, struct gpubuf_map *m)
{
	struct dev *d = dev_find(g, m->kind, m->device);
	bool there = false;
	int err = d ? begin(g, m, d) : -ENODEV;

	m->run = NULL;
	if (err) {
		m->done(m, err);
		return;
	}
	m->caller.pid = process_of(m->caller.tid);
	m->wait.answer = answer;
	if (find_room(g, m, &there)) {
		go_on(g, m, there);
		return;
	}
	err = wait_for_room(g, m);
	if (err) {
		m->wait.err = err;
		answer(g, &m->wait);
	}
}

/* The first that waits, taken off; NULL when it has been tried since. */
static struct gpubuf_map *next_waiting(struct gpubuf *g, const struct list *end)
{
	struct list *e;

	LOCK_SCOPE(&g->lock);
	e = g->waiting.next;
	if (e == &g->waiting || e == end)
		return NULL;
	list_del(e);
	g->stats.waiting--;
	return container_of(e, struct gpubuf_map, wait.link);
}

static void put_back(struct gpubuf *g, struct gpubuf_map *m)
{
	LOCK_SCOPE(&g->lock);
	list_add_tail(&g->waiting, &m->wait.link);
	g->stats.waiting++;
}

void maps_retry(struct gpubuf *g)
{
	const struct list *first_back = NULL;
	struct gpubuf_map *m;

	while ((m = next_waiting(g, first_back))) {
		bool there = false;

		if (!g->stopped && find_room(g, m, &there)) {
			go_on(g, m, there);
		} else if (g->stopped || clock_ms() >= m->until_ms) {
			m->wait.err = g->stopped ? -EIO : -ENOMEM;
			answer(g, &m->wait);
		} else {
			put_back(g, m);
			if (!first_back)
				first_back = &m->wait.link;
		}
	}
}

static void end_handle(struct gpubuf *g, struct handle_slot *h)
{
	struct run *r = h->run;
	struct lease *l = r->lease;

	g->stats.handles--;
	g->stats.mapped_bytes -= h->bytes;
	put_handle(g, l, h);
	l->used_ms = clock_ms();
	run_unpin(g, r);
	if (g->stats.waiting)
		pthread_cond_signal(&g->wake);
}

int gpubuf_unmap(struct gpubuf *g, struct gpubuf_owner *o, uint64_t handle)
{
	struct handle_slot *h = &g->handles[handle % HANDLES_MAX];

	LOCK_SCOPE(&g->lock);
	if (handle == 0 || h->id != handle || h->owner != o)
		return -ENOENT;
	end_handle(g, h);
	return 0;
}

void gpubuf_owner_drop(struct gpubuf *g, struct gpubuf_owner *o)
{
	{
		LOCK_SCOPE(&g->lock);
		while (!list_empty(&o->handles))
			end_handle(g, list_first(&o->handles,
						 struct handle_slot, link));
	}
	buffers_drop(g, o);
}
