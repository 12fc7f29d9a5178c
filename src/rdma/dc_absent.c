/* SPDX-License-Identifier: Apache-2.0 */
/* dc where rdma-core was built without mlx5dv. */
#include <errno.h>
#include <stdio.h>

#include "rdma/rdma.h"

int rdma_dc_open(const struct rdma_want *want, const struct rdma_arena *arena,
		 struct rdma **out, char *why, size_t cap)
{
	(void)want;
	(void)arena;
	(void)out;
	snprintf(why, cap,
		 "this build has no dc: mlx5dv was not there when it was made");
	return -EOPNOTSUPP;
}
