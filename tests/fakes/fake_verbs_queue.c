/* SPDX-License-Identifier: Apache-2.0 */
/* Completion queues and their channels, shared receives, address handles. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_verbs_int.h"

static void *failed(void *half_made, int err)
{
	free(half_made);
	errno = err;
	return NULL;
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	struct fake_channel *c = calloc(1, sizeof(*c));
	int ends[2], err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_create_comp_channel");
	if (err)
		return failed(c, err);
	if (pipe2(ends, O_CLOEXEC))
		abort();
	c->ibv.context = context;
	c->ibv.fd = ends[0];
	c->in = ends[1];
	fake_add(&c->obj, FAKE_CHANNEL, fake_ctx_of(context), c);
	return &c->ibv;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_CHANNEL, channel, "ibv_destroy_comp_channel");
	err = o ? fake_drop(o, "ibv_destroy_comp_channel") : EINVAL;
	if (err)
		return err;
	close(channel->fd);
	close(((struct fake_channel *)channel)->in);
	free(channel);
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe,
			     void *cq_context, struct ibv_comp_channel *channel,
			     int vector)
{
	struct fake_cq *cq = calloc(1, sizeof(*cq));
	int err;

	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_create_cq");
	if (!err &&
	    (!fake_find(FAKE_CTX, context, "ibv_create_cq") ||
	     !fake_check(cqe > 0 && vector == 0,
			 "ibv_create_cq: %d entries, vector %d", cqe, vector)))
		err = EINVAL;
	if (err)
		return failed(cq, err);
	cq->ibv.context = context;
	cq->ibv.cq_context = cq_context;
	cq->ibv.channel = channel;
	cq->ibv.cqe = cqe;
	cq->cqes = calloc((size_t)cqe, sizeof(*cq->cqes));
	cq->channel = (struct fake_channel *)channel;
	if (channel)
		cq->channel->obj.users++;
	fake_add(&cq->obj, FAKE_CQ, fake_ctx_of(context), cq);
	return &cq->ibv;
}

int ibv_destroy_cq(struct ibv_cq *ibv)
{
	struct fake_cq *cq = (struct fake_cq *)ibv;
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_CQ, ibv, "ibv_destroy_cq");
	err = o ? fake_fails("ibv_destroy_cq") : EINVAL;
	if (!err)
		err = fake_drop(o, "ibv_destroy_cq");
	if (err)
		return err;
	fake_check(cq->unacked == 0, "ibv_destroy_cq: %u events not acked",
		   cq->unacked);
	if (cq->channel)
		cq->channel->obj.users--;
	free(cq->cqes);
	free(cq);
	return 0;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **out,
		     void **cq_context)
{
	struct ibv_cq *cq;

	if (read(channel->fd, &cq, sizeof(cq)) != sizeof(cq))
		return -1;
	LOCK_SCOPE(&fake.lock);
	((struct fake_cq *)cq)->unacked++;
	*out = cq;
	*cq_context = cq->cq_context;
	return 0;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int n)
{
	LOCK_SCOPE(&fake.lock);
	((struct fake_cq *)cq)->unacked -= n;
}

int fake_req_notify(struct ibv_cq *cq, int solicited)
{
	int err;

	(void)solicited;
	LOCK_SCOPE(&fake.lock);
	err = fake_fails("ibv_req_notify_cq");
	if (!err)
		((struct fake_cq *)cq)->armed = true;
	return err;
}

int fake_poll_cq(struct ibv_cq *ibv, int n, struct ibv_wc *wc)
{
	struct fake_cq *cq = (struct fake_cq *)ibv;
	int got = 0;

	LOCK_SCOPE(&fake.lock);
	while (got < n && cq->n > 0) {
		const struct fake_cqe *e = &cq->cqes[cq->head];

		wc[got++] = e->wc;
		if (e->send)
			e->qp->used_sends--;
		cq->head = (cq->head + 1) % (unsigned int)cq->ibv.cqe;
		cq->n--;
	}
	return got;
}

/* Only one that comes after the arming makes an event, as on a NIC. */
void fake_complete(struct fake_cq *cq, const struct ibv_wc *wc,
		   struct fake_qp *qp, bool send)
{
	struct ibv_cq *ibv = &cq->ibv;

