/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cache/staging.h"
#include "unit.h"

#define MIB (1UL << 20)

static struct staging *p;

static void open_pool(size_t size, size_t slot)
{
	/* A memfd: a huge page is a tmpfs file, which has no seals. */
	const struct staging_config cfg = {
		.size = size, .slot = slot, .pages = STAGING_SMALL_PAGES};

	log_set_level(LOG_LEVEL_ERROR);
	ck_assert_int_eq(staging_new(&cfg, &p), 0);
}

static void setup(void)
{
	open_pool(8 * MIB, MIB);
}

static void teardown(void)
{
	staging_free(p);
}

/* All slots are in some state, and free ones are as many as can be had. */
static void check_counts(unsigned int nfree, unsigned int armed,
			 unsigned int ready, unsigned int quarantined)
{
	struct staging_stats s;

	staging_get_stats(p, &s);
	ck_assert_uint_eq(s.states[SLOT_FREE], nfree);
	ck_assert_uint_eq(s.states[SLOT_ARMED], armed);
	ck_assert_uint_eq(s.states[SLOT_READY], ready);
	ck_assert_uint_eq(s.states[SLOT_QUARANTINED], quarantined);
	ck_assert_uint_eq(s.slots, nfree + armed + ready + quarantined);
	ck_assert_uint_eq(staging_free_slots(p, SLOT_BIG) +
				  staging_free_slots(p, SLOT_SMALL),
			  nfree);
}

START_TEST(transitions)
{
	struct slot *s;

	ck_assert_uint_eq(staging_slots(p, SLOT_BIG), 6);
	ck_assert_uint_eq(staging_slots(p, SLOT_SMALL), 16);
	check_counts(22, 0, 0, 0);
	s = staging_take(p, SLOT_BIG);
	ck_assert_int_eq(s->state, SLOT_ARMED);
	check_counts(21, 1, 0, 0);
	staging_put(s); /* nothing was sent */
	check_counts(22, 0, 0, 0);
	s = staging_take(p, SLOT_BIG);
	staging_ready(s);
	ck_assert_int_eq(s->state, SLOT_READY);
	check_counts(21, 0, 1, 0);
	staging_put(s);
	check_counts(22, 0, 0, 0);
	s = staging_take(p, SLOT_SMALL);
	staging_quarantine(s);
	ck_assert_int_eq(s->state, SLOT_QUARANTINED);
	check_counts(21, 0, 0, 1);
	staging_fenced(s);
	ck_assert_int_eq(s->state, SLOT_FREE);
	check_counts(22, 0, 0, 0);
}
END_TEST

/* What no state table has ends the program. */
static const struct {
	enum slot_state from;
	void (*step)(struct slot *s);
} wrong_steps[] = {
	{SLOT_FREE, staging_ready},
	{SLOT_FREE, staging_put},
	{SLOT_FREE, staging_quarantine},
	{SLOT_FREE, staging_fenced},
	{SLOT_ARMED, staging_fenced},
	{SLOT_READY, staging_ready},
	{SLOT_READY, staging_quarantine},
	{SLOT_READY, staging_fenced},
	{SLOT_QUARANTINED, staging_ready},
	{SLOT_QUARANTINED, staging_put},
	{SLOT_QUARANTINED, staging_quarantine},
};

START_TEST(wrong_step)
{
	struct slot *s = staging_take(p, SLOT_BIG);

	fclose(stderr); /* the assertion is wanted */
	switch (wrong_steps[_i].from) {
	case SLOT_FREE:
		staging_put(s);
		break;
	case SLOT_READY:
		staging_ready(s);
		break;
	case SLOT_QUARANTINED:
		staging_quarantine(s);
		break;
	default:
		break;
	}
	wrong_steps[_i].step(s);
}
END_TEST

