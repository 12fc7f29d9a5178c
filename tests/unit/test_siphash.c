/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <string.h>

#include "unit.h"

/* SipHash-2-4 of 00 01 02 ... by the key 00 ... 0f, from its authors. */
static const uint64_t official[] = {
	0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
	0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
	0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462,
	0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
	0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee,
	0xa129ca6149be45e5, 0x3f2acc7f57c29bdb,
};

static void input(unsigned char *key, unsigned char *data, size_t n)
{
	for (unsigned int i = 0; i < 16; i++)
		key[i] = (unsigned char)i;
	for (size_t i = 0; i < n; i++)
		data[i] = (unsigned char)i;
}

START_TEST(official_vectors)
{
	unsigned char key[16], data[32];
	struct siphash h;

	input(key, data, sizeof(data));
	siphash_init(&h, key);
	siphash_update(&h, data, (size_t)_i);
	ck_assert_uint_eq(siphash_final(&h), official[_i]);
}
END_TEST

START_TEST(pieces_are_the_whole)
{
	unsigned char key[16], data[200];
	struct siphash whole;
	uint64_t want;

	input(key, data, sizeof(data));
	siphash_init(&whole, key);
	siphash_update(&whole, data, sizeof(data));
	want = siphash_final(&whole);
	for (size_t step = 1; step < 40; step++) {
		struct siphash h;

		siphash_init(&h, key);
		for (size_t at = 0; at < sizeof(data); at += step)
			siphash_update(&h, data + at,
				       at + step > sizeof(data)
					       ? sizeof(data) - at
					       : step);
		ck_assert_uint_eq(siphash_final(&h), want);
	}
	key[3] ^= 1;
	siphash_init(&whole, key);
	siphash_update(&whole, data, sizeof(data));
	ck_assert_uint_ne(siphash_final(&whole), want);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("siphash");
	TCase *tc = tcase_create("siphash");

	ADD_ROWS(tc, official_vectors, official);
	tcase_add_test(tc, pieces_are_the_whole);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
