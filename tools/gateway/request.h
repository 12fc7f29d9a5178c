/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request on its way through the gateway, and its answer.
 *
 *   http.c     takes it from libmicrohttpd, gives the answer back, logs it
 *   auth.c     whose is it? (SigV4 in a header or in the query)
 *   route.c    which operation is it?
 *   body.c     its body: plain or aws-chunked, hashed, to memory or a file
 *   ops_*.c    the operations
 *
 * A request belongs to the one thread of its connection.
 */
#ifndef S3RDMAFS_GATEWAY_REQUEST_H
#define S3RDMAFS_GATEWAY_REQUEST_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"
#include "s3/checksum.h"
#include "s3/sigv4.h"
#include "s3/uri.h"
#include "store.h"

#define MAX_HEADERS 100
#define MAX_REPLY_HEADERS 64
#define MAX_XML_BODY (4U << 20) /* of DeleteObjects and its like */
#define MAX_OBJECT (5ULL << 30) /* of one PUT or part */

struct gateway;
struct request;
struct faults;
struct nic;
struct fault;

/* Whose keys open the door.  Constant once the server runs. */
struct keyring {
	struct {
		char *access, *secret; /* owned */
	} * keys;
	size_t n;
};

struct gateway {
	struct store *store;
	struct keyring keys;
	const char *region;
	struct faults *faults;
	struct shm_server *shm; /* NULL when off */
	struct nic *nic;        /* likewise */
	bool rc;                /* offer RC connections and hipobj-rc-v2 */
	int log_fd;             /* access log, or -1 */
};

struct op {
	const char *name; /* as S3 calls it */
	enum { BODY_NONE, BODY_XML, BODY_OBJECT } body;
	void (*run)(struct request *r); /* once the body is here */
};

enum payload {
	PAYLOAD_PLAIN,   /* the bytes, whose hash may be known */
	PAYLOAD_CHUNKED, /* aws-chunked */
};

/* The body as it comes in. */
struct body {
	enum payload payload;
	bool signed_chunks, has_trailer;
	char want_sha256[SIGV4_HEX]; /* "" when not told */
	uint64_t length;             /* of the object's bytes */
	uint64_t received;
	struct strbuf xml;        /* BODY_XML */
	struct store_tmp tmp;     /* BODY_OBJECT; fd is -1 until it is needed */
	EVP_MD_CTX *md5, *sha256; /* owned; sha256 only when wanted */
	int checksum;             /* enum checksum_kind, or -1 */
	bool checksum_in_trailer;
	struct checksum sum;
	char want_checksum[CHECKSUM_TEXT];
	char got_checksum[CHECKSUM_TEXT];
	unsigned char md5_digest[16];

	/* The aws-chunked decoder's. */
	int state;
	char line[4096];
	size_t line_len;
	uint64_t chunk_left;
	bool last_chunk;
	EVP_MD_CTX *chunk_sha256; /* owned */
	char chunk_signature[SIGV4_HEX];
	char trailer[2048]; /* canonical "name:value\n" lines */
	char trailer_signature[SIGV4_HEX];
};

struct request {
	struct gateway *gw;
	struct MHD_Connection *conn;
	char *uri; /* owned: as it came */
	const char *method;
	char *path; /* owned, encoded anew: what is signed */
	struct uri_query query;
	char bucket[256];
	char key[1030]; /* "" for none */
	bool has_key;
	struct {
		char name[64];
		char *value; /* owned */
	} headers[MAX_HEADERS];
	size_t nheaders;

	const struct op *op;
	const struct fault *fault; /* what shall go wrong, or NULL */
	struct body body;
	bool begun, failed, body_done;

	/* Of the signature. */
	char access[128]; /* whose it is */
	bool presigned;
	unsigned char signing_key[SIGV4_HASH];
	char date[SIGV4_DATE];
	char scope[128];
	char signature[SIGV4_HEX]; /* of the request, then of the last chunk */
	char signed_headers[1024];

	/* The answer. */
	int status;
	struct strbuf out;
	bool has_file;
	int file; /* owned when has_file */
	uint64_t file_off, file_len;
	struct {
		const char *name;
		char *value; /* owned */
	} reply[MAX_REPLY_HEADERS];
	size_t nreply;
	char names[MAX_REPLY_HEADERS * 64]; /* of kept headers */
	size_t names_len;
	char id[20];       /* x-amz-request-id */
	bool drop;         /* end the connection instead of answering */
	uint64_t answered; /* body bytes, for the log */
};

/* The value of a request header (name in lower case), or NULL. */
const char *request_header(const struct request *r, const char *name);
const char *request_param(const struct request *r, const char *name);

/* Adds an answer header; value is copied. */
void reply_header(struct request *r, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void reply_xml(struct request *r, int status);
void reply_drop_header(struct request *r, const char *name);
void reply_clear(struct request *r); /* all headers */
/* A copy of a header's name that lives as long as the request. */
const char *reply_intern(struct request *r, const char *name);

/* Answers with an S3 error document; the first error of a request stays. */
void reply_error(struct request *r, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for an errno of the store. */
void reply_errno(struct request *r, int err);

/* auth.c: false when refused; the answer is then set. */
bool auth_check(struct request *r);
int keyring_add(struct keyring *k, const char *access, const char *secret);
int keyring_load(struct keyring *k, const char *file);
void keyring_free(struct keyring *k);
const char *keyring_find(const struct keyring *k, const char *access);
/* Is a header among those that the signature covers? */
bool auth_covers(const struct request *r, const char *header);

/* The address that the request came from, IPv4 mapped into IPv6. */
bool request_peer(const struct request *r, uint8_t out[16]);

/* route.c: sets op, or answers an error. */
bool route(struct request *r);

/* body.c: each returns false once the answer is an error. */
bool body_begin(struct request *r);
bool body_data(struct request *r, const char *data, size_t n);
bool body_end(struct request *r);
void body_free(struct request *r);

/* Formats for headers and XML. */
void format_http_date(time_t t, char out[32]);
void format_iso_date(const struct timespec *t, char out[32]);

/* The headers that the request asks to keep with an object, owned.  NULL after
 * an error answer. */
json_t *headers_from_request(struct request *r);

/* The tags that it asks for, owned; NULL for none.  False after an error
 * answer. */
bool tags_from_request(struct request *r, json_t **out);

/* Both into an empty meta. */
bool meta_from_request(struct request *r, struct store_meta *meta);

/* Waits as long, in steps that end when the server does. */
void gateway_sleep_ms(uint64_t ms);

#endif
