/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "cache/namespace.h"
#include "fake_s3.h"
#include "unit.h"

#define LONG255                                                                \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static const struct fake_object objects[] = {
	{"b", "z", "\"z\"", 26},
	{"b", "a", "\"a\"", 1}, /* hidden by a/ */
	{"b", "a/b", "\"ab\"", 2},
	{"b", "a-c", "\"ac\"", 3},
	{"b", "dir/", "\"m\"", 0}, /* a marker */
	{"b", "dir/x", "\"x\"", 4},
	{"b", "dir/sub/y", "\"y\"", 5},
	{"b", "empty/", "\"m\"", 0},
	{"b", "deep/er/file", "\"d\"", 6},
	{"b", "", "\"none\"", 0},
	{"b", "/lead", "\"l\"", 1},
	{"b", "odd//x", "\"o\"", 1},
	{"b", "odd/./x", "\"o\"", 1},
	{"b", "odd/../x", "\"o\"", 1},
	{"b", "odd/ok", "\"o\"", 7},
	{"b", ".", "\"o\"", 1},
	{"b", "..", "\"o\"", 1},
	{"b", "...", "\"o\"", 3},
	{"b", LONG255, "\"long\"", 255},
	{"b", LONG255 "n", "\"long\"", 256},
	{"b", "new\nline", "\"n\"", 8},
	{"b", "foreign/x", "\"f\"", 1},
	{"b2", "k", "\"k\"", 9},
	{NULL, NULL, NULL, 0},
};

static struct s3 *s3;
static struct namespace *ns;

static void open_ns(const char *bucket, const char *prefix, uint64_t ttl)
{
	const struct namespace_config cfg = {
		.bucket = bucket,
		.prefix = prefix,
		.meta = {.ttl_ms = ttl, .negative_ttl_ms = ttl}};

	log_set_level(LOG_LEVEL_ERROR);
	s3 = fake_s3_new(objects);
	ck_assert_int_eq(namespace_new(&cfg, s3, &ns), 0);
}

static void setup(void)
{
	open_ns("b", "", 3600000);
}

static void teardown(void)
{
	namespace_free(ns);
	fake_s3_free(s3);
}

static void reopen(const char *bucket, const char *prefix, uint64_t ttl)
{
	teardown();
	open_ns(bucket, prefix, ttl);
}

static unsigned int calls(void)
{
	const struct fake_calls c = fake_s3_calls(s3);

	return c.head + c.look + c.list;
}

static const struct {
	const char *path;
	int err;
	bool is_dir;
	uint64_t size;
	const char *etag;
} looks[] = {
	{"", 0, true, 0, ""},
	{"z", 0, false, 26, "\"z\""},
	{"a", 0, true, 0, ""},
	{"a/b", 0, false, 2, "\"ab\""},
	{"a-c", 0, false, 3, "\"ac\""},
	{"dir", 0, true, 0, ""},
	{"dir/sub", 0, true, 0, ""},
	{"dir/sub/y", 0, false, 5, "\"y\""},
	{"empty", 0, true, 0, ""},
	{"deep", 0, true, 0, ""},
	{"deep/er/file", 0, false, 6, "\"d\""},
	{"nothing", -ENOENT, false, 0, ""},
	{"dir/nothing", -ENOENT, false, 0, ""},
	{"zz", -ENOENT, false, 0, ""},
	{"di", -ENOENT, false, 0, ""},
};

