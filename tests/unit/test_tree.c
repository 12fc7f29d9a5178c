/* SPDX-License-Identifier: Apache-2.0 */
/* Keys without delimiter against listings of the same directories. */
#include "cache/namespace_int.h"
#include "namespace_fixture.h"

#define KEYS 150

static char keys[KEYS][400];
static unsigned int nkeys;

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void random_keys(unsigned int want)
{
	static const char *const odd[] = {"", ".", "..", "ok"};

	nkeys = 0;
	memset(keys, 0, sizeof(keys));
	for (unsigned int i = 0; i < want; i++) {
		char *p = keys[i];
		const unsigned int depth = 1 + (unsigned int)names_below(5);

		for (unsigned int d = 0; d < depth; d++) {
			if (names_below(12) == 0)
				p = stpcpy(p, odd[names_below(4)]);
			else if (names_below(40) == 0)
				p = (char *)memset(p, 'n', 256) + 256;
			else
				p += names_name(p, 1, 2, "ab-.!");
			*p++ = d + 1 < depth || !names_below(9) ? '/' : '\0';
			if (p - keys[i] > 100)
				break;
		}
		*p = '\0';
	}
	qsort(keys, want, sizeof(keys[0]), by_text);
	for (unsigned int i = 0; i < want; i++)
		if (keys[i][0] && (!nkeys || strcmp(keys[nkeys - 1], keys[i])))
			memmove(keys[nkeys++], keys[i], sizeof(keys[0]));
}

/* The tree's listings into the store, a transaction each few keys. */
static void run_tree(bool with_base)
{
	struct dir *root = dirs_get(ns->dirs, ROOT);
	struct tree *t;
	struct page p;

	page_init(&p, "", false);
	for (unsigned int i = 0; i < nkeys; i++) {
		const struct s3_entry e = {.key = keys[i],
					   .size = strlen(keys[i]),
					   .etag = "\"e\"",
					   .storage_class = ""};

		ck_assert_int_eq(page_take(&p, &e), 0);
	}
	ck_assert_int_eq(tree_new(ns, root, with_base, namespace_now(), 0, &t),
			 0);
	ck_assert_int_eq(store_begin(ns->store), 0);
	for (size_t i = 0; i < p.n; i++) {
		ck_assert_msg(!tree_add(t, &p, i), "%s", page_key(&p, i));
		if (names_below(10))
			continue;
		ck_assert_int_eq(store_commit(ns->store), 0);
		tree_publish(t);
		ck_assert_int_eq(store_begin(ns->store), 0);
	}
	ck_assert_int_eq(tree_end(t), 0);
	ck_assert_int_eq(store_commit(ns->store), 0);
	tree_publish(t);
	tree_free(t);
	page_free(&p);
	dirs_put(ns->dirs, root);
}

/* By the rules of namespace.h, of a path: 1 a file, 2 a directory. */
static int model_of(const char *path)
{
	const size_t n = strlen(path);
	int is = 0;

	for (unsigned int i = 0; i < nkeys; i++) {
		if (!strncmp(keys[i], path, n) && keys[i][n] == '/')
			return 2;
		is |= !strcmp(keys[i], path);
	}
	return is;
}

/* What all keys show in a directory, against its listing. */
static void check_dir(uint64_t id, const char *path)
{
	const size_t n = *path ? strlen(path) + 1 : 0;
	struct seen s = {0};

	ck_assert_msg(!read_dir(id, &s), "%s", path);
	for (unsigned int i = 0; i < nkeys; i++) {
		const char *name = keys[i] + n;
		const size_t len = strlen(keys[i]) < n ? 0 : strcspn(name, "/");
		char want[400], below[400];

		if (!len || (n && (strncmp(keys[i], path, n - 1) != 0 ||
				   keys[i][n - 1] != '/')))
			continue;
		snprintf(want, sizeof(want), "%.*s", (int)len, name);
		snprintf(below, sizeof(below), "%.*s%s", (int)n, keys[i], want);
		ck_assert_msg(times(&s, want, model_of(below) == 2) ==
				      page_is_name(want, len),
			      "\"%s\" in \"%s\"", want, path);
	}
	for (size_t i = 0; i < s.n; i++) {
		char below[400];

		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "",
			 s.recs[i].name);
		ck_assert_msg(model_of(below) == 1 + s.recs[i].is_dir, "%s",
			      below);
		if (s.recs[i].is_dir)
			check_dir(s.recs[i].dir, below);
		else
			ck_assert_uint_eq(s.recs[i].size, strlen(below));
	}
	seen_free(&s);
}

