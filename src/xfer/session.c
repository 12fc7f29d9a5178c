/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   state    open.rdma  dying  number                   fences of that number
 *   CLOSED   NULL       NULL   the next one's           none can be
 *   OPEN     set        NULL   the present one's        wait for a revoke
 *   ENDING   NULL       set    the present one's        wait for the end
 *
 *   CLOSED -> OPEN -> ENDING -> CLOSED, and its number moves on: only then
 *   are all keys of the ended session dead, and its fences done.
 *
 * ENDING lasts as long as somebody is still in the session (session_enter).
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
#include "xfer/session_int.h"

#define WATCH_MS 100     /* how late the end of a session may be noticed */
#define RETRY_MS 500     /* after a server that did not answer */
#define REFUSED_MS 30000 /* after one that offers nothing */
#define REVOKE_MS 1000

static void set_why(struct session *s, const char *why)
{
	LOCK_SCOPE(&s->lock);
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void set_holds(struct session *s, bool holds)
{
	LOCK_SCOPE(&s->lock);
	s->holds = holds;
	pthread_cond_broadcast(&s->settled);
}

static void publish(struct session *s, const struct opened *o, uint64_t synced)
{
	LOCK_SCOPE(&s->lock);
	assert(!s->open.rdma && !s->dying && s->holds);
	s->open = *o;
	s->synced = synced;
	pthread_cond_broadcast(&s->settled);
	s->was_open = true;
	s->health = (struct health){0};
	s->why[0] = '\0';
}

/* One line when it changes, not one a try. */
static void tell(struct session *s, const char *why)
{
	const enum xfer_mode mode = s->cfg.xfer->mode;

	set_why(s, why);
	if (s->told)
		return;
	s->told = true;
	if (mode != XFER_AUTO)
		log_warning("transport: %s; objects come by http", why);
	else
		log_info("transport: http (%s)", why);
}

/* A server that offered it once may do so again any moment: its device is
 * away, or it was restarted.  It is asked less and less often. */
static uint64_t refused_ms(struct session *s)
{
	if (!session_was_open(s) || s->refusals >= SESSION_REFUSALS)
		return REFUSED_MS;
	return (uint64_t)RETRY_MS << s->refusals++;
}

static void try_open(struct session *s)
{
	char why[256] = "";
	struct opened o = {0};
	enum open_result r;

	set_holds(s, true);
	r = session_open(s, &o, why, sizeof(why));
	if (r == OPEN_DONE) {
		const struct rdma_place *p = rdma_get_place(o.rdma);

		publish(s, &o, rdma_sync(o.rdma));
		s->told = false;
		s->was_connection = o.path == XFER_BY_RC && !o.pairs;
		s->refusals = 0;
		log_info("transport: %s%s%s", rdma_name(o.rdma),
			 p->device[0] ? " on " : "", p->device);
		return;
	}
	set_holds(s, false);
	s->try_again_ms = clock_ms() +
			  (r == OPEN_REFUSED ? refused_ms(s) : RETRY_MS);
	if (why[0])
		tell(s, why);
}

/* A new connection begins with a clean sheet; not more than once a period,
 * for where the hand-shake works the transfers may fail all the same. */
static void forgive(struct session *s)
{
	const uint64_t now = clock_ms();

	LOCK_SCOPE(&s->lock);
	s->why[0] = '\0';
	s->generation++;
	if (s->forgiven_ms && now - s->forgiven_ms < HEALTH_PERIOD_MS)
		return;
	s->health = (struct health){0};
	s->forgiven_ms = now;
}

/* OPEN -> ENDING. */
static void begin_end(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	s->dying = s->open.rdma;
	s->open.rdma = NULL;
	snprintf(s->why, sizeof(s->why), "the %s session has ended",
		 rdma_name(s->dying));
}

/* An rc session whose connection has gone gets another. */
static void reconnect(struct session *s)
{
	char why[256] = "";
	enum open_result r;

	if (!s->open.rdma || s->open.path != XFER_BY_RC || s->open.pairs ||
	    rdma_rc_connected(s->open.rdma) || clock_ms() < s->try_again_ms)
		return;
	r = session_connect(s, s->open.rdma, why, sizeof(why));
	if (r == OPEN_DONE) {
		forgive(s);
		log_info("transport: rc is connected again");
	} else {
		set_why(s, why);
	}
	/* Not at once after a success either: a server that knows none of its
	 * connections must not be asked for one with each get. */
	s->try_again_ms = clock_ms() + RETRY_MS;
	/* It has stopped to offer rc: begin again, with what else there is. */
	if (r == OPEN_REFUSED)
		begin_end(s);
}

static bool is_deserted(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	return s->users == 0;
}

static void move_on(struct session *s)
{
	struct list *e, *n;

	LOCK_SCOPE(&s->lock);
	s->number++;
	/* What no revoke could do, the end of the session has done. */
	list_for_each_safe(e, n, &s->failed)
	{
		list_del(e);
		list_add_tail(&s->fences, e);
		s->nfailed--;
	}
}

static void close_dead(struct session *s)
{
	if (s->open.rdma && !rdma_alive(s->open.rdma)) {
		log_info("transport: the %s session has ended",
			 rdma_name(s->open.rdma));
		begin_end(s);
	}
	if (!s->dying || !is_deserted(s))
		return;
	session_say_goodbye(s, s->dying);
	rdma_close(s->dying);
	s->dying = NULL;
	set_holds(s, false);
	move_on(s);
	s->try_again_ms = 0;
}

/* The next fence that can be carried out, or NULL; *dead says whether its
 * session is over. */
static struct xfer_fence *next_fence(struct session *s, bool *dead)
{
	struct list *e, *n;

	LOCK_SCOPE(&s->lock);
	list_for_each_safe(e, n, &s->fences)
	{
		struct xfer_fence *f = container_of(e, struct xfer_fence, link);

		*dead = f->session != s->number;
		if (!*dead && !s->open.rdma)
			continue; /* the session is ending */
		list_del(&f->link);
		return f;
	}
	return NULL;
}

static void put_to(struct session *s, struct list *list, struct xfer_fence *f)
{
	LOCK_SCOPE(&s->lock);
	if (list == &s->failed)
		s->nfailed++;
	list_add_tail(list, &f->link);
}

static void finish(struct session *s, struct xfer_fence *f)
{
	{
		LOCK_SCOPE(&s->lock);
		s->fenced++;
	}
	f->done(f);
}

/* Carries out what fences it can. */
static void serve_fences(struct session *s)
{
	struct xfer_fence *f;
	bool dead;

	while ((f = next_fence(s, &dead))) {
		const int err = dead ? 0
				     : rdma_revoke(s->open.rdma, f->region,
						   REVOKE_MS);

		if (!err) {
			finish(s, f);
		} else if (err == -EPIPE) {
			put_to(s, &s->fences, f);
			close_dead(s);
		} else if (err == -ETIMEDOUT) {
			put_to(s, &s->fences, f);
			return; /* a server that does not answer */
		} else {
			log_error("transport: a memory key of %s could not be "
				  "made to die: %s; its slot is out of use "
				  "until the session ends",
				  rdma_name(s->open.rdma), strerror(-err));
			put_to(s, &s->failed, f);
		}
	}
}

static void sync_peers(struct session *s)
{
	uint64_t version;

	if (!s->open.rdma)
		return;
	version = rdma_sync(s->open.rdma);
	LOCK_SCOPE(&s->lock);
	s->synced = version;
	pthread_cond_broadcast(&s->settled);
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
		sync_peers(s);
		serve_fences(s);
		reconnect(s);
		if (s->cfg.xfer->mode != XFER_HTTP && !s->open.rdma &&
		    !s->dying && clock_ms() >= s->try_again_ms)
			try_open(s);
	}
	return NULL;
}