/* By itself, and after the directory was listed. */
START_TEST(look)
{
	char parent[64] = "";
	const char *slash = strrchr(looks[_i].path, '/');
	struct meta_dir *d;
	unsigned int before;

	for (int listed = 0; listed < 2; listed++) {
		struct meta_attr a = {0};

		ck_assert_msg(namespace_look(ns, looks[_i].path, &a) ==
				      looks[_i].err,
			      "%s", looks[_i].path);
		if (!looks[_i].err) {
			ck_assert_int_eq(a.is_dir, looks[_i].is_dir);
			ck_assert_uint_eq(a.size, looks[_i].size);
			ck_assert_str_eq(a.etag, looks[_i].etag);
		}
		/* The second time nobody is asked. */
		before = calls();
		ck_assert_int_eq(namespace_look(ns, looks[_i].path, &a),
				 looks[_i].err);
		ck_assert_int_eq(namespace_peek(ns, looks[_i].path, &a),
				 looks[_i].err);
		ck_assert_uint_eq(calls(), before);
		reopen("b", "", 3600000);
		if (slash)
			snprintf(parent, sizeof(parent), "%.*s",
				 (int)(slash - looks[_i].path), looks[_i].path);
		ck_assert_int_eq(namespace_list(ns, parent, &d), 0);
		namespace_list_put(ns, d);
		before = calls();
		ck_assert_int_eq(namespace_peek(ns, looks[_i].path, &a),
				 looks[_i].err);
		ck_assert_uint_eq(calls(), before);
	}
}
END_TEST

START_TEST(nothing_is_known_at_first)
{
	struct meta_attr a;

	ck_assert_int_eq(namespace_peek(ns, "z", &a), -EAGAIN);
	ck_assert_ptr_null(namespace_list_known(ns, ""));
	ck_assert_uint_eq(calls(), 0);
}
END_TEST

/* "name/ size etag" of each entry. */
static const char *listing(const char *path)
{
	static struct strbuf b;
	struct meta_dir *d;

	strbuf_free(&b);
	strbuf_init(&b, 1 << 16);
	ck_assert_int_eq(namespace_list(ns, path, &d), 0);
	for (size_t i = 0; i < d->n; i++) {
		const struct meta_entry *e = &d->entries[i];

		ck_assert_ptr_eq(meta_dir_find(d, e->name), e);
		strbuf_printf(&b, "%s%s %llu %s\n", e->name,
			      e->is_dir ? "/" : "", (unsigned long long)e->size,
			      e->etag);
	}
	ck_assert_ptr_null(meta_dir_find(d, "not there"));
	namespace_list_put(ns, d);
	return strbuf_str(&b);
}

START_TEST(list_of_the_root)
{
	ck_assert_str_eq(listing(""),
			 "... 3 \"o\"\n"
			 "a/ 0 \n"
			 "a-c 3 \"ac\"\n"
			 "deep/ 0 \n"
			 "dir/ 0 \n"
			 "empty/ 0 \n"
			 "foreign/ 0 \n"
			 "new\nline 8 \"n\"\n" LONG255 " 255 \"long\"\n"
			 "odd/ 0 \n"
			 "z 26 \"z\"\n");
}
END_TEST

static const struct {
	const char *path, *want;
} lists[] = {
	{"dir", "sub/ 0 \nx 4 \"x\"\n"},
	{"empty", ""},
	{"odd", "ok 7 \"o\"\n"},
	{"a", "b 2 \"ab\"\n"},
	{"deep", "er/ 0 \n"},
	{"deep/er", "file 6 \"d\"\n"},
};

START_TEST(list)
{
	ck_assert_str_eq(listing(lists[_i].path), lists[_i].want);
	/* It is kept. */
	ck_assert_uint_eq(fake_s3_calls(s3).list, 1);
	listing(lists[_i].path);
	ck_assert_uint_eq(fake_s3_calls(s3).list, 1);
}
END_TEST

static const struct fake_object foreign[] = {
	{"b", "dir/x", "\"x\"", 4},
	{"b", "elsewhere", "!foreign", 1},
	{"b", "d", "!foreign", 1},
	{NULL, NULL, NULL, 0},
};

/* What a server gives beyond the prefix that was asked for is not shown. */
START_TEST(foreign_keys_are_not_shown)
{
	fake_s3_set_objects(s3, foreign);
	ck_assert_str_eq(listing("dir"), "x 4 \"x\"\n");
}
END_TEST

