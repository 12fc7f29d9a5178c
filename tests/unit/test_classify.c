/* SPDX-License-Identifier: Apache-2.0 */
/* The nine rows of the protocol document, 1.5, and what lies between them. */
#include <curl/curl.h>
#include <string.h>

#include "unit.h"
#include "xfer/classify.h"

#define OFF 4096
#define LEN 1000
#define SIZE 100000
#define ETAG "\"abc\""

#define RANGED                                                              \
	.has_range = true, .range_first = OFF, .range_last = OFF + LEN - 1, \
	.range_total = SIZE
#define BYTES(n) .has_reply_bytes = true, .reply_bytes = (n)

enum { TOKEN = 1, WHOLE = 2, NEED = 4, FENCE = 8, DECLINED = 16 };

#define OK S3_REPLY_OK
#define NO S3_REPLY_DECLINED
#define BAD S3_REPLY_FAILED

static const struct {
	const char *row;
	int in; /* TOKEN | WHOLE | NEED */
	struct s3_answer a;
	enum classify_verdict verdict;
	int out; /* FENCE | DECLINED */
} rows[] = {
	{"1 reset after the request left",
	 TOKEN | NEED,
	 {.curl = CURLE_RECV_ERROR, .sent = true},
	 CLASSIFY_RETRY,
	 FENCE},
	{"1 timeout behind the headers",
	 TOKEN | NEED,
	 {.curl = CURLE_OPERATION_TIMEDOUT,
	  .sent = true,
	  .status = 206,
	  RANGED,
	  .reply = OK,
	  BYTES(LEN)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"1 without a token nothing is uncertain",
	 NEED,
	 {.curl = CURLE_RECV_ERROR, .sent = true},
	 CLASSIFY_RETRY,
	 0},
	{"2 no connection",
	 TOKEN | NEED,
	 {.curl = CURLE_COULDNT_CONNECT},
	 CLASSIFY_UNSENT,
	 0},
	{"2 no connection, no token",
	 NEED,
	 {.curl = CURLE_SSL_CONNECT_ERROR},
	 CLASSIFY_UNSENT,
	 0},
	{"3 moved",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, BYTES(LEN)},
	 CLASSIFY_MOVED,
	 0},
	{"3 moved, 200 with a range",
	 TOKEN | NEED,
	 {.status = 200, .reply = OK, RANGED, BYTES(LEN)},
	 CLASSIFY_MOVED,
	 0},
	{"3 moved, no count",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED},
	 CLASSIFY_MOVED,
	 0},
	{"3 moved, a stray body",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, .body = 16},
	 CLASSIFY_MOVED,
	 0},
	{"3 moved, the whole object",
	 TOKEN | NEED | WHOLE,
	 {.status = 200, .reply = OK, BYTES(LEN)},
	 CLASSIFY_MOVED,
	 0},
	{"3 moved, profile without ranges",
	 TOKEN,
	 {.status = 206, .reply = OK, BYTES(LEN)},
	 CLASSIFY_MOVED,
	 0},
	{"3 same ETag",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, .etag = ETAG},
	 CLASSIFY_MOVED,
	 0},
	{"3 but no range of 206",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, BYTES(LEN)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"3 but 200 without a range: it was not heard",
	 TOKEN,
	 {.status = 200, .reply = OK, BYTES(LEN)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"4 short",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, BYTES(LEN - 1)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"5 body, no reply",
	 TOKEN | NEED,
	 {.status = 206, RANGED, .body = LEN},
	 CLASSIFY_BODY,
	 DECLINED},
	{"5 body, declined: perhaps after a transfer",
	 TOKEN | NEED,
	 {.status = 206, .reply = NO, RANGED, .body = LEN},
	 CLASSIFY_BODY,
	 FENCE | DECLINED},
	{"5 body of the whole object",
	 TOKEN | NEED | WHOLE,
	 {.status = 200, .body = LEN},
	 CLASSIFY_BODY,
	 DECLINED},
	{"5 no token",
	 NEED,
	 {.status = 206, RANGED, .body = LEN},
	 CLASSIFY_BODY,
	 0},
	{"5 no token, whole",
	 NEED | WHOLE,
	 {.status = 200, .body = LEN},
	 CLASSIFY_BODY,
	 0},
	{"5 no token, a body cut short",
	 NEED,
	 {.status = 206, RANGED, .body = LEN - 1},
	 CLASSIFY_RETRY,
	 0},
	{"5 no token, range not heard",
	 NEED,
	 {.status = 200, .body = LEN},
	 CLASSIFY_RETRY,
	 0},
	{"5 no token, another range",
	 NEED,
	 {.status = 206,
	  .has_range = true,
	  .range_first = 0,
	  .range_last = LEN - 1,
	  .range_total = SIZE,
	  .body = LEN},
	 CLASSIFY_RETRY,
	 0},
	{"6 nothing came",
	 TOKEN | NEED,
	 {.status = 206, RANGED},
	 CLASSIFY_RETRY,
	 FENCE | DECLINED},
	{"6 nothing came, declined",
	 TOKEN | NEED,
	 {.status = 206, .reply = NO, RANGED},
	 CLASSIFY_RETRY,
	 FENCE | DECLINED},
	{"7 400 without a token", NEED, {.status = 400}, CLASSIFY_OUTCOME, 0},
	{"7 401", TOKEN | NEED, {.status = 401}, CLASSIFY_OUTCOME, 0},
	{"7 403", TOKEN | NEED, {.status = 403}, CLASSIFY_OUTCOME, 0},
	{"7 404", TOKEN | NEED, {.status = 404}, CLASSIFY_OUTCOME, 0},
	{"7 405", TOKEN | NEED, {.status = 405}, CLASSIFY_OUTCOME, 0},
	{"7 412", TOKEN | NEED, {.status = 412}, CLASSIFY_OUTCOME, 0},
	{"7 416", TOKEN | NEED, {.status = 416}, CLASSIFY_OUTCOME, 0},
	{"7 301", TOKEN | NEED, {.status = 301}, CLASSIFY_OUTCOME, 0},
	{"7 304", TOKEN | NEED, {.status = 304}, CLASSIFY_OUTCOME, 0},
	{"7 an ETag on an error is no version",
	 TOKEN | NEED,
	 {.status = 404, .etag = "\"else\""},
	 CLASSIFY_OUTCOME,
	 0},
	{"8 501", TOKEN | NEED, {.status = 501}, CLASSIFY_RESEND, DECLINED},
	{"8 501 twice",
	 TOKEN | NEED,
	 {.status = 501, .reply = NO},
	 CLASSIFY_RESEND,
	 DECLINED},
	{"8 declined beside 403",
	 TOKEN | NEED,
	 {.status = 403, .reply = NO},
	 CLASSIFY_RESEND,
	 DECLINED},
	{"8 declined beside 500",
	 TOKEN | NEED,
	 {.status = 500, .reply = NO},
	 CLASSIFY_RESEND,
	 DECLINED},
	{"8 the token was refused",
	 TOKEN | NEED,
	 {.status = 400, .code = "InvalidRdmaToken"},
	 CLASSIFY_RESEND,
	 0},
	{"8 501 without a token is an error",
	 NEED,
	 {.status = 501},
	 CLASSIFY_OUTCOME,
	 0},
	{"9 500", TOKEN | NEED, {.status = 500}, CLASSIFY_RETRY, FENCE},
	{"9 502", TOKEN | NEED, {.status = 502}, CLASSIFY_RETRY, FENCE},
	{"9 503", TOKEN | NEED, {.status = 503}, CLASSIFY_RETRY, FENCE},
	{"9 504", TOKEN | NEED, {.status = 504}, CLASSIFY_RETRY, FENCE},
	{"9 408", TOKEN | NEED, {.status = 408}, CLASSIFY_RETRY, FENCE},
	{"9 429", TOKEN | NEED, {.status = 429}, CLASSIFY_RETRY, FENCE},
	{"9 503 without a token", NEED, {.status = 503}, CLASSIFY_OUTCOME, 0},
	{"9 reply err",
	 TOKEN | NEED,
	 {.status = 206, .reply = BAD, RANGED, BYTES(LEN)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"9 reply err with a body",
	 TOKEN | NEED,
	 {.status = 206, .reply = BAD, RANGED, .body = LEN},
	 CLASSIFY_RETRY,
	 FENCE},
	{"9 moved and a large body",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, BYTES(LEN), .body = LEN},
	 CLASSIFY_RETRY,
	 FENCE},
	{"9 overrun",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, BYTES(LEN + 1)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"9 whole object moved although a part was asked for",
	 TOKEN | NEED,
	 {.status = 200, .reply = OK, BYTES(SIZE)},
	 CLASSIFY_RETRY,
	 FENCE},
	{"9 body that is too long",
	 TOKEN | NEED,
	 {.status = 206, RANGED, .body = LEN + 1},
	 CLASSIFY_RETRY,
	 FENCE | DECLINED},
	{"9 a status nobody knows",
	 TOKEN | NEED,
	 {.status = 218},
	 CLASSIFY_RETRY,
	 FENCE},
	{"another version, moved",
	 TOKEN | NEED,
	 {.status = 206, .reply = OK, RANGED, .etag = "\"else\""},
	 CLASSIFY_STALE,
	 FENCE},
	{"another version, body",
	 NEED,
	 {.status = 206, RANGED, .body = LEN, .etag = "\"else\""},
	 CLASSIFY_STALE,
	 0},
};

