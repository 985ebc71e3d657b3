// SPDX-License-Identifier: Apache-2.0
#include "broker/shadow_service.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "broker/report.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/// What was published: "<topic> <payload>\n" each, with times replaced by T; and the log.
static struct lm_buf published = LM_BUF(64 << 20);
static struct lm_buf logged = LM_BUF(1 << 20);
static char directory[64];
static char *path;
static struct shadow_service *service;

static void take_reply(void *ctx, const char *topic, struct lm_str payload)
{
	static const struct lm_str key = {"\"timestamp\":", 12};

	(void)ctx;
	lm_buf_printf(&published, "%s ", topic + strlen("$aws/things/"));
	while (payload.n > 0) {
		bool time = lm_str_starts(payload, key);
		size_t n = time ? key.n : 1;

		lm_buf_add(&published, payload.p, n);
		payload = (struct lm_str){payload.p + n, payload.n - n};
		if (!time)
			continue;
		lm_buf_putc(&published, 'T');
		while (payload.n > 0 && payload.p[0] >= '0' && payload.p[0] <= '9')
			payload = (struct lm_str){payload.p + 1, payload.n - 1};
	}
	lm_buf_putc(&published, '\n');
}

/// In place of mosquitto's.
void mosquitto_log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mosquitto_log_printf(int level, const char *format, ...)
{
	va_list ap;

	(void)level;
	va_start(ap, format);
	lm_buf_vprintf(&logged, format, ap);
	va_end(ap);
	lm_buf_putc(&logged, '\n');
}

static void open_service(void)
{
	static const char *const things[] = {"Y", "X"};
	struct lm_err err = {0};

	service = shadow_service_open(path, take_reply, NULL, &err);
	assert_non_null(service);
	shadow_service_set_things(service, things, 2);
}

static int set_up(void **state)
{
	(void)state;
	strncpy(directory, "/tmp/shadow-service-XXXXXX", sizeof(directory) - 1);
	assert_non_null(mkdtemp(directory));
	path = lm_path_join(directory, "shadows.db");
	lm_buf_clear(&published);
	lm_buf_clear(&logged);
	open_service();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	shadow_service_close(lm_take(service));
	free(lm_take(path));
	lm_buf_finish(&published);
	lm_buf_finish(&logged);
	return lm_tree_remove(AT_FDCWD, directory, NULL) == LM_OK ? 0 : -1;
}

static void request(const char *what, const char *payload)
{
	lm_auto_free char *topic = lm_xasprintf("$aws/things/%s", what);

	shadow_service_request(service, "client", lm_str(topic), lm_str(payload));
}

/// What was published by the commit.
static void assert_published(const char *expected)
{
	lm_buf_clear(&published);
	shadow_service_commit(service);
	assert_string_equal(lm_buf_cstr(&published), expected);
}

static void answers_after_the_commit(void **state)
{
	(void)state;
	request("X/shadow/update",
		"{\"state\":{\"desired\":{\"a\":1},\"reported\":{\"a\":2}},\"clientToken\":\"t\"}");
	assert_string_equal(lm_buf_cstr(&published), "");
	assert_published("X/shadow/update/accepted "
			 "{\"state\":{\"desired\":{\"a\":1},\"reported\":{\"a\":2}},"
			 "\"metadata\":{\"desired\":{\"a\":{\"timestamp\":T}},\"reported\":{\"a\":{"
			 "\"timestamp\":T}}},"
			 "\"version\":1,\"timestamp\":T,\"clientToken\":\"t\"}\n"
			 "X/shadow/update/delta {\"version\":1,\"timestamp\":T,\"state\":{\"a\":1},"
			 "\"metadata\":{\"a\":{\"timestamp\":T}},\"clientToken\":\"t\"}\n"
			 "X/shadow/update/documents "
			 "{\"previous\":{\"state\":{},\"metadata\":{},\"version\":0},"
			 "\"current\":{\"state\":{\"desired\":{\"a\":1},\"reported\":{\"a\":2}},"
			 "\"metadata\":{\"desired\":{\"a\":{\"timestamp\":T}},\"reported\":{\"a\":{"
			 "\"timestamp\":T}}},"
			 "\"version\":1},\"timestamp\":T,\"clientToken\":\"t\"}\n");
	assert_published("");
	request("X/shadow/get", "");
	assert_published(
		"X/shadow/get/accepted {\"state\":{\"desired\":{\"a\":1},\"reported\":{\"a\":2},"
		"\"delta\":{\"a\":1}},\"metadata\":{\"desired\":{\"a\":{\"timestamp\":T}},"
		"\"reported\":{\"a\":{\"timestamp\":T}}},\"version\":1,\"timestamp\":T}\n");
	struct shadow_counts counts = shadow_service_counts(service);
	assert_int_equal(counts.updates, 1);
	assert_int_equal(counts.rejected, 0);
	assert_null(counts.error);
}

