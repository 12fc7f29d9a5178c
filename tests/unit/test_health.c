/* SPDX-License-Identifier: Apache-2.0 */
/* When a token is worth sending. */
#include "unit.h"
#include "xfer/health.h"

#define NOW 1000000

static struct health h;

static void setup(void)
{
	h = (struct health){0};
}

static void note(enum health_event e, int times)
{
	while (times-- > 0)
		health_note(&h, e, NOW);
}

static bool may(uint64_t after_ms)
{
	return health_may_offer(&h, NOW + after_ms);
}

START_TEST(fresh)
{
	ck_assert(health_may_offer(&h, 0));
	ck_assert(may(0));
	ck_assert(may(0));
	ck_assert(health_may_offer(&h, UINT64_MAX));
}
END_TEST

/* What so many of one kind in a row do. */
static const struct {
	enum health_event event;
	int times;
	bool open;
} in_a_row[] = {
	{HEALTH_OK, 100, true},
	{HEALTH_NOTHING, 100, true},
	{HEALTH_DECLINED, HEALTH_DECLINES - 1, true},
	{HEALTH_DECLINED, HEALTH_DECLINES, false},
	{HEALTH_DECLINED, 100, false},
	{HEALTH_FAULT, HEALTH_FAULTS - 1, true},
	{HEALTH_FAULT, HEALTH_FAULTS, false},
	{HEALTH_FAULT, 100, false},
	{HEALTH_USELESS, 1, false},
	{HEALTH_USELESS, 100, false},
};

START_TEST(row)
{
	note(in_a_row[_i].event, in_a_row[_i].times);
	ck_assert_msg(may(0) == in_a_row[_i].open, "%d of %d",
		      in_a_row[_i].times, in_a_row[_i].event);
	/* Nothing is benched for ever. */
	ck_assert(may(HEALTH_PERIOD_MS));
}
END_TEST

/* The document says so (1.5, the notes). */
START_TEST(defaults)
{
	ck_assert_uint_eq(HEALTH_DECLINES, 8);
	ck_assert_uint_eq(HEALTH_PERIOD_MS, 30000);
}
END_TEST

static void bench(int by)
{
	note((enum health_event)by, by == HEALTH_DECLINED ? HEALTH_DECLINES
				    : by == HEALTH_FAULT  ? HEALTH_FAULTS
							  : 1);
	ck_assert(!may(0));
}

static const int benchers[] = {HEALTH_DECLINED, HEALTH_USELESS, HEALTH_FAULT};

START_TEST(probe_once_per_period)
{
	bench(benchers[_i]);
	for (uint64_t t = 0; t < 5ULL * HEALTH_PERIOD_MS; t += 1000)
		ck_assert_msg(may(t) == (t > 0 && t % HEALTH_PERIOD_MS == 0),
			      "at %llu", (unsigned long long)t);
}
END_TEST

START_TEST(period_counts_from_the_last_probe)
{
	bench(benchers[_i]);
	ck_assert(!may(HEALTH_PERIOD_MS - 1));
	ck_assert(may(3 * HEALTH_PERIOD_MS));
	ck_assert(!may(3 * HEALTH_PERIOD_MS));
	ck_assert(!may(4 * HEALTH_PERIOD_MS - 1));
	ck_assert(may(4 * HEALTH_PERIOD_MS));
}
END_TEST

/* More of the same while benched does not put the probe off. */
START_TEST(late_answers_do_not_move_the_probe)
{
	bench(benchers[_i]);
	for (uint64_t t = 0; t < HEALTH_PERIOD_MS; t += 1000)
		health_note(&h, (enum health_event)benchers[_i], NOW + t);
	ck_assert(may(HEALTH_PERIOD_MS));
}
END_TEST

START_TEST(probe_that_fails)
{
	bench(benchers[_i]);
	ck_assert(may(HEALTH_PERIOD_MS));
	health_note(&h, (enum health_event)benchers[_i],
		    NOW + HEALTH_PERIOD_MS + 100);
	ck_assert(!may(HEALTH_PERIOD_MS + 200));
	ck_assert(!may(2 * HEALTH_PERIOD_MS - 1));
	ck_assert(may(2 * HEALTH_PERIOD_MS));
}
END_TEST

START_TEST(probe_that_says_nothing)
{
	bench(benchers[_i]);
	ck_assert(may(HEALTH_PERIOD_MS));
	note(HEALTH_NOTHING, 1);
	ck_assert(!may(HEALTH_PERIOD_MS + 1));
	ck_assert(may(2 * HEALTH_PERIOD_MS));
}
END_TEST

