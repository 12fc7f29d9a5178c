/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of objects that are believed, and what is found among them. */
#include <fcntl.h>

#include "cache/catalog.h"
#include "cache/namespace_int.h"
#include "namespace_fixture.h"

#define OF(bucket, key)         \
	"\"" bucket "\",\"" key \
	"\",\"7\",\"2026-01-02T03:04:05.000Z\",\"e\",\"STANDARD\"\n"

/* By a file, which can be read twice, or by a pipe, which cannot. */
static int import(const char *text, bool by_pipe, uint64_t *files)
{
	uint64_t line;
	int fds[2] = {-1, -1}, err;

	if (by_pipe) {
		ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
		ck_assert_int_eq(write(fds[1], text, strlen(text)),
				 (long)strlen(text));
		close(fds[1]);
	} else {
		fds[0] = open(scratch_file("list.csv", text),
			      O_RDONLY | O_CLOEXEC);
	}
	ck_assert_int_ge(fds[0], 0);
	err = catalog_import(ns, fds[0], NULL, NULL, files, &line);
	close(fds[0]);
	return err;
}

START_TEST(rows_are_believed)
{
	static const char *const text = OF("b", "d/y") OF("b", "a")
		OF("other", "z") OF("b", "d/x%2By") OF("b", "a");
	struct ns_attr a;
	uint64_t files;

	begin_ns(FAKE_SORTED, 1000);
	ck_assert_int_eq(import(text, _i, &files), 0);
	ck_assert_uint_eq(files, 3);
	ck_assert_int_eq(walk_to("a", &a), 0);
	ck_assert_uint_eq(a.size, 7);
	ck_assert_str_eq(a.etag, "\"e\"");
	ck_assert_int_eq(walk_to("d/x+y", &a), 0);
	ck_assert_int_eq(walk_to("d/y", &a), 0);
	ck_assert_int_eq(walk_to("z", &a), -ENOENT);
	/* The server, which has no such keys, is not asked. */
	ck_assert_uint_eq(asked(), 0);
	end_ns();
}
END_TEST

/* As when zcat fails in front of a pipe, or the file is another's. */
START_TEST(a_list_of_nothing_changes_nothing)
{
	static const char *const lists[] = {
		"",
		"\n\n",
		OF("other", "data/k") OF("other", "z"),
		OF("b", "database") OF("b", "dat/x"),
	};
	struct ns_attr a;
	struct seen s = {0};
	uint64_t files;

	config.prefix = "data/";
	begin_ns(FAKE_SORTED, 1000);
	put("data/seen");
	ck_assert_int_eq(read_dir(ROOT, &s), 0);
	ck_assert_uint_eq(s.n, 1);
	seen_free(&s);
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		ck_assert_int_eq(import(lists[i], _i, &files), -ENODATA);
		ck_assert_uint_eq(files, 0);
		ck_assert_int_eq(walk_to("seen", &a), 0);
		ck_assert_int_eq(read_dir(ROOT, &s), 0);
		ck_assert_uint_eq(s.n, 1);
		seen_free(&s);
	}
	/* Nor is what was known believed any longer than before. */
	fake_time_pass(config.fresh.ttl_ms + 1);
	fake_s3_delete(s3, "b", "data/seen");
	ck_assert_int_eq(walk_to("seen", &a), -ENOENT);
	/* One row of ours is enough. */
	ck_assert_int_eq(import(OF("b", "x") OF("b", "data/new"), _i, &files),
			 0);
	ck_assert_uint_eq(files, 1);
	ck_assert_int_eq(walk_to("new", &a), 0);
	end_ns();
}
END_TEST

static void note(const char *dir, const char *name)
{
	const uint64_t at = dir_of(dir);

	ck_assert_int_eq(store_begin(ns->store), 0);
	ck_assert_int_eq(store_note_put(ns->store, at, name,
					"{\"etag\":\"\\\"e\\\"\","
					"\"meta\":{\"c\":\"red\"}}"),
			 0);
	ck_assert_int_eq(store_commit(ns->store), 0);
}

static int add_path(void *ctx, const char *path)
{
	strcat(ctx, path);
	strcat(ctx, " ");
	return 0;
}

static const struct {
	const char *prefix, *found;
} finds[] = {
	{"", "data/f data/sub/g database/h datafile "},
	{"data", "data/f data/sub/g "},
	{"data/", "data/f data/sub/g "},
	{"data/sub", "data/sub/g "},
	{"data/s", ""},
	{"datafile", "datafile "},
	{"datafile/", ""},
	{"dat", ""},
};

START_TEST(files_below_a_prefix_are_found)
{
	static const char *const wanted[] = {"c=red"};
	char got[200] = "";
	uint64_t files;

	begin_ns(FAKE_SORTED, 1000);
	ck_assert_int_eq(import(OF("b", "data/f") OF("b", "data/sub/g") OF(
					"b", "database/h") OF("b", "datafile"),
				false, &files),
			 0);
	note("data", "f");
	note("data/sub", "g");
	note("database", "h");
	note("", "datafile");
	ck_assert_int_eq(catalog_find(ns, finds[_i].prefix, wanted, 1, NULL, 0,
				      add_path, got),
			 0);
	/* They come in no order. */
	ck_assert_uint_eq(strlen(got), strlen(finds[_i].found));
	for (char *save, *p = strtok_r(got, " ", &save); p;
	     p = strtok_r(NULL, " ", &save))
		ck_assert_msg(strstr(finds[_i].found, p) != NULL, "%s", p);
	end_ns();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("catalog");
	TCase *tc = tcase_create("catalog");

	tcase_add_checked_fixture(tc, fixture_setup, NULL);
	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, rows_are_believed, 0, 2);
	tcase_add_loop_test(tc, a_list_of_nothing_changes_nothing, 0, 2);
	tcase_add_loop_test(tc, files_below_a_prefix_are_found, 0,
			    sizeof(finds) / sizeof(*finds));
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