START_TEST(all_slots_lie_apart)
{
	const struct rdma_arena *a = staging_arena(p);
	struct slot *all[22];
	unsigned int n = 0;
	size_t sum = 0;

	for (int class = 0; class < SLOT_CLASSES; class ++) {
		struct slot *s;

		while ((s = staging_take(p, (enum slot_class) class))) {
			ck_assert_int_eq((int)s->class, class);
			ck_assert_uint_eq(
				s->span.len,
				staging_slot_size(p, (enum slot_class) class));
			all[n++] = s;
		}
	}
	ck_assert_uint_eq(n, 22);
	ck_assert_ptr_null(staging_take(p, SLOT_BIG));
	ck_assert_ptr_null(staging_take(p, SLOT_SMALL));
	for (unsigned int i = 0; i < n; i++) {
		const struct xfer_span *x = &all[i]->span;

		ck_assert(x->addr >= a->addr &&
			  x->addr + x->len <= a->addr + a->size);
		sum += x->len;
		for (unsigned int k = 0; k < i; k++) {
			const struct xfer_span *y = &all[k]->span;

			ck_assert(x->addr + x->len <= y->addr ||
				  y->addr + y->len <= x->addr);
			ck_assert_uint_ne(x->region, y->region);
		}
		memset(x->addr, (int)i, x->len);
	}
	ck_assert_uint_eq(sum, a->size);
	for (unsigned int i = 0; i < n; i++)
		staging_put(all[i]);
	check_counts(22, 0, 0, 0);
}
END_TEST

/* A region's number says where it lies, by the runs. */
START_TEST(regions_follow_the_runs)
{
	const struct rdma_arena *a = staging_arena(p);
	struct slot *s = staging_take(p, SLOT_SMALL);
	uint64_t i = s->span.region;
	unsigned int r = 0;

	while (i >= a->runs[r].count)
		i -= a->runs[r++].count;
	ck_assert_ptr_eq(s->span.addr,
			 a->addr + a->runs[r].off + i * a->runs[r].len);
	ck_assert_uint_eq(s->span.len, a->runs[r].len);
}
END_TEST

START_TEST(sealed)
{
	const int seals = fcntl(staging_arena(p)->files[0].fd, F_GET_SEALS);

	ck_assert_int_ge(seals, 0);
	ck_assert(seals & F_SEAL_SHRINK);
	ck_assert(seals & F_SEAL_GROW);
}
END_TEST

START_TEST(strained)
{
	struct slot *q[7];

	for (int i = 0; i < 5; i++) { /* a quarter of 22 */
		q[i] = staging_take(p, SLOT_SMALL);
		staging_quarantine(q[i]);
		ck_assert(!staging_is_strained(p));
	}
	q[5] = staging_take(p, SLOT_BIG);
	ck_assert(!staging_is_strained(p));
	staging_quarantine(q[5]);
	ck_assert(staging_is_strained(p));
	staging_fenced(q[0]);
	ck_assert(!staging_is_strained(p));
}
END_TEST

static const struct {
	size_t size, slot;
	unsigned int big, small;
} cuts[] = {
	{0, MIB, 2, 16},         {4 * MIB, MIB, 2, 16},
	{8 * MIB, MIB, 6, 16},   {64 * MIB, 4 * MIB, 14, 64},
	{64 * MIB, MIB, 56, 64}, {3 * MIB, 4 * MIB, 2, 16},
};

START_TEST(cut)
{
	struct staging_stats s;

	teardown();
	open_pool(cuts[_i].size, cuts[_i].slot);
	staging_get_stats(p, &s);
	ck_assert_uint_eq(staging_slots(p, SLOT_BIG), cuts[_i].big);
	ck_assert_uint_eq(staging_slots(p, SLOT_SMALL), cuts[_i].small);
	ck_assert_uint_eq(staging_slot_size(p, SLOT_BIG), cuts[_i].slot);
	ck_assert_uint_eq(staging_slot_size(p, SLOT_SMALL), STAGING_SMALL);
	ck_assert_uint_eq(s.size, cuts[_i].big * cuts[_i].slot +
					  cuts[_i].small * STAGING_SMALL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("staging");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, transitions);
	tcase_add_loop_test_raise_signal(tc, wrong_step, SIGABRT, 0,
					 (int)ARRAY_SIZE(wrong_steps));
	tcase_add_test(tc, all_slots_lie_apart);
	tcase_add_test(tc, regions_follow_the_runs);
	tcase_add_test(tc, sealed);
	tcase_add_test(tc, strained);
	ADD_ROWS(tc, cut, cuts);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
