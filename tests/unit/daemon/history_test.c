// SPDX-License-Identifier: Apache-2.0
#include "daemon/history.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEFINITION(key)                                                                            \
	"{\"Connectors\":[{\"Id\":\"harbour\",\"ConnectorArn\":\"arn:aws:greengrass:eu-west-1::"   \
	"/connectors/DockerApplicationDeployment/versions/7\",\"Parameters\":{"                    \
	"\"DockerComposeFileS3Bucket\":\"ships\",\"DockerComposeFileS3Key\":\"" key "\","          \
	"\"DockerComposeFileDestinationPath\":\"/app\"}}]}"

static char root[64];
static struct store *store;
static struct lm_err err;

static int set_up(void **state)
{
	(void)state;
	err = (struct lm_err){LM_OK};
	(void)snprintf(root, sizeof(root), "/tmp/history_test.XXXXXX");
	return mkdtemp(root) && store_open(root, &store, &err) == LM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	store_close(lm_take(store));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static unsigned begin(const char *definition)
{
	unsigned n = 0;

	assert_int_equal(store_begin(store, lm_str(definition), false, (struct lifecycle_target){0},
				 false, &n, &err),
		LM_OK);
	return n;
}

/// A generation whose attempt has ended.
static unsigned deploy(const char *definition, bool success, bool probation)
{
	lm_auto_close int fd = -1;
	unsigned n = begin(definition);
	const struct store_outcome outcome = {.success = success,
		.probation = probation,
		.stage = success ? NULL : "up",
		.error = success ? NULL : "InternalError",
		.message = success ? NULL : "port 80 is taken",
		.compose_version = "v1",
		.started_ms = 1000,
		.ended_ms = 5000};

	assert_int_equal(store_compose_open(store, n, false, &fd, &err), LM_OK);
	assert_int_equal(lm_fd_write_all(fd, "compose", LM_STR("services"), &err), LM_OK);
	assert_int_equal(store_compose_keep(store, n, &err), LM_OK);
	assert_int_equal(store_finish(store, n, &outcome, &err), LM_OK);
	return n;
}

static json_t *read_history(void)
{
	const struct status shown = {.store = store};
	json_t *history = NULL;

	assert_int_equal(history_to_json(&shown, &history, &err), LM_OK);
	return history;
}

static void damage(unsigned n, const char *name)
{
	lm_auto_free char *path = lm_xasprintf("%s/generations/%u/%s", root, n, name);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, LM_STR("{"), 0600, &err), LM_OK);
}

static void nothing_deployed_is_an_empty_list(void **state)
{
	(void)state;
	lm_auto_json json_t *history = read_history();

	assert_int_equal(json_array_size(history), 0);
}

static void lists_generations_newest_first_with_how_they_ended(void **state)
{
	(void)state;
	assert_int_equal(deploy(DEFINITION("one"), true, false), 1);
	assert_int_equal(deploy(DEFINITION("two"), false, false), 2);
	lm_auto_json json_t *history = read_history();
	const json_t *two = json_array_get(history, 0), *one = json_array_get(history, 1);

	assert_int_equal(json_array_size(history), 2);
	assert_int_equal(json_get_int(two, "generation", 0), 2);
	assert_string_equal(json_get_text(two, "key"), "two");
	assert_string_equal(json_get_text(two, "id"), "harbour");
	assert_false(json_get_bool(two, "success", true));
	assert_string_equal(json_get_text(two, "stage"), "up");
	assert_string_equal(json_get_text(two, "message"), "port 80 is taken");
	assert_true(json_get_bool(two, "wanted", false));
	assert_false(json_get_bool(two, "rollback", true));
	assert_string_equal(json_get_text(two, "obstacle"), "it was never deployed successfully");
	assert_true(json_get_bool(one, "success", false));
	assert_true(json_get_bool(one, "current", false));
	assert_true(json_get_bool(one, "last_good", false));
	assert_string_equal(json_get_text(one, "compose_version"), "v1");
	assert_int_equal(json_get_int(one, "ended_ms", 0), 5000);
	assert_true(json_get_bool(one, "rollback", false));
	assert_true(json_is_null(json_object_get(one, "obstacle")));
	assert_true(json_is_null(json_object_get(one, "probation")));
	assert_true(json_is_null(json_object_get(one, "quarantine")));
}

