/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/xfer.h"

#include <errno.h>
#include <stdlib.h>

#include "xfer/xfer_int.h"

int xfer_new(const struct xfer_config *cfg, struct s3 *s3,
	     const struct rdma_arena *arena, struct xfer **out)
{
	struct xfer *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	x->cfg = *cfg;
	x->s3 = s3;
	err = session_new(cfg, s3, arena, &x->session);
	if (err) {
		free(x);
		return err;
	}
	*out = x;
	return 0;
}

void xfer_free(struct xfer *x)
{
	if (!x)
		return;
	session_free(x->session);
	free(x);
}

void xfer_fence(struct xfer *x, struct xfer_fence *f)
{
	session_fence(x->session, f);
}

void xfer_get_stats(struct xfer *x, struct xfer_stats *out)
{
	const char *transport = session_transport(x->session);

	*out = (struct xfer_stats){.http_bytes = atomic_load(&x->http_bytes),
				   .shm_bytes = atomic_load(&x->rdma_bytes),
				   .declines = atomic_load(&x->declines),
				   .unknowns = atomic_load(&x->unknowns),
				   .fences = session_fences(x->session),
				   .done_cpu_ns = atomic_load(&x->done_cpu_ns),
				   .in_use = transport ? transport : "http"};
}
