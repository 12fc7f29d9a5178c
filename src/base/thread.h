/* SPDX-License-Identifier: Apache-2.0 */
#ifndef S3RDMAFS_BASE_THREAD_H
#define S3RDMAFS_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/*
 * Starts a joinable thread of that name (15 characters count), with every
 * signal blocked: signals belong to the main thread.  out may be NULL for one
 * that detaches itself.  Returns 0 or -errno.
 */
int thread_start(pthread_t *out, const char *name, void *(*run)(void *),
		 void *arg);

/* A condition variable that waits on the monotonic clock. */
void thread_cond_init(pthread_cond_t *c);

/*
 * Waits on c for at most ms milliseconds, as pthread_cond_timedwait.
 * Returns 0, or -ETIMEDOUT.  c is from thread_cond_init.
 */
int thread_cond_wait_ms(pthread_cond_t *c, pthread_mutex_t *m, uint64_t ms);

#endif
