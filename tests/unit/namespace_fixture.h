/* SPDX-License-Identifier: Apache-2.0 */
/* A namespace over made-up S3, in a folder of the test's own. */
#ifndef S3RDMAFS_TESTS_NAMESPACE_FIXTURE_H
#define S3RDMAFS_TESTS_NAMESPACE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>

#include "cache/namespace.h"
#include "fake_s3.h"
#include "fake_time.h"
#include "names.h"
#include "scratch.h"

#define ROOT NAMESPACE_ROOT

static struct s3 *s3;
static struct namespace *ns;
static struct namespace_config config;
static char folder[256];

static inline void fixture_setup(void)
{
	scratch_make();
	setenv("TMPDIR", scratch, 1); /* of a store that does not stay */
	snprintf(folder, sizeof(folder), "%s/store", scratch);
	config = (struct namespace_config){
		.bucket = "b",
		.prefix = "",
		.fresh = {.ttl_ms = 60000, .negative_ttl_ms = 5000},
		.folder = folder,
		.endpoint = "http://e"};
}

static inline void mount_ns(void)
{
	char why[600];

	ck_assert_msg(!namespace_new(&config, s3, &ns, why, sizeof(why)), "%s",
		      why);
}

static inline void unmount_ns(void)
{
	namespace_stop(ns);
	namespace_free(ns);
	ns = NULL;
}

static inline void begin_ns(enum fake_order order, unsigned int page)
{
	s3 = fake_s3_new(order, page);
	mount_ns();
}

static inline void end_ns(void)
{
	unmount_ns();
	fake_s3_free(s3);
}

static inline void put(const char *key)
{
	char etag[S3_ETAG_MAX];

	names_etag(etag, strlen(key), 77);
	fake_s3_put(s3, "b", key, etag, strlen(key));
}

/* ---- its store ---- */

static inline void db_path(char *out, size_t cap)
{
	DIR *d = opendir(folder);

	ck_assert_ptr_nonnull(d);
	for (const struct dirent *e; (e = readdir(d));) {
		const size_t n = strlen(e->d_name);

		if (n > 3 && !strcmp(e->d_name + n - 3, ".db"))
			snprintf(out, cap, "%s/%s", folder, e->d_name);
	}
	closedir(d);
}

/* What a question of one number says. */
static inline long long ask_db(const char *sql)
{
	char path[600];
	sqlite3 *db;
	sqlite3_stmt *st;
	long long n;

	db_path(path, sizeof(path));
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 10000);
	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

#define HALF_MADE "SELECT count(*) FROM snaps WHERE state=0"

/* ---- reading ---- */

/* A directory's names, as they came. */
struct seen {
	struct rec *recs; /* owned */
	size_t n, cap;
	size_t max; /* takes so many a call; 0: no limit */
	size_t taken;
};

static inline int see(void *ctx, const struct rec *r, uint64_t next)
{
	struct seen *s = ctx;

	(void)next;
	if (s->max && s->taken == s->max)
		return 1;
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->recs = realloc(s->recs, s->cap * sizeof(*r));
	}
	s->recs[s->n++] = *r;
	s->taken++;
	return 0;
}

/* All of an open directory behind *pos; 0 or why it ended early. */
static inline int read_on(struct ns_dir *d, uint64_t *pos, struct seen *s)
{
	size_t before;
	int err;

	do {
		before = s->n;
		s->taken = 0;
		err = namespace_read_dir(ns, d, pos, true, see, s);
	} while (!err && s->n > before);
	return err;
}

static inline int read_dir(uint64_t dir, struct seen *s)
{
	uint64_t pos = 0;
	struct ns_dir *d;
	int err;

	*s = (struct seen){.max = s->max};
	err = namespace_open_known(ns, dir, &d);
	if (err == -EAGAIN)
		err = namespace_open_dir(ns, dir, &d);
	if (err)
		return err;
	err = read_on(d, &pos, s);
	namespace_close_dir(ns, d);
	return err;
}

/* Who reads a listing may be at its end before it is kept. */
static inline void settle(uint64_t dir)
{
	struct ns_dir *d;

	for (int i = 0; i < 2000; i++) {
		if (!namespace_open_known(ns, dir, &d)) {
			namespace_close_dir(ns, d);
			return;
		}
		usleep(1000);
	}
	ck_abort_msg("the listing of %llu is not kept",
		     (unsigned long long)dir);
}

static inline void seen_free(struct seen *s)
{
	free(s->recs);
	*s = (struct seen){.max = s->max};
}

/* How often a name came; as what. */
static inline unsigned int times(const struct seen *s, const char *name,
				 bool is_dir)
{
	unsigned int n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += !strcmp(s->recs[i].name, name) &&
		     s->recs[i].is_dir == is_dir;
	return n;
}

/* As S3 lists them. */
static inline void check_order(const struct seen *s)
{
	for (size_t i = 1; i < s->n; i++)
		ck_assert_msg(names_by_s3(&s->recs[i - 1], &s->recs[i]) < 0,
			      "%s before %s", s->recs[i - 1].name,
			      s->recs[i].name);
}

/* The path by looking at each component; 0 or -errno. */
static inline int walk_to(const char *path, struct ns_attr *out)
{
	char name[300];
	uint64_t left;

	*out = (struct ns_attr){.is_dir = true, .dir = ROOT};
	while (*path) {
		const size_t n = strcspn(path, "/");
		int err;

		if (!out->is_dir)
			return -ENOTDIR;
		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		err = namespace_look(ns, out->dir, name, out, &left);
		if (err)
			return err;
		path += n + (path[n] == '/');
	}
	return 0;
}

static inline uint64_t dir_of(const char *path)
{
	struct ns_attr a;

	ck_assert_int_eq(walk_to(path, &a), 0);
	ck_assert(a.is_dir);
	return a.dir;
}

/* Pages asked for since the last question, of any kind. */
static inline unsigned int asked(void)
{
	const struct fake_calls c = fake_s3_calls(s3);

	return c.head + c.look + c.list;
}

#endif
