/* SPDX-License-Identifier: Apache-2.0 */
/* A cache over a fake xfer, and reads of it that check their bytes. */
#ifndef S3RDMAFS_TESTS_CACHE_FIXTURE_H
#define S3RDMAFS_TESTS_CACHE_FIXTURE_H

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "cache/cache.h"
#include "fake_xfer.h"
#include "unit.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define HUGE_FILE (64 * GIB)

static struct cache *c;
static struct xfer *x;

static inline void start(size_t size, size_t slot, uint64_t prefetch)
{
	const struct cache_config cfg = {
		.staging = {.size = size, .slot = slot},
		.prefetch_max = prefetch};

	log_set_level(LOG_LEVEL_ERROR); /* tests may not pin memory */
	ck_assert_int_eq(cache_new(&cfg, &c), 0);
	x = fake_xfer_new(cache_arena(c));
	cache_start(c, x);
}

/* 2 big slots of 1 MiB and 16 small ones. */
static inline void start_small(void)
{
	start(4 * MIB, MIB, 0);
}

static inline struct cache_stats stats(void)
{
	struct cache_stats s;

	cache_get_stats(c, &s);
	return s;
}

/* Whatever happened: at the end no slot is leased and none is lost. */
static inline void finish(void)
{
	struct cache_stats s;

	fake_xfer_drain(x);
	cache_stop(c);
	s = stats();
	ck_assert_uint_eq(s.pool.states[SLOT_ARMED], 0);
	ck_assert_uint_eq(s.pool.states[SLOT_QUARANTINED], 0);
	ck_assert_uint_eq(s.waiting, 0);
	ck_assert_uint_eq(s.filling, 0);
	cache_drop(c);
	s = stats();
	ck_assert_uint_eq(s.pool.states[SLOT_FREE], s.pool.slots);
	fake_xfer_free(x);
	cache_free(c);
}

/* ---- reads ---- */

struct reading {
	struct cache_read r;
	struct window w;
	atomic_int calls;
	int err;
};

static inline void on_done(struct cache_read *r, int err)
{
	struct reading *rd = container_of(r, struct reading, r);

	rd->err = err;
	atomic_fetch_add(&rd->calls, 1);
}

static inline void begin(struct reading *rd, struct object *o, struct window *w,
			 uint64_t off, uint64_t len)
{
	memset(&rd->r, 0, sizeof(rd->r));
	rd->r.object = o;
	rd->r.window = w ? w : &rd->w;
	rd->r.off = off;
	rd->r.len = len;
	rd->r.done = on_done;
	rd->err = 1;
	atomic_store(&rd->calls, 0);
	cache_read_start(c, &rd->r);
}

static inline bool bytes_fit(const struct reading *rd, const char *etag)
{
	uint64_t off = rd->r.off;

	for (int i = 0; i < rd->r.niov; i++) {
		const struct iovec *v = &rd->r.iov[i];

		if (!fake_bytes_fit(etag, off, v->iov_base, v->iov_len))
			return false;
		off += v->iov_len;
	}
	return off == rd->r.off + rd->r.len;
}

/* The read is done with the right bytes; ends it. */
static inline void expect_ok(struct reading *rd, const char *etag)
{
	ck_assert_int_eq(atomic_load(&rd->calls), 1);
	ck_assert_int_eq(rd->err, 0);
	ck_assert_msg(bytes_fit(rd, etag), "wrong bytes at %llu+%llu",
		      (unsigned long long)rd->r.off,
		      (unsigned long long)rd->r.len);
	cache_read_end(c, &rd->r);
}

static inline void expect_error(struct reading *rd, int err)
{
	ck_assert_int_eq(atomic_load(&rd->calls), 1);
	ck_assert_int_eq(rd->err, err);
	cache_read_end(c, &rd->r);
}

/* A read from start to end, all its gets done well. */
static inline void read_now(struct object *o, const char *etag, uint64_t off,
			    uint64_t len)
{
	struct reading rd = {0};

	begin(&rd, o, NULL, off, len);
	fake_xfer_drain(x);
	expect_ok(&rd, etag);
}

static inline void wait_for(struct reading *rd)
{
	while (atomic_load(&rd->calls) == 0)
		sched_yield();
}

#endif
