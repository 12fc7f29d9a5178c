/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: the loops take calls from one queue and run their callbacks; the
 * late ones take what is to be written long after its answer.
 */
#include "server.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"

#define LATE_MAX 4096
#define LATE_THREADS 2
#define LOOPS_MAX 16
#define PROMPT_PERCENT 85 /* of the requests are served well */

struct late {
	char token[200];
	uint64_t off, len, due_ns;
};

struct s3 {
	struct s3_config cfg;
	const struct wire *wire;
	pthread_t loops[LOOPS_MAX], lates[LATE_THREADS];
	unsigned int nloops;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	struct list queue;
	struct late late[LATE_MAX];
	unsigned int nlate;
	bool stop, ended;
	struct server_stats stats;
};

static _Thread_local bool on_loop;

/* ---- bytes ---- */

static uint64_t word(uint64_t i)
{
	i = (i + 1) * 0x9E3779B97F4A7C15ULL;
	i ^= i >> 29;
	i *= 0x9E3779B97F4A7C15ULL;
	return i ^ i >> 32;
}

void torture_pattern(uint64_t off, char *out, size_t n)
{
	assert(off % 8 == 0);
	for (size_t i = 0; i < n; i += 8) {
		const uint64_t w = word((off + i) / 8);

		memcpy(out + i, &w, n - i < 8 ? n - i : 8);
	}
}

long torture_check(uint64_t off, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint64_t w = word((off + i) / 8);

		if ((unsigned char)p[i] !=
		    (unsigned char)(w >> (8 * ((off + i) % 8))))
			return (long)i;
	}
	return -1;
}

/* ---- late writes ---- */

static void sleep_ns(uint64_t ns)
{
	const struct timespec t = {(time_t)(ns / 1000000000ULL),
				   (long)(ns % 1000000000ULL)};

	nanosleep(&t, NULL);
}

static void write_later(struct s3 *s, const char *token, uint64_t off,
			uint64_t len)
{
	struct late *l;

	LOCK_SCOPE(&s->lock);
	if (s->nlate == LATE_MAX)
		return;
	l = &s->late[s->nlate++];
	snprintf(l->token, sizeof(l->token), "%s", token);
	l->off = off;
	l->len = len;
	l->due_ns = clock_ns() + random_u32() % 4000000;
	pthread_cond_broadcast(&s->changed);
}

/* Takes any that is due; false once there is none and never will be. */
static bool next_late(struct s3 *s, struct late *out)
{
	LOCK_SCOPE(&s->lock);
	for (;;) {
		const uint64_t now = clock_ns();

		for (unsigned int i = 0; i < s->nlate; i++) {
			if (s->late[i].due_ns > now)
				continue;
			*out = s->late[i];
			s->late[i] = s->late[--s->nlate];
			return true;
		}
		if (s->ended && s->nlate == 0)
			return false;
		thread_cond_wait_ms(&s->changed, &s->lock, 1);
	}
}

static void *run_late(void *arg)
{
	struct s3 *s = arg;
	struct late l;

	while (next_late(s, &l)) {
		const int err = s->wire->write(l.token, l.off, l.len, true);

		LOCK_SCOPE(&s->lock);
		s->stats.late++;
		s->stats.refused_late += err != 0;
	}
	return NULL;
}

/* ---- answers ---- */

static const char *token_of(const struct s3_call *call)
{
	for (unsigned int i = 0; i < call->nheaders; i++)
		if (!strcmp(call->headers[i].name, "x-amz-rdma-token"))
			return call->headers[i].value;
	return NULL;
}

static void succeed(struct s3_call *call)
{
	struct s3_answer *a = &call->answer;

	a->status = 206;
	a->has_range = true;
	a->range_first = call->range_off;
	a->range_last = call->range_off + call->range_len - 1;
	a->range_total = TORTURE_OBJECT;
	snprintf(a->etag, sizeof(a->etag), "%s", TORTURE_ETAG);
}

static void say_moved(struct s3_call *call, uint64_t bytes)
{
	succeed(call);
	call->answer.reply = S3_REPLY_OK;
	call->answer.has_reply_bytes = true;
	call->answer.reply_bytes = bytes;
}

static void say_body(struct s3_call *call, uint64_t place)
{
	static _Thread_local char buffer[64 << 10];
	uint64_t at = 0;

	succeed(call);
	while (at < call->range_len) {
		const uint64_t left = call->range_len - at;
		const size_t n = left < sizeof(buffer) ? left : sizeof(buffer);

		torture_pattern(place + at, buffer, n);
		if (!call->sink(call, buffer, n)) {
			call->answer.curl = CURLE_WRITE_ERROR;
			return;
		}
		call->answer.body += n;
		at += n;
	}
}

static void say_curl(struct s3_call *call, int code)
{
	call->answer.curl = code;
}

static void say_status(struct s3_call *call, int status)
{
	call->answer.status = status;
}

