/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
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

/* ---- DC: the protocol document's 2.2, 2.6, 2.7 and appendix A ---- */

#define DC_ADDR "00007f3c40000000"
#define DC_TAIL ":00181ffe:0000:0000b7:1:00000000000000000000ffffc0a8640a"
#define DC DC_ADDR ":00400000" DC_TAIL
#define DC_SECOND "00007f3c40100000:00100000" DC_TAIL
#define DC_TEMPLATE                                         \
	"0102030405060708:01020304:01020304:0102:010203:1:" \
	"0102030405060708090a0b0c0d0e0f10"
/* base64 of DC, from another hand */
#define DC_64                                                        \
	"MDAwMDdmM2M0MDAwMDAwMDowMDQwMDAwMDowMDE4MWZmZTowMDAwOjAwMD" \
	"BiNzoxOjAwMDAwMDAwMDAwMDAwMDAwMDAwZmZmZmMwYTg2NDBh"
#define MAPPED                                                              \
	{                                                                   \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xc0, 0xa8, 0x64, \
			0x0a                                                \
	}

static const struct token_dc dc_example = {.addr = 0x7f3c40000000,
					   .size = 0x400000,
					   .rkey = 0x181ffe,
					   .dctn = 0xb7,
					   .is_global = true,
					   .gid = MAPPED};

static void check_dc(const struct token_dc *t, uint64_t addr, uint32_t size)
{
	ck_assert_uint_eq(t->addr, addr);
	ck_assert_uint_eq(t->size, size);
	ck_assert_uint_eq(t->rkey, dc_example.rkey);
	ck_assert_uint_eq(t->lid, dc_example.lid);
	ck_assert_uint_eq(t->dctn, dc_example.dctn);
	ck_assert(t->is_global);
	ck_assert_mem_eq(t->gid, dc_example.gid, TOKEN_GID);
}

START_TEST(dc_written_form)
{
	struct token_dc t = dc_example;
	char text[TOKEN_MAX];

	token_dc_format(&t, text);
	ck_assert_str_eq(text, DC);
	ck_assert_uint_eq(strlen(text), TOKEN_DC);
	t.addr += 1 << 20;
	t.size = 1 << 20;
	token_dc_format(&t, text);
	ck_assert_str_eq(text, DC_SECOND);
}
END_TEST

START_TEST(dc_template)
{
	struct token_dc t;
	char text[TOKEN_MAX];

	ck_assert_int_eq(token_dc_parse(DC_TEMPLATE, &t), 0);
	ck_assert_uint_eq(t.addr, 0x0102030405060708);
	ck_assert_uint_eq(t.size, 0x01020304);
	ck_assert_uint_eq(t.rkey, 0x01020304);
	ck_assert_uint_eq(t.lid, 0x0102);
	ck_assert_uint_eq(t.dctn, 0x010203);
	ck_assert(t.is_global);
	for (int i = 0; i < TOKEN_GID; i++)
		ck_assert_uint_eq(t.gid[i], i + 1);
	token_dc_format(&t, text);
	ck_assert_str_eq(text, DC_TEMPLATE);
}
END_TEST

static const struct {
	const char *text;
	uint64_t addr;
	uint32_t size;
} dc_goods[] = {
	{DC, 0x7f3c40000000, 0x400000},
	{DC_SECOND, 0x7f3c40100000, 0x100000},
	/* as others leave it */
	{DC " ", 0x7f3c40000000, 0x400000},
	{DC ";", 0x7f3c40000000, 0x400000},
	{DC "; \t", 0x7f3c40000000, 0x400000},
	{DC "\0junk", 0x7f3c40000000, 0x400000},
	{"00007F3C40000000:00400000:00181FFE:0000:0000B7:1:"
	 "00000000000000000000FFFFC0A8640A",
	 0x7f3c40000000, 0x400000},
	{DC_64, 0x7f3c40000000, 0x400000},
	{DC_64 ";", 0x7f3c40000000, 0x400000},
	/* with the window of the operation */
	{DC ":" DC_ADDR ":0000000000400000", 0x7f3c40000000, 0x400000},
	{DC ":00007f3c40100000:0000000000100000", 0x7f3c40100000, 0x100000},
	{DC ":7f3c40100000:100000", 0x7f3c40100000, 0x100000},
	{DC ":7F3C403FFFFF:1", 0x7f3c403fffff, 1},
	{DC ":7f3c40000000:400000 ;", 0x7f3c40000000, 0x400000},
	/* the largest that there can be */
	{DC_ADDR ":ffffffff" DC_TAIL, 0x7f3c40000000, 0xffffffff},
	{"fffffffffffffff0:0000000f" DC_TAIL, 0xfffffffffffffff0, 0xf},
};

