/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memfile.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/memory.h"

/* The share of small slots, and how many there are at least. */
#define SMALL_SHARE 8
#define SMALL_MIN 16
/* Extents: at least so many where that is possible, and of so many slots at
 * most where that is not too many files. */
#define EXTENTS_MIN 12
#define EXTENTS_MAX (RDMA_FILES - 8)
#define EXTENT_SLOTS 16

/* How the pool is cut: small slots lie behind the big ones.  Returns how many
 * big ones an extent has. */
static unsigned int plan(struct rdma_arena *a, const struct staging_config *cfg)
{
	size_t small = cfg->size / SMALL_SHARE / STAGING_SMALL;
	unsigned int per = 1;
	size_t big;

	if (small < SMALL_MIN)
		small = SMALL_MIN;
	big = cfg->size > small * STAGING_SMALL
		      ? (cfg->size - small * STAGING_SMALL) / cfg->slot
		      : 0;
	if (big < 2)
		big = 2;
	/* A file of reserved pages has whole ones. */
	if (cfg->pages == STAGING_RESERVED && cfg->slot < HUGE_PAGE) {
		per = (unsigned int)(HUGE_PAGE / cfg->slot);
		big = big < per ? per : big / per * per;
	}
	a->runs[0] = (struct rdma_run){0, cfg->slot, big};
	a->runs[1] = (struct rdma_run){big * cfg->slot, STAGING_SMALL, small};
	a->nruns = 2;
	a->size = big * cfg->slot + small * STAGING_SMALL;
	while ((per < EXTENT_SLOTS && big / (per * 2) >= EXTENTS_MIN) ||
	       big / per >= EXTENTS_MAX)
		per *= 2;
	return per;
}

static bool pin(const struct rdma_arena *a)
{
	struct rlimit lim = {0};

	if (!mlock(a->addr, a->size))
		return true;
	getrlimit(RLIMIT_MEMLOCK, &lim);
	log_warning("staging: %zu MiB cannot be pinned (%m; the limit is %llu "
		    "KiB): going on unpinned; raise it with LimitMEMLOCK= or "
		    "ulimit -l, or make cache_size smaller",
		    a->size >> 20, (unsigned long long)lim.rlim_cur >> 10);
	return false;
}

/*
 * A tmpfs of our own that nobody else sees, with huge pages: a memfd has them
 * only where the administrator allows it for all (transparent_hugepage/
 * shmem_enabled).  Takes the right to mount.
 */
static int huge_tmpfs(void)
{
	AUTO_CLOSE int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	int mount;

	if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "huge", "always", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0700", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "size", "0", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -errno : mount;
}

/* A file on the tmpfs, which it keeps mounted; without one, a memfd. */
static int new_file(int tmpfs, unsigned int flags)
{
	const int fd = tmpfs >= 0
			       ? openat(tmpfs, ".",
					O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
			       : memfd_create("s3rdmafs-pool",
					      MFD_CLOEXEC | MFD_ALLOW_SEALING |
						      flags);

	if (fd < 0)
		return -errno;
	/* Who is handed it read-only must not open it again for writing. */
	fchmod(fd, 0600);
	return tmpfs >= 0 ? fd : memfile_opened(fd);
}

/* One more file of len bytes, mapped at its place. */
static int add_file(struct rdma_arena *a, size_t at, size_t len, int fd)
{
	if (fd < 0)
		return fd;
	a->files[a->nfiles++] = (struct rdma_file){fd, len};
	if (ftruncate(fd, (off_t)len) ||
	    mmap(a->addr + at, len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return -errno;
	/* Where it can be promised (a memfd), the length stays as it is. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	return 0;
}

/* All files, on the tmpfs or as memfds with these flags; the last one's end is
 * rounded up to a whole page of that kind. */
static int map_files(struct rdma_arena *a, unsigned int per, size_t page,
		     int tmpfs, unsigned int flags)
{
	const size_t bigs = a->runs[SLOT_SMALL].off;
	const size_t step = per * a->runs[SLOT_BIG].len;
	const size_t size = (a->size + page - 1) / page * page;
	size_t at = 0;
	int err = 0;

	a->addr = mmap_reserve(size);
	if (!a->addr)
		return -errno;
	while (at < size && !err) {
		const size_t len = at + step <= bigs ? step
				   : at < bigs       ? bigs - at
						     : size - at;

		err = add_file(a, at, len, new_file(tmpfs, flags));
		at += len;
	}
	a->size = size;
	if (err)
		arena_free(a);
	return err;
}

/* Before the first touch, each big slot is given to the node of the NIC that
 * will fill it.  A wish: where it fails, memory is where the kernel likes. */
static void place(struct rdma_arena *a, const struct staging_config *cfg)
{
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
static int map_arena(const struct staging_config *cfg, unsigned int per,
		     struct rdma_arena *a)
{
	const enum staging_pages pages = cfg->pages;
	const size_t plain = 4096;
	int err = -ENOMEM;

	if (pages == STAGING_RESERVED) {
		err = map_files(a, per, HUGE_PAGE, -1,
				MFD_HUGETLB | MFD_HUGE_2MB);
		if (err)
			log_warning("staging: no %zu reserved huge pages: "
				    "going on with ordinary ones; raise "
				    "vm.nr_hugepages",
				    a->size / HUGE_PAGE + 1);
	} else if (pages == STAGING_TRANSPARENT) {
		AUTO_CLOSE int tmpfs = huge_tmpfs();

		if (tmpfs >= 0)
			err = map_files(a, per, HUGE_PAGE, tmpfs, 0);
	}
	if (err)
		err = map_files(a, per, plain, -1, 0);
	return err;
}

int arena_new(const struct staging_config *cfg, struct rdma_arena *a,
	      unsigned int *per_file, bool *pinned)
{
	int err;

	*a = (struct rdma_arena){.peers = cfg->peers};
	*per_file = plan(a, cfg);
	err = map_arena(cfg, *per_file, a);
	if (err)
		return err;
	madvise(a->addr, a->size, MADV_DONTFORK);
	if (cfg->pages == STAGING_TRANSPARENT)
		madvise(a->addr, a->size, MADV_HUGEPAGE);
	place(a, cfg);
	*pinned = pin(a);
	return 0;
}

/* The plan stays: it can be mapped in another way. */
void arena_free(struct rdma_arena *a)
{
	if (a->addr)
		munmap(a->addr, a->size);
	a->addr = NULL;
	while (a->nfiles > 0)
		close(a->files[--a->nfiles].fd);
}
