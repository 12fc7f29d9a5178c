/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/exec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "s3/answer.h"
#include "s3/queue.h"

#define MARKS 8                     /* of a body, see exec_due_ms */
#define RECEIVE_BUFFER (512L << 10) /* measured: 16 KiB costs twice the CPU */

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct exec *x = arg;

	return answer_header(x->call, data, size * n) ? 0 : size * n;
}

static void note_data(struct exec *x)
{
	const struct s3_call *call = x->call;

	if (call->answer.body < x->next_mark)
		return;
	x->heard_ms = clock_ms();
	x->next_mark = call->answer.body +
		       (call->range_len + MARKS - 1) / MARKS;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct exec *x = arg;
	struct s3_call *call = x->call;
	const size_t len = size * n;
	size_t keep = sizeof(x->error_body) - x->error_len;

	if (call->answer.status >= 200 && call->answer.status < 300 &&
	    call->sink) {
		if (!call->sink(call, data, len))
			return 0;
		call->answer.body += len;
		note_data(x);
		return len;
	}
	/* An error document: its beginning says all that we use. */
	if (keep > len)
		keep = len;
	memcpy(x->error_body + x->error_len, data, keep);
	x->error_len += keep;
	return len;
}

/*
 * Runs each time curl is about to send.  curl sends again by itself when a
 * reused connection dies under a request; with a right to write out that must
 * not happen, because the first copy may still be served.
 */
static int on_send(void *arg, char *remote, char *local, int rport, int lport)
{
	struct exec *x = arg;

	(void)remote;
	(void)local;
	(void)rport;
	(void)lport;
	x->call->answer.sent = true;
	if (x->sends++ > 0 && x->call->is_grant)
		return CURL_PREREQFUNC_ABORT;
	return CURL_PREREQFUNC_OK;
}

int exec_init(struct exec *x, const struct s3_config *cfg)
{
	CURL *c = curl_easy_init();

	x->easy = c;
	if (!c)
		return -ENOMEM;
	curl_easy_setopt(c, CURLOPT_PRIVATE, x);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)cfg->connect_timeout_ms);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_PREREQFUNCTION, on_send);
	curl_easy_setopt(c, CURLOPT_PREREQDATA, x);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "s3rdmafs");
	if (cfg->ca_file)
		curl_easy_setopt(c, CURLOPT_CAINFO, cfg->ca_file);
	return 0;
}

static void set_method(struct exec *x)
{
	CURL *c = x->easy;

	switch (x->call->method) {
	case S3_GET:
		curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
		break;
	case S3_HEAD:
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
		break;
	case S3_POST:
		curl_easy_setopt(c, CURLOPT_NOBODY, 0L);
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, "");
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 0L);
		break;
	case S3_WAIT:
		break;
	}
}

uint64_t exec_due_ms(const struct exec *x, const struct s3_config *cfg,
		     uint64_t flow)
{
	const struct s3_call *call = x->call;
	const uint64_t ms = call->timeout_ms ? call->timeout_ms
					     : cfg->attempt_timeout_ms;
	const uint64_t late = queue_late_at(call, flow);

	if (x->heard_ms)
		return x->heard_ms + ms;
	return late && late < x->began_ms + ms ? late : x->began_ms + ms;
}

void exec_arm(struct exec *x, struct s3_call *call, uint64_t now)
{
	char local[64];

	for (unsigned int i = 0; i < x->wire.nheaders; i++)
		x->slist[i] = (struct curl_slist){
			x->wire.headers[i],
			i + 1 < x->wire.nheaders ? &x->slist[i + 1] : NULL};
	x->call = call;
	x->sends = 0;
	x->error_len = 0;
	x->began_ms = now;
	x->heard_ms = 0;
	/* Who sets a limit means the whole. */
	x->next_mark = call->range_len && !call->timeout_ms ? 1 : UINT64_MAX;
	set_method(x);
	/* One that is bound elsewhere is not reused for it; but a request that
	 * does not care may get any, bound ones too: hence fresh. */
	snprintf(local, sizeof(local), "host!%s",
		 call->local ? call->local : "");
	curl_easy_setopt(x->easy, CURLOPT_INTERFACE,
			 call->local ? local : NULL);
	curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, call->fresh ? 1L : 0L);
	curl_easy_setopt(x->easy, CURLOPT_URL, x->wire.url);
	curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->slist);
}
