/* SPDX-License-Identifier: Apache-2.0 */
/* Scope guards.  A guarded variable is initialised where it is declared. */
#ifndef S3RDMAFS_BASE_CLEANUP_H
#define S3RDMAFS_BASE_CLEANUP_H

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static inline void guard_free(void *p)
{
	free(*(void **)p);
}
#define AUTO_FREE __attribute__((cleanup(guard_free)))

static inline void guard_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define AUTO_CLOSE __attribute__((cleanup(guard_close)))

static inline void guard_unlock(pthread_mutex_t **m)
{
	if (*m) {
		int r = pthread_mutex_unlock(*m);

		assert(r == 0);
		(void)r;
	}
}

static inline pthread_mutex_t *guard_lock(pthread_mutex_t *m)
{
	int r = pthread_mutex_lock(m);

	assert(r == 0);
	(void)r;
	return m;
}

/* Hold m until the end of the enclosing block.  It is a declaration, around
 * which no parentheses can go. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define LOCK_SCOPE(m)                                  \
	__attribute__((cleanup(guard_unlock), unused)) \
	pthread_mutex_t *lock_scope_guard = guard_lock(m)
/* NOLINTEND(bugprone-macro-parentheses) */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
