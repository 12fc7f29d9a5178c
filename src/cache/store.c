/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file: opening, connections, transactions, and beginning anew.
 *
 * Why SQLite: its pages go through a cache of bounded size (a memory map would
 * count as resident), it looks at what it reads and says "malformed" where
 * others follow a wild pointer, and processes can share a file.  What it does
 * not see, a flipped bit in a record, the CRCs do.
 *
 * Locks: reader.lock and writer.lock, leaves; writer before reader where both
 * are needed.
 */
#include "cache/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/store_int.h"
#include "s3/checksum.h"

#define BUSY_MS 10000
#define WORTH_BYTES (1 << 20) /* to begin anew for so many */

static const char *const sql[SQL_COUNT] = {
	[SQL_DIR_GET] = "SELECT parent,name,state FROM dirs WHERE id=?1",
	[SQL_DIR_FIND] = "SELECT id FROM dirs WHERE parent=?1 AND name=?2",
	[SQL_LEAF_GET] = "SELECT data FROM leaves WHERE id=?1",
	[SQL_NAME_GET] = "SELECT data FROM names WHERE dir=?1 AND name=?2",
	[SQL_NAME_ANY] = "SELECT 1 FROM names WHERE dir=?1 LIMIT 1",
	[SQL_NOTE_GET] = "SELECT data FROM notes WHERE dir=?1 AND name=?2",
	[SQL_NOTES] = "SELECT dir,name,data FROM notes",
	[SQL_CHILD_MAKE] = "INSERT INTO dirs(parent,name,used) "
			   "VALUES(?1,?2,0)",
	[SQL_SNAP_NEW] = "INSERT INTO snaps(state,at) VALUES(0,?1)",
	[SQL_SNAP_STATE] = "UPDATE snaps SET state=?2,at=?3 WHERE id=?1",
	[SQL_SNAP_DROP] = "UPDATE snaps SET state=2,at=?2 "
			  "WHERE id=?1 AND state=0",
	/* Not what goes because room is wanted now; nor a write each time. */
	[SQL_SNAP_KEEP] = "UPDATE snaps SET at=?2 "
			  "WHERE id=?1 AND state=2 AND at>0 AND at<?2-20",
	[SQL_LEAF_PUT] = "INSERT INTO leaves(id,data) VALUES(?1,?2)",
	[SQL_DIR_PUT] = "UPDATE dirs SET state=?2,used=?3 WHERE id=?1",
	[SQL_DIR_TOUCH] = "UPDATE dirs SET used=?2 "
			  "WHERE id=?1 AND used>0",
	[SQL_NAME_PUT] = "REPLACE INTO names(dir,name,at,data) "
			 "VALUES(?1,?2,?3,?4)",
	[SQL_NAMES] = "SELECT name FROM names WHERE dir=?1",
	[SQL_NAMES_DROP] = "DELETE FROM names WHERE dir=?1 AND at<?2",
	[SQL_NOTE_PUT] = "REPLACE INTO notes(dir,name,data) VALUES(?1,?2,?3)",
	[SQL_SNAP_DEAD] = "SELECT id FROM snaps WHERE (state=2 AND at<?1) OR "
			  "(state=0 AND at<?2) LIMIT 1",
	/* A piece at a time: a transaction of a million rows holds up all. */
	[SQL_LEAVES_DROP] = "DELETE FROM leaves WHERE id IN (SELECT id FROM "
			    "leaves WHERE id>=?1 AND id<?2 LIMIT 1000)",
	[SQL_SNAP_GONE] = "DELETE FROM snaps WHERE id=?1",
	[SQL_DIR_OLDEST] = "SELECT id FROM dirs WHERE used>0 AND used<?1 "
			   "ORDER BY used LIMIT 1",
	[SQL_PAGES] = "SELECT (SELECT page_count FROM pragma_page_count()) - "
		      "(SELECT freelist_count FROM pragma_freelist_count())",
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
};

void store_damaged(struct store *s, int rc)
{
	if (!atomic_exchange(&s->damaged, true))
		log_error("metadata: %s is damaged (%s) and will be built anew",
			  s->path, sqlite3_errstr(rc));
}

