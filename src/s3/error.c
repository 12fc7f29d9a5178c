/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/error.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

static const struct {
	const char *code;
	struct s3_verdict verdict;
	const char *hint;
} codes[] = {
	{"AccessDenied",
	 {-EACCES, S3_RETRY_NEVER},
	 "check the credentials and the bucket's policy"},
	{"AccountProblem", {-EACCES, S3_RETRY_NEVER}, "ask the store's owner"},
	{"BadDigest",
	 {-EIO, S3_RETRY_LATER},
	 "the data was damaged on its way"},
	{"ExpiredToken",
	 {-EACCES, S3_RETRY_REFRESH},
	 "the session credentials have expired: renew them"},
	{"InternalError", {-EIO, S3_RETRY_LATER}, "look at the server"},
	{"InvalidAccessKeyId",
	 {-EACCES, S3_RETRY_NEVER},
	 "the server does not know this access key: check AWS_ACCESS_KEY_ID or "
	 "credentials.profile"},
	{"InvalidObjectState",
	 {-EACCES, S3_RETRY_NEVER},
	 "the object is archived: restore it first"},
	{"InvalidRange", {-ERANGE, S3_RETRY_NEVER}, "past the end"},
	{"KeyTooLongError",
	 {-ENAMETOOLONG, S3_RETRY_NEVER},
	 "shorten the path"},
	{"NoSuchBucket",
	 {-ENOENT, S3_RETRY_NEVER},
	 "the bucket does not exist: check its name and the endpoint"},
	{"NoSuchKey", {-ENOENT, S3_RETRY_NEVER}, "no such object"},
	{"NotImplemented",
	 {-EOPNOTSUPP, S3_RETRY_NEVER},
	 "this server lacks the operation"},
	{"PreconditionFailed", {-ESTALE, S3_RETRY_NEVER}, "it was replaced"},
	{"RequestTimeTooSkewed",
	 {-EACCES, S3_RETRY_NEVER},
	 "this machine's clock differs from the server's: set it (chrony, "
	 "ntp)"},
	{"RequestTimeout", {-EIO, S3_RETRY_LATER}, "look at the network"},
	{"ServiceUnavailable", {-EIO, S3_RETRY_LATER}, "the server is busy"},
	{"SignatureDoesNotMatch",
	 {-EACCES, S3_RETRY_NEVER},
	 "the secret key is wrong: check AWS_SECRET_ACCESS_KEY or "
	 "credentials.profile"},
	{"SlowDown", {-EIO, S3_RETRY_LATER}, "the server is busy"},
	{"AuthorizationHeaderMalformed",
	 {-EACCES, S3_RETRY_NEVER},
	 "check endpoint.region"},
	{"PermanentRedirect",
	 {-EIO, S3_RETRY_NEVER},
	 "the bucket is elsewhere: check endpoint.urls and endpoint.region"},
};

static const struct {
	int status;
	struct s3_verdict verdict;
	const char *hint;
} statuses[] = {
	{301,
	 {-EIO, S3_RETRY_NEVER},
	 "the bucket is elsewhere: check endpoint.urls and endpoint.region"},
	{307,
	 {-EIO, S3_RETRY_NEVER},
	 "the bucket is elsewhere: check endpoint.urls and endpoint.region"},
	{400, {-EINVAL, S3_RETRY_NEVER}, "the server did not take the request"},
	{401, {-EACCES, S3_RETRY_NEVER}, "check the credentials"},
	{403,
	 {-EACCES, S3_RETRY_NEVER},
	 "check the credentials and the bucket's policy"},
	{404, {-ENOENT, S3_RETRY_NEVER}, "no such object or bucket"},
	{405,
	 {-EOPNOTSUPP, S3_RETRY_NEVER},
	 "this server lacks the operation: is it an S3 endpoint?"},
	{408, {-EIO, S3_RETRY_LATER}, "look at the network"},
	{409, {-EBUSY, S3_RETRY_NEVER}, "another request is in its way"},
	{412, {-ESTALE, S3_RETRY_NEVER}, "it was replaced"},
	{416, {-ERANGE, S3_RETRY_NEVER}, "past the end"},
	{429, {-EIO, S3_RETRY_LATER}, "the server is busy"},
	{500, {-EIO, S3_RETRY_LATER}, "look at the server"},
	{501,
	 {-EOPNOTSUPP, S3_RETRY_NEVER},
	 "this server lacks the operation: is it an S3 endpoint?"},
	{502, {-EIO, S3_RETRY_LATER}, "look at the proxy before the server"},
	{503, {-EIO, S3_RETRY_LATER}, "the server is busy"},
	{504, {-EIO, S3_RETRY_LATER}, "look at the proxy before the server"},
};

