/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/queue.h"

#include "base/cleanup.h"

/* Urgent ones first, but of so many one that is not: a tree that is listed must
 * not keep readers from their data. */
#define URGENT_RUN 4

void queue_init(struct queue *q)
{
	*q = (struct queue){0};
	list_init(&q->delayed);
	list_init(&q->urgent);
	list_init(&q->waiting);
}

/* 0 is none. */
static void keep_least(uint64_t *least, uint64_t at)
{
	if (at && (!*least || at < *least))
		*least = at;
}

void queue_add(struct queue *q, struct s3_call *call, uint64_t now)
{
	keep_least(&q->until_ms, call->until_ms);
	list_add_tail(call->due_ms > now ? &q->delayed
		      : call->urgent     ? &q->urgent
					 : &q->waiting,
		      &call->link);
}

uint64_t queue_late_at(const struct s3_call *call, uint64_t flow)
{
	return call->until_ms && !call->timeout_ms && call->until_ms < flow
		       ? flow
		       : call->until_ms;
}

static void end_some(struct queue *q, struct list *from, uint64_t now,
		     uint64_t flow, struct list *out)
{
	struct list *e, *n;

	list_for_each_safe(e, n, from)
	{
		struct s3_call *call = container_of(e, struct s3_call, link);
		const uint64_t at = queue_late_at(call, flow);

		if (call->method == S3_WAIT || (at && at <= now)) {
			list_del(e);
			list_add_tail(out, e);
			continue;
		}
		keep_least(&q->look_ms, at);
		keep_least(&q->until_ms, call->until_ms);
	}
}

void queue_settle(struct queue *q, uint64_t now, uint64_t flow,
		  struct list *out)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &q->delayed)
	{
		struct s3_call *call = container_of(e, struct s3_call, link);

		if (call->due_ms > now)
			continue;
		list_del(e);
		queue_add(q, call, now);
	}
	q->until_ms = q->look_ms = 0;
	end_some(q, &q->urgent, now, flow, out);
	end_some(q, &q->waiting, now, flow, out);
}

bool queue_may_be_late(const struct queue *q, uint64_t now)
{
	return q->until_ms && q->until_ms <= now;
}

uint64_t queue_due_ms(const struct queue *q)
{
	uint64_t due = q->look_ms ? q->look_ms : UINT64_MAX;
	struct list *e, *n;

	list_for_each_safe(e, n, &q->delayed)
	{
		const uint64_t d =
			container_of(e, struct s3_call, link)->due_ms;

		due = d < due ? d : due;
	}
	return due;
}

static struct list *next_list(struct queue *q)
{
	const bool has_urgent = !list_empty(&q->urgent);
	const bool has_others = !list_empty(&q->waiting);

	if (has_urgent && (!has_others || q->urgent_run < URGENT_RUN)) {
		q->urgent_run++;
		return &q->urgent;
	}
	q->urgent_run = 0;
	return has_others ? &q->waiting : NULL;
}

struct s3_call *queue_next(struct queue *q)
{
	struct list *from = next_list(q);
	struct s3_call *call;

	if (!from)
		return NULL;
	call = list_first(from, struct s3_call, link);
	list_del(&call->link);
	return call;
}

bool queue_is_empty(const struct queue *q)
{
	return list_empty(&q->delayed) && list_empty(&q->urgent) &&
	       list_empty(&q->waiting);
}

void queue_empty(struct queue *q, struct list *out)
{
	struct list *lists[] = {&q->urgent, &q->waiting, &q->delayed};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		list_move_all(lists[i], out);
}
