/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public ioctls: decoded, checked, handed on, encoded.  The kernel has
 * copied the struct that the command's number names, and copies the answer
 * back; 32-bit programs send the same struct.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fuse_ops/ops.h"
#include "s3rdmafs/ioctl.h"

/* A call whose answer comes later. */
struct ioctl_op {
	fuse_req_t req;
	union {
		struct {
			struct gpubuf_map call;
			struct s3rdmafs_map answer;
		} map;
		struct {
			struct gpubuf_read call;
			struct s3rdmafs_read answer;
		} read;
	};
};

static bool is_zero(const void *p, size_t n)
{
	const unsigned char *c = p;

	while (n > 0 && c[n - 1] == 0)
		n--;
	return n == 0;
}

/* Does the sum wrap, or go beyond what a file can be? */
static bool overflows(uint64_t off, uint64_t len)
{
	uint64_t end;

	return __builtin_add_overflow(off, len, &end) || end > INT64_MAX;
}

static struct gpubuf_caller caller_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct gpubuf_caller){.uid = ctx->uid, .tid = ctx->pid};
}

static void answer(fuse_req_t req, const void *out, size_t n)
{
	fuse_reply_ioctl(req, 0, out, n);
}

static int check_kind(uint32_t kind, uint32_t device)
{
	if (kind == S3RDMAFS_HOST)
		return device ? -EINVAL : 0;
	/* Whether that device is here, gpubuf knows. */
	return kind == S3RDMAFS_CUDA ? 0 : -ENODEV;
}

/* ---- INFO ---- */

static uint32_t transport_number(const char *name)
{
	return !strcmp(name, "dc")    ? S3RDMAFS_DC
	       : !strcmp(name, "rc")  ? S3RDMAFS_RC
	       : !strcmp(name, "shm") ? S3RDMAFS_SHM
				      : S3RDMAFS_HTTP;
}

static void do_info(fuse_req_t req, struct file *f, const void *in)
{
	const struct s3rdmafs_info *ask = in;
	struct fs *fs = fs_of(req);
	struct s3rdmafs_info out = {.size = sizeof(out)};
	struct gpubuf_info info;

	(void)f;
	if (ask->flags || !is_zero(ask->reserved, sizeof(ask->reserved))) {
		reply_err(req, -EINVAL);
		return;
	}
	gpubuf_get_info(fs->gpubuf, &info);
	out.abi_version = S3RDMAFS_ABI_VERSION;
	out.kinds = 1U << S3RDMAFS_HOST;
	out.transport = transport_number(
		fs->cfg.transport(fs->cfg.transport_ctx));
	out.slot_size = fs->cfg.slot_size;
	out.host_pool = fs->cfg.host_pool;
	out.map_max = info.map_max;
	for (unsigned int i = 0; i < info.ndevices; i++) {
		out.kinds |= 1U << S3RDMAFS_CUDA;
		out.devices[out.ndevices++] = (struct s3rdmafs_device){
			S3RDMAFS_CUDA, info.devices[i].ordinal,
			info.devices[i].pool};
	}
	memcpy(out.socket, info.socket, sizeof(out.socket));
	answer(req, &out, sizeof(out));
}

/* ---- MAP, UNMAP ---- */

static void on_mapped(struct gpubuf_map *m, int err)
{
	struct ioctl_op *op = container_of(m, struct ioctl_op, map.call);
	struct s3rdmafs_map *out = &op->map.answer;

	if (err) {
		reply_err(op->req, err);
		free(op);
		return;
	}
	out->handle = m->handle;
	out->valid = m->valid;
	out->alloc_offset = m->alloc_off;
	out->alloc_size = m->alloc_size;
	out->allocation = m->allocation;
	out->generation = m->generation;
	memcpy(out->export_, m->export, sizeof(out->export_));
	answer(op->req, out, sizeof(*out));
	free(op);
}

static int check_map(const struct s3rdmafs_map *in, uint64_t size)
{
	int err;

	if ((in->flags & ~S3RDMAFS_MAP_NOWAIT) || in->length == 0 ||
	    !is_zero(in->reserved, sizeof(in->reserved)) ||
	    overflows(in->offset, in->length))
		return -EINVAL;
	err = check_kind(in->kind, in->device);
	if (err)
		return err;
	return in->offset < size ? 0 : -ENXIO;
}

static void do_map(fuse_req_t req, struct file *f, const void *data)
{
	const struct s3rdmafs_map *in = data;
	const int err = check_map(in, cache_object_name(f->object).size);
	struct ioctl_op *op = err ? NULL : calloc(1, sizeof(*op));

	if (!op) {
		reply_err(req, err ? err : -ENOMEM);
		return;
	}
	op->req = req;
	op->map.answer = *in;
	op->map.call = (struct gpubuf_map){
		.owner = &f->buffers,
		.object = f->object,
		.caller = caller_of(req),
		.off = in->offset,
		.len = in->length,
		.kind = in->kind == S3RDMAFS_HOST ? GPUBUF_HOST : GPUBUF_CUDA,
		.device = in->device,
		.nowait = in->flags & S3RDMAFS_MAP_NOWAIT,
		.done = on_mapped};
	gpubuf_map_start(fs_of(req)->gpubuf, &op->map.call);
}

static void do_unmap(fuse_req_t req, struct file *f, const void *data)
{
	const struct s3rdmafs_unmap *in = data;
	int err = in->flags || !is_zero(in->reserved, sizeof(in->reserved))
			  ? -EINVAL
			  : 0;

	if (!err)
		err = gpubuf_unmap(fs_of(req)->gpubuf, &f->buffers, in->handle);
	if (err)
		reply_err(req, err);
	else
		answer(req, NULL, 0);
}

/* ---- buffers of the application ---- */

