/* SPDX-License-Identifier: Apache-2.0 */
/* What printf does too slowly for each of a million names. */
#ifndef S3RDMAFS_BASE_TEXT_H
#define S3RDMAFS_BASE_TEXT_H

#include <stddef.h>
#include <string.h>

/* s, cut to what out has room for with its terminator; cap is not 0. */
static inline void text_copy(char *out, size_t cap, const char *s)
{
	const size_t n = strnlen(s, cap - 1);

	memcpy(out, s, n);
	out[n] = '\0';
}

#endif