static void requests_of_a_turn_see_each_other(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{\"reported\":{\"a\":1}}}");
	request("X/shadow/update", "{\"state\":{\"reported\":{\"a\":2}},\"version\":1}");
	request("X/shadow/update", "{\"state\":{\"reported\":{\"a\":3}},\"version\":1}");
	request("X/shadow/get", "{\"clientToken\":\"g\"}");
	request("Y/shadow/get", "{\"clientToken\":\"y\"}");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published),
		"X/shadow/update/rejected {\"code\":409,\"message\":\"Version "
		"conflict\",\"timestamp\":T}\n"));
	assert_non_null(strstr(lm_buf_cstr(&published),
		"X/shadow/get/accepted {\"state\":{\"reported\":{\"a\":2}},"
		"\"metadata\":{\"reported\":{\"a\":{\"timestamp\":T}}},"
		"\"version\":2,\"timestamp\":T,\"clientToken\":\"g\"}\n"));
	assert_non_null(strstr(lm_buf_cstr(&published),
		"Y/shadow/get/rejected {\"code\":404,"
		"\"message\":\"No shadow exists with name: 'Y'\",\"clientToken\":\"y\"}\n"));
}

static void versions_go_on_after_a_delete_and_a_restart(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{}}");
	request("X/shadow/update", "{\"state\":{}}");
	request("X/shadow/delete", "{\"clientToken\":\"d\"}");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published),
		"X/shadow/delete/accepted "
		"{\"version\":2,\"timestamp\":T,\"clientToken\":\"d\"}\n"));
	request("X/shadow/delete", "");
	assert_published("X/shadow/delete/rejected {\"code\":404,"
			 "\"message\":\"No shadow exists with name: 'X'\"}\n");
	shadow_service_close(service);
	open_service();
	request("X/shadow/get", "");
	assert_published("X/shadow/get/rejected {\"code\":404,"
			 "\"message\":\"No shadow exists with name: 'X'\"}\n");
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":1}}}");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published),
		"\"previous\":{\"state\":{},\"metadata\":{},\"version\":2},"));
	assert_non_null(strstr(lm_buf_cstr(&published), "\"version\":3"));
}

static void what_was_not_committed_is_not_answered(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":1}}}");
	shadow_service_close(service);
	assert_string_equal(lm_buf_cstr(&published), "");
	open_service();
	request("X/shadow/get", "");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "\"code\":404"));
}

static void knows_the_things_of_the_group_only(void **state)
{
	(void)state;
	request("Z/shadow/get", "{\"clientToken\":\"t\"}");
	request("x/shadow/update", "{\"state\":{}}");
	assert_published("Z/shadow/get/rejected {\"code\":404,\"message\":\"Thing not found\","
			 "\"timestamp\":T,\"clientToken\":\"t\"}\n"
			 "x/shadow/update/rejected {\"code\":404,\"message\":\"Thing not found\","
			 "\"timestamp\":T}\n");
	static const char *const things[] = {"Z"};
	shadow_service_set_things(service, things, 1);
	request("Z/shadow/update", "{\"state\":{}}");
	request("X/shadow/get", "");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "Z/shadow/update/accepted"));
	assert_non_null(strstr(lm_buf_cstr(&published), "X/shadow/get/rejected"));
}

