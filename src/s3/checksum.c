/* SPDX-License-Identifier: Apache-2.0 */
/* The CRCs share one reflected table walker, eight bytes at a time. */
#include "s3/checksum.h"

#include <endian.h>
#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

static const struct {
	const char *name;
	uint64_t poly; /* reflected; 0 for the SHA kinds */
	size_t size;   /* bytes of the digest */
} kinds[CHECKSUM_KINDS] = {
	[CHECKSUM_CRC32] = {"crc32", 0xEDB88320, 4},
	[CHECKSUM_CRC32C] = {"crc32c", 0x82F63B78, 4},
	[CHECKSUM_CRC64NVME] = {"crc64nvme", 0x9A6C9329AC4BC9B5, 8},
	[CHECKSUM_SHA1] = {"sha1", 0, 20},
	[CHECKSUM_SHA256] = {"sha256", 0, 32},
};

static uint64_t tables[CHECKSUM_SHA1][8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
	for (int k = 0; k < CHECKSUM_SHA1; k++) {
		for (unsigned int i = 0; i < 256; i++) {
			uint64_t c = i;

			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? c >> 1 ^ kinds[k].poly : c >> 1;
			tables[k][0][i] = c;
		}
		for (int t = 1; t < 8; t++)
			for (unsigned int i = 0; i < 256; i++) {
				const uint64_t c = tables[k][t - 1][i];

				tables[k][t][i] = c >> 8 ^
						  tables[k][0][c & 255];
			}
	}
}

const char *checksum_name(enum checksum_kind kind)
{
	return kinds[kind].name;
}

int checksum_parse(const char *name)
{
	for (int k = 0; k < CHECKSUM_KINDS; k++)
		if (!strcasecmp(name, kinds[k].name))
			return k;
	return -EINVAL;
}

bool checksum_is_form(enum checksum_kind kind, const char *text)
{
	unsigned char digest[64];

	return !base64_decode(text, digest, kinds[kind].size);
}

int checksum_init(struct checksum *c, enum checksum_kind kind)
{
	pthread_once(&tables_once, make_tables);
	*c = (struct checksum){.kind = kind, .crc = ~0ULL};
	if (kinds[kind].poly)
		return 0;
	c->md = EVP_MD_CTX_new();
	if (!c->md ||
	    !EVP_DigestInit_ex(c->md, EVP_get_digestbyname(kinds[kind].name),
			       NULL)) {
		EVP_MD_CTX_free(c->md);
		return -ENOMEM;
	}
	return 0;
}

static uint64_t crc_update(const uint64_t (*t)[256], uint64_t crc,
			   const unsigned char *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		w = le64toh(w) ^ crc;
		crc = t[7][w & 255] ^ t[6][w >> 8 & 255] ^ t[5][w >> 16 & 255] ^
		      t[4][w >> 24 & 255] ^ t[3][w >> 32 & 255] ^
		      t[2][w >> 40 & 255] ^ t[1][w >> 48 & 255] ^ t[0][w >> 56];
	}
	while (n--)
		crc = crc >> 8 ^ t[0][(crc ^ *p++) & 255];
	return crc;
}

#ifdef __x86_64__
/* The processor knows one of the polynomials: 4 KiB take 0.3 us, not 3. */
__attribute__((target("sse4.2"))) static uint64_t crc32c_update(
	uint64_t crc, const unsigned char *p, size_t n)
{
	for (; n >= 8; n -= 8, p += 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		crc = __builtin_ia32_crc32di(crc, w);
	}
	while (n--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p++);
	return crc;
}

static bool has_crc32c(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
static uint64_t crc32c_update(uint64_t crc, const unsigned char *p, size_t n)
{
	return crc_update((const uint64_t(*)[256])tables[CHECKSUM_CRC32C], crc,
			  p, n);
}

static bool has_crc32c(void)
{
	return false;
}
#endif

void checksum_update(struct checksum *c, const void *data, size_t n)
{
	if (c->md) {
		EVP_DigestUpdate(c->md, data, n);
		return;
	}
	if (kinds[c->kind].size == 4)
		c->crc &= 0xFFFFFFFF;
	if (c->kind == CHECKSUM_CRC32C && has_crc32c()) {
		c->crc = crc32c_update(c->crc, data, n);
		return;
	}
	c->crc = crc_update((const uint64_t(*)[256])tables[c->kind], c->crc,
			    data, n);
}

void checksum_final(struct checksum *c, char out[CHECKSUM_TEXT])
{
	const size_t size = kinds[c->kind].size;
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (c->md) {
		EVP_DigestFinal_ex(c->md, digest, NULL);
		EVP_MD_CTX_free(c->md);
		c->md = NULL;
	} else {
		const uint64_t be = htobe64(~c->crc);

		memcpy(digest, (const char *)&be + 8 - size, size);
	}
	base64_encode(digest, size, out);
}

void base64_encode(const unsigned char *in, size_t n, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, in, (int)n);
}

int base64_decode(const char *in, unsigned char *out, size_t n)
{
	const size_t chars = 4 * ((n + 2) / 3);
	const size_t pad = (3 - n % 3) % 3;
	unsigned char buf[128];

	if (strlen(in) != chars || chars > sizeof(buf))
		return -EINVAL;
	/* OpenSSL would pass over blanks and dashes at the ends. */
	if (strspn(in, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		       "0123456789+/") != chars - pad ||
	    strspn(in + chars - pad, "=") != pad)
		return -EINVAL;
	if (EVP_DecodeBlock(buf, (const void *)in, (int)chars) < 0)
		return -EINVAL;
	memcpy(out, buf, n);
	return 0;
}
