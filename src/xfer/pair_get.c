/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state      a pair exists   the server knows the window   ends with
 *   IDLE       no              no                            start
 *   PREPARING  INIT            no                            its answer
 *   READY      RTS             yes                           FINAL
 *   CANCELING  no              no more (the pair is gone)    any answer
 *
 *   IDLE -> PREPARING -> READY -> IDLE
 *           PREPARING, READY -> CANCELING -> IDLE   (failed)
 *
 * Up to READY nothing can have been written, whatever went wrong.  After it,
 * the pair is destroyed before anything else is done: then nothing can land
 * any more, and the key of the window dies besides.
 *
 * Threads: a get's steps run one at a time, on the event loops.  The free
 * list has a lock, a leaf.
 */
#include "xfer/pair_get.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "s3/uri.h"
#include "xfer/handshake.h"
#include "xfer/session.h"

#define PREPARE_PATH "/.hipobj-rc/prepare"
#define READY_PATH "/.hipobj-rc/ready"
#define CANCEL_PATH "/.hipobj-rc/cancel"
#define CANCEL_MS 1000
#define ARRIVAL_MS 50 /* of the completion, after FINAL has come */
#define SIZE_MAX_V2 0x7fffffffULL
#define TARGET 2048 /* longer ones go by HTTP */

struct pair_get {
	struct list link; /* on the free list */
	struct pair_gets *owner;
	struct xfer_get *get; /* NULL in CANCELING */
	void (*done)(struct xfer_get *g, const struct classify_result *r);
	struct offer offer;
	struct rdma *rdma; /* entered */
	struct rdma_pair *pair;
	struct s3_call call;
	struct handshake hs;
	struct s3_header headers[S3_HEADERS_MAX];
	uint32_t cookie;
	char token[TOKEN_MAX], target[TARGET], session[TOKEN_CONN + 1];
	char psn[8], cookie_text[12], size[24], offset[24];
	char qpn[12], addr[24], rkey[12];
};

struct pair_gets {
	struct s3 *s3; /* borrowed */
	struct pair_get gets[PAIR_GETS];
	pthread_mutex_t lock;
	struct list free; /* under lock */
};

int pair_gets_new(struct s3 *s3, struct pair_gets **out)
{
	struct pair_gets *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->s3 = s3;
	pthread_mutex_init(&p->lock, NULL);
	list_init(&p->free);
	for (int i = 0; i < PAIR_GETS; i++) {
		p->gets[i].owner = p;
		list_add(&p->free, &p->gets[i].link);
	}
	*out = p;
	return 0;
}

