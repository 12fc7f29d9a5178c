/* SPDX-License-Identifier: Apache-2.0 */
/* Answers that every operation gives: errors, headers, dates. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "request.h"

static const struct {
	const char *code;
	int status;
} codes[] = {
	{"AccessDenied", 403},
	{"AuthorizationHeaderMalformed", 400},
	{"AuthorizationQueryParametersError", 400},
	{"BadDigest", 400},
	{"BadRequest", 400},
	{"BucketAlreadyExists", 409},
	{"BucketNotEmpty", 409},
	{"EntityTooLarge", 400},
	{"EntityTooSmall", 400},
	{"IncompleteBody", 400},
	{"InternalError", 500},
	{"InvalidAccessKeyId", 403},
	{"InvalidArgument", 400},
	{"InvalidBucketName", 400},
	{"InvalidDigest", 400},
	{"InvalidPart", 400},
	{"InvalidPartOrder", 400},
	{"InvalidRange", 416},
	{"InvalidRdmaToken", 400},
	{"InvalidRequest", 400},
	{"InvalidTag", 400},
	{"InvalidURI", 400},
	{"KeyTooLongError", 400},
	{"MalformedXML", 400},
	{"MetadataTooLarge", 400},
	{"MethodNotAllowed", 405},
	{"MissingContentLength", 411},
	{"NoSuchBucket", 404},
	{"NoSuchKey", 404},
	{"NoSuchUpload", 404},
	{"NotImplemented", 501},
	{"NoSuchRdmaSession", 404},
	{"OperationAborted", 409},
	{"RDMATransferFailed", 500},
	{"RdmaEntityTooLarge", 413},
	{"RdmaSessionGone", 409},
	{"PreconditionFailed", 412},
	{"RequestTimeTooSkewed", 403},
	{"ServiceUnavailable", 503},
	{"SignatureDoesNotMatch", 403},
	{"SlowDown", 503},
	{"XAmzContentSHA256Mismatch", 400},
};

static int status_of(const char *code)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		if (!strcmp(codes[i].code, code))
			return codes[i].status;
	return 500;
}

void reply_error(struct request *r, const char *code, const char *fmt, ...)
{
	char message[400];
	va_list args;

	if (r->status >= 400)
		return;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	r->failed = true;
	r->out.len = 0;
	strbuf_puts(&r->out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
			     "<Error><Code>");
	strbuf_xml(&r->out, code);
	strbuf_puts(&r->out, "</Code><Message>");
	strbuf_xml(&r->out, message);
	strbuf_puts(&r->out, "</Message><Resource>");
	strbuf_xml(&r->out, r->path ? r->path : "");
	strbuf_puts(&r->out, "</Resource>");
	/* Clients that guess the region look here for the right one. */
	if (!strcmp(code, "AuthorizationHeaderMalformed"))
		strbuf_printf(&r->out, "<Region>%s</Region>", r->gw->region);
	strbuf_printf(&r->out, "<RequestId>%s</RequestId></Error>", r->id);
	reply_xml(r, status_of(code));
}

void reply_errno(struct request *r, int err)
{
	switch (err) {
	case -ENOENT:
		reply_error(r, "NoSuchKey",
			    "The specified key does not exist.");
		break;
	case -ENOTDIR:
		reply_error(r, "NoSuchBucket",
			    "The specified bucket does not exist");
		break;
	case -EEXIST:
	case -ESTALE:
		reply_error(r, "PreconditionFailed",
			    "At least one of the pre-conditions you specified "
			    "did not hold");
		break;
	case -ENAMETOOLONG:
		reply_error(r, "KeyTooLongError", "Your key is too long");
		break;
	case -E2BIG:
	case -ERANGE:
		reply_error(r, "MetadataTooLarge",
			    "Your metadata headers exceed the maximum allowed "
			    "metadata size");
		break;
	case -EBUSY:
		reply_error(r, "OperationAborted",
			    "A conflicting operation is in progress");
		break;
	default:
		log_error("gateway: %s %s failed: %s (request id %s)",
			  r->method, r->path ? r->path : "?", strerror(-err),
			  r->id);
		reply_error(r, "InternalError",
			    "We encountered an internal error: %s",
			    strerror(-err));
	}
}

void reply_header(struct request *r, const char *name, const char *fmt, ...)
{
	char *value;
	va_list args;
	int n;

	va_start(args, fmt);
	n = vasprintf(&value, fmt, args);
	va_end(args);
	if (n < 0)
		return;
	if (r->nreply == MAX_REPLY_HEADERS) {
		free(value);
		return;
	}
	r->reply[r->nreply].name = name;
	r->reply[r->nreply++].value = value;
}

static void drop(struct request *r, size_t i)
{
	free(r->reply[i].value);
	r->reply[i] = r->reply[--r->nreply];
}

void reply_drop_header(struct request *r, const char *name)
{
	for (size_t i = 0; i < r->nreply;)
		if (!strcasecmp(r->reply[i].name, name))
			drop(r, i);
		else
			i++;
}

void reply_clear(struct request *r)
{
	while (r->nreply)
		drop(r, 0);
}

const char *reply_intern(struct request *r, const char *name)
{
	const size_t n = strlen(name) + 1;
	char *copy = r->names + r->names_len;

	if (n > sizeof(r->names) - r->names_len)
		return "x-amz-missing-meta";
	memcpy(copy, name, n);
	r->names_len += n;
	return copy;
}

void reply_xml(struct request *r, int status)
{
	r->status = status;
	reply_header(r, "Content-Type", "application/xml");
}

void format_http_date(time_t t, char out[32])
{
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

void format_iso_date(const struct timespec *t, char out[32])
{
	struct tm tm;
	size_t n;

	gmtime_r(&t->tv_sec, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03ldZ", t->tv_nsec / 1000000);
}

const char *request_header(const struct request *r, const char *name)
{
	for (size_t i = 0; i < r->nheaders; i++)
		if (!strcmp(r->headers[i].name, name))
			return r->headers[i].value;
	return NULL;
}

const char *request_param(const struct request *r, const char *name)
{
	return uri_query_get(&r->query, name);
}
