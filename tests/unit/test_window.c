/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/window.h"
#include "unit.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static struct window w;

static void setup(void)
{
	w = (struct window){.reads = 0};
}

/* The advice, bounded as it always must be. */
static struct window_advice ask(uint64_t off, uint64_t len, uint64_t size,
				uint64_t max)
{
	const struct window_advice a = window_read(&w, off, len, size, max);

	ck_assert_uint_le(a.ahead, max);
	if (a.ahead)
		ck_assert_uint_le(off + len + a.ahead, size);
	ck_assert(a.sequential || !a.ahead);
	ck_assert_uint_le(a.back, max);
	ck_assert_uint_le(a.back, off);
	ck_assert_uint_le(a.steps, WINDOW_STEPS);
	if (a.steps) {
		const uint64_t last = off + (uint64_t)a.step * a.steps;

		ck_assert_uint_le(a.steps, max / a.piece);
		/* Neither before the file nor behind its end. */
		ck_assert(a.step < 0 ? last < off : last > off);
		ck_assert_uint_lt(last, size);
	}
	return a;
}

START_TEST(sequential)
{
	uint64_t last = 0, most = 0;

	for (uint64_t off = 0; off < 64 * MIB; off += 128 * KIB) {
		const struct window_advice a = ask(off, 128 * KIB, 64 * MIB,
						   16 * MIB);

		if (off)
			ck_assert(a.sequential);
		/* It grows, until the end of the file cuts it. */
		if (off < 32 * MIB)
			ck_assert_uint_ge(a.ahead, last);
		last = a.ahead;
		most = a.ahead > most ? a.ahead : most;
	}
	ck_assert_uint_eq(most, 16 * MIB);
	ck_assert_uint_eq(last, 0);
}
END_TEST

START_TEST(small_sequential_reads)
{
	bool any = false;

	for (uint64_t off = 0; off < MIB; off += 4096)
		any = ask(off, 4096, GIB, MIB).sequential;
	ck_assert(any);
}
END_TEST

START_TEST(first_read)
{
	ck_assert(!ask(0, 4096, GIB, MIB).sequential);
	setup();
	ck_assert(ask(0, 128 * KIB, GIB, MIB).sequential);
	setup();
	ck_assert(!ask(10 * MIB, MIB, GIB, MIB).sequential);
}
END_TEST

START_TEST(random_reads)
{
	uint64_t seed = 1;
	int taken = 0;

	for (int i = 0; i < 10000; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		taken += ask(seed % (1024 * GIB), 4096, 1025 * GIB, MIB)
				 .sequential;
	}
	ck_assert_int_le(taken, 10);
}
END_TEST

START_TEST(strided)
{
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert(!ask(i * 4 * MIB + 4096, 64 * KIB, 100 * GIB, MIB)
				   .sequential);
}
END_TEST

START_TEST(backwards)
{
	for (uint64_t off = 10 * GIB; off > 9 * GIB; off -= 2 * MIB)
		ck_assert(!ask(off, MIB, 100 * GIB, MIB).sequential);
}
END_TEST

/* Distance, length of each piece, and in how many requests it comes. */
static const struct {
	int64_t stride;
	uint64_t piece, requests;
} strides[] = {
	{4 * MIB, 64 * KIB, 1},  {-4 * MIB, 64 * KIB, 1},
	{16 * MIB, 4 * MIB, 4},  {-16 * MIB, 4 * MIB, 4},
	{256 * KIB, 4 * KIB, 1}, {-256 * KIB, 4 * KIB, 1},
	{100000, 4096, 1},
};

START_TEST(equal_distances_are_expected)
{
	const uint64_t n = strides[_i].requests, len = strides[_i].piece / n;
	struct window_advice a = {.steps = 0};
	uint64_t off = 10 * GIB;

	for (int i = 0; i < 40; i++) {
		for (uint64_t k = 0; k < n; k++) {
			a = ask(off + k * len, len, 100 * GIB, 64 * MIB);
			/* The first piece may be the file's beginning. */
			ck_assert(i == 0 || a.ahead == 0);
			ck_assert_uint_eq(a.back, 0);
			if (k == 0 && i > 4) {
				ck_assert_int_eq(a.step, strides[_i].stride);
				ck_assert_uint_ge(a.steps, 6);
				ck_assert_uint_eq(a.piece, n * len);
			}
		}
		off += (uint64_t)strides[_i].stride;
	}
}
END_TEST