START_TEST(dc_accepted)
{
	struct token_dc t;

	ck_assert_msg(!token_dc_parse(dc_goods[_i].text, &t), "\"%s\"",
		      dc_goods[_i].text);
	check_dc(&t, dc_goods[_i].addr, dc_goods[_i].size);
	ck_assert_int_eq(token_kind(dc_goods[_i].text), TOKEN_KIND_DC);
}
END_TEST

/* LID routed InfiniBand: the GID's characters are there, and may be zeros. */
START_TEST(dc_not_global)
{
	struct token_dc t;
	char text[TOKEN_MAX];
	const char *lid = "0000000000001000:00001000:00000001:00ab:000001:0:"
			  "00000000000000000000000000000000";

	ck_assert_int_eq(token_dc_parse(lid, &t), 0);
	ck_assert(!t.is_global);
	ck_assert_uint_eq(t.lid, 0xab);
	token_dc_format(&t, text);
	ck_assert_str_eq(text, lid);
}
END_TEST

static const char *const dc_bads[] = {
	"",
	/* 80 and 82 characters */
	"0007f3c40000000:00400000" DC_TAIL,
	"000007f3c40000000:00400000" DC_TAIL,
	DC "0",
	DC_ADDR ":0400000" DC_TAIL,
	DC_ADDR ":000400000" DC_TAIL,
	DC_ADDR ":00400000:0181ffe:0000:0000b7:1:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR ":00400000:00181ffe:000:0000b7:1:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR ":00400000:00181ffe:0000:000b7:1:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR ":00400000:00181ffe:0000:0000b7:1:"
		"0000000000000000000ffffc0a8640a",
	/* a colon moved, or another sign in its place */
	"00007f3c4000000:000400000" DC_TAIL,
	DC_ADDR ":00400000:00181ffe:00000:000b7:1:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR "-00400000" DC_TAIL,
	DC_ADDR ":00400000:00181ffe:0000:0000b7:1-"
		"00000000000000000000ffffc0a8640a",
	/* not hex */
	"0000gf3c40000000:00400000" DC_TAIL,
	"0x007f3c40000000:00400000" DC_TAIL,
	"+0007f3c40000000:00400000" DC_TAIL,
	DC_ADDR ": 0400000" DC_TAIL,
	DC_ADDR ":00400000:00181ffe:0000:0000b7:1:"
		"00000000000000000000ffffc0a8640g",
	" " DC,
	DC "\n",
	/* size 0, dctn 0, is_global 2, no GID, past the end of all */
	DC_ADDR ":00000000" DC_TAIL,
	DC_ADDR ":00400000:00181ffe:0000:000000:1:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR ":00400000:00181ffe:0000:0000b7:2:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR ":00400000:00181ffe:0000:0000b7:f:"
		"00000000000000000000ffffc0a8640a",
	DC_ADDR ":00400000:00181ffe:0000:0000b7:1:"
		"00000000000000000000000000000000",
	"fffffffffffffff0:00000011" DC_TAIL,
	"ffffffffffffffff:ffffffff" DC_TAIL,
	/* suffixes: half of one, too long, not hex, empty, none of the window */
	DC ":",
	DC ":7f3c40000000",
	DC ":7f3c40000000:",
	DC "::400000",
	DC ":7f3c40000000:0",
	DC ":00000007f3c40000000:400000",
	DC ":7f3c40000000:400000:",
	DC ":7f3c40000000:400000:1",
	DC ":7f3c40000000:40000g",
	DC ":7f3c40000000:400001",
	DC ":7f3c3fffffff:400000",
	DC ":7f3c40400000:1",
	DC ":7f3c40300000:ffffffffffffffff",
	/* base64 of other lengths, of what is no token, and padded */
	"MDAwMA==",
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
	DC_64 "=",
};

