/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's body on its way in.  Plain bodies pass straight on; aws-chunked
 * ones go through a decoder that takes any split of the bytes:
 *
 *   SIZE       a chunk's "hex[;chunk-signature=...]\r\n"
 *   DATA       its bytes
 *   DATA_END   the "\r\n" behind them
 *   TRAILER    "name:value\r\n" lines up to an empty one, behind chunk 0
 *   END        nothing may follow
 *
 * Everything that the client promised (length, hashes, signatures) is checked
 * before the operation runs, so what does not hold is never stored.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "request.h"

enum { SIZE, DATA, DATA_END, TRAILER, END };

static bool start_digest(EVP_MD_CTX **md, const EVP_MD *kind)
{
	*md = EVP_MD_CTX_new();
	return *md && EVP_DigestInit_ex(*md, kind, NULL);
}

/* x-amz-content-sha256: a hash, or the name of a way to send. */
static bool parse_payload(struct request *r)
{
	const char *v = r->presigned
				? "UNSIGNED-PAYLOAD"
				: request_header(r, "x-amz-content-sha256");
	struct body *b = &r->body;
	unsigned char hash[SIGV4_HASH];

	if (!strcmp(v, "UNSIGNED-PAYLOAD"))
		return true;
	if (!strcmp(v, "STREAMING-UNSIGNED-PAYLOAD-TRAILER") ||
	    !strcmp(v, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD") ||
	    !strcmp(v, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")) {
		b->payload = PAYLOAD_CHUNKED;
		b->signed_chunks = !strstr(v, "UNSIGNED");
		b->has_trailer = strstr(v, "TRAILER") != NULL;
		return true;
	}
	if (parse_hex(v, hash, sizeof(hash))) {
		reply_error(r, "InvalidArgument",
			    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
			    "a STREAMING form or a valid sha256 value.");
		return false;
	}
	format_hex(hash, sizeof(hash), b->want_sha256);
	return true;
}

static bool parse_length(struct request *r)
{
	const char *plain = request_header(r, "content-length");
	const char *decoded = request_header(r, "x-amz-decoded-content-length");
	const char *v = r->body.payload == PAYLOAD_CHUNKED ? decoded : plain;

	if (!v) {
		/* CreateBucket, for one, may come with nothing. */
		if (r->op->body != BODY_OBJECT)
			return true;
		reply_error(r, "MissingContentLength",
			    "You must provide the Content-Length HTTP header.");
		return false;
	}
	if (parse_u64(v, &r->body.length)) {
		reply_error(r, "InvalidArgument", "bad content length");
		return false;
	}
	if (r->body.length >
	    (r->op->body == BODY_OBJECT ? MAX_OBJECT : MAX_XML_BODY)) {
		reply_error(r, "EntityTooLarge",
			    "Your proposed upload exceeds the maximum allowed "
			    "size");
		return false;
	}
	return true;
}

/* Which x-amz-checksum-* comes with the request, in front or behind. */
static bool parse_checksum(struct request *r)
{
	const char *trailer = request_header(r, "x-amz-trailer");
	struct body *b = &r->body;
	char name[48];

	for (int k = 0; k < CHECKSUM_KINDS; k++) {
		const char *v;

		snprintf(name, sizeof(name), "x-amz-checksum-%s",
			 checksum_name(k));
		v = request_header(r, name);
		if (v) {
			if (b->checksum >= 0 ||
			    strlen(v) >= sizeof(b->want_checksum)) {
				reply_error(r, "InvalidRequest",
					    "Expecting a single x-amz-checksum-"
					    " header");
				return false;
			}
			if (!checksum_is_form((enum checksum_kind)k, v)) {
				reply_error(r, "InvalidRequest",
					    "Value for %s header is invalid.",
					    name);
				return false;
			}
			snprintf(b->want_checksum, sizeof(b->want_checksum),
				 "%s", v);
			b->checksum = k;
		} else if (b->has_trailer && trailer &&
			   !strcasecmp(trailer, name)) {
			b->checksum = k;
			b->checksum_in_trailer = true;
		}
	}
	if (b->checksum < 0)
		return true;
	return !checksum_init(&b->sum, (enum checksum_kind)b->checksum);
}

static bool check_md5_form(struct request *r)
{
	const char *v = request_header(r, "content-md5");
	unsigned char digest[16];

	if (!v || !base64_decode(v, digest, sizeof(digest)))
		return true;
	reply_error(r, "InvalidDigest",
		    "The Content-MD5 you specified was invalid.");
	return false;
}

bool body_begin(struct request *r)
{
	struct body *b = &r->body;

	b->checksum = -1;
	b->tmp.fd = -1;
	strbuf_init(&b->xml, MAX_XML_BODY);
	if (!parse_payload(r) || !parse_length(r) || !check_md5_form(r))
		return false;
	if (r->op->body == BODY_NONE)
		return true;
	if (!parse_checksum(r))
		return false;
	if (!start_digest(&b->md5, EVP_md5()) ||
	    (b->want_sha256[0] && !start_digest(&b->sha256, EVP_sha256())) ||
	    (b->signed_chunks &&
	     !start_digest(&b->chunk_sha256, EVP_sha256()))) {
		reply_errno(r, -ENOMEM);
		return false;
	}
	if (r->op->body == BODY_OBJECT) {
		const int err = store_tmp_new(r->gw->store, &b->tmp);

		if (err) {
			reply_errno(r, err);
			return false;
		}
	}
	return true;
}

static bool write_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		const ssize_t w = write(fd, data, n);

		if (w < 0)
			return false;
		data += w;
		n -= (size_t)w;
	}
	return true;
}

