// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_output.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void strips_escapes_and_control_characters(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"\x1b[1A\x1b[2K\rCreating p_web_1 ... \x1b[32mdone\x1b[0m\r\x1b[1B",
			"Creating p_web_1 ... done"},
		{" Container p-web-1  Started  ", " Container p-web-1  Started"},
		{"\x1b]0;title\aa\tb\x07", "a b"},
		{"\x1b", ""},
		{"\x1b[", ""},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		compose_line_clean(lm_str(cases[i][0]), &out);
		assert_string_equal(lm_buf_cstr(&out), cases[i][1]);
	}
}

static void the_words_give_the_level(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum lm_level level;
	} cases[] = {
		{"Creating p_web_1 ... done", LM_INFO},
		{" Container p-web-1  Error", LM_INFO},
		{"ERROR: for web  Cannot start service web", LM_ERROR},
		{"Error response from daemon: Conflict.", LM_ERROR},
		{" web Error response from daemon: pull access denied", LM_ERROR},
		{"WARNING: The FOO variable is not set. Defaulting to a blank string.", LM_WARN},
		{"time=\"2026-01-01T00:00:00Z\" level=warning msg=\"x\"", LM_WARN},
		{"time=\"2026-01-01T00:00:00Z\" level=fatal msg=\"x\"", LM_ERROR},
		{"Attaching to errors_1", LM_INFO},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(compose_line_level(lm_str(cases[i].line)), cases[i].level);
}

static void assert_reason(const char *const *lines, const char *expected, lm_rc class)
{
	lm_auto(compose_reason_finish) struct compose_reason r;
	compose_reason_init(&r);
	for (size_t i = 0; lines[i]; i++)
		compose_reason_add(&r, lm_str(lines[i]));
	assert_string_equal(compose_reason_text(&r), expected);
	assert_int_equal(compose_reason_class(compose_reason_text(&r)), class);
}

static void finds_the_reason_of_generation_1(void **state)
{
	(void)state;
	assert_reason(
		(const char *const[]){"Creating network \"p_default\" with the default driver",
			"Creating p_web_1 ... ", "Creating p_web_1 ... error", "",
			"ERROR: for p_web_1  Cannot create container for service web: Conflict. "
			"The container name \"/w\" is already in use by container \"ab\".",
			"",
			"ERROR: for web  Cannot create container for service web: Conflict. "
			"The container name \"/w\" is already in use by container \"ab\".",
			"Encountered errors while bringing up the project.", NULL},
		"Cannot create container for service web: Conflict. "
		"The container name \"/w\" is already in use by container \"ab\".",
		LM_E_CONFLICT);
	assert_reason(
		(const char *const[]){
			"ERROR: The Compose file './docker-compose.yml' is invalid because:",
			"Unsupported config option for services.web: 'imagex'", NULL},
		"The Compose file './docker-compose.yml' is invalid because: "
		"Unsupported config option for services.web: 'imagex'",
		LM_E_REFUSED);
	assert_reason(
		(const char *const[]){"Traceback (most recent call last):",
			"  File \"/usr/bin/docker-compose\", line 33, in <module>",
			"    sys.exit(load_entry_point())", "urllib3.exceptions.ProtocolError: x",
			"During handling of the above exception, another exception occurred:",
			"docker.errors.DockerException: Error while fetching server API version: y",
			NULL},
		"docker.errors.DockerException: Error while fetching server API version: y",
		LM_E_NETWORK);
}

static void finds_the_reason_of_generation_2(void **state)
{
	(void)state;
	assert_reason(
		(const char *const[]){"invalid interpolation format for services.web.command.",
			"You may need to escape any $ with another $.", "${X", NULL},
		"invalid interpolation format for services.web.command. You may need to escape any "
		"$ with another $. ${X",
		LM_E_REFUSED);
	assert_reason((const char *const[]){" Container w  Creating",
			      "Error response from daemon: Conflict. The container name \"/w\" is "
			      "already in "
			      "use by container \"ab\".",
			      NULL},
		"Error response from daemon: Conflict. The container name \"/w\" is already in use "
		"by "
		"container \"ab\".",
		LM_E_CONFLICT);
	assert_reason(
		(const char *const[]){"time=\"2026\" level=warning msg=\"version is obsolete\"",
			"validating stdin: services.web Additional property imagex is not allowed",
			NULL},
		"validating stdin: services.web Additional property imagex is not allowed",
		LM_E_REFUSED);
	assert_reason((const char *const[]){NULL}, "", LM_E_REFUSED);
}

static void names_networks_and_ports_conflict(void **state)
{
	(void)state;
	static const char *const conflicts[] = {
		"driver failed: Bind for 0.0.0.0:80 failed: port is already allocated",
		"listen tcp4 0.0.0.0:80: bind: address already in use",
		"network with name p_default already exists",
		"error while removing network: network p_default id ab has active endpoints",
		"network p_default was found but has incorrect label",
		"Pool overlaps with other one on this address space"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(conflicts); i++)
		assert_int_equal(compose_reason_class(conflicts[i]), LM_E_CONFLICT);
	assert_int_equal(compose_reason_class("manifest unknown"), LM_E_REFUSED);
}

static void a_flood_of_errors_is_cut(void **state)
{
	(void)state;
	lm_auto(compose_reason_finish) struct compose_reason r;
	compose_reason_init(&r);
	for (int i = 0; i < 1000; i++) {
		char line[64];
		(void)snprintf(line, sizeof(line), "ERROR: number %d of many", i);
		compose_reason_add(&r, lm_str(line));
	}
	assert_ptr_equal(strstr(compose_reason_text(&r), "number 0 of many number 1 of many"),
		compose_reason_text(&r));
	assert_true(strlen(compose_reason_text(&r)) <= 700);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strips_escapes_and_control_characters),
		cmocka_unit_test(the_words_give_the_level),
		cmocka_unit_test(finds_the_reason_of_generation_1),
		cmocka_unit_test(finds_the_reason_of_generation_2),
		cmocka_unit_test(names_networks_and_ports_conflict),
		cmocka_unit_test(a_flood_of_errors_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
