/* SPDX-License-Identifier: Apache-2.0 */
/* The store of names when others share it, processes are killed, and bytes of
 * the file change. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "cache/build.h"
#include "cache/store_int.h"
#include "fake_time.h"
#include "names.h"
#include "scratch.h"

static char folder[256];

/* Bytes of the file were flipped.  Where one is of a key in an inner page of
 * SQLite's, a search takes the wrong way, and what was just written is not
 * found: it is asked for again, and no answer is wrong. */
static bool is_flipped;

static void setup(void)
{
	scratch_make();
	is_flipped = false;
	snprintf(folder, sizeof(folder), "%s/store", scratch);
	atomic_store(&fake_time_ahead_ms, 0);
	atomic_store(&fake_time_frozen_ms, 0);
}

static struct store *open_store(void)
{
	const struct store_config cfg = {.folder = folder, .source = "test"};
	struct store *s = NULL;
	char why[512];

	ck_assert_msg(!store_open(&cfg, &s, why, sizeof(why)), "%s", why);
	return s;
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

static void db_path(char out[700], const char *end)
{
	char command[800];
	FILE *f;

	snprintf(command, sizeof(command), "ls %s/*.db", folder);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(fgets(out, 600, f));
	pclose(f);
	out[strcspn(out, "\n")] = '\0';
	strcat(out, end);
}

/* ---- a listing whose every byte follows from its number ---- */

static int put_numbered(struct store *s, unsigned int at)
{
	struct store_dir d = {.parent = STORE_ROOT,
			      .since_ms = 1000 + at,
			      .entries = 200 + at % 100};
	struct build b;
	int err;

	snprintf(d.name, sizeof(d.name), "dir-%04u", at);
	err = store_child_make(s, STORE_ROOT, d.name, strlen(d.name), &d.id);
	build_init(&b, s, d.id);
	for (unsigned int i = 0; i < d.entries && !err; i++) {
		struct rec r = {.size = (uint64_t)at << 32 | i};

		r.len = (size_t)snprintf(r.name, sizeof(r.name), "%u-%05u", at,
					 i);
		names_etag(r.etag, at, i * 0x9e3779b97f4a7c15ULL);
		err = build_add(&b, &r);
	}
	err = err ?: build_flush(&b);
	d.nsegs = 1;
	d.segs[0] = (struct store_seg){b.snap, b.leaves};
	err = err ?: store_dir_put(s, &d);
	return err ?: store_name_put(s, d.id, "x", &at, sizeof(at), 1000 + at);
}

/* 1: all there and right, 0: nothing known; half is an error. */
static int check_numbered(struct store *s, unsigned int at)
{
	unsigned char leaf[REC_LEAF_MAX];
	unsigned int seen = 0, value = 0;
	uint64_t id, since = 0;
	struct store_dir d;
	char name[32];
	int got;

	snprintf(name, sizeof(name), "dir-%04u", at);
	if (store_dir_find(s, STORE_ROOT, name, &id))
		return 0;
	ck_assert_int_eq(store_dir_get(s, id, &d), 0);
	ck_assert_str_eq(d.name, name);
	ck_assert_uint_eq(d.since_ms, 1000 + at);
	ck_assert_uint_eq(d.nsegs, 1);
	for (uint32_t i = 0; i < d.segs[0].leaves; i++) {
		const int n = store_leaf_get(s, d.segs[0].snap, i, leaf);
		struct rec_reader r;

		if (is_flipped && n == -ENOENT)
			return 0;
		ck_assert_int_gt(n, 0);
		rec_reader_init(&r, leaf, (size_t)n);
		for (; rec_next(&r); seen++)
			ck_assert_uint_eq(r.rec.size,
					  (uint64_t)at << 32 | seen);
	}
	ck_assert_uint_eq(seen, 200 + at % 100);
	got = store_name_get(s, id, "x", &value, sizeof(value), &since);
	if (is_flipped && got == -ENOENT)
		return 0;
	ck_assert_int_eq(got, sizeof(value));
	ck_assert_uint_eq(value, at);
	return 1;
}

/* ---- others ---- */

START_TEST(two_opens_see_each_other)
{
	struct store *a = open_store(), *b = open_store();
	uint64_t id;

	ck_assert_mem_eq(store_hash_key(a), store_hash_key(b), 16);
	for (int i = 0; i < 50; i++) {
		struct store *w = i % 2 ? a : b, *r = i % 2 ? b : a;
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		id = make_child(w, STORE_ROOT, name);
		ck_assert_uint_eq(make_child(r, STORE_ROOT, name), id);
	}
	store_close(a);
	make_child(b, STORE_ROOT, "after");
	store_close(b);
	a = open_store();
	ck_assert_int_eq(store_dir_find(a, STORE_ROOT, "after", &id), 0);
	store_close(a);
}
END_TEST

/* Runs f in a process of its own; its exit status. */
static int in_process(int (*f)(void))
{
	int status;
	const pid_t pid = fork();

	if (pid == 0)
		_exit(f());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int open_and_close(void)
{
	store_close(open_store());
	return 0;
}

static int make_later(void)
{
	struct store *s = open_store();

	make_child(s, STORE_ROOT, "later");
	store_close(s);
	return 0;
}

static int finds_both(void)
{
	struct store *s = open_store();
	uint64_t id;
	const int r = (store_dir_find(s, STORE_ROOT, "before", &id) ? 0 : 1) +
		      (store_dir_find(s, STORE_ROOT, "after", &id) ? 0 : 2);

	store_close(s);
	return r;
}

/* The part of a mount that stays while others come and go. */
static void stay(int in, int out)
{
	struct store *s = open_store();
	char c = 'x';

	make_child(s, STORE_ROOT, "before");
	if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1)
		_exit(1);
	make_child(s, STORE_ROOT, "after");
	if (write(out, &c, 1) != 1 || read(in, &c, 1) != 1)
		_exit(1);
	store_close(s);
	_exit(0);
}

static void come_and_go(int (*between)(void))
{
	int to[2], from[2], status;
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe(to) | pipe(from), 0);
	pid = fork();
	if (pid == 0)
		stay(to[0], from[1]);
	ck_assert_int_eq(read(from[0], &c, 1), 1);
	ck_assert_int_eq(in_process(between), 0);
	ck_assert_int_eq(write(to[1], "x", 1), 1);
	ck_assert_int_eq(read(from[0], &c, 1), 1);
	/* What was committed is there for all, and stays. */
	ck_assert_int_eq(in_process(finds_both), 3);
	ck_assert_int_eq(write(to[1], "x", 1), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(in_process(finds_both), 3);
}

START_TEST(a_mount_outlives_another)
{
	come_and_go(open_and_close);
}
END_TEST

START_TEST(a_mount_outlives_a_writer)
{
	uint64_t id;
	struct store *s;

	come_and_go(make_later);
	s = open_store();
	ck_assert_int_eq(store_dir_find(s, STORE_ROOT, "later", &id), 0);
	store_close(s);
}
END_TEST

#define PROCESSES 3
#define ROUNDS 60

static void write_names(unsigned int who, uint64_t (*ids)[ROUNDS])
{
	struct store *s = open_store();

	for (unsigned int i = 0; i < ROUNDS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%u", i);
		ids[who][i] = make_child(s, STORE_ROOT, name);
		if (i % PROCESSES == who) {
			if (store_begin(s) || put_numbered(s, i) ||
			    store_commit(s))
				_exit(2);
		}
		if (i % 7 == who) { /* as a mount that is made anew */
			store_close(s);
			s = open_store();
		}
	}
	store_close(s);
	_exit(0);
}

START_TEST(processes_agree)
{
	uint64_t(*ids)[ROUNDS] = mmap(NULL, sizeof(*ids) * PROCESSES,
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[PROCESSES];
	struct store *s;
	int status;

	for (unsigned int p = 0; p < PROCESSES; p++) {
		pids[p] = fork();
		if (pids[p] == 0)
			write_names(p, ids);
	}
	for (unsigned int p = 0; p < PROCESSES; p++) {
		ck_assert_int_eq(waitpid(pids[p], &status, 0), pids[p]);
		ck_assert_int_eq(status, 0);
	}
	s = open_store();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ck_assert_int_eq(check_numbered(s, i), 1);
		for (unsigned int p = 1; p < PROCESSES; p++)
			ck_assert_uint_eq(ids[p][i], ids[0][i]);
		for (unsigned int j = 0; j < i; j++)
			ck_assert_uint_ne(ids[0][i], ids[0][j]);
	}
	store_close(s);
	munmap(ids, sizeof(*ids) * PROCESSES);
}
END_TEST

/* ---- kill -9 ---- */

static void write_for_ever(_Atomic unsigned int *done)
{
	struct store *s = open_store();
	unsigned int at = atomic_load(done);

	for (;; at++) {
		/* The one after the last may have been committed. */
		if (check_numbered(s, at)) {
			atomic_store(done, at + 1);
			continue;
		}
		if (store_begin(s) || put_numbered(s, at) || store_commit(s))
			_exit(2);
		atomic_store(done, at + 1);
	}
}

START_TEST(killed_writers_lose_nothing_committed)
{
	_Atomic unsigned int *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int killed = 0, n = 0;

	names_seed(11);
	for (int round = 0; round < 50; round++) {
		const unsigned int before = atomic_load(done);
		const pid_t pid = fork();
		struct store *s;
		int status;

		if (pid == 0)
			write_for_ever(done);
		if (names_below(4))
			while (atomic_load(done) == before &&
			       !waitpid(pid, &status, WNOHANG))
				usleep(100);
		usleep((useconds_t)names_below(8000));
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status);
		n = atomic_load(done);
		s = open_store();
		for (unsigned int i = n > 40 ? n - 40 : 0; i < n; i++)
			ck_assert_int_eq(check_numbered(s, i), 1);
		check_numbered(s, n);
		ck_assert_int_eq(check_numbered(s, n + 1), 0);
		store_close(s);
	}
	ck_assert_uint_eq(killed, 50);
	ck_assert_uint_gt(n, 50);
	munmap(done, 4096);
}
END_TEST

