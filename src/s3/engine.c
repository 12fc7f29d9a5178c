/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: any may submit.  A loop's thread owns its multi handle, its easy
 * handles (struct exec) and everything below "the loop's own"; only the inbox
 * is shared, under the loop's lock, which is a leaf.
 *
 * A call is in the inbox, then delayed (its due time has not come), then
 * waiting (no easy handle is free), then running on an exec, then done.  One
 * that waits too long is done without having run (queue.c).
 *
 * curl drives us by sockets (epoll) and one timer.  The easy handles are
 * reused for ever, and with them their connections: what a request costs
 * beyond its bytes is what bounds small reads.
 */
#include "s3/engine.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "s3/answer.h"
#include "s3/exec.h"
#include "s3/list.h"
#include "s3/outcome.h"
#include "s3/queue.h"
#include "s3/spread.h"

struct loop {
	/* Constant after engine_new. */
	struct engine *engine;
	pthread_t thread;
	bool started;
	int epoll_fd, wake_fd; /* owned */
	CURLM *multi;          /* owned */
	struct exec *execs;    /* owned */
	unsigned int nexecs;

	pthread_mutex_t lock;
	/* Under lock. */
	struct list inbox;
	bool stop, ended; /* ended: the thread takes nothing any more */

	/* The loop's own. */
	struct list idle;
	struct queue queue;
	uint64_t curl_due_ms; /* 0: curl wants no timer */
	uint64_t due_ms;      /* no running call is to be ended before */
	uint64_t heard_ms;    /* when data came last to those that ended */
	struct request_auth auth;

	/* Read by anybody. */
	atomic_ullong cpu_ns;
	atomic_uint load; /* calls between submit and done */
	atomic_ullong begun;
};

struct engine {
	const struct s3_config *cfg;
	const struct s3_url *urls;
	struct creds_source *creds;
	struct loop *loops; /* owned */
	unsigned int nloops;
	struct spread spread;
};

static_assert(S3_URLS_MAX <= SPREAD_MAX, "each endpoint has its place");

static _Thread_local bool on_loop;

bool engine_on_loop(void)
{
	return on_loop;
}

static unsigned int choose_url(struct engine *e, const struct s3_call *call)
{
	if (!call->url_pin && call->again)
		return spread_choose_again(&e->spread, clock_ms());
	if (!call->url_pin)
		return spread_choose(&e->spread, clock_ms());
	spread_take(&e->spread, call->url_pin - 1, clock_ms());
	return call->url_pin - 1;
}

static void finish(struct loop *l, struct s3_call *call)
{
	call->done(call);
	atomic_fetch_sub_explicit(&l->load, 1, memory_order_relaxed);
}

/* Ends a call that never reached curl. */
static void refuse(struct loop *l, struct s3_call *call, int curl)
{
	answer_reset(&call->answer);
	call->answer.curl = curl;
	finish(l, call);
}

/* Its time only moves away: the nearest that was seen stays a lower bound. */
static void note_due(struct loop *l, const struct exec *x, uint64_t flow)
{
	const uint64_t due = exec_due_ms(x, l->engine->cfg, flow);

	if (due < l->due_ms)
		l->due_ms = due;
}

static void start(struct loop *l, struct exec *x, struct s3_call *call,
		  uint64_t now, uint64_t flow)
{
	struct engine *e = l->engine;

	answer_reset(&call->answer);
	call->url = choose_url(e, call);
	creds_get(e->creds, &l->auth.creds);
	if (request_build(call, e->cfg, &e->urls[call->url], &l->auth,
			  time(NULL), &x->wire)) {
		list_add(&l->idle, &x->link);
		spread_done(&e->spread, call->url, SPREAD_OTHER, 0, 0);
		refuse(l, call, CURLE_URL_MALFORMAT);
		return;
	}
	exec_arm(x, call, now);
	note_due(l, x, flow);
	atomic_fetch_add_explicit(&l->begun, 1, memory_order_relaxed);
	if (curl_multi_add_handle(l->multi, x->easy) != CURLM_OK) {
		x->call = NULL;
		list_add(&l->idle, &x->link);
		spread_done(&e->spread, call->url, SPREAD_OTHER, 0, 0);
		refuse(l, call, CURLE_OUT_OF_MEMORY);
	}
}

