/* SPDX-License-Identifier: Apache-2.0 */
/* What is fetched ahead of readers: how much, and whom it must not harm. */
#include <stdio.h>

#include "cache/chunk.h"
#include "cache_fixture.h"

static const uint64_t aheads[] = {0, MIB, 8 * MIB, GIB};

START_TEST(prefetch_is_bounded)
{
	const uint64_t size = 40 * MIB + 12345, max = aheads[_i];
	uint64_t most = 0;
	struct window w = {0};
	struct object *o;

	start(34 * MIB, MIB, max); /* 29 big slots */
	o = cache_object_get(c, "b", "k", "e1", size);
	for (uint64_t off = 0; off < size; off += 256 * KIB) {
		struct reading rd = {0};
		uint64_t ahead = 0;

		begin(&rd, o, &w, off, 256 * KIB);
		for (unsigned int i = 0; fake_xfer_peek(x, i); i++) {
			const struct xfer_get *g = fake_xfer_peek(x, i);
			const uint64_t end = g->off + g->len;

			if (end > off + rd.r.len &&
			    end - off - rd.r.len > ahead)
				ahead = end - off - rd.r.len;
		}
		if (ahead > most)
			most = ahead;
		fake_xfer_drain(x);
		expect_ok(&rd, "e1");
	}
	/* Up to the end of the slot that the last byte falls into. */
	ck_assert_uint_le(most, (max < 15 * MIB ? max : 15 * MIB) + MIB);
	if (max >= 8 * MIB)
		ck_assert_uint_ge(most, 4 * MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).bytes, size);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(prefetch_takes_nobodys_slot)
{
	struct reading rd = {0};
	struct object *o;

	start(34 * MIB, MIB, GIB);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	cache_prefetch(c, o, GIB, HUGE_FILE);
	ck_assert_uint_gt(fake_xfer_stats(x).waiting, 0);
	ck_assert_uint_lt(fake_xfer_stats(x).waiting, 29);
	/* A read still gets its own at once. */
	begin(&rd, o, NULL, 10 * GIB, MIB);
	ck_assert_uint_eq(stats().waiting, 0);
	fake_xfer_drain(x);
	expect_ok(&rd, "e1");
	cache_prefetch(c, o, HUGE_FILE, 1);
	cache_prefetch(c, o, HUGE_FILE - 1, HUGE_FILE);
	fake_xfer_drain(x);
	cache_object_put(c, o);
	finish();
}
END_TEST

/* However many small files are fetched ahead: who wants a byte now gets it. */
START_TEST(prefetch_of_small_files_leaves_room)
{
	struct reading rd = {0};
	struct object *o, *other;
	char key[16];

	start_small();
	for (int i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "small%d", i);
		o = cache_object_get(c, "b", key, "e1", 20 * KIB);
		cache_prefetch(c, o, 0, 20 * KIB);
		cache_object_put(c, o);
	}
	other = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	begin(&rd, other, NULL, 5 * MIB, 4 * KIB);
	ck_assert_uint_eq(stats().waiting, 0);
	ck_assert_uint_eq(stats().waited_for_slot, 0);
	fake_xfer_drain(x);
	expect_ok(&rd, "e1");
	cache_object_put(c, other);
	finish();
}
END_TEST

/* What was fetched ahead in vain goes one day, and more can be fetched. */
START_TEST(prefetch_in_vain_does_not_end_prefetch)
{
	struct object *o;
	uint64_t before;

	start(32 * MIB, MIB, 16 * MIB);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	for (uint64_t i = 0; i < 40; i++) { /* as much as it takes */
		cache_prefetch(c, o, i * GIB, 4 * MIB);
		fake_xfer_drain(x);
	}
	before = stats().prefetched;
	cache_prefetch(c, o, 50 * GIB, MIB);
	ck_assert_uint_eq(stats().prefetched, before);
	for (uint64_t i = 0; i < 100; i++)
		read_now(o, "e1", 60 * GIB + i * 2 * MIB, MIB);
	cache_prefetch(c, o, 51 * GIB, MIB);
	ck_assert_uint_eq(stats().prefetched, before + MIB);
	fake_xfer_drain(x);
	cache_object_put(c, o);
	finish();
}
END_TEST

