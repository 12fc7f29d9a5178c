/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/xfer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "xfer/xfer_int.h"

int xfer_new(const struct xfer_config *cfg, struct s3 *s3,
	     const struct rdma_arena *arena, struct xfer **out)
{
	struct xfer *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	x->cfg = *cfg;
	x->profile = cfg->profile ? cfg->profile : profile_at(0);
	x->s3 = s3;
	err = pair_gets_new(s3, &x->pairs);
	if (!err)
		err = rails_new(cfg, s3, arena, &x->rails);
	if (err) {
		xfer_free(x);
		return err;
	}
	*out = x;
	return 0;
}

void xfer_free(struct xfer *x)
{
	if (!x)
		return;
	rails_free(x->rails);
	pair_gets_free(x->pairs);
	free(x);
}

static void on_timer(struct s3_call *call)
{
	struct xfer_timer *t = call->ctx;

	t->done(t, call->answer.curl != 0);
}

void xfer_after(struct xfer *x, struct xfer_timer *t, uint32_t ms)
{
	t->call = (struct s3_call){
		.method = S3_WAIT, .delay_ms = ms, .done = on_timer, .ctx = t};
	s3_submit(x->s3, &t->call);
}

void xfer_fence(struct xfer *x, struct xfer_fence *f)
{
	rails_fence(x->rails, f);
}

void xfer_peers_shown(struct xfer *x)
{
	rails_sync(x->rails, false);
}

bool xfer_peers_hidden(struct xfer *x)
{
	return rails_sync(x->rails, true);
}

unsigned int xfer_get_rails(struct xfer *x, struct xfer_rail out[XFER_RAILS])
{
	return rails_describe(x->rails, out);
}

void xfer_get_stats(struct xfer *x, struct xfer_stats *out)
{
	struct xfer_rail rails[XFER_RAILS];
	const unsigned int n = rails_describe(x->rails, rails);

	*out = (struct xfer_stats){.declines = atomic_load(&x->declines),
				   .unknowns = atomic_load(&x->unknowns),
				   .done_cpu_ns = atomic_load(&x->done_cpu_ns),
				   .in_use = "http"};
	out->fences = rails_fences(x->rails, &out->failed_fences);
	for (int i = 0; i < XFER_PATHS; i++)
		out->bytes[i] = atomic_load(&x->bytes[i]);
	for (unsigned int i = 0; i < n; i++)
		if (strcmp(rails[i].transport, "http") != 0)
			out->in_use = rails[i].transport;
}
