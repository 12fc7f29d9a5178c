/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "rdma/token.h"
#include "unit.h"

#define SESSION "0123456789abcdef0123456789abcdef"
#define PREFIX "shm:" SESSION ":"

static const struct token_shm goods[] = {
	{SESSION, 0, 0, 0, 1},
	{SESSION, 1, 2, 3, 4},
	{SESSION, UINT32_MAX, UINT32_MAX, UINT64_MAX - 5, 5},
	{SESSION, 0x12345678, 0x9abcdef0, 0x0fedcba987654321, 0x80000000},
};

START_TEST(round_trip)
{
	char text[TOKEN_MAX];
	struct token_shm t;

	token_shm_format(&goods[_i], text);
	ck_assert_uint_eq(strlen(text),
			  4 + 32 + 1 + 8 + 1 + 8 + 1 + 16 + 1 + 8);
	ck_assert_int_eq(token_shm_parse(text, &t), 0);
	ck_assert_str_eq(t.session, goods[_i].session);
	ck_assert_uint_eq(t.region, goods[_i].region);
	ck_assert_uint_eq(t.gen, goods[_i].gen);
	ck_assert_uint_eq(t.off, goods[_i].off);
	ck_assert_uint_eq(t.len, goods[_i].len);
}
END_TEST

START_TEST(written_form)
{
	const struct token_shm t = {SESSION, 1, 0xab, 0x1000, 0x20};
	char text[TOKEN_MAX];

	token_shm_format(&t, text);
	ck_assert_str_eq(text,
			 PREFIX "00000001:000000ab:0000000000001000:00000020");
}
END_TEST

static const char *const bads[] = {
	"",
	"shm",
	"shm:",
	PREFIX,
	"SHM:" SESSION ":00000001:000000ab:0000000000001000:00000020",
	"rc:" SESSION ":00000001:000000ab:0000000000001000:00000020",
	/* one character less or more in each field */
	"shm:0123456789abcdef0123456789abcde:"
	"00000001:000000ab:0000000000001000:00000020",
	"shm:0123456789abcdef0123456789abcdef0:"
	"00000001:000000ab:0000000000001000:00000020",
	PREFIX "0000001:000000ab:0000000000001000:00000020",
	PREFIX "000000001:000000ab:0000000000001000:00000020",
	PREFIX "00000001:00000ab:0000000000001000:00000020",
	PREFIX "00000001:0000000ab:0000000000001000:00000020",
	PREFIX "00000001:000000ab:000000000001000:00000020",
	PREFIX "00000001:000000ab:00000000000001000:00000020",
	PREFIX "00000001:000000ab:0000000000001000:0000020",
	PREFIX "00000001:000000ab:0000000000001000:000000020",
	/* not hex, upper case, blanks, signs, colons elsewhere */
	PREFIX "0000000g:000000ab:0000000000001000:00000020",
	PREFIX "00000001:000000AB:0000000000001000:00000020",
	"shm:0123456789ABCDEF0123456789abcdef:"
	"00000001:000000ab:0000000000001000:00000020",
	" " PREFIX "00000001:000000ab:0000000000001000:00000020",
	PREFIX "00000001:000000ab:0000000000001000:00000020 ",
	PREFIX "00000001:000000ab:0000000000001000:00000020\n",
	PREFIX "00000001:000000ab:0000000000001000:00000020:",
	PREFIX "+0000001:000000ab:0000000000001000:00000020",
	PREFIX "-0000001:000000ab:0000000000001000:00000020",
	PREFIX "0x000001:000000ab:0000000000001000:00000020",
	PREFIX "000000010:00000ab:0000000000001000:00000020",
	PREFIX "00000001 000000ab:0000000000001000:00000020",
	PREFIX "00000001:000000ab:0000000000001000",
	PREFIX "00000001:000000ab:0000000000001000:",
	/* no bytes, and bytes past the end of the address space */
	PREFIX "00000001:000000ab:0000000000001000:00000000",
	PREFIX "00000001:000000ab:ffffffffffffffff:00000001",
	PREFIX "00000001:000000ab:fffffffffffffff0:00000011",
};

START_TEST(refused)
{
	struct token_shm t = {.region = 42};

	ck_assert_msg(token_shm_parse(bads[_i], &t) == -EINVAL, "\"%s\"",
		      bads[_i]);
	ck_assert_uint_eq(t.region, 42);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("token");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, round_trip, goods);
	tcase_add_test(tc, written_form);
	ADD_ROWS(tc, refused, bads);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
