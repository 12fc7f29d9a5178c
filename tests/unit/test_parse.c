/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "unit.h"

enum kind { U64, SIZE, DURATION, OCTAL, HEX32, BOOL };

static const struct {
	enum kind kind;
	const char *text;
	int err;
	uint64_t value;
} rows[] = {
	{U64, "0", 0, 0},
	{U64, "007", 0, 7},
	{U64, "18446744073709551615", 0, UINT64_MAX},
	{U64, "18446744073709551616", -ERANGE, 0},
	{U64, "99999999999999999999999", -ERANGE, 0},
	{U64, "", -EINVAL, 0},
	{U64, "-1", -EINVAL, 0},
	{U64, "+1", -EINVAL, 0},
	{U64, " 1", -EINVAL, 0},
	{U64, "1 ", -EINVAL, 0},
	{U64, "1x", -EINVAL, 0},
	{U64, "0x1", -EINVAL, 0},
	{SIZE, "0", 0, 0},
	{SIZE, "4096", 0, 4096},
	{SIZE, "4096b", 0, 4096},
	{SIZE, "64k", 0, 65536},
	{SIZE, "64K", 0, 65536},
	{SIZE, "4KiB", 0, 4096},
	{SIZE, "8MB", 0, 8 << 20},
	{SIZE, "8m", 0, 8 << 20},
	{SIZE, "1GiB", 0, 1ULL << 30},
	{SIZE, "2TB", 0, 2ULL << 40},
	{SIZE, "16777215t", 0, 16777215ULL << 40},
	{SIZE, "16777216t", -ERANGE, 0},
	{SIZE, "18446744073709551616k", -ERANGE, 0},
	{SIZE, "", -EINVAL, 0},
	{SIZE, "k", -EINVAL, 0},
	{SIZE, "1 k", -EINVAL, 0},
	{SIZE, "1.5k", -EINVAL, 0},
	{SIZE, "-1k", -EINVAL, 0},
	{SIZE, "1kk", -EINVAL, 0},
	{SIZE, "1s", -EINVAL, 0},
	{DURATION, "500ms", 0, 500},
	{DURATION, "5s", 0, 5000},
	{DURATION, "5", 0, 5000},
	{DURATION, "2m", 0, 120000},
	{DURATION, "2min", 0, 120000},
	{DURATION, "1h", 0, 3600000},
	{DURATION, "1D", 0, 86400000},
	{DURATION, "0", 0, 0},
	{DURATION, "1.5s", -EINVAL, 0},
	{DURATION, "s", -EINVAL, 0},
	{DURATION, "1w", -EINVAL, 0},
	{DURATION, "18446744073709551615", -ERANGE, 0},
	{OCTAL, "0", 0, 0},
	{OCTAL, "0444", 0, 0444},
	{OCTAL, "7777", 0, 07777},
	{OCTAL, "000000000000000000755", 0, 0755},
	{OCTAL, "10000", -ERANGE, 0},
	{OCTAL, "77777777777777777777777777", -ERANGE, 0},
	{OCTAL, "8", -EINVAL, 0},
	{OCTAL, "0x1", -EINVAL, 0},
	{OCTAL, "", -EINVAL, 0},
	{OCTAL, "-1", -EINVAL, 0},
	{HEX32, "0", 0, 0},
	{HEX32, "0x0", 0, 0},
	{HEX32, "00000001", 0, 1},
	{HEX32, "ffeeddcc", 0, 0xffeeddcc},
	{HEX32, "0xffeeddcc", 0, 0xffeeddcc},
	{HEX32, "0XFFEEDDCC", 0, 0xffeeddcc},
	{HEX32, "fFeE", 0, 0xffee},
	{HEX32, "ffffffff", 0, UINT32_MAX},
	{HEX32, "100000000", -ERANGE, 0},
	{HEX32, "0x100000000", -ERANGE, 0},
	{HEX32, "ffffffffffffffffffffffff", -ERANGE, 0},
	{HEX32, "", -EINVAL, 0},
	{HEX32, "0x", -EINVAL, 0},
	{HEX32, "x1", -EINVAL, 0},
	{HEX32, "0x0x1", -EINVAL, 0},
	{HEX32, "00x1", -EINVAL, 0},
	{HEX32, "0xg", -EINVAL, 0},
	{HEX32, "-1", -EINVAL, 0},
	{HEX32, "+1", -EINVAL, 0},
	{HEX32, " 1", -EINVAL, 0},
	{HEX32, "1 ", -EINVAL, 0},
	{HEX32, "0x 1", -EINVAL, 0},
	{HEX32, "1h", -EINVAL, 0},
	{HEX32, "#1", -EINVAL, 0},
	{BOOL, "true", 0, 1},
	{BOOL, "YES", 0, 1},
	{BOOL, "on", 0, 1},
	{BOOL, "1", 0, 1},
	{BOOL, "False", 0, 0},
	{BOOL, "no", 0, 0},
	{BOOL, "off", 0, 0},
	{BOOL, "0", 0, 0},
	{BOOL, "", -EINVAL, 0},
	{BOOL, "2", -EINVAL, 0},
	{BOOL, "truee", -EINVAL, 0},
	{BOOL, "y", -EINVAL, 0},
};

START_TEST(row)
{
	const char *text = rows[_i].text;
	uint64_t v = 42;
	unsigned int o = 42;
	bool b = rows[_i].value == 0;
	int err = 0;

	switch (rows[_i].kind) {
	case U64:
		err = parse_u64(text, &v);
		break;
	case SIZE:
		err = parse_size(text, &v);
		break;
	case DURATION:
		err = parse_duration(text, &v);
		break;
	case OCTAL:
		err = parse_octal(text, &o);
		v = o;
		break;
	case HEX32:
		err = parse_hex32(text, &v);
		break;
	case BOOL:
		err = parse_bool(text, &b);
		v = err ? 42 : b;
		break;
	}
	ck_assert_msg(err == rows[_i].err, "\"%s\": %d", text, err);
	/* Written on success only. */
	ck_assert_uint_eq(v, err ? 42 : rows[_i].value);
}
END_TEST

START_TEST(u64_of_n_bytes)
{
	uint64_t v;

	ck_assert_int_eq(parse_u64_n("12345", 3, &v), 0);
	ck_assert_uint_eq(v, 123);
	ck_assert_int_eq(parse_u64_n("12x", 2, &v), 0);
	ck_assert_int_eq(parse_u64_n("1\0002", 3, &v), -EINVAL);
	ck_assert_int_eq(parse_u64_n("1", 0, &v), -EINVAL);
}
END_TEST

START_TEST(hex)
{
	unsigned char b[3] = {9, 9, 9};
	char text[7];

	ck_assert_int_eq(parse_hex("00aBfF", b, 3), 0);
	ck_assert_mem_eq(b, "\x00\xab\xff", 3);
	format_hex(b, 3, text);
	ck_assert_str_eq(text, "00abff");
	ck_assert_int_eq(parse_hex("00aBf", b, 3), -EINVAL);
	ck_assert_int_eq(parse_hex("00aBfF0", b, 3), -EINVAL);
	ck_assert_int_eq(parse_hex("00aBfg", b, 3), -EINVAL);
	ck_assert_int_eq(parse_hex("", b, 3), -EINVAL);
	ck_assert_mem_eq(b, "\x00\xab\xff", 3);
	ck_assert_int_eq(parse_hex("", b, 0), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("parse");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, row, rows);
	tcase_add_test(tc, u64_of_n_bytes);
	tcase_add_test(tc, hex);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
