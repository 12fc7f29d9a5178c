/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the store.  Packed values are sealed with a CRC32C over
 * themselves and over what names them, so that one which SQLite finds in the
 * wrong place is refused like one that was changed.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/rec.h"
#include "cache/store_int.h"
#include "s3/checksum.h"

/* ---- sealing ---- */

static uint32_t seal(uint64_t dir, uint64_t above, const char *name, size_t len,
		     const void *data, size_t n)
{
	struct checksum c;

	checksum_init(&c, CHECKSUM_CRC32C);
	checksum_update(&c, &dir, sizeof(dir));
	checksum_update(&c, &above, sizeof(above));
	checksum_update(&c, name, len);
	checksum_update(&c, data, n);
	return (uint32_t)c.crc;
}

/* What a column holds behind its seal, or NULL. */
static const unsigned char *unseal(struct store *s, sqlite3_stmt *st, int col,
				   uint64_t dir, uint64_t above,
				   const char *name, size_t len, size_t *n)
{
	const unsigned char *p = sqlite3_column_blob(st, col);
	const int bytes = sqlite3_column_bytes(st, col);
	uint32_t sum;

	if (p && bytes >= 4) {
		memcpy(&sum, p, 4);
		*n = (size_t)bytes - 4;
		if (sum == seal(dir, above, name, len, p + 4, *n))
			return p + 4;
	}
	store_doubt(s);
	return NULL;
}

int64_t store_now_s(void)
{
	return (int64_t)time(NULL);
}

int store_finish(struct store *s, sqlite3_stmt *st)
{
	const int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return store_errno(s, rc);
}

static void bind_name(sqlite3_stmt *st, int at, const char *name, size_t len)
{
	sqlite3_bind_blob(st, at, len ? name : "", (int)len, SQLITE_STATIC);
}

/* ---- directories ---- */

struct packed_dir {
	uint64_t since_ms, entries;
	uint32_t flags, nsegs;
	struct {
		uint64_t snap;
		uint64_t leaves;
	} segs[STORE_SEGS];
};

static bool unpack_dir(const void *data, size_t n, struct store_dir *out)
{
	struct packed_dir p;

	if (n < offsetof(struct packed_dir, segs) || n > sizeof(p))
		return false;
	memcpy(&p, data, n);
	if (p.nsegs > STORE_SEGS || n != offsetof(struct packed_dir, segs) +
						    p.nsegs * sizeof(p.segs[0]))
		return false;
	out->since_ms = p.since_ms;
	out->entries = p.entries;
	out->flags = p.flags;
	out->nsegs = p.nsegs;
	for (unsigned int i = 0; i < p.nsegs; i++)
		out->segs[i] = (struct store_seg){p.segs[i].snap,
						  (uint32_t)p.segs[i].leaves};
	return true;
}

int store_row_dir(struct store *s, struct store_conn *c, uint64_t id,
		  struct store_dir *out)
{
	sqlite3_stmt *st = store_stmt(s, c, SQL_DIR_GET);
	const unsigned char *state;
	const char *name;
	size_t len, n = 0;
	int rc;

	if (!st)
		return -ENOENT;
	sqlite3_bind_int64(st, 1, (int64_t)id);
	rc = sqlite3_step(st);
	if (rc != SQLITE_ROW) {
		/* Every file has a root: a page of it may have been lost. */
		store_errno(s, rc == SQLITE_DONE && id == STORE_ROOT
				       ? SQLITE_CORRUPT
				       : rc);
		sqlite3_reset(st);
		return -ENOENT;
	}
	memset(out, 0, offsetof(struct store_dir, segs));
	out->id = id;
	out->parent = (uint64_t)sqlite3_column_int64(st, 0);
	name = sqlite3_column_blob(st, 1);
	len = (size_t)sqlite3_column_bytes(st, 1);
	rc = len < sizeof(out->name) ? 0 : -ENOENT;
	if (!rc && len)
		memcpy(out->name, name, len);
	/* Its name and place are sealed too: of a row that is harmed nothing
	 * can be believed, nor can anything that names it. */
	if (!rc) {
		state = unseal(s, st, 2, id, out->parent, out->name, len, &n);
		if (!state || !unpack_dir(state, n, out)) {
			store_damaged(s, SQLITE_CORRUPT);
			rc = -ENOENT;
		}
	}
	sqlite3_reset(st);
	return rc;
}

