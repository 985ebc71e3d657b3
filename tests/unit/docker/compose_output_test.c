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

static void the_text_gives_the_kind(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum compose_line_kind kind;
		const char *text; ///< NULL: the line itself.
	} cases[] = {
		{"Creating p_web_1 ... done", COMPOSE_PROGRESS, NULL},
		{"p_web_1 is up-to-date", COMPOSE_PROGRESS, NULL},
		{" Container p-web-1  Error", COMPOSE_PROGRESS, NULL},
		{"Container \"0a1b\" is unhealthy.", COMPOSE_UNDECIDED, NULL},
		{"Network \"x\" needs to be recreated - options have changed", COMPOSE_UNDECIDED,
			NULL},
		{"ERROR: for web  Cannot start service web", COMPOSE_ERROR, NULL},
		{"Error response from daemon: Conflict.", COMPOSE_ERROR, NULL},
		{" web Error response from daemon: pull access denied", COMPOSE_ERROR, NULL},
		{"The FOO variable is not set. Defaulting to a blank string.", COMPOSE_WARNING,
			NULL},
		{"WARNING: The FOO variable is not set. Defaulting to a blank string.",
			COMPOSE_WARNING, NULL},
		{"time=\"2026-01-01T00:00:00Z\" level=warning msg=\"The \\\"X\\\" is \\n not\"",
			COMPOSE_WARNING, "The \"X\" is   not"},
		{"time=\"2026-01-01T00:00:00Z\" level=fatal msg=bad", COMPOSE_ERROR, "bad"},
		{"time=\"2026\" level=warning msg=\"/d/c.yml: the attribute `version` is obsolete, "
		 "it will be ignored\"",
			COMPOSE_DETAIL,
			"/d/c.yml: the attribute `version` is obsolete, it will be ignored"},
		{"Attaching to errors_1", COMPOSE_PROGRESS, NULL},
		{"services.web.ports contains an invalid type", COMPOSE_UNDECIDED, NULL},
	};
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		assert_int_equal(compose_line_read(lm_str(cases[i].line), &text), cases[i].kind);
		assert_string_equal(
			lm_buf_cstr(&text), cases[i].text ? cases[i].text : cases[i].line);
	}
}

static void quoted_values_are_taken_out(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"services.web.environment.A contains {\"B\": \"s3cret\"}, which is an invalid "
		 "type, it should be a string",
			"services.web.environment.A contains ***, which is an invalid type, it "
			"should be a string"},
		{"services.web.cap_add value ['a', 'a'] has non-unique elements",
			"services.web.cap_add value *** has non-unique elements"},
		{"configs.a value 'content' does not match any of the regexes: '^x-'", NULL},
		{"services.web.labels contains non-unique items, please remove duplicates from "
		 "['a', 'a']",
			"services.web.labels contains non-unique items, please remove duplicates "
			"from ***"},
		{"Error while attempting to convert service.web.cpus to appropriate type: \"s\" is "
		 "not a valid float",
			"Error while attempting to convert service.web.cpus to appropriate type: "
			"\"***\" is not a valid float"},
		{"Missing mandatory value for \"environment\" option interpolating {'A': 'x in "
		 "service \"y\": ${X:?set it}'} in service \"web\": set it",
			"Missing mandatory value for \"environment\" option interpolating *** in "
			"service \"web\": set it"},
		{"error while interpolating services.web.cpus: failed to cast to expected type: "
		 "strconv.ParseFloat: parsing \"s\": invalid syntax",
			"error while interpolating services.web.cpus: failed to cast to expected "
			"type: strconv.ParseFloat: parsing ***: invalid syntax"},
		{"error decoding 'services[web].stop_grace_period': time: invalid duration \"s\"",
			"error decoding 'services[web].stop_grace_period': time: invalid duration "
			"***"},
		{"error decoding 'services[web].mem_limit': invalid size: 's'",
			"error decoding 'services[web].mem_limit': invalid size: ***"},
		{"yaml.composer.ComposerError: found undefined alias 'secret'",
			"yaml.composer.ComposerError: found undefined alias '***'"},
		{"yaml: unknown anchor 'secret' referenced",
			"yaml: unknown anchor '***' referenced"},
		{"yaml.constructor.ConstructorError: could not determine a constructor for the "
		 "tag '!secret'",
			"yaml.constructor.ConstructorError: could not determine a constructor for "
			"the tag '***'"},
		{"found undefined tag handle '!secret!'", "found undefined tag handle '***'"},
		{"service \"web\" refers to undefined network quay: invalid compose project", NULL},
		{"required variable X is missing a value: set it", NULL},
	};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct compose_quotes q = {0};
		assert_true(compose_quotes_strip(&q, lm_str(cases[i][0]), &out));
		assert_string_equal(lm_buf_cstr(&out), cases[i][1] ? cases[i][1] : cases[i][0]);
		assert_false(q.runs_on);
	}
}

