/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of x-amz-rdma-token.  Pure.
 *
 * shm:  "shm:" session(32) ":" region(8) ":" gen(8) ":" off(16) ":" len(8)
 * DC:   addr(16) ":" size(8) ":" rkey(8) ":" lid(4) ":" dctn(6) ":" global(1)
 *       ":" gid(32), 81 characters
 * RC:   a record of 44 bytes as 88 digits, little endian; names a queue pair
 * conn: "rc:" connection(32) ":" addr(16) ":" size(8) ":" rkey(8), for a
 *       connection that stands
 *
 * All hex, written in lower case.  A parser that says "as others write it"
 * bears what was seen on the wire: upper case, a suffix ":addr:size" that
 * narrows the window, base64, a trailing NUL, blank or semicolon.
 */
#ifndef S3RDMAFS_RDMA_TOKEN_H
#define S3RDMAFS_RDMA_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rdma/shm_wire.h"

#define TOKEN_MAX 200 /* bytes of the longest form, terminated */
#define TOKEN_DC 81   /* characters */
#define TOKEN_RC 88   /* likewise */
#define TOKEN_CONN 32 /* digits of a connection's name */
#define TOKEN_GID 16  /* bytes */
#define TOKEN_PSN_MAX 0xffffffU

struct token_shm {
	char session[SHM_SESSION + 1];
	uint32_t region;
	uint32_t gen;
	uint64_t off; /* into the region, not the memory */
	uint32_t len;
};

struct token_dc {
	uint64_t addr; /* of the first byte, in the client */
	uint32_t size, rkey;
	uint16_t lid;
	uint32_t dctn; /* 24 bits */
	bool is_global;
	uint8_t gid[TOKEN_GID];
};

struct token_rc {
	uint32_t qpn;
	uint8_t gid[TOKEN_GID];
	uint32_t rkey;
	uint64_t addr, len;
	uint8_t port;
	uint16_t lid;
};

struct token_conn {
	char conn[TOKEN_CONN + 1];
	uint64_t addr;
	uint32_t size, rkey;
};

enum token_kind {
	TOKEN_KIND_SHM,
	TOKEN_KIND_DC,
	TOKEN_KIND_RC,
	TOKEN_KIND_CONN,
	TOKEN_KIND_LIBFABRIC, /* known, and not spoken */
	TOKEN_KIND_NONE,
};

/* Which form is it, by its shape alone?  The parser may still refuse it. */
enum token_kind token_kind(const char *s);

void token_shm_format(const struct token_shm *t, char out[TOKEN_MAX]);
void token_dc_format(const struct token_dc *t, char out[TOKEN_MAX]);
void token_rc_format(const struct token_rc *t, char out[TOKEN_MAX]);
void token_conn_format(const struct token_conn *t, char out[TOKEN_MAX]);

/* Each returns 0, or -EINVAL with out untouched. */
int token_shm_parse(const char *s, struct token_shm *out);   /* exact */
int token_dc_parse(const char *s, struct token_dc *out);     /* as others do */
int token_rc_parse(const char *s, struct token_rc *out);     /* as others do */
int token_conn_parse(const char *s, struct token_conn *out); /* exact */

/* How a client writes the DC form for one vendor or another. */
enum token_form {
	TOKEN_BARE,
	TOKEN_SUFFIX, /* descriptor:addr(16):size(16) */
	TOKEN_BASE64,
};
/* bare is a DC form of ours; others pass as they are. */
void token_dress(enum token_form form, const char *bare, char out[TOKEN_MAX]);

/* A field of the hand-shakes: min to max hex digits and nothing else. */
int token_hex(const char *s, size_t min, size_t max, uint64_t *out);

/* The IPv4 address that a GID maps; false when it maps none. */
bool token_gid_ipv4(const uint8_t gid[TOKEN_GID], uint32_t *host_order);

#endif