START_TEST(prefix_of_the_mount)
{
	struct meta_attr a;

	reopen("b", "dir/", 3600000);
	ck_assert_str_eq(listing(""), "sub/ 0 \nx 4 \"x\"\n");
	ck_assert_int_eq(namespace_look(ns, "sub/y", &a), 0);
	ck_assert_uint_eq(a.size, 5);
	ck_assert_int_eq(namespace_look(ns, "z", &a), -ENOENT);
}
END_TEST

START_TEST(all_buckets)
{
	struct meta_attr a;

	reopen("", "", 3600000);
	ck_assert_int_eq(namespace_look(ns, "b2", &a), 0);
	ck_assert(a.is_dir);
	ck_assert_int_eq(namespace_look(ns, "b3", &a), -ENOENT);
	ck_assert_str_eq(listing(""), "b/ 0 \nb2/ 0 \n");
	ck_assert_str_eq(listing("b2"), "k 9 \"k\"\n");
	ck_assert_int_eq(namespace_look(ns, "b2/k", &a), 0);
	ck_assert_uint_eq(a.size, 9);
	ck_assert_str_eq(listing("b/dir"), "sub/ 0 \nx 4 \"x\"\n");
	ck_assert_int_eq(namespace_look(ns, "b/dir", &a), 0);
	ck_assert(a.is_dir);
}
END_TEST

static const int errors[] = {-EACCES, -EIO, -ENOMEM};

START_TEST(errors_are_not_kept)
{
	struct meta_attr a;
	struct meta_dir *d;

	fake_s3_set_error(s3, errors[_i]);
	ck_assert_int_eq(namespace_look(ns, "z", &a), errors[_i]);
	ck_assert_int_eq(namespace_list(ns, "", &d), errors[_i]);
	ck_assert_int_eq(namespace_peek(ns, "z", &a), -EAGAIN);
	fake_s3_set_error(s3, 0);
	ck_assert_int_eq(namespace_look(ns, "z", &a), 0);
	ck_assert_int_eq(namespace_list(ns, "", &d), 0);
	namespace_list_put(ns, d);
}
END_TEST

START_TEST(nothing_is_believed_without_a_ttl)
{
	struct meta_attr a;

	reopen("b", "", 0);
	namespace_look(ns, "z", &a);
	ck_assert_int_eq(namespace_peek(ns, "z", &a), -EAGAIN);
	namespace_look(ns, "nothing", &a);
	ck_assert_int_eq(namespace_peek(ns, "nothing", &a), -EAGAIN);
	listing("");
	ck_assert_ptr_null(namespace_list_known(ns, ""));
}
END_TEST

static const struct fake_object later[] = {
	{"b", "z", "\"z2\"", 27},
	{NULL, NULL, NULL, 0},
};

START_TEST(revalidate)
{
	struct meta_attr a;
	bool changed;

	ck_assert_int_eq(namespace_revalidate(ns, "z", &a, &changed), 0);
	ck_assert(!changed); /* nothing was known */
	ck_assert_int_eq(namespace_revalidate(ns, "z", &a, &changed), 0);
	ck_assert(!changed);
	fake_s3_set_objects(s3, later);
	ck_assert_int_eq(namespace_peek(ns, "z", &a), 0);
	ck_assert_uint_eq(a.size, 26);
	ck_assert_int_eq(namespace_revalidate(ns, "z", &a, &changed), 0);
	ck_assert(changed);
	ck_assert_uint_eq(a.size, 27);
	ck_assert_str_eq(a.etag, "\"z2\"");
	ck_assert_int_eq(namespace_peek(ns, "z", &a), 0);
	ck_assert_uint_eq(a.size, 27);
	/* Gone: what was known goes too. */
	fake_s3_set_objects(s3, later + 1);
	ck_assert_int_eq(namespace_revalidate(ns, "z", &a, &changed), -ENOENT);
	ck_assert_int_eq(namespace_peek(ns, "z", &a), -EAGAIN);
}
END_TEST