/* "https://[::1]:9000" -> "::1" */
static void host_of(const char *url, char *out, size_t cap)
{
	const char *host = strstr(url, "://");
	size_t n;

	host = host ? host + 3 : url;
	if (*host == '[')
		n = strcspn(++host, "]");
	else
		n = strcspn(host, ":/");
	snprintf(out, cap, "%.*s", (int)n, host);
}

int session_new(const struct session_config *cfg, struct session **out)
{
	const struct s3_config *s3 = s3_get_config(cfg->s3);
	struct session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->cfg = *cfg;
	host_of(s3->urls[cfg->url], s->host, sizeof(s->host));
	/* shm needs a server on this host; asking another costs a request. */
	s->is_local = s3->nurls == 1 && (!strncmp(s->host, "127.", 4) ||
					 !strcmp(s->host, "localhost") ||
					 !strcmp(s->host, "::1"));
	s->number = 1;
	pthread_mutex_init(&s->lock, NULL);
	thread_cond_init(&s->changed);
	thread_cond_init(&s->settled);
	list_init(&s->fences);
	list_init(&s->failed);
	/* Before the first read, so that it already goes the best way. */
	if (cfg->xfer->mode != XFER_HTTP)
		try_open(s);
	else
		set_why(s, "transport.mode is http");
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
	rdma_close(s->open.rdma);
	rdma_close(s->dying);
	s->open.rdma = NULL;
	move_on(s);
	for (struct xfer_fence *f; (f = next_fence(s, &dead));)
		f->done(f);
	pthread_cond_destroy(&s->changed);
	pthread_cond_destroy(&s->settled);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

bool session_offer(struct session *s, struct xfer_span *span, size_t len,
		   struct offer *out)
{
	const struct xfer_config *cfg = s->cfg.xfer;
	struct rdma *r;

	LOCK_SCOPE(&s->lock);
	r = s->open.rdma;
	if (!r || (s->open.path != XFER_BY_SHM && len < cfg->min_size &&
		   !cfg->require))
		return false;
	if (s->open.pairs
		    ? !rdma_reaches(r, span->region)
		    : rdma_token(r, span->region, span->at, len, out->token))
		return false;
	if (!health_may_offer(&s->health, clock_ms()) && !cfg->require)
		return false;
	out->way = s->open.pairs ? OFFER_PAIR : OFFER_TOKEN;
	out->path = s->open.path;
	out->session = s;
	out->number = s->number;
	out->generation = s->generation;
	out->url = s->cfg.url;
	snprintf(out->local, sizeof(out->local), "%s",
		 rdma_get_place(r)->address);
	span->session = s->number;
	span->rail = s->cfg.rail;
	s->users += s->open.pairs;
	return true;
}

struct rdma *session_enter(struct session *s, uint64_t number)
{
	LOCK_SCOPE(&s->lock);
	if (!s->open.rdma || s->number != number)
		return NULL;
	s->users++;
	return s->open.rdma;
}

void session_leave(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	assert(s->users > 0);
	s->users--;
}

void session_note(struct session *s, const struct offer *o, enum health_event e)
{
	LOCK_SCOPE(&s->lock);
	/* Of an earlier connection: no word about this one. */
	if (o->number != s->number || o->generation != s->generation)
		return;
	health_note(&s->health, e, clock_ms());
	/* Perhaps it is the connection alone: the server was restarted, or its
	 * end has failed.  Nobody would learn that from requests without a
	 * token, so it is made anew. */
	if (s->health.faults == HEALTH_FAULTS && s->open.rdma &&
	    s->open.path == XFER_BY_RC && !s->open.pairs) {
		rdma_rc_lost(s->open.rdma);
		s->awake = true;
		pthread_cond_signal(&s->changed);
	}
}

int session_delivered(struct session *s, const struct offer *o,
		      const struct xfer_span *span, size_t len)
{
	struct rdma *r = session_enter(s, o->number);
	int err = r ? rdma_flush(r, span->region, span->at + len - 1) : 0;

	if (err && !rdma_alive(r))
		err = -EPIPE;
	if (r)
		session_leave(s);
	LOCK_SCOPE(&s->lock);
	/* A session that has ended took its keys with it, and what had come
	 * before stands in memory that the NIC has let go; one that is ending
	 * cannot flush any more. */
	if (!r && s->number == o->number)
		err = -EPIPE;
	if (!err)
		s->bytes += len;
	return err;
}

void session_wake(struct session *s, const struct offer *lost)
{
	LOCK_SCOPE(&s->lock);
	if (lost && lost->number == s->number &&
	    lost->generation == s->generation && s->open.rdma &&
	    s->open.path == XFER_BY_RC && !s->open.pairs)
		rdma_rc_lost(s->open.rdma);
	s->awake = true;
	pthread_cond_signal(&s->changed);
}

/* Under the lock: a session that is being made has what it began with. */
static bool is_behind(const struct session *s, uint64_t version, bool hidden)
{
	return s->open.rdma ? s->synced < version : hidden && s->holds;
}

bool session_sync(struct session *s, uint64_t version, bool hidden,
		  uint64_t until_ms)
{
	LOCK_SCOPE(&s->lock);
	s->awake = true;
	pthread_cond_signal(&s->changed);
	while (is_behind(s, version, hidden) && clock_ms() < until_ms)
		thread_cond_wait_ms(&s->settled, &s->lock, WATCH_MS);
	return !is_behind(s, version, hidden);
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

int session_node(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	return s->open.rdma ? rdma_get_place(s->open.rdma)->numa : -1;
}

uint64_t session_fences(struct session *s, uint64_t *failed)
{
	LOCK_SCOPE(&s->lock);
	*failed = s->nfailed;
	return s->fenced;
}

void session_describe(struct session *s, struct xfer_rail *out)
{
	static const struct rdma_place nowhere = {.numa = -1};
	struct rdma *r;

	LOCK_SCOPE(&s->lock);
	r = s->open.rdma;
	*out = (struct xfer_rail){.transport = r ? rdma_name(r) : "http",
				  .protocol = !r || s->open.path != XFER_BY_RC
						      ? ""
					      : s->open.pairs ? "hipobj-rc-v2"
							      : "persistent",
				  .url = s->cfg.url,
				  .place = r ? *rdma_get_place(r) : nowhere,
				  .bytes = s->bytes};
	snprintf(out->why, sizeof(out->why), "%s",
		 r && !s->why[0] && s->health.declines >= HEALTH_DECLINES
			 ? "the server declines transfers: look at its own log"
		 : r && !s->why[0] && s->health.faults >= HEALTH_FAULTS
			 ? "transfers fail or time out: check the fabric "
			   "between this host and the server (MTU, PFC, routes)"
			 : s->why);
}