START_TEST(probe_that_succeeds)
{
	bench(benchers[_i]);
	ck_assert(may(HEALTH_PERIOD_MS));
	note(HEALTH_OK, 1);
	ck_assert_uint_eq(h.declines, 0);
	ck_assert_uint_eq(h.faults, 0);
	ck_assert(may(HEALTH_PERIOD_MS + 1));
	ck_assert(may(HEALTH_PERIOD_MS + 1));
	/* The count begins anew. */
	if (benchers[_i] != HEALTH_USELESS) {
		note(HEALTH_DECLINED, HEALTH_DECLINES - 1);
		ck_assert(may(HEALTH_PERIOD_MS + 2));
	}
}
END_TEST

/* A second bench has a whole period of its own. */
START_TEST(benched_again)
{
	bench(benchers[_i]);
	note(HEALTH_OK, 1);
	for (int k = 0; k < HEALTH_DECLINES; k++)
		health_note(&h, (enum health_event)benchers[_i],
			    NOW + 2 * HEALTH_PERIOD_MS);
	ck_assert(!may(2 * HEALTH_PERIOD_MS));
	ck_assert(!may(3 * HEALTH_PERIOD_MS - 1));
	ck_assert(may(3 * HEALTH_PERIOD_MS));
}
END_TEST

START_TEST(ok_between)
{
	for (int k = 0; k < 100; k++) {
		note(HEALTH_DECLINED, HEALTH_DECLINES - 1);
		note(HEALTH_OK, 1);
		note(HEALTH_FAULT, HEALTH_FAULTS - 1);
		note(HEALTH_OK, 1);
		ck_assert(may(0));
	}
}
END_TEST

START_TEST(nothing_changes_nothing)
{
	const struct health before = {
		.declines = 3, .faults = 2, .probe_ms = 7};

	h = before;
	note(HEALTH_NOTHING, 1000);
	ck_assert_uint_eq(h.declines, before.declines);
	ck_assert_uint_eq(h.faults, before.faults);
	ck_assert_uint_eq(h.probe_ms, before.probe_ms);
	/* It does not end a row either. */
	note(HEALTH_DECLINED, HEALTH_DECLINES - 4);
	note(HEALTH_NOTHING, 1);
	ck_assert(may(0));
	note(HEALTH_DECLINED, 1);
	ck_assert(!may(0));
}
END_TEST

/* The two counters know nothing of each other's sum. */
START_TEST(kept_apart)
{
	note(HEALTH_DECLINED, HEALTH_DECLINES - 1);
	note(HEALTH_FAULT, HEALTH_FAULTS - 1);
	ck_assert(may(0));
	note(HEALTH_FAULT, 1);
	ck_assert(!may(0));
}
END_TEST

/* Who declines answers: the path to it is good. */
START_TEST(decline_ends_a_row_of_faults)
{
	note(HEALTH_FAULT, HEALTH_FAULTS - 1);
	note(HEALTH_DECLINED, 1);
	note(HEALTH_FAULT, HEALTH_FAULTS - 1);
	ck_assert(may(0));
	note(HEALTH_FAULT, 1);
	ck_assert(!may(0));
}
END_TEST

START_TEST(fault_does_not_end_a_row_of_declines)
{
	note(HEALTH_DECLINED, HEALTH_DECLINES - 1);
	note(HEALTH_FAULT, 1);
	note(HEALTH_DECLINED, 1);
	ck_assert(!may(0));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("health");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, fresh);
	tcase_add_test(tc, defaults);
	ADD_ROWS(tc, row, in_a_row);
	ADD_ROWS(tc, probe_once_per_period, benchers);
	ADD_ROWS(tc, period_counts_from_the_last_probe, benchers);
	ADD_ROWS(tc, late_answers_do_not_move_the_probe, benchers);
	ADD_ROWS(tc, probe_that_fails, benchers);
	ADD_ROWS(tc, probe_that_says_nothing, benchers);
	ADD_ROWS(tc, probe_that_succeeds, benchers);
	ADD_ROWS(tc, benched_again, benchers);
	tcase_add_test(tc, ok_between);
	tcase_add_test(tc, nothing_changes_nothing);
	tcase_add_test(tc, kept_apart);
	tcase_add_test(tc, decline_ends_a_row_of_faults);
	tcase_add_test(tc, fault_does_not_end_a_row_of_declines);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
