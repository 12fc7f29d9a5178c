/* SPDX-License-Identifier: Apache-2.0 */
/* What one vendor's servers want said, and how they say yes: data, not code
 * paths (protocol document, 1.8). */
#ifndef S3RDMAFS_XFER_PROFILE_H
#define S3RDMAFS_XFER_PROFILE_H

#include <stdbool.h>

#include "rdma/token.h"

struct profile {
	const char *name;
	const char *token_header; /* lower case */
	enum token_form form;
	const char *agent; /* value of x-amz-rdma-agent, or NULL */
	/* A 206 without Content-Range is not believed. */
	bool need_range;
	/* There is no reply header: a 2xx of no bytes says that they moved. */
	bool by_status;
};

/* NULL when there is none of that name. */
const struct profile *profile_find(const char *name);

/* The i-th, NULL behind the last. */
const struct profile *profile_at(unsigned int i);

#endif