/* A full disk, a lack of memory or of descriptors is no damage. */
int store_errno(struct store *s, int rc)
{
	if (rc == SQLITE_IOERR_SHMSIZE) /* how a full disk looks there */
		rc = SQLITE_FULL;
	if (rc == SQLITE_IOERR_SHORT_READ) { /* a page beyond the end */
		store_damaged(s, rc);
		return -EIO;
	}
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_CONSTRAINT: /* a number given out twice */
	case SQLITE_READONLY:   /* its head asks for a later SQLite */
		store_damaged(s, rc);
		return -EIO;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		atomic_store(&s->full, true);
		return -ENOSPC;
	default:
		return -EIO;
	}
}

sqlite3_stmt *store_stmt(struct store *s, struct store_conn *c,
			 enum store_sql which)
{
	sqlite3_stmt **st = &c->stmts[which];
	int rc;

	if (!c->db)
		return NULL;
	if (*st) {
		sqlite3_reset(*st);
		return *st;
	}
	rc = sqlite3_prepare_v3(c->db, sql[which], -1,
				SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc == SQLITE_OK)
		return *st;
	/* A table that is not there. */
	if (rc == SQLITE_ERROR)
		store_damaged(s, rc);
	else
		store_errno(s, rc);
	return NULL;
}

static void close_conn(struct store_conn *c)
{
	for (int i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(c->stmts[i]);
		c->stmts[i] = NULL;
	}
	sqlite3_close(c->db);
	c->db = NULL;
}

int store_exec(sqlite3 *db, const char *text)
{
	return sqlite3_exec(db, text, NULL, NULL, NULL);
}

static int open_conn(const struct store *s, struct store_conn *c)
{
	int rc = sqlite3_open_v2(s->path, &c->db,
				 SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
					 SQLITE_OPEN_NOFOLLOW |
					 SQLITE_OPEN_PRIVATECACHE,
				 NULL);

	if (rc != SQLITE_OK)
		return rc;
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, BUSY_MS);
	/* The file may be somebody's who wants us to follow wild pointers. */
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return store_exec(c->db, "PRAGMA page_size=8192;"
				 "PRAGMA journal_mode=WAL;"
				 "PRAGMA synchronous=NORMAL;"
				 "PRAGMA cell_size_check=1;"
				 "PRAGMA cache_size=-1500;"
				 "PRAGMA wal_autocheckpoint=2000;"
				 "PRAGMA journal_size_limit=33554432;"
				 "PRAGMA mmap_size=0");
}

/* ---- the file ---- */

static void remove_file(const struct store *s)
{
	static const char *const ends[] = {"-wal", "-shm", "-journal", ""};
	char path[sizeof(s->path) + 16];

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", s->path, ends[i]);
		unlink(path);
	}
}

/* The empty file, for its owner alone.  To be closed before SQLite opens it:
 * a process that closes any descriptor of a file loses all its locks on it. */
static int make_file(const struct store *s)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
	int fd = open(s->path, flags, 0600);

	if (fd < 0 && errno == ENOENT) { /* somebody tidied up */
		char folder[sizeof(s->path)];

		snprintf(folder, sizeof(folder), "%.*s",
			 (int)(strrchr(s->path, '/') - s->path), s->path);
		if (!mkdir(folder, 0700))
			fd = open(s->path, flags, 0600);
	}
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void note_file(struct store *s)
{
	struct stat st;

	s->ino = stat(s->path, &st) ? 0 : st.st_ino;
}

/* The writer's connection to a file that is as it should be; *foreign: the
 * file is none of ours, or damaged. */
