/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the tree, what is asked of the server and how often. */
#include "namespace_fixture.h"

/* ---- the rules ---- */

START_TEST(keys_are_files_and_slashes_directories)
{
	struct ns_attr a;
	struct seen s = {0};
	char path[NAMESPACE_PATH_MAX + 1];

	begin_ns(FAKE_SORTED, 1000);
	put("file");
	put("d/e/f");
	put("marked/");
	put("dots/./x");
	put("dots/../y");
	put("empty//z");
	ck_assert_int_eq(walk_to("file", &a), 0);
	ck_assert(!a.is_dir);
	ck_assert_uint_eq(a.size, 4);
	ck_assert_int_eq(a.mtime, 1000);
	ck_assert_int_eq(walk_to("d/e/f", &a), 0);
	ck_assert_uint_eq(a.size, 5);
	ck_assert_int_eq(walk_to("d/e/g", &a), -ENOENT);
	ck_assert_int_eq(walk_to("dd", &a), -ENOENT);
	ck_assert_int_eq(namespace_path(ns, dir_of("d/e"), "f", path), 0);
	ck_assert_str_eq(path, "d/e/f");
	ck_assert_int_eq(namespace_path(ns, dir_of("d/e"), NULL, path), 0);
	ck_assert_str_eq(path, "d/e");
	ck_assert_int_eq(read_dir(dir_of("marked"), &s), 0);
	ck_assert_uint_eq(s.n, 0);
	seen_free(&s);
	ck_assert_int_eq(read_dir(dir_of("dots"), &s), 0);
	ck_assert_uint_eq(s.n, 0);
	seen_free(&s);
	ck_assert_int_eq(read_dir(dir_of("empty"), &s), 0);
	ck_assert_uint_eq(s.n, 0);
	seen_free(&s);
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 5);
	ck_assert_uint_eq(times(&s, "file", false), 1);
	ck_assert_uint_eq(times(&s, "marked", true), 1);
	seen_free(&s);
	ck_assert_int_eq(namespace_path(ns, 12345, NULL, path), -ESTALE);
	ck_assert_int_eq(read_dir(12345, &s), -ESTALE);
	end_ns();
}
END_TEST

/* More than 255 bytes have no path, whether listed or looked for. */
START_TEST(long_names_are_not_shown)
{
	char key[S3_KEY_MAX + 1], name[300];
	struct ns_attr a;
	struct seen s = {0};
	uint64_t left;
	int err;

	begin_ns(FAKE_SORTED, 1000);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	put(name);
	snprintf(key, sizeof(key), "%s/below", name);
	put(key);
	name[255] = '\0';
	put(name);
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 1);
	ck_assert_uint_eq(times(&s, name, false), 1);
	seen_free(&s);
	unmount_ns();
	config.folder = NULL;
	mount_ns();
	name[255] = 'n';
	err = namespace_look(ns, ROOT, name, &a, &left);
	ck_assert_msg(err == -ENOENT || err == -ENAMETOOLONG, "%d", err);
	name[255] = '\0';
	ck_assert_int_eq(namespace_look(ns, ROOT, name, &a, &left), 0);
	end_ns();
}
END_TEST

START_TEST(buckets_are_directories)
{
	struct ns_attr a;
	struct seen s = {0};
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];

	config.bucket = "";
	begin_ns(FAKE_SORTED, 1000);
	fake_s3_put(s3, "one", "x/y", "\"e\"", 5);
	fake_s3_put(s3, "two", "z", "\"e\"", 6);
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 2);
	ck_assert_uint_eq(times(&s, "one", true), 1);
	ck_assert_uint_eq(times(&s, "two", true), 1);
	seen_free(&s);
	ck_assert_int_eq(walk_to("one/x/y", &a), 0);
	ck_assert_uint_eq(a.size, 5);
	ck_assert_int_eq(walk_to("three", &a), -ENOENT);
	ck_assert_int_eq(read_dir(dir_of("two"), &s), 0);
	ck_assert_uint_eq(s.n, 1);
	ck_assert_uint_eq(times(&s, "z", false), 1);
	seen_free(&s);
	ck_assert_int_eq(namespace_resolve(ns, "one/x/y", bucket, key), 0);
	ck_assert_str_eq(bucket, "one");
	ck_assert_str_eq(key, "x/y");
	ck_assert_int_eq(namespace_resolve(ns, "one", bucket, key), 0);
	ck_assert_str_eq(key, "");
	end_ns();
}
END_TEST

