/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts lie where they say, whatever the names are made of. */
#include "cache/ranges.h"

#include "names.h"
#include "unit.h"

static const char *const alphabets[] = {
	"0123456789",
	"0123456789abcdef",
	"abcdefghijklmnopqrstuvwxyz",
	"ABCXYZabcxyz019",
	"-._~!",
	"ab",
	" \x01\x02\x1f!",
	"\x7e\x7f\x80\xff",
	"a.-0",
	"\xc3\xa9\xe2\x82\xac"
	"a",
	"~}|{",
};

static int cmp(const char *a, const char *b)
{
	return strcmp(a, b);
}

START_TEST(the_middle_lies_between)
{
	unsigned int found = 0;

	names_seed((uint64_t)_i);
	for (int i = 0; i < 3000; i++) {
		const size_t max = i % 50 ? 8 : 255;
		char a[300], b[300], out[RANGES_NAME];
		char *lo = a, *hi = b;

		names_name(a, 1, max, alphabets[_i]);
		names_name(b, 1, max, alphabets[_i]);
		if (names_below(3) == 0) /* much in common */
			memcpy(b, a, strnlen(b, strlen(a) / 2));
		if (cmp(a, b) == 0)
			continue;
		if (cmp(a, b) > 0) {
			lo = b;
			hi = a;
		}
		if (names_below(20) == 0)
			*lo = '\0';
		if (!ranges_middle(lo, hi, out))
			continue;
		found++;
		ck_assert_msg(cmp(lo, out) < 0 && cmp(out, hi) < 0,
			      "%s, %s, %s", lo, out, hi);
		ck_assert_ptr_null(strchr(out, '/'));
		ck_assert_uint_lt(strlen(out), RANGES_NAME);
	}
	if (_i < 4)
		ck_assert_uint_gt(found, 1500);
}
END_TEST

/* Where there is much between, halving goes on for long. */
START_TEST(the_middle_halves)
{
	char hi[RANGES_NAME] = "b", out[RANGES_NAME];
	int n = 0;

	while (n < 20 && ranges_middle("a00000000000", hi, out)) {
		ck_assert_int_lt(cmp(out, hi), 0);
		memcpy(hi, out, sizeof(hi));
		n++;
	}
	ck_assert_int_eq(n, 20);
}
END_TEST

START_TEST(behind_is_behind_all)
{
	names_seed((uint64_t)_i + 100);
	for (int i = 0; i < 3000; i++) {
		char a[300], out[RANGES_NAME], other[300];
		const size_t len = names_name(a, 1, i % 50 ? 8 : 255,
					      alphabets[_i]);
		const size_t n = names_below(len + 1);

		ranges_behind(a, n, out);
		if (!n || (unsigned char)a[n - 1] >= 0x80) {
			ck_assert_str_eq(out, "");
			continue;
		}
		if (!out[0])
			continue;
		/* Behind whatever begins so ... */
		snprintf(other, sizeof(other), "%.*s\xff\xff", (int)n, a);
		ck_assert_int_gt(cmp(out, other), 0);
		/* ... and no name that does not lies before it. */
		ck_assert_uint_eq(strlen(out), n);
		ck_assert_mem_eq(out, a, n - 1);
		ck_assert(out[n - 1] == a[n - 1] + 1 ||
			  (a[n - 1] == '.' && out[n - 1] == '0'));
	}
}
END_TEST

START_TEST(cuts_are_in_order)
{
	names_seed((uint64_t)_i + 200);
	for (int i = 0; i < 3000; i++) {
		char cur[300], next[300], cuts[8][RANGES_NAME];
		const size_t len = names_name(cur, 1, i % 50 ? 8 : 250,
					      alphabets[_i]);
		const size_t n = names_below(len);
		const unsigned int max = (unsigned int)names_below(9);
		unsigned int made;

		memcpy(next, cur, n);
		names_name(next + n, 1, 3, alphabets[_i]);
		if (cmp(cur, next) >= 0 || cur[n] == next[n])
			continue;
		made = ranges_cuts(cur, next, n, cuts, max);
		ck_assert_uint_le(made, max);
		for (unsigned int k = 0; k < made; k++) {
			ck_assert_int_gt(cmp(cuts[k], k ? cuts[k - 1] : cur),
					 0);
			ck_assert_ptr_null(strchr(cuts[k], '/'));
		}
	}
}
END_TEST

START_TEST(digits_are_cut_as_digits)
{
	char cuts[8][RANGES_NAME];

	ck_assert_uint_eq(ranges_cuts("img0001", "img1", 3, cuts, 8), 8);
	ck_assert_str_eq(cuts[0], "img1");
	ck_assert_int_le(cmp(cuts[7], "img9"), 0);
	ck_assert_uint_eq(ranges_cuts("img7999", "img8", 3, cuts, 8), 2);
	ck_assert_str_eq(cuts[0], "img8");
	ck_assert_str_eq(cuts[1], "img9");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("ranges");
	TCase *tc = tcase_create("ranges");

	ADD_ROWS(tc, the_middle_lies_between, alphabets);
	tcase_add_test(tc, the_middle_halves);
	ADD_ROWS(tc, behind_is_behind_all, alphabets);
	ADD_ROWS(tc, cuts_are_in_order, alphabets);
	tcase_add_test(tc, digits_are_cut_as_digits);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
