/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One get: attempts until its bytes are there, its error is final, or the
 * deadline has passed.
 *
 *   attempt   with a token when there is a session and it is worth it, else
 *             without; the answer is classified (classify.c)
 *   retry     after a back-off; if the window may still be written to, only
 *             once other memory was found (replace)
 *
 * A body that comes although a token was sent never goes into the window:
 * the span is replaced at its first byte.
 *
 * Threads: xfer_get_start on any, everything behind it on the event loops,
 * one at a time for one get.
 */
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "s3/retry.h"
#include "xfer/classify.h"
#include "xfer/xfer_int.h"

#define DECLINES_MAX 8       /* in a row, then no more tokens ... */
#define OFFER_AGAIN_MS 30000 /* ... for so long */
#define MISMATCHES_MAX 2     /* wrong ETags before it is believed */
#define NO_MEMORY_MS 20

static void attempt(struct xfer_get *g);

static struct classify_input input_of(const struct xfer_get *g)
{
	return (struct classify_input){.answer = &g->call.answer,
				       .token = g->has_token,
				       .off = g->off,
				       .len = g->len,
				       .object_len = g->object_len,
				       .etag = g->etag,
				       .need_range = true};
}

static void finish(struct xfer_get *g, int err, bool fence)
{
	struct xfer *x = g->xfer;
	const uint64_t begin = clock_thread_cpu_ns();

	g->done(g, err, fence);
	/* g is the caller's again. */
	atomic_fetch_add_explicit(&x->done_cpu_ns,
				  clock_thread_cpu_ns() - begin,
				  memory_order_relaxed);
}

static bool may_offer(struct xfer *x)
{
	return atomic_load(&x->declines_in_row) < DECLINES_MAX ||
	       clock_ms() >= atomic_load(&x->offer_again_ms);
}

static void note_decline(struct xfer *x)
{
	atomic_fetch_add(&x->declines, 1);
	if (atomic_fetch_add(&x->declines_in_row, 1) + 1 >= DECLINES_MAX)
		atomic_store(&x->offer_again_ms, clock_ms() + OFFER_AGAIN_MS);
}

static bool take_body(struct s3_call *call, const char *data, size_t n)
{
	struct xfer_get *g = call->ctx;
	const struct classify_input in = input_of(g);
	const uint64_t at = call->answer.body;

	/* A stray line behind a transfer is no data. */
	if (g->has_token && call->answer.reply == S3_REPLY_OK)
		return at + n <= 4096;
	if (!classify_range_fits(&in) || at + n > g->len)
		return false;
	if (g->has_token && !g->replaced) {
		if (!g->replace(g))
			return false;
		g->replaced = true;
	}
	memcpy(g->span.addr + at, data, n);
	return true;
}

static void after_pause(struct s3_call *call)
{
	struct xfer_get *g = call->ctx;

	if (call->answer.curl) /* the engine ends */
		finish(g, -EIO, g->has_token);
	else
		attempt(g);
}

static void look_for_memory(struct s3_call *call);

static void pause_then(struct xfer_get *g, uint32_t ms,
		       void (*then)(struct s3_call *call))
{
	g->call = (struct s3_call){
		.method = S3_WAIT, .delay_ms = ms, .done = then, .ctx = g};
	s3_submit(g->xfer->s3, &g->call);
}

/* Goes on once the span is safe to fill again. */
static void look_for_memory(struct s3_call *call)
{
	struct xfer_get *g = call->ctx;

	if (call->answer.curl || clock_ms() >= g->until_ms) {
		finish(g, -EIO, true);
	} else if (g->replace(g)) {
		g->has_token = false;
		attempt(g);
	} else {
		pause_then(g, NO_MEMORY_MS, look_for_memory);
	}
}

static void retry(struct xfer_get *g, bool fence)
{
	const uint32_t ms = s3_retry_delay(g->attempt++, random_u32());

	s3_count_retry(g->xfer->s3);
	if (fence) {
		pause_then(g, ms, look_for_memory);
		return;
	}
	g->has_token = false;
	pause_then(g, ms, after_pause);
}

