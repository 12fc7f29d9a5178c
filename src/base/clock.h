/* SPDX-License-Identifier: Apache-2.0 */
/* Time and randomness. */
#ifndef S3RDMAFS_BASE_CLOCK_H
#define S3RDMAFS_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Monotonic nanoseconds since some fixed point. */
static inline uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock_ms(void)
{
	return clock_ns() / 1000000ULL;
}

/* CPU nanoseconds that the calling thread has used. */
static inline uint64_t clock_thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* n unpredictable bytes; aborts when the kernel has none. */
void random_bytes(void *out, size_t n);

/* A cheap number for jitter: not a secret. */
uint32_t random_u32(void);

#endif
