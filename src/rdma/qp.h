/* SPDX-License-Identifier: Apache-2.0 */
/* Reliable connected queue pairs, as both ends make them (protocol document,
 * 4.4). */
#ifndef S3RDMAFS_RDMA_QP_H
#define S3RDMAFS_RDMA_QP_H

#include "rdma/device.h"

struct qp_peer {
	uint32_t qpn, psn; /* its first */
	uint8_t gid[16];   /* all zero: this very port */
	uint16_t lid;
};

struct qp_caps {
	struct ibv_cq *cq;
	unsigned int access; /* IBV_ACCESS_*: what the peer may do */
	unsigned int sends, receives;
};

/* In INIT, or NULL with errno. */
struct ibv_qp *qp_new(struct device *d, const struct qp_caps *caps);

/* INIT -> RTR -> RTS.  0 or -errno. */
int qp_connect(struct device *d, struct ibv_qp *qp, const struct qp_peer *peer,
	       uint32_t own_psn);

/* Its token, as a hand-shake carries it: number and port, and no window. */
void qp_token(const struct device *d, const struct ibv_qp *qp,
	      char out[TOKEN_MAX]);

/* The peer that a token names. */
struct qp_peer qp_peer_of(const struct token_rc *t, uint32_t psn);

/* To ERR: what was posted comes back flushed. */
void qp_fail(struct ibv_qp *qp);

/* The path of the peer, as address vectors have it. */
void qp_path(const struct device *d, const struct qp_peer *peer,
	     struct ibv_ah_attr *out);

/* A first packet sequence number, 1 to 0xffffff. */
uint32_t qp_random_psn(void);

#endif
