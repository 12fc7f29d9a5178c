/* SPDX-License-Identifier: Apache-2.0 */
/* Listings that are large, or go wrong. */
#include "base/thread.h"
#include "namespace_fixture.h"

/* ---- large directories ---- */

#define MANY 5000

/* Names as they stand in buckets. */
static const char *const styles[] = {"%06u", "f%08x.dat", "%x", "IMG_%05u.jpg",
				     "a!%05u"};

static void style_key(char out[64], unsigned int style, unsigned int i)
{
	/* Spread, so that order is not that of the numbers. */
	const unsigned int v = style == 1 || style == 2 ? i * 2654435761U : i;

	snprintf(out, 64, styles[style], v);
}

START_TEST(large_ones_are_cut_and_whole)
{
	struct seen s = {0};
	struct fake_calls c;
	char key[64];

	begin_ns(FAKE_SPLIT, 100);
	for (unsigned int i = 0; i < MANY; i++) {
		style_key(key, (unsigned int)_i, i);
		if (i % 10 == 0)
			strcat(key, "/x");
		put(key);
	}
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(read_dir(ROOT, &s), 0);
		ck_assert_uint_eq(s.n, MANY);
		check_order(&s);
		for (size_t i = 0; i < s.n; i++)
			ck_assert(s.recs[i].is_dir ||
				  s.recs[i].size == strlen(s.recs[i].name));
		seen_free(&s);
		settle(ROOT);
	}
	c = fake_s3_calls(s3);
	ck_assert_uint_gt(c.pagers - c.probes, 3);
	ck_assert_uint_lt(c.list, MANY / 100 * 3);
	for (unsigned int i = 0; i < MANY; i += 37) {
		struct ns_attr a;
		uint64_t left;

		style_key(key, (unsigned int)_i, i);
		ck_assert_int_eq(namespace_peek(ns, ROOT, key, &a, &left), 0);
		ck_assert(a.is_dir == (i % 10 == 0));
	}
	end_ns();
}
END_TEST

static void change_keys(void *ctx, unsigned int page)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	char key[64];

	(void)ctx;
	(void)page;
	LOCK_SCOPE(&lock);
	for (int i = 0; i < 20; i++) {
		const unsigned int v = (unsigned int)names_below(MANY) | 1;

		snprintf(key, sizeof(key), "%06u", v);
		if (names_below(2))
			put(key);
		else
			fake_s3_delete(s3, "b", key);
	}
}

static void *read_root(void *arg)
{
	ck_assert_int_eq(read_dir(ROOT, arg), 0);
	return NULL;
}

/* Even numbers stay, odd ones come and go; three read at once. */
START_TEST(names_come_once_while_others_change)
{
	struct seen s[3] = {{.max = 7}, {.max = 0}, {.max = 1000}};
	pthread_t threads[3];
	char key[64];

	names_seed(5 + (uint64_t)_i);
	begin_ns(FAKE_SORTED, 50 + 100 * (unsigned int)_i);
	for (unsigned int i = 0; i < MANY; i++) {
		snprintf(key, sizeof(key), "%06u", i);
		put(key);
	}
	fake_s3_set_hook(s3, change_keys, NULL);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(
			thread_start(&threads[i], "read", read_root, &s[i]), 0);
	for (int i = 0; i < 3; i++) {
		unsigned int even = 0;

		pthread_join(threads[i], NULL);
		check_order(&s[i]);
		for (size_t k = 0; k < s[i].n; k++)
			even += atoi(s[i].recs[k].name) % 2 == 0;
		ck_assert_uint_eq(even, MANY / 2);
		seen_free(&s[i]);
	}
	fake_s3_set_hook(s3, NULL, NULL);
	end_ns();
}
END_TEST

