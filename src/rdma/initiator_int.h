/* SPDX-License-Identifier: Apache-2.0 */
/* What the initiators share: the device, the staging, the completions. */
#ifndef S3RDMAFS_RDMA_INITIATOR_INT_H
#define S3RDMAFS_RDMA_INITIATOR_INT_H

#include <pthread.h>

#include "base/list.h"
#include "rdma/device.h"
#include "rdma/initiator.h"
#include "rdma/qp.h"

#define INITIATOR_BUFFERS 32
#define INITIATOR_HALF (1U << 20) /* bytes of one write; a buffer has two */

/* Writes that were posted and have not completed. */
struct wait {
	unsigned int pending; /* under initiator->lock */
	bool failed;          /* likewise */
};

struct dcis;

struct initiator {
	struct device *device;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	char *staging; /* mapping of all buffers */
	struct ibv_mr *mr;
	struct dcis *dcis; /* NULL: no dc */
	uint32_t dc_key;
	char place[160];
	int stop_fd;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* a completion, a buffer, a pair */
	/* Under lock. */
	bool busy[INITIATOR_BUFFERS];
	bool broken; /* writes did not complete: nothing more is begun */
	struct list conns, sessions;
	unsigned int nconns, nsessions;
};

/* One write into the client: called with no lock. */
struct write {
	void *from;
	uint32_t len;
	uint64_t addr;
	uint32_t rkey;
	bool last;
	struct wait *wait;
};
struct path {
	/* 0 or -errno; a completion of it names w->wait. */
	int (*post)(struct path *p, struct initiator *i, const struct write *w);
	/* Makes what was posted come back. */
	void (*fail)(struct path *p);
};

/*
 * Streams the source to addr under rkey.  0, -EIO when a write failed, or the
 * file's error; nothing is in flight afterwards.
 */
int initiator_stream(struct initiator *i, struct path *path, uint64_t addr,
		     uint32_t rkey, const struct initiator_source *from);

/* An ordinary write on a queue pair; imm: NULL, or of the last write. */
int initiator_post(struct ibv_qp *qp, struct initiator *i,
		   const struct write *w, const uint32_t *imm);

/* Ends what is idle for too long; all: everything. */
void conns_reap(struct initiator *i, bool all);
void sessions_reap(struct initiator *i, bool all);

int dcis_new(struct initiator *i, struct dcis **out, char *why, size_t cap);
void dcis_free(struct dcis *d);

#endif
