/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state     opens by it   opens through the cache   on the list   waiters
 *   none      0             any                       no            none
 *   COPYING   0             0                         no            any
 *   READY     any           0                         yes           none
 *
 *   none -> COPYING   the last handle was closed, the file was read whole as
 *                     often as it takes, and no other is COPYING
 *   COPYING -> READY  and, when a byte was missing or memory, -> none
 *   READY -> none     nobody has it open or mapped, and the memory is wanted
 *
 * One thread copies, one file at a time.  What is copied leaves the cache piece
 * by piece, so that extents come free for the next pieces; only that thread
 * takes extents.
 */
#include "cache/resident.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memfile.h"
#include "base/thread.h"
#include "cache/chunk.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define STEP (4ULL << 20)
#define WHOLE_READS 2  /* after so many it is worth a copy */
#define NEVER UINT_MAX /* in their place: a copy has failed */
/* What was not opened for so long goes when the cache is short of memory; how
 * often that is looked at. */
#define OLD_NS (60 * 1000000000ULL)
#define LOOK_S 10

enum resident_state { RESIDENT_COPYING, RESIDENT_READY };

struct resident {
	struct residents *owner;
	struct object *object; /* a reference */
	struct list link;      /* READY: rs->ready, last opened last */
	enum resident_state state;
	int fd; /* owned; -1: none */
	int id;
	unsigned int opens;
	uint64_t opened_ns;
	uint64_t taken; /* of rs->used */
};

struct residents {
	struct residents_config cfg;
	unsigned int max_files; /* constant */
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* copying, stop */
	/* Under lock, with resident, opens and wholes of all objects. */
	bool started, stop;
	struct list ready;
	struct resident *copying;
	struct list waiters;
	struct extent **extents; /* owned array; taken out of the pool */
	unsigned int nextents, most;
	uint64_t room, used; /* bytes of the extents; of the files */
	uint64_t evictions;  /* of the cache, when it was looked at last */
	struct residents_stats stats;
};

static void check(const struct resident *r)
{
	const struct object *o = r->object;

	assert(o->resident == r);
	assert((r->state == RESIDENT_READY) == !list_empty(&r->link));
	assert(r->state == RESIDENT_READY || r->opens == 0);
	assert(o->opens == 0);
	assert((r->owner->copying == r) == (r->state == RESIDENT_COPYING));
}

static bool give_back(void *ctx);

/* Each takes a descriptor, and there are others who need some. */
static unsigned int max_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur / 4 > RESIDENT_FILES)
		return RESIDENT_FILES;
	return (unsigned int)r.rlim_cur / 4;
}

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
	rs->max_files = max_files();
	list_init(&rs->ready);
	list_init(&rs->waiters);
	pthread_mutex_init(&rs->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&rs->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	cache_on_lack(cfg->cache, give_back, rs);
	*out = rs;
	return 0;
}

/* Under lock: no longer anybody's.  Its memory is still taken. */
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
	{
		LOCK_SCOPE(&rs->lock);
		rs->used -= r->taken;
	}
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

/* Under lock.  A mapping may outlive the handle that it was made with, and
 * keeps the pages. */
static bool may_go(const struct resident *r)
{
	return r->opens == 0 && memfile_is_ours_alone(r->fd);
}

/* The one that was opened longest ago goes, if that was before. */
static bool evict_one(struct residents *rs, uint64_t before_ns)
{
	struct resident *found = NULL;
	struct list *e, *n;

	{
		LOCK_SCOPE(&rs->lock);
		list_for_each_safe(e, n, &rs->ready)
		{
			struct resident *r = container_of(e, struct resident,
							  link);

			if (found || r->opened_ns >= before_ns || !may_go(r))
				continue;
			found = r;
			take_off(r);
		}
	}
	if (found)
		end(found);
	return found != NULL;
}

/* Would an extent come free if all went that may? */
static bool can_yield(struct residents *rs)
{
	struct list *e, *n;
	uint64_t left;

	LOCK_SCOPE(&rs->lock);
	if (rs->nextents == 0)
		return false;
	left = rs->used;
	list_for_each_safe(e, n, &rs->ready)
	{
		const struct resident *r = container_of(e, struct resident,
							link);

		if (may_go(r))
			left -= r->taken;
	}
	return left + rs->extents[rs->nextents - 1]->len <= rs->room;
}

