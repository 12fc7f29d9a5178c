/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a server may write into, and the tokens that let it.
 *
 * An arena is cut into regions; each is a memory key of its own, so that one
 * lost request costs one key and not the pool's.  A token, once sent, is a
 * promise of write access: a region whose request had no certain outcome may
 * be used again only after rdma_revoke has said that the old key is dead.
 *
 * A session is one transport to one endpoint.  When it has ended (rdma_alive
 * is false) every key of it is dead.
 */
#ifndef S3RDMAFS_RDMA_RDMA_H
#define S3RDMAFS_RDMA_RDMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rdma/peermem.h"
#include "rdma/token.h"

#define RDMA_RUNS SHM_RUNS
#define RDMA_FILES SHM_FILES
#define RDMA_NODES 8

/* count regions of len bytes, the first at off; regions are numbered through
 * the runs. */
struct rdma_run {
	uint64_t off, len, count;
};

/* A piece of memory behind an arena, as a descriptor. */
struct rdma_file {
	int fd;
	uint64_t len;
};

/* Memory of the owner of the session; outlives it. */
struct rdma_arena {
	/* Behind addr, one after the other; no region is in two of them. */
	struct rdma_file files[RDMA_FILES];
	unsigned int nfiles;
	char *addr;
	size_t size;
	struct rdma_run runs[RDMA_RUNS];
	unsigned int nruns;
	/* Regions of the first run lie on these NUMA nodes in turn; none: it
	 * is not known where. */
	int nodes[RDMA_NODES];
	unsigned int nnodes;
	struct peermem *peers; /* borrowed; NULL: none */
};

/* Where a region lies, and its length; NULL when there is none of that
 * number.  Those of peer memory, behind them, have no place here. */
char *rdma_region(const struct rdma_arena *a, unsigned int region, size_t *len);
unsigned int rdma_regions(const struct rdma_arena *a);
/* The NUMA node of a region, or -1. */
int rdma_region_node(const struct rdma_arena *a, unsigned int region);

/* Has this host any RDMA device? */
bool rdma_host_has_nic(void);

/* The NUMA node of a device by its name, or -1. */
int rdma_device_node(const char *device);

struct rdma;

/* Where a session stands: for people, and for who must use the same NIC. */
struct rdma_place {
	char device[64]; /* "" for shm */
	unsigned int port;
	bool infiniband;
	char gid[48];     /* as an IPv6 address is written */
	char address[48]; /* of this host on that port; "" when it has none */
	unsigned int mtu; /* bytes */
	int numa;         /* node, -1 unknown */
};

/* What a transport is.  Entries after close may be NULL: see the calls. */
struct rdma_ops {
	const char *name;
	int (*token)(struct rdma *r, unsigned int region, size_t off,
		     size_t len, char out[TOKEN_MAX]);
	int (*revoke)(struct rdma *r, unsigned int region, int timeout_ms);
	bool (*alive)(struct rdma *r);
	void (*close)(struct rdma *r);
	int (*flush)(struct rdma *r, unsigned int region, size_t off);
	const struct rdma_place *(*place)(const struct rdma *r);
	bool (*reaches)(struct rdma *r, unsigned int region);
	uint64_t (*sync)(struct rdma *r);
};

/* The head of every transport's session. */
struct rdma {
	const struct rdma_ops *ops;
	const struct rdma_arena *arena; /* borrowed */
};

/*
 * Connects to the server's socket and hands the arena over.  Blocks for some
 * seconds at most.  Returns 0 and an owned session, or -errno.
 */
int rdma_shm_open(const char *socket_name, const char *ticket,
		  const struct rdma_arena *arena, struct rdma **out);

/* Which NIC, and for whom. */
struct rdma_want {
	const char *device; /* NULL: the one that the route to the host takes */
	const char *host;   /* the server's name or address */
	uint32_t dc_key;
};

/*
 * A session on a NIC.  dc: with a DC target (mlx5), and each region of the
 * arena registered.  rc: tokens come once rdma_rc_accept has connected it and
 * rdma_rc_register has registered the arena.  Returns 0 and an owned session, or
 * -errno with a sentence for people in why.
 */
