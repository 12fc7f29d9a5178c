/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of jobs on their way.  A part goes the shortest way there is:
 *
 *   copied    its bytes stand in the file cache, and its place is ours to
 *             write: one memcpy
 *   direct    its place is memory of the pool: a get writes there, by RDMA or
 *             out of the body; or memory of a GPU that a NIC reaches
 *   bounced   its place is on a GPU that no NIC reaches (now), or in a buffer
 *             of an application: through slots of the file cache, and by the
 *             device's copier
 *
 * A direct part cannot change its place when its window has become uncertain,
 * as the cache does: it waits until the key of that region is dead, and then
 * goes on there (replace).  Other parts in the same region lose their tokens
 * with it, and are tried again.
 *
 *   state of a part's fence   replace answers
 *   NONE                      starts it, no
 *   RUNS                      no
 *   DONE                      yes -> NONE
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "gpubuf/gpubuf_int.h"

struct fill {
	struct list link; /* on the free list */
	struct gpubuf *g;
	struct gpubuf_job *job;
	uint64_t off, len;

	/* direct */
	struct xfer_get get;
	struct xfer_fence fence;
	enum { FENCE_NONE, FENCE_RUNS, FENCE_DONE } fenced;
	bool last; /* it ends with the fence */

	/* bounced */
	struct cache_read read;
	struct window window;
	struct copy copy;
};

int fills_new(struct gpubuf *g)
{
	g->fills = calloc(FILLS, sizeof(*g->fills));
	if (!g->fills)
		return -ENOMEM;
	for (int i = 0; i < FILLS; i++) {
		g->fills[i].g = g;
		list_add_tail(&g->free_fills, &g->fills[i].link);
	}
	return 0;
}

void job_queue(struct gpubuf *g, struct gpubuf_job *j)
{
	j->queued = true;
	list_add_tail(&g->queue, &j->link);
}

void waits_answer(struct gpubuf *g, struct list *finished)
{
	struct list *e, *n;

	list_for_each_safe(e, n, finished)
	{
		struct gpubuf_wait *w = container_of(e, struct gpubuf_wait,
						     link);

		list_del(e);
		w->answer(g, w);
	}
}

/* Under the lock: the job gets no further. */
static void fail(struct gpubuf *g, struct gpubuf_job *j, int err,
		 struct list *finished)
{
	if (j->err)
		return;
	j->err = err;
	if (j->queued) {
		list_del(&j->link);
		j->queued = false;
	}
	if (err == -ESTALE || err == -ENOENT)
		cache_object_is_gone(g->cache, j->object, err);
	/* ENOENT is of handles and buffers in these calls. */
	if (err == -ENOENT)
		j->err = -ESTALE;
	if (j->failed)
		j->failed(g, j, finished);
}

/* The part's outcome is known; it is free once nothing can land there. */
static void part_ended(struct fill *f, int err, bool freed)
{
	struct gpubuf *g = f->g;
	struct gpubuf_job *j = f->job;
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&g->lock);
		if (err)
			fail(g, j, err, &finished);
		if (freed) {
			list_add(&g->free_fills, &f->link);
			g->busy--;
			j->pending--;
			if (j->pending == 0 && !j->queued)
				j->ended(g, j, &finished);
			if (g->busy == g->fencing)
				pthread_cond_broadcast(&g->idle);
		}
		g->answering++;
	}
	waits_answer(g, &finished);
	jobs_pump(g);
	LOCK_SCOPE(&g->lock);
	if (--g->answering == 0)
		pthread_cond_broadcast(&g->idle);
}

/* ---- direct ---- */

static void on_fenced(struct xfer_fence *fence)
{
	struct fill *f = container_of(fence, struct fill, fence);
	bool last;

	{
		LOCK_SCOPE(&f->g->lock);
		f->fenced = FENCE_DONE;
		last = f->last;
		f->g->fencing -= last;
	}
	if (last)
		part_ended(f, 0, true);
}

/* None is under way. */
static void start_fence(struct fill *f)
{
	const struct xfer_span *s = &f->get.span;

	{
		LOCK_SCOPE(&f->g->lock);
		f->fenced = FENCE_RUNS;
	}
	f->fence = (struct xfer_fence){.region = s->region,
				       .rail = s->rail,
				       .session = s->session,
				       .done = on_fenced};
	xfer_fence(f->g->xfer, &f->fence);
}

static bool replace(struct xfer_get *get)
{
	struct fill *f = container_of(get, struct fill, get);
	bool done, runs;

	{
		LOCK_SCOPE(&f->g->lock);
		done = f->fenced == FENCE_DONE;
		runs = f->fenced == FENCE_RUNS;
		if (done)
			f->fenced = FENCE_NONE;
	}
	if (!done && !runs)
		start_fence(f);
	return done;
}

/* The answer can be given now; the memory is free when the key is dead. */
static void end_with_fence(struct fill *f, int err)
{
	struct gpubuf *g = f->g;
	bool dead, runs;

	part_ended(f, err, false);
	{
		LOCK_SCOPE(&g->lock);
		/* One that has ended was of the same window: no attempt was
		 * made since. */
		dead = f->fenced == FENCE_DONE;
		runs = f->fenced == FENCE_RUNS;
		f->last = true;
		g->fencing += !dead;
		if (g->busy == g->fencing)
			pthread_cond_broadcast(&g->idle);
	}
	if (dead)
		part_ended(f, 0, true);
	else if (!runs)
		start_fence(f);
}

static void start_bounced(struct fill *f);

