/* SPDX-License-Identifier: Apache-2.0 */
/* Queue pairs: their making, and the recipes that each step is held to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_verbs_int.h"

#define HOP_LIMIT 64
#define PSN_MAX 0xffffffU

static const int common = IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT;
static const int rts_mask = IBV_QP_STATE | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
			    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			    IBV_QP_MAX_QP_RD_ATOMIC;

uint32_t fake_take_qpn(void)
{
	if (fake.recycle_qpns && fake.nold_qpns > 0)
		return fake.old_qpns[--fake.nold_qpns];
	return fake.next_qpn++;
}

struct fake_qp *fake_new_qp(struct fake_ctx *ctx, enum fake_qp_kind kind)
{
	struct fake_qp *qp = calloc(1, sizeof(*qp));
	struct ibv_qp *ibv = &qp->ex.qp_base;

	qp->kind = kind;
	ibv->context = &ctx->vctx.context;
	ibv->state = IBV_QPS_RESET;
	ibv->qp_num = kind == FAKE_DCT ? 0 : fake_take_qpn();
	list_init(&qp->sends);
	fake_add(&qp->obj, FAKE_QP, ctx, qp);
	return qp;
}

static void use(struct fake_qp *qp, struct ibv_pd *pd, struct ibv_cq *send,
		struct ibv_cq *recv, struct ibv_srq *srq, int change)
{
	((struct fake_pd *)pd)->obj.users += (unsigned int)change;
	((struct fake_cq *)send)->obj.users += (unsigned int)change;
	((struct fake_cq *)recv)->obj.users += (unsigned int)change;
	if (srq)
		((struct fake_srq *)srq)->obj.users += (unsigned int)change;
	qp->ex.qp_base.pd = pd;
	qp->ex.qp_base.send_cq = send;
	qp->ex.qp_base.recv_cq = recv;
	qp->ex.qp_base.srq = srq;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *init)
{
	const struct ibv_qp_cap *cap = &init->cap;
	struct fake_obj *owner;
	struct fake_qp *qp;
	int err;

	LOCK_SCOPE(&fake.lock);
	owner = fake_find(FAKE_PD, pd, "ibv_create_qp");
	err = fake_fails("ibv_create_qp");
	if (!err &&
	    (!owner || !fake_find(FAKE_CQ, init->send_cq, "ibv_create_qp") ||
	     !fake_find(FAKE_CQ, init->recv_cq, "ibv_create_qp") ||
	     !fake_check(init->qp_type == IBV_QPT_RC && !init->srq,
			 "ibv_create_qp: of type %d, srq %p", init->qp_type,
			 (void *)init->srq) ||
	     !fake_check(cap->max_send_wr > 0 && cap->max_recv_wr > 0 &&
				 cap->max_recv_wr <= FAKE_RECEIVES &&
				 cap->max_send_sge > 0,
			 "ibv_create_qp: no room")))
		err = EINVAL;
	if (err) {
		errno = err;
		return NULL;
	}
	qp = fake_new_qp(owner->ctx, FAKE_RC);
	qp->ex.qp_base.qp_type = IBV_QPT_RC;
	qp->cap = *cap;
	if (fake.roomy)
		qp->cap.max_send_wr = 2 * cap->max_send_wr + 16;
	use(qp, pd, init->send_cq, init->recv_cq, NULL, 1);
	return &qp->ex.qp_base;
}

/* ---- modify ---- */

static bool is_ipv4(const union ibv_gid *gid)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(gid->raw, mapped, sizeof(mapped));
}

bool fake_check_path(struct fake_ctx *ctx, const struct ibv_ah_attr *ah,
		     bool with_dgid, const char *call)
{
	static const union ibv_gid zero;
	const struct fake_port *p = fake_port_of(ctx, ah->port_num);
	const unsigned int index = ah->grh.sgid_index;

	if (!fake_check(p && index < FAKE_GIDS && p->gids[index].there,
			"%s: port %u, sgid_index %u", call, ah->port_num,
			index) ||
	    !fake_check(p->gids[index].type == (p->infiniband
							? IBV_GID_TYPE_IB
							: IBV_GID_TYPE_ROCE_V2),
			"%s: sgid_index %u is of type %d", call, index,
			p->gids[index].type) ||
	    !fake_check(ah->is_global && ah->grh.hop_limit == HOP_LIMIT,
			"%s: is_global %u, hop limit %u", call, ah->is_global,
			ah->grh.hop_limit))
		return false;
	if (!with_dgid)
		return true;
	return fake_check(memcmp(&ah->grh.dgid, &zero, sizeof(zero)) != 0,
			  "%s: no dgid", call) &&
	       fake_check(p->infiniband || is_ipv4(&ah->grh.dgid) ==
						   is_ipv4(&p->gids[index].gid),
			  "%s: source and destination of two families", call);
}

