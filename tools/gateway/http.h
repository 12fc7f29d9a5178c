/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server, on libmicrohttpd: a thread a connection. */
#ifndef S3RDMAFS_GATEWAY_HTTP_H
#define S3RDMAFS_GATEWAY_HTTP_H

#include "request.h"

struct http;

struct http_config {
	const char *listen;       /* ADDR:PORT, [ADDR]:PORT */
	char *tls_cert, *tls_key; /* PEM text, or NULL; borrowed */
};

/* -EINVAL for a bad address, -EADDRINUSE and the like. */
int http_start(const struct http_config *cfg, struct gateway *gw,
	       struct http **out);

/* Ends all connections. */
void http_stop(struct http *h);

#endif
