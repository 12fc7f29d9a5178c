/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by store.c (the file), store_new.c (a new one) and store_rows.c (what
 * stands in it). */
#ifndef S3RDMAFS_CACHE_STORE_INT_H
#define S3RDMAFS_CACHE_STORE_INT_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "cache/store.h"

enum store_sql {
	SQL_DIR_GET,
	SQL_DIR_FIND,
	SQL_LEAF_GET,
	SQL_NAME_GET,
	SQL_NAME_ANY,
	SQL_NOTE_GET,
	SQL_NOTES,
	SQL_CHILD_MAKE,
	SQL_SNAP_NEW,
	SQL_SNAP_STATE,
	SQL_SNAP_DROP,
	SQL_SNAP_KEEP,
	SQL_LEAF_PUT,
	SQL_DIR_PUT,
	SQL_DIR_TOUCH,
	SQL_NAME_PUT,
	SQL_NAMES,
	SQL_NAMES_DROP,
	SQL_NOTE_PUT,
	SQL_SNAP_DEAD,
	SQL_LEAVES_DROP,
	SQL_SNAP_GONE,
	SQL_DIR_OLDEST,
	SQL_PAGES,
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_COUNT,
};

/* A connection and its statements, prepared when first used. */
struct store_conn {
	pthread_mutex_t lock;
	sqlite3 *db;                    /* under lock */
	sqlite3_stmt *stmts[SQL_COUNT]; /* under lock */
};

enum { SNAP_BUILDING, SNAP_LIVE, SNAP_DEAD };

struct store {
	/* Constant after store_open. */
	char path[4200], source[1600];
	bool is_private; /* goes with the process */
	uint64_t max_bytes;

	struct store_conn reader, writer;
	unsigned char hash_key[16]; /* of the file that was opened first */
	atomic_bool damaged;        /* begin anew at the next store_begin */
	atomic_bool doubted;        /* that it is has been said */
	atomic_bool full;           /* a write found no room on the disk */
	uint64_t room_bytes;        /* under writer.lock: of so many in use
				       there is room again; 0: no lack */
	atomic_bool starved;        /* that this made it begin anew was said */
	ino_t ino;                  /* of the file; under writer.lock */
	unsigned char file_key[16]; /* likewise */
	/* The highest numbers that any file had which was open here. */
	atomic_ullong top_dir, top_snap;
	atomic_ullong rebuilt;
};

/* The statement, reset, or NULL (and then the file is damaged, or there is no
 * memory). */
sqlite3_stmt *store_stmt(struct store *s, struct store_conn *c,
			 enum store_sql which);

/* Steps a statement that gives no rows. */
int store_finish(struct store *s, sqlite3_stmt *st);
int64_t store_now_s(void);
int store_row_dir(struct store *s, struct store_conn *c, uint64_t id,
		  struct store_dir *out);

/* Runs SQL that gives no rows; SQLite's code. */
int store_exec(sqlite3 *db, const char *text);

/* ---- store_new.c ---- */

/* Makes what an empty file needs, in the writer's transaction.  SQLite's
 * code. */
int store_create(struct store *s, sqlite3 *db);
/* Is it a store of this version, for this source, with numbers that mean
 * nothing else here?  *version: -1 when it says none.  Reads its keys. */
bool store_is_ours(struct store *s, sqlite3 *db, int *version);
/* Looks how far the numbers of an open file have come. */
void store_note_numbers(struct store *s, sqlite3 *db);

/* A number was given out, or read of the file. */
void store_note_dir(struct store *s, uint64_t number);
void store_note_snap(struct store *s, uint64_t number);

/* The root's row of a new file, in the writer's transaction. */
int store_write_root(struct store *s);

/* The file is to be begun anew. */
void store_damaged(struct store *s, int rc);

/* What SQLite said, to -errno; remembers damage.  ROW and DONE are 0. */
int store_errno(struct store *s, int rc);

#endif
