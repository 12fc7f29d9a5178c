/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request's token meets the transports. */
#include "rdma.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"
#include "fault.h"
#include "ops.h"
#include "rdma/shm_initiator.h"

/* POST /.s3rdma/shm: where a client of this host takes its memory to. */
void op_shm_connect(struct request *r)
{
	char ticket[SHM_TICKET + 1];

	if (!r->gw->shm) {
		reply_error(r, "NotImplemented", "shm is off at this server");
		return;
	}
	shm_server_ticket(r->gw->shm, ticket);
	reply_header(r, "x-s3rdma-shm", "%s %s", shm_server_name(r->gw->shm),
		     ticket);
	r->status = 200;
}

bool rdma_is_peers(const struct request *r, const uint8_t gid[TOKEN_GID])
{
	uint8_t peer[16];

	return !nic_has_addresses(r->gw->nic) ||
	       (request_peer(r, peer) && !memcmp(peer, gid, sizeof(peer)));
}

void rdma_reply_errno(struct request *r, int err)
{
	reply_clear(r);
	switch (err) {
	case -EINVAL:
	case -ESTALE:
		reply_error(r, "InvalidRdmaToken",
			    "The token's session, key or window is not valid");
		break;
	case -EPERM:
		reply_error(r, "InvalidRdmaToken",
			    "The token's connection is another's");
		break;
	case -EBUSY:
		reply_error(r, "SlowDown", "No room for one more transfer");
		break;
	case -EIO:
		reply_error(r, "RDMATransferFailed", "The transfer failed");
		break;
	default:
		reply_errno(r, err);
	}
}

void rdma_unsupported(struct request *r, const char *why)
{
	reply_clear(r);
	reply_error(r, "NotImplemented", "%s", why);
	reply_header(r, "x-amz-rdma-protocol-status", "unsupported");
}

static void moved(struct request *r, uint64_t len, bool ranged)
{
	reply_header(r, "x-amz-rdma-reply", "%d", ranged ? 206 : 200);
	reply_header(r, "x-amz-rdma-bytes-transferred", "%llu",
		     (unsigned long long)len);
}

static void declined(struct request *r)
{
	reply_header(r, "x-amz-rdma-reply", "501");
}

/* ---- writes that come late, on purpose ---- */

struct late {
	uint64_t ms;
	void (*work)(void *ctx);
	void *ctx;
};

static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t late_ended = PTHREAD_COND_INITIALIZER;
static unsigned int late_writes; /* under late_lock */

static void count_late(int change)
{
	LOCK_SCOPE(&late_lock);
	late_writes += (unsigned int)change;
	pthread_cond_broadcast(&late_ended);
}

void rdma_wait_for_late(void)
{
	LOCK_SCOPE(&late_lock);
	while (late_writes > 0)
		pthread_cond_wait(&late_ended, &late_lock);
}

static void *run_late(void *arg)
{
	struct late *l = arg;

	pthread_detach(pthread_self());
	gateway_sleep_ms(l->ms);
	l->work(l->ctx);
	free(l);
	count_late(-1);
	return NULL;
}

void rdma_start_late(struct request *r, uint64_t ms, void (*work)(void *ctx),
		     void *ctx)
{
	struct late *l = calloc(1, sizeof(*l));

	reply_clear(r);
	reply_error(r, "InternalError", "injected");
	count_late(1);
	if (l)
		*l = (struct late){ms, work, ctx};
	if (!l || thread_start(NULL, "late", run_late, l)) {
		work(ctx);
		free(l);
		count_late(-1);
	}
}

/* ---- one transfer ---- */

/* All that it takes, so that it can also be done later. */
struct transfer {
	struct gateway *gw;
	char token[TOKEN_MAX];
	char owner[128];
	struct initiator_source from;
};

