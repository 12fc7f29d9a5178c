/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3rdmafs: ioctl(2) on files of a mount, version 1.  See s3rdmafs_ioctl(4),
 * and libs3rdmafs(3) for calls that return pointers.
 *
 * Fields are of fixed width and hold no pointers; 32-bit programs have the
 * same layout.  Every struct begins with size, which must be its sizeof, and
 * flags; reserved fields and unused bits must be zero, else the answer is
 * EINVAL.  Offsets and lengths are in bytes.
 *
 * Errors of all commands: ENOTTY (no such command, or not a file of a mount),
 * EINVAL (size, flags, reserved fields, a length of 0, a sum that overflows).
 * Commands block until the bytes are there unless they say otherwise, and may
 * be called by any number of threads at a time.
 *
 * What an open file acquired (handles, buffers) ends with its last close(2),
 * so with the death of the process too.
 */
#ifndef S3RDMAFS_IOCTL_H
#define S3RDMAFS_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define S3RDMAFS_ABI_VERSION 1
#define S3RDMAFS_IOC_TYPE 0xB3

/* Kinds of memory. */
#define S3RDMAFS_HOST 1 /* pages that the application maps, or a memfd */
#define S3RDMAFS_CUDA 2 /* memory of a GPU, by CUDA IPC */

#define S3RDMAFS_MAX_DEVICES 8
#define S3RDMAFS_EXPORT 64 /* bytes of an exported handle */
#define S3RDMAFS_TICKET 16 /* bytes of a ticket */

/* Transports. */
#define S3RDMAFS_HTTP 0
#define S3RDMAFS_SHM 1
#define S3RDMAFS_RC 2
#define S3RDMAFS_DC 3

struct s3rdmafs_device {
	__u32 kind;   /* S3RDMAFS_CUDA */
	__u32 device; /* what map and register call it */
	__u64 pool;   /* bytes */
};

/* INFO: what this mount offers.  Never blocks. */
struct s3rdmafs_info {
	__u32 size;
	__u32 flags;
	/* out */
	__u32 abi_version;
	__u32 kinds;     /* 1 << kind, for each that there is */
	__u32 transport; /* in use now */
	__u32 ndevices;
	__u64 slot_size; /* bytes that one request fetches at most */
	__u64 host_pool; /* bytes, the file cache included */
	__u64 map_max;   /* bytes that one HOST handle covers at most */
	struct s3rdmafs_device devices[S3RDMAFS_MAX_DEVICES];
	char socket[108]; /* where tickets are redeemed: a path */
	__u32 reserved[5];
};

/*
 * MAP: makes a range resident, until UNMAP or close.  The handle covers
 * valid <= length bytes from offset on: what one allocation holds, or what is
 * left of the file; map the rest with the next call.  The bytes lie at
 * alloc_offset of the allocation, which is a whole number of pages when offset
 * is.  They never change under the application: generation names the version
 * of the object.
 *
 * HOST: export begins with a ticket, good once, for 10 s (or 4096 maps of the
 * same user), for the calling process and user; redeemed at the socket of INFO for a read-only descriptor
 * of the allocation, to mmap(2).  Who has the descriptor of that allocation
 * already needs no other one.  CUDA: export is a cudaIpcMemHandle_t of the
 * allocation.
 *
 * All handles of one user may lie in the same allocations; those of two users
 * never do.
 *
 * ENXIO    offset is at or past the end of the file
 * ENODEV   no such kind or device here
 * EAGAIN   NOWAIT, and there is no room now
 * ENOMEM   there was no room for as long as request.deadline
 * EMFILE   too many handles
 * ESTALE   the object was replaced or removed on the server
 * EIO, EACCES, ...  as of read(2)
 */
#define S3RDMAFS_MAP_NOWAIT 1U /* do not wait for room; for bytes, yes */
struct s3rdmafs_map {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 device; /* of CUDA; else 0 */
	__u64 offset;
	__u64 length;
	/* out */
	__u64 handle;
	__u64 valid;
	__u64 alloc_offset;
	__u64 alloc_size;
	__u64 allocation; /* names it; never used again */
	__u64 generation;
	__u8 export_[S3RDMAFS_EXPORT];
	__u64 reserved[4];
};

