/* SPDX-License-Identifier: Apache-2.0 */
#ifndef S3RDMAFS_S3_RETRY_H
#define S3RDMAFS_S3_RETRY_H

#include <stdint.h>

/*
 * Full-jitter back-off: how many milliseconds to wait before the attempt
 * after this one (0 is the first).  random is any number.  Pure.
 *
 * Capped low, so that a store that comes back is found within a second or
 * two, by clients that do not all come at once.
 */
static inline uint32_t s3_retry_delay(unsigned int attempt, uint32_t random)
{
	const uint32_t base = 25, cap = 1500;
	const uint32_t top = attempt < 6 ? base << attempt : cap;

	return random % ((top < cap ? top : cap) + 1);
}

#endif
