/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers that applications own, and reads into them.  Bytes go through slots
 * of the file cache, so what a late RDMA write could hit is ours, never theirs.
 *
 * A buffer of kind HOST is written by pwrite(2): an application that cuts its
 * memfd short gets an error, and we no signal.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "gpubuf/gpubuf_int.h"

int buffers_new(struct gpubuf *g)
{
	g->buffers = calloc(BUFFERS_MAX, sizeof(*g->buffers));
	if (!g->buffers)
		return -ENOMEM;
	for (int i = 0; i < BUFFERS_MAX; i++)
		list_add_tail(&g->free_buffers, &g->buffers[i].link);
	return 0;
}

/* Memory, and no file of a disk or of a file system that might be ours; nor
 * huge pages of hugetlbfs, which knows no write(2). */
bool is_memory(int fd)
{
	struct statfs fs;
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) && !fstatfs(fd, &fs) &&
	       fs.f_type == TMPFS_MAGIC;
}

static int check_fd(int fd, uint64_t len)
{
	const int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND) ||
	    !is_memory(fd) || fstat(fd, &st))
		return -EBADF;
	return (uint64_t)st.st_size < len ? -ERANGE : 0;
}

/* What was exported, taken in; the buffer's. */
static int take_in(struct gpubuf *g, const struct gpubuf_register *r,
		   struct dev *d, struct buffer *b)
{
	int err;

	b->fd = -1;
	if (d->kind == GPUBUF_CUDA)
		return d->gpu->ops->import(d->gpu, r->export, r->len, &b->mem);
	b->fd = sent_take(g, r->export, &r->caller);
	if (b->fd < 0)
		return b->fd;
	err = check_fd(b->fd, r->len);
	if (err)
		close(b->fd);
	return err;
}

static void let_go(struct buffer *b)
{
	if (b->fd >= 0)
		close(b->fd);
	else
		b->dev->gpu->ops->release(b->dev->gpu, &b->mem);
}

/* Under the lock: one user leaves half of them to the others. */
static struct buffer *take(struct gpubuf *g, uid_t uid)
{
	unsigned int mine = 0;
	struct buffer *b;

	for (int i = 0; i < BUFFERS_MAX; i++)
		mine += g->buffers[i].id && g->buffers[i].uid == uid;
	if (list_empty(&g->free_buffers) || mine >= BUFFERS_MAX / 2)
		return NULL;
	b = list_first(&g->free_buffers, struct buffer, link);
	list_del(&b->link);
	return b;
}

int gpubuf_register(struct gpubuf *g, struct gpubuf_register *r)
{
	struct dev *d = dev_find(g, r->kind, r->device);
	struct buffer made = {.dev = d, .len = r->len}, *b;
	int err;

	r->caller.pid = process_of(r->caller.tid);
	err = d ? take_in(g, r, d, &made) : -ENODEV;
	if (err)
		return err;
	{
		LOCK_SCOPE(&g->lock);
		b = take(g, r->caller.uid);
		if (b) {
			*b = made;
			b->uid = r->caller.uid;
			b->owner = r->owner;
			b->id = ++g->next_id * BUFFERS_MAX +
				(uint64_t)(b - g->buffers);
			list_init(&b->link);
			list_add_tail(&r->owner->buffers, &b->link);
			g->stats.buffers++;
			r->buffer = b->id;
		}
	}
	if (b)
		return 0;
	let_go(&made);
	return -EMFILE;
}

static struct buffer *find(struct gpubuf *g, const struct gpubuf_owner *o,
			   uint64_t id)
{
	struct buffer *b = &g->buffers[id % BUFFERS_MAX];

	return id && b->id == id && b->owner == o ? b : NULL;
}

static void free_buffer(struct gpubuf *g, struct buffer *b)
{
	list_del(&b->link);
	b->id = 0;
	g->stats.buffers--;
	list_add(&g->free_buffers, &b->link);
}

int gpubuf_unregister(struct gpubuf *g, struct gpubuf_owner *o, uint64_t id)
{
	struct buffer gone, *b;

	{
		LOCK_SCOPE(&g->lock);
		b = find(g, o, id);
		if (!b)
			return -ENOENT;
		if (b->reads > 0)
			return -EBUSY;
		gone = *b;
		free_buffer(g, b);
	}
	let_go(&gone);
	return 0;
}

void buffers_drop(struct gpubuf *g, struct gpubuf_owner *o)
{
	for (;;) {
		struct buffer gone;

		{
			struct buffer *b;

			LOCK_SCOPE(&g->lock);
			if (list_empty(&o->buffers))
				return;
			b = list_first(&o->buffers, struct buffer, link);
			assert(b->reads == 0);
			gone = *b;
			free_buffer(g, b);
		}
		let_go(&gone);
	}
}

/* ---- reads ---- */

static void answer(struct gpubuf *g, struct gpubuf_wait *w)
{
	struct gpubuf_read *r = container_of(w, struct gpubuf_read, wait);

	{
		LOCK_SCOPE(&g->lock);
		r->into->reads--;
	}
	if (!w->err)
		r->placed = r->job.hi - r->job.lo;
	r->done(r, w->err);
}

static void on_ended(struct gpubuf *g, struct gpubuf_job *j,
		     struct list *finished)
{
	struct gpubuf_read *r = container_of(j, struct gpubuf_read, job);

	(void)g;
	r->wait.err = j->err;
	list_add_tail(finished, &r->wait.link);
}

/* Checks, and queues what there is to read.  1: nothing, all is well. */
static int begin(struct gpubuf *g, struct gpubuf_read *r)
{
	const uint64_t size = cache_object_name(r->object).size;
	struct buffer *b;

	LOCK_SCOPE(&g->lock);
	b = find(g, r->owner, r->buffer);
	if (g->stopped)
		return -EIO;
	if (!b)
		return -ENOENT;
	if (r->buffer_off > b->len || r->len > b->len - r->buffer_off)
		return -ERANGE;
	if (r->off >= size)
		return 1;
	r->into = b;
	b->reads++;
	g->stats.reads++;
	r->job = (struct gpubuf_job){
		.object = r->object,
		.lo = r->off,
		.next = r->off,
		.hi = r->len < size - r->off ? r->off + r->len : size,
		.to = {.dev = b->dev, .gpu = b->mem.addr, .fd = b->fd},
		.at = r->buffer_off,
		.ended = on_ended};
	job_queue(g, &r->job);
	return 0;
}

void gpubuf_read_start(struct gpubuf *g, struct gpubuf_read *r)
{
	int err;

	r->placed = 0;
	r->wait.answer = answer;
	err = begin(g, r);
	if (err)
		r->done(r, err < 0 ? err : 0);
	else
		jobs_pump(g);
}
