/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of the persistent RC connection (protocol document, 3.5).
 * The queue pair is passive, as the DC target is: tokens of the connection
 * name windows, and the server writes.
 *
 *   CLOSED --offer--> OFFERED --accept--> CONNECTED --lost, failed--> CLOSED
 *
 *   state      qp      connected   tokens
 *   CLOSED     NULL    false       none
 *   OFFERED    INIT    false       none
 *   CONNECTED  RTS     true        yes
 *   (lost)     RTS     false       none, until the next offer ends the pair
 *
 * Threads: offer, accept, alive and close belong to the session's thread, and
 * so does the pair: making and connecting one may take the kernel a second.
 * Tokens are minted by any.  rc->lock, a leaf, guards what they read.
 */
#include "rdma/rc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "rdma/qp.h"

static struct rc *to_rc(struct rdma *r)
{
	return (struct rc *)r;
}

static int rc_token(struct rdma *r, unsigned int region, size_t off, size_t len,
		    char out[TOKEN_MAX])
{
	struct rc *rc = to_rc(r);
	struct token_conn t = {.size = (uint32_t)len};

	if (atomic_load(&rc->nic.device->dead))
		return -EPIPE;
	if (!mem_window(rc->nic.mem, region, &t.addr, &t.rkey))
		return -EOPNOTSUPP;
	t.addr += off;
	{
		LOCK_SCOPE(&rc->lock);
		if (!atomic_load(&rc->connected))
			return -EPIPE;
		memcpy(t.conn, rc->conn, sizeof(t.conn));
	}
	token_conn_format(&t, out);
	return 0;
}

/* On the session's thread, out of device_alive. */
static void on_qp_failed(void *ctx, struct ibv_qp *qp)
{
	struct rc *rc = ctx;

	if (qp == rc->qp && atomic_exchange(&rc->connected, false))
		log_debug("rdma: the connection's queue pair has failed");
}

static bool rc_alive(struct rdma *r)
{
	return device_alive(to_nic(r)->device);
}

static void drop_qp(struct rc *rc)
{
	atomic_store(&rc->connected, false);
	if (rc->qp)
		ibv_destroy_qp(rc->qp);
	rc->qp = NULL;
}

static void rc_close(struct rdma *r)
{
	struct rc *rc = to_rc(r);

	drop_qp(rc);
	if (rc->cq)
		ibv_destroy_cq(rc->cq);
	nic_stop(&rc->nic);
	pthread_mutex_destroy(&rc->lock);
	free(rc);
}

static const struct rdma_ops rc_ops = {.name = "rc",
				       .token = rc_token,
				       .revoke = nic_revoke,
				       .alive = rc_alive,
				       .close = rc_close,
				       .flush = nic_flush,
				       .place = nic_place,
				       .reaches = nic_reaches,
				       .sync = nic_sync};

int rdma_rc_open(const struct rdma_want *want, const struct rdma_arena *arena,
		 struct rdma **out, char *why, size_t cap)
{
	struct rc *rc = calloc(1, sizeof(*rc));
	int err;

	if (!rc)
		return -ENOMEM;
	rc->nic.rdma.ops = &rc_ops;
	pthread_mutex_init(&rc->lock, NULL);
	rc->nic.rdma.arena = arena;
	err = nic_open(&rc->nic, want, why, cap);
	if (!err) {
		rc->cq = ibv_create_cq(rc->nic.device->ctx, 4, NULL, NULL, 0);
		err = rc->cq ? 0 : -errno;
		if (err)
			snprintf(why, cap, "%s: no completion queue: %s",
				 rc->nic.device->place.device, strerror(-err));
	}
	if (err) {
		rc_close(&rc->nic.rdma);
		return err;
	}
	rc->nic.device->qp_failed = on_qp_failed;
	rc->nic.device->qp_failed_ctx = rc;
	*out = &rc->nic.rdma;
	return 0;
}

int rdma_rc_register(struct rdma *r, char *why, size_t cap)
{
	return nic_register(to_nic(r), r->arena, why, cap);
}

int rdma_rc_offer(struct rdma *r, char token[TOKEN_MAX], uint32_t *psn)
{
	struct rc *rc = to_rc(r);
	struct device *d = rc->nic.device;

	drop_qp(rc);
	rc->qp = qp_new(d,
			&(struct qp_caps){.cq = rc->cq,
					  .access = IBV_ACCESS_LOCAL_WRITE |
						    IBV_ACCESS_REMOTE_WRITE});
	if (!rc->qp)
		return errno ? -errno : -EIO;
	rc->psn = qp_random_psn();
	qp_token(d, rc->qp, token);
	*psn = rc->psn;
	return 0;
}

int rdma_rc_accept(struct rdma *r, const char *conn, const char *token,
		   uint32_t psn)
{
	struct rc *rc = to_rc(r);
	struct qp_peer peer;
	struct token_rc t;
	int err;

	if (!rc->qp || strlen(conn) != TOKEN_CONN ||
	    token_rc_parse(token, &t) || !t.qpn || !psn)
		return -EPROTO;
	peer = qp_peer_of(&t, psn);
	err = qp_connect(rc->nic.device, rc->qp, &peer, rc->psn);
	if (err)
		return err;
	LOCK_SCOPE(&rc->lock);
	memcpy(rc->conn, conn, sizeof(rc->conn));
	atomic_store(&rc->connected, true);
	return 0;
}

bool rdma_rc_connected(struct rdma *r)
{
	return atomic_load(&to_rc(r)->connected);
}

void rdma_rc_lost(struct rdma *r)
{
	atomic_store(&to_rc(r)->connected, false);
}
