/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP answer's header lines to struct s3_answer.  Pure. */
#ifndef S3RDMAFS_S3_ANSWER_H
#define S3RDMAFS_S3_ANSWER_H

#include "s3/s3.h"

void answer_reset(struct s3_answer *a);

/*
 * Takes one header line of n bytes, with or without its line end.  A status
 * line starts the answer anew: the one before was interim (100 Continue).
 * Returns 0, or -EBADMSG for headers that contradict each other.
 */
int answer_header(struct s3_call *call, const char *line, size_t n);

/* The value of x-amz-rdma-reply: blanks, "ok", "200:..." and all. */
enum s3_reply answer_parse_reply(const char *value);

#endif
