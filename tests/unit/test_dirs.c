/* SPDX-License-Identifier: Apache-2.0 */
/* Directories in memory: finding names, reading listings while they grow. */
#include "cache/dirs.h"

#include <errno.h>

#include "base/thread.h"
#include "cache/build.h"
#include "names.h"
#include "scratch.h"

static struct store *store;
static struct dirs *dirs;

static void setup(void)
{
	struct store_config cfg = {.source = "test"};
	char folder[200], why[300];

	scratch_make();
	snprintf(folder, sizeof(folder), "%s/s", scratch);
	cfg.folder = folder;
	ck_assert_int_eq(store_open(&cfg, &store, why, sizeof(why)), 0);
	ck_assert_int_eq(dirs_new(store, &dirs), 0);
}

static void teardown(void)
{
	dirs_free(dirs);
	store_close(store);
}

/* ---- a model ---- */

#define MAX 3000

static struct rec recs[MAX];
static unsigned int nrecs;

/* Names that like to stand together, in order, each once. */
static void random_recs(unsigned int want)
{
	unsigned int n = 0;

	memset(recs, 0, sizeof(recs));
	for (unsigned int i = 0; i < want; i++) {
		struct rec *r = &recs[i];

		r->len = names_name(r->name, 1, 1 + names_below(6), "ab-.!~0");
		r->is_dir = names_below(3) == 0;
		if (!r->is_dir)
			r->size = 1 + names_below(1000);
	}
	qsort(recs, want, sizeof(recs[0]), names_by_s3);
	for (unsigned int i = 0; i < want; i++)
		if (!n || names_by_s3(&recs[n - 1], &recs[i]) < 0)
			recs[n++] = recs[i];
	nrecs = n;
}

/* What is to be seen of a name: the directory, where there are both. */
static const struct rec *model_find(const char *name)
{
	const struct rec *found = NULL;

	for (unsigned int i = 0; i < nrecs; i++)
		if (!strcmp(recs[i].name, name) && (!found || recs[i].is_dir))
			found = &recs[i];
	return found;
}

static unsigned int model_count(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nrecs; i++)
		n += model_find(recs[i].name) == &recs[i];
	return n;
}

/* The recs from..to as one segment; a leaf of about so many each. */
static void write_seg(struct store_dir *d, unsigned int from, unsigned int to,
		      unsigned int leaf)
{
	struct build b;

	build_init(&b, store, d->id);
	for (unsigned int i = from; i < to; i++) {
		struct rec r = recs[i];

		ck_assert_int_eq(build_add(&b, &r), 0);
		if (r.is_dir)
			recs[i].dir = r.dir;
		if (names_below(leaf) == 0)
			ck_assert_int_eq(build_flush(&b), 0);
	}
	ck_assert_int_eq(build_flush(&b), 0);
	d->flags |= b.flags;
	d->entries += b.entries;
	if (b.leaves)
		d->segs[d->nsegs++] = (struct store_seg){b.snap, b.leaves};
}

static struct dir *make_dir(const char *name, unsigned int segs,
			    unsigned int leaf)
{
	struct store_dir d = {.parent = STORE_ROOT, .since_ms = 5};
	unsigned int from = 0;
	struct dir *dir;

	snprintf(d.name, sizeof(d.name), "%s", name);
	ck_assert_int_eq(store_begin(store), 0);
	ck_assert_int_eq(
		store_child_make(store, STORE_ROOT, name, strlen(name), &d.id),
		0);
	for (unsigned int i = 1; i <= segs; i++) {
		unsigned int to = i == segs ? nrecs : nrecs * i / segs;

		if (i < segs && to)
			to -= (unsigned int)names_below(to - from + 1);
		write_seg(&d, from, to, leaf);
		from = to;
	}
	if (model_count() < nrecs)
		d.flags |= STORE_HIDES; /* over cuts too */
	else
		ck_assert_uint_eq(d.flags, 0);
	ck_assert_int_eq(store_dir_put(store, &d), 0);
	ck_assert_int_eq(store_commit(store), 0);
	dir = dirs_get(dirs, d.id);
	ck_assert_ptr_nonnull(dir);
	dirs_update(dirs, &d);
	return dir;
}

/* ---- reading ---- */

