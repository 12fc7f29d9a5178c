/* SPDX-License-Identifier: Apache-2.0 */
/* Listings that are made ahead of who walks. */
#include "base/thread.h"
#include "namespace_fixture.h"

static void make_children(int children, int files)
{
	for (int i = 0; i < children; i++)
		for (int k = 0; k < files; k++) {
			char key[64];

			snprintf(key, sizeof(key), "p/c%04d/f%02d", i, k);
			put(key);
		}
}

/* Reads the children in order, as find does; how many names in all. */
static size_t walk_children(uint64_t parent, size_t each)
{
	struct seen all = {0}, s = {0};
	size_t n = 0;

	ck_assert_int_eq(read_dir(parent, &all), 0);
	settle(parent);
	for (size_t i = 0; i < all.n; i++) {
		ck_assert(all.recs[i].is_dir);
		ck_assert_int_eq(read_dir(all.recs[i].dir, &s), 0);
		ck_assert_msg(!each || s.n == each, "%s has %zu names",
			      all.recs[i].name, s.n);
		check_order(&s);
		n += s.n;
		seen_free(&s);
	}
	seen_free(&all);
	return n;
}

START_TEST(directories_in_order_are_listed_ahead)
{
	struct fake_calls c;
	uint64_t parent;

	begin_ns(FAKE_SORTED, 1000);
	make_children(300, 5);
	parent = dir_of("p");
	asked();
	ck_assert_uint_eq(walk_children(parent, 5), 1500);
	c = fake_s3_calls(s3);
	ck_assert_uint_gt(c.flat, 0);
	ck_assert_uint_lt(c.list, 100);
	ck_assert_uint_eq(walk_children(parent, 5), 1500);
	ck_assert_uint_eq(asked(), 0);
	unmount_ns();
	mount_ns();
	ck_assert_uint_eq(walk_children(dir_of("p"), 5), 1500);
	ck_assert_uint_eq(asked(), 0);
	end_ns();
}
END_TEST

/* Longer than what is listed ahead at a time: still many by one request. */
START_TEST(a_long_walk_asks_little)
{
	struct fake_calls c;
	uint64_t parent;

	begin_ns(FAKE_SORTED, 1000);
	make_children(1500, 2);
	parent = dir_of("p");
	asked();
	ck_assert_uint_eq(walk_children(parent, 2), 3000);
	c = fake_s3_calls(s3);
	ck_assert_uint_lt(c.list, 300);
	end_ns();
}
END_TEST

START_TEST(directories_out_of_order_are_not)
{
	struct seen all = {0}, s = {0};
	uint64_t parent;

	begin_ns(FAKE_SORTED, 1000);
	make_children(100, 5);
	parent = dir_of("p");
	ck_assert_int_eq(read_dir(parent, &all), 0);
	settle(parent);
	asked();
	for (size_t i = 0; i < all.n; i += 7) {
		ck_assert_int_eq(read_dir(all.recs[all.n - 1 - i].dir, &s), 0);
		ck_assert_uint_eq(s.n, 5);
		seen_free(&s);
	}
	ck_assert_uint_eq(fake_s3_calls(s3).flat, 0);
	seen_free(&all);
	end_ns();
}
END_TEST

/* Children of all sizes, what is no directory between them, and a server
 * that answers in small pages and fails now and then. */
START_TEST(any_children_are_walked)
{
	size_t want = 0;
	char key[64];

	names_seed(77 + (uint64_t)_i);
	begin_ns(_i % 2 ? FAKE_SPLIT : FAKE_TWICE, 60);
	for (int i = 0; i < 120; i++) {
		const unsigned int n = names_below(8)
					       ? (unsigned int)names_below(6)
					       : (unsigned int)names_below(700);

		snprintf(key, sizeof(key), "p/c%04d/", i);
		put(key);
		for (unsigned int k = 0; k < n; k++) {
			snprintf(key, sizeof(key), "p/c%04d/%s%05u%s", i,
				 k % 7 ? "" : "sub", k, k % 7 ? "" : "/x");
			put(key);
		}
		want += n;
	}
	ck_assert_uint_eq(walk_children(dir_of("p"), 0), want);
	ck_assert_uint_eq(walk_children(dir_of("p"), 0), want);
	unmount_ns();
	mount_ns();
	asked();
	ck_assert_uint_eq(walk_children(dir_of("p"), 0), want);
	ck_assert_uint_eq(asked(), 0);
	end_ns();
}
END_TEST