static void do_register(fuse_req_t req, struct file *f, const void *data)
{
	struct s3rdmafs_register io;
	struct gpubuf_register r;
	int err;

	memcpy(&io, data, sizeof(io));
	err = io.flags || io.length == 0 || overflows(0, io.length) ||
			      !is_zero(io.reserved, sizeof(io.reserved))
		      ? -EINVAL
		      : check_kind(io.kind, io.device);
	if (err) {
		reply_err(req, err);
		return;
	}
	r = (struct gpubuf_register){
		.owner = &f->buffers,
		.caller = caller_of(req),
		.kind = io.kind == S3RDMAFS_HOST ? GPUBUF_HOST : GPUBUF_CUDA,
		.device = io.device,
		.len = io.length,
		.export = io.export_};
	err = gpubuf_register(fs_of(req)->gpubuf, &r);
	if (err) {
		reply_err(req, err);
		return;
	}
	io.buffer = r.buffer;
	answer(req, &io, sizeof(io));
}

static void do_unregister(fuse_req_t req, struct file *f, const void *data)
{
	const struct s3rdmafs_unregister *in = data;
	int err = in->flags || !is_zero(in->reserved, sizeof(in->reserved))
			  ? -EINVAL
			  : 0;

	if (!err)
		err = gpubuf_unregister(fs_of(req)->gpubuf, &f->buffers,
					in->buffer);
	if (err)
		reply_err(req, err);
	else
		answer(req, NULL, 0);
}

static void on_placed(struct gpubuf_read *r, int err)
{
	struct ioctl_op *op = container_of(r, struct ioctl_op, read.call);

	op->read.answer.placed = r->placed;
	if (err)
		reply_err(op->req, err);
	else
		answer(op->req, &op->read.answer, sizeof(op->read.answer));
	free(op);
}

static void do_read(fuse_req_t req, struct file *f, const void *data)
{
	const struct s3rdmafs_read *in = data;
	const bool bad = in->flags || in->length == 0 ||
			 !is_zero(in->reserved, sizeof(in->reserved)) ||
			 overflows(in->offset, in->length) ||
			 overflows(in->buffer_offset, in->length);
	struct ioctl_op *op = bad ? NULL : calloc(1, sizeof(*op));

	if (!op) {
		reply_err(req, bad ? -EINVAL : -ENOMEM);
		return;
	}
	op->req = req;
	op->read.answer = *in;
	op->read.call = (struct gpubuf_read){.owner = &f->buffers,
					     .object = f->object,
					     .buffer = in->buffer,
					     .buffer_off = in->buffer_offset,
					     .off = in->offset,
					     .len = in->length,
					     .done = on_placed};
	gpubuf_read_start(fs_of(req)->gpubuf, &op->read.call);
}

/* ---- HINT ---- */

static int check_hint(const struct s3rdmafs_hint *in)
{
	const bool file = in->flags & S3RDMAFS_HINT_FILE;

	if ((in->flags & ~S3RDMAFS_HINT_FILE) || in->reserved ||
	    in->count > S3RDMAFS_HINT_RANGES || file == (in->count > 0))
		return -EINVAL;
	for (unsigned int i = 0; i < in->count; i++)
		if (in->ranges[i].length == 0 ||
		    overflows(in->ranges[i].offset, in->ranges[i].length))
			return -EINVAL;
	return is_zero(in->ranges + in->count,
		       (S3RDMAFS_HINT_RANGES - in->count) *
			       sizeof(in->ranges[0]))
		       ? 0
		       : -EINVAL;
}

static void do_hint(fuse_req_t req, struct file *f, const void *data)
{
	const struct s3rdmafs_hint *in = data;
	struct fs *fs = fs_of(req);
	const int err = check_hint(in);

	if (err) {
		reply_err(req, err);
		return;
	}
	if (in->flags & S3RDMAFS_HINT_FILE)
		cache_prefetch(fs->cache, f->object, 0,
			       cache_object_name(f->object).size);
	for (unsigned int i = 0; i < in->count; i++)
		cache_prefetch(fs->cache, f->object, in->ranges[i].offset,
			       in->ranges[i].length);
	answer(req, NULL, 0);
}

/* ---- dispatch ---- */

static const struct {
	unsigned int cmd;
	size_t size;
	void (*run)(fuse_req_t req, struct file *f, const void *in);
} commands[] = {
	{S3RDMAFS_IOC_INFO, sizeof(struct s3rdmafs_info), do_info},
	{S3RDMAFS_IOC_MAP, sizeof(struct s3rdmafs_map), do_map},
	{S3RDMAFS_IOC_UNMAP, sizeof(struct s3rdmafs_unmap), do_unmap},
	{S3RDMAFS_IOC_REGISTER, sizeof(struct s3rdmafs_register), do_register},
	{S3RDMAFS_IOC_READ, sizeof(struct s3rdmafs_read), do_read},
	{S3RDMAFS_IOC_UNREGISTER, sizeof(struct s3rdmafs_unregister),
	 do_unregister},
	{S3RDMAFS_IOC_HINT, sizeof(struct s3rdmafs_hint), do_hint},
};

void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in,
	      size_t in_size, size_t out_size)
{
	struct file *f = (void *)(uintptr_t)fi->fh;

	(void)ino;
	(void)arg;
	(void)out_size;
	if (flags & FUSE_IOCTL_DIR) {
		reply_err(req, -ENOTTY);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		uint32_t size = 0;

		if (commands[i].cmd != cmd)
			continue;
		if (in_size == commands[i].size)
			memcpy(&size, in, sizeof(size));
		if (size == commands[i].size)
			commands[i].run(req, f, in);
		else
			reply_err(req, -EINVAL);
		return;
	}
	reply_err(req, -ENOTTY);
}
