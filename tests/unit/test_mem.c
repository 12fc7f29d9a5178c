/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fence: what was told of a region is dead for ten minutes, whatever the
 * kernel does with the keys that it gets back.
 */
#include <arpa/inet.h>
#include <stdatomic.h>
#include <string.h>

#include "fake_nic.h"
#include "rdma/mem.h"

#define ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)
#define SECOND 1000ULL

static struct device *device;
static struct mem *mem;

static void make_device(void)
{
	struct route r = {.any = true};

	nic_start();
	ck_assert_int_eq(inet_pton(AF_INET6, NIC_GID, r.remote), 1);
	ck_assert(!device_open(NIC, &r, &device, nic_why, sizeof(nic_why)));
}

static void make(void)
{
	make_device();
	ck_assert(!mem_new(device, &nic_arena, ACCESS, &mem, nic_why,
			   sizeof(nic_why)));
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
}

static void end(void)
{
	mem_free(mem);
	device_close(device);
	nic_end();
}

/* 0: none. */
static uint32_t key_of(struct mem *m, unsigned int region)
{
	uint32_t key;
	uint64_t addr;

	return mem_window(m, region, &addr, &key) ? key : 0;
}

static bool lands(uint32_t key, unsigned int region)
{
	return !fake_verbs_remote_write(key, (uintptr_t)nic_region(region), "x",
					1);
}

START_TEST(a_key_is_of_one_region)
{
	for (unsigned int r = 0; r < REGIONS; r++)
		for (unsigned int other = 0; other < REGIONS; other++)
			ck_assert_int_eq(lands(key_of(mem, r), other),
					 r == other);
	ck_assert_int_eq(fake_verbs_remote_write(key_of(mem, 0),
						 (uintptr_t)nic_region(1) - 1,
						 "xy", 2),
			 -EACCES);
}
END_TEST

START_TEST(renewed)
{
	const uint32_t old = key_of(mem, 1), other = key_of(mem, 2);

	ck_assert_int_eq(mem_renew(mem, 1, SECOND), 0);
	ck_assert_uint_ne(key_of(mem, 1), old);
	ck_assert(!lands(old, 1));
	ck_assert(lands(key_of(mem, 1), 1));
	ck_assert_uint_eq(key_of(mem, 2), other);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
}
END_TEST

/* ---- with a kernel that gives the last key back at once ---- */

#define TOLD 400
static struct {
	uint32_t key;
	unsigned int region;
	uint64_t died_ms;
} told[TOLD];
static unsigned int ntold;

/* Nothing that a token has said of a region in ten minutes goes there. */
static void check_told(uint64_t now)
{
	for (unsigned int i = 0; i < ntold; i++)
		ck_assert_msg(now - told[i].died_ms >= MEM_HOLD_MS ||
				      !lands(told[i].key, told[i].region),
			      "key %#x of region %u is alive after %llu s",
			      told[i].key, told[i].region,
			      (unsigned long long)(now - told[i].died_ms) /
				      SECOND);
}

static int tell_and_renew(unsigned int region, uint64_t now)
{
	const uint32_t key = key_of(mem, region);
	int err;

	ck_assert_uint_lt(ntold, TOLD);
	told[ntold].key = key;
	told[ntold].region = region;
	told[ntold++].died_ms = now;
	err = mem_renew(mem, region, now);
	check_told(now);
	if (!err)
		ck_assert(lands(key_of(mem, region), region));
	return err;
}

START_TEST(recycled_keys_are_kept_away)
{
	fake_verbs_recycle_keys(true);
	for (unsigned int i = 0; i < 100; i++) {
		ck_assert_int_eq(tell_and_renew(0, SECOND + i * 30 * SECOND),
				 0);
		ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	}
}
END_TEST

START_TEST(recycled_among_regions)
{
	fake_verbs_recycle_keys(true);
	for (unsigned int i = 0; i < 200; i++) {
		ck_assert_int_eq(
			tell_and_renew(i * 7 / 5 % REGIONS, SECOND + i), 0);
		ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	}
}
END_TEST

static const struct {
	uint64_t after;
	bool back;
} returns[] = {
	{1, false},
	{MEM_HOLD_MS - 1, false},
	{MEM_HOLD_MS, true},
	{2 * MEM_HOLD_MS, true},
};

