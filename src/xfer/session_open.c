/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a session begins: the hand-shake of each transport, in the order of
 * preference.  All of it on the session's thread.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "xfer/handshake.h"
#include "xfer/session_int.h"

#define SHM_PATH "/.s3rdma/shm"
#define CONNECT_PATH "/.s3rdma-rc/connect"
#define DISCONNECT_PATH "/.s3rdma-rc/disconnect"
#define OFFER_MS 3000
#define DISCONNECT_MS 1000

static enum open_result no(enum open_result r, char *why, size_t cap,
			   const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static enum open_result no(enum open_result r, char *why, size_t cap,
			   const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, cap, fmt, args);
	va_end(args);
	return r;
}

/* An answer that is not the one hoped for. */
static enum open_result refused(const struct s3_answer *a, const char *what,
				char *why, size_t cap)
{
	if (a->status == 0 || (a->status >= 500 && a->status != 501))
		return no(OPEN_LATER, why, cap,
			  "the server does not answer just now");
	if (a->status == 403 || a->status == 401)
		return no(OPEN_REFUSED, why, cap,
			  "the server refuses %s (HTTP %d %s): it may not "
			  "offer it, or not to these credentials or this "
			  "address",
			  what, a->status, a->code);
	return no(OPEN_REFUSED, why, cap, "the server offers no %s (HTTP %d)",
		  what, a->status);
}

static enum open_result open_shm(struct session *s, struct opened *out,
				 char *why, size_t cap)
{
	struct s3_call call = {
		.method = S3_POST, .path = SHM_PATH, .timeout_ms = OFFER_MS};
	char name[128], ticket[64];
	int err = s3_once(s->cfg.s3, &call);

	if (err || sscanf(call.answer.offer, "%127s %63s", name, ticket) != 2)
		return refused(&call.answer, "shm", why, cap);
	err = rdma_shm_open(name, ticket, s->cfg.arena, &out->rdma);
	if (err)
		return no(OPEN_LATER, why, cap, "shm: %s", strerror(-err));
	out->path = XFER_BY_SHM;
	return OPEN_DONE;
}

/* Lets the server forget a connection of which nothing came. */
static void disconnect(struct session *s, const struct rdma *rdma,
		       const char *conn)
{
	const char *local = rdma_get_place(rdma)->address;
	const struct s3_header header = {"x-amz-rdma-session", conn};
	struct s3_call call = {.method = S3_POST,
			       .path = DISCONNECT_PATH,
			       .headers = &header,
			       .nheaders = 1,
			       .url_pin = s->cfg.url + 1,
			       .local = *local ? local : NULL,
			       .timeout_ms = DISCONNECT_MS};

	/* Where it fails, the server ends it in five minutes. */
	s3_once(s->cfg.s3, &call);
}

enum open_result session_connect(struct session *s, struct rdma *rdma,
				 char *why, size_t cap)
{
	const char *local = rdma_get_place(rdma)->address;
	char token[TOKEN_MAX], psn_text[8];
	struct handshake h = {0};
	const struct s3_header headers[] = {{"x-amz-rdma-psn", psn_text},
					    {"x-amz-rdma-token", token}};
	struct s3_call call = {.method = S3_POST,
			       .path = CONNECT_PATH,
			       .headers = headers,
			       .nheaders = ARRAY_SIZE(headers),
			       .is_grant = true,
			       .url_pin = s->cfg.url + 1,
			       .local = *local ? local : NULL,
			       .timeout_ms = OFFER_MS,
			       .rdma = handshake_take,
			       .rdma_ctx = &h};
	uint32_t psn;
	int err = rdma_rc_offer(rdma, token, &psn);

	if (err)
		return no(OPEN_LATER, why, cap, "no queue pair on %s: %s",
			  rdma_get_place(rdma)->device, strerror(-err));
	snprintf(psn_text, sizeof(psn_text), "%06x", psn);
	if (s3_once(s->cfg.s3, &call))
		return refused(&call.answer, "RC connection", why, cap);
	if (handshake_check_connect(&h))
		return no(OPEN_REFUSED, why, cap,
			  "the server's answer to an RC connection is "
			  "malformed");
	err = rdma_rc_accept(rdma, h.session, h.token, h.psn);
	if (err) {
		disconnect(s, rdma, h.session);
		return no(OPEN_LATER, why, cap,
			  "the RC connection failed: %s; can the two NICs "
			  "reach each other?",
			  strerror(-err));
	}
	strcpy(s->conn, h.session);
	return OPEN_DONE;
}