/* Somebody wants an extent of the pool: has one come free? */
static bool give_back(void *ctx)
{
	struct residents *rs = ctx;

	if (!can_yield(rs))
		return false;
	do {
		if (return_extent(rs))
			return true;
	} while (evict_one(rs, UINT64_MAX));
	return false;
}

void residents_drop(struct residents *rs)
{
	while (evict_one(rs, UINT64_MAX))
		;
	while (return_extent(rs))
		;
}

void residents_free(struct residents *rs)
{
	struct list *e, *n;

	if (!rs)
		return;
	cache_on_lack(rs->cfg.cache, NULL, NULL);
	/* Those that are still mapped somewhere, too. */
	list_for_each_safe(e, n, &rs->ready)
	{
		struct resident *r = container_of(e, struct resident, link);

		take_off(r);
		end(r);
	}
	/* Nobody wants their pages any more. */
	while (rs->nextents > 0)
		cache_unlend(rs->cfg.cache, rs->extents[--rs->nextents]);
	assert(!rs->copying && list_empty(&rs->waiters));
	pthread_cond_destroy(&rs->changed);
	pthread_mutex_destroy(&rs->lock);
	free(rs->extents);
	free(rs);
}

int resident_open(struct residents *rs, struct object *o,
		  struct resident_waiter *w, int *id)
{
	struct resident *r;

	LOCK_SCOPE(&rs->lock);
	r = o->resident;
	if (r && r->state == RESIDENT_COPYING) {
		if (!w)
			return -EAGAIN;
		list_add_tail(&rs->waiters, &w->link);
		return -EINPROGRESS;
	}
	if (!r) {
		o->opens++;
		*id = 0;
		return 0;
	}
	r->opens++;
	r->opened_ns = clock_ns();
	rs->stats.opens++;
	list_del(&r->link);
	list_add_tail(&rs->ready, &r->link);
	check(r);
	*id = r->id;
	return 0;
}

static void *run(void *arg);

/* Under lock. */
static bool is_wanted(const struct residents *rs, const struct object *o)
{
	return o->opens == 0 && o->wholes == WHOLE_READS && !o->resident &&
	       !rs->copying && !rs->stop && o->size >= RESIDENT_MIN &&
	       rs->most > 0 && rs->max_files > 0;
}

/* Under lock. */
static bool has_thread(struct residents *rs)
{
	if (!rs->started)
		rs->started = !thread_start(&rs->thread, "copier", run, rs);
	return rs->started;
}

void resident_close(struct residents *rs, struct object *o, int id,
		    uint64_t read)
{
	struct resident *r;

	LOCK_SCOPE(&rs->lock);
	if (id) {
		o->resident->opens--;
		return;
	}
	o->opens--;
	if (read >= o->size && o->wholes < WHOLE_READS)
		o->wholes++;
	if (!is_wanted(rs, o) || !has_thread(rs))
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	cache_object_hold(rs->cfg.cache, o);
	*r = (struct resident){.owner = rs, .object = o, .fd = -1};
	list_init(&r->link);
	o->resident = rs->copying = r;
	check(r);
	pthread_cond_signal(&rs->changed);
}

/* After the lock is left: who waited tries again. */
static void let_go(struct list *waiters)
{
	struct list *e, *n;

	list_for_each_safe(e, n, waiters)
	{
		struct resident_waiter *w = container_of(
			e, struct resident_waiter, link);

		list_del(e);
		w->ready(w);
	}
}

/* COPYING -> none.  Of what failed before anything was lost it is tried again,
 * after more reads. */
static void cancel(struct resident *r)
{
	struct residents *rs = r->owner;
	struct list waiters;

	list_init(&waiters);
	{
		LOCK_SCOPE(&rs->lock);
		r->object->wholes = r->taken ? NEVER : 0;
		take_off(r);
		list_move_all(&rs->waiters, &waiters);
	}
	end(r);
	while (return_extent(rs))
		;
	let_go(&waiters);
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

static int new_file(uint64_t size)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("s3rdmafs-file", flags | MFD_NOEXEC_SEAL);

	if (fd < 0) /* before Linux 6.3 */
		fd = memfd_create("s3rdmafs-file", flags);
	if (fd >= 0 && ftruncate(fd, (off_t)size)) {
		close(fd);
		return -1;
	}
	return fd < 0 ? fd : memfile_opened(fd);
}

