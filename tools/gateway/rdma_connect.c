/* SPDX-License-Identifier: Apache-2.0 */
/* The hand-shakes of rc: connections that stay (protocol document, 3.5), and
 * hipobj-rc-v2 with a session for each transfer (3.3, 3.4). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "fault.h"
#include "ops.h"
#include "rdma.h"

#define V2 "hipobj-rc-v2"
#define V2_SIZE_MAX 0x7fffffffULL

/* A header of so many hex digits, not zero; false after an error answer. */
static bool hex_field(struct request *r, const char *name, size_t min,
		      size_t max, uint64_t *out)
{
	const char *v = request_header(r, name);

	if (v && !token_hex(v, min, max, out) && *out != 0)
		return true;
	reply_error(r, "InvalidArgument", "%s is missing or malformed", name);
	return false;
}

static bool rc_token(struct request *r, struct token_rc *out)
{
	const char *v = request_header(r, "x-amz-rdma-token");

	if (v && !token_rc_parse(v, out) && out->qpn != 0 &&
	    rdma_is_peers(r, out->gid))
		return true;
	rdma_reply_errno(r, -EINVAL);
	return false;
}

static void reply_welcome(struct request *r, const struct initiator_welcome *w)
{
	reply_header(r, "x-amz-rdma-reply", "200:%s", w->token);
	reply_header(r, "x-amz-rdma-session", "%s", w->name);
	reply_header(r, "x-amz-rdma-psn", "%06X", w->psn);
	reply_header(r, "x-amz-rdma-qpn", "%x", w->qpn);
	r->status = 200;
}

/* The initiator, where rc is offered: nic_leave follows. */
static struct initiator *enter(struct request *r)
{
	struct initiator *i = r->gw->rc ? nic_enter(r->gw->nic) : NULL;

	if (i)
		return i;
	/* Not 501: for that a client would not ask again for long. */
	if (r->gw->rc && nic_is_away(r->gw->nic))
		reply_error(r, "ServiceUnavailable",
			    "The RDMA device is away just now");
	else
		rdma_unsupported(r, "rc is off at this server, or it has no "
				    "RDMA device");
	return NULL;
}

void op_rc_connect(struct request *r)
{
	struct initiator_welcome w;
	struct token_rc client;
	struct initiator *i;
	uint64_t psn;
	int err;

	if (fault_is(r, FAULT_REFUSE_TOKEN)) {
		rdma_unsupported(r, "injected");
		return;
	}
	if (!rc_token(r, &client) ||
	    !hex_field(r, "x-amz-rdma-psn", 6, 6, &psn))
		return;
	i = enter(r);
	if (!i)
		return;
	err = initiator_connect(i, r->access, &client, (uint32_t)psn, &w);
	nic_leave(r->gw->nic);
	if (err)
		rdma_reply_errno(r, err);
	else
		reply_welcome(r, &w);
}

void op_rc_disconnect(struct request *r)
{
	const char *name = request_header(r, "x-amz-rdma-session");
	struct initiator *i = enter(r);
	int err;

	if (!i)
		return;
	err = name ? initiator_disconnect(i, r->access, name) : -EINVAL;
	nic_leave(r->gw->nic);
	if (err && err != -ESTALE)
		rdma_reply_errno(r, err);
	else
		r->status = 204;
}

/* ---- hipobj-rc-v2 ---- */

static bool speaks_v2(struct request *r)
{
	const char *v = request_header(r, "x-amz-rdma-protocol");

	if (v && !strcmp(v, V2)) {
		reply_header(r, "x-amz-rdma-protocol", V2);
		return true;
	}
	rdma_unsupported(r, "x-amz-rdma-protocol: only " V2 " is spoken here");
	return false;
}

static void reply_v2_errno(struct request *r, int err)
{
	reply_clear(r);
	switch (err) {
	case -ESTALE:
		reply_error(r, "RdmaSessionGone",
			    "There is no such session, or no more");
		break;
	case -EPERM:
		reply_error(r, "NoSuchRdmaSession", "There is no such session");
		break;
	case -EACCES:
		reply_error(r, "AccessDenied",
			    "The cookie is not this session's");
		break;
	default:
		rdma_reply_errno(r, err);
	}
}

/* "/bucket/key?query", encoded, into the request's bucket and key. */
static bool parse_target(struct request *r)
{
	const char *v = request_header(r, "x-amz-rdma-target");
	char path[4096], *slash;
	size_t n = v ? strcspn(v, "?") : 0;

	if (n < 4 || n >= sizeof(path) || v[0] != '/')
		return false;
	if (uri_decode(v + 1, n - 1, false, path) != (long)strlen(path))
		return false;
	slash = strchr(path, '/');
	if (!slash || slash == path || !slash[1])
		return false;
	*slash++ = '\0';
	if (strlen(path) >= sizeof(r->bucket) ||
	    strlen(slash) >= sizeof(r->key))
		return false;
	strcpy(r->bucket, path);
	strcpy(r->key, slash);
	return true;
}

