/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state     file         opens by it   opens through the cache   on the list
 *   none      no           0             any                       no
 *   QUEUED    no           0             any: then it is dropped   no;
 *                                        who opens waits a little
 *   COPYING   in part      0             0, who opens waits        no
 *   READY     whole        any           0                         yes
 *
 *   none -> QUEUED    the last handle was closed, the file was read whole as
 *                     often as it takes, and no other is QUEUED or COPYING
 *   QUEUED -> COPYING its bytes are in the pool, and nobody has it open
 *   COPYING -> READY  and, when a byte was missing or memory, -> none
 *   READY -> none     nobody has it open, and the memory is wanted
 *
 * What is copied leaves the cache piece by piece, so that extents come free for
 * the next pieces.  Only the one that is QUEUED or COPYING takes extents.
 */
#include "cache/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cache/chunk.h"

#define STEP (4ULL << 20)
#define QUEUED_MS 100
#define WHOLE_READS 2 /* after so many it is worth a copy */

enum resident_state { RESIDENT_QUEUED, RESIDENT_COPYING, RESIDENT_READY };

struct resident {
	struct residents *owner;
	struct object *object; /* a reference */
	struct list link;      /* READY: rs->ready, last used first to go */
	enum resident_state state;
	int fd; /* owned; -1: none */
	int id;
	unsigned int opens;
	uint64_t taken; /* of rs->used */
};

struct residents {
	struct residents_config cfg;

	pthread_mutex_t lock;
	pthread_cond_t copied;
	/* Under lock, with resident, opens and wholes of all objects. */
	struct list ready;
	struct resident *copying; /* or queued */
	struct extent **extents;  /* owned array; taken out of the pool */
	unsigned int nextents, most;
	uint64_t room, used; /* bytes of the extents; of the files */
	struct residents_stats stats;
};

static void check(const struct resident *r)
{
	const struct object *o = r->object;

	assert(o->resident == r);
	assert((r->state == RESIDENT_READY) == !list_empty(&r->link));
	assert(r->state == RESIDENT_READY || r->opens == 0);
	assert(r->state == RESIDENT_QUEUED || o->opens == 0);
	assert((r->owner->copying == r) == (r->state != RESIDENT_READY));
}

static bool give_back(void *ctx);

int residents_new(const struct residents_config *cfg, struct residents **out)
{
	struct residents *rs = calloc(1, sizeof(*rs));
	pthread_condattr_t monotonic;

	if (!rs)
		return -ENOMEM;
	rs->cfg = *cfg;
	while (cache_extent(cfg->cache, rs->most))
		rs->most++;
	rs->extents = calloc(rs->most + 1, sizeof(struct extent *));
	if (!rs->extents) {
		free(rs);
		return -ENOMEM;
	}
	list_init(&rs->ready);
	pthread_mutex_init(&rs->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&rs->copied, &monotonic);
	pthread_condattr_destroy(&monotonic);
	cache_on_lack(cfg->cache, give_back, rs);
	*out = rs;
	return 0;
}

/* Under lock: no longer anybody's. */
static void take_off(struct resident *r)
{
	struct residents *rs = r->owner;

	if (r->state == RESIDENT_READY) {
		list_del(&r->link);
		rs->stats.files--;
		rs->stats.bytes -= r->object->size;
	} else {
		rs->copying = NULL;
	}
	rs->used -= r->taken;
	r->object->resident = NULL;
}

/* Not under lock; it was taken off. */
static void end(struct resident *r)
{
	struct residents *rs = r->owner;

	if (r->id > 0)
		rs->cfg.unback(rs->cfg.ctx, r->id);
	if (r->fd >= 0)
		close(r->fd);
	cache_object_put(rs->cfg.cache, r->object);
	free(r);
}

/* An extent that is not needed any more goes back to the pool. */
static bool return_extent(struct residents *rs)
{
	struct extent *e;

	{
		LOCK_SCOPE(&rs->lock);
		if (rs->nextents == 0)
			return false;
		e = rs->extents[rs->nextents - 1];
		if (rs->used + e->len > rs->room)
			return false;
		rs->nextents--;
		rs->room -= e->len;
	}
	cache_extent_fill(e);
	cache_unlend(rs->cfg.cache, e);
	return true;
}