int store_dir_get(struct store *s, uint64_t id, struct store_dir *out)
{
	LOCK_SCOPE(&s->reader.lock);
	return store_row_dir(s, &s->reader, id, out);
}

static int find_dir(struct store *s, struct store_conn *c, uint64_t parent,
		    const char *name, size_t len, uint64_t *id)
{
	sqlite3_stmt *st = store_stmt(s, c, SQL_DIR_FIND);
	struct store_dir d;
	int rc;

	if (!st)
		return -ENOENT;
	sqlite3_bind_int64(st, 1, (int64_t)parent);
	bind_name(st, 2, name, len);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*id = (uint64_t)sqlite3_column_int64(st, 0);
	else
		store_errno(s, rc);
	sqlite3_reset(st);
	if (rc != SQLITE_ROW)
		return -ENOENT;
	/* The index has no seal: the row that it names must agree. */
	if (!store_row_dir(s, c, *id, &d) && d.parent == parent &&
	    strlen(d.name) == len && !memcmp(d.name, name, len))
		return 0;
	store_damaged(s, SQLITE_CORRUPT);
	return -ENOENT;
}

int store_dir_find(struct store *s, uint64_t parent, const char *name,
		   uint64_t *id)
{
	LOCK_SCOPE(&s->reader.lock);
	return find_dir(s, &s->reader, parent, name, strlen(name), id);
}

static int set_snap(struct store *s, uint64_t snap, int state)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_SNAP_STATE);

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)snap);
	sqlite3_bind_int(st, 2, state);
	sqlite3_bind_int64(st, 3, store_now_s());
	return store_finish(s, st);
}

/* One that went meanwhile, for it took too long, is no listing. */
static int make_live(struct store *s, uint64_t snap)
{
	const int err = set_snap(s, snap, SNAP_LIVE);

	return err ? err : sqlite3_changes(s->writer.db) == 1 ? 0 : -ESTALE;
}

int store_snap_drop(struct store *s, uint64_t snap)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_SNAP_DROP);

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)snap);
	sqlite3_bind_int64(st, 2, store_now_s());
	return store_finish(s, st);
}

static bool has_seg(const struct store_dir *d, uint64_t snap)
{
	for (unsigned int i = 0; i < d->nsegs; i++)
		if (d->segs[i].snap == snap)
			return true;
	return false;
}

/* The segments that the directory has now and will not have any more. */
static int drop_old(struct store *s, const struct store_dir *d)
{
	struct store_dir old;
	int err = 0;

	if (store_row_dir(s, &s->writer, d->id, &old))
		return 0;
	for (unsigned int i = 0; i < old.nsegs && !err; i++)
		if (!has_seg(d, old.segs[i].snap))
			err = set_snap(s, old.segs[i].snap, SNAP_DEAD);
	for (unsigned int i = 0; i < d->nsegs && !err; i++)
		if (!has_seg(&old, d->segs[i].snap))
			err = make_live(s, d->segs[i].snap);
	return err;
}

/* What stands in a directory's row: its seal, which covers place and name,
 * and its listing.  Returns the size. */
static size_t pack_dir(const struct store_dir *d,
		       unsigned char out[4 + sizeof(struct packed_dir)])
{
	struct packed_dir p = {.since_ms = d->since_ms,
			       .entries = d->entries,
			       .flags = d->flags,
			       .nsegs = d->nsegs};
	const size_t n = offsetof(struct packed_dir, segs) +
			 d->nsegs * sizeof(p.segs[0]);
	uint32_t sum;

	for (unsigned int i = 0; i < d->nsegs; i++) {
		p.segs[i].snap = d->segs[i].snap;
		p.segs[i].leaves = d->segs[i].leaves;
	}
	sum = seal(d->id, d->parent, d->name, strlen(d->name), &p, n);
	memcpy(out, &sum, 4);
	memcpy(out + 4, &p, n);
	return n + 4;
}

static int write_dir(struct store *s, const struct store_dir *d)
{
	unsigned char blob[4 + sizeof(struct packed_dir)];
	const size_t n = pack_dir(d, blob);
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_DIR_PUT);
	int err;

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)d->id);
	sqlite3_bind_blob(st, 2, blob, (int)n, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, d->nsegs ? store_now_s() : 0);
	err = store_finish(s, st);
	if (!err && sqlite3_changes(s->writer.db) != 1)
		err = -ESTALE;
	return err;
}

int store_write_root(struct store *s)
{
	const struct store_dir root = {.id = STORE_ROOT};

	return write_dir(s, &root);
}