void pair_gets_free(struct pair_gets *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static struct pair_get *take(struct pair_gets *p)
{
	struct pair_get *q;

	LOCK_SCOPE(&p->lock);
	if (list_empty(&p->free))
		return NULL;
	q = list_first(&p->free, struct pair_get, link);
	list_del(&q->link);
	return q;
}

static void put(struct pair_get *q)
{
	struct pair_gets *p = q->owner;

	LOCK_SCOPE(&p->lock);
	list_add(&p->free, &q->link);
}

/* The pair is gone, or it is lost with its session. */
static bool end_pair(struct pair_get *q)
{
	const int err = q->pair ? rdma_pair_free(q->pair) : 0;

	if (err)
		log_error("transport: a queue pair could not be destroyed: %s",
			  strerror(-err));
	q->pair = NULL;
	session_leave(q->offer.session);
	return !err;
}

static void on_prepared(struct s3_call *call);

static void post(struct pair_get *q, const char *path, unsigned int nheaders,
		 void (*done)(struct s3_call *call))
{
	q->hs = (struct handshake){0};
	q->call = (struct s3_call){.method = S3_POST,
				   .path = path,
				   .headers = q->headers,
				   .nheaders = nheaders,
				   .is_grant = true,
				   /* A prepared session is not kept long. */
				   .urgent = done != on_prepared,
				   .url_pin = q->offer.url + 1,
				   .local = q->offer.local[0] ? q->offer.local
							      : NULL,
				   .rdma = handshake_take,
				   .rdma_ctx = &q->hs,
				   .done = done,
				   .ctx = q};
}

static void on_canceled(struct s3_call *call)
{
	put(call->ctx);
}

/* Tells the get, and then, as a courtesy, the server. */
static void give_up(struct pair_get *q, const struct classify_result *r)
{
	struct xfer_get *g = q->get;

	end_pair(q);
	g->call.answer = q->call.answer;
	q->get = NULL;
	q->done(g, r);
	if (!q->session[0]) {
		put(q);
		return;
	}
	q->headers[0] = (struct s3_header){"x-amz-rdma-protocol", HANDSHAKE_V2};
	q->headers[1] = (struct s3_header){"x-amz-rdma-session", q->session};
	post(q, CANCEL_PATH, 2, on_canceled);
	q->call.timeout_ms = CANCEL_MS;
	s3_submit(q->owner->s3, &q->call);
}

static bool other_version(const struct pair_get *q)
{
	const char *etag = q->get->etag;

	return etag[0] && q->hs.etag[0] && strcmp(etag, q->hs.etag) != 0;
}

/* FINAL came whole: what does it say?  Pure but for the completion queue. */
static struct classify_result judge(const struct pair_get *q)
{
	const struct s3_answer *a = &q->call.answer;
	struct classify_result failed = {
		.verdict = CLASSIFY_RETRY, .fence = true, .fault = true};

	if (a->curl)
		return failed;
	if (a->status != 200 && a->status != 204) {
		failed.fault = a->status == 408 || a->status == 500;
		return failed;
	}
	if (handshake_check_final(&q->hs, q->cookie, q->get->len) ||
	    rdma_pair_arrived(q->pair, q->cookie, ARRIVAL_MS))
		return failed;
	if (other_version(q))
		return (struct classify_result){.verdict = CLASSIFY_STALE};
	/* Which version was that?  Every read is bound to one. */
	if (q->get->etag[0] && !q->hs.etag[0])
		return (struct classify_result){.verdict = CLASSIFY_RESEND,
						.declined = true,
						.useless = true};
	return (struct classify_result){.verdict = CLASSIFY_MOVED};
}

static void on_final(struct s3_call *call)
{
	struct pair_get *q = call->ctx;
	struct classify_result r = judge(q);
	struct xfer_get *g = q->get;

	if (r.fence) {
		give_up(q, &r);
		return;
	}
	/* A pair that stays could still be written through. */
	if (!end_pair(q)) {
		r.fence = true;
		if (r.verdict == CLASSIFY_MOVED)
			r.verdict = CLASSIFY_RETRY;
	}
	g->call.answer = q->call.answer;
	put(q);
	q->done(g, &r);
}

/* False: nothing was sent. */
static bool ready(struct pair_get *q)
{
	const struct xfer_get *g = q->get;
	uint32_t qpn, rkey;
	uint64_t addr;
	unsigned int n = 0;

	if (!rdma_pair_window(q->pair, g->span.region, &qpn, &addr, &rkey))
		return false;
	addr += g->span.at;
	snprintf(q->qpn, sizeof(q->qpn), "%x", qpn);
	snprintf(q->addr, sizeof(q->addr), "%llx", (unsigned long long)addr);
	snprintf(q->rkey, sizeof(q->rkey), "%x", rkey);
	q->headers[n++] = (struct s3_header){"x-amz-rdma-cookie",
					     q->cookie_text};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-mr-addr", q->addr};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-mr-rkey", q->rkey};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-protocol",
					     HANDSHAKE_V2};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-qpn", q->qpn};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-session", q->session};
	post(q, READY_PATH, n, on_final);
	s3_submit(q->owner->s3, &q->call);
	return true;
}

/* What PREPARE's answer means when it is not yes.  The window was not named,
 * so that nothing is uncertain; HTTP finds out the rest. */
static struct classify_result not_prepared(const struct pair_get *q)
{
	const struct s3_answer *a = &q->call.answer;
	const bool refused = a->status >= 400 && a->status < 500 &&
			     a->status != 412 && a->status != 416;

