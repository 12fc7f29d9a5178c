/* SPDX-License-Identifier: Apache-2.0 */
/* Maps on a GPU whose memory NICs reach; what is done with it is watched. */
#ifndef S3RDMAFS_TESTS_FAKE_GPU_MAPS_H
#define S3RDMAFS_TESTS_FAKE_GPU_MAPS_H

#include "fake_maps.h"

/* Eight blocks of two regions each. */
#define GPU (64 * MIB)
#define BLOCK (8 * MIB)

static const struct gpu_ops *gpu_ops;
static struct gpu_ops watched;
static atomic_uint frees, settles;
static int settle_err;

/* No NIC may know of it any more. */
static inline void check_hidden(const struct gpu_mem *m)
{
	for (unsigned int i = 0; i < peermem_count(peers); i++) {
		struct peermem_region r;
		bool there;

		peermem_get(peers, i, &r, &there);
		ck_assert(!there || r.iova >= m->addr + m->len ||
			  r.iova + r.len <= m->addr);
	}
	ck_assert_uint_ge(fake_xfer_stats(x).peers_waited,
			  peermem_version(peers));
}

static inline void watched_free(struct gpu *u, struct gpu_mem *m)
{
	check_hidden(m);
	frees++;
	gpu_ops->free(u, m);
}

static inline int watched_settle(struct gpu *u)
{
	settles++;
	return settle_err ? settle_err : gpu_ops->settle(u);
}

static inline void gpu_start(uint64_t pool)
{
	maps_start(pool, GPU, true);
	fake_xfer_reach_peers(x, true);
	gpu_ops = g->devs[1].gpu->ops;
	watched = *gpu_ops;
	watched.free = watched_free;
	watched.settle = watched_settle;
	g->devs[1].gpu->ops = &watched;
}

static inline void gpu_end(void)
{
	g->devs[1].gpu->ops = gpu_ops;
	maps_end();
}

/* ---- maps ---- */

static inline void wait_for(const struct mapping *w)
{
	while (atomic_load(&w->calls) == 0)
		fake_xfer_drain(x);
}

static inline void map(struct mapping *w, uid_t uid, uint64_t off, uint64_t len)
{
	begin(w, uid, GPUBUF_CUDA, off, len, true);
	wait_for(w);
	ck_assert_int_eq(w->err, 0);
}

/* As the application sees it. */
static inline const char *open_export(const struct mapping *w)
{
	AUTO_CLOSE int fd = open((const char *)w->m.export, O_RDONLY);
	const char *p;

	ck_assert_int_ge(fd, 0);
	p = mmap(NULL, w->m.alloc_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static inline bool fits(const struct mapping *w)
{
	const char *p = open_export(w);
	const bool fit = fake_bytes_fit("e1", w->m.off, p + w->m.alloc_off,
					w->m.valid);

	munmap((void *)(uintptr_t)p, w->m.alloc_size);
	return fit;
}

/* The first map of a block: there is nothing but whole pages of it. */
static inline bool is_alone(const struct mapping *w)
{
	const char *p = open_export(w);
	const uint64_t lo = w->m.alloc_off & ~(PAGE - 1);
	const uint64_t hi = (w->m.alloc_off + w->m.valid + PAGE - 1) &
			    ~(PAGE - 1);
	const bool alone = is_zero(p, lo) &&
			   is_zero(p + hi, w->m.alloc_size - hi);

	munmap((void *)(uintptr_t)p, w->m.alloc_size);
	return alone;
}

#endif
