/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/strbuf.h"
#include "unit.h"

static struct strbuf b;

static void teardown(void)
{
	strbuf_free(&b);
}

START_TEST(grows)
{
	char want[5001] = "";

	strbuf_init(&b, 10000);
	ck_assert_str_eq(strbuf_str(&b), "");
	for (int i = 0; i < 1000; i++) {
		strbuf_printf(&b, "%05d", i);
		snprintf(want + strlen(want), 6, "%05d", i);
	}
	ck_assert(!b.failed);
	ck_assert_uint_eq(b.len, 5000);
	ck_assert_str_eq(strbuf_str(&b), want);
}
END_TEST

START_TEST(reserved)
{
	const char *s;

	strbuf_init(&b, 10000);
	strbuf_reserve(&b, 5000);
	ck_assert_str_eq(strbuf_str(&b), "");
	s = b.s;
	for (int i = 0; i < 1000; i++)
		strbuf_puts(&b, "12345");
	ck_assert_ptr_eq(b.s, s);
	strbuf_reserve(&b, 100);
	ck_assert_uint_eq(strlen(strbuf_str(&b)), 5000);
	strbuf_reserve(&b, 1000000);
	ck_assert(!b.failed);
	ck_assert_uint_eq(strlen(strbuf_str(&b)), 5000);
}
END_TEST

START_TEST(limit)
{
	strbuf_init(&b, 10);
	strbuf_puts(&b, "0123456789");
	ck_assert(!b.failed);
	ck_assert_uint_eq(strlen(strbuf_str(&b)), 10);
	strbuf_add(&b, "", 0);
	ck_assert(!b.failed);
	strbuf_add(&b, "x", 1);
	ck_assert(b.failed);
	ck_assert_str_eq(strbuf_str(&b), "0123456789");
	/* It stays so. */
	b.len = 0;
	strbuf_puts(&b, "y");
	ck_assert(b.failed);
	strbuf_free(&b);
	ck_assert(!b.failed);
	strbuf_printf(&b, "%s", "01234567890");
	ck_assert(b.failed);
	ck_assert_str_eq(strbuf_str(&b), "");
}
END_TEST

START_TEST(bytes)
{
	strbuf_init(&b, 100);
	strbuf_add(&b, "a\0b", 3);
	strbuf_puts(&b, "c");
	ck_assert_uint_eq(b.len, 4);
	ck_assert_mem_eq(b.s, "a\0bc", 5);
}
END_TEST

static const struct {
	const char *in, *out, * or ;
} xml[] = {
	{"plain \303\274", "plain \303\274", NULL},
	{"<a&\"b\">", "&lt;a&amp;&quot;b&quot;&gt;", NULL},
	{"a\nb\tc\rd", "a&#xa;b&#x9;c&#xd;d", NULL},
	{"\x01\x1f", "&#x1;&#x1f;", NULL},
	{"it's", "it&apos;s", "it&#39;s"},
	{"", "", NULL},
};

START_TEST(xml_text)
{
	strbuf_init(&b, 100);
	strbuf_xml(&b, xml[_i].in);
	if (xml[_i].or &&!strcmp(strbuf_str(&b), xml[_i].or))
		return;
	ck_assert_str_eq(strbuf_str(&b), xml[_i].out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("strbuf");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, grows);
	tcase_add_test(tc, reserved);
	tcase_add_test(tc, limit);
	tcase_add_test(tc, bytes);
	ADD_ROWS(tc, xml_text, xml);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
