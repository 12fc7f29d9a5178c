/* SPDX-License-Identifier: Apache-2.0 */
/* When a request is worth making twice: the 99th percentile as it comes to be,
 * and what may be spent. */
#include "cache/hedge_policy.h"

#include "unit.h"

#define MS 1000000ULL

static uint64_t state = 88172645463325252ULL;

static uint64_t below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % n;
}

static void note(struct hedge_policy *p, enum slot_class class, uint64_t ns,
		 int times)
{
	while (times-- > 0)
		hedge_policy_note(p, class, ns);
}

static const struct {
	uint64_t floor_ms, took_ms;
	int times;
	uint64_t after_ms; /* 0: never */
} rows[] = {
	{0, 10, 1000, 0},     {200, 10, 31, 0},    {200, 10, 32, 200},
	{200, 99, 1000, 200}, {200, 150, 32, 300}, {200, 5000, 1000, 10000},
	{1, 0, 1000, 1},
};

START_TEST(it_waits_long_enough)
{
	struct hedge_policy p;
	uint64_t got;

	hedge_policy_init(&p, rows[_i].floor_ms * MS);
	note(&p, SLOT_BIG, rows[_i].took_ms * MS, rows[_i].times);
	got = hedge_policy_after(&p, SLOT_BIG);
	if (!rows[_i].after_ms) {
		ck_assert_uint_eq(got, UINT64_MAX);
		return;
	}
	/* Equal ones lower the estimate a little, and raise it again. */
	ck_assert_uint_le(got, rows[_i].after_ms * MS * 9 / 8 + 10);
	ck_assert_uint_ge(got, rows[_i].after_ms * MS * 9 / 10);
}
END_TEST

START_TEST(classes_have_their_own_times)
{
	struct hedge_policy p;

	hedge_policy_init(&p, 1);
	note(&p, SLOT_SMALL, 1 * MS, 100);
	ck_assert_uint_eq(hedge_policy_after(&p, SLOT_BIG), UINT64_MAX);
	note(&p, SLOT_BIG, 400 * MS, 100);
	ck_assert_uint_lt(hedge_policy_after(&p, SLOT_SMALL), 3 * MS);
	ck_assert_uint_gt(hedge_policy_after(&p, SLOT_BIG), 600 * MS);
}
END_TEST

/* One in `slow` takes 1 s, the others up to 20 ms: is it about 20 ms?  Then
 * times change, and it follows. */
START_TEST(it_follows_the_99th_of_100)
{
	static const unsigned int slow[] = {1000000, 1000, 300};
	struct hedge_policy p;

	hedge_policy_init(&p, 1);
	for (int i = 0; i < 20000; i++)
		hedge_policy_note(&p, SLOT_BIG,
				  below(slow[_i]) ? below(20 * MS) : 1000 * MS);
	ck_assert_uint_gt(p.took[SLOT_BIG].p99_ns, 15 * MS);
	ck_assert_uint_lt(p.took[SLOT_BIG].p99_ns, 60 * MS);
	for (int i = 0; i < 20000; i++)
		hedge_policy_note(&p, SLOT_BIG, below(200 * MS));
	ck_assert_uint_gt(p.took[SLOT_BIG].p99_ns, 150 * MS);
	ck_assert_uint_lt(p.took[SLOT_BIG].p99_ns, 400 * MS);
}
END_TEST

START_TEST(a_slow_first_one_is_soon_forgotten)
{
	struct hedge_policy p;

	hedge_policy_init(&p, 1);
	hedge_policy_note(&p, SLOT_BIG, 4000 * MS);
	note(&p, SLOT_BIG, 5 * MS, 100);
	ck_assert_uint_lt(hedge_policy_after(&p, SLOT_BIG), 200 * MS);
}
END_TEST

START_TEST(one_endless_request_changes_little)
{
	struct hedge_policy p;

	hedge_policy_init(&p, 1);
	note(&p, SLOT_BIG, 10 * MS, 1000);
	hedge_policy_note(&p, SLOT_BIG, UINT64_MAX / 4);
	ck_assert_uint_lt(hedge_policy_after(&p, SLOT_BIG), 30 * MS);
}
END_TEST

START_TEST(what_is_spent_is_bounded)
{
	struct hedge_policy p;
	unsigned int n = 0;

	hedge_policy_init(&p, MS);
	ck_assert(!hedge_policy_spend(&p));
	note(&p, SLOT_BIG, MS, HEDGE_SHARE - 1);
	ck_assert(!hedge_policy_spend(&p));
	note(&p, SLOT_BIG, MS, 1);
	ck_assert(hedge_policy_spend(&p));
	ck_assert(!hedge_policy_spend(&p));
	note(&p, SLOT_SMALL, MS, 100000);
	while (hedge_policy_spend(&p))
		n++;
	ck_assert_uint_eq(n, HEDGE_SAVED);
	for (int i = 0; i < 1000; i++) {
		note(&p, SLOT_SMALL, MS, 1);
		n += hedge_policy_spend(&p);
	}
	ck_assert_uint_eq(n, HEDGE_SAVED + 1000 / HEDGE_SHARE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hedge_policy");
	TCase *tc = tcase_create("hedge_policy");

	ADD_ROWS(tc, it_waits_long_enough, rows);
	tcase_add_test(tc, classes_have_their_own_times);
	tcase_add_loop_test(tc, it_follows_the_99th_of_100, 0, 3);
	tcase_add_test(tc, a_slow_first_one_is_soon_forgotten);
	tcase_add_test(tc, one_endless_request_changes_little);
	tcase_add_test(tc, what_is_spent_is_bounded);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
