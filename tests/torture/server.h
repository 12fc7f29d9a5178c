/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3 server that lies and dawdles, in the place of the s3 client: xfer's
 * requests come here, and are answered late, twice written, after errors and
 * timeouts, short and long.  Whatever it writes after an answer that was not
 * certain is garbage, so that a byte of it that reaches a reader is seen.
 */
#ifndef S3RDMAFS_TESTS_TORTURE_SERVER_H
#define S3RDMAFS_TESTS_TORTURE_SERVER_H

#include "s3/s3.h"

#define TORTURE_ETAG "\"torture\""
#define TORTURE_OBJECT (8ULL << 20) /* bytes of each object */
#define TORTURE_OBJECTS 32

/* The bytes of all objects, one behind the other: word i is a hash of i. */
void torture_pattern(uint64_t off, char *out, size_t n);
/* Which of n bytes at the place off are another's?  -1: none. */
long torture_check(uint64_t off, const char *p, size_t n);

/* How bytes get into the client's memory. */
struct wire {
	/* What s3_once is answered with. */
	void (*offer)(struct s3_call *call);
	/* Writes len bytes for the token: the pattern at off, or garbage.  At
	 * most as many as the window has, unless beyond: then past its end as
	 * far as the wire lets it.  0 or -errno. */
	int (*write)(const char *token, uint64_t off, uint64_t len,
		     bool garbage);
};
extern const struct wire wire_shm, wire_dc;
void wire_shm_start(void);
void wire_shm_stop(void);
void wire_dc_start(bool recycle);
void wire_dc_stop(void);

struct server_stats {
	uint64_t gets, with_token, late, refused_late;
};

struct s3 *server_new(const struct wire *wire, unsigned int threads);
/* Every late write is done when it returns. */
void server_stop(struct s3 *s3);
void server_free(struct s3 *s3);
struct server_stats server_stats(struct s3 *s3);

#endif
