/* SPDX-License-Identifier: Apache-2.0 */
/* Reads that wait for memory, or for what was asked for before them: whom they
 * hold up, and when they give up. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "cache/chunk.h"
#include "cache_fixture.h"

static struct object *o, *small;
static struct reading busy[2], waits[3];

static void set_deadline(uint64_t ms)
{
	LOCK_SCOPE(&c->lock);
	c->cfg.deadline_ms = ms;
}

/* Two big slots of 1 MiB, both of them waited for. */
static void setup(void)
{
	start_small();
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	small = cache_object_get(c, "b", "s", "e1", 5000);
	memset(busy, 0, sizeof(busy));
	memset(waits, 0, sizeof(waits));
}

static void teardown(void)
{
	cache_object_put(c, o);
	cache_object_put(c, small);
	finish();
}

static void take_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
		begin(&busy[i], o, NULL, 2 * MIB * i, MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 2);
	ck_assert_uint_eq(stats().waiting, 0);
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
		begin(&waits[i], o, NULL, 2 * MIB * (10 + i), MIB);
	ck_assert_uint_eq(stats().waiting, ARRAY_SIZE(waits));
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 2);
}

static void expect_all_ok(struct reading *rd, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect_ok(&rd[i], "e1");
}

START_TEST(what_stands_there_is_answered_at_once)
{
	struct reading rd = {0};

	read_now(small, "e1", 0, 5000);
	take_all();
	begin(&rd, small, NULL, 0, 5000);
	expect_ok(&rd, "e1");
	/* Nor does the end of a file need memory, */
	begin(&rd, o, NULL, HUGE_FILE, 4096);
	expect_ok(&rd, "e1");
	/* and what is on its way is waited for with those who asked for it. */
	begin(&rd, o, NULL, 0, MIB);
	fake_xfer_end(x, 0, FAKE_OK);
	expect_ok(&rd, "e1");
	fake_xfer_drain(x);
	expect_all_ok(busy, ARRAY_SIZE(busy));
	fake_xfer_drain(x);
	expect_all_ok(waits, 2);
	fake_xfer_drain(x);
	expect_ok(&waits[2], "e1");
}
END_TEST

START_TEST(who_waits_in_vain_does_not_begin_another_deadline)
{
	set_deadline(30);
	take_all();
	usleep(40000);
	fake_xfer_end(x, 0, FAKE_ERROR);
	expect_error(&busy[0], -EIO);
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
		expect_error(&waits[i], -EIO);
	fake_xfer_drain(x);
	expect_ok(&busy[1], "e1");
}
END_TEST

START_TEST(who_waits_while_bytes_come_goes_on_waiting)
{
	/* Long enough for what follows the sleep, even when this is slow. */
	set_deadline(2000);
	take_all();
	waits[0].r.starved_ns -= 3000000000ULL;
	fake_xfer_end(x, 0, FAKE_OK);
	expect_ok(&busy[0], "e1");
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 2);
	fake_xfer_drain(x);
	expect_ok(&busy[1], "e1");
	fake_xfer_drain(x);
	expect_all_ok(waits, 2);
	fake_xfer_drain(x);
	expect_ok(&waits[2], "e1");
}
END_TEST

/* A slow line: parts of them do. */
START_TEST(or_while_parts_of_them_come)
{
	set_deadline(2000);
	take_all();
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
		waits[i].r.starved_ns -= 3000000000ULL;
	atomic_store(fake_xfer_peek(x, 1)->came_ns, clock_ns());
	fake_xfer_end(x, 0, FAKE_ERROR);
	expect_error(&busy[0], -EIO);
	ck_assert_uint_eq(stats().waiting, ARRAY_SIZE(waits) - 1);
	fake_xfer_drain(x);
	expect_ok(&busy[1], "e1");
	fake_xfer_drain(x);
	expect_all_ok(waits, 2);
	fake_xfer_drain(x);
	expect_ok(&waits[2], "e1");
}
END_TEST

/* A get that goes on since long before anybody waits for it. */
static void begin_late(struct reading *rd)
{
	set_deadline(40);
	ck_assert(cache_prefetch(c, o, 0, MIB));
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 1);
	usleep(20000);
	begin(rd, o, NULL, 100, 5000);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 1);
}

START_TEST(the_failure_of_an_old_get_is_not_the_reads)
{
	struct reading rd = {0};

	begin_late(&rd);
	fake_xfer_end(x, 0, FAKE_ERROR);
	ck_assert_int_eq(atomic_load(&rd.calls), 0);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 1);
	fake_xfer_end(x, 0, _i ? FAKE_OK : FAKE_ERROR);
	if (_i)
		expect_ok(&rd, "e1");
	else
		expect_error(&rd, -EIO); /* once */
	while (fake_xfer_end_fence(x))
		;
}
END_TEST

START_TEST(what_is_final_is_final)
{
	struct reading rd = {0};

	begin_late(&rd);
	fake_xfer_end(x, 0, FAKE_DENIED);
	expect_error(&rd, -EACCES);
}
END_TEST

START_TEST(one_that_began_with_it_shares_its_failure)
{
	struct reading rd[2] = {{.err = 0}, {.err = 0}};

	set_deadline(60000);
	for (int i = 0; i < 2; i++)
		begin(&rd[i], o, NULL, 100, 5000);
	fake_xfer_end(x, 0, FAKE_ERROR);
	for (int i = 0; i < 2; i++)
		expect_error(&rd[i], -EIO);
}
END_TEST

START_TEST(closing_ends_who_waits_for_memory)
{
	take_all();
	cache_close(c);
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
		expect_error(&waits[i], -EIO);
	fake_xfer_drain(x);
	expect_all_ok(busy, ARRAY_SIZE(busy));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("waiting");
	TCase *tc = tcase_create("waiting");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_stands_there_is_answered_at_once);
	tcase_add_test(tc, who_waits_in_vain_does_not_begin_another_deadline);
	tcase_add_test(tc, who_waits_while_bytes_come_goes_on_waiting);
	tcase_add_test(tc, or_while_parts_of_them_come);
	tcase_add_loop_test(tc, the_failure_of_an_old_get_is_not_the_reads, 0,
			    2);
	tcase_add_test(tc, what_is_final_is_final);
	tcase_add_test(tc, one_that_began_with_it_shares_its_failure);
	tcase_add_test(tc, closing_ends_who_waits_for_memory);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
