/* SPDX-License-Identifier: Apache-2.0 */
/* Chunks, reads and fills together, over a fake xfer. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cache_fixture.h"

static const struct {
	uint64_t size, off, len, want;
} edges[] = {
	{10 * MIB, 0, 4096, 4096},
	{10 * MIB, MIB - 1, 2, 2},
	{10 * MIB, MIB - 4096, 8192, 8192},
	{10 * MIB, MIB - 512 * KIB, MIB, MIB},
	{10 * MIB, 3 * MIB, MIB, MIB},
	{10 * MIB, 128 * KIB - 1, 2, 2},
	{10 * MIB, 128 * KIB - 1, 128 * KIB + 2, 128 * KIB + 2},
	{10 * MIB, 5 * MIB + 1, 383 * KIB, 383 * KIB},
	{10 * MIB + 7, 10 * MIB, 4096, 7},
	{10 * MIB + 7, 10 * MIB - 1, MIB, 8},
	{10 * MIB, 10 * MIB, 4096, 0},
	{10 * MIB, 11 * MIB, 4096, 0},
	{10 * MIB, 5, 0, 0},
	{1, 0, 4096, 1},
	{0, 0, 4096, 0},
	{100 * KIB, 0, MIB, 100 * KIB},
	{128 * KIB, 0, MIB, 128 * KIB},
	{128 * KIB + 1, 128 * KIB, MIB, 1},
};

START_TEST(reads_over_edges)
{
	struct reading rd = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", edges[_i].size);
	begin(&rd, o, NULL, edges[_i].off, edges[_i].len);
	fake_xfer_drain(x);
	ck_assert_uint_eq(rd.r.len, edges[_i].want);
	expect_ok(&rd, "e1");
	/* Again, from the pool. */
	begin(&rd, o, NULL, edges[_i].off, edges[_i].len);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 0);
	expect_ok(&rd, "e1");
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(many_reads_of_one_chunk_fetch_once)
{
	static struct reading rd[20];
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (unsigned int i = 0; i < ARRAY_SIZE(rd); i++)
		begin(&rd[i], o, NULL, GIB + (i % 4) * 1024, 1024);
	ck_assert_uint_eq(fake_xfer_stats(x).started, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(rd); i++)
		ck_assert_int_eq(atomic_load(&rd[i].calls), 0);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	for (unsigned int i = 0; i < ARRAY_SIZE(rd); i++)
		expect_ok(&rd[i], "e1");
	ck_assert_uint_eq(fake_xfer_stats(x).started, 1);
	ck_assert_uint_eq(stats().hits, ARRAY_SIZE(rd) - 1);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(equal_versions_share_and_others_do_not)
{
	struct object *a, *b, *d;

	start_small();
	a = cache_object_get(c, "b", "k", "e1", MIB);
	b = cache_object_get(c, "b", "k", "e1", MIB);
	d = cache_object_get(c, "b", "k", "e2", MIB);
	ck_assert_ptr_eq(a, b);
	ck_assert_ptr_ne(a, d);
	read_now(a, "e1", 0, 4096);
	read_now(d, "e2", 0, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).started, 2);
	cache_object_put(c, a);
	cache_object_put(c, b);
	/* The bytes outlive the file. */
	a = cache_object_get(c, "b", "k", "e1", MIB);
	read_now(a, "e1", 0, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).started, 2);
	cache_object_put(c, a);
	cache_object_put(c, d);
	finish();
}
END_TEST

static const struct {
	uint64_t align, min, max;
} randoms[] = {
	{4096, 4096, 4096}, {4096, 16 * KIB, 16 * KIB},
	{4096, 4096, MIB},  {1, 128 * KIB, MIB},
	{512, MIB, MIB},
};

