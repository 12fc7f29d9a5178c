/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer memory: its table, and its registrations with a device.  What was told
 * of memory that was taken away lands nowhere, whatever comes to its place.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fake_peer.h"

#define SECOND 1000ULL

static struct device *device;
static struct mem *mem;
static struct memory a, b;

static void make(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	peer_start();
	device = peer_device();
	mem = peer_mem(device);
	a = memory_new();
	b = memory_new();
}

static void end(void)
{
	mem_free(mem);
	device_close(device);
	peer_end();
	memory_free(&a);
	memory_free(&b);
}

/* 0: none.  The address is as the table has it. */
static uint32_t key_of(unsigned int region)
{
	struct peermem_region r = {0};
	uint32_t key;
	uint64_t addr;
	bool there;

	if (!mem_window(mem, region, &addr, &key))
		return 0;
	if (region >= REGIONS) {
		peermem_get(peers, region - REGIONS, &r, &there);
		ck_assert(there);
		ck_assert_uint_eq(addr, r.iova);
	}
	return key;
}

static void sync_at(uint64_t now)
{
	ck_assert_uint_eq(mem_sync(mem, now), peermem_version(peers));
}

static void put_and_sync(unsigned int i, const struct memory *m, uint64_t now)
{
	peer_put(i, m);
	sync_at(now);
}

static void take_and_sync(unsigned int i, uint64_t now)
{
	peermem_set(peers, i, NULL);
	sync_at(now);
	ck_assert_uint_eq(key_of(PEER(i)), 0);
}

static void check_arena(void)
{
	for (unsigned int r = 0; r < REGIONS; r++)
		ck_assert(peer_lands(key_of(r), (uintptr_t)nic_region(r)));
}

/* ---- the table ---- */

START_TEST(table)
{
	const struct peermem_region r = {1ULL << 60, 4096, 7, 8192, 12345};
	struct peermem_region got;
	struct peermem *p;
	uint64_t version;
	bool there = true;

	ck_assert_int_eq(peermem_new(3, 8192, &p), 0);
	ck_assert_uint_eq(peermem_count(p), 3);
	ck_assert_uint_eq(peermem_len(p), 8192);
	version = peermem_version(p);
	ck_assert_uint_ge(version, 1);
	for (unsigned int i = 0; i < 3; i++) {
		ck_assert_uint_eq(peermem_get(p, i, &got, &there), 0);
		ck_assert(!there);
	}
	peermem_set(p, 1, &r);
	ck_assert_uint_eq(peermem_version(p), version + 1);
	ck_assert_uint_eq(peermem_get(p, 1, &got, &there), version + 1);
	ck_assert(there);
	ck_assert(got.iova == r.iova && got.len == r.len &&
		  got.dmabuf == r.dmabuf && got.offset == r.offset &&
		  got.addr == r.addr);
	peermem_set(p, 2, &r);
	peermem_set(p, 1, NULL);
	ck_assert_uint_eq(peermem_get(p, 0, &got, &there), 0);
	ck_assert_uint_eq(peermem_get(p, 1, &got, &there), version + 3);
	ck_assert(!there);
	ck_assert_uint_eq(peermem_get(p, 2, &got, &there), version + 2);
	ck_assert(there);
	ck_assert_uint_eq(peermem_version(p), version + 3);
	peermem_free(p);
}
END_TEST

START_TEST(no_table)
{
	ck_assert_uint_eq(peermem_count(NULL), 0);
	ck_assert_uint_eq(peermem_len(NULL), 0);
	peermem_free(NULL);
}
END_TEST

/* ---- registered ---- */