static void note_url(struct engine *e, const struct exec *x,
		     const struct s3_call *call, CURLcode code)
{
	curl_off_t us = 0;

	curl_easy_getinfo(x->easy,
			  code == CURLE_OK ? CURLINFO_STARTTRANSFER_TIME_T
					   : CURLINFO_TOTAL_TIME_T,
			  &us);
	spread_done(&e->spread, call->url, outcome_of(call, code),
		    us > 0 ? (uint64_t)us : 0, clock_ms());
}

/* Takes a finished exec off the multi and completes its call. */
static void complete(struct loop *l, struct exec *x, CURLcode code)
{
	struct s3_call *call = x->call;
	struct s3_answer *a = &call->answer;

	curl_multi_remove_handle(l->multi, x->easy);
	x->call = NULL;
	if (x->heard_ms > l->heard_ms)
		l->heard_ms = x->heard_ms;
	list_add(&l->idle, &x->link); /* the last used is the warmest */
	a->curl = (int)code;
	a->cut_short = outcome_is_cut_short(l->engine->cfg, call, code,
					    clock_ms() - x->began_ms);
	if (x->error_len > 0)
		list_parse_error(x->error_body, x->error_len, a);
	note_url(l->engine, x, call, code);
	finish(l, call);
}

static void collect_finished(struct loop *l)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(l->multi, &left))) {
		struct exec *x;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &x);
		complete(l, x, m->data.result);
	}
}

/* After so long without any, no data is coming.  A line that has just died
 * must not make a deadline much longer. */
static uint64_t quiet_ms(const struct s3_config *cfg)
{
	const uint64_t half = cfg->deadline_ms / 2;

	return half && half < cfg->attempt_timeout_ms ? half
						      : cfg->attempt_timeout_ms;
}

/* While data comes, on a slow line, others' turn will come: when that must be
 * looked at again.  0: none does. */
static uint64_t flows_until(const struct loop *l)
{
	uint64_t heard = l->heard_ms;

	for (unsigned int i = 0; i < l->nexecs; i++)
		if (l->execs[i].call && l->execs[i].heard_ms > heard)
			heard = l->execs[i].heard_ms;
	return heard ? heard + quiet_ms(l->engine->cfg) : 0;
}

/* Behind collect_finished: none of those that run has ended by itself. */
static void end_due(struct loop *l)
{
	const uint64_t now = clock_ms();
	uint64_t flow;

	if (now < l->due_ms)
		return;
	l->due_ms = UINT64_MAX;
	flow = flows_until(l);
	for (unsigned int i = 0; i < l->nexecs; i++) {
		struct exec *x = &l->execs[i];

		if (x->call && exec_due_ms(x, l->engine->cfg, flow) <= now)
			complete(l, x, CURLE_OPERATION_TIMEDOUT);
		else if (x->call)
			note_due(l, x, flow);
	}
}

/* Moves what has arrived to where it waits; false once the loop shall end. */
static bool take_inbox(struct loop *l)
{
	const uint64_t now = clock_ms();
	struct list *e, *n;
	struct list taken;
	bool stop;

	list_init(&taken);
	{
		LOCK_SCOPE(&l->lock);
		list_move_all(&l->inbox, &taken);
		stop = l->stop;
	}
	list_for_each_safe(e, n, &taken)
	{
		list_del(e);
		queue_add(&l->queue, container_of(e, struct s3_call, link),
			  now);
	}
	return !stop;
}

/* Ends the waits that are over, which need no handle, and what is too late. */
static void end_waits(struct loop *l, uint64_t now, uint64_t flow)
{
	struct list over, *e, *n;

	list_init(&over);
	queue_settle(&l->queue, now, flow, &over);
	list_for_each_safe(e, n, &over)
	{
		struct s3_call *call = container_of(e, struct s3_call, link);

		list_del(e);
		refuse(l, call,
		       call->method == S3_WAIT ? CURLE_OK : S3_NOT_BEGUN);
	}
}

