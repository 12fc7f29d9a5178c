/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object ranges into memory, over the best path: a signed request with a
 * token, or the same request with the bytes in its body.  The only folder in
 * which a token meets a request.
 */
#ifndef S3RDMAFS_XFER_XFER_H
#define S3RDMAFS_XFER_XFER_H

#include <stdatomic.h>

#include "base/list.h"
#include "rdma/rdma.h"
#include "s3/s3.h"

struct xfer;
struct session;
struct profile;

enum xfer_mode { XFER_AUTO, XFER_DC, XFER_RC, XFER_SHM, XFER_HTTP };

/* The way that bytes came. */
enum xfer_path {
	XFER_BY_HTTP,
	XFER_BY_SHM,
	XFER_BY_RC,
	XFER_BY_DC,
	XFER_PATHS,
};

/* What rc speaks: the connection first, or one of the two alone. */
enum xfer_rc { XFER_RC_ANY, XFER_RC_PERSISTENT, XFER_RC_HIPOBJ };

#define XFER_DEVICES 8
#define XFER_RAILS 16

struct xfer_config {
	enum xfer_mode mode;
	enum xfer_rc rc;
	bool require; /* never fall back: an error instead */
	const char *devices[XFER_DEVICES]; /* borrowed; none: by the route */
	unsigned int ndevices;
	uint32_t dc_key;
	uint64_t min_size; /* smaller gets carry no token of rc or dc */
	const struct profile *profile; /* NULL: standard */
};

/* Both are borrowed and must outlive it.  Tries to open a session before it
 * returns, when the mode wants one. */
int xfer_new(const struct xfer_config *cfg, struct s3 *s3,
	     const struct rdma_arena *arena, struct xfer **out);

/* All gets must be done and s3's event loops stopped (s3_stop): a loop still
 * counts when done has returned.  Ends the session: afterwards no key is
 * alive. */
void xfer_free(struct xfer *x);

/* Memory to fill: len bytes of a region, from its byte at on. */
struct xfer_span {
	char *addr; /* NULL: peer memory, where only a NIC can write */
	size_t len;
	unsigned int region;
	size_t at;
	/* The last session that had a token for it: xfer's own. */
	uint64_t session;
	unsigned int rail;
};

/* What one attempt may use.  xfer's own. */
struct offer {
	enum { OFFER_NONE, OFFER_TOKEN, OFFER_PAIR } way;
	enum xfer_path path;
	struct session *session;
	uint64_t number;         /* of the session */
	unsigned int generation; /* of its connection */
	unsigned int url;
	char local[48]; /* address to send from; "" any */
	char token[TOKEN_MAX];
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
	/* Where to note when bytes come (clock_ns), those before the last,
	 * too; or NULL. */
	atomic_ullong *came_ns;
	/* At any time: there are other ways to its bytes, so no attempt follows
	 * the present one, and nobody is told why it failed. */
	atomic_bool once;

	/*
	 * Exchanges span for other memory of the same length; the present one
	 * may still be written to, and is not the get's any more, whatever the
	 * result.  Returns false when there is no other just now: it is called
	 * again later.
	 */
	bool (*replace)(struct xfer_get *g);

	/*
	 * Called once, on an event loop.  err is 0 when exactly len bytes
	 * stand in span, or -errno (-ESTALE: the object was replaced;
	 * -EOPNOTSUPP: no NIC can write to that peer memory, of which
	 * xfer_get_start itself may tell); fence tells that span may still be
	 * written to.
	 */
	void (*done)(struct xfer_get *g, int err, bool fence);
	void *ctx;

	/* xfer's own. */
	struct xfer *xfer;
	struct s3_call call;
	struct offer offer; /* of the present attempt */
	struct s3_header headers[2];
	bool has_token, replaced, http_only;
	bool fresh; /* the last connection failed: take none that is there */
	unsigned int attempt, mismatches;
	uint64_t until_ms;
};

/* Never blocks. */
void xfer_get_start(struct xfer *x, struct xfer_get *g);

/* Calls done on an event loop after a while; ended: before its time, since the
 * event loops end.  The struct is the caller's until then. */
struct xfer_timer {
	void (*done)(struct xfer_timer *t, bool ended);
	struct s3_call call; /* xfer's own */
};
void xfer_after(struct xfer *x, struct xfer_timer *t, uint32_t ms);

/* The arena has new peer memory: returns when the sessions that are open know
 * it, or after a second. */
void xfer_peers_shown(struct xfer *x);
/* It has lost some: returns true when that may be freed, false when a NIC has
 * not let it go within ten seconds: to be asked again later. */
bool xfer_peers_hidden(struct xfer *x);

/* A region whose old key shall die. */
struct xfer_fence {
	struct list link;
	unsigned int region, rail; /* these three from the span */
	uint64_t session;
	/* On the session's thread, once the key is dead. */
	void (*done)(struct xfer_fence *f);
	void *owner; /* the caller's */
};
void xfer_fence(struct xfer *x, struct xfer_fence *f);

struct xfer_stats {
	uint64_t bytes[XFER_PATHS]; /* delivered */
	uint64_t declines, unknowns, fences;
	uint64_t
		failed_fences; /* their memory is lost until its session ends */
	uint64_t done_cpu_ns;  /* CPU that the done callbacks took on loops */
	const char *in_use;    /* "dc", "rc", "shm" or "http" */
};
void xfer_get_stats(struct xfer *x, struct xfer_stats *out);

/* One device and endpoint, for people. */
struct xfer_rail {
	const char *transport; /* "http" while it is closed */
	const char *protocol;  /* of rc; or "" */
	unsigned int url;      /* which endpoint */
	struct rdma_place place;
	uint64_t bytes;
	char why[256]; /* why not RDMA; "" when it is */
};
unsigned int xfer_get_rails(struct xfer *x, struct xfer_rail out[XFER_RAILS]);

#endif
