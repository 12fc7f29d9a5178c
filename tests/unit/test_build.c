/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of a listing, and segments made of them. */
#include "cache/build.h"

#include <errno.h>

#include "cache/page.h"
#include "names.h"
#include "scratch.h"

static struct store *store;

static void setup(void)
{
	struct store_config cfg = {.source = "test"};
	char folder[200], why[300];

	scratch_make();
	snprintf(folder, sizeof(folder), "%s/s", scratch);
	cfg.folder = folder;
	ck_assert_int_eq(store_open(&cfg, &store, why, sizeof(why)), 0);
	ck_assert_int_eq(store_begin(store), 0);
}

static void teardown(void)
{
	store_abort(store);
	store_close(store);
}

/* ---- pages ---- */

static int take(struct page *p, const char *key, bool is_prefix)
{
	const struct s3_entry e = {.key = key,
				   .is_prefix = is_prefix,
				   .size = strlen(key),
				   .mtime = -1,
				   .etag = "\"e\"",
				   .storage_class = NULL};

	return page_take(p, &e);
}

START_TEST(pages_hold_what_is_under_the_prefix)
{
	struct page p;
	struct rec r;

	page_init(&p, "a/b/", false);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(take(&p, "a/b/", false), 0); /* itself */
		ck_assert_int_eq(take(&p, "a/b", false), 0);
		ck_assert_int_eq(take(&p, "a/c/x", false), 0);
		ck_assert_int_eq(take(&p, "", false), 0);
		ck_assert_int_eq(take(&p, "a/b/z", false), 0);
		ck_assert_int_eq(take(&p, "a/b/y/", true), 0);
		ck_assert_int_eq(take(&p, "a/b/y-", false), 0);
		ck_assert_int_eq(take(&p, "a/b/y", false), 0);
		ck_assert_uint_eq(p.n, 4);
		page_sort(&p);
		ck_assert_str_eq(page_key(&p, 0), "y");
		ck_assert(!p.items[0].is_prefix);
		ck_assert_str_eq(page_key(&p, 1), "y-");
		ck_assert_uint_eq(p.items[2].len, 1);
		ck_assert(p.items[2].is_prefix);
		ck_assert_str_eq(page_key(&p, 3), "z");
		page_rec(&p, 3, "z", 1, false, &r);
		ck_assert_uint_eq(r.size, 5);
		ck_assert_str_eq(r.etag, "\"e\"");
		ck_assert_str_eq(r.storage_class, "");
		ck_assert_int_eq(r.mtime, 0); /* none before 1970 */
		page_clear(&p);
		ck_assert_uint_eq(p.n, 0);
	}
	page_free(&p);
}
END_TEST

START_TEST(long_texts_are_cut)
{
	char etag[400], class[400];
	const struct s3_entry e = {
		.key = "k", .etag = etag, .storage_class = class};
	struct page p;
	struct rec r;

	memset(etag, 'e', sizeof(etag));
	memset(class, 'c', sizeof(class));
	etag[399] = class[399] = '\0';
	page_init(&p, "", false);
	ck_assert_int_eq(page_take(&p, &e), 0);
	page_rec(&p, 0, "k", 1, false, &r);
	ck_assert_uint_eq(strlen(r.etag), S3_ETAG_MAX - 1);
	ck_assert_uint_eq(strlen(r.storage_class), REC_CLASS_MAX - 1);
	page_free(&p);
}
END_TEST

START_TEST(buckets_are_directories)
{
	struct page p;

	page_init(&p, "", true);
	ck_assert_int_eq(take(&p, "one", false), 0);
	ck_assert(p.items[0].is_prefix);
	ck_assert_uint_eq(p.items[0].len, 3);
	page_free(&p);
}
END_TEST

START_TEST(names_are_one_component)
{
	char name[300];

	memset(name, 'n', sizeof(name));
	ck_assert(page_is_name(name, 255));
	ck_assert(!page_is_name(name, 256));
	ck_assert(!page_is_name("", 0));
	ck_assert(!page_is_name(".", 1));
	ck_assert(!page_is_name("..", 2));
	ck_assert(page_is_name("...", 3));
	ck_assert(page_is_name(".a", 2));
	ck_assert(!page_is_name("a/b", 3));
	ck_assert(!page_is_name("/", 1));
}
END_TEST

/* ---- segments ---- */

static struct rec named(const char *name, bool is_dir)
{
	struct rec r = {.len = strlen(name), .is_dir = is_dir};

	memcpy(r.name, name, r.len + 1);
	return r;
}

static int add(struct build *b, const char *name, bool is_dir, struct rec *out)
{
	*out = named(name, is_dir);
	return build_add(b, out);
}