int store_dir_put(struct store *s, const struct store_dir *d)
{
	const int err = drop_old(s, d);

	return err ? err : write_dir(s, d);
}

int store_child_make(struct store *s, uint64_t parent, const char *name,
		     size_t len, uint64_t *id)
{
	struct store_dir d = {.parent = parent};
	sqlite3_stmt *st;
	int err;

	if (!find_dir(s, &s->writer, parent, name, len, id))
		return 0;
	st = store_stmt(s, &s->writer, SQL_CHILD_MAKE);
	if (!st || len >= sizeof(d.name))
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)parent);
	bind_name(st, 2, name, len);
	err = store_finish(s, st);
	if (err)
		return err;
	*id = d.id = (uint64_t)sqlite3_last_insert_rowid(s->writer.db);
	store_note_dir(s, d.id);
	memcpy(d.name, name, len);
	return write_dir(s, &d);
}

void store_touch(struct store *s, const uint64_t *dirs, unsigned int n)
{
	if (!n || store_begin(s))
		return;
	for (unsigned int i = 0; i < n; i++) {
		sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_DIR_TOUCH);

		if (!st)
			break;
		sqlite3_bind_int64(st, 1, (int64_t)dirs[i]);
		sqlite3_bind_int64(st, 2, store_now_s());
		store_finish(s, st);
	}
	store_commit(s);
}

/* ---- leaves ---- */

int store_snap_new(struct store *s, uint64_t *snap)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_SNAP_NEW);
	int err;

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, store_now_s());
	err = store_finish(s, st);
	*snap = (uint64_t)sqlite3_last_insert_rowid(s->writer.db);
	if (!err)
		store_note_snap(s, *snap);
	return err;
}

int store_leaf_put(struct store *s, uint64_t snap, uint32_t at,
		   const void *leaf, size_t n)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_LEAF_PUT);

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)store_leaf_id(snap, at));
	sqlite3_bind_blob(st, 2, leaf, (int)n, SQLITE_STATIC);
	return store_finish(s, st);
}

int store_leaf_get(struct store *s, uint64_t snap, uint32_t at, void *buf)
{
	const uint64_t id = store_leaf_id(snap, at);
	sqlite3_stmt *st;
	int rc, n = -ENOENT;

	LOCK_SCOPE(&s->reader.lock);
	st = store_stmt(s, &s->reader, SQL_LEAF_GET);
	if (!st)
		return -ENOENT;
	sqlite3_bind_int64(st, 1, (int64_t)id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const void *leaf = sqlite3_column_blob(st, 0);

		n = sqlite3_column_bytes(st, 0);
		if (leaf && rec_check(leaf, (size_t)n, id)) {
			memcpy(buf, leaf, (size_t)n);
		} else {
			store_doubt(s);
			n = -ENOENT;
		}
	} else {
		store_errno(s, rc);
	}
	sqlite3_reset(st);
	return n;
}

/* ---- single names, and notes ---- */

bool store_has_names(struct store *s, uint64_t dir)
{
	sqlite3_stmt *st;
	bool yes;

	LOCK_SCOPE(&s->reader.lock);
	st = store_stmt(s, &s->reader, SQL_NAME_ANY);
	if (!st)
		return false;
	sqlite3_bind_int64(st, 1, (int64_t)dir);
	yes = sqlite3_step(st) == SQLITE_ROW;
	sqlite3_reset(st);
	return yes;
}

/* The sealed value of (dir, name) by one of two statements. */
static int get_value(struct store *s, enum store_sql which, uint64_t dir,
		     const char *name, void *buf, size_t cap)
{
	const unsigned char *p;
	sqlite3_stmt *st;
	size_t n = 0;
	int rc, got = -ENOENT;

	LOCK_SCOPE(&s->reader.lock);
	st = store_stmt(s, &s->reader, which);
	if (!st)
		return -ENOENT;
	sqlite3_bind_int64(st, 1, (int64_t)dir);
	bind_name(st, 2, name, strlen(name));
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		p = unseal(s, st, 0, dir, 0, name, strlen(name), &n);
		if (p && n <= cap) {
			memcpy(buf, p, n);
			got = (int)n;
		}
	} else {
		store_errno(s, rc);
	}
	sqlite3_reset(st);
	return got;
}

/* The value of (dir, name) of one of two statements, sealed; at is put in
 * the column before it unless it is negative. */
