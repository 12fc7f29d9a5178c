/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP server that plays a vendor's answers from a table: the first
 * request that carries a token is answered by the script, every other one as
 * a plain S3 server does.
 */
#ifndef S3RDMAFS_TESTS_SCRIPTED_H
#define S3RDMAFS_TESTS_SCRIPTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPTED_ETAG "\"v1\""
#define SCRIPTED_SIZE (8ULL << 20) /* of the object */

/* How much of the window is written before the answer. */
enum scripted_write { WRITE_NOTHING, WRITE_ALL, WRITE_HALF, WRITE_GARBAGE };
/* What the answer's body is. */
enum scripted_body { BODY_EMPTY, BODY_RANGE, BODY_OK, BODY_XML, BODY_WHOLE };

struct scripted {
	int status;
	enum scripted_write write;
	enum scripted_body body;
	bool no_range; /* no Content-Range */
	bool no_etag;
	const char *reply; /* x-amz-rdma-reply; NULL: none */
	const char
		*bytes;   /* ...-bytes-transferred; "n": as asked; NULL: none */
	const char *code; /* of the error document */
	bool reset;       /* end the connection instead of answering */
	const char *more; /* one more header, "name: value", or NULL */
};

struct scripted_server;

struct scripted_server *scripted_new(void);
void scripted_free(struct scripted_server *s);
const char *scripted_url(const struct scripted_server *s);

/* For the next request with a token. */
void scripted_set(struct scripted_server *s, const struct scripted *script);

/* What the requests so far have said. */
struct scripted_seen {
	unsigned int requests, with_token;
	char header[40]; /* the one that the token came in */
	char token[200];
	char agent[40];   /* x-amz-rdma-agent, "" when none */
	char payload[80]; /* x-amz-content-sha256 of the one with the token */
	bool is_signed;   /* the token is in SignedHeaders */
	bool ranged;      /* it asked for a range */
};
struct scripted_seen scripted_seen(struct scripted_server *s);

/* The object's bytes. */
void scripted_pattern(uint64_t off, char *out, size_t n);

#endif
