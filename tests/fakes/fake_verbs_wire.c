/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire: requests are queued on their queue pair and carried out in order,
 * at once unless the test holds them.  A request that a NIC would try again
 * for ever (no receive for an immediate) stays at the head of its queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fake_verbs_int.h"

#define PSN_MAX 0xffffffU
#define WAITS (-1)

/* ---- what a NIC checks ---- */

static struct fake_mr *key_of(uint32_t key, uint64_t addr, size_t len)
{
	struct fake_mr *mr = fake.keys[key % FAKE_KEYS];

	return mr && mr->ibv.rkey == key && fake_place(mr, addr, len) ? mr
								      : NULL;
}

static bool port_has(const struct fake_qp *qp, const union ibv_gid *gid)
{
	const struct fake_port *p = fake_port_of(qp->obj.ctx,
						 qp->attr.port_num);

	for (unsigned int i = 0; i < FAKE_GIDS; i++)
		if (p->gids[i].there && !memcmp(&p->gids[i].gid, gid, 16))
			return p->state == IBV_PORT_ACTIVE;
	return false;
}

/* A DC target answers anybody; an RC queue pair its peer alone. */
static bool answers(const struct fake_qp *to, const struct fake_qp *from,
		    const struct fake_send *s)
{
	const enum ibv_qp_state state = to->ex.qp_base.state;
	const uint32_t own = from->ex.qp_base.qp_num;

	if (to->ex.qp_base.qp_num != s->qpn ||
	    (state != IBV_QPS_RTR && state != IBV_QPS_RTS) ||
	    to->attr.path_mtu != from->attr.path_mtu ||
	    !port_has(to, &s->path.grh.dgid))
		return false;
	if (fake_port_of(to->obj.ctx, to->attr.port_num)->infiniband &&
	    fake_port_of(to->obj.ctx, to->attr.port_num)->lid != s->path.dlid)
		return false;
	if (from->kind == FAKE_DCI)
		return to->kind == FAKE_DCT;
	return to->kind == FAKE_RC && to->attr.dest_qp_num == own &&
	       to->attr.rq_psn == from->attr.sq_psn;
}

static struct fake_qp *find_target(const struct fake_qp *from,
				   const struct fake_send *s)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *o = container_of(e, struct fake_obj, link);

		if (o->kind == FAKE_QP && answers(o->pub, from, s))
			return o->pub;
	}
	return NULL;
}

static bool may(const struct fake_qp *to, const struct fake_mr *mr,
		enum ibv_wr_opcode opcode)
{
	const unsigned int need = opcode == IBV_WR_RDMA_READ
					  ? IBV_ACCESS_REMOTE_READ
					  : IBV_ACCESS_REMOTE_WRITE;

	return mr && mr->ibv.pd == to->ex.qp_base.pd && (mr->access & need) &&
	       (to->attr.qp_access_flags & need);
}

/* ---- carrying out ---- */

static void advance(struct fake_qp *from, struct fake_qp *to, uint32_t len)
{
	const uint32_t mtu = 128U << from->attr.path_mtu;
	const uint32_t packets = len ? (len + mtu - 1) / mtu : 1;

	if (from->kind != FAKE_RC)
		return;
	from->attr.sq_psn = (from->attr.sq_psn + packets) & PSN_MAX;
	to->attr.rq_psn = from->attr.sq_psn;
}

static void move(const struct fake_send *s)
{
	const struct fake_mr *mr = key_of(s->rkey, s->addr, s->sge.length);
	char *local = (char *)(uintptr_t)s->sge.addr;
	char *remote = fake_place(mr, s->addr, s->sge.length);

	if (s->opcode == IBV_WR_RDMA_READ)
		memcpy(local, remote, s->sge.length);
	else
		memcpy(remote, local, s->sge.length);
	fake.moved++;
}

static void receive(struct fake_qp *to, const struct fake_send *s)
{
	const struct ibv_wc wc = {.wr_id = to->receives[0],
				  .opcode = IBV_WC_RECV_RDMA_WITH_IMM,
				  .byte_len = s->sge.length,
				  .imm_data = s->imm,
				  .wc_flags = IBV_WC_WITH_IMM,
				  .qp_num = to->ex.qp_base.qp_num};

	memmove(to->receives, to->receives + 1,
		--to->nreceives * sizeof(to->receives[0]));
	fake_complete((struct fake_cq *)to->ex.qp_base.recv_cq, &wc, to, false);
}

