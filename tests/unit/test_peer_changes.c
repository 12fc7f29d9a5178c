/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peer memory that changes at random, against a model: memory comes and goes,
 * anywhere, its keys are renewed, and now and then a call fails.  What was told
 * lands nowhere once its memory may be freed.
 */
#include <string.h>

#include "base/log.h"
#include "fake_peer.h"

#define SECOND 1000ULL
#define STEPS 400
#define MEMORIES (PEERS + 1)
/* Half a region apart: what comes lies across what was. */
#define PLACES 8
#define PLACE(i) (PEER_IOVA(0) + (i)*PEER_LEN / 2)

static struct device *device;
static struct mem *mem;
static struct memory memories[MEMORIES];
static uint64_t now, seed;

/* What each region has. */
static struct {
	const struct memory *memory; /* NULL: nothing */
	uint64_t iova;
	uint32_t key; /* that was told; 0: out of reach */
} regions[PEERS];

static struct {
	uint32_t key;
	uint64_t iova, died_ms;
} told[2 * STEPS];
static unsigned int ntold, reached;

static void make(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	peer_start();
	device = peer_device();
	mem = peer_mem(device);
	for (unsigned int i = 0; i < MEMORIES; i++)
		memories[i] = memory_new();
	now = SECOND;
}

/* Deregistering fails here as well: what is left goes with the context. */
static void end(void)
{
	fake_verbs_fail("ibv_dereg_mr", 1, EBUSY);
	mem_free(mem);
	device_close(device);
	nic_end_leaked();
	peermem_free(peers);
	for (unsigned int i = 0; i < MEMORIES; i++)
		memory_free(&memories[i]);
}

static unsigned int random_to(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(seed >> 33) % n;
}

static bool is_used(const struct memory *m)
{
	for (unsigned int i = 0; i < PEERS; i++)
		if (regions[i].memory == m)
			return true;
	return false;
}

static bool is_free(uint64_t iova)
{
	for (unsigned int i = 0; i < PEERS; i++)
		if (regions[i].memory && iova < regions[i].iova + PEER_LEN &&
		    regions[i].iova < iova + PEER_LEN)
			return false;
	return true;
}

/* The region's key is dead, says the product. */
static void bury(unsigned int i)
{
	if (!regions[i].key)
		return;
	told[ntold].key = regions[i].key;
	told[ntold].iova = regions[i].iova;
	told[ntold++].died_ms = now;
	regions[i].key = 0;
}

static void ask(unsigned int i)
{
	uint64_t addr;
	uint32_t key;

	if (!mem_window(mem, PEER(i), &addr, &key))
		return;
	ck_assert_ptr_nonnull(regions[i].memory);
	ck_assert_uint_eq(addr, regions[i].iova);
	regions[i].key = key;
	reached++;
}

/* As who waits for it: a call that fails is made again. */
static void sync_all(void)
{
	const uint64_t version = peermem_version(peers);

	for (int i = 0; i < 4 && mem_sync(mem, now) < version; i++)
		ck_assert(fake_verbs_failed());
	ck_assert_uint_eq(mem_sync(mem, now), version);
}

static void fence(unsigned int i)
{
	int err = mem_renew(mem, PEER(i), now);

	for (int n = 0; n < 4 && err; n++) {
		ck_assert(fake_verbs_failed());
		err = mem_renew(mem, PEER(i), now);
	}
	ck_assert_int_eq(err, 0);
	bury(i);
	ask(i);
}

static void take_away(unsigned int i)
{
	uint64_t addr;
	uint32_t key;

	peermem_set(peers, i, NULL);
	sync_all();
	ck_assert(!mem_window(mem, PEER(i), &addr, &key));
	bury(i);
	regions[i].memory = NULL;
}

/* Some memory that nobody has, somewhere. */
static void put(unsigned int i)
{
	const struct memory *m = &memories[random_to(MEMORIES)];
	const uint64_t iova = PLACE(random_to(PLACES));
	const struct peermem_region r = memory_region(m, iova);

	if (is_used(m) || !is_free(iova))
		return;
	regions[i].memory = m;
	regions[i].iova = iova;
	peermem_set(peers, i, &r);
	sync_all();
	ask(i);
}

static void fail_at_random(void)
{
	static const struct {
		const char *call;
		int err;
	} errors[] = {{"ibv_dereg_mr", EBUSY},
		      {"ibv_reg_mr", ENOMEM},
		      {"ibv_reg_dmabuf_mr", EOPNOTSUPP}};
	const unsigned int which = random_to(8);

	fake_verbs_fail(NULL, 0, 0);
	if (which < ARRAY_SIZE(errors))
		fake_verbs_fail(errors[which].call, 1 + random_to(2),
				errors[which].err);
}

static void step(void)
{
	const unsigned int i = random_to(PEERS), what = random_to(4);

	fail_at_random();
	if (what == 0)
		fence(i);
	else if (regions[i].memory)
		take_away(i);
	else
		put(i);
	now += random_to(20) * SECOND;
}

static void check_dead(void)
{
	for (unsigned int i = 0; i < ntold; i++) {
		if (now - told[i].died_ms >= MEM_HOLD_MS)
			continue;
		for (uint64_t at = 0; at < PEER_LEN; at += PEER_LEN / 8)
			ck_assert_msg(
				!peer_lands(told[i].key, told[i].iova + at),
				"a key is alive after %llu s",
				(unsigned long long)(now - told[i].died_ms) /
					SECOND);
	}
}

/* What is told now leads to the memory that is there. */
static void check_living(void)
{
	for (unsigned int i = 0; i < PEERS; i++) {
		const uint32_t at = random_to(PEER_LEN - sizeof(at));

		if (!regions[i].key)
			continue;
		ck_assert_int_eq(fake_verbs_remote_write(regions[i].key,
							 regions[i].iova + at,
							 &at, sizeof(at)),
				 0);
		ck_assert_mem_eq(regions[i].memory->addr + at, &at, sizeof(at));
	}
}

START_TEST(at_random)
{
	seed = (uint64_t)_i;
	fake_verbs_recycle_keys(_i > 0);
	for (int n = 0; n < STEPS; n++) {
		step();
		check_dead();
		check_living();
	}
	ck_assert_uint_ge(ntold, STEPS / 4);
	ck_assert_uint_ge(reached, STEPS / 4);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peer_changes");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, make, end);
	tcase_add_loop_test(tc, at_random, 0, 8);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
