/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may see which memory.  An application can map a whole allocation (a
 * block), and can keep it mapped after UNMAP, as long as it lives.  So a block
 * is leased to one user of the host, and holds nobody else's data until nobody
 * else can have it any more:
 *
 *   state    belongs to             may be held outside   data
 *   HOME     the cache, or the      no                    nobody's that is
 *            GPU's free memory                            exported
 *   MOVING   the thread that        no (*)                its user's, then
 *            moves it                                     none
 *   LEASED   a lease                by its user           its user's
 *
 *   (*) of the pool: the kernel says so, by granting a write lease (fcntl(2))
 *   on the file, which it does only when there is no other open description
 *   of it, so no descriptor and no mapping.  A pipe or a socket may still hold
 *   page frames (splice(2)): so the file gets new ones, the old ones stay with
 *   whoever has them.  Where a NIC or a GPU knows the frames that cannot be,
 *   and what one user has had stays his.  Of a GPU's memory nobody says
 *   anything: what was exported is freed, and other memory takes its place.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memfile.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "gpubuf/gpubuf_int.h"

static void check(const struct block *b)
{
	switch (b->state) {
	case BLOCK_HOME:
		assert(!b->lease && b->nruns == 0 && b->fd < 0 && !b->extent);
		break;
	case BLOCK_MOVING:
		assert(b->nbusy == 0);
		break;
	case BLOCK_LEASED:
		assert(b->lease && b->nbusy <= b->nruns);
		break;
	}
}

struct dev *dev_find(struct gpubuf *g, enum gpubuf_kind kind,
		     unsigned int ordinal)
{
	for (unsigned int i = 0; i < g->ndevs; i++)
		if (g->devs[i].kind == kind && g->devs[i].ordinal == ordinal)
			return &g->devs[i];
	return NULL;
}

struct lease *lease_get(struct gpubuf *g, struct dev *d, uid_t uid)
{
	struct lease *l;
	struct list *e, *n;

	list_for_each_safe(e, n, &g->leases)
	{
		l = container_of(e, struct lease, link);
		if (l->uid == uid && l->dev == d)
			return l;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->uid = uid;
	l->dev = d;
	list_init(&l->blocks);
	list_init(&l->idle);
	list_add_tail(&g->leases, &l->link);
	g->stats.users++;
	return l;
}

/* ---- units ---- */

static bool is_taken(const struct block *b, unsigned int i)
{
	return b->map[i / 64] >> (i % 64) & 1;
}

static void mark(struct block *b, unsigned int unit, unsigned int n, bool taken)
{
	for (unsigned int i = unit; i < unit + n; i++) {
		assert(is_taken(b, i) != taken);
		b->map[i / 64] ^= 1ULL << (i % 64);
	}
	b->nfree = taken ? b->nfree - n : b->nfree + n;
}

/* The first n adjoining free units; false when there are none. */
static bool find_units(const struct block *b, unsigned int n,
		       unsigned int *unit)
{
	unsigned int run = 0;

	for (unsigned int i = 0; i < b->units; i++) {
		if (i % 64 == 0 && b->map[i / 64] == UINT64_MAX) {
			i += 63;
			run = 0;
			continue;
		}
		run = is_taken(b, i) ? 0 : run + 1;
		if (run == n) {
			*unit = i + 1 - n;
			return true;
		}
	}
	return false;
}

struct block *lease_place(struct lease *l, unsigned int n, unsigned int *unit)
{
	struct list *e, *next;

	list_for_each_safe(e, next, &l->blocks)
	{
		struct block *b = container_of(e, struct block, link);

		if (b->nfree < n || !find_units(b, n, unit))
			continue;
		mark(b, *unit, n, true);
		b->nruns++;
		return b;
	}
	return NULL;
}

void block_release(struct block *b, unsigned int unit, unsigned int n)
{
	mark(b, unit, n, false);
	b->nruns--;
}

/* ---- blocks that move; not under the lock ---- */

static int open_for_reading(int fd)
{
	char path[40];
	int reader;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_CLOEXEC);
	return reader < 0 ? -errno : reader;
}

