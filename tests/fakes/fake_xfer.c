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

struct xfer {
	const struct rdma_arena *arena; /* borrowed */
	pthread_t threads[MAX_THREADS];
	unsigned int nthreads;

	pthread_mutex_t lock;
	/* Under lock. */
	struct xfer_get *gets[MAX_GETS];
	struct list fences;
	struct fake_stats stats;
	bool stop;
};

unsigned char fake_byte(const char *etag, uint64_t off)
{
	return (unsigned char)(off * 31 + (off >> 8) * 7 + (off >> 16) * 3 +
			       (unsigned char)etag[0] +
			       5 * (unsigned char)(*etag ? etag[1] : 0));
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

static char *region_addr(const struct xfer *x, unsigned int region,
			 size_t *len)
{
	for (unsigned int i = 0; i < x->arena->nruns; i++) {
		const struct rdma_run *r = &x->arena->runs[i];

		if (region < r->count) {
			*len = r->len;
			return x->arena->addr + r->off + region * r->len;
		}
		region -= (unsigned int)r->count;
	}
	abort();
}

void xfer_get_start(struct xfer *x, struct xfer_get *g)
{
	size_t len;

	assert(g->len > 0 && g->len <= g->span.len);
	assert(g->off + g->len <= g->object_len);
	assert(g->span.addr == region_addr(x, g->span.region, &len));
	assert(g->span.len == len);
	LOCK_SCOPE(&x->lock);
	assert(x->stats.waiting < MAX_GETS);
	x->gets[x->stats.waiting++] = g;
	x->stats.started++;
	x->stats.plain += g->plain;
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

static void fill(const struct xfer_get *g)
{
	for (uint64_t i = 0; i < g->len; i++)
		g->span.addr[i] = (char)fake_byte(g->etag, g->off + i);
}

bool fake_xfer_end(struct xfer *x, unsigned int i, enum fake_outcome how)
{
	struct xfer_get *g = take_get(x, i);

	if (!g)
		return false;
	switch (how) {
	case FAKE_BODY:
		if (!g->replace(g)) {
			put_back(x, g);
			return false;
		}
		/* fallthrough */
	case FAKE_OK:
		fill(g);
		g->done(g, 0, false);
		break;
	case FAKE_STALE:
		g->done(g, -ESTALE, false);
		break;
	case FAKE_DENIED:
		g->done(g, -EACCES, false);
		break;
	case FAKE_FENCE:
		memset(g->span.addr, 0xEE, g->len);
		g->done(g, -EIO, true);
		break;
	default:
		memset(g->span.addr, 0xEE, g->len);
		g->done(g, -EIO, false);
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

bool fake_xfer_end_fence(struct xfer *x)
{
	struct xfer_fence *f = take_fence(x);
	size_t len;
	char *addr;

	if (!f)
		return false;
	addr = region_addr(x, f->region, &len);
	memset(addr, 0xEE, len);
	f->done(f);
	return true;
}

void fake_xfer_drain(struct xfer *x)
{
	while (fake_xfer_end(x, 0, FAKE_OK) || fake_xfer_end_fence(x))
		;
}

/* One of 16 ends badly, in each of the ways in turn. */
static enum fake_outcome any_outcome(void)
{
	const uint32_t r = random_u32();

	return r & 15 ? FAKE_OK
		      : (enum fake_outcome)((r >> 8) % FAKE_OUTCOMES);
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