START_TEST(nothing_is_there)
{
	sync_at(SECOND);
	for (unsigned int i = 0; i < PEERS; i++)
		ck_assert_uint_eq(key_of(PEER(i)), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	check_arena();
}
END_TEST

static const struct {
	bool by_address;
	uint64_t len;
} kinds[] = {{false, PEER_LEN},
	     {true, PEER_LEN},
	     {false, PEER_LEN / 2},
	     {true, PEER_LEN / 2}};

START_TEST(written_where_it_lies)
{
	const uint64_t len = kinds[_i].len, iova = PEER_IOVA(1);
	struct peermem_region r = memory_region(&a, iova);
	AUTO_FREE char *junk = malloc(len);
	uint32_t key;

	r.len = len;
	if (kinds[_i].by_address) {
		r.dmabuf = -1;
		r.offset = UINT64_MAX; /* of a dma-buf alone */
		r.addr = (uintptr_t)a.addr;
	}
	peermem_set(peers, 1, &r);
	sync_at(SECOND);
	key = key_of(PEER(1));
	ck_assert_uint_ne(key, 0);
	memset(junk, 0x55, len);
	ck_assert_int_eq(fake_verbs_remote_write(key, iova - 1, junk, 2),
			 -EACCES);
	ck_assert_int_eq(fake_verbs_remote_write(key, iova + len - 1, junk, 2),
			 -EACCES);
	ck_assert(!peer_lands(key, iova + len));
	ck_assert(!peer_lands(key, (uintptr_t)a.addr));
	ck_assert(nic_is_zero(a.map, 3 * PEER_LEN));
	ck_assert_int_eq(fake_verbs_remote_write(key, iova + 5, "ab", 2), 0);
	ck_assert_mem_eq(a.addr, "\0\0\0\0\0ab", 8);
	ck_assert_int_eq(fake_verbs_remote_write(key, iova, junk, len), 0);
	ck_assert_mem_eq(a.addr, junk, len);
	ck_assert(nic_is_zero(a.map, PEER_LEN));
	ck_assert(nic_is_zero(a.addr + len, 2 * PEER_LEN - len));
}
END_TEST

static uint64_t addr_of(unsigned int region)
{
	return region < REGIONS ? (uintptr_t)nic_region(region)
				: PEER_IOVA(region - REGIONS);
}

START_TEST(a_key_is_of_one_region)
{
	peer_put(0, &a);
	put_and_sync(2, &b, SECOND);
	ck_assert_uint_eq(key_of(PEER(1)), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS + 2);
	for (unsigned int r = 0; r < PEER(PEERS); r++)
		for (unsigned int other = 0; other < PEER(PEERS); other++)
			ck_assert_int_eq(peer_lands(key_of(r), addr_of(other)),
					 r == other && r != PEER(1));
}
END_TEST

/* What is there from the start needs no further call. */
START_TEST(there_before_the_session)
{
	mem_free(mem);
	peer_put(1, &a);
	mem = peer_mem(device);
	ck_assert(peer_lands(key_of(PEER(1)), PEER_IOVA(1)));
	sync_at(clock_ms());
}
END_TEST

/* ---- a device that does not reach it ---- */

static unsigned int lines_of(int log)
{
	static char text[1 << 16];
	const ssize_t n = pread(log, text, sizeof(text) - 1, 0);
	unsigned int lines = 0;

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	for (const char *p = text; (p = strstr(p, "cannot reach")); p++)
		lines++;
	return lines;
}

START_TEST(out_of_reach)
{
	AUTO_CLOSE int log = memfd_create("log", MFD_CLOEXEC);

	dup2(log, STDERR_FILENO);
	log_open("test", LOG_SINK_STDERR);
	log_set_level(LOG_LEVEL_INFO);
	fake_verbs_fail("ibv_reg_dmabuf_mr", 0, EOPNOTSUPP);
	peer_put(0, &a);
	put_and_sync(1, &b, SECOND);
	ck_assert_uint_eq(key_of(PEER(0)), 0);
	ck_assert_uint_eq(key_of(PEER(1)), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	check_arena();
	ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND), 0);
	ck_assert_uint_eq(key_of(PEER(0)), 0);
	put_and_sync(2, &a, SECOND);
	ck_assert_int_eq(mem_renew(mem, 0, SECOND), 0);
	check_arena();
	ck_assert_uint_eq(lines_of(log), 1);
	/* What comes later may be in reach. */
	fake_verbs_fail(NULL, 0, 0);
	put_and_sync(1, &a, SECOND);
	ck_assert(peer_lands(key_of(PEER(1)), PEER_IOVA(1)));
	ck_assert_uint_eq(lines_of(log), 1);
}
END_TEST

