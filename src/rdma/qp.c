/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/qp.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define HOP_LIMIT 64
#define MIN_RNR_TIMER 12
/* 4.096 us << 17 is half a second, six times: an emulated or crowded NIC
 * answers in that, and a dead peer is given up within five seconds.  Not seven
 * times: to soft-RoCE that means for ever. */
#define TIMEOUT 17
#define RETRIES 6

struct ibv_qp *qp_new(struct device *d, const struct qp_caps *caps)
{
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_RC,
		.send_cq = caps->cq,
		.recv_cq = caps->cq,
		.cap = {.max_send_wr = caps->sends ? caps->sends : 1,
			.max_recv_wr = caps->receives ? caps->receives : 1,
			.max_send_sge = 1,
			.max_recv_sge = 1},
	};
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT,
				   .port_num = d->port,
				   .qp_access_flags = caps->access};
	struct ibv_qp *qp = ibv_create_qp(d->pd, &init);
	int err;

	if (!qp)
		return NULL;
	err = ibv_modify_qp(qp, &attr,
			    IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				    IBV_QP_ACCESS_FLAGS);
	if (err) {
		ibv_destroy_qp(qp);
		errno = err;
		return NULL;
	}
	return qp;
}

void qp_path(const struct device *d, const struct qp_peer *peer,
	     struct ibv_ah_attr *out)
{
	static const uint8_t self[16];
	const bool loopback = !memcmp(peer->gid, self, 16);

	*out = (struct ibv_ah_attr){
		.is_global = 1,
		.port_num = d->port,
		.dlid = loopback ? d->lid : peer->lid,
		.grh = {.sgid_index = d->gid_index, .hop_limit = HOP_LIMIT}};
	memcpy(out->grh.dgid.raw, loopback ? d->gid.raw : peer->gid, 16);
}

int qp_connect(struct device *d, struct ibv_qp *qp, const struct qp_peer *peer,
	       uint32_t own_psn)
{
	struct ibv_qp_attr rtr = {.qp_state = IBV_QPS_RTR,
				  .path_mtu = d->mtu,
				  .dest_qp_num = peer->qpn,
				  .rq_psn = peer->psn,
				  .max_dest_rd_atomic = 1,
				  .min_rnr_timer = MIN_RNR_TIMER};
	struct ibv_qp_attr rts = {.qp_state = IBV_QPS_RTS,
				  .timeout = TIMEOUT,
				  .retry_cnt = RETRIES,
				  .rnr_retry = 7, /* for ever */
				  .sq_psn = own_psn,
				  .max_rd_atomic = 1};
	int err;

	qp_path(d, peer, &rtr.ah_attr);
	err = ibv_modify_qp(qp, &rtr,
			    IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
				    IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				    IBV_QP_MAX_DEST_RD_ATOMIC |
				    IBV_QP_MIN_RNR_TIMER);
	if (!err)
		err = ibv_modify_qp(qp, &rts,
				    IBV_QP_STATE | IBV_QP_TIMEOUT |
					    IBV_QP_RETRY_CNT |
					    IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
					    IBV_QP_MAX_QP_RD_ATOMIC);
	return -err;
}

void qp_token(const struct device *d, const struct ibv_qp *qp,
	      char out[TOKEN_MAX])
{
	struct token_rc t = {.qpn = qp->qp_num, .port = d->port, .lid = d->lid};

	memcpy(t.gid, d->gid.raw, sizeof(t.gid));
	token_rc_format(&t, out);
}

struct qp_peer qp_peer_of(const struct token_rc *t, uint32_t psn)
{
	struct qp_peer peer = {.qpn = t->qpn, .psn = psn, .lid = t->lid};

	memcpy(peer.gid, t->gid, sizeof(peer.gid));
	return peer;
}

void qp_fail(struct ibv_qp *qp)
{
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_ERR};

	ibv_modify_qp(qp, &attr, IBV_QP_STATE);
}

uint32_t qp_random_psn(void)
{
	uint32_t psn;

	do
		random_bytes(&psn, sizeof(psn));
	while (!(psn & TOKEN_PSN_MAX));
	return psn & TOKEN_PSN_MAX;
}