static void *walk_it(void *arg)
{
	walk_children(*(uint64_t *)arg, 5);
	return NULL;
}

START_TEST(many_walk_at_once)
{
	pthread_t threads[4];
	uint64_t parent;

	begin_ns(FAKE_SORTED, 200);
	make_children(200, 5);
	parent = dir_of("p");
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
			thread_start(&threads[i], "walk", walk_it, &parent), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	end_ns();
}
END_TEST

static void rest_a_little(void *ctx, unsigned int page)
{
	(void)ctx;
	(void)page;
	usleep(2000);
}

/* Pages until nobody asks for any more. */
static unsigned int pages_at_rest(unsigned int pages)
{
	for (unsigned int n = 1; n; pages += n) {
		usleep(100000);
		n = fake_s3_calls(s3).list;
	}
	return pages;
}

/* As `ls p/2020 p/2021 ...` reads them: few entries in each, and many keys
 * below these. */
START_TEST(siblings_with_large_trees_are_opened_at_once)
{
	static const char *const years[] = {"p/2020", "p/2021", "p/2022",
					    "p/2023", "p/2024"};
	struct seen s = {0};
	unsigned int pages = 0;
	char key[64];

	begin_ns(FAKE_SORTED, 1000);
	for (size_t y = 0; y < ARRAY_SIZE(years); y++)
		for (unsigned int i = 0; i < 20000; i++) {
			snprintf(key, sizeof(key), "%s/d%u/%05u", years[y],
				 i / 5000, i);
			put(key);
		}
	ck_assert_int_eq(read_dir(dir_of("p"), &s), 0);
	seen_free(&s);
	settle(dir_of("p"));
	fake_s3_set_hook(s3, rest_a_little, NULL);
	for (size_t y = 0; y < ARRAY_SIZE(years); y++) {
		const uint64_t dir = dir_of(years[y]);

		pages += fake_s3_calls(s3).list;
		ck_assert_int_eq(read_dir(dir, &s), 0);
		ck_assert_uint_eq(s.n, 4);
		seen_free(&s);
		pages += fake_s3_calls(s3).list;
		ck_assert_msg(pages <= 15, "%s: %u pages", years[y], pages);
	}
	/* And what was begun ahead is not gone on with for ever. */
	pages = pages_at_rest(pages);
	ck_assert_msg(pages <= 20, "%u pages", pages);
	end_ns();
}
END_TEST

/* A reader waits for what is nothing but the directory itself. */
START_TEST(flat_directories_of_some_pages_are_listed_once)
{
	char key[64];
	unsigned int pages;
	uint64_t parent;

	begin_ns(FAKE_SORTED, 1000);
	for (unsigned int i = 0; i < 48000; i++) {
		snprintf(key, sizeof(key), "p/c%u/%05u", i / 6000, i);
		put(key);
	}
	parent = dir_of("p");
	asked();
	ck_assert_uint_eq(walk_children(parent, 6000), 48000);
	pages = pages_at_rest(asked());
	/* The first two are cut into ranges, which takes some questions. */
	ck_assert_msg(pages <= 48 + 32, "%u pages", pages);
	end_ns();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("namespace_walks");
	TCase *tc = tcase_create("namespace_walks");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, directories_in_order_are_listed_ahead);
	tcase_add_test(tc, a_long_walk_asks_little);
	tcase_add_test(tc, directories_out_of_order_are_not);
	tcase_add_loop_test(tc, any_children_are_walked, 0, 4);
	tcase_add_test(tc, many_walk_at_once);
	tcase_add_test(tc, siblings_with_large_trees_are_opened_at_once);
	tcase_add_test(tc, flat_directories_of_some_pages_are_listed_once);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