static int open_writer(struct store *s, bool *foreign)
{
	int version = 0, rc, err = make_file(s);

	*foreign = false;
	if (err)
		return err;
	note_file(s);
	rc = open_conn(s, &s->writer);
	/* Two mounts that begin together: the second finds it made. */
	if (rc == SQLITE_OK)
		rc = store_exec(s->writer.db, "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK && !store_is_ours(s, s->writer.db, &version)) {
		*foreign = version != 0;
		rc = *foreign ? SQLITE_NOTADB : store_create(s, s->writer.db);
		if (rc == SQLITE_OK &&
		    !store_is_ours(s, s->writer.db, &version))
			rc = SQLITE_CORRUPT;
	}
	if (rc == SQLITE_OK)
		rc = store_exec(s->writer.db, "COMMIT");
	if (rc == SQLITE_OK)
		return 0;
	close_conn(&s->writer);
	*foreign |= (rc & 0xff) == SQLITE_NOTADB || rc == SQLITE_ERROR ||
		    rc == SQLITE_READONLY || (rc & 0xff) == SQLITE_CORRUPT ||
		    rc == SQLITE_IOERR_SHORT_READ;
	return (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
}

/* Held while the file is opened or begun anew: no two mounts do that at once.
 * Not a file of SQLite's, so that closing it is safe. */
static int lock_file(const struct store *s)
{
	char path[sizeof(s->path) + 8];
	int fd;

	snprintf(path, sizeof(path), "%s.lock", s->path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd;
}

static int open_file(struct store *s)
{
	__attribute__((unused)) AUTO_CLOSE int lock = lock_file(s);
	bool foreign;
	int err = open_writer(s, &foreign);

	if (err && foreign) {
		log_warning("metadata: %s is damaged or of another version; "
			    "it is built anew",
			    s->path);
		remove_file(s);
		err = open_writer(s, &foreign);
	}
	if (!err && open_conn(s, &s->reader) != SQLITE_OK)
		err = -EIO;
	return err;
}

/* ---- opening ---- */

/* A folder of ours that nobody else writes to. */
static int make_folder(const char *path, char *why, size_t cap)
{
	char part[4096];
	struct stat st;

	snprintf(part, sizeof(part), "%s", path);
	for (char *p = part + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			mkdir(part, 0755);
			*p = '/';
		}
	if (mkdir(part, 0700) && errno != EEXIST) {
		const int err = errno;

		snprintf(why, cap, "%s: %s", path, strerror(err));
		return -err;
	}
	if (lstat(part, &st) || !S_ISDIR(st.st_mode) ||
	    st.st_uid != geteuid() || (st.st_mode & 0022)) {
		snprintf(why, cap,
			 "%s is not a folder that only uid %u writes to", path,
			 geteuid());
		return -EPERM;
	}
	return 0;
}

static int private_folder(struct store *s, char *folder, size_t cap)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, cap, "%s/s3rdmafs-XXXXXX", tmp ? tmp : "/tmp");
	s->is_private = true;
	return mkdtemp(folder) ? 0 : -errno;
}

int store_open(const struct store_config *cfg, struct store **out, char *why,
	       size_t cap)
{
	struct store *s = calloc(1, sizeof(*s));
	char folder[4096], real[PATH_MAX], sum[CHECKSUM_TEXT];
	struct checksum c;
	int err;

	snprintf(why, cap, "%s", strerror(ENOMEM));
	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->reader.lock, NULL);
	pthread_mutex_init(&s->writer.lock, NULL);
	s->max_bytes = cfg->max_bytes;
	snprintf(s->source, sizeof(s->source), "%s", cfg->source);
	snprintf(folder, sizeof(folder), "%s", cfg->folder ? cfg->folder : "");
	err = cfg->folder ? make_folder(folder, why, cap)
			  : private_folder(s, folder, sizeof(folder));
	if (!err)
		err = checksum_init(&c, CHECKSUM_SHA256);
	if (!err) {
		checksum_update(&c, cfg->source, strlen(cfg->source));
		checksum_final(&c, sum);
		for (char *p = sum; *p; p++)
			if (*p == '/' || *p == '+' || *p == '=')
				*p = *p == '/' ? '_' : *p == '+' ? '-' : '\0';
		snprintf(s->path, sizeof(s->path), "%s/%.43s.db",
			 realpath(folder, real) ? real : folder, sum);
		err = open_file(s);
		if (err)
			snprintf(why, cap, "%s: %s", s->path, strerror(-err));
	}
	if (err) {
		store_close(s);
		return err;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	char *slash;

	if (!s)
		return;
	close_conn(&s->reader);
	close_conn(&s->writer);
	if (s->is_private) {
		char lock[sizeof(s->path) + 8];

		remove_file(s);
		snprintf(lock, sizeof(lock), "%s.lock", s->path);
		unlink(lock);
		slash = strrchr(s->path, '/');
		if (slash) {
			*slash = '\0';
			rmdir(s->path);
		}
	}
	pthread_mutex_destroy(&s->reader.lock);
	pthread_mutex_destroy(&s->writer.lock);
	free(s);
}

uint64_t store_generation(const struct store *s)
{
	return atomic_load(&s->rebuilt);
}

const unsigned char *store_hash_key(const struct store *s)
{
	return s->hash_key;
}

