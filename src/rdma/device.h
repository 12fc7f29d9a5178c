/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of an RDMA device: chosen, opened, watched.
 *
 * One thread opens, asks device_alive and closes; what is constant after
 * device_open may be read by any.
 */
#ifndef S3RDMAFS_RDMA_DEVICE_H
#define S3RDMAFS_RDMA_DEVICE_H

#include <infiniband/verbs.h>
#include <stdatomic.h>

#include "rdma/rdma.h"
#include "rdma/route.h"

struct device {
	/* Constant after device_open. */
	struct ibv_context *ctx; /* owned */
	struct ibv_pd *pd;       /* owned; one a session, never shared */
	struct rdma_place place;
	uint8_t port;
	uint8_t gid_index;
	union ibv_gid gid;
	uint32_t gid_type; /* enum ibv_gid_type */
	uint16_t lid;
	enum ibv_mtu mtu;
	bool infiniband;

	atomic_bool dead;
	/* The watching thread's: a queue pair has failed; set before the first
	 * device_alive, or NULL. */
	void (*qp_failed)(void *ctx, struct ibv_qp *qp);
	void *qp_failed_ctx;
};

/* What speaks for a GID table's entry.  Pure. */
struct device_gid {
	bool infiniband, roce_v2;
	uint8_t gid[16];
	unsigned int index;
};
/*
 * 0: of no use; else the higher the better.  named: the user chose the device,
 * so that its address need not be the route's.
 */
int device_rank(const struct device_gid *g, const struct route *route,
		bool named);

/*
 * Opens the best port for the route; device NULL means any that the route
 * goes over.  Returns 0, or -errno with a sentence for people in why: -ENETDOWN
 * when a port is down that would have done, -ENODEV when there is none.
 */
int device_open(const char *device, const struct route *route,
		struct device **out, char *why, size_t cap);

/* The want's device for the route to its host; else as device_open. */
int device_open_for(const struct rdma_want *want, struct device **out,
		    char *why, size_t cap);

/* Takes the events that came.  False once the device, its port or its GID is
 * not what it was. */
bool device_alive(struct device *d);

/* With the context everything on it is destroyed, whatever was left. */
void device_close(struct device *d);

#endif
