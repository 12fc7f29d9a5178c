/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Direct I/O files may be mapped shared only if the INIT answer says so
 * (FUSE_DIRECT_IO_ALLOW_MMAP, kernel 6.6), and libfuse before 3.17 has no way
 * to say it; those before 3.16 take the wish for parallel readers of a
 * directory (FUSE_PARALLEL_DIROPS) and do not pass it on.  So the session's
 * reads and writes go through here: the one INIT exchange is recognised, and
 * the flags are added to its answer when the kernel has offered them.  So is
 * the size of requests, which libfuse bounds by its own buffer.
 * Everything else passes untouched.
 *
 * INIT comes before any other request and is answered on the thread that read
 * it, so its fields need no lock.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "fuse_ops/ops.h"
#include "fuse_ops/pass.h"

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#endif
#ifndef FUSE_INIT_EXT
#define FUSE_INIT_EXT (1 << 30)
#endif

#define MAX_PAGES 1024 /* of a request: 4 MiB */

/* Of fuse_init_in, whose tail older headers lack. */
#define FLAGS_OFF 12
#define FLAGS2_OFF 16

static void look_at_request(struct fs *fs, const char *buf, size_t n)
{
	const struct fuse_in_header *in = (const void *)buf;
	uint32_t flags = 0, flags2 = 0;

	if (n < sizeof(*in) + FLAGS_OFF + 4 || in->opcode != FUSE_INIT)
		return;
	memcpy(&flags, buf + sizeof(*in) + FLAGS_OFF, 4);
	if ((flags & FUSE_INIT_EXT) && n >= sizeof(*in) + FLAGS2_OFF + 4)
		memcpy(&flags2, buf + sizeof(*in) + FLAGS2_OFF, 4);
	fs->init_unique = in->unique;
	fs->offers_parallel_dirs = flags & FUSE_PARALLEL_DIROPS;
	fs->offers_direct_mmap = flags2 & (FUSE_DIRECT_IO_ALLOW_MMAP >> 32);
	fs->offers_pass = flags2 & PASS_INIT_FLAG2;
}

static ssize_t patched_read(int fd, void *buf, size_t n, void *arg)
{
	const ssize_t got = read(fd, buf, n);

	if (got > 0 &&
	    ((const struct fuse_in_header *)buf)->opcode == FUSE_INIT)
		look_at_request(arg, buf, (size_t)got);
	return got;
}

/* The answer, if it has the bytes up to the end of a field: iov[0] is the
 * header, iov[1] fuse_init_out. */
#define INIT_OUT(iov, count, field)                                         \
	((count) >= 2 && (iov)[1].iov_len >=                                \
				 offsetof(struct fuse_init_out, field) +    \
					 sizeof(((struct fuse_init_out *)0) \
							->field)            \
		 ? (struct fuse_init_out *)(iov)[1].iov_base                \
		 : NULL)

static void patch_answer(struct fs *fs, struct iovec *iov, int count)
{
	struct fuse_init_out *out = INIT_OUT(iov, count, flags2);

	if (!out)
		return;
	out->flags |= FUSE_INIT_EXT;
	out->flags2 |= (uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32);
	atomic_store(&fs->direct_mmap, true);
}

static bool patch_pass(struct iovec *iov, int count)
{
	struct fuse_init_out *out = INIT_OUT(iov, count, unused[0]);

	if (!out)
		return false;
	out->flags |= FUSE_INIT_EXT;
	out->flags2 |= PASS_INIT_FLAG2;
	out->unused[0] = 1; /* max_stack_depth: below ours there is none */
	return true;
}

static void patch_dirs(struct iovec *iov, int count)
{
	struct fuse_init_out *out = INIT_OUT(iov, count, flags);

	if (out)
		out->flags |= FUSE_PARALLEL_DIROPS;
}

/* A read of more than 1 MiB is one request where the administrator has raised
 * fs.fuse.max_pages_limit (kernel 6.13): the kernel takes the lower one.
 * libfuse says what its own buffer holds, which answers do not go through. */
static void patch_pages(const struct fs *fs, struct iovec *iov, int count)
{
	/* Two slots must do for a read, wherever it begins. */
	const uint64_t slot = fs->cfg.slot_size / 4096;
	const uint16_t most = slot < MAX_PAGES ? (uint16_t)slot : MAX_PAGES;
	struct fuse_init_out *out = INIT_OUT(iov, count, max_pages);

	if (out && out->flags & FUSE_MAX_PAGES && out->max_pages < most)
		out->max_pages = most;
}

static ssize_t patched_writev(int fd, struct iovec *iov, int count, void *arg)
{
	struct fs *fs = arg;
	bool passes = false;
	ssize_t done;

	if (fs->init_unique) {
		const struct fuse_out_header *h = iov[0].iov_base;

		if (h->unique == fs->init_unique && h->error == 0) {
			fs->init_unique = 0;
			patch_pages(fs, iov, count);
			if (fs->offers_parallel_dirs)
				patch_dirs(iov, count);
			if (fs->offers_direct_mmap && !fs->cfg.kernel_cache)
				patch_answer(fs, iov, count);
			passes = fs->offers_pass && fs->residents &&
				 patch_pass(iov, count);
		}
	}
	done = writev(fd, iov, count);
	/* The kernel knows it from here on. */
	if (passes && done > 0)
		atomic_store(&fs->pass_agreed, true);
	return done;
}

int init_patch_install(struct fs *fs)
{
	static const struct fuse_custom_io io = {.read = patched_read,
						 .writev = patched_writev};

	return fuse_session_custom_io(fs->se, &io, fuse_session_fd(fs->se));
}