struct reader {
	struct snap *snap;
	struct rec *got; /* owned */
	unsigned int n, max, taken;
	snap_pos next;
	int err;
};

static int take(void *ctx, const struct rec *r, snap_pos next)
{
	struct reader *rd = ctx;

	if (rd->max && rd->taken == rd->max)
		return 1;
	ck_assert_uint_lt(rd->n, MAX);
	rd->got[rd->n++] = *r;
	rd->taken++;
	rd->next = next;
	return 0;
}

static void *read_all(void *arg)
{
	struct reader *rd = arg;
	snap_pos pos = 0;
	unsigned int before;

	do {
		before = rd->n;
		rd->taken = 0;
		rd->err = dirs_read(dirs, rd->snap, &pos, true, take, rd);
		if (rd->n > before) /* a position is what each was told */
			pos = rd->next;
	} while (!rd->err && rd->n > before);
	return NULL;
}

static void check_read(const struct reader *rd)
{
	ck_assert_int_eq(rd->err, 0);
	ck_assert_uint_eq(rd->n, model_count());
	for (unsigned int i = 0; i < rd->n; i++) {
		const struct rec *want = model_find(rd->got[i].name);

		ck_assert_msg(want != NULL, "%s", rd->got[i].name);
		ck_assert_msg(want->is_dir == rd->got[i].is_dir, "%s",
			      rd->got[i].name);
		ck_assert_uint_eq(want->size, rd->got[i].size);
		for (unsigned int k = 0; k < i && rd->n < 400; k++)
			ck_assert_msg(
				strcmp(rd->got[k].name, rd->got[i].name) != 0,
				"%s twice", rd->got[i].name);
	}
}

START_TEST(names_are_found_over_segments)
{
	names_seed((uint64_t)_i);
	for (int round = 0; round < 6; round++) {
		struct dir *dir;
		struct snap *s;
		char name[8];

		random_recs(1 + (unsigned int)names_below(300));
		snprintf(name, sizeof(name), "d%d", round);
		dir = make_dir(name, 1 + (unsigned int)names_below(10),
			       1 + (unsigned int)names_below(40));
		s = dirs_snap(dirs, dir);
		ck_assert_ptr_nonnull(s);
		for (int k = 0; k < 1000; k++) {
			const struct rec *want;
			struct rec got;
			int found;

			if (k < (int)nrecs)
				snprintf(name, sizeof(name), "%s",
					 recs[k].name);
			else
				names_name(name, 1, 5, "ab-.!~0c");
			want = model_find(name);
			found = dirs_find(dirs, s, name, &got);
			ck_assert_msg(found == (want != NULL), "%s: %d", name,
				      found);
			if (!want)
				continue;
			ck_assert_str_eq(got.name, name);
			ck_assert_msg(got.is_dir == want->is_dir, "%s", name);
			if (want->is_dir)
				ck_assert_uint_eq(got.dir, want->dir);
			else
				ck_assert_uint_eq(got.size, want->size);
		}
		dirs_snap_put(dirs, s);
		dirs_put(dirs, dir);
	}
}
END_TEST

START_TEST(whole_ones_are_read)
{
	names_seed(50 + (uint64_t)_i);
	for (int round = 0; round < 8; round++) {
		struct reader rd = {.max = (unsigned int)names_below(5)};
		struct dir *dir;
		char name[8];

		random_recs((unsigned int)names_below(250));
		snprintf(name, sizeof(name), "d%d", round);
		dir = make_dir(name, 1 + (unsigned int)names_below(6),
			       1 + (unsigned int)names_below(40));
		rd.got = calloc(MAX, sizeof(*rd.got));
		rd.snap = dirs_snap(dirs, dir);
		read_all(&rd);
		check_read(&rd);
		free(rd.got);
		dirs_snap_put(dirs, rd.snap);
		dirs_put(dirs, dir);
	}
}
END_TEST

