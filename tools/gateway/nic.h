/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's RDMA device: opened at the start, closed when it fails or
 * goes, and opened again once it is back.
 */
#ifndef S3RDMAFS_GATEWAY_NIC_H
#define S3RDMAFS_GATEWAY_NIC_H

#include "rdma/initiator.h"

struct nic;

struct nic_config {
	struct initiator_config initiator; /* its texts are borrowed */
	bool required; /* no device at the start is an error */
};

/* 0, or -errno and a sentence in why. */
int nic_new(const struct nic_config *cfg, struct nic **out, char *why,
	    size_t cap);
/* Nobody may be in it. */
void nic_free(struct nic *n);

/* The initiator, held until leave; NULL while there is none. */
struct initiator *nic_enter(struct nic *n);
void nic_leave(struct nic *n);

/* Was it there before, so that it may be back any moment? */
bool nic_is_away(struct nic *n);

/* Are GIDs on its fabric addresses (RoCE), as far as can be told now? */
bool nic_has_addresses(struct nic *n);

#endif
