/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/meta.h"
#include "unit.h"

#define HOUR 3600000

static struct meta *m;

static void open_meta(uint64_t ttl, uint64_t negative)
{
	const struct meta_config cfg = {ttl, negative};

	ck_assert_int_eq(meta_new(&cfg, &m), 0);
}

static void teardown(void)
{
	meta_free(m);
	m = NULL;
}

static void put(const char *path, uint64_t size)
{
	const struct meta_attr a = {.size = size, .etag = "\"e\""};

	meta_put(m, path, &a);
}

static int get(const char *path, uint64_t *size)
{
	struct meta_attr a;
	const int err = meta_get(m, path, &a);

	if (!err)
		*size = a.size;
	return err;
}

/* A directory of n files f000000 ... */
static struct meta_dir *make_dir(unsigned int n)
{
	struct meta_dir *d = calloc(1, sizeof(*d));

	d->refs = 1;
	d->n = n;
	d->entries = calloc(n + 1, sizeof(*d->entries));
	d->text = calloc(n + 1, 8);
	for (unsigned int i = 0; i < n; i++) {
		snprintf(d->text + 8 * i, 8, "f%06u", i);
		d->entries[i] = (struct meta_entry){
			.name = d->text + 8 * i, .etag = "\"x\"", .size = i};
	}
	return d;
}

START_TEST(put_and_get)
{
	uint64_t size = 0;

	open_meta(HOUR, HOUR);
	ck_assert_int_eq(get("a", &size), -EAGAIN);
	put("a", 1);
	ck_assert_int_eq(get("a", &size), 0);
	ck_assert_uint_eq(size, 1);
	put("a", 2);
	ck_assert_int_eq(get("a", &size), 0);
	ck_assert_uint_eq(size, 2);
	meta_put(m, "a", NULL);
	ck_assert_int_eq(get("a", &size), -ENOENT);
	put("a", 3);
	ck_assert_int_eq(get("a", &size), 0);
	meta_forget(m, "a");
	ck_assert_int_eq(get("a", &size), -EAGAIN);
	meta_forget(m, "never known");
}
END_TEST

START_TEST(ttls_are_two)
{
	uint64_t size;

	open_meta(HOUR, 20);
	put("a", 1);
	meta_put(m, "n", NULL);
	usleep(30000);
	ck_assert_int_eq(get("a", &size), 0);
	ck_assert_int_eq(get("n", &size), -EAGAIN);
	teardown();
	open_meta(20, HOUR);
	put("a", 1);
	meta_put(m, "n", NULL);
	meta_dir_put(m, meta_dir_keep(m, "d", make_dir(1)));
	usleep(30000);
	ck_assert_int_eq(get("a", &size), -EAGAIN);
	ck_assert_int_eq(get("n", &size), -ENOENT);
	ck_assert_int_eq(get("d/f000000", &size), -EAGAIN);
	ck_assert_ptr_null(meta_dir_get(m, "d"));
}
END_TEST

START_TEST(listing_of_the_parent_answers)
{
	uint64_t size = 0;

	open_meta(HOUR, HOUR);
	meta_dir_put(m, meta_dir_keep(m, "d/e", make_dir(100)));
	ck_assert_int_eq(get("d/e/f000042", &size), 0);
	ck_assert_uint_eq(size, 42);
	ck_assert_int_eq(get("d/e/f000100", &size), -ENOENT);
	ck_assert_int_eq(get("d/e/", &size), -ENOENT);
	ck_assert_int_eq(get("d/e", &size), -EAGAIN);
	ck_assert_int_eq(get("d/f000042", &size), -EAGAIN);
	ck_assert_int_eq(get("d/e/f000042/x", &size), -EAGAIN);
	/* A name of its own is newer. */
	put("d/e/f000042", 7);
	ck_assert_int_eq(get("d/e/f000042", &size), 0);
	ck_assert_uint_eq(size, 7);
	/* To forget a name is to forget the listing that has it. */
	meta_forget(m, "d/e/f000042");
	ck_assert_int_eq(get("d/e/f000042", &size), -EAGAIN);
	ck_assert_int_eq(get("d/e/f000001", &size), -EAGAIN);
}
END_TEST

START_TEST(listing_of_the_root)
{
	uint64_t size = 0;

	open_meta(HOUR, HOUR);
	meta_dir_put(m, meta_dir_keep(m, "", make_dir(3)));
	ck_assert_int_eq(get("f000002", &size), 0);
	ck_assert_uint_eq(size, 2);
	ck_assert_int_eq(get("f000003", &size), -ENOENT);
}
END_TEST

START_TEST(dirs_are_counted)
{
	struct meta_dir *a, *b;

	open_meta(HOUR, HOUR);
	a = meta_dir_keep(m, "d", make_dir(5));
	b = meta_dir_get(m, "d");
	ck_assert_ptr_eq(a, b);
	/* One that takes its place does not take it from its readers. */
	meta_dir_put(m, meta_dir_keep(m, "d", make_dir(6)));
	ck_assert_uint_eq(a->n, 5);
	ck_assert_str_eq(b->entries[4].name, "f000004");
	meta_dir_put(m, a);
	ck_assert_str_eq(b->entries[4].name, "f000004");
	meta_dir_put(m, b);
	a = meta_dir_get(m, "d");
	ck_assert_uint_eq(a->n, 6);
	/* And outlives the rest. */
	meta_forget(m, "d/f000001");
	ck_assert_ptr_null(meta_dir_get(m, "d"));
	ck_assert_str_eq(a->entries[5].name, "f000005");
	meta_dir_put(m, a);
}
END_TEST

START_TEST(names_are_bounded)
{
	struct meta_stats s;
	uint64_t size;
	char path[16];

	open_meta(HOUR, HOUR);
	for (unsigned int i = 0; i < 70000; i++) {
		snprintf(path, sizeof(path), "n%u", i);
		put(path, i);
	}
	meta_get_stats(m, &s);
	ck_assert_uint_eq(s.names, 65536);
	ck_assert_int_eq(get("n0", &size), -EAGAIN);
	ck_assert_int_eq(get("n4463", &size), -EAGAIN);
	ck_assert_int_eq(get("n4464", &size), 0);
	ck_assert_int_eq(get("n69999", &size), 0);
}
END_TEST

START_TEST(entries_are_bounded)
{
	struct meta_stats s;
	uint64_t size;

	open_meta(HOUR, HOUR);
	for (int i = 0; i < 4; i++) {
		char path[8];

		snprintf(path, sizeof(path), "d%d", i);
		meta_dir_put(m, meta_dir_keep(m, path, make_dir(100000)));
		meta_get_stats(m, &s);
		ck_assert_uint_le(s.entries, 262144);
	}
	ck_assert_uint_eq(s.dirs, 2);
	ck_assert_int_eq(get("d0/f000001", &size), -EAGAIN);
	ck_assert_int_eq(get("d3/f000001", &size), 0);
	/* One that is too large alone is kept, alone. */
	meta_dir_put(m, meta_dir_keep(m, "big", make_dir(300000)));
	meta_get_stats(m, &s);
	ck_assert_uint_eq(s.dirs, 1);
	ck_assert_int_eq(get("big/f299999", &size), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("meta");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, put_and_get);
	tcase_add_test(tc, ttls_are_two);
	tcase_add_test(tc, listing_of_the_parent_answers);
	tcase_add_test(tc, listing_of_the_root);
	tcase_add_test(tc, dirs_are_counted);
	tcase_add_test(tc, names_are_bounded);
	tcase_add_test(tc, entries_are_bounded);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