/* ---- a file that is not there any more, or is none ---- */

START_TEST(a_removed_file_is_made_anew)
{
	struct store *s = open_store();
	struct store_stats st;
	char path[700];
	uint64_t id;

	make_child(s, STORE_ROOT, "old");
	db_path(path, "");
	unlink(path);
	make_child(s, STORE_ROOT, "new");
	ck_assert_int_eq(store_dir_find(s, STORE_ROOT, "new", &id), 0);
	ck_assert_int_eq(store_dir_find(s, STORE_ROOT, "old", &id), -ENOENT);
	store_get_stats(s, &st);
	ck_assert_uint_eq(st.rebuilt, 1);
	store_close(s);
	s = open_store();
	ck_assert_int_eq(store_dir_find(s, STORE_ROOT, "new", &id), 0);
	store_close(s);
}
END_TEST

START_TEST(a_removed_folder_is_made_anew)
{
	struct store *s = open_store();
	char command[400];
	uint64_t id;

	make_child(s, STORE_ROOT, "old");
	snprintf(command, sizeof(command), "rm -r %s", folder);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_child_make(s, STORE_ROOT, "new", 3, &id), 0);
	ck_assert_int_eq(store_commit(s), 0);
	store_close(s);
}
END_TEST

static void overwrite(const char *path, size_t from, size_t n, int c)
{
	FILE *f = fopen(path, "r+e");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, (long)from, SEEK_SET), 0);
	while (n--)
		fputc(c, f);
	fclose(f);
}

