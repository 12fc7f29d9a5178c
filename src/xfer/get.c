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

#define MISMATCHES_MAX 2 /* wrong ETags before it is believed */
#define NO_MEMORY_MS 20

static void attempt(struct xfer_get *g);

static struct classify_input input_of(const struct xfer_get *g)
{
	return (struct classify_input){
		.answer = &g->call.answer,
		.token = g->has_token,
		.off = g->off,
		.len = g->len,
		.object_len = g->object_len,
		.etag = g->etag,
		.need_range = g->xfer->profile->need_range,
		.by_status = g->xfer->profile->by_status};
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
	/* Nothing of it can go there; the answer is heard out all the same,
	 * for what it says of the rail. */
	if (!g->span.addr)
		return true;
	if (g->has_token && !g->replaced) {
		if (!g->replace(g))
			return false;
		g->replaced = true;
	}
	memcpy(g->span.addr + at, data, n);
	if (g->came_ns)
		atomic_store_explicit(g->came_ns, clock_ns(),
				      memory_order_relaxed);
	return true;
}

static void after_pause(struct s3_call *call)
{
	struct xfer_get *g = call->ctx;

	if (call->answer.curl || g->once) /* the engine ends, or may */
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

	if (call->answer.curl || g->once || clock_ms() >= g->until_ms) {
		finish(g, -EIO, true);
	} else if (g->replace(g)) {
		g->has_token = false;
		attempt(g);
	} else {
		pause_then(g, NO_MEMORY_MS, look_for_memory);
	}
}

static void retry(struct xfer_get *g, uint32_t ms, bool fence)
{
	g->attempt++;
	s3_count_retry(g->xfer->s3);
	if (fence) {
		pause_then(g, ms, look_for_memory);
		return;
	}
	g->has_token = false;
	pause_then(g, ms, after_pause);
}

/* May the next attempt do without a token?  For peer memory that is the end,
 * and its caller has another way. */
static bool may_do_without(const struct xfer_get *g)
{
	return !g->xfer->cfg.require || !g->span.addr;
}

/* Is the answer final, or shall the request be made again? */
static void settle(struct xfer_get *g, int err, bool again, bool fence)
{
	const uint32_t ms = s3_retry_delay(g->attempt, random_u32());

	if (again && !g->once && clock_ms() + ms < g->until_ms) {
		retry(g, ms, fence);
		return;
	}
	/* What would have been asked again is no verdict. */
	if (again && g->once)
		err = -EIO;
	if (err != -ESTALE && err != -ENOENT && !g->once)
		s3_log_failure(g->xfer->s3, &g->call, "GET");
	finish(g, err, fence);
}

static void delivered(struct xfer_get *g, enum xfer_path path)
{
	atomic_fetch_add_explicit(&g->xfer->bytes[path], g->len,
				  memory_order_relaxed);
	finish(g, 0, false);
}

/* The bytes stand in the window; they are there for good once flushed. */
static void moved(struct xfer_get *g)
{
	const int err = session_delivered(g->offer.session, &g->offer, &g->span,
					  g->len);

	if (err) {
		if (err != -EPIPE)
			log_error("transport: a transfer could not be made "
				  "visible: %s",
				  strerror(-err));
		g->http_only = may_do_without(g);
		settle(g, -EIO, true, true);
		return;
	}
	delivered(g, g->offer.path);
}

/* 416 inside what was the object: it is another now. */
static int outcome_error(const struct s3_verdict *v)
{
	return v->err == -ERANGE ? -ESTALE : v->err;
}

static bool is_worth_again(const struct xfer_get *g, const struct s3_verdict *v)
{
	if (v->retry == S3_RETRY_REFRESH)
		return s3_renew_creds(g->xfer->s3);
	return v->retry != S3_RETRY_NEVER;
}

/* An alarm, but not one a request: 1st, 2nd, 4th, 8th ... */
static void tell_overrun(struct xfer *x)
{
	const uint64_t n = atomic_fetch_add(&x->overruns, 1) + 1;

	if ((n & (n - 1)) == 0)
		log_error("transport: the server says that it wrote more than "
			  "the window holds (%llu times so far)",
			  (unsigned long long)n);
}

/* Charges the offer's rail, and nobody else. */
static void note(struct xfer_get *g, const struct classify_result *r)
{
	struct xfer *x = g->xfer;

	if (r->overrun)
		tell_overrun(x);
	if (r->declined)
		atomic_fetch_add(&x->declines, 1);
	session_note(g->offer.session, &g->offer,
		     r->useless                     ? HEALTH_USELESS
		     : r->declined                  ? HEALTH_DECLINED
		     : r->fault                     ? HEALTH_FAULT
		     : r->verdict == CLASSIFY_MOVED ? HEALTH_OK
						    : HEALTH_NOTHING);
}

/* By which the server says that it knows the token's connection no more. */
static bool is_lost(const struct xfer_get *g)
{
	return g->has_token && g->offer.way == OFFER_TOKEN &&
	       g->call.answer.status == 400;
}

/* What is a fault of the rail, and a word of the server's about RDMA, after
 * all, or is none. */
static void weigh(const struct xfer_get *g, struct classify_result *r)
{
	/* Nobody there, however far it came.  One who refuses to connect is no
	 * matter of the rail, and costs no time. */
	if (g->call.answer.curl == CURLE_OPERATION_TIMEDOUT)
		r->fault = true;
	/* We broke it off: no memory for a body, too long a one, or no time. */
	if (g->call.answer.curl == CURLE_WRITE_ERROR ||
	    g->call.answer.cut_short)
		r->fault = false;
	/* Another connection is made at once. */
	if (is_lost(g) && g->offer.path == XFER_BY_RC)
		r->declined = false;
}

