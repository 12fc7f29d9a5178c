/* SPDX-License-Identifier: Apache-2.0 */
/* Every row of the table of errors, and the back-off. */
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "s3/error.h"
#include "s3/retry.h"
#include "unit.h"

#define NEVER S3_RETRY_NEVER
#define LATER S3_RETRY_LATER

static const struct {
	int curl, status;
	const char *code;
	int err;
	enum s3_retry retry;
} rows[] = {
	{0, 200, "", 0, NEVER},
	{0, 204, "", 0, NEVER},
	{0, 206, "", 0, NEVER},
	/* by code */
	{0, 403, "AccessDenied", -EACCES, NEVER},
	{0, 403, "AccountProblem", -EACCES, NEVER},
	{0, 400, "BadDigest", -EIO, LATER},
	{0, 400, "ExpiredToken", -EACCES, S3_RETRY_REFRESH},
	{0, 500, "InternalError", -EIO, LATER},
	{0, 403, "InvalidAccessKeyId", -EACCES, NEVER},
	{0, 403, "InvalidObjectState", -EACCES, NEVER},
	{0, 416, "InvalidRange", -ERANGE, NEVER},
	{0, 400, "KeyTooLongError", -ENAMETOOLONG, NEVER},
	{0, 404, "NoSuchBucket", -ENOENT, NEVER},
	{0, 404, "NoSuchKey", -ENOENT, NEVER},
	{0, 501, "NotImplemented", -EOPNOTSUPP, NEVER},
	{0, 412, "PreconditionFailed", -ESTALE, NEVER},
	{0, 403, "RequestTimeTooSkewed", -EACCES, NEVER},
	{0, 400, "RequestTimeout", -EIO, LATER},
	{0, 503, "ServiceUnavailable", -EIO, LATER},
	{0, 403, "SignatureDoesNotMatch", -EACCES, NEVER},
	{0, 503, "SlowDown", -EIO, LATER},
	{0, 400, "AuthorizationHeaderMalformed", -EACCES, NEVER},
	{0, 301, "PermanentRedirect", -EIO, NEVER},
	/* by status */
	{0, 301, "", -EIO, NEVER},
	{0, 307, "", -EIO, NEVER},
	{0, 400, "", -EINVAL, NEVER},
	{0, 401, "", -EACCES, NEVER},
	{0, 403, "", -EACCES, NEVER},
	{0, 404, "", -ENOENT, NEVER},
	{0, 405, "", -EOPNOTSUPP, NEVER},
	{0, 408, "", -EIO, LATER},
	{0, 409, "", -EBUSY, NEVER},
	{0, 412, "", -ESTALE, NEVER},
	{0, 416, "", -ERANGE, NEVER},
	{0, 429, "", -EIO, LATER},
	{0, 500, "", -EIO, LATER},
	{0, 501, "", -EOPNOTSUPP, NEVER},
	{0, 502, "", -EIO, LATER},
	{0, 503, "", -EIO, LATER},
	{0, 504, "", -EIO, LATER},
	{0, 599, "", -EIO, LATER},
	{0, 418, "", -EIO, NEVER},
	{0, 302, "", -EIO, NEVER},
	{0, 0, "", -EIO, NEVER},
	/* by curl */
	{CURLE_COULDNT_RESOLVE_HOST, 0, "", -EIO, LATER},
	{CURLE_COULDNT_CONNECT, 0, "", -EIO, LATER},
	{CURLE_PARTIAL_FILE, 206, "", -EIO, LATER},
	{CURLE_OPERATION_TIMEDOUT, 0, "", -EIO, LATER},
	{CURLE_GOT_NOTHING, 0, "", -EIO, LATER},
	{CURLE_SEND_ERROR, 0, "", -EIO, LATER},
	{CURLE_RECV_ERROR, 200, "", -EIO, LATER},
	{CURLE_WRITE_ERROR, 200, "", -EIO, LATER},
	{CURLE_PEER_FAILED_VERIFICATION, 0, "", -EIO, NEVER},
	{CURLE_SSL_CACERT_BADFILE, 0, "", -EIO, NEVER},
	{CURLE_SSL_CONNECT_ERROR, 0, "", -EIO, NEVER},
	{CURLE_UNSUPPORTED_PROTOCOL, 0, "", -EIO, NEVER},
	{CURLE_ABORTED_BY_CALLBACK, 0, "", -EIO, LATER},
	{CURLE_HTTP2, 0, "", -EIO, LATER},
	/* a code outranks the status; one that is not known does not */
	{0, 500, "NoSuchKey", -ENOENT, NEVER},
	{0, 200, "InternalError", -EIO, LATER},
	{0, 400, "SlowDown", -EIO, LATER},
	{0, 404, "Whatever", -ENOENT, NEVER},
	{0, 503, "nosuchkey", -EIO, LATER},
};

START_TEST(row)
{
	const struct s3_verdict v = s3_error_classify(
		rows[_i].curl, rows[_i].status, rows[_i].code);
	const char *hint = s3_error_hint(rows[_i].curl, rows[_i].status,
					 rows[_i].code);

	ck_assert_msg(v.err == rows[_i].err, "%d %d %s: %d", rows[_i].curl,
		      rows[_i].status, rows[_i].code, v.err);
	ck_assert_msg(v.retry == rows[_i].retry, "%d %d %s: retry %d",
		      rows[_i].curl, rows[_i].status, rows[_i].code, v.retry);
	ck_assert_ptr_nonnull(hint);
	ck_assert_uint_gt(strlen(hint), 3);
}
END_TEST

START_TEST(retry_delay)
{
	static const uint32_t tops[] = {25, 50, 100, 200, 400, 800, 1500, 1500};

	for (unsigned int a = 0; a < 100; a += a < 10 ? 1 : 13) {
		const uint32_t top = a < 8 ? tops[a] : 1500;
		uint32_t most = 0;

		ck_assert_uint_eq(s3_retry_delay(a, 0), 0);
		ck_assert_uint_eq(s3_retry_delay(a, top), top);
		for (uint32_t r = 0; r < 4000; r++) {
			const uint32_t d = s3_retry_delay(a, r * 1000003);

			ck_assert_uint_le(d, top);
			most = d > most ? d : most;
		}
		ck_assert_uint_gt(most, top * 9 / 10);
	}
	ck_assert_uint_le(s3_retry_delay(UINT32_MAX, UINT32_MAX), 1500);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("error");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, row, rows);
	tcase_add_test(tc, retry_delay);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
