/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_ops/inode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#define MANY 40000 /* more than are remembered */

static const unsigned char key[16] = "0123456789abcdef";
static struct inode_table *t;

static void setup(void)
{
	ck_assert_int_eq(inode_table_new(key, &t), 0);
}

static void teardown(void)
{
	inode_table_free(t);
}

static struct ns_attr file(uint64_t size, const char *etag)
{
	struct ns_attr a = {.size = size, .mtime = 5};

	snprintf(a.etag, sizeof(a.etag), "%s", etag);
	snprintf(a.storage_class, sizeof(a.storage_class), "GLACIER");
	return a;
}

START_TEST(a_number_is_one_version)
{
	const unsigned char other[16] = "0123456789abcdeg";
	const struct ns_attr a = file(1, "\"e\""), b = file(2, "\"e\""),
			     c = file(1, "\"f\"");
	const struct ns_attr d = {.is_dir = true, .dir = 77};
	const uint64_t ino = inode_number(t, 3, "x", &a);
	struct inode_table *u;

	ck_assert_uint_eq(inode_number(t, 3, "x", &a), ino);
	ck_assert_uint_ne(inode_number(t, 3, "x", &b), ino);
	ck_assert_uint_ne(inode_number(t, 3, "x", &c), ino);
	ck_assert_uint_ne(inode_number(t, 4, "x", &a), ino);
	ck_assert_uint_ne(inode_number(t, 3, "y", &a), ino);
	ck_assert_uint_eq(inode_number(t, 3, "x", &d), 77);
	ck_assert_uint_eq(inode_count(t), 0);
	/* After a remount it is the same, for another source another. */
	ck_assert_int_eq(inode_table_new(key, &u), 0);
	ck_assert_uint_eq(inode_number(u, 3, "x", &a), ino);
	inode_table_free(u);
	ck_assert_int_eq(inode_table_new(other, &u), 0);
	ck_assert_uint_ne(inode_number(u, 3, "x", &a), ino);
	inode_table_free(u);
}
END_TEST

/* What ends one text must not run into the next. */
START_TEST(texts_do_not_run_together)
{
	const struct ns_attr a = file(1, "bc"), b = file(1, "c");

	ck_assert_uint_ne(inode_number(t, 3, "a", &a),
			  inode_number(t, 3, "ab", &b));
}
END_TEST

START_TEST(what_was_noted_is_got)
{
	const struct ns_attr a = file(1, "\"e\"");
	const uint64_t ino = inode_note(t, 3, "name", &a);
	struct inode_info i;

	ck_assert_uint_eq(ino, inode_number(t, 3, "name", &a));
	ck_assert_uint_eq(inode_note(t, 3, "name", &a), ino);
	ck_assert_uint_eq(inode_count(t), 1);
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	ck_assert_uint_eq(i.ino, ino);
	ck_assert_uint_eq(i.dir, 3);
	ck_assert_str_eq(i.name, "name");
	ck_assert(!i.attr.is_dir);
	ck_assert_uint_eq(i.attr.size, 1);
	ck_assert_int_eq(i.attr.mtime, 5);
	ck_assert_str_eq(i.attr.etag, "\"e\"");
	ck_assert_str_eq(i.attr.storage_class, "GLACIER");
	ck_assert_int_eq(inode_get(t, ino + 1, &i), -ESTALE);
	ck_assert_int_eq(inode_get(t, 1234, &i), 0);
	ck_assert(i.attr.is_dir);
	ck_assert_uint_eq(i.attr.dir, 1234);
	ck_assert_str_eq(i.name, "");
}
END_TEST

START_TEST(longest_texts)
{
	struct ns_attr a = file(1, "");
	struct inode_info i;
	char name[256];
	uint64_t ino;

	memset(name, 'n', 255);
	name[255] = '\0';
	memset(a.etag, 'e', sizeof(a.etag) - 1);
	memset(a.storage_class, 'c', sizeof(a.storage_class) - 1);
	a.storage_class[sizeof(a.storage_class) - 1] = '\0';
	ino = inode_note(t, 3, name, &a);
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	ck_assert_str_eq(i.name, name);
	ck_assert_str_eq(i.attr.etag, a.etag);
	ck_assert_str_eq(i.attr.storage_class, a.storage_class);
}
END_TEST

