/* SPDX-License-Identifier: Apache-2.0 */
/* The store of names: what it keeps, who may look, what it forgets. */
#include "cache/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "cache/build.h"
#include "cache/store_int.h"
#include "fake_time.h"
#include "names.h"
#include "scratch.h"

static char folder[256];

static void setup(void)
{
	scratch_make();
	snprintf(folder, sizeof(folder), "%s/store", scratch);
	atomic_store(&fake_time_ahead_ms, 0);
	atomic_store(&fake_time_frozen_ms, 0);
}

static struct store *open_max(uint64_t max)
{
	const struct store_config cfg = {
		.folder = folder, .source = "test", .max_bytes = max};
	struct store *s = NULL;
	char why[512];

	ck_assert_msg(!store_open(&cfg, &s, why, sizeof(why)), "%s", why);
	return s;
}

static struct store *open_store(void)
{
	return open_max(0);
}

static int open_err(const char *where)
{
	const struct store_config cfg = {.folder = where, .source = "test"};
	struct store *s = NULL;
	char why[512] = "";
	const int err = store_open(&cfg, &s, why, sizeof(why));

	if (err)
		ck_assert_str_ne(why, "");
	store_close(s);
	return err;
}

/* The file of names in the folder. */
static const char *db_path(void)
{
	static char path[600];
	DIR *d = opendir(folder);
	const struct dirent *e;

	ck_assert_ptr_nonnull(d);
	path[0] = '\0';
	while ((e = readdir(d))) {
		const size_t n = strlen(e->d_name);

		if (n > 3 && !strcmp(e->d_name + n - 3, ".db"))
			snprintf(path, sizeof(path), "%s/%s", folder,
				 e->d_name);
	}
	closedir(d);
	ck_assert_str_ne(path, "");
	return path;
}

static uint64_t make_child(struct store *s, uint64_t parent, const char *name)
{
	uint64_t id = 0;

	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_child_make(s, parent, name, strlen(name), &id),
			 0);
	ck_assert_int_eq(store_commit(s), 0);
	return id;
}

/* A listing of n files whose sizes are from seed on, in a transaction. */
static void write_listing(struct store *s, struct store_dir *d, unsigned int n,
			  uint64_t seed)
{
	struct build b;

	build_init(&b, s, d->id);
	for (unsigned int i = 0; i < n; i++) {
		struct rec r = {.size = seed + i, .mtime = 1000};

		r.len = (size_t)snprintf(r.name, sizeof(r.name), "file-%06u",
					 i);
		names_etag(r.etag, seed, i * 0x9e3779b97f4a7c15ULL);
		ck_assert_int_eq(build_add(&b, &r), 0);
	}
	ck_assert_int_eq(build_flush(&b), 0);
	d->since_ms = seed;
	d->entries = n;
	d->flags = b.flags;
	d->nsegs = b.leaves > 0;
	d->segs[0] = (struct store_seg){b.snap, b.leaves};
	ck_assert_int_eq(store_dir_put(s, d), 0);
}

static struct store_dir make_listing(struct store *s, const char *name,
				     unsigned int n, uint64_t seed)
{
	struct store_dir d = {.parent = STORE_ROOT};

	snprintf(d.name, sizeof(d.name), "%s", name);
	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(
		store_child_make(s, STORE_ROOT, name, strlen(name), &d.id), 0);
	write_listing(s, &d, n, seed);
	ck_assert_int_eq(store_commit(s), 0);
	return d;
}

/* How many of the listing's files can be read; each must be right. */
static unsigned int read_listing(struct store *s, const struct store_dir *d)
{
	unsigned char leaf[REC_LEAF_MAX];
	unsigned int seen = 0;

	for (unsigned int g = 0; g < d->nsegs; g++)
		for (uint32_t at = 0; at < d->segs[g].leaves; at++) {
			const int n = store_leaf_get(s, d->segs[g].snap, at,
						     leaf);
			struct rec_reader r;

			if (n < 0) {
				ck_assert_int_eq(n, -ENOENT);
				return seen;
			}
			rec_reader_init(&r, leaf, (size_t)n);
			for (; rec_next(&r); seen++)
				ck_assert_uint_eq(r.rec.size,
						  d->since_ms + seen);
		}
	return seen;
}

