/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults on demand, so that a client can be tested against the server that it
 * will meet one day:
 *
 *   --fault OP:ACTION[=VALUE][:nth=N][:every=N][:count=N][:key=TEXT]
 *
 * OP is get, head, list, put, connect (a hand-shake of rc) or any.  A rule takes the requests that match
 * its OP and key; of these only the Nth, every Nth, or the first count.
 */
#ifndef S3RDMAFS_GATEWAY_FAULT_H
#define S3RDMAFS_GATEWAY_FAULT_H

#include "request.h"

enum fault_action {
	FAULT_STATUS,       /* =CODE: answer with it */
	FAULT_RESET,        /* end the connection, no answer */
	FAULT_TRUNCATE,     /* =BYTES of the body, then end the connection */
	FAULT_STALL,        /* =BYTES of the body, then nothing */
	FAULT_SLOW,         /* =BYTES a second, all that it meets together */
	FAULT_DELAY,        /* =MS before anything else */
	FAULT_ETAG,         /* another ETag */
	FAULT_NORANGE,      /* Range is not heard */
	FAULT_SHORT,        /* =BYTES less than asked for, and said so */
	FAULT_REFUSE_TOKEN, /* 501 */
	FAULT_IGNORE_TOKEN, /* the body comes by HTTP */
	FAULT_LATE,         /* =MS: 500 now, the bytes into memory later */
	FAULT_LIE,          /* says that bytes were moved that were not */
};

struct fault {
	struct fault *next;
	enum fault_action action;
	uint64_t value;
	char op[12];
	char key[128];
	uint64_t nth, every, count; /* 0: not given */
	uint64_t seen;              /* matching requests; atomic */
	uint64_t *line_ns; /* until when a slow one is taken; owned, atomic */
};

/* Adds a rule; -EINVAL for a text that is none. */
int fault_add(struct faults **list, const char *text);
void fault_free(struct faults *list);

/* The rule that this request falls under, or NULL.  Counts it. */
const struct fault *fault_for(struct faults *list, const struct request *r);

/* Carries out what happens before the operation; true when that was all. */
bool fault_before(struct request *r);
bool fault_wrong_etag(struct request *r);
bool fault_ignore_range(const struct request *r);
uint64_t fault_short(const struct request *r, uint64_t len);
/* Waits until so many bytes may go, or fewer of them; their number. */
size_t fault_pace(const struct fault *f, size_t n);
bool fault_is(const struct request *r, enum fault_action action);

#endif
