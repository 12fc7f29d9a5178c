/* SPDX-License-Identifier: Apache-2.0 */
/* What is known to a list of objects, and looking through it. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cache/catalog.h"
#include "cache/inventory.h"
#include "cache/namespace_int.h"

#define MAX_LEVELS 520
#define OUT_MAX (1U << 20)

/* A directory on the way down, read as far as pos. */
struct level {
	struct dir *dir;   /* a reference */
	struct snap *snap; /* a reference */
	struct held held;  /* the same: who reads a pipe may be slow */
	snap_pos pos;
};

struct export
{
	struct namespace *ns;
	const struct catalog_watch *watch;
	int fd;
	struct strbuf out;
	uint64_t files, unlisted;
	struct level levels[MAX_LEVELS];
	unsigned int depth;
	uint64_t child; /* the directory to enter next, or 0 */
	struct inventory_row row;
	int err;
};

/* Who reads a pipe may not: so much fits when it says that it can take some,
 * and meanwhile the command can be ended. */
static int flush(struct export *x)
{
	size_t at = 0;

	while (at < x->out.len) {
		struct pollfd p = {.fd = x->fd, .events = POLLOUT};
		const size_t left = x->out.len - at;
		ssize_t n;

		if (poll(&p, 1, 200) == 0) {
			if (x->watch &&
			    !x->watch->step(x->watch->ctx, x->files, 0))
				return -ECANCELED;
			continue;
		}
		n = write(x->fd, x->out.s + at,
			  left < PIPE_BUF ? left : PIPE_BUF);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		at += (size_t)n;
	}
	strbuf_clear(&x->out);
	return 0;
}

static int write_file(struct export *x, const struct rec *r)
{
	const struct level *l = &x->levels[x->depth - 1];
	char path[NAMESPACE_PATH_MAX + 1];
	int err = namespace_join(path, sizeof(path), l->dir->path, r->name);

	if (!err)
		err = namespace_resolve(x->ns, path, x->row.bucket, x->row.key);
	if (err)
		return err;
	memcpy(x->row.etag, r->etag, sizeof(x->row.etag));
	memcpy(x->row.storage_class, r->storage_class,
	       sizeof(x->row.storage_class));
	x->row.size = r->size;
	x->row.mtime = r->mtime;
	inventory_format(&x->out, &x->row);
	if (x->out.failed)
		return -ENOMEM;
	x->files++;
	return x->out.len > OUT_MAX / 2 ? flush(x) : 0;
}

/* Ends at a directory, which is entered before what is behind it. */
static int take(void *ctx, const struct rec *r, snap_pos next)
{
	struct export *x = ctx;

	if (x->child)
		return 1;
	if (r->is_dir)
		x->child = r->dir;
	else
		x->err = write_file(x, r);
	x->levels[x->depth - 1].pos = next;
	return x->err != 0;
}

static void enter(struct export *x, uint64_t id)
{
	struct level *l = &x->levels[x->depth];

	if (x->depth == MAX_LEVELS)
		return;
	l->dir = dirs_get(x->ns->dirs, id);
	l->snap = l->dir ? dirs_snap(x->ns->dirs, l->dir) : NULL;
	l->pos = 0;
	if (l->snap) {
		namespace_hold(x->ns, &l->held, l->snap);
		x->depth++;
		return;
	}
	x->unlisted++;
	if (l->dir)
		dirs_put(x->ns->dirs, l->dir);
}

static void leave(struct export *x)
{
	struct level *l = &x->levels[--x->depth];

	namespace_let_go(x->ns, &l->held);
	dirs_snap_put(x->ns->dirs, l->snap);
	dirs_put(x->ns->dirs, l->dir);
}

static int export_tree(struct export *x)
{
	while (x->depth && !x->err) {
		struct level *l = &x->levels[x->depth - 1];
		const snap_pos before = l->pos;
		snap_pos pos = l->pos;
		int err;

		x->child = 0;
		err = dirs_read(x->ns->dirs, l->snap, &pos, false, take, x);
		if (!x->err && err)
			x->err = err;
		if (!x->err && x->watch &&
		    !x->watch->step(x->watch->ctx, x->files, 0))
			x->err = -ECANCELED;
		/* It may have stopped short: the end is where nothing comes. */
		if (x->child)
			enter(x, x->child);
		else if (l->pos == before)
			leave(x);
	}
	while (x->depth)
		leave(x);
	return x->err ? x->err : flush(x);
}

