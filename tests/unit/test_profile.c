/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vendors of the protocol document: what each wants said (1.8), and what
 * each answers to a GET (1.6), through the header parser and the classifier
 * with that vendor's profile.
 */
#include <string.h>

#include "s3/answer.h"
#include "unit.h"
#include "xfer/classify.h"
#include "xfer/profile.h"

/* The example of the document, 2.2, in each dress. */
#define BARE                                                \
	"00007f3c40000000:00400000:00181ffe:0000:0000b7:1:" \
	"00000000000000000000ffffc0a8640a"
#define SUFFIX BARE ":00007f3c40000000:0000000000400000"
#define BASE64                                                   \
	"MDAwMDdmM2M0MDAwMDAwMDowMDQwMDAwMDowMDE4MWZmZTowMDAwOj" \
	"AwMDBiNzoxOjAwMDAwMDAwMDAwMDAwMDAwMDAwZmZmZmMwYTg2NDBh"

static const struct {
	const char *name, *header, *token, *agent;
	bool need_range, by_status;
} wants[] = {
	{"standard", "x-amz-rdma-token", BARE, NULL, true, false},
	{"aistor", "x-amz-rdma-token", BARE, NULL, true, false},
	{"aistor-suffix", "x-amz-rdma-token", SUFFIX, NULL, true, false},
	{"hyperstore", "x-amz-rdma-token", BARE, NULL, true, false},
	{"objectscale", "x-rdma-info", BARE, NULL, true, true},
	{"scality", "x-scal-rdma", BARE, NULL, true, true},
	{"flashblade", "x-amz-rdma-token", BARE, NULL, true, false},
	{"noobaa", "x-amz-rdma-token", BARE, "cuobj", true, false},
	{"versitygw", "x-amz-rdma-token", BARE, NULL, true, false},
	{"ceph", "x-amz-rdma-token", BARE, NULL, true, false},
	{"sirius", "x-amz-rdma-token", BASE64, NULL, false, false},
};

START_TEST(want)
{
	const struct profile *p = profile_find(wants[_i].name);
	char token[TOKEN_MAX];

	ck_assert_ptr_nonnull(p);
	ck_assert_str_eq(p->name, wants[_i].name);
	ck_assert_str_eq(p->token_header, wants[_i].header);
	ck_assert_pstr_eq(p->agent, wants[_i].agent);
	ck_assert_int_eq(p->need_range, wants[_i].need_range);
	ck_assert_int_eq(p->by_status, wants[_i].by_status);
	token_dress(p->form, BARE, token);
	ck_assert_str_eq(token, wants[_i].token);
}
END_TEST

/* What a server reads there is the window, in any dress. */
START_TEST(same_window)
{
	struct token_dc bare, t;

	ck_assert_int_eq(token_dc_parse(BARE, &bare), 0);
	ck_assert_int_eq(token_dc_parse(wants[_i].token, &t), 0);
	ck_assert_uint_eq(t.addr, bare.addr);
	ck_assert_uint_eq(t.size, bare.size);
	ck_assert_uint_eq(t.rkey, bare.rkey);
	ck_assert_uint_eq(t.dctn, bare.dctn);
	ck_assert_mem_eq(t.gid, bare.gid, TOKEN_GID);
}
END_TEST

#define OFF 4096
#define LEN 1000
#define SIZE 100000

#define RANGE "Content-Range: bytes 4096-5095/100000\n"
#define REPLY(v) "x-amz-rdma-reply: " v "\n"
#define BYTES(n) "x-amz-rdma-bytes-transferred: " n "\n"
#define ETAG "ETag: \"abc\"\n"

enum {
	WHOLE = 1,
	FENCE = 2,
	DECLINED = 4,
	USELESS = 8,
	FAULT = 16,
	OVERRUN = 32
};

