/* SPDX-License-Identifier: Apache-2.0 */
/* Which of this host's addresses a connection to a server would have. */
#ifndef S3RDMAFS_RDMA_ROUTE_H
#define S3RDMAFS_RDMA_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An address as a RoCE GID holds it: IPv6, or IPv4 mapped into that. */
struct route {
	uint8_t local[16], remote[16];
	bool loopback; /* the route is lo's: no NIC is on it */
	bool any;      /* the host was a wildcard: every NIC of its family */
};

/* Looks the host's name up, which may block on DNS.  0 or -errno. */
int route_to(const char *host, struct route *out);

bool route_is_ipv4(const uint8_t address[16]);

/* The address for people, into out of at least 46 bytes. */
void route_format(const uint8_t address[16], char *out, size_t cap);

#endif
