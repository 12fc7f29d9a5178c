/* SPDX-License-Identifier: Apache-2.0 */
/* What readers of a mounted path do, and how long it takes them. */
#ifndef S3RDMAFS_BENCH_WORK_H
#define S3RDMAFS_BENCH_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hist.h"

enum work_kind {
	WORK_NONE,
	WORK_STREAM, /* each thread an object of its own, in order */
	WORK_RANDOM, /* blocks of one object, anywhere */
	WORK_FILES,  /* small files, each whole, shared out among threads */
	WORK_FIRST, /* 4 KiB at the beginning of one small file after another */
	WORK_MAP,   /* an object by mmap, a page at a time in order */
	WORK_TENSORS, /* a head, then pieces by mmap in odd order */
};

struct work {
	enum work_kind kind;
	unsigned int threads;
	size_t block;      /* bytes of a read */
	bool shared;       /* RANDOM: one handle for all; STREAM: one object */
	unsigned int ops;  /* RANDOM, FIRST: so many in all; FILES: 0, all */
	unsigned int idle; /* handles that are open beside, and do nothing */
};

#define WORK_OBJECTS 4

/* Where it is done: DIR/object0.. and DIR/small/00000.. */
struct work_place {
	const char *dir;
	uint64_t size; /* of an object */
	unsigned int files;
	size_t file_size;
};

struct work_result {
	uint64_t bytes, ops;
	double seconds;
	double cpu; /* of this process */
	struct hist took;
};

/* 0, or -errno with what failed in why. */
int work_run(const struct work *w, const struct work_place *p,
	     struct work_result *out, char *why, size_t cap);

#endif