/* ---- transactions ---- */

/* Has the file been thrown away by another mount that shares it? */
static bool is_replaced(const struct store *s)
{
	int moved = 0;

	sqlite3_file_control(s->writer.db, "main", SQLITE_FCNTL_HAS_MOVED,
			     &moved);
	return moved;
}

/* Under writer.lock.  Only the file that is known to be bad is thrown away:
 * another mount may have put a new one there. */
static int rebuild(struct store *s)
{
	__attribute__((unused)) AUTO_CLOSE int lock = lock_file(s);
	struct stat st;
	bool foreign;
	int err;

	LOCK_SCOPE(&s->reader.lock);
	if (s->writer.db) /* other mounts have given some out */
		store_note_numbers(s, s->writer.db);
	close_conn(&s->reader);
	close_conn(&s->writer);
	if (atomic_load(&s->damaged) && !stat(s->path, &st) &&
	    st.st_ino == s->ino)
		remove_file(s);
	atomic_fetch_add(&s->rebuilt, 1);
	err = open_writer(s, &foreign);
	if (err && foreign) {
		remove_file(s);
		err = open_writer(s, &foreign);
	}
	if (!err && open_conn(s, &s->reader) != SQLITE_OK)
		err = -EIO;
	if (!err)
		atomic_store(&s->damaged, false);
	atomic_store(&s->full, false);
	s->room_bytes = 0;
	return err;
}

/* What the disk would have more, were the file gone. */
static uint64_t file_bytes(const struct store *s)
{
	char log[sizeof(s->path) + 8];
	struct stat st;
	uint64_t n = 0;

	snprintf(log, sizeof(log), "%s-wal", s->path);
	if (!stat(log, &st))
		n = (uint64_t)st.st_size;
	return stat(s->path, &st) ? n : n + (uint64_t)st.st_size;
}

void store_starved(struct store *s)
{
	if (file_bytes(s) < WORTH_BYTES)
		return;
	if (!atomic_exchange(&s->starved, true)) /* once is enough */
		log_warning("metadata: no room for %s on its disk; it is begun "
			    "anew",
			    s->path);
	atomic_store(&s->damaged, true);
}

bool store_heal(struct store *s)
{
	if (!atomic_load(&s->damaged) || store_begin(s))
		return false;
	store_abort(s);
	return true;
}

void store_doubt(struct store *s)
{
	if (!atomic_exchange(&s->doubted, true)) /* once is enough */
		log_warning("metadata: a record of %s is not what was written; "
			    "it is not used",
			    s->path);
}

static int step(struct store *s, enum store_sql which)
{
	sqlite3_stmt *st = store_stmt(s, &s->writer, which);
	int rc;

	if (!st)
		return -EIO;
	rc = sqlite3_step(st);
	sqlite3_reset(st);
	return store_errno(s, rc);
}

int store_begin(struct store *s)
{
	int err = 0;

	pthread_mutex_lock(&s->writer.lock);
	if (!s->writer.db || atomic_load(&s->damaged) || is_replaced(s))
		err = rebuild(s);
	if (!err)
		err = step(s, SQL_BEGIN);
	if (err)
		pthread_mutex_unlock(&s->writer.lock);
	return err;
}

/* SQLite may have rolled back by itself: a second time would be an error. */
static void roll_back(struct store *s)
{
	if (s->writer.db && !sqlite3_get_autocommit(s->writer.db))
		step(s, SQL_ROLLBACK);
}

int store_commit(struct store *s)
{
	const int err = step(s, SQL_COMMIT);

	if (err)
		roll_back(s);
	pthread_mutex_unlock(&s->writer.lock);
	return err;
}

void store_abort(struct store *s)
{
	roll_back(s);
	pthread_mutex_unlock(&s->writer.lock);
}

void store_get_stats(struct store *s, struct store_stats *out)
{
	sqlite3_stmt *st;

	*out = (struct store_stats){.rebuilt = atomic_load(&s->rebuilt)};
	LOCK_SCOPE(&s->reader.lock);
	st = store_stmt(s, &s->reader, SQL_PAGES);
	if (st && sqlite3_step(st) == SQLITE_ROW)
		out->bytes = (uint64_t)sqlite3_column_int64(st, 0) * 8192;
	if (st)
		sqlite3_reset(st);
}