/* A file in one range and the directory that hides it in the next. */
START_TEST(a_hidden_file_comes_once_over_cuts)
{
	struct seen s = {0};
	char key[64];

	begin_ns(FAKE_SORTED, 20);
	put("a");
	for (int i = 0; i < 600; i++) {
		snprintf(key, sizeof(key), "a!%03d", i);
		put(key);
		snprintf(key, sizeof(key), "a-%03d", i);
		put(key);
		snprintf(key, sizeof(key), "a0%03d", i);
		put(key);
	}
	put("a/below");
	for (int again = 0; again < 3; again++) {
		ck_assert_int_eq(read_dir(ROOT, &s), 0);
		ck_assert_msg(times(&s, "a", true) + times(&s, "a", false) == 1,
			      "reading %d: twice", again);
		ck_assert_uint_eq(s.n, 1801);
		seen_free(&s);
		settle(ROOT);
	}
	end_ns();
}
END_TEST

/* ---- another order ---- */

/* Names of a page that came before the order was seen to be another: given
 * again by rewinddir and seekdir. */
START_TEST(another_order_is_read_again)
{
	uint64_t pos = 0, some;
	struct seen s = {.max = 3};
	struct ns_dir *d;
	char key[32];

	begin_ns(FAKE_REVERSED, 10);
	for (int i = 0; i < 95; i++) {
		snprintf(key, sizeof(key), "key%02d", i);
		put(key);
	}
	ck_assert_int_eq(namespace_open_dir(ns, ROOT, &d), 0);
	ck_assert_int_eq(namespace_read_dir(ns, d, &pos, true, see, &s), 0);
	ck_assert_uint_eq(s.n, 3);
	some = pos;
	ck_assert_int_eq(read_on(d, &pos, &s), 0);
	ck_assert_uint_eq(s.n, 95);
	for (int i = 0; i < 4; i++) {
		struct seen again = {.max = (size_t)i};

		/* From the beginning, or behind the first three. */
		pos = i % 2 ? some : 0;
		ck_assert_int_eq(read_on(d, &pos, &again), 0);
		ck_assert_uint_eq(again.n, i % 2 ? 92 : 95);
		for (size_t k = 0; k < s.n; k++)
			ck_assert_uint_eq(times(&again, s.recs[k].name, false),
					  k >= 3 || i % 2 == 0);
		seen_free(&again);
	}
	seen_free(&s);
	namespace_close_dir(ns, d);
	end_ns();
}
END_TEST

/* What a range had when another one showed the order has not been given. */
START_TEST(another_order_is_seen_in_a_later_range)
{
	struct seen s = {.max = 3};
	uint64_t pos = 0;
	struct ns_dir *d;
	char key[32];

	begin_ns(FAKE_GROUPED, 10);
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "key%03d/x", i);
		put(key);
		snprintf(key, sizeof(key), "key%03d.f", i);
		put(key);
	}
	ck_assert_int_eq(namespace_open_dir(ns, ROOT, &d), 0);
	ck_assert_int_eq(namespace_read_dir(ns, d, &pos, true, see, &s), 0);
	if (_i) { /* until all ranges have come to their ends */
		do
			usleep(100000);
		while (asked());
	}
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(read_on(d, &pos, &s), 0);
		ck_assert_uint_eq(s.n, 600);
		for (size_t k = 0; k < s.n; k++)
			ck_assert_uint_eq(
				times(&s, s.recs[k].name, s.recs[k].is_dir), 1);
		seen_free(&s);
		pos = 0;
	}
	namespace_close_dir(ns, d);
	end_ns();
}
END_TEST

/* ---- errors ---- */

START_TEST(errors_are_returned_and_not_remembered)
{
	static const int errors[] = {-EIO, -EACCES, -ETIMEDOUT};
	struct seen s = {0};
	struct ns_attr a;
	uint64_t left, dir;

	begin_ns(FAKE_SORTED, 1000);
	put("d/x");
	dir = dir_of("d");
	for (int i = 0; i < 100; i++) {
		const int err = errors[i % 3];

		fake_s3_set_error(s3, err);
		ck_assert_int_eq(read_dir(dir, &s), err);
		ck_assert_int_eq(namespace_look(ns, dir, "x", &a, &left), err);
		ck_assert_int_eq(namespace_revalidate(ns, dir, "x", &a), err);
		fake_s3_set_error(s3, 0);
		ck_assert_int_eq(read_dir(dir, &s), 0);
		ck_assert_uint_eq(s.n, 1);
		seen_free(&s);
		settle(dir);
		ck_assert_int_eq(namespace_look(ns, dir, "x", &a, &left), 0);
		fake_time_pass(61000);
	}
	end_ns();
}
END_TEST

