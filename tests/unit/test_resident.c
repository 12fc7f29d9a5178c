/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files that the kernel is to read by itself: when, and whose memory. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/chunk.h"
#include "cache/resident.h"
#include "cache_fixture.h"

static struct residents *rs;
static int last_fd, backed, refused; /* the copier writes, who waited reads */

static int back(void *ctx, int fd)
{
	(void)ctx;
	last_fd = fd;
	return refused ? -EPERM : ++backed;
}

static void unback(void *ctx, int id)
{
	(void)ctx;
	(void)id;
	backed--;
}

/* Some extents, of which a quarter must stay. */
static void setup(void)
{
	const struct residents_config cfg = {.back = back, .unback = unback};
	struct residents_config with = cfg;

	start(200 * MIB, MIB, 0);
	with.cache = c;
	ck_assert_int_eq(residents_new(&with, &rs), 0);
	backed = refused = 0;
}

static void teardown(void)
{
	residents_stop(rs);
	residents_free(rs);
	ck_assert_int_eq(backed, 0);
	finish();
}

static struct object *get(const char *key, uint64_t size)
{
	return cache_object_get(c, "b", key, "e1", size);
}

static int open_it(struct object *o)
{
	int id = -1;

	ck_assert_int_eq(resident_open(rs, o, NULL, &id), 0);
	return id;
}

/* Opens, reads from start to end and closes. */
static void use(struct object *o, uint64_t bytes)
{
	const int id = open_it(o);

	for (uint64_t off = 0; !id && off < bytes; off += MIB)
		read_now(o, "e1", off, MIB);
	resident_close(rs, o, id, id ? 0 : bytes);
}

struct opener {
	struct resident_waiter w;
	atomic_bool ready;
};

static void on_ready(struct resident_waiter *w)
{
	atomic_store(&container_of(w, struct opener, w)->ready, true);
}

/* Waits until it is not being copied, and opens it. */
static int open_at_last(struct object *o)
{
	int id = -1;

	for (;;) {
		struct opener op = {.w.ready = on_ready};
		const int err = resident_open(rs, o, &op.w, &id);

		if (!err)
			return id;
		ck_assert_int_eq(err, -EINPROGRESS);
		while (!atomic_load(&op.ready))
			sched_yield();
	}
}

/* The same, until what is copied then is. */
static void use_and_copy(struct object *o)
{
	use(o, o->size);
	resident_close(rs, o, open_at_last(o), 0);
	/* That was the last to close it: if it was wanted, it is copied. */
	resident_close(rs, o, open_at_last(o), 0);
}

static struct residents_stats now(void)
{
	struct residents_stats s;

	residents_get_stats(rs, &s);
	return s;
}

static unsigned int lent(void)
{
	return stats().pool.states[SLOT_LENT];
}

static void expect_content(int fd, uint64_t size)
{
	char *buf = malloc(MIB);

	for (uint64_t off = 0; off < size; off += MIB) {
		const ssize_t n = pread(fd, buf, MIB, (off_t)off);

		ck_assert_int_gt(n, 0);
		ck_assert(fake_bytes_fit("e1", off, buf, (size_t)n));
	}
	ck_assert_int_eq(pread(fd, buf, 1, (off_t)size), 0);
	free(buf);
}

static const uint64_t sizes[] = {MIB, MIB + 1, 8 * MIB, 33 * MIB + 4321};

