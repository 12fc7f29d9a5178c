/* SPDX-License-Identifier: Apache-2.0 */
/* Leases, runs, handles and their parts, over a fake xfer. */
#include "fake_maps.h"

/* 14 extents of a slot each; up to ten can be lent. */
static void setup(void)
{
	maps_start(16 * MIB, 16 * MIB, false);
}

/* A map whose bytes come without trouble. */
static void map(struct mapping *w, uid_t uid, uint64_t off, uint64_t len)
{
	begin(w, uid, GPUBUF_HOST, off, len, true);
	fake_xfer_drain(x);
	ck_assert_int_eq(atomic_load(&w->calls), 1);
	ck_assert_int_eq(w->err, 0);
}

static const struct block *block_of(const struct mapping *w)
{
	for (unsigned int i = 0; i < g->devs[0].nblocks; i++)
		if (g->devs[0].blocks[i].id == w->m.allocation)
			return &g->devs[0].blocks[i];
	return NULL;
}

static bool fits(const struct mapping *w)
{
	return fake_bytes_fit("e1", w->m.off,
			      block_of(w)->extent->addr + w->m.alloc_off,
			      w->m.valid);
}

static const struct {
	uint64_t off, len, valid;
} ranges[] = {
	{0, 1, 1},
	{0, MIB, MIB},
	{5000, 100, 100},
	{MIB - 1, 2, 2},
	{99 * MIB + 4096, 5 * MIB, MIB - 4096},
	{100 * MIB - 1, 4096, 1},
	{3 * MIB, 50 * MIB, MIB}, /* one block's */
};

START_TEST(range)
{
	struct mapping a, b;

	map(&a, ME, ranges[_i].off, ranges[_i].len);
	ck_assert_uint_eq(a.m.valid, ranges[_i].valid);
	ck_assert_uint_eq(a.m.alloc_off % 4096, ranges[_i].off % 4096);
	ck_assert(fits(&a));
	/* Again: the same bytes, fetched once. */
	map(&b, ME, ranges[_i].off, ranges[_i].len);
	ck_assert_uint_eq(b.m.alloc_off, a.m.alloc_off);
	ck_assert_uint_eq(b.m.allocation, a.m.allocation);
	ck_assert_uint_eq(b.m.generation, a.m.generation);
	ck_assert_uint_ne(b.m.handle, a.m.handle);
	ck_assert_uint_eq(g->stats.hits, 1);
	end(&a);
	ck_assert(fits(&b));
	end(&b);
}
END_TEST

/* Every byte of what a user can map is zero or his own. */
START_TEST(users_lie_apart)
{
	struct mapping mine, theirs;
	const struct block *b;

	map(&mine, ME, 0, 64 * KIB);
	map(&theirs, OTHER, MIB, 64 * KIB);
	ck_assert_uint_ne(mine.m.allocation, theirs.m.allocation);
	b = block_of(&mine);
	ck_assert(is_zero(b->extent->addr + 64 * KIB, b->len - 64 * KIB));
	end(&mine);
	end(&theirs);
}
END_TEST

/* Memory that was a user's comes to another one wiped, and only once the
 * first one has let go of it. */
START_TEST(memory_changes_hands)
{
	struct mapping w[32], theirs;
	unsigned int n = 0;
	uint64_t kept;
	char path[64];
	int fd;

	do
		begin(&w[n], ME, GPUBUF_HOST, n * MIB, MIB, true);
	while (fake_xfer_drain(x), w[n++].err == 0 && n < 32);
	ck_assert_int_eq(w[n - 1].err, -EAGAIN);
	ck_assert_uint_ge(n, 8);
	n--;
	kept = w[0].m.allocation;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", block_of(&w[0])->fd);
	fd = open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	while (n > 0)
		end(&w[--n]);
	/* Others get all but what somebody has open. */
	for (int i = 0; i < 12; i++) {
		begin(&theirs, OTHER, GPUBUF_HOST, i * MIB, 64 * KIB, true);
		fake_xfer_drain(x);
		ck_assert_int_eq(theirs.err, 0);
		ck_assert_uint_ne(theirs.m.allocation, kept);
		ck_assert(i > 0 ||
			  is_zero(block_of(&theirs)->extent->addr + 64 * KIB,
				  MIB - 64 * KIB));
		end(&theirs);
	}
	close(fd);
}
END_TEST

