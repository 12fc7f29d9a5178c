/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder. */
#ifndef S3RDMAFS_XFER_XFER_INT_H
#define S3RDMAFS_XFER_XFER_INT_H

#include <stdatomic.h>

#include "xfer/pair_get.h"
#include "xfer/profile.h"
#include "xfer/rails.h"
#include "xfer/xfer.h"

struct xfer {
	/* Constant after xfer_new. */
	struct xfer_config cfg;
	const struct profile *profile;
	struct s3 *s3;           /* borrowed */
	struct rails *rails;     /* owned */
	struct pair_gets *pairs; /* owned */

	atomic_ullong bytes[XFER_PATHS];
	atomic_ullong declines, unknowns, overruns, done_cpu_ns;
};

#endif
