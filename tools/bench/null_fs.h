/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A yardstick: a file system that answers at once, keeps nothing in the kernel
 * and knows nothing.  Every name with a number in it is a file of one size,
 * whose bytes come from memory that is there.
 */
#ifndef S3RDMAFS_BENCH_NULL_FS_H
#define S3RDMAFS_BENCH_NULL_FS_H

#include <stdint.h>

/* Serves until unmounted; the exit status. */
int null_fs_serve(const char *program, const char *mountpoint, uint64_t size);

#endif
