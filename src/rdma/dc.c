/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Dynamically Connected target (protocol document, 4.2): one passive queue
 * pair that every server's initiators write through.  Nothing runs here for
 * a request; the token says it all.
 *
 * Destroying the target would fence all its tokens, but punish every transfer
 * for one: the fence is the region's key (mem.c).
 */
#include <errno.h>
#include <infiniband/mlx5dv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rdma/nic.h"

#define HOP_LIMIT 64
#define MIN_RNR_TIMER 12

struct dc {
	struct nic nic; /* first */
	struct ibv_cq *cq;
	struct ibv_srq *srq;
	struct ibv_qp *dct;
};

static int dc_token(struct rdma *r, unsigned int region, size_t off, size_t len,
		    char out[TOKEN_MAX])
{
	const struct dc *dc = (const struct dc *)r;
	const struct device *d = dc->nic.device;
	struct token_dc t = {.size = (uint32_t)len,
			     .lid = d->infiniband ? d->lid : 0,
			     .dctn = dc->dct->qp_num,
			     .is_global = true};

	if (atomic_load(&d->dead))
		return -EPIPE;
	if (!mem_window(dc->nic.mem, region, &t.addr, &t.rkey))
		return -EOPNOTSUPP;
	t.addr += off;
	memcpy(t.gid, d->gid.raw, sizeof(t.gid));
	token_dc_format(&t, out);
	return 0;
}

static bool dc_alive(struct rdma *r)
{
	return device_alive(to_nic(r)->device);
}

static void dc_close(struct rdma *r)
{
	struct dc *dc = (struct dc *)r;

	/* The target first: after it nothing can land at all. */
	if (dc->dct)
		ibv_destroy_qp(dc->dct);
	if (dc->srq)
		ibv_destroy_srq(dc->srq);
	if (dc->cq)
		ibv_destroy_cq(dc->cq);
	nic_stop(&dc->nic);
	free(dc);
}

static const struct rdma_ops dc_ops = {.name = "dc",
				       .token = dc_token,
				       .revoke = nic_revoke,
				       .alive = dc_alive,
				       .close = dc_close,
				       .flush = nic_flush,
				       .place = nic_place,
				       .reaches = nic_reaches,
				       .sync = nic_sync};

static int create_target(struct dc *dc, uint32_t key)
{
	struct device *d = dc->nic.device;
	struct ibv_srq_init_attr srq = {.attr = {.max_wr = 1, .max_sge = 1}};
	struct ibv_qp_init_attr_ex init = {.qp_type = IBV_QPT_DRIVER,
					   .comp_mask = IBV_QP_INIT_ATTR_PD,
					   .pd = d->pd};
	struct mlx5dv_qp_init_attr dv = {
		.comp_mask = MLX5DV_QP_INIT_ATTR_MASK_DC,
		.dc_init_attr = {.dc_type = MLX5DV_DCTYPE_DCT,
				 .dct_access_key = key}};

	/* It completes nothing and receives nothing; the driver wants both. */
	dc->cq = ibv_create_cq(d->ctx, 1, NULL, NULL, 0);
	dc->srq = ibv_create_srq(d->pd, &srq);
	if (!dc->cq || !dc->srq)
		return -errno;
	init.send_cq = init.recv_cq = dc->cq;
	init.srq = dc->srq;
	dc->dct = mlx5dv_create_qp(d->ctx, &init, &dv);
	return dc->dct ? 0 : -errno;
}

/* RESET -> INIT -> RTR; a target has no further state. */
static int start_target(struct dc *dc)
{
	struct device *d = dc->nic.device;
	struct ibv_qp_attr init = {.qp_state = IBV_QPS_INIT,
				   .port_num = d->port,
				   .qp_access_flags = IBV_ACCESS_REMOTE_WRITE};
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = d->mtu,
		.min_rnr_timer = MIN_RNR_TIMER,
		.ah_attr = {.is_global = 1,
			    .port_num = d->port,
			    .grh = {.sgid_index = d->gid_index,
				    .hop_limit = HOP_LIMIT}}};
	int err = ibv_modify_qp(dc->dct, &init,
				IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
					IBV_QP_ACCESS_FLAGS);

	if (!err)
		err = ibv_modify_qp(dc->dct, &rtr,
				    IBV_QP_STATE | IBV_QP_MIN_RNR_TIMER |
					    IBV_QP_AV | IBV_QP_PATH_MTU);
	if (err)
		return -err;
	/* The hardware names it only now. */
	return dc->dct->qp_num ? 0 : -EIO;
}

int rdma_dc_open(const struct rdma_want *want, const struct rdma_arena *arena,
		 struct rdma **out, char *why, size_t cap)
{
	struct dc *dc = calloc(1, sizeof(*dc));
	int err;

	if (!dc)
		return -ENOMEM;
	dc->nic.rdma.ops = &dc_ops;
	err = nic_open(&dc->nic, want, why, cap);
	if (!err && !mlx5dv_is_supported(dc->nic.device->ctx->device)) {
		snprintf(
			why, cap,
			"%s has no Dynamically Connected transport (mlx5 has): "
			"set transport.mode to rc",
			dc->nic.device->place.device);
		err = -EOPNOTSUPP;
	}
	if (!err)
		err = nic_register(&dc->nic, arena, why, cap);
	if (!err) {
		err = create_target(dc, want->dc_key);
		if (!err)
			err = start_target(dc);
		if (err)
			snprintf(why, cap, "%s: no DC target: %s",
				 dc->nic.device->place.device, strerror(-err));
	}
	if (err) {
		dc_close(&dc->nic.rdma);
		return err;
	}
	*out = &dc->nic.rdma;
	return 0;
}
