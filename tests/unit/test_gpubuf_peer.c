/* SPDX-License-Identifier: Apache-2.0 */
/* Maps on a GPU that NICs reach, over a fake xfer: which parts go straight
 * there, how they end, and who may have their place. */
#include "fake_gpu_maps.h"

static void setup(void)
{
	gpu_start(16 * MIB);
}

/* The smallest pool there is: two slots. */
static void setup_small(void)
{
	gpu_start(4 * MIB);
}

static const struct {
	uint64_t off, len, valid;
} ranges[] = {
	{0, 1, 1},
	{0, 4 * MIB, 4 * MIB},
	{0, BLOCK, BLOCK},
	{5000, 100, 100},
	{MIB - 5000, MIB, MIB},
	{5 * MIB + 12345, 7 * MIB, 7 * MIB},
	{100 * MIB - 1, 4096, 1},
	{99 * MIB + 5, 50 * MIB, MIB - 5},
};

/* What the transfers that wait are for: peer memory alone, a slot's length each
 * at most. */
static void check_gets(void)
{
	const unsigned int arena = rdma_regions(cache_arena(c));
	const struct xfer_get *get;

	for (unsigned int i = 0; (get = fake_xfer_peek(x, i)); i++) {
		ck_assert_ptr_null(get->span.addr);
		ck_assert_uint_ge(get->span.region, arena);
		ck_assert_uint_lt(get->span.region,
				  arena + peermem_count(peers));
		ck_assert_uint_le(get->len, MIB);
	}
	ck_assert_uint_eq(fake_xfer_stats(x).peer_gets,
			  fake_xfer_stats(x).started);
}

START_TEST(straight)
{
	const uint64_t lo = ranges[_i].off & ~(PAGE - 1);
	const uint64_t hi = (ranges[_i].off + ranges[_i].valid + PAGE - 1) &
			    ~(PAGE - 1);
	struct mapping w;

	begin(&w, ME, GPUBUF_CUDA, ranges[_i].off, ranges[_i].len, true);
	check_gets();
	wait_for(&w);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_eq(w.m.valid, ranges[_i].valid);
	ck_assert(fits(&w));
	ck_assert(is_alone(&w));
	ck_assert_uint_eq(g->stats.bounced_bytes, 0);
	ck_assert_uint_eq(g->stats.direct_bytes, hi - lo);
	ck_assert_uint_eq(settles, fake_xfer_stats(x).peer_gets);
	ck_assert_uint_ge(settles, 1);
	end(&w);
}
END_TEST

START_TEST(out_of_reach)
{
	struct mapping w;

	fake_xfer_reach_peers(x, false);
	map(&w, ME, ranges[_i].off, ranges[_i].len);
	ck_assert_uint_eq(w.m.valid, ranges[_i].valid);
	ck_assert(fits(&w));
	ck_assert(is_alone(&w));
	ck_assert_uint_eq(g->stats.direct_bytes, 0);
	ck_assert_uint_ge(g->stats.bounced_bytes, ranges[_i].valid);
	ck_assert_uint_eq(fake_xfer_stats(x).peer_gets, 0);
	end(&w);
}
END_TEST

/* A bounced part has room in the pool however small that is. */
START_TEST(two_slots_are_enough)
{
	struct mapping w;

	fake_xfer_reach_peers(x, false);
	map(&w, ME, 3 * MIB / 2, BLOCK);
	ck_assert_uint_eq(w.m.valid, BLOCK);
	ck_assert(fits(&w));
}
END_TEST

/* ---- how they end ---- */

static unsigned int runs_on_gpu(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < g->devs[1].nblocks; i++)
		n += g->devs[1].blocks[i].nruns;
	return n;
}

START_TEST(failure)
{
	const bool fence = failures[_i].how == FAKE_FENCE;
	struct mapping w;

	begin(&w, ME, GPUBUF_CUDA, 0, 64 * KIB, true);
	ck_assert(fake_xfer_end(x, 0, failures[_i].how));
	ck_assert_int_eq(atomic_load(&w.calls), 1);
	ck_assert_int_eq(w.err, failures[_i].err);
	ck_assert_uint_eq(g->stats.handles, 0);
	ck_assert_uint_eq(g->busy, fence);
	ck_assert_uint_eq(runs_on_gpu(), fence);
	ck_assert(fake_xfer_end_fence(x) == fence);
	ck_assert_uint_eq(g->busy, 0);
	ck_assert_uint_eq(runs_on_gpu(), 0);
}
END_TEST

static const struct block *block_of(const struct mapping *w)
{
	for (unsigned int i = 0; i < g->devs[1].nblocks; i++)
		if (g->devs[1].blocks[i].id == w->m.allocation)
			return &g->devs[1].blocks[i];
	return NULL;
}

/* All the blocks that two others can have. */
static void take_all(struct mapping theirs[8])
{
	for (unsigned int i = 0; i < 8; i++) {
		begin(&theirs[i], i < 6 ? OTHER : OTHER + 1, GPUBUF_CUDA,
		      i * BLOCK, BLOCK, true);
		while (fake_xfer_end(x, 0, FAKE_OK))
			continue;
		ck_assert_int_eq(theirs[i].err, i < 7 ? 0 : -EAGAIN);
	}
}

