/* SPDX-License-Identifier: Apache-2.0 */
/* Leaves in memory: each holds its own entries whatever is evicted, those in
 * use stay, what is asked for often stays longer than what was passed once. */
#include "cache/leaves.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/thread.h"
#include "fake_time.h"
#include "scratch.h"

#define LEAVES 7000 /* more than are kept */
#define HOT 500
#define THREADS 4

static struct store *store;
static struct leaves *leaves;
static uint64_t snap;

/* One entry each, whose size tells the leaf. */
static void put_leaf(uint32_t at)
{
	struct rec_writer w;
	struct rec r = {.size = 1000 + at};

	r.len = (size_t)snprintf(r.name, sizeof(r.name), "name-%u", at);
	rec_writer_init(&w);
	ck_assert(rec_writer_add(&w, &r));
	rec_writer_finish(&w, store_leaf_id(snap, at));
	ck_assert_int_eq(store_leaf_put(store, snap, at, w.buf, w.len), 0);
}

static void setup(void)
{
	struct store_config cfg = {.source = "test"};
	char folder[200], why[300];

	scratch_make();
	snprintf(folder, sizeof(folder), "%s/s", scratch);
	cfg.folder = folder;
	ck_assert_int_eq(store_open(&cfg, &store, why, sizeof(why)), 0);
	ck_assert_int_eq(store_begin(store), 0);
	ck_assert_int_eq(store_snap_new(store, &snap), 0);
	for (uint32_t i = 0; i < LEAVES; i++)
		put_leaf(i);
	ck_assert_int_eq(store_commit(store), 0);
	ck_assert_int_eq(leaves_new(store, &leaves), 0);
}

static void teardown(void)
{
	leaves_free(leaves);
	store_close(store);
}

static bool is_leaf(const struct leaf *l, uint32_t at)
{
	struct rec_reader r;

	if (!l || !rec_check(l->data, l->n, store_leaf_id(snap, at)))
		return false;
	rec_reader_init(&r, l->data, l->n);
	return rec_next(&r) && r.rec.size == 1000 + at && !rec_next(&r);
}

static bool reads(uint32_t at)
{
	struct leaf *l = leaves_get(leaves, snap, at);
	const bool ok = is_leaf(l, at);

	if (l)
		leaves_put(l);
	return ok;
}

START_TEST(each_is_itself_and_they_are_bounded)
{
	struct leaf *held[2] = {leaves_get(leaves, snap, 3),
				leaves_get(leaves, snap, LEAVES - 1)};
	unsigned int most = 0;

	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < LEAVES; i++) {
			ck_assert(reads(i));
			most = leaves_count(leaves) > most
				       ? leaves_count(leaves)
				       : most;
		}
	ck_assert_uint_gt(most, 5000);
	ck_assert_uint_lt(most, LEAVES);
	/* Pinned all the while: the same memory, the same entries. */
	ck_assert(is_leaf(held[0], 3));
	ck_assert(is_leaf(held[1], LEAVES - 1));
	ck_assert_ptr_eq(leaves_get(leaves, snap, 3), held[0]);
	leaves_put(held[0]);
	leaves_put(held[0]);
	leaves_put(held[1]);
}
END_TEST

START_TEST(what_is_not_there_takes_no_memory)
{
	for (uint32_t i = 0; i < 3 * LEAVES; i++)
		ck_assert_ptr_null(leaves_get(leaves, snap, LEAVES + i));
	ck_assert_uint_eq(leaves_count(leaves), 0);
	for (uint32_t i = 0; i < LEAVES; i++)
		ck_assert(reads(i));
}
END_TEST

static void no_dir_goes(void *ctx, uint64_t dir)
{
	(void)ctx;
	ck_abort_msg("directory %llu", (unsigned long long)dir);
}

/* Once they are gone from the store, only those in memory can be had. */
START_TEST(what_is_asked_for_often_stays)
{
	unsigned int hot = 0;

	for (uint32_t i = 0; i < LEAVES; i++) {
		ck_assert(reads(i));
		ck_assert(reads(i % HOT));
	}
	ck_assert_int_eq(store_begin(store), 0);
	ck_assert_int_eq(store_snap_drop(store, snap), 0);
	ck_assert_int_eq(store_commit(store), 0);
	fake_time_pass(4000 * 1000);
	while (store_tidy(store, no_dir_goes, NULL))
		;
	ck_assert(!reads(HOT)); /* passed once, long ago */
	for (uint32_t i = 0; i < HOT; i++)
		hot += reads(i);
	ck_assert_uint_gt(hot, HOT * 9 / 10);
}
END_TEST

static void *read_some(void *arg)
{
	uint64_t x = (uintptr_t)arg + 1;

	for (int i = 0; i < 20000; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		if (!reads((uint32_t)((x >> 33) % LEAVES)))
			return arg;
	}
	return NULL;
}

START_TEST(threads_read_what_others_evict)
{
	pthread_t t[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(thread_start(&t[i], "reader", read_some,
					      (void *)(i + 1)),
				 0);
	for (int i = 0; i < THREADS; i++) {
		void *bad;

		pthread_join(t[i], &bad);
		ck_assert_ptr_null(bad);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("leaves");
	TCase *tc = tcase_create("leaves");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, each_is_itself_and_they_are_bounded);
	tcase_add_test(tc, what_is_not_there_takes_no_memory);
	tcase_add_test(tc, what_is_asked_for_often_stays);
	tcase_add_test(tc, threads_read_what_others_evict);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