/* Positions that no listing gave: an end or an error, nothing worse. */
START_TEST(any_position_is_harmless)
{
	struct reader rd = {.max = 3};
	struct dir *dir;

	names_seed(9);
	random_recs(200);
	dir = make_dir("d", 4, 20);
	rd.got = calloc(MAX, sizeof(*rd.got));
	rd.snap = dirs_snap(dirs, dir);
	for (int i = 0; i < 20000; i++) {
		snap_pos pos = names_random() >> names_below(64);

		rd.n = rd.taken = 0;
		dirs_read(dirs, rd.snap, &pos, true, take, &rd);
	}
	free(rd.got);
	dirs_snap_put(dirs, rd.snap);
	dirs_put(dirs, dir);
}
END_TEST

/* ---- growing ---- */

/* Segments of names that are only files, each in its own place. */
static void plain_recs(unsigned int n)
{
	memset(recs, 0, sizeof(recs));
	for (nrecs = 0; nrecs < n; nrecs++) {
		struct rec *r = &recs[nrecs];

		r->len = (size_t)snprintf(r->name, sizeof(r->name), "f%06u",
					  nrecs);
		r->size = nrecs + 1;
	}
}

#define SEGS 5

struct growth {
	struct build b[SEGS];
	uint32_t seg[SEGS];
	unsigned int at[SEGS], end[SEGS];
};

static void grow_one(struct growth *g, struct snap *s, unsigned int k)
{
	unsigned int n = 1 + (unsigned int)names_below(40);

	ck_assert_int_eq(store_begin(store), 0);
	for (; n && g->at[k] < g->end[k]; n--, g->at[k]++)
		ck_assert_int_eq(build_add(&g->b[k], &recs[g->at[k]]), 0);
	ck_assert_int_eq(build_flush(&g->b[k]), 0);
	ck_assert_int_eq(store_commit(store), 0);
	dirs_seg_grow(dirs, s, g->seg[k], g->b[k].snap, g->b[k].leaves);
	if (g->at[k] == g->end[k])
		dirs_seg_end(dirs, s, g->seg[k], g->b[k].entries, 0);
}

/* In the order of chance, the ranges cut off while others grow. */
static void grow(struct growth *g, struct snap *s, uint64_t id)
{
	unsigned int left = SEGS, segs = 1;

	for (unsigned int k = 0; k < SEGS; k++) {
		build_init(&g->b[k], store, id);
		g->at[k] = nrecs * k / SEGS;
		g->end[k] = nrecs * (k + 1) / SEGS;
	}
	g->seg[0] = 0;
	while (left) {
		const unsigned int k = (unsigned int)names_below(SEGS);

		/* Cut from the last on, each behind the first. */
		if (segs < SEGS) {
			g->seg[SEGS - segs] = dirs_seg_add(dirs, s, 0);
			ck_assert_uint_eq(g->seg[SEGS - segs], segs);
			segs++;
			if (g->at[0] < g->end[0] - 50)
				grow_one(g, s, 0);
			continue;
		}
		if (g->at[k] == g->end[k])
			continue;
		grow_one(g, s, k);
		left -= g->at[k] == g->end[k];
		if (names_below(4) == 0)
			usleep(100);
	}
}

START_TEST(readers_follow_what_grows)
{
	struct growth *g = calloc(1, sizeof(*g));
	struct reader rd[4] = {
		{.max = 0}, {.max = 1}, {.max = 17}, {.max = 1000}};
	struct snap *s = dirs_snap_new(7);
	struct store_dir packed;
	struct dir *root = dirs_get(dirs, STORE_ROOT);
	pthread_t threads[4];

	names_seed(70 + (uint64_t)_i);
	plain_recs(2000);
	for (int i = 0; i < 4; i++) {
		rd[i].got = calloc(MAX, sizeof(*rd[i].got));
		rd[i].snap = dirs_listing_ref(dirs, s);
		ck_assert_int_eq(
			thread_start(&threads[i], "read", read_all, &rd[i]), 0);
	}
	grow(g, s, STORE_ROOT);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		ck_assert_int_eq(rd[i].err, 0);
		ck_assert_uint_eq(rd[i].n, nrecs);
		for (unsigned int k = 0; k < nrecs; k++)
			ck_assert_str_eq(rd[i].got[k].name, recs[k].name);
		free(rd[i].got);
		dirs_snap_put(dirs, rd[i].snap);
	}
	ck_assert_int_eq(dirs_await(dirs, s), 0);
	dirs_snap_pack(dirs, root, s, &packed);
	ck_assert_uint_eq(packed.nsegs, SEGS);
	ck_assert_uint_eq(packed.entries, nrecs);
	for (unsigned int k = 0; k < SEGS; k++)
		ck_assert_uint_eq(packed.segs[k].snap, g->b[k].snap);
	dirs_snap_put(dirs, s);
	dirs_put(dirs, root);
	free(g);
}
END_TEST

