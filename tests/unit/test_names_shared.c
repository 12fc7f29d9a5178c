/* SPDX-License-Identifier: Apache-2.0 */
/* Two mounts over one store; listings that end in another order than they
 * began. */
#include "cache/catalog.h"
#include "cache/namespace_int.h"
#include "namespace_fixture.h"

static struct namespace *other;

static void begin_both(unsigned int page)
{
	char why[600];

	begin_ns(FAKE_SORTED, page);
	ck_assert_int_eq(namespace_new(&config, s3, &other, why, sizeof(why)),
			 0);
}

static void end_both(void)
{
	namespace_stop(other);
	namespace_free(other);
	end_ns();
}

/* What follows is done by the other mount. */
static void swap(void)
{
	struct namespace *was = ns;

	ns = other;
	other = was;
}

static void make_files(int n)
{
	for (int i = 0; i < n; i++) {
		char key[32];

		snprintf(key, sizeof(key), "d/%04d", i);
		put(key);
	}
}

static void check_read(uint64_t dir, size_t want)
{
	struct seen s = {0};

	ck_assert_int_eq(read_dir(dir, &s), 0);
	ck_assert_uint_eq(s.n, want);
	seen_free(&s);
}

static void catalog(bool freeze, uint64_t want)
{
	uint64_t files;

	ck_assert_int_eq(catalog_refresh(ns, "d", freeze, NULL, &files), 0);
	ck_assert_uint_eq(files, want);
}

static struct store_dir row_of(uint64_t dir)
{
	struct store_dir d;

	ck_assert_int_eq(store_dir_get(ns->store, dir, &d), 0);
	return d;
}

/* What a listing left that gave way. */
static void await_no_half(void)
{
	for (int tries = 0; ask_db(HALF_MADE); tries++) {
		ck_assert_int_lt(tries, 2000);
		usleep(1000);
	}
}

/* ---- which one stays ---- */

/* Pages: the listing is one, or many. */
static const unsigned int pages[] = {1000, 50};

START_TEST(a_frozen_listing_of_another_mount_stays)
{
	struct seen s = {0};
	uint64_t dir;

	begin_both(pages[_i]);
	make_files(300);
	dir = dir_of("d");
	check_read(dir, 300);
	settle(dir);
	fake_time_pass(61000);
	swap();
	catalog(true, 300);
	put("d/new");
	swap();
	/* The one that is known here is too old, and is not frozen. */
	ck_assert_int_eq(read_dir(dir, &s), 0);
	seen_free(&s);
	settle(dir);
	await_no_half();
	ck_assert_uint_eq(row_of(dir).flags & STORE_FROZEN, STORE_FROZEN);
	asked();
	fake_time_pass(61000);
	check_read(dir, 300);
	ck_assert_uint_eq(asked(), 0);
	/* Who asks for it to be listed gets that. */
	catalog(false, 301);
	ck_assert_uint_eq(row_of(dir).flags & STORE_FROZEN, 0);
	check_read(dir, 301);
	end_both();
}
END_TEST

static atomic_int began;
static bool freezes;

/* While the first page of a listing is on its way. */
static void list_meanwhile(void *ctx, unsigned int page)
{
	(void)ctx;
	(void)page;
	if (atomic_exchange(&began, 1))
		return;
	usleep(2000); /* later by the clock */
	swap();
	catalog(freezes, 300);
	swap();
}

/* By this mount or another, frozen or only later. */
START_TEST(a_listing_gives_way_to_a_later_one)
{
	struct store_dir d;
	uint64_t dir;

	begin_both(pages[_i % 2]);
	freezes = _i / 2;
	make_files(300);
	dir = dir_of("d");
	atomic_store(&began, 0);
	fake_s3_set_hook(s3, list_meanwhile, NULL);
	check_read(dir, 300);
	settle(dir);
	await_no_half();
	d = row_of(dir);
	ck_assert_uint_eq(d.flags, freezes ? STORE_FROZEN : 0);
	ck_assert_uint_eq(d.nsegs, 1);
	ck_assert_uint_eq((uint64_t)ask_db("SELECT max(id) FROM snaps "
					   "WHERE state=1"),
			  d.segs[0].snap);
	fake_s3_set_hook(s3, NULL, NULL);
	asked();
	check_read(dir, 300);
	ck_assert_uint_eq(asked(), 0);
	end_both();
}
END_TEST

/* A walk lists what lies under the directories that it comes to. */
START_TEST(a_walk_leaves_what_is_frozen)
{
	struct seen all = {0};
	uint64_t files, frozen;
	char key[64];

	begin_both(1000);
	for (int i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "p/c%02d/sub/x", i);
		put(key);
	}
	frozen = dir_of("p/c30/sub");
	ck_assert_int_eq(catalog_refresh(ns, "p/c30/sub", true, NULL, &files),
			 0);
	swap();
	ck_assert_int_eq(read_dir(dir_of("p"), &all), 0);
	settle(dir_of("p"));
	for (size_t i = 0; i < all.n; i++)
		check_read(all.recs[i].dir, 1);
	ck_assert_uint_gt(fake_s3_calls(s3).flat, 0);
	ck_assert_uint_eq(row_of(frozen).flags & STORE_FROZEN, STORE_FROZEN);
	seen_free(&all);
	end_both();
}
END_TEST