START_TEST(order_is_kept)
{
	struct build b;
	struct rec r, again;

	build_init(&b, store, STORE_ROOT);
	ck_assert_int_eq(add(&b, "b", false, &r), 0);
	ck_assert_int_eq(add(&b, "b", false, &r), 1);
	ck_assert_int_eq(add(&b, "a", false, &r), -ERANGE);
	ck_assert_int_eq(add(&b, "b-", false, &r), 0);
	ck_assert_int_eq(add(&b, "b", true, &r), 0);
	ck_assert_uint_gt(r.dir, STORE_ROOT);
	ck_assert(r.hides);
	ck_assert_int_eq(add(&b, "b", true, &again), 1);
	ck_assert_uint_eq(again.dir, r.dir);
	ck_assert_int_eq(add(&b, "b", false, &r), -ERANGE);
	ck_assert_int_eq(add(&b, "b-", false, &r), -ERANGE);
	ck_assert_int_eq(add(&b, "b0", false, &r), 0);
	ck_assert_uint_eq(b.entries, 4);
	ck_assert_uint_eq(b.flags, STORE_HIDES);
	ck_assert_int_eq(build_flush(&b), 0);
	ck_assert_int_eq(build_flush(&b), 0);
	ck_assert_uint_eq(b.leaves, 1);
	/* The order holds over leaves too. */
	ck_assert_int_eq(add(&b, "b0", false, &r), 1);
	ck_assert_int_eq(add(&b, "a", false, &r), -ERANGE);
}
END_TEST

static bool has_file(const struct rec *recs, unsigned int n, const char *name)
{
	for (unsigned int i = 0; i < n; i++)
		if (!recs[i].is_dir && !strcmp(recs[i].name, name))
			return true;
	return false;
}

/* Each directory knows whether a file of its name came before. */
START_TEST(who_hides_is_known)
{
	static struct rec recs[400];

	names_seed((uint64_t)_i);
	for (int round = 0; round < 50; round++) {
		/* Long ones that begin alike, and short ones. */
		const size_t skip = names_below(2) ? 0 : names_below(245);
		unsigned int hides = 0,
			     n = 200 + (unsigned int)names_below(200);
		struct build b;

		memset(recs, 0, sizeof(recs));
		for (unsigned int i = 0; i < n; i++) {
			memset(recs[i].name, 'a', skip);
			recs[i].len = skip + names_name(recs[i].name + skip, 1,
							4, "a!-.~");
			recs[i].is_dir = names_below(2);
		}
		qsort(recs, n, sizeof(recs[0]), names_by_s3);
		build_init(&b, store, STORE_ROOT);
		for (unsigned int i = 0; i < n; i++) {
			struct rec r = recs[i];
			const bool twice = i &&
					   !names_by_s3(&recs[i - 1], &recs[i]);

			ck_assert_int_eq(build_add(&b, &r), twice);
			if (!r.is_dir || twice)
				continue;
			ck_assert_msg(r.hides == has_file(recs, n, r.name),
				      "%s", r.name);
			hides += r.hides;
			if (names_below(9) == 0)
				ck_assert_int_eq(build_flush(&b), 0);
		}
		ck_assert(!(b.flags & STORE_HIDES) == !hides);
	}
}
END_TEST

START_TEST(leaves_hold_what_was_added)
{
	unsigned char leaf[REC_LEAF_MAX];
	unsigned int seen = 0;
	struct build b;

	build_init(&b, store, STORE_ROOT);
	for (unsigned int i = 0; i < 5000; i++) {
		struct rec r = {.size = i};

		r.len = (size_t)snprintf(r.name, sizeof(r.name), "f%06u", i);
		ck_assert_int_eq(build_add(&b, &r), 0);
	}
	ck_assert_int_eq(build_flush(&b), 0);
	ck_assert_int_eq(store_commit(store), 0);
	for (uint32_t at = 0; at < b.leaves; at++) {
		const int n = store_leaf_get(store, b.snap, at, leaf);
		struct rec_reader r;

		ck_assert_int_gt(n, 0);
		rec_reader_init(&r, leaf, (size_t)n);
		for (; rec_next(&r); seen++)
			ck_assert_uint_eq(r.rec.size, seen);
	}
	ck_assert_uint_eq(seen, 5000);
	ck_assert_int_eq(store_leaf_get(store, b.snap, b.leaves, leaf),
			 -ENOENT);
	ck_assert_int_eq(store_begin(store), 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("build");
	TCase *tc = tcase_create("build");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, pages_hold_what_is_under_the_prefix);
	tcase_add_test(tc, long_texts_are_cut);
	tcase_add_test(tc, buckets_are_directories);
	tcase_add_test(tc, names_are_one_component);
	tcase_add_test(tc, order_is_kept);
	tcase_add_loop_test(tc, who_hides_is_known, 0, 3);
	tcase_add_test(tc, leaves_hold_what_was_added);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
