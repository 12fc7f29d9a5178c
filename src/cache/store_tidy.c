/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes: listings that were replaced, once nobody can be reading them any
 * more, those that a killed process left half made, and, when the file is too
 * large, those that were used longest ago.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/store_int.h"

#define DEAD_S 600     /* a listing that was replaced may be read so long */
#define DEAD_FULL_S 60 /* and so long where room is wanted */
/* One that was never completed: its process was killed, for no listing takes
 * a day. */
#define ORPHAN_S 86400
#define FROZEN_S (10 * 365 * 86400LL)
#define PAGE 8192

void store_keep(struct store *s, const void *snaps, size_t n)
{
	if (!n || store_begin(s))
		return;
	for (size_t i = 0; i < n; i++) {
		sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_SNAP_KEEP);
		int64_t snap;

		memcpy(&snap, (const char *)snaps + i * 8, 8);
		if (!st)
			break;
		sqlite3_bind_int64(st, 1, snap);
		sqlite3_bind_int64(st, 2, store_now_s());
		if (store_finish(s, st))
			break;
	}
	store_commit(s);
}

/* A row's first column, or 0; under writer.lock. */
static uint64_t first_of(struct store *s, sqlite3_stmt *st)
{
	uint64_t v = 0;

	if (sqlite3_step(st) == SQLITE_ROW)
		v = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_reset(st);
	(void)s;
	return v;
}

/* Drops up to a thousand leaves of a segment nobody needs; true when there
 * was one. */
static bool drop_leaves(struct store *s, int64_t dead_s)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_SNAP_DEAD);
	uint64_t snap;

	if (!st)
		return false;
	sqlite3_bind_int64(st, 1, store_now_s() - dead_s);
	sqlite3_bind_int64(st, 2, store_now_s() - ORPHAN_S);
	snap = first_of(s, st);
	st = snap ? store_stmt(s, &s->writer, SQL_LEAVES_DROP) : NULL;
	if (!st)
		return false;
	sqlite3_bind_int64(st, 1, (int64_t)store_leaf_id(snap, 0));
	sqlite3_bind_int64(st, 2, (int64_t)store_leaf_id(snap + 1, 0));
	if (store_finish(s, st))
		return false;
	if (sqlite3_changes(s->writer.db) == 0) {
		st = store_stmt(s, &s->writer, SQL_SNAP_GONE);
		if (!st)
			return false;
		sqlite3_bind_int64(st, 1, (int64_t)snap);
		return !store_finish(s, st);
	}
	return true;
}

static uint64_t used_bytes(struct store *s)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_PAGES);

	return st ? first_of(s, st) * PAGE : 0;
}

/* Marks a frozen directory as used far in the future, so that all others go
 * first; false when it cannot be. */
static bool put_off(struct store *s, uint64_t dir)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_DIR_TOUCH);

	if (!st)
		return false;
	sqlite3_bind_int64(st, 1, (int64_t)dir);
	sqlite3_bind_int64(st, 2, store_now_s() + FROZEN_S);
	return !store_finish(s, st);
}

/* The directory that was used longest ago loses its listing. */
static bool drop_oldest(struct store *s, uint64_t *gone)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, SQL_DIR_OLDEST);
	struct store_dir d, old;

	if (!st)
		return false;
	/* One that was used just now would be listed again at once. */
	sqlite3_bind_int64(st, 1, store_now_s() - 2);
	*gone = first_of(s, st);
	if (!*gone)
		return false;
	if (store_row_dir(s, &s->writer, *gone, &d))
		return false;
	/* What somebody asked to be kept does not go. */
	if (d.flags & STORE_FROZEN) {
		const bool more = put_off(s, *gone);

		*gone = 0;
		return more;
	}
	old = d;
	d.nsegs = 0;
	d.since_ms = d.entries = 0;
	d.flags = 0;
	if (store_dir_put(s, &d))
		return false;
	for (unsigned int i = 0; i < old.nsegs; i++) {
		sqlite3_stmt *dead = store_stmt(s, &s->writer, SQL_SNAP_STATE);

		if (!dead)
			return false;
		sqlite3_bind_int64(dead, 1, (int64_t)old.segs[i].snap);
		sqlite3_bind_int(dead, 2, SNAP_DEAD);
		/* Room is wanted now: readers of it start again. */
		sqlite3_bind_int64(dead, 3, 0);
		if (store_finish(s, dead))
			return false;
	}
	return true;
}

/* Names and notes have no order of use: without a listing left to go, all of
 * them do. */
static void drop_singles(struct store *s)
{
	sqlite3_exec(s->writer.db, "DELETE FROM names; DELETE FROM notes", NULL,
		     NULL, NULL);
}

/* The log of writes goes to its place in the file, so that it can begin anew:
 * SQLite does that once it has grown, for which a full disk has no room. */
static void shorten_log(struct store *s)
{
	LOCK_SCOPE(&s->writer.lock);
	if (s->writer.db)
		sqlite3_wal_checkpoint_v2(s->writer.db, NULL,
					  SQLITE_CHECKPOINT_PASSIVE, NULL,
					  NULL);
}

/* Of how many bytes in use the rest goes; 0: of any number.  What goes makes
 * room within the file. */
static uint64_t limit(struct store *s)
{
	if (atomic_exchange(&s->full, false))
		s->room_bytes = used_bytes(s) / 8 * 7 + 1;
	return s->room_bytes && (!s->max_bytes || s->room_bytes < s->max_bytes)
		       ? s->room_bytes
		       : s->max_bytes;
}

/* Something that is wanted less than room; false: nothing is left. */
static bool make_room(struct store *s, uint64_t *dir)
{
	/* Of a full disk all is wanted that can be had. */
	if (drop_leaves(s, s->room_bytes ? 0 : DEAD_FULL_S) ||
	    drop_oldest(s, dir))
		return true;
	drop_singles(s);
	return false;
}

bool store_tidy(struct store *s, void (*gone)(void *ctx, uint64_t dir),
		void *ctx)
{
	const bool was_full = atomic_load(&s->full);
	uint64_t dir = 0, max;
	bool more, failed;
	int err;

	if (was_full)
		shorten_log(s);
	if (store_begin(s))
		return false;
	max = limit(s);
	more = drop_leaves(s, DEAD_S);
	if (!more && max && used_bytes(s) > max)
		more = make_room(s, &dir);
	if (!more)
		s->room_bytes = 0;
	failed = atomic_load(&s->full); /* here: nobody else writes */
	err = store_commit(s);
	/* Not even for this is there room. */
	if (was_full && (failed || err == -ENOSPC))
		store_starved(s);
	if (err || failed)
		return false;
	if (more && dir && gone)
		gone(ctx, dir);
	return more;
}
