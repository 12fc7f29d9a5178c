/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_xfer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"

#define MAX_GETS 4096
#define MAX_THREADS 8

/* A window of a get that may still be written to. */
struct doubt {
	unsigned int region;
	size_t at, len;
};

struct xfer {
	const struct rdma_arena *arena; /* borrowed */
	pthread_t threads[MAX_THREADS];
	unsigned int nthreads;

	pthread_mutex_t lock;
	/* Under lock. */
	struct xfer_get *gets[MAX_GETS];
	struct doubt doubts[MAX_GETS];
	unsigned int ndoubts;
	struct list fences;
	struct xfer_timer *timer; /* the one that runs, or NULL */
	struct fake_stats stats;
	bool stop, reaches;
};

/* The eight bytes at 8 * i of an object. */
static uint64_t word_at(const char *etag, uint64_t i)
{
	const uint64_t seed = (unsigned char)etag[0] * 257U +
			      (unsigned char)(*etag ? etag[1] : 0);

	return (i + seed * 0x9E3779B97F4A7C15ULL) * 0xD6E8FEB86659FD93ULL;
}

static void make_bytes(const char *etag, uint64_t off, char *out, size_t n)
{
	while (n > 0) {
		const uint64_t w = word_at(etag, off / 8);
		const size_t at = off % 8;
		const size_t take = n < 8 - at ? n : 8 - at;

		memcpy(out, (const char *)&w + at, take);
		out += take;
		off += take;
		n -= take;
	}
}

bool fake_bytes_fit(const char *etag, uint64_t off, const char *p, size_t n)
{
	char want[4096];

	while (n > 0) {
		const size_t take = n < sizeof(want) ? n : sizeof(want);

		make_bytes(etag, off, want, take);
		if (memcmp(p, want, take) != 0)
			return false;
		p += take;
		off += take;
		n -= take;
	}
	return true;
}

struct xfer *fake_xfer_new(const struct rdma_arena *arena)
{
	struct xfer *x = calloc(1, sizeof(*x));

	assert(x);
	x->arena = arena;
	pthread_mutex_init(&x->lock, NULL);
	list_init(&x->fences);
	return x;
}