START_TEST(random_reads_fetch_what_they_read)
{
	uint64_t seed = 88172645463325252ULL, sum = 0;
	struct window w = {0};
	struct object *o;

	start(64 * MIB, 4 * MIB, 64 * MIB);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (int i = 0; i < 150; i++) {
		const uint64_t span = randoms[_i].max - randoms[_i].min;
		struct reading rd = {0};
		uint64_t off, len;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		off = seed % (HUGE_FILE - MIB) / randoms[_i].align *
		      randoms[_i].align;
		len = randoms[_i].min +
		      (span ? seed / 97 % span / randoms[_i].align *
				       randoms[_i].align
			    : 0);
		begin(&rd, o, &w, off, len);
		fake_xfer_drain(x);
		ck_assert_int_eq(rd.err, 0);
		sum += rd.r.len;
		cache_read_end(c, &rd.r);
	}
	ck_assert_msg(fake_xfer_stats(x).bytes <= sum + sum / 10,
		      "%llu fetched for %llu",
		      (unsigned long long)fake_xfer_stats(x).bytes,
		      (unsigned long long)sum);
	ck_assert_uint_ge(fake_xfer_stats(x).bytes, sum);
	cache_object_put(c, o);
	finish();
}
END_TEST

static const uint64_t smalls[] = {0,
				  4096,
				  128 * KIB - 4096,
				  128 * KIB,
				  MIB,
				  MIB - 4096,
				  100 * MIB + 4096,
				  HUGE_FILE - 4096,
				  HUGE_FILE - 1};

/* The first time and the second (of its block, not of its bytes). */
START_TEST(small_read_fetches_little)
{
	const uint64_t off = smalls[_i];
	const uint64_t other = off ^ 8192;
	struct object *o;
	uint64_t first;

	start(64 * MIB, 4 * MIB, 64 * MIB);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	read_now(o, "e1", off, 4096);
	first = fake_xfer_stats(x).bytes;
	ck_assert_uint_le(first, 128 * KIB);
	if (other + 4096 <= HUGE_FILE)
		read_now(o, "e1", other, 4096);
	ck_assert_uint_le(fake_xfer_stats(x).bytes - first, 128 * KIB);
	cache_object_put(c, o);
	finish();
}
END_TEST

/* ---- few slots ---- */

static uint64_t any_off(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*seed >> 33) % (8 * MIB);
}

/* Completes gets in any order, and ends each read once it is done. */
static unsigned int run_all(struct reading *rd, unsigned int n,
			    const char *etag)
{
	unsigned int ended = 0;

	for (unsigned int step = 0; step < 10000 && ended < n; step++) {
		const unsigned int waiting = fake_xfer_stats(x).waiting;

		if (waiting)
			fake_xfer_end(x, (step * 7) % waiting, FAKE_OK);
		fake_xfer_end_fence(x);
		for (unsigned int i = 0; i < n; i++) {
			if (atomic_load(&rd[i].calls) == 0)
				continue;
			expect_ok(&rd[i], etag);
			atomic_store(&rd[i].calls, 0);
			ended++;
		}
	}
	return ended;
}

/* The loop's number is the seed. */
START_TEST(fifty_reads_of_two_slots)
{
	static struct reading rd[50];
	uint64_t seed = (uint64_t)_i;
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", 9 * MIB);
	for (unsigned int i = 0; i < 50; i++) {
		const uint64_t off = any_off(&seed);
		const uint64_t len = any_off(&seed) % (_i % 3 ? MIB : 8192);

		begin(&rd[i], o, NULL, off, len + 1);
	}
	ck_assert_uint_le(fake_xfer_stats(x).max_waiting, 18);
	ck_assert_msg(run_all(rd, 50, "e1") == 50, "reads are stuck");
	cache_object_put(c, o);
	finish();
}
END_TEST

/*
 * A big slot holds a part of the first megabyte.  A read that begins in it
 * wants the rest of it and the next one: three pieces, two slots in all.
 */