/* MOVING, for a new user: what was there is gone. */
static int renew(struct gpubuf *g, struct block *b)
{
	struct gpu *u = b->dev->gpu;

	if (b->dev->kind == GPUBUF_HOST) {
		if (b->extent->dirty)
			memset(b->extent->addr, 0, b->len);
		/* From now on it holds the new user's. */
		b->extent->dirty = true;
		b->fd = open_for_reading(b->extent->fd);
		return b->fd < 0 ? b->fd : 0;
	}
	if (b->used) {
		if (!peer_hide(g, b))
			return -EAGAIN;
		u->ops->free(u, &b->mem);
		b->mem = (struct gpu_mem){.len = 0};
		b->used = false;
	}
	if (!b->mem.len && u->ops->alloc(u, b->len, &b->mem)) {
		b->mem.len = 0;
		return -ENOMEM;
	}
	b->used = true;
	peer_show(g, b);
	return u->ops->wipe(u, b->mem.addr, b->mem.len);
}

static void close_reader(struct block *b)
{
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
}

static void go_home(struct gpubuf *g, struct block *b)
{
	struct extent *e;

	close_reader(b);
	{
		LOCK_SCOPE(&g->lock);
		e = b->extent;
		b->extent = NULL;
		b->state = BLOCK_HOME;
		check(b);
	}
	/* From here on another thread may be lent it. */
	if (e)
		cache_unlend(g->cache, e);
}

static void attach(struct gpubuf *g, struct block *b, struct lease *l,
		   bool is_new)
{
	LOCK_SCOPE(&g->lock);
	b->state = BLOCK_LEASED;
	b->lease = l;
	if (is_new) {
		b->id = ++g->next_id;
		memset(b->map, 0, (b->units + 63) / 64 * 8);
		b->nfree = b->units;
		g->stats.wiped_bytes += b->len;
	}
	list_add_tail(&l->blocks, &b->link);
	l->nblocks++;
	if (is_new)
		l->used_ms = clock_ms();
	g->stats.leased_bytes += b->len;
	check(b);
}

/* Under the lock: LEASED -> MOVING; what is in it stays, but is not found. */
static void detach(struct gpubuf *g, struct block *b)
{
	assert(b->nbusy == 0);
	list_del(&b->link);
	b->lease->nblocks--;
	g->stats.leased_bytes -= b->len;
	b->state = BLOCK_MOVING;
}

/* Under the lock: the idle runs of a block that leaves its lease. */
static void evict_all(struct gpubuf *g, struct block *b)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &b->lease->idle)
	{
		struct run *r = container_of(e, struct run, idle);

		if (r->block == b)
			run_evict(g, r);
	}
	assert(b->nruns == 0);
	b->lease = NULL;
}

/* Other page frames in the place of those that were exported. */
static bool change_frames(struct block *b)
{
	if (!cache_extent_empty(b->extent))
		return false;
	cache_extent_fill(b->extent);
	return true;
}

/* Has a block that was detached really been let go of? */
static bool is_let_go(const struct gpubuf *g, struct block *b)
{
	if (b->dev->kind != GPUBUF_HOST)
		return true;
	if (g->cfg.frames_are_known)
		return false;
	close_reader(b);
	return memfile_is_ours_alone(b->extent->fd) && change_frames(b);
}

/* A block of its home; NULL. */
static struct block *take_home(struct gpubuf *g, struct dev *d, bool easily)
{
	struct extent *e = NULL;

	if (d->kind == GPUBUF_HOST) {
		e = cache_lend(g->cache, easily, NULL);
		if (!e)
			return NULL;
	}
	LOCK_SCOPE(&g->lock);
	for (unsigned int i = 0; i < d->nblocks; i++) {
		struct block *b = &d->blocks[i];

		if (e ? cache_extent(g->cache, i) != e : b->state != BLOCK_HOME)
			continue;
		assert(b->state == BLOCK_HOME);
		b->state = BLOCK_MOVING;
		b->extent = e;
		return b;
	}
	assert(!e);
	return NULL;
}

/* Under the lock: a block that only idle runs are in, of another lease, and not
 * tried in this round yet. */
