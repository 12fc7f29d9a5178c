/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/flush.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "rdma/qp.h"

#define PATIENCE_MS 1000
#define SENDS 4 /* some may be given up, and still be there */

struct flush {
	struct ibv_cq *cq;       /* owned */
	struct ibv_qp *qps[2];   /* owned: the first reads from the second */
	struct ibv_mr *arena_mr; /* owned */
	struct ibv_mr *byte_mr;  /* owned */
	char byte;
	uint64_t number; /* of the last read; under lock */

	pthread_mutex_t lock; /* one read at a time; it waits for the NIC */
};

static int connect_twins(struct flush *f, struct device *d)
{
	const uint32_t psn = qp_random_psn();
	int err = 0;

	for (int i = 0; i < 2 && !err; i++) {
		const struct qp_peer peer = {.qpn = f->qps[1 - i]->qp_num,
					     .psn = psn};

		err = qp_connect(d, f->qps[i], &peer, psn);
	}
	return err;
}

int flush_new(struct device *d, const struct rdma_arena *arena,
	      struct flush **out)
{
	struct flush *f = calloc(1, sizeof(*f));
	int err = -EIO;

	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	f->cq = ibv_create_cq(d->ctx, 2 * SENDS, NULL, NULL, 0);
	for (int i = 0; i < 2 && f->cq; i++)
		f->qps[i] = qp_new(
			d, &(struct qp_caps){.cq = f->cq,
					     .access = IBV_ACCESS_REMOTE_READ,
					     .sends = 1});
	f->arena_mr = ibv_reg_mr(d->pd, arena->addr, arena->size,
				 IBV_ACCESS_LOCAL_WRITE |
					 IBV_ACCESS_REMOTE_READ);
	f->byte_mr = ibv_reg_mr(d->pd, &f->byte, 1, IBV_ACCESS_LOCAL_WRITE);
	if (f->qps[0] && f->qps[1] && f->arena_mr && f->byte_mr)
		err = connect_twins(f, d);
	if (err) {
		flush_free(f);
		return err;
	}
	*out = f;
	return 0;
}

void flush_free(struct flush *f)
{
	if (!f)
		return;
	for (int i = 0; i < 2; i++)
		if (f->qps[i])
			ibv_destroy_qp(f->qps[i]);
	if (f->arena_mr)
		ibv_dereg_mr(f->arena_mr);
	if (f->byte_mr)
		ibv_dereg_mr(f->byte_mr);
	if (f->cq)
		ibv_destroy_cq(f->cq);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

/* The completion of the read of that number; those of earlier ones, which
 * were given up, are thrown away. */
static int await(struct flush *f, uint64_t number, uint64_t until)
{
	struct ibv_wc wc;
	int n;

	do {
		n = ibv_poll_cq(f->cq, 1, &wc);
		if (n < 0)
			return -EIO;
		if (n == 1 && wc.wr_id == number)
			return wc.status == IBV_WC_SUCCESS ? 0 : -EIO;
	} while (n == 1 || clock_ms() < until);
	return -EIO;
}

int flush_read(struct flush *f, const void *addr)
{
	struct ibv_sge sge = {(uintptr_t)&f->byte, 1, f->byte_mr->lkey};
	struct ibv_send_wr wr = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_RDMA_READ,
		.send_flags = IBV_SEND_SIGNALED,
		.wr.rdma = {(uintptr_t)addr, f->arena_mr->rkey}};
	struct ibv_send_wr *bad;

	LOCK_SCOPE(&f->lock);
	wr.wr_id = ++f->number;
	/* Late completions hold places in the queue. */
	await(f, wr.wr_id, 0);
	if (ibv_post_send(f->qps[0], &wr, &bad))
		return -EIO;
	return await(f, wr.wr_id, clock_ms() + PATIENCE_MS);
}
