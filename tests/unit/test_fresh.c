/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/fresh.h"

#include "unit.h"

static const struct fresh rules = {
	.ttl_ms = 1,
	.negative_ttl_ms = 2,
	.rules = {{"a/", 10, false},
		  {"a/b", 20, true},
		  {"a/b/c/", FRESH_FOREVER, false},
		  {"z//", 30, true},
		  {"a/bb/", 40, false}},
	.n = 5,
};

static const struct {
	const char *path;
	uint64_t ttl;
	bool trusted, leads;
} rows[] = {
	{"", 1, false, true},
	{"a", 10, false, true},
	{"a/", 10, false, true},
	{"ab", 1, false, false},
	{"a/x", 10, false, false},
	{"a/b", 20, true, true},
	{"a/b/", 20, true, true},
	{"a/b/x", 20, true, false},
	{"a/bc", 10, false, false},
	{"a/bb", 40, false, false},
	{"a/bb/c", 40, false, false},
	{"a/b/c", FRESH_FOREVER, false, false},
	{"a/b/c/d/e", FRESH_FOREVER, false, false},
	{"a/b/cc", 20, true, false},
	{"z", 30, true, true},
	{"z/y", 30, true, false},
	{"zz", 1, false, false},
};

START_TEST(the_longest_rule_counts)
{
	ck_assert_msg(fresh_ttl(&rules, rows[_i].path) == rows[_i].ttl, "%s",
		      rows[_i].path);
	ck_assert_msg(fresh_is_trusted(&rules, rows[_i].path) ==
			      rows[_i].trusted,
		      "%s", rows[_i].path);
	ck_assert_msg(fresh_leads_to_trusted(&rules, rows[_i].path) ==
			      rows[_i].leads,
		      "%s", rows[_i].path);
}
END_TEST

START_TEST(an_empty_prefix_is_for_all)
{
	const struct fresh all = {.ttl_ms = 1,
				  .rules = {{"", 50, true}, {"x", 60, false}},
				  .n = 2};
	const struct fresh none = {.ttl_ms = 1};

	ck_assert_uint_eq(fresh_ttl(&all, ""), 50);
	ck_assert_uint_eq(fresh_ttl(&all, "q/r"), 50);
	ck_assert_uint_eq(fresh_ttl(&all, "x/r"), 60);
	ck_assert(fresh_is_trusted(&all, "q"));
	ck_assert(!fresh_is_trusted(&all, "x/q"));
	ck_assert(fresh_leads_to_trusted(&all, ""));
	ck_assert(!fresh_leads_to_trusted(&none, ""));
	ck_assert(!fresh_is_trusted(&none, ""));
}
END_TEST

static const struct {
	uint64_t ttl, since, now, left;
} ages[] = {
	{100, 5000, 5000, 100},
	{100, 5000, 5001, 99},
	{100, 5000, 5099, 1},
	{100, 5000, 5100, 0},
	{100, 5000, 900000, 0},
	{0, 5000, 5000, 0},
	{100, 0, 50, 0},
	{FRESH_FOREVER, 0, 50, 0},
	{FRESH_FOREVER, 5000, UINT64_MAX / 2, FRESH_FOREVER},
	{FRESH_FOREVER, 500000, 5000, 0},
	{100, 500000, 5000, 0},
};

START_TEST(age_is_counted)
{
	ck_assert_uint_eq(
		fresh_left(ages[_i].ttl, ages[_i].since, ages[_i].now),
		ages[_i].left);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("fresh");
	TCase *tc = tcase_create("fresh");

	ADD_ROWS(tc, the_longest_rule_counts, rows);
	tcase_add_test(tc, an_empty_prefix_is_for_all);
	ADD_ROWS(tc, age_is_counted, ages);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