START_TEST(keys_make_all_listings)
{
	for (uint64_t seed = 0; seed < 15; seed++) {
		config.endpoint = (char[]){'e', (char)('a' + seed), '\0'};
		names_seed(seed + 100 * (uint64_t)_i);
		begin_ns(FAKE_SORTED, 1000);
		random_keys(1 + (unsigned int)names_below(KEYS));
		run_tree(true);
		check_dir(ROOT, "");
		/* All of it was there: the server has no such keys. */
		ck_assert_uint_eq(asked(), 0);
		/* The same once more, into what there is now. */
		random_keys(1 + (unsigned int)names_below(KEYS));
		run_tree(true);
		check_dir(ROOT, "");
		ck_assert_uint_eq(asked(), 0);
		end_ns();
	}
}
END_TEST

START_TEST(keys_in_no_order_are_refused)
{
	static const char *const bad[] = {"d/x", "e/y", "d/z"};
	struct page p;
	struct tree *t;
	struct dir *root;
	int err = 0;

	begin_ns(FAKE_SORTED, 1000);
	root = dirs_get(ns->dirs, ROOT);
	page_init(&p, "", false);
	for (int i = 0; i < 3; i++) {
		const struct s3_entry e = {.key = bad[i], .etag = ""};

		ck_assert_int_eq(page_take(&p, &e), 0);
	}
	ck_assert_int_eq(tree_new(ns, root, _i, 5, 0, &t), 0);
	ck_assert_int_eq(store_begin(ns->store), 0);
	for (size_t i = 0; i < 3 && !err; i++)
		err = tree_add(t, &p, i);
	ck_assert_int_eq(err, -ERANGE);
	store_abort(ns->store);
	tree_free(t);
	page_free(&p);
	dirs_put(ns->dirs, root);
	end_ns();
}
END_TEST

/* Given up at any key: what was complete stays, the rest goes. */
START_TEST(a_tree_that_is_given_up_leaves_the_store)
{
	struct dir *root;
	struct tree *t;
	struct page p;
	long long live;

	begin_ns(FAKE_SORTED, 1000);
	root = dirs_get(ns->dirs, ROOT);
	page_init(&p, "", false);
	for (int i = 0; i < 3000; i++) {
		char key[64];
		struct s3_entry e = {.key = key, .etag = ""};

		snprintf(key, sizeof(key), "%s/%04d", i < 10 ? "a" : "b/c", i);
		ck_assert_int_eq(page_take(&p, &e), 0);
	}
	ck_assert_int_eq(tree_new(ns, root, true, namespace_now(), 0, &t), 0);
	for (size_t i = 0; i < p.n; i += 1000) {
		ck_assert_int_eq(store_begin(ns->store), 0);
		for (size_t k = i; k < i + 1000; k++)
			ck_assert_int_eq(tree_add(t, &p, k), 0);
		if (i == 2000) {
			/* Even what ends in a page that is not kept. */
			if (_i)
				ck_assert_int_eq(tree_end(t), 0);
			store_abort(ns->store);
			break;
		}
		ck_assert_int_eq(store_commit(ns->store), 0);
		tree_publish(t);
	}
	live = ask_db("SELECT count(*) FROM snaps WHERE state=1");
	ck_assert_int_gt(live, 0);
	ck_assert_int_gt(ask_db(HALF_MADE), 0);
	tree_free(t);
	ck_assert_int_eq(ask_db(HALF_MADE), 0);
	ck_assert_int_eq(ask_db("SELECT count(*) FROM snaps WHERE state=1"),
			 live);
	page_free(&p);
	dirs_put(ns->dirs, root);
	end_ns();
}
END_TEST