/* A token of the last session may still be in somebody's queue. */
START_TEST(not_of_the_last_session_either)
{
	uint32_t keys[8][REGIONS];

	fake_verbs_recycle_keys(true);
	for (int n = 0; n < 8; n++) {
		for (unsigned int r = 0; r < REGIONS; r++)
			keys[n][r] = key_of(mem, r);
		mem_free(mem);
		ck_assert(!mem_new(device, &nic_arena, ACCESS, &mem, nic_why,
				   sizeof(nic_why)));
		for (int k = 0; k <= n; k++)
			for (unsigned int r = 0; r < REGIONS; r++)
				ck_assert(!lands(keys[k][r], r));
	}
}
END_TEST

START_TEST(comes_back_when_its_time_is_over)
{
	const uint32_t first = key_of(mem, 0);

	fake_verbs_recycle_keys(true);
	ck_assert_int_eq(tell_and_renew(0, SECOND), 0);
	ck_assert_int_eq(tell_and_renew(0, SECOND + returns[_i].after), 0);
	ck_assert_int_eq(key_of(mem, 0) == first, returns[_i].back);
}
END_TEST

/* More than can be put out of the way: nothing that was told may live, and
 * once the time is over all goes on. */
START_TEST(too_many_at_once)
{
	unsigned int refused = 0;

	fake_verbs_recycle_keys(true);
	for (unsigned int i = 0; i < 300; i++) {
		const int err = tell_and_renew(0, SECOND + i);

		ck_assert(!err || err == -EAGAIN);
		refused += err != 0;
	}
	ck_assert_uint_le(refused, 100);
	ck_assert_int_eq(tell_and_renew(0, 2 * SECOND + MEM_HOLD_MS), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
}
END_TEST

/* ---- errors ---- */

START_TEST(deregistering_fails)
{
	const uint32_t old = key_of(mem, 0);

	fake_verbs_recycle_keys(true);
	fake_verbs_fail("ibv_dereg_mr", 1, EBUSY);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), -EBUSY);
	ck_assert_uint_eq(key_of(mem, 0), old);
	ck_assert(lands(old, 0));
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	/* It is known still, and is not taken for a new one. */
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), 0);
	ck_assert_uint_ne(key_of(mem, 0), old);
	ck_assert(!lands(old, 0));
}
END_TEST

/* The one that fails is of a key that came back. */
START_TEST(deregistering_a_recycled_one_fails)
{
	const uint32_t old = key_of(mem, 0);

	fake_verbs_recycle_keys(true);
	fake_verbs_fail("ibv_dereg_mr", 2, EIO);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), -EIO);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), 0);
	ck_assert_uint_ne(key_of(mem, 0), old);
	ck_assert(!lands(old, 0));
}
END_TEST

START_TEST(registering_fails)
{
	const uint32_t old = key_of(mem, 0);

	fake_verbs_recycle_keys(true);
	fake_verbs_fail("ibv_reg_mr", 1, ENOMEM);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), -EAGAIN);
	ck_assert(!lands(old, 0));
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS - 1);
	ck_assert_int_eq(mem_renew(mem, 0, 2 * SECOND), 0);
	ck_assert_uint_ne(key_of(mem, 0), old);
	ck_assert(!lands(old, 0));
	ck_assert(lands(key_of(mem, 0), 0));
}
END_TEST

/* What came back could not be put out of the way. */
START_TEST(putting_away_fails)
{
	const uint32_t old = key_of(mem, 0);

	fake_verbs_recycle_keys(true);
	fake_verbs_fail("ibv_reg_mr", 2, ENOMEM);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), -EAGAIN);
	ck_assert(!lands(old, 0));
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), 0);
	ck_assert_uint_ne(key_of(mem, 0), old);
	ck_assert(!lands(old, 0));
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
}
END_TEST

/* ---- a server that never stops ---- */

static atomic_bool stop;
static _Atomic uint32_t dead_keys[64];
static atomic_uint ndead, writes;

static void *write_late(void *arg)
{
	static const char junk[256] = "late";

	(void)arg;
	while (!atomic_load(&stop))
		for (unsigned int i = 0; i < atomic_load(&ndead); i++) {
			fake_verbs_remote_write(atomic_load(&dead_keys[i]),
						(uintptr_t)nic_region(0), junk,
						sizeof(junk));
			atomic_fetch_add(&writes, 1);
		}
	return NULL;
}