/* ---- what it keeps ---- */

START_TEST(keeps_all_over_a_close)
{
	struct store *s = open_store();
	unsigned char key[16];
	const struct store_dir d = make_listing(s, "dir", 1000, 7);
	struct store_dir got;
	uint64_t id = 0, since = 0;
	char buf[512];

	memcpy(key, store_hash_key(s), 16);
	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_name_put(s, d.id, "one", "abc", 3, 99), 0);
	ck_assert_int_eq(store_name_put(s, d.id, "none", "", 0, 98), 0);
	ck_assert_int_eq(store_note_put(s, d.id, "one", "a note"), 0);
	ck_assert_int_eq(store_commit(s), 0);
	store_close(s);

	s = open_store();
	ck_assert_mem_eq(key, store_hash_key(s), 16);
	ck_assert_int_eq(store_dir_find(s, STORE_ROOT, "dir", &id), 0);
	ck_assert_uint_eq(id, d.id);
	ck_assert_int_eq(store_dir_get(s, id, &got), 0);
	ck_assert_str_eq(got.name, "dir");
	ck_assert_uint_eq(got.parent, STORE_ROOT);
	ck_assert_uint_eq(got.since_ms, 7);
	ck_assert_uint_eq(got.entries, 1000);
	ck_assert_uint_eq(read_listing(s, &got), 1000);
	ck_assert(store_has_names(s, id));
	ck_assert(!store_has_names(s, STORE_ROOT));
	ck_assert_int_eq(store_name_get(s, id, "one", buf, sizeof(buf), &since),
			 3);
	ck_assert_mem_eq(buf, "abc", 3);
	ck_assert_uint_eq(since, 99);
	ck_assert_int_eq(
		store_name_get(s, id, "none", buf, sizeof(buf), &since), 0);
	ck_assert_uint_eq(since, 98);
	ck_assert_int_eq(store_name_get(s, id, "no", buf, sizeof(buf), &since),
			 -ENOENT);
	ck_assert_int_eq(store_note_get(s, id, "one", buf, sizeof(buf)), 6);
	ck_assert_str_eq(buf, "a note");
	ck_assert_int_eq(store_note_get(s, id, "two", buf, sizeof(buf)),
			 -ENOENT);
	store_close(s);
}
END_TEST

START_TEST(what_is_aborted_never_was)
{
	struct store *s = open_store();
	struct store_dir d = {.parent = STORE_ROOT, .name = "dir"};
	uint64_t id;

	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_child_make(s, STORE_ROOT, "dir", 3, &d.id), 0);
	write_listing(s, &d, 100, 5);
	store_abort(s);
	ck_assert_int_eq(store_dir_find(s, STORE_ROOT, "dir", &id), -ENOENT);
	ck_assert_int_eq(store_dir_get(s, d.id, &d), -ENOENT);
	store_close(s);
}
END_TEST

START_TEST(names_of_before_are_dropped)
{
	struct store *s = open_store();
	const uint64_t id = make_child(s, STORE_ROOT, "dir");
	uint64_t since;
	char buf[64];

	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_name_put(s, id, "old", "o", 1, 99), 0);
	ck_assert_int_eq(store_name_put(s, id, "new", "n", 1, 100), 0);
	ck_assert_int_eq(store_name_put(s, STORE_ROOT, "old", "r", 1, 1), 0);
	ck_assert_int_eq(store_names_drop(s, id, 100), 0);
	ck_assert_int_eq(store_commit(s), 0);
	ck_assert_int_eq(store_name_get(s, id, "old", buf, 64, &since),
			 -ENOENT);
	ck_assert_int_eq(store_name_get(s, id, "new", buf, 64, &since), 1);
	ck_assert_int_eq(store_name_get(s, STORE_ROOT, "old", buf, 64, &since),
			 1);
	store_close(s);
}
END_TEST

