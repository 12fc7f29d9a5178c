/* SPDX-License-Identifier: Apache-2.0 */
/* Refreshing one name under a listing that is believed for ever. */
#include "cache/catalog.h"
#include "namespace_fixture.h"

static int refresh(const char *path, bool freeze)
{
	uint64_t files;

	return catalog_refresh(ns, path, freeze, NULL, &files);
}

static int changes;

static void on_change(void *ctx, uint64_t dir, const char *name)
{
	(void)ctx;
	(void)dir;
	(void)name;
	changes++;
}

/* Long after what was learnt of names alone is forgotten. */
static void later(void)
{
	fake_time_pass(3600 * 1000);
}

/* How often the directory shows it so. */
static unsigned int shown(const char *path, const char *name, bool is_dir)
{
	struct seen s = {0};
	unsigned int n;

	ck_assert_int_eq(read_dir(dir_of(path), &s), 0);
	n = times(&s, name, is_dir);
	ck_assert_uint_eq(times(&s, name, !is_dir), 0);
	seen_free(&s);
	return n;
}

static void begin_frozen(void)
{
	char key[64];

	begin_ns(FAKE_SORTED, 1000);
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "data/f%05u", i);
		put(key);
	}
	put("data/sub/x");
	ck_assert_int_eq(refresh("data", true), 0);
	asked();
	changes = 0;
	namespace_on_change(ns, on_change, NULL);
}

START_TEST(a_replaced_file_stays_replaced)
{
	struct ns_attr a;
	struct seen s = {0};
	uint64_t left;

	begin_frozen();
	fake_s3_put(s3, "b", "data/f01234", "\"new\"", 99);
	later();
	ck_assert_int_eq(walk_to("data/f01234", &a), 0);
	ck_assert_uint_ne(a.size, 99);
	ck_assert_int_eq(refresh("data/f01234", false), 0);
	ck_assert_int_gt(changes, 0);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(walk_to("data/f01234", &a), 0);
		ck_assert_uint_eq(a.size, 99);
		ck_assert_str_eq(a.etag, "\"new\"");
		ck_assert_int_eq(read_dir(dir_of("data"), &s), 0);
		ck_assert_uint_eq(s.n, 3001);
		ck_assert_uint_eq(s.recs[1234].size, 99);
		seen_free(&s);
		later();
		if (i == 1) {
			unmount_ns();
			mount_ns();
		}
	}
	/* The others, and that it is frozen, are as before. */
	fake_s3_delete(s3, "b", "data/f00000");
	ck_assert_int_eq(walk_to("data/f00000", &a), 0);
	ck_assert_int_eq(
		namespace_peek(ns, dir_of("data"), "f01234", &a, &left), 0);
	ck_assert(left == FRESH_FOREVER);
	ck_assert_uint_eq(fake_s3_calls(s3).list, 0);
	end_ns();
}
END_TEST

START_TEST(what_is_gone_stays_gone)
{
	struct ns_attr a;
	int before;

	if (_i)
		config.fresh.ttl_ms = FRESH_FOREVER;
	begin_frozen();
	fake_s3_delete(s3, "b", "data/f02999");
	fake_s3_delete(s3, "b", "data/sub/x");
	ck_assert_int_eq(refresh("data/f02999", false), -ENOENT);
	ck_assert_int_eq(refresh("data/sub", false), -ENOENT);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(walk_to("data/f02999", &a), -ENOENT);
		ck_assert_int_eq(walk_to("data/sub", &a), -ENOENT);
		ck_assert_uint_eq(shown("data", "f02999", false), 0);
		ck_assert_uint_eq(shown("data", "sub", true), 0);
		later();
	}
	/* And is there again when it is. */
	put("data/f02999");
	put("data/sub/x");
	ck_assert_int_eq(refresh("data/sub", false), 0);
	ck_assert_int_eq(refresh("data/f02999", false), 0);
	later();
	ck_assert_int_eq(walk_to("data/sub/x", &a), 0);
	ck_assert_int_eq(walk_to("data/f02999", &a), 0);
	ck_assert_uint_eq(shown("data", "f02999", false), 1);
	/* Where nothing is another, nobody is told. */
	before = changes;
	ck_assert_int_eq(refresh("data/f02999", false), 0);
	ck_assert_int_eq(changes, before);
	end_ns();
}
END_TEST

START_TEST(what_is_new_stays)
{
	struct ns_attr a;

	begin_frozen();
	put("data/a");
	put("data/dir/below/x");
	put("data/z");
	later();
	ck_assert_int_eq(walk_to("data/dir", &a), -ENOENT);
	ck_assert_int_eq(refresh("data/dir", false), 0);
	ck_assert_int_eq(refresh("data/a", false), 0);
	ck_assert_int_eq(refresh("data/z", false), 0);
	later();
	ck_assert_int_eq(walk_to("data/dir/below/x", &a), 0);
	ck_assert_int_eq(walk_to("data/a", &a), 0);
	ck_assert_int_eq(walk_to("data/z", &a), 0);
	ck_assert_uint_eq(shown("data", "dir", true), 1);
	ck_assert_uint_eq(shown("data", "a", false), 1);
	ck_assert_uint_eq(shown("data", "z", false), 1);
	ck_assert_uint_eq(shown("data", "f00000", false), 1);
	end_ns();
}
END_TEST

/* ---- any changes, against a listing of the same keys ---- */

static void change_any(char path[64])
{
	char name[16], key[64];

	names_name(name, 1, 2, "ab-.!");
	snprintf(path, 64, "d/%s", name);
	snprintf(key, sizeof(key), "%s%s", path, names_below(2) ? "/x" : "");
	if (names_below(2))
		put(key);
	else
		fake_s3_delete(s3, "b", key);
}

static void compare_with_server(const char *endpoint)
{
	const char *mine = config.endpoint;
	struct seen was = {0}, is = {0};

	later();
	ck_assert_int_eq(read_dir(dir_of("d"), &was), 0);
	unmount_ns();
	config.endpoint = endpoint;
	mount_ns();
	ck_assert_int_eq(read_dir(dir_of("d"), &is), 0);
	settle(dir_of("d"));
	seen_free(&is);
	ck_assert_int_eq(read_dir(dir_of("d"), &is), 0);
	ck_assert_uint_eq(was.n, is.n);
	for (size_t i = 0; i < is.n; i++) {
		const struct rec *r = &is.recs[i];

		ck_assert_msg(times(&was, r->name, r->is_dir) == 1, "%s",
			      r->name);
	}
	seen_free(&was);
	seen_free(&is);
	unmount_ns();
	config.endpoint = mine;
	mount_ns();
}

START_TEST(any_change_is_seen)
{
	char endpoint[32], path[64];

	names_seed(31 + (uint64_t)_i);
	begin_ns(FAKE_SORTED, 7);
	put("d/stays");
	for (int i = 0; i < 40; i++)
		change_any(path);
	ck_assert_int_eq(refresh("d", true), 0);
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 12; i++) {
			int err;

			change_any(path);
			err = refresh(path, false);
			ck_assert_msg(!err || err == -ENOENT, "%s: %d", path,
				      err);
		}
		snprintf(endpoint, sizeof(endpoint), "http://e%d", round);
		compare_with_server(endpoint);
	}
	end_ns();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("amend");
	TCase *tc = tcase_create("amend");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, a_replaced_file_stays_replaced);
	tcase_add_loop_test(tc, what_is_gone_stays_gone, 0, 2);
	tcase_add_test(tc, what_is_new_stays);
	tcase_add_loop_test(tc, any_change_is_seen, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