START_TEST(steps_end_with_the_file)
{
	for (uint64_t off = 0; off < 100 * MIB; off += 3 * MIB)
		ask(off, 4096, 100 * MIB, GIB);
	ck_assert_uint_eq(ask(99 * MIB, 4096, 100 * MIB, GIB).steps, 0);
	setup();
	for (uint64_t off = 99 * MIB; off > 0; off -= 3 * MIB)
		ask(off, 4096, 100 * MIB, GIB);
	ck_assert_uint_eq(ask(0, 4096, 100 * MIB, GIB).steps, 0);
}
END_TEST

static const uint64_t blocks[] = {4 * KIB, 128 * KIB, MIB, 4 * MIB};

START_TEST(a_file_read_backwards)
{
	const uint64_t len = blocks[_i], size = 4000 * len;
	uint64_t back = 0;

	for (uint64_t off = size - len; off > size / 2; off -= len) {
		const struct window_advice a = ask(off, len, size, 16 * MIB);

		ck_assert_uint_eq(a.ahead, 0);
		ck_assert_uint_eq(a.steps, 0);
		back = a.back;
	}
	ck_assert_uint_eq(back, 16 * MIB < size / 2 ? 16 * MIB : back);
	ck_assert_uint_ge(back, 4 * len);
}
END_TEST

/* Long pieces here and there, each with a look at its end: once that is known,
 * the whole next one is expected at its beginning; and no more when it stops. */
START_TEST(long_pieces_are_expected_whole)
{
	struct window_advice a;
	uint64_t waste = 0;

	for (uint64_t i = 1; i < 20; i++) {
		const uint64_t at = i * 7 % 20 * GIB;

		a = ask(at, MIB, 100 * GIB, 64 * MIB);
		if (i > 6) {
			ck_assert(a.sequential);
			ck_assert_uint_ge(a.ahead, 16 * MIB);
		}
		ask(at + 24 * MIB - MIB, MIB, 100 * GIB, 64 * MIB);
		for (uint64_t k = 1; k < 23; k++)
			a = ask(at + k * MIB, MIB, 100 * GIB, 64 * MIB);
		/* Little behind its end. */
		if (i > 6)
			ck_assert_uint_le(a.ahead, 4 * MIB);
	}
	for (uint64_t i = 0; i < 100; i++)
		waste += ask((i * 37 % 100) * GIB, MIB, 100 * GIB, 64 * MIB)
				 .ahead;
	ck_assert_uint_le(waste, 10 * 24 * MIB);
}
END_TEST

START_TEST(long_pieces_backwards_too)
{
	struct window_advice a = {.back = 0};

	for (uint64_t i = 1; i < 20; i++) {
		const uint64_t end = (i * 7 % 20 + 1) * GIB;

		for (uint64_t k = 1; k <= 24; k++) {
			a = ask(end - k * MIB, MIB, 100 * GIB, 64 * MIB);
			if (i > 2 && k == 1)
				ck_assert_uint_ge(a.back, 20 * MIB);
		}
		if (i > 2)
			ck_assert_uint_le(a.back, 48 * MIB);
	}
	/* It is over with the first that is not so. */
	ask(90 * GIB, MIB, 100 * GIB, 64 * MIB);
	ask(91 * GIB, MIB, 100 * GIB, 64 * MIB);
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_uint_eq(
			ask((i * 37 % 90) * GIB, MIB, 100 * GIB, 64 * MIB).back,
			0);
}
END_TEST

/* A copy that looks at the first byte and then runs down from the top, as glibc
 * makes them: the next is expected from its look on, and nothing beside it. */
START_TEST(long_pieces_with_a_look_below)
{
	const uint64_t half = 516 * KIB, len = 24 * MIB;
	struct window_advice a;

	for (uint64_t i = 1; i < 20; i++) {
		const uint64_t at = i * 7 % 20 * GIB + GIB;
		uint64_t off = at + len - half;
		/* as the kernel reads around what was touched */
		const uint64_t asked =
			ask(at - MIB / 2, MIB, 100 * GIB, 64 * MIB).ahead;

		if (i > 3) {
			ck_assert_uint_ge(asked, 22 * MIB);
			ck_assert_uint_le(asked, 26 * MIB);
		}
		a = ask(off, MIB, 100 * GIB, 64 * MIB);
		for (; off > at; off -= half) {
			if (i > 3) {
				ck_assert_uint_eq(a.ahead, 0);
				ck_assert_uint_ge(off - a.back, at - 2 * MIB);
			}
			a = ask(off - half, half, 100 * GIB, 64 * MIB);
		}
	}
	/* It is over with the first two that are not so. */
	ask(90 * GIB, MIB, 100 * GIB, 64 * MIB);
	ask(91 * GIB, MIB, 100 * GIB, 64 * MIB);
	ask(92 * GIB, MIB, 100 * GIB, 64 * MIB);
	for (uint64_t i = 0; i < 10; i++) {
		a = ask((i * 37 % 90) * GIB, MIB, 100 * GIB, 64 * MIB);
		ck_assert_uint_eq(a.ahead + a.back, 0);
	}
}
END_TEST

