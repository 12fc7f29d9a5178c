/* SPDX-License-Identifier: Apache-2.0 */
/* What the index says of a name is what the entries themselves say. */
#include "cache/snap_index.h"

#include <stdlib.h>

#include "names.h"
#include "unit.h"

#define LEAVES 300

static const char *const shared[] = {"", "a", "file-", "long/no"};
static const char *const alphabets[] = {"0123456789", "ab", "!.-0",
					"\x01\x7f\x80\xff", "a"};

static int sign(int c)
{
	return (c > 0) - (c < 0);
}

static struct rec some(const char *begin, const char *alphabet)
{
	struct rec r = {.is_dir = names_below(3) == 0};
	char tail[16];

	names_name(tail, 1, 12, alphabet);
	r.len = (size_t)snprintf(r.name, sizeof(r.name), "%s%s", begin, tail);
	return r;
}

static struct snap_index *filled(struct rec *recs, const char *begin,
				 const char *alphabet)
{
	struct snap_index *x;

	for (size_t i = 0; i < LEAVES; i++)
		recs[i] = some(begin, alphabet);
	qsort(recs, LEAVES, sizeof(*recs), names_by_s3);
	x = snap_index_new(&recs[0], &recs[LEAVES - 1], LEAVES);
	ck_assert_ptr_nonnull(x);
	return x;
}

/* Each seed another alphabet and another beginning. */
START_TEST(says_what_entries_say)
{
	const char *alphabet = alphabets[_i % 5];
	const char *begin = shared[_i / 5];
	struct rec *recs = calloc(LEAVES, sizeof(*recs));
	struct snap_index *x;
	unsigned int known = 0;

	names_seed((uint64_t)_i);
	x = filled(recs, begin, alphabet);
	for (size_t i = 0; i < LEAVES; i++) {
		ck_assert_int_eq(snap_index_compare(x, i, "zz", 2, false), 0);
		snap_index_note(x, i, &recs[i]);
	}
	for (int n = 0; n < 4000; n++) {
		const size_t i = names_below(LEAVES);
		const struct rec r = names_below(4)
					     ? some(begin, alphabet)
					     : some(names_below(2) ? "" : "fil",
						    alphabets[names_below(5)]);
		const int got = snap_index_compare(x, i, r.name, r.len,
						   r.is_dir);
		const int want = rec_compare(recs[i].name, recs[i].len,
					     recs[i].is_dir, r.name, r.len,
					     r.is_dir);

		known += got != 0;
		ck_assert_msg(!got || sign(got) == sign(want),
			      "%s%s: %s%s: %d, not %d", recs[i].name,
			      recs[i].is_dir ? "/" : "", r.name,
			      r.is_dir ? "/" : "", got, want);
	}
	ck_assert_uint_gt(known, 400);
	free(x);
	free(recs);
}
END_TEST

/* Names that differ in the eight bytes behind what they share are told apart
 * without their entries. */
START_TEST(knows_most)
{
	struct rec recs[LEAVES] = {0};
	struct snap_index *x;

	for (int i = 0; i < LEAVES; i++)
		recs[i].len = (size_t)snprintf(recs[i].name,
					       sizeof(recs[i].name),
					       "part-%08d.parquet", i);
	x = snap_index_new(&recs[0], &recs[LEAVES - 1], LEAVES);
	for (size_t i = 0; i < LEAVES; i++)
		snap_index_note(x, i, &recs[i]);
	for (size_t i = 0; i < LEAVES; i++)
		for (size_t k = 0; k < LEAVES; k++)
			ck_assert_int_eq(
				sign(snap_index_compare(x, i, recs[k].name,
							recs[k].len, false)),
				(i > k) - (i < k));
	free(x);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("snap_index");
	TCase *tc = tcase_create("snap_index");

	tcase_add_loop_test(tc, says_what_entries_say, 0, 20);
	tcase_add_test(tc, knows_most);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
