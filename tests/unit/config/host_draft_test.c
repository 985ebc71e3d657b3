// SPDX-License-Identifier: Apache-2.0
#include "config/host_draft.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "config/host_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct host_draft FULL = {.default_user = "al\"ice",
	.region = "eu-west-1",
	.control_group = "crew",
	.broker_host = "::1",
	.broker_port = 1884,
	.docker_socket = "/run/docker.sock",
	.host_name = "boat",
	.compose = "docker-compose 2\n\"evil\": 1,",
	.greengrass_root = "/greengrass"};

static void read_back(struct lm_buf *text, struct host_settings *ret)
{
	lm_auto_json json_t *document = NULL;
	struct lm_err err = {LM_OK};

	if (host_parse(text, &document, &err) || host_from_json(document, ret, &err))
		fail_msg("%s\n%s", err.msg, lm_buf_cstr(text));
}

static void says_what_was_answered(void **state)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HOST_FILE);
	lm_auto_host struct host_settings host = {0};

	(void)state;
	host_draft_write(&FULL, &text);
	// What was found cannot end its comment.
	assert_non_null(strstr(lm_buf_cstr(&text), "docker-compose 2\\x0a\"evil\": 1,"));
	read_back(&text, &host);
	assert_string_equal(host.default_user, "al\"ice");
	assert_string_equal(host.region, "eu-west-1");
	assert_string_equal(host.control_group, "crew");
	assert_int_equal(host.brokers_n, 1);
	assert_string_equal(host.brokers[0].host, "::1");
	assert_int_equal(host.brokers[0].port, 1884);
	assert_string_equal(host.docker_socket, "/run/docker.sock");
}

static void what_is_not_answered_is_the_default(void **state)
{
	const struct host_draft draft = {.docker_socket = "/var/run/docker.sock"};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HOST_FILE);
	lm_auto_host struct host_settings host = {0}, plain = {0};
	struct lm_err err = {LM_OK};
	lm_auto_json json_t *empty = json_object();

	(void)state;
	host_draft_write(&draft, &text);
	read_back(&text, &host);
	assert_int_equal(host_from_json(empty, &plain, &err), LM_OK);
	lm_auto_json json_t *ours = host_to_json(&host), *defaults = host_to_json(&plain);
	assert_true(json_equal(ours, defaults));
}

/// Each comment that holds a key is right JSON in its place: a person only takes away the slashes.
static void each_example_can_be_uncommented(void **state)
{
	const struct host_draft draft = {.docker_socket = "/var/run/docker.sock"};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HOST_FILE);
	lm_auto_host struct host_settings host = {0};
	size_t examples = 0;

	(void)state;
	host_draft_write(&draft, &text);
	for (char *at = text.data; (at = strstr(at, "// \"")); at += 3) {
		memset(at, ' ', 3);
		examples++;
	}
	assert_int_equal(examples, 9);
	read_back(&text, &host);
	assert_string_equal(host.credentials.role_alias, "ALIAS");
	assert_string_equal(host.object_store_directory, "/srv/lighterman/objects");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_was_answered),
		cmocka_unit_test(what_is_not_answered_is_the_default),
		cmocka_unit_test(each_example_can_be_uncommented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