START_TEST(mem_new_does_not_fail_for_it)
{
	mem_free(mem);
	peer_put(0, &a);
	fake_verbs_fail("ibv_reg_dmabuf_mr", 0, EOPNOTSUPP);
	mem = peer_mem(device);
	sync_at(clock_ms());
	ck_assert_uint_eq(key_of(PEER(0)), 0);
	check_arena();
}
END_TEST

/* ---- taken away ---- */

START_TEST(taken_away)
{
	uint32_t key;

	put_and_sync(0, &a, SECOND);
	key = key_of(PEER(0));
	peermem_set(peers, 0, NULL);
	sync_at(SECOND);
	ck_assert(!peer_lands(key, PEER_IOVA(0)));
	ck_assert_uint_eq(key_of(PEER(0)), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	check_arena();
}
END_TEST

/* Others keep their keys: their tokens are on their way. */
START_TEST(others_stay_as_they_are)
{
	uint32_t key, arena = key_of(3);

	peer_put(0, &a);
	put_and_sync(1, &b, SECOND);
	key = key_of(PEER(1));
	take_and_sync(0, SECOND);
	ck_assert_uint_eq(key_of(PEER(1)), key);
	ck_assert_uint_eq(key_of(3), arena);
	ck_assert(peer_lands(key, PEER_IOVA(1)));
}
END_TEST

/* With a kernel that gives the last key back at once. */
START_TEST(other_memory_in_its_place)
{
	uint32_t keys[100];
	uint64_t now = SECOND;

	fake_verbs_recycle_keys(true);
	for (unsigned int n = 0; n < ARRAY_SIZE(keys); n++) {
		put_and_sync(0, n % 2 ? &b : &a, now);
		for (unsigned int k = 0; k < n; k++)
			ck_assert(!peer_lands(keys[k], PEER_IOVA(0)));
		keys[n] = key_of(PEER(0));
		ck_assert(peer_lands(keys[n], PEER_IOVA(0)));
		/* At times without a moment in which there is nothing. */
		if (n % 3)
			take_and_sync(0, now);
		now += SECOND;
	}
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS + 1);
}
END_TEST

static const struct {
	uint64_t after;
	bool back;
} returns[] = {
	{1, false},
	{MEM_HOLD_MS - 1, false},
	{MEM_HOLD_MS, true},
};

START_TEST(comes_back_when_its_time_is_over)
{
	uint32_t key;

	fake_verbs_recycle_keys(true);
	put_and_sync(0, &a, SECOND);
	key = key_of(PEER(0));
	take_and_sync(0, SECOND);
	put_and_sync(0, &b, SECOND + returns[_i].after);
	ck_assert_int_eq(key_of(PEER(0)) == key, returns[_i].back);
}
END_TEST

/* Addresses of a device are used again by blocks that lie otherwise, and for
 * other regions. */
static const struct {
	unsigned int region;
	int64_t by;
} moves[] = {{1, 0},
	     {0, (int64_t)PEER_LEN / 2},
	     {1, (int64_t)PEER_LEN / 2},
	     {2, -(int64_t)PEER_LEN / 2}};

START_TEST(other_memory_across_its_place)
{
	struct peermem_region r = memory_region(
		&b, PEER_IOVA(0) + (uint64_t)moves[_i].by);
	uint32_t key;

	fake_verbs_recycle_keys(true);
	put_and_sync(0, &a, SECOND);
	key = key_of(PEER(0));
	take_and_sync(0, SECOND);
	peermem_set(peers, moves[_i].region, &r);
	sync_at(SECOND + 1);
	ck_assert_uint_ne(key_of(PEER(moves[_i].region)), 0);
	for (uint64_t at = 0; at < PEER_LEN; at += PEER_LEN / 4)
		ck_assert(!peer_lands(key, PEER_IOVA(0) + at));
}
END_TEST