START_TEST(a_private_one_leaves_nothing)
{
	const struct store_config cfg = {.source = "private"};
	struct store *s = NULL;
	struct store_dir d;
	char why[512], tmp[200];

	snprintf(tmp, sizeof(tmp), "%s", scratch);
	setenv("TMPDIR", tmp, 1);
	ck_assert_int_eq(store_open(&cfg, &s, why, sizeof(why)), 0);
	d = make_listing(s, "x", 500, 3);
	ck_assert_uint_eq(read_listing(s, &d), 500);
	store_close(s);
	ck_assert_int_eq(rmdir(scratch), 0);
}
END_TEST

/* ---- who may look ---- */

START_TEST(only_its_owner_reads_it)
{
	struct store *s;
	struct stat st;
	unsigned int files = 0;
	DIR *dir;

	umask(0);
	s = open_store();
	make_listing(s, "x", 500, 3);
	ck_assert_int_eq(stat(folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	dir = opendir(folder);
	for (const struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.')
			continue;
		ck_assert_int_eq(fstatat(dirfd(dir), e->d_name, &st, 0), 0);
		ck_assert_msg((st.st_mode & 0777) == 0600, "%s: %o", e->d_name,
			      st.st_mode);
		files++;
	}
	closedir(dir);
	ck_assert_uint_ge(files, 1);
	store_close(s);
}
END_TEST

START_TEST(foreign_folders_are_refused)
{
	char path[300];

	mkdir(folder, 0700);
	chmod(folder, 0770);
	ck_assert_int_eq(open_err(folder), -EPERM);
	chmod(folder, 0702);
	ck_assert_int_eq(open_err(folder), -EPERM);
	chmod(folder, 0700);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(folder, 12345, 12345), 0);
		ck_assert_int_eq(open_err(folder), -EPERM);
		ck_assert_int_eq(chown(folder, 0, 0), 0);
	}
	snprintf(path, sizeof(path), "%s/file", folder);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	ck_assert_int_ne(open_err(path), 0);
	ck_assert_int_eq(open_err(folder), 0);
}
END_TEST

START_TEST(a_link_is_not_followed)
{
	char path[700], target[300];

	store_close(open_store());
	snprintf(path, sizeof(path), "%s", db_path());
	snprintf(target, sizeof(target), "%s/elsewhere", scratch);
	ck_assert_int_eq(rename(path, target), 0);
	ck_assert_int_eq(symlink(target, path), 0);
	ck_assert_int_ne(open_err(folder), 0);
}
END_TEST

START_TEST(another_source_is_another_file)
{
	const struct store_config cfg = {.folder = folder, .source = "other"};
	struct store *s = open_store(), *t = NULL;
	uint64_t id;
	char why[200];

	make_child(s, STORE_ROOT, "mine");
	ck_assert_int_eq(store_open(&cfg, &t, why, sizeof(why)), 0);
	ck_assert_int_eq(store_dir_find(t, STORE_ROOT, "mine", &id), -ENOENT);
	ck_assert_mem_ne(store_hash_key(s), store_hash_key(t), 16);
	store_close(t);
	store_close(s);
}
END_TEST

/* ---- what goes ---- */

static unsigned int gone_count;
static uint64_t gone_ids[100];

static void note_gone(void *ctx, uint64_t dir)
{
	(void)ctx;
	if (gone_count < 100)
		gone_ids[gone_count] = dir;
	gone_count++;
}

static void tidy_all(struct store *s)
{
	unsigned int rounds = 0;

	while (store_tidy(s, note_gone, NULL))
		ck_assert_uint_lt(rounds++, 10000);
}

START_TEST(replaced_listings_stay_readable)
{
	struct store *s = open_store();
	const struct store_dir old = make_listing(s, "dir", 2000, 7);
	struct store_dir now = make_listing(s, "dir", 2000, 7777), got;

	ck_assert_uint_eq(old.id, now.id);
	tidy_all(s);
	ck_assert_uint_eq(read_listing(s, &old), 2000);
	fake_time_pass(300 * 1000);
	tidy_all(s);
	ck_assert_uint_eq(read_listing(s, &old), 2000);
	ck_assert_int_eq(store_dir_get(s, now.id, &got), 0);
	ck_assert_uint_eq(got.since_ms, 7777);
	fake_time_pass(4000 * 1000);
	tidy_all(s);
	ck_assert_uint_eq(read_listing(s, &old), 0);
	ck_assert_uint_eq(read_listing(s, &got), 2000);
	ck_assert_uint_eq(gone_count, 0);
	store_close(s);
}
END_TEST