/* Sizes and numbers of PREPARE; false after an error answer. */
static bool parse_prepare(struct request *r, struct initiator_prepare *p)
{
	const char *size = request_header(r, "x-amz-rdma-size");
	const char *offset = request_header(r, "x-amz-rdma-offset");
	uint64_t psn, cookie;

	if (!rc_token(r, &p->client) ||
	    !hex_field(r, "x-amz-rdma-psn", 6, 6, &psn) ||
	    !hex_field(r, "x-amz-rdma-cookie", 8, 8, &cookie))
		return false;
	if (!parse_target(r) || !size || parse_u64(size, &p->from.len) ||
	    p->from.len == 0 || (offset && parse_u64(offset, &p->from.off))) {
		reply_error(r, "InvalidArgument",
			    "x-amz-rdma-target, -size or -offset is missing "
			    "or malformed");
		return false;
	}
	if (p->from.len > V2_SIZE_MAX) {
		reply_error(r, "RdmaEntityTooLarge",
			    "At most %llu bytes can be asked for", V2_SIZE_MAX);
		return false;
	}
	p->psn = (uint32_t)psn;
	p->cookie = (uint32_t)cookie;
	return true;
}

static void prepare_object(struct request *r, struct initiator_prepare *p,
			   const struct store_meta *meta)
{
	struct initiator_welcome w;
	struct initiator *i;
	int err;

	if (check_preconditions(r, "", meta->etag, meta->mtime.tv_sec)) {
		reply_errno(r, -ESTALE);
		return;
	}
	if (p->from.off > meta->size ||
	    p->from.len > meta->size - p->from.off) {
		reply_error(r, "InvalidRange",
			    "The object does not hold that range");
		return;
	}
	snprintf(p->tag, sizeof(p->tag), "\"%s\"", meta->etag);
	i = enter(r);
	if (!i)
		return;
	err = initiator_prepare(i, r->access, p, &w);
	nic_leave(r->gw->nic);
	if (err)
		reply_v2_errno(r, err);
	else
		reply_welcome(r, &w);
}

void op_rc_prepare(struct request *r)
{
	struct initiator_prepare p = {0};
	const char *op = request_header(r, "x-amz-rdma-op");
	struct store_meta meta;
	int err;

	if (!speaks_v2(r))
		return;
	if (!op || strcmp(op, "GET") != 0) {
		if (op && !strcmp(op, "PUT"))
			rdma_unsupported(r, "Only GET is served by RDMA here");
		else
			reply_error(r, "InvalidArgument",
				    "x-amz-rdma-op must be GET");
		return;
	}
	if (!parse_prepare(r, &p))
		return;
	err = store_get(r->gw->store, r->bucket, r->key, &p.from.fd, &meta);
	if (err) {
		reply_errno(r, err);
		return;
	}
	prepare_object(r, &p, &meta);
	store_meta_free(&meta);
	close(p.from.fd);
}

/* A READY that is carried out late. */
struct late_ready {
	struct gateway *gw;
	char owner[128], session[TOKEN_CONN + 1];
	struct initiator_ready ready;
};

static int carry_out(struct gateway *gw, const char *owner,
		     const struct initiator_ready *ready,
		     struct initiator_final *final)
{
	struct initiator *i = nic_enter(gw->nic);
	int err;

	if (!i)
		return -ESTALE;
	err = initiator_ready(i, owner, ready, final);
	nic_leave(gw->nic);
	return err;
}

static void carry_out_late(void *ctx)
{
	struct late_ready *l = ctx;
	struct initiator_final final;

	l->ready.session = l->session;
	carry_out(l->gw, l->owner, &l->ready, &final);
	free(l);
}

static void start_late(struct request *r, const struct initiator_ready *ready)
{
	struct late_ready *l = calloc(1, sizeof(*l));

	if (!l) {
		reply_errno(r, -ENOMEM);
		return;
	}
	l->gw = r->gw;
	l->ready = *ready;
	snprintf(l->owner, sizeof(l->owner), "%s", r->access);
	snprintf(l->session, sizeof(l->session), "%s", ready->session);
	rdma_start_late(r, r->fault->value, carry_out_late, l);
}

void op_rc_ready(struct request *r)
{
	struct initiator_ready ready = {
		.session = request_header(r, "x-amz-rdma-session")};
	struct initiator_final final;
	uint64_t cookie, qpn, rkey;
	int err;

	if (!speaks_v2(r) ||
	    !hex_field(r, "x-amz-rdma-cookie", 8, 8, &cookie) ||
	    !hex_field(r, "x-amz-rdma-qpn", 1, 8, &qpn) ||
	    !hex_field(r, "x-amz-rdma-mr-addr", 1, 16, &ready.addr) ||
	    !hex_field(r, "x-amz-rdma-mr-rkey", 1, 8, &rkey))
		return;
	ready.cookie = (uint32_t)cookie;
	ready.qpn = (uint32_t)qpn;
	ready.rkey = (uint32_t)rkey;
	if (!ready.session) {
		reply_v2_errno(r, -ESTALE);
		return;
	}
	if (fault_is(r, FAULT_LATE)) {
		start_late(r, &ready);
		return;
	}
	err = carry_out(r->gw, r->access, &ready, &final);
	if (err) {
		reply_v2_errno(r, err);
		return;
	}
	reply_header(r, "x-amz-rdma-cookie", "%08X", ready.cookie);
	reply_header(r, "x-amz-rdma-bytes-transferred", "%llu",
		     (unsigned long long) final.moved);
	reply_header(r, "x-amz-rdma-etag", "%s", final.tag);
	reply_header(r, "x-amz-rdma-reply", "200");
	r->status = 200;
}

void op_rc_cancel(struct request *r)
{
	const char *session = request_header(r, "x-amz-rdma-session");
	struct initiator *i = speaks_v2(r) ? enter(r) : NULL;
	int err;

	if (!i)
		return;
	err = session ? initiator_cancel(i, r->access, session) : -ESTALE;
	nic_leave(r->gw->nic);
	if (err == -EPERM)
		reply_v2_errno(r, err);
	else
		r->status = 204; /* what is gone is canceled */
}
