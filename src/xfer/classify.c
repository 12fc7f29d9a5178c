/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/classify.h"

#include <string.h>

/* One server sends "OK\n" behind a transfer. */
#define STRAY_BODY 16

bool classify_range_fits(const struct classify_input *in)
{
	const struct s3_answer *a = in->answer;
	const bool whole = in->off == 0 && in->len == in->object_len;

	if (a->has_range)
		return a->range_first == in->off &&
		       a->range_last == in->off + in->len - 1 &&
		       a->range_total == in->object_len;
	/* 200 without a range is the whole object, whatever was asked. */
	return whole || (a->status == 206 && !in->need_range);
}

static struct classify_result result(enum classify_verdict v, bool fence,
				     bool declined)
{
	return (struct classify_result){
		.verdict = v, .fence = fence, .declined = declined};
}

/* Row 9: what stands in the window is nothing. */
static struct classify_result failed(void)
{
	return (struct classify_result){
		.verdict = CLASSIFY_RETRY, .fence = true, .fault = true};
}

static struct classify_result overran(void)
{
	struct classify_result r = failed();

	r.overrun = true;
	return r;
}

/* Bytes were moved, says the server: all that were asked for? */
static struct classify_result moved(const struct classify_input *in)
{
	const struct s3_answer *a = in->answer;

	if (a->body > STRAY_BODY || !classify_range_fits(in))
		return failed();
	/* Row 4.  Every request ends within the object, so that its end is no
	 * reason; but the answer is certain. */
	if (a->has_reply_bytes && a->reply_bytes < in->len)
		return result(CLASSIFY_RESEND, false, true);
	return result(CLASSIFY_MOVED, false, false);
}

/* A 200 or 206 to a request that carried a token. */
static struct classify_result with_token(const struct classify_input *in)
{
	const struct s3_answer *a = in->answer;
	struct classify_result r;

	switch (a->reply) {
	case S3_REPLY_OK:
		return moved(in);
	case S3_REPLY_NONE:
		if (in->by_status && a->body == 0)
			return moved(in);
		/* fall through */
	case S3_REPLY_DECLINED:
		/* A 501 may follow a transfer that was begun. */
		if (a->body == in->len && classify_range_fits(in))
			return result(CLASSIFY_BODY,
				      a->reply == S3_REPLY_DECLINED, true);
		r = result(CLASSIFY_RETRY, true, true); /* row 6 */
		r.useless = a->body == 0;
		return r;
	case S3_REPLY_FAILED:
		break;
	}
	return failed();
}

/* Did the token have a part in this failure, or was it any 5xx? */
static struct classify_result server_failed(const struct classify_input *in)
{
	const struct s3_answer *a = in->answer;
	struct classify_result r = failed();

	r.fault = a->reply == S3_REPLY_FAILED || strcasestr(a->code, "rdma");
	return r;
}

static bool is_outcome(int status)
{
	return (status >= 300 && status < 400) || status == 400 ||
	       status == 401 || status == 403 || status == 404 ||
	       status == 405 || status == 412 || status == 416;
}

static bool other_version(const struct classify_input *in)
{
	const struct s3_answer *a = in->answer;

	return (a->status == 200 || a->status == 206) && a->etag[0] &&
	       in->etag && in->etag[0] && strcmp(a->etag, in->etag) != 0;
}

struct classify_result classify_get(const struct classify_input *in)
{
	const struct s3_answer *a = in->answer;

	if (a->curl) {
		if (!a->sent)
			return result(CLASSIFY_UNSENT, false, false);
		if (!in->token)
			return result(CLASSIFY_RETRY, false, false);
		return failed(); /* row 1 */
	}
	/* Whatever else it says: bytes were written that nobody asked for. */
	if (in->token && (a->status == 200 || a->status == 206) &&
	    a->has_reply_bytes && a->reply_bytes > in->len)
		return overran();
	if (other_version(in))
		return result(CLASSIFY_STALE, in->token, false);
	if (a->status == 200 || a->status == 206) {
		if (in->token)
			return with_token(in);
		return a->body == in->len && classify_range_fits(in)
			       ? result(CLASSIFY_BODY, false, false)
			       : result(CLASSIFY_RETRY, false, false);
	}
	if (in->token && (a->status == 501 ||
			  (a->reply == S3_REPLY_DECLINED && a->status >= 400)))
		return result(CLASSIFY_RESEND, false, true);
	/* The server itself says that it has done something with the token. */
	if (in->token &&
	    (a->reply == S3_REPLY_FAILED || a->reply == S3_REPLY_OK))
		return server_failed(in);
	/* InvalidRdmaToken: it is the token that was refused, not the GET;
	 * but there are tokens of other kinds. */
	if (in->token && a->status == 400 &&
	    strcmp(a->code, "ExpiredToken") != 0)
		return result(CLASSIFY_RESEND, false, true);
	if (is_outcome(a->status))
		return result(CLASSIFY_OUTCOME, false, false);
	if (in->token)
		return server_failed(in);
	return result(CLASSIFY_OUTCOME, false, false);
}