/* A queue pair that was written to against its access ends, and its owner
 * hears of it; a DC target lives on. */
static int refuse(struct fake_qp *to)
{
	const struct ibv_async_event event = {
		.element.qp = &to->ex.qp_base,
		.event_type = IBV_EVENT_QP_ACCESS_ERR};

	if (to->kind == FAKE_RC) {
		to->ex.qp_base.state = IBV_QPS_ERR;
		fake_flush(to);
		fake_post_event(to->obj.ctx, &event);
	}
	return IBV_WC_REM_ACCESS_ERR;
}

static int carry_out(struct fake_qp *qp, const struct fake_send *s)
{
	const struct fake_mr *local = key_of(s->sge.lkey, s->sge.addr,
					     s->sge.length);
	const bool imm = s->opcode == IBV_WR_RDMA_WRITE_WITH_IMM;
	struct fake_qp *to;

	if (!local || local->ibv.pd != qp->ex.qp_base.pd ||
	    (s->opcode == IBV_WR_RDMA_READ &&
	     !(local->access & IBV_ACCESS_LOCAL_WRITE)))
		return IBV_WC_LOC_PROT_ERR;
	to = find_target(qp, s);
	if (!to)
		return IBV_WC_RETRY_EXC_ERR;
	if (to->kind == FAKE_DCT && to->dc_key != s->dc_key)
		return refuse(to);
	if (!may(to, key_of(s->rkey, s->addr, s->sge.length), s->opcode))
		return refuse(to);
	if (imm && to->nreceives == 0)
		return qp->attr.rnr_retry == 7 ? WAITS
					       : IBV_WC_RNR_RETRY_EXC_ERR;
	move(s);
	advance(qp, to, s->sge.length);
	if (imm)
		receive(to, s);
	return IBV_WC_SUCCESS;
}

static void complete_send(struct fake_qp *qp, const struct fake_send *s,
			  int status)
{
	const struct ibv_wc wc = {.wr_id = s->wr_id,
				  .status = (enum ibv_wc_status)status,
				  .opcode = s->opcode == IBV_WR_RDMA_READ
						    ? IBV_WC_RDMA_READ
						    : IBV_WC_RDMA_WRITE,
				  .byte_len = s->sge.length,
				  .qp_num = qp->ex.qp_base.qp_num};

	if (status == IBV_WC_SUCCESS && !s->signaled)
		qp->used_sends--;
	else
		fake_complete((struct fake_cq *)qp->ex.qp_base.send_cq, &wc, qp,
			      true);
}

void fake_flush(struct fake_qp *qp)
{
	while (!list_empty(&qp->sends)) {
		struct fake_send *s = list_first(&qp->sends, struct fake_send,
						 link);

		list_del(&s->link);
		complete_send(qp, s, IBV_WC_WR_FLUSH_ERR);
		free(s);
	}
	for (; qp->nreceives > 0; qp->nreceives--) {
		const struct ibv_wc wc = {.wr_id = qp->receives[0],
					  .status = IBV_WC_WR_FLUSH_ERR};

		memmove(qp->receives, qp->receives + 1,
			(qp->nreceives - 1) * sizeof(qp->receives[0]));
		fake_complete((struct fake_cq *)qp->ex.qp_base.recv_cq, &wc, qp,
			      false);
	}
}

void fake_drop_sends(struct fake_qp *qp)
{
	while (!list_empty(&qp->sends)) {
		struct fake_send *s = list_first(&qp->sends, struct fake_send,
						 link);

		list_del(&s->link);
		free(s);
	}
}

static void pump_one(struct fake_qp *qp)
{
	while (!list_empty(&qp->sends)) {
		struct fake_send *s = list_first(&qp->sends, struct fake_send,
						 link);
		const int status = carry_out(qp, s);

		if (status == WAITS)
			return;
		list_del(&s->link);
		complete_send(qp, s, status);
		free(s);
		if (status != IBV_WC_SUCCESS) {
			qp->ex.qp_base.state = IBV_QPS_ERR;
			fake_flush(qp);
		}
	}
}

