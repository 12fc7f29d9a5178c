/* SPDX-License-Identifier: Apache-2.0 */
/* Listing trees anew, and importing them; see export.c for the other way. */
#include "cache/catalog.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cache/inventory.h"
#include "cache/namespace_int.h"
#include "cache/store_sort.h"

#define BATCH 1000 /* rows a transaction */

static bool goes_on(const struct catalog_watch *w, uint64_t done,
		    uint64_t total)
{
	return !w || w->step(w->ctx, done, total);
}

/* ---- where a path is ---- */

int catalog_parent(struct namespace *ns, const char *path, uint64_t *dir,
		   char name[256])
{
	uint64_t at = NAMESPACE_ROOT;
	int err = 0;

	name[0] = '\0';
	while (*path && !err) {
		const size_t n = strcspn(path, "/");
		struct ns_attr a;
		uint64_t left;

		if (!page_is_name(path, n))
			return -EINVAL;
		snprintf(name, 256, "%.*s", (int)n, path);
		path += n + (path[n] == '/');
		if (!*path)
			break;
		err = namespace_look(ns, at, name, &a, &left);
		if (!err && !a.is_dir)
			err = -ENOTDIR;
		at = a.dir;
	}
	*dir = at;
	return err;
}

/* ---- listing anew ---- */

/* How many files the last such listing had, for a total. */
static uint64_t last_total(struct namespace *ns, uint64_t dir)
{
	char text[32];

	return store_note_get(ns->store, dir, "/", text, sizeof(text)) > 0
		       ? strtoull(text, NULL, 10)
		       : 0;
}

static void keep_total(struct namespace *ns, uint64_t dir, uint64_t files)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)files);
	if (store_begin(ns->store))
		return;
	if (store_note_put(ns->store, dir, "/", text))
		store_abort(ns->store);
	else
		store_commit(ns->store);
}

/* A page, or so many rows, in a transaction. */
static int keep_items(struct tree *t, const struct page *page, bool last)
{
	int err = tree_begin(t);

	if (err)
		return err;
	for (size_t i = 0; i < page->n && !err; i++)
		err = tree_add(t, page, i);
	if (!err && last)
		err = tree_end(t);
	return tree_commit(t, err);
}

static int list_tree(struct namespace *ns, const struct dir *dir,
		     struct tree *t, const struct catalog_watch *watch)
{
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	const uint64_t total = last_total(ns, dir->id);
	struct s3_pager *p = NULL;
	struct page page;
	const struct s3_list l = {.bucket = bucket,
				  .prefix = prefix,
				  .entry = page_take,
				  .ctx = &page};
	bool more = true;
	int err = namespace_key_prefix(ns, dir->path, bucket, prefix);

	page_init(&page, prefix, false);
	if (!err)
		err = s3_pager_new(ns->s3, &l, &p);
	while (!err && more) {
		page_clear(&page);
		err = s3_pager_next(p, &more, NULL);
		page_sort(&page);
		if (!err)
			err = keep_items(t, &page, !more);
		if (!err && !goes_on(watch, tree_entries(t), total))
			err = -ECANCELED;
	}
	s3_pager_free(p);
	page_free(&page);
	return err;
}

static int refresh_dir(struct namespace *ns, uint64_t id, bool freeze,
		       const struct catalog_watch *watch, uint64_t *files)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	struct tree *t = NULL;
	int err = dir ? 0 : -ESTALE;

	if (!err && !ns->bucket[0] && id == NAMESPACE_ROOT)
		err = -EINVAL; /* every bucket: more than anybody means */
	if (!err)
		err = tree_new(ns, dir, true, namespace_now(),
			       freeze ? STORE_FROZEN : 0, &t);
	if (!err) {
		tree_tell(t);
		err = list_tree(ns, dir, t, watch);
		*files = tree_entries(t);
	}
	if (!err)
		keep_total(ns, id, *files);
	tree_free(t);
	if (dir)
		dirs_put(ns->dirs, dir);
	return err;
}

