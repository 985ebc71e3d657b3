// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/file.h"
#include "base/limits.h"
#include "daemon/orders.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP(version, key)                                                                        \
	"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"arn:aws:greengrass:eu-west-1::/"        \
	"connectors/DockerApplicationDeployment/versions/" version "\",\"Parameters\":{"           \
	"\"DockerComposeFileS3Bucket\":\"bkt\",\"DockerComposeFileS3Key\":\"" key "\","            \
	"\"DockerComposeFileDestinationPath\":\"/d\"}}]}"

static char root[64];
static struct orders orders;
static struct lm_err err;
/// What the client has received.
static unsigned lines;
static json_t *last_sent;

static void on_line(void *ctx, json_t *line, bool droppable)
{
	(void)ctx;
	assert_false(droppable);
	json_decref(last_sent);
	last_sent = json_incref(line);
	lines++;
}

static const struct waiter client = {.line = on_line};

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/orders_test.XXXXXX");
	orders = (struct orders){0};
	lines = 0;
	if (!mkdtemp(root) || store_open(root, &orders.store, &err))
		return -1;
	orders.quarantine = quarantine_create(orders.store);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	orders_finish(&orders);
	orders_finish(&orders); // of nothing
	json_decref(lm_take(last_sent));
	quarantine_destroy(lm_take(orders.quarantine));
	store_close(lm_take(orders.store));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static struct group *parse_group(const char *text)
{
	struct group *group = NULL;

	assert_int_equal(orders_parse(lm_str(text), &client, &group, &err), LM_OK);
	assert_int_equal(lines, 0);
	return group;
}

/// As generation 1, 2, …
static void deploy(const char *text)
{
	const struct store_outcome outcome = {.success = true};
	lm_auto(group_destroy_p) struct group *group = parse_group(text);
	lm_auto_buf struct lm_buf definition = LM_BUF(LIMIT_GROUP_FILE);
	unsigned n = 0;

	assert_int_equal(orders_format(group, &definition, &err), LM_OK);
	assert_int_equal(store_begin(orders.store, lm_buf_str(&definition), false,
				 (struct lifecycle_target){0}, false, &n, &err),
		LM_OK);
	assert_int_equal(store_finish(orders.store, n, &outcome, &err), LM_OK);
}

static void every_validation_error_is_sent_to_the_client(void **state)
{
	struct group *group = NULL;

	(void)state;
	assert_int_not_equal(orders_parse(LM_STR("{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":"
						 "\"arn:aws:greengrass:eu-west-1::/connectors/"
						 "DockerApplicationDeployment/versions/7\","
						 "\"Parameters\":{}}]}"),
				     &client, &group, &err),
		LM_OK);
	assert_null(group);
	assert_true(lines >= 3); // bucket, key, destination
	assert_non_null(json_object_get(json_object_get(last_sent, "fault"), "text"));
	assert_non_null(json_object_get(json_object_get(last_sent, "fault"), "rule"));
}

static void finds_the_generation_that_a_definition_repeats(void **state)
{
	(void)state;
	deploy(GROUP("7", "one"));
	deploy(GROUP("7", "two"));
	lm_auto(group_destroy_p) struct group *again = parse_group(" " GROUP("7", "two"));
	lm_auto(group_destroy_p) struct group *other = parse_group(GROUP("6", "two"));
	assert_int_equal(orders_find_deployed(&orders, again), 2);
	assert_int_equal(orders_find_deployed(&orders, other), 0);
}

static void finds_the_generation_by_which_a_definition_is_quarantined(void **state)
{
	lm_auto_free char *reason = NULL;

	(void)state;
	deploy(GROUP("7", "one"));
	deploy(GROUP("7", "two"));
	quarantine_add(orders.quarantine, 1, QUARANTINE_FAILED, "web crashed");
	assert_int_equal(quarantine_write(orders.quarantine, &err), LM_OK);
	lm_auto(group_destroy_p) struct group *one = parse_group(GROUP("7", "one"));
	lm_auto(group_destroy_p) struct group *two = parse_group(GROUP("7", "two"));
	assert_int_equal(orders_find_quarantined(&orders, one, NULL), 1);
	assert_int_equal(orders_find_quarantined(&orders, two, NULL), 0);
	assert_int_equal(orders_find_quarantined(&orders, one, &reason), 1);
	assert_string_equal(reason, "web crashed");
}

static void keeps_the_last_of_each_until_it_is_taken(void **state)
{
	struct group *second = parse_group(GROUP("7", "two")), *plan = parse_group(GROUP("7", "p"));

	(void)state;
	orders_set_deploy(&orders, parse_group(GROUP("7", "one")), true);
	assert_true(orders.now);
	orders_set_deploy(&orders, second, false);
	assert_ptr_equal(orders.deploy, second);
	assert_false(orders.now);
	orders_set_plan(&orders, parse_group(GROUP("7", "o")));
	orders_set_plan(&orders, plan);
	assert_ptr_equal(orders.plan, plan);
	assert_ptr_equal(orders.deploy, second);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_validation_error_is_sent_to_the_client),
		TEST(finds_the_generation_that_a_definition_repeats),
		TEST(finds_the_generation_by_which_a_definition_is_quarantined),
		TEST(keeps_the_last_of_each_until_it_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