void fake_pump(void)
{
	struct list *e, *n;

	if (fake.hold)
		return;
	pthread_rwlock_rdlock(&fake.keys_lock);
	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *o = container_of(e, struct fake_obj, link);

		if (o->kind == FAKE_QP)
			pump_one(o->pub);
	}
	pthread_rwlock_unlock(&fake.keys_lock);
}

void fake_verbs_hold(bool on)
{
	LOCK_SCOPE(&fake.lock);
	fake.hold = on;
	fake_pump();
}

unsigned int fake_verbs_held(void)
{
	unsigned int held = 0;
	struct list *e, *n, *f, *g;

	LOCK_SCOPE(&fake.lock);
	list_for_each_safe(e, n, &fake.objects)
	{
		struct fake_obj *o = container_of(e, struct fake_obj, link);

		if (o->kind == FAKE_QP)
			list_for_each_safe(f, g,
					   &((struct fake_qp *)o->pub)->sends)
				held++;
	}
	return held;
}

unsigned int fake_verbs_moved(void)
{
	LOCK_SCOPE(&fake.lock);
	return fake.moved;
}

/* ---- posting ---- */

int fake_queue(struct fake_qp *qp, const struct fake_send *s)
{
	const enum ibv_qp_state state = qp->ex.qp_base.state;
	struct fake_send *copy;

	if (!fake_check(state == IBV_QPS_RTS || state == IBV_QPS_ERR,
			"a post in state %d", state))
		return EINVAL;
	if (qp->used_sends == qp->cap.max_send_wr)
		return ENOMEM;
	copy = malloc(sizeof(*copy));
	*copy = *s;
	qp->used_sends++;
	list_add_tail(&qp->sends, &copy->link);
	if (state == IBV_QPS_ERR)
		fake_flush(qp);
	return 0;
}

static int post_one(struct fake_qp *qp, const struct ibv_send_wr *wr)
{
	struct fake_send s = {.wr_id = wr->wr_id,
			      .signaled = wr->send_flags & IBV_SEND_SIGNALED,
			      .opcode = wr->opcode,
			      .imm = wr->imm_data,
			      .addr = wr->wr.rdma.remote_addr,
			      .rkey = wr->wr.rdma.rkey,
			      .path = qp->attr.ah_attr,
			      .qpn = qp->attr.dest_qp_num};

	if (!fake_check(qp->kind == FAKE_RC && wr->num_sge == 1 &&
				!(wr->send_flags & ~IBV_SEND_SIGNALED) &&
				(wr->opcode == IBV_WR_RDMA_WRITE ||
				 wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM ||
				 wr->opcode == IBV_WR_RDMA_READ),
			"ibv_post_send: opcode %d, %d sges, flags %#x",
			wr->opcode, wr->num_sge, wr->send_flags))
		return EINVAL;
	s.sge = wr->sg_list[0];
	return fake_queue(qp, &s);
}

int fake_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr,
		   struct ibv_send_wr **bad)
{
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_find(FAKE_QP, qp, "ibv_post_send")
		      ? fake_fails("ibv_post_send")
		      : EINVAL;
	for (; wr && !err; wr = wr->next) {
		err = post_one(fake_qp_of(qp), wr);
		*bad = wr;
	}
	fake_pump();
	return err;
}

int fake_post_recv(struct ibv_qp *ibv, struct ibv_recv_wr *wr,
		   struct ibv_recv_wr **bad)
{
	struct fake_qp *qp = fake_qp_of(ibv);
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_find(FAKE_QP, ibv, "ibv_post_recv")
		      ? fake_fails("ibv_post_recv")
		      : EINVAL;
	if (!err && !fake_check(!ibv->srq && ibv->state != IBV_QPS_RESET,
				"ibv_post_recv: state %d", ibv->state))
		err = EINVAL;
	for (; wr && !err; wr = wr->next) {
		*bad = wr;
		if (qp->nreceives == qp->cap.max_recv_wr)
			err = ENOMEM;
		else
			qp->receives[qp->nreceives++] = wr->wr_id;
	}
	if (ibv->state == IBV_QPS_ERR)
		fake_flush(qp);
	fake_pump();
	return err;
}
