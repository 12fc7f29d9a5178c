/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state         on a free list   token may be alive   bytes may be read
 *   FREE          yes              no                   no
 *   ARMED         no               yes                  no
 *   READY         no               no                   yes
 *   QUARANTINED   no               yes                  no
 *
 *   FREE -> ARMED -> READY -> FREE
 *           ARMED -> FREE              (nothing was sent, or it ended surely)
 *           ARMED -> QUARANTINED -> FREE    (uncertain; then the fence)
 *
 * Threads, locks: staging.h.
 */
#include "cache/staging.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

/* The share of small slots, and how many there are at least. */
#define SMALL_SHARE 8
#define SMALL_MIN 16
#define HUGE_PAGE (2UL << 20)

struct staging {
	/* Constant after staging_new. */
	struct rdma_arena arena;
	struct slot *slots; /* owned */
	unsigned int count[SLOT_CLASSES];
	bool pinned;

	struct list free[SLOT_CLASSES];
	unsigned int nfree[SLOT_CLASSES];
	unsigned int states[SLOT_STATES];
};

static void check(const struct staging *p, const struct slot *s)
{
	const bool listed = !list_empty(&s->link);

	assert(s->state < SLOT_STATES);
	assert(listed == (s->state == SLOT_FREE));
	assert(p->states[SLOT_FREE] == p->nfree[0] + p->nfree[1]);
}

/* How the pool is cut: small slots lie behind the big ones. */
static void plan(struct staging *p, const struct staging_config *cfg)
{
	struct rdma_arena *a = &p->arena;
	size_t small = cfg->size / SMALL_SHARE / STAGING_SMALL;
	size_t big;

	if (small < SMALL_MIN)
		small = SMALL_MIN;
	big = cfg->size > small * STAGING_SMALL
		      ? (cfg->size - small * STAGING_SMALL) / cfg->slot
		      : 0;
	if (big < 2)
		big = 2;
	a->runs[0] = (struct rdma_run){0, cfg->slot, big};
	a->runs[1] = (struct rdma_run){big * cfg->slot, STAGING_SMALL, small};
	a->nruns = 2;
	a->size = big * cfg->slot + small * STAGING_SMALL;
	p->count[SLOT_BIG] = (unsigned int)big;
	p->count[SLOT_SMALL] = (unsigned int)small;
}

static void pin(struct staging *p)
{
	struct rlimit lim = {0};

	p->pinned = !mlock(p->arena.addr, p->arena.size);
	if (p->pinned)
		return;
	getrlimit(RLIMIT_MEMLOCK, &lim);
	log_warning("staging: %zu MiB cannot be pinned (%m; the limit is %llu "
		    "KiB): going on unpinned; raise it with LimitMEMLOCK= or "
		    "ulimit -l, or make cache_size smaller",
		    p->arena.size >> 20,
		    (unsigned long long)lim.rlim_cur >> 10);
}

/*
 * A file of a tmpfs of our own that nobody else sees, with huge pages: a memfd
 * has them only where the administrator allows it for all
 * (transparent_hugepage/shmem_enabled).  Takes the right to mount.
 */
static int huge_tmpfs_file(void)
{
	AUTO_CLOSE int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	AUTO_CLOSE int mount = -1;
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "size", "0", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (mount < 0)
		return -errno;
	/* The file keeps the mount. */
	fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int memfd_file(unsigned int flags)
{
	const int fd = memfd_create("s3rdmafs-pool",
				    MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	return fd < 0 ? -errno : fd;
}

/* Takes over fd: the arena's memory, mapped. */
static int map_file(struct rdma_arena *a, size_t size, int fd)
{
	void *addr;

	if (fd < 0)
		return fd;
	addr = ftruncate(fd, (off_t)size)
		       ? MAP_FAILED
		       : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			      fd, 0);
	if (addr == MAP_FAILED) {
		const int err = -errno;

		close(fd);
		return err;
	}
	/* Where it can be promised (a memfd), the length stays as it is. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	a->fd = fd;
	a->addr = addr;
	a->size = size;
	return 0;
}

/* Before the first touch, each big slot is given to the node of the NIC that
 * will fill it.  A wish: where it fails, memory is where the kernel likes. */
static void place(struct staging *p, const struct staging_config *cfg)
{
	struct rdma_arena *a = &p->arena;

	for (uint64_t i = 0; cfg->nnodes && i < a->runs[SLOT_BIG].count; i++) {
		const int node = cfg->nodes[i % cfg->nnodes];
		const unsigned long mask = 1UL << node;

		if (syscall(SYS_mbind, a->addr + i * a->runs[SLOT_BIG].len,
			    a->runs[SLOT_BIG].len, MPOL_PREFERRED, &mask,
			    8 * sizeof(mask), 0))
			return;
	}
	memcpy(a->nodes, cfg->nodes, sizeof(a->nodes));
	a->nnodes = cfg->nnodes;
}

/*
 * Out of huge pages the kernel copies with a fraction of its page look-ups:
 * seen here, a quarter more throughput warm and a third more over shm.
 * Reserved ones (vm.nr_hugepages) are taken only when asked for: they may have
 * been reserved for somebody else.
 */
static int map_arena(struct staging *p, const struct staging_config *cfg)
{
	const enum staging_pages pages = cfg->pages;
	struct rdma_arena *a = &p->arena;
	const size_t huge = (a->size + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	int err = -ENOMEM;

	if (pages == STAGING_RESERVED) {
		err = map_file(a, huge, memfd_file(MFD_HUGETLB | MFD_HUGE_2MB));
		if (err)
			log_warning("staging: no %zu reserved huge pages: "
				    "going on with ordinary ones; raise "
				    "vm.nr_hugepages",
				    huge / HUGE_PAGE);
	} else if (pages == STAGING_TRANSPARENT) {
		err = map_file(a, huge, huge_tmpfs_file());
	}
	if (err)
		err = map_file(a, a->size, memfd_file(0));
	if (err)
		return err;
	madvise(a->addr, a->size, MADV_DONTFORK);
	if (pages == STAGING_TRANSPARENT)
		madvise(a->addr, a->size, MADV_HUGEPAGE);
	place(p, cfg);
	pin(p);
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
	int err;

	if (!p)
		return -ENOMEM;
	p->arena.fd = -1;
	for (int c = 0; c < SLOT_CLASSES; c++)
		list_init(&p->free[c]);
	plan(p, cfg);
	err = map_arena(p, cfg);
	if (!err)
		err = make_slots(p);
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
	if (p->arena.addr)
		munmap(p->arena.addr, p->arena.size);
	if (p->arena.fd >= 0)
		close(p->arena.fd);
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

bool staging_is_strained(const struct staging *p)
{
	return p->states[SLOT_QUARANTINED] >
	       (p->count[SLOT_BIG] + p->count[SLOT_SMALL]) / 4;
}

void staging_get_stats(const struct staging *p, struct staging_stats *out)
{
	*out = (struct staging_stats){.slots = p->count[SLOT_BIG] +
					       p->count[SLOT_SMALL],
				      .size = p->arena.size,
				      .pinned = p->pinned};
	memcpy(out->states, p->states, sizeof(out->states));
}
