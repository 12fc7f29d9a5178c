/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a token worth sending?  Two counters in a row, kept apart: what the
 * server declines, and what the path to it fails at.  When either is full no
 * token goes out but for one probe each period.  Pure: the time is an
 * argument, the caller's lock guards the struct.
 */
#ifndef S3RDMAFS_XFER_HEALTH_H
#define S3RDMAFS_XFER_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_DECLINES 8
#define HEALTH_FAULTS 4
#define HEALTH_PERIOD_MS 30000

struct health {
	unsigned int declines, faults; /* in a row */
	uint64_t probe_ms;             /* the next one may go out then */
};

/* What came of a token. */
enum health_event {
	HEALTH_OK,
	HEALTH_DECLINED, /* the server does not do it for this request */
	HEALTH_USELESS,  /* nor for any: it broke the protocol */
	HEALTH_FAULT,    /* the transfer itself failed */
	HEALTH_NOTHING,  /* says nothing about RDMA: 404, 503 ... */
};

/* Claims the probe when one is due. */
bool health_may_offer(struct health *h, uint64_t now_ms);
void health_note(struct health *h, enum health_event e, uint64_t now_ms);

#endif
