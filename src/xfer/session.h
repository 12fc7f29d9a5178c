/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RDMA session with the endpoint: opened, watched, opened again, and the
 * fences on it, all by one thread.
 */
#ifndef S3RDMAFS_XFER_SESSION_H
#define S3RDMAFS_XFER_SESSION_H

#include "xfer/xfer.h"

struct session;

int session_new(const struct xfer_config *cfg, struct s3 *s3,
		const struct rdma_arena *arena, struct session **out);
void session_free(struct session *s);

/*
 * A token for the first len bytes of the span's region; notes the session in
 * the span.  Any thread, never blocks.  0, or -ENOTCONN when there is none.
 */
int session_token(struct session *s, struct xfer_span *span, size_t len,
		  char out[TOKEN_MAX]);

void session_fence(struct session *s, struct xfer_fence *f);

/* A get has met a dead session: look now, not later. */
void session_wake(struct session *s);

/* Did the server once offer RDMA, so that it may again? */
bool session_was_open(struct session *s);
/* Name of the transport that is open, or NULL. */
const char *session_transport(struct session *s);
uint64_t session_fences(struct session *s);

#endif
