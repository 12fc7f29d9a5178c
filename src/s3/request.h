/* SPDX-License-Identifier: Apache-2.0 */
/* A call to a URL and signed header lines.  Pure: the time is an argument. */
#ifndef S3RDMAFS_S3_REQUEST_H
#define S3RDMAFS_S3_REQUEST_H

#include "s3/creds.h"
#include "s3/s3.h"
#include "s3/sigv4.h"

#define REQUEST_HEADERS (8 + S3_HEADERS_MAX)

/* One of the endpoints. */
struct s3_url {
	char base[300]; /* scheme://host[:port] */
	char host[272]; /* host[:port] as the Host header has it */
};

/* http(s)://host[:port][/] into out; -EINVAL for anything else. */
int request_parse_url(const char *url, struct s3_url *out);

/* Credentials with the signing key of a day, made anew when either changes. */
struct request_auth {
	struct creds creds;
	char key_of[200];    /* access key and day that key is for ... */
	char secret_of[160]; /* ... and the secret */
	unsigned char key[SIGV4_HASH];
};

/* The request as text; filled and read by one event loop. */
struct request_wire {
	char url[8192];
	char headers[REQUEST_HEADERS][2304]; /* "Name: value" */
	unsigned int nheaders;
};

/* Returns 0, or -ENAMETOOLONG for a key or query that does not fit. */
int request_build(const struct s3_call *call, const struct s3_config *cfg,
		  const struct s3_url *url, struct request_auth *auth,
		  time_t now, struct request_wire *out);

#endif