/* A user keeps page frames in a pipe when he has let go of all else: what comes
 * to stand in that memory later is not what the pipe holds. */
START_TEST(pages_in_a_pipe)
{
	static char kept[64 * KIB];
	struct mapping w[32], mine;
	unsigned int n = 0;
	int pipe_fds[2], fd;
	loff_t at;
	char path[64];

	map(&mine, ME, 0, sizeof(kept));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", block_of(&mine)->fd);
	fd = open(path, O_RDONLY);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	at = (loff_t)mine.m.alloc_off;
	ck_assert_int_eq(splice(fd, &at, pipe_fds[1], NULL, sizeof(kept), 0),
			 (int)sizeof(kept));
	close(fd);
	end(&mine);
	gpubuf_drop(g);
	/* All the memory there is, for another. */
	do
		begin(&w[n], OTHER, GPUBUF_HOST, (n + 1) * MIB, MIB, true);
	while (fake_xfer_drain(x), w[n++].err == 0 && n < 32);
	ck_assert_int_eq(read(pipe_fds[0], kept, sizeof(kept)),
			 (int)sizeof(kept));
	ck_assert(fake_bytes_fit("e1", 0, kept, sizeof(kept)));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

/* Where a NIC knows the frames they stay with the user. */
START_TEST(frames_that_are_known)
{
	struct gpubuf_stats s;
	struct mapping w;

	g->cfg.frames_are_known = true;
	map(&w, ME, 0, MIB);
	end(&w);
	gpubuf_drop(g);
	gpubuf_get_stats(g, &s);
	ck_assert_uint_gt(s.leased_bytes, 0);
	ck_assert_uint_eq(s.users, 1);
	g->cfg.frames_are_known = false;
}
END_TEST

START_TEST(nobody_waits_for_ever)
{
	struct mapping w[32], late;
	unsigned int n = 0;

	do
		begin(&w[n], ME, GPUBUF_HOST, n * MIB, MIB, true);
	while (fake_xfer_drain(x), w[n++].err == 0 && n < 32);
	begin(&late, ME, GPUBUF_HOST, 50 * MIB, MIB, false);
	while (atomic_load(&late.calls) == 0)
		sched_yield();
	ck_assert_int_eq(late.err, -ENOMEM);
	/* One that finds room meanwhile. */
	begin(&late, ME, GPUBUF_HOST, 50 * MIB, MIB, false);
	ck_assert_int_eq(atomic_load(&late.calls), 0);
	end(&w[0]);
	while (atomic_load(&late.calls) == 0)
		fake_xfer_drain(x);
	ck_assert_int_eq(late.err, 0);
	ck_assert(fits(&late));
}
END_TEST

/* An error is told at once; memory that may still be written to is nobody's
 * until its key is dead. */
START_TEST(failure)
{
	struct mapping w;
	const bool fence = failures[_i].how == FAKE_FENCE;

	begin(&w, ME, GPUBUF_HOST, 0, 64 * KIB, true);
	ck_assert(fake_xfer_end(x, 0, failures[_i].how));
	ck_assert_int_eq(atomic_load(&w.calls), 1);
	ck_assert_int_eq(w.err, failures[_i].err);
	ck_assert_uint_eq(g->stats.handles, 0);
	ck_assert_uint_eq(g->busy, fence);
	ck_assert_uint_eq(g->devs[0].blocks->nruns + g->devs[0].blocks[1].nruns,
			  fence);
	ck_assert(fake_xfer_end_fence(x) == fence);
	ck_assert_uint_eq(g->busy, 0);
}
END_TEST

/* A body that comes in place of a transfer waits for the fence of the window,
 * and then goes where the transfer would have gone. */
START_TEST(body_waits_for_the_fence)
{
	struct mapping w;

	begin(&w, ME, GPUBUF_HOST, 0, 64 * KIB, true);
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert(!fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert_uint_eq(fake_xfer_stats(x).fences_waiting, 1);
	ck_assert(fake_xfer_end_fence(x));
	ck_assert(fake_xfer_end(x, 0, FAKE_BODY));
	ck_assert_int_eq(w.err, 0);
	ck_assert(fits(&w));
}
END_TEST

/* What stands in the file cache is copied, not asked for again. */
START_TEST(copy_of_what_is_cached)
{
	struct mapping w;
	unsigned int before;

	cache_prefetch(c, object, 0, MIB);
	fake_xfer_drain(x);
	before = fake_xfer_stats(x).started;
	map(&w, ME, 4096, 100 * KIB);
	ck_assert(fits(&w));
	ck_assert_uint_eq(fake_xfer_stats(x).started, before);
	ck_assert_uint_eq(g->stats.copied_bytes, 100 * KIB);
}
END_TEST

START_TEST(gpu)
{
	struct mapping w;
	char *mine;
	int fd;

	begin(&w, ME, GPUBUF_CUDA, MIB - 5000, MIB, true);
	while (atomic_load(&w.calls) == 0)
		fake_xfer_drain(x);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_eq(w.m.valid, MIB);
	fd = open((char *)w.m.export, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	mine = mmap(NULL, w.m.alloc_size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(mine, MAP_FAILED);
	ck_assert(fake_bytes_fit("e1", MIB - 5000, mine + w.m.alloc_off, MIB));
	munmap(mine, w.m.alloc_size);
	close(fd);
	end(&w);
}
END_TEST

START_TEST(maps_in_order_are_run_ahead_of)
{
	struct mapping w;

	g->cfg.ahead_max = 4 * MIB;
	map(&w, ME, 0, 256 * KIB);
	end(&w);
	ck_assert_uint_eq(g->stats.ahead_bytes, 0);
	map(&w, ME, 256 * KIB, 256 * KIB);
	end(&w);
	ck_assert_uint_gt(g->stats.ahead_bytes, 0);
	map(&w, ME, 512 * KIB, 256 * KIB);
	ck_assert(fits(&w));
	ck_assert_uint_ge(g->stats.hits, 1);
}
END_TEST

static const struct {
	enum gpubuf_kind kind;
	unsigned int device;
} nowhere[] = {{GPUBUF_CUDA, 1}, {GPUBUF_CUDA, 77}};

START_TEST(no_device)
{
	struct mapping w = {.m = {.owner = &owner,
				  .object = object,
				  .len = 1,
				  .kind = nowhere[_i].kind,
				  .device = nowhere[_i].device,
				  .done = on_mapped}};

	gpubuf_map_start(g, &w.m);
	ck_assert_int_eq(w.err, -ENODEV);
}
END_TEST

START_TEST(stop_ends_who_waits)
{
	struct mapping w[32], late;
	unsigned int n = 0;

	g->cfg.deadline_ms = 1000000;
	do
		begin(&w[n], ME, GPUBUF_HOST, n * MIB, MIB, true);
	while (fake_xfer_drain(x), w[n++].err == 0 && n < 32);
	begin(&late, ME, GPUBUF_HOST, 50 * MIB, MIB, false);
	ck_assert_int_eq(atomic_load(&late.calls), 0);
	gpubuf_stop(g);
	ck_assert_int_eq(atomic_load(&late.calls), 1);
	ck_assert_int_eq(late.err, -EIO);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gpubuf");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, maps_end);
	ADD_ROWS(tc, range, ranges);
	tcase_add_test(tc, users_lie_apart);
	tcase_add_test(tc, memory_changes_hands);
	tcase_add_test(tc, pages_in_a_pipe);
	tcase_add_test(tc, frames_that_are_known);
	tcase_add_test(tc, nobody_waits_for_ever);
	ADD_ROWS(tc, failure, failures);
	tcase_add_test(tc, body_waits_for_the_fence);
	tcase_add_test(tc, copy_of_what_is_cached);
	tcase_add_test(tc, gpu);
	tcase_add_test(tc, maps_in_order_are_run_ahead_of);
	ADD_ROWS(tc, no_device, nowhere);
	tcase_add_test(tc, stop_ends_who_waits);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
