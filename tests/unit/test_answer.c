/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "s3/answer.h"
#include "unit.h"

static struct s3_call call;
static char meta[256];

static void on_meta(struct s3_call *c, const char *name, const char *value)
{
	ck_assert_ptr_eq(c, &call);
	strcat(strcat(strcat(strcat(meta, name), "="), value), ";");
}

static void setup(void)
{
	call = (struct s3_call){.meta = on_meta};
	meta[0] = '\0';
	answer_reset(&call.answer);
}

/* Without a terminator, for ASan. */
static int header(const char *line)
{
	const size_t n = strlen(line);
	AUTO_FREE char *exact = calloc(1, n ? n : 1);

	memcpy(exact, line, n);
	return answer_header(&call, exact, n);
}

static void good(const char *line)
{
	ck_assert_msg(!header(line), "%s", line);
}

START_TEST(every_header)
{
	const struct s3_answer *a = &call.answer;

	call.method = S3_HEAD;
	good("HTTP/1.1 206 Partial Content\r\n");
	good("Content-Length: 1000\r\n");
	good("Content-Range: bytes 4096-5095/100000\r\n");
	good("content-type: text/plain; charset=utf-8\r\n");
	good("ETag: \"abc\"\r\n");
	good("Last-Modified: Sun, 22 Nov 2026 10:11:12 GMT\r\n");
	good("x-amz-rdma-reply: 206\r\n");
	good("x-amz-rdma-bytes-transferred: 1000\r\n");
	good("X-Amz-Request-Id: 4711\r\n");
	good("x-amz-storage-class: GLACIER\r\n");
	good("x-s3rdma-shm: name ticket\r\n");
	good("Server: whoever\r\n");
	good("\r\n");
	ck_assert_int_eq(a->status, 206);
	ck_assert_uint_eq(a->content_length, 1000);
	ck_assert(a->has_range);
	ck_assert_uint_eq(a->range_first, 4096);
	ck_assert_uint_eq(a->range_last, 5095);
	ck_assert_uint_eq(a->range_total, 100000);
	ck_assert_str_eq(a->content_type, "text/plain; charset=utf-8");
	ck_assert_str_eq(a->etag, "\"abc\"");
	ck_assert_int_eq(a->last_modified, 1795342272);
	ck_assert_int_eq(a->reply, S3_REPLY_OK);
	ck_assert(a->has_reply_bytes);
	ck_assert_uint_eq(a->reply_bytes, 1000);
	ck_assert_str_eq(a->request_id, "4711");
	ck_assert_str_eq(a->storage_class, "GLACIER");
	ck_assert_str_eq(a->offer, "name ticket");
	ck_assert_str_eq(meta, "");
}
END_TEST

START_TEST(a_body_has_no_date)
{
	good("HTTP/1.1 206 Partial Content\r\n");
	good("Last-Modified: Sun, 22 Nov 2026 10:11:12 GMT\r\n");
	ck_assert_int_eq(call.answer.last_modified, -1);
}
END_TEST

START_TEST(nothing_said)
{
	good("HTTP/2 200\r\n");
	ck_assert_int_eq(call.answer.status, 200);
	ck_assert_uint_eq(call.answer.content_length, UINT64_MAX);
	ck_assert(!call.answer.has_range);
	ck_assert(!call.answer.has_reply_bytes);
	ck_assert_int_eq(call.answer.reply, S3_REPLY_NONE);
	ck_assert_int_eq(call.answer.last_modified, -1);
	ck_assert_str_eq(call.answer.etag, "");
}
END_TEST

START_TEST(interim_answer_is_forgotten)
{
	good("HTTP/1.1 100 Continue\r\n");
	good("x-amz-rdma-reply: 501\r\n");
	good("ETag: \"other\"\r\n");
	good("Content-Range: bytes 0-1/2\r\n");
	good("\r\n");
	call.answer.sent = true;
	good("HTTP/1.1 200 OK\r\n");
	good("x-amz-rdma-reply: 200\r\n");
	ck_assert_int_eq(call.answer.status, 200);
	ck_assert_int_eq(call.answer.reply, S3_REPLY_OK);
	ck_assert_str_eq(call.answer.etag, "");
	ck_assert(!call.answer.has_range);
	ck_assert(call.answer.sent);
}
END_TEST

static const struct {
	const char *first, *second; /* the second is refused */
} contradictions[] = {
	{"x-amz-rdma-reply: 200", "x-amz-rdma-reply: 501"},
	{"x-amz-rdma-reply: ok", "x-amz-rdma-reply: err"},
	{"x-amz-rdma-bytes: 10", "x-amz-rdma-bytes-transferred: 11"},
	{"x-amz-rdma-bytes: 10", "x-amz-rdma-bytes: 11"},
	{"Server: x", "x-amz-rdma-bytes: many"},
	{"Server: x", "x-amz-rdma-bytes:"},
	{"Server: x", "x-amz-rdma-bytes: -1"},
	{"Server: x", "Content-Length: 1x"},
	{"Server: x", "Content-Length: 99999999999999999999"},
	{"Server: x", "Content-Range: bytes 9-0/10"},
	{"Server: x", "Content-Range: bytes 0-10/10"},
	{"Server: x", "Content-Range: bytes 5-4/10"},
	{"Server: x", "Content-Range: bytes x-y/z"},
	{"Server: x", "Content-Range: bytes 0-9/10x"},
	{"Server: x", "Content-Range: bytes 0--2/-1"},
	{"Server: x", "Content-Range: bytes 0-9/99999999999999999999"},
	{"Server: x", "HTTP/1.1"},
	{"Server: x", "HTTP/1.1 2"},
	{"Server: x", "HTTP/1.1 abc"},
};

