// SPDX-License-Identifier: Apache-2.0
#include "broker/shadow_store.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[64];
static char *path;

static int set_up(void **state)
{
	(void)state;
	strncpy(directory, "/tmp/shadow-store-XXXXXX", sizeof(directory) - 1);
	assert_non_null(mkdtemp(directory));
	path = lm_path_join(directory, "shadows.db");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(lm_take(path));
	return lm_tree_remove(AT_FDCWD, directory, NULL) == LM_OK ? 0 : -1;
}

static struct shadow_store *open_or_fail(void)
{
	struct shadow_store *s = NULL;
	struct lm_err damage = {0}, err = {0};

	if (shadow_store_open(path, &s, &damage, &err) != LM_OK)
		fail_msg("%s", err.msg);
	if (damage.rc)
		fail_msg("%s", damage.msg);
	return s;
}

/// One with a value in `desired`.
static struct shadow_document document_of(uint64_t version, const char *value)
{
	lm_auto_free char *text = lm_xasprintf(
		"{\"desired\":{\"a\":\"%s\"},\"times\":{\"desired\":{\"a\":5}}}", value);
	struct shadow_document d = {0};

	assert_int_equal(shadow_document_read(lm_str(text), &d, NULL), LM_OK);
	d.version = version;
	return d;
}

static void put(struct shadow_store *s, const char *thing, uint64_t version, const char *value)
{
	lm_auto(shadow_document_finish) struct shadow_document d = document_of(version, value);

	assert_int_equal(shadow_store_put(s, thing, &d, NULL), LM_OK);
}

static void assert_value(
	struct shadow_store *s, const char *thing, uint64_t version, const char *value)
{
	lm_auto(shadow_document_finish) struct shadow_document d = {0};

	assert_int_equal(shadow_store_get(s, thing, &d, NULL), LM_OK);
	assert_int_equal(d.version, version);
	assert_int_equal(d.exists, value != NULL);
	if (value)
		assert_string_equal(json_get_text(d.desired, "a"), value);
}

static void run(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void keeps_what_was_committed(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();

	assert_value(s, "X", 0, NULL);
	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "one");
	put(s, "Y", 7, "seven");
	assert_value(s, "X", 1, "one"); // it sees its own
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	shadow_store_close(s);
	s = open_or_fail();
	assert_value(s, "X", 1, "one");
	assert_value(s, "Y", 7, "seven");
	shadow_store_close(s);
}

static void drops_what_was_not(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "one");
	shadow_store_rollback(s);
	assert_value(s, "X", 0, NULL);
	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "two");
	shadow_store_close(s);
	s = open_or_fail();
	assert_value(s, "X", 0, NULL);
	shadow_store_close(s);
}

static void survives_a_kill(void **state)
{
	(void)state;
	int link[2];
	char byte;

	assert_int_equal(pipe(link), 0);
	pid_t child = fork();
	if (child == 0) {
		struct shadow_store *s = open_or_fail();

		assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
		put(s, "X", 1, "committed");
		assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
		assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
		put(s, "X", 2, "not");
		assert_int_equal(write(link[1], "x", 1), 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(link[0], &byte, 1), 1);
	close(link[0]);
	close(link[1]);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	struct shadow_store *s = open_or_fail();
	assert_value(s, "X", 1, "committed");
	shadow_store_close(s);
}

static void a_deleted_shadow_keeps_its_version(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	struct shadow_document deleted = {.version = 9};

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 9, "one");
	assert_int_equal(shadow_store_put(s, "X", &deleted, NULL), LM_OK);
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	shadow_store_close(s);
	s = open_or_fail();
	assert_value(s, "X", 9, NULL);
	shadow_store_close(s);
}

static void its_file_is_for_its_user_only(void **state)
{
	(void)state;
	struct stat st;
	lm_auto_free char *log = lm_xasprintf("%s-wal", path);
	lm_auto_free char *shared = lm_xasprintf("%s-shm", path);
	struct shadow_store *s = open_or_fail();

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "one");
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_not_equal(stat(shared, &st), 0);
	shadow_store_close(s);
}

