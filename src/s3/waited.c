/* SPDX-License-Identifier: Apache-2.0 */
/* Blocking calls: a condition that the loop's thread signals, and retries. */
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "s3/client.h"
#include "s3/retry.h"

static void wake_waiter(struct s3_call *call)
{
	struct waited *w = call->ctx;

	LOCK_SCOPE(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->changed);
}

/* With all retries. */
static uint64_t limit_of(const struct s3 *s3, const struct s3_call *call)
{
	return call->timeout_ms ? call->timeout_ms : s3->cfg.deadline_ms;
}

void waited_start(struct s3 *s3, struct waited *w)
{
	assert(!s3_on_loop());
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->done = false;
	w->call.ctx = w;
	w->call.urgent = true; /* somebody waits for a name */
	if (!w->call.until_ms)
		w->call.until_ms = clock_ms() + limit_of(s3, &w->call);
	w->call.done = wake_waiter;
	s3_submit(s3, &w->call);
}

void waited_end(struct waited *w)
{
	{
		LOCK_SCOPE(&w->lock);
		while (!w->done)
			pthread_cond_wait(&w->changed, &w->lock);
	}
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
}

/* Credentials that have expired: the answer to a HEAD has no body that would
 * tell so. */
static bool may_have_expired(struct s3 *s3, const struct s3_call *call)
{
	const struct s3_answer *a = &call->answer;

	return call->method == S3_HEAD && !a->curl && !a->code[0] &&
	       (a->status == 400 || a->status == 403) &&
	       creds_are_temporary(s3->creds);
}

/*
 * Shall the call be made again?  Sets its delay.  err is the verdict's.
 */
static bool again(struct s3 *s3, struct s3_call *call, unsigned int attempt,
		  uint64_t until_ms, int *err)
{
	const struct s3_answer *a = &call->answer;
	struct s3_verdict v = s3_error_classify(a->curl, a->status, a->code);

	if (may_have_expired(s3, call))
		v.retry = S3_RETRY_REFRESH;
	*err = v.err;
	if (a->curl == CURLE_ABORTED_BY_CALLBACK)
		return false; /* the client is being stopped */
	if (!v.err || v.retry == S3_RETRY_NEVER)
		return false;
	if (v.retry == S3_RETRY_REFRESH) {
		if (attempt > 0)
			return false;
		creds_refresh(s3->creds);
	}
	call->delay_ms = s3_retry_delay(attempt, random_u32());
	/* It would never begin, and the cause would be lost. */
	if (clock_ms() + call->delay_ms >= until_ms)
		return false;
	s3_count_retry(s3);
	return true;
}

/* ENOENT and ESTALE are ordinary and not logged, nor is that the client is
 * being stopped. */
int waited_finish(struct s3 *s3, struct waited *w, const char *what)
{
	/* Who sets a limit of his own reports the failure himself. */
	const bool limit_is_callers = w->call.timeout_ms != 0;
	/* Not from its first beginning, which may have been ahead of need. */
	const uint64_t until = clock_ms() + limit_of(s3, &w->call);
	unsigned int attempt = 0;
	int err;

	for (;;) {
		waited_end(w);
		if (!again(s3, &w->call, attempt++, until, &err))
			break;
		w->call.until_ms = until;
		waited_start(s3, w);
	}
	if (err && err != -ENOENT && err != -ESTALE && !limit_is_callers &&
	    w->call.answer.curl != CURLE_ABORTED_BY_CALLBACK)
		s3_log_failure(s3, &w->call, what);
	return err;
}