static void wait_for_writes(unsigned int n)
{
	const unsigned int from = atomic_load(&writes);

	while (atomic_load(&writes) - from < n)
		sched_yield();
}

/* Once renew has returned the memory is the reader's alone. */
START_TEST(late_writes_land_nowhere)
{
	pthread_t threads[2];

	fake_verbs_recycle_keys(true);
	for (int i = 0; i < 2; i++)
		ck_assert(!pthread_create(&threads[i], NULL, write_late, NULL));
	for (unsigned int i = 0; i < 50; i++) {
		atomic_store(&dead_keys[i], key_of(mem, 0));
		atomic_store(&ndead, i + 1);
		wait_for_writes(2 * (i + 1));
		ck_assert_int_eq(mem_renew(mem, 0, SECOND + i), 0);
		memset(nic_region(0), 0, 256);
		wait_for_writes(200);
		ck_assert(nic_is_zero(nic_region(0), 256));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

/* ---- without one that is made ---- */

START_TEST(fails_at_every_step)
{
	for (unsigned int n = 1; n <= REGIONS; n++) {
		fake_verbs_fail("ibv_reg_mr", n, ENOMEM);
		nic_why[0] = '\0';
		ck_assert_int_eq(mem_new(device, &nic_arena, ACCESS, &mem,
					 nic_why, sizeof(nic_why)),
				 -ENOMEM);
		ck_assert(strstr(nic_why, "locked-memory limit"));
		ck_assert(strstr(nic_why, "16 MiB"));
		ck_assert_uint_eq(fake_verbs_count(FAKE_MR), 0);
	}
	fake_verbs_fail("ibv_reg_mr", 1, EIO);
	ck_assert_int_eq(mem_new(device, &nic_arena, ACCESS, &mem, nic_why,
				 sizeof(nic_why)),
			 -EIO);
	ck_assert(!strstr(nic_why, "limit"));
	device_close(device);
}
END_TEST

/* A key that will not die does so with the context. */
START_TEST(dies_with_the_context)
{
	uint32_t key;

	ck_assert(!mem_new(device, &nic_arena, ACCESS, &mem, nic_why,
			   sizeof(nic_why)));
	key = key_of(mem, 0);
	fake_verbs_fail("ibv_dereg_mr", 1, EIO);
	mem_free(mem);
	ck_assert(lands(key, 0));
	device_close(device);
	ck_assert(!lands(key, 0));
	ck_assert(strstr(fake_verbs_left(), "1 mr leaked"));
}
END_TEST

/* Nor will one that was put away: but it is scratch memory's. */
START_TEST(giving_back_fails)
{
	uint32_t key;

	ck_assert(!mem_new(device, &nic_arena, ACCESS, &mem, nic_why,
			   sizeof(nic_why)));
	key = key_of(mem, 0);
	fake_verbs_recycle_keys(true);
	fake_verbs_fail("ibv_dereg_mr", 3, EIO);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), 0);
	ck_assert(fake_verbs_failed());
	ck_assert(!lands(key, 0));
	ck_assert_uint_ne(key_of(mem, 0), key);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS + 1);
	mem_free(mem);
	device_close(device);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("mem");
	TCase *tc = tcase_create("renew");
	TCase *bare = tcase_create("new"), *leak = tcase_create("leak");

	tcase_add_checked_fixture(tc, make, end);
	tcase_add_test(tc, a_key_is_of_one_region);
	tcase_add_test(tc, renewed);
	tcase_add_test(tc, recycled_keys_are_kept_away);
	tcase_add_test(tc, recycled_among_regions);
	tcase_add_test(tc, not_of_the_last_session_either);
	ADD_ROWS(tc, comes_back_when_its_time_is_over, returns);
	tcase_add_test(tc, too_many_at_once);
	tcase_add_test(tc, deregistering_fails);
	tcase_add_test(tc, deregistering_a_recycled_one_fails);
	tcase_add_test(tc, registering_fails);
	tcase_add_test(tc, putting_away_fails);
	tcase_add_test(tc, late_writes_land_nowhere);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(bare, make_device, nic_end);
	tcase_add_test(bare, fails_at_every_step);
	suite_add_tcase(s, bare);
	tcase_add_checked_fixture(leak, make_device, nic_end_leaked);
	tcase_add_test(leak, dies_with_the_context);
	tcase_add_test(leak, giving_back_fails);
	suite_add_tcase(s, leak);
	return scratch_main(s);
}