START_TEST(what_is_no_database_is_thrown_away)
{
	char path[700];
	struct store *s;

	store_close(open_store());
	db_path(path, "");
	overwrite(path, 0, 5000, 'x');
	s = open_store();
	make_child(s, STORE_ROOT, "a");
	store_close(s);
	ck_assert_int_eq(truncate(path, 8192), 0);
	s = open_store();
	make_child(s, STORE_ROOT, "a");
	store_close(s);
	ck_assert_int_eq(truncate(path, 3), 0);
	s = open_store();
	make_child(s, STORE_ROOT, "a");
	store_close(s);
}
END_TEST

static void run_sql(struct store *s, const char *text)
{
	ck_assert_int_eq(sqlite3_exec(s->writer.db, text, NULL, NULL, NULL),
			 SQLITE_OK);
}

/* Every file has one: without it nothing can be found, nor added. */
START_TEST(a_lost_root_is_damage)
{
	struct store *s = open_store();
	struct store_stats st;
	struct store_dir d;

	run_sql(s, "DELETE FROM dirs WHERE id = 1");
	ck_assert_int_eq(store_dir_get(s, STORE_ROOT, &d), -ENOENT);
	ck_assert(store_heal(s));
	ck_assert_int_eq(store_dir_get(s, STORE_ROOT, &d), 0);
	store_get_stats(s, &st);
	ck_assert_uint_eq(st.rebuilt, 1);
	store_close(s);
}
END_TEST