/* The one that was opened longest ago goes. */
static bool evict_one(struct residents *rs)
{
	struct resident *found = NULL;

	{
		struct list *e, *n;

		LOCK_SCOPE(&rs->lock);
		list_for_each_safe(e, n, &rs->ready)
		{
			struct resident *r = container_of(e, struct resident,
							  link);

			if (r->opens > 0)
				continue;
			found = r;
			take_off(r);
			break;
		}
	}
	if (found)
		end(found);
	return found != NULL;
}

/* Somebody wants an extent of the pool: has one come free? */
static bool give_back(void *ctx)
{
	struct residents *rs = ctx;

	do {
		if (return_extent(rs))
			return true;
	} while (evict_one(rs));
	return false;
}

void residents_drop(struct residents *rs)
{
	while (evict_one(rs))
		;
	while (return_extent(rs))
		;
}

void residents_free(struct residents *rs)
{
	if (!rs)
		return;
	cache_on_lack(rs->cfg.cache, NULL, NULL);
	while (evict_one(rs))
		;
	/* Nobody wants their pages any more. */
	while (rs->nextents > 0)
		cache_unlend(rs->cfg.cache, rs->extents[--rs->nextents]);
	assert(list_empty(&rs->ready) && !rs->copying);
	pthread_cond_destroy(&rs->copied);
	pthread_mutex_destroy(&rs->lock);
	free(rs->extents);
	free(rs);
}

/* For a copy that will begin at once, unless all threads that could make it
 * wait here.  Under lock; true when that was too long. */
static bool wait_a_little(struct residents *rs)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += QUEUED_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	return pthread_cond_timedwait(&rs->copied, &rs->lock, &until) ==
	       ETIMEDOUT;
}

int resident_open(struct residents *rs, struct object *o, bool may_wait,
		  int *id)
{
	struct resident *r;
	bool over = false;

	LOCK_SCOPE(&rs->lock);
	while ((r = o->resident) && (r->state == RESIDENT_COPYING ||
				     (r->state == RESIDENT_QUEUED && !over))) {
		if (!may_wait)
			return -EAGAIN;
		if (r->state == RESIDENT_COPYING)
			pthread_cond_wait(&rs->copied, &rs->lock);
		else
			over = wait_a_little(rs);
	}
	if (!r || r->state != RESIDENT_READY) {
		o->opens++;
		*id = 0;
		return 0;
	}
	r->opens++;
	rs->stats.opens++;
	list_del(&r->link);
	list_add_tail(&rs->ready, &r->link);
	check(r);
	*id = r->id;
	return 0;
}

/* Under lock. */
static bool is_wanted(const struct residents *rs, const struct object *o)
{
	return o->opens == 0 && o->wholes >= WHOLE_READS && !o->resident &&
	       !rs->copying && o->size >= RESIDENT_MIN &&
	       rs->stats.files < RESIDENT_FILES && rs->most > 0;
}

struct resident *resident_close(struct residents *rs, struct object *o, int id,
				uint64_t read)
{
	struct resident *r;

	LOCK_SCOPE(&rs->lock);
	if (id) {
		o->resident->opens--;
		return NULL;
	}
	o->opens--;
	if (read >= o->size && o->wholes < WHOLE_READS)
		o->wholes++;
	if (!is_wanted(rs, o))
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	cache_object_hold(rs->cfg.cache, o);
	*r = (struct resident){.owner = rs, .object = o, .fd = -1};
	list_init(&r->link);
	o->resident = rs->copying = r;
	check(r);
	return r;
}

void resident_cancel(struct resident *r)
{
	struct residents *rs = r->owner;

	{
		LOCK_SCOPE(&rs->lock);
		/* What failed is tried again after more reads; what somebody
		 * opened, once that is closed. */
		if (r->object->opens == 0)
			r->object->wholes = 0;
		take_off(r);
		pthread_cond_broadcast(&rs->copied);
	}
	end(r);
	while (return_extent(rs))
		;
}