/* Who is not too late now begins now: a later look at the clock would see some
 * that should never have begun. */
static void start_waiting(struct loop *l)
{
	const uint64_t now = clock_ms();
	const uint64_t flow = queue_may_be_late(&l->queue, now) ? flows_until(l)
								: 0;
	struct s3_call *call;

	end_waits(l, now, flow);
	while (!list_empty(&l->idle) && (call = queue_next(&l->queue))) {
		struct exec *x = list_first(&l->idle, struct exec, link);

		list_del(&x->link);
		start(l, x, call, now, flow);
	}
}

/* How long epoll may sleep: until curl's timer, a delayed call, one that has
 * waited too long, or one that has run too long. */
static int sleep_ms(struct loop *l)
{
	const uint64_t now = clock_ms();
	uint64_t due = queue_due_ms(&l->queue);

	if (l->curl_due_ms && l->curl_due_ms < due)
		due = l->curl_due_ms;
	if (l->due_ms < due)
		due = l->due_ms;
	if (due == UINT64_MAX)
		return -1;
	due = due <= now ? 0 : due - now;
	return due < INT_MAX ? (int)due : INT_MAX;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct loop *l = arg;

	(void)multi;
	l->curl_due_ms = ms < 0 ? 0 : clock_ms() + (uint64_t)ms;
	return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
		     void *known)
{
	struct loop *l = arg;
	struct epoll_event ev = {.data.fd = fd};

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, &ev);
		curl_multi_assign(l->multi, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		ev.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		ev.events |= EPOLLOUT;
	epoll_ctl(l->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
	curl_multi_assign(l->multi, fd, l);
	return 0;
}

static void handle_event(struct loop *l, const struct epoll_event *ev)
{
	uint64_t count;
	int running, what = 0;

	if (ev->data.fd == l->wake_fd) {
		if (read(l->wake_fd, &count, sizeof(count)) < 0)
			count = 0; /* another wake has taken it */
		return;
	}
	if (ev->events & (EPOLLIN | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (ev->events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (ev->events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	curl_multi_socket_action(l->multi, ev->data.fd, what, &running);
}

/* Everything that is left ends unserved. */
static void abort_all(struct loop *l)
{
	struct list left, *e, *n;

	list_init(&left);
	for (unsigned int i = 0; i < l->nexecs; i++)
		if (l->execs[i].call)
			complete(l, &l->execs[i], CURLE_ABORTED_BY_CALLBACK);
	queue_empty(&l->queue, &left);
	list_for_each_safe(e, n, &left)
	{
		list_del(e);
		refuse(l, container_of(e, struct s3_call, link),
		       CURLE_ABORTED_BY_CALLBACK);
	}
}

/* Under stop: true when nothing came any more, and nothing will. */
static bool end_inbox(struct loop *l)
{
	take_inbox(l);
	LOCK_SCOPE(&l->lock);
	l->ended = list_empty(&l->inbox) && queue_is_empty(&l->queue);
	return l->ended;
}

static void *run_loop(void *arg)
{
	struct epoll_event events[64];
	struct loop *l = arg;
	int running;

	on_loop = true;
	while (take_inbox(l)) {
		int n;

		start_waiting(l);
		atomic_store_explicit(&l->cpu_ns, clock_thread_cpu_ns(),
				      memory_order_relaxed);
		n = epoll_wait(l->epoll_fd, events, ARRAY_SIZE(events),
			       sleep_ms(l));
		for (int i = 0; i < n; i++)
			handle_event(l, &events[i]);
		if (l->curl_due_ms && clock_ms() >= l->curl_due_ms) {
			l->curl_due_ms = 0;
			curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT,
						 0, &running);
		}
		collect_finished(l);
		end_due(l);
	}
	/* What completions submit meanwhile ends as well. */
	do
		abort_all(l);
	while (!end_inbox(l));
	return NULL;
}

static int start_loop(struct engine *e, struct loop *l, unsigned int nexecs)
{
	struct epoll_event ev = {.events = EPOLLIN};

	l->engine = e;
	l->due_ms = UINT64_MAX;
	pthread_mutex_init(&l->lock, NULL);
	list_init(&l->inbox);
	list_init(&l->idle);
	queue_init(&l->queue);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->multi = curl_multi_init();
	l->execs = calloc(nexecs, sizeof(*l->execs));
	if (l->epoll_fd < 0 || l->wake_fd < 0)
		return -errno;
	if (!l->multi || !l->execs)
		return -ENOMEM;
	for (; l->nexecs < nexecs; l->nexecs++) {
		struct exec *x = &l->execs[l->nexecs];

		if (exec_init(x, e->cfg))
			return -ENOMEM;
		list_add_tail(&l->idle, &x->link);
	}
	ev.data.fd = l->wake_fd;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, (long)nexecs);
	l->started = !thread_start(&l->thread, "s3-loop", run_loop, l);
	return l->started ? 0 : -EAGAIN;
}

int engine_new(const struct s3_config *cfg, const struct s3_url *urls,
	       struct creds_source *creds, struct engine **out)
{
	struct engine *e = calloc(1, sizeof(*e));
	int err = 0;

	if (!e)
		return -ENOMEM;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	e->cfg = cfg;
	e->urls = urls;
	spread_init(&e->spread, cfg->nurls);
	e->creds = creds;
	e->loops = calloc(cfg->loops, sizeof(*e->loops));
	if (!e->loops)
		err = -ENOMEM;
	while (!err && e->nloops < cfg->loops)
		err = start_loop(e, &e->loops[e->nloops++],
				 (cfg->connections + cfg->loops - 1) /
					 cfg->loops);
	if (err) {
		engine_free(e);
		return err;
	}
	*out = e;
	return 0;
}

static void wake(struct loop *l)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, and then it is awake. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void stop_loop(struct loop *l)
{
	{
		LOCK_SCOPE(&l->lock);
		l->stop = true;
	}
	wake(l);
	pthread_join(l->thread, NULL);
}

static void free_loop(struct loop *l)
{
	for (unsigned int i = 0; l->execs && i < l->nexecs; i++)
		curl_easy_cleanup(l->execs[i].easy);
	curl_multi_cleanup(l->multi);
	free(l->execs);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
}

void engine_stop(struct engine *e)
{
	for (unsigned int i = 0; i < e->nloops; i++) {
		if (e->loops[i].started)
			stop_loop(&e->loops[i]);
		e->loops[i].started = false;
	}
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	engine_stop(e);
	for (unsigned int i = 0; i < e->nloops; i++)
		free_loop(&e->loops[i]);
	free(e->loops);
	free(e);
}

void engine_submit(struct engine *e, struct s3_call *call)
{
	struct loop *l = &e->loops[0];
	bool was_empty = false, ended;

	for (unsigned int i = 1; i < e->nloops; i++)
		if (atomic_load_explicit(&e->loops[i].load,
					 memory_order_relaxed) <
		    atomic_load_explicit(&l->load, memory_order_relaxed))
			l = &e->loops[i];
	atomic_fetch_add_explicit(&l->load, 1, memory_order_relaxed);
	call->due_ms = call->delay_ms ? clock_ms() + call->delay_ms : 0;
	{
		LOCK_SCOPE(&l->lock);
		ended = l->ended;
		if (!ended) {
			was_empty = list_empty(&l->inbox);
			list_add_tail(&l->inbox, &call->link);
		}
	}
	if (ended)
		refuse(l, call, CURLE_ABORTED_BY_CALLBACK);
	else if (was_empty)
		wake(l);
}

void engine_get_stats(struct engine *e, struct engine_stats *out)
{
	*out = (struct engine_stats){0};
	for (unsigned int i = 0; i < e->nloops; i++) {
		out->cpu_ns += atomic_load(&e->loops[i].cpu_ns);
		out->in_flight += atomic_load(&e->loops[i].load);
		out->started += atomic_load(&e->loops[i].begun);
	}
}