START_TEST(contradiction)
{
	good("HTTP/1.1 200 OK");
	good(contradictions[_i].first);
	ck_assert_msg(header(contradictions[_i].second) == -EBADMSG, "%s",
		      contradictions[_i].second);
}
END_TEST

START_TEST(repetition_is_no_contradiction)
{
	good("x-amz-rdma-reply: 200");
	good("x-amz-rdma-reply: ok");
	good("x-amz-rdma-bytes: 10");
	good("x-amz-rdma-bytes-transferred: 10");
	ck_assert_int_eq(call.answer.reply, S3_REPLY_OK);
}
END_TEST

static const struct {
	const char *value;
	enum s3_reply reply;
} replies[] = {
	{"200", S3_REPLY_OK},
	{"204", S3_REPLY_OK},
	{"206", S3_REPLY_OK},
	{" 206 ", S3_REPLY_OK},
	{"\t200\t", S3_REPLY_OK},
	{"ok", S3_REPLY_OK},
	{"OK", S3_REPLY_OK},
	{" ok ", S3_REPLY_OK},
	{"200:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	 "0123456789abcdef01234567",
	 S3_REPLY_OK},
	{"501", S3_REPLY_DECLINED},
	{" 501 ", S3_REPLY_DECLINED},
	{"501:x", S3_REPLY_DECLINED},
	{"err", S3_REPLY_FAILED},
	{"", S3_REPLY_FAILED},
	{" ", S3_REPLY_FAILED},
	{"20x", S3_REPLY_FAILED},
	{"200x", S3_REPLY_FAILED},
	{"-1", S3_REPLY_FAILED},
	{"-200", S3_REPLY_FAILED},
	{"+200", S3_REPLY_FAILED},
	{"0200", S3_REPLY_FAILED},
	{"2000", S3_REPLY_FAILED},
	{"20", S3_REPLY_FAILED},
	{"500", S3_REPLY_FAILED},
	{"201", S3_REPLY_FAILED},
	{"4294967496", S3_REPLY_FAILED},
	{":200", S3_REPLY_FAILED},
	{"o", S3_REPLY_FAILED},
	{"okay", S3_REPLY_FAILED},
	{"oklahoma", S3_REPLY_FAILED},
};

START_TEST(reply)
{
	ck_assert_msg(answer_parse_reply(replies[_i].value) ==
			      replies[_i].reply,
		      "\"%s\"", replies[_i].value);
}
END_TEST

static const struct {
	const char *line, *etag;
} etags[] = {
	{"ETag: \"a\"", "\"a\""},
	{"ETag: a", "\"a\""},
	{"ETag: W/\"a\"", "W/\"a\""},
	{"etag:\"a\"", "\"a\""},
	{"ETag:   \"a-2\"  \r\n", "\"a-2\""},
};

START_TEST(etag)
{
	good(etags[_i].line);
	ck_assert_str_eq(call.answer.etag, etags[_i].etag);
}
END_TEST

START_TEST(long_values)
{
	char line[6000];

	memset(line, 'e', sizeof(line));
	memcpy(line, "ETag: \"", 7);
	line[300] = '\0';
	good(line);
	ck_assert_str_eq(call.answer.etag, "");
	memcpy(line, "Content-Type: ", 14);
	good(line);
	ck_assert_uint_eq(strlen(call.answer.content_type),
			  sizeof(call.answer.content_type) - 1);
	memset(line, 'e', sizeof(line));
	ck_assert_int_eq(answer_header(&call, line, sizeof(line)), 0);
}
END_TEST

static const char *const ranges[] = {
	"Content-Range: bytes */1000",
	"Content-Range: items 0-1/2",
	"Content-Range: bytes 0-1/*",
	"Content-Range: ",
};

START_TEST(no_range)
{
	good(ranges[_i]);
	ck_assert(!call.answer.has_range);
}
END_TEST

START_TEST(user_metadata)
{
	good("x-amz-meta-one: 1\r\n");
	good("X-Amz-Meta-Two:two words \r\n");
	good("x-amz-meta-: none\r\n");
	ck_assert_str_eq(meta, "one=1;Two=two words;=none;");
	call.meta = NULL;
	good("x-amz-meta-three: 3\r\n");
}
END_TEST

START_TEST(odd_lines)
{
	good("");
	good("\r\n");
	good("   ");
	good("no colon");
	good(":");
	good(": value");
	ck_assert_int_eq(answer_header(&call, "a: b\0\0", 6), 0);
	ck_assert_int_eq(call.answer.status, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("answer");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, every_header);
	tcase_add_test(tc, a_body_has_no_date);
	tcase_add_test(tc, nothing_said);
	tcase_add_test(tc, interim_answer_is_forgotten);
	ADD_ROWS(tc, contradiction, contradictions);
	tcase_add_test(tc, repetition_is_no_contradiction);
	ADD_ROWS(tc, reply, replies);
	ADD_ROWS(tc, etag, etags);
	tcase_add_test(tc, long_values);
	ADD_ROWS(tc, no_range, ranges);
	tcase_add_test(tc, user_metadata);
	tcase_add_test(tc, odd_lines);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
