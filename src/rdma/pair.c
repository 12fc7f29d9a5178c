/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One transfer's queue pair, the client's half of hipobj-rc-v2 (protocol
 * document, 3.3 and 3.4): made in INIT, connected once the server has said
 * where it is, given one receive for the last write's immediate, destroyed.
 *
 * A queue pair number comes back after a while, and with it, perhaps, a
 * packet of the transfer that had it before.  The first packet numbers of both
 * directions must therefore lie far from those that the number had lately:
 * ours is chosen so, and a server's that is near is refused.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "rdma/qp.h"
#include "rdma/rc.h"

#define RETIRED 1024
#define FAR (1U << 14)   /* packets: 64 MiB of them */
#define RETIRED_MS 10000 /* a packet is no older */

struct rdma_pair {
	struct rc *rc;          /* borrowed */
	struct ibv_cq *cq;      /* owned */
	struct ibv_qp *qp;      /* owned; NULL once destroyed */
	uint32_t psn, peer_psn; /* first packets; peer_psn 0: not known */
};

static struct {
	pthread_mutex_t lock;
	/* Under lock. */
	struct {
		uint32_t qpn, psn, peer_psn;
		uint64_t until_ms;
	} ring[RETIRED];
	unsigned int next;
} retired = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool near(uint32_t a, uint32_t b)
{
	const uint32_t d = (a - b) & TOKEN_PSN_MAX;

	return d < FAR || d > TOKEN_PSN_MAX - FAR;
}

/* Under retired.lock. */
static bool met_before(uint32_t qpn, uint32_t psn)
{
	const uint64_t now = clock_ms();

	for (unsigned int i = 0; i < RETIRED; i++)
		if (retired.ring[i].qpn == qpn &&
		    retired.ring[i].until_ms > now &&
		    near(psn, retired.ring[i].psn))
			return true;
	return false;
}

static bool peer_met_before(uint32_t qpn, uint32_t psn)
{
	const uint64_t now = clock_ms();

	LOCK_SCOPE(&retired.lock);
	for (unsigned int i = 0; i < RETIRED; i++)
		if (retired.ring[i].qpn == qpn && retired.ring[i].peer_psn &&
		    retired.ring[i].until_ms > now &&
		    near(psn, retired.ring[i].peer_psn))
			return true;
	return false;
}

/* Each of the number's late entries bars a five-hundredth. */
static uint32_t choose_psn(uint32_t qpn)
{
	uint32_t psn = qp_random_psn();

	LOCK_SCOPE(&retired.lock);
	for (int i = 0; i < 32 && met_before(qpn, psn); i++)
		psn = qp_random_psn();
	return psn;
}

static void retire(uint32_t qpn, uint32_t psn, uint32_t peer_psn)
{
	LOCK_SCOPE(&retired.lock);
	retired.ring[retired.next].qpn = qpn;
	retired.ring[retired.next].psn = psn;
	retired.ring[retired.next].peer_psn = peer_psn;
	retired.ring[retired.next].until_ms = clock_ms() + RETIRED_MS;
	retired.next = (retired.next + 1) % RETIRED;
}

int rdma_pair_new(struct rdma *r, struct rdma_pair **out, char token[TOKEN_MAX],
		  uint32_t *psn)
{
	struct rdma_pair *p = calloc(1, sizeof(*p));
	struct device *d = to_nic(r)->device;

	if (!p)
		return -ENOMEM;
	p->rc = (struct rc *)r;
	p->cq = atomic_load(&d->dead) ? NULL
				      : ibv_create_cq(d->ctx, 4, NULL, NULL, 0);
	if (p->cq)
		p->qp = qp_new(
			d, &(struct qp_caps){.cq = p->cq,
					     .access = IBV_ACCESS_LOCAL_WRITE |
						       IBV_ACCESS_REMOTE_WRITE,
					     .receives = 1});
	if (!p->qp) {
		rdma_pair_free(p);
		return -EIO;
	}
	p->psn = choose_psn(p->qp->qp_num);
	qp_token(d, p->qp, token);
	*psn = p->psn;
	*out = p;
	return 0;
}

bool rdma_pair_window(const struct rdma_pair *p, unsigned int region,
		      uint32_t *qpn, uint64_t *addr, uint32_t *rkey)
{
	*qpn = p->qp->qp_num;
	return mem_window(p->rc->nic.mem, region, addr, rkey);
}

int rdma_pair_connect(struct rdma_pair *p, const char *token, uint32_t qpn,
		      uint32_t psn)
{
	struct ibv_recv_wr wr = {.num_sge = 0}, *bad;
	struct qp_peer peer;
	struct token_rc t;
	int err;

	if (token_rc_parse(token, &t))
		return -EPROTO;
	peer = qp_peer_of(&t, psn);
	if (!peer.qpn)
		peer.qpn = qpn;
	if (!peer.qpn || !psn)
		return -EPROTO;
	if (peer_met_before(p->qp->qp_num, psn))
		return -EAGAIN;
	p->peer_psn = psn;
	err = qp_connect(p->rc->nic.device, p->qp, &peer, p->psn);
	/* For the immediate of the last write; the data goes by address. */
	return err ? err : -ibv_post_recv(p->qp, &wr, &bad);
}

int rdma_pair_arrived(struct rdma_pair *p, uint32_t cookie, int timeout_ms)
{
	const uint64_t until = clock_ms() + (uint64_t)timeout_ms;
	const struct timespec nap = {.tv_nsec = 50000};
	struct ibv_wc wc;
	int n;

	while ((n = ibv_poll_cq(p->cq, 1, &wc)) == 0 && clock_ms() < until)
		nanosleep(&nap, NULL);
	if (n == 0)
		return -ETIMEDOUT;
	return n == 1 && wc.status == IBV_WC_SUCCESS &&
			       wc.opcode == IBV_WC_RECV_RDMA_WITH_IMM &&
			       ntohl(wc.imm_data) == cookie
		       ? 0
		       : -EIO;
}

int rdma_pair_free(struct rdma_pair *p)
{
	if (p->qp) {
		const uint32_t qpn = p->qp->qp_num;
		const int err = ibv_destroy_qp(p->qp);

		if (err)
			return err > 0 ? -err : -EIO;
		retire(qpn, p->psn, p->peer_psn);
	}
	if (p->cq)
		ibv_destroy_cq(p->cq);
	free(p);
	return 0;
}