START_TEST(read_that_could_want_more_than_the_pool)
{
	struct reading rd[1] = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	read_now(o, "e1", 100 * MIB + 100 * KIB, 500 * KIB);
	begin(&rd[0], o, NULL, 100 * MIB + 500 * KIB, MIB);
	ck_assert_msg(run_all(rd, 1, "e1") == 1, "the read is stuck");
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(waiting_reads_go_in_turn)
{
	struct reading a = {0}, b = {0}, big = {0}, later = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&a, o, NULL, 100 * MIB, MIB);
	begin(&b, o, NULL, 200 * MIB, MIB);
	begin(&big, o, NULL, 300 * MIB, MIB);
	/* It could be had, but must not overtake. */
	begin(&later, o, NULL, 400 * MIB, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 2);
	ck_assert_uint_eq(stats().waiting, 2);
	fake_xfer_end(x, 0, FAKE_OK);
	/* a is done, but has its slot until it ends. */
	ck_assert_uint_eq(stats().waiting, 2);
	expect_ok(&a, "e1");
	ck_assert_uint_eq(stats().waiting, 0);
	fake_xfer_drain(x);
	expect_ok(&b, "e1");
	expect_ok(&big, "e1");
	expect_ok(&later, "e1");
	ck_assert_uint_eq(stats().waited_for_slot, 2);
	cache_object_put(c, o);
	finish();
}
END_TEST

/*
 * Reads of four blocks each, of which three are refused at once and one hangs:
 * the refused ones have no slot any more, but their reads are not done.
 */
START_TEST(refused_chunks_run_out_of_nothing)
{
	enum { READS = 60 };
	static struct reading rd[READS];
	struct object *o;

	start(64 * MIB, 4 * MIB, 0); /* 14 big slots, 64 small ones */
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (unsigned int i = 0; i < READS; i++) {
		begin(&rd[i], o, NULL, GIB + i * 16 * MIB + 64 * KIB,
		      380 * KIB);
		for (int k = 0; k < 3; k++)
			fake_xfer_end(x, fake_xfer_stats(x).waiting - 1,
				      FAKE_DENIED);
	}
	fake_xfer_drain(x);
	for (unsigned int i = 0; i < READS; i++)
		expect_error(&rd[i], -EACCES);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(oldest_goes_first)
{
	struct object *o;
	unsigned int before;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	read_now(o, "e1", 100 * MIB, MIB);
	read_now(o, "e1", 200 * MIB, MIB);
	read_now(o, "e1", 100 * MIB, MIB); /* the younger again */
	read_now(o, "e1", 300 * MIB, MIB); /* takes the place of 200 */
	before = fake_xfer_stats(x).started;
	read_now(o, "e1", 100 * MIB, MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).started, before);
	read_now(o, "e1", 200 * MIB, MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).started, before + 1);
	cache_object_put(c, o);
	finish();
}
END_TEST

static unsigned int misses_of(struct object *o, uint64_t off, uint64_t step,
			      unsigned int n)
{
	const unsigned int before = fake_xfer_stats(x).started;

	for (unsigned int i = 0; i < n; i++)
		read_now(o, "e1", off + i * step, MIB);
	return fake_xfer_stats(x).started - before;
}

/* What is read again and again stays, however much is read once beside it; but
 * not for ever. */
START_TEST(what_is_read_once_does_not_drive_out)
{
	struct object *o;

	start(32 * MIB, MIB, 0); /* 24 big slots or more */
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	misses_of(o, 0, MIB, 4);
	ck_assert_uint_eq(misses_of(o, 0, MIB, 4), 0);
	ck_assert_uint_eq(misses_of(o, GIB, MIB, 100), 100);
	/* The list has grown old by some of those. */
	ck_assert_uint_le(misses_of(o, 0, MIB, 4), 4);
	for (int i = 0; i < 10; i++) {
		misses_of(o, 2 * GIB + (uint64_t)i * 100 * MIB, MIB, 14);
		ck_assert_uint_eq(misses_of(o, 0, MIB, 4), 0);
	}
	misses_of(o, 8 * GIB, MIB, 400);
	ck_assert_uint_eq(misses_of(o, 0, MIB, 4), 4);
	cache_object_put(c, o);
	finish();
}
END_TEST