START_TEST(dc_refused)
{
	struct token_dc t = {.dctn = 42};

	ck_assert_msg(token_dc_parse(dc_bads[_i], &t) == -EINVAL, "\"%s\"",
		      dc_bads[_i]);
	ck_assert_uint_eq(t.dctn, 42);
}
END_TEST

/* Longer than any form; and every cut of a good one. */
START_TEST(dc_of_any_length)
{
	char text[4 * TOKEN_MAX] = DC;
	struct token_dc t;

	for (size_t n = 0; n < TOKEN_DC; n++) {
		char cut[TOKEN_MAX];

		snprintf(cut, sizeof(cut), "%.*s", (int)n, DC);
		ck_assert_int_eq(token_dc_parse(cut, &t), -EINVAL);
	}
	memset(text + TOKEN_DC, ':', sizeof(text) - TOKEN_DC - 1);
	ck_assert_int_eq(token_dc_parse(text, &t), -EINVAL);
	memset(text + TOKEN_DC, 'a', sizeof(text) - TOKEN_DC - 1);
	ck_assert_int_eq(token_dc_parse(text, &t), -EINVAL);
	memset(text + TOKEN_DC, ' ', sizeof(text) - TOKEN_DC - 1);
	ck_assert_int_eq(token_dc_parse(text, &t), 0);
}
END_TEST

static const struct {
	enum token_form form;
	const char *bare, *dressed;
} dresses[] = {
	{TOKEN_BARE, DC, DC},
	{TOKEN_SUFFIX, DC, DC ":" DC_ADDR ":0000000000400000"},
	{TOKEN_BASE64, DC, DC_64},
	{TOKEN_BARE, PREFIX "x", PREFIX "x"},
	{TOKEN_SUFFIX, PREFIX "x", PREFIX "x"},
	{TOKEN_BASE64, "rc:x", "rc:x"},
};

START_TEST(dressed)
{
	char text[TOKEN_MAX];
	struct token_dc t;

	token_dress(dresses[_i].form, dresses[_i].bare, text);
	ck_assert_str_eq(text, dresses[_i].dressed);
	if (!strcmp(dresses[_i].bare, DC)) {
		ck_assert_int_eq(token_dc_parse(text, &t), 0);
		check_dc(&t, dc_example.addr, dc_example.size);
	}
}
END_TEST

/* ---- RC: 3.1 ---- */

#define RC_GID "00000000000000000000ffffc0a8640a"
#define RC_REST "fe1f1800000000403c7f00000000400000000000010000"
#define RC "0134120000" RC_GID RC_REST
/* AMD's: neither key nor window */
#define RC_BARE                        \
	"0134120000" RC_GID "00000000" \
	"0000000000000000"             \
	"0000000000000000"             \
	"010000"

static const struct token_rc rc_example = {.qpn = 0x1234,
					   .gid = MAPPED,
					   .rkey = 0x181ffe,
					   .addr = 0x7f3c40000000,
					   .len = 0x400000,
					   .port = 1};