START_TEST(what_was_read_twice)
{
	const uint64_t size = sizes[_i];
	struct object *o = get("k", size);
	int id;

	use_and_copy(o);
	ck_assert_uint_eq(now().files, 0);
	use_and_copy(o);
	ck_assert_uint_eq(now().files, 1);
	ck_assert_uint_eq(now().bytes, size);
	expect_content(last_fd, size);
	/* nobody may change it */
	ck_assert_int_lt(pwrite(last_fd, "x", 1, 0), 0);
	ck_assert_int_lt(ftruncate(last_fd, 0), 0);
	/* no more memory than the pool, and none twice */
	ck_assert_uint_ge(lent(), size / MIB);
	ck_assert_uint_eq(stats().pool.states[SLOT_READY], 0);
	id = open_it(o);
	ck_assert_int_gt(id, 0);
	/* open: stays */
	residents_drop(rs);
	ck_assert_uint_eq(now().files, 1);
	resident_close(rs, o, id, 0);
	residents_drop(rs);
	ck_assert_uint_eq(now().files, 0);
	ck_assert_uint_eq(lent(), 0);
	use_and_copy(o);
	cache_object_put(c, o);
}
END_TEST

/* As the kernel opens it for each of its readers. */
static int reader_of(int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* A mapping outlives its handle, and its pages are not anybody else's. */
START_TEST(what_is_still_mapped)
{
	struct object *o = get("k", 8 * MIB);
	char *at;
	int fd;

	use_and_copy(o);
	use_and_copy(o);
	fd = reader_of(last_fd);
	at = mmap(NULL, 8 * MIB, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(at != MAP_FAILED);
	close(fd);
	residents_drop(rs);
	ck_assert_uint_eq(now().files, 1);
	ck_assert_uint_gt(lent(), 0);
	ck_assert(fake_bytes_fit("e1", 5 * MIB, at + 5 * MIB, MIB));
	munmap(at, 8 * MIB);
	residents_drop(rs);
	ck_assert_uint_eq(now().files, 0);
	ck_assert_uint_eq(lent(), 0);
	cache_object_put(c, o);
}
END_TEST

START_TEST(what_is_not_worth_it)
{
	struct object *small = get("small", MIB - 1), *o = get("k", 8 * MIB);
	int id;

	for (int i = 0; i < 5; i++) {
		use(small, MIB - 1);
		ck_assert_ptr_null(small->resident);
		use(o, 7 * MIB); /* not all of it */
		ck_assert_ptr_null(o->resident);
	}
	use(o, o->size);
	/* While somebody has it open, */
	id = open_it(o);
	ck_assert_int_eq(id, 0);
	use(o, o->size);
	ck_assert_ptr_null(o->resident);
	/* until it is closed. */
	resident_close(rs, o, id, 0);
	id = open_at_last(o);
	ck_assert_int_gt(id, 0);
	resident_close(rs, o, id, 0);
	cache_object_put(c, small);
	cache_object_put(c, o);
}
END_TEST

START_TEST(a_byte_that_is_missing)
{
	struct object *o = get("k", 8 * MIB);
	int id;

	use(o, o->size);
	id = open_it(o);
	for (uint64_t off = 0; off < o->size; off += MIB)
		read_now(o, "e1", off, MIB);
	cache_forget(c, o, 5 * MIB, MIB);
	resident_close(rs, o, id, o->size);
	id = open_at_last(o);
	ck_assert_int_eq(id, 0);
	ck_assert_uint_eq(lent(), 0);
	/* The rest still stands in the pool. */
	ck_assert(cache_holds(c, o, 0, 5 * MIB));
	resident_close(rs, o, id, 0);
	/* Two more reads. */
	use_and_copy(o);
	ck_assert_uint_eq(now().files, 0);
	use_and_copy(o);
	ck_assert_uint_eq(now().files, 1);
	cache_object_put(c, o);
}
END_TEST

START_TEST(what_is_too_large)
{
	const uint64_t most = cache_lendable(c) * cache_extent(c, 0)->len;
	struct object *o = get("k", most + 1);

	for (int i = 0; i < 4; i++)
		use_and_copy(o);
	ck_assert_uint_eq(now().files, 0);
	/* It lost nothing by that. */
	ck_assert(cache_holds(c, o, 0, MIB));
	cache_object_put(c, o);
	cache_drop(c);
	o = get("l", most);
	use_and_copy(o);
	use_and_copy(o);
	ck_assert_uint_eq(now().files, 1);
	cache_object_put(c, o);
}
END_TEST

START_TEST(the_kernel_does_not_want_it)
{
	struct object *o = get("k", 8 * MIB);

	refused = 1;
	use_and_copy(o);
	use_and_copy(o);
	ck_assert_uint_eq(now().files, 0);
	ck_assert_uint_eq(lent(), 0);
	ck_assert(cache_holds(c, o, 0, MIB));
	cache_object_put(c, o);
}
END_TEST

/* More than there may be: those that were opened longest ago go. */
START_TEST(the_oldest_makes_room)
{
	struct object *o[8];

	for (unsigned int i = 0; i < ARRAY_SIZE(o); i++) {
		char key[8];
		int id;

		snprintf(key, sizeof(key), "k%u", i);
		o[i] = get(key, 31 * MIB);
		use_and_copy(o[i]);
		use_and_copy(o[i]);
		ck_assert_ptr_nonnull(o[i]->resident);
		/* the first is used all the time */
		id = open_it(o[0]);
		ck_assert_int_gt(id, 0);
		resident_close(rs, o[0], id, 0);
		ck_assert_uint_le(now().bytes, lent() * MIB);
	}
	ck_assert_uint_ge(now().files, 2);
	ck_assert_uint_lt(now().files, 6);
	ck_assert_ptr_null(o[1]->resident);
	for (unsigned int i = 0; i < ARRAY_SIZE(o); i++)
		cache_object_put(c, o[i]);
}
END_TEST

START_TEST(who_wants_an_extent_gets_it)
{
	struct object *o = get("k", 60 * MIB);
	struct extent *e[64];
	unsigned int n = 0;

	use_and_copy(o);
	use_and_copy(o);
	ck_assert_uint_eq(now().files, 1);
	while ((e[n] = cache_lend(c, false, NULL)))
		n++;
	ck_assert_uint_eq(n, cache_lendable(c));
	ck_assert_uint_eq(now().files, 0);
	while (n > 0)
		cache_unlend(c, e[--n]);
	cache_object_put(c, o);
}
END_TEST

/* Of one that was gone there are not two, which could be open in two ways. */
START_TEST(gone_and_there_again)
{
	struct object *o = get("k", 8 * MIB), *again;
	int id;

	use_and_copy(o);
	use_and_copy(o);
	id = open_it(o);
	ck_assert_int_gt(id, 0);
	cache_object_is_gone(c, o, -ENOENT);
	again = get("k", 8 * MIB);
	ck_assert_ptr_eq(again, o);
	ck_assert_int_eq(cache_object_gone(c, o), 0);
	resident_close(rs, o, id, 0);
	cache_object_put(c, again);
	cache_object_put(c, o);
}
END_TEST

START_TEST(stopped_while_it_is_copied)
{
	struct object *o = get("k", 60 * MIB);
	struct opener op = {.w.ready = on_ready};
	int id, err;

	use_and_copy(o);
	use(o, o->size);
	err = resident_open(rs, o, &op.w, &id);
	residents_stop(rs);
	if (err == -EINPROGRESS) {
		ck_assert(atomic_load(&op.ready));
		ck_assert_int_eq(resident_open(rs, o, NULL, &id), 0);
	}
	resident_close(rs, o, id, id ? 0 : o->size);
	cache_object_put(c, o);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("resident");
	TCase *tc = tcase_create("resident");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	ADD_ROWS(tc, what_was_read_twice, sizes);
	tcase_add_test(tc, what_is_still_mapped);
	tcase_add_test(tc, what_is_not_worth_it);
	tcase_add_test(tc, a_byte_that_is_missing);
	tcase_add_test(tc, what_is_too_large);
	tcase_add_test(tc, the_kernel_does_not_want_it);
	tcase_add_test(tc, the_oldest_makes_room);
	tcase_add_test(tc, who_wants_an_extent_gets_it);
	tcase_add_test(tc, gone_and_there_again);
	tcase_add_test(tc, stopped_while_it_is_copied);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
