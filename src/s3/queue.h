/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls of a loop that have not begun: those whose time has not come
 * (delayed), then those that wait for an easy handle.  Pure; no locking.
 */
#ifndef S3RDMAFS_S3_QUEUE_H
#define S3RDMAFS_S3_QUEUE_H

#include "base/list.h"
#include "s3/s3.h"

struct queue {
	struct list delayed, urgent, waiting;
	unsigned int urgent_run; /* begun since the last that was not */
	/* Of those that wait, 0 for none: the first that is, or will be, of no
	 * use any more, and when to look whether it is too late. */
	uint64_t until_ms, look_ms;
};

void queue_init(struct queue *q);
void queue_add(struct queue *q, struct s3_call *call, uint64_t now);

/*
 * When a call without an answer is too late; 0: never.  flow: data is coming to
 * others, and this is when that must be looked at again; 0: none is.  On a slow
 * line its turn will come; but who set a limit himself means it.
 */
uint64_t queue_late_at(const struct s3_call *call, uint64_t flow);

/*
 * Delayed ones whose time has come wait from now on; what need not wait, or no
 * more, goes to out: every S3_WAIT, and what is too late.
 */
void queue_settle(struct queue *q, uint64_t now, uint64_t flow,
		  struct list *out);
/* May some of them be late, so that it matters whether data is coming? */
bool queue_may_be_late(const struct queue *q, uint64_t now);
/* When to settle again at the latest; UINT64_MAX: no matter. */
uint64_t queue_due_ms(const struct queue *q);

/* Takes the next to begin; NULL when none waits. */
struct s3_call *queue_next(struct queue *q);

bool queue_is_empty(const struct queue *q);

/* All there are, whatever they wait for. */
void queue_empty(struct queue *q, struct list *out);

#endif