static int by_nic(const struct transfer *t, enum token_kind kind)
{
	struct initiator *i = nic_enter(t->gw->nic);
	struct token_conn conn;
	struct token_dc dc;
	int err = -EINVAL;

	if (!i)
		return -EOPNOTSUPP;
	if (kind == TOKEN_KIND_DC && !token_dc_parse(t->token, &dc))
		err = initiator_write_dc(i, &dc, &t->from);
	else if (kind == TOKEN_KIND_CONN && !token_conn_parse(t->token, &conn))
		err = initiator_write_conn(i, t->owner, &conn, &t->from);
	nic_leave(t->gw->nic);
	return err;
}

static int carry_out(const struct transfer *t)
{
	const enum token_kind kind = token_kind(t->token);

	if (kind != TOKEN_KIND_SHM)
		return by_nic(t, kind);
	return t->gw->shm ? shm_server_read(t->gw->shm, t->token, t->from.fd,
					    t->from.off, t->from.len)
			  : -EOPNOTSUPP;
}

/* Refused once the client has revoked the key: that is the point. */
static void carry_out_late(void *ctx)
{
	struct transfer *t = ctx;

	carry_out(t);
	close(t->from.fd);
	free(t);
}

static void start_late(struct request *r, const struct transfer *t)
{
	struct transfer *copy = malloc(sizeof(*copy));

	if (!copy) {
		reply_errno(r, -ENOMEM);
		return;
	}
	*copy = *t;
	copy->from.fd = dup(t->from.fd);
	rdma_start_late(r, r->fault->value, carry_out_late, copy);
}

/* Forms that no transfer here can come of.  True when the answer is set. */
static bool refuse_form(struct request *r, const char *token)
{
	struct token_dc dc;

	switch (token_kind(token)) {
	case TOKEN_KIND_RC:
		rdma_unsupported(r, "This form of token needs a hand-shake: "
				    "hipobj-rc-v2 is spoken here");
		return true;
	case TOKEN_KIND_LIBFABRIC:
		rdma_unsupported(r, "libfabric tokens are not spoken here");
		return true;
	case TOKEN_KIND_NONE:
		rdma_reply_errno(r, -EINVAL);
		return true;
	case TOKEN_KIND_DC:
		if (!token_dc_parse(token, &dc) && rdma_is_peers(r, dc.gid))
			return false;
		rdma_reply_errno(r, -EINVAL);
		return true;
	case TOKEN_KIND_SHM:
	case TOKEN_KIND_CONN:
		break;
	}
	return false;
}

static bool faulty(struct request *r, const struct transfer *t, bool ranged)
{
	if (fault_is(r, FAULT_REFUSE_TOKEN)) {
		reply_clear(r);
		declined(r);
		reply_error(r, "NotImplemented", "injected");
		return true;
	}
	if (fault_is(r, FAULT_LATE)) {
		start_late(r, t);
		return true;
	}
	if (fault_is(r, FAULT_LIE)) {
		moved(r, t->from.len, ranged);
		return true;
	}
	return false;
}

bool rdma_try_get(struct request *r, int fd, uint64_t off, uint64_t len,
		  bool ranged)
{
	const char *token = request_header(r, "x-amz-rdma-token");
	struct transfer t = {.gw = r->gw, .from = {fd, off, len}};
	int err;

	if (!token || fault_is(r, FAULT_IGNORE_TOKEN) || len == 0)
		return false;
	if (strlen(token) >= sizeof(t.token)) {
		rdma_reply_errno(r, -EINVAL);
		return true;
	}
	snprintf(t.token, sizeof(t.token), "%s", token);
	snprintf(t.owner, sizeof(t.owner), "%s", r->access);
	if (faulty(r, &t, ranged) || refuse_form(r, token))
		return true;
	err = carry_out(&t);
	if (err == -EOPNOTSUPP) {
		/* Not what this server moves now: the body does. */
		declined(r);
		return false;
	}
	if (!err)
		moved(r, len, ranged);
	else
		rdma_reply_errno(r, err);
	return true;
}

bool rdma_refuse_put(struct request *r)
{
	/* The bytes would have to be fetched from the client.  Storing the
	 * empty body instead would be the worst answer of all. */
	if (!request_header(r, "x-amz-rdma-token"))
		return false;
	declined(r);
	reply_error(r, "NotImplemented",
		    "A token cannot be given for an upload here");
	return true;
}
