/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/spread.h"

#include "unit.h"

static struct spread s;

/* So many requests one after the other, each answered after its endpoint's
 * time; how many went where. */
static void run(unsigned int n, const unsigned int *us, unsigned int *went)
{
	for (unsigned int i = 0; i < n; i++) {
		const unsigned int u = spread_choose(&s, 1000);

		went[u]++;
		spread_done(&s, u, SPREAD_ANSWERED, us[u], 1000);
	}
}

START_TEST(equal_ones_take_turns)
{
	static const unsigned int us[4] = {500, 500, 500, 500};
	unsigned int went[4] = {0};

	spread_init(&s, 4);
	run(4000, us, went);
	for (int i = 0; i < 4; i++) {
		ck_assert_uint_ge(went[i], 800);
		ck_assert_uint_le(went[i], 1200);
	}
}
END_TEST

START_TEST(the_fast_one_gets_most)
{
	static const unsigned int us[3] = {5000, 400, 5000};
	static const unsigned int now[3] = {300, 4000, 5000};
	unsigned int went[3] = {0};

	spread_init(&s, 3);
	run(3000, us, went);
	ck_assert_uint_ge(went[1], 2900);
	/* The others are looked at, */
	ck_assert_uint_ge(went[0], 20);
	ck_assert_uint_ge(went[2], 20);
	/* so that what changes is seen. */
	run(1000, now, went);
	went[0] = 0;
	run(1000, now, went);
	ck_assert_uint_ge(went[0], 900);
}
END_TEST

/* What stays away is asked of one that nobody waits for, or that has answered
 * last, however quick the other was. */
START_TEST(again_is_asked_of_who_answers)
{
	spread_init(&s, 3);
	for (unsigned int u = 0; u < 3; u++) {
		spread_take(&s, u, 1000);
		spread_done(&s, u, SPREAD_ANSWERED, u ? 30000 : 10, 1000);
	}
	for (unsigned int i = 0; i < 10; i++) {
		spread_take(&s, 0, 1000); /* stays away */
		spread_take(&s, 1, 1000);
	}
	ck_assert_uint_eq(spread_choose_again(&s, 2000), 2);
	/* Others wait everywhere now. */
	spread_done(&s, 1, SPREAD_ANSWERED, 30000, 2500);
	ck_assert_uint_eq(spread_choose_again(&s, 2550), 1);
	spread_done(&s, 1, SPREAD_REFUSED, 0, 2300);
	ck_assert_uint_eq(spread_choose_again(&s, 2301) == 1, false);
	spread_init(&s, 1);
	ck_assert_uint_eq(spread_choose_again(&s, 1), 0);
}
END_TEST

/* One that is known to be slow is no help because nobody waits for it. */
START_TEST(again_is_not_asked_of_a_slow_one)
{
	spread_init(&s, 2);
	spread_take(&s, 0, 1000);
	spread_done(&s, 0, SPREAD_ANSWERED, 1000, 1000);
	spread_take(&s, 1, 1000);
	spread_done(&s, 1, SPREAD_ANSWERED, 9000000, 10000);
	spread_take(&s, 0, 20000);
	ck_assert_uint_eq(spread_choose_again(&s, 20100), 0);
}
END_TEST

/* One that answers nothing any more, without saying no: it is not looked at
 * either, until those that wait have given up; then again. */
START_TEST(a_silent_one_is_left_alone)
{
	static const unsigned int us[2] = {1000, 1000};
	unsigned int went[2] = {0}, silent = 0;

	spread_init(&s, 2);
	run(200, us, went);
	for (uint64_t now = 2000; now < 12000; now++) {
		const unsigned int u = spread_choose(&s, now);

		silent += u == 1;
		if (u == 0)
			spread_done(&s, 0, SPREAD_ANSWERED, 1000, now);
	}
	ck_assert_uint_ge(silent, 1);
	ck_assert_uint_le(silent, 10);
	while (silent--)
		spread_done(&s, 1, SPREAD_LATE, 1000, 12000);
	went[1] = 0;
	run(400, us, went);
	ck_assert_uint_ge(went[1], 4);
}
END_TEST

#define LOOK_NOT 1 /* a turn in which none is looked at */

/* One that is busy with long answers is silent too; one that nobody answers at
 * is no better. */
START_TEST(a_dead_one_is_no_help_to_a_busy_one)
{
	static const unsigned int us[2] = {1000, 1000};
	unsigned int went[2] = {0};

	spread_init(&s, 2);
	run(200, us, went);
	spread_take(&s, 1, 2000);
	spread_done(&s, 1, SPREAD_SILENT, 0, 7000);
	spread_take(&s, 0, 7000);
	for (uint64_t now = 8000; now < 8100; now++) {
		ck_assert_uint_eq(spread_choose(&s, now), 0);
		ck_assert_uint_eq(spread_choose_again(&s, now), 0);
	}
}
END_TEST