/*
 * UNMAP: the handle ends.  The application must have stopped using its bytes:
 * other data of the same user may come to stand there.  Never blocks.
 *
 * ENOENT  not a handle of this open file
 */
struct s3rdmafs_unmap {
	__u32 size;
	__u32 flags;
	__u64 handle;
	__u64 reserved[2];
};

/*
 * REGISTER: a buffer that the application owns, for READ.  HOST: export_
 * begins with the ticket that the socket gave for a memfd sent to it, opened
 * for reading and writing (not appending), of at least length bytes.  CUDA: export_ is a
 * cudaIpcMemHandle_t of memory of that device; it must stay allocated until
 * UNREGISTER or close.
 *
 * ENODEV   no such kind or device here
 * EPERM    no such ticket, or not of this user and process
 * EBADF    not memory, or not open for writing
 * ERANGE   it is shorter than length
 * EMFILE   too many buffers
 */
struct s3rdmafs_register {
	__u32 size;
	__u32 flags;
	__u32 kind;
	__u32 device;
	__u64 length;
	__u8 export_[S3RDMAFS_EXPORT];
	/* out */
	__u64 buffer;
	__u64 reserved[4];
};

/*
 * READ: bytes of the file into a buffer; placed is less than length only at
 * the end of the file.  When it has returned, with whatever result, nothing is
 * written into the buffer any more.
 *
 * ENOENT   not a buffer of this open file
 * ERANGE   not inside the buffer
 * EFAULT   the buffer's memory is gone
 * ESTALE, EIO, EACCES, ...  as of read(2)
 */
struct s3rdmafs_read {
	__u32 size;
	__u32 flags;
	__u64 buffer;
	__u64 buffer_offset;
	__u64 offset;
	__u64 length;
	/* out */
	__u64 placed;
	__u64 reserved[2];
};

/* UNREGISTER: no READ of it may be under way.  EBUSY, ENOENT. */
struct s3rdmafs_unregister {
	__u32 size;
	__u32 flags;
	__u64 buffer;
	__u64 reserved[2];
};

/*
 * HINT: what will be read next, in this order; fetched as far as there is
 * room.  A hint is no promise: ranges past the end are cut.  Never blocks.
 */
#define S3RDMAFS_HINT_FILE 1U /* the whole file; count is 0 */
#define S3RDMAFS_HINT_RANGES 64
struct s3rdmafs_range {
	__u64 offset;
	__u64 length;
};
struct s3rdmafs_hint {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 reserved;
	struct s3rdmafs_range ranges[S3RDMAFS_HINT_RANGES];
};

#define S3RDMAFS_IOC_INFO _IOWR(S3RDMAFS_IOC_TYPE, 0, struct s3rdmafs_info)
#define S3RDMAFS_IOC_MAP _IOWR(S3RDMAFS_IOC_TYPE, 1, struct s3rdmafs_map)
#define S3RDMAFS_IOC_UNMAP _IOW(S3RDMAFS_IOC_TYPE, 2, struct s3rdmafs_unmap)
#define S3RDMAFS_IOC_REGISTER \
	_IOWR(S3RDMAFS_IOC_TYPE, 3, struct s3rdmafs_register)
#define S3RDMAFS_IOC_READ _IOWR(S3RDMAFS_IOC_TYPE, 4, struct s3rdmafs_read)
#define S3RDMAFS_IOC_UNREGISTER \
	_IOW(S3RDMAFS_IOC_TYPE, 5, struct s3rdmafs_unregister)
#define S3RDMAFS_IOC_HINT _IOW(S3RDMAFS_IOC_TYPE, 6, struct s3rdmafs_hint)

/*
 * The socket of INFO: SOCK_SEQPACKET, one message a packet, a connection for
 * each request or for many.  REDEEM: a ticket of MAP in, a descriptor back.
 * OFFER: a descriptor in, a ticket for REGISTER back.  status is 0 or an
 * errno: EPERM (no such ticket, or not yours), EBADF, EMFILE, EINVAL.
 */
#define S3RDMAFS_MSG_MAGIC 0x33424652U
#define S3RDMAFS_MSG_REDEEM 1U
#define S3RDMAFS_MSG_OFFER 2U
struct s3rdmafs_msg {
	__u32 magic;
	__u32 type;
	__s32 status; /* of the answer */
	__u32 reserved;
	__u8 ticket[S3RDMAFS_TICKET];
};

#endif
