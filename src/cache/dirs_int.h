/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by dirs.c (what is kept) and snap.c (reading and making listings). */
#ifndef S3RDMAFS_CACHE_DIRS_INT_H
#define S3RDMAFS_CACHE_DIRS_INT_H

#include "cache/dirs.h"
#include "cache/leaves.h"

/* Drops a reference, under lock; NULL is fine. */
void dirs_drop_snap(struct snap *s);

#endif
