/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deregistering is the fence.  The trap behind it: the kernel keeps keys it
 * took back, and the next registration of the same size may get one again,
 * which would bring a stale token back to life.  A stale write names key and
 * address: so a key is harmful to the region that it belonged to, and to no
 * other.  Those pairs are remembered for the hold time.  Where a registration
 * brings one back, scratch memory takes the key out of the way until the
 * region has found another.
 *
 * Peer memory has no fixed place: other memory may come to lie across what was
 * there.  So it is remembered by the pieces of its address space.
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

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#define HELD_MAX 256    /* keys out of the way at a time */
#define DEAD_MAX 262144 /* pairs remembered; a power of two */
#define DEAD_PROBES 128 /* places where a pair may stand */
#define PIECE (2UL << 20)

struct dead_key {
	uint64_t addr; /* of the region, or of a piece */
	uint32_t key;
	uint64_t until_ms; /* 0: an empty place */
};

/* Of all sessions of the process: a token outlives the one it is from. */
static struct {
	pthread_mutex_t lock;
	struct dead_key keys[DEAD_MAX]; /* hashed; under lock */
} dead = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct mem {
	struct device *device;          /* borrowed */
	const struct rdma_arena *arena; /* borrowed */
	int access;
	struct ibv_mr **mrs;     /* owned; NULL while a region has no key */
	_Atomic uint32_t *rkeys; /* owned; 0: none */
	unsigned int n, narena;  /* regions; those of the arena */

	/* Of regions of peer memory, owned. */
	struct peer {
		_Atomic uint64_t iova; /* as it is registered */
		uint64_t len;
		uint64_t seen; /* version; 0: to be done again */
	} * peers;
	uint64_t synced; /* version that all have seen */
	bool told;

	atomic_bool *granted; /* owned; has the present key been told? */
	struct ibv_mr *held[HELD_MAX];
	void *scratch; /* owned: as large as the largest region */
	size_t scratch_len;
};

static struct ibv_mr *register_at(struct mem *m, void *addr, size_t len)
{
	errno = 0;
	return ibv_reg_mr(m->device->pd, addr, len, m->access);
}

/* Once a session, for people. */
static void tell_unreached(struct mem *m, int err)
{
	if (m->told)
		return;
	m->told = true;
	log_info("rdma: %s cannot reach the GPU's memory (%s): what goes there "
		 "takes the way over the host's; it takes a driver with "
		 "dma-buf, or nvidia-peermem",
		 m->device->place.device, strerror(err));
}

/* NULL when there is nothing, or the device does not reach it. */
static struct ibv_mr *register_peer(struct mem *m, unsigned int i)
{
	struct peermem_region r;
	struct ibv_mr *mr;
	bool there;

	m->peers[i].seen = peermem_get(m->arena->peers, i, &r, &there);
	if (!there)
		return NULL;
	errno = 0;
	mr = r.dmabuf >= 0
		     ? ibv_reg_dmabuf_mr(m->device->pd, r.offset, r.len, r.iova,
					 r.dmabuf, m->access)
		     : ibv_reg_mr_iova(m->device->pd, (void *)(uintptr_t)r.addr,
				       r.len, r.iova, (unsigned int)m->access);
	if (!mr)
		tell_unreached(m, errno);
	atomic_store(&m->peers[i].iova, r.iova);
	m->peers[i].len = r.len;
	return mr;
}

/* 0 without a key only for peer memory.  Nobody is told of the key yet. */
static int register_region(struct mem *m, unsigned int region)
{
	size_t len;
	char *addr = rdma_region(m->arena, region, &len);

	m->mrs[region] = addr ? register_at(m, addr, len)
			      : register_peer(m, region - m->narena);
	if (!m->mrs[region])
		return !addr ? 0 : errno ? -errno : -ENOMEM;
	return 0;
}

static int deregister(struct mem *m, unsigned int region)
{
	/* rdma-core returns the number, and sets errno besides. */
	const int err = m->mrs[region] ? ibv_dereg_mr(m->mrs[region]) : 0;

	if (err)
		return err > 0 ? -err : -EIO;
	m->mrs[region] = NULL;
	atomic_store(&m->rkeys[region], 0);
	return 0;
}