START_TEST(as_deep_as_a_key)
{
	begin_ns(FAKE_SORTED, 1000);
	nkeys = 1;
	for (int i = 0; i < 199; i++)
		memcpy(keys[0] + i * 2, "d/", 3);
	strcat(keys[0], "x");
	run_tree(true);
	check_dir(ROOT, "");
	ck_assert_uint_eq(asked(), 0);
	end_ns();
}
END_TEST

/* A page of such keys is more than a transaction: what is complete in front
 * is seen before the page is. */
START_TEST(a_page_of_deep_keys_comes_in_pieces)
{
	struct dir *root;
	struct ns_attr a;
	struct seen s = {0};
	struct tree *t;
	struct page p;
	uint64_t id;

	begin_ns(FAKE_SORTED, 1000);
	root = dirs_get(ns->dirs, ROOT);
	page_init(&p, "", false);
	nkeys = 30;
	for (unsigned int i = 0; i < nkeys; i++) {
		struct s3_entry e = {.key = keys[i], .etag = ""};

		snprintf(keys[i], sizeof(keys[i]), "%02u/", i);
		for (int d = 0; d < 190; d++)
			strcat(keys[i], "d/");
		strcat(keys[i], "x");
		e.size = strlen(keys[i]);
		ck_assert_int_eq(page_take(&p, &e), 0);
	}
	ck_assert_int_eq(tree_new(ns, root, true, namespace_now(), 0, &t), 0);
	ck_assert_int_eq(tree_begin(t), 0);
	for (size_t i = 0; i < p.n; i++)
		ck_assert_int_eq(tree_add(t, &p, i), 0);
	/* Not yet those of the last keys. */
	ck_assert_int_eq(store_dir_find(ns->store, ROOT, "00", &id), 0);
	ck_assert_int_eq(read_dir(id, &s), 0);
	ck_assert_uint_eq(times(&s, "d", true), 1);
	seen_free(&s);
	ck_assert_int_eq(store_dir_find(ns->store, ROOT, "29", &id), -ENOENT);
	ck_assert_int_eq(tree_end(t), 0);
	ck_assert_int_eq(tree_commit(t, 0), 0);
	tree_free(t);
	page_free(&p);
	dirs_put(ns->dirs, root);
	for (unsigned int i = 0; i < nkeys; i++)
		ck_assert_int_eq(walk_to(keys[i], &a), 0);
	check_dir(ROOT, "");
	ck_assert_uint_eq(asked(), 0);
	end_ns();
}
END_TEST

/* A transaction that cannot begin again is not ended a second time. */
START_TEST(an_error_ends_a_transaction_once)
{
	struct dir *root;
	struct tree *t;

	begin_ns(FAKE_SORTED, 1000);
	root = dirs_get(ns->dirs, ROOT);
	ck_assert_int_eq(tree_new(ns, root, true, namespace_now(), 0, &t), 0);
	ck_assert_int_eq(tree_begin(t), 0);
	ck_assert_int_eq(tree_commit(t, -EIO), -EIO);
	ck_assert_int_eq(tree_commit(t, -EIO), -EIO);
	ck_assert_int_eq(tree_begin(t), 0);
	ck_assert_int_eq(tree_end(t), 0);
	ck_assert_int_eq(tree_commit(t, 0), 0);
	tree_free(t);
	dirs_put(ns->dirs, root);
	end_ns();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tree");
	TCase *tc = tcase_create("tree");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, keys_make_all_listings, 0, 4);
	tcase_add_loop_test(tc, keys_in_no_order_are_refused, 0, 2);
	tcase_add_loop_test(tc, a_tree_that_is_given_up_leaves_the_store, 0, 2);
	tcase_add_test(tc, as_deep_as_a_key);
	tcase_add_test(tc, a_page_of_deep_keys_comes_in_pieces);
	tcase_add_test(tc, an_error_ends_a_transaction_once);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