/* No room for more: what there is stays. */
START_TEST(a_full_disk_is_no_damage)
{
	struct store *s = open_store();
	struct store_stats st;
	unsigned int n = 0;
	int err = 0;

	for (; n < 10; n++) {
		ck_assert_int_eq(store_begin(s), 0);
		ck_assert_int_eq(put_numbered(s, n), 0);
		ck_assert_int_eq(store_commit(s), 0);
	}
	run_sql(s, "PRAGMA max_page_count=60");
	for (; n < 1000 && !err; n++) {
		err = store_begin(s);
		if (err)
			break;
		err = put_numbered(s, n);
		if (err)
			store_abort(s);
		else
			err = store_commit(s);
	}
	ck_assert_int_eq(err, -ENOSPC);
	run_sql(s, "PRAGMA max_page_count=1000000");
	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(put_numbered(s, 1000), 0);
	ck_assert_int_eq(store_commit(s), 0);
	store_get_stats(s, &st);
	ck_assert_uint_eq(st.rebuilt, 0);
	for (unsigned int i = 0; i < 10; i++)
		ck_assert_int_eq(check_numbered(s, i), 1);
	store_close(s);
}
END_TEST

/* A number is never used for another directory, not even of a new file. */
START_TEST(numbers_are_never_given_out_twice)
{
	uint64_t ids[30], first;
	struct store *s;
	char path[700], name[16];

	atomic_store(&fake_time_frozen_ms, 1800000000000LL);
	s = open_store();
	for (int i = 0; i < 30; i++) {
		snprintf(name, sizeof(name), "a%d", i);
		ids[i] = make_child(s, STORE_ROOT, name);
	}
	db_path(path, "");
	unlink(path);
	first = make_child(s, STORE_ROOT, "other");
	for (int i = 0; i < 30; i++)
		ck_assert_uint_ne(ids[i], first);
	store_close(s);
}
END_TEST

static uint64_t make_snap(struct store *s)
{
	uint64_t snap = 0;

	ck_assert_int_eq(store_begin(s), 0);
	ck_assert_int_eq(store_snap_new(s, &snap), 0);
	ck_assert_int_eq(store_commit(s), 0);
	return snap;
}

/* Nor one of a listing, though two files begin in one second: a reader still
 * has leaves of the old one.  Whoever begins the new one. */
START_TEST(listings_of_two_files_have_other_numbers)
{
	const bool other_begins = _i;
	struct store *s, *other;
	uint64_t top = 0, dir, now;
	char path[700];

	atomic_store(&fake_time_frozen_ms, 1800000000000LL);
	for (int tries = 0; tries < 5; tries++) {
		s = open_store();
		/* More than a second has numbers for. */
		for (int i = 0; i < 20; i++)
			top = make_snap(s);
		run_sql(s, "UPDATE sqlite_sequence SET seq=seq+20000 "
			   "WHERE name='snaps'");
		top = make_snap(s);
		dir = make_child(s, STORE_ROOT, "a");
		db_path(path, "");
		unlink(path);
		other = other_begins ? open_store() : NULL;
		if (other)
			make_snap(other);
		now = make_snap(s);
		ck_assert_uint_gt(now, top);
		ck_assert_uint_gt(make_child(s, STORE_ROOT, "a"), dir);
		store_close(s);
		store_close(other);
		unlink(path);
	}
}
END_TEST

/* ---- flipped bytes ---- */

#define DIRS 60

static struct {
	struct store_dir dirs[DIRS];
	unsigned char *leaves[DIRS]; /* owned; the first of each */
	int sizes[DIRS];
	unsigned char *file; /* owned */
	size_t n;
} model;