START_TEST(row)
{
	const int in = rows[_i].in;
	const struct classify_input input = {.answer = &rows[_i].a,
					     .token = in & TOKEN,
					     .off = in & WHOLE ? 0 : OFF,
					     .len = LEN,
					     .object_len = in & WHOLE ? LEN
								      : SIZE,
					     .etag = ETAG,
					     .need_range = in & NEED};
	const struct classify_result r = classify_get(&input);

	ck_assert_msg(r.verdict == rows[_i].verdict, "%s: verdict %d",
		      rows[_i].row, r.verdict);
	ck_assert_msg(r.fence == !!(rows[_i].out & FENCE), "%s: fence %d",
		      rows[_i].row, r.fence);
	ck_assert_msg(r.declined == !!(rows[_i].out & DECLINED),
		      "%s: declined %d", rows[_i].row, r.declined);
}
END_TEST

static const struct {
	const char *what;
	int in;
	int status;
	bool has_range;
	uint64_t first, last, total;
	bool fits;
} ranges[] = {
	{"as asked", NEED, 206, true, OFF, OFF + LEN - 1, SIZE, true},
	{"one more", NEED, 206, true, OFF, OFF + LEN, SIZE, false},
	{"one less", NEED, 206, true, OFF, OFF + LEN - 2, SIZE, false},
	{"begins earlier", NEED, 206, true, OFF - 1, OFF + LEN - 1, SIZE,
	 false},
	{"another size", NEED, 206, true, OFF, OFF + LEN - 1, SIZE + 1, false},
	{"none told", NEED, 206, false, 0, 0, 0, false},
	{"none told, allowed", 0, 206, false, 0, 0, 0, true},
	{"none told, 200", 0, 200, false, 0, 0, 0, false},
	{"whole", WHOLE | NEED, 200, false, 0, 0, 0, true},
	{"whole as a range", WHOLE | NEED, 206, true, 0, LEN - 1, LEN, true},
	{"whole, but grown", WHOLE | NEED, 206, true, 0, LEN - 1, LEN + 1,
	 false},
};