/* A file a little larger than the pool, over and over: by age alone nothing of
 * it would ever be found again. */
START_TEST(a_loop_is_found_in_part)
{
	unsigned int last = 0;
	struct object *o;

	start(32 * MIB, MIB, 0);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (int i = 0; i < 6; i++)
		last = misses_of(o, 0, MIB, 40);
	ck_assert_uint_le(last, 34);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(drop_spares_what_is_read)
{
	struct reading rd = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&rd, o, NULL, 100 * MIB, 4096);
	fake_xfer_drain(x);
	read_now(o, "e1", 200 * MIB, 4096);
	cache_drop(c);
	ck_assert_uint_eq(stats().pool.states[SLOT_READY], 1);
	expect_ok(&rd, "e1");
	read_now(o, "e1", 100 * MIB, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).started, 2);
	read_now(o, "e1", 200 * MIB, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).started, 3);
	cache_object_put(c, o);
	finish();
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(stale_object)
{
	struct reading rd = {0};
	struct object *o, *now;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	read_now(o, "e1", 100 * MIB, 4096);
	begin(&rd, o, NULL, 200 * MIB, 4096);
	fake_xfer_end(x, 0, FAKE_STALE);
	expect_error(&rd, -ESTALE);
	/* What is there stays readable, the rest is not asked for again. */
	read_now(o, "e1", 100 * MIB, 4096);
	begin(&rd, o, NULL, 300 * MIB, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 0);
	expect_error(&rd, -ESTALE);
	/* One opened now is asked for anew: it may have come back. */
	now = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	ck_assert_ptr_ne(now, o);
	read_now(now, "e1", 200 * MIB, 4096);
	cache_object_put(c, o);
	cache_object_put(c, now);
	finish();
}
END_TEST