int catalog_refresh(struct namespace *ns, const char *path, bool freeze,
		    const struct catalog_watch *watch, uint64_t *files)
{
	struct ns_attr a = {.is_dir = true, .dir = NAMESPACE_ROOT};
	char name[256];
	uint64_t dir;
	int err = catalog_parent(ns, path, &dir, name);

	*files = 0;
	if (!err && *name) {
		err = namespace_ask_again(ns, dir, name, &a);
		if (!err || err == -ENOENT)
			err = namespace_amend(ns, dir, name, err ? NULL : &a)
				      ?: err;
	}
	if (!err && a.is_dir)
		return refresh_dir(ns, a.dir, freeze, watch, files);
	*files = !err;
	return err;
}

/* ---- importing ---- */

#define CHUNK 65536

struct import {
	struct namespace *ns;
	struct inventory_columns columns;
	const struct catalog_watch *watch;
	int fd;      /* borrowed */
	char *chunk; /* owned, CHUNK; read of the file */
	size_t at, len;
	uint64_t line, bytes, total;
	uint64_t rows; /* of this bucket and prefix */
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	char last[S3_KEY_MAX + 1]; /* while the order is looked at */
	struct tree *t;
	struct page page;
	struct store_sort *sort; /* NULL: the rows are in order */
};

static int add_row(struct import *im, const struct inventory_row *row)
{
	const struct s3_entry e = {.key = row->key,
				   .size = row->size,
				   .mtime = row->mtime,
				   .etag = row->etag,
				   .storage_class = row->storage_class};
	int err = page_take(&im->page, &e);

	if (!err && im->page.n >= BATCH) {
		err = keep_items(im->t, &im->page, false);
		page_clear(&im->page);
	}
	return err;
}

static int put_row(struct import *im, const struct inventory_row *row)
{
	unsigned char packed[INVENTORY_PACKED_MAX];

	return store_sort_put(im->sort, row->key, strlen(row->key), packed,
			      inventory_pack(row, packed));
}

static int add_sorted(void *ctx, const void *packed, size_t n)
{
	struct inventory_row row;

	return inventory_unpack(packed, n, &row) ? -EIO : add_row(ctx, &row);
}

static int check_row(struct import *im, const struct inventory_row *row)
{
	if (strcmp(row->key, im->last) <= 0)
		return -ERANGE;
	memcpy(im->last, row->key, sizeof(im->last));
	return 0;
}

/* More of the file; 0 at its end.  A pipe may be silent for long: meanwhile
 * the command can be ended. */
static ssize_t fill(struct import *im)
{
	struct pollfd p = {.fd = im->fd, .events = POLLIN};
	ssize_t n;

	while (poll(&p, 1, 200) == 0)
		if (!goes_on(im->watch, im->bytes, im->total))
			return -ECANCELED;
	n = read(im->fd, im->chunk, CHUNK);
	im->at = 0;
	im->len = n > 0 ? (size_t)n : 0;
	return n < 0 ? -errno : n;
}

/* The next line without its end into buf: 1, 0 at the end, or -errno. */
static int next_line(struct import *im, char buf[INVENTORY_LINE_MAX])
{
	size_t n = 0;

	for (;;) {
		const char *from = im->chunk + im->at, *end;
		size_t take;

		if (im->at == im->len) {
			const ssize_t got = fill(im);

			if (got < 0)
				return (int)got;
			if (got == 0 && n == 0)
				return 0;
			if (got == 0)
				break;
			continue;
		}
		end = memchr(from, '\n', im->len - im->at);
		take = end ? (size_t)(end - from) : im->len - im->at;
		if (n + take >= INVENTORY_LINE_MAX)
			return -EBADMSG;
		memcpy(buf + n, from, take);
		n += take;
		im->at += take + (end != NULL);
		im->bytes += take + (end != NULL);
		if (end)
			break;
	}
	while (n && buf[n - 1] == '\r')
		n--;
	buf[n] = '\0';
	im->line++;
	/* A NUL would hide what is behind it. */
	return strlen(buf) == n ? 1 : -EBADMSG;
}

