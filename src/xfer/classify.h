/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a finished GET means: the nine rows of the tolerant client (protocol
 * document, 1.5).  Pure.
 */
#ifndef S3RDMAFS_XFER_CLASSIFY_H
#define S3RDMAFS_XFER_CLASSIFY_H

#include "s3/s3.h"

enum classify_verdict {
	CLASSIFY_MOVED,   /* row 3: the bytes are in the window */
	CLASSIFY_BODY,    /* row 5: the bytes came as the body */
	CLASSIFY_OUTCOME, /* row 7: an S3 answer, no data: see the error table */
	CLASSIFY_RESEND,  /* row 8: again, without the token */
	CLASSIFY_UNSENT,  /* row 2: nothing left; again */
	CLASSIFY_RETRY,   /* rows 1, 6, 9: no data; again by HTTP */
	CLASSIFY_STALE,   /* another version of the object answered */
};

struct classify_input {
	const struct s3_answer *answer;
	bool token;          /* one was sent */
	uint64_t off, len;   /* the range asked for */
	uint64_t object_len; /* the whole object's size */
	const char *etag;    /* what the answer must name, when it names one */
	bool need_range;     /* profile: this server sends Content-Range */
	bool by_status;      /* profile: it sends no reply header */
};

struct classify_result {
	enum classify_verdict verdict;
	bool fence;    /* the window's key must die before it is used again */
	bool declined; /* the server does not do RDMA for this request */
	bool useless;  /* nor for any: row 6 */
	bool fault;    /* the transfer itself failed: the rail's, perhaps */
	bool overrun;  /* more bytes were written than the window has */
};

struct classify_result classify_get(const struct classify_input *in);

/* Is the answer's range the one that was asked for?  Also while its body is
 * still coming. */
bool classify_range_fits(const struct classify_input *in);

#endif
