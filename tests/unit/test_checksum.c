/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "s3/checksum.h"
#include "unit.h"

static const struct {
	enum checksum_kind kind;
	const char *name, *nine, *empty; /* of "123456789" and "" */
} kinds[] = {
	{CHECKSUM_CRC32, "crc32", "y/Q5Jg==", "AAAAAA=="},
	{CHECKSUM_CRC32C, "crc32c", "4waSgw==", "AAAAAA=="},
	{CHECKSUM_CRC64NVME, "crc64nvme", "rosUhgp5mIg=", "AAAAAAAAAAA="},
	{CHECKSUM_SHA1, "sha1",
	 "98O8HYCOBHMq32eZZczDTKeuNEE=", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="},
	{CHECKSUM_SHA256, "sha256",
	 "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
	 "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
};

static void sum(enum checksum_kind kind, const char *data, size_t n,
		size_t piece, char out[CHECKSUM_TEXT])
{
	struct checksum c;

	ck_assert_int_eq(checksum_init(&c, kind), 0);
	for (size_t at = 0; at < n; at += piece)
		checksum_update(&c, data + at, n - at < piece ? n - at : piece);
	checksum_final(&c, out);
}

START_TEST(check_values)
{
	char text[CHECKSUM_TEXT];

	sum(kinds[_i].kind, "123456789", 9, 9, text);
	ck_assert_str_eq(text, kinds[_i].nine);
	sum(kinds[_i].kind, "", 0, 1, text);
	ck_assert_str_eq(text, kinds[_i].empty);
	ck_assert_str_eq(checksum_name(kinds[_i].kind), kinds[_i].name);
	ck_assert_int_eq(checksum_parse(kinds[_i].name), (int)kinds[_i].kind);
}
END_TEST

/* Pieces of any length, at any alignment, give the same. */
START_TEST(odd_splits)
{
	static const size_t pieces[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 100, 999};
	char whole[CHECKSUM_TEXT], split[CHECKSUM_TEXT];
	char data[1024];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31 + (i >> 3));
	for (size_t off = 0; off < 9; off++) {
		const size_t n = sizeof(data) - 2 * off;

		sum(kinds[_i].kind, data + off, n, n, whole);
		for (size_t p = 0; p < ARRAY_SIZE(pieces); p++) {
			sum(kinds[_i].kind, data + off, n, pieces[p], split);
			ck_assert_str_eq(whole, split);
		}
		data[off + 100] ^= 1;
		sum(kinds[_i].kind, data + off, n, n, split);
		ck_assert_str_ne(whole, split);
	}
}
END_TEST

START_TEST(names)
{
	ck_assert_int_eq(checksum_parse("CRC64NVME"), CHECKSUM_CRC64NVME);
	ck_assert_int_eq(checksum_parse("Sha256"), CHECKSUM_SHA256);
	ck_assert_int_eq(checksum_parse("md5"), -EINVAL);
	ck_assert_int_eq(checksum_parse(""), -EINVAL);
	ck_assert_int_eq(checksum_parse("crc32cc"), -EINVAL);
}
END_TEST

static const struct {
	const char *text, *bytes;
	size_t n;
} codes[] = {
	{"", "", 0},
	{"Zg==", "f", 1},
	{"Zm8=", "fo", 2},
	{"Zm9v", "foo", 3},
	{"Zm9vYg==", "foob", 4},
	{"Zm9vYmE=", "fooba", 5},
	{"Zm9vYmFy", "foobar", 6},
	{"//79", "\377\376\375", 3},
	{"++++", "\373\357\276", 3},
};

START_TEST(base64)
{
	unsigned char bytes[16];
	char text[32];

	base64_encode((const void *)codes[_i].bytes, codes[_i].n, text);
	ck_assert_str_eq(text, codes[_i].text);
	ck_assert_int_eq(base64_decode(text, bytes, codes[_i].n), 0);
	ck_assert_mem_eq(bytes, codes[_i].bytes, codes[_i].n);
}
END_TEST

static const struct {
	const char *text;
	size_t n;
} bads[] = {
	{"Zg=", 1},      {"Zg", 1},       {"Zg===", 1},
	{"Zm9v", 2},     {"Zm9v", 4},     {"Zm8=", 1},
	{"Zg==", 2},     {"Z===", 1},     {"=g==", 1},
	{"Zm=v", 3},     {"Zm9v====", 4}, {"Zm9v\n", 3},
	{" Zm9", 3},     {"Zm-_", 3},     {"Zm9v Zm9", 6},
	{"    Zm9v", 6}, {"Zm9v    ", 6}, {"Zm9v\n\n\n\n", 6},
	{"Zm9v----", 6}, {"Zm9\n", 3},    {"\377\377\377\377", 3},
};

START_TEST(base64_is_strict)
{
	unsigned char bytes[16];

	ck_assert_msg(base64_decode(bads[_i].text, bytes, bads[_i].n) ==
			      -EINVAL,
		      "\"%s\" as %zu bytes", bads[_i].text, bads[_i].n);
}
END_TEST

START_TEST(base64_is_bounded)
{
	char text[1001];
	unsigned char bytes[750];

	memset(text, 'A', 1000);
	text[1000] = '\0';
	ck_assert_int_eq(base64_decode(text, bytes, 750), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("checksum");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, check_values, kinds);
	ADD_ROWS(tc, odd_splits, kinds);
	tcase_add_test(tc, names);
	ADD_ROWS(tc, base64, codes);
	ADD_ROWS(tc, base64_is_strict, bads);
	tcase_add_test(tc, base64_is_bounded);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
