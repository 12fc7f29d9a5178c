/* SPDX-License-Identifier: Apache-2.0 */
/* The one table from HTTP, S3 and curl to errno and what to do next.  Pure. */
#ifndef S3RDMAFS_S3_ERROR_H
#define S3RDMAFS_S3_ERROR_H

/* What stands for a CURLcode when a call never got a connection: curl keeps
 * this one (CURLE_NO_CONNECTION_AVAILABLE) to itself. */
#define S3_NOT_BEGUN 89

enum s3_retry {
	S3_RETRY_NEVER,
	S3_RETRY_LATER,   /* with back-off */
	S3_RETRY_REFRESH, /* after new credentials */
};

struct s3_verdict {
	int err; /* 0 or -errno */
	enum s3_retry retry;
};

/*
 * curl: CURLcode; status: HTTP status or 0; code: the S3 error code, "" when
 * there was none.  A code that is known outranks the status.
 */
struct s3_verdict s3_error_classify(int curl, int status, const char *code);

/* What a person can do about an S3 error code or status; never NULL. */
const char *s3_error_hint(int curl, int status, const char *code);

#endif