/* Half of them with a listing, the others with a name alone. */
static void make_model(void)
{
	struct store *s = open_store();
	char path[700];
	struct stat st;
	FILE *f;

	ck_assert_int_eq(store_begin(s), 0);
	for (unsigned int i = 0; i < DIRS; i++) {
		struct store_dir *d = &model.dirs[i];
		char buf[32];

		d->parent = i < 20 ? STORE_ROOT : model.dirs[i % 20].id;
		snprintf(d->name, sizeof(d->name), "directory-%03u", i);
		ck_assert_int_eq(store_child_make(s, d->parent, d->name,
						  strlen(d->name), &d->id),
				 0);
		snprintf(buf, sizeof(buf), "value %u", i);
		ck_assert_int_eq(store_name_put(s, d->id, "name", buf,
						strlen(buf), 500 + i),
				 0);
		ck_assert_int_eq(store_note_put(s, d->id, "note", buf), 0);
	}
	for (unsigned int i = 0; i < DIRS; i += 2) {
		struct store_dir *d = &model.dirs[i];
		struct build b;

		build_init(&b, s, d->id);
		for (unsigned int k = 0; k < 20; k++) {
			struct rec r = {.size = i * 1000 + k};

			r.len = (size_t)snprintf(r.name, sizeof(r.name), "f%u",
						 k + 100);
			ck_assert_int_eq(build_add(&b, &r), 0);
		}
		ck_assert_int_eq(build_flush(&b), 0);
		d->since_ms = 1000 + i;
		d->entries = 20;
		d->nsegs = 1;
		d->segs[0] = (struct store_seg){b.snap, b.leaves};
		ck_assert_int_eq(store_dir_put(s, d), 0);
		model.leaves[i] = malloc(REC_LEAF_MAX);
	}
	ck_assert_int_eq(store_commit(s), 0);
	for (unsigned int i = 0; i < DIRS; i += 2)
		model.sizes[i] = store_leaf_get(s, model.dirs[i].segs[0].snap,
						0, model.leaves[i]);
	store_close(s);
	db_path(path, "");
	ck_assert_int_eq(stat(path, &st), 0);
	model.n = (size_t)st.st_size;
	model.file = malloc(model.n);
	f = fopen(path, "re");
	ck_assert_uint_eq(fread(model.file, 1, model.n, f), model.n);
	fclose(f);
}

static void free_model(void)
{
	for (unsigned int i = 0; i < DIRS; i++)
		free(model.leaves[i]);
	free(model.file);
}

/* The file with so many changed bytes in its place. */
static void write_flipped(unsigned int flips)
{
	unsigned char *copy = malloc(model.n);
	char path[700], other[700];
	FILE *f;

	memcpy(copy, model.file, model.n);
	while (flips > 0) {
		const size_t at = names_below(model.n);

		if (!model.file[at])
			continue; /* mostly where nothing stands */
		copy[at] ^= (unsigned char)(1U << names_below(8));
		flips--;
	}
	db_path(path, "");
	db_path(other, "-wal");
	unlink(other);
	db_path(other, "-shm");
	unlink(other);
	f = fopen(path, "we");
	ck_assert_uint_eq(fwrite(copy, 1, model.n, f), model.n);
	fclose(f);
	free(copy);
}

/* Wrong answers: all trials are made before they are told. */
static unsigned int wrong;
static char first_wrong[300];

__attribute__((format(printf, 2, 3))) static void expect(bool ok,
							 const char *what, ...)
{
	va_list ap;

	if (ok || wrong++)
		return;
	va_start(ap, what);
	vsnprintf(first_wrong, sizeof(first_wrong), what, ap);
	va_end(ap);
}

/* The directory's row, by name and by number. */
static unsigned int check_dir(struct store *s, const struct store_dir *d)
{
	struct store_dir got;
	unsigned int known = 0;
	uint64_t id;

	if (!store_dir_find(s, d->parent, d->name, &id)) {
		expect(id == d->id, "%s is %llu, not %llu", d->name,
		       (unsigned long long)id, (unsigned long long)d->id);
		known++;
	}
	if (store_dir_get(s, d->id, &got))
		return known;
	expect(!strcmp(got.name, d->name), "name %s, not %s", got.name,
	       d->name);
	expect(got.parent == d->parent, "another parent of %s", d->name);
	expect(!got.since_ms ||
		       (got.since_ms == d->since_ms &&
			got.entries == d->entries && got.flags == d->flags &&
			got.nsegs == d->nsegs &&
			got.segs[0].snap == d->segs[0].snap &&
			got.segs[0].leaves == d->segs[0].leaves),
	       "another listing of %s", d->name);
	return known + 1;
}