static const struct {
	const char *vendor, *what;
	int in; /* WHOLE */
	int status;
	const char *lines;
	uint64_t body;
	const char *code;
	enum classify_verdict verdict;
	int out;
} answers[] = {
	{"standard", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"standard", "ok range", 0, 206, RANGE REPLY("206") BYTES("1000"), 0,
	 "", CLASSIFY_MOVED, 0},
	{"standard", "unavailable, 501 and the object", 0, 206,
	 RANGE REPLY("501"), LEN, "", CLASSIFY_BODY, FENCE | DECLINED},
	{"standard", "unavailable, 501 and the whole object", WHOLE, 200,
	 REPLY("501"), LEN, "", CLASSIFY_BODY, FENCE | DECLINED},
	{"standard", "transfer failed, recovered by the body", 0, 206,
	 RANGE REPLY("501"), LEN, "", CLASSIFY_BODY, FENCE | DECLINED},
	{"standard", "transfer failed", 0, 500, "", 0, "RDMATransferFailed",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"standard", "501 and nothing", 0, 206, RANGE REPLY("501"), 0, "",
	 CLASSIFY_RETRY, FENCE | DECLINED | USELESS},
	{"standard", "no reply and nothing", 0, 206, RANGE, 0, "",
	 CLASSIFY_RETRY, FENCE | DECLINED | USELESS},
	{"standard", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"standard", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"standard", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"standard", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME, 0},
	{"standard", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"standard", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"aistor", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"aistor", "ok range", 0, 206, RANGE REPLY("206") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"aistor", "unavailable, an error and 501", 0, 501, REPLY("501"), 0, "",
	 CLASSIFY_RESEND, DECLINED},
	{"aistor", "unavailable, 400 and 501", 0, 400, REPLY("501"), 0, "",
	 CLASSIFY_RESEND, DECLINED},
	{"aistor", "unavailable, 503 and 501, with a body", 0, 503,
	 REPLY("501"), 300, "", CLASSIFY_RESEND, DECLINED},
	{"aistor", "transfer failed", 0, 500, "", 0, "InternalError",
	 CLASSIFY_RETRY, FENCE},
	{"aistor", "200 as if it were a PUT", WHOLE, 200, ETAG, 0, "",
	 CLASSIFY_RETRY, FENCE | DECLINED | USELESS},
	{"aistor", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"aistor", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"aistor", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"aistor", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME, 0},
	{"aistor", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"aistor", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"aistor-suffix", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0,
	 "", CLASSIFY_MOVED, 0},
	{"aistor-suffix", "ok range", 0, 206, RANGE REPLY("206") BYTES("1000"),
	 0, "", CLASSIFY_MOVED, 0},
	{"aistor-suffix", "unavailable, an error and 501", 0, 501, REPLY("501"),
	 0, "", CLASSIFY_RESEND, DECLINED},
	{"aistor-suffix", "unavailable, 400 and 501", 0, 400, REPLY("501"), 0,
	 "", CLASSIFY_RESEND, DECLINED},
	{"aistor-suffix", "unavailable, 503 and 501, with a body", 0, 503,
	 REPLY("501"), 300, "", CLASSIFY_RESEND, DECLINED},
	{"aistor-suffix", "transfer failed", 0, 500, "", 0, "InternalError",
	 CLASSIFY_RETRY, FENCE},
	{"aistor-suffix", "200 as if it were a PUT", WHOLE, 200, ETAG, 0, "",
	 CLASSIFY_RETRY, FENCE | DECLINED | USELESS},
	{"aistor-suffix", "plain HTTP, the token ignored", 0, 206, RANGE, LEN,
	 "", CLASSIFY_BODY, DECLINED},
	{"aistor-suffix", "the token refused", 0, 400, "", 0,
	 "InvalidRDMAToken", CLASSIFY_RESEND, DECLINED},
	{"aistor-suffix", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME,
	 0},
	{"aistor-suffix", "416", 0, 416, "", 0, "InvalidRange",
	 CLASSIFY_OUTCOME, 0},
	{"aistor-suffix", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"aistor-suffix", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY,
	 FENCE},
	{"noobaa", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"noobaa", "ok range", 0, 206, RANGE REPLY("206") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"noobaa", "ok, the older spelling of the count", 0, 206,
	 RANGE REPLY("206") "x-amz-rdma-bytes: 1000\n", 0, "", CLASSIFY_MOVED,
	 0},
	{"noobaa", "a small object by the body", WHOLE, 200, "", LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"noobaa", "unavailable", 0, 501, "", 0, "S3RdmaNotSupported",
	 CLASSIFY_RESEND, DECLINED},
	{"noobaa", "zero length", WHOLE, 200, REPLY("200") BYTES("0"), 0, "",
	 CLASSIFY_RESEND, DECLINED},
	{"noobaa", "transfer failed", 0, 500, "", 0, "S3RdmaIoError",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"noobaa", "too big, the least of both", 0, 206,
	 RANGE REPLY("206") BYTES("512"), 0, "", CLASSIFY_RESEND, DECLINED},
	{"noobaa", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"noobaa", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"noobaa", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"noobaa", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME, 0},
	{"noobaa", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"noobaa", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"versitygw", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"versitygw", "ok range, with reply 200", 0, 206,
	 RANGE REPLY("200") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"versitygw", "transfer failed", 0, 500, "", 0, "InternalError",
	 CLASSIFY_RETRY, FENCE},
	{"versitygw", "too big", 0, 500, "", 0, "", CLASSIFY_RETRY, FENCE},
	{"versitygw", "too big, refused", 0, 400, "", 0, "EntityTooLarge",
	 CLASSIFY_RESEND, DECLINED},
	{"versitygw", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"versitygw", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"versitygw", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"versitygw", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME,
	 0},
	{"versitygw", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"versitygw", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"ceph", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"ceph", "ok range, with reply 200", 0, 206,
	 RANGE REPLY("200") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"ceph", "no buffer", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"ceph", "transfer failed, the buffer half written", 0, 500, "", 0, "",
	 CLASSIFY_RETRY, FENCE},
	{"ceph", "too big", 0, 503, "", 0, "", CLASSIFY_RETRY, FENCE},
	{"ceph", "the RFC: 501 and a body", 0, 206, RANGE REPLY("501"), LEN, "",
	 CLASSIFY_BODY, FENCE | DECLINED},
	{"ceph", "the RFC: a checksum beside it", 0, 206,
	 RANGE REPLY("200")
		 BYTES("1000") "x-amz-rdma-checksum-crc64nvme: rosUhgp5mIg=\n",
	 0, "", CLASSIFY_MOVED, 0},
	{"ceph", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"ceph", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"ceph", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"ceph", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME, 0},
	{"ceph", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"ceph", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"hyperstore", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"hyperstore", "ok range, with reply 200", 0, 206,
	 RANGE REPLY("200") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"hyperstore", "ok range, with reply 204", 0, 206,
	 RANGE REPLY("204") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"hyperstore", "ok range, with reply 206", 0, 206,
	 RANGE REPLY("206") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"hyperstore", "a range of another place", 0, 206,
	 "Content-Range: bytes 0-999/100000\n" REPLY("206") BYTES("1000"), 0,
	 "", CLASSIFY_RETRY, FENCE | FAULT},
	{"hyperstore", "no range", 0, 206, REPLY("206") BYTES("1000"), 0, "",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"hyperstore", "unavailable, 501 and the object", 0, 206,
	 RANGE REPLY("501"), LEN, "", CLASSIFY_BODY, FENCE | DECLINED},
	{"hyperstore", "part number answered in the body", 0, 206, RANGE, LEN,
	 "", CLASSIFY_BODY, DECLINED},
	{"hyperstore", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"hyperstore", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"hyperstore", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"hyperstore", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME,
	 0},
	{"hyperstore", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"hyperstore", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY,
	 FENCE},
	{"objectscale", "ok full", WHOLE, 200, "", 0, "", CLASSIFY_MOVED, 0},
	{"objectscale", "ok range", 0, 206, RANGE, 0, "", CLASSIFY_MOVED, 0},
	{"objectscale", "ok, if it should reply one day", 0, 206,
	 RANGE REPLY("206") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"objectscale", "the token ignored, the whole object", WHOLE, 200, "",
	 LEN, "", CLASSIFY_BODY, DECLINED},
	{"objectscale", "the range not heard", 0, 200, "", 0, "",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"objectscale", "no range", 0, 206, "", 0, "", CLASSIFY_RETRY,
	 FENCE | FAULT},
	{"objectscale", "half a body", 0, 206, RANGE, LEN / 2, "",
	 CLASSIFY_RETRY, FENCE | DECLINED},
	{"objectscale", "transfer failed", 0, 500, "", 0, "", CLASSIFY_RETRY,
	 FENCE},
	{"objectscale", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"objectscale", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"objectscale", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"objectscale", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME,
	 0},
	{"objectscale", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"objectscale", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY,
	 FENCE},
	{"scality", "ok full", WHOLE, 200, "", 0, "", CLASSIFY_MOVED, 0},
	{"scality", "ok range", 0, 206, RANGE, 0, "", CLASSIFY_MOVED, 0},
	{"scality", "ok, if it should reply one day", 0, 206,
	 RANGE REPLY("206") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"scality", "the token ignored, the whole object", WHOLE, 200, "", LEN,
	 "", CLASSIFY_BODY, DECLINED},
	{"scality", "the range not heard", 0, 200, "", 0, "", CLASSIFY_RETRY,
	 FENCE | FAULT},
	{"scality", "no range", 0, 206, "", 0, "", CLASSIFY_RETRY,
	 FENCE | FAULT},
	{"scality", "half a body", 0, 206, RANGE, LEN / 2, "", CLASSIFY_RETRY,
	 FENCE | DECLINED},
	{"scality", "transfer failed", 0, 500, "", 0, "", CLASSIFY_RETRY,
	 FENCE},
	{"scality", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"scality", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"scality", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"scality", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME, 0},
	{"scality", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"scality", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"flashblade", "ok full", WHOLE, 200, REPLY("200") BYTES("1000"), 0, "",
	 CLASSIFY_MOVED, 0},
	{"flashblade", "ok range", 0, 206, RANGE REPLY("206") BYTES("1000"), 0,
	 "", CLASSIFY_MOVED, 0},
	{"flashblade", "no reply is a failure", 0, 206, RANGE, 0, "",
	 CLASSIFY_RETRY, FENCE | DECLINED | USELESS},
	{"flashblade", "unavailable, 501 and the object", 0, 206,
	 RANGE REPLY("501"), LEN, "", CLASSIFY_BODY, FENCE | DECLINED},
	{"flashblade", "transfer failed", 0, 500, "", 0, "", CLASSIFY_RETRY,
	 FENCE},
	{"flashblade", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"flashblade", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"flashblade", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"flashblade", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME,
	 0},
	{"flashblade", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"flashblade", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY,
	 FENCE},
	{"sirius", "ok full, and OK", WHOLE, 200, REPLY("200"), 3, "",
	 CLASSIFY_MOVED, 0},
	{"sirius", "ok range, and OK", 0, 206, REPLY("200"), 3, "",
	 CLASSIFY_MOVED, 0},
	{"sirius", "ok range, counted", 0, 206, REPLY("200") BYTES("1000"), 3,
	 "", CLASSIFY_MOVED, 0},
	{"sirius", "the range not heard", 0, 200, REPLY("200"), 3, "",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"sirius", "another range", 0, 206,
	 "Content-Range: bytes 0-999/100000\n" REPLY("200"), 3, "",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"sirius", "OK without a reply", 0, 206, "", 3, "", CLASSIFY_RETRY,
	 FENCE | DECLINED},
	{"sirius", "transfer failed", 0, 500, "", 0, "", CLASSIFY_RETRY, FENCE},
	{"sirius", "plain HTTP, the token ignored", 0, 206, RANGE, LEN, "",
	 CLASSIFY_BODY, DECLINED},
	{"sirius", "the token refused", 0, 400, "", 0, "InvalidRDMAToken",
	 CLASSIFY_RESEND, DECLINED},
	{"sirius", "404", 0, 404, "", 0, "NoSuchKey", CLASSIFY_OUTCOME, 0},
	{"sirius", "416", 0, 416, "", 0, "InvalidRange", CLASSIFY_OUTCOME, 0},
	{"sirius", "501 of the whole", 0, 501, "", 0, "NotImplemented",
	 CLASSIFY_RESEND, DECLINED},
	{"sirius", "busy", 0, 503, "", 0, "SlowDown", CLASSIFY_RETRY, FENCE},
	{"standard", "elbencho declines a hipObject token", 0, 501,
	 "X-Amz-Rdma-Protocol-Status: unsupported\n" REPLY("501"), 0, "",
	 CLASSIFY_RESEND, DECLINED},
	{"standard", "hipObject's spelling", 0, 206,
	 RANGE REPLY("ok") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"standard", "hipObject's token behind it", 0, 206,
	 RANGE REPLY("200:0134") BYTES("1000"), 0, "", CLASSIFY_MOVED, 0},
	{"standard", "hipObject's err", 0, 206, RANGE REPLY("err"), 0, "",
	 CLASSIFY_RETRY, FENCE | FAULT},
	{"standard", "hipObject: transfer failed, 408", 0, 408, REPLY("err"), 0,
	 "", CLASSIFY_RETRY, FENCE | FAULT},
	{"standard", "hipObject: too big", 0, 413, "", 0, "", CLASSIFY_RETRY,
	 FENCE},
	{"standard", "hipObject: busy", 0, 409, "", 0, "", CLASSIFY_RETRY,
	 FENCE},
	{"standard", "rocm-ernic's count", 0, 206,
	 RANGE REPLY("ok") "x-amz-rdma-bytes: 1000\n", 0, "", CLASSIFY_MOVED,
	 0},
};

