/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE passthrough (Linux 6.9): files that the kernel reads and maps by itself,
 * out of one of ours that backs them.  Only root may have it.  libfuse before
 * 3.17 does not know it, so its answers are made here.
 */
#ifndef S3RDMAFS_FUSE_OPS_PASS_H
#define S3RDMAFS_FUSE_OPS_PASS_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>

/* Of the INIT answer's second flags; older headers lack it, and what is called
 * the first of the unused words is the depth of file systems below. */
#define PASS_INIT_FLAG2 (1U << 5)

/* Can this session do it?  After INIT. */
bool pass_works(int session_fd);

/* An id above 0, or -errno; and its end. */
int pass_back(int session_fd, int fd);
void pass_unback(int session_fd, int id);

/* The answer to an OPEN by it. */
struct fuse_open_out pass_answer(uint64_t fh, int id);

#endif
