/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/workq.h"
#include "unit.h"

#define CALLS 10000

static atomic_uint calls[CALLS];
static atomic_uint total;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void count(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
	atomic_fetch_add(&total, 1);
}

static void wait_at_gate(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
	LOCK_SCOPE(&gate);
	atomic_fetch_add(&total, 1);
}

START_TEST(each_call_once)
{
	struct workq *q;

	ck_assert_int_eq(workq_new("t", 4, 64, &q), 0);
	for (unsigned int i = 0; i < CALLS; i++)
		while (workq_post(q, count, &calls[i]))
			sched_yield();
	workq_free(q);
	for (unsigned int i = 0; i < CALLS; i++)
		ck_assert_uint_eq(atomic_load(&calls[i]), 1);
}
END_TEST

START_TEST(bounded_and_drained)
{
	struct workq *q;

	ck_assert_int_eq(workq_new("t", 1, 3, &q), 0);
	pthread_mutex_lock(&gate);
	ck_assert_int_eq(workq_post(q, wait_at_gate, &calls[0]), 0);
	while (atomic_load(&calls[0]) == 0)
		sched_yield();
	/* The thread is busy: three wait, a fourth may not. */
	for (int i = 1; i <= 3; i++)
		ck_assert_int_eq(workq_post(q, count, &calls[i]), 0);
	ck_assert_int_eq(workq_post(q, count, &calls[4]), -EBUSY);
	ck_assert_uint_eq(atomic_load(&total), 0);
	pthread_mutex_unlock(&gate);
	workq_free(q);
	ck_assert_uint_eq(atomic_load(&total), 4);
	ck_assert_uint_eq(atomic_load(&calls[3]), 1);
	ck_assert_uint_eq(atomic_load(&calls[4]), 0);
}
END_TEST

static unsigned int order[100], norder;

static void note(void *arg)
{
	order[norder++] = (unsigned int)((atomic_uint *)arg - calls);
}

START_TEST(in_order_on_one_thread)
{
	struct workq *q;

	ck_assert_int_eq(workq_new("t", 1, 100, &q), 0);
	for (unsigned int i = 0; i < 100; i++)
		ck_assert_int_eq(workq_post(q, note, &calls[i]), 0);
	workq_free(q);
	ck_assert_uint_eq(norder, 100);
	for (unsigned int i = 0; i < 100; i++)
		ck_assert_uint_eq(order[i], i);
}
END_TEST

START_TEST(threads_work_at_a_time)
{
	struct workq *q;

	ck_assert_int_eq(workq_new("t", 3, 10, &q), 0);
	pthread_mutex_lock(&gate);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(workq_post(q, wait_at_gate, &calls[i]), 0);
	for (int i = 0; i < 3; i++)
		while (atomic_load(&calls[i]) == 0)
			sched_yield();
	pthread_mutex_unlock(&gate);
	workq_free(q);
	ck_assert_uint_eq(atomic_load(&total), 3);
	workq_free(NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("workq");
	TCase *tc = tcase_create("all");

	tcase_add_test(tc, each_call_once);
	tcase_add_test(tc, bounded_and_drained);
	tcase_add_test(tc, in_order_on_one_thread);
	tcase_add_test(tc, threads_work_at_a_time);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