int catalog_export(struct namespace *ns, int fd, const char *path,
		   const struct catalog_watch *watch, uint64_t *files,
		   uint64_t *unlisted)
{
	struct export *x = calloc(1, sizeof(*x));
	struct ns_attr a = {.is_dir = true, .dir = NAMESPACE_ROOT};
	uint64_t dir, left;
	char name[256];
	int err = x ? catalog_parent(ns, path, &dir, name) : -ENOMEM;

	if (!err && *name)
		err = namespace_look(ns, dir, name, &a, &left);
	if (!err && !a.is_dir)
		err = -ENOTDIR;
	if (!err) {
		x->ns = ns;
		x->fd = fd;
		x->watch = watch;
		strbuf_init(&x->out, OUT_MAX);
		enter(x, a.dir);
		err = export_tree(x);
		strbuf_free(&x->out);
	}
	*files = x ? x->files : 0;
	*unlisted = x ? x->unlisted : 0;
	free(x);
	return err;
}

/* ---- looking through notes ---- */

struct search {
	struct namespace *ns;
	const char *prefix;
	const char *const *meta, *const *tags;
	unsigned int nmeta, ntags;
	int (*found)(void *ctx, const char *path);
	void *ctx;
};

/* Has the object all the values?  "name=value" each. */
static bool has_all(json_t *o, const char *const *wanted, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const char *eq = strchr(wanted[i], '=');
		char name[512];
		const char *value;

		if (!eq || eq - wanted[i] >= (long)sizeof(name))
			return false;
		snprintf(name, sizeof(name), "%.*s", (int)(eq - wanted[i]),
			 wanted[i]);
		value = json_string_value(json_object_get(o, name));
		if (!value || strcmp(value, eq + 1) != 0)
			return false;
	}
	return true;
}

/* Is the note of the version that is there, as far as is known? */
static bool is_current(struct search *s, uint64_t dir, const char *name,
		       json_t *note)
{
	const char *etag = json_string_value(json_object_get(note, "etag"));
	struct ns_attr a;
	uint64_t left;
	const int err = namespace_peek(s->ns, dir, name, &a, &left);

	return etag &&
	       (err == -EAGAIN || (!err && !a.is_dir && !strcmp(a.etag, etag)));
}

/* Is the path prefix itself, or below it?  Half a name is no prefix. */
static bool is_below(const char *path, const char *prefix)
{
	const size_t n = strlen(prefix);

	return !strncmp(path, prefix, n) &&
	       (!n || prefix[n - 1] == '/' || path[n] == '/' || !path[n]);
}

static int look_at(void *ctx, uint64_t dir, const char *name, const char *text)
{
	struct search *s = ctx;
	char path[NAMESPACE_PATH_MAX + 1];
	json_t *note;
	int err = 0;

	if (namespace_path(s->ns, dir, name, path) ||
	    !is_below(path, s->prefix))
		return 0;
	note = json_loads(text, 0, NULL);
	if (json_is_object(note) &&
	    has_all(json_object_get(note, "meta"), s->meta, s->nmeta) &&
	    has_all(json_object_get(note, "tags"), s->tags, s->ntags) &&
	    is_current(s, dir, name, note))
		err = s->found(s->ctx, path);
	json_decref(note);
	return err;
}

int catalog_find(struct namespace *ns, const char *prefix,
		 const char *const *meta, unsigned int nmeta,
		 const char *const *tags, unsigned int ntags,
		 int (*found)(void *ctx, const char *path), void *ctx)
{
	struct search s = {.ns = ns,
			   .prefix = prefix,
			   .meta = meta,
			   .nmeta = nmeta,
			   .tags = tags,
			   .ntags = ntags,
			   .found = found,
			   .ctx = ctx};

	return store_notes_each(ns->store, look_at, &s);
}