static void one_that_has_not_ended_has_no_outcome(void **state)
{
	(void)state;
	assert_int_equal(begin(DEFINITION("one")), 1);
	lm_auto_json json_t *history = read_history();
	const json_t *one = json_array_get(history, 0);

	assert_true(json_is_null(json_object_get(one, "success")));
	assert_true(json_is_null(json_object_get(one, "ended_ms")));
	assert_false(json_get_bool(one, "rollback", true));
}

static void names_probation_and_quarantine(void **state)
{
	(void)state;
	(void)deploy(DEFINITION("one"), true, false);
	(void)deploy(DEFINITION("two"), true, true);
	assert_int_equal(store_quarantine(store, 1, "it crashed", &err), LM_OK);
	lm_auto_json json_t *history = read_history();
	const json_t *two = json_array_get(history, 0), *one = json_array_get(history, 1);
	const json_t *quarantine = json_object_get(one, "quarantine");

	assert_true(json_is_object(json_object_get(two, "probation")));
	assert_true(json_get_bool(two, "current", false));
	assert_false(json_get_bool(two, "last_good", true));
	assert_true(json_get_bool(one, "last_good", false));
	assert_true(json_is_null(json_object_get(one, "probation")));
	assert_string_equal(json_get_text(quarantine, "reason"), "it crashed");
	assert_true(json_get_int(quarantine, "at_ms", 0) > 0);
	assert_true(json_get_bool(one, "rollback", false)); // a person may
	assert_int_equal(store_confirm(store, 2, &err), LM_OK);
	lm_auto_json json_t *after = read_history();
	assert_true(json_is_null(json_object_get(json_array_get(after, 0), "probation")));
}

static void what_is_damaged_cannot_be_had_and_hides_no_other(void **state)
{
	(void)state;
	lm_auto_free char *path = NULL;

	(void)deploy(DEFINITION("one"), true, false);
	(void)deploy(DEFINITION("two"), true, false);
	(void)deploy(DEFINITION("three"), true, false);
	damage(1, "definition.json");
	path = lm_xasprintf("%s/generations/2/compose.yml", root);
	assert_int_equal(remove(path), 0);
	lm_auto_json json_t *history = read_history();
	const json_t *two = json_array_get(history, 1), *one = json_array_get(history, 2);

	assert_int_equal(json_array_size(history), 3);
	assert_string_equal(json_get_text(one, "obstacle"), "its stored definition cannot be read");
	assert_true(json_is_null(json_object_get(one, "key")));
	assert_true(json_get_bool(one, "success", false));
	assert_string_equal(
		json_get_text(two, "obstacle"), "its stored compose file cannot be read");
	assert_int_equal(history_check(store, 3, &err), LM_OK);
	assert_int_equal(history_check(store, 1, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "cannot roll back to generation 1: its stored definition "
				     "cannot be read; possible generations: 3");
}

static void a_refusal_names_the_generations_that_can_be_had(void **state)
{
	(void)state;
	assert_int_equal(history_check(store, 1, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "cannot roll back to generation 1: there is no such "
				     "generation; possible generations: none");
	(void)deploy(DEFINITION("one"), true, false);
	(void)deploy(DEFINITION("two"), false, false);
	(void)deploy(DEFINITION("three"), true, false);
	assert_int_equal(history_check(store, 1, &err), LM_OK);
	assert_int_equal(history_check(store, 2, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "cannot roll back to generation 2: it was never deployed "
				     "successfully; possible generations: 3, 1");
	assert_int_equal(history_check(store, 99, &err), LM_E_NOT_FOUND);
	assert_int_equal(history_check(store, 0, &err), LM_E_NOT_FOUND);
}

static void of_many_possible_generations_the_newest_are_named(void **state)
{
	(void)state;
	for (int i = 0; i < 25; i++)
		(void)deploy(DEFINITION("some"), true, false);
	assert_int_equal(history_check(store, 99, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "possible generations: 25, 24, 23, "));
	assert_non_null(strstr(err.msg, " 7, 6 and perhaps more, see 'lighterman history'"));
}

#define HISTORY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTORY_TEST(nothing_deployed_is_an_empty_list),
		HISTORY_TEST(lists_generations_newest_first_with_how_they_ended),
		HISTORY_TEST(one_that_has_not_ended_has_no_outcome),
		HISTORY_TEST(names_probation_and_quarantine),
		HISTORY_TEST(what_is_damaged_cannot_be_had_and_hides_no_other),
		HISTORY_TEST(of_many_possible_generations_the_newest_are_named),
		HISTORY_TEST(a_refusal_names_the_generations_that_can_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
