// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_status.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/device_status_test.XXXXXX";
static char path[96];

static int make_folder(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/status.json", folder);
	return 0;
}

static int remove_folder(void **state)
{
	struct lm_err err;

	(void)state;
	return lm_tree_remove(AT_FDCWD, folder, &err) ? -1 : 0;
}

static json_t *read_text(const char *text)
{
	struct lm_err err;

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0640, &err), LM_OK);
	return device_status_read(path, 77);
}

static void shows_what_the_broker_says(void **state)
{
	lm_auto_json json_t *status = read_text(
		"{\"format\":1,\"pid\":77,\"connected\":[\"A\",\"B\"],\"routed\":5,\"delivered\":6,"
		"\"refused\":7,\"refused_connections\":8,\"table_error\":null,"
		"\"clients\":[{\"name\":\"A\",\"connected\":true,\"since_ms\":9,\"routed\":1,"
		"\"refused\":2,\"more\":3},{\"connected\":true}],"
		"\"shadows\":{\"updates\":3,\"rejected\":4,\"error\":\"disk full\"},"
		"\"cloud\":{\"connected\":false,\"sent\":1,\"received\":2,\"refused\":4,"
		"\"sync_conflicts\":3,\"sync_failing\":5}}");
	lm_auto_json json_t *answer = json_object();

	(void)state;
	assert_non_null(status);
	device_status_show(status, answer);
	lm_auto_free char *text = json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
		"{\"clients\":[{\"connected\":true,\"name\":\"A\",\"refused\":2,\"routed\":1,"
		"\"since_ms\":9}],\"cloud\":{\"connected\":false,\"received\":2,\"refused\":4,"
		"\"sent\":1,"
		"\"sync_conflicts\":3,\"sync_failing\":5},\"connected\":2,\"delivered\":6,"
		"\"refused\":7,"
		"\"refused_connections\":8,\"routed\":5,"
		"\"shadows\":{\"error\":\"disk full\",\"rejected\":4,\"updates\":3},"
		"\"table_error\":null}");
	assert_true(device_status_is_connected(status, "B"));
	assert_false(device_status_is_connected(status, "C"));
	assert_int_equal(device_status_cloud(status), 0);
	assert_int_equal(device_status_count(status, "shadows", "updates"), 3);
}

static void without_a_file_everything_is_zero(void **state)
{
	lm_auto_json json_t *answer = json_object();

	(void)state;
	(void)unlink(path);
	assert_null(device_status_read(path, 77));
	device_status_show(NULL, answer);
	lm_auto_free char *text = json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
		"{\"clients\":[],\"cloud\":null,\"connected\":0,\"delivered\":0,\"refused\":0,"
		"\"refused_connections\":0,\"routed\":0,\"shadows\":null,\"table_error\":null}");
	assert_int_equal(device_status_cloud(NULL), -1);
}

static void wrong_types_are_no_numbers(void **state)
{
	lm_auto_json json_t *status = read_text(
		"{\"format\":1,\"pid\":77,\"connected\":{},\"routed\":\"5\",\"refused\":-7,"
		"\"clients\":[1,null,{\"name\":7}],\"shadows\":[],\"cloud\":{\"connected\":1}}");
	lm_auto_json json_t *answer = json_object();

	(void)state;
	assert_non_null(status);
	device_status_show(status, answer);
	lm_auto_free char *text = json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
		"{\"clients\":[],\"cloud\":{\"connected\":null,\"received\":0,\"refused\":0,"
		"\"sent\":0,"
		"\"sync_conflicts\":0,\"sync_failing\":0},\"connected\":0,\"delivered\":0,"
		"\"refused\":0,"
		"\"refused_connections\":0,\"routed\":0,\"shadows\":null,\"table_error\":null}");
}

static void what_no_broker_of_ours_wrote_is_not_read(void **state)
{
	static const char *const texts[] = {"", "null", "[]", "{}", "{\"format\":2,\"pid\":77}",
		"{\"format\":1,\"pid\":78}", "{\"format\":1,\"pid\":77"};
	static char large[LIMIT_DEVICE_STATUS + 2];
	struct lm_err err;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++)
		assert_null(read_text(texts[i]));
	memset(large, ' ', LIMIT_DEVICE_STATUS + 1);
	memcpy(large, "{\"format\":1,\"pid\":77}", 21);
	assert_null(read_text(large));
	assert_null(device_status_read(path, 0));

	lm_auto_free char *other = lm_path_join(folder, "other");
	assert_int_equal(
		lm_file_replace(AT_FDCWD, other, LM_STR("{\"format\":1,\"pid\":77}"), 0600, &err),
		LM_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_null(device_status_read(path, 77));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_null(device_status_read(path, 77)); // and does not wait
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_what_the_broker_says),
		cmocka_unit_test(without_a_file_everything_is_zero),
		cmocka_unit_test(wrong_types_are_no_numbers),
		cmocka_unit_test(what_no_broker_of_ours_wrote_is_not_read),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
