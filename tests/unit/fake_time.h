/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock as a test wants it; the monotonic one stays true.  For one
 * source file of a program. */
#ifndef S3RDMAFS_TESTS_FAKE_TIME_H
#define S3RDMAFS_TESTS_FAKE_TIME_H

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t fake_time_ahead_ms;
static _Atomic int64_t fake_time_frozen_ms; /* 0: it goes on */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	const int r = (int)syscall(SYS_clock_gettime, clock, ts);
	int64_t ms;

	if (r || clock != CLOCK_REALTIME)
		return r;
	ms = atomic_load(&fake_time_frozen_ms);
	if (!ms)
		ms = ts->tv_sec * 1000 + ts->tv_nsec / 1000000;
	ms += atomic_load(&fake_time_ahead_ms);
	ts->tv_sec = ms / 1000;
	ts->tv_nsec = ms % 1000 * 1000000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (out)
		*out = ts.tv_sec;
	return ts.tv_sec;
}

static inline void fake_time_pass(int64_t ms)
{
	atomic_fetch_add(&fake_time_ahead_ms, ms);
}

#endif
