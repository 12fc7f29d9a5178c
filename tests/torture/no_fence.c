/* SPDX-License-Identifier: Apache-2.0 */
/* The fence left out, by -Wl,--wrap=rdma_revoke: with it the torture must
 * fail, or it would show nothing. */
#include "rdma/rdma.h"

int __wrap_rdma_revoke(struct rdma *r, unsigned int region, int timeout_ms);

int __wrap_rdma_revoke(struct rdma *r, unsigned int region, int timeout_ms)
{
	(void)r;
	(void)region;
	(void)timeout_ms;
	return 0;
}
