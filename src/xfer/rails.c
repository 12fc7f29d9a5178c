/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/rails.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"

#define SHOW_MS 1000 /* for peer memory to be registered */
#define HIDE_MS 10000

struct rails {
	/* Constant after rails_new. */
	struct xfer_config cfg;
	const struct rdma_arena *arena; /* borrowed */
	struct session *sessions[XFER_RAILS];
	unsigned int n;

	atomic_uint next;
};

/* A rail for each device and each endpoint, paired in turn: with as many of
 * both, the i-th device speaks to the i-th endpoint. */
static unsigned int count(const struct xfer_config *cfg,
			  const struct s3_config *s3)
{
	unsigned int n = cfg->ndevices;

	if (cfg->mode == XFER_HTTP || cfg->mode == XFER_SHM)
		return 1;
	if (n < s3->nurls)
		n = s3->nurls;
	return n < XFER_RAILS ? n : XFER_RAILS;
}

int rails_new(const struct xfer_config *cfg, struct s3 *s3,
	      const struct rdma_arena *arena, struct rails **out)
{
	const struct s3_config *s3_cfg = s3_get_config(s3);
	struct rails *r = calloc(1, sizeof(*r));
	const unsigned int n = count(cfg, s3_cfg);
	int err = 0;

	if (!r)
		return -ENOMEM;
	r->cfg = *cfg;
	r->arena = arena;
	while (!err && r->n < n) {
		const struct session_config c = {
			.xfer = &r->cfg,
			.s3 = s3,
			.arena = arena,
			.device = cfg->ndevices
					  ? cfg->devices[r->n % cfg->ndevices]
					  : NULL,
			.rail = r->n,
			.url = r->n % s3_cfg->nurls};

		err = session_new(&c, &r->sessions[r->n]);
		if (!err)
			r->n++;
	}
	if (err) {
		rails_free(r);
		return err;
	}
	*out = r;
	return 0;
}

void rails_free(struct rails *r)
{
	if (!r)
		return;
	for (unsigned int i = 0; i < r->n; i++)
		session_free(r->sessions[i]);
	free(r);
}

bool rails_offer(struct rails *r, struct xfer_span *span, size_t len,
		 struct offer *out)
{
	const unsigned int first = atomic_fetch_add(&r->next, 1);
	const int node = rdma_region_node(r->arena, span->region);

	/* First round: the rails on the memory's own node. */
	for (int near = node >= 0 && r->n > 1; near >= 0; near--) {
		for (unsigned int i = 0; i < r->n; i++) {
			struct session *s = r->sessions[(first + i) % r->n];

			if (near && session_node(s) != node)
				continue;
			if (session_offer(s, span, len, out))
				return true;
		}
	}
	return false;
}

void rails_fence(struct rails *r, struct xfer_fence *f)
{
	session_fence(r->sessions[f->rail], f);
}

bool rails_sync(struct rails *r, bool hidden)
{
	const uint64_t version = peermem_version(r->arena->peers);
	const uint64_t until = clock_ms() + (hidden ? HIDE_MS : SHOW_MS);
	bool all = true;

	for (unsigned int i = 0; i < r->n; i++)
		all = session_sync(r->sessions[i], version, hidden, until) &&
		      all;
	return all;
}

void rails_wake(struct rails *r)
{
	for (unsigned int i = 0; i < r->n; i++)
		session_wake(r->sessions[i], NULL);
}

bool rails_were_open(struct rails *r)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (session_was_open(r->sessions[i]))
			return true;
	return false;
}

uint64_t rails_fences(struct rails *r, uint64_t *failed)
{
	uint64_t n = 0, bad;

	*failed = 0;
	for (unsigned int i = 0; i < r->n; i++) {
		n += session_fences(r->sessions[i], &bad);
		*failed += bad;
	}
	return n;
}

unsigned int rails_describe(struct rails *r, struct xfer_rail out[XFER_RAILS])
{
	for (unsigned int i = 0; i < r->n; i++)
		session_describe(r->sessions[i], &out[i]);
	return r->n;
}