START_TEST(failed_prefetch_harms_nobody)
{
	struct object *o;

	start(34 * MIB, MIB, GIB);
	o = cache_object_get(c, "b", "k", "e1", 4 * MIB);
	cache_prefetch(c, o, 0, 4 * MIB);
	while (fake_xfer_end(x, 0, FAKE_ERROR))
		;
	ck_assert_uint_eq(stats().pool.states[SLOT_ARMED], 0);
	ck_assert_uint_eq(stats().pool.states[SLOT_READY], 0);
	read_now(o, "e1", 0, MIB);
	cache_object_put(c, o);
	finish();
}
END_TEST

#define READERS 4

static struct object *shared[READERS];
static struct window windows[READERS];
static uint64_t at[READERS];

/* The next MiB in order; how far behind it chunks are under way. */
static uint64_t step(unsigned int i)
{
	struct reading rd = {0};
	uint64_t most = 0;

	begin(&rd, shared[i], &windows[i], at[i], MIB);
	for (unsigned int n = 0; fake_xfer_peek(x, n); n++)
		if (fake_xfer_peek(x, n)->off > at[i] + most)
			most = fake_xfer_peek(x, n)->off - at[i];
	fake_xfer_drain(x);
	expect_ok(&rd, "e1");
	at[i] += MIB;
	return most;
}

/* With all of the others reading, too: once they have, before the last ones are
 * forgotten again, as they may be on a slow machine. */
static void expect_share(unsigned int n, uint64_t share)
{
	uint64_t most = UINT64_MAX;

	for (int tries = 0; tries < 20 && most > share; tries++) {
		for (unsigned int i = 0; i + 1 < n; i++)
			step(i);
		/* What was fetched before is read; the next is its share. */
		for (most = 0; most == 0;)
			most = step(n - 1);
	}
	ck_assert_uint_le(most, share);
}

START_TEST(readers_share_the_pool)
{
	uint64_t most = 0;

	start(66 * MIB, MIB, GIB); /* more than 56 big slots */
	for (unsigned int i = 0; i < READERS; i++) {
		char key[8];

		snprintf(key, sizeof(key), "k%u", i);
		windows[i] = (struct window){.reads = 0};
		at[i] = 0;
		shared[i] = cache_object_get(c, "b", key, "e1", HUGE_FILE);
		for (unsigned int n = 0; n < 64; n++) {
			const uint64_t far = step(i);

			most = far > most ? far : most;
		}
		/* The first may have half of it, two a quarter each ... */
		if (i == 0)
			ck_assert_uint_ge(most, 24 * MIB);
		expect_share(i + 1, 32 * MIB / (i + 1) + MIB);
	}
	for (unsigned int i = 0; i < READERS; i++)
		cache_object_put(c, shared[i]);
	finish();
}
END_TEST

START_TEST(a_slow_line_is_not_filled)
{
	struct reading rd = {0};
	struct object *o;

	start(34 * MIB, MIB, GIB);
	o = cache_object_get(c, "b", "k", "e1", HUGE_FILE);
	{
		LOCK_SCOPE(&c->lock);
		c->pace.bound = 2 * MIB;
	}
	ck_assert(!cache_prefetch(c, o, 0, 8 * MIB));
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 2);
	/* What somebody waits for is not held up. */
	begin(&rd, o, NULL, GIB, MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).waiting, 3);
	fake_xfer_drain(x);
	expect_ok(&rd, "e1");
	/* They came at once. */
	ck_assert(cache_prefetch(c, o, 2 * GIB, 8 * MIB));
	fake_xfer_drain(x);
	cache_object_put(c, o);
	finish();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("prefetch");
	TCase *tc = tcase_create("prefetch");

	tcase_set_timeout(tc, 20);
	ADD_ROWS(tc, prefetch_is_bounded, aheads);
	tcase_add_test(tc, prefetch_takes_nobodys_slot);
	tcase_add_test(tc, prefetch_of_small_files_leaves_room);
	tcase_add_test(tc, prefetch_in_vain_does_not_end_prefetch);
	tcase_add_test(tc, failed_prefetch_harms_nobody);
	tcase_add_test(tc, readers_share_the_pool);
	tcase_add_test(tc, a_slow_line_is_not_filled);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