	if (!fake_check(cq->n < (unsigned int)cq->ibv.cqe,
			"a completion queue of %d has overrun", cq->ibv.cqe))
		return;
	cq->cqes[(cq->head + cq->n++) % (unsigned int)cq->ibv.cqe] =
		(struct fake_cqe){*wc, qp, send};
	if (!cq->armed || !cq->channel)
		return;
	cq->armed = false;
	if (write(cq->channel->in, &ibv, sizeof(ibv)) != sizeof(ibv))
		abort();
}

unsigned int fake_forget(struct fake_cq *cq, const struct fake_qp *qp)
{
	const unsigned int size = (unsigned int)cq->ibv.cqe, before = cq->n;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < before; i++) {
		const struct fake_cqe e = cq->cqes[(cq->head + i) % size];

		if (e.qp != qp)
			cq->cqes[(cq->head + kept++) % size] = e;
	}
	cq->n = kept;
	return before - kept;
}

/* ---- shared receive queues, address handles ---- */

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd,
			       struct ibv_srq_init_attr *attr)
{
	struct fake_srq *srq = calloc(1, sizeof(*srq));
	struct fake_obj *owner;
	int err;

	LOCK_SCOPE(&fake.lock);
	owner = fake_find(FAKE_PD, pd, "ibv_create_srq");
	err = owner ? fake_fails("ibv_create_srq") : EINVAL;
	if (!err && !fake_check(attr->attr.max_wr > 0 && attr->attr.max_sge > 0,
				"ibv_create_srq: no room"))
		err = EINVAL;
	if (err)
		return failed(srq, err);
	srq->ibv.context = pd->context;
	srq->ibv.pd = pd;
	owner->users++;
	fake_add(&srq->obj, FAKE_SRQ, owner->ctx, srq);
	return &srq->ibv;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_SRQ, srq, "ibv_destroy_srq");
	err = o ? fake_drop(o, "ibv_destroy_srq") : EINVAL;
	if (err)
		return err;
	((struct fake_pd *)srq->pd)->obj.users--;
	free(srq);
	return 0;
}

struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct fake_ah *ah = calloc(1, sizeof(*ah));
	struct fake_obj *owner;
	int err;

	LOCK_SCOPE(&fake.lock);
	owner = fake_find(FAKE_PD, pd, "ibv_create_ah");
	err = owner ? fake_fails("ibv_create_ah") : EINVAL;
	if (!err && !fake_check_path(owner->ctx, attr, true, "ibv_create_ah"))
		err = EINVAL;
	if (err)
		return failed(ah, err);
	ah->ibv.context = pd->context;
	ah->ibv.pd = pd;
	ah->attr = *attr;
	owner->users++;
	fake_add(&ah->obj, FAKE_AH, owner->ctx, ah);
	return &ah->ibv;
}

int ibv_destroy_ah(struct ibv_ah *ah)
{
	struct fake_obj *o;
	int err;

	LOCK_SCOPE(&fake.lock);
	o = fake_find(FAKE_AH, ah, "ibv_destroy_ah");
	err = o ? fake_drop(o, "ibv_destroy_ah") : EINVAL;
	if (err)
		return err;
	((struct fake_pd *)ah->pd)->obj.users--;
	free(ah);
	return 0;
}

const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	static const char *const names[] = {
		[IBV_WC_SUCCESS] = "success",
		[IBV_WC_LOC_PROT_ERR] = "local protection error",
		[IBV_WC_WR_FLUSH_ERR] = "flushed",
		[IBV_WC_REM_ACCESS_ERR] = "remote access error",
		[IBV_WC_RETRY_EXC_ERR] = "retries exceeded",
		[IBV_WC_RNR_RETRY_EXC_ERR] = "receiver not ready",
	};

	return status < ARRAY_SIZE(names) && names[status] ? names[status]
							   : "error";
}
