/* SPDX-License-Identifier: Apache-2.0 */
/* The rc session, as pair.c shares it. */
#ifndef S3RDMAFS_RDMA_RC_H
#define S3RDMAFS_RDMA_RC_H

#include "rdma/nic.h"

struct rc {
	struct nic nic; /* first */

	/* The connection; of the session's thread, but for what is atomic. */
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	uint32_t psn;
	atomic_bool connected;
	/* Written before connected is set, read after it was seen set. */
	char conn[TOKEN_CONN + 1];
};

#endif
