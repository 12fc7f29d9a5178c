/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_ops/ahead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define FILES 64

static struct ahead ahead;
static unsigned int fetched_to; /* names before it have been fetched */
static unsigned int probes;

static void setup(void)
{
	ahead_init(&ahead, FILES);
	fetched_to = probes = 0;
}

static void teardown(void)
{
	ahead_free(&ahead);
}

/* Opens file i of a directory of n, and does what is to be done. */
static bool open_file(uint64_t dir, unsigned int i, unsigned int n)
{
	struct ahead_task task;
	char name[32];
	unsigned int next;

	snprintf(name, sizeof(name), "f%06u", i);
	if (!ahead_open(&ahead, dir, name, &task))
		return false;
	ck_assert_uint_eq(task.dir, dir);
	ck_assert_uint_le(task.count, FILES);
	probes += !task.fetch;
	next = (unsigned int)strtoul(task.after + 1, NULL, 10) + 1;
	for (unsigned int k = 0; k < task.count && next < n; k++, next++) {
		snprintf(name, sizeof(name), "f%06u", next);
		ahead_add(&ahead, dir, name, false);
		if (task.fetch && next >= fetched_to)
			fetched_to = next + 1;
	}
	ahead_done(&ahead, dir, next == n);
	return true;
}

START_TEST(in_order)
{
	for (unsigned int i = 0; i < 1000; i++) {
		open_file(7, i, 1000);
		if (i >= 4) {
			const unsigned int left = 1000 - i - 1;

			ck_assert_uint_ge(fetched_to - i,
					  left < FILES / 2 ? left : FILES / 2);
			ck_assert_uint_le(fetched_to, i + 1 + FILES);
		}
	}
	ck_assert_uint_eq(fetched_to, 1000);
	ck_assert_uint_eq(probes, 1);
}
END_TEST

/* Eight readers: each takes the next that is free, and some are slow. */
START_TEST(shared_out)
{
	for (unsigned int i = 0; i < 1000; i += 8)
		for (unsigned int k = 0; k < 8; k++)
			open_file(7, i + (k * 5 + 3) % 8, 1000);
	ck_assert_uint_eq(fetched_to, 1000);
	ck_assert_uint_le(probes, 2);
}
END_TEST

START_TEST(in_any_order)
{
	unsigned int x = 1, tasks = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		x = x * 1664525 + 1013904223;
		tasks += open_file(7, (x >> 8) % 100000, 100000);
	}
	/* It is looked for now and then, and nothing is fetched. */
	ck_assert_uint_eq(fetched_to, 0);
	ck_assert_uint_le(tasks, 1000 / 8 + 2);
}
END_TEST

START_TEST(one_at_a_time)
{
	struct ahead_task a, b;

	ck_assert(ahead_open(&ahead, 7, "f1", &a));
	ck_assert(!ahead_open(&ahead, 7, "f2", &b));
	ahead_done(&ahead, 7, true);
}
END_TEST

START_TEST(many_directories)
{
	for (uint64_t dir = 1; dir < 200; dir++)
		for (unsigned int i = 0; i < 20; i++)
			open_file(dir, i, 20);
	for (unsigned int i = 0; i < 20; i++)
		open_file(1, i, 20);
	ck_assert_uint_eq(fetched_to, 20);
}
END_TEST

START_TEST(turned_off)
{
	struct ahead_task task;

	ahead.files = 0;
	for (int i = 0; i < 10; i++)
		ck_assert(!ahead_open(&ahead, 7, "f", &task));
}
END_TEST

START_TEST(after_the_end_from_the_beginning)
{
	for (int turn = 0; turn < 3; turn++) {
		fetched_to = 0;
		for (unsigned int i = 0; i < 100; i++)
			open_file(7, i, 100);
		ck_assert_uint_eq(fetched_to, 100);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ahead");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, shared_out);
	tcase_add_test(tc, in_any_order);
	tcase_add_test(tc, one_at_a_time);
	tcase_add_test(tc, many_directories);
	tcase_add_test(tc, turned_off);
	tcase_add_test(tc, after_the_end_from_the_beginning);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