/* ---- the copy ---- */

static bool is_all_there(const struct residents *rs, struct object *o)
{
	for (uint64_t off = 0; off < o->size; off += STEP) {
		const uint64_t left = o->size - off;

		if (!cache_holds(rs->cfg.cache, o, off,
				 left < STEP ? left : STEP))
			return false;
	}
	return true;
}

/* Could the pool spare so much?  A copy that fails half-way has cost what it
 * took out of the cache. */
static bool may_fit(const struct residents *rs, uint64_t size)
{
	struct cache *c = rs->cfg.cache;

	return size <= (uint64_t)cache_lendable(c) * cache_extent(c, 0)->len;
}

/* QUEUED -> COPYING. */
static bool begin(struct resident *r)
{
	struct residents *rs = r->owner;

	if (!may_fit(rs, r->object->size) || !is_all_there(rs, r->object))
		return false;
	r->fd = memfd_create("s3rdmafs-file", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r->fd < 0 || ftruncate(r->fd, (off_t)r->object->size))
		return false;
	LOCK_SCOPE(&rs->lock);
	if (r->object->opens > 0)
		return false;
	r->state = RESIDENT_COPYING;
	check(r);
	return true;
}

/* One more extent out of the pool, and its pages out of the memory. */
static bool take_extent(struct residents *rs)
{
	struct extent *e = cache_lend(rs->cfg.cache, true);

	if (!e)
		e = cache_lend(rs->cfg.cache, false);
	if (!e)
		return false;
	if (!cache_extent_empty(e)) {
		cache_unlend(rs->cfg.cache, e);
		return false;
	}
	LOCK_SCOPE(&rs->lock);
	rs->extents[rs->nextents++] = e;
	rs->room += e->len;
	return true;
}

/* Under lock or not: only who copies changes them upwards. */
static uint64_t lack(struct residents *rs)
{
	LOCK_SCOPE(&rs->lock);
	return rs->used > rs->room ? rs->used - rs->room : 0;
}

static bool get_room(struct residents *rs, uint64_t most_lacking)
{
	while (lack(rs) > most_lacking)
		if (!take_extent(rs))
			return false;
	return true;
}

static bool copy_piece(struct resident *r, uint64_t off, uint64_t len,
		       uint64_t slack)
{
	struct residents *rs = r->owner;

	{
		LOCK_SCOPE(&rs->lock);
		r->taken += len;
		rs->used += len;
	}
	if (!get_room(rs, slack) ||
	    !cache_write(rs->cfg.cache, r->object, off, len, r->fd))
		return false;
	cache_forget(rs->cfg.cache, r->object, off, len);
	return true;
}

static bool copy_all(struct resident *r)
{
	const uint64_t size = r->object->size;
	const uint64_t slack = cache_extent(r->owner->cfg.cache, 0)->len;

	for (uint64_t off = 0; off < size; off += STEP) {
		const uint64_t left = size - off;

		if (!copy_piece(r, off, left < STEP ? left : STEP, slack))
			return false;
	}
	/* Nobody changes it any more, us included. */
	return get_room(r->owner, 0) &&
	       fcntl(r->fd, F_ADD_SEALS,
		     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK |
			     F_SEAL_SEAL) == 0;
}

/* COPYING -> READY. */
static void publish(struct resident *r)
{
	struct residents *rs = r->owner;

	LOCK_SCOPE(&rs->lock);
	rs->copying = NULL;
	r->state = RESIDENT_READY;
	list_add_tail(&rs->ready, &r->link);
	rs->stats.files++;
	rs->stats.bytes += r->object->size;
	check(r);
	pthread_cond_broadcast(&rs->copied);
}

void resident_copy(void *resident)
{
	struct resident *r = resident;
	struct residents *rs = r->owner;

	if (begin(r) && copy_all(r))
		r->id = rs->cfg.back(rs->cfg.ctx, r->fd);
	if (r->id > 0)
		publish(r);
	else
		resident_cancel(r);
}

void residents_get_stats(struct residents *rs, struct residents_stats *out)
{
	LOCK_SCOPE(&rs->lock);
	*out = rs->stats;
}