void fake_xfer_free(struct xfer *x)
{
	assert(x->stats.waiting == 0 && x->stats.fences_waiting == 0);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

struct fake_stats fake_xfer_stats(struct xfer *x)
{
	LOCK_SCOPE(&x->lock);
	return x->stats;
}

static char *peer_addr(const struct xfer *x, unsigned int i, size_t *len)
{
	struct peermem_region r;
	bool there;

	peermem_get(x->arena->peers, i, &r, &there);
	assert(there);
	*len = r.len;
	return (char *)(uintptr_t)r.addr;
}

static char *region_addr(const struct xfer *x, unsigned int region, size_t *len)
{
	for (unsigned int i = 0; i < x->arena->nruns; i++) {
		const struct rdma_run *r = &x->arena->runs[i];

		if (region < r->count) {
			*len = r->len;
			return x->arena->addr + r->off + region * r->len;
		}
		region -= (unsigned int)r->count;
	}
	return peer_addr(x, region, len);
}

/* Where a get's bytes go. */
static char *span_addr(const struct xfer *x, const struct xfer_get *g)
{
	size_t len;

	return region_addr(x, g->span.region, &len) + g->span.at;
}

void fake_xfer_reach_peers(struct xfer *x, bool reaches)
{
	LOCK_SCOPE(&x->lock);
	x->reaches = reaches;
}

void xfer_peers_shown(struct xfer *x)
{
	(void)x;
}

bool xfer_peers_hidden(struct xfer *x)
{
	const uint64_t version = peermem_version(x->arena->peers);

	LOCK_SCOPE(&x->lock);
	x->stats.peers_waited = version;
	return true;
}

/* Is it for peer memory that no NIC reaches? */
static bool is_unreached(struct xfer *x, const struct xfer_get *g)
{
	LOCK_SCOPE(&x->lock);
	return !g->span.addr && !x->reaches;
}

void xfer_get_start(struct xfer *x, struct xfer_get *g)
{
	size_t len;

	assert(g->len > 0 && g->len <= g->span.len);
	assert(g->off + g->len <= g->object_len);
	if (is_unreached(x, g)) {
		g->done(g, -EOPNOTSUPP, false);
		return;
	}
	region_addr(x, g->span.region, &len);
	assert(!g->span.addr || g->span.addr == span_addr(x, g));
	assert(g->span.at + g->span.len <= len);
	LOCK_SCOPE(&x->lock);
	assert(x->stats.waiting < MAX_GETS);
	g->has_token = g->replaced = false;
	x->gets[x->stats.waiting++] = g;
	x->stats.started++;
	x->stats.plain += g->plain;
	x->stats.peer_gets += !g->span.addr;
	x->stats.bytes += g->len;
	if (x->stats.waiting > x->stats.max_waiting)
		x->stats.max_waiting = x->stats.waiting;
}

void xfer_fence(struct xfer *x, struct xfer_fence *f)
{
	LOCK_SCOPE(&x->lock);
	list_add_tail(&x->fences, &f->link);
	x->stats.fences_waiting++;
}

void xfer_after(struct xfer *x, struct xfer_timer *t, uint32_t ms)
{
	LOCK_SCOPE(&x->lock);
	(void)ms;
	assert(!x->timer);
	x->timer = t;
}

bool fake_xfer_tick(struct xfer *x, bool ended)
{
	struct xfer_timer *t;

	{
		LOCK_SCOPE(&x->lock);
		t = x->timer;
		x->timer = NULL;
	}
	if (t)
		t->done(t, ended);
	return t != NULL;
}

const struct xfer_get *fake_xfer_peek(struct xfer *x, unsigned int i)
{
	LOCK_SCOPE(&x->lock);
	return i < x->stats.waiting ? x->gets[i] : NULL;
}

static struct xfer_get *take_get(struct xfer *x, unsigned int i)
{
	struct xfer_get *g;

	LOCK_SCOPE(&x->lock);
	if (i >= x->stats.waiting)
		return NULL;
	g = x->gets[i];
	x->stats.waiting--;
	memmove(&x->gets[i], &x->gets[i + 1],
		(x->stats.waiting - i) * sizeof(x->gets[0]));
	return g;
}

static void put_back(struct xfer *x, struct xfer_get *g)
{
	LOCK_SCOPE(&x->lock);
	x->gets[x->stats.waiting++] = g;
	x->stats.no_memory++;
}

static void fill(const struct xfer *x, const struct xfer_get *g)
{
	make_bytes(g->etag, g->off, span_addr(x, g), g->len);
}

/* Is the span still the get's own? */
static bool has_memory(const struct xfer_get *g)
{
	return !g->has_token || g->replaced;
}

static void add_doubt(struct xfer *x, const struct xfer_get *g)
{
	LOCK_SCOPE(&x->lock);
	assert(x->ndoubts < MAX_GETS);
	x->doubts[x->ndoubts++] = (struct doubt){g->span.region, g->span.at,
						 g->len};
}

/* Other memory for a get; it may have none until then. */
static bool change_memory(struct xfer *x, struct xfer_get *g)
{
	if (has_memory(g))
		add_doubt(x, g);
	g->replaced = g->replace(g);
	if (g->replaced)
		return true;
	g->has_token = true; /* no memory: what it had is not its own now */
	put_back(x, g);
	return false;
}

static void spoil(const struct xfer *x, const struct xfer_get *g)
{
	if (has_memory(g))
		memset(span_addr(x, g), 0xEE, g->len);
}

static void succeed(struct xfer *x, struct xfer_get *g)
{
	if (is_unreached(x, g)) {
		g->done(g, -EOPNOTSUPP, false);
		return;
	}
	fill(x, g);
	g->done(g, 0, false);
}

bool fake_xfer_end(struct xfer *x, unsigned int i, enum fake_outcome how)
{
	struct xfer_get *g = take_get(x, i);
	bool lacks;

	if (!g)
		return false;
	lacks = g->has_token && !g->replaced;
	switch (how) {
	case FAKE_BODY:
	case FAKE_OK:
		if ((how == FAKE_BODY || lacks) && !change_memory(x, g))
			return false;
		succeed(x, g);
		break;
	case FAKE_STALE:
		g->done(g, -ESTALE, lacks);
		break;
	case FAKE_DENIED:
		g->done(g, -EACCES, lacks);
		break;
	default:
		spoil(x, g);
		if (how == FAKE_FENCE && has_memory(g))
			add_doubt(x, g);
		g->done(g, -EIO, how == FAKE_FENCE || lacks);
		break;
	}
	return true;
}

static struct xfer_fence *take_fence(struct xfer *x)
{
	struct xfer_fence *f;

	LOCK_SCOPE(&x->lock);
	if (list_empty(&x->fences))
		return NULL;
	f = list_first(&x->fences, struct xfer_fence, link);
	list_del(&f->link);
	x->stats.fences_waiting--;
	x->stats.fences++;
	return f;
}

/* The last moment at which what was told of the region can land. */
static void write_late(struct xfer *x, unsigned int region)
{
	unsigned int n = 0;
	size_t len;

	LOCK_SCOPE(&x->lock);
	for (unsigned int i = 0; i < x->ndoubts; i++) {
		const struct doubt d = x->doubts[i];

		if (d.region == region)
			memset(region_addr(x, region, &len) + d.at, 0xEE,
			       d.len);
		else
			x->doubts[n++] = d;
	}
	x->ndoubts = n;
}

bool fake_xfer_end_fence(struct xfer *x)
{
	struct xfer_fence *f = take_fence(x);

	if (!f)
		return false;
	write_late(x, f->region);
	f->done(f);
	return true;
}

void fake_xfer_drain(struct xfer *x)
{
	bool more = true;

	while (more) {
		const unsigned int n = fake_xfer_stats(x).waiting;

		more = false;
		for (unsigned int i = 0; i < n && !more; i++)
			more = fake_xfer_end(x, i, FAKE_OK);
		more = fake_xfer_end_fence(x) || more;
	}
}

/* One of 16 ends badly, in each of the ways in turn. */
static enum fake_outcome any_outcome(void)
{
	const uint32_t r = random_u32();

	return r & 15 ? FAKE_OK : (enum fake_outcome)((r >> 8) % FAKE_OUTCOMES);
}

static void *run(void *arg)
{
	struct xfer *x = arg;

	for (;;) {
		const struct fake_stats s = fake_xfer_stats(x);
		enum fake_outcome how = any_outcome();
		bool stop;

		/* A stale object would end the test's reads for good. */
		if (how == FAKE_STALE)
			how = FAKE_BODY;
		if (s.waiting)
			fake_xfer_end(x, random_u32() % s.waiting, how);
		if (random_u32() % 4 == 0)
			fake_xfer_end_fence(x);
		{
			LOCK_SCOPE(&x->lock);
			stop = x->stop && !x->stats.waiting &&
			       !x->stats.fences_waiting;
		}
		if (stop)
			return NULL;
		if (!s.waiting)
			sched_yield();
	}
}

void fake_xfer_run(struct xfer *x, unsigned int threads)
{
	assert(threads <= MAX_THREADS);
	while (x->nthreads < threads) {
		const int err = thread_start(&x->threads[x->nthreads],
					     "fake-xfer", run, x);

		assert(!err);
		(void)err;
		x->nthreads++;
	}
}

static void tell_stop(struct xfer *x)
{
	LOCK_SCOPE(&x->lock);
	x->stop = true;
}

void fake_xfer_stop(struct xfer *x)
{
	tell_stop(x);
	while (x->nthreads)
		pthread_join(x->threads[--x->nthreads], NULL);
}
