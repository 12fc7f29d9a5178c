/* SPDX-License-Identifier: Apache-2.0 */
/* The whole: made, kept, counted, ended. */
#include "gpubuf/gpubuf.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "gpubuf/gpubuf_int.h"

#define RETRY_MS 10
#define KEEP_MS 5000
/* What nobody has mapped for so long goes back. */
#define IDLE_MS 60000
static int make_block(struct block *b, struct dev *d, size_t len)
{
	b->dev = d;
	b->fd = b->dmabuf = -1;
	b->len = len;
	b->units = (unsigned int)(len / UNIT);
	b->map = calloc((b->units + 63) / 64, 8);
	list_init(&b->link);
	if (len > d->block_len)
		d->block_len = len;
	d->pool += len;
	return b->map ? 0 : -ENOMEM;
}

/* The pool's extents. */
static int make_host(struct gpubuf *g)
{
	struct dev *d = &g->devs[g->ndevs++];
	int err = 0;

	d->kind = GPUBUF_HOST;
	while (cache_extent(g->cache, d->nblocks))
		d->nblocks++;
	d->blocks = calloc(d->nblocks, sizeof(*d->blocks));
	if (!d->blocks)
		return -ENOMEM;
	for (unsigned int i = 0; i < d->nblocks && !err; i++)
		err = make_block(&d->blocks[i], d,
				 cache_extent(g->cache, i)->len);
	if (!err)
		err = copier_new(NULL, &d->copier);
	return err;
}

static int alloc_blocks(struct gpubuf *g, struct dev *d, uint64_t size)
{
	const size_t len = gpu_block_len(size);
	const unsigned int n = gpu_blocks(size);
	int err = 0;

	d->blocks = calloc(n, sizeof(*d->blocks));
	if (!d->blocks)
		return -ENOMEM;
	while (d->nblocks < n && !err) {
		struct block *b = &d->blocks[d->nblocks++];

		err = make_block(b, d, len);
		peer_number(g, b);
		if (!err)
			err = d->gpu->ops->alloc(d->gpu, len, &b->mem);
	}
	return err;
}

static int make_gpu(struct gpubuf *g, unsigned int i, char *why, size_t cap)
{
	struct dev *d = &g->devs[g->ndevs++];
	const struct rdma_arena *a = cache_arena(g->cache);
	const uint64_t size = g->cfg.gpus[i].size;
	int err;

	d->kind = GPUBUF_CUDA;
	d->ordinal = g->cfg.gpus[i].ordinal;
	if (g->cfg.gpus[i].fake)
		err = fakegpu_open(&d->gpu);
	else
		err = cuda_open(d->ordinal, &d->gpu, why, cap);
	if (err)
		return err;
	g->cfg.frames_are_known |= !g->cfg.gpus[i].fake;
	if (d->gpu->ops->pin(d->gpu, a->addr, a->size))
		log_warning("gpubuf: device %u cannot pin the pool: copies to "
			    "it are slower",
			    d->ordinal);
	err = copier_new(d->gpu, &d->copier);
	if (!err)
		err = alloc_blocks(g, d, size);
	if (err)
		snprintf(why, cap,
			 "staging.gpus: device %u: cannot allocate %llu MiB: "
			 "%s",
			 d->ordinal, (unsigned long long)size >> 20,
			 strerror(-err));
	return err;
}

static int make_devices(struct gpubuf *g, char *why, size_t cap)
{
	int err = make_host(g);

	if (err)
		snprintf(why, cap, "%s", strerror(-err));
	for (unsigned int i = 0; i < g->cfg.ngpus && !err; i++)
		err = make_gpu(g, i, why, cap);
	/* One request a unit of the host's memory is enough of runs. */
	for (unsigned int i = 0; i < g->ndevs; i++)
		g->nruns += (unsigned int)(g->devs[i].pool / UNIT);
	if (g->nruns > HANDLES_MAX)
		g->nruns = HANDLES_MAX;
	if (err)
		return err;
	if (g->cfg.ngpus == 0)
		cuda_absent(g->no_gpu, sizeof(g->no_gpu));
	g->runs = calloc(g->nruns, sizeof(*g->runs));
	return g->runs ? 0 : -ENOMEM;
}

/* Maps that wait, and memory that nobody uses any more. */
static void *keep(void *arg)
{
	struct gpubuf *g = arg;
	uint64_t shrunk_ms = clock_ms();

	while (!g->stopped) {
		{
			LOCK_SCOPE(&g->lock);
			if (!g->stopped)
				thread_cond_wait_ms(&g->wake, &g->lock,
						    g->stats.waiting ? RETRY_MS
								     : KEEP_MS);
		}
		maps_retry(g);
		jobs_fail(g, false);
		if (clock_ms() - shrunk_ms < KEEP_MS)
			continue;
		shrunk_ms = clock_ms();
		lease_shrink(g, shrunk_ms > IDLE_MS ? shrunk_ms - IDLE_MS : 0);
	}
	maps_retry(g); /* ends them */
	return NULL;
}

