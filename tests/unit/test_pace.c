/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pace.h"
#include "unit.h"

#define MIB (1ULL << 20)
#define MS 1000000ULL

/* So many gets of 8 MiB at a time over a line of so many bytes a second, until
 * what may be fetched ahead has settled. */
static const struct {
	uint64_t rate;    /* bytes a second */
	uint64_t way_ms;  /* before the first byte */
	unsigned int max; /* gets that one would like to have under way */
	unsigned int least, most;
} lines[] = {
	{MIB, 1, 32, 1, 1},         {2 * MIB, 20, 32, 1, 2},
	{10 * MIB, 20, 32, 4, 6},   {50 * MIB, 100, 32, 25, 26},
	{125 * MIB, 1, 32, 32, 32}, {10000 * MIB, 200, 32, 32, 32},
};

START_TEST(line)
{
	struct pace p;
	unsigned int n = 0;

	pace_init(&p);
	for (int round = 0; round < 50; round++) {
		uint64_t with[64];

		for (n = 0; n < lines[_i].max && pace_allows(&p); n++)
			with[n] = pace_begin(&p, 8 * MIB);
		ck_assert_uint_eq(p.going, n * 8 * MIB);
		for (unsigned int i = 0; i < n; i++)
			pace_end(&p, 8 * MIB, with[n - 1],
				 lines[_i].way_ms * MS + n * 8 * MIB * 1000 *
								 MS /
								 lines[_i].rate,
				 true);
		ck_assert_uint_eq(p.going, 0);
	}
	ck_assert_uint_ge(n, lines[_i].least);
	ck_assert_uint_le(n, lines[_i].most);
}
END_TEST

START_TEST(what_is_quick_but_small_bounds_nothing)
{
	struct pace p;
	uint64_t with;

	pace_init(&p);
	with = pace_begin(&p, 4096);
	pace_end(&p, 4096, with, 3000 * MS, true);
	ck_assert_uint_eq(p.bound, UINT64_MAX);
}
END_TEST

START_TEST(what_failed_says_nothing)
{
	struct pace p;
	uint64_t with;

	pace_init(&p);
	with = pace_begin(&p, 8 * MIB);
	pace_end(&p, 8 * MIB, with, 30000 * MS, false);
	ck_assert_uint_eq(p.bound, UINT64_MAX);
	ck_assert_uint_eq(p.going, 0);
}
END_TEST

START_TEST(a_stall_is_soon_forgotten)
{
	struct pace p;
	uint64_t with;

	pace_init(&p);
	with = pace_begin(&p, 8 * MIB);
	pace_end(&p, 8 * MIB, with, 20000 * MS, true);
	ck_assert_uint_lt(p.bound, 2 * MIB);
	ck_assert(pace_allows(&p)); /* one always */
	with = pace_begin(&p, 8 * MIB);
	ck_assert(!pace_allows(&p));
	pace_end(&p, 8 * MIB, with, 10 * MS, true);
	ck_assert_uint_gt(p.bound, 1024 * MIB);
}
END_TEST

START_TEST(each_reader_has_a_share)
{
	struct shares s = {0};
	uint64_t span[8] = {0};
	uint64_t now = 5 * SHARES_NS + 10;

	ck_assert_uint_eq(shares_count(&s, 0, now), 1);
	for (unsigned int i = 0; i < 8; i++) {
		/* the next to come would be one more, who is there is not */
		ck_assert_uint_eq(shares_count(&s, span[i], now), i + 1);
		shares_note(&s, &span[i], now);
		shares_note(&s, &span[i], now);
		ck_assert_uint_eq(shares_count(&s, span[0], now), i + 1);
	}
	/* in the next span they are still known, */
	now += SHARES_NS;
	ck_assert_uint_eq(shares_count(&s, span[0], now), 8);
	shares_note(&s, &span[0], now);
	ck_assert_uint_eq(shares_count(&s, span[0], now), 8);
	/* then only who went on reading is, */
	now += SHARES_NS;
	ck_assert_uint_eq(shares_count(&s, span[0], now), 1);
	ck_assert_uint_eq(shares_count(&s, span[5], now), 2);
	/* who closes it is not, */
	shares_note(&s, &span[0], now);
	shares_note(&s, &span[1], now);
	ck_assert_uint_eq(shares_count(&s, span[0], now), 2);
	shares_leave(&s, span[1]);
	shares_leave(&s, span[5]); /* long forgotten */
	ck_assert_uint_eq(shares_count(&s, span[0], now), 1);
	/* and after a pause nobody. */
	now += 10 * SHARES_NS;
	ck_assert_uint_eq(shares_count(&s, span[0], now), 1);
	shares_note(&s, &span[0], now);
	ck_assert_uint_eq(shares_count(&s, span[0], now), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pace");
	TCase *tc = tcase_create("pace");

	ADD_ROWS(tc, line, lines);
	tcase_add_test(tc, what_is_quick_but_small_bounds_nothing);
	tcase_add_test(tc, what_failed_says_nothing);
	tcase_add_test(tc, a_stall_is_soon_forgotten);
	tcase_add_test(tc, each_reader_has_a_share);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