static void quoted_values_of_many_lines_are_taken_out(void **state)
{
	(void)state;
	static const struct {
		const char *lines[6];
		const char *expected;
	} cases[] = {
		{{"Invalid interpolation format for \"command\" option in service \"web\": \"now",
			 "a=$(date)", "ERROR: in service \"x\": b", "\""},
			"Invalid interpolation format for \"command\" option in service \"web\": "
			"write $$ for a literal $|"},
		{{"invalid interpolation format for services.web.command.",
			 "You may need to escape any $ with another $.", "${X", "b"},
			"invalid interpolation format for services.web.command.|You may need to "
			"escape any $ with another $.|"},
		{{"Missing mandatory value for \"command\" option interpolating now", "b ${X:?no}",
			 "", "c in service \"web\": no", "more"},
			"Missing mandatory value for \"command\" option interpolating ***| in "
			"service \"web\": no|more|"},
		{{"failed to read /d/.env: line 3: unterminated quoted value 's", "x=y"},
			"failed to read /d/.env: line 3: unterminated quoted value ***|"},
		{{"failed to read /d/.env: line 1: unexpected character \"!\" in variable name "
		  "near "
		  "\"A!B",
			 "C=d\""},
			"failed to read /d/.env: line 1: unexpected character \"!\" in variable "
			"name near ***|"},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct compose_quotes q = {0};
		lm_auto_buf struct lm_buf out = LM_BUF(1000), all = LM_BUF(1000);
		for (size_t j = 0; cases[i].lines[j]; j++)
			if (compose_quotes_strip(&q, lm_str(cases[i].lines[j]), &out))
				(void)lm_buf_printf(&all, "%s|", lm_buf_cstr(&out));
		assert_string_equal(lm_buf_cstr(&all), cases[i].expected);
	}
}

static void names_the_variable_that_is_not_set(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"The APP_TAG variable is not set. Defaulting to a blank string.", "APP_TAG"},
		{"WARNING: The X variable is not set. Defaulting to a blank string.", "X"},
		{"The \"APP_TAG\" variable is not set. Defaulting to a blank string.", "APP_TAG"},
		{"required variable X is missing a value", ""},
		{" variable is not set. Defaulting", ""},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct lm_str name = compose_line_unset(lm_str(cases[i][0]));
		assert_int_equal(name.n, strlen(cases[i][1]));
		assert_memory_equal(name.p, cases[i][1], name.n);
	}
}

static void adds_that_the_next_generation_supports_a_key(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"'name' does not match any of the regexes: '^x-'",
			"'name' is not supported by docker-compose 1.29.2; docker-compose 2 "
			"supports it"},
		{"'nane' does not match any of the regexes: '^x-'",
			"'nane' is not supported by docker-compose 1.29.2"},
		{"Unsupported config option for services.web: 'develop'",
			"Unsupported config option for services.web: 'develop'; docker-compose 2 "
			"supports it"},
		{"Unsupported config option for services.web: 'imagex'",
			"Unsupported config option for services.web: 'imagex'"},
		{"services.web.build contains unsupported option: 'ssh'",
			"services.web.build contains unsupported option: 'ssh'; docker-compose 2 "
			"supports it"},
		{"configs.a value 'content' does not match any of the regexes: '^x-'",
			"configs.a value 'content' does not match any of the regexes: '^x-'; "
			"docker-compose 2 supports it"},
		{"services.web.healthcheck value Additional properties are not allowed "
		 "('start_interval' was unexpected)",
			"services.web.healthcheck value Additional properties are not allowed "
			"('start_interval' was unexpected); docker-compose 2 supports it"},
		{"Unsupported config option for ", "Unsupported config option for "},
		{"'", "'"},
	};
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		compose_line_explain_key(lm_str(cases[i][0]), "1.29.2", &out);
		assert_string_equal(lm_buf_cstr(&out), cases[i][1]);
	}
}

