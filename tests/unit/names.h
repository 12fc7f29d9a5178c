/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of names: numbers by seed, names that like to stand together. */
#ifndef S3RDMAFS_TESTS_NAMES_H
#define S3RDMAFS_TESTS_NAMES_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cache/rec.h"

static uint64_t names_state;

static inline void names_seed(uint64_t seed)
{
	names_state = seed * 0xd1342543de82ef95ULL + 0x1234567;
}

static inline uint64_t names_random(void)
{
	uint64_t z = names_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline uint64_t names_below(uint64_t n)
{
	return names_random() % n;
}

/* Of min to max characters of an alphabet; never "." or "..". */
static inline size_t names_name(char *out, size_t min, size_t max,
				const char *alphabet)
{
	const size_t n = min + names_below(max - min + 1);
	const size_t k = strlen(alphabet);

	do {
		for (size_t i = 0; i < n; i++)
			out[i] = alphabet[names_below(k)];
		out[n] = '\0';
	} while (!strcmp(out, ".") || !strcmp(out, ".."));
	return n;
}

static inline int names_by_s3(const void *a, const void *b)
{
	const struct rec *x = a, *y = b;

	return rec_compare(x->name, x->len, x->is_dir, y->name, y->len,
			   y->is_dir);
}

/* An ETag that says of what it is. */
static inline void names_etag(char *out, uint64_t a, uint64_t b)
{
	snprintf(out, S3_ETAG_MAX, "\"%016llx%016llx\"", (unsigned long long)a,
		 (unsigned long long)b);
}

#endif
