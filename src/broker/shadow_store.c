// SPDX-License-Identifier: Apache-2.0
#include "broker/shadow_store.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>

enum {
	SCHEMA = 2,
	BUSY_MS = 2000, ///< For the broker that this one replaces to exit.
	/// Seconds: September 2026. A device whose clock is not set yet counts from here.
	NO_EARLIER = 1790000000,
};

enum statement { BEGIN, COMMIT, GET, PUT, GET_SYNC, PUT_SYNC, STATEMENTS };

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN",
	[COMMIT] = "COMMIT",
	[GET] = "SELECT version, document FROM shadows WHERE thing = ?1",
	[PUT] = "INSERT INTO shadows (thing, version, document) VALUES (?1, ?2, ?3)"
		" ON CONFLICT (thing) DO UPDATE SET version = ?2, document = ?3",
	[GET_SYNC] = "SELECT cloud_version, local_version, state, sent FROM sync WHERE thing = ?1",
	[PUT_SYNC] = "INSERT INTO sync (thing, cloud_version, local_version, state, sent)"
		     " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (thing) DO UPDATE"
		     " SET cloud_version = ?2, local_version = ?3, state = ?4, sent = ?5",
};

struct shadow_store {
	char *path;
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	uint64_t first_version; ///< From which things that are not in it count.
	bool failed;            ///< Something since the begin: SQLite may have rolled back already.
	bool damaged;

	struct background *committer; ///< NULL: none was needed.
	lm_rc committed;              ///< Its result.
	struct lm_err why_not;
};

void shadow_sync_finish(struct shadow_sync *sync)
{
	json_decref(sync->state);
	json_decref(sync->sent);
	*sync = (struct shadow_sync){0};
}

static bool means_damage(int code)
{
	int primary = code & 0xff;

	return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || primary == SQLITE_FORMAT ||
	       code == SQLITE_IOERR_SHORT_READ;
}

/// The error of SQLite's last call.
static lm_rc sqlite_fail(struct shadow_store *s, const char *what, struct lm_err *err)
{
	int code = sqlite3_extended_errcode(s->db);
	int sys = sqlite3_system_errno(s->db);

	s->failed = true;
	s->damaged = s->damaged || means_damage(code);
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return lm_fail(err, LM_E_CONFLICT, 0, "%s: '%s' is in use by another process", what,
			s->path);
	case SQLITE_FULL:
		return lm_fail(err, LM_E_SYS, ENOSPC, "%s: '%s': %m", what, s->path);
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		if (sys != 0)
			return lm_fail(
				err, lm_rc_of_errno(sys), sys, "%s: '%s': %m", what, s->path);
		break;
	default:
		break;
	}
	return lm_fail(err, LM_E_SYS, 0, "%s: '%s': %s", what, s->path, sqlite3_errmsg(s->db));
}

static lm_rc run_sql(struct shadow_store *s, const char *text, const char *what, struct lm_err *err)
{
	return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? LM_OK
									: sqlite_fail(s, what, err);
}

/// The first column of the first row, as text; "" if it is null or there is no row.
static lm_rc query(
	struct shadow_store *s, const char *text, char **ret, const char *what, struct lm_err *err)
{
	sqlite3_stmt *statement = NULL;

	if (sqlite3_prepare_v2(s->db, text, -1, &statement, NULL) != SQLITE_OK)
		return sqlite_fail(s, what, err);
	int code = sqlite3_step(statement);
	const char *value =
		code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	char *copy = lm_xstrdup(value ? value : "");
	lm_rc rc = code == SQLITE_ROW || code == SQLITE_DONE ? LM_OK : sqlite_fail(s, what, err);
	(void)sqlite3_finalize(statement);
	if (rc)
		free(copy);
	else
		*ret = copy;
	return rc;
}

static lm_rc query_number(struct shadow_store *s, const char *text, uint64_t *ret, const char *what,
	struct lm_err *err)
{
	lm_auto_free char *value = NULL;
	lm_rc rc = query(s, text, &value, what, err);

