/* SPDX-License-Identifier: Apache-2.0 */
/* What NICs are told of a GPU's memory: while it belongs to a user, and never
 * once it is to be freed.  And all of it at random. */
#include "fake_gpu_maps.h"

#define OFFSET (3 * MIB)

/* In place of a dma-buf: the end of a pipe, so that we see it closed. */
static int dmabuf = -1, closed = -1;

static void make_dmabuf(void)
{
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	closed = fds[0];
	dmabuf = fds[1];
}

static bool is_closed(int end)
{
	char byte;

	return read(end, &byte, 1) == 0;
}

static int reach_by_file(struct gpu *u, const struct gpu_mem *m,
			 struct gpu_reach *out)
{
	const int err = gpu_ops->reach(u, m, out);

	out->dmabuf = dmabuf;
	out->offset = OFFSET;
	return err;
}

static int reach_not(struct gpu *u, const struct gpu_mem *m,
		     struct gpu_reach *out)
{
	(void)u;
	(void)m;
	(void)out;
	return -EOPNOTSUPP;
}

static void setup(void)
{
	gpu_start(16 * MIB);
	ck_assert_uint_eq(g->npeers, peermem_count(peers));
}

static void teardown(void)
{
	gpu_end();
	ck_assert(closed < 0 || is_closed(closed));
}

START_TEST(a_gpu_without_rdma)
{
	struct peermem_region r;
	struct mapping w;
	bool there;

	watched.reach = reach_not;
	map(&w, ME, MIB - 5000, 2 * MIB);
	ck_assert(fits(&w));
	ck_assert_uint_eq(fake_xfer_stats(x).peer_gets, 0);
	ck_assert_uint_gt(g->stats.bounced_bytes, 2 * MIB);
	for (unsigned int i = 0; i < peermem_count(peers); i++) {
		ck_assert_uint_eq(peermem_get(peers, i, &r, &there), 0);
		ck_assert(!there);
	}
}
END_TEST

struct reading {
	struct gpubuf_read r;
	atomic_int calls;
	int err;
};

static void on_read(struct gpubuf_read *r, int err)
{
	struct reading *w = container_of(r, struct reading, r);

	w->err = err;
	atomic_fetch_add(&w->calls, 1);
}