/* Little pieces near each other are not the whole of what is between. */
START_TEST(gaps_are_not_read)
{
	for (uint64_t i = 0; i < 1000; i++)
		ck_assert(!ask(i * 200 * KIB, 4 * KIB, GIB, MIB).sequential);
}
END_TEST

START_TEST(streams)
{
	/* As many as are followed, in turn. */
	for (uint64_t i = 0; i < 64; i++)
		for (uint64_t s = 0; s < WINDOW_STREAMS; s++) {
			const struct window_advice a = ask(
				(s + 1) * 10 * GIB + i * 128 * KIB, 128 * KIB,
				100 * GIB, 8 * MIB);

			/* Four beginnings look like jumps at first. */
			if (i > 4)
				ck_assert_msg(a.sequential && a.ahead,
					      "stream %d read %d", (int)s,
					      (int)i);
		}
}
END_TEST

START_TEST(stray_reads_do_not_end_a_stream)
{
	for (uint64_t i = 0; i < 1000; i++) {
		const struct window_advice a = ask(i * 128 * KIB, 128 * KIB,
						   100 * GIB, MIB);

		if (i > 16)
			ck_assert_msg(a.sequential && a.ahead, "read %d",
				      (int)i);
		/* Another part of the file, once a megabyte. */
		if (i % 8 == 0)
			ask(GIB + i * 16 * MIB, 4096, 100 * GIB, MIB);
	}
}
END_TEST

/* A megabyte here and there, each as eight requests: little is fetched that
 * nobody reads. */
START_TEST(large_random_reads_in_pieces)
{
	uint64_t ahead = 0, seed = 1;

	for (int i = 0; i < 1000; i++) {
		uint64_t off;

		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		off = seed % (1024 * GIB) / MIB * MIB;
		for (int k = 0; k < 8; k++)
			ask(off + (uint64_t)k * 128 * KIB, 128 * KIB,
			    1025 * GIB, 64 * MIB);
		ahead +=
			ask(off + MIB - 4096, 4096, 1025 * GIB, 64 * MIB).ahead;
	}
	ck_assert_uint_le(ahead, 100 * MIB);
}
END_TEST

START_TEST(requests_that_overtake)
{
	static const uint64_t order[] = {1, 0, 3, 2, 5, 4, 7, 6};

	ask(0, 128 * KIB, GIB, MIB);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		ck_assert(ask(128 * KIB + order[i] * 128 * KIB, 128 * KIB, GIB,
			      MIB)
				  .sequential);
}
END_TEST

static const struct {
	uint64_t off, len, size;
} edges[] = {
	{0, 0, 0},
	{0, 0, GIB},
	{GIB, 0, GIB},
	{GIB - 1, 1, GIB},
	{UINT64_MAX - MIB, MIB, UINT64_MAX},
	{0, UINT64_MAX, UINT64_MAX},
};

START_TEST(bounds)
{
	for (int i = 0; i < 5; i++) {
		ask(edges[_i].off, edges[_i].len, edges[_i].size, UINT64_MAX);
		ask(edges[_i].off, edges[_i].len, edges[_i].size, 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("window");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, sequential);
	tcase_add_test(tc, small_sequential_reads);
	tcase_add_test(tc, first_read);
	tcase_add_test(tc, random_reads);
	tcase_add_test(tc, strided);
	tcase_add_test(tc, backwards);
	ADD_ROWS(tc, equal_distances_are_expected, strides);
	tcase_add_test(tc, steps_end_with_the_file);
	ADD_ROWS(tc, a_file_read_backwards, blocks);
	tcase_add_test(tc, gaps_are_not_read);
	tcase_add_test(tc, long_pieces_are_expected_whole);
	tcase_add_test(tc, long_pieces_backwards_too);
	tcase_add_test(tc, long_pieces_with_a_look_below);
	tcase_add_test(tc, streams);
	tcase_add_test(tc, stray_reads_do_not_end_a_stream);
	tcase_add_test(tc, large_random_reads_in_pieces);
	tcase_add_test(tc, requests_that_overtake);
	ADD_ROWS(tc, bounds, edges);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