START_TEST(errors_are_not_kept)
{
	static const struct {
		enum fake_outcome how;
		int err;
	} bad[] = {
		{FAKE_ERROR, -EIO}, {FAKE_DENIED, -EACCES}, {FAKE_FENCE, -EIO}};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct reading a = {0}, b = {0};

		begin(&a, o, NULL, (i + 1) * GIB, 4096);
		begin(&b, o, NULL, (i + 1) * GIB + 1000, 100);
		ck_assert_uint_eq(fake_xfer_stats(x).waiting, 1);
		fake_xfer_end(x, 0, bad[i].how);
		/* A new read does not join the failed one. */
		read_now(o, "e1", (i + 1) * GIB, 4096);
		expect_error(&a, bad[i].err);
		expect_error(&b, bad[i].err);
		read_now(o, "e1", (i + 1) * GIB, 4096);
	}
	ck_assert_uint_eq(fake_xfer_stats(x).started, 2 * ARRAY_SIZE(bad));
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(one_bad_piece_spoils_the_read)
{
	struct reading rd = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&rd, o, NULL, 101 * MIB - 512 * KIB, MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 2);
	fake_xfer_end(x, 0, FAKE_ERROR);
	ck_assert_int_eq(atomic_load(&rd.calls), 0);
	fake_xfer_end(x, 0, FAKE_OK);
	expect_error(&rd, -EIO);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(uncertain_memory_is_fenced)
{
	struct reading rd = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&rd, o, NULL, 100 * MIB, MIB);
	fake_xfer_end(x, 0, FAKE_FENCE);
	ck_assert_uint_eq(fake_xfer_stats(x).fences_waiting, 1);
	ck_assert_uint_eq(stats().pool.states[SLOT_QUARANTINED], 1);
	ck_assert_uint_eq(stats().quarantines, 1);
	expect_error(&rd, -EIO);
	/* One big slot is left, and serves two reads in turn. */
	read_now(o, "e1", 300 * MIB, 4096);
	ck_assert_uint_eq(stats().pool.states[SLOT_QUARANTINED], 0);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(body_takes_other_memory)
{
	struct reading rd = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&rd, o, NULL, 100 * MIB, MIB);
	ck_assert(fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert_uint_eq(stats().pool.states[SLOT_QUARANTINED], 1);
	/* The late write of the first server hits nobody's bytes. */
	ck_assert(fake_xfer_end_fence(x));
	ck_assert_uint_eq(stats().pool.states[SLOT_QUARANTINED], 0);
	expect_ok(&rd, "e1");
	read_now(o, "e1", 100 * MIB, MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).started, 1);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(body_waits_for_memory)
{
	struct reading a = {0}, b = {0}, later = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&a, o, NULL, 100 * MIB, MIB);
	begin(&b, o, NULL, 200 * MIB, MIB);
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert_uint_eq(fake_xfer_stats(x).no_memory, 2);
	/* Neither keeps what the other could have, once it is fenced ... */
	ck_assert_uint_eq(stats().pool.states[SLOT_QUARANTINED], 2);
	begin(&later, o, NULL, 300 * MIB, MIB);
	ck_assert(fake_xfer_end_fence(x));
	/* ... and no new read takes it from them. */
	ck_assert_uint_eq(stats().waiting, 1);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	ck_assert(fake_xfer_end_fence(x));
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	expect_ok(&a, "e1");
	expect_ok(&b, "e1");
	fake_xfer_drain(x);
	expect_ok(&later, "e1");
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(strained_pool_asks_plainly)
{
	struct object *o;
	unsigned int i;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (i = 0; i < 5; i++) {
		struct reading rd = {0};

		begin(&rd, o, NULL, (i + 1) * GIB, 4096);
		ck_assert(!fake_xfer_peek(x, 0)->plain);
		fake_xfer_end(x, 0, FAKE_FENCE);
		expect_error(&rd, -EIO);
	}
	/* Five of eighteen are more than a quarter. */
	{
		struct reading rd = {0};

		begin(&rd, o, NULL, 10 * GIB, 4096);
		ck_assert(fake_xfer_peek(x, 0)->plain);
		fake_xfer_end(x, 0, FAKE_OK);
		expect_ok(&rd, "e1");
	}
	while (fake_xfer_end_fence(x))
		;
	read_now(o, "e1", 11 * GIB, 4096);
	ck_assert_uint_eq(fake_xfer_stats(x).plain, 1);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(gets_say_what_is_wanted)
{
	const struct xfer_get *g;
	struct reading rd = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "bucket", "a\nkey", "\"etag\"", HUGE_FILE);
	begin(&rd, o, NULL, GIB + 4096, 8192);
	g = fake_xfer_peek(x, 0);
	ck_assert_str_eq(g->bucket, "bucket");
	ck_assert_str_eq(g->key, "a\nkey");
	ck_assert_str_eq(g->etag, "\"etag\"");
	ck_assert_uint_eq(g->object_len, HUGE_FILE);
	ck_assert_uint_eq(g->off, GIB + 4096);
	ck_assert_uint_eq(g->len, 8192);
	fake_xfer_end(x, 0, FAKE_OK);
	expect_ok(&rd, "\"etag\"");
	cache_object_put(c, o);
	finish();
}
END_TEST

/* ---- the end ---- */

START_TEST(stop_ends_waiting_reads)
{
	struct reading a = {0}, b = {0}, waits = {0}, late = {0};
	struct object *o;

	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&a, o, NULL, 100 * MIB, MIB);
	begin(&b, o, NULL, 200 * MIB, MIB);
	begin(&waits, o, NULL, 300 * MIB, MIB);
	ck_assert_int_eq(atomic_load(&waits.calls), 0);
	cache_close(c);
	fake_xfer_run(x, 1);
	cache_stop(c);
	/* An answer may still be on its way on its event loop. */
	wait_for(&a);
	wait_for(&b);
	wait_for(&waits);
	expect_error(&waits, -EIO);
	begin(&late, o, NULL, 400 * MIB, MIB);
	expect_error(&late, -EIO);
	cache_read_end(c, &a.r);
	cache_read_end(c, &b.r);
	cache_object_put(c, o);
	fake_xfer_stop(x);
	finish();
}
END_TEST