	if (rc)
		return rc;
	if (!lm_str_to_u64(lm_str(value), INT64_MAX, ret)) {
		s->damaged = true;
		return lm_fail(
			err, LM_E_INVALID, 0, "%s: '%s': '%s' is no number", what, s->path, value);
	}
	return LM_OK;
}

/// A database of another name is not there yet when the directory lists it: the directory is
/// synced.
static lm_rc make_database(const char *path, struct lm_err *err)
{
	lm_auto_close int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 && errno == EEXIST)
		return LM_OK;
	if (fd < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "create '%s': %m", path);
	lm_auto_free char *directory = lm_xmemdup0(path, (size_t)(lm_path_base(path) - path));
	const char *name = *directory ? directory : ".";
	lm_auto_close int dir_fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", name);
	return lm_dir_sync(dir_fd, name, err);
}

static lm_rc make_tables(struct shadow_store *s, uint64_t first_version, struct lm_err *err)
{
	lm_auto_free char *text = lm_xasprintf(
		"BEGIN;"
		"CREATE TABLE shadows (thing TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL,"
		" document TEXT);" // null: deleted
		"CREATE TABLE sync (thing TEXT PRIMARY KEY NOT NULL, cloud_version INTEGER NOT "
		"NULL,"
		" local_version INTEGER NOT NULL, state TEXT, sent TEXT);" // '': a deletion
		"CREATE TABLE start (first_version INTEGER NOT NULL);"
		"INSERT INTO start VALUES (%llu);"
		"PRAGMA user_version = %d;"
		"COMMIT",
		(unsigned long long)first_version, SCHEMA);

	lm_rc rc = run_sql(s, text, "create the tables", err);

	if (rc) // it has some, but not ours
		s->damaged = s->damaged || sqlite3_errcode(s->db) == SQLITE_ERROR;
	return rc;
}

/// Of an earlier version of Lighterman: one that is killed meanwhile finds what it was.
static lm_rc extend_tables(struct shadow_store *s, struct lm_err *err)
{
	lm_rc rc = run_sql(s,
		"BEGIN;"
		"ALTER TABLE sync ADD COLUMN sent TEXT;"
		"PRAGMA user_version = 2;"
		"COMMIT",
		"extend the tables", err);

	if (rc) // see make_tables
		s->damaged = s->damaged || sqlite3_errcode(s->db) == SQLITE_ERROR;
	return rc;
}

static lm_rc configure(struct shadow_store *s, struct lm_err *err)
{
	static const char what[] = "open";
	lm_auto_free char *mode = NULL;
	lm_rc rc = LM_OK;

	(void)sqlite3_busy_timeout(s->db, BUSY_MS);
	// What is in a damaged or planted file is data: no triggers, no functions.
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	// Of a file that is set aside or of a later version the log stays as it is.
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	// Exclusive before WAL is first used: no shared memory file, whose pages a full disk cannot
	// hold.
	rc = run_sql(s, "PRAGMA locking_mode = EXCLUSIVE", what, err);
	if (rc)
		return rc;
	uint64_t version = 0;
	rc = query_number(s, "PRAGMA user_version", &version, what, err);
	if (rc)
		return rc;
	if (version > SCHEMA)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"open '%s': a later version of Lighterman wrote it: install that version "
			"again, or "
			"remove the file, with which all shadows are lost",
			s->path);
	rc = query(s, "PRAGMA journal_mode = WAL", &mode, what, err);
	if (rc)
		return rc;
	if (strcmp(mode, "wal") != 0)
		return lm_fail(err, LM_E_SYS, 0,
			"open '%s': its file system has no write-ahead log", s->path);
	return run_sql(s,
		"PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = "
		"ON;"
		"PRAGMA journal_size_limit = 8388608",
		what, err);
}

static lm_rc check_pages(struct shadow_store *s, struct lm_err *err)
{
	lm_auto_free char *found = NULL;
	lm_rc rc = query(s, "PRAGMA quick_check(1)", &found, "check", err);

	if (rc)
		return rc;
	if (strcmp(found, "ok") == 0)
		return LM_OK;
	s->damaged = true;
	return lm_fail(err, LM_E_INVALID, 0, "check: '%s': %s", s->path, found);
}

