/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The late-write torture: readers over the real cache and transfer engine,
 * with a pool of 16 slots, against a server that writes when it must not any
 * more (server.h).  Every byte that a reader gets is checked.
 *
 *   torture shm|dc|dc-recycle OPERATIONS
 *
 * dc-recycle is dc with a NIC that gives dead memory keys out again as soon as
 * it can.  OPERATIONS are requests with a token.  Exit 0 when no byte was wrong and
 * every slot came back.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "cache/cache.h"
#include "server.h"

#define READERS 12
#define LOOPS 4
#define READ_MAX (32U << 10)

static struct cache *cache;
static struct s3 *s3;
static atomic_bool enough;
static atomic_ullong reads, wrong, failed;

struct reader {
	pthread_t thread;
	struct cache_read read; /* first in the file, last in the thread */
	struct window window;
	struct object *objects[TORTURE_OBJECTS];

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done; /* these two under lock */
	int err;
};

static void on_done(struct cache_read *r, int err)
{
	struct reader *x = container_of(r, struct reader, read);

	LOCK_SCOPE(&x->lock);
	x->done = true;
	x->err = err;
	pthread_cond_signal(&x->changed);
}

static int wait_for(struct reader *x)
{
	LOCK_SCOPE(&x->lock);
	while (!x->done)
		pthread_cond_wait(&x->changed, &x->lock);
	return x->err;
}

static void check(const struct cache_read *r, uint64_t place)
{
	for (int i = 0; i < r->niov; i++) {
		const char *p = r->iov[i].iov_base;
		const long bad = torture_check(place, p, r->iov[i].iov_len);

		if (bad >= 0 && atomic_fetch_add(&wrong, 1) < 5)
			fprintf(stderr, "wrong byte 0x%02x at %llu + %ld\n",
				(unsigned char)p[bad],
				(unsigned long long)place, bad);
		place += r->iov[i].iov_len;
	}
}

static void read_once(struct reader *x)
{
	const unsigned int k = random_u32() % TORTURE_OBJECTS;
	const uint64_t off = random_u32() % (TORTURE_OBJECT - READ_MAX);

	x->read = (struct cache_read){.object = x->objects[k],
				      .window = &x->window,
				      .off = off,
				      .len = 1 + random_u32() % READ_MAX,
				      .done = on_done};
	x->done = false;
	cache_read_start(cache, &x->read);
	if (wait_for(x))
		atomic_fetch_add(&failed, 1);
	else
		check(&x->read, k * TORTURE_OBJECT + off);
	cache_read_end(cache, &x->read);
	atomic_fetch_add(&reads, 1);
}

static void *run(void *arg)
{
	struct reader *x = arg;

	while (!atomic_load(&enough))
		read_once(x);
	return NULL;
}

static void start_reader(struct reader *x)
{
	char key[16];

	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->changed, NULL);
	for (int k = 0; k < TORTURE_OBJECTS; k++) {
		snprintf(key, sizeof(key), "%d", k);
		x->objects[k] = cache_object_get(cache, "b", key, TORTURE_ETAG,
						 TORTURE_OBJECT);
	}
	thread_start(&x->thread, "reader", run, x);
}

static void end_reader(struct reader *x)
{
	pthread_join(x->thread, NULL);
	for (int k = 0; k < TORTURE_OBJECTS; k++)
		cache_object_put(cache, x->objects[k]);
}

/* All slots free or holding data, within so many milliseconds? */
static bool all_back(uint64_t ms, struct cache_stats *c)
{
	const struct timespec nap = {.tv_nsec = 1000000};
	const uint64_t until = clock_ms() + ms;

	do {
		cache_get_stats(cache, c);
		if (c->pool.states[SLOT_QUARANTINED] == 0 &&
		    c->pool.states[SLOT_ARMED] == 0)
			return true;
		nanosleep(&nap, NULL);
	} while (clock_ms() < until);
	return false;
}

static void run_readers(uint64_t operations)
{
	struct reader *readers = calloc(READERS, sizeof(*readers));
	const struct timespec nap = {.tv_nsec = 10000000};

	for (int i = 0; i < READERS; i++)
		start_reader(&readers[i]);
	while (server_stats(s3).with_token < operations && !atomic_load(&wrong))
		nanosleep(&nap, NULL);
	atomic_store(&enough, true);
	for (int i = 0; i < READERS; i++)
		end_reader(&readers[i]);
	free(readers);
}

static int report(struct xfer *x, bool back, const struct cache_stats *c)
{
	const struct server_stats s = server_stats(s3);
	struct xfer_stats t;

	xfer_get_stats(x, &t);
	printf("%llu reads, %llu requests with a token, %llu without; "
	       "%llu late writes, %llu of them refused; %llu quarantines, "
	       "%llu fences (%llu failed); %llu wrong, %llu failed reads; "
	       "%u slots, %s\n",
	       (unsigned long long)reads, (unsigned long long)s.with_token,
	       (unsigned long long)(s.gets - s.with_token),
	       (unsigned long long)s.late, (unsigned long long)s.refused_late,
	       (unsigned long long)c->quarantines, (unsigned long long)t.fences,
	       (unsigned long long)t.failed_fences, (unsigned long long)wrong,
	       (unsigned long long)failed, c->pool.slots,
	       back ? "all back" : "NOT ALL BACK");
	return wrong || failed || !back || t.failed_fences ||
	       c->quarantines == 0 || t.fences < c->quarantines;
}

int main(int argc, char **argv)
{
	const bool dc = argc == 3 && !strncmp(argv[1], "dc", 2);
	const struct xfer_config cfg = {.mode = dc ? XFER_DC : XFER_SHM,
					.devices = {"mlx5_0"},
					.ndevices = dc,
					.dc_key = 0xffeeddcc};
	/* Two big slots and sixteen small ones, of which the reads are. */
	const struct cache_config pool = {
		.staging = {.size = 4U << 20,
			    .slot = 1U << 20,
			    .pages = STAGING_SMALL_PAGES}};
	struct cache_stats c;
	struct xfer *x;
	bool back;
	int rc;

	if (argc != 3) {
		fputs("usage: torture shm|dc|dc-recycle OPERATIONS\n", stderr);
		return 2;
	}
	log_set_level(LOG_LEVEL_ERROR);
	if (dc)
		wire_dc_start(!strcmp(argv[1], "dc-recycle"));
	else
		wire_shm_start();
	s3 = server_new(dc ? &wire_dc : &wire_shm, LOOPS);
	if (cache_new(&pool, &cache) ||
	    xfer_new(&cfg, s3, cache_arena(cache), &x))
		return 2;
	cache_start(cache, x);
	run_readers(strtoull(argv[2], NULL, 10));
	back = all_back(10000, &c);
	rc = report(x, back, &c);
	server_stop(s3);
	cache_stop(cache);
	xfer_free(x);
	cache_free(cache);
	server_free(s3);
	(dc ? wire_dc_stop : wire_shm_stop)();
	return rc;
}
