/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of objects that are believed, and what is found among them. */
#include <fcntl.h>

#include "cache/catalog.h"
#include "cache/inventory.h"
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

static void same_row(const struct inventory_row *a,
		     const struct inventory_row *b)
{
	ck_assert_str_eq(a->key, b->key);
	ck_assert_str_eq(a->etag, b->etag);
	ck_assert_str_eq(a->storage_class, b->storage_class);
	ck_assert_uint_eq(a->size, b->size);
	ck_assert_int_eq(a->mtime, b->mtime);
}

/* What waits on disk to be sorted: no longer than what is in it, which of a
 * row like most is far below what SQLite keeps in a page of a tree. */
START_TEST(rows_are_packed)
{
	struct inventory_row r = {
		.bucket = "b",
		.key = "datasets/images/train/n0144/n0144_"
		       "10026.jpeg",
		.etag = "\"0123456789abcdef0123456789abcdef\"",
		.storage_class = "STANDARD",
		.size = 1ULL << 63,
		.mtime = -5};
	unsigned char packed[INVENTORY_PACKED_MAX];
	struct inventory_row got;
	size_t n = inventory_pack(&r, packed);

	ck_assert_uint_lt(n, 120);
	ck_assert_int_eq(inventory_unpack(packed, n, &got), 0);
	same_row(&got, &r);
	memset(r.key, 'k', sizeof(r.key) - 1);
	memset(r.etag, 'e', sizeof(r.etag) - 1);
	memset(r.storage_class, 'c', sizeof(r.storage_class) - 1);
	n = inventory_pack(&r, packed);
	ck_assert_uint_le(n, sizeof(packed));
	ck_assert_int_eq(inventory_unpack(packed, n, &got), 0);
	same_row(&got, &r);
}
END_TEST

/* Each in memory of its own length, that a checker may see what is beyond. */
START_TEST(harmed_rows_are_refused)
{
	const struct inventory_row r = {
		.key = "key", .etag = "\"e\"", .storage_class = "S"};
	unsigned char packed[INVENTORY_PACKED_MAX];
	struct inventory_row got;
	const size_t n = inventory_pack(&r, packed);

	for (size_t i = 0; i <= n + 1; i++) {
		unsigned char *cut = malloc(i ? i : 1);

		memcpy(cut, packed, i);
		ck_assert_int_eq(inventory_unpack(cut, i, &got),
				 i == n ? 0 : -EBADMSG);
		free(cut);
	}
	for (size_t i = 16; i < n; i++)
		for (int to = 0; to < 256; to++) {
			unsigned char *harmed = malloc(n);

			memcpy(harmed, packed, n);
			harmed[i] = (unsigned char)to;
			inventory_unpack(harmed, n, &got);
			ck_assert_uint_lt(strnlen(got.key, sizeof(got.key)),
					  sizeof(got.key));
			free(harmed);
		}
	ck_assert_int_eq(inventory_unpack(NULL, 0, &got), -EBADMSG);
}
END_TEST

#define ROWS 500

/* In no order, each with all that it says. */
START_TEST(rows_are_sorted)
{
	char text[ROWS * 110 + 1] = "", path[40];
	struct ns_attr a;
	uint64_t files;

	for (unsigned int i = 0; i < ROWS; i++) {
		const unsigned int k = i * 167 % ROWS;

		snprintf(text + strlen(text), 110,
			 "\"b\",\"d%u/f%u\",\"%u\","
			 "\"2026-01-02T03:%02u:05.000Z\",\"e%u\",\"C%u\"\n",
			 k % 7, k, k, k % 60, k, k);
	}
	begin_ns(FAKE_SORTED, 1000);
	ck_assert_int_eq(import(text, _i, &files), 0);
	ck_assert_uint_eq(files, ROWS);
	for (unsigned int k = 0; k < ROWS; k++) {
		char etag[20], class[20];

		snprintf(path, sizeof(path), "d%u/f%u", k % 7, k);
		snprintf(etag, sizeof(etag), "\"e%u\"", k);
		snprintf(class, sizeof(class), "C%u", k);
		ck_assert_int_eq(walk_to(path, &a), 0);
		ck_assert_uint_eq(a.size, k);
		ck_assert_int_eq(a.mtime, 1767322805 + k % 60 * 60);
		ck_assert_str_eq(a.etag, etag);
		ck_assert_str_eq(a.storage_class, class);
	}
	ck_assert_uint_eq(asked(), 0);
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
	tcase_add_test(tc, rows_are_packed);
	tcase_add_test(tc, harmed_rows_are_refused);
	tcase_add_loop_test(tc, rows_are_sorted, 0, 2);
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
