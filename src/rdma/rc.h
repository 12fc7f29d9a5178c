/* SPDX-License-Identifier: Apache-2.0 */
/* The rc session, as pair.c shares it. */
#ifndef S3RDMAFS_RDMA_RC_H
#define S3RDMAFS_RDMA_RC_H

#include <pthread.h>

#include "rdma/nic.h"

struct rc {
	struct nic nic; /* first */

	/* The session's thread's. */
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	uint32_t psn;

	pthread_mutex_t lock;
	atomic_bool connected;     /* set under lock; cleared by any */
	char conn[TOKEN_CONN + 1]; /* under lock */
};

#endif
