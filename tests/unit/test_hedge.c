/* SPDX-License-Identifier: Apache-2.0 */
/* Requests made twice: the first to come is what is read, and whatever becomes
 * of the other, no byte is wrong, no slot lost and nobody waits for it. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/chunk.h"
#include "cache_fixture.h"

static struct object *o;

/* Room for some hedges at a time. */
static void setup(void)
{
	start(128 * MIB, MIB, 0);
	pthread_mutex_lock(&c->lock);
	hedge_init(c, 1);
	pthread_mutex_unlock(&c->lock);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
}

static void teardown(void)
{
	cache_object_put(c, o);
	finish();
}

/* From now on whatever takes a microsecond is stalled, and all may be spent. */
static void make_impatient(void)
{
	LOCK_SCOPE(&c->lock);
	c->hedging.policy.credit = HEDGE_SAVED * HEDGE_SHARE;
	for (int i = 0; i < SLOT_CLASSES; i++) {
		c->hedging.policy.took[i].p99_ns = 0;
		c->hedging.policy.took[i].seen = HEDGE_HISTORY;
	}
}

static unsigned int waiting(void)
{
	return fake_xfer_stats(x).waiting;
}

/* A read whose get is number 0, and its hedge number 1. */
static void begin_hedged(struct reading *rd, uint64_t off, uint64_t len)
{
	begin(rd, o, NULL, off, len);
	ck_assert_uint_eq(waiting(), 1);
	make_impatient();
	usleep(1000);
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(waiting(), 2);
	ck_assert_uint_eq(stats().hedges, 1);
	ck_assert_int_eq(atomic_load(&rd->calls), 0);
}

/* Not yet, or not at all: the read is as it was. */
static const enum fake_outcome ends[] = {FAKE_OK,    FAKE_ERROR, FAKE_DENIED,
					 FAKE_STALE, FAKE_FENCE, FAKE_BODY};

START_TEST(the_hedge_is_first)
{
	struct reading rd = {0}, again = {0};

	begin_hedged(&rd, 5 * MIB + 100, 4000);
	ck_assert(fake_xfer_end(x, 1, FAKE_OK));
	ck_assert_int_eq(atomic_load(&rd.calls), 1);
	ck_assert_uint_eq(stats().hedges_won, 1);
	ck_assert_uint_eq(waiting(), 1);
	/* What was read stays what it is while the other ends its way. */
	ck_assert(bytes_fit(&rd, "e1"));
	cache_drop(c);
	fake_xfer_end(x, 0, ends[_i]);
	while (fake_xfer_end_fence(x))
		;
	ck_assert(bytes_fit(&rd, "e1"));
	if (ends[_i] != FAKE_STALE) {
		begin(&again, o, NULL, 5 * MIB + 100, 4000);
		ck_assert_int_eq(atomic_load(&again.calls), 1);
		expect_ok(&again, "e1");
	}
	expect_ok(&rd, "e1");
	/* One that hoped for other memory gives up. */
	while (waiting())
		ck_assert(fake_xfer_end(x, 0, FAKE_ERROR));
}
END_TEST

START_TEST(the_first_is_first)
{
	struct reading rd = {0};

	begin_hedged(&rd, 5 * MIB + 100, 4000);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	ck_assert_int_eq(atomic_load(&rd.calls), 1);
	fake_xfer_end(x, 0, ends[_i]);
	while (fake_xfer_end_fence(x))
		;
	expect_ok(&rd, "e1");
	ck_assert_uint_eq(stats().hedges_won, 0);
	while (waiting())
		ck_assert(fake_xfer_end(x, 0, FAKE_ERROR));
	/* It says nothing of the object. */
	ck_assert_int_eq(cache_object_gone(c, o), 0);
}
END_TEST