/* What broke off is never taken for a whole directory. */
START_TEST(a_listing_that_breaks_off_fails)
{
	struct seen s = {0};
	char key[32];

	begin_ns(FAKE_SORTED, 50);
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "%05d", i);
		put(key);
	}
	for (unsigned int after = 0; after < 30; after++) {
		fake_s3_set_page_error(s3, after, -EIO);
		ck_assert_msg(read_dir(ROOT, &s) == -EIO,
			      "after %u pages: %zu names and no error", after,
			      s.n);
		ck_assert_uint_lt(s.n, 2000);
		check_order(&s);
		seen_free(&s);
		fake_s3_set_page_error(s3, 0, 0);
	}
	/* It is over once the last range has ended. */
	for (int tries = 0; read_dir(ROOT, &s); tries++) {
		ck_assert_int_lt(tries, 1000);
		seen_free(&s);
		usleep(1000);
	}
	ck_assert_uint_eq(s.n, 2000);
	seen_free(&s);
	end_ns();
}
END_TEST

/* Nor does it stay: others would have to go for it. */
START_TEST(a_listing_that_breaks_off_leaves_the_store)
{
	struct seen s = {0};
	char key[32];

	begin_ns(FAKE_SORTED, 50);
	put("good/x");
	for (int i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "bad/%05d", i);
		put(key);
	}
	ck_assert_int_eq(read_dir(dir_of("good"), &s), 0);
	seen_free(&s);
	fake_s3_set_page_error(s3, 1 + 12 * (unsigned int)_i, -EIO);
	ck_assert_int_eq(read_dir(dir_of("bad"), &s), -EIO);
	ck_assert_uint_gt(s.n, 0);
	seen_free(&s);
	for (int tries = 0; ask_db(HALF_MADE); tries++) {
		ck_assert_int_lt(tries, 2000);
		usleep(1000);
	}
	ck_assert_int_gt(ask_db("SELECT count(*) FROM snaps "
				"WHERE state=2 AND at>0"),
			 0);
	fake_s3_set_page_error(s3, 0, 0);
	asked();
	ck_assert_int_eq(read_dir(dir_of("good"), &s), 0);
	ck_assert_uint_eq(asked(), 0);
	seen_free(&s);
	ck_assert_int_eq(read_dir(dir_of("bad"), &s), 0);
	ck_assert_uint_eq(s.n, 2000);
	seen_free(&s);
	end_ns();
}
END_TEST

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(void *ctx, unsigned int page)
{
	(void)ctx;
	(void)page;
	LOCK_SCOPE(&gate);
}

static void *read_until_stopped(void *arg)
{
	*(int *)arg = read_dir(ROOT, &(struct seen){0});
	return NULL;
}

START_TEST(stopping_ends_who_waits)
{
	pthread_t thread;
	int err = 1;

	begin_ns(FAKE_SORTED, 1000);
	put("x");
	fake_s3_set_hook(s3, wait_at_gate, NULL);
	pthread_mutex_lock(&gate);
	ck_assert_int_eq(
		thread_start(&thread, "read", read_until_stopped, &err), 0);
	usleep(20000);
	fake_s3_set_error(s3, -EIO);
	pthread_mutex_unlock(&gate);
	namespace_stop(ns);
	pthread_join(thread, NULL);
	ck_assert_int_eq(err, -EIO);
	end_ns();
}
END_TEST

/* ---- a store that is harmed ---- */

static void harm(const char *sql)
{
	char path[600];
	sqlite3 *db;

	db_path(path, sizeof(path));
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_gt(sqlite3_changes(db), 0);
	sqlite3_close(db);
}

