/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RDMA session of one rail, a device towards an endpoint: opened,
 * watched, opened again, and the fences on it, all by one thread.
 */
#ifndef S3RDMAFS_XFER_SESSION_H
#define S3RDMAFS_XFER_SESSION_H

#include "xfer/health.h"
#include "xfer/xfer.h"

struct session_config {
	const struct xfer_config *xfer; /* these three are borrowed */
	struct s3 *s3;
	const struct rdma_arena *arena;
	const char *device; /* NULL: by the route */
	unsigned int rail, url;
};

/* Tries to open it once before it returns, when the mode wants one. */
int session_new(const struct session_config *cfg, struct session **out);
void session_free(struct session *s);

/*
 * For an attempt of len bytes into the span's region: a token, or leave to
 * make a pair (then session_leave must follow).  Notes the session in the
 * span.  Any thread, never blocks.  False when there is none.
 */
bool session_offer(struct session *s, struct xfer_span *span, size_t len,
		   struct offer *out);

/* What came of the offer. */
void session_note(struct session *s, const struct offer *o,
		  enum health_event e);

/* Bytes that came by the offer, after they were made visible: 0; -EPIPE when
 * the session is ending, of which it has told; or another -errno. */
int session_delivered(struct session *s, const struct offer *o,
		      const struct xfer_span *span, size_t len);

/* The session's transport while it is the same one, held open until leave;
 * NULL when it has ended. */
struct rdma *session_enter(struct session *s, uint64_t number);
void session_leave(struct session *s);

/* Peer memory has changed.  hidden: returns true once no key of this session is
 * for what was there before that version; else once it knows what is there.
 * False: not until then. */
bool session_sync(struct session *s, uint64_t version, bool hidden,
		  uint64_t until_ms);

void session_fence(struct session *s, struct xfer_fence *f);

/* A get has met a dead session: look now, not later.  lost: NULL, or the offer
 * of whose connection the server knows no more. */
void session_wake(struct session *s, const struct offer *lost);

/* Did the server once offer RDMA, so that it may again? */
bool session_was_open(struct session *s);
/* NUMA node of its NIC, or -1. */
int session_node(struct session *s);
uint64_t session_fences(struct session *s, uint64_t *failed);
void session_describe(struct session *s, struct xfer_rail *out);

#endif
