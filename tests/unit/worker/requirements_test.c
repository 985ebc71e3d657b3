// SPDX-License-Identifier: Apache-2.0
#include "worker/requirements.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/// The differences between a volume as a compose file defines it, and one as the engine has it.
static void assert_differences(const char *definition, const char *volume, const char *differences)
{
	lm_auto_buf struct lm_buf config = LM_BUF(1000);
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	const struct compose_services services = {0};
	lm_auto(compose_requirements_finish) struct compose_requirements wanted = {0};
	lm_auto(engine_volume_finish) struct engine_volume found = {0};
	struct lm_err err = {LM_OK};

	(void)lm_buf_printf(&config, "services: {a: {}}\nvolumes: {v: %s}\n", definition);
	assert_int_equal(
		compose_requirements_parse(lm_buf_str(&config), "p", 1, &services, &wanted, &err),
		LM_OK);
	assert_int_equal(engine_parse_volume(lm_str(volume), &found, &err), LM_OK);
	assert_int_equal(requirements_compare_volume(&wanted.volumes[0], &found, &text),
		*differences != '\0');
	assert_string_equal(lm_buf_cstr(&text), differences);
}

static void compares_volumes_as_docker_compose_does(void **state)
{
	(void)state;
	assert_differences("null", "{\"Driver\":\"local\",\"Options\":null}", "");
	assert_differences("{driver: default}", "{\"Driver\":\"local\"}", "");
	assert_differences("{driver_opts: {o: 'size=1m'}}",
		"{\"Driver\":\"local\",\"Options\":{\"o\":\"size=1m\",\"com.docker.x\":\"y\"}}",
		"");
	assert_differences("{driver_opts: {o: 'a$$b'}}",
		"{\"Driver\":\"local\",\"Options\":{\"o\":\"a$b\"}}", "");
	assert_differences("{driver_opts: {o: 'rw,size=2m', type: tmpfs}}",
		"{\"Driver\":\"local\",\"Options\":{\"o\":\"rw,size=1m\",\"device\":\"/srv\"}}",
		"'o' is 'rw,size=2m' in the compose file and 'rw,size=1m' in the volume, "
		"'type' is 'tmpfs' in the compose file and not set in the volume, "
		"'device' is not set in the compose file and '/srv' in the volume");
	assert_differences("{driver: sshfs}", "{\"Driver\":\"local\"}",
		"the driver is 'sshfs' in the compose file and 'local' in the volume");
}

static void shows_no_value_that_may_be_a_secret(void **state)
{
	(void)state;
	assert_differences("{driver_opts: {o: 'addr=1.2.3.4,username=u,password=hunter2'}}",
		"{\"Driver\":\"local\",\"Options\":{\"o\":\"addr=1.2.3.5,password=old\"}}",
		"'o' is 'addr=1.2.3.4,username=…,password=…' in the compose file and "
		"'addr=1.2.3.5,password=…' in the volume");
	assert_differences("{driver_opts: {o: 'rw,password=hunter,two,three,uid=7,ro'}}",
		"{\"Driver\":\"local\"}",
		"'o' is 'rw,password=…,…,…,uid=7,ro' in the compose file and not set in the "
		"volume");
	assert_differences("{driver_opts: {token: hunter2, device: 'u:hunter2@host:/x'}}",
		"{\"Driver\":\"local\"}",
		"'token' is '…' in the compose file and not set in the volume, "
		"'device' is '…' in the compose file and not set in the volume");
}

static void the_first_error_tells_of_the_others(void **state)
{
	(void)state;
	char warning[] = "w", one[] = "first", two[] = "second";
	struct problem items[] = {{PROBLEM_WARNING, LM_OK, warning},
		{PROBLEM_ERROR, LM_E_INVALID, one}, {PROBLEM_ERROR, LM_E_CONFLICT, two}};
	struct problems problems = {items, 1};
	struct lm_err err = {LM_OK};

	assert_int_equal(problems_to_error(&problems, &err), LM_OK);
	problems.n = 2;
	assert_int_equal(problems_to_error(&problems, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "first");
	problems.n = 3;
	assert_int_equal(problems_to_error(&problems, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "first (and 1 more)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_volumes_as_docker_compose_does),
		cmocka_unit_test(shows_no_value_that_may_be_a_secret),
		cmocka_unit_test(the_first_error_tells_of_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