START_TEST(oldest_go_when_it_is_large)
{
	struct store *s = open_max(1 << 20);
	struct store_dir d[60], got;
	struct store_stats st;
	char name[16];
	unsigned int kept = 0;

	gone_count = 0;
	for (unsigned int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		d[i] = make_listing(s, name, 2000, 10 + i);
		fake_time_pass(10 * 1000);
	}
	{
		const uint64_t used = d[0].id;

		store_touch(s, &used, 1);
	}
	fake_time_pass(10 * 1000);
	store_get_stats(s, &st);
	ck_assert_uint_gt(st.bytes, 1 << 20);
	tidy_all(s);
	store_get_stats(s, &st);
	ck_assert_uint_le(st.bytes, 1 << 20);
	ck_assert_uint_gt(gone_count, 0);
	ck_assert_uint_lt(gone_count, 59);
	for (unsigned int i = 0; i < gone_count; i++)
		ck_assert_uint_eq(gone_ids[i], d[i + 1].id);
	for (unsigned int i = 0; i < 60; i++) {
		ck_assert_int_eq(store_dir_get(s, d[i].id, &got), 0);
		ck_assert_str_eq(got.name, d[i].name);
		if (!got.since_ms)
			continue;
		ck_assert_uint_eq(read_listing(s, &got), 2000);
		ck_assert(i == 0 || i > gone_count);
		kept++;
	}
	ck_assert_uint_eq(kept + gone_count, 60);
	store_close(s);
}
END_TEST

static int put_text(struct store *s, int i)
{
	char name[32], text[2000];
	int err;

	memset(text, 'x', sizeof(text));
	text[1999] = '\0';
	snprintf(name, sizeof(name), "name%d", i);
	ck_assert_int_eq(store_begin(s), 0);
	err = store_note_put(s, STORE_ROOT, name, text);
	if (!err)
		return store_commit(s);
	store_abort(s);
	return err;
}

/* SQLite may have no more pages: as on a full disk. */
START_TEST(oldest_go_when_the_disk_is_full)
{
	struct store *s = open_store();
	struct store_dir d[20], got;
	struct store_stats st;
	char text[64];
	int err = 0;

	gone_count = 0;
	for (unsigned int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "d%u", i);
		d[i] = make_listing(s, text, 2000, 10 + i);
		fake_time_pass(10 * 1000);
	}
	store_get_stats(s, &st);
	snprintf(text, sizeof(text), "PRAGMA max_page_count=%llu",
		 (unsigned long long)st.bytes / 8192 + 10);
	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_exec(s->writer.db, text), SQLITE_OK);
	store_abort(s);
	for (int i = 0; i < 100 && !err; i++)
		err = put_text(s, i);
	ck_assert_int_eq(err, -ENOSPC);
	tidy_all(s);
	ck_assert_uint_gt(gone_count, 0);
	ck_assert_uint_lt(gone_count, 10);
	for (unsigned int i = 0; i < gone_count; i++)
		ck_assert_uint_eq(gone_ids[i], d[i].id);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(put_text(s, 200 + i), 0);
	for (unsigned int i = gone_count; i < 20; i++) {
		ck_assert_int_eq(store_dir_get(s, d[i].id, &got), 0);
		ck_assert_uint_eq(read_listing(s, &got), 2000);
	}
	/* It is over: no more goes than makes room. */
	err = (int)gone_count;
	fake_time_pass(60 * 1000);
	tidy_all(s);
	ck_assert_uint_eq(gone_count, (unsigned int)err);
	store_get_stats(s, &st);
	ck_assert_uint_eq(st.rebuilt, 0);
	/* Even that was of no use: a file of some size makes room. */
	store_starved(s);
	ck_assert_int_eq(put_text(s, 0), 0);
	store_get_stats(s, &st);
	ck_assert_uint_eq(st.rebuilt, 1);
	/* One of none does not. */
	store_starved(s);
	ck_assert_int_eq(put_text(s, 1), 0);
	store_get_stats(s, &st);
	ck_assert_uint_eq(st.rebuilt, 1);
	store_close(s);
}
END_TEST