static void ignores_other_topics(void **state)
{
	(void)state;
	lm_auto_free char *name = lm_xcalloc(1, LIMIT_MQTT_TOPIC + 1);

	request("X/shadow/update/accepted", "{}");
	request("X/shadow/name/n/get", "");
	memset(name, 'a', LIMIT_MQTT_TOPIC);
	lm_auto_free char *topic = lm_xasprintf("%s/shadow/get", name);
	request(topic, "");
	assert_published("");
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}

static void takes_ten_requests_at_a_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < LIMIT_SHADOW_IN_FLIGHT + 5; i++)
		request("X/shadow/update", "{\"state\":{},\"clientToken\":\"t\"}");
	request("Y/shadow/update", "{\"state\":{}}");
	shadow_service_request(service, "other", LM_STR("$aws/things/X/shadow/get"), LM_STR(""));
	shadow_service_request(service, NULL, LM_STR("$aws/things/X/shadow/get"), LM_STR(""));
	shadow_service_commit(service);
	assert_int_equal(
		count(lm_buf_cstr(&published), "update/accepted"), LIMIT_SHADOW_IN_FLIGHT + 1);
	assert_int_equal(count(lm_buf_cstr(&published),
				 "X/shadow/update/rejected {\"code\":429,\"message\":\"Too many "
				 "requests\",\"timestamp\":T,\"clientToken\":\"t\"}\n"),
		5);
	assert_int_equal(count(lm_buf_cstr(&published), "get/accepted"), 2);
	lm_buf_clear(&published);
	request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	assert_int_equal(count(lm_buf_cstr(&published), "update/accepted"), 1);
}

static void waiting_requests_have_a_ceiling(void **state)
{
	(void)state;
	for (size_t i = 0; i < LIMIT_SHADOW_WAITING + 3; i++)
		shadow_service_request(
			service, NULL, LM_STR("$aws/things/X/shadow/get"), LM_STR(""));
	shadow_service_commit(service);
	assert_int_equal(count(lm_buf_cstr(&published), "\"code\":429"), 3);
}

static void logs_what_is_malformed(void **state)
{
	(void)state;
	for (size_t i = 0; i < REPORT_MINUTE_MAX + 20; i++) {
		request("X/shadow/update", "{");
		shadow_service_commit(service);
	}
	request("X/shadow/get", ""); // no news
	shadow_service_commit(service);
	assert_int_equal(count(lm_buf_cstr(&logged), "\n"), REPORT_MINUTE_MAX);
	assert_int_equal(count(lm_buf_cstr(&logged),
				 "refused a shadow update of 'client', 'X': 400 Invalid JSON\n"),
		REPORT_MINUTE_MAX);
	assert_int_equal(shadow_service_counts(service).rejected, REPORT_MINUTE_MAX + 21);
}

