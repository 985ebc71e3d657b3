// SPDX-License-Identifier: Apache-2.0
#include "broker/status_file.h"

#include "tables.h"

#include "base/file.h"
#include "base/limits.h"

// cmocka.h wants these before it.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void is_written_once_a_second_after_a_change(void **state)
{
	(void)state;
	char folder[] = "/tmp/status_file_test.XXXXXX";
	struct status_file *f = NULL;
	struct lm_err err = {0};
	bool waiting = false;
	lm_auto(routes_destroy_p) struct routes *r = tables_routes("[]", false);
	struct local_clients *clients = local_clients_create(r);
	struct identity shown = {.client_id = "A", .certificate = CERTIFICATE_A};
	struct router_status status = {
		.started_ms = 1, .clients = clients, .counts = {.routed = 7}};

	assert_non_null(mkdtemp(folder));
	lm_auto_free char *path = lm_path_join(folder, "status.json");
	local_clients_connect(clients, routes_client(r, LM_STR("A")), "token", &shown, 5, &waiting);
	assert_int_equal(status_file_open(path, &f, &err), LM_OK);
	assert_true(status_file_is_due(f, 100));
	assert_int_equal(status_file_write(f, 100, &status, &err), LM_OK);
	assert_false(status_file_is_due(f, 99999));
	status_file_touch(f);
	assert_false(status_file_is_due(f, 1099));
	assert_true(status_file_is_due(f, 1100));
	lm_auto_json json_t *written = NULL;
	assert_int_equal(json_read_file(path, LIMIT_ROUTER_STATUS, &written, &err), LM_OK);
	assert_int_equal(json_get_int(written, "routed", 0), 7);
	assert_true(json_is_null(json_object_get(written, "table_error")));
	assert_true(json_is_null(json_object_get(written, "cloud")));
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(written, "connected"), 0)), "A");
	status_file_close(f);
	local_clients_destroy(clients);
	assert_int_equal(lm_tree_remove(AT_FDCWD, folder, &err), LM_OK);
}

static void needs_its_folder_or_no_path(void **state)
{
	(void)state;
	struct status_file *f = NULL;
	struct lm_err err = {0};

	assert_int_equal(status_file_open("/nowhere/at/all/status.json", &f, &err), LM_E_NOT_FOUND);
	assert_int_equal(status_file_open(NULL, &f, &err), LM_OK);
	assert_false(status_file_is_due(f, 99999));
	status_file_close(f);
	status_file_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_written_once_a_second_after_a_change),
		cmocka_unit_test(needs_its_folder_or_no_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