static const char *const harms[] = {
	"UPDATE leaves SET data=zeroblob(length(data))",
	"DELETE FROM leaves",
	"UPDATE dirs SET state=zeroblob(length(state)) WHERE state NOT NULL",
	"UPDATE names SET data=zeroblob(length(data))",
};

/* What is not as it was written is not known: it is asked for. */
START_TEST(a_harmed_listing_is_made_anew)
{
	struct seen s = {0};
	char key[32];
	uint64_t dir;
	int err = -1;

	config.fresh.ttl_ms = FRESH_FOREVER;
	begin_ns(FAKE_SORTED, 1000);
	for (int i = 0; i < 500; i++) {
		snprintf(key, sizeof(key), "d/%05d", i);
		put(key);
	}
	ck_assert_int_eq(read_dir(dir_of("d"), &s), 0);
	settle(dir_of("d"));
	seen_free(&s);
	unmount_ns();
	harm(harms[_i]);
	mount_ns();
	dir = dir_of("d");
	for (int tries = 0; tries < 3 && err; tries++) {
		seen_free(&s);
		err = read_dir(dir, &s);
	}
	ck_assert_int_eq(err, 0);
	ck_assert_uint_eq(s.n, 500);
	seen_free(&s);
	end_ns();
}
END_TEST

/* One byte of one record must not take the whole mount along. */
START_TEST(a_harmed_root_is_made_anew)
{
	struct seen s = {0};
	struct ns_attr a;
	uint64_t left;
	int err = -1;

	begin_ns(FAKE_SORTED, 1000);
	put("x");
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	settle(ROOT);
	seen_free(&s);
	unmount_ns();
	harm("UPDATE dirs SET state=zeroblob(length(state)) WHERE id=1");
	mount_ns();
	for (int tries = 0; tries < 3 && err; tries++) {
		namespace_look(ns, ROOT, "x", &a, &left);
		seen_free(&s);
		err = read_dir(ROOT, &s);
	}
	ck_assert_int_eq(err, 0);
	ck_assert_uint_eq(s.n, 1);
	seen_free(&s);
	end_ns();
}
END_TEST

START_TEST(a_lost_file_makes_old_numbers_stale)
{
	struct seen s = {0};
	struct ns_attr a;
	char path[600];
	uint64_t left, old;
	int err;

	begin_ns(FAKE_SORTED, 1000);
	put("d/x");
	old = dir_of("d");
	db_path(path, sizeof(path));
	unlink(path);
	ck_assert_int_eq(namespace_look(ns, ROOT, "none", &a, &left), -ENOENT);
	err = read_dir(old, &s);
	ck_assert_msg(err == -ESTALE || (!err && s.n == 1), "%d, %zu names",
		      err, s.n);
	seen_free(&s);
	ck_assert_int_eq(namespace_look(ns, ROOT, "d", &a, &left), 0);
	ck_assert_int_eq(read_dir(a.dir, &s), 0);
	ck_assert_uint_eq(s.n, 1);
	seen_free(&s);
	end_ns();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("namespace_lists");
	TCase *tc = tcase_create("namespace_lists");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 60);
	ADD_ROWS(tc, large_ones_are_cut_and_whole, styles);
	tcase_add_loop_test(tc, names_come_once_while_others_change, 0, 3);
	tcase_add_test(tc, a_hidden_file_comes_once_over_cuts);
	tcase_add_test(tc, another_order_is_read_again);
	tcase_add_loop_test(tc, another_order_is_seen_in_a_later_range, 0, 2);
	tcase_add_test(tc, errors_are_returned_and_not_remembered);
	tcase_add_test(tc, a_listing_that_breaks_off_fails);
	tcase_add_loop_test(tc, a_listing_that_breaks_off_leaves_the_store, 0,
			    2);
	tcase_add_test(tc, stopping_ends_who_waits);
	ADD_ROWS(tc, a_harmed_listing_is_made_anew, harms);
	tcase_add_test(tc, a_harmed_root_is_made_anew);
	tcase_add_test(tc, a_lost_file_makes_old_numbers_stale);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
