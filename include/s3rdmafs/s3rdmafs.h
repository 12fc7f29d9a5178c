/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libs3rdmafs: the ioctls of <s3rdmafs/ioctl.h> as calls that return pointers.
 * See libs3rdmafs(3).
 *
 * fd is an open file of a mount.  Every call returns 0 or a negative errno,
 * whose meaning s3rdma_strerror tells; out parameters are written on success
 * only.  All calls may be made by any number of threads at a time.  Offsets
 * and lengths are in bytes.
 */
#ifndef S3RDMAFS_S3RDMAFS_H
#define S3RDMAFS_S3RDMAFS_H

#include <stddef.h>
#include <stdint.h>

#include "s3rdmafs/ioctl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Is fd a file of a mount, and what does that offer?  -ENOTTY if not. */
int s3rdma_info(int fd, struct s3rdmafs_info *out);

/* ---- pages of the mount's own memory ---- */

struct s3rdma_map;

/*
 * Makes len bytes from off on resident and maps them, read-only, one after the
 * other whatever the length; what is past the end of the file is cut off.
 * Blocks until the bytes are there.  flags: S3RDMAFS_MAP_NOWAIT.
 *
 * *out is the caller's, until s3rdma_unmap; fd may be closed before.  Errors
 * as MAP has them, and -EACCES, -EPERM when the daemon's socket cannot be
 * reached by this user, -ENOMEM.
 */
int s3rdma_map(int fd, uint64_t off, uint64_t len, unsigned int flags,
	       struct s3rdma_map **out);

/* Likewise, at addresses of the caller's, which must be of pages that he has
 * reserved; off is on a page's boundary.  They stay mapped after s3rdma_unmap,
 * until he unmaps them. */
int s3rdma_map_at(int fd, uint64_t off, uint64_t len, unsigned int flags,
		  void *addr, struct s3rdma_map **out);

const void *s3rdma_map_data(const struct s3rdma_map *m);
size_t s3rdma_map_size(const struct s3rdma_map *m);
/* The version of the object: equal for equal bytes of one file. */
uint64_t s3rdma_map_generation(const struct s3rdma_map *m);

/* The bytes must not be used any more.  NULL is fine. */
void s3rdma_unmap(struct s3rdma_map *m);

/* ---- memory of a GPU ---- */

/*
 * A range in an allocation of the mount's on a GPU: at alloc_offset of what
 * cudaIpcOpenMemHandle makes of ipc, valid bytes of it (which may be less than
 * asked for: map the rest with another call).  One allocation holds many
 * ranges: open each once.
 */
struct s3rdma_cuda {
	uint64_t handle;
	uint64_t valid;
	uint64_t alloc_offset;
	uint64_t alloc_size;
	uint64_t allocation;
	uint64_t generation;
	unsigned char ipc[S3RDMAFS_EXPORT];
};
int s3rdma_map_cuda(int fd, unsigned int device, uint64_t off, uint64_t len,
		    unsigned int flags, struct s3rdma_cuda *out);
/* The handle is of the open file: fd must be it, or a duplicate. */
int s3rdma_unmap_cuda(int fd, uint64_t handle);

/* ---- buffers of the application ---- */

/* A memfd, or a file of a tmpfs, open for reading and writing; or memory of a
 * GPU by its cudaIpcMemHandle_t. */
int s3rdma_register(int fd, int memfd, uint64_t len, uint64_t *buffer);
int s3rdma_register_cuda(int fd, unsigned int device,
			 const unsigned char ipc[S3RDMAFS_EXPORT], uint64_t len,
			 uint64_t *buffer);
/* Blocks until the bytes are in the buffer; placed is less than len only at
 * the end of the file. */
int s3rdma_read(int fd, uint64_t buffer, uint64_t buffer_off, uint64_t off,
		uint64_t len, uint64_t *placed);
int s3rdma_unregister(int fd, uint64_t buffer);

/* ---- what comes next ---- */

/* Never blocks.  n 0: the whole file. */
int s3rdma_hint(int fd, const struct s3rdmafs_range *ranges, size_t n);

/* What the errno of these calls means here.  A constant text. */
const char *s3rdma_strerror(int err);

#ifdef __cplusplus
}
#endif

#endif