START_TEST(who_does_not_wait_is_told)
{
	struct snap *s = dirs_snap_new(7);
	struct reader rd = {.got = calloc(MAX, sizeof(struct rec))};
	snap_pos pos = 0;

	ck_assert_int_eq(dirs_read(dirs, s, &pos, false, take, &rd), -EAGAIN);
	dirs_seg_end(dirs, s, 0, 0, 0);
	ck_assert_int_eq(dirs_read(dirs, s, &pos, false, take, &rd), 0);
	ck_assert_int_eq(dirs_read(dirs, s, &pos, true, take, &rd), 0);
	ck_assert_uint_eq(rd.n, 0);
	dirs_snap_put(dirs, s);
	free(rd.got);
}
END_TEST

START_TEST(who_waits_is_told_of_errors)
{
	struct snap *s = dirs_snap_new(7);
	struct reader rd[3] = {{.snap = s}, {.snap = s}, {.snap = s}};
	pthread_t threads[3];

	for (int i = 0; i < 3; i++) {
		rd[i].got = calloc(MAX, sizeof(struct rec));
		ck_assert_int_eq(
			thread_start(&threads[i], "read", read_all, &rd[i]), 0);
	}
	usleep(5000);
	if (_i)
		dirs_stop(dirs);
	else
		dirs_snap_fail(dirs, s, -EACCES);
	dirs_snap_fail(dirs, s, -ENOENT); /* the first is what counts */
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		ck_assert(rd[i].err == (_i ? -EIO : -EACCES) ||
			  (_i && rd[i].err == -ENOENT));
		free(rd[i].got);
	}
	ck_assert_int_lt(dirs_await(dirs, s), 0);
	ck_assert_int_eq(dirs_snap_err(dirs, s), _i ? -ENOENT : -EACCES);
	dirs_snap_put(dirs, s);
}
END_TEST

START_TEST(segments_have_an_end)
{
	struct snap *s = dirs_snap_new(7);

	for (uint32_t i = 1; i < STORE_SEGS; i++)
		ck_assert_uint_eq(dirs_seg_add(dirs, s, i - 1), i);
	ck_assert_uint_eq(dirs_seg_add(dirs, s, 0), SNAP_NONE);
	dirs_snap_put(dirs, s);
}
END_TEST

/* ---- what is kept ---- */

START_TEST(one_listing_at_a_time)
{
	struct dir *d = dirs_get(dirs, STORE_ROOT);
	struct snap *a = dirs_snap_new(1), *b = dirs_snap_new(2), *got;

	ck_assert_ptr_null(dirs_listing(dirs, d));
	ck_assert(dirs_listing_set(dirs, d, NULL, a));
	ck_assert(!dirs_listing_set(dirs, d, NULL, b));
	got = dirs_listing(dirs, d);
	ck_assert_ptr_eq(got, a);
	dirs_snap_put(dirs, got);
	ck_assert(dirs_listing_set(dirs, d, a, NULL));
	ck_assert(dirs_listing_set(dirs, d, NULL, b));
	dirs_snap_put(dirs, a);
	dirs_snap_put(dirs, b);
	ck_assert_ptr_eq(dirs_get(dirs, STORE_ROOT), d);
	dirs_put(dirs, d);
	dirs_put(dirs, d);
	ck_assert_ptr_null(dirs_get(dirs, 12345));
}
END_TEST

START_TEST(memory_is_bounded)
{
	struct dirs_stats st;
	char name[16];
	uint64_t parent = STORE_ROOT, *ids = calloc(20000, sizeof(*ids));

	ck_assert_int_eq(store_begin(store), 0);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ck_assert_int_eq(store_child_make(store, parent, name,
						  strlen(name), &ids[i]),
				 0);
		if (i % 1000 == 0)
			parent = ids[i];
	}
	ck_assert_int_eq(store_commit(store), 0);
	for (int i = 0; i < 20000; i++) {
		struct dir *d = dirs_get(dirs, ids[i]);

		ck_assert_ptr_nonnull(d);
		snprintf(name, sizeof(name), "n%d", i);
		ck_assert_str_eq(d->path + d->name_at, name);
		dirs_put(dirs, d);
	}
	dirs_get_stats(dirs, &st);
	ck_assert_uint_lt(st.dirs, 10000);
	free(ids);
}
END_TEST

