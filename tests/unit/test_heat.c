/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/heat.h"
#include "unit.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)

/* Reads of one chunk of size bytes: n of len, each step behind the one
 * before, and what it is then. */
static const struct {
	uint64_t size;
	bool small;
	uint64_t first, len;
	int64_t step;
	unsigned int n;
	bool hot;
} patterns[] = {
	/* read through once, in whatever pieces */
	{4 * MIB, false, 0, MIB, MIB, 4, false},
	{4 * MIB, false, 0, 4 * KIB, 4 * KIB, 1024, false},
	{128 * KIB, true, 0, 128 * KIB, 0, 1, false},
	{128 * KIB, true, 0, 4 * KIB, 4 * KIB, 32, false},
	{4 * MIB, false, 3 * MIB, MIB, -(int64_t)MIB, 4, false},
	{4 * MIB, false, 0, 64 * KIB, 256 * KIB, 16, false},
	/* read again */
	{4 * MIB, false, 0, 4 * MIB, 0, 2, true},
	{4 * MIB, false, 0, MIB, 0, 5, true},
	{128 * KIB, true, 0, 128 * KIB, 0, 2, true},
	/* here and there in a small one, as an index is read */
	{128 * KIB, true, 8 * KIB, 4 * KIB, 20 * KIB, 2, true},
	{128 * KIB, true, 80 * KIB, 4 * KIB, -20 * (int64_t)KIB, 2, true},
	{128 * KIB, true, 0, 4 * KIB, 0, 2, true},
};

START_TEST(reads)
{
	struct heat h = {.touched = 0};
	uint64_t off = patterns[_i].first;

	for (unsigned int i = 0; i < patterns[_i].n; i++) {
		ck_assert(i == 0 || patterns[_i].hot || !h.hot);
		heat_read(&h, off, off + patterns[_i].len, patterns[_i].size,
			  patterns[_i].small);
		off += (uint64_t)patterns[_i].step;
	}
	ck_assert_int_eq(h.hot, patterns[_i].hot);
}
END_TEST

START_TEST(ghosts)
{
	static struct ghosts g;

	ck_assert(!ghosts_has(&g, 0, 0, 0, 100));
	for (uint64_t i = 0; i < 200; i++)
		ghosts_note(&g, 5, i, 1);
	ck_assert(ghosts_has(&g, 5, 199, 1, 100));
	ck_assert(ghosts_has(&g, 5, 120, 1, 100));
	ck_assert(!ghosts_has(&g, 5, 20, 1, 100));
	ck_assert(ghosts_has(&g, 5, 20, 1, 1000));
	ck_assert(!ghosts_has(&g, 5, 200, 1, 1000));
	ck_assert(!ghosts_has(&g, 5, 199, 0, 100));
	ck_assert(!ghosts_has(&g, 6, 199, 1, 100));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("heat");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, reads, patterns);
	tcase_add_test(tc, ghosts);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