START_TEST(forget)
{
	struct meta_attr a;

	listing("");
	namespace_look(ns, "z", &a);
	namespace_forget(ns, "z");
	ck_assert_int_eq(namespace_peek(ns, "z", &a), -EAGAIN);
	ck_assert_ptr_null(namespace_list_known(ns, ""));
}
END_TEST

static void on_meta(void *ctx, const char *name, const char *value)
{
	sprintf(ctx, "%s=%s", name, value);
}

START_TEST(xattrs)
{
	char text[64] = "";
	struct s3_attr a;

	ck_assert_int_eq(namespace_xattrs(ns, "z", &a, on_meta, text), 0);
	ck_assert_str_eq(text, "color=red");
	ck_assert_str_eq(a.content_type, "text/plain");
	ck_assert_int_eq(namespace_xattrs(ns, "none", &a, on_meta, text),
			 -ENOENT);
}
END_TEST

static const struct {
	const char *bucket, *prefix;
	size_t path; /* length of the part behind "B/" or of the path */
	size_t name; /* of the bucket, in a mount of all */
	int err;
} limits[] = {
	{"b", "", 0, 0, 0},
	{"b", "", 1024, 0, 0},
	{"b", "", 1025, 0, -ENAMETOOLONG},
	{"b", "pre/", 1020, 0, 0},
	{"b", "pre/", 1021, 0, -ENAMETOOLONG},
	{"", "", 0, 255, 0},
	{"", "", 0, 256, -ENAMETOOLONG},
	{"", "", 1024, 255, 0},
	{"", "", 1025, 3, -ENAMETOOLONG},
};

START_TEST(resolve)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	char path[3000] = "";
	const size_t n = limits[_i].name;
	int err;

	memset(path, 'b', n);
	if (n && limits[_i].path)
		path[n] = '/';
	memset(path + strlen(path), 'k', limits[_i].path);
	reopen(limits[_i].bucket, limits[_i].prefix, 0);
	err = namespace_resolve(ns, path, bucket, key);
	ck_assert_int_eq(err, limits[_i].err);
	if (err)
		return;
	ck_assert_uint_eq(strlen(bucket), n ? n : 1);
	ck_assert_uint_eq(strlen(key),
			  strlen(limits[_i].prefix) + limits[_i].path);
	ck_assert_int_eq(
		strncmp(key, limits[_i].prefix, strlen(limits[_i].prefix)), 0);
}
END_TEST

START_TEST(long_paths_ask_nobody)
{
	char path[1100];
	struct meta_attr a;
	struct meta_dir *d;
	bool changed;

	memset(path, 'k', 1025);
	path[1025] = '\0';
	ck_assert_int_eq(namespace_look(ns, path, &a), -ENAMETOOLONG);
	ck_assert_int_eq(namespace_list(ns, path, &d), -ENAMETOOLONG);
	ck_assert_int_eq(namespace_revalidate(ns, path, &a, &changed),
			 -ENAMETOOLONG);
	ck_assert_uint_eq(calls(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("namespace");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	ADD_ROWS(tc, look, looks);
	tcase_add_test(tc, nothing_is_known_at_first);
	tcase_add_test(tc, list_of_the_root);
	ADD_ROWS(tc, list, lists);
	tcase_add_test(tc, foreign_keys_are_not_shown);
	tcase_add_test(tc, prefix_of_the_mount);
	tcase_add_test(tc, all_buckets);
	ADD_ROWS(tc, errors_are_not_kept, errors);
	tcase_add_test(tc, nothing_is_believed_without_a_ttl);
	tcase_add_test(tc, revalidate);
	tcase_add_test(tc, forget);
	tcase_add_test(tc, xattrs);
	ADD_ROWS(tc, resolve, limits);
	tcase_add_test(tc, long_paths_ask_nobody);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