/* A clock that was ahead: what it dated is never believed, nor kept. */
START_TEST(a_listing_of_the_future_goes)
{
	uint64_t dir;

	begin_both(1000);
	make_files(10);
	fake_time_pass(3600 * 1000);
	swap();
	catalog(false, 10);
	swap();
	fake_time_pass(-3600 * 1000);
	dir = dir_of("d");
	check_read(dir, 10);
	settle(dir);
	asked();
	check_read(dir, 10);
	ck_assert_uint_eq(asked(), 0);
	end_both();
}
END_TEST

/* ---- who reads slowly ---- */

/* An hour, in which both mounts have what they may forget go. */
static void pass_an_hour(void)
{
	for (int i = 0; i < 9; i++) {
		fake_time_pass(400 * 1000);
		namespace_tidy(ns);
		swap();
		namespace_tidy(ns);
		swap();
	}
}

START_TEST(a_replaced_listing_is_read_to_its_end)
{
	struct seen s = {.max = 10};
	struct ns_dir *d;
	uint64_t dir, pos = 0;

	begin_both(pages[_i % 2]);
	make_files(3000);
	dir = dir_of("d");
	/* Its leaves do not come to memory where it is read. */
	swap();
	catalog(false, 3000);
	swap();
	ck_assert_int_eq(namespace_open_dir(ns, dir, &d), 0);
	ck_assert_int_eq(namespace_read_dir(ns, d, &pos, true, see, &s), 0);
	ck_assert_uint_eq(s.n, 10);
	if (_i / 2)
		swap();
	catalog(true, 3000);
	if (_i / 2)
		swap();
	pass_an_hour();
	s.max = 0;
	ck_assert_int_eq(read_on(d, &pos, &s), 0);
	ck_assert_uint_eq(s.n, 3000);
	seen_free(&s);
	ck_assert_int_gt(ask_db("SELECT count(*) FROM snaps WHERE state=2"), 0);
	namespace_close_dir(ns, d);
	pass_an_hour();
	ck_assert_int_eq(ask_db("SELECT count(*) FROM snaps WHERE state=2"), 0);
	end_both();
}
END_TEST

/* ---- what is forgotten ---- */

START_TEST(only_the_listing_that_failed_is_forgotten)
{
	char path[NAMESPACE_PATH_MAX + 1];
	struct store_dir now, after;
	struct ns_attr a;
	uint64_t left, dir;

	config.fresh.ttl_ms = FRESH_FOREVER;
	begin_both(1000);
	make_files(300);
	dir = dir_of("d");
	check_read(dir, 300);
	settle(dir);
	swap();
	/* Known here, and none of its leaves is in memory. */
	ck_assert_int_eq(namespace_path(ns, dir, NULL, path), 0);
	swap();
	catalog(false, 300);
	now = row_of(dir);
	fake_time_pass(700 * 1000);
	while (store_tidy(ns->store, NULL, NULL))
		;
	swap();
	ck_assert_int_eq(namespace_look(ns, dir, "0007", &a, &left), 0);
	after = row_of(dir);
	ck_assert_uint_eq(after.since_ms, now.since_ms);
	ck_assert_uint_eq(after.nsegs, 1);
	ck_assert_uint_eq(after.segs[0].snap, now.segs[0].snap);
	asked();
	check_read(dir, 300);
	ck_assert_uint_eq(asked(), 0);
	end_both();
}
END_TEST

/* The other mount's listing is no later than the answer that says otherwise. */
START_TEST(what_is_seen_to_be_wrong_is_forgotten)
{
	struct ns_attr a;
	uint64_t left, dir;

	begin_both(1000);
	make_files(10);
	dir = dir_of("d");
	ck_assert_int_eq(namespace_look(ns, dir, "0003", &a, &left), 0);
	swap();
	check_read(dir, 10);
	settle(dir);
	swap();
	fake_s3_delete(s3, "b", "d/0003");
	usleep(2000);
	ck_assert_int_eq(namespace_revalidate(ns, dir, "0003", &a), -ENOENT);
	ck_assert_uint_eq(row_of(dir).since_ms, 0);
	check_read(dir, 9);
	end_both();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("names_shared");
	TCase *tc = tcase_create("names_shared");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 30);
	ADD_ROWS(tc, a_frozen_listing_of_another_mount_stays, pages);
	tcase_add_loop_test(tc, a_listing_gives_way_to_a_later_one, 0, 4);
	tcase_add_test(tc, a_walk_leaves_what_is_frozen);
	tcase_add_test(tc, a_listing_of_the_future_goes);
	tcase_add_loop_test(tc, a_replaced_listing_is_read_to_its_end, 0, 4);
	tcase_add_test(tc, only_the_listing_that_failed_is_forgotten);
	tcase_add_test(tc, what_is_seen_to_be_wrong_is_forgotten);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
