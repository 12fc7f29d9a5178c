/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object ranges into memory, over the best path: a signed request with a
 * token, or the same request with the bytes in its body.  The only folder in
 * which a token meets a request.
 */
#ifndef S3RDMAFS_XFER_XFER_H
#define S3RDMAFS_XFER_XFER_H

#include "base/list.h"
#include "rdma/rdma.h"
#include "s3/s3.h"

struct xfer;

enum xfer_mode { XFER_AUTO, XFER_SHM, XFER_HTTP };

struct xfer_config {
	enum xfer_mode mode;
	bool require; /* never fall back: an error instead */
};

/* Both are borrowed and must outlive it.  Tries to open a session before it
 * returns, when the mode wants one. */
int xfer_new(const struct xfer_config *cfg, struct s3 *s3,
	     const struct rdma_arena *arena, struct xfer **out);

/* All gets must be done.  Ends the session: afterwards no key is alive. */
void xfer_free(struct xfer *x);

/* Memory to fill: the first bytes of a region. */
struct xfer_span {
	char *addr;
	size_t len;
	unsigned int region;
	uint64_t session; /* the last one that had a token for it */
};

/*
 * One range of one object version.  The struct is the caller's, unchanged by
 * him from xfer_get until done.
 */
struct xfer_get {
	const char *bucket, *key, *etag; /* borrowed */
	uint64_t object_len;
	uint64_t off, len; /* len > 0, inside the object */
	struct xfer_span span;
	bool plain; /* no token for this one */

	/*
	 * Exchanges span for other memory of the same length; the present one
	 * may still be written to, and is not the get's any more, whatever the
	 * result.  Returns false when there is no other just now: it is called
	 * again later.
	 */
	bool (*replace)(struct xfer_get *g);

	/*
	 * Called once, on an event loop.  err is 0 when exactly len bytes
	 * stand in span, or -errno (-ESTALE: the object was replaced); fence
	 * tells that span may still be written to.
	 */
	void (*done)(struct xfer_get *g, int err, bool fence);
	void *ctx;

	/* xfer's own. */
	struct xfer *xfer;
	struct s3_call call;
	char token[TOKEN_MAX];
	bool has_token, replaced, http_only;
	unsigned int attempt, mismatches;
	uint64_t until_ms;
};

/* Never blocks. */
void xfer_get_start(struct xfer *x, struct xfer_get *g);

/* A region whose old key shall die. */
struct xfer_fence {
	struct list link;
	unsigned int region;
	uint64_t session; /* from the span */
	/* On the session's thread, once the key is dead. */
	void (*done)(struct xfer_fence *f);
	void *owner; /* the caller's */
};
void xfer_fence(struct xfer *x, struct xfer_fence *f);

struct xfer_stats {
	uint64_t http_bytes, shm_bytes; /* delivered */
	uint64_t declines, unknowns, fences;
	uint64_t done_cpu_ns; /* CPU that the done callbacks took on loops */
	const char *in_use;   /* "shm" or "http" */
};
void xfer_get_stats(struct xfer *x, struct xfer_stats *out);

#endif
