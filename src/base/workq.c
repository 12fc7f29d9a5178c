/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of calls; threads take from its head in the order of posting. */
#include "base/workq.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/thread.h"

struct call {
	void (*run)(void *);
	void *arg;
};

struct workq {
	/* Constant after workq_new. */
	unsigned int depth;
	unsigned int nthreads;
	pthread_t *threads; /* owned */

	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* Under lock. */
	struct call *ring; /* owned, depth of them */
	unsigned int head, count;
	bool stop;
};

/* The next call; false when the queue has ended and is empty. */
static bool take(struct workq *q, struct call *out)
{
	LOCK_SCOPE(&q->lock);
	while (q->count == 0 && !q->stop)
		pthread_cond_wait(&q->changed, &q->lock);
	if (q->count == 0)
		return false;
	*out = q->ring[q->head];
	q->head = (q->head + 1) % q->depth;
	q->count--;
	return true;
}

static void *work(void *arg)
{
	struct workq *q = arg;
	struct call c;

	while (take(q, &c))
		c.run(c.arg);
	return NULL;
}

int workq_new(const char *name, unsigned int threads, unsigned int depth,
	      struct workq **out)
{
	struct workq *q = calloc(1, sizeof(*q));
	int err = 0;

	if (!q)
		return -ENOMEM;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	q->depth = depth;
	q->ring = calloc(depth, sizeof(*q->ring));
	q->threads = calloc(threads, sizeof(*q->threads));
	if (!q->ring || !q->threads)
		err = -ENOMEM;
	while (!err && q->nthreads < threads) {
		err = thread_start(&q->threads[q->nthreads], name, work, q);
		if (!err)
			q->nthreads++;
	}
	if (err) {
		workq_free(q);
		return err;
	}
	*out = q;
	return 0;
}

static void end(struct workq *q)
{
	LOCK_SCOPE(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->changed);
}

void workq_free(struct workq *q)
{
	if (!q)
		return;
	end(q);
	for (unsigned int i = 0; i < q->nthreads; i++)
		pthread_join(q->threads[i], NULL);
	pthread_cond_destroy(&q->changed);
	pthread_mutex_destroy(&q->lock);
	free(q->threads);
	free(q->ring);
	free(q);
}

int workq_post(struct workq *q, void (*run)(void *), void *arg)
{
	LOCK_SCOPE(&q->lock);
	if (q->count == q->depth || q->stop)
		return -EBUSY;
	q->ring[(q->head + q->count) % q->depth] = (struct call){run, arg};
	q->count++;
	pthread_cond_signal(&q->changed);
	return 0;
}