/// Files cannot grow any more.
static void fill_the_disk(bool full)
{
	struct rlimit limit;
	struct stat st;
	lm_auto_free char *log = lm_xasprintf("%s-wal", path);

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = full ? (rlim_t)st.st_size : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_rejects_the_whole_turn(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":1}}}");
	shadow_service_commit(service);
	lm_buf_clear(&published);
	fill_the_disk(true);
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":2}},\"clientToken\":\"t\"}");
	request("X/shadow/get", "");
	request("Y/shadow/delete", "");
	shadow_service_commit(service);
	fill_the_disk(false);
	assert_string_equal(lm_buf_cstr(&published),
		"X/shadow/update/rejected {\"code\":500,\"message\":\"Internal service failure\","
		"\"timestamp\":T,\"clientToken\":\"t\"}\n"
		"X/shadow/get/rejected {\"code\":500,\"message\":\"Internal service failure\","
		"\"timestamp\":T}\n"
		"Y/shadow/delete/rejected {\"code\":500,\"message\":\"Internal service failure\","
		"\"timestamp\":T}\n");
	assert_int_equal(
		count(lm_buf_cstr(&logged), "requests for shadows are rejected: commit: "), 1);
	assert_non_null(shadow_service_counts(service).error);
	lm_buf_clear(&published);
	// It goes on where the database is.
	request("X/shadow/get", "");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "{\"state\":{\"desired\":{\"a\":1},"));
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":3}},\"version\":1}");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "\"version\":2,"));
	assert_null(shadow_service_counts(service).error);
	assert_int_equal(count(lm_buf_cstr(&logged), "accepted again"), 1);
}

static void without_a_database_there_are_only_failures(void **state)
{
	(void)state;
	struct lm_err err = {0};

	shadow_service_close(service);
	service = shadow_service_open("/tmp/not/there/shadows.db", take_reply, NULL, &err);
	assert_int_equal(err.rc, LM_E_NOT_FOUND);
	static const char *const things[] = {"X"};
	shadow_service_set_things(service, things, 1);
	request("X/shadow/get", "{\"clientToken\":\"t\"}");
	assert_published(
		"X/shadow/get/rejected {\"code\":500,\"message\":\"Internal service failure\","
		"\"timestamp\":T,\"clientToken\":\"t\"}\n");
	assert_string_equal(shadow_service_counts(service).error, err.msg);
}

static void a_damaged_database_is_replaced_with_a_line(void **state)
{
	(void)state;
	shadow_service_close(service);
	lm_auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "damage", 6, 0), 6);
	open_service();
	assert_int_equal(count(lm_buf_cstr(&logged), "\n"), 1);
	assert_int_equal(
		count(lm_buf_cstr(&logged), "shadows are lost, their versions go on: "), 1);
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":1}}}");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "update/accepted"));
}

static void a_document_that_cannot_be_read_is_as_deleted(void **state)
{
	(void)state;
	sqlite3 *db = NULL;

	shadow_service_close(service);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "INSERT INTO shadows VALUES ('X', 7, '[]')", NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	open_service();
	request("X/shadow/get", "");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "No shadow exists with name: 'X'"));
	assert_int_equal(count(lm_buf_cstr(&logged), "refused a stored shadow of 'X': "), 1);
	request("X/shadow/update", "{\"state\":{},\"version\":7}");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "\"version\":8"));
}

// Commits on another thread

static int woken[2] = {-1, -1};

static void note_wake(void *ctx)
{
	(void)ctx;
	(void)!write(woken[1], "w", 1);
}

/// Until the commit that was started is done.
static void wait_for_wake(void)
{
	char byte;

	assert_int_equal(read(woken[0], &byte, 1), 1);
}

/// And until what it published is there. Leaves no wake of it in the pipe.
static void wait_for_replies(void)
{
	int left = 0;

	lm_buf_clear(&published);
	while (published.len == 0) {
		wait_for_wake();
		shadow_service_commit(service);
	}
	while (ioctl(woken[0], FIONREAD, &left) == 0 && left > 0)
		wait_for_wake();
}

static int set_up_beside(void **state)
{
	assert_int_equal(pipe(woken), 0);
	assert_int_equal(fcntl(woken[1], F_SETFL, O_NONBLOCK), 0);
	set_up(state);
	shadow_service_commit_beside(service, note_wake, NULL);
	return 0;
}

static int tear_down_beside(void **state)
{
	int rc = tear_down(state);

	close(woken[0]);
	close(woken[1]);
	return rc;
}