/* No server ever has a key of an application's own memory. */
START_TEST(buffers_are_bounced)
{
	AUTO_CLOSE int fd = memfd_create("theirs", MFD_CLOEXEC);
	unsigned char export[GPUBUF_EXPORT] = "";
	struct gpubuf_register reg = {.owner = &owner,
				      .caller = {.uid = ME},
				      .kind = GPUBUF_CUDA,
				      .len = 2 * MIB,
				      .export = export};
	struct reading w = {.r = {.owner = &owner,
				  .object = object,
				  .off = 5000,
				  .len = MIB,
				  .done = on_read}};
	char *p;

	ck_assert_int_eq(ftruncate(fd, 2 * MIB), 0);
	snprintf((char *)export, sizeof(export), "/proc/%d/fd/%d",
		 (int)getpid(), fd);
	ck_assert_int_eq(gpubuf_register(g, &reg), 0);
	w.r.buffer = reg.buffer;
	gpubuf_read_start(g, &w.r);
	while (atomic_load(&w.calls) == 0)
		fake_xfer_drain(x);
	ck_assert_int_eq(w.err, 0);
	p = mmap(NULL, 2 * MIB, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(fake_bytes_fit("e1", 5000, p, MIB));
	munmap(p, 2 * MIB);
	ck_assert_uint_eq(fake_xfer_stats(x).peer_gets, 0);
	ck_assert_int_eq(gpubuf_unregister(g, &owner, reg.buffer), 0);
}
END_TEST

/* ---- what NICs are told ---- */

static const struct {
	uint64_t sizes[2];
	unsigned int regions;
} pools[] = {
	{{1}, 1},    {{2 * MIB}, 1},        {{16 * MIB}, 8},
	{{GPU}, 16}, {{GPU, 16 * MIB}, 24}, {{8192 * MIB}, 2048},
};

START_TEST(regions_of_gpus)
{
	struct gpubuf_config cfg = {.ngpus = pools[_i].sizes[1] ? 2 : 1};

	cfg.gpus[0].size = pools[_i].sizes[0];
	cfg.gpus[1].size = pools[_i].sizes[1];
	ck_assert_uint_eq(gpubuf_regions(&cfg), pools[_i].regions);
}
END_TEST

/* A block's regions, one after the other. */
static void check_shown(void)
{
	struct peermem_region r, before;
	bool there;

	peermem_get(peers, 0, &before, &there);
	ck_assert(there);
	ck_assert_int_eq(before.dmabuf, dmabuf);
	ck_assert_uint_eq(before.offset, OFFSET);
	ck_assert_uint_eq(before.len, GPUBUF_REGION);
	peermem_get(peers, 1, &r, &there);
	ck_assert(there);
	ck_assert_uint_eq(r.iova, before.iova + GPUBUF_REGION);
	ck_assert_uint_eq(r.addr, before.addr + GPUBUF_REGION);
	ck_assert_uint_eq(r.len, GPUBUF_REGION);
	ck_assert_int_eq(r.dmabuf, dmabuf);
	ck_assert_uint_eq(r.offset, OFFSET + GPUBUF_REGION);
	peermem_get(peers, 2, &r, &there);
	ck_assert(!there);
}

START_TEST(a_block_changes_hands)
{
	struct mapping w;
	int old;

	watched.reach = reach_by_file;
	make_dmabuf();
	map(&w, ME, 0, BLOCK);
	check_shown();
	end(&w);
	gpubuf_drop(g);
	ck_assert_uint_eq(frees, 0);
	old = closed;
	ck_assert(!is_closed(old));
	make_dmabuf();
	map(&w, OTHER, MIB, 2 * MIB);
	ck_assert_uint_eq(frees, 1);
	ck_assert(is_closed(old));
	ck_assert(!is_closed(closed));
	check_shown();
	ck_assert(fits(&w));
	ck_assert(is_alone(&w));
	close(old);
}
END_TEST

/* Blocks that their user has no use for, without a moment at home. */
START_TEST(blocks_are_taken_over)
{
	struct mapping w[6];

	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
		map(&w[i], ME, i * BLOCK, BLOCK);
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
		end(&w[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++) {
		map(&w[i], OTHER, i * BLOCK, BLOCK - MIB);
		ck_assert(is_alone(&w[i]));
	}
	ck_assert_uint_eq(frees, 4);
	for (unsigned int i = 0; i < ARRAY_SIZE(w); i++)
		ck_assert(fits(&w[i]));
	ck_assert_uint_eq(g->stats.bounced_bytes, 0);
}
END_TEST

/* ---- at random ---- */

#define KEPT 6
#define MAPS 200

static unsigned int random_to(unsigned int n)
{
	static uint64_t state = 1;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(state >> 33) % n;
}

static void map_any(struct mapping *w)
{
	begin(w, random_to(2) ? ME : OTHER, GPUBUF_CUDA,
	      random_to(95 * (unsigned int)MIB), 1 + random_to(3 * MIB), true);
	while (atomic_load(&w->calls) == 0)
		sched_yield();
	ck_assert(!w->err || w->err == -EIO || w->err == -EACCES ||
		  w->err == -EAGAIN);
	ck_assert(w->err || fits(w));
}

/* Threads end transfers, some of them badly, and write late; what somebody has
 * mapped stays as it is. */
START_TEST(at_random)
{
	struct mapping w[KEPT];
	unsigned int failed = 0;

	for (unsigned int i = 0; i < KEPT; i++)
		w[i].err = -ENOENT;
	fake_xfer_run(x, 2);
	for (unsigned int n = 0; n < MAPS; n++) {
		struct mapping *m = &w[n % KEPT];

		fake_xfer_reach_peers(x, random_to(8) > 0);
		if (!m->err) {
			ck_assert(fits(m));
			end(m);
		}
		map_any(m);
		failed += m->err && m->err != -EAGAIN;
		if (random_to(16) == 0)
			gpubuf_drop(g);
	}
	fake_xfer_stop(x);
	ck_assert_uint_gt(frees, 0);
	ck_assert_uint_gt(failed, 0);
	ck_assert_uint_gt(g->stats.direct_bytes, g->stats.bounced_bytes);
	ck_assert_uint_gt(g->stats.bounced_bytes, 0);
	ck_assert_uint_gt(fake_xfer_stats(x).fences, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gpubuf_shown");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	ADD_ROWS(tc, regions_of_gpus, pools);
	tcase_add_test(tc, a_gpu_without_rdma);
	tcase_add_test(tc, buffers_are_bounced);
	tcase_add_test(tc, a_block_changes_hands);
	tcase_add_test(tc, blocks_are_taken_over);
	tcase_add_test(tc, at_random);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
