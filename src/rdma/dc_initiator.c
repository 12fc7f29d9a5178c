/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dynamically Connected initiators (protocol document, 4.3): a pool, one for
 * each transfer, so that a client that does not answer holds up nobody else.
 * After an error the pair is reset before it is used again.
 */
#include <errno.h>
#include <infiniband/mlx5dv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rdma/initiator_int.h"

#define DCIS 64
#define SENDS 4 /* two halves, and room to spare */
#define TIMEOUT 16
#define AHS 256

struct handle;

struct dci {
	struct path path; /* first */
	struct ibv_qp *qp;
	struct ibv_qp_ex *ex;
	struct mlx5dv_qp_ex *mlx5;
	bool busy, stale; /* under initiator->lock; stale: reset it first */

	/* Of the transfer that goes on. */
	struct handle *handle;
	uint32_t dctn;
};

/* Address handles are kept: each costs a call into the kernel, on RoCE with a
 * look-up of the MAC. */
struct handle {
	struct qp_peer peer;
	struct ibv_ah *ah;  /* owned; NULL: an empty place */
	unsigned int users; /* transfers that go on by it */
};

struct dcis {
	struct initiator *initiator; /* borrowed */
	struct dci dcis[DCIS];
	struct handle handles[AHS]; /* under initiator->lock */
};

static int post(struct path *p, struct initiator *i, const struct write *w)
{
	struct dci *d = (struct dci *)p;

	ibv_wr_start(d->ex);
	d->ex->wr_id = (uintptr_t)w->wait;
	d->ex->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_rdma_write(d->ex, w->rkey, w->addr);
	/* Each work request names its target. */
	mlx5dv_wr_set_dc_addr(d->mlx5, d->handle->ah, d->dctn, i->dc_key);
	ibv_wr_set_sge(d->ex, i->mr->lkey, (uintptr_t)w->from, w->len);
	return -ibv_wr_complete(d->ex);
}

static void fail(struct path *p)
{
	qp_fail(((struct dci *)p)->qp);
}

static int create(struct initiator *i, struct dci *d)
{
	struct ibv_qp_init_attr_ex init = {
		.qp_type = IBV_QPT_DRIVER,
		.send_cq = i->cq,
		.recv_cq = i->cq,
		.cap = {.max_send_wr = SENDS, .max_send_sge = 1},
		.comp_mask = IBV_QP_INIT_ATTR_PD |
			     IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.pd = i->device->pd,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE |
				  IBV_QP_EX_WITH_RDMA_READ};
	struct mlx5dv_qp_init_attr dv = {
		.comp_mask = MLX5DV_QP_INIT_ATTR_MASK_DC |
			     MLX5DV_QP_INIT_ATTR_MASK_QP_CREATE_FLAGS,
		.create_flags = MLX5DV_QP_CREATE_DISABLE_SCATTER_TO_CQE,
		.dc_init_attr = {.dc_type = MLX5DV_DCTYPE_DCI}};

	d->path = (struct path){post, fail};
	d->qp = mlx5dv_create_qp(i->device->ctx, &init, &dv);
	if (!d->qp)
		return -errno;
	d->ex = ibv_qp_to_qp_ex(d->qp);
	d->mlx5 = mlx5dv_qp_ex_from_ibv_qp_ex(d->ex);
	return 0;
}

/* INIT -> RTR -> RTS, from RESET. */
static int start(struct initiator *i, struct dci *d)
{
	struct ibv_qp_attr init = {.qp_state = IBV_QPS_INIT,
				   .port_num = i->device->port};
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = i->device->mtu,
		.ah_attr = {.is_global = 1,
			    .port_num = i->device->port,
			    .grh = {.sgid_index = i->device->gid_index,
				    .hop_limit = 64}}};
	struct ibv_qp_attr rts = {.qp_state = IBV_QPS_RTS,
				  .timeout = TIMEOUT,
				  .retry_cnt = 7,
				  .rnr_retry = 7,
				  .max_rd_atomic = 1};
	/* An initiator has no access flags, and the driver refuses them. */
	int err = ibv_modify_qp(d->qp, &init,
				IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT);

	if (!err)
		err = ibv_modify_qp(d->qp, &rtr,
				    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU);
	if (!err)
		err = ibv_modify_qp(d->qp, &rts,
				    IBV_QP_STATE | IBV_QP_TIMEOUT |
					    IBV_QP_RETRY_CNT |
					    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
					    IBV_QP_MAX_QP_RD_ATOMIC);
	return -err;
}