/* Takes decoded bytes. */
static bool take(struct request *r, const char *data, size_t n)
{
	struct body *b = &r->body;

	if (r->op->body == BODY_NONE)
		return true;
	if (n > b->length - b->received) {
		reply_error(r, "IncompleteBody",
			    "The request body is longer than announced");
		return false;
	}
	b->received += n;
	EVP_DigestUpdate(b->md5, data, n);
	if (b->sha256)
		EVP_DigestUpdate(b->sha256, data, n);
	if (b->checksum >= 0)
		checksum_update(&b->sum, data, n);
	if (r->op->body == BODY_XML) {
		strbuf_add(&b->xml, data, n);
		return true;
	}
	if (write_all(b->tmp.fd, data, n))
		return true;
	reply_errno(r, -errno);
	return false;
}

static bool bad_chunk(struct request *r)
{
	reply_error(r, "IncompleteBody", "The chunked body is malformed");
	return false;
}

static void finish_digest_hex(EVP_MD_CTX *md, char out[SIGV4_HEX])
{
	unsigned char hash[EVP_MAX_MD_SIZE];

	EVP_DigestFinal_ex(md, hash, NULL);
	format_hex(hash, SIGV4_HASH, out);
}

/* The chunk is complete: is it the one that was signed? */
static bool check_chunk(struct request *r)
{
	struct body *b = &r->body;
	char hash[SIGV4_HEX], want[SIGV4_HEX];

	if (!b->signed_chunks)
		return true;
	finish_digest_hex(b->chunk_sha256, hash);
	EVP_DigestInit_ex(b->chunk_sha256, EVP_sha256(), NULL);
	sigv4_sign_chunk(r->signing_key, r->date, r->scope, r->signature, hash,
			 want);
	if (!sigv4_equal(want, b->chunk_signature)) {
		reply_error(r, "SignatureDoesNotMatch",
			    "The chunk signature does not match");
		return false;
	}
	memcpy(r->signature, want, sizeof(want));
	return true;
}

static bool size_line(struct request *r)
{
	static const char name[] = ";chunk-signature=";
	struct body *b = &r->body;
	const size_t digits = strspn(b->line, "0123456789abcdefABCDEF");
	const char *rest = b->line + digits;

	if (digits == 0 || digits > 12)
		return bad_chunk(r);
	b->chunk_left = strtoull(b->line, NULL, 16);
	b->last_chunk = b->chunk_left == 0;
	if (b->signed_chunks) {
		if (strncmp(rest, name, sizeof(name) - 1) != 0 ||
		    strlen(rest) != sizeof(name) - 1 + SIGV4_HEX - 1)
			return bad_chunk(r);
		memcpy(b->chunk_signature, rest + sizeof(name) - 1, SIGV4_HEX);
	}
	if (!b->signed_chunks && *rest)
		return bad_chunk(r);
	b->state = DATA;
	if (!b->last_chunk)
		return true;
	if (!check_chunk(r))
		return false;
	b->state = b->has_trailer ? TRAILER : DATA_END;
	return true;
}

static bool trailer_line(struct request *r)
{
	struct body *b = &r->body;
	char *colon = strchr(b->line, ':'), *value;
	const size_t used = strlen(b->trailer);

	if (!b->line[0]) {
		b->state = END;
		return true;
	}
	if (!colon)
		return bad_chunk(r);
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " ");
	for (char *p = b->line; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	if (!strcmp(b->line, "x-amz-trailer-signature")) {
		snprintf(b->trailer_signature, sizeof(b->trailer_signature),
			 "%s", value);
		return true;
	}
	snprintf(b->trailer + used, sizeof(b->trailer) - used, "%s:%s\n",
		 b->line, value);
	if (b->checksum_in_trailer &&
	    !strncmp(b->line, "x-amz-checksum-", 15) &&
	    checksum_parse(b->line + 15) == b->checksum &&
	    strlen(value) < sizeof(b->want_checksum))
		snprintf(b->want_checksum, sizeof(b->want_checksum), "%s",
			 value);
	return true;
}