START_TEST(a_hedge_that_fails_is_nothing)
{
	struct reading rd = {0};

	begin_hedged(&rd, 5 * MIB + 100, 4000);
	fake_xfer_end(x, 1, ends[_i]);
	if (ends[_i] == FAKE_OK || ends[_i] == FAKE_BODY) {
		expect_ok(&rd, "e1");
		return;
	}
	ck_assert_int_eq(atomic_load(&rd.calls), 0);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	expect_ok(&rd, "e1");
}
END_TEST

START_TEST(the_first_decides_what_is_wrong)
{
	struct reading rd = {0};

	begin_hedged(&rd, 5 * MIB + 100, 4000);
	ck_assert(fake_xfer_end(x, 0, FAKE_STALE));
	expect_error(&rd, -ESTALE);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	begin(&rd, o, NULL, 5 * MIB + 100, 4000);
	expect_error(&rd, -ESTALE);
}
END_TEST

START_TEST(nobody_waits_nothing_is_made_twice)
{
	cache_prefetch(c, o, 0, 4 * MIB);
	ck_assert_uint_gt(waiting(), 0);
	make_impatient();
	usleep(1000);
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(stats().hedges, 0);
}
END_TEST

/* Sixteen reads that are stalled. */
static void begin_many(struct reading rd[16])
{
	for (uint64_t i = 0; i < 16; i++)
		begin(&rd[i], o, NULL, (100 + i) * MIB, 4096);
	make_impatient();
	usleep(1000);
}

static void expect_many(struct reading rd[16])
{
	for (int i = 0; i < 16; i++)
		expect_ok(&rd[i], "e1");
}

START_TEST(once_only_and_within_bounds)
{
	struct reading rd[16] = {0};

	begin_many(rd);
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(stats().hedges, HEDGE_SAVED);
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(stats().hedges, HEDGE_SAVED);
	for (int i = 0; i < 4; i++) {
		make_impatient();
		ck_assert(fake_xfer_tick(x, false));
	}
	ck_assert_uint_eq(stats().hedges, HEDGES_MAX);
	ck_assert_uint_eq(waiting(), 16 + HEDGES_MAX);
	fake_xfer_drain(x);
	expect_many(rd);
	/* Nothing is under way: nothing looks any more. */
	ck_assert(fake_xfer_tick(x, false));
	ck_assert(!fake_xfer_tick(x, false));
}
END_TEST

/* Those that were outrun count as long as they go on. */
START_TEST(what_was_outrun_counts)
{
	struct reading rd[16] = {0};

	begin_many(rd);
	for (int i = 0; i < 3; i++) {
		make_impatient();
		ck_assert(fake_xfer_tick(x, false));
	}
	ck_assert_uint_eq(stats().hedges, HEDGES_MAX);
	for (unsigned int i = 0; i < HEDGES_MAX; i++)
		ck_assert(fake_xfer_end(x, 16, FAKE_OK));
	ck_assert_uint_eq(stats().hedges_won, HEDGES_MAX);
	make_impatient();
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(stats().hedges, HEDGES_MAX);
	/* Two catch up: there may be two more. */
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	ck_assert(fake_xfer_end(x, 0, FAKE_FENCE));
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(stats().hedges, HEDGES_MAX + 2);
	fake_xfer_drain(x);
	expect_many(rd);
}
END_TEST

/* They would have all the memory that there is. */
START_TEST(a_small_pool_has_none)
{
	struct reading rd = {0};

	teardown();
	start(4 * MIB, MIB, 0);
	pthread_mutex_lock(&c->lock);
	hedge_init(c, 1);
	pthread_mutex_unlock(&c->lock);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&rd, o, NULL, 0, MIB);
	make_impatient();
	usleep(1000);
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(stats().hedges, 0);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	expect_ok(&rd, "e1");
}
END_TEST