/* What the store says must be what was written; how much it says. */
static unsigned int check_model(struct store *s)
{
	unsigned char leaf[REC_LEAF_MAX];
	unsigned int known = 0;
	char buf[600], want[32];
	uint64_t since;

	for (unsigned int i = 0; i < DIRS; i++) {
		const struct store_dir *d = &model.dirs[i];
		int n = -1;

		known += check_dir(s, d);
		if (d->nsegs)
			n = store_leaf_get(s, d->segs[0].snap, 0, leaf);
		if (n >= 0) {
			expect(n == model.sizes[i] &&
				       !memcmp(leaf, model.leaves[i],
					       (size_t)n),
			       "another leaf of %s", d->name);
			known++;
		}
		snprintf(want, sizeof(want), "value %u", i);
		n = store_name_get(s, d->id, "name", buf, sizeof(buf), &since);
		if (n >= 0) {
			expect(n == (int)strlen(want) &&
				       !memcmp(buf, want, (size_t)n) &&
				       since == 500 + i,
			       "another name in %s", d->name);
			known++;
		}
		n = store_note_get(s, d->id, "note", buf, sizeof(buf));
		if (n >= 0) {
			expect(!strcmp(buf, want), "another note in %s",
			       d->name);
			known++;
		}
	}
	return known;
}

/* A directory that is made must not be another that was there. */
static int make_all(struct store *s)
{
	int err = store_begin(s);

	if (err)
		return err;
	for (unsigned int i = 0; i < DIRS && !err; i++) {
		const struct store_dir *d = &model.dirs[i];
		uint64_t id;

		if (d->parent != STORE_ROOT)
			continue;
		err = store_child_make(s, d->parent, d->name, strlen(d->name),
				       &id);
		for (unsigned int k = 0; k < DIRS && !err; k++)
			expect(k == i || id != model.dirs[k].id,
			       "%s made as %s", d->name, model.dirs[k].name);
	}
	if (err) {
		store_abort(s);
		return err;
	}
	return store_commit(s);
}

static int write_new(struct store *s)
{
	int err = store_begin(s);

	if (err)
		return err;
	err = put_numbered(s, 1);
	if (err) {
		store_abort(s);
		return err;
	}
	return store_commit(s);
}

START_TEST(flipped_bytes_never_give_a_wrong_answer)
{
	const unsigned int all = DIRS * 4 + DIRS / 2;
	unsigned int less = 0, trials = 0, kept = 0;

	is_flipped = true;
	make_model();
	names_seed(23 + (uint64_t)_i);
	for (; trials < 50; trials++) {
		const unsigned int before = wrong;
		struct store *s;
		int tries = 0;

		write_flipped(1 + (unsigned int)names_below(16));
		/* The numbers of a new file are then others. */
		fake_time_pass(5000);
		s = open_store();
		less += check_model(s) < all;
		while (make_all(s))
			ck_assert_int_lt(++tries, 4);
		tries = 0;
		while (write_new(s))
			ck_assert_int_lt(++tries, 4);
		kept += check_numbered(s, 1);
		store_close(s);
		wrong = wrong > before ? before + 1 : before;
	}
	ck_assert_uint_gt(less, 0);
	ck_assert_uint_ge(kept, trials - 3); /* hardly ever */
	ck_assert_msg(!wrong, "%u of %u trials; the first: %s", wrong, trials,
		      first_wrong);
	free_model();
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("names_store_harm");
	TCase *tc = tcase_create("names_store_harm");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, two_opens_see_each_other);
	tcase_add_test(tc, a_mount_outlives_another);
	tcase_add_test(tc, a_mount_outlives_a_writer);
	tcase_add_test(tc, processes_agree);
	tcase_add_test(tc, killed_writers_lose_nothing_committed);
	tcase_add_test(tc, a_removed_file_is_made_anew);
	tcase_add_test(tc, a_removed_folder_is_made_anew);
	tcase_add_test(tc, what_is_no_database_is_thrown_away);
	tcase_add_test(tc, a_lost_root_is_damage);
	tcase_add_test(tc, a_full_disk_is_no_damage);
	tcase_add_test(tc, numbers_are_never_given_out_twice);
	tcase_add_loop_test(tc, listings_of_two_files_have_other_numbers, 0, 2);
	tcase_add_loop_test(tc, flipped_bytes_never_give_a_wrong_answer, 0, 4);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
