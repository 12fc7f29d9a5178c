/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that have not begun, and when one that has is to be ended. */
#include "s3/exec.h"
#include "s3/queue.h"
#include "unit.h"

static struct queue q;
static struct s3_call calls[8];

static void setup(void)
{
	queue_init(&q);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		calls[i] = (struct s3_call){.method = S3_GET};
}

static void add_all(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		queue_add(&q, &calls[i], 1000);
}

/* What is over at a time: each call a bit. */
static unsigned int settle(uint64_t now, uint64_t flow)
{
	struct list out, *e, *n;
	unsigned int bits = 0;

	list_init(&out);
	queue_settle(&q, now, flow, &out);
	list_for_each_safe(e, n, &out)
	{
		list_del(e);
		bits |= 1U << (container_of(e, struct s3_call, link) - calls);
	}
	return bits;
}

START_TEST(urgent_ones_go_first_but_not_for_ever)
{
	static const int want[] = {2, 3, 4, 5, 0, 6, 7, 1, -1};

	for (int i = 2; i < 8; i++)
		calls[i].urgent = true;
	add_all(8);
	ck_assert_uint_eq(settle(1000, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		ck_assert_ptr_eq(queue_next(&q),
				 want[i] < 0 ? NULL : &calls[want[i]]);
	ck_assert(queue_is_empty(&q));
}
END_TEST

START_TEST(delayed_ones_wait_for_their_time)
{
	calls[0].due_ms = 1500;
	calls[1].due_ms = 1200;
	calls[1].method = S3_WAIT;
	add_all(3);
	ck_assert_uint_eq(queue_due_ms(&q), 1200);
	ck_assert_uint_eq(settle(1100, 0), 0);
	ck_assert_ptr_eq(queue_next(&q), &calls[2]);
	ck_assert_ptr_null(queue_next(&q));
	ck_assert_uint_eq(settle(1200, 0), 1U << 1);
	ck_assert_uint_eq(queue_due_ms(&q), 1500);
	ck_assert_uint_eq(settle(1600, 0), 0);
	ck_assert_uint_eq(queue_due_ms(&q), UINT64_MAX);
	ck_assert_ptr_eq(queue_next(&q), &calls[0]);
}
END_TEST

START_TEST(what_is_late_ends_unless_data_flows)
{
	calls[0].until_ms = 2000;
	calls[1].until_ms = 2000;
	calls[1].timeout_ms = 1000; /* means it */
	calls[2].until_ms = 4000;
	calls[2].urgent = true;
	add_all(4);
	ck_assert_uint_eq(settle(1000, 0), 0);
	ck_assert_uint_eq(queue_due_ms(&q), 2000);
	ck_assert(!queue_may_be_late(&q, 1999));
	ck_assert(queue_may_be_late(&q, 2000));
	ck_assert_uint_eq(settle(2000, 3000), 1U << 1);
	ck_assert_uint_eq(queue_due_ms(&q), 3000);
	ck_assert(queue_may_be_late(&q, 2001));
	/* More came, then none. */
	ck_assert_uint_eq(settle(3000, 3500), 0);
	ck_assert_uint_eq(settle(3500, 3500), 1U << 0);
	ck_assert_uint_eq(settle(4000, 0), 1U << 2);
	ck_assert_uint_eq(queue_due_ms(&q), UINT64_MAX);
	ck_assert_ptr_eq(queue_next(&q), &calls[3]);
}
END_TEST

START_TEST(emptying_takes_all)
{
	struct list out, *e, *next;
	unsigned int n = 0;

	calls[0].due_ms = 5000;
	calls[1].urgent = true;
	add_all(4);
	list_init(&out);
	queue_empty(&q, &out);
	ck_assert(queue_is_empty(&q));
	list_for_each_safe(e, next, &out)
	{
		list_del(e);
		n++;
	}
	ck_assert_uint_eq(n, 4);
	ck_assert(list_empty(&out));
}
END_TEST

/* A call that began at 1000, with attempts of 500. */
static const struct {
	uint64_t timeout_ms, until_ms, heard_ms, flow, due_ms;
} ends[] = {
	{0, 0, 0, 0, 1500},
	{0, 9000, 0, 0, 1500},
	{0, 1200, 0, 0, 1200},
	{200, 0, 0, 0, 1200},
	{2000, 1700, 0, 0, 1700},
	/* its own data comes */
	{0, 0, 1400, 0, 1900},
	{0, 1200, 1199, 0, 1699},
	{0, 1200, 8000, 8500, 8500},
	/* others' does */
	{0, 1200, 0, 1300, 1300},
	{0, 1200, 0, 1700, 1500},
	{2000, 1700, 0, 1900, 1700},
	/* begun late, as it did; and no more */
	{0, 900, 0, 1400, 1400},
	{0, 900, 0, 990, 990},
	/* begun in the last moment */
	{0, 1000, 0, 0, 1000},
	{0, 1001, 0, 0, 1001},
};

START_TEST(due)
{
	const struct s3_config cfg = {.attempt_timeout_ms = 500};
	struct s3_call call = {.timeout_ms = ends[_i].timeout_ms,
			       .until_ms = ends[_i].until_ms};
	const struct exec x = {
		.call = &call, .began_ms = 1000, .heard_ms = ends[_i].heard_ms};

	ck_assert_uint_eq(exec_due_ms(&x, &cfg, ends[_i].flow),
			  ends[_i].due_ms);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("queue");
	TCase *tc = tcase_create("queue");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, urgent_ones_go_first_but_not_for_ever);
	tcase_add_test(tc, delayed_ones_wait_for_their_time);
	tcase_add_test(tc, what_is_late_ends_unless_data_flows);
	tcase_add_test(tc, emptying_takes_all);
	ADD_ROWS(tc, due, ends);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
