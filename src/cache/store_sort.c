/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's own temporary database: removed by the kernel when closed. */
#include "cache/store_sort.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

struct store_sort {
	sqlite3 *db; /* owned */
	sqlite3_stmt *put;
};

static int to_errno(int rc)
{
	return rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW ? 0
	       : rc == SQLITE_NOMEM ? -ENOMEM
	       : rc == SQLITE_FULL  ? -ENOSPC
				    : -EIO;
}

int store_sort_new(struct store_sort **out)
{
	struct store_sort *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	rc = sqlite3_open_v2("", &s->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				     SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db,
				  "PRAGMA journal_mode=OFF;"
				  "PRAGMA synchronous=OFF;"
				  "PRAGMA cache_size=-16000;"
				  "CREATE TABLE rows(key BLOB PRIMARY KEY,"
				  " row BLOB NOT NULL) WITHOUT ROWID;"
				  "BEGIN",
				  NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(s->db,
					"REPLACE INTO rows VALUES(?1,?2)", -1,
					&s->put, NULL);
	if (rc != SQLITE_OK) {
		store_sort_free(s);
		return to_errno(rc);
	}
	*out = s;
	return 0;
}

void store_sort_free(struct store_sort *s)
{
	if (!s)
		return;
	sqlite3_finalize(s->put);
	sqlite3_close(s->db);
	free(s);
}

int store_sort_put(struct store_sort *s, const void *key, size_t len,
		   const void *row, size_t n)
{
	int rc;

	sqlite3_bind_blob(s->put, 1, key, (int)len, SQLITE_STATIC);
	sqlite3_bind_blob(s->put, 2, row, (int)n, SQLITE_STATIC);
	rc = sqlite3_step(s->put);
	sqlite3_reset(s->put);
	return to_errno(rc);
}

int store_sort_each(struct store_sort *s,
		    int (*each)(void *ctx, const void *row, size_t n),
		    void *ctx)
{
	sqlite3_stmt *st = NULL;
	int err = 0,
	    rc = sqlite3_prepare_v2(s->db, "SELECT row FROM rows ORDER BY key",
				    -1, &st, NULL);

	if (rc != SQLITE_OK)
		return to_errno(rc);
	while (!err && (rc = sqlite3_step(st)) == SQLITE_ROW)
		err = each(ctx, sqlite3_column_blob(st, 0),
			   (size_t)sqlite3_column_bytes(st, 0));
	sqlite3_finalize(st);
	return err ? err : to_errno(rc);
}
