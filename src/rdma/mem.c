/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deregistering is the fence.  The trap behind it: the kernel keeps keys it
 * took back, and the next registration of the same size may get one again,
 * which would bring a stale token back to life.  So keys are remembered for
 * the hold time, and one that comes back early is parked: registered over a
 * page that nobody reads, until its time is over.
 *
 * While keys are tried the region is in quarantine, so that a write that
 * slips in under a recycled one is read by nobody.
 */
#include "rdma/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"

#define TRIES 16
#define PARKED_MAX 64
#define DEAD_MAX 4096 /* keys remembered; the oldest makes room */

struct dead_key {
	uint32_t key;
	uint64_t until_ms; /* 0: an empty place */
};

struct parked {
	struct ibv_mr *mr; /* owned */
	uint64_t until_ms;
};

struct mem {
	struct device *device;          /* borrowed */
	const struct rdma_arena *arena; /* borrowed */
	int access;
	struct ibv_mr **mrs;     /* owned; NULL while a region has no key */
	_Atomic uint32_t *rkeys; /* owned */
	unsigned int n;

	struct dead_key *dead; /* owned ring of DEAD_MAX */
	unsigned int next_dead;
	struct parked parked[PARKED_MAX];
	void *scratch; /* owned: as large as the largest region */
	size_t scratch_len;
};

static struct ibv_mr *register_at(struct mem *m, void *addr, size_t len)
{
	errno = 0;
	return ibv_reg_mr(m->device->pd, addr, len, m->access);
}

static int register_region(struct mem *m, unsigned int region)
{
	size_t len;
	char *addr = rdma_region(m->arena, region, &len);

	m->mrs[region] = register_at(m, addr, len);
	if (!m->mrs[region])
		return errno ? -errno : -ENOMEM;
	atomic_store(&m->rkeys[region], m->mrs[region]->rkey);
	return 0;
}

static int deregister(struct mem *m, unsigned int region)
{
	/* rdma-core returns the number, and sets errno besides. */
	const int err = m->mrs[region] ? ibv_dereg_mr(m->mrs[region]) : 0;

	if (err)
		return err > 0 ? -err : -EIO;
	m->mrs[region] = NULL;
	return 0;
}

static void remember(struct mem *m, uint32_t key, uint64_t now_ms)
{
	m->dead[m->next_dead] = (struct dead_key){key, now_ms + MEM_HOLD_MS};
	m->next_dead = (m->next_dead + 1) % DEAD_MAX;
}

static bool died_lately(const struct mem *m, uint32_t key, uint64_t now_ms)
{
	for (unsigned int i = 0; i < DEAD_MAX; i++)
		if (m->dead[i].key == key && m->dead[i].until_ms > now_ms)
			return true;
	return false;
}

static void unpark_old(struct mem *m, uint64_t now_ms)
{
	for (unsigned int i = 0; i < PARKED_MAX; i++)
		if (m->parked[i].mr && m->parked[i].until_ms <= now_ms &&
		    !ibv_dereg_mr(m->parked[i].mr))
			m->parked[i].mr = NULL;
}

/* Registers the scratch memory, of the same length, in the hope of the key
 * that was just given back.  What it gets is kept until its time is over. */
static void park(struct mem *m, size_t len, uint64_t now_ms)
{
	for (unsigned int i = 0; i < PARKED_MAX; i++) {
		struct parked *p = &m->parked[i];

		if (p->mr)
			continue;
		p->mr = register_at(m, m->scratch, len);
		p->until_ms = now_ms + MEM_HOLD_MS;
		return;
	}
}

int mem_renew(struct mem *m, unsigned int region, uint64_t now_ms)
{
	size_t len;
	int err;

	rdma_region(m->arena, region, &len);
	unpark_old(m, now_ms);
	if (m->mrs[region]) {
		const uint32_t old = m->mrs[region]->rkey;

		err = deregister(m, region);
		if (err)
			return err;
		remember(m, old, now_ms);
	}
	for (int i = 0; i < TRIES; i++) {
		err = register_region(m, region);
		if (err)
			return -EAGAIN;
		if (!died_lately(m, m->mrs[region]->rkey, now_ms))
			return 0;
		err = deregister(m, region);
		if (err)
			return err;
		park(m, len, now_ms);
	}
	return -EAGAIN;
}

uint32_t mem_rkey(const struct mem *m, unsigned int region)
{
	return atomic_load(&m->rkeys[region]);
}

static int make_scratch(struct mem *m)
{
	for (unsigned int i = 0; i < m->arena->nruns; i++)
		if (m->arena->runs[i].len > m->scratch_len)
			m->scratch_len = m->arena->runs[i].len;
	m->scratch = mmap(NULL, m->scratch_len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->scratch == MAP_FAILED) {
		m->scratch = NULL;
		return -errno;
	}
	madvise(m->scratch, m->scratch_len, MADV_DONTFORK);
	return 0;
}

int mem_new(struct device *d, const struct rdma_arena *arena, int access,
	    struct mem **out, char *why, size_t cap)
{
	struct mem *m = calloc(1, sizeof(*m));
	int err = 0;

	if (!m)
		return -ENOMEM;
	m->device = d;
	m->arena = arena;
	m->access = access;
	m->n = rdma_regions(arena);
	m->mrs = calloc(m->n, sizeof(*m->mrs));
	m->rkeys = calloc(m->n, sizeof(*m->rkeys));
	m->dead = calloc(DEAD_MAX, sizeof(*m->dead));
	err = m->mrs && m->rkeys && m->dead ? make_scratch(m) : -ENOMEM;
	for (unsigned int i = 0; i < m->n && !err; i++)
		err = register_region(m, i);
	if (err) {
		snprintf(
			why, cap,
			"%s cannot register the pool of %zu MiB: %s%s",
			d->place.device, arena->size >> 20, strerror(-err),
			err == -ENOMEM || err == -EPERM
				? "; raise the locked-memory limit (ulimit -l, "
				  "LimitMEMLOCK=) or make cache_size smaller"
				: "");
		mem_free(m);
		return err;
	}
	*out = m;
	return 0;
}

void mem_free(struct mem *m)
{
	if (!m)
		return;
	/* What cannot be deregistered dies with the device's context, which is
	 * closed next. */
	for (unsigned int i = 0; m->mrs && i < m->n; i++)
		deregister(m, i);
	for (unsigned int i = 0; i < PARKED_MAX; i++)
		if (m->parked[i].mr)
			ibv_dereg_mr(m->parked[i].mr);
	if (m->scratch)
		munmap(m->scratch, m->scratch_len);
	free(m->mrs);
	free(m->rkeys);
	free(m->dead);
	free(m);
}