START_TEST(a_prefix_is_the_root)
{
	struct ns_attr a;
	struct seen s = {0};
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	char path[S3_KEY_MAX + 1];

	config.prefix = "p/q/";
	begin_ns(FAKE_SORTED, 1000);
	put("p/q/in");
	put("p/q/d/x");
	put("p/qout");
	put("p/out");
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 2);
	seen_free(&s);
	ck_assert_int_eq(walk_to("d/x", &a), 0);
	ck_assert_int_eq(walk_to("out", &a), -ENOENT);
	ck_assert_int_eq(namespace_resolve(ns, "d/x", bucket, key), 0);
	ck_assert_str_eq(key, "p/q/d/x");
	memset(path, 'x', S3_KEY_MAX - 4);
	path[S3_KEY_MAX - 4] = '\0';
	ck_assert_int_eq(namespace_resolve(ns, path, bucket, key), 0);
	strcat(path, "x");
	ck_assert_int_eq(namespace_resolve(ns, path, bucket, key),
			 -ENAMETOOLONG);
	end_ns();
}
END_TEST

/* ---- any keys against a model ---- */

#define KEYS 60

static char keys[KEYS][64];

static void random_keys(void)
{
	static const char alphabet[] = "ab-.!";

	for (int i = 0; i < KEYS; i++) {
		char *p = keys[i];
		const unsigned int depth = 1 + (unsigned int)names_below(4);

		for (unsigned int d = 0; d < depth; d++) {
			p += names_name(p, 1, 3, alphabet);
			*p++ = d + 1 < depth || !names_below(9) ? '/' : '\0';
		}
		*p = '\0';
		put(keys[i]);
	}
}

/* What a path must be: 1 a file, 2 a directory, 0 nothing. */
static int model_of(const char *path)
{
	const size_t n = strlen(path);
	int is = 0;

	for (int i = 0; i < KEYS; i++) {
		if (!strncmp(keys[i], path, n) && keys[i][n] == '/')
			return 2;
		is |= !strcmp(keys[i], path);
	}
	return is;
}

/* Listings that are being made have a test of their own for types. */
static bool types_too;
static int seed_now;

static void check_tree(uint64_t dir, const char *path);

static void check_entries(const struct seen *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct rec *r = &s->recs[i];
		char below[400];

		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "",
			 r->name);
		ck_assert_msg(model_of(below), "%s is nothing", below);
		ck_assert_msg(!types_too || model_of(below) == 1 + r->is_dir,
			      "%s as %d", below, r->is_dir);
		ck_assert_msg(times(s, r->name, r->is_dir) == 1, "%s twice",
			      below);
		if (model_of(below) == 2)
			check_tree(dir_of(below), below);
		else
			ck_assert_uint_eq(r->size, strlen(below));
	}
}

/* Each name of the model in the directory has come. */
static void check_tree(uint64_t dir, const char *path)
{
	const size_t n = strlen(path);
	struct seen s = {.max = names_below(3)};
	const int err = read_dir(dir, &s);

	ck_assert_msg(!err, "\"%s\": %d", path, err);
	settle(dir);
	for (int i = 0; i < KEYS; i++) {
		const char *name = keys[i] + n + (n > 0);
		unsigned int count;
		char want[64];

		if (strncmp(keys[i], path, n) != 0 || (n && keys[i][n] != '/'))
			continue;
		snprintf(want, sizeof(want), "%.*s", (int)strcspn(name, "/"),
			 name);
		if (!*want)
			continue;
		count = times(&s, want, true) + times(&s, want, false);
		if (!types_too && count == 2 && times(&s, want, true) == 1)
			count = 1;
		ck_assert_msg(count == 1, "seed %d: \"%s\" has %s %u times",
			      seed_now, path, want, count);
	}
	check_entries(&s, path);
	seen_free(&s);
}

static void check_looks(void)
{
	for (int i = 0; i < KEYS; i++) {
		char path[64];
		struct ns_attr a;

		snprintf(path, sizeof(path), "%s", keys[i]);
		if (path[strlen(path) - 1] == '/')
			path[strlen(path) - 1] = '\0';
		for (;;) {
			char *slash;
			const int is = model_of(path);
			const int err = walk_to(path, &a);

			if (is) {
				ck_assert_msg(!err, "%s: %d", path, err);
				ck_assert_msg(a.is_dir == (is == 2), "%s",
					      path);
			}
			slash = strrchr(path, '/');
			if (!slash)
				break;
			*slash = '\0';
		}
	}
}