START_TEST(leaves_are_bounded_and_gone_ones_are_stale)
{
	struct store_dir d = {.id = STORE_ROOT, .since_ms = 1, .nsegs = 1};
	struct dirs_stats st;
	struct reader rd = {.got = calloc(MAX, sizeof(struct rec))};
	struct dir *root;
	struct build b;
	snap_pos pos = 0;

	ck_assert_int_eq(store_begin(store), 0);
	build_init(&b, store, STORE_ROOT);
	for (unsigned int i = 0; i < 9000; i++) {
		struct rec r = {.size = i};

		r.len = (size_t)snprintf(r.name, sizeof(r.name), "f%06u", i);
		ck_assert_int_eq(build_add(&b, &r), 0);
		ck_assert_int_eq(build_flush(&b), 0); /* a leaf each */
	}
	d.segs[0] = (struct store_seg){b.snap, b.leaves};
	ck_assert_int_eq(store_dir_put(store, &d), 0);
	ck_assert_int_eq(store_commit(store), 0);
	root = dirs_get(dirs, STORE_ROOT);
	dirs_update(dirs, &d);
	rd.snap = dirs_snap(dirs, root);
	for (unsigned int i = 0; i < 9000; i += 1000)
		for (rd.n = rd.taken = 0, rd.max = 1000; rd.taken < 1000;)
			ck_assert_int_eq(
				dirs_read(dirs, rd.snap, &pos, true, take, &rd),
				0);
	dirs_get_stats(dirs, &st);
	ck_assert_uint_gt(st.leaves, 1000);
	ck_assert_uint_lt(st.leaves, 7000);
	dirs_snap_put(dirs, rd.snap);
	/* A leaf that the store does not have. */
	d.segs[0].snap++;
	dirs_update(dirs, &d);
	rd.snap = dirs_snap(dirs, root);
	pos = 0;
	ck_assert_int_eq(dirs_read(dirs, rd.snap, &pos, true, take, &rd),
			 -ESTALE);
	ck_assert_int_eq(dirs_find(dirs, rd.snap, "f000001", &recs[0]),
			 -EAGAIN);
	dirs_snap_put(dirs, rd.snap);
	dirs_forget_snap(dirs, STORE_ROOT);
	ck_assert_ptr_null(dirs_snap(dirs, root));
	dirs_put(dirs, root);
	free(rd.got);
}
END_TEST

/* As deep as a key can be. */
START_TEST(deep_directories_have_paths)
{
	uint64_t id = STORE_ROOT;
	struct dir *d;

	ck_assert_int_eq(store_begin(store), 0);
	for (int i = 0; i < 512; i++)
		ck_assert_int_eq(store_child_make(store, id, "d", 1, &id), 0);
	ck_assert_int_eq(store_commit(store), 0);
	d = dirs_get(dirs, id);
	ck_assert_ptr_nonnull(d);
	ck_assert_uint_eq(strlen(d->path), 1023);
	dirs_put(dirs, d);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("dirs");
	TCase *tc = tcase_create("dirs");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, names_are_found_over_segments, 0, 10);
	tcase_add_loop_test(tc, whole_ones_are_read, 0, 10);
	tcase_add_test(tc, any_position_is_harmless);
	tcase_add_loop_test(tc, readers_follow_what_grows, 0, 5);
	tcase_add_test(tc, who_does_not_wait_is_told);
	tcase_add_loop_test(tc, who_waits_is_told_of_errors, 0, 2);
	tcase_add_test(tc, segments_have_an_end);
	tcase_add_test(tc, one_listing_at_a_time);
	tcase_add_test(tc, memory_is_bounded);
	tcase_add_test(tc, leaves_are_bounded_and_gone_ones_are_stale);
	tcase_add_test(tc, deep_directories_have_paths);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return scratch_main(suite());
}