/* Under dead.lock. */
static struct dead_key *dead_place(uint32_t key, uint64_t addr,
				   unsigned int probe)
{
	const uint32_t h = (key * 2654435761U) ^
			   ((uint32_t)(addr >> 12) * 40503U);

	return &dead.keys[(h + probe) & (DEAD_MAX - 1)];
}

static uint64_t region_addr(const struct mem *m, unsigned int region)
{
	size_t len;

	return region < m->narena
		       ? (uintptr_t)rdma_region(m->arena, region, &len)
		       : atomic_load(&m->peers[region - m->narena].iova);
}

static size_t region_len(const struct mem *m, unsigned int region)
{
	size_t len;

	if (region >= m->narena)
		return m->peers[region - m->narena].len;
	rdma_region(m->arena, region, &len);
	return len;
}

/* The addresses by which its keys are remembered: from the one returned on, in
 * steps of a piece, below *end. */
static uint64_t dead_range(const struct mem *m, unsigned int region,
			   uint64_t *end)
{
	const uint64_t addr = region_addr(m, region);

	*end = addr + (region < m->narena ? 1 : region_len(m, region));
	return region < m->narena ? addr : addr & ~(PIECE - 1);
}

/* Under dead.lock; false when there is no room. */
static bool remember_at(uint32_t key, uint64_t addr, uint64_t now_ms)
{
	for (unsigned int i = 0; i < DEAD_PROBES; i++) {
		struct dead_key *d = dead_place(key, addr, i);

		if (d->until_ms > now_ms)
			continue;
		*d = (struct dead_key){addr, key, now_ms + MEM_HOLD_MS};
		return true;
	}
	return false;
}

/* False when there is no room: too many died lately. */
static bool remember(struct mem *m, uint32_t key, unsigned int region,
		     uint64_t now_ms)
{
	uint64_t end, at = dead_range(m, region, &end);

	LOCK_SCOPE(&dead.lock);
	for (; at < end; at += PIECE)
		if (!remember_at(key, at, now_ms))
			return false;
	return true;
}

/* Under dead.lock. */
static bool died_at(uint32_t key, uint64_t addr, uint64_t now_ms)
{
	for (unsigned int i = 0; i < DEAD_PROBES; i++) {
		const struct dead_key *d = dead_place(key, addr, i);

		if (d->key == key && d->addr == addr && d->until_ms > now_ms)
			return true;
	}
	return false;
}

/* Has the region's present key been of that memory within the hold time? */
static bool died_lately(const struct mem *m, unsigned int region,
			uint64_t now_ms)
{
	uint64_t end, at = dead_range(m, region, &end);

	LOCK_SCOPE(&dead.lock);
	for (; at < end; at += PIECE)
		if (died_at(m->mrs[region]->rkey, at, now_ms))
			return true;
	return false;
}

/* From here on tokens name the key, if there is one and it is a fresh one. */
static bool publish(struct mem *m, unsigned int region, uint64_t now_ms)
{
	if (!m->mrs[region])
		return true;
	if (died_lately(m, region, now_ms))
		return false;
	atomic_store(&m->rkeys[region], m->mrs[region]->rkey);
	return true;
}

/* Registers the region until its key is a fresh one; *nheld is how many keys
 * scratch memory holds meanwhile. */
static int find_fresh_key(struct mem *m, unsigned int region, uint64_t now_ms,
			  unsigned int *nheld)
{
	int err;

	while (*nheld < HELD_MAX) {
		if (register_region(m, region))
			return -EAGAIN;
		if (publish(m, region, now_ms))
			return 0;
		err = deregister(m, region);
		if (err)
			return err;
		/* In the hope of the key that was just given back. */
		m->held[*nheld] = register_at(m, m->scratch,
					      region_len(m, region));
		if (!m->held[*nheld])
			break;
		++*nheld;
	}
	/* Peer memory can do without a key, and its fence must not wait for a
	 * kernel that gives scratch memory other keys than it. */
	return region < m->narena ? -EAGAIN : 0;
}