static void init(struct gpubuf *g)
{
	pthread_mutex_init(&g->lock, NULL);
	thread_cond_init(&g->wake);
	pthread_cond_init(&g->idle, NULL);
	list_init(&g->leases);
	list_init(&g->free_runs);
	list_init(&g->free_handles);
	list_init(&g->free_buffers);
	list_init(&g->free_fills);
	list_init(&g->queue);
	list_init(&g->waiting);
	for (int i = 0; i < RUN_BUCKETS; i++)
		list_init(&g->buckets[i]);
	for (int i = 0; i < OFFERS; i++)
		g->sent[i].fd = -1;
	/* Names of allocations are kept by programs that may outlive us. */
	random_bytes(&g->next_id, sizeof(g->next_id));
	g->next_id >>= 17;
}

int gpubuf_new(const struct gpubuf_config *cfg, struct cache *c, struct xfer *x,
	       struct gpubuf **out, char *why, size_t cap)
{
	struct gpubuf *g = calloc(1, sizeof(*g));
	int err;

	snprintf(why, cap, "%s", strerror(ENOMEM));
	if (!g)
		return -ENOMEM;
	g->cfg = *cfg;
	g->cache = c;
	g->xfer = x;
	init(g);
	/* What the kernel sends when somebody opens a file that we hold a
	 * lease on, see lease.c. */
	signal(SIGIO, SIG_IGN);
	err = make_devices(g, why, cap);
	if (!err)
		err = handles_new(g);
	if (!err)
		err = buffers_new(g);
	if (!err)
		err = fills_new(g);
	if (!err)
		err = exports_new(g, &g->exports, why, cap);
	if (!err) {
		err = thread_start(&g->keeper, "gpubuf", keep, g);
		g->keeping = !err;
	}
	if (err) {
		gpubuf_free(g);
		return err;
	}
	*out = g;
	return 0;
}

void gpubuf_stop(struct gpubuf *g)
{
	{
		LOCK_SCOPE(&g->lock);
		g->stopped = true;
		pthread_cond_signal(&g->wake);
	}
	if (g->keeping)
		pthread_join(g->keeper, NULL);
	g->keeping = false;
	jobs_fail(g, true);
	LOCK_SCOPE(&g->lock);
	while (g->busy > g->fencing || g->answering > 0)
		pthread_cond_wait(&g->idle, &g->lock);
}

static void free_device(struct dev *d)
{
	copier_free(d->copier);
	if (d->gpu)
		d->gpu->ops->close(d->gpu);
}

/* Every lent extent goes back before the cache does. */
static void give_back(struct gpubuf *g)
{
	for (unsigned int i = 0; g->ndevs && i < g->devs[0].nblocks; i++) {
		struct block *b = &g->devs[0].blocks[i];

		if (b->extent)
			cache_unlend(g->cache, b->extent);
		b->extent = NULL;
	}
}

void gpubuf_free(struct gpubuf *g)
{
	if (!g)
		return;
	if (g->keeping)
		gpubuf_stop(g);
	exports_free(g->exports);
	for (unsigned int i = 0; i < g->fresh_runs; i++)
		if (g->runs[i].job.object)
			cache_object_put(g->cache, g->runs[i].job.object);
	if (g->devs[0].blocks)
		give_back(g);
	leases_free(g);
	for (unsigned int i = 0; i < g->ndevs; i++)
		free_device(&g->devs[i]);
	for (int i = 0; i < OFFERS; i++)
		if (g->sent[i].fd >= 0)
			close(g->sent[i].fd);
	free(g->runs);
	free(g->handles);
	free(g->buffers);
	free(g->fills);
	pthread_cond_destroy(&g->wake);
	pthread_cond_destroy(&g->idle);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

void gpubuf_drop(struct gpubuf *g)
{
	lease_shrink(g, clock_ms());
}

void gpubuf_get_info(struct gpubuf *g, struct gpubuf_info *out)
{
	*out = (struct gpubuf_info){.map_max = g->devs[0].block_len};
	for (unsigned int i = 1; i < g->ndevs; i++) {
		out->devices[out->ndevices].ordinal = g->devs[i].ordinal;
		out->devices[out->ndevices++].pool = g->devs[i].pool;
	}
	snprintf(out->socket, sizeof(out->socket), "%s", g->cfg.socket);
	memcpy(out->no_gpu, g->no_gpu, sizeof(out->no_gpu));
}

void gpubuf_get_stats(struct gpubuf *g, struct gpubuf_stats *out)
{
	LOCK_SCOPE(&g->lock);
	*out = g->stats;
	out->busy = g->busy;
}