static const struct {
	int curl;
	struct s3_verdict verdict;
	const char *hint;
} curls[] = {
	{CURLE_COULDNT_RESOLVE_HOST,
	 {-EIO, S3_RETRY_LATER},
	 "check the host name in endpoint.urls"},
	{CURLE_COULDNT_CONNECT,
	 {-EIO, S3_RETRY_LATER},
	 "check endpoint.urls, and that the server runs"},
	{CURLE_PARTIAL_FILE, {-EIO, S3_RETRY_LATER}, "look at the network"},
	{CURLE_OPERATION_TIMEDOUT,
	 {-EIO, S3_RETRY_LATER},
	 "the server does not answer: check endpoint.urls"},
	{S3_NOT_BEGUN,
	 {-EIO, S3_RETRY_LATER},
	 "every connection was busy: look at the server, or raise "
	 "request.connections"},
	{CURLE_GOT_NOTHING, {-EIO, S3_RETRY_LATER}, "look at the server"},
	{CURLE_SEND_ERROR, {-EIO, S3_RETRY_LATER}, "look at the network"},
	{CURLE_RECV_ERROR, {-EIO, S3_RETRY_LATER}, "look at the network"},
	{CURLE_WRITE_ERROR, {-EIO, S3_RETRY_LATER}, "look at the server"},
	{CURLE_PEER_FAILED_VERIFICATION,
	 {-EIO, S3_RETRY_NEVER},
	 "the server's certificate is not trusted: set endpoint.ca_file"},
	{CURLE_SSL_CACERT_BADFILE,
	 {-EIO, S3_RETRY_NEVER},
	 "endpoint.ca_file cannot be read"},
	{CURLE_SSL_CONNECT_ERROR,
	 {-EIO, S3_RETRY_NEVER},
	 "does this endpoint speak https?"},
	{CURLE_UNSUPPORTED_PROTOCOL,
	 {-EIO, S3_RETRY_NEVER},
	 "endpoint.urls take http:// or https://"},
	{CURLE_ABORTED_BY_CALLBACK, {-EIO, S3_RETRY_LATER}, "it was ended"},
};

static_assert(S3_NOT_BEGUN == CURLE_NO_CONNECTION_AVAILABLE,
	      "a code of curl's own");

/* Finds the row and, when hint is not NULL, its advice. */
static struct s3_verdict look_up(int curl, int status, const char *code,
				 const char **hint)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		if (strcmp(code, codes[i].code) != 0)
			continue;
		*hint = codes[i].hint;
		return codes[i].verdict;
	}
	*hint = "look at the server's log";
	if (curl != CURLE_OK) {
		for (size_t i = 0; i < ARRAY_SIZE(curls); i++) {
			if (curls[i].curl != curl)
				continue;
			*hint = curls[i].hint;
			return curls[i].verdict;
		}
		return (struct s3_verdict){-EIO, S3_RETRY_LATER};
	}
	if (status >= 200 && status < 300)
		return (struct s3_verdict){0, S3_RETRY_NEVER};
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		if (statuses[i].status != status)
			continue;
		*hint = statuses[i].hint;
		return statuses[i].verdict;
	}
	return (struct s3_verdict){-EIO, status >= 500 ? S3_RETRY_LATER
						       : S3_RETRY_NEVER};
}

struct s3_verdict s3_error_classify(int curl, int status, const char *code)
{
	const char *hint;

	return look_up(curl, status, code, &hint);
}

const char *s3_error_hint(int curl, int status, const char *code)
{
	const char *hint;

	look_up(curl, status, code, &hint);
	return hint;
}