	if (a->curl && !a->sent)
		return (struct classify_result){.verdict = CLASSIFY_UNSENT};
	return (struct classify_result){
		.verdict = CLASSIFY_RESEND,
		.declined = refused || a->status == 501,
		.useless = q->hs.unsupported || (a->status == 200 && !a->curl)};
}

static void on_prepared(struct s3_call *call)
{
	struct pair_get *q = call->ctx;
	const struct s3_answer *a = &call->answer;
	struct classify_result r;
	int err;

	if (a->curl || a->status != 200 || handshake_check_prepare(&q->hs)) {
		r = not_prepared(q);
		give_up(q, &r);
		return;
	}
	strcpy(q->session, q->hs.session);
	err = rdma_pair_connect(q->pair, q->hs.token, q->hs.qpn, q->hs.psn);
	if (err) {
		/* -EAGAIN is the luck of the numbers. */
		r = (struct classify_result){.verdict = CLASSIFY_RESEND,
					     .fault = err != -EAGAIN};
		give_up(q, &r);
		return;
	}
	/* The window has gone meanwhile: nobody has been told of it. */
	if (!ready(q)) {
		r = (struct classify_result){.verdict = CLASSIFY_RESEND};
		give_up(q, &r);
	}
}

/* "/bucket/key", encoded; false when it is too long for a header. */
static bool make_target(struct pair_get *q)
{
	const struct xfer_get *g = q->get;
	size_t n = 1;

	strcpy(q->target, "/");
	if (uri_encode(g->bucket, strlen(g->bucket), true, q->target + n,
		       TARGET - n))
		return false;
	n = strlen(q->target);
	if (n + 2 >= TARGET)
		return false;
	q->target[n++] = '/';
	q->target[n] = '\0';
	return !uri_encode(g->key, strlen(g->key), true, q->target + n,
			   TARGET - n);
}

static void prepare(struct pair_get *q, uint32_t psn)
{
	const struct xfer_get *g = q->get;
	unsigned int n = 0;

	do
		random_bytes(&q->cookie, sizeof(q->cookie));
	while (q->cookie == 0);
	snprintf(q->cookie_text, sizeof(q->cookie_text), "%08X", q->cookie);
	snprintf(q->psn, sizeof(q->psn), "%06X", psn);
	snprintf(q->size, sizeof(q->size), "%llu", (unsigned long long)g->len);
	snprintf(q->offset, sizeof(q->offset), "%llu",
		 (unsigned long long)g->off);
	q->headers[n++] = (struct s3_header){"x-amz-rdma-cookie",
					     q->cookie_text};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-offset", q->offset};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-op", "GET"};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-protocol",
					     HANDSHAKE_V2};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-psn", q->psn};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-size", q->size};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-target", q->target};
	q->headers[n++] = (struct s3_header){"x-amz-rdma-token", q->token};
	post(q, PREPARE_PATH, n, on_prepared);
	q->call.if_match = g->etag[0] ? g->etag : NULL;
	s3_submit(q->owner->s3, &q->call);
}

bool pair_get_start(struct pair_gets *p, struct xfer_get *g,
		    void (*done)(struct xfer_get *g,
				 const struct classify_result *r))
{
	struct pair_get *q = g->len <= SIZE_MAX_V2 ? take(p) : NULL;
	uint32_t psn;

	if (!q) {
		session_leave(g->offer.session);
		return false;
	}
	q->get = g;
	q->done = done;
	q->offer = g->offer;
	q->pair = NULL;
	q->session[0] = '\0';
	/* The offer holds the session open, so it is still the same. */
	q->rdma = session_enter(q->offer.session, q->offer.number);
	if (q->rdma)
		session_leave(q->offer.session);
	if (!q->rdma || !make_target(q) ||
	    rdma_pair_new(q->rdma, &q->pair, q->token, &psn)) {
		end_pair(q);
		put(q);
		return false;
	}
	prepare(q, psn);
	return true;
}