/* A token of the last session may still be in somebody's queue. */
START_TEST(not_of_the_last_session_either)
{
	uint32_t keys[8];

	fake_verbs_recycle_keys(true);
	put_and_sync(0, &a, SECOND);
	for (unsigned int n = 0; n < ARRAY_SIZE(keys); n++) {
		keys[n] = key_of(PEER(0));
		mem_free(mem);
		mem = peer_mem(device);
		for (unsigned int k = 0; k <= n; k++)
			ck_assert(!peer_lands(keys[k], PEER_IOVA(0)));
	}
}
END_TEST

/* ---- fences ---- */

START_TEST(renewed)
{
	uint32_t old;

	fake_verbs_recycle_keys(true);
	peer_put(1, &b);
	put_and_sync(0, &a, SECOND);
	for (unsigned int n = 0; n < 50; n++) {
		old = key_of(PEER(0));
		ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND + n), 0);
		ck_assert(!peer_lands(old, PEER_IOVA(0)));
		ck_assert_uint_ne(key_of(PEER(0)), old);
		ck_assert(peer_lands(key_of(PEER(0)), PEER_IOVA(0)));
		ck_assert(peer_lands(key_of(PEER(1)), PEER_IOVA(1)));
		ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS + 2);
	}
}
END_TEST

/* Keys come back by their length, and a region may have less than the most. */
START_TEST(a_short_one_is_renewed)
{
	struct peermem_region r = memory_region(&a, PEER_IOVA(0));
	uint32_t old;

	fake_verbs_recycle_keys(true);
	r.len = PEER_LEN / 2;
	peermem_set(peers, 0, &r);
	sync_at(SECOND);
	for (unsigned int n = 0; n < 20; n++) {
		old = key_of(PEER(0));
		ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND + n), 0);
		ck_assert(!peer_lands(old, PEER_IOVA(0)));
		ck_assert(peer_lands(key_of(PEER(0)), PEER_IOVA(0)));
	}
}
END_TEST

START_TEST(renewed_out_of_reach)
{
	uint32_t old;

	put_and_sync(0, &a, SECOND);
	old = key_of(PEER(0));
	fake_verbs_fail("ibv_reg_dmabuf_mr", 1, EOPNOTSUPP);
	ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND), 0);
	ck_assert(fake_verbs_failed());
	ck_assert_uint_eq(key_of(PEER(0)), 0);
	ck_assert(!peer_lands(old, PEER_IOVA(0)));
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
	ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND), 0);
	ck_assert(peer_lands(key_of(PEER(0)), PEER_IOVA(0)));
	ck_assert_uint_ne(key_of(PEER(0)), old);
}
END_TEST

/* A fence that meets a change is no worse for it. */
START_TEST(renewed_while_it_changes)
{
	uint32_t old, now;

	put_and_sync(0, &a, SECOND);
	old = key_of(PEER(0));
	peer_put(0, &b);
	ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND), 0);
	sync_at(SECOND);
	now = key_of(PEER(0));
	ck_assert(!peer_lands(old, PEER_IOVA(0)));
	ck_assert(peer_lands(now, PEER_IOVA(0)));
	ck_assert_int_eq(b.addr[0], 'x');
	ck_assert_int_eq(a.addr[0], 0);
}
END_TEST

/* ---- what fails ---- */

START_TEST(deregistering_fails)
{
	uint64_t before;
	uint32_t key;

	put_and_sync(0, &a, SECOND);
	key = key_of(PEER(0));
	before = peermem_version(peers);
	peermem_set(peers, 0, NULL);
	fake_verbs_fail("ibv_dereg_mr", 1, EBUSY);
	ck_assert_uint_eq(mem_sync(mem, SECOND), before);
	ck_assert(peer_lands(key, PEER_IOVA(0)));
	sync_at(SECOND);
	ck_assert(!peer_lands(key, PEER_IOVA(0)));
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS);
}
END_TEST

