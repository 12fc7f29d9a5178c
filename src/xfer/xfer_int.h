/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder. */
#ifndef S3RDMAFS_XFER_XFER_INT_H
#define S3RDMAFS_XFER_XFER_INT_H

#include <stdatomic.h>

#include "xfer/session.h"
#include "xfer/xfer.h"

struct xfer {
	/* Constant after xfer_new. */
	struct xfer_config cfg;
	struct s3 *s3;           /* borrowed */
	struct session *session; /* owned */

	/* Is a token worth sending?  See get.c. */
	atomic_uint declines_in_row;
	atomic_ullong offer_again_ms;

	atomic_ullong http_bytes, rdma_bytes, declines, unknowns, done_cpu_ns;
};

#endif
