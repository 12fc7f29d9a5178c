/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aws-chunked decoder, over a request made by hand.  The first byte says
 * which form, the second the size of the pieces.
 */
#include <assert.h>
#include <stdio.h>

#include "fuzz.h"
#include "request.h"

static const char *const forms[] = {
	"STREAMING-UNSIGNED-PAYLOAD-TRAILER",
	"STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
	"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
	"UNSIGNED-PAYLOAD",
};

static const struct op op = {.name = "Fuzz", .body = BODY_XML};

static void add_header(struct request *r, const char *name, const char *value)
{
	snprintf(r->headers[r->nheaders].name, sizeof(r->headers[0].name), "%s",
		 name);
	r->headers[r->nheaders++].value = strdup(value);
}

static void free_request(struct request *r)
{
	body_free(r);
	reply_clear(r);
	strbuf_free(&r->out);
	for (size_t i = 0; i < r->nheaders; i++)
		free(r->headers[i].value);
	free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request *r;
	size_t piece;
	bool ok;

	if (size < 2)
		return 0;
	r = calloc(1, sizeof(*r));
	assert(r);
	r->op = &op;
	r->method = "PUT";
	r->body.tmp.fd = -1;
	r->body.checksum = -1;
	strbuf_init(&r->out, 1 << 20);
	snprintf(r->date, sizeof(r->date), "20130524T000000Z");
	snprintf(r->scope, sizeof(r->scope), "20130524/r/s3/aws4_request");
	add_header(r, "x-amz-content-sha256", forms[data[0] & 3]);
	add_header(r, "x-amz-decoded-content-length", data[0] & 4 ? "5" : "11");
	add_header(r, "content-length", "11");
	if (data[0] & 8)
		add_header(r, "x-amz-trailer", "x-amz-checksum-crc32");
	if (data[0] & 16)
		add_header(r, "x-amz-checksum-sha256",
			   "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
	piece = data[1] ? data[1] : size;
	ok = body_begin(r);
	for (size_t at = 2; ok && at < size; at += piece)
		ok = body_data(r, (const char *)data + at,
			       size - at < piece ? size - at : piece);
	ok = ok && body_end(r);
	assert(r->body.received <= r->body.length);
	/* What was refused has an answer; what was taken is whole. */
	if (!ok)
		assert(r->status >= 400);
	else
		assert(r->body.received == r->body.length);
	free_request(r);
	return 0;
}
