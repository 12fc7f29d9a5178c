/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What client and server of one host say to each other over the Unix socket
 * (SOCK_SEQPACKET, abstract name, one message a packet, host byte order).
 *
 *   client                         server
 *   HELLO + memfds         ->
 *                          <-      WELCOME
 *   REVOKE region, gen     ->
 *                          <-      REVOKED region, gen
 *   ... until either side closes
 *
 * The memfds lie one after the other and are cut into regions by the runs of
 * HELLO; each is a memory key of its own, and lies in one memfd.  A token names session, region and generation; REVOKE gives the
 * region its next generation, and REVOKED is sent when no write under an
 * older one is going on or can begin any more.  That is the fence.
 *
 * The server closes its end only when no write into the memory is going on,
 * so end of file is a fence for the whole session; the kernel sees to the
 * same when a server dies, because it takes the memory before the sockets.
 */
#ifndef S3RDMAFS_RDMA_SHM_WIRE_H
#define S3RDMAFS_RDMA_SHM_WIRE_H

#include <stdint.h>

#define SHM_MAGIC 0x3253484d4d445233ULL /* "3RDMMHS2" */
#define SHM_TICKET 32                   /* hex digits */
#define SHM_SESSION 32                  /* hex digits */
#define SHM_RUNS 4
#define SHM_FILES 200 /* of the 253 that one message can carry */
#define SHM_MAX_REGIONS (1U << 20)

enum shm_type { SHM_HELLO = 1, SHM_WELCOME, SHM_REVOKE, SHM_REVOKED };

/* count regions of len bytes each, the first at off. */
struct shm_run {
	uint64_t off;
	uint64_t len;
	uint64_t count;
};

struct shm_msg {
	uint64_t magic;
	uint32_t type;
	int32_t status; /* WELCOME: 0 or -errno */
	union {
		struct {
			char ticket[SHM_TICKET];
			uint64_t nfiles;
			uint64_t files[SHM_FILES]; /* their lengths */
			uint64_t nruns;
			struct shm_run runs[SHM_RUNS];
		} hello;
		struct {
			char session[SHM_SESSION];
		} welcome;
		struct {
			uint32_t region;
			uint32_t gen;
		} revoke; /* and revoked */
	};
};

#endif
