/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canonical request goes into the hash piece by piece, so that nothing
 * here has a length of its own to get wrong.
 */
#include "s3/sigv4.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
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

/* OpenSSL looks its algorithms up by name at each use, unless they are kept:
 * that was most of what a signature cost. */
static EVP_MD *sha256;
static EVP_MAC_CTX *hmac_sha256; /* without a key; to be copied */

static void fetch_algorithms(void)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(
					     OSSL_MAC_PARAM_DIGEST, digest, 0),
				     OSSL_PARAM_construct_end()};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	sha256 = EVP_MD_fetch(NULL, digest, NULL);
	hmac_sha256 = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	/* Fails only without memory, and then nothing can be signed. */
	if (!sha256 || !hmac_sha256 ||
	    !EVP_MAC_CTX_set_params(hmac_sha256, params))
		abort();
}

static void need_algorithms(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch_algorithms);
}

void sigv4_sha256_hex(const void *data, size_t n, char out[SIGV4_HEX])
{
	unsigned char hash[SIGV4_HASH];

	need_algorithms();
	if (!EVP_Digest(data, n, hash, NULL, sha256, NULL))
		abort();
	format_hex(hash, sizeof(hash), out);
}

static void hmac(const void *key, size_t key_len, const char *text,
		 unsigned char out[SIGV4_HASH])
{
	EVP_MAC_CTX *m;
	size_t len;

	need_algorithms();
	m = EVP_MAC_CTX_dup(hmac_sha256);
	if (!m || !EVP_MAC_init(m, key, key_len, NULL) ||
	    !EVP_MAC_update(m, (const void *)text, strlen(text)) ||
	    !EVP_MAC_final(m, out, &len, SIGV4_HASH))
		abort();
	EVP_MAC_CTX_free(m);
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