static void requests_wait_while_the_disk_is_waited_for(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{\"reported\":{\"a\":1}}}");
	assert_published(""); // it is being committed
	request("X/shadow/update", "{\"state\":{\"reported\":{\"a\":2}},\"version\":1}");
	request("X/shadow/get", "{\"clientToken\":\"g\"}");
	request("Y/shadow/get", "");
	wait_for_replies();
	assert_int_equal(count(lm_buf_cstr(&published), "\n"), 2);
	assert_int_equal(count(lm_buf_cstr(&published), "X/shadow/update/accepted"), 1);
	wait_for_replies();
	assert_int_equal(count(lm_buf_cstr(&published), "\n"), 4);
	assert_non_null(
		strstr(lm_buf_cstr(&published), "X/shadow/get/accepted {\"state\":{\"reported\":"
						"{\"a\":2}},"));
	assert_non_null(strstr(lm_buf_cstr(&published), "Y/shadow/get/rejected"));
	assert_published("");
}

static void what_writes_nothing_is_answered_at_once(void **state)
{
	(void)state;
	request("X/shadow/get", "");
	request("X/shadow/update", "{");
	shadow_service_commit(service);
	assert_int_equal(count(lm_buf_cstr(&published), "rejected"), 2);
}

static void waiting_requests_count_for_the_limit(void **state)
{
	(void)state;
	for (size_t i = 0; i < 6; i++)
		request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	for (size_t i = 0; i < 6; i++)
		request("X/shadow/update", "{\"state\":{},\"clientToken\":\"t\"}");
	wait_for_replies();
	assert_int_equal(count(lm_buf_cstr(&published), "update/accepted"), 6);
	wait_for_replies();
	assert_int_equal(count(lm_buf_cstr(&published), "update/accepted"), 4);
	assert_int_equal(count(lm_buf_cstr(&published), "\"code\":429"), 2);
	request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	wait_for_replies();
	assert_int_equal(count(lm_buf_cstr(&published), "update/accepted"), 1);
}

static void a_failure_beside_rejects_that_turn_only(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	wait_for_replies();
	fill_the_disk(true);
	request("X/shadow/update", "{\"state\":{},\"clientToken\":\"t\"}");
	shadow_service_commit(service);
	request("Y/shadow/update", "{\"state\":{}}");
	wait_for_wake();
	fill_the_disk(false);
	wait_for_replies();
	assert_string_equal(lm_buf_cstr(&published),
		"X/shadow/update/rejected {\"code\":500,\"message\":\"Internal service failure\","
		"\"timestamp\":T,\"clientToken\":\"t\"}\n");
	wait_for_replies();
	assert_non_null(strstr(lm_buf_cstr(&published), "Y/shadow/update/accepted"));
	assert_int_equal(
		count(lm_buf_cstr(&logged), "requests for shadows are rejected: commit: "), 1);
	assert_int_equal(count(lm_buf_cstr(&logged), "accepted again"), 1);
}

static void the_synchronisation_waits_for_the_disk(void **state)
{
	(void)state;
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "a", 5);
	uint64_t version = 0;

	request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	assert_int_equal(shadow_service_merge(service, "X", patch, &version, NULL), LM_OK);
	assert_int_equal(version, 2);
	request("X/shadow/update", "{\"state\":{},\"version\":2}");
	shadow_service_commit(service);
	assert_int_equal(count(lm_buf_cstr(&published), "update/accepted"), 1);
	wait_for_replies();
	assert_int_equal(count(lm_buf_cstr(&published), "update/accepted"), 2);
	assert_int_equal(count(lm_buf_cstr(&published), "rejected"), 0);
}

static void a_commit_beside_is_finished_at_the_end(void **state)
{
	(void)state;
	request("X/shadow/update", "{\"state\":{\"desired\":{\"a\":1}}}");
	shadow_service_commit(service);
	request("Y/shadow/update", "{\"state\":{}}");
	shadow_service_close(service);
	open_service();
	request("X/shadow/get", "");
	request("Y/shadow/get", "");
	shadow_service_commit(service);
	assert_non_null(strstr(lm_buf_cstr(&published), "X/shadow/get/accepted"));
	assert_non_null(strstr(lm_buf_cstr(&published), "Y/shadow/get/rejected"));
}