/* Is the answer final, or shall the request be made again? */
static void settle(struct xfer_get *g, int err, bool again, bool fence)
{
	if (again && clock_ms() < g->until_ms) {
		retry(g, fence);
		return;
	}
	if (err != -ESTALE && err != -ENOENT)
		s3_log_failure(g->xfer->s3, &g->call, "GET");
	finish(g, err, fence);
}

static void delivered(struct xfer_get *g, bool by_rdma)
{
	struct xfer *x = g->xfer;

	if (by_rdma)
		atomic_store(&x->declines_in_row, 0);
	atomic_fetch_add_explicit(by_rdma ? &x->rdma_bytes : &x->http_bytes,
				  g->len, memory_order_relaxed);
	finish(g, 0, false);
}

/* 416 inside what was the object: it is another now. */
static int outcome_error(const struct s3_verdict *v)
{
	return v->err == -ERANGE ? -ESTALE : v->err;
}

static void on_answer(struct s3_call *call)
{
	struct xfer_get *g = call->ctx;
	struct xfer *x = g->xfer;
	const struct s3_answer *a = &call->answer;
	const struct classify_input in = input_of(g);
	const struct classify_result r = classify_get(&in);
	/* Replaced memory has no token out. */
	const bool fence = r.fence && !g->replaced;
	const struct s3_verdict v = s3_error_classify(a->curl, a->status,
						      a->code);

	if (r.declined)
		note_decline(x);
	if (fence)
		atomic_fetch_add(&x->unknowns, 1);
	if (r.declined && x->cfg.require) {
		settle(g, -EIO, false, fence);
		return;
	}
	switch (r.verdict) {
	case CLASSIFY_MOVED:
		delivered(g, true);
		break;
	case CLASSIFY_BODY:
		delivered(g, false);
		break;
	case CLASSIFY_OUTCOME:
		settle(g, outcome_error(&v), v.retry != S3_RETRY_NEVER, fence);
		break;
	case CLASSIFY_STALE:
		settle(g, -ESTALE, g->mismatches++ < MISMATCHES_MAX, fence);
		break;
	case CLASSIFY_RESEND:
		g->http_only = !x->cfg.require;
		session_wake(x->session);
		settle(g, -EIO, true, false);
		break;
	case CLASSIFY_UNSENT:
		/* An error of ours (a bad certificate) stays one. */
		settle(g, -EIO, v.retry != S3_RETRY_NEVER, false);
		break;
	case CLASSIFY_RETRY:
		g->http_only = !x->cfg.require;
		session_wake(x->session);
		settle(g, -EIO, true, fence);
		break;
	}
}

static void attempt(struct xfer_get *g)
{
	struct xfer *x = g->xfer;

	g->replaced = false;
	g->has_token = !g->http_only && may_offer(x) &&
		       !session_token(x->session, &g->span, g->len, g->token);
	g->call = (struct s3_call){.method = S3_GET,
				   .bucket = g->bucket,
				   .key = g->key,
				   .range_off = g->off,
				   .range_len = g->len,
				   .if_match = g->etag[0] ? g->etag : NULL,
				   .token = g->has_token ? g->token : NULL,
				   .sink = take_body,
				   .done = on_answer,
				   .ctx = g};
	if (g->has_token || !x->cfg.require) {
		s3_submit(x->s3, &g->call);
	} else if (session_was_open(x->session) && clock_ms() < g->until_ms) {
		retry(g, false); /* the server may come back */
	} else {
		log_error("transport: no RDMA with this server, and "
			  "transport.require forbids http");
		finish(g, -EIO, false);
	}
}

void xfer_get_start(struct xfer *x, struct xfer_get *g)
{
	assert(g->len > 0 && g->len <= g->span.len &&
	       g->off + g->len <= g->object_len);
	g->xfer = x;
	g->http_only = g->plain;
	g->has_token = false;
	g->attempt = g->mismatches = 0;
	g->until_ms = clock_ms() + s3_get_config(x->s3)->deadline_ms;
	attempt(g);
}