START_TEST(names_and_notes_go_when_they_are_too_many)
{
	struct store *s = open_max(512 << 10);
	struct store_stats st;
	char name[32], text[200];

	memset(text, 'x', sizeof(text));
	text[199] = '\0';
	ck_assert_int_eq(store_begin(s), 0);
	for (int i = 0; i < 8000; i++) {
		snprintf(name, sizeof(name), "name%d", i);
		ck_assert_int_eq(store_note_put(s, STORE_ROOT, name, text), 0);
		ck_assert_int_eq(
			store_name_put(s, STORE_ROOT, name, text, 100, 5), 0);
	}
	ck_assert_int_eq(store_commit(s), 0);
	tidy_all(s);
	store_get_stats(s, &st);
	ck_assert_uint_le(st.bytes, 512 << 10);
	store_close(s);
}
END_TEST

/* What a killed process left goes in time, but not under one that is at it. */
START_TEST(a_slow_listing_is_not_dropped)
{
	struct store *s = open_store();
	struct store_dir d = {.parent = STORE_ROOT,
			      .name = "slow",
			      .since_ms = 1,
			      .entries = 0,
			      .nsegs = 1};
	struct build b;
	unsigned int n = 0;

	d.id = make_child(s, STORE_ROOT, "slow");
	build_init(&b, s, d.id);
	for (int piece = 0; piece < 10; piece++) {
		ck_assert_int_eq(store_begin(s), 0);
		for (int i = 0; i < 500; i++, n++) {
			struct rec r = {.size = 1 + n};

			r.len = (size_t)snprintf(r.name, sizeof(r.name),
						 "f%06u", n);
			ck_assert_int_eq(build_add(&b, &r), 0);
		}
		ck_assert_int_eq(build_flush(&b), 0);
		ck_assert_int_eq(store_commit(s), 0);
		tidy_all(s);
		fake_time_pass(500 * 1000); /* 83 minutes in all */
	}
	tidy_all(s);
	d.entries = n;
	d.segs[0] = (struct store_seg){b.snap, b.leaves};
	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_dir_put(s, &d), 0);
	ck_assert_int_eq(store_commit(s), 0);
	ck_assert_uint_eq(read_listing(s, &d), n);
	store_close(s);
}
END_TEST

START_TEST(orphans_go)
{
	struct store *s = open_store();
	struct store_dir d = {.parent = STORE_ROOT, .name = "dir"};
	struct store_dir dropped = d, left = d;

	d.id = make_child(s, STORE_ROOT, "dir");
	left.id = dropped.id = d.id;
	ck_assert_int_eq(store_begin(s), 0);
	write_listing(s, &dropped, 100, 5);
	write_listing(s, &left, 100, 6);
	write_listing(s, &d, 100, 7);
	ck_assert_int_eq(store_snap_drop(s, dropped.segs[0].snap), 0);
	ck_assert_int_eq(store_commit(s), 0);
	fake_time_pass(100 * 3600 * 1000LL);
	tidy_all(s);
	ck_assert_uint_eq(read_listing(s, &dropped), 0);
	ck_assert_uint_eq(read_listing(s, &left), 0);
	ck_assert_uint_eq(read_listing(s, &d), 100);
	store_close(s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("names_store");
	TCase *tc = tcase_create("names_store");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, keeps_all_over_a_close);
	tcase_add_test(tc, what_is_aborted_never_was);
	tcase_add_test(tc, names_of_before_are_dropped);
	tcase_add_test(tc, a_private_one_leaves_nothing);
	tcase_add_test(tc, only_its_owner_reads_it);
	tcase_add_test(tc, foreign_folders_are_refused);
	tcase_add_test(tc, a_link_is_not_followed);
	tcase_add_test(tc, another_source_is_another_file);
	tcase_add_test(tc, replaced_listings_stay_readable);
	tcase_add_test(tc, oldest_go_when_it_is_large);
	tcase_add_test(tc, oldest_go_when_the_disk_is_full);
	tcase_add_test(tc, names_and_notes_go_when_they_are_too_many);
	tcase_add_test(tc, a_slow_listing_is_not_dropped);
	tcase_add_test(tc, orphans_go);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
