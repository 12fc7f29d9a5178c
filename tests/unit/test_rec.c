/* SPDX-License-Identifier: Apache-2.0 */
/* Leaves: what is written is read, and what was changed is refused. */
#include "cache/rec.h"

#include <stdlib.h>

#include "names.h"
#include "unit.h"

#define ID 0x123456789abcdefULL

/* The order of S3: by the bytes, with '/' behind a directory. */
static int model_compare(const struct rec *a, const struct rec *b)
{
	char x[REC_NAME_MAX + 2], y[REC_NAME_MAX + 2];

	snprintf(x, sizeof(x), "%s%s", a->name, a->is_dir ? "/" : "");
	snprintf(y, sizeof(y), "%s%s", b->name, b->is_dir ? "/" : "");
	return strcmp(x, y);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static struct rec named(const char *name, bool is_dir)
{
	struct rec r = {.len = strlen(name), .is_dir = is_dir};

	memcpy(r.name, name, r.len + 1);
	return r;
}

START_TEST(order_is_that_of_s3)
{
	static const char alphabet[] = "ab!-./0\x01\xff";

	names_seed(1);
	for (int i = 0; i < 4000; i++) {
		char x[8], y[8];
		struct rec a, b;

		names_name(x, 1, 4, alphabet);
		names_name(y, 1, 4, alphabet);
		for (char *p = x; *p; p++)
			*p = *p == '/' ? '+' : *p;
		for (char *p = y; *p; p++)
			*p = *p == '/' ? '+' : *p;
		a = named(x, names_below(2));
		b = named(y, names_below(2));
		ck_assert_msg(sign(names_by_s3(&a, &b)) ==
				      sign(model_compare(&a, &b)),
			      "%s %d, %s %d", x, a.is_dir, y, b.is_dir);
		ck_assert_int_eq(sign(names_by_s3(&a, &b)),
				 -sign(names_by_s3(&b, &a)));
	}
}
END_TEST

/* ---- round trips ---- */

static const char *const etags[] = {
	"",
	"\"0123456789abcdef0123456789abcdef\"",
	"\"0123456789ABCDEF0123456789abcdef\"",
	"\"0123456789abcdef0123456789abcdeg\"",
	"\"ffffffffffffffffffffffffffffffff-1\"",
	"\"ffffffffffffffffffffffffffffffff-10000\"",
	"\"ffffffffffffffffffffffffffffffff-99999\"",
	"\"ffffffffffffffffffffffffffffffff-100000\"",
	"\"ffffffffffffffffffffffffffffffff-1234567\"",
	"\"ffffffffffffffffffffffffffffffff-0\"",
	"\"ffffffffffffffffffffffffffffffff-007\"",
	"\"ffffffffffffffffffffffffffffffff-\"",
	"\"ffffffffffffffffffffffffffffffff--1\"",
	"\"ffffffffffffffffffffffffffffffff-1x\"",
	"\"ffffffffffffffffffffffffffffffff-+1\"",
	"\"ffffffffffffffffffffffffffffffff",
	"ffffffffffffffffffffffffffffffff",
	"\"ffffffffffffffffffffffffffffffff\"x",
	"\"ffffffffffffffffffffffffffffff\"",
	"W/\"ffffffffffffffffffffffffffffffff\"",
	"\"\"",
	"\"",
	"\"v1.2-anything at all\"",
};

static uint64_t random_size(void)
{
	return names_random() >> names_below(64);
}

static void random_rec(struct rec *r)
{
	static const char alphabet[] =
		"abcdefghijklmnopqrstuvwxyz0123456789-._ \xc3\xa9~!";

	memset(r, 0, sizeof(*r));
	r->len = names_name(r->name, 1, names_below(5) ? 12 : REC_NAME_MAX,
			    alphabet);
	r->is_dir = names_below(3) == 0;
	if (r->is_dir) {
		r->dir = random_size();
		r->hides = names_below(2);
		return;
	}
	r->size = random_size();
	r->mtime = (time_t)(names_below(3) ? 1600000000 + names_below(100000)
					   : names_below(1ULL << 40));
	snprintf(r->etag, sizeof(r->etag), "%s",
		 etags[names_below(ARRAY_SIZE(etags))]);
	if (names_below(50) == 0) {
		memset(r->etag, 'e', S3_ETAG_MAX - 1);
		r->etag[S3_ETAG_MAX - 1] = '\0';
	}
	if (names_below(4) == 0)
		names_name(r->storage_class, 1, REC_CLASS_MAX - 1, "ABCDEFG_");
}

static void check_same(const struct rec *got, const struct rec *want)
{
	ck_assert(got->is_dir == want->is_dir);
	if (want->is_dir) {
		ck_assert_uint_eq(got->dir, want->dir);
		ck_assert(got->hides == want->hides);
		return;
	}
	ck_assert_uint_eq(got->size, want->size);
	ck_assert_int_eq(got->mtime, want->mtime);
	ck_assert_str_eq(got->etag, want->etag);
	ck_assert_str_eq(got->storage_class, want->storage_class);
}

/* Up to max sorted entries into one leaf; how many went in. */
static unsigned int fill(struct rec_writer *w, struct rec *recs,
			 unsigned int max)
{
	unsigned int n = 0, in = 0;

	for (unsigned int i = 0; i < max; i++)
		random_rec(&recs[i]);
	qsort(recs, max, sizeof(*recs), names_by_s3);
	for (unsigned int i = 0; i < max; i++)
		if (!n || names_by_s3(&recs[n - 1], &recs[i]) < 0)
			recs[n++] = recs[i];
	rec_writer_init(w);
	while (in < n && rec_writer_add(w, &recs[in]))
		in++;
	rec_writer_finish(w, ID);
	return in;
}

static void check_leaf(const struct rec_writer *w, const struct rec *recs,
		       unsigned int n)
{
	struct rec_reader r, brief;
	unsigned int i = 0;

	ck_assert(rec_check(w->buf, w->len, ID));
	rec_reader_init(&brief, w->buf, w->len);
	ck_assert_uint_eq(rec_count(w->buf), n);
	rec_reader_init(&r, w->buf, w->len);
	for (; rec_next(&r); i++) {
		ck_assert_uint_lt(i, n);
		ck_assert_uint_eq(r.rec.len, recs[i].len);
		ck_assert_str_eq(r.rec.name, recs[i].name);
		check_same(&r.rec, &recs[i]);
		ck_assert(rec_skim(&brief));
		ck_assert_str_eq(brief.rec.name, recs[i].name);
		ck_assert(brief.rec.is_dir == recs[i].is_dir);
		if (names_below(2))
			continue;
		ck_assert(rec_fill(&brief));
		check_same(&brief.rec, &recs[i]);
	}
	ck_assert(!rec_skim(&brief));
	ck_assert_uint_eq(i, n);
	ck_assert(!rec_next(&r));
}

START_TEST(what_is_written_is_read)
{
	static struct rec recs[400];
	struct rec_writer w;
	unsigned int full = 0;

	names_seed(2 + (uint64_t)_i);
	for (int round = 0; round < 40; round++) {
		const unsigned int max = 1 + (unsigned int)names_below(
						     ARRAY_SIZE(recs));
		const unsigned int n = fill(&w, recs, max);

		ck_assert_uint_gt(n, 0);
		ck_assert_uint_le(w.len, REC_LEAF_MAX);
		full += n < max / 2;
		check_leaf(&w, recs, n);
	}
	ck_assert_uint_gt(full, 3);
}
END_TEST

START_TEST(full_leaves_hold_many)
{
	struct rec_writer w;
	struct rec r;
	unsigned int n = 0;

	rec_writer_init(&w);
	for (;; n++) {
		char name[32];

		snprintf(name, sizeof(name), "part-%08u", n);
		r = named(name, false);
		r.size = 1 << 20;
		r.mtime = 1700000000 + n;
		strcpy(r.etag, etags[1]);
		if (!rec_writer_add(&w, &r))
			break;
	}
	/* About 30 bytes a key. */
	ck_assert_uint_gt(n, 120);
	ck_assert_uint_gt(w.len, REC_LEAF_MAX - 64);
	/* What had no room changed nothing. */
	rec_writer_finish(&w, 9);
	ck_assert_uint_eq(rec_count(w.buf), n);
	ck_assert(rec_check(w.buf, w.len, 9));
}
END_TEST

START_TEST(longest_names_and_texts)
{
	struct rec_writer w;
	struct rec recs[8];
	unsigned int n;

	for (n = 0; n < 8; n++) {
		memset(&recs[n], 0, sizeof(recs[n]));
		memset(recs[n].name, 'n', REC_NAME_MAX);
		recs[n].name[REC_NAME_MAX - 1] = (char)('a' + n);
		recs[n].len = REC_NAME_MAX;
		recs[n].size = UINT64_MAX;
		recs[n].mtime = n % 2 ? 0 : 253402300799;
		memset(recs[n].etag, 'e', S3_ETAG_MAX - 1);
		memset(recs[n].storage_class, 'C', REC_CLASS_MAX - 1);
	}
	rec_writer_init(&w);
	for (n = 0; n < 8; n++)
		ck_assert(rec_writer_add(&w, &recs[n]));
	rec_writer_finish(&w, ID);
	check_leaf(&w, recs, 8);
}
END_TEST

/* ---- harm ---- */

START_TEST(any_flipped_bit_is_refused)
{
	static struct rec recs[60];
	struct rec_writer w;

	names_seed(3);
	fill(&w, recs, 60);
	for (size_t i = 0; i < w.len; i++)
		for (int bit = 0; bit < 8; bit++) {
			w.buf[i] ^= (unsigned char)(1 << bit);
			ck_assert_msg(!rec_check(w.buf, w.len, ID),
				      "byte %zu bit %d", i, bit);
			w.buf[i] ^= (unsigned char)(1 << bit);
		}
	ck_assert(rec_check(w.buf, w.len, ID));
	ck_assert(!rec_check(w.buf, w.len, ID + 1));
	for (size_t n = 0; n < w.len; n++) {
		void *cut = malloc(n + 1); /* for who watches the bounds */

		memcpy(cut, w.buf, n);
		ck_assert_msg(!rec_check(cut, n, ID), "cut at %zu", n);
		free(cut);
	}
	ck_assert(!rec_check(w.buf, REC_LEAF_MAX + 1, ID));
}
END_TEST

/* A leaf of a wrong writer, with a right CRC: no crash, and an end. */
START_TEST(wrong_leaves_end)
{
	static struct rec recs[100];
	struct rec_writer w;

	names_seed(4);
	for (int round = 0; round < 400; round++) {
		unsigned char *leaf;
		struct rec_reader r;
		unsigned int n = 0;

		fill(&w, recs, 20);
		for (int k = 0; k < 5; k++)
			w.buf[16 + names_below(w.len - 16)] = (unsigned char)
				names_random();
		leaf = malloc(w.len);
		memcpy(leaf, w.buf, w.len);
		rec_reader_init(&r, leaf, w.len);
		while (rec_next(&r)) {
			ck_assert_uint_lt(n++, 4000);
			ck_assert_uint_le(r.rec.len, REC_NAME_MAX);
			ck_assert_uint_eq(r.rec.name[r.rec.len], 0);
			ck_assert_uint_lt(strlen(r.rec.etag), S3_ETAG_MAX);
		}
		free(leaf);
	}
}
END_TEST

START_TEST(entries_by_themselves)
{
	unsigned char one[REC_ONE_MAX];

	names_seed(5);
	for (int i = 0; i < 400; i++) {
		struct rec r, got;
		size_t n;

		random_rec(&r);
		n = rec_pack_one(&r, one);
		ck_assert_uint_le(n, sizeof(one));
		ck_assert(rec_unpack_one(one, n, &got));
		check_same(&got, &r);
		for (size_t k = 0; k < n; k++) {
			one[k] ^= (unsigned char)(1U << names_below(8));
			ck_assert(!rec_unpack_one(one, n, &got));
			memset(&got, 0, sizeof(got));
			ck_assert_uint_eq(rec_pack_one(&r, one), n);
		}
		for (size_t k = 0; k < n; k++)
			ck_assert(!rec_unpack_one(one, k, &got));
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("rec");
	TCase *tc = tcase_create("rec");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, order_is_that_of_s3);
	tcase_add_loop_test(tc, what_is_written_is_read, 0, 4);
	tcase_add_test(tc, full_leaves_hold_many);
	tcase_add_test(tc, longest_names_and_texts);
	tcase_add_test(tc, any_flipped_bit_is_refused);
	tcase_add_test(tc, wrong_leaves_end);
	tcase_add_test(tc, entries_by_themselves);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
