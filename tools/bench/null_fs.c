/* SPDX-License-Identifier: Apache-2.0 */
#define FUSE_USE_VERSION 314
#include "null_fs.h"

#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ANSWER_MAX (1 << 20)

/* Any name without a number is this directory; in it are small files. */
#define SMALL_DIR 2
#define SMALL_SIZE (64 << 10)
#define SMALL_FIRST (1ULL << 32)
#define KNOWN_S 86400

struct null_fs {
	off_t size;
	char *bytes; /* ANSWER_MAX of them: what every read is answered with */
};

static off_t size_of(const struct null_fs *n, fuse_ino_t ino)
{
	return ino <= SMALL_DIR ? 0 : ino < SMALL_FIRST ? n->size : SMALL_SIZE;
}

static struct stat attr_of(const struct null_fs *n, fuse_ino_t ino)
{
	struct stat st = {.st_ino = ino, .st_nlink = 1};

	st.st_mode = ino <= SMALL_DIR ? S_IFDIR | 0555 : S_IFREG | 0444;
	st.st_size = size_of(n, ino);
	return st;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const char *digits = strpbrk(name, "0123456789");
	struct fuse_entry_param e = {.ino = SMALL_DIR};

	if (digits)
		e.ino = (parent == SMALL_DIR ? SMALL_FIRST : SMALL_DIR + 1) +
			strtoul(digits, NULL, 10);
	/* Known, as those of s3rdmafs are in the kernel. */
	if (!digits || parent == SMALL_DIR)
		e.entry_timeout = e.attr_timeout = KNOWN_S;
	e.attr = attr_of(fuse_req_userdata(req), e.ino);
	fuse_reply_entry(req, &e);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino,
		       struct fuse_file_info *fi)
{
	const struct stat st = attr_of(fuse_req_userdata(req), ino);

	(void)fi;
	fuse_reply_attr(req, &st, 0);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->direct_io = 1; /* as s3rdmafs has it */
	fuse_reply_open(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t n, off_t off,
		    struct fuse_file_info *fi)
{
	const struct null_fs *fs = fuse_req_userdata(req);
	const off_t size = size_of(fs, ino);
	const size_t left = off < size ? (size_t)(size - off) : 0;

	(void)fi;
	n = n < ANSWER_MAX ? n : ANSWER_MAX;
	fuse_reply_buf(req, fs->bytes, n < left ? n : left);
}

static const struct fuse_lowlevel_ops ops = {.lookup = op_lookup,
					     .getattr = op_getattr,
					     .open = op_open,
					     .read = op_read};

int null_fs_serve(const char *program, const char *mountpoint, uint64_t size)
{
	char *argv[] = {(char *)program, (char *)"-o",
			(char *)"ro,default_permissions,fsname=nullfs", NULL};
	struct null_fs fs = {.size = (off_t)size, .bytes = malloc(ANSWER_MAX)};
	struct fuse_args args = FUSE_ARGS_INIT(3, argv);
	struct fuse_session *se = fuse_session_new(&args, &ops, sizeof(ops),
						   &fs);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err = 1;

	/* The same loop as s3rdmafs has. */
	fuse_loop_cfg_set_max_threads(config, 16);
	fuse_loop_cfg_set_idle_threads(config, 16);
	if (fs.bytes)
		memset(fs.bytes, 1, ANSWER_MAX);
	if (se && fs.bytes && !fuse_session_mount(se, mountpoint)) {
		err = fuse_session_loop_mt(se, config);
		fuse_session_unmount(se);
	}
	if (se)
		fuse_session_destroy(se);
	fuse_loop_cfg_destroy(config);
	free(fs.bytes);
	return err != 0;
}
