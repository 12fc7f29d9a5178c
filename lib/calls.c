/* SPDX-License-Identifier: Apache-2.0 */
/* The commands one by one, and what their errors mean. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib.h"

int call(int fd, unsigned long cmd, void *arg)
{
	int r;

	do
		r = ioctl(fd, cmd, arg);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int s3rdma_info(int fd, struct s3rdmafs_info *out)
{
	struct s3rdmafs_info io = {.size = sizeof(io)};
	const int err = call(fd, S3RDMAFS_IOC_INFO, &io);

	if (!err)
		*out = io;
	return err;
}

int s3rdma_map_cuda(int fd, unsigned int device, uint64_t off, uint64_t len,
		    unsigned int flags, struct s3rdma_cuda *out)
{
	struct s3rdmafs_map io = {.size = sizeof(io),
				  .flags = flags,
				  .kind = S3RDMAFS_CUDA,
				  .device = device,
				  .offset = off,
				  .length = len};
	const int err = call(fd, S3RDMAFS_IOC_MAP, &io);

	if (err)
		return err;
	*out = (struct s3rdma_cuda){.handle = io.handle,
				    .valid = io.valid,
				    .alloc_offset = io.alloc_offset,
				    .alloc_size = io.alloc_size,
				    .allocation = io.allocation,
				    .generation = io.generation};
	memcpy(out->ipc, io.export_, sizeof(out->ipc));
	return 0;
}

int s3rdma_unmap_cuda(int fd, uint64_t handle)
{
	struct s3rdmafs_unmap io = {.size = sizeof(io), .handle = handle};

	return call(fd, S3RDMAFS_IOC_UNMAP, &io);
}

static int register_it(int fd, struct s3rdmafs_register *io, uint64_t *buffer)
{
	const int err = call(fd, S3RDMAFS_IOC_REGISTER, io);

	if (!err)
		*buffer = io->buffer;
	return err;
}

int s3rdma_register(int fd, int memfd, uint64_t len, uint64_t *buffer)
{
	struct s3rdmafs_register io = {
		.size = sizeof(io), .kind = S3RDMAFS_HOST, .length = len};
	const int err = socket_offer(fd, memfd, io.export_);

	return err ? err : register_it(fd, &io, buffer);
}

int s3rdma_register_cuda(int fd, unsigned int device,
			 const unsigned char ipc[S3RDMAFS_EXPORT], uint64_t len,
			 uint64_t *buffer)
{
	struct s3rdmafs_register io = {.size = sizeof(io),
				       .kind = S3RDMAFS_CUDA,
				       .device = device,
				       .length = len};

	memcpy(io.export_, ipc, sizeof(io.export_));
	return register_it(fd, &io, buffer);
}

int s3rdma_read(int fd, uint64_t buffer, uint64_t buffer_off, uint64_t off,
		uint64_t len, uint64_t *placed)
{
	struct s3rdmafs_read io = {.size = sizeof(io),
				   .buffer = buffer,
				   .buffer_offset = buffer_off,
				   .offset = off,
				   .length = len};
	const int err = call(fd, S3RDMAFS_IOC_READ, &io);

	if (!err)
		*placed = io.placed;
	return err;
}

int s3rdma_unregister(int fd, uint64_t buffer)
{
	struct s3rdmafs_unregister io = {.size = sizeof(io), .buffer = buffer};

	return call(fd, S3RDMAFS_IOC_UNREGISTER, &io);
}

int s3rdma_hint(int fd, const struct s3rdmafs_range *ranges, size_t n)
{
	struct s3rdmafs_hint io = {.size = sizeof(io)};
	size_t done = 0;
	int err = 0;

	if (n == 0) {
		io.flags = S3RDMAFS_HINT_FILE;
		return call(fd, S3RDMAFS_IOC_HINT, &io);
	}
	while (done < n && !err) {
		const size_t left = n - done;

		io = (struct s3rdmafs_hint){.size = sizeof(io)};
		io.count = left < S3RDMAFS_HINT_RANGES ? (uint32_t)left
						       : S3RDMAFS_HINT_RANGES;
		memcpy(io.ranges, ranges + done, io.count * sizeof(*ranges));
		err = call(fd, S3RDMAFS_IOC_HINT, &io);
		done += io.count;
	}
	return err;
}

static const struct {
	int err;
	const char *text;
} texts[] = {
	{0, "no error"},
	{ENOTTY, "not a file of an s3rdmafs mount"},
	{EINVAL, "a length of 0, or an argument out of range"},
	{ENXIO, "offset is at or past the end of the file"},
	{ENODEV, "the mount has no memory of that kind or device"},
	{EAGAIN, "no room now"},
	{ENOMEM, "no room for as long as request.deadline, or no memory"},
	{EMFILE, "too many handles, buffers or descriptors"},
	{ESTALE, "the object was replaced or removed on the server"},
	{ENOENT, "no such handle or buffer of this open file"},
	{EPERM, "a ticket or an exported handle that is not, or no longer, "
		"good for this user and process"},
	{EBADF, "not memory, or not open for reading and writing"},
	{ERANGE, "not inside the buffer, or the memory is shorter than said"},
	{EFAULT, "the buffer's memory is gone"},
	{EBUSY, "a read into the buffer is under way"},
	{EACCES, "permission denied, by the server or on the daemon's socket"},
	{EIO, "the server failed, or the mount is ending"},
	{ECONNREFUSED, "the daemon's socket does not answer"},
	{ETIMEDOUT, "the daemon's socket does not answer in time"},
};

const char *s3rdma_strerror(int err)
{
	if (err < 0)
		err = -err;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].err == err)
			return texts[i].text;
	return strerrordesc_np(err) ? strerrordesc_np(err) : "unknown error";
}
