/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 for S3.  Pure: the time is an argument.  Both sides
 * use it: the client to sign, the gateway to check.
 */
#ifndef S3RDMAFS_S3_SIGV4_H
#define S3RDMAFS_S3_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define SIGV4_HASH 32                  /* bytes of a SHA-256 */
#define SIGV4_HEX (2 * SIGV4_HASH + 1) /* and as text, terminated */
#define SIGV4_DATE 17                  /* YYYYMMDDTHHMMSSZ, terminated */
#define SIGV4_EMPTY_SHA256 \
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sigv4_header {
	const char *name; /* lower case */
	const char *value;
};

/* What is signed.  All borrowed. */
struct sigv4_request {
	const char *method;
	const char *path;  /* percent-encoded as it goes on the wire */
	const char *query; /* canonical, see uri_query_canonical */
	const struct sigv4_header *headers; /* sorted by name */
	size_t nheaders;
	const char *payload_hash; /* hex, or UNSIGNED-PAYLOAD and its like */
};

/* YYYYMMDDTHHMMSSZ of a time, and back (-EINVAL for another form). */
void sigv4_format_date(time_t t, char out[SIGV4_DATE]);
int sigv4_parse_date(const char *s, time_t *out);

/* Hex SHA-256 of n bytes. */
void sigv4_sha256_hex(const void *data, size_t n, char out[SIGV4_HEX]);

/* The key of one day and region; date is SIGV4_DATE's, its first 8 count. */
void sigv4_signing_key(const char *secret, const char *date, const char *region,
		       unsigned char out[SIGV4_HASH]);

/* "date/region/s3/aws4_request" into out of cap bytes. */
void sigv4_scope(const char *date, const char *region, char *out, size_t cap);

/* "name;name" of the request's headers; -ENAMETOOLONG over cap. */
int sigv4_signed_headers(const struct sigv4_request *r, char *out, size_t cap);

/* The signature of a request, in hex.  Returns 0 or -E2BIG. */
int sigv4_sign(const struct sigv4_request *r,
	       const unsigned char key[SIGV4_HASH], const char *date,
	       const char *scope, char out[SIGV4_HEX]);

/*
 * The signature of one aws-chunked chunk, which seals the one before it
 * (previous); hash is the chunk's SHA-256 in hex.
 */
void sigv4_sign_chunk(const unsigned char key[SIGV4_HASH], const char *date,
		      const char *scope, const char *previous, const char *hash,
		      char out[SIGV4_HEX]);

/* As sigv4_sign_chunk, for the trailing headers. */
void sigv4_sign_trailer(const unsigned char key[SIGV4_HASH], const char *date,
			const char *scope, const char *previous,
			const char *hash, char out[SIGV4_HEX]);

/* Are two signatures equal?  In constant time. */
bool sigv4_equal(const char *a, const char *b);

#endif