static lm_rc prepare(struct shadow_store *s, struct lm_err *err)
{
	for (size_t i = 0; i < STATEMENTS; i++) {
		int code = sqlite3_prepare_v3(
			s->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL);

		if (code == SQLITE_OK)
			continue;
		s->damaged = s->damaged || (code & 0xff) == SQLITE_ERROR; // other tables
		return sqlite_fail(s, "open", err);
	}
	return LM_OK;
}

static char *damaged_path(const char *path)
{
	return lm_xasprintf("%s.damaged", path);
}

static int64_t later_time(int64_t a_s, int64_t b_s)
{
	return a_s > b_s ? a_s : b_s;
}

/// From which version a new database counts: from the time if there was one before, which itself
/// may have counted from a time. If the clock is wrong now, that one's files tell how late it was.
static uint64_t choose_first_version(const char *path)
{
	lm_auto_free char *damaged = damaged_path(path);
	lm_auto_free char *damaged_log = lm_xasprintf("%s-wal", damaged);
	int64_t first_s = later_time(lm_clock_wall_ms() / 1000, NO_EARLIER);
	struct stat st;

	if (lstat(damaged, &st) != 0)
		return 0;
	first_s = later_time(first_s, st.st_mtim.tv_sec);
	if (lstat(damaged_log, &st) == 0)
		first_s = later_time(first_s, st.st_mtim.tv_sec);
	return (uint64_t)first_s;
}

