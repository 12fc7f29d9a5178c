/* SPDX-License-Identifier: Apache-2.0 */
#ifndef S3RDMAFS_BASE_MEMORY_H
#define S3RDMAFS_BASE_MEMORY_H

#include <stddef.h>

#define HUGE_PAGE (2UL << 20)

/*
 * len bytes of addresses with nothing behind them, for mappings with MAP_FIXED;
 * on a huge page's boundary, so that files of huge pages can be mapped as such.
 * munmap takes them back.  NULL and errno.
 */
void *mmap_reserve(size_t len);

#endif