/* ---- many at once ---- */

static struct object *shared[3];
static const char *const shared_etag[] = {"e1", "f2", "g3"};
static atomic_ullong good, bad;

static void *reader(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg * 7919;
	const uint64_t until = clock_ms() + 2000;
	struct window w = {0};
	uint64_t next = 0;

	while (clock_ms() < until) {
		const int which = (int)(any_off(&seed) % 3);
		struct reading rd = {0};
		const uint64_t off = any_off(&seed) % 4 ? any_off(&seed) : next;

		begin(&rd, shared[which], &w, off,
		      any_off(&seed) % (300 * KIB));
		wait_for(&rd);
		ck_assert_int_eq(atomic_load(&rd.calls), 1);
		if (!rd.err && !bytes_fit(&rd, shared_etag[which]))
			abort();
		atomic_fetch_add(rd.err ? &bad : &good, 1);
		next = off + rd.r.len;
		cache_read_end(c, &rd.r);
		if (any_off(&seed) % 64 == 0)
			cache_drop(c);
		if (any_off(&seed) % 16 == 0)
			cache_prefetch(c, shared[which], off, MIB);
	}
	return NULL;
}

START_TEST(eight_threads)
{
	pthread_t t[8];

	start(8 * MIB, MIB, 4 * MIB);
	for (int i = 0; i < 3; i++)
		shared[i] = cache_object_get(c, "b", "k", shared_etag[i],
					     8 * MIB + 4321);
	fake_xfer_run(x, 3);
	for (uintptr_t i = 0; i < ARRAY_SIZE(t); i++)
		ck_assert_int_eq(
			pthread_create(&t[i], NULL, reader, (void *)(i + 1)),
			0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_gt(atomic_load(&good), 100);
	ck_assert_uint_gt(atomic_load(&good), atomic_load(&bad));
	fake_xfer_stop(x);
	for (int i = 0; i < 3; i++)
		cache_object_put(c, shared[i]);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("cache");
	TCase *tc = tcase_create("reads");

	tcase_set_timeout(tc, 20);
	ADD_ROWS(tc, reads_over_edges, edges);
	tcase_add_test(tc, many_reads_of_one_chunk_fetch_once);
	tcase_add_test(tc, equal_versions_share_and_others_do_not);
	ADD_ROWS(tc, random_reads_fetch_what_they_read, randoms);
	ADD_ROWS(tc, small_read_fetches_little, smalls);
	tcase_add_test(tc, gets_say_what_is_wanted);
	suite_add_tcase(s, tc);

	tc = tcase_create("slots");
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, fifty_reads_of_two_slots, 0, 20);
	tcase_add_test(tc, read_that_could_want_more_than_the_pool);
	tcase_add_test(tc, waiting_reads_go_in_turn);
	tcase_add_test(tc, refused_chunks_run_out_of_nothing);
	tcase_add_test(tc, oldest_goes_first);
	tcase_add_test(tc, what_is_read_once_does_not_drive_out);
	tcase_add_test(tc, a_loop_is_found_in_part);
	tcase_add_test(tc, drop_spares_what_is_read);
	suite_add_tcase(s, tc);

	tc = tcase_create("faults");
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, stale_object);
	tcase_add_test(tc, errors_are_not_kept);
	tcase_add_test(tc, one_bad_piece_spoils_the_read);
	tcase_add_test(tc, uncertain_memory_is_fenced);
	tcase_add_test(tc, body_takes_other_memory);
	tcase_add_test(tc, body_waits_for_memory);
	tcase_add_test(tc, strained_pool_asks_plainly);
	suite_add_tcase(s, tc);

	tc = tcase_create("threads");
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, stop_ends_waiting_reads);
	tcase_add_test(tc, eight_threads);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