/* The same bytes put again have another time: what was noted last counts. */
START_TEST(the_last_note_counts)
{
	struct ns_attr a = file(1, "\"e\"");
	const uint64_t ino = inode_note(t, 3, "x", &a);
	struct inode_info i;

	a.mtime = 99;
	strcpy(a.storage_class, "STANDARD_IA");
	ck_assert_uint_eq(inode_note(t, 3, "x", &a), ino);
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	ck_assert_int_eq(i.attr.mtime, 99);
	ck_assert_str_eq(i.attr.storage_class, "STANDARD_IA");
}
END_TEST

static uint64_t note_numbered(unsigned int at)
{
	const struct ns_attr a = file(at, "\"e\"");
	char name[16];

	snprintf(name, sizeof(name), "n%u", at);
	return inode_note(t, 3, name, &a);
}

START_TEST(those_used_last_are_remembered)
{
	struct inode_info open, i;
	uint64_t first = note_numbered(0), used = note_numbered(1), last = 0;

	ck_assert_int_eq(inode_get(t, first, &open), 0);
	ck_assert_int_eq(inode_pin(t, &open), 0);
	for (unsigned int at = 2; at < MANY; at++) {
		last = note_numbered(at);
		ck_assert_uint_ne(last, 0);
		ck_assert_uint_eq(note_numbered(1), used);
	}
	ck_assert_uint_lt(inode_count(t), MANY - 1000);
	ck_assert_int_eq(inode_get(t, first, &i), 0); /* it is open */
	ck_assert_int_eq(inode_get(t, used, &i), 0);
	ck_assert_int_eq(inode_get(t, last, &i), 0);
	ck_assert_int_eq(inode_get(t, note_numbered(MANY), &i), 0);
	inode_unpin(t, first);
	for (unsigned int at = 2; at < MANY; at++)
		note_numbered(at);
	ck_assert_int_eq(inode_get(t, first, &i), -ESTALE);
}
END_TEST

START_TEST(pins_are_counted)
{
	struct inode_info i, gone;
	const uint64_t ino = note_numbered(0);

	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	for (int k = 0; k < 3; k++)
		ck_assert_int_eq(inode_pin(t, &i), 0);
	ck_assert_uint_eq(note_numbered(0), ino);
	inode_unpin(t, ino);
	inode_unpin(t, ino);
	for (unsigned int at = 1; at < MANY; at++)
		note_numbered(at);
	ck_assert_int_eq(inode_get(t, ino, &gone), 0);
	inode_unpin(t, ino);
	for (unsigned int at = 1; at < MANY; at++)
		note_numbered(at);
	ck_assert_int_eq(inode_get(t, ino, &gone), -ESTALE);
	/* One that was forgotten can be opened by who has a copy. */
	ck_assert_int_eq(inode_pin(t, &i), 0);
	ck_assert_int_eq(inode_get(t, ino, &gone), 0);
	ck_assert_str_eq(gone.name, "n0");
	inode_unpin(t, ino);
	inode_unpin(t, 999999);
}
END_TEST

START_TEST(another_of_that_number_is_stale)
{
	struct inode_info i;
	const uint64_t ino = note_numbered(0);

	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	i.attr.size++;
	ck_assert_int_eq(inode_pin(t, &i), -ESTALE);
	i.attr.size--;
	strcpy(i.name, "other");
	ck_assert_int_eq(inode_pin(t, &i), -ESTALE);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("inode");
	TCase *tc = tcase_create("inode");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, a_number_is_one_version);
	tcase_add_test(tc, texts_do_not_run_together);
	tcase_add_test(tc, what_was_noted_is_got);
	tcase_add_test(tc, longest_texts);
	tcase_add_test(tc, the_last_note_counts);
	tcase_add_test(tc, those_used_last_are_remembered);
	tcase_add_test(tc, pins_are_counted);
	tcase_add_test(tc, another_of_that_number_is_stale);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
