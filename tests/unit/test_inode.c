/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of inodes.  Its source is included: two names of one hash are
 * not to be found, so a test plants one under another's number.
 */
#include "fuse_ops/inode.c" /* NOLINT(bugprone-suspicious-include) */

#include "unit.h"

static struct inode_table *t;

static void setup(void)
{
	ck_assert_int_eq(inode_table_new(&t), 0);
}

static void teardown(void)
{
	inode_table_free(t);
}

static struct meta_attr file(const char *etag, uint64_t size)
{
	struct meta_attr a = {.size = size, .mtime = 5};

	snprintf(a.etag, sizeof(a.etag), "%s", etag);
	snprintf(a.storage_class, sizeof(a.storage_class), "GLACIER");
	return a;
}

static const struct meta_attr dir = {.is_dir = true};

START_TEST(root)
{
	struct inode_info i;

	ck_assert_uint_eq(inode_count(t), 1);
	ck_assert_int_eq(inode_get(t, ROOT_INO, &i), 0);
	ck_assert(i.attr.is_dir);
	ck_assert_str_eq(i.path, "");
	ck_assert_uint_eq(inode_number("", &dir), ROOT_INO);
	ck_assert_uint_eq(inode_ref(t, "", &dir), ROOT_INO);
	/* It stays, whatever the kernel forgets. */
	inode_forget(t, ROOT_INO, 1000);
	ck_assert_int_eq(inode_get(t, ROOT_INO, &i), 0);
}
END_TEST

START_TEST(get)
{
	const struct meta_attr a = file("\"e\"", 10);
	const uint64_t ino = inode_ref(t, "d/f", &a);
	struct inode_info i;

	ck_assert_uint_eq(ino, inode_number("d/f", &a));
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	ck_assert_uint_eq(i.ino, ino);
	ck_assert_str_eq(i.path, "d/f");
	ck_assert_str_eq(i.attr.etag, "\"e\"");
	ck_assert_str_eq(i.attr.storage_class, "GLACIER");
	ck_assert_uint_eq(i.attr.size, 10);
	ck_assert_int_eq(i.attr.mtime, 5);
	ck_assert(!i.attr.is_dir);
	ck_assert_int_eq(inode_get(t, ino + 1, &i), -ESTALE);
	ck_assert_int_eq(inode_get(t, 0, &i), -ESTALE);
}
END_TEST

START_TEST(references)
{
	const struct meta_attr a = file("\"e\"", 10);
	const uint64_t ino = inode_ref(t, "f", &a);
	struct inode_info i;

	ck_assert_uint_eq(inode_ref(t, "f", &a), ino);
	ck_assert_uint_eq(inode_ref(t, "f", &a), ino);
	ck_assert_uint_eq(inode_count(t), 2);
	inode_forget(t, ino, 2);
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	inode_forget(t, ino, 1);
	ck_assert_int_eq(inode_get(t, ino, &i), -ESTALE);
	ck_assert_uint_eq(inode_count(t), 1);
	inode_forget(t, ino, 1);
	/* More than there are, all at once. */
	inode_ref(t, "f", &a);
	inode_forget(t, ino, UINT64_MAX);
	ck_assert_uint_eq(inode_count(t), 1);
}
END_TEST

START_TEST(versions_differ)
{
	const struct meta_attr v[] = {file("\"e\"", 10), file("\"f\"", 10),
				      file("\"e\"", 11), file("\"e1\"", 0),
				      dir};
	uint64_t ino[ARRAY_SIZE(v)];

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		ino[i] = inode_ref(t, "name", &v[i]);
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(ino[i], ino[k]);
	}
	ck_assert_uint_eq(inode_count(t), 1 + ARRAY_SIZE(v));
	/* Another place is another number too. */
	ck_assert_uint_ne(inode_number("name", &v[0]),
			  inode_number("names", &v[0]));
	/* A directory is its path alone. */
	ck_assert_uint_eq(inode_number("d", &dir),
			  inode_number("d", &(struct meta_attr){.is_dir = true,
								.size = 7,
								.mtime = 9}));
}
END_TEST

/* Path and ETag are two texts, not one. */
START_TEST(borders_count)
{
	const struct meta_attr a = file("bc", 1), b = file("c", 1);

	ck_assert_uint_ne(inode_number("a", &a), inode_number("ab", &b));
}
END_TEST

START_TEST(same_after_a_remount)
{
	const struct meta_attr a = file("\"e\"", 10);
	const uint64_t ino = inode_ref(t, "f", &a);

	teardown();
	setup();
	inode_ref(t, "other", &a);
	ck_assert_uint_eq(inode_ref(t, "f", &a), ino);
}
END_TEST

/* Plants path under a number that is another's. */
static void plant(uint64_t ino, const char *path, const struct meta_attr *a)
{
	struct inode *i = make(ino, path, a);

	ck_assert_ptr_nonnull(i);
	i->lookups = 1;
	HASH_ADD(hh, t->by_ino, ino, sizeof(i->ino), i);
}

START_TEST(collision)
{
	const struct meta_attr a = file("\"e\"", 10);
	const uint64_t home = inode_number("f", &a);
	struct inode_info i;
	uint64_t ino;

	plant(home, "stranger", &a);
	plant(home + 1, "stranger too", &a);
	ino = inode_ref(t, "f", &a);
	ck_assert_uint_eq(ino, home + 2);
	ck_assert_uint_eq(inode_ref(t, "f", &a), ino);
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	ck_assert_str_eq(i.path, "f");
	ck_assert_int_eq(inode_get(t, home, &i), 0);
	ck_assert_str_eq(i.path, "stranger");
	inode_forget(t, ino, 1);
	ck_assert_int_eq(inode_get(t, ino, &i), 0);
	inode_forget(t, ino, 1);
	ck_assert_int_eq(inode_get(t, ino, &i), -ESTALE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inode");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, root);
	tcase_add_test(tc, get);
	tcase_add_test(tc, references);
	tcase_add_test(tc, versions_differ);
	tcase_add_test(tc, borders_count);
	tcase_add_test(tc, same_after_a_remount);
	tcase_add_test(tc, collision);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