static lm_rc open_database(struct shadow_store *s, struct lm_err *err)
{
	lm_rc rc = make_database(s->path, err);

	if (rc)
		return rc;
	if (sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		SQLITE_OK)
		return s->db ? sqlite_fail(s, "open", err)
			     : lm_fail(err, LM_E_SYS, ENOMEM, "open '%s': %m", s->path);
	(void)sqlite3_extended_result_codes(s->db, 1);
	if (sqlite3_db_readonly(s->db, "main") == 1)
		return lm_fail(err, LM_E_DENIED, 0, "open '%s': it cannot be written", s->path);
	rc = configure(s, err);
	if (rc)
		return rc;
	uint64_t version = 0;
	rc = check_pages(s, err);
	if (!rc)
		rc = query_number(s, "PRAGMA user_version", &version, "open", err);
	if (!rc && version == 0)
		rc = make_tables(s, choose_first_version(s->path), err);
	else if (!rc && version == 1)
		rc = extend_tables(s, err);
	if (!rc)
		rc = prepare(s, err);
	if (!rc)
		rc = query_number(
			s, "SELECT max(first_version) FROM start", &s->first_version, "open", err);
	if (!rc)
		(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	return rc;
}

void shadow_store_close(struct shadow_store *s)
{
	if (!s)
		return;
	background_destroy(s->committer);
	for (size_t i = 0; i < STATEMENTS; i++)
		(void)sqlite3_finalize(s->statements[i]);
	if (s->damaged && s->db)
		(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_close(s->db);
	free(s->path);
	free(s);
}

static lm_rc rename_file(const char *from, const char *to, struct lm_err *err)
{
	if (rename(from, to) == 0 || errno == ENOENT)
		return LM_OK;
	return lm_fail(err, lm_rc_of_errno(errno), errno, "rename '%s' to '%s': %m", from, to);
}

/// The log last: beside a new database SQLite removes it, but an old database without its log would
/// be read as it was long ago.
static lm_rc set_database_aside(const char *path, struct lm_err *err)
{
	lm_auto_free char *damaged = damaged_path(path);
	lm_auto_free char *log = lm_xasprintf("%s-wal", path);
	lm_auto_free char *damaged_log = lm_xasprintf("%s-wal", damaged);
	lm_rc rc = rename_file(path, damaged, err);

	return rc ? rc : rename_file(log, damaged_log, err);
}

lm_rc shadow_store_open(
	const char *path, struct shadow_store **ret, struct lm_err *damage, struct lm_err *err)
{
	struct lm_err why = {0};
	lm_auto(shadow_store_close_p) struct shadow_store *s = lm_xcalloc(1, sizeof(*s));

	s->path = lm_xstrdup(path);
	lm_rc rc = open_database(s, &why);
	if (rc && s->damaged) {
		shadow_store_close(s);
		s = lm_xcalloc(1, sizeof(*s));
		s->path = lm_xstrdup(path);
		rc = set_database_aside(path, err);
		if (rc)
			return lm_wrap(err, "set a damaged database aside");
		*damage = (struct lm_err){0};
		(void)!lm_fail(damage, LM_E_INVALID, 0, "%s; it is set aside as '%s.damaged'",
			why.msg, path);
		rc = open_database(s, &why);
	}
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	s->failed = false;
	*ret = lm_take(s);
	return LM_OK;
}

bool shadow_store_is_damaged(const struct shadow_store *s)
{
	return s->damaged;
}

/// Runs a statement that gives no row.
static lm_rc step(
	struct shadow_store *s, enum statement which, const char *what, struct lm_err *err)
{
	if (s->failed)
		return lm_fail(
			err, LM_E_SYS, 0, "%s: '%s': the transaction failed before", what, s->path);
	int code = sqlite3_step(s->statements[which]);
	lm_rc rc = code == SQLITE_DONE ? LM_OK : sqlite_fail(s, what, err);

	(void)sqlite3_reset(s->statements[which]);
	(void)sqlite3_clear_bindings(s->statements[which]);
	return rc;
}

lm_rc shadow_store_begin(struct shadow_store *s, struct lm_err *err)
{
	return step(s, BEGIN, "begin a transaction", err);
}

void shadow_store_rollback(struct shadow_store *s)
{
	if (!sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->failed = false;
}

lm_rc shadow_store_commit(struct shadow_store *s, struct lm_err *err)
{
	lm_rc rc = step(s, COMMIT, "commit", err);

	if (rc)
		shadow_store_rollback(s);
	return rc;
}

/// On the other thread.
static void commit_beside(void *ctx)
{
	struct shadow_store *s = ctx;

	s->committed = step(s, COMMIT, "commit", &s->why_not);
}

void shadow_store_start_commit(struct shadow_store *s, background_function *wake, void *wake_ctx)
{
	if (!s->committer)
		s->committer = background_create(commit_beside, wake, s, wake_ctx);
	background_start(s->committer);
}

bool shadow_store_commit_is_done(struct shadow_store *s)
{
	return background_is_done(s->committer);
}

lm_rc shadow_store_finish_commit(struct shadow_store *s, struct lm_err *err)
{
	background_finish(s->committer);
	if (s->committed == LM_OK)
		return LM_OK;
	if (err)
		*err = s->why_not;
	shadow_store_rollback(s);
	return s->committed;
}

/// `text` must stay until the statement was reset. A null in place of it would be a deleted shadow:
/// the transaction fails instead.
static void bind_text(struct shadow_store *s, enum statement which, int place, struct lm_str text)
{
	if (sqlite3_bind_text64(s->statements[which], place, text.p, text.n, SQLITE_STATIC,
		    SQLITE_UTF8) != SQLITE_OK)
		s->failed = true;
}

static struct lm_str column_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text ? (struct lm_str){text, (size_t)sqlite3_column_bytes(statement, column)}
		    : (struct lm_str){0};
}

static uint64_t column_version(sqlite3_stmt *statement, int column)
{
	int64_t version = sqlite3_column_int64(statement, column);

	return version < 0 ? 0 : (uint64_t)version;
}

/// Looks for the row of a thing; its columns are there until finish_row.
static lm_rc find_row(struct shadow_store *s, enum statement which, const char *thing, bool *ret,
	struct lm_err *err)
{
	if (s->failed)
		return lm_fail(err, LM_E_SYS, 0,
			"read the shadow of '%s': the transaction failed before", thing);
	bind_text(s, which, 1, lm_str(thing));
	int code = sqlite3_step(s->statements[which]);
	*ret = code == SQLITE_ROW;
	return *ret || code == SQLITE_DONE ? LM_OK : sqlite_fail(s, "read a shadow", err);
}

static void finish_row(struct shadow_store *s, enum statement which)
{
	(void)sqlite3_reset(s->statements[which]);
	(void)sqlite3_clear_bindings(s->statements[which]);
}

lm_rc shadow_store_get(
	struct shadow_store *s, const char *thing, struct shadow_document *ret, struct lm_err *err)
{
	struct shadow_document d = {.version = s->first_version};
	sqlite3_stmt *row = s->statements[GET];
	bool found = false;
	lm_rc rc = find_row(s, GET, thing, &found, err);

	if (!rc && found) {
		uint64_t version = column_version(row, 0);

		if (sqlite3_column_type(row, 1) != SQLITE_NULL)
			rc = shadow_document_read(column_text(row, 1), &d, err);
		d.version = version > s->first_version ? version : s->first_version;
	}
	finish_row(s, GET);
	if (rc == LM_OK || rc == LM_E_INVALID)
		*ret = d;
	return rc ? lm_wrap(err, "shadow of '%s'", thing) : LM_OK;
}

lm_rc shadow_store_put(struct shadow_store *s, const char *thing, const struct shadow_document *d,
	struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_SHADOW_REPLY);
	sqlite3_stmt *row = s->statements[PUT];

	if (d->exists && !shadow_document_write(d, &text))
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "shadow of '%s': its document is too large", thing);
	bind_text(s, PUT, 1, lm_str(thing));
	(void)sqlite3_bind_int64(row, 2, (sqlite3_int64)d->version);
	if (d->exists)
		bind_text(s, PUT, 3, lm_buf_str(&text));
	lm_rc rc = step(s, PUT, "write", err);
	return rc ? lm_wrap(err, "shadow of '%s'", thing) : LM_OK;
}