START_TEST(rc_written_form)
{
	const struct token_rc t = {
		.qpn = 0x01020304,
		.gid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		.rkey = 0x11121314,
		.addr = 0x2122232425262728,
		.len = 0x3132333435363738,
		.port = 0x41,
		.lid = 0x5152};
	char text[TOKEN_MAX];

	token_rc_format(&rc_example, text);
	ck_assert_str_eq(text, RC);
	ck_assert_uint_eq(strlen(text), TOKEN_RC);
	token_rc_format(&t, text);
	ck_assert_str_eq(text, "0104030201"
			       "0102030405060708090a0b0c0d0e0f10"
			       "14131211"
			       "2827262524232221"
			       "3837363534333231"
			       "41"
			       "5251");
}
END_TEST

static const struct {
	const char *text;
	uint32_t rkey;
	uint64_t addr, len;
} rc_goods[] = {
	{RC, 0x181ffe, 0x7f3c40000000, 0x400000},
	{RC " ;", 0x181ffe, 0x7f3c40000000, 0x400000},
	{"0134120000"
	 "00000000000000000000FFFFC0A8640A"
	 "FE1F1800000000403C7F00000000400000000000010000",
	 0x181ffe, 0x7f3c40000000, 0x400000},
	{RC ":7f3c40100000:1000", 0x181ffe, 0x7f3c40100000, 0x1000},
	{RC ":00007f3c40000000:0000000000400000", 0x181ffe, 0x7f3c40000000,
	 0x400000},
	{RC_BARE, 0, 0, 0},
	/* its window may be in the suffix alone (2.6: that overrides) */
	{RC_BARE ":7f3c40100000:1000", 0, 0x7f3c40100000, 0x1000},
};

START_TEST(rc_accepted)
{
	struct token_rc t;

	ck_assert_msg(!token_rc_parse(rc_goods[_i].text, &t), "\"%s\"",
		      rc_goods[_i].text);
	ck_assert_uint_eq(t.qpn, rc_example.qpn);
	ck_assert_mem_eq(t.gid, rc_example.gid, TOKEN_GID);
	ck_assert_uint_eq(t.rkey, rc_goods[_i].rkey);
	ck_assert_uint_eq(t.addr, rc_goods[_i].addr);
	ck_assert_uint_eq(t.len, rc_goods[_i].len);
	ck_assert_uint_eq(t.port, 1);
	ck_assert_uint_eq(t.lid, 0);
	ck_assert_int_eq(token_kind(rc_goods[_i].text), TOKEN_KIND_RC);
}
END_TEST

static const char *const rc_bads[] = {
	"",
	/* 86 and 90 characters, and an odd one */
	"0134120000" RC_GID "fe1f1800000000403c7f000000004000000000000100",
	RC "00",
	RC "0",
	"134120000" RC_GID RC_REST,
	/* transport 0 and 2 */
	"0034120000" RC_GID RC_REST,
	"0234120000" RC_GID RC_REST,
	/* not hex */
	"01341200g0" RC_GID RC_REST,
	" " RC,
	"0x34120000" RC_GID RC_REST,
	/* past the end of all */
	"0134120000" RC_GID "fe1f1800"
	"ffffffffffffffff"
	"0200000000000000"
	"010000",
	/* suffixes */
	RC ":",
	RC ":7f3c40100000",
	RC ":7f3c40100000:",
	RC ":7f3c40100000:0",
	RC ":7f3c40000000:400001",
	RC ":7f3c40100000:1000:1",
	RC ":7f3c40100000:00000000000000001",
	RC "-7f3c40100000:1000",
	RC_BARE ":7f3c40100000:0",
	RC_BARE ":ffffffffffffffff:2",
	DC,
};

START_TEST(rc_refused)
{
	struct token_rc t = {.qpn = 42};

	ck_assert_msg(token_rc_parse(rc_bads[_i], &t) == -EINVAL, "\"%s\"",
		      rc_bads[_i]);
	ck_assert_uint_eq(t.qpn, 42);
}
END_TEST

/* ---- a connection ---- */

#define CONN "rc:" SESSION ":"