static int put_value(struct store *s, enum store_sql which, uint64_t dir,
		     const char *name, int64_t at, const void *data, size_t n)
{
	AUTO_FREE unsigned char *blob = malloc(n + 4);
	sqlite3_stmt *st = store_stmt(s, &s->writer, which);
	uint32_t sum = seal(dir, 0, name, strlen(name), data, n);
	int col = 3;

	if (!blob)
		return -ENOMEM;
	if (!st)
		return -EIO;
	memcpy(blob, &sum, 4);
	memcpy(blob + 4, data, n);
	sqlite3_bind_int64(st, 1, (int64_t)dir);
	bind_name(st, 2, name, strlen(name));
	if (at >= 0)
		sqlite3_bind_int64(st, col++, at);
	sqlite3_bind_blob(st, col, blob, (int)n + 4, SQLITE_STATIC);
	return store_finish(s, st);
}

/* The time stands inside the seal too: a flipped one would be believed. */
int store_name_put(struct store *s, uint64_t dir, const char *name,
		   const void *data, size_t n, uint64_t since_ms)
{
	unsigned char v[8 + REC_ONE_MAX];

	assert(n <= REC_ONE_MAX);
	memcpy(v, &since_ms, 8);
	memcpy(v + 8, data, n);
	return put_value(s, SQL_NAME_PUT, dir, name, (int64_t)since_ms, v,
			 n + 8);
}

int store_name_get(struct store *s, uint64_t dir, const char *name, void *buf,
		   size_t cap, uint64_t *since_ms)
{
	unsigned char v[8 + REC_ONE_MAX];
	const int n = get_value(s, SQL_NAME_GET, dir, name, v, sizeof(v));

	if (n < 8 || (size_t)n - 8 > cap)
		return -ENOENT;
	memcpy(since_ms, v, 8);
	memcpy(buf, v + 8, (size_t)n - 8);
	return n - 8;
}

int store_names_each(struct store *s, uint64_t dir,
		     void (*each)(void *ctx, const char *name), void *ctx)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_NAMES);
	int rc;

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)dir);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const size_t n = (size_t)sqlite3_column_bytes(st, 0);
		char name[REC_NAME_MAX + 1];

		if (!n || n > REC_NAME_MAX)
			continue;
		memcpy(name, sqlite3_column_blob(st, 0), n);
		name[n] = '\0';
		each(ctx, name);
	}
	sqlite3_reset(st);
	return store_errno(s, rc);
}

int store_names_drop(struct store *s, uint64_t dir, uint64_t before_ms)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_NAMES_DROP);

	if (!st)
		return -EIO;
	sqlite3_bind_int64(st, 1, (int64_t)dir);
	sqlite3_bind_int64(st, 2, (int64_t)before_ms);
	return store_finish(s, st);
}

int store_note_put(struct store *s, uint64_t dir, const char *name,
		   const char *text)
{
	return put_value(s, SQL_NOTE_PUT, dir, name, -1, text, strlen(text));
}

int store_note_get(struct store *s, uint64_t dir, const char *name, char *buf,
		   size_t cap)
{
	const int n = get_value(s, SQL_NOTE_GET, dir, name, buf, cap - 1);

	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int store_notes_each(struct store *s,
		     int (*each)(void *ctx, uint64_t dir, const char *name,
				 const char *text),
		     void *ctx)
{
	struct store_conn c = {.lock = PTHREAD_MUTEX_INITIALIZER};
	sqlite3_stmt *st;
	int rc = SQLITE_ROW, err = 0;

	/* A connection of its own: each may take long, and others read. */
	if (sqlite3_open_v2(s->path, &c.db,
			    SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK)
		err = -EIO;
	st = err ? NULL : store_stmt(s, &c, SQL_NOTES);
	while (st && !err && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		const uint64_t dir = (uint64_t)sqlite3_column_int64(st, 0);
		const size_t len = (size_t)sqlite3_column_bytes(st, 1);
		char name[REC_NAME_MAX + 1];
		const unsigned char *p;
		size_t n = 0;
		char *text;

		if (len > REC_NAME_MAX || !len)
			continue;
		memcpy(name, sqlite3_column_blob(st, 1), len);
		name[len] = '\0';
		p = unseal(s, st, 2, dir, 0, name, len, &n);
		text = p ? strndup((const char *)p, n) : NULL;
		if (text)
			err = each(ctx, dir, name, text);
		free(text);
	}
	if (!err && st)
		err = store_errno(s, rc);
	sqlite3_finalize(st);
	sqlite3_close(c.db);
	return err;
}