/* A whole line is there, without its end. */
static bool take_line(struct request *r)
{
	struct body *b = &r->body;

	if (b->line_len && b->line[b->line_len - 1] == '\r')
		b->line_len--;
	b->line[b->line_len] = '\0';
	b->line_len = 0;
	switch (b->state) {
	case SIZE:
		return size_line(r);
	case TRAILER:
		return trailer_line(r);
	case DATA_END:
		if (b->line[0])
			return bad_chunk(r);
		b->state = b->last_chunk ? END : SIZE;
		return true;
	default:
		return bad_chunk(r);
	}
}

static bool decode(struct request *r, const char *data, size_t n)
{
	struct body *b = &r->body;

	while (n > 0) {
		size_t take_n = 1;

		if (b->state == END)
			return bad_chunk(r);
		if (b->state == DATA) {
			take_n = b->chunk_left < n ? b->chunk_left : n;
			if (!take(r, data, take_n))
				return false;
			if (b->signed_chunks)
				EVP_DigestUpdate(b->chunk_sha256, data, take_n);
			b->chunk_left -= take_n;
			if (b->chunk_left == 0) {
				b->state = DATA_END;
				if (!check_chunk(r))
					return false;
			}
		} else if (*data == '\n') {
			if (!take_line(r))
				return false;
		} else if (b->line_len + 1 < sizeof(b->line)) {
			b->line[b->line_len++] = *data;
		} else {
			return bad_chunk(r);
		}
		data += take_n;
		n -= take_n;
	}
	return true;
}

bool body_data(struct request *r, const char *data, size_t n)
{
	return r->body.payload == PAYLOAD_CHUNKED ? decode(r, data, n)
						  : take(r, data, n);
}

static bool check_trailer_signature(struct request *r)
{
	struct body *b = &r->body;
	char hash[SIGV4_HEX], want[SIGV4_HEX];

	if (!b->signed_chunks || !b->has_trailer)
		return true;
	sigv4_sha256_hex(b->trailer, strlen(b->trailer), hash);
	sigv4_sign_trailer(r->signing_key, r->date, r->scope, r->signature,
			   hash, want);
	if (sigv4_equal(want, b->trailer_signature))
		return true;
	reply_error(r, "SignatureDoesNotMatch",
		    "The trailer signature does not match");
	return false;
}

static bool check_hashes(struct request *r)
{
	const char *want_md5 = request_header(r, "content-md5");
	struct body *b = &r->body;
	char hex[SIGV4_HEX], text[32];

	EVP_DigestFinal_ex(b->md5, b->md5_digest, NULL);
	if (b->sha256) {
		finish_digest_hex(b->sha256, hex);
		if (strcmp(hex, b->want_sha256) != 0) {
			reply_error(r, "XAmzContentSHA256Mismatch",
				    "The provided 'x-amz-content-sha256' "
				    "header does not match what was computed.");
			return false;
		}
	}
	base64_encode(b->md5_digest, 16, text);
	if (want_md5 && strcmp(text, want_md5) != 0) {
		reply_error(r, "BadDigest",
			    "The Content-MD5 you specified did not match what "
			    "we received.");
		return false;
	}
	if (b->checksum < 0)
		return true;
	checksum_final(&b->sum, b->got_checksum);
	if (b->checksum_in_trailer && !b->want_checksum[0]) {
		reply_error(r, "InvalidRequest",
			    "The announced trailer is missing");
		return false;
	}
	if (!strcmp(b->got_checksum, b->want_checksum))
		return true;
	reply_error(r, "BadDigest",
		    "The %s you specified did not match the calculated "
		    "checksum.",
		    checksum_name((enum checksum_kind)b->checksum));
	return false;
}

bool body_end(struct request *r)
{
	struct body *b = &r->body;

	if (r->op->body == BODY_NONE)
		return true;
	if (b->received != b->length ||
	    (b->payload == PAYLOAD_CHUNKED && b->state != END)) {
		reply_error(r, "IncompleteBody",
			    "You did not provide the number of bytes specified "
			    "by the Content-Length HTTP header");
		return false;
	}
	return check_trailer_signature(r) && check_hashes(r);
}

void body_free(struct request *r)
{
	struct body *b = &r->body;
	char unused[CHECKSUM_TEXT];

	if (b->checksum >= 0 && b->sum.md)
		checksum_final(&b->sum, unused);
	EVP_MD_CTX_free(b->md5);
	EVP_MD_CTX_free(b->sha256);
	EVP_MD_CTX_free(b->chunk_sha256);
	strbuf_free(&b->xml);
	if (b->tmp.fd >= 0 || b->tmp.name[0])
		store_tmp_drop(r->gw->store, &b->tmp);
}
