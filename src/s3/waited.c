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

void waited_start(struct s3 *s3, struct waited *w)
{
	assert(!s3_on_loop());
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->changed, NULL);
	w->done = false;
	w->call.ctx = w;
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

/*
 * Shall the call be made again?  Sets its delay.  err is the verdict's.
 */
static bool again(struct s3 *s3, struct s3_call *call, unsigned int attempt,
		  uint64_t until_ms, int *err)
{
	const struct s3_answer *a = &call->answer;
	const struct s3_verdict v = s3_error_classify(a->curl, a->status,
						      a->code);

	*err = v.err;
	if (a->curl == CURLE_ABORTED_BY_CALLBACK)
		return false; /* the client is being stopped */
	if (!v.err || v.retry == S3_RETRY_NEVER || clock_ms() >= until_ms)
		return false;
	if (v.retry == S3_RETRY_REFRESH) {
		if (attempt > 0)
			return false;
		creds_refresh(s3->creds);
	}
	call->delay_ms = s3_retry_delay(attempt, random_u32());
	s3_count_retry(s3);
	return true;
}

/* ENOENT and ESTALE are ordinary and not logged, nor is that the client is
 * being stopped. */
int waited_finish(struct s3 *s3, struct waited *w, const char *what)
{
	/* Who sets a limit of his own reports the failure himself. */
	const bool limit_is_callers = w->call.timeout_ms != 0;
	const uint64_t limit = w->call.timeout_ms ? w->call.timeout_ms
						  : s3->cfg.deadline_ms;
	const uint64_t until = clock_ms() + limit;
	unsigned int attempt = 0;
	int err;

	for (;;) {
		uint64_t now;

		waited_end(w);
		if (!again(s3, &w->call, attempt++, until, &err))
			break;
		now = clock_ms();
		if (w->call.timeout_ms)
			w->call.timeout_ms = until > now ? until - now : 1;
		waited_start(s3, w);
	}
	if (err && err != -ENOENT && err != -ESTALE && !limit_is_callers &&
	    w->call.answer.curl != CURLE_ABORTED_BY_CALLBACK)
		s3_log_failure(s3, &w->call, what);
	return err;
}
