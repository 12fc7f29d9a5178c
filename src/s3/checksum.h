/* SPDX-License-Identifier: Apache-2.0 */
/* The checksums of S3's x-amz-checksum-* headers. */
#ifndef S3RDMAFS_S3_CHECKSUM_H
#define S3RDMAFS_S3_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum_kind {
	CHECKSUM_CRC32,
	CHECKSUM_CRC32C,
	CHECKSUM_CRC64NVME,
	CHECKSUM_SHA1,
	CHECKSUM_SHA256,
	CHECKSUM_KINDS,
};

#define CHECKSUM_TEXT 48 /* base64 of the longest, terminated */

/* "crc32", as in x-amz-checksum-crc32. */
const char *checksum_name(enum checksum_kind kind);

/* Of a name in any case, or -EINVAL. */
int checksum_parse(const char *name);

/* Could the text be the header value of one?  Its length and alphabet. */
bool checksum_is_form(enum checksum_kind kind, const char *text);

struct checksum {
	enum checksum_kind kind;
	uint64_t crc;
	void *md; /* owned EVP_MD_CTX of the SHA kinds */
};

/* Returns 0 or -ENOMEM; checksum_final frees. */
int checksum_init(struct checksum *c, enum checksum_kind kind);
void checksum_update(struct checksum *c, const void *data, size_t n);

/* The header value, base64 of the digest in network order. */
void checksum_final(struct checksum *c, char out[CHECKSUM_TEXT]);

/* base64 of n bytes into out, which needs 4 * ((n + 2) / 3) + 1. */
void base64_encode(const unsigned char *in, size_t n, char *out);

/* Strict base64 that gives exactly n bytes: 0 or -EINVAL. */
int base64_decode(const char *in, unsigned char *out, size_t n);

#endif
