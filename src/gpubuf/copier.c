/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that copies out of slots, to a GPU on several streams in turn, or
 * into an application's file.  A copy on a stream is waited for when its stream
 * comes round again, or when there is nothing else to do: so there are always
 * some under way, while slots are filled meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "gpubuf/gpubuf_int.h"

struct copier {
	struct gpu *gpu; /* borrowed; NULL: files only */
	pthread_t thread;
	bool started;

	/* The thread's own. */
	struct copy *under_way[DEVICE_STREAMS];
	unsigned int next; /* stream */

	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under lock. */
	struct list queue;
	bool stop;
};

static int write_file(const struct copy *c)
{
	uint64_t at = c->to;

	for (int i = 0; i < c->niov; i++) {
		const char *p = c->iov[i].iov_base;
		size_t left = c->iov[i].iov_len;

		while (left > 0) {
			const ssize_t n = pwrite(c->fd, p, left, (off_t)at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 && errno == ENOMEM ? -ENOMEM
								: -EFAULT;
			p += n;
			at += (uint64_t)n;
			left -= (size_t)n;
		}
	}
	return 0;
}

static int begin_copy(struct copier *k, struct copy *c)
{
	uint64_t to = c->to;
	int err = 0;

	for (int i = 0; i < c->niov && !err; i++) {
		err = k->gpu->ops->copy(k->gpu, k->next, to, c->iov[i].iov_base,
					c->iov[i].iov_len);
		to += c->iov[i].iov_len;
	}
	return err;
}

static void end_stream(struct copier *k, unsigned int stream)
{
	struct copy *c = k->under_way[stream];

	if (!c)
		return;
	k->under_way[stream] = NULL;
	c->done(c, k->gpu->ops->wait(k->gpu, stream));
}

static void carry_out(struct copier *k, struct copy *c)
{
	int err;

	if (c->fd >= 0) {
		c->done(c, write_file(c));
		return;
	}
	end_stream(k, k->next);
	err = begin_copy(k, c);
	if (err) {
		/* Some of it may have begun. */
		k->gpu->ops->wait(k->gpu, k->next);
		c->done(c, err);
		return;
	}
	k->under_way[k->next] = c;
	k->next = (k->next + 1) % DEVICE_STREAMS;
}

/* The next in the queue; without one, waits unless something is under way. */
static struct copy *take(struct copier *k, bool may_wait)
{
	struct copy *c;

	LOCK_SCOPE(&k->lock);
	while (may_wait && list_empty(&k->queue) && !k->stop)
		pthread_cond_wait(&k->wake, &k->lock);
	if (list_empty(&k->queue))
		return NULL;
	c = list_first(&k->queue, struct copy, link);
	list_del(&c->link);
	return c;
}

/* The stream that has been under way the longest; false: none. */
static bool end_oldest(struct copier *k)
{
	for (unsigned int i = 0; i < DEVICE_STREAMS; i++) {
		const unsigned int s = (k->next + i) % DEVICE_STREAMS;

		if (k->under_way[s]) {
			end_stream(k, s);
			return true;
		}
	}
	return false;
}

static void *run(void *arg)
{
	struct copier *k = arg;
	bool busy = false;

	for (;;) {
		struct copy *c = take(k, !busy);

		if (c) {
			carry_out(k, c);
			busy = true;
			continue;
		}
		if (!busy)
			return NULL; /* stopped */
		busy = end_oldest(k);
	}
}

int copier_new(struct gpu *gpu, struct copier **out)
{
	struct copier *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return -ENOMEM;
	k->gpu = gpu;
	list_init(&k->queue);
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->wake, NULL);
	err = thread_start(&k->thread, "copier", run, k);
	k->started = !err;
	if (err)
		copier_free(k);
	else
		*out = k;
	return err;
}

void copier_free(struct copier *k)
{
	if (!k)
		return;
	if (k->started) {
		{
			LOCK_SCOPE(&k->lock);
			k->stop = true;
			pthread_cond_signal(&k->wake);
		}
		pthread_join(k->thread, NULL);
	}
	pthread_cond_destroy(&k->wake);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

void copier_add(struct copier *k, struct copy *c)
{
	LOCK_SCOPE(&k->lock);
	list_add_tail(&k->queue, &c->link);
	pthread_cond_signal(&k->wake);
}
