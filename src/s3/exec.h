/* SPDX-License-Identifier: Apache-2.0 */
/* One of curl's easy handles, reused for request after request. */
#ifndef S3RDMAFS_S3_EXEC_H
#define S3RDMAFS_S3_EXEC_H

#include <curl/curl.h>

#include "s3/request.h"
#include "s3/s3.h"

/* An easy handle with what one request needs. */
struct exec {
	struct list link;     /* on its loop's list of idle ones */
	CURL *easy;           /* owned */
	struct s3_call *call; /* NULL while idle */
	unsigned int sends;   /* how often curl began to send it */
	struct request_wire wire;
	struct curl_slist slist[REQUEST_HEADERS + 1];
	char error_body[4096];
	size_t error_len;
};

/* Makes the handle, with all that stays the same.  0 or -ENOMEM. */
int exec_init(struct exec *x, const struct s3_config *cfg);

/* Readies it for the call, whose request stands in x->wire. */
void exec_arm(struct exec *x, struct s3_call *call,
	      const struct s3_config *cfg);

#endif
