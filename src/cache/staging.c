/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state         on a free list   token may be alive   bytes may be read
 *   FREE          yes              no                   no
 *   ARMED         no               yes                  no
 *   READY         no               no                   yes
 *   QUARANTINED   no               yes                  no
 *   LENT          no               the borrower knows   the borrower knows
 *
 *   FREE -> ARMED -> READY -> FREE
 *           ARMED -> FREE              (nothing was sent, or it ended surely)
 *           ARMED -> QUARANTINED -> FREE    (uncertain; then the fence)
 *   FREE -> LENT -> FREE               (all of an extent at once)
 *
 * Threads, locks: staging.h.
 */
#include "cache/staging.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/arena.h"

struct staging {
	/* Constant after staging_new. */
	struct rdma_arena arena;
	struct slot *slots;     /* owned */
	struct extent *extents; /* owned */
	unsigned int nextents;
	unsigned int count[SLOT_CLASSES];
	bool pinned;

	struct list free[SLOT_CLASSES];
	unsigned int nfree[SLOT_CLASSES];
	unsigned int states[SLOT_STATES];
	unsigned int lent; /* extents */
};

static void check(const struct staging *p, const struct slot *s)
{
	const bool listed = !list_empty(&s->link);

	assert(s->state < SLOT_STATES);
	assert(listed == (s->state == SLOT_FREE));
	assert(p->states[SLOT_FREE] == p->nfree[0] + p->nfree[1]);
}

static int make_extents(struct staging *p, unsigned int per)
{
	const struct rdma_run *r = &p->arena.runs[SLOT_BIG];

	p->nextents = ((unsigned int)r->count + per - 1) / per;
	p->extents = calloc(p->nextents, sizeof(*p->extents));
	if (!p->extents)
		return -ENOMEM;
	for (unsigned int i = 0; i < p->nextents; i++) {
		const unsigned int first = i * per;
		const unsigned int left = (unsigned int)r->count - first;
		const unsigned int n = left < per ? left : per;

		p->extents[i] = (struct extent){.addr = p->arena.addr +
							first * r->len,
						.len = n * r->len,
						.region_len = r->len,
						.fd = p->arena.files[i].fd,
						.region = first,
						.nregions = n};
		for (unsigned int k = first; k < first + n; k++)
			p->slots[k].extent = &p->extents[i];
	}
	return 0;
}

static int make_slots(struct staging *p)
{
	const unsigned int n = p->count[SLOT_BIG] + p->count[SLOT_SMALL];

	p->slots = calloc(n, sizeof(*p->slots));
	if (!p->slots)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		struct slot *s = &p->slots[i];
		const bool small = i >= p->count[SLOT_BIG];
		const struct rdma_run *r = &p->arena.runs[small];
		const uint64_t at = i - (small ? p->count[SLOT_BIG] : 0);

		s->pool = p;
		s->class = small ? SLOT_SMALL : SLOT_BIG;
		s->span = (struct xfer_span){.addr = p->arena.addr + r->off +
						     at * r->len,
					     .len = r->len,
					     .region = i};
		list_add_tail(&p->free[s->class], &s->link);
		p->nfree[s->class]++;
	}
	p->states[SLOT_FREE] = n;
	return 0;
}

int staging_new(const struct staging_config *cfg, struct staging **out)
{
	struct staging *p = calloc(1, sizeof(*p));
	unsigned int per;
	int err;

	if (!p)
		return -ENOMEM;
	for (int c = 0; c < SLOT_CLASSES; c++)
		list_init(&p->free[c]);
	err = arena_new(cfg, &p->arena, &per, &p->pinned);
	for (int c = 0; c < SLOT_CLASSES; c++)
		p->count[c] = (unsigned int)p->arena.runs[c].count;
	if (!err)
		err = make_slots(p);
	if (!err)
		err = make_extents(p, per);
	if (err) {
		staging_free(p);
		return err;
	}
	*out = p;
	return 0;
}

void staging_free(struct staging *p)
{
	if (!p)
		return;
	arena_free(&p->arena);
	free(p->extents);
	free(p->slots);
	free(p);
}

const struct rdma_arena *staging_arena(const struct staging *p)
{
	return &p->arena;
}

size_t staging_slot_size(const struct staging *p, enum slot_class class)
{
	return p->arena.runs[class].len;
}

unsigned int staging_slots(const struct staging *p, enum slot_class class)
{
	return p->count[class];
}

unsigned int staging_free_slots(const struct staging *p, enum slot_class class)
{
	return p->nfree[class];
}

static void move(struct slot *s, enum slot_state to)
{
	struct staging *p = s->pool;

	check(p, s);
	p->states[s->state]--;
	p->states[to]++;
	if (s->state == SLOT_FREE) {
		list_del(&s->link);
		p->nfree[s->class]--;
	}
	s->state = to;
	if (to == SLOT_FREE) {
		/* Last in, first out: that memory is in the CPU's caches. */
		list_add(&p->free[s->class], &s->link);
		p->nfree[s->class]++;
	}
	check(p, s);
}

struct slot *staging_take(struct staging *p, enum slot_class class)
{
	struct slot *s;

	if (list_empty(&p->free[class]))
		return NULL;
	s = list_first(&p->free[class], struct slot, link);
	move(s, SLOT_ARMED);
	if (s->extent)
		s->extent->dirty = true;
	return s;
}

void staging_ready(struct slot *s)
{
	assert(s->state == SLOT_ARMED);
	move(s, SLOT_READY);
}

void staging_put(struct slot *s)
{
	assert(s->state == SLOT_ARMED || s->state == SLOT_READY);
	move(s, SLOT_FREE);
}

void staging_quarantine(struct slot *s)
{
	assert(s->state == SLOT_ARMED);
	move(s, SLOT_QUARANTINED);
}

void staging_fenced(struct slot *s)
{
	assert(s->state == SLOT_QUARANTINED);
	move(s, SLOT_FREE);
}

struct extent *staging_extent(struct staging *p, unsigned int i)
{
	return i < p->nextents ? &p->extents[i] : NULL;
}

struct slot *staging_slot(struct staging *p, unsigned int region)
{
	assert(region < p->arena.runs[0].count + p->arena.runs[1].count);
	return &p->slots[region];
}

void staging_lend(struct staging *p, struct extent *e)
{
	assert(!e->lent);
	for (unsigned int i = 0; i < e->nregions; i++) {
		struct slot *s = &p->slots[e->region + i];

		assert(s->state == SLOT_FREE);
		move(s, SLOT_LENT);
	}
	e->lent = true;
	p->lent++;
	p->count[SLOT_BIG] -= e->nregions;
}

void staging_unlend(struct staging *p, struct extent *e)
{
	assert(e->lent);
	for (unsigned int i = 0; i < e->nregions; i++) {
		struct slot *s = &p->slots[e->region + i];

		assert(s->state == SLOT_LENT);
		move(s, SLOT_FREE);
	}
	e->lent = false;
	p->lent--;
	p->count[SLOT_BIG] += e->nregions;
}

bool staging_is_strained(const struct staging *p)
{
	return p->states[SLOT_QUARANTINED] >
	       (p->count[SLOT_BIG] + p->count[SLOT_SMALL]) / 4;
}

void staging_get_stats(const struct staging *p, struct staging_stats *out)
{
	*out = (struct staging_stats){.slots = p->count[SLOT_BIG] +
					       p->count[SLOT_SMALL] +
					       p->states[SLOT_LENT],
				      .extents = p->nextents,
				      .lent = p->lent,
				      .size = p->arena.size,
				      .pinned = p->pinned};
	memcpy(out->states, p->states, sizeof(out->states));
}