START_TEST(range)
{
	const struct s3_answer a = {.status = ranges[_i].status,
				    .has_range = ranges[_i].has_range,
				    .range_first = ranges[_i].first,
				    .range_last = ranges[_i].last,
				    .range_total = ranges[_i].total};
	const bool whole = ranges[_i].in & WHOLE;
	const struct classify_input in = {.answer = &a,
					  .off = whole ? 0 : OFF,
					  .len = LEN,
					  .object_len = whole ? LEN : SIZE,
					  .etag = "",
					  .need_range = ranges[_i].in & NEED};

	ck_assert_msg(classify_range_fits(&in) == ranges[_i].fits, "%s",
		      ranges[_i].what);
}
END_TEST

START_TEST(etag_is_compared_when_both_are_there)
{
	struct s3_answer a = {.status = 200, .body = LEN};
	struct classify_input in = {.answer = &a,
				    .len = LEN,
				    .object_len = LEN,
				    .need_range = true};

	strcpy(a.etag, "\"x\"");
	in.etag = NULL;
	ck_assert_int_eq(classify_get(&in).verdict, CLASSIFY_BODY);
	in.etag = "";
	ck_assert_int_eq(classify_get(&in).verdict, CLASSIFY_BODY);
	in.etag = "\"y\"";
	ck_assert_int_eq(classify_get(&in).verdict, CLASSIFY_STALE);
	a.etag[0] = '\0';
	ck_assert_int_eq(classify_get(&in).verdict, CLASSIFY_BODY);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("classify");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, row, rows);
	ADD_ROWS(tc, range, ranges);
	tcase_add_test(tc, etag_is_compared_when_both_are_there);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