START_TEST(conn_round_trip)
{
	const struct token_conn t = {SESSION, 0x7f3c40000000, 0x400000,
				     0x181ffe};
	struct token_conn back;
	char text[TOKEN_MAX];

	token_conn_format(&t, text);
	ck_assert_str_eq(text, CONN "00007f3c40000000:00400000:00181ffe");
	ck_assert_int_eq(token_conn_parse(text, &back), 0);
	ck_assert_str_eq(back.conn, SESSION);
	ck_assert_uint_eq(back.addr, t.addr);
	ck_assert_uint_eq(back.size, t.size);
	ck_assert_uint_eq(back.rkey, t.rkey);
}
END_TEST

static const char *const conn_bads[] = {
	"",
	"rc",
	"rc:",
	CONN,
	"RC:" SESSION ":00007f3c40000000:00400000:00181ffe",
	"shm:" SESSION ":00007f3c40000000:00400000:00181ffe",
	"rc:0123456789abcdef0123456789abcde:"
	"00007f3c40000000:00400000:00181ffe",
	"rc:0123456789abcdef0123456789abcdef0:"
	"00007f3c40000000:00400000:00181ffe",
	"rc:0123456789ABCDEF0123456789abcdef:"
	"00007f3c40000000:00400000:00181ffe",
	CONN "0007f3c40000000:00400000:00181ffe",
	CONN "000007f3c40000000:00400000:00181ffe",
	CONN "00007f3c40000000:0400000:00181ffe",
	CONN "00007f3c40000000:000400000:00181ffe",
	CONN "00007f3c40000000:00400000:0181ffe",
	CONN "00007f3c40000000:00400000:000181ffe",
	CONN "00007f3c40000000:00400000",
	CONN "00007f3c40000000:00400000:",
	CONN "00007f3c40000000:00400000:00181ffe ",
	CONN "00007f3c40000000:00400000:00181ffe:",
	CONN "00007f3c40000000:00400000:00181fFe",
	CONN "00007f3c4000000g:00400000:00181ffe",
	CONN "00007f3c40000000:00000000:00181ffe",
	CONN "fffffffffffffff0:00000011:00181ffe",
};

START_TEST(conn_refused)
{
	struct token_conn t = {.size = 42};

	ck_assert_msg(token_conn_parse(conn_bads[_i], &t) == -EINVAL, "\"%s\"",
		      conn_bads[_i]);
	ck_assert_uint_eq(t.size, 42);
}
END_TEST

/* ---- the small ones ---- */

static const struct {
	const char *text;
	enum token_kind kind;
} kinds[] = {
	{PREFIX "00000001:000000ab:0000000000001000:00000020", TOKEN_KIND_SHM},
	{"shm:", TOKEN_KIND_SHM},
	{DC, TOKEN_KIND_DC},
	{DC_TEMPLATE, TOKEN_KIND_DC},
	{DC_64, TOKEN_KIND_DC},
	{DC ":1:1", TOKEN_KIND_DC},
	{RC, TOKEN_KIND_RC},
	{RC ":1:1", TOKEN_KIND_RC},
	/* 88 zeros: the same device */
	{"0000000000000000000000000000000000000000000000000000000000000000"
	 "000000000000000000000000",
	 TOKEN_KIND_RC},
	{CONN "00007f3c40000000:00400000:00181ffe", TOKEN_KIND_CONN},
	{"7f3c40000000:400000:ofi1:efa:00ff:1234", TOKEN_KIND_LIBFABRIC},
	{"", TOKEN_KIND_NONE},
	{"hello", TOKEN_KIND_NONE},
	{RC "00", TOKEN_KIND_NONE},
	{"00007f3c4000000:000400000" DC_TAIL, TOKEN_KIND_NONE},
	{"0007f3c40000000:00400000" DC_TAIL, TOKEN_KIND_NONE},
};

START_TEST(kind_of)
{
	ck_assert_int_eq(token_kind(kinds[_i].text), kinds[_i].kind);
}
END_TEST

