/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of the program.
 *
 *     kernel                                          applications
 *       |  requests                                       ^ s3rdmactl
 *       v                                                 |
 *     fs (fuse_ops)                                    ctl.c
 *       |  names                 |  reads           \  ioctls
 *       v                        v                   v
 *     ns (cache/namespace)     cache (pool, chunks) <- gpubuf (handles)
 *       |                        |  fills
 *       |                        v
 *       |                      xfer (get, session, fences)
 *       |  HEAD, LIST            |  GET         |  tokens, revokes
 *       v                        v              v
 *     s3 (signing, event loops) ----------    rdma (shm; verbs)
 *       |                                       ^
 *       v                                       | one-sided writes
 *     HTTP -------------------------------> S3 server
 *
 * Built bottom up by daemon_start, taken down top down by daemon_stop.
 */
#ifndef S3RDMAFS_DAEMON_H
#define S3RDMAFS_DAEMON_H

#include "cache/cache.h"
#include "cache/namespace.h"
#include "config.h"
#include "fuse_ops/fuse_ops.h"
#include "gpubuf/gpubuf.h"
#include "s3/s3.h"
#include "xfer/xfer.h"

struct ctl;

struct daemon {
	struct config cfg;
	char source[1400], mountpoint[4096];
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	char control[128]; /* path of the control socket */
	char exports[108]; /* path of the socket for tickets */

	struct creds_source *creds;
	struct s3 *s3;
	struct peermem *peers;
	struct cache *cache;
	struct xfer *xfer;
	struct gpubuf *gpubuf;
	struct namespace *ns;
	struct fs *fs;
	struct ctl *ctl;
	uint64_t started_ms;
};

/* Builds everything and mounts.  0, or -errno with a line in why. */
int daemon_start(struct daemon *d, bool debug, char *why, size_t cap);

/* Takes down what was built; d may be half built. */
void daemon_stop(struct daemon *d);

/* Everything that s3rdmactl shows; owned. */
json_t *daemon_stats(struct daemon *d);
json_t *daemon_status(struct daemon *d);

#endif