static struct block *find_idle(struct gpubuf *g, const struct lease *but,
			       const struct dev *d, uint64_t before_ms,
			       uint64_t round)
{
	struct list *e, *n, *be, *bn;

	list_for_each_safe(e, n, &g->leases)
	{
		struct lease *l = container_of(e, struct lease, link);

		if (l == but || (d && l->dev != d) || l->used_ms > before_ms)
			continue;
		list_for_each_safe(be, bn, &l->blocks)
		{
			struct block *b = container_of(be, struct block, link);

			if (b->nbusy == 0 && b->round < round)
				return b;
		}
	}
	return NULL;
}

/*
 * Takes such a block away; MOVING, or NULL when there is none.  One that
 * somebody still holds stays where it was.
 */
static struct block *take_idle(struct gpubuf *g, const struct lease *but,
			       const struct dev *d, uint64_t before_ms)
{
	uint64_t round = 0;

	for (;;) {
		struct lease *old;
		struct block *b;
		bool free;

		{
			LOCK_SCOPE(&g->lock);
			if (!round)
				round = ++g->round;
			b = find_idle(g, but, d, before_ms, round);
			if (!b)
				return NULL;
			old = b->lease;
			old->handles++; /* so that it stays */
			b->round = round;
			detach(g, b);
		}
		free = is_let_go(g, b);
		if (!free) {
			if (b->fd < 0)
				b->fd = open_for_reading(b->extent->fd);
			attach(g, b, old, false);
		}
		LOCK_SCOPE(&g->lock);
		if (free)
			evict_all(g, b);
		old->handles--;
		if (free)
			return b;
	}
}

/* One user leaves something to the others.  Reserves one for the caller. */
static bool reserve(struct gpubuf *g, struct lease *l)
{
	const unsigned int all = l->dev->kind == GPUBUF_HOST
					 ? cache_lendable(g->cache)
					 : l->dev->nblocks;
	const unsigned int most = all - (all > 1) - all / 8;

	LOCK_SCOPE(&g->lock);
	if (g->stopped || l->nblocks + l->growing >= most)
		return false;
	l->growing++;
	return true;
}

static int grow(struct gpubuf *g, struct lease *l, bool easily)
{
	struct block *b = take_home(g, l->dev, easily);
	int err;

	if (!b && !easily)
		b = take_idle(g, l, l->dev, UINT64_MAX);
	if (!b)
		return -EAGAIN;
	err = renew(g, b);
	if (err) {
		log_warning("gpubuf: memory for applications: %s",
			    strerror(-err));
		go_home(g, b);
		return -EAGAIN;
	}
	attach(g, b, l, true);
	return 0;
}

int lease_grow(struct gpubuf *g, struct lease *l, bool easily)
{
	int err;

	if (!reserve(g, l))
		return -EAGAIN;
	err = grow(g, l, easily);
	LOCK_SCOPE(&g->lock);
	l->growing--;
	return err;
}

/* Leases that have nothing any more go. */
static void forget_empty(struct gpubuf *g)
{
	struct list *e, *n;

	LOCK_SCOPE(&g->lock);
	list_for_each_safe(e, n, &g->leases)
	{
		struct lease *l = container_of(e, struct lease, link);

		if (l->nblocks || l->handles || !list_empty(&l->idle))
			continue;
		list_del(&l->link);
		free(l);
		g->stats.users--;
	}
}

void lease_shrink(struct gpubuf *g, uint64_t before_ms)
{
	struct block *b;

	while ((b = take_idle(g, NULL, NULL, before_ms)))
		go_home(g, b);
	forget_empty(g);
}

void leases_free(struct gpubuf *g)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &g->leases)
		free(container_of(e, struct lease, link));
	for (unsigned int i = 0; i < g->ndevs; i++) {
		struct dev *d = &g->devs[i];

		for (unsigned int k = 0; d->blocks && k < d->nblocks; k++) {
			if (d->blocks[k].fd >= 0)
				close(d->blocks[k].fd);
			if (d->gpu && d->blocks[k].mem.len)
				d->gpu->ops->free(d->gpu, &d->blocks[k].mem);
			peer_close(&d->blocks[k]);
			free(d->blocks[k].map);
		}
		free(d->blocks);
	}
}
