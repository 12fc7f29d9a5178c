/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/answer.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/parse.h"

void answer_reset(struct s3_answer *a)
{
	*a = (struct s3_answer){.content_length = UINT64_MAX,
				.last_modified = -1};
}

enum s3_reply answer_parse_reply(const char *v)
{
	size_t digits;
	uint64_t code;

	v += strspn(v, " \t");
	if (!strncasecmp(v, "ok", 2) && strchr(" \t:", v[2]))
		return S3_REPLY_OK;
	digits = strspn(v, "0123456789");
	/* hipObject adds its own token behind a colon. */
	if (digits != 3 || !strchr(" \t:", v[digits]) ||
	    parse_u64_n(v, digits, &code))
		return S3_REPLY_FAILED;
	if (code == 501)
		return S3_REPLY_DECLINED;
	return code == 200 || code == 204 || code == 206 ? S3_REPLY_OK
							 : S3_REPLY_FAILED;
}

static int take_length(struct s3_call *call, const char *v)
{
	return parse_u64(v, &call->answer.content_length) ? -EBADMSG : 0;
}

/* bytes 0-99/1234, or bytes * / 1234 after a 416, where the total counts. */
static int take_range(struct s3_call *call, const char *v)
{
	struct s3_answer *a = &call->answer;
	const char *dash, *slash;
	uint64_t first, last, total;

	if (strncmp(v, "bytes ", 6) != 0)
		return 0;
	v += 6;
	dash = strchr(v, '-');
	slash = strchr(v, '/');
	if (!dash || !slash || slash < dash || slash[1] == '*')
		return 0;
	if (parse_u64_n(v, (size_t)(dash - v), &first) ||
	    parse_u64_n(dash + 1, (size_t)(slash - dash - 1), &last) ||
	    parse_u64(slash + 1, &total))
		return -EBADMSG;
	if (last < first || last >= total)
		return -EBADMSG;
	a->has_range = true;
	a->range_first = first;
	a->range_last = last;
	a->range_total = total;
	return 0;
}

/* Nobody asks a body for it, and reading a date is slow. */
static int take_modified(struct s3_call *call, const char *v)
{
	if (call->method == S3_HEAD)
		call->answer.last_modified = curl_getdate(v, NULL);
	return 0;
}

static int take_etag(struct s3_call *call, const char *v)
{
	struct s3_answer *a = &call->answer;

	/* An ETag that is cut is another ETag: better none. */
	if (strlen(v) + 3 > sizeof(a->etag))
		return 0;
	snprintf(a->etag, sizeof(a->etag),
		 *v == '"' || !strncmp(v, "W/", 2) ? "%s" : "\"%s\"", v);
	return 0;
}

static int take_reply(struct s3_call *call, const char *v)
{
	const enum s3_reply r = answer_parse_reply(v);
	struct s3_answer *a = &call->answer;

	if (a->reply != S3_REPLY_NONE && a->reply != r)
		return -EBADMSG;
	a->reply = r;
	return 0;
}

static int take_reply_bytes(struct s3_call *call, const char *v)
{
	struct s3_answer *a = &call->answer;
	uint64_t n;

	if (parse_u64(v, &n) || (a->has_reply_bytes && a->reply_bytes != n))
		return -EBADMSG;
	a->has_reply_bytes = true;
	a->reply_bytes = n;
	return 0;
}

#define TEXT_TAKER(field)                                                      \
	static int take_##field(struct s3_call *call, const char *v)           \
	{                                                                      \
		snprintf(call->answer.field, sizeof(call->answer.field), "%s", \
			 v);                                                   \
		return 0;                                                      \
	}
TEXT_TAKER(content_type)
TEXT_TAKER(storage_class)
TEXT_TAKER(request_id)
TEXT_TAKER(offer)

static const struct {
	const char *name;
	int (*take)(struct s3_call *call, const char *value);
} headers[] = {
	{"content-length", take_length},
	{"content-range", take_range},
	{"content-type", take_content_type},
	{"etag", take_etag},
	{"last-modified", take_modified},
	{"x-amz-rdma-bytes-transferred", take_reply_bytes},
	{"x-amz-rdma-bytes", take_reply_bytes},
	{"x-amz-rdma-reply", take_reply},
	{"x-amz-request-id", take_request_id},
	{"x-amz-storage-class", take_storage_class},
	{"x-s3rdma-shm", take_offer},
};

/* "HTTP/1.1 206 Partial Content" */
static int status_line(struct s3_call *call, const char *line)
{
	struct s3_answer *a = &call->answer;
	const bool sent = a->sent;
	const char *p = strchr(line, ' ');
	uint64_t status;

	if (!p || parse_u64_n(p + 1, 3, &status))
		return -EBADMSG;
	answer_reset(a);
	a->sent = sent;
	a->status = (int)status;
	return 0;
}

int answer_header(struct s3_call *call, const char *line, size_t n)
{
	char text[4096], *value;

	while (n > 0 && strchr("\r\n \t", line[n - 1]))
		n--;
	if (n == 0 || n >= sizeof(text))
		return 0;
	memcpy(text, line, n);
	text[n] = '\0';
	if (!strncmp(text, "HTTP/", 5))
		return status_line(call, text);
	value = strchr(text, ':');
	if (!value)
		return 0;
	*value++ = '\0';
	value += strspn(value, " \t");
	if (call->meta && !strncasecmp(text, "x-amz-meta-", 11)) {
		call->meta(call, text + 11, value);
		return 0;
	}
	if (call->rdma && !strncasecmp(text, "x-amz-rdma-", 11))
		call->rdma(call->rdma_ctx, text + 11, value);
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		if (!strcasecmp(text, headers[i].name))
			return headers[i].take(call, value);
	return 0;
}
