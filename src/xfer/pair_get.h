/* SPDX-License-Identifier: Apache-2.0 */
/* One attempt by hipobj-rc-v2: PREPARE, READY, and CANCEL when it fails. */
#ifndef S3RDMAFS_XFER_PAIR_GET_H
#define S3RDMAFS_XFER_PAIR_GET_H

#include "xfer/classify.h"
#include "xfer/xfer.h"

#define PAIR_GETS 64 /* at a time; more go by HTTP */

struct pair_gets;

int pair_gets_new(struct s3 *s3, struct pair_gets **out);
void pair_gets_free(struct pair_gets *p);

/*
 * Takes over the offer, which is of the pair's way, and calls done on an event
 * loop with what came of it.  False when it cannot begin: the offer is then
 * given back.  Any thread, never blocks on the network.
 */
bool pair_get_start(struct pair_gets *p, struct xfer_get *g,
		    void (*done)(struct xfer_get *g,
				 const struct classify_result *r));

#endif