/* One way to go wrong for a request with a token. */
static void misbehave(struct s3 *s, struct s3_call *call, const char *token,
		      uint64_t place)
{
	const uint64_t len = call->range_len;

	switch (random_u32() % 10) {
	case 0: /* an error now, the write later */
		write_later(s, token, place, len);
		say_status(call, 500);
		break;
	case 1: /* no answer in time, and two writes later */
		write_later(s, token, place, len);
		write_later(s, token, place, len);
		say_curl(call, CURLE_OPERATION_TIMEDOUT);
		break;
	case 2: /* written twice, then answered */
		s->wire->write(token, place, len, true);
		if (s->wire->write(token, place, len, false))
			say_status(call, 500);
		else
			say_moved(call, len);
		break;
	case 3: /* less than asked for, and said so */
		s->wire->write(token, place, len / 2, false);
		say_moved(call, len / 2);
		break;
	case 4: /* less than asked for; then it fails, and goes on */
		s->wire->write(token, place, len / 2, true);
		write_later(s, token, place, len);
		say_status(call, 503);
		break;
	case 5: /* more than asked for */
		s->wire->write(token, place, 2 * len, true);
		write_later(s, token, place, 2 * len);
		say_moved(call, 2 * len);
		break;
	case 6: /* reset after a transfer that goes on */
		s->wire->write(token, place, len, true);
		write_later(s, token, place, len);
		say_curl(call, CURLE_RECV_ERROR);
		break;
	case 7: /* begun, then declined with the bytes in the body */
		write_later(s, token, place, len);
		say_body(call, place);
		call->answer.reply = S3_REPLY_DECLINED;
		break;
	case 8: /* a token-blind server */
		say_body(call, place);
		break;
	case 9: /* declined: nothing will be written */
		say_status(call, 501);
		break;
	}
}

static void serve_get(struct s3 *s, struct s3_call *call)
{
	const uint64_t place = strtoull(call->key, NULL, 10) * TORTURE_OBJECT +
			       call->range_off;
	const char *token = token_of(call);

	call->answer.sent = true;
	{
		LOCK_SCOPE(&s->lock);
		s->stats.gets++;
		s->stats.with_token += token != NULL;
	}
	if (!token)
		say_body(call, place);
	else if (random_u32() % 100 >= PROMPT_PERCENT)
		misbehave(s, call, token, place);
	else if (s->wire->write(token, place, call->range_len, false))
		say_status(call, 500);
	else
		say_moved(call, call->range_len);
}

static void serve(struct s3 *s, struct s3_call *call, bool aborting)
{
	call->answer = (struct s3_answer){.content_length = UINT64_MAX};
	if (aborting)
		call->answer.curl = CURLE_ABORTED_BY_CALLBACK;
	else if (call->method == S3_WAIT)
		sleep_ns(20000); /* real back-off would take hours */
	else
		serve_get(s, call);
	call->done(call);
}

static struct s3_call *next_call(struct s3 *s, bool *aborting)
{
	LOCK_SCOPE(&s->lock);
	while (list_empty(&s->queue) && !s->stop)
		pthread_cond_wait(&s->changed, &s->lock);
	*aborting = s->stop;
	if (list_empty(&s->queue))
		return NULL;
	{
		struct s3_call *call = list_first(&s->queue, struct s3_call,
						  link);

		list_del(&call->link);
		return call;
	}
}

static void *run_loop(void *arg)
{
	struct s3 *s = arg;
	struct s3_call *call;
	bool aborting;

	on_loop = true;
	while ((call = next_call(s, &aborting)))
		serve(s, call, aborting);
	return NULL;
}

/* ---- what xfer calls ---- */

void s3_submit(struct s3 *s, struct s3_call *call)
{
	LOCK_SCOPE(&s->lock);
	list_add_tail(&s->queue, &call->link);
	pthread_cond_broadcast(&s->changed);
}

int s3_once(struct s3 *s, struct s3_call *call)
{
	call->answer = (struct s3_answer){.status = 200};
	s->wire->offer(call);
	return call->answer.status == 200 ? 0 : -EIO;
}

bool s3_on_loop(void)
{
	return on_loop;
}

const struct s3_config *s3_get_config(const struct s3 *s)
{
	return &s->cfg;
}

void s3_count_retry(struct s3 *s)
{
	(void)s;
}

bool s3_renew_creds(struct s3 *s)
{
	(void)s;
	return false;
}

void s3_log_failure(struct s3 *s, const struct s3_call *call, const char *what)
{
	(void)s;
	(void)call;
	(void)what;
}

struct s3 *server_new(const struct wire *wire, unsigned int threads)
{
	struct s3 *s = calloc(1, sizeof(*s));

	assert(s && threads <= LOOPS_MAX);
	s->wire = wire;
	s->cfg = (struct s3_config){.urls = {"http://127.0.0.1:1"},
				    .nurls = 1,
				    .deadline_ms = 600000};
	pthread_mutex_init(&s->lock, NULL);
	thread_cond_init(&s->changed);
	list_init(&s->queue);
	for (; s->nloops < threads; s->nloops++)
		thread_start(&s->loops[s->nloops], "loop", run_loop, s);
	for (int i = 0; i < LATE_THREADS; i++)
		thread_start(&s->lates[i], "late", run_late, s);
	return s;
}

static void set_flag(struct s3 *s, bool *flag)
{
	LOCK_SCOPE(&s->lock);
	*flag = true;
	pthread_cond_broadcast(&s->changed);
}

void server_stop(struct s3 *s)
{
	set_flag(s, &s->stop);
	for (unsigned int i = 0; i < s->nloops; i++)
		pthread_join(s->loops[i], NULL);
	set_flag(s, &s->ended);
	for (int i = 0; i < LATE_THREADS; i++)
		pthread_join(s->lates[i], NULL);
}

void server_free(struct s3 *s)
{
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct server_stats server_stats(struct s3 *s)
{
	LOCK_SCOPE(&s->lock);
	return s->stats;
}