static const struct {
	enum fake_order order;
	unsigned int page;
} servers[] = {{FAKE_SORTED, 1000}, {FAKE_SORTED, 3},     {FAKE_SORTED, 1},
	       {FAKE_SPLIT, 1000},  {FAKE_SPLIT, 4},      {FAKE_TWICE, 1000},
	       {FAKE_TWICE, 3},     {FAKE_REVERSED, 1000}};

START_TEST(any_tree_is_shown)
{
	for (uint64_t seed = 0; seed < 12; seed++) {
		seed_now = (int)seed;
		names_seed(seed * 100 + (uint64_t)_i);
		config.folder = seed % 2 ? folder : NULL;
		config.endpoint = (char[]){'e', (char)('a' + seed), '\0'};
		begin_ns(servers[_i].order, servers[_i].page);
		random_keys();
		if (seed % 3 == 0)
			check_looks();
		types_too = false;
		check_tree(ROOT, "");
		check_looks();
		types_too = true;
		check_tree(ROOT, "");
		end_ns();
	}
}
END_TEST

/* Where `a` stands beside `a/b`, it is the directory: whichever is looked at
 * first, and also for whom the listing is made. */
START_TEST(a_hidden_file_is_never_shown)
{
	struct ns_attr a;
	struct seen s = {0};

	begin_ns(FAKE_SORTED, 1000);
	put("a");
	put("a-x");
	put("a/b");
	if (_i)
		ck_assert_int_eq(walk_to("a", &a), 0);
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 2);
	ck_assert_uint_eq(times(&s, "a-x", false), 1);
	ck_assert_uint_eq(times(&s, "a", false), 0);
	ck_assert_uint_eq(times(&s, "a", true), 1);
	seen_free(&s);
	ck_assert_int_eq(walk_to("a/b", &a), 0);
	end_ns();
}
END_TEST

/* A server of another order that answers in pages. */
START_TEST(another_order_is_sorted)
{
	struct seen s = {0};

	begin_ns(FAKE_REVERSED, 10);
	for (int i = 0; i < 95; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key%02d", i);
		put(key);
	}
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 95);
	seen_free(&s);
	end_ns();
}
END_TEST

/* ---- what is asked ---- */

START_TEST(what_is_known_is_not_asked_again)
{
	struct ns_attr a;
	struct seen s = {0};
	uint64_t left, dir;

	begin_ns(FAKE_SORTED, 1000);
	put("d/x");
	put("d/y");
	dir = dir_of("d");
	ck_assert_uint_eq(asked(), 1);
	ck_assert_uint_eq(dir_of("d"), dir);
	ck_assert_uint_eq(asked(), 0);
	ck_assert_int_eq(namespace_peek(ns, dir, "x", &a, &left), -EAGAIN);
	ck_assert_int_eq(read_dir(dir, &s), 0);
	seen_free(&s);
	settle(dir);
	ck_assert_uint_eq(asked(), 1);
	ck_assert_int_eq(read_dir(dir, &s), 0);
	seen_free(&s);
	ck_assert_int_eq(walk_to("d/x", &a), 0);
	ck_assert_int_eq(walk_to("d/none", &a), -ENOENT);
	ck_assert_int_eq(namespace_peek(ns, dir, "x", &a, &left), 0);
	ck_assert_uint_gt(left, 50000);
	ck_assert_uint_le(left, 60000);
	ck_assert_int_eq(namespace_peek(ns, dir, "no", &a, &left), -ENOENT);
	ck_assert_int_eq(namespace_peek(ns, 999, "no", &a, &left), -ESTALE);
	ck_assert_uint_eq(asked(), 0);
	fake_time_pass(61000);
	ck_assert_int_eq(namespace_peek(ns, dir, "x", &a, &left), -EAGAIN);
	ck_assert_int_eq(walk_to("d/x", &a), 0);
	ck_assert_uint_eq(asked(), 2);
	ck_assert_int_eq(read_dir(dir, &s), 0);
	ck_assert_uint_eq(asked(), 1);
	seen_free(&s);
	end_ns();
}
END_TEST

