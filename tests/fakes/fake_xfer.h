/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xfer for tests of the cache: gets and fences queue up, and end as the test
 * says.  A window whose fence is still to come is scribbled over just before it
 * is fenced, as by a late write of a server.  Peer memory is reached when the
 * test says so, by its address.
 */
#ifndef S3RDMAFS_TESTS_FAKE_XFER_H
#define S3RDMAFS_TESTS_FAKE_XFER_H

#include "xfer/xfer.h"

enum fake_outcome {
	FAKE_OK,
	FAKE_ERROR, /* -EIO, the memory is free again */
	FAKE_DENIED,
	FAKE_STALE,
	FAKE_FENCE, /* -EIO, the memory may still be written to */
	FAKE_BODY,  /* replace at the first byte, then all is well */
	FAKE_OUTCOMES,
};

struct fake_stats {
	unsigned int started, waiting, max_waiting, plain;
	unsigned int fences_waiting, fences;
	unsigned int no_memory; /* replace had nothing to give */
	unsigned int peer_gets; /* begun, into peer memory */
	uint64_t peers_waited;  /* version that somebody has last waited for */
	uint64_t bytes;         /* asked for */
};

struct xfer *fake_xfer_new(const struct rdma_arena *arena);
/* Until then, and when that is over, gets into peer memory end with
 * -EOPNOTSUPP; those that begin, at once. */
void fake_xfer_reach_peers(struct xfer *x, bool reaches);
/* No get and no fence may be waiting. */
void fake_xfer_free(struct xfer *x);
struct fake_stats fake_xfer_stats(struct xfer *x);

/* The get that waits at place i; NULL behind the last. */
const struct xfer_get *fake_xfer_peek(struct xfer *x, unsigned int i);

/* Ends it; false when there is none, or when it waits on for memory. */
bool fake_xfer_end(struct xfer *x, unsigned int i, enum fake_outcome how);
/* Ends the oldest fence; false when there is none. */
bool fake_xfer_end_fence(struct xfer *x);

/* The timer that runs is over, or ended before its time; false when none
 * runs. */
bool fake_xfer_tick(struct xfer *x, bool ended);

/* Everything that waits, and what comes of it, with FAKE_OK. */
void fake_xfer_drain(struct xfer *x);

/* From now on threads end gets and fences, some of them badly. */
void fake_xfer_run(struct xfer *x, unsigned int threads);
void fake_xfer_stop(struct xfer *x);

/* Are these the object's bytes? */
bool fake_bytes_fit(const char *etag, uint64_t off, const char *p, size_t n);

#endif
