/* SPDX-License-Identifier: Apache-2.0 */
/*
 * States:   CLOSED --open--> OPEN --end of file--> CLOSED ...
 *
 *   state   s->rdma   number                     fences of that number
 *   OPEN    set       that of this session       wait for a revoke
 *   CLOSED  NULL      (the next one is higher)   are done: its keys are dead
 *
 * A fence that belongs to another session than the present one is done,
 * because a session's number moves on only after its end was seen.
 *
 * Threads: one of its own opens, revokes and closes; any other mints tokens
 * under the lock.  The lock is a leaf and not held over anything that blocks.
 */
#include "xfer/session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#define OFFER_PATH "/.s3rdma/shm"
#define WATCH_MS 100     /* how late an end of file may be noticed */
#define RETRY_MS 500     /* after a server that did not answer */
#define REFUSED_MS 30000 /* after one that offers nothing */
#define REVOKE_MS 1000
#define OFFER_MS 3000

struct session {
	/* Constant after session_new. */
	struct s3 *s3;                  /* borrowed */
	const struct rdma_arena *arena; /* borrowed */
	bool wanted, asked_for;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t changed;

	/* Under lock. */
	struct rdma *rdma; /* owned; changed by the thread only */
	uint64_t number;   /* of the present session */
	bool was_open;
	struct list fences;
	uint64_t fenced;
	bool stop, awake;

	/* The thread's own. */
	uint64_t try_again_ms;
	bool told;
};

/* shm needs a server on this host; asking another costs it a request. */
static bool is_local(struct s3 *s3)
{
	const struct s3_config *cfg = s3_get_config(s3);
	const char *host = cfg->nurls == 1 ? strstr(cfg->urls[0], "://") : NULL;

	if (!host)
		return false;
	host += 3;
	return !strncmp(host, "127.", 4) || !strncmp(host, "localhost", 9) ||
	       !strncmp(host, "[::1]", 5);
}

static void publish(struct session *s, struct rdma *r)
{
	LOCK_SCOPE(&s->lock);
	s->rdma = r;
	if (r)
		s->was_open = true;
	else
		s->number++;
}

/* One line when it changes, not one a try. */
static void tell(struct session *s, const char *why)
{
	if (s->told)
		return;
	s->told = true;
	if (s->asked_for)
		log_warning("transport: no shm with this server: %s; objects "
			    "come by http",
			    why);
	else
		log_info("transport: http (%s)", why);
}

static void try_open(struct session *s)
{
	char name[128], ticket[64];
	struct s3_answer a;
	struct rdma *r;
	int err = s3_offer(s->s3, OFFER_PATH, OFFER_MS, &a);

	if (err || sscanf(a.offer, "%127s %63s", name, ticket) != 2) {
		const bool answered = a.status > 0 && a.status < 500;

		s->try_again_ms = clock_ms() +
				  (answered ? REFUSED_MS : RETRY_MS);
		if (answered || a.status == 501)
			tell(s, "the server does not offer it");
		return;
	}
	err = rdma_shm_open(name, ticket, s->arena, &r);
	if (err) {
		s->try_again_ms = clock_ms() + RETRY_MS;
		tell(s, strerror(-err));
		return;
	}
	publish(s, r);
	s->told = false;
	log_info("transport: %s", rdma_name(r));
}

static void close_dead(struct session *s)
{
	struct rdma *r = s->rdma;

	if (!r || rdma_alive(r))
		return;
	publish(s, NULL);
	rdma_close(r);
	s->try_again_ms = 0;
	log_info("transport: the shm session has ended");
}

/* The next fence, or NULL; *dead says whether its session is over. */
static struct xfer_fence *next_fence(struct session *s, bool *dead)
{
	struct xfer_fence *f;

	LOCK_SCOPE(&s->lock);
	if (list_empty(&s->fences))
		return NULL;
	f = list_first(&s->fences, struct xfer_fence, link);
	list_del(&f->link);
	*dead = f->session != s->number || !s->rdma;
	return f;
}

static void put_back(struct session *s, struct xfer_fence *f)
{
	LOCK_SCOPE(&s->lock);
	list_add_tail(&s->fences, &f->link);
}

static void count_fence(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	s->fenced++;
}

/* Carries out what fences it can. */
static void serve_fences(struct session *s)
{
	struct xfer_fence *f;
	bool dead;

	while ((f = next_fence(s, &dead))) {
		const int err = dead ? 0
				     : rdma_revoke(s->rdma, f->region,
						   REVOKE_MS);

		if (err) {
			put_back(s, f);
			if (err == -EPIPE)
				close_dead(s);
			else
				return; /* a server that does not answer */
			continue;
		}
		count_fence(s);
		f->done(f);
	}
}

static bool wait_for_work(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	if (!s->stop && !s->awake)
		thread_cond_wait_ms(&s->changed, &s->lock, WATCH_MS);
	s->awake = false;
	return !s->stop;
}

static void *run(void *arg)
{
	struct session *s = arg;

	while (wait_for_work(s)) {
		close_dead(s);
		serve_fences(s);
		if (s->wanted && !s->rdma && clock_ms() >= s->try_again_ms)
			try_open(s);
	}
	return NULL;
}

int session_new(const struct xfer_config *cfg, struct s3 *s3,
		const struct rdma_arena *arena, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->s3 = s3;
	s->arena = arena;
	s->asked_for = cfg->mode == XFER_SHM;
	s->wanted = s->asked_for || (cfg->mode == XFER_AUTO && is_local(s3));
	s->number = 1;
	pthread_mutex_init(&s->lock, NULL);
	thread_cond_init(&s->changed);
	list_init(&s->fences);
	/* Before the first read, so that it already goes the best way. */
	if (s->wanted)
		try_open(s);
	err = thread_start(&s->thread, "session", run, s);
	s->started = !err;
	if (err) {
		session_free(s);
		return err;
	}
	*out = s;
	return 0;
}

static void ask_to_stop(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
}

void session_free(struct session *s)
{
	bool dead;

	if (!s)
		return;
	if (s->started) {
		ask_to_stop(s);
		pthread_join(s->thread, NULL);
	}
	rdma_close(s->rdma);
	publish(s, NULL);
	/* With the session its keys are dead, or the process that held the
	 * memory is about to end. */
	for (struct xfer_fence *f; (f = next_fence(s, &dead));)
		f->done(f);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int session_token(struct session *s, struct xfer_span *span, size_t len,
		  char out[TOKEN_MAX])
{
	LOCK_SCOPE(&s->lock);
	if (!s->rdma || rdma_token(s->rdma, span->region, 0, len, out))
		return -ENOTCONN;
	span->session = s->number;
	return 0;
}

void session_wake(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	s->awake = true;
	pthread_cond_signal(&s->changed);
}

void session_fence(struct session *s, struct xfer_fence *f)
{
	LOCK_SCOPE(&s->lock);
	list_add_tail(&s->fences, &f->link);
	s->awake = true;
	pthread_cond_signal(&s->changed);
}

bool session_was_open(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	return s->was_open;
}

const char *session_transport(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	return s->rdma ? rdma_name(s->rdma) : NULL;
}

uint64_t session_fences(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	return s->fenced;
}
