/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_ops/prime.h"

#include "base/thread.h"
#include "unit.h"

static struct prime p;

static void setup(void)
{
	prime_init(&p);
}

static void teardown(void)
{
	prime_free(&p);
}

/* Reads directories until they come without attributes; how many came. */
static int until_none(pid_t tid, uint64_t *dir)
{
	int n = 0;

	while (prime_read(&p, tid, *dir) != PRIME_NONE) {
		ck_assert_int_lt(n, 100);
		n++;
		++*dir;
	}
	return n;
}

START_TEST(who_never_looks_gets_names)
{
	uint64_t dir = 10;

	ck_assert_int_eq(prime_read(&p, 5, dir), PRIME_PROBE);
	ck_assert_int_gt(until_none(5, &dir), 0);
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(prime_read(&p, 5, ++dir), PRIME_NONE);
}
END_TEST

START_TEST(pieces_of_one_are_one)
{
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(prime_read(&p, 5, 10), PRIME_PROBE);
}
END_TEST

START_TEST(who_looks_gets_all)
{
	uint64_t dir = 10;

	prime_read(&p, 5, dir);
	prime_look(&p, 5);
	ck_assert_int_eq(prime_read(&p, 5, dir), PRIME_ALL);
	ck_assert_int_eq(prime_read(&p, 5, ++dir), PRIME_ALL);
	/* One that stops to look is found out. */
	until_none(5, &dir);
	ck_assert_int_eq(prime_read(&p, 5, ++dir), PRIME_NONE);
	prime_look(&p, 5);
	ck_assert_int_eq(prime_read(&p, 5, ++dir), PRIME_ALL);
}
END_TEST

START_TEST(threads_are_told_apart)
{
	uint64_t a = 10, b = 10;

	until_none(5, &a);
	ck_assert_int_eq(prime_read(&p, 6, b), PRIME_PROBE);
	prime_look(&p, 6);
	ck_assert_int_eq(prime_read(&p, 6, b), PRIME_ALL);
	ck_assert_int_eq(prime_read(&p, 5, ++a), PRIME_NONE);
	prime_look(&p, 4711); /* has read nothing */
	ck_assert_int_eq(prime_read(&p, 5, ++a), PRIME_NONE);
	ck_assert_int_eq(prime_read(&p, 4711, 3), PRIME_PROBE);
}
END_TEST

static void *read_much(void *arg)
{
	const pid_t tid = *(pid_t *)arg;

	for (uint64_t i = 1; i < 20000; i++) {
		prime_read(&p, tid, i);
		if (i % 100 == 0)
			prime_look(&p, tid);
	}
	return NULL;
}

/* More threads than it remembers do no harm. */
START_TEST(any_threads)
{
	pthread_t threads[4];
	pid_t tids[4] = {1, 2, 3, 1 + 64};

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(
			thread_start(&threads[i], "t", read_much, &tids[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (pid_t t = -100; t < 70000; t += 13)
		prime_read(&p, t, 1);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("prime");
	TCase *tc = tcase_create("prime");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, who_never_looks_gets_names);
	tcase_add_test(tc, pieces_of_one_are_one);
	tcase_add_test(tc, who_looks_gets_all);
	tcase_add_test(tc, threads_are_told_apart);
	tcase_add_test(tc, any_threads);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return unit_main(suite());
}
