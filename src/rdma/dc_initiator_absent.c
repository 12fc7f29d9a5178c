/* SPDX-License-Identifier: Apache-2.0 */
/* dc where rdma-core was built without mlx5dv. */
#include <errno.h>
#include <stdio.h>

#include "rdma/initiator_int.h"

int dcis_new(struct initiator *i, struct dcis **out, char *why, size_t cap)
{
	(void)i;
	(void)out;
	snprintf(why, cap,
		 "this build has no dc: mlx5dv was not there when it was made");
	return -EOPNOTSUPP;
}

void dcis_free(struct dcis *d)
{
	(void)d;
}

int initiator_write_dc(struct initiator *i, const struct token_dc *t,
		       const struct initiator_source *from)
{
	(void)i;
	(void)t;
	(void)from;
	return -EOPNOTSUPP;
}