static int restart(struct initiator *i, struct dci *d)
{
	struct ibv_qp_attr reset = {.qp_state = IBV_QPS_RESET};
	const int err = ibv_modify_qp(d->qp, &reset, IBV_QP_STATE);

	return err ? -err : start(i, d);
}

int dcis_new(struct initiator *i, struct dcis **out, char *why, size_t cap)
{
	struct dcis *d;
	int err = 0;

	if (!mlx5dv_is_supported(i->device->ctx->device)) {
		snprintf(
			why, cap,
			"%s has no Dynamically Connected transport (mlx5 has): "
			"use --rdma rc",
			i->device->place.device);
		return -EOPNOTSUPP;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->initiator = i;
	for (unsigned int k = 0; k < DCIS && !err; k++) {
		err = create(i, &d->dcis[k]);
		if (!err)
			err = start(i, &d->dcis[k]);
	}
	if (err) {
		snprintf(why, cap, "%s: no DC initiators: %s",
			 i->device->place.device, strerror(-err));
		dcis_free(d);
		return err;
	}
	*out = d;
	return 0;
}

void dcis_free(struct dcis *d)
{
	if (!d)
		return;
	for (unsigned int k = 0; k < DCIS; k++)
		if (d->dcis[k].qp)
			ibv_destroy_qp(d->dcis[k].qp);
	for (unsigned int k = 0; k < AHS; k++)
		if (d->handles[k].ah)
			ibv_destroy_ah(d->handles[k].ah);
	free(d);
}

/* Under lock: the place of the peer's handle, or one that can be made so; NULL
 * when all are in use. */
static struct handle *find_handle(struct dcis *d, const struct qp_peer *peer)
{
	struct handle *vacant = NULL;

	for (unsigned int k = 0; k < AHS; k++) {
		struct handle *h = &d->handles[k];

		if (h->ah && h->peer.lid == peer->lid &&
		    !memcmp(h->peer.gid, peer->gid, 16))
			return h;
		/* An empty one rather than one that must be emptied. */
		if (h->users == 0 && (!vacant || (vacant->ah && !h->ah)))
			vacant = h;
	}
	if (vacant && vacant->ah) {
		ibv_destroy_ah(vacant->ah);
		vacant->ah = NULL;
	}
	return vacant;
}

/* Under lock.  NULL: the peer cannot be reached, or there is no room. */
static struct handle *handle_for(struct initiator *i,
				 const struct qp_peer *peer)
{
	struct handle *h = find_handle(i->dcis, peer);
	struct ibv_ah_attr attr;

	if (h && !h->ah) {
		qp_path(i->device, peer, &attr);
		h->ah = ibv_create_ah(i->device->pd, &attr);
		h->peer = *peer;
	}
	return h && h->ah ? h : NULL;
}

/* Under lock: one that is free and good; *all says whether none is busy. */
static struct dci *find_dci(struct initiator *i, bool *all_idle)
{
	*all_idle = true;
	for (unsigned int k = 0; k < DCIS; k++) {
		struct dci *d = &i->dcis->dcis[k];

		*all_idle &= !d->busy;
		if (d->busy || (d->stale && restart(i, d)))
			continue;
		d->stale = false;
		return d;
	}
	return NULL;
}

static int claim(struct initiator *i, const struct token_dc *t,
		 struct dci **out)
{
	struct qp_peer peer = {.lid = t->lid};
	struct dci *d;
	bool all_idle;

	memcpy(peer.gid, t->gid, sizeof(peer.gid));
	LOCK_SCOPE(&i->lock);
	while (!i->broken && !(d = find_dci(i, &all_idle))) {
		if (all_idle)
			return -EIO; /* none can be reset any more */
		pthread_cond_wait(&i->changed, &i->lock);
	}
	if (i->broken)
		return -EIO;
	d->handle = handle_for(i, &peer);
	if (!d->handle)
		return -EIO;
	d->handle->users++;
	d->dctn = t->dctn;
	d->busy = true;
	*out = d;
	return 0;
}

static void unclaim(struct initiator *i, struct dci *d, bool failed)
{
	LOCK_SCOPE(&i->lock);
	d->handle->users--;
	d->stale = failed;
	d->busy = false;
	pthread_cond_broadcast(&i->changed);
}

int initiator_write_dc(struct initiator *i, const struct token_dc *t,
		       const struct initiator_source *from)
{
	struct dci *d;
	int err;

	if (!i->dcis)
		return -EOPNOTSUPP;
	if (from->len > t->size)
		return -EINVAL;
	err = claim(i, t, &d);
	if (err)
		return err;
	err = initiator_stream(i, &d->path, t->addr, t->rkey, from);
	unclaim(i, d, err != 0);
	return err;
}