static void another_process_cannot_have_it(void **state)
{
	(void)state;
	struct shadow_store *first = open_or_fail();
	int status;
	pid_t child = fork();

	if (child == 0) {
		struct shadow_store *second = NULL;
		struct lm_err damage = {0}, err = {0};
		lm_rc rc = shadow_store_open(path, &second, &damage, &err);

		_exit(rc == LM_E_CONFLICT && strstr(err.msg, "in use") && !damage.rc ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	shadow_store_close(first);
}

static void refuses_a_later_version(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	struct lm_err damage = {0}, err = {0};

	shadow_store_close(s);
	run("PRAGMA user_version = 3");
	assert_int_equal(shadow_store_open(path, &s, &damage, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "later version"));
	assert_int_equal(damage.rc, 0);
	run("PRAGMA user_version = 2");
	shadow_store_close(open_or_fail());
}

static void takes_over_one_of_an_earlier_version(void **state)
{
	(void)state;
	struct shadow_store *s = NULL;
	lm_auto(shadow_sync_finish) struct shadow_sync sync = {0};

	run("CREATE TABLE shadows (thing TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL,"
	    " document TEXT);"
	    "CREATE TABLE sync (thing TEXT PRIMARY KEY NOT NULL, cloud_version INTEGER NOT NULL,"
	    " local_version INTEGER NOT NULL, state TEXT);"
	    "CREATE TABLE start (first_version INTEGER NOT NULL);"
	    "INSERT INTO start VALUES (7);"
	    "INSERT INTO sync VALUES ('X', 3, 4, '{\"desired\":{\"a\":1}}');"
	    "PRAGMA user_version = 1");
	for (int i = 0; i < 2; i++) {
		s = open_or_fail();
		assert_value(s, "X", 7, NULL);
		assert_int_equal(shadow_store_get_sync(s, "X", &sync, NULL), LM_OK);
		assert_true(sync.cloud_version == 3 && sync.local_version == 4 && sync.state);
		assert_false(sync.is_sent);
		shadow_sync_finish(&sync);
		shadow_store_close(s);
	}
}

/// Opens it with a report of damage, and finds it empty.
static void assert_replaced(void)
{
	struct shadow_store *s = NULL;
	struct lm_err damage = {0}, err = {0};
	lm_auto(shadow_document_finish) struct shadow_document d = {0};
	lm_auto_free char *aside = lm_xasprintf("%s.damaged", path);
	struct stat st;

	if (shadow_store_open(path, &s, &damage, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(damage.rc, LM_E_INVALID);
	assert_non_null(strstr(damage.msg, "shadows.db.damaged'"));
	assert_int_equal(stat(aside, &st), 0);
	assert_int_equal(shadow_store_get(s, "X", &d, NULL), LM_OK);
	assert_false(d.exists);
	assert_true(d.version > 1700000000); // it counts on
	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", d.version + 1, "new");
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	shadow_store_close(s);
	s = open_or_fail();
	assert_value(s, "X", d.version + 1, "new");
	shadow_store_close(s);
}

static void overwrite(off_t at, size_t n)
{
	lm_auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	lm_auto_free char *bytes = lm_xmalloc(n);

	memset(bytes, 0x5a, n);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
}

static void replaces_what_is_no_database(void **state)
{
	(void)state;
	lm_auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(
		lm_fd_write_all(fd, path, LM_STR("this is no database at all"), NULL), LM_OK);
	assert_replaced();
}

static void replaces_a_damaged_one(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	struct stat st;

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	for (size_t i = 0; i < 500; i++) {
		lm_auto_free char *thing = lm_xasprintf("thing-%zu", i);
		put(s, thing, 1, "some value of a thing, to fill pages");
	}
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	shadow_store_close(s);
	assert_int_equal(stat(path, &st), 0);
	overwrite(4096 + 100, (size_t)st.st_size - 4096 - 100);
	assert_replaced();
}

static void replaces_a_truncated_one(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "one");
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	shadow_store_close(s);
	assert_int_equal(truncate(path, 4096 + 17), 0);
	assert_replaced();
}

static void replaces_one_with_other_tables(void **state)
{
	(void)state;
	run("CREATE TABLE shadows (x); PRAGMA user_version = 1");
	assert_replaced();
}

static void replaces_a_second_damaged_one(void **state)
{
	(void)state;
	replaces_what_is_no_database(NULL);
	overwrite(0, 200);
	assert_replaced();
}

/// A kill between setting it aside and making a new one.
static void counts_on_if_only_the_damaged_one_is_there(void **state)
{
	(void)state;
	lm_auto_free char *aside = lm_xasprintf("%s.damaged", path);
	lm_auto_close int fd = open(aside, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	lm_auto(shadow_document_finish) struct shadow_document d = {0};
	struct shadow_store *s = open_or_fail();

	assert_true(fd >= 0);
	assert_int_equal(shadow_store_get(s, "X", &d, NULL), LM_OK);
	assert_true(d.version > 1700000000);
	shadow_store_close(s);
}

/// The clock was right when that one was written, and is not now.
static void counts_on_from_the_latest_time_of_the_damaged_one(void **state)
{
	(void)state;
	static const char *const names[] = {"", "-wal"};
	struct timespec times[2] = {{.tv_sec = 4000000000}, {.tv_sec = 4000000000}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		lm_auto_free char *file = lm_xasprintf("%s.damaged%s", path, names[i]);
		lm_auto_close int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		lm_auto(shadow_document_finish) struct shadow_document d = {0};

		assert_true(fd >= 0);
		times[1].tv_sec += 1000;
		assert_int_equal(futimens(fd, times), 0);
		struct shadow_store *s = open_or_fail();
		assert_int_equal(shadow_store_get(s, "X", &d, NULL), LM_OK);
		assert_int_equal(d.version, times[1].tv_sec);
		shadow_store_close(s);
		assert_int_equal(unlink(path), 0);
	}
}

static void damage_at_work_is_noticed(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	struct lm_err err = {0};
	struct shadow_document d = {0};
	struct stat st;

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	for (size_t i = 0; i < 2000; i++) {
		lm_auto_free char *thing = lm_xasprintf("thing-%zu", i);
		lm_auto_free char *value = lm_xcalloc(1, 3001);
		memset(value, 'v', 3000);
		put(s, thing, 1, value);
	}
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 1 << 20); // a checkpoint took place
	overwrite(4096, (size_t)st.st_size - 4096);
	lm_auto_free char *log = lm_xasprintf("%s-wal", path);
	assert_int_equal(truncate(log, 0), 0);
	lm_rc rc = LM_OK;
	for (size_t i = 0; i < 2000 && rc == LM_OK; i++) {
		lm_auto_free char *thing = lm_xasprintf("thing-%zu", i);
		rc = shadow_store_get(s, thing, &d, &err);
		shadow_document_finish(&d);
	}
	assert_int_equal(rc, LM_E_SYS);
	assert_true(shadow_store_is_damaged(s));
	shadow_store_close(s);
	assert_replaced();
}

static void a_row_that_cannot_be_read_is_as_deleted(void **state)
{
	(void)state;
	struct lm_err err = {0};
	struct shadow_document d = {0};

	shadow_store_close(open_or_fail());
	run("INSERT INTO shadows VALUES ('X', 12, '{'), ('Y', -5, '{\"times\":{}}')");
	struct shadow_store *s = open_or_fail();
	assert_int_equal(shadow_store_get(s, "X", &d, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "'X'"));
	assert_false(d.exists);
	assert_int_equal(d.version, 12);
	assert_int_equal(shadow_store_get(s, "Y", &d, &err), LM_OK);
	assert_true(d.exists);
	assert_int_equal(d.version, 0);
	shadow_store_close(s);
}

static void names_what_it_cannot_open(void **state)
{
	(void)state;
	struct shadow_store *s = NULL;
	struct lm_err damage = {0}, err = {0};

	assert_int_equal(
		shadow_store_open("/tmp/not/there/shadows.db", &s, &damage, &err), LM_E_NOT_FOUND);
	assert_string_equal(
		err.msg, "create '/tmp/not/there/shadows.db': No such file or directory");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(shadow_store_open(path, &s, &damage, &err), LM_OK);
	assert_non_null(strstr(err.msg, "shadows.db"));
	assert_int_equal(damage.rc, 0);
}

static void refuses_what_it_cannot_write(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	struct lm_err damage = {0}, err = {0};

	shadow_store_close(s);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(chmod(path, 0444), 0);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	lm_rc rc = shadow_store_open(path, &s, &damage, &err);
	assert_int_equal(seteuid(getuid()), 0);
	assert_int_equal(rc, LM_E_DENIED);
	assert_non_null(strstr(err.msg, "it cannot be written"));
	assert_int_equal(damage.rc, 0);
}

static void keeps_what_was_synced(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	lm_auto(shadow_sync_finish) struct shadow_sync sync = {0};

	assert_int_equal(shadow_store_get_sync(s, "X", &sync, NULL), LM_OK);
	assert_int_equal(sync.cloud_version, 0);
	assert_null(sync.state);
	sync = (struct shadow_sync){.cloud_version = 41,
		.local_version = 7,
		.state = json_pack("{s:{s:f}}", "desired", "a", 0.1),
		.is_sent = true,
		.sent = json_pack("{s:{s:i}}", "desired", "a", 2)};
	const struct shadow_sync deleted = {.cloud_version = 5, .is_sent = true};
	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	assert_int_equal(shadow_store_put_sync(s, "X", &sync, NULL), LM_OK);
	assert_int_equal(shadow_store_put_sync(s, "Y", &deleted, NULL), LM_OK);
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	shadow_store_close(s);
	s = open_or_fail();
	lm_auto(shadow_sync_finish) struct shadow_sync read = {0};
	assert_int_equal(shadow_store_get_sync(s, "X", &read, NULL), LM_OK);
	assert_int_equal(read.cloud_version, 41);
	assert_int_equal(read.local_version, 7);
	assert_true(json_equal(read.state, sync.state));
	assert_true(read.is_sent && json_equal(read.sent, sync.sent));
	shadow_sync_finish(&read);
	assert_int_equal(shadow_store_get_sync(s, "Y", &read, NULL), LM_OK);
	assert_true(read.cloud_version == 5 && read.is_sent && !read.sent && !read.state);
	shadow_store_close(s);
}

static void a_failed_transaction_is_not_committed(void **state)
{
	(void)state;
	struct shadow_store *s = open_or_fail();
	struct lm_err err = {0};

	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "one");
	assert_int_equal(shadow_store_begin(s, &err), LM_E_SYS); // there is one already
	struct shadow_document d = {.version = 3};
	assert_int_equal(shadow_store_put(s, "X", &d, &err), LM_E_SYS);
	assert_int_equal(shadow_store_commit(s, &err), LM_E_SYS);
	assert_value(s, "X", 0, NULL);
	assert_int_equal(shadow_store_begin(s, NULL), LM_OK);
	put(s, "X", 1, "one");
	assert_int_equal(shadow_store_commit(s, NULL), LM_OK);
	assert_value(s, "X", 1, "one");
	shadow_store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_what_was_committed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(drops_what_was_not, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_a_kill, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_deleted_shadow_keeps_its_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(its_file_is_for_its_user_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(another_process_cannot_have_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_a_later_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			takes_over_one_of_an_earlier_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_what_is_no_database, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_a_damaged_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_a_truncated_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_one_with_other_tables, set_up, tear_down),
		cmocka_unit_test_setup_teardown(replaces_a_second_damaged_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			counts_on_if_only_the_damaged_one_is_there, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			counts_on_from_the_latest_time_of_the_damaged_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damage_at_work_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_row_that_cannot_be_read_is_as_deleted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_what_it_cannot_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_what_it_cannot_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keeps_what_was_synced, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_failed_transaction_is_not_committed, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