/* Nobody gets the place before its key is dead, nor is its block taken away. */
START_TEST(its_place_waits_for_the_fence)
{
	struct mapping w, again, theirs[8];
	struct peermem_region r;
	unsigned int region;
	bool there;

	begin(&w, ME, GPUBUF_CUDA, 0, MIB, true);
	ck_assert(fake_xfer_end(x, 0, FAKE_FENCE));
	begin(&again, ME, GPUBUF_CUDA, 0, MIB, true);
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	ck_assert_int_eq(again.err, 0);
	ck_assert_uint_eq(again.m.alloc_off, MIB);
	region = block_of(&again)->peer;
	end(&again);
	gpubuf_drop(g);
	take_all(theirs);
	peermem_get(peers, region, &r, &there);
	ck_assert(there);
	ck_assert(fake_xfer_end_fence(x));
	for (unsigned int i = 0; i < 7; i++)
		ck_assert(fits(&theirs[i]));
	map(&again, ME, 50 * MIB, MIB);
	ck_assert_uint_eq(again.m.alloc_off, 0);
	ck_assert(fits(&again));
}
END_TEST

/* Late bytes of one window do not touch what came beside it. */
START_TEST(others_in_the_region)
{
	struct mapping a, b;

	begin(&a, ME, GPUBUF_CUDA, 0, 64 * KIB, true);
	begin(&b, ME, GPUBUF_CUDA, MIB, MIB, true);
	ck_assert(fake_xfer_end(x, 0, FAKE_FENCE));
	ck_assert(fake_xfer_end(x, 0, FAKE_OK));
	ck_assert_int_eq(a.err, -EIO);
	ck_assert_int_eq(b.err, 0);
	ck_assert(fits(&b));
	ck_assert(fake_xfer_end_fence(x));
	ck_assert(fits(&b));
	end(&b);
}
END_TEST

/* A body that came instead: once the window is safe it goes there, or by way of
 * the pool when no NIC reaches it any more. */
START_TEST(body_waits_for_the_fence)
{
	const bool reaches = _i == 0;
	struct mapping w;

	begin(&w, ME, GPUBUF_CUDA, 4096, 64 * KIB, true);
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert_uint_eq(fake_xfer_stats(x).fences_waiting, 1);
	ck_assert(fake_xfer_end_fence(x));
	ck_assert_int_eq(atomic_load(&w.calls), 0);
	fake_xfer_reach_peers(x, reaches);
	wait_for(&w);
	ck_assert_int_eq(w.err, 0);
	ck_assert(fits(&w));
	ck_assert(is_alone(&w));
	ck_assert_uint_eq(g->stats.direct_bytes, reaches ? 64 * KIB : 0);
	ck_assert_uint_eq(g->stats.bounced_bytes, reaches ? 0 : 64 * KIB);
}
END_TEST

/* It fails while the fence of its window goes on, or when that has ended: there
 * is no other. */
START_TEST(fails_without_its_memory)
{
	const bool ended = _i == 1;
	struct mapping w;

	begin(&w, ME, GPUBUF_CUDA, 0, 64 * KIB, true);
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert(!ended || fake_xfer_end_fence(x));
	ck_assert(fake_xfer_end(x, 0, FAKE_FENCE));
	ck_assert_int_eq(w.err, -EIO);
	ck_assert_uint_eq(runs_on_gpu(), !ended);
	ck_assert_uint_eq(fake_xfer_stats(x).fences_waiting, !ended);
	ck_assert(fake_xfer_end_fence(x) == !ended);
	ck_assert_uint_eq(runs_on_gpu(), 0);
	ck_assert(!fake_xfer_end_fence(x));
}
END_TEST

START_TEST(not_seen_by_the_gpu)
{
	struct mapping w;

	settle_err = -EIO;
	begin(&w, ME, GPUBUF_CUDA, 0, 64 * KIB, true);
	wait_for(&w);
	ck_assert_int_eq(w.err, -EIO);
	ck_assert_uint_eq(g->stats.direct_bytes, 0);
	ck_assert_uint_eq(runs_on_gpu(), 0);
}
END_TEST

/* ---- what goes another way ---- */

START_TEST(what_is_cached_is_not_fetched)
{
	struct mapping w, part;
	unsigned int before;

	cache_prefetch(c, object, 0, 2 * MIB);
	fake_xfer_drain(x);
	before = fake_xfer_stats(x).started;
	map(&w, ME, 4096, 3 * MIB / 2);
	ck_assert(fits(&w));
	ck_assert_uint_eq(fake_xfer_stats(x).started, before);
	ck_assert_uint_eq(g->stats.bounced_bytes, 3 * MIB / 2);
	/* Of a part that is not all there, nothing is taken. */
	map(&part, OTHER, 3 * MIB / 2, MIB);
	ck_assert(fits(&part));
	ck_assert_uint_eq(fake_xfer_stats(x).peer_gets, 1);
	ck_assert_uint_eq(g->stats.direct_bytes, MIB);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gpubuf_peer");
	TCase *tc = tcase_create("all"), *small = tcase_create("small");

	tcase_add_checked_fixture(tc, setup, gpu_end);
	ADD_ROWS(tc, straight, ranges);
	ADD_ROWS(tc, out_of_reach, ranges);
	ADD_ROWS(tc, failure, failures);
	tcase_add_test(tc, its_place_waits_for_the_fence);
	tcase_add_test(tc, others_in_the_region);
	tcase_add_loop_test(tc, body_waits_for_the_fence, 0, 2);
	tcase_add_loop_test(tc, fails_without_its_memory, 0, 2);
	tcase_add_test(tc, not_seen_by_the_gpu);
	tcase_add_test(tc, what_is_cached_is_not_fetched);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(small, setup_small, gpu_end);
	tcase_add_test(small, two_slots_are_enough);
	suite_add_tcase(s, small);
	return scratch_main(s);
}
