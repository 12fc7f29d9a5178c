/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All rails: a session for each device and endpoint.  A transfer goes by one
 * of them, whose health it is charged to; transfers are spread.
 */
#ifndef S3RDMAFS_XFER_RAILS_H
#define S3RDMAFS_XFER_RAILS_H

#include "xfer/session.h"

struct rails;

int rails_new(const struct xfer_config *cfg, struct s3 *s3,
	      const struct rdma_arena *arena, struct rails **out);
void rails_free(struct rails *r);

/* An offer of the next rail that has one, those near the span's memory first.
 * Any thread, never blocks.  False when there is none. */
bool rails_offer(struct rails *r, struct xfer_span *span, size_t len,
		 struct offer *out);

void rails_fence(struct rails *r, struct xfer_fence *f);
bool rails_sync(struct rails *r, bool hidden);
void rails_wake(struct rails *r);
bool rails_were_open(struct rails *r);
uint64_t rails_fences(struct rails *r, uint64_t *failed);
unsigned int rails_describe(struct rails *r, struct xfer_rail out[XFER_RAILS]);

#endif
