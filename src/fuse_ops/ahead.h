/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does somebody open the files of a directory one after the other, as a loader
 * of samples does?  Then those that come next are worth fetching.
 *
 * Of a few directories it is remembered what stands behind the file that was
 * opened last; who opens several of those, in whatever order (readers share
 * them out), goes through the directory.  Pure but for the time of a lock.
 */
#ifndef S3RDMAFS_FUSE_OPS_AHEAD_H
#define S3RDMAFS_FUSE_OPS_AHEAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define AHEAD_DIRS 16
#define AHEAD_NAMES 256 /* known of a directory; a power of two */
#define AHEAD_NAME_MAX 255

struct ahead_dir {
	uint64_t dir; /* 0: unused */
	uint64_t used;
	/* Hashes of the names behind, in a ring: those before opened have been
	 * opened or passed, those before known are known. */
	uint32_t names[AHEAD_NAMES];
	uint64_t opened, known;
	char last[AHEAD_NAME_MAX + 1]; /* the last of them */
	bool last_is_dir; /* which has its own place in the order */
	unsigned int hits, misses;
	bool busy;  /* somebody adds names */
	bool ended; /* there are no more */
};

struct ahead {
	unsigned int files; /* how many to fetch; 0: none; constant */
	pthread_mutex_t lock;
	struct ahead_dir dirs[AHEAD_DIRS]; /* under lock */
	uint64_t uses;
};

/* What to do after an open: add names behind one of a directory. */
struct ahead_task {
	uint64_t dir;
	char after[AHEAD_NAME_MAX + 1];
	bool after_dir;
	unsigned int count;
	bool fetch; /* and have their bytes fetched */
};

void ahead_init(struct ahead *a, unsigned int files);
void ahead_free(struct ahead *a);

/* A file was opened.  True when there is a task; then ahead_add for each name,
 * and ahead_done. */
bool ahead_open(struct ahead *a, uint64_t dir, const char *name,
		struct ahead_task *task);
void ahead_add(struct ahead *a, uint64_t dir, const char *name, bool is_dir);
void ahead_done(struct ahead *a, uint64_t dir, bool ended);

#endif