// The synchronisation

static struct lm_buf changes = LM_BUF(1 << 16);

static void note_change(void *ctx, const char *thing)
{
	struct shadow_document d = {0};

	lm_buf_printf(&changes, "%s ", thing);
	assert_int_equal(shadow_service_read(ctx, thing, &d, NULL), LM_OK);
	shadow_document_finish(&d);
}

static void note_loss(void *ctx, uint64_t transaction)
{
	(void)ctx;
	lm_buf_printf(&changes, "lost %llu ", (unsigned long long)transaction);
}

static void note_stored(void *ctx, uint64_t transaction)
{
	(void)ctx;
	lm_buf_printf(&changes, "stored %llu ", (unsigned long long)transaction);
}

static void observe(void)
{
	shadow_service_observe(service, &(struct shadow_observer){.changed = note_change,
						.stored = note_stored,
						.lost = note_loss,
						.ctx = service});
	lm_buf_clear(&changes);
}

static void reports_what_clients_changed(void **state)
{
	(void)state;
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "a", 5);
	uint64_t version = 0;

	observe();
	request("X/shadow/update", "{\"state\":{}}");
	request("X/shadow/update", "{\"state\":{}}");
	request("X/shadow/update", "{\"state\":1}");
	request("Y/shadow/get", "");
	request("Y/shadow/update", "{\"state\":{}}");
	assert_int_equal(shadow_service_merge(service, "X", patch, &version, NULL), LM_OK);
	assert_string_equal(lm_buf_cstr(&changes), "");
	shadow_service_commit(service);
	assert_string_equal(lm_buf_cstr(&changes), "stored 1 X Y ");
	lm_buf_clear(&changes);
	shadow_service_commit(service); // the observer's own transaction
	request("X/shadow/get", "");
	request("X/shadow/delete", "");
	shadow_service_commit(service);
	assert_string_equal(lm_buf_cstr(&changes), "X ");
	shadow_service_observe(service, NULL);
	request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	assert_string_equal(lm_buf_cstr(&changes), "X ");
	lm_buf_finish(&changes);
}