/* A slow store is not a silent one. */
START_TEST(slow_is_not_silent)
{
	spread_init(&s, 2);
	for (unsigned int u = 0; u < 2; u++) {
		spread_take(&s, u, 1000);
		spread_done(&s, u, SPREAD_ANSWERED, 400000, 1400);
	}
	spread_take(&s, 0, 2000);
	spread_take(&s, 0, 2000);
	spread_take(&s, 1, 2000);
	atomic_store(&s.turn, LOOK_NOT);
	/* 600 ms are half as much again as usual: the one with fewer. */
	ck_assert_uint_eq(spread_choose(&s, 2600), 1);
	/* After 2 s the other is the only one that has answered. */
	spread_done(&s, 0, SPREAD_ANSWERED, 400000, 3900);
	atomic_store(&s.turn, LOOK_NOT);
	ck_assert_uint_eq(spread_choose(&s, 4000), 0);
}
END_TEST

/* Many at a time: as many wait where answers take twice as long. */
START_TEST(what_waits_counts)
{
	unsigned int went[2] = {0};

	spread_init(&s, 2);
	spread_take(&s, 0, 1000);
	spread_done(&s, 0, SPREAD_ANSWERED, 1000, 0);
	spread_take(&s, 1, 1000);
	spread_done(&s, 1, SPREAD_ANSWERED, 2000, 0);
	for (int i = 0; i < 300; i++)
		went[spread_choose(&s, 0)]++;
	ck_assert_uint_ge(went[0], 180);
	ck_assert_uint_le(went[0], 220);
}
END_TEST

static const struct {
	enum spread_end end;
	uint64_t ms;
} ends[] = {
	{SPREAD_REFUSED, 1000},
	{SPREAD_SILENT, 30000},
	{SPREAD_FAILED, 200},
};

START_TEST(one_that_fails_is_passed_by)
{
	spread_init(&s, 2);
	spread_take(&s, 0, 1000);
	spread_done(&s, 0, ends[_i].end, 0, 5000);
	for (int i = 0; i < 100; i++) {
		ck_assert_uint_eq(spread_choose(&s, 5000 + ends[_i].ms - 1), 1);
		spread_done(&s, 1, SPREAD_ANSWERED, 100, 5000);
	}
	for (int i = 0; i < 100; i++)
		if (spread_choose(&s, 5000 + ends[_i].ms) == 0)
			return;
	ck_abort_msg("never asked again");
}
END_TEST

static const struct {
	enum spread_end end;
	unsigned int us; /* that it takes */
	unsigned int most;
} bads[] = {
	{SPREAD_FAILED, 100, 60}, /* of a thousand */
	{SPREAD_REFUSED, 100, 60},
	{SPREAD_LATE, 30000000, 60},
};

/* One that answers at once, but badly, beside one that takes its time: a
 * request a millisecond, six at a time. */
START_TEST(a_quick_no_draws_nobody)
{
	unsigned int waiting[6], went[2] = {0};

	spread_init(&s, 2);
	for (int i = 0; i < 6; i++)
		waiting[i] = spread_choose(&s, 5000);
	for (uint64_t i = 0; i < 1000; i++) {
		const unsigned int u = waiting[i % 6];

		if (u == 0)
			spread_done(&s, 0, SPREAD_ANSWERED, 60000, 5000 + i);
		else
			spread_done(&s, 1, bads[_i].end, bads[_i].us, 5000 + i);
		waiting[i % 6] = spread_choose(&s, 5000 + i);
		went[waiting[i % 6]]++;
	}
	ck_assert_uint_le(went[1], bads[_i].most);
}
END_TEST

START_TEST(all_down)
{
	unsigned int went[3] = {0};

	spread_init(&s, 3);
	for (unsigned int u = 0; u < 3; u++) {
		spread_take(&s, u, 1000);
		spread_done(&s, u, SPREAD_REFUSED, 0, 0);
	}
	for (int i = 0; i < 300; i++) {
		const unsigned int u = spread_choose(&s, 10);

		went[u]++;
		spread_done(&s, u, SPREAD_OTHER, 0, 10);
	}
	for (int u = 0; u < 3; u++)
		ck_assert_uint_ge(went[u], 50);
}
END_TEST

START_TEST(only_one)
{
	spread_init(&s, 1);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(spread_choose(&s, 0), 0);
	spread_done(&s, 0, SPREAD_REFUSED, 0, 0);
	ck_assert_uint_eq(spread_choose(&s, 0), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("spread");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, equal_ones_take_turns);
	tcase_add_test(tc, the_fast_one_gets_most);
	tcase_add_test(tc, again_is_asked_of_who_answers);
	tcase_add_test(tc, again_is_not_asked_of_a_slow_one);
	tcase_add_test(tc, a_silent_one_is_left_alone);
	tcase_add_test(tc, a_dead_one_is_no_help_to_a_busy_one);
	tcase_add_test(tc, slow_is_not_silent);
	tcase_add_test(tc, what_waits_counts);
	ADD_ROWS(tc, one_that_fails_is_passed_by, ends);
	ADD_ROWS(tc, a_quick_no_draws_nobody, bads);
	tcase_add_test(tc, all_down);
	tcase_add_test(tc, only_one);
	suite_add_tcase(suite, tc);
	return unit_main(suite);
}