/* What scratch memory holds goes back; what cannot be given back is kept by
 * the device's context. */
static void let_go(struct mem *m, unsigned int nheld)
{
	while (nheld > 0)
		ibv_dereg_mr(m->held[--nheld]);
}

/* A new session's key may be one of the last session's. */
static int register_first(struct mem *m, unsigned int region)
{
	unsigned int nheld = 0;
	int err = register_region(m, region);

	if (err || publish(m, region, clock_ms()))
		return err;
	err = deregister(m, region);
	if (!err)
		err = find_fresh_key(m, region, clock_ms(), &nheld);
	let_go(m, nheld);
	return err;
}

int mem_renew(struct mem *m, unsigned int region, uint64_t now_ms)
{
	unsigned int nheld = 0;
	int err;

	if (m->mrs[region]) {
		/* Remembered first: a key that was told and that nothing
		 * remembers must not die. */
		if (atomic_load(&m->granted[region]) &&
		    !remember(m, m->mrs[region]->rkey, region, now_ms))
			return -EAGAIN;
		err = deregister(m, region);
		if (err)
			return err;
	}
	atomic_store(&m->granted[region], false);
	err = find_fresh_key(m, region, now_ms, &nheld);
	let_go(m, nheld);
	if (err && region >= m->narena)
		m->peers[region - m->narena].seen = 0;
	return err;
}

bool mem_has_key(const struct mem *m, unsigned int region)
{
	return atomic_load(&m->rkeys[region]) != 0;
}

bool mem_window(const struct mem *m, unsigned int region, uint64_t *addr,
		uint32_t *rkey)
{
	atomic_store_explicit(&m->granted[region], true, memory_order_relaxed);
	*rkey = atomic_load(&m->rkeys[region]);
	*addr = region_addr(m, region);
	return *rkey != 0;
}

uint64_t mem_sync(struct mem *m, uint64_t now_ms)
{
	struct peermem *peers = m->arena->peers;
	const uint64_t version = peermem_version(peers);
	bool all = true;

	if (version == m->synced)
		return version;
	for (unsigned int i = 0; i < m->n - m->narena; i++) {
		struct peermem_region r;
		bool there;

		if (peermem_get(peers, i, &r, &there) != m->peers[i].seen &&
		    mem_renew(m, m->narena + i, now_ms))
			all = false; /* again later */
	}
	if (all)
		m->synced = version;
	return m->synced;
}

static int make_scratch(struct mem *m)
{
	for (unsigned int i = 0; i < m->arena->nruns; i++)
		if (m->arena->runs[i].len > m->scratch_len)
			m->scratch_len = m->arena->runs[i].len;
	if (peermem_len(m->arena->peers) > m->scratch_len)
		m->scratch_len = peermem_len(m->arena->peers);
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
	m->narena = rdma_regions(arena);
	m->n = m->narena + peermem_count(arena->peers);
	m->peers = calloc(peermem_count(arena->peers) + 1, sizeof(*m->peers));
	m->mrs = calloc(m->n, sizeof(struct ibv_mr *));
	m->rkeys = calloc(m->n, sizeof(*m->rkeys));
	m->granted = calloc(m->n, sizeof(*m->granted));
	err = m->mrs && m->rkeys && m->granted && m->peers ? make_scratch(m)
							   : -ENOMEM;
	for (unsigned int i = 0; i < m->narena && !err; i++)
		err = register_first(m, i);
	if (!err && arena->peers)
		mem_sync(m, clock_ms());
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
	 * closed next.  What was told to somebody may still be written to, as
	 * far as he knows. */
	for (unsigned int i = 0; m->mrs && m->rkeys && m->granted && i < m->n;
	     i++) {
		if (m->mrs[i] && atomic_load(&m->granted[i]))
			remember(m, m->mrs[i]->rkey, i, clock_ms());
		deregister(m, i);
	}
	if (m->scratch)
		munmap(m->scratch, m->scratch_len);
	free(m->mrs);
	free(m->rkeys);
	free(m->granted);
	free(m->peers);
	free(m);
}
