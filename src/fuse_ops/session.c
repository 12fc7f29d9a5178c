/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE session.  libfuse's threads read requests and answer what needs no
 * server; work threads ask for names; event loops answer reads whose bytes
 * have come.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "fuse_ops/ops.h"
#include "fuse_ops/pass.h"

#define WORK_THREADS 32
#define WORK_DEPTH 4096
#define MAX_BACKGROUND 128
#define READ_AHEAD (1U << 20)

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	struct fs *fs = arg;
	unsigned int readahead;

	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	if (conn->capable & FUSE_CAP_ASYNC_DIO)
		conn->want |= FUSE_CAP_ASYNC_DIO;
	readahead = readahead_raise(fs->cfg.mountpoint, READ_AHEAD);
	if (readahead > conn->max_readahead)
		conn->max_readahead = readahead;
	if (fs->ready)
		fs->ready(fs->ready_ctx);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.statfs = op_statfs,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.open = op_open,
	.read = op_read,
	.release = op_release,
	.ioctl = op_ioctl,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
};

/* Commas and backslashes separate options; a source may hold both. */
static void add_escaped(struct strbuf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == ',' || *s == '\\')
			strbuf_puts(b, "\\");
		strbuf_add(b, s, 1);
	}
}

static int new_session(struct fs *fs)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct strbuf b;
	int err = 0;

	strbuf_init(&b, 65536);
	strbuf_printf(&b, "ro,%ssubtype=s3rdmafs,fsname=",
		      fs->assumes ? "" : "default_permissions,");
	add_escaped(&b, fs->cfg.source);
	if (fs->cfg.allow_other)
		strbuf_puts(&b, ",allow_other");
	if (fs->cfg.extra_options)
		strbuf_printf(&b, ",%s", fs->cfg.extra_options);
	if (b.failed || fuse_opt_add_arg(&args, "s3rdmafs") ||
	    fuse_opt_add_arg(&args, "-o") || fuse_opt_add_arg(&args, b.s) ||
	    (fs->cfg.debug && fuse_opt_add_arg(&args, "-d")))
		err = -ENOMEM;
	strbuf_free(&b);
	if (!err) {
		fs->se = fuse_session_new(&args, &ops, sizeof(ops), fs);
		err = fs->se ? 0 : -EINVAL;
	}
	fuse_opt_free_args(&args);
	return err;
}

/* Called from threads that answer no request of the kernel's. */
static void on_change(void *ctx, uint64_t dir, const char *name)
{
	struct fs *fs = ctx;

	fuse_lowlevel_notify_inval_entry(fs->se, dir, name, strlen(name));
}

static int back(void *ctx, int fd)
{
	const struct fs *fs = ctx;

	return pass_back(fuse_session_fd(fs->se), fd);
}

static void unback(void *ctx, int id)
{
	const struct fs *fs = ctx;

	if (fs->mounted)
		pass_unback(fuse_session_fd(fs->se), id);
}

static int make_residents(struct fs *fs)
{
	const struct residents_config c = {
		.cache = fs->cache, .back = back, .unback = unback, .ctx = fs};

	return residents_new(&c, &fs->residents);
}

bool fs_passes(struct fs *fs)
{
	int pass = atomic_load(&fs->pass);

	if (!pass && fs->residents && atomic_load(&fs->pass_agreed)) {
		const int found = pass_works(fuse_session_fd(fs->se)) ? 1 : -1;

		/* Whoever was first: it never changes again. */
		if (atomic_compare_exchange_strong(&fs->pass, &pass, found))
			pass = found;
	}
	return pass > 0;
}

void fs_drop(struct fs *fs)
{
	if (fs->residents)
		residents_drop(fs->residents);
}

int fs_mount(const struct fs_config *cfg, struct namespace *ns,
	     struct cache *cache, struct gpubuf *gpubuf, struct fs **out)
{
	struct fs *fs = calloc(1, sizeof(*fs));
	int err;

	if (!fs)
		return -ENOMEM;
	fs->cfg = *cfg;
	fs->ns = ns;
	fs->cache = cache;
	fs->gpubuf = gpubuf;
	fs->assumes = cfg->has_trusted && !cfg->allow_other;
	fs->mounted_at = time(NULL);
	pthread_mutex_init(&fs->lock, NULL);
	list_init(&fs->handles);
	prime_init(&fs->prime);
	ahead_init(&fs->ahead, cfg->files_ahead);
	err = inode_table_new(namespace_hash_key(ns), &fs->inodes);
	if (!err && cfg->passthrough && !cfg->kernel_cache)
		err = make_residents(fs);
	if (!err)
		err = workq_new("names", WORK_THREADS, WORK_DEPTH, &fs->work);
	if (!err)
		err = new_session(fs);
	if (!err) {
		err = fuse_session_mount(fs->se, cfg->mountpoint) ? -EIO : 0;
		fs->mounted = !err;
	}
	if (!err)
		err = init_patch_install(fs);
	if (!err)
		namespace_on_change(ns, on_change, fs);
	if (err) {
		fs_stop_work(fs);
		fs_free(fs);
		return err;
	}
	*out = fs;
	return 0;
}

int fs_run(struct fs *fs, void (*ready)(void *ctx), void *ctx)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err;

	if (!config)
		return -ENOMEM;
	fs->ready = ready;
	fs->ready_ctx = ctx;
	fuse_loop_cfg_set_max_threads(config, 16);
	fuse_loop_cfg_set_idle_threads(config, 16);
	err = fuse_session_loop_mt(fs->se, config);
	fuse_loop_cfg_destroy(config);
	/* A signal's number is a clean end. */
	return err < 0 ? err : 0;
}

void handle_add(struct fs *fs, struct handle *h)
{
	LOCK_SCOPE(&fs->lock);
	list_add_tail(&fs->handles, &h->link);
}

void handle_end(struct fs *fs, struct handle *h)
{
	{
		LOCK_SCOPE(&fs->lock);
		list_del(&h->link);
	}
	h->free(fs, h);
}

void fs_exit(struct fs *fs)
{
	fuse_session_exit(fs->se);
}

void fs_stop_work(struct fs *fs)
{
	residents_stop(fs->residents);
	workq_free(fs->work);
	fs->work = NULL;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	namespace_on_change(fs->ns, NULL, NULL);
	if (fs->mounted)
		fuse_session_unmount(fs->se);
	fs->mounted = false;
	if (fs->se)
		fuse_session_destroy(fs->se);
	while (!list_empty(&fs->handles))
		handle_end(fs, list_first(&fs->handles, struct handle, link));
	residents_free(fs->residents);
	op_file_free_idle(fs);
	inode_table_free(fs->inodes);
	prime_free(&fs->prime);
	ahead_free(&fs->ahead);
	pthread_mutex_destroy(&fs->lock);
	free(fs);
}

void fs_get_stats(struct fs *fs, struct fs_stats *out)
{
	*out = (struct fs_stats){.inodes = inode_count(fs->inodes),
				 .open_files = atomic_load(&fs->open_files),
				 .lookups = atomic_load(&fs->lookups),
				 .direct_mmap = atomic_load(&fs->direct_mmap),
				 .passthrough = fs_passes(fs)};
	if (fs->residents)
		residents_get_stats(fs->residents, &out->resident);
}