void session_say_goodbye(struct session *s, struct rdma *rdma)
{
	if (s->conn[0])
		disconnect(s, rdma, s->conn);
	s->conn[0] = '\0';
}

/* The last session was a connection: something lesser that were opened now
 * would stay when the server can make one again. */
static bool may_connect_again(const struct session *s)
{
	return s->was_connection && s->refusals < SESSION_REFUSALS;
}

/* A transfer's own queue pairs, where the server has no connections or the
 * user wants it so; whether the server speaks it shows with the first. */
static bool may_pair(const struct session *s)
{
	return s->cfg.xfer->mode == XFER_RC &&
	       s->cfg.xfer->rc != XFER_RC_PERSISTENT && !may_connect_again(s);
}

/* A device that was there, or whose port is down, may be back any moment. */
static bool is_hopeless(struct session *s, int err)
{
	return err == -EOPNOTSUPP || (err == -ENODEV && !session_was_open(s));
}

static enum open_result open_rc(struct session *s, struct opened *out,
				char *why, size_t cap)
{
	const struct rdma_want want = {.device = s->cfg.device,
				       .host = s->host};
	enum open_result r = OPEN_REFUSED;
	int err = rdma_rc_open(&want, s->cfg.arena, &out->rdma, why, cap);

	if (err)
		return is_hopeless(s, err) ? OPEN_REFUSED : OPEN_LATER;
	out->path = XFER_BY_RC;
	if (s->cfg.xfer->rc != XFER_RC_HIPOBJ)
		r = session_connect(s, out->rdma, why, cap);
	if (r == OPEN_REFUSED && may_pair(s)) {
		out->pairs = true;
		r = OPEN_DONE;
	}
	if (r == OPEN_DONE && rdma_rc_register(out->rdma, why, cap)) {
		session_say_goodbye(s, out->rdma);
		r = OPEN_REFUSED;
	}
	if (r != OPEN_DONE) {
		rdma_close(out->rdma);
		*out = (struct opened){0};
	}
	return r;
}

static enum open_result open_dc(struct session *s, struct opened *out,
				char *why, size_t cap)
{
	const struct rdma_want want = {.device = s->cfg.device,
				       .host = s->host,
				       .dc_key = s->cfg.xfer->dc_key};
	const int err = rdma_dc_open(&want, s->cfg.arena, &out->rdma, why, cap);

	if (err)
		return is_hopeless(s, err) ? OPEN_REFUSED : OPEN_LATER;
	out->path = XFER_BY_DC;
	return OPEN_DONE;
}

/* The soonest of both counts, and the first reason is kept: it belongs to the
 * better way. */
static enum open_result or_else(enum open_result first, struct session *s,
				enum open_result (*open)(struct session *,
							 struct opened *,
							 char *, size_t),
				struct opened *out, char *why, size_t cap)
{
	char other[256] = "";
	enum open_result r;

	if (first == OPEN_DONE)
		return first;
	r = open(s, out, other, sizeof(other));
	if (!why[0])
		snprintf(why, cap, "%s", other);
	return r == OPEN_DONE ? r : first == OPEN_LATER ? first : r;
}

enum open_result session_open(struct session *s, struct opened *out, char *why,
			      size_t cap)
{
	enum open_result r = OPEN_REFUSED;

	switch (s->cfg.xfer->mode) {
	case XFER_SHM:
		return open_shm(s, out, why, cap);
	case XFER_RC:
		return open_rc(s, out, why, cap);
	case XFER_DC:
		return open_dc(s, out, why, cap);
	case XFER_AUTO:
		if (s->is_local)
			return open_shm(s, out, why, cap);
		r = open_rc(s, out, why, cap);
		return may_connect_again(s)
			       ? r
			       : or_else(r, s, open_dc, out, why, cap);
	case XFER_HTTP:
		break;
	}
	return r;
}