/* Calls that fail once a key has come back: deregistering it, which is tried
 * again; and putting it out of the way, when the region does without one. */
static const struct {
	const char *call;
	unsigned int nth;
	int err;
	bool again;
} late_errors[] = {{"ibv_dereg_mr", 1, EIO, true},
		   {"ibv_reg_mr", 1, ENOMEM, false}};

START_TEST(fails_with_a_key_that_came_back)
{
	uint64_t before;
	uint32_t key;

	fake_verbs_recycle_keys(true);
	put_and_sync(0, &a, SECOND);
	key = key_of(PEER(0));
	take_and_sync(0, SECOND);
	before = peermem_version(peers);
	peer_put(0, &b);
	fake_verbs_fail(late_errors[_i].call, late_errors[_i].nth,
			late_errors[_i].err);
	ck_assert_uint_eq(mem_sync(mem, SECOND),
			  before + !late_errors[_i].again);
	ck_assert(fake_verbs_failed());
	/* One that lives against our will is told to nobody. */
	ck_assert_uint_eq(key_of(PEER(0)), 0);
	sync_at(SECOND);
	ck_assert(!peer_lands(key, PEER_IOVA(0)));
	ck_assert_int_eq(peer_lands(key_of(PEER(0)), PEER_IOVA(0)),
			 late_errors[_i].again);
}
END_TEST

START_TEST(fence_fails_with_a_key_that_came_back)
{
	uint32_t key;

	fake_verbs_recycle_keys(true);
	put_and_sync(0, &a, SECOND);
	key = key_of(PEER(0));
	/* The first one of either kind is the old key's own. */
	fake_verbs_fail(late_errors[_i].call, _i == 0 ? 2 : late_errors[_i].nth,
			late_errors[_i].err);
	ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND) != 0,
			 late_errors[_i].again);
	ck_assert(fake_verbs_failed());
	ck_assert(!peer_lands(key, PEER_IOVA(0)) || late_errors[_i].again);
	ck_assert_int_eq(mem_renew(mem, PEER(0), SECOND), 0);
	ck_assert(!peer_lands(key, PEER_IOVA(0)));
	ck_assert(peer_lands(key_of(PEER(0)), PEER_IOVA(0)));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peer");
	TCase *bare = tcase_create("table"), *tc = tcase_create("mem");

	tcase_add_test(bare, table);
	tcase_add_test(bare, no_table);
	suite_add_tcase(s, bare);
	tcase_add_checked_fixture(tc, make, end);
	tcase_add_test(tc, nothing_is_there);
	ADD_ROWS(tc, written_where_it_lies, kinds);
	tcase_add_test(tc, a_key_is_of_one_region);
	tcase_add_test(tc, there_before_the_session);
	tcase_add_test(tc, out_of_reach);
	tcase_add_test(tc, mem_new_does_not_fail_for_it);
	tcase_add_test(tc, taken_away);
	tcase_add_test(tc, others_stay_as_they_are);
	tcase_add_test(tc, other_memory_in_its_place);
	ADD_ROWS(tc, comes_back_when_its_time_is_over, returns);
	ADD_ROWS(tc, other_memory_across_its_place, moves);
	tcase_add_test(tc, not_of_the_last_session_either);
	tcase_add_test(tc, renewed);
	tcase_add_test(tc, a_short_one_is_renewed);
	tcase_add_test(tc, renewed_out_of_reach);
	tcase_add_test(tc, renewed_while_it_changes);
	tcase_add_test(tc, deregistering_fails);
	ADD_ROWS(tc, fails_with_a_key_that_came_back, late_errors);
	ADD_ROWS(tc, fence_fails_with_a_key_that_came_back, late_errors);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