/// Null, or an empty text: NULL. False: it cannot be read.
static bool read_state(sqlite3_stmt *row, int column, json_t **ret)
{
	struct lm_str text = column_text(row, column);

	return text.n == 0 || json_parse(text, ret, NULL) == LM_OK;
}

lm_rc shadow_store_get_sync(
	struct shadow_store *s, const char *thing, struct shadow_sync *ret, struct lm_err *err)
{
	struct shadow_sync sync = {0};
	sqlite3_stmt *row = s->statements[GET_SYNC];
	bool found = false;
	lm_rc rc = find_row(s, GET_SYNC, thing, &found, err);

	if (!rc && found) {
		sync.cloud_version = column_version(row, 0);
		sync.local_version = column_version(row, 1);
		sync.is_sent = sqlite3_column_type(row, 3) != SQLITE_NULL;
		if (!read_state(row, 2, &sync.state) || !read_state(row, 3, &sync.sent))
			shadow_sync_finish(&sync);
	}
	finish_row(s, GET_SYNC);
	if (rc)
		return lm_wrap(err, "shadow of '%s'", thing);
	*ret = sync;
	return LM_OK;
}

lm_rc shadow_store_put_sync(struct shadow_store *s, const char *thing,
	const struct shadow_sync *sync, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_SHADOW_REPLY);
	lm_auto_buf struct lm_buf sent = LM_BUF(LIMIT_SHADOW_REPLY);
	sqlite3_stmt *row = s->statements[PUT_SYNC];

	if ((sync->state && !json_write(sync->state, &text)) ||
		(sync->sent && !json_write(sync->sent, &sent)))
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "shadow of '%s': its state is too large", thing);
	bind_text(s, PUT_SYNC, 1, lm_str(thing));
	(void)sqlite3_bind_int64(row, 2, (sqlite3_int64)sync->cloud_version);
	(void)sqlite3_bind_int64(row, 3, (sqlite3_int64)sync->local_version);
	if (sync->state)
		bind_text(s, PUT_SYNC, 4, lm_buf_str(&text));
	if (sync->is_sent)
		bind_text(s, PUT_SYNC, 5, sync->sent ? lm_buf_str(&sent) : LM_STR(""));
	lm_rc rc = step(s, PUT_SYNC, "write", err);
	return rc ? lm_wrap(err, "shadow of '%s'", thing) : LM_OK;
}
