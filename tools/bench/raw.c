/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "cache/staging.h"
#include "proc.h"
#include "scene.h"

#define SLOT (4U << 20)
#define MIB (1U << 20)

struct raw {
	const struct raw_work *w;
	struct s3 *s3;
	struct xfer *x;
	struct staging *pool;
	struct s3_attr attr;

	pthread_mutex_t lock;
	pthread_cond_t ended;
	/* Under lock. */
	uint64_t begun, bytes, ops; /* begun, bytes: of w->bytes */
	unsigned int running;
	int err;
	struct hist took;
};

struct raw_one {
	struct xfer_get get;
	struct raw *raw;
	struct slot *slot;
	uint64_t begin_ns;
};

static enum slot_class class_of(const struct raw *r)
{
	return r->w->block <= STAGING_SMALL ? SLOT_SMALL : SLOT_BIG;
}

/* The window of a get that had no certain outcome: nothing here is read, so
 * other memory is all that it needs. */
static bool replace(struct xfer_get *g)
{
	struct raw_one *o = container_of(g, struct raw_one, get);

	LOCK_SCOPE(&o->raw->lock);
	staging_quarantine(o->slot);
	o->slot = staging_take(o->raw->pool, class_of(o->raw));
	if (o->slot)
		g->span = o->slot->span;
	return o->slot != NULL;
}

/* Under lock: the next range, or false. */
static bool claim(struct raw_one *o)
{
	struct raw *r = o->raw;
	const uint64_t size = r->attr.size;

	if (r->err || r->begun >= r->w->bytes)
		return false;
	o->get.off = r->begun % (size / r->w->block * r->w->block);
	o->get.len = r->w->block;
	r->begun += r->w->block;
	return true;
}

static void on_done(struct xfer_get *g, int err, bool fence)
{
	struct raw_one *o = container_of(g, struct raw_one, get);
	struct raw *r = o->raw;
	const uint64_t now = clock_ns();

	(void)fence;
	{
		LOCK_SCOPE(&r->lock);
		if (err)
			r->err = err;
		hist_add(&r->took, now - o->begin_ns);
		r->bytes += g->len;
		r->ops++;
		if (!claim(o)) {
			if (--r->running == 0)
				pthread_cond_signal(&r->ended);
			return;
		}
	}
	o->begin_ns = now;
	xfer_get_start(r->x, g);
}

static int start_all(struct raw *r, struct raw_one *all)
{
	for (unsigned int i = 0; i < r->w->depth; i++) {
		struct raw_one *o = &all[i];

		{
			LOCK_SCOPE(&r->lock);
			o->raw = r;
			o->slot = staging_take(r->pool, class_of(r));
			if (!o->slot)
				return -ENOMEM;
			if (!claim(o))
				return 0;
			r->running++;
		}
		o->get.bucket = "bench";
		o->get.key = "object0";
		o->get.etag = r->attr.etag;
		o->get.object_len = r->attr.size;
		o->get.span = o->slot->span;
		o->get.replace = replace;
		o->get.done = on_done;
		o->begin_ns = clock_ns();
		xfer_get_start(r->x, &o->get);
	}
	return 0;
}

static int run(struct raw *r, struct work_result *out)
{
	AUTO_FREE struct raw_one *all = calloc(r->w->depth, sizeof(*all));
	const double cpu = proc_own_cpu();
	const uint64_t begin = clock_ns();
	int err = all ? start_all(r, all) : -ENOMEM;

	LOCK_SCOPE(&r->lock);
	while (r->running > 0)
		pthread_cond_wait(&r->ended, &r->lock);
	*out = (struct work_result){.bytes = r->bytes,
				    .ops = r->ops,
				    .seconds = (double)(clock_ns() - begin) /
					       1e9,
				    .cpu = proc_own_cpu() - cpu,
				    .took = r->took};
	return err ? err : r->err;
}

static int open_raw(struct raw *r, const char *url, enum xfer_mode mode,
		    struct creds_source *creds)
{
	const struct s3_config s3 = {.urls = {url},
				     .nurls = 1,
				     .region = "us-east-1",
				     .connections = 64,
				     .connect_timeout_ms = 10000,
				     .attempt_timeout_ms = 60000,
				     .deadline_ms = 60000};
	const struct staging_config pool = {
		.size = (r->w->depth * 2 + 8) * (size_t)SLOT + 64 * MIB,
		.slot = SLOT,
		.pages = STAGING_TRANSPARENT};
	const struct xfer_config x = {.mode = mode,
				      .require = mode != XFER_HTTP};
	int err = s3_new(&s3, creds, &r->s3);

	if (!err)
		err = staging_new(&pool, &r->pool);
	if (!err)
		err = xfer_new(&x, r->s3, staging_arena(r->pool), &r->x);
	if (!err)
		err = s3_head(r->s3, "bench", "object0", NULL, NULL, &r->attr);
	return err;
}

int raw_get(const char *url, enum xfer_mode mode, const struct raw_work *w,
	    struct work_result *out, char *why, size_t cap)
{
	const struct creds_config none = {0};
	struct creds_source *creds = NULL;
	struct raw r = {.w = w};
	int err;

	pthread_mutex_init(&r.lock, NULL);
	pthread_cond_init(&r.ended, NULL);
	err = creds_new(&none, &creds, why, cap);
	if (!err)
		err = open_raw(&r, url, mode, creds);
	if (!err)
		err = run(&r, out);
	if (r.s3)
		s3_stop(r.s3);
	xfer_free(r.x);
	if (r.s3)
		s3_free(r.s3);
	staging_free(r.pool);
	creds_free(creds);
	pthread_mutex_destroy(&r.lock);
	pthread_cond_destroy(&r.ended);
	if (err)
		snprintf(why, cap, "raw GETs: %s", strerror(-err));
	return err;
}