/* All that can be found out before the cache loses anything. */
static bool prepare(struct resident *r)
{
	struct residents *rs = r->owner;
	bool full;

	if (!may_fit(rs, r->object->size) || !is_all_there(rs, r->object))
		return false;
	{
		LOCK_SCOPE(&rs->lock);
		full = rs->stats.files >= rs->max_files;
	}
	if (full && !evict_one(rs, UINT64_MAX))
		return false;
	r->fd = new_file(r->object->size);
	if (r->fd < 0)
		return false;
	r->id = rs->cfg.back(rs->cfg.ctx, r->fd);
	return r->id > 0;
}

/* One more extent out of the pool, and its pages out of the memory. */
static bool take_extent(struct residents *rs, const struct object *spare)
{
	struct extent *e = cache_lend(rs->cfg.cache, true, spare);

	if (!e)
		e = cache_lend(rs->cfg.cache, false, spare);
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

static uint64_t lack(struct residents *rs)
{
	LOCK_SCOPE(&rs->lock);
	return rs->used > rs->room ? rs->used - rs->room : 0;
}

static bool get_room(struct resident *r, uint64_t most_lacking)
{
	while (lack(r->owner) > most_lacking)
		if (!take_extent(r->owner, r->object))
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
	if (!get_room(r, slack) ||
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
	return get_room(r, 0) &&
	       fcntl(r->fd, F_ADD_SEALS,
		     F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK |
			     F_SEAL_SEAL) == 0;
}

/* COPYING -> READY. */
static void publish(struct resident *r)
{
	struct residents *rs = r->owner;
	struct list waiters;

	list_init(&waiters);
	{
		LOCK_SCOPE(&rs->lock);
		rs->copying = NULL;
		r->state = RESIDENT_READY;
		r->opened_ns = clock_ns();
		list_add_tail(&rs->ready, &r->link);
		rs->stats.files++;
		rs->stats.bytes += r->object->size;
		check(r);
		list_move_all(&rs->waiters, &waiters);
	}
	let_go(&waiters);
}

/* ---- the thread ---- */

/* The pool's memory is wanted by the cache, too: what is old goes. */
static void give_old_back(struct residents *rs)
{
	struct cache_stats s;
	bool is_short;

	cache_get_stats(rs->cfg.cache, &s);
	{
		LOCK_SCOPE(&rs->lock);
		is_short = s.evictions != rs->evictions;
		rs->evictions = s.evictions;
	}
	if (!is_short)
		return;
	while (evict_one(rs, clock_ns() - OLD_NS))
		;
	while (return_extent(rs))
		;
}

/* The next to copy; NULL when it is time to look at the old ones, or to stop.
 */
static struct resident *wait_for_work(struct residents *rs, bool *stop)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOOK_S;
	LOCK_SCOPE(&rs->lock);
	while (!rs->stop && !rs->copying &&
	       pthread_cond_timedwait(&rs->changed, &rs->lock, &until) == 0)
		;
	*stop = rs->stop;
	return rs->copying;
}

static void *run(void *arg)
{
	struct residents *rs = arg;
	bool stop = false;

	while (!stop) {
		struct resident *r = wait_for_work(rs, &stop);

		if (!r)
			give_old_back(rs);
		else if (!stop && prepare(r) && copy_all(r))
			publish(r);
		else
			cancel(r);
	}
	return NULL;
}

void residents_stop(struct residents *rs)
{
	bool started;

	if (!rs)
		return;
	{
		LOCK_SCOPE(&rs->lock);
		rs->stop = true;
		started = rs->started;
		rs->started = false;
		pthread_cond_signal(&rs->changed);
	}
	if (started)
		pthread_join(rs->thread, NULL);
}

void residents_get_stats(struct residents *rs, struct residents_stats *out)
{
	LOCK_SCOPE(&rs->lock);
	*out = rs->stats;
}
