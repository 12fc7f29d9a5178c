/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical request goes into the hash piece by piece, so that nothing
 * here has a length of its own to get wrong.
 */
#include "s3/sigv4.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/strbuf.h"

void sigv4_format_date(time_t t, char out[SIGV4_DATE])
{
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, SIGV4_DATE, "%Y%m%dT%H%M%SZ", &tm);
}

int sigv4_parse_date(const char *s, time_t *out)
{
	struct tm tm = {0};
	const char *end;

	if (strlen(s) != SIGV4_DATE - 1)
		return -EINVAL;
	end = strptime(s, "%Y%m%dT%H%M%SZ", &tm);
	if (!end || *end)
		return -EINVAL;
	*out = timegm(&tm);
	return 0;
}

void sigv4_sha256_hex(const void *data, size_t n, char out[SIGV4_HEX])
{
	unsigned char hash[SIGV4_HASH];

	SHA256(data, n, hash);
	format_hex(hash, sizeof(hash), out);
}

static void hmac(const void *key, size_t key_len, const char *text,
		 unsigned char out[SIGV4_HASH])
{
	unsigned int len = SIGV4_HASH;

	/* Fails only without memory, and then nothing can be signed. */
	if (!HMAC(EVP_sha256(), key, (int)key_len, (const void *)text,
		  strlen(text), out, &len))
		abort();
}

void sigv4_signing_key(const char *secret, const char *date, const char *region,
		       unsigned char out[SIGV4_HASH])
{
	char first[512], day[9];
	unsigned char k[SIGV4_HASH];

	snprintf(first, sizeof(first), "AWS4%s", secret);
	snprintf(day, sizeof(day), "%.8s", date);
	hmac(first, strlen(first), day, k);
	hmac(k, sizeof(k), region, k);
	hmac(k, sizeof(k), "s3", k);
	hmac(k, sizeof(k), "aws4_request", out);
	OPENSSL_cleanse(first, sizeof(first));
	OPENSSL_cleanse(k, sizeof(k));
}

void sigv4_scope(const char *date, const char *region, char *out, size_t cap)
{
	snprintf(out, cap, "%.8s/%s/s3/aws4_request", date, region);
}

int sigv4_signed_headers(const struct sigv4_request *r, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < r->nheaders; i++) {
		const int w = snprintf(out + n, cap - n, "%s%s", i ? ";" : "",
				       r->headers[i].name);

		if (w < 0 || (size_t)w >= cap - n)
			return -ENAMETOOLONG;
		n += (size_t)w;
	}
	return 0;
}

/* Adds a header value with outer blanks cut and inner runs made one. */
static void add_value(struct strbuf *b, const char *v)
{
	while (*v == ' ' || *v == '\t')
		v++;
	for (; *v; v++) {
		const bool blank = *v == ' ' || *v == '\t';

		if (blank && (v[1] == ' ' || v[1] == '\t' || !v[1]))
			continue;
		strbuf_add(b, blank ? " " : v, 1);
	}
}

static int canonical_hash(const struct sigv4_request *r, char out[SIGV4_HEX])
{
	char names[2048];
	struct strbuf b;
	int err = sigv4_signed_headers(r, names, sizeof(names));

	if (err)
		return -E2BIG;
	strbuf_init(&b, 1 << 20);
	strbuf_printf(&b, "%s\n", r->method);
	strbuf_puts(&b, r->path);
	strbuf_puts(&b, "\n");
	strbuf_puts(&b, r->query);
	strbuf_puts(&b, "\n");
	for (size_t i = 0; i < r->nheaders; i++) {
		strbuf_puts(&b, r->headers[i].name);
		strbuf_puts(&b, ":");
		add_value(&b, r->headers[i].value);
		strbuf_puts(&b, "\n");
	}
	strbuf_puts(&b, "\n");
	strbuf_puts(&b, names);
	strbuf_puts(&b, "\n");
	strbuf_puts(&b, r->payload_hash);
	if (b.failed)
		err = -E2BIG;
	else
		sigv4_sha256_hex(b.s, b.len, out);
	strbuf_free(&b);
	return err;
}

int sigv4_sign(const struct sigv4_request *r,
	       const unsigned char key[SIGV4_HASH], const char *date,
	       const char *scope, char out[SIGV4_HEX])
{
	char hash[SIGV4_HEX], text[512];
	unsigned char mac[SIGV4_HASH];
	const int err = canonical_hash(r, hash);

	if (err)
		return err;
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date,
		 scope, hash);
	hmac(key, SIGV4_HASH, text, mac);
	format_hex(mac, sizeof(mac), out);
	return 0;
}

void sigv4_sign_chunk(const unsigned char key[SIGV4_HASH], const char *date,
		      const char *scope, const char *previous, const char *hash,
		      char out[SIGV4_HEX])
{
	unsigned char mac[SIGV4_HASH];
	char text[768];

	snprintf(text, sizeof(text),
		 "AWS4-HMAC-SHA256-PAYLOAD\n%s\n%s\n%s\n%s\n%s", date, scope,
		 previous, SIGV4_EMPTY_SHA256, hash);
	hmac(key, SIGV4_HASH, text, mac);
	format_hex(mac, sizeof(mac), out);
}

void sigv4_sign_trailer(const unsigned char key[SIGV4_HASH], const char *date,
			const char *scope, const char *previous,
			const char *hash, char out[SIGV4_HEX])
{
	unsigned char mac[SIGV4_HASH];
	char text[768];

	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256-TRAILER\n%s\n%s\n%s\n%s",
		 date, scope, previous, hash);
	hmac(key, SIGV4_HASH, text, mac);
	format_hex(mac, sizeof(mac), out);
}

bool sigv4_equal(const char *a, const char *b)
{
	const size_t n = strlen(a);

	return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}