static bool check_init(struct fake_qp *qp, const struct ibv_qp_attr *a,
		       int mask)
{
	static const unsigned int allowed = IBV_ACCESS_LOCAL_WRITE |
					    IBV_ACCESS_REMOTE_WRITE |
					    IBV_ACCESS_REMOTE_READ;
	const int want = qp->kind == FAKE_DCI ? common
					      : common | IBV_QP_ACCESS_FLAGS;

	return fake_check(mask == want, "INIT: mask %#x, want %#x", mask,
			  want) &&
	       fake_check(fake_port_of(qp->obj.ctx, a->port_num) &&
				  a->pkey_index == 0,
			  "INIT: port %u, pkey index %u", a->port_num,
			  a->pkey_index) &&
	       fake_check(!(a->qp_access_flags & ~allowed), "INIT: access %#x",
			  a->qp_access_flags) &&
	       fake_check(qp->kind != FAKE_DCT ||
				  a->qp_access_flags == IBV_ACCESS_REMOTE_WRITE,
			  "INIT: a target with access %#x", a->qp_access_flags);
}

static bool check_rtr(struct fake_qp *qp, const struct ibv_qp_attr *a, int mask)
{
	static const int base = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU;
	static const int rc = IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
			      IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	const int want = qp->kind == FAKE_RC    ? base | rc
			 : qp->kind == FAKE_DCT ? base | IBV_QP_MIN_RNR_TIMER
						: base;
	const struct fake_port *p = fake_port_of(qp->obj.ctx,
						 qp->attr.port_num);

	if (!fake_check(mask == want, "RTR: mask %#x, want %#x", mask, want) ||
	    !fake_check_path(qp->obj.ctx, &a->ah_attr, qp->kind == FAKE_RC,
			     "RTR") ||
	    !fake_check(a->ah_attr.port_num == qp->attr.port_num,
			"RTR: port %u, was %u", a->ah_attr.port_num,
			qp->attr.port_num) ||
	    !fake_check(a->path_mtu == p->mtu, "RTR: mtu %d, is %d",
			a->path_mtu, p->mtu) ||
	    !fake_check(qp->kind == FAKE_DCI || a->min_rnr_timer == 12,
			"RTR: min_rnr_timer %u", a->min_rnr_timer))
		return false;
	return qp->kind != FAKE_RC ||
	       (fake_check(a->dest_qp_num && a->dest_qp_num <= PSN_MAX,
			   "RTR: dest_qp_num %#x", a->dest_qp_num) &&
		fake_check(a->rq_psn <= PSN_MAX, "RTR: rq_psn %#x",
			   a->rq_psn) &&
		fake_check(a->max_dest_rd_atomic == 1, "RTR: read depth %u",
			   a->max_dest_rd_atomic));
}

static bool check_rts(struct fake_qp *qp, const struct ibv_qp_attr *a, int mask)
{
	/* The recipes have seven retries; soft-RoCE takes that for endless (a
	 * write to a pair that is gone then hung for 30 s), so that RC has six. */
	const unsigned int retries = qp->kind == FAKE_RC ? 6 : 7;

	return fake_check(qp->kind != FAKE_DCT, "RTS: a target has none") &&
	       fake_check(mask == rts_mask, "RTS: mask %#x, want %#x", mask,
			  rts_mask) &&
	       fake_check(a->timeout >= 14 && a->timeout <= 20 &&
				  a->retry_cnt == retries &&
				  a->rnr_retry == 7 && a->max_rd_atomic >= 1,
			  "RTS: timeout %u, retries %u and %u, depth %u",
			  a->timeout, a->retry_cnt, a->rnr_retry,
			  a->max_rd_atomic) &&
	       fake_check(a->sq_psn <= PSN_MAX &&
				  (qp->kind != FAKE_RC || a->sq_psn > 0),
			  "RTS: sq_psn %#x", a->sq_psn);
}

