/* SPDX-License-Identifier: Apache-2.0 */
/* mlx5dv: Dynamically Connected targets and initiators. */
#include <errno.h>
#include <string.h>

#include "fake_verbs_int.h"

bool mlx5dv_is_supported(struct ibv_device *device)
{
	return ((const struct fake_device *)device)->mlx5;
}

static struct fake_qp *of_mlx5(struct mlx5dv_qp_ex *mlx5)
{
	return container_of(mlx5, struct fake_qp, mlx5);
}

/* ---- building a post ---- */

static struct fake_send *last(struct fake_qp *qp, const char *call)
{
	return fake_check(qp->building && qp->nbuilds > 0,
			  "%s: before the request that it is of", call)
		       ? &qp->builds[qp->nbuilds - 1]
		       : NULL;
}

static void wr_start(struct ibv_qp_ex *ex)
{
	struct fake_qp *qp = (struct fake_qp *)ex;

	LOCK_SCOPE(&fake.lock);
	fake_check(!qp->building, "ibv_wr_start: twice");
	qp->building = true;
	qp->nbuilds = 0;
}

static void begin(struct fake_qp *qp, enum ibv_wr_opcode opcode, uint32_t rkey,
		  uint64_t addr)
{
	if (!fake_check(qp->building && qp->nbuilds < FAKE_BUILDS,
			"ibv_wr_rdma: before ibv_wr_start"))
		return;
	qp->builds[qp->nbuilds++] = (struct fake_send){
		.wr_id = qp->ex.wr_id,
		.signaled = qp->ex.wr_flags & IBV_SEND_SIGNALED,
		.opcode = opcode,
		.rkey = rkey,
		.addr = addr};
}

static void wr_rdma_write(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	LOCK_SCOPE(&fake.lock);
	begin((struct fake_qp *)ex, IBV_WR_RDMA_WRITE, rkey, addr);
}

static void wr_rdma_read(struct ibv_qp_ex *ex, uint32_t rkey, uint64_t addr)
{
	LOCK_SCOPE(&fake.lock);
	begin((struct fake_qp *)ex, IBV_WR_RDMA_READ, rkey, addr);
}

static void wr_set_sge(struct ibv_qp_ex *ex, uint32_t lkey, uint64_t addr,
		       uint32_t len)
{
	struct fake_send *s;

	LOCK_SCOPE(&fake.lock);
	s = last((struct fake_qp *)ex, "ibv_wr_set_sge");
	if (!s)
		return;
	s->sge = (struct ibv_sge){addr, len, lkey};
	s->has_sge = true;
}

static void wr_set_dc_addr(struct mlx5dv_qp_ex *mlx5, struct ibv_ah *ah,
			   uint32_t dctn, uint64_t key)
{
	struct fake_send *s;

	LOCK_SCOPE(&fake.lock);
	s = last(of_mlx5(mlx5), "mlx5dv_wr_set_dc_addr");
	if (!s || !fake_find(FAKE_AH, ah, "mlx5dv_wr_set_dc_addr"))
		return;
	s->path = ((const struct fake_ah *)ah)->attr;
	s->qpn = dctn;
	s->dc_key = key;
	s->has_target = true;
}

static int wr_complete(struct ibv_qp_ex *ex)
{
	struct fake_qp *qp = (struct fake_qp *)ex;
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_wr_complete");
	if (!fake_check(qp->building && qp->nbuilds > 0,
			"ibv_wr_complete: of nothing"))
		err = EINVAL;
	for (unsigned int i = 0; i < qp->nbuilds && !err; i++) {
		const struct fake_send *s = &qp->builds[i];

		err = fake_check(s->has_sge && s->has_target,
				 "ibv_wr_complete: sge %d, target %d",
				 s->has_sge, s->has_target)
			      ? fake_queue(qp, s)
			      : EINVAL;
	}
	qp->building = false;
	fake_pump();
	return err;
}

static void wr_abort(struct ibv_qp_ex *ex)
{
	LOCK_SCOPE(&fake.lock);
	((struct fake_qp *)ex)->building = false;
}

/* ---- making ---- */

