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
	uint64_t began_ms;    /* with the call */
	uint64_t heard_ms;  /* when data came last, see exec_due_ms; 0: none */
	uint64_t next_mark; /* bytes of the body that it will be noted at */
	unsigned int sends; /* how often curl began to send it */
	struct request_wire wire;
	struct curl_slist slist[REQUEST_HEADERS + 1];
	char error_body[4096];
	size_t error_len;
};

/* Makes the handle, with all that stays the same.  0 or -ENOMEM. */
int exec_init(struct exec *x, const struct s3_config *cfg);

/*
 * When the call is to be ended: attempt_timeout after its beginning, or when it
 * is too late (queue_late_at, for flow, too).  But an answer whose data is
 * coming may take as long as it does: it has attempt_timeout for each eighth.
 */
uint64_t exec_due_ms(const struct exec *x, const struct s3_config *cfg,
		     uint64_t flow);

/* Readies it for the call, whose request stands in x->wire and which begins
 * now. */
void exec_arm(struct exec *x, struct s3_call *call, uint64_t now);

#endif