static void merges_what_the_cloud_wants(void **state)
{
	(void)state;
	lm_auto_json json_t *patch = json_pack("{s:{s:i,s:n}}", "desired", "a", 5, "b");
	lm_auto_json json_t *bad = json_pack("{s:{s:[n]}}", "desired", "a");
	lm_auto(shadow_document_finish) struct shadow_document d = {0};
	uint64_t version = 0, transaction = 0;
	struct lm_err err = {0};

	observe();
	request("X/shadow/update", "{\"state\":{\"desired\":{\"b\":1},\"reported\":{\"a\":1}}}");
	shadow_service_commit(service);
	lm_buf_clear(&changes);
	assert_int_equal(shadow_service_merge(service, "X", bad, &version, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "merge the shadow of 'X': State contains an invalid node");
	assert_int_equal(shadow_service_merge(service, "X", patch, &version, &err), LM_OK);
	assert_int_equal(version, 2);
	struct shadow_sync sync = {.cloud_version = 40, .local_version = version, .state = patch};
	assert_int_equal(shadow_service_put_sync(service, "X", &sync, &transaction, &err), LM_OK);
	lm_auto_free char *stored = lm_xasprintf("stored %llu ", (unsigned long long)transaction);
	assert_published(
		"X/shadow/update/accepted {\"state\":{\"desired\":{\"a\":5,\"b\":null}},"
		"\"metadata\":{\"desired\":{\"a\":{\"timestamp\":T},\"b\":{\"timestamp\":T}}},"
		"\"version\":2,\"timestamp\":T}\n"
		"X/shadow/update/delta {\"version\":2,\"timestamp\":T,\"state\":{\"a\":5},"
		"\"metadata\":{\"a\":{\"timestamp\":T}}}\n"
		"X/shadow/update/documents "
		"{\"previous\":{\"state\":{\"desired\":{\"b\":1},\"reported\":{\"a\":1}},"
		"\"metadata\":{\"desired\":{\"b\":{\"timestamp\":T}},\"reported\":{\"a\":{"
		"\"timestamp\":T}}},"
		"\"version\":1},\"current\":{\"state\":{\"desired\":{\"a\":5},\"reported\":{\"a\":"
		"1}},"
		"\"metadata\":{\"desired\":{\"a\":{\"timestamp\":T}},\"reported\":{\"a\":{"
		"\"timestamp\":T}}},"
		"\"version\":2},\"timestamp\":T}\n");
	assert_string_equal(lm_buf_cstr(&changes), stored);
	assert_int_equal(shadow_service_merge(service, "X", NULL, &version, &err), LM_OK);
	assert_published("X/shadow/delete/accepted {\"version\":2,\"timestamp\":T}\n");
	assert_int_equal(shadow_service_merge(service, "X", NULL, &version, &err), LM_OK);
	assert_published("");
	assert_int_equal(shadow_service_read(service, "X", &d, &err), LM_OK);
	assert_false(d.exists);
	assert_int_equal(d.version, 2);
	lm_auto(shadow_sync_finish) struct shadow_sync read = {0};
	assert_int_equal(shadow_service_read_sync(service, "X", &read, &err), LM_OK);
	assert_int_equal(read.cloud_version, 40);
	assert_int_equal(shadow_service_counts(service).updates, 1);
	lm_buf_finish(&changes);
}

static void reports_that_a_merge_is_lost(void **state)
{
	(void)state;
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "a", 5);
	uint64_t version = 0;
	lm_auto(shadow_document_finish) struct shadow_document d = {0};

	observe();
	request("X/shadow/update", "{\"state\":{}}");
	shadow_service_commit(service);
	lm_buf_clear(&changes);
	fill_the_disk(true);
	assert_int_equal(shadow_service_merge(service, "X", patch, &version, NULL), LM_OK);
	assert_published("");
	fill_the_disk(false);
	assert_true(lm_str_starts(lm_buf_str(&changes), LM_STR("lost ")));
	assert_null(strstr(lm_buf_cstr(&changes), "stored"));
	assert_int_equal(shadow_service_read(service, "X", &d, NULL), LM_OK);
	assert_int_equal(d.version, 1);
	lm_buf_finish(&changes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_after_the_commit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			requests_of_a_turn_see_each_other, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			versions_go_on_after_a_delete_and_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_was_not_committed_is_not_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			knows_the_things_of_the_group_only, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ignores_other_topics, set_up, tear_down),
		cmocka_unit_test_setup_teardown(takes_ten_requests_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waiting_requests_have_a_ceiling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(logs_what_is_malformed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_full_disk_rejects_the_whole_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_database_there_are_only_failures, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_damaged_database_is_replaced_with_a_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_document_that_cannot_be_read_is_as_deleted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(requests_wait_while_the_disk_is_waited_for,
			set_up_beside, tear_down_beside),
		cmocka_unit_test_setup_teardown(
			what_writes_nothing_is_answered_at_once, set_up_beside, tear_down_beside),
		cmocka_unit_test_setup_teardown(
			waiting_requests_count_for_the_limit, set_up_beside, tear_down_beside),
		cmocka_unit_test_setup_teardown(
			a_failure_beside_rejects_that_turn_only, set_up_beside, tear_down_beside),
		cmocka_unit_test_setup_teardown(
			the_synchronisation_waits_for_the_disk, set_up_beside, tear_down_beside),
		cmocka_unit_test_setup_teardown(
			a_commit_beside_is_finished_at_the_end, set_up_beside, tear_down_beside),
		cmocka_unit_test_setup_teardown(reports_what_clients_changed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merges_what_the_cloud_wants, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reports_that_a_merge_is_lost, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
