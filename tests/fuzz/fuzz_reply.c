/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer to a GET with a token, and what is made of it.  The first byte
 * says what was asked, the second how long the body was; behind them stand
 * header lines.
 */
#include <assert.h>
#include <strings.h>

#include "fuzz.h"
#include "s3/answer.h"
#include "xfer/classify.h"

#define OFF 4096
#define LEN 100
#define SIZE 8192

static const uint64_t bodies[] = {0,   1,       3,   16, 17,   LEN - 1,
				  LEN, LEN + 1, LEN, 0,  SIZE, UINT64_MAX};

static void on_rdma(void *ctx, const char *name, const char *value)
{
	assert(ctx && name && value && strlen(name) + strlen(value) < 4096);
}

/* What the value says, by the letter. */
static void check_reply(const char *v)
{
	const enum s3_reply r = answer_parse_reply(v);

	v += strspn(v, " \t");
	if (r == S3_REPLY_OK)
		assert(!strncasecmp(v, "ok", 2) || !strncmp(v, "200", 3) ||
		       !strncmp(v, "204", 3) || !strncmp(v, "206", 3));
	if (r == S3_REPLY_DECLINED)
		assert(!strncmp(v, "501", 3));
	assert(r != S3_REPLY_NONE);
}

static void take_lines(struct s3_call *call, const char *text)
{
	char *copy = fuzz_text((const uint8_t *)text, strlen(text));
	char *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (!strncasecmp(line, "x-amz-rdma-reply:", 17))
			check_reply(line + 17);
		if (answer_header(call, line, strlen(line)))
			break;
	}
	free(copy);
}

/* Data is believed only when all that was said agrees. */
static void check_data(const struct classify_input *in,
		       const struct classify_result *r)
{
	const struct s3_answer *a = in->answer;

	assert(!a->curl && (a->status == 200 || a->status == 206));
	assert(classify_range_fits(in));
	assert(!a->etag[0] || !strcmp(a->etag, in->etag));
	assert(!r->fault && !r->useless && !r->overrun);
	if (r->verdict == CLASSIFY_BODY) {
		assert(a->body == in->len);
		assert(!in->token || a->reply != S3_REPLY_OK);
		assert(r->declined == in->token);
		return;
	}
	assert(in->token && !r->fence && !r->declined && a->body <= 16);
	assert(!a->has_reply_bytes || a->reply_bytes == in->len);
	assert(a->reply == S3_REPLY_OK ||
	       (a->reply == S3_REPLY_NONE && in->by_status && a->body == 0));
}

static void check(const struct classify_input *in)
{
	const struct classify_result r = classify_get(in);
	const struct s3_answer *a = in->answer;

	if (r.verdict == CLASSIFY_MOVED || r.verdict == CLASSIFY_BODY)
		check_data(in, &r);
	/* Without a token nothing can be wrong with one. */
	if (!in->token)
		assert(!r.fence && !r.declined && !r.useless && !r.fault &&
		       !r.overrun && r.verdict != CLASSIFY_RESEND);
	if (r.overrun)
		assert(r.fence && a->reply_bytes > in->len);
	if (r.fault)
		assert(r.fence && !r.declined && r.verdict == CLASSIFY_RETRY);
	if (r.useless)
		assert(r.fence && r.declined && a->body == 0);
	if (r.verdict == CLASSIFY_RESEND || r.verdict == CLASSIFY_UNSENT)
		assert(!r.fence); /* the answer is certain, or none was asked */
	if (in->token && !a->curl && r.verdict == CLASSIFY_RETRY)
		assert(r.fence);
	if (a->curl && a->sent)
		assert(r.fence == in->token && r.verdict == CLASSIFY_RETRY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_call call = {.rdma = on_rdma, .rdma_ctx = &call};
	struct classify_input in = {.answer = &call.answer, .etag = "\"e\""};
	bool whole;
	char *text;

	if (size < 2)
		return 0;
	whole = data[0] & 1;
	in.off = whole ? 0 : OFF;
	in.len = LEN;
	in.object_len = whole ? LEN : SIZE;
	in.token = data[0] & 2;
	in.need_range = data[0] & 4;
	in.by_status = data[0] & 8;
	text = fuzz_text(data + 2, size - 2);
	answer_reset(&call.answer);
	take_lines(&call, text);
	call.answer.body = bodies[data[1] % (sizeof(bodies) / sizeof(*bodies))];
	check(&in);
	call.answer.curl = 56;
	check(&in);
	call.answer.sent = true;
	check(&in);
	free(text);
	return 0;
}
