/* SPDX-License-Identifier: Apache-2.0 */
/* The read of one byte through the NIC itself. */
#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "fake_nic.h"
#include "rdma/flush.h"

static struct device *device;
static struct flush *flush;

static void make_device(void)
{
	struct route r = {.any = true};

	nic_start();
	nic_make_infiniband(9);
	ck_assert_int_eq(inet_pton(AF_INET6, NIC_GID, r.remote), 1);
	ck_assert(!device_open(NIC, &r, &device, nic_why, sizeof(nic_why)));
}

static void make(void)
{
	make_device();
	ck_assert_int_eq(flush_new(device, &nic_arena, &flush), 0);
}

static void end(void)
{
	flush_free(flush);
	device_close(device);
	nic_end();
}

START_TEST(reads)
{
	/* More than the packet numbers that a start could hide. */
	for (unsigned int i = 0; i < 1000; i++) {
		ck_assert_int_eq(flush_read(flush, nic_region(i % REGIONS) + i),
				 0);
		ck_assert_uint_eq(fake_verbs_moved(), i + 1);
	}
	ck_assert_int_eq(flush_read(flush, nic_arena.addr + nic_arena.size - 1),
			 0);
}
END_TEST

static void *read_some(void *arg)
{
	long failed = 0;

	(void)arg;
	for (int i = 0; i < 500; i++)
		failed += flush_read(flush, nic_arena.addr + i) != 0;
	return (void *)failed;
}

START_TEST(any_thread)
{
	pthread_t threads[4];
	void *failed;

	for (int i = 0; i < 4; i++)
		ck_assert(!pthread_create(&threads[i], NULL, read_some, NULL));
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		ck_assert_ptr_null(failed);
	}
	ck_assert_uint_eq(fake_verbs_moved(), 2000);
}
END_TEST

START_TEST(not_of_the_arena)
{
	ck_assert_int_eq(flush_read(flush, nic_arena.addr + nic_arena.size),
			 -EIO);
}
END_TEST

START_TEST(post_fails)
{
	fake_verbs_fail("ibv_post_send", 1, ENOMEM);
	ck_assert_int_eq(flush_read(flush, nic_arena.addr), -EIO);
	ck_assert_int_eq(flush_read(flush, nic_arena.addr), 0);
}
END_TEST

/*
 * A read that took too long completes behind its caller's back.  The next must
 * not take that for its own, which has not been carried out.
 */
START_TEST(late_completion_is_not_ours)
{
	fake_verbs_hold(true);
	ck_assert_int_eq(flush_read(flush, nic_arena.addr), -EIO);
	fake_verbs_hold(false);
	ck_assert_uint_eq(fake_verbs_moved(), 1);
	fake_verbs_hold(true);
	ck_assert_int_eq(flush_read(flush, nic_arena.addr), -EIO);
	ck_assert_uint_eq(fake_verbs_moved(), 1);
}
END_TEST

/* And it is no reason to flush never again. */
START_TEST(goes_on_after_a_late_completion)
{
	fake_verbs_hold(true);
	ck_assert_int_eq(flush_read(flush, nic_arena.addr), -EIO);
	fake_verbs_hold(false);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_int_eq(flush_read(flush, nic_arena.addr), 0);
		ck_assert_uint_eq(fake_verbs_moved(), i + 2);
	}
}
END_TEST

static void *read_one(void *arg)
{
	(void)arg;
	return (void *)(long)flush_read(flush, nic_arena.addr);
}

/* The wait for another's read is none for the NIC. */
START_TEST(patience_is_of_each_read)
{
	const struct timespec nap = {.tv_nsec = 200000000};
	pthread_t threads[2];
	void *err;

	fake_verbs_hold(true);
	ck_assert(!pthread_create(&threads[0], NULL, read_one, NULL));
	while (fake_verbs_held() == 0)
		sched_yield();
	ck_assert(!pthread_create(&threads[1], NULL, read_one, NULL));
	pthread_join(threads[0], &err);
	ck_assert_int_eq((long)err, -EIO);
	/* A part of a read's second, and more than the second began later. */
	nanosleep(&nap, NULL);
	fake_verbs_hold(false);
	pthread_join(threads[1], &err);
	ck_assert_int_eq((long)err, 0);
}
END_TEST

static void make_roomy(void)
{
	make_device();
	fake_verbs_roomy(true);
	ck_assert_int_eq(flush_new(device, &nic_arena, &flush), 0);
}

START_TEST(fails_at_every_step)
{
	unsigned int n = 0, failed = 0;

	do {
		fake_verbs_fail(NULL, 0, 0);
		fake_verbs_fail(NULL, ++n, EIO);
		flush = NULL;
		if (flush_new(device, &nic_arena, &flush))
			failed++;
		else
			flush_free(flush);
		ck_assert_uint_eq(fake_verbs_count(FAKE_QP) +
					  fake_verbs_count(FAKE_CQ) +
					  fake_verbs_count(FAKE_MR),
				  0);
	} while (fake_verbs_failed());
	/* cq, two of create and INIT, two mrs, two of RTR and RTS */
	ck_assert_uint_eq(failed, 11);
	device_close(device);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flush");
	TCase *tc = tcase_create("read"), *bare = tcase_create("new");
	TCase *roomy = tcase_create("roomy");

	tcase_add_checked_fixture(tc, make, end);
	tcase_add_test(tc, reads);
	tcase_add_test(tc, any_thread);
	tcase_add_test(tc, not_of_the_arena);
	tcase_add_test(tc, post_fails);
	tcase_add_test(tc, goes_on_after_a_late_completion);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(roomy, make_roomy, end);
	tcase_add_test(roomy, late_completion_is_not_ours);
	tcase_add_test(roomy, patience_is_of_each_read);
	suite_add_tcase(s, roomy);
	tcase_add_checked_fixture(bare, make_device, nic_end);
	tcase_add_test(bare, fails_at_every_step);
	suite_add_tcase(s, bare);
	return scratch_main(s);
}