static void take(struct s3_call *call, const char *lines)
{
	char text[1024], *save = NULL;

	answer_reset(&call->answer);
	ck_assert_uint_lt(strlen(lines), sizeof(text));
	strcpy(text, lines);
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		ck_assert_int_eq(answer_header(call, line, strlen(line)), 0);
}

static int flags_of(const struct classify_result *r)
{
	return (r->fence ? FENCE : 0) | (r->declined ? DECLINED : 0) |
	       (r->useless ? USELESS : 0) | (r->fault ? FAULT : 0) |
	       (r->overrun ? OVERRUN : 0);
}

START_TEST(answer)
{
	const struct profile *p = profile_find(answers[_i].vendor);
	const bool whole = answers[_i].in & WHOLE;
	struct s3_call call = {0};
	struct classify_input in = {.answer = &call.answer,
				    .token = true,
				    .off = whole ? 0 : OFF,
				    .len = LEN,
				    .object_len = whole ? LEN : SIZE,
				    .etag = "\"abc\""};
	struct classify_result r;

	ck_assert_ptr_nonnull(p);
	in.need_range = p->need_range;
	in.by_status = p->by_status;
	take(&call, answers[_i].lines);
	call.answer.status = answers[_i].status;
	call.answer.body = answers[_i].body;
	strcpy(call.answer.code, answers[_i].code);
	call.answer.sent = true;
	r = classify_get(&in);
	ck_assert_msg(r.verdict == answers[_i].verdict, "%s, %s: verdict %d",
		      p->name, answers[_i].what, r.verdict);
	ck_assert_msg(flags_of(&r) == answers[_i].out,
		      "%s, %s: flags %d, not %d", p->name, answers[_i].what,
		      flags_of(&r), answers[_i].out);
}
END_TEST