int rdma_dc_open(const struct rdma_want *want, const struct rdma_arena *arena,
		 struct rdma **out, char *why, size_t cap);
int rdma_rc_open(const struct rdma_want *want, const struct rdma_arena *arena,
		 struct rdma **out, char *why, size_t cap);

/* Blocks as long as registering takes.  0, or -errno and why. */
int rdma_rc_register(struct rdma *r, char *why, size_t cap);

/*
 * The persistent connection of an rc session (protocol document, 3.5), from
 * the session's thread only.  offer ends the present one, if any, and makes
 * the queue pair of the next; accept takes what the server answered.
 * Both return 0 or -errno.
 */
int rdma_rc_offer(struct rdma *r, char token[TOKEN_MAX], uint32_t *psn);
int rdma_rc_accept(struct rdma *r, const char *conn, const char *token,
		   uint32_t psn);
/* Any thread.  lost: the server says that it knows it no more. */
bool rdma_rc_connected(struct rdma *r);
void rdma_rc_lost(struct rdma *r);

/*
 * A queue pair for one transfer (hipobj-rc-v2) into a region of an rc session.
 * Made, connected and freed by one thread at a time; system calls, no waits on
 * the network.  rdma_pair_free is the fence of what it was used for: 0 when
 * nothing of its peer can land any more, or -errno, and then it is not freed.
 */
struct rdma_pair;
int rdma_pair_new(struct rdma *r, struct rdma_pair **out, char token[TOKEN_MAX],
		  uint32_t *psn);
/* What READY must say of the window.  False: the region has lost its key. */
bool rdma_pair_window(const struct rdma_pair *p, unsigned int region,
		      uint32_t *qpn, uint64_t *addr, uint32_t *rkey);
/* -EAGAIN: a late packet of an earlier transfer could be taken for one of
 * this one's; another pair will do. */
int rdma_pair_connect(struct rdma_pair *p, const char *token, uint32_t qpn,
		      uint32_t psn);
/* Has the last write come, with this cookie?  Waits for timeout_ms at most:
 * 0, -ETIMEDOUT, or -EIO for what is no such write. */
int rdma_pair_arrived(struct rdma_pair *p, uint32_t cookie, int timeout_ms);
int rdma_pair_free(struct rdma_pair *p);

const char *rdma_name(const struct rdma *r);
const struct rdma_place *rdma_get_place(const struct rdma *r);

/* Can a server be let write to the region?  Any thread. */
bool rdma_reaches(struct rdma *r, unsigned int region);

/* Brings the registrations of peer memory in line with what there is; returns
 * the version of it from which on they are.  The session's thread; blocks as
 * long as registering takes. */
uint64_t rdma_sync(struct rdma *r);

/*
 * The token for len bytes at off of a region.  Any thread, never blocks.
 * Returns 0, -EPIPE when the session has ended or is not connected, or
 * -EOPNOTSUPP when it does not reach the region.
 */
int rdma_token(struct rdma *r, unsigned int region, size_t off, size_t len,
	       char out[TOKEN_MAX]);

/*
 * The fence: returns 0 when no write under the region's old key can land any
 * more; the next token has another key.  -ETIMEDOUT: not known yet, call
 * again; -EPIPE: the session has ended; another error: the key could not be
 * made to die.  One thread at a time.
 */
int rdma_revoke(struct rdma *r, unsigned int region, int timeout_ms);

/*
 * Makes what a server has written visible, before the byte at off of a region
 * is read, where an answer that came another way does not do so.  Any thread;
 * waits for the NIC only.  0 or -errno.
 */
int rdma_flush(struct rdma *r, unsigned int region, size_t off);

/* False once the session has ended and all its keys are dead, or die with
 * rdma_close. */
bool rdma_alive(struct rdma *r);

/* Ends the session and frees it; blocks until the server has let the memory
 * go, or is dead, or for two seconds.  No pair may be left. */
void rdma_close(struct rdma *r);

#endif
