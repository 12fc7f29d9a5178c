/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inode numbers.  A directory is a path; a file is one version of an object
 * at a path, so that nothing the kernel keeps of an inode (pages, size) can
 * ever belong to two versions.  Numbers are hashes: the same after a remount.
 *
 * Any thread; never blocks.
 */
#ifndef S3RDMAFS_FUSE_OPS_INODE_H
#define S3RDMAFS_FUSE_OPS_INODE_H

#include <stdint.h>

#include "cache/namespace.h"

struct inode_table;

/* A copy of what an inode is. */
struct inode_info {
	uint64_t ino;
	struct meta_attr attr;
	char path[NAMESPACE_PATH_MAX + 1];
};

int inode_table_new(struct inode_table **out);
void inode_table_free(struct inode_table *t);

/* The number for path and attr, with one lookup counted; 0 without memory. */
uint64_t inode_ref(struct inode_table *t, const char *path,
		   const struct meta_attr *attr);

/* The kernel forgets n lookups. */
void inode_forget(struct inode_table *t, uint64_t ino, uint64_t n);

/* 0, or -ESTALE for a number that is not known. */
int inode_get(struct inode_table *t, uint64_t ino, struct inode_info *out);

/* What a number would be, without counting: for readdir. */
uint64_t inode_number(const char *path, const struct meta_attr *attr);

uint64_t inode_count(struct inode_table *t);

#endif