START_TEST(missing_names_are_believed_for_less_long)
{
	struct ns_attr a;
	uint64_t left;

	begin_ns(FAKE_SORTED, 1000);
	put("there");
	ck_assert_int_eq(namespace_look(ns, ROOT, "none", &a, &left), -ENOENT);
	ck_assert_uint_le(left, 5000);
	ck_assert_int_eq(namespace_peek(ns, ROOT, "none", &a, &left), -ENOENT);
	ck_assert_uint_le(left, 5000);
	fake_time_pass(5100);
	ck_assert_int_eq(namespace_peek(ns, ROOT, "none", &a, &left), -EAGAIN);
	put("none");
	ck_assert_int_eq(namespace_look(ns, ROOT, "none", &a, &left), 0);
	end_ns();
}
END_TEST

/* s3rdmafs.yaml(5): negative_ttl is how long a missing name is believed to be
 * missing; and namespace_look says so of it too. */
START_TEST(missing_names_are_not_believed_for_ever)
{
	struct ns_attr a;
	uint64_t left;

	config.fresh.ttl_ms = FRESH_FOREVER;
	begin_ns(FAKE_SORTED, 1000);
	put("there");
	ck_assert_int_eq(namespace_look(ns, ROOT, "none", &a, &left), -ENOENT);
	ck_assert_uint_le(left, 5000);
	put("none");
	fake_time_pass(3600 * 1000);
	ck_assert_int_eq(namespace_look(ns, ROOT, "none", &a, &left), 0);
	end_ns();
}
END_TEST

START_TEST(for_ever_is_for_ever_over_a_remount)
{
	struct ns_attr a, b;
	struct seen s = {0};
	unsigned char key[16];
	uint64_t left;

	config.fresh.ttl_ms = FRESH_FOREVER;
	begin_ns(FAKE_SORTED, 10);
	for (int i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d/%03d", i);
		put(name);
	}
	put("single/x");
	ck_assert_int_eq(read_dir(dir_of("d"), &s), 0);
	ck_assert_uint_eq(s.n, 100);
	seen_free(&s);
	ck_assert_int_eq(walk_to("single/x", &a), 0);
	memcpy(key, namespace_hash_key(ns), 16);
	unmount_ns();
	asked();
	fake_time_pass(1000LL * 86400 * 400);
	mount_ns();
	ck_assert_mem_eq(key, namespace_hash_key(ns), 16);
	ck_assert_int_eq(read_dir(dir_of("d"), &s), 0);
	ck_assert_uint_eq(s.n, 100);
	seen_free(&s);
	ck_assert_int_eq(walk_to("single/x", &b), 0);
	ck_assert_str_eq(a.etag, b.etag);
	ck_assert_int_eq(namespace_revalidate(ns, dir_of("single"), "x", &b),
			 0);
	ck_assert_int_eq(namespace_peek(ns, dir_of("d"), "050", &b, &left), 0);
	ck_assert(left == FRESH_FOREVER);
	ck_assert_uint_eq(asked(), 0);
	end_ns();
}
END_TEST

START_TEST(trusted_names_cost_one_head)
{
	struct fake_calls c;
	struct ns_attr a;
	uint64_t left;

	config.fresh.rules[0] = (struct fresh_rule){"data/set/", 60000, true};
	config.fresh.n = 1;
	begin_ns(FAKE_SORTED, 1000);
	put("data/set/x");
	put("data/set/deep/y");
	ck_assert_int_eq(walk_to("data/set", &a), 0);
	ck_assert(a.is_dir);
	ck_assert_uint_eq(asked(), 0);
	ck_assert_int_eq(walk_to("data/set/x", &a), 0);
	ck_assert_uint_eq(a.size, 10);
	c = fake_s3_calls(s3);
	ck_assert_uint_eq(c.head, 1);
	ck_assert_uint_eq(c.look + c.list, 0);
	/* Where nobody can wait for what a name is used as, a directory costs
	 * a small listing, and so does a missing name. */
	ck_assert_int_eq(walk_to("data/set/none", &a), -ENOENT);
	ck_assert_int_eq(walk_to("data/set/deep", &a), 0);
	ck_assert(a.is_dir);
	c = fake_s3_calls(s3);
	ck_assert_uint_eq(c.head, 2);
	ck_assert_uint_eq(c.look, 0);
	ck_assert_uint_eq(c.list, 2);
	ck_assert_int_eq(walk_to("data/set/x", &a), 0);
	ck_assert_int_eq(namespace_peek(ns, dir_of("data/set"), "x", &a, &left),
			 0);
	ck_assert_uint_eq(asked(), 0);
	ck_assert_int_eq(walk_to("data/setx", &a), -ENOENT);
	c = fake_s3_calls(s3);
	ck_assert_uint_eq(c.look, 1);
	end_ns();
}
END_TEST

