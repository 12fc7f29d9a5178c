/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new file has in it, and whether one that is there is ours.
 *
 * Numbers of directories and listings are held by the kernel, by open
 * directories and by the leaves in memory.  They must never mean anything
 * else, not even in a file that took the place of a damaged one: each file's
 * begin behind those of all that were open here before.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cache/store_int.h"

#define SCHEMA_VERSION 2
#define EPOCH 1577836800 /* 2020 */

static const char schema[] =
	"CREATE TABLE info(source TEXT, key BLOB, dir INTEGER, snap INTEGER);"
	"CREATE TABLE dirs(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" parent INTEGER NOT NULL, name BLOB NOT NULL, used INTEGER NOT NULL,"
	" state BLOB);"
	"CREATE UNIQUE INDEX dirs_name ON dirs(parent,name);"
	"CREATE INDEX dirs_used ON dirs(used) WHERE used>0;"
	"CREATE TABLE snaps(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" state INTEGER NOT NULL, at INTEGER NOT NULL);"
	"CREATE TABLE leaves(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	"CREATE TABLE names(dir INTEGER, name BLOB, at INTEGER NOT NULL,"
	" data BLOB NOT NULL, PRIMARY KEY(dir,name)) WITHOUT ROWID;"
	"CREATE TABLE notes(dir INTEGER, name BLOB, data BLOB NOT NULL,"
	" PRIMARY KEY(dir,name)) WITHOUT ROWID;";

static uint64_t seconds_since_epoch(void)
{
	const time_t now = time(NULL);

	return now > EPOCH ? (uint64_t)(now - EPOCH) : 0;
}

static uint64_t first_dir(uint64_t s)
{
	return s << 24 | (random_u32() & 0xfffff);
}

static uint64_t first_snap(uint64_t s)
{
	return s << 13 | (random_u32() & 0xfff);
}

static uint64_t above(uint64_t first, uint64_t top)
{
	return first > top ? first : top + 1;
}

/* Numbers begin where no earlier file of that name can have come to, so that
 * those which the kernel or an open directory still holds mean nothing; and
 * somewhere else even when it happens twice in a second. */
static int start_numbers(struct store *s, sqlite3 *db)
{
	const uint64_t now = seconds_since_epoch();
	const uint64_t snap = above(first_snap(now), atomic_load(&s->top_snap));
	const uint64_t dir = above(first_dir(now), atomic_load(&s->top_dir));
	char text[400];

	snprintf(text, sizeof(text),
		 "INSERT INTO snaps(id,state,at) VALUES(%llu,2,0);"
		 "INSERT INTO dirs(id,parent,name,used) VALUES(1,0,x'',0);"
		 "UPDATE sqlite_sequence SET seq=%llu WHERE name='dirs';"
		 "UPDATE info SET dir=%llu,snap=%llu",
		 (unsigned long long)snap, (unsigned long long)dir,
		 (unsigned long long)dir, (unsigned long long)snap);
	return store_exec(db, text);
}

static void note_number(atomic_ullong *top, uint64_t number, uint64_t most)
{
	unsigned long long was = atomic_load(top);

	while (number > was && number < most &&
	       !atomic_compare_exchange_weak(top, &was, number))
		;
}

/* A file that is damaged may say anything: what no file can have come to in a
 * year is not believed. */
static uint64_t next_year(void)
{
	return seconds_since_epoch() + 366 * 86400;
}

void store_note_dir(struct store *s, uint64_t number)
{
	note_number(&s->top_dir, number, next_year() << 24);
}

void store_note_snap(struct store *s, uint64_t number)
{
	note_number(&s->top_snap, number, next_year() << 13);
}

void store_note_numbers(struct store *s, sqlite3 *db)
{
	sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(db, "SELECT name,seq FROM sqlite_sequence", -1,
			       &st, NULL) != SQLITE_OK)
		return;
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(st, 0);
		const uint64_t seq = (uint64_t)sqlite3_column_int64(st, 1);

		if (name && !strcmp(name, "dirs"))
			store_note_dir(s, seq);
		if (name && !strcmp(name, "snaps"))
			store_note_snap(s, seq);
	}
	sqlite3_finalize(st);
}

int store_create(struct store *s, sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	unsigned char key[16];
	char text[64];
	int rc = store_exec(db, schema);

	random_bytes(key, sizeof(key));
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(
			db, "INSERT INTO info(source,key) VALUES(?1,?2)", -1,
			&st, NULL);
	if (rc == SQLITE_OK) {
		sqlite3_bind_text(st, 1, s->source, -1, SQLITE_STATIC);
		sqlite3_bind_blob(st, 2, key, sizeof(key), SQLITE_STATIC);
		rc = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK
						     : sqlite3_errcode(db);
	}
	sqlite3_finalize(st);
	if (rc == SQLITE_OK)
		rc = start_numbers(s, db);
	if (rc == SQLITE_OK && store_write_root(s))
		rc = SQLITE_ERROR;
	snprintf(text, sizeof(text), "PRAGMA user_version=%d", SCHEMA_VERSION);
	return rc == SQLITE_OK ? store_exec(db, text) : rc;
}

/* Is it a file that was open here before, or one whose numbers are all others
 * than that one's?  Another mount may have begun it. */
static bool has_own_numbers(const struct store *s, sqlite3_stmt *info)
{
	return !memcmp(sqlite3_column_blob(info, 1), s->file_key,
		       sizeof(s->file_key)) ||
	       ((uint64_t)sqlite3_column_int64(info, 2) >
			atomic_load(&s->top_dir) &&
		(uint64_t)sqlite3_column_int64(info, 3) >
			atomic_load(&s->top_snap));
}

bool store_is_ours(struct store *s, sqlite3 *db, int *version)
{
	sqlite3_stmt *st = NULL;
	bool yes = false;

	*version = -1;
	if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL) ==
		    SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		*version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	st = NULL;
	if (*version != SCHEMA_VERSION)
		return false;
	if (sqlite3_prepare_v2(db, "SELECT source,key,dir,snap FROM info", -1,
			       &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		const char *source = (const char *)sqlite3_column_text(st, 0);
		const void *key = sqlite3_column_blob(st, 1);

		yes = source && !strcmp(source, s->source) && key &&
		      sqlite3_column_bytes(st, 1) == sizeof(s->hash_key) &&
		      has_own_numbers(s, st);
		/* Numbers that were given out stay what they are. */
		if (yes && !atomic_load(&s->rebuilt))
			memcpy(s->hash_key, key, sizeof(s->hash_key));
		if (yes)
			memcpy(s->file_key, key, sizeof(s->file_key));
	}
	sqlite3_finalize(st);
	if (yes)
		store_note_numbers(s, db);
	return yes;
}