/* The cache ends while one is late, and one's hedge goes on. */
START_TEST(the_end_waits_for_both)
{
	struct reading a = {0}, b = {0};

	begin_hedged(&a, 5 * MIB, 4000);
	ck_assert(fake_xfer_end(x, 1, FAKE_OK));
	begin(&b, o, NULL, 9 * MIB, 4000);
	make_impatient();
	usleep(1000);
	ck_assert(fake_xfer_tick(x, false));
	ck_assert_uint_eq(waiting(), 3);
	/* The loops end; nothing is begun again. */
	ck_assert(fake_xfer_tick(x, true));
	ck_assert(!fake_xfer_tick(x, false));
	fake_xfer_run(x, 1);
	cache_stop(c);
	ck_assert_uint_eq(waiting(), 0);
	wait_for(&b);
	expect_ok(&a, "e1");
	cache_read_end(c, &b.r);
	fake_xfer_stop(x);
}
END_TEST

START_TEST(turned_off_no_timer_runs)
{
	struct reading rd = {0};

	pthread_mutex_lock(&c->lock);
	hedge_init(c, 0);
	pthread_mutex_unlock(&c->lock);
	begin(&rd, o, NULL, 5 * MIB, 4096);
	ck_assert(!fake_xfer_tick(x, false));
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	expect_ok(&rd, "e1");
}
END_TEST

/* ---- many at once ---- */

static atomic_bool over;
static atomic_ullong good;

static void *tick(void *arg)
{
	while (!atomic_load(&over)) {
		make_impatient();
		fake_xfer_tick(x, false);
		sched_yield();
	}
	return arg;
}

/* How soon a hedge wins is the scheduler's choice: on a machine with other work
 * the thread that makes them may seldom run. */
static bool has_seen_all(void)
{
	return atomic_load(&good) > 100 && stats().hedges > 10 &&
	       stats().hedges_won > 0;
}

/* For two seconds, and until all that is to be seen was, or the test's time is
 * over. */
static void *reader(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg * 0x9E3779B97F4A7C15ULL;
	const uint64_t until = clock_ms() + 2000;

	while (clock_ms() < until || !has_seen_all()) {
		struct reading rd = {0};

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		begin(&rd, o, NULL, (seed >> 33) % (40 * MIB),
		      1 + (seed >> 20) % (200 * KIB));
		wait_for(&rd);
		if (!rd.err && !bytes_fit(&rd, "e1"))
			abort();
		atomic_fetch_add(&good, !rd.err);
		cache_read_end(c, &rd.r);
		if (seed >> 60 == 0)
			cache_drop(c);
	}
	return NULL;
}

START_TEST(readers_and_hedges_together)
{
	pthread_t t[6], ticker;

	fake_xfer_run(x, 3);
	ck_assert_int_eq(pthread_create(&ticker, NULL, tick, NULL), 0);
	for (uintptr_t i = 0; i < ARRAY_SIZE(t); i++)
		ck_assert_int_eq(
			pthread_create(&t[i], NULL, reader, (void *)(i + 1)),
			0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	atomic_store(&over, true);
	pthread_join(ticker, NULL);
	fake_xfer_stop(x);
	ck_assert(has_seen_all());
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hedge");
	TCase *tc = tcase_create("hedge");

	tcase_set_timeout(tc, 30);
	tcase_add_checked_fixture(tc, setup, teardown);
	ADD_ROWS(tc, the_hedge_is_first, ends);
	ADD_ROWS(tc, the_first_is_first, ends);
	ADD_ROWS(tc, a_hedge_that_fails_is_nothing, ends);
	tcase_add_test(tc, the_first_decides_what_is_wrong);
	tcase_add_test(tc, nobody_waits_nothing_is_made_twice);
	tcase_add_test(tc, once_only_and_within_bounds);
	tcase_add_test(tc, what_was_outrun_counts);
	tcase_add_test(tc, a_small_pool_has_none);
	tcase_add_test(tc, the_end_waits_for_both);
	tcase_add_test(tc, turned_off_no_timer_runs);
	tcase_add_test(tc, readers_and_hedges_together);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
