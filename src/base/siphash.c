/* SPDX-License-Identifier: Apache-2.0 */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void word(struct siphash *h, uint64_t m)
{
	h->v[3] ^= m;
	sip_round(h->v);
	sip_round(h->v);
	h->v[0] ^= m;
}

void siphash_init(struct siphash *h, const unsigned char key[16])
{
	uint64_t k[2];

	memcpy(k, key, sizeof(k));
	k[0] = le64toh(k[0]);
	k[1] = le64toh(k[1]);
	*h = (struct siphash){.v = {k[0] ^ 0x736f6d6570736575ULL,
				    k[1] ^ 0x646f72616e646f6dULL,
				    k[0] ^ 0x6c7967656e657261ULL,
				    k[1] ^ 0x7465646279746573ULL}};
}

void siphash_update(struct siphash *h, const void *data, size_t n)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < n; i++) {
		h->tail |= (uint64_t)p[i] << h->n % 8 * 8;
		if (++h->n % 8 == 0) {
			word(h, h->tail);
			h->tail = 0;
		}
	}
}

uint64_t siphash_final(struct siphash *h)
{
	word(h, h->tail | h->n << 56);
	h->v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(h->v);
	return h->v[0] ^ h->v[1] ^ h->v[2] ^ h->v[3];
}