static void conclude(struct xfer_get *g, const struct classify_result *result)
{
	struct xfer *x = g->xfer;
	const struct s3_answer *a = &g->call.answer;
	struct classify_result copy = *result, *r = &copy;
	/* Replaced memory has no token out. */
	const bool fence = r->fence && !g->replaced;
	const struct s3_verdict v = s3_error_classify(a->curl, a->status,
						      a->code);

	weigh(g, r);
	/* Its neighbours in the pool may hang on the same dead wire. */
	g->fresh = a->curl != CURLE_OK;
	if (g->has_token)
		note(g, r);
	if (fence)
		atomic_fetch_add(&x->unknowns, 1);
	if (r->declined && !may_do_without(g)) {
		settle(g, -EIO, false, fence);
		return;
	}
	switch (r->verdict) {
	case CLASSIFY_MOVED:
		moved(g);
		break;
	case CLASSIFY_BODY:
		if (g->span.addr) {
			delivered(g, XFER_BY_HTTP);
			break;
		}
		g->http_only = true;
		settle(g, -EIO, true, true);
		break;
	case CLASSIFY_OUTCOME:
		settle(g, outcome_error(&v), is_worth_again(g, &v), fence);
		break;
	case CLASSIFY_STALE:
		settle(g, -ESTALE, g->mismatches++ < MISMATCHES_MAX, fence);
		break;
	case CLASSIFY_UNSENT:
		/* An error of ours (a bad certificate) stays one. */
		settle(g, -EIO, v.retry != S3_RETRY_NEVER, false);
		break;
	case CLASSIFY_RESEND:
	case CLASSIFY_RETRY:
		g->http_only = may_do_without(g);
		if (g->has_token)
			session_wake(g->offer.session,
				     is_lost(g) ? &g->offer : NULL);
		settle(g, -EIO, true, fence);
		break;
	}
}

static void on_answer(struct s3_call *call)
{
	struct xfer_get *g = call->ctx;
	const struct classify_input in = input_of(g);
	const struct classify_result r = classify_get(&in);

	conclude(g, &r);
}

/* The headers of an offer, as the profile wants them. */
static unsigned int add_headers(struct xfer_get *g)
{
	const struct profile *p = g->xfer->profile;
	unsigned int n = 0;

	/* Vendors' forms are of the DC token. */
	if (g->offer.path != XFER_BY_DC) {
		g->headers[n++] = (struct s3_header){"x-amz-rdma-token",
						     g->offer.token};
		return n;
	}
	if (p->agent)
		g->headers[n++] = (struct s3_header){"x-amz-rdma-agent",
						     p->agent};
	g->headers[n++] = (struct s3_header){p->token_header, g->offer.token};
	return n;
}

static void submit(struct xfer_get *g)
{
	const bool granted = g->has_token;

	g->call = (struct s3_call){
		.method = S3_GET,
		.bucket = g->bucket,
		.key = g->key,
		.range_off = g->off,
		.range_len = g->len,
		.if_match = g->etag[0] ? g->etag : NULL,
		.headers = g->headers,
		.nheaders = granted ? add_headers(g) : 0,
		.is_grant = granted,
		.url_pin = granted ? g->offer.url + 1 : 0,
		.again = g->once,
		.local = granted && g->offer.local[0] ? g->offer.local : NULL,
		.fresh = g->fresh,
		.until_ms = g->until_ms,
		.sink = take_body,
		.done = on_answer,
		.ctx = g};
	s3_submit(g->xfer->s3, &g->call);
}

/* The pair's attempt ended: there is no answer to a GET to look at. */
static void on_pair(struct xfer_get *g, const struct classify_result *r)
{
	conclude(g, r);
}

static void dress_token(struct xfer_get *g)
{
	char bare[TOKEN_MAX];

	memcpy(bare, g->offer.token, sizeof(bare));
	token_dress(g->xfer->profile->form, bare, g->offer.token);
}

static void attempt(struct xfer_get *g)
{
	struct xfer *x = g->xfer;

	g->replaced = false;
	g->has_token = !g->http_only &&
		       rails_offer(x->rails, &g->span, g->len, &g->offer);
	if (g->has_token && g->offer.way == OFFER_PAIR) {
		/* For the log: the pair's calls are others. */
		g->call = (struct s3_call){.method = S3_GET,
					   .bucket = g->bucket,
					   .key = g->key,
					   .url = g->offer.url};
		if (pair_get_start(x->pairs, g, on_pair))
			return;
		g->has_token = false;
	}
	if (g->has_token && g->offer.path == XFER_BY_DC)
		dress_token(g);
	if (!g->has_token && !g->span.addr) {
		finish(g, -EOPNOTSUPP, false);
	} else if (g->has_token || !x->cfg.require) {
		submit(g);
	} else if (rails_were_open(x->rails) && clock_ms() < g->until_ms) {
		rails_wake(x->rails);
		/* The server may come back. */
		retry(g, s3_retry_delay(g->attempt, random_u32()), false);
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
	g->has_token = g->fresh = false;
	g->attempt = g->mismatches = 0;
	g->until_ms = clock_ms() + s3_get_config(x->s3)->deadline_ms;
	attempt(g);
}