static bool check_dct(const struct ibv_qp_init_attr_ex *init,
		      const struct mlx5dv_qp_init_attr *dv)
{
	static const struct ibv_qp_cap none;

	return fake_check(init->srq != NULL, "a DC target without an SRQ") &&
	       fake_find(FAKE_SRQ, init->srq, "mlx5dv_create_qp") &&
	       fake_check(init->comp_mask == IBV_QP_INIT_ATTR_PD,
			  "a DC target with comp_mask %#x", init->comp_mask) &&
	       fake_check(!memcmp(&init->cap, &none, sizeof(none)),
			  "a DC target with caps") &&
	       fake_check(dv->comp_mask == MLX5DV_QP_INIT_ATTR_MASK_DC &&
				  !dv->create_flags,
			  "a DC target with mlx5 comp_mask %#llx",
			  (unsigned long long)dv->comp_mask);
}

static bool check_dci(const struct ibv_qp_init_attr_ex *init,
		      const struct mlx5dv_qp_init_attr *dv)
{
	return fake_check(!init->srq, "a DC initiator with an SRQ") &&
	       fake_check(init->comp_mask == (IBV_QP_INIT_ATTR_PD |
					      IBV_QP_INIT_ATTR_SEND_OPS_FLAGS),
			  "a DC initiator with comp_mask %#x",
			  init->comp_mask) &&
	       fake_check((init->send_ops_flags & IBV_QP_EX_WITH_RDMA_WRITE) &&
				  init->cap.max_send_wr > 0 &&
				  init->cap.max_send_sge > 0,
			  "a DC initiator that cannot write") &&
	       fake_check(
		       dv->comp_mask ==
				       (MLX5DV_QP_INIT_ATTR_MASK_DC |
					MLX5DV_QP_INIT_ATTR_MASK_QP_CREATE_FLAGS) &&
			       dv->create_flags ==
				       MLX5DV_QP_CREATE_DISABLE_SCATTER_TO_CQE,
		       "a DC initiator that scatters to CQEs");
}

static bool check_create(struct ibv_context *context,
			 const struct ibv_qp_init_attr_ex *init,
			 const struct mlx5dv_qp_init_attr *dv)
{
	return fake_check(fake_ctx_of(context)->device->mlx5,
			  "mlx5dv_create_qp on another NIC") &&
	       fake_check(init->qp_type == IBV_QPT_DRIVER,
			  "mlx5dv_create_qp: type %d", init->qp_type) &&
	       fake_find(FAKE_PD, init->pd, "mlx5dv_create_qp") &&
	       fake_find(FAKE_CQ, init->send_cq, "mlx5dv_create_qp") &&
	       fake_find(FAKE_CQ, init->recv_cq, "mlx5dv_create_qp") &&
	       (dv->dc_init_attr.dc_type == MLX5DV_DCTYPE_DCT
			? check_dct(init, dv)
			: check_dci(init, dv));
}

static void give_calls(struct fake_qp *qp)
{
	qp->ex.wr_start = wr_start;
	qp->ex.wr_rdma_write = wr_rdma_write;
	qp->ex.wr_rdma_read = wr_rdma_read;
	qp->ex.wr_set_sge = wr_set_sge;
	qp->ex.wr_complete = wr_complete;
	qp->ex.wr_abort = wr_abort;
	qp->mlx5.wr_set_dc_addr = wr_set_dc_addr;
}

struct ibv_qp *mlx5dv_create_qp(struct ibv_context *context,
				struct ibv_qp_init_attr_ex *init,
				struct mlx5dv_qp_init_attr *dv)
{
	const bool target = dv->dc_init_attr.dc_type == MLX5DV_DCTYPE_DCT;
	struct fake_qp *qp;
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("mlx5dv_create_qp");
	if (!err && !check_create(context, init, dv))
		err = EINVAL;
	if (err) {
		errno = err;
		return NULL;
	}
	qp = fake_new_qp(fake_ctx_of(context), target ? FAKE_DCT : FAKE_DCI);
	qp->ex.qp_base.qp_type = IBV_QPT_DRIVER;
	qp->cap = init->cap;
	if (target)
		qp->dc_key = dv->dc_init_attr.dct_access_key;
	else
		give_calls(qp);
	fake_use_qp(qp, init);
	return &qp->ex.qp_base;
}

struct ibv_qp_ex *ibv_qp_to_qp_ex(struct ibv_qp *qp)
{
	return &fake_qp_of(qp)->ex;
}

struct mlx5dv_qp_ex *mlx5dv_qp_ex_from_ibv_qp_ex(struct ibv_qp_ex *ex)
{
	return &((struct fake_qp *)ex)->mlx5;
}
