/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server says in the x-amz-rdma-* headers of a hand-shake: the answer
 * to a connect, to PREPARE, and to READY (protocol document, 3.3 to 3.5).
 * Pure; everything in it is checked, for it comes from outside.
 */
#ifndef S3RDMAFS_XFER_HANDSHAKE_H
#define S3RDMAFS_XFER_HANDSHAKE_H

#include "rdma/token.h"
#include "s3/s3.h"

#define HANDSHAKE_V2 "hipobj-rc-v2"

struct handshake {
	bool bad;         /* a field was malformed or came twice */
	bool v2;          /* x-amz-rdma-protocol says hipobj-rc-v2 */
	bool unsupported; /* x-amz-rdma-protocol-status */
	bool has_psn, has_cookie, has_bytes, has_protocol;
	char token[TOKEN_MAX]; /* behind "200:", "" when none came */
	char session[TOKEN_CONN + 1];
	uint32_t psn, qpn, cookie;
	uint64_t bytes;
	char etag[S3_ETAG_MAX]; /* with quotes, "" when not said */
};

/* s3_call's rdma hook; h is a zeroed struct handshake. */
void handshake_take(void *h, const char *name, const char *value);

/* Does it say all that a connection, or a prepared session, needs?  0 or
 * -EPROTO. */
int handshake_check_connect(const struct handshake *h);
int handshake_check_prepare(const struct handshake *h);

/* Does FINAL speak of this transfer of len bytes? */
int handshake_check_final(const struct handshake *h, uint32_t cookie,
			  uint64_t len);

#endif
