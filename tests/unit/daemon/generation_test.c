// SPDX-License-Identifier: Apache-2.0
#include "daemon/generation.h"

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

#define SHA_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OFFLINE ",\"DockerOfflineMode\":\"True\""
#define DEFINITION(number, key, more)                                                              \
	"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"arn:aws:greengrass:eu-west-1::"         \
	"/connectors/DockerApplicationDeployment/versions/" number "\",\"Parameters\":{"           \
	"\"DockerComposeFileS3Bucket\":\"ships\",\"DockerComposeFileS3Key\":\"" key "\","          \
	"\"DockerComposeFileDestinationPath\":\"/app\"" more "}}]}"
#define VERSION(v) ",\"DockerComposeFileS3Version\":\"" v "\""

static char root[64];
static struct store *store;
static struct lm_err err;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/fallback_test.XXXXXX");
	return mkdtemp(root) && store_open(root, &store, &err) == LM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	store_close(lm_take(store));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

/// A generation that put a file of that digest and version at its destination.
static unsigned deploy(const char *definition, const char *sha256, const char *version, bool good)
{
	lm_auto_close int fd = -1;
	unsigned n = 0;
	const struct store_outcome outcome = {.success = good,
		.stage = good ? NULL : "up",
		.error = good ? NULL : "InternalError",
		.message = good ? NULL : "m",
		.compose_version = *version ? version : NULL};

	assert_int_equal(store_begin(store, lm_str(definition), false, (struct lifecycle_target){0},
				 false, &n, &err),
		LM_OK);
	assert_int_equal(store_compose_open(store, n, false, &fd, &err), LM_OK);
	assert_int_equal(lm_fd_write_all(fd, "compose", LM_STR("services"), &err), LM_OK);
	assert_int_equal(store_compose_keep(store, n, &err), LM_OK);
	assert_int_equal(store_image(store, n, LM_STR("web:1"), LM_STR("sha256:d"),
				 LM_STR("sha256:1"), &err),
		LM_OK);
	if (sha256)
		assert_int_equal(store_note_copy(store, n, sha256, version, &err), LM_OK);
	assert_int_equal(store_finish(store, n, &outcome, &err), LM_OK);
	return n;
}

static struct fallback find(const char *definition, unsigned n)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;

	assert_int_equal(definition_parse(lm_str(definition), &errors, &group, &err), LM_OK);
	return fallback_find(store, &group->connector, n, FALLBACK_ORDINARY);
}

/// "aaaa… v1, bbbb… -" in short: "a:v1 b:".
static void assert_copies(const char *definition, const char *expected)
{
	lm_auto(fallback_finish) struct fallback f = find(definition, 0);
	lm_auto_buf struct lm_buf found = LM_BUF(200);
	size_t i;
	json_t *copy;

	json_array_foreach(json_object_get(f.document, "copies"), i, copy)
	{
		(void)lm_buf_printf(&found, "%s%c:%s", i ? " " : "",
			json_get_text(copy, "sha256")[0], json_get_text(copy, "version"));
	}
	assert_string_equal(lm_buf_cstr(&found), expected);
}

static void there_is_none_without_offline_mode(void **state)
{
	unsigned n = deploy(DEFINITION("7", "a.yml", ""), SHA_A, "", true);
	lm_auto(fallback_finish) struct fallback without = find(DEFINITION("7", "a.yml", ""), n);
	lm_auto(fallback_finish) struct fallback with = find(DEFINITION("7", "a.yml", OFFLINE), n);

	(void)state;
	assert_null(without.document);
	assert_false(without.is_start);
	assert_true(with.is_start);
	assert_true(json_get_bool(with.document, "placed", false));
}

static void copies_are_of_the_same_object_and_version(void **state)
{
	(void)state;
	(void)deploy(DEFINITION("7", "a.yml", ""), SHA_A, "v1", true);
	(void)deploy(DEFINITION("7", "a.yml", VERSION("v2")), SHA_B, "v2", false);
	assert_copies(DEFINITION("7", "a.yml", OFFLINE), "a:v1");
	assert_copies(DEFINITION("7", "a.yml", OFFLINE VERSION("v1")), "a:v1");
	assert_copies(DEFINITION("7", "a.yml", OFFLINE VERSION("v2")), "b:v2");
	assert_copies(DEFINITION("7", "a.yml", OFFLINE VERSION("v3")), "");
	assert_copies(DEFINITION("7", "b.yml", OFFLINE), "");
}

static void a_start_is_of_what_once_succeeded(void **state)
{
	unsigned good = deploy(DEFINITION("7", "a.yml", OFFLINE), SHA_A, "v1", true);
	unsigned bad = deploy(DEFINITION("7", "b.yml", OFFLINE), SHA_B, "v1", false);
	lm_auto(fallback_finish) struct fallback of_good =
		find(DEFINITION("7", "a.yml", OFFLINE), good);
	lm_auto(fallback_finish) struct fallback of_bad =
		find(DEFINITION("7", "b.yml", OFFLINE), bad);

	(void)state;
	assert_true(of_good.is_start);
	assert_string_equal(
		json_get_text(json_object_get(of_good.document, "start"), "version"), "v1");
	assert_string_equal(
		json_get_text(json_object_get(json_object_get(of_good.document, "images"), "web:1"),
			"id"),
		"sha256:1");
	assert_int_equal(json_object_size(json_object_get(of_bad.document, "images")), 0);
	assert_false(of_bad.is_start);
	assert_true(json_is_null(json_object_get(of_bad.document, "start")));
}

static void what_is_at_the_destination_is_by_hand_until_we_replace_it(void **state)
{
	lm_auto(fallback_finish) struct fallback before =
		find(DEFINITION("7", "a.yml", OFFLINE), 0);

	(void)state;
	assert_false(json_get_bool(before.document, "placed", true));
	(void)deploy(DEFINITION("7", "a.yml", OFFLINE), NULL, "", true); // by a file by hand
	lm_auto(fallback_finish) struct fallback after = find(DEFINITION("7", "b.yml", OFFLINE), 0);
	assert_false(json_get_bool(after.document, "placed", true));
	(void)deploy(DEFINITION("1", "c.yml", ""), SHA_A, "", false);
	lm_auto(fallback_finish) struct fallback ours = find(DEFINITION("7", "b.yml", OFFLINE), 0);
	assert_true(json_get_bool(ours.document, "placed", false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			there_is_none_without_offline_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			copies_are_of_the_same_object_and_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_start_is_of_what_once_succeeded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_at_the_destination_is_by_hand_until_we_replace_it, set_up,
			tear_down),
	};

	return cmocka_run_group_tests_name("daemon/generation", tests, NULL, NULL);
}
