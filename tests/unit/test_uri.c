/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "s3/uri.h"
#include "unit.h"

static const struct {
	const char *in, *out;
	bool keep_slash;
} encodes[] = {
	{"", "", true},
	{"AZaz09-._~", "AZaz09-._~", true},
	{"a/b", "a/b", true},
	{"a/b", "a%2Fb", false},
	{"a b", "a%20b", true},
	{"a+b", "a%2Bb", true},
	{"100%", "100%25", true},
	{"!*'();:@&=$,?#[]", "%21%2A%27%28%29%3B%3A%40%26%3D%24%2C%3F%23%5B%5D",
	 true},
	{"\303\274\n\x01\x7f\"<>\\^`{|}",
	 "%C3%BC%0A%01%7F%22%3C%3E%5C%5E%60%7B%7C%7D", true},
};

START_TEST(encode)
{
	const char *in = encodes[_i].in;
	const size_t n = strlen(in), want = strlen(encodes[_i].out) + 1;
	char out[128], back[128];

	ck_assert_int_eq(
		uri_encode(in, n, encodes[_i].keep_slash, out, sizeof(out)), 0);
	ck_assert_str_eq(out, encodes[_i].out);
	/* Just enough room, and one less. */
	ck_assert_int_eq(uri_encode(in, n, encodes[_i].keep_slash, out, want),
			 0);
	ck_assert_int_eq(
		uri_encode(in, n, encodes[_i].keep_slash, out, want - 1),
		-ENAMETOOLONG);
	uri_encode(in, n, encodes[_i].keep_slash, out, sizeof(out));
	ck_assert_int_eq(uri_decode(out, strlen(out), false, back), (long)n);
	ck_assert_str_eq(back, in);
}
END_TEST

static const struct {
	const char *in;
	bool plus;
	long n; /* or -EINVAL */
	const char *out;
} decodes[] = {
	{"", false, 0, ""},
	{"a%20b", false, 3, "a b"},
	{"a+b", false, 3, "a+b"},
	{"a+b%2B", true, 4, "a b+"},
	{"%c3%BC", false, 2, "\303\274"},
	{"%00", false, 1, "\0"},
	{"a%00b", false, 3, "a\0b"},
	{"%2525", false, 3, "%25"},
	{"%", false, -EINVAL, NULL},
	{"%4", false, -EINVAL, NULL},
	{"a%", false, -EINVAL, NULL},
	{"%g0", false, -EINVAL, NULL},
	{"%0g", false, -EINVAL, NULL},
	{"% 1", false, -EINVAL, NULL},
	{"%-1", false, -EINVAL, NULL},
	{"%%41", false, -EINVAL, NULL},
};

START_TEST(decode)
{
	char out[32];

	ck_assert_int_eq(uri_decode(decodes[_i].in, strlen(decodes[_i].in),
				    decodes[_i].plus, out),
			 decodes[_i].n);
	if (decodes[_i].n >= 0)
		ck_assert_mem_eq(out, decodes[_i].out,
				 (size_t)decodes[_i].n + 1);
}
END_TEST

static const struct {
	const char *raw, *skip, *canonical; /* NULL: -EINVAL */
} queries[] = {
	{NULL, NULL, ""},
	{"", NULL, ""},
	{"lifecycle", NULL, "lifecycle="},
	{"prefix=J&max-keys=2", NULL, "max-keys=2&prefix=J"},
	{"b=2&a=1&a=0", NULL, "a=0&a=1&b=2"},
	/* names alone are compared: '=' lies behind '-' and '.' */
	{"a-b=1&a=2", NULL, "a=2&a-b=1"},
	{"a.b=1&a=2&a0=3", NULL, "a=2&a.b=1&a0=3"},
	{"list-type=2&list=1", NULL, "list=1&list-type=2"},
	/* and in their encoded form: '%' lies before letters */
	{"a%C3=1&aZ=2&a%20=3", NULL, "a%20=3&a%C3=1&aZ=2"},
	{"A=1&a=2&B=3", NULL, "A=1&B=3&a=2"},
	{"prefix=a/b c", NULL, "prefix=a%2Fb%20c"},
	{"prefix=a%2fb%20c", NULL, "prefix=a%2Fb%20c"},
	{"prefix=a+b", NULL, "prefix=a%2Bb"},
	{"a=b=c", NULL, "a=b%3Dc"},
	{"a=&b", NULL, "a=&b="},
	{"&&a=1&&", NULL, "a=1"},
	{"=v", NULL, "=v"},
	{"X-Amz-Date=d&X-Amz-Signature=s&a", "X-Amz-Signature",
	 "X-Amz-Date=d&a="},
	{"a=%", NULL, NULL},
	{"%=1", NULL, NULL},
	{"a=%00", NULL, NULL},
	{"a%00b=1", NULL, NULL},
	{"ok=1&a=%4", NULL, NULL},
};

START_TEST(query)
{
	struct uri_query q = {0};
	char *text;
	const int err = uri_query_parse(queries[_i].raw, 16, &q);

	ck_assert_int_eq(err, queries[_i].canonical ? 0 : -EINVAL);
	if (err)
		return;
	ck_assert_int_eq(uri_query_canonical(&q, queries[_i].skip, &text), 0);
	ck_assert_str_eq(text, queries[_i].canonical);
	free(text);
	uri_query_free(&q);
}
END_TEST

START_TEST(query_get)
{
	struct uri_query q;

	ck_assert_int_eq(uri_query_parse("a=1&uploads&b=x%20y&a=2&c=", 16, &q),
			 0);
	ck_assert_uint_eq(q.n, 5);
	ck_assert_str_eq(uri_query_get(&q, "a"), "1");
	ck_assert_str_eq(uri_query_get(&q, "b"), "x y");
	ck_assert_str_eq(uri_query_get(&q, "uploads"), "");
	ck_assert_str_eq(uri_query_get(&q, "c"), "");
	ck_assert_ptr_null(uri_query_get(&q, "A"));
	ck_assert_ptr_null(uri_query_get(&q, ""));
	uri_query_free(&q);
	ck_assert_ptr_null(uri_query_get(&q, "a"));
}
END_TEST

START_TEST(query_is_bounded)
{
	struct uri_query q;

	ck_assert_int_eq(uri_query_parse("a&b&c", 3, &q), 0);
	uri_query_free(&q);
	ck_assert_int_eq(uri_query_parse("a&b&c&d", 3, &q), -E2BIG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("uri");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, encode, encodes);
	ADD_ROWS(tc, decode, decodes);
	ADD_ROWS(tc, query, queries);
	tcase_add_test(tc, query_get);
	tcase_add_test(tc, query_is_bounded);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
