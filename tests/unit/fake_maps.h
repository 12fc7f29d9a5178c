/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for applications over a fake xfer, with a GPU that is fake as well,
 * and maps of an object. */
#ifndef S3RDMAFS_TESTS_FAKE_MAPS_H
#define S3RDMAFS_TESTS_FAKE_MAPS_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "fake_xfer.h"
#include "gpubuf/gpubuf_int.h"
#include "scratch.h"

#define KIB 1024ULL
#define MIB (1024 * KIB)
#define ME 1000
#define OTHER 2000

static struct peermem *peers;
static struct cache *c;
static struct xfer *x;
static struct gpubuf *g;
static struct gpubuf_owner owner;
static struct object *object;

/* A pool of slots of a MiB, and a GPU's; with_peers: which NICs may reach. */
static inline void maps_start(uint64_t pool, uint64_t gpu, bool with_peers)
{
	struct cache_config ccfg = {.staging = {.size = pool,
						.slot = MIB,
						.pages = STAGING_SMALL_PAGES}};
	static char path[256];
	struct gpubuf_config cfg = {.socket = path,
				    .deadline_ms = 300,
				    .gpus = {{.fake = true, .size = gpu}},
				    .ngpus = 1};
	char why[256];

	log_set_level(LOG_LEVEL_ERROR);
	scratch_make();
	snprintf(path, sizeof(path), "%s/export", scratch);
	if (with_peers)
		ck_assert_int_eq(peermem_new(gpubuf_regions(&cfg),
					     GPUBUF_REGION, &peers),
				 0);
	ccfg.staging.peers = peers;
	ck_assert_int_eq(cache_new(&ccfg, &c), 0);
	x = fake_xfer_new(cache_arena(c));
	cache_start(c, x);
	ck_assert_msg(!gpubuf_new(&cfg, c, x, &g, why, sizeof(why)), "%s", why);
	gpubuf_owner_init(&owner);
	object = cache_object_get(c, "b", "k", "e1", 100 * MIB);
}

/* Whatever happened, nothing is left. */
static inline void maps_end(void)
{
	struct gpubuf_stats s;

	gpubuf_owner_drop(g, &owner);
	fake_xfer_drain(x);
	gpubuf_drop(g);
	gpubuf_get_stats(g, &s);
	ck_assert_uint_eq(s.handles + s.mapped_bytes + s.waiting + s.busy, 0);
	ck_assert_uint_eq(s.resident_bytes, 0);
	ck_assert_uint_eq(s.leased_bytes, 0);
	ck_assert_uint_eq(s.users, 0);
	cache_object_put(c, object);
	cache_stop(c);
	gpubuf_stop(g);
	fake_xfer_free(x);
	gpubuf_free(g);
	cache_free(c);
	peermem_free(peers);
}

/* How a get may fail, and what the map that waits for it is told. */
static const struct {
	enum fake_outcome how;
	int err;
} failures[] = {
	{FAKE_ERROR, -EIO},
	{FAKE_DENIED, -EACCES},
	{FAKE_STALE, -ESTALE},
	{FAKE_FENCE, -EIO},
};

struct mapping {
	struct gpubuf_map m;
	atomic_int calls;
	int err;
};

static inline void on_mapped(struct gpubuf_map *m, int err)
{
	struct mapping *w = container_of(m, struct mapping, m);

	w->err = err;
	atomic_fetch_add(&w->calls, 1);
}

static inline void begin(struct mapping *w, uid_t uid, enum gpubuf_kind kind,
			 uint64_t off, uint64_t len, bool nowait)
{
	memset(w, 0, sizeof(*w));
	w->m = (struct gpubuf_map){.owner = &owner,
				   .object = object,
				   .caller = {.uid = uid},
				   .off = off,
				   .len = len,
				   .kind = kind,
				   .nowait = nowait,
				   .done = on_mapped};
	gpubuf_map_start(g, &w->m);
}

static inline void end(const struct mapping *w)
{
	ck_assert_int_eq(gpubuf_unmap(g, &owner, w->m.handle), 0);
	ck_assert_int_eq(gpubuf_unmap(g, &owner, w->m.handle), -ENOENT);
}

static inline bool is_zero(const char *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n == 0;
}

#endif