static const struct {
	const char *text;
	size_t min, max;
	int err;
	uint64_t value;
} hexes[] = {
	/* a PSN has 6, a cookie 8, of either case */
	{"000001", 6, 6, 0, 1},
	{"FFFFFF", 6, 6, 0, 0xffffff},
	{"ffFFff", 6, 6, 0, 0xffffff},
	{"00001", 6, 6, -EINVAL, 0},
	{"0000001", 6, 6, -EINVAL, 0},
	{"deadBEEF", 8, 8, 0, 0xdeadbeef},
	/* addresses and keys are bare */
	{"0", 1, 16, 0, 0},
	{"b7", 1, 8, 0, 0xb7},
	{"ffffffffffffffff", 1, 16, 0, UINT64_MAX},
	{"0ffffffffffffffff", 1, 16, -EINVAL, 0},
	{"", 1, 16, -EINVAL, 0},
	{"", 0, 16, 0, 0},
	{"0x1", 1, 16, -EINVAL, 0},
	{" 1", 1, 16, -EINVAL, 0},
	{"1 ", 1, 16, -EINVAL, 0},
	{"-1", 1, 16, -EINVAL, 0},
	{"+1", 1, 16, -EINVAL, 0},
	{"1g", 1, 16, -EINVAL, 0},
};

START_TEST(hex)
{
	uint64_t v = 42;

	ck_assert_int_eq(
		token_hex(hexes[_i].text, hexes[_i].min, hexes[_i].max, &v),
		hexes[_i].err);
	ck_assert_uint_eq(v, hexes[_i].err ? 42 : hexes[_i].value);
}
END_TEST

static const struct {
	uint8_t gid[TOKEN_GID];
	uint32_t ip; /* 0: none */
} gids[] = {
	{MAPPED, 0xc0a8640a},
	{{[10] = 0xff, 0xff, 10, 1, 2, 3}, 0x0a010203},
	{{[9] = 1, 0xff, 0xff, 192, 168, 100, 10}, 0},
	{{1, [10] = 0xff, 0xff, 192, 168, 100, 10}, 0},
	{{[10] = 0xff, 0xfe, 192, 168, 100, 10}, 0},
	{{[10] = 0xfe, 0xff, 192, 168, 100, 10}, 0},
	{{[12] = 192, 168, 100, 10}, 0},
	{{0xfe, 0x80, [15] = 1}, 0},
};

START_TEST(gid_ipv4)
{
	uint32_t ip = 42;

	ck_assert_int_eq(token_gid_ipv4(gids[_i].gid, &ip), gids[_i].ip != 0);
	ck_assert_uint_eq(ip, gids[_i].ip ? gids[_i].ip : 42);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("token");
	TCase *tc = tcase_create("shm"), *dc = tcase_create("dc");
	TCase *rc = tcase_create("rc"), *small = tcase_create("small");

	ADD_ROWS(tc, round_trip, goods);
	tcase_add_test(tc, written_form);
	ADD_ROWS(tc, refused, bads);
	suite_add_tcase(s, tc);
	tcase_add_test(dc, dc_written_form);
	tcase_add_test(dc, dc_template);
	ADD_ROWS(dc, dc_accepted, dc_goods);
	tcase_add_test(dc, dc_not_global);
	ADD_ROWS(dc, dc_refused, dc_bads);
	tcase_add_test(dc, dc_of_any_length);
	ADD_ROWS(dc, dressed, dresses);
	suite_add_tcase(s, dc);
	tcase_add_test(rc, rc_written_form);
	ADD_ROWS(rc, rc_accepted, rc_goods);
	ADD_ROWS(rc, rc_refused, rc_bads);
	tcase_add_test(rc, conn_round_trip);
	ADD_ROWS(rc, conn_refused, conn_bads);
	suite_add_tcase(s, rc);
	ADD_ROWS(small, kind_of, kinds);
	ADD_ROWS(small, hex, hexes);
	ADD_ROWS(small, gid_ipv4, gids);
	suite_add_tcase(s, small);
	return unit_main(s);
}