static void merge(struct fake_qp *qp, const struct ibv_qp_attr *a, int mask)
{
	if (mask & IBV_QP_PORT)
		qp->attr.port_num = a->port_num;
	if (mask & IBV_QP_ACCESS_FLAGS)
		qp->attr.qp_access_flags = a->qp_access_flags;
	if (mask & IBV_QP_AV)
		qp->attr.ah_attr = a->ah_attr;
	if (mask & IBV_QP_PATH_MTU)
		qp->attr.path_mtu = a->path_mtu;
	if (mask & IBV_QP_DEST_QPN)
		qp->attr.dest_qp_num = a->dest_qp_num;
	if (mask & IBV_QP_RQ_PSN)
		qp->attr.rq_psn = a->rq_psn;
	if (mask & IBV_QP_SQ_PSN)
		qp->attr.sq_psn = a->sq_psn;
	if (mask & IBV_QP_RNR_RETRY)
		qp->attr.rnr_retry = a->rnr_retry;
}

/* What is reset while it is at work would complete never. */
static void reset(struct fake_qp *qp)
{
	const struct ibv_qp *ibv = &qp->ex.qp_base;
	const bool idle = list_empty(&qp->sends);
	const unsigned int lost = fake_forget((struct fake_cq *)ibv->send_cq,
					      qp) +
				  fake_forget((struct fake_cq *)ibv->recv_cq,
					      qp);

	fake_check(idle && !lost,
		   "RESET: before all that was posted had come back");
	fake_drop_sends(qp);
	qp->nreceives = qp->used_sends = 0;
}

static bool check_step(struct fake_qp *qp, const struct ibv_qp_attr *a,
		       int mask)
{
	const enum ibv_qp_state from = qp->ex.qp_base.state;
	const enum ibv_qp_state to = a->qp_state;

	if (!fake_check(mask & IBV_QP_STATE, "modify_qp: no state"))
		return false;
	if (to == IBV_QPS_ERR || to == IBV_QPS_RESET)
		return fake_check(mask == IBV_QP_STATE, "modify_qp: mask %#x",
				  mask);
	if (from == IBV_QPS_RESET && to == IBV_QPS_INIT)
		return check_init(qp, a, mask);
	if (from == IBV_QPS_INIT && to == IBV_QPS_RTR)
		return check_rtr(qp, a, mask);
	if (from == IBV_QPS_RTR && to == IBV_QPS_RTS)
		return check_rts(qp, a, mask);
	fake_violation("modify_qp: from state %d to %d", from, to);
	return false;
}

int ibv_modify_qp(struct ibv_qp *ibv, struct ibv_qp_attr *a, int mask)
{
	struct fake_qp *qp = fake_qp_of(ibv);
	int err;

	LOCK_SCOPE(&fake.lock);
	if (!fake_find(FAKE_QP, ibv, "ibv_modify_qp"))
		return EINVAL;
	err = fake_fails("ibv_modify_qp");
	if (!err && !check_step(qp, a, mask))
		err = EINVAL;
	if (err)
		return err;
	merge(qp, a, mask);
	if (a->qp_state == IBV_QPS_RESET)
		reset(qp);
	ibv->state = a->qp_state;
	if (a->qp_state == IBV_QPS_ERR)
		fake_flush(qp);
	/* The hardware names a target only now. */
	if (qp->kind == FAKE_DCT && a->qp_state == IBV_QPS_RTR)
		ibv->qp_num = fake_take_qpn();
	fake_pump();
	return 0;
}

int ibv_destroy_qp(struct ibv_qp *ibv)
{
	struct fake_qp *qp = fake_qp_of(ibv);
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_QP, ibv, "ibv_destroy_qp");
	err = o ? fake_fails("ibv_destroy_qp") : EINVAL;
	if (err)
		return err;
	fake_check(qp->unacked == 0, "ibv_destroy_qp: %u events not acked",
		   qp->unacked);
	fake_drop(o, "ibv_destroy_qp");
	fake_drop_events(o->ctx, ibv);
	fake_forget((struct fake_cq *)ibv->send_cq, qp);
	fake_forget((struct fake_cq *)ibv->recv_cq, qp);
	fake_drop_sends(qp);
	if (fake.nold_qpns < ARRAY_SIZE(fake.old_qpns) && ibv->qp_num)
		fake.old_qpns[fake.nold_qpns++] = ibv->qp_num;
	use(qp, ibv->pd, ibv->send_cq, ibv->recv_cq, ibv->srq, -1);
	free(qp);
	fake_pump();
	return 0;
}

void fake_use_qp(struct fake_qp *qp, struct ibv_qp_init_attr_ex *init)
{
	use(qp, init->pd, init->send_cq, init->recv_cq, init->srq, 1);
}
