/* SPDX-License-Identifier: Apache-2.0 */
/* GETs without any file system: ours, and libcurl's as a yardstick. */
#ifndef S3RDMAFS_BENCH_RAW_H
#define S3RDMAFS_BENCH_RAW_H

#include "work.h"
#include "xfer/xfer.h"

struct raw_work {
	size_t block;       /* of a GET */
	unsigned int depth; /* so many in flight */
	uint64_t bytes; /* in all: the object from its beginning, round again */
};

/* By the transfer engine, into a pool of its own.  0, or -errno with why. */
int raw_get(const char *url, enum xfer_mode mode, const struct raw_work *w,
	    struct work_result *out, char *why, size_t cap);

/* By one multi handle of libcurl, into memory. */
int raw_curl(const char *url, const struct raw_work *w, uint64_t object,
	     struct work_result *out, char *why, size_t cap);

#endif
