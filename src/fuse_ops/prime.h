/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shall a directory's entries come with attributes (readdirplus)?  For ls -l
 * and du they save a request each; for find they cost an inode of a kilobyte
 * each that nobody looks at, three times as much as reading the names.
 *
 * So the first directories that a thread reads come with attributes but for a
 * few files, the probes.  Looks it none of them up, those that it reads next
 * come without, until it does.  Pure but for the time of a lock.
 */
#ifndef S3RDMAFS_FUSE_OPS_PRIME_H
#define S3RDMAFS_FUSE_OPS_PRIME_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PRIME_READERS 64 /* a power of two */
#define PRIME_PROBES 4   /* files of a directory */

struct prime_reader {
	pid_t tid;
	uint64_t dir;      /* that it reads */
	unsigned int seen; /* directories without a look at a probe */
	unsigned int rest; /* directories to come before the next probes */
};

struct prime {
	pthread_mutex_t lock;
	struct prime_reader readers[PRIME_READERS]; /* under lock */
};

enum prime_how {
	PRIME_ALL,
	PRIME_PROBE, /* all but the first PRIME_PROBES files */
	PRIME_NONE,  /* directories only */
};

void prime_init(struct prime *p);
void prime_free(struct prime *p);

/* A thread reads a directory. */
enum prime_how prime_read(struct prime *p, pid_t tid, uint64_t dir);

/* A thread has looked up a file. */
void prime_look(struct prime *p, pid_t tid);

#endif