static void assert_reason(const char *const *lines, const char *expected, lm_rc class)
{
	lm_auto(compose_reason_finish) struct compose_reason r;
	lm_auto_buf struct lm_buf text = LM_BUF(2000);
	compose_reason_init(&r);
	for (size_t i = 0; lines[i]; i++) {
		enum compose_line_kind kind = compose_line_read(lm_str(lines[i]), &text);
		compose_reason_add(&r, kind, lm_buf_str(&text));
	}
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
			"ERROR: for db  Cannot start service db: no",
			"ERROR: for p_db_1  Cannot "
			"start service db: "
			"no",
			"Encountered errors while bringing up the project.", NULL},
		"Cannot create container for service web: Conflict. "
		"The container name \"/w\" is already in use by container \"ab\". (and 1 more)",
		LM_E_CONFLICT);
	assert_reason(
		(const char *const[]){"The X variable is not set. Defaulting to a blank string.",
			"The Compose file './docker-compose.yml' is invalid because:",
			"Unsupported config option for services.web: 'imagex'",
			"services.db.image contains an invalid type, it should be a string",
			"services.db.ports contains an invalid type, it should be an array", "",
			"You might be seeing this error because you're using the wrong version.",
			"For more on the Compose file format versions, see https://docs.docker.com",
			NULL},
		"The Compose file './docker-compose.yml' is invalid because: "
		"Unsupported config option for services.web: 'imagex' (and 2 more)",
		LM_E_REFUSED);
	assert_reason(
		(const char *const[]){"yaml.scanner.ScannerError: while scanning a quoted scalar",
			"  in \"c.yml\", line 5, column 10", "found unexpected end of stream",
			NULL},
		"yaml.scanner.ScannerError: while scanning a quoted scalar in \"c.yml\", line 5, "
		"column 10 found unexpected end of stream",
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
			"You may need to escape any $ with another $.", NULL},
		"invalid interpolation format for services.web.command. You may need to escape any "
		"$ with another $.",
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
	assert_reason((const char *const[]){"decoding failed due to the following error(s):", "",
			      "error decoding 'services[web].mem_limit': invalid size: ***",
			      "error decoding 'services[db].mem_limit': invalid size: ***", NULL},
		"error decoding 'services[web].mem_limit': invalid size: *** (and 1 more)",
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

static void a_flood_of_errors_is_counted(void **state)
{
	(void)state;
	lm_auto(compose_reason_finish) struct compose_reason r;
	compose_reason_init(&r);
	for (int i = 0; i < 1000; i++) {
		char line[64];
		(void)snprintf(line, sizeof(line), "ERROR: number %d. of many", i);
		compose_reason_add(&r, COMPOSE_ERROR, lm_str(line));
		compose_reason_add(&r, COMPOSE_ERROR, lm_str(line));
	}
	assert_string_equal(compose_reason_text(&r), "number 0. of many (and 999 more)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strips_escapes_and_control_characters),
		cmocka_unit_test(the_text_gives_the_kind),
		cmocka_unit_test(quoted_values_are_taken_out),
		cmocka_unit_test(quoted_values_of_many_lines_are_taken_out),
		cmocka_unit_test(names_the_variable_that_is_not_set),
		cmocka_unit_test(adds_that_the_next_generation_supports_a_key),
		cmocka_unit_test(finds_the_reason_of_generation_1),
		cmocka_unit_test(finds_the_reason_of_generation_2),
		cmocka_unit_test(names_networks_and_ports_conflict),
		cmocka_unit_test(a_flood_of_errors_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
