/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4: a hash whose collisions nobody can make who lacks the key. */
#ifndef S3RDMAFS_BASE_SIPHASH_H
#define S3RDMAFS_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash {
	uint64_t v[4];
	uint64_t tail; /* bytes that fill no word yet */
	uint64_t n;    /* bytes in all */
};

void siphash_init(struct siphash *h, const unsigned char key[16]);
void siphash_update(struct siphash *h, const void *data, size_t n);
uint64_t siphash_final(struct siphash *h);

#endif