static bool is_ours(const struct import *im, const struct inventory_row *row)
{
	return (!row->bucket[0] || !strcmp(row->bucket, im->bucket)) &&
	       !strncmp(row->key, im->prefix, strlen(im->prefix));
}

/* Calls each for the rows that are of this bucket and prefix. */
static int read_rows(struct import *im,
		     int (*each)(struct import *im,
				 const struct inventory_row *row))
{
	char line[INVENTORY_LINE_MAX];
	struct inventory_row row;
	int err = 0, got;

	im->line = im->bytes = im->rows = 0;
	while (!err && (got = next_line(im, line))) {
		if (got < 0)
			return got;
		err = inventory_parse(line, &im->columns, &row);
		if (err > 0 || (!err && !is_ours(im, &row))) {
			err = 0;
			continue;
		}
		if (!err) {
			im->rows++;
			err = each(im, &row);
		}
		if (!err && im->line % BATCH == 0 &&
		    !goes_on(im->watch, im->bytes, im->total))
			err = -ECANCELED;
	}
	return err;
}

/* Nothing is written before all rows have been read once: of rows in another
 * order, or with a mistake far down, half would be believed.  What cannot be
 * read twice is sorted. */
static int look_through(struct import *im)
{
	const off_t begin = lseek(im->fd, 0, SEEK_CUR);
	int err = -ERANGE;

	if (begin >= 0) {
		err = read_rows(im, check_row);
		if (!err || err == -ERANGE) {
			im->at = im->len = 0;
			if (lseek(im->fd, begin, SEEK_SET) < 0)
				return -errno;
		}
	}
	if (err == -ERANGE) {
		err = store_sort_new(&im->sort);
		if (!err)
			err = read_rows(im, put_row);
	}
	return err;
}

static int import_rows(struct import *im, struct dir *root)
{
	int err = look_through(im);

	/* What failed in front of a pipe, or is another bucket's, would make
	 * the mount empty, and that believed for ever. */
	if (!err && !im->rows)
		err = -ENODATA;
	if (!err)
		err = tree_new(im->ns, root, true, namespace_now(),
			       STORE_FROZEN, &im->t);
	if (err)
		return err;
	tree_tell(im->t);
	err = im->sort ? store_sort_each(im->sort, add_sorted, im)
		       : read_rows(im, add_row);
	return err ? err : keep_items(im->t, &im->page, true);
}

int catalog_import(struct namespace *ns, int fd, const char *columns,
		   const struct catalog_watch *watch, uint64_t *files,
		   uint64_t *line)
{
	struct import im = {.ns = ns, .watch = watch, .fd = fd};
	struct dir *root = dirs_get(ns->dirs, NAMESPACE_ROOT);
	struct stat st;
	int err = inventory_columns(columns ? columns : INVENTORY_DEFAULT,
				    &im.columns);

	if (!err && !ns->bucket[0])
		err = -EINVAL;
	if (!err)
		err = namespace_key_prefix(ns, "", im.bucket, im.prefix);
	page_init(&im.page, im.prefix, false);
	im.chunk = malloc(CHUNK);
	if (!err && (!root || !im.chunk))
		err = -ENOMEM;
	if (!err && !fstat(fd, &st) && S_ISREG(st.st_mode))
		im.total = (uint64_t)st.st_size;
	if (!err)
		err = import_rows(&im, root);
	*files = im.t ? tree_entries(im.t) : 0;
	*line = im.line;
	tree_free(im.t);
	page_free(&im.page);
	store_sort_free(im.sort);
	free(im.chunk);
	if (root)
		dirs_put(ns->dirs, root);
	return err;
}