/* Every profile has its rows above. */
START_TEST(all_are_tested)
{
	const struct profile *p;
	unsigned int n = 0;

	for (; (p = profile_at(n)); n++) {
		bool moves = false, wanted = false;

		ck_assert_ptr_eq(profile_find(p->name), p);
		for (size_t i = 0; i < ARRAY_SIZE(wants); i++)
			wanted |= !strcmp(wants[i].name, p->name);
		for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
			moves |= !strcmp(answers[i].vendor, p->name) &&
				 answers[i].verdict == CLASSIFY_MOVED;
		ck_assert_msg(wanted && moves, "%s", p->name);
	}
	ck_assert_uint_eq(n, ARRAY_SIZE(wants));
	ck_assert_ptr_null(profile_at(UINT32_MAX));
	ck_assert_str_eq(profile_at(0)->name, "standard"); /* the default */
}
END_TEST

/* It is signed under that name: lower case, and sorted among the others. */
START_TEST(headers_are_lower_case)
{
	const struct profile *p = profile_find(wants[_i].name);

	ck_assert_uint_eq(strspn(p->token_header,
				 "abcdefghijklmnopqrstuvwxyz0123456789-"),
			  strlen(p->token_header));
}
END_TEST

START_TEST(unknown)
{
	static const char *const names[] = {"", "Standard", "standard ",
					    "stand", "hipobj-rc-v2"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		ck_assert_msg(!profile_find(names[i]), "%s", names[i]);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("profile");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, want, wants);
	ADD_ROWS(tc, same_window, wants);
	ADD_ROWS(tc, headers_are_lower_case, wants);
	ADD_ROWS(tc, answer, answers);
	tcase_add_test(tc, all_are_tested);
	tcase_add_test(tc, unknown);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