static void on_got(struct xfer_get *get, int err, bool fence)
{
	struct fill *f = container_of(get, struct fill, get);
	const struct place *to = &f->job->to;
	struct gpubuf *g = f->g;

	if (err == -EOPNOTSUPP && !to->addr && !fence) {
		start_bounced(f);
		return;
	}
	if (!err && !to->addr)
		err = to->dev->gpu->ops->settle(to->dev->gpu);
	if (fence) {
		assert(err);
		end_with_fence(f, err);
		return;
	}
	if (!err) {
		LOCK_SCOPE(&g->lock);
		g->stats.direct_bytes += f->len;
	}
	part_ended(f, err, true);
}

static void start_direct(struct fill *f)
{
	const struct gpubuf_job *j = f->job;
	const struct object_name name = cache_object_name(j->object);
	const struct place *to = &j->to;
	const size_t at = to->region_at + (f->off - j->lo);

	f->fenced = FENCE_NONE;
	f->last = false;
	f->get = (struct xfer_get){
		.bucket = name.bucket,
		.key = name.key,
		.etag = name.etag,
		.object_len = name.size,
		.off = f->off,
		.len = f->len,
		.span = {.addr = to->addr ? to->addr + (f->off - j->lo) : NULL,
			 .len = f->len,
			 .region = to->region +
				   (unsigned int)(at / to->region_len),
			 .at = at % to->region_len},
		.replace = replace,
		.done = on_got};
	xfer_get_start(f->g->xfer, &f->get);
}

/* ---- bounced ---- */

static void on_copied(struct copy *c, int err)
{
	struct fill *f = container_of(c, struct fill, copy);
	struct gpubuf *g = f->g;

	cache_read_end(g->cache, &f->read);
	if (!err) {
		LOCK_SCOPE(&g->lock);
		g->stats.bounced_bytes += f->len;
	}
	part_ended(f, err, true);
}

static void on_read(struct cache_read *r, int err)
{
	struct fill *f = container_of(r, struct fill, read);
	const struct gpubuf_job *j = f->job;

	if (err) {
		cache_read_end(f->g->cache, r);
		part_ended(f, err, true);
		return;
	}
	f->copy = (struct copy){.to = (j->to.fd < 0 ? j->to.gpu : 0) + j->at +
				      (f->off - j->lo),
				.fd = j->to.fd,
				.iov = r->iov,
				.niov = r->niov,
				.done = on_copied};
	copier_add(j->to.dev->copier, &f->copy);
}

static void start_bounced(struct fill *f)
{
	f->window = (struct window){.reads = 0};
	f->read.object = f->job->object;
	f->read.window = &f->window;
	f->read.off = f->off;
	f->read.len = f->len;
	f->read.done = on_read;
	cache_read_start(f->g->cache, &f->read);
}

/* ---- the queue ---- */

/* Where the part that begins at off ends. */
static uint64_t part_end(const struct gpubuf *g, const struct gpubuf_job *j,
			 uint64_t off)
{
	const uint64_t slot = cache_arena(g->cache)->runs[0].len;
	const struct place *to = &j->to;
	uint64_t end;

	if (to->region_len)
		end = off + to->region_len -
		      (to->region_at + (off - j->lo)) % to->region_len;
	else
		end = (off / slot + 1) * slot;
	/* A pool of two slots must do for what is bounced after all. */
	if (end - off > slot)
		end = off + slot;
	return end < j->hi ? end : j->hi;
}

void jobs_fail(struct gpubuf *g, bool all)
{
	struct list finished;

	list_init(&finished);
	{
		LOCK_SCOPE(&g->lock);
		while (!list_empty(&g->queue) && (all || g->fencing == FILLS)) {
			struct gpubuf_job *j = list_first(
				&g->queue, struct gpubuf_job, link);

			fail(g, j, -EIO, &finished);
			if (j->pending == 0)
				j->ended(g, j, &finished);
		}
	}
	waits_answer(g, &finished);
}

/* Under the lock: the next part to begin; NULL. */
static struct fill *next_part(struct gpubuf *g)
{
	struct gpubuf_job *j;
	struct fill *f;

	if (list_empty(&g->queue) || list_empty(&g->free_fills))
		return NULL;
	j = list_first(&g->queue, struct gpubuf_job, link);
	f = list_first(&g->free_fills, struct fill, link);
	list_del(&f->link);
	f->job = j;
	f->off = j->next;
	j->next = part_end(g, j, j->next);
	f->len = j->next - f->off;
	j->pending++;
	g->busy++;
	if (j->next == j->hi) {
		list_del(&j->link);
		j->queued = false;
	}
	return f;
}

static void start(struct fill *f)
{
	struct gpubuf *g = f->g;
	const struct place *to = &f->job->to;
	const int gone = cache_object_gone(g->cache, f->job->object);

	if (to->addr && cache_copy(g->cache, f->job->object, f->off, f->len,
				   to->addr + (f->off - f->job->lo))) {
		{
			LOCK_SCOPE(&g->lock);
			g->stats.copied_bytes += f->len;
		}
		part_ended(f, 0, true);
	} else if (gone || g->stopped) {
		part_ended(f, gone ? gone : -EIO, true);
	} else if (to->addr ||
		   (to->region_len &&
		    !cache_holds(g->cache, f->job->object, f->off, f->len))) {
		start_direct(f);
	} else {
		start_bounced(f);
	}
}

void jobs_pump(struct gpubuf *g)
{
	/* A part that ends at once must not begin the next one within itself:
	 * there may be thousands. */
	static _Thread_local bool pumping;
	struct fill *f;

	if (pumping)
		return;
	pumping = true;
	do {
		{
			LOCK_SCOPE(&g->lock);
			f = next_part(g);
		}
		if (f)
			start(f);
	} while (f);
	pumping = false;
}
