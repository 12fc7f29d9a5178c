/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inode numbers.  A directory's is its number in the namespace.  A file's is
 * one version of an object at a path, so that nothing the kernel keeps of an
 * inode (pages, size) can ever belong to two versions: a keyed hash of
 * directory, name, size and ETag, the same after a remount.
 *
 * Of files that are not open, those used last are remembered; for any other
 * the answer is ESTALE, upon which the kernel looks the path up again.  So
 * memory does not grow with the inodes that the kernel holds.
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
	struct ns_attr attr;
	uint64_t dir;   /* a file's directory */
	char name[256]; /* and its name there */
};

/* key: 16 bytes, of the namespace. */
int inode_table_new(const unsigned char *key, struct inode_table **out);
void inode_table_free(struct inode_table *t);

/* The number of an entry. */
uint64_t inode_number(const struct inode_table *t, uint64_t dir,
		      const char *name, const struct ns_attr *attr);

/* The same, and remembers it; 0 without memory. */
uint64_t inode_note(struct inode_table *t, uint64_t dir, const char *name,
		    const struct ns_attr *attr);

/* 0, or -ESTALE for a number that is not known. */
int inode_get(struct inode_table *t, uint64_t ino, struct inode_info *out);

/* Remembers a file as long as it is open.  0, -ESTALE when the number has
 * come to mean another, or -ENOMEM. */
int inode_pin(struct inode_table *t, const struct inode_info *i);
void inode_unpin(struct inode_table *t, uint64_t ino);

uint64_t inode_count(struct inode_table *t);

#endif