START_TEST(opening_asks_what_there_is_now)
{
	struct ns_attr a;
	struct seen s = {0};
	uint64_t left;

	begin_ns(FAKE_SORTED, 1000);
	put("x");
	put("y");
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	seen_free(&s);
	settle(ROOT);
	asked();
	ck_assert_int_eq(namespace_revalidate(ns, ROOT, "x", &a), 0);
	ck_assert_uint_eq(asked(), 1);
	fake_s3_put(s3, "b", "x", "\"new\"", 99);
	fake_time_pass(10);
	ck_assert_int_eq(namespace_revalidate(ns, ROOT, "x", &a), 0);
	ck_assert_str_eq(a.etag, "\"new\"");
	ck_assert_uint_eq(a.size, 99);
	asked();
	/* Which is now what is known. */
	ck_assert_int_eq(namespace_peek(ns, ROOT, "x", &a, &left), 0);
	ck_assert_str_eq(a.etag, "\"new\"");
	fake_s3_delete(s3, "b", "x");
	fake_time_pass(10);
	ck_assert_int_eq(namespace_revalidate(ns, ROOT, "x", &a), -ENOENT);
	ck_assert_int_eq(namespace_peek(ns, ROOT, "x", &a, &left), -ENOENT);
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 1);
	seen_free(&s);
	end_ns();
}
END_TEST

static const char *text_in(json_t *note, const char *group, const char *name)
{
	return json_string_value(
		json_object_get(json_object_get(note, group), name));
}

/* Metadata and tags are asked for once, and are of the version asked for. */
START_TEST(attributes_are_asked_for)
{
	struct ns_attr d, x;
	uint64_t left;
	json_t *note;

	begin_ns(FAKE_SORTED, 100000);
	put("d/x");
	ck_assert_int_eq(namespace_look(ns, ROOT, "d", &d, &left), 0);
	ck_assert_int_eq(namespace_look(ns, d.dir, "x", &x, &left), 0);
	asked();
	ck_assert_int_eq(namespace_note(ns, d.dir, "x", x.etag, true, &note),
			 0);
	ck_assert_str_eq(text_in(note, "meta", "color"), "red");
	ck_assert_str_eq(text_in(note, "tags", "Kind"), "test");
	ck_assert_str_eq(json_string_value(json_object_get(note, "type")),
			 "text/plain");
	json_decref(note);
	ck_assert_uint_gt(asked(), 0);
	ck_assert_int_eq(namespace_note(ns, d.dir, "x", x.etag, true, &note),
			 0);
	ck_assert_str_eq(text_in(note, "meta", "color"), "red");
	json_decref(note);
	ck_assert_uint_eq(asked(), 0);
	ck_assert_int_eq(
		namespace_note(ns, d.dir, "x", "\"other\"", false, &note),
		-ESTALE);
	ck_assert_int_eq(namespace_note(ns, d.dir, "z", "\"z\"", false, &note),
			 -ENOENT);
	end_ns();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("namespace");
	TCase *tc = tcase_create("namespace");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, keys_are_files_and_slashes_directories);
	tcase_add_test(tc, long_names_are_not_shown);
	tcase_add_test(tc, buckets_are_directories);
	tcase_add_test(tc, a_prefix_is_the_root);
	ADD_ROWS(tc, any_tree_is_shown, servers);
	tcase_add_loop_test(tc, a_hidden_file_is_never_shown, 0, 2);
	tcase_add_test(tc, another_order_is_sorted);
	tcase_add_test(tc, what_is_known_is_not_asked_again);
	tcase_add_test(tc, missing_names_are_believed_for_less_long);
	tcase_add_test(tc, missing_names_are_not_believed_for_ever);
	tcase_add_test(tc, for_ever_is_for_ever_over_a_remount);
	tcase_add_test(tc, trusted_names_cost_one_head);
	tcase_add_test(tc, opening_asks_what_there_is_now);
	tcase_add_test(tc, attributes_are_asked_for);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
