// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
	json_t *json = NULL;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &json, &err), LM_OK);
	return json;
}

static void assert_page(const char *plan, const char *expected)
{
	lm_auto_json json_t *json = parse(plan);
	lm_auto_buf struct lm_buf page = LM_BUF(65536);

	plan_render(json, &page);
	assert_string_equal(lm_buf_cstr(&page), expected);
}

static void shows_services_images_and_sums(void **state)
{
	(void)state;
	assert_page(
		"{\"bucket\":\"ships\",\"key\":\"docker-compose.yml\",\"compose_version\":\"v2\","
		"\"docker_compose\":\"1.29.2\",\"offline\":false,\"stages\":[\"prepare\",\"up\"],"
		"\"services\":["
		"{\"service\":\"web\",\"action\":\"recreated\",\"reason\":\"down\","
		"\"changes\":[\"definition\",\"image\"]},"
		"{\"service\":\"db\",\"action\":\"recreated\",\"reason\":\"down\",\"changes\":[]},"
		"{\"service\":\"new\",\"action\":\"created\",\"reason\":\"new\",\"changes\":[]},"
		"{\"service\":\"old\",\"action\":\"left_alone\",\"reason\":\"gone\"},"
		"{\"service\":\"x\",\"action\":\"painted\",\"reason\":\"sun\"}],"
		"\"images\":["
		"{\"image\":\"ships/web:1\",\"action\":\"pull\",\"here\":true,\"bytes\":1100000,"
		"\"bytes_total\":2000000,\"reason\":null},"
		"{\"image\":\"ships/db:1\",\"action\":\"keep\",\"here\":true,\"bytes\":0,"
		"\"bytes_total\":5000,\"reason\":null},"
		"{\"image\":\"far/new:1\",\"action\":\"pull\",\"here\":false,\"bytes\":null,"
		"\"reason\":\"registry far refuses user alice\"}],"
		"\"pull_bytes\":1100000,\"pull_unknown\":1,"
		"\"disk\":{\"directory\":\"/var/lib/docker\",\"needed_bytes\":4400000,"
		"\"reserve_bytes\":0,\"free_bytes\":12000000,\"enough\":null,\"reason\":null}}",
		"compose file     docker-compose.yml in bucket ships, version v2\n"
		"docker-compose   1.29.2\n"
		"stages           prepare, up\n"
		"\n"
		"SERVICE  ACTION      WHY\n"
		"web      recreated   the whole application is stopped first; changed: definition, "
		"image\n"
		"db       recreated   the whole application is stopped first; no changes\n"
		"new      created     no container yet\n"
		"old      left alone  no longer in the compose file, and "
		"StopContainersOnNewDeployment is False\n"
		"x        painted     sun\n"
		"\n"
		"IMAGE        ACTION  TO PULL           NOTE\n"
		"ships/web:1  pull    1.1 MB of 2.0 MB  another version is on this device\n"
		"ships/db:1   keep    -                 present on this device\n"
		"far/new:1    pull    unknown           registry far refuses user alice\n"
		"\n"
		"to pull          1.1 MB, plus 1 image of unknown size\n"
		"disk             about 4.4 MB needed, 12.0 MB free in /var/lib/docker\n");
}

static void says_that_the_disk_is_too_small(void **state)
{
	(void)state;
	assert_page(
		"{\"bucket\":\"b\",\"key\":\"k\",\"docker_compose\":\"2.26.1\",\"offline\":true,"
		"\"stages\":[],\"services\":[],\"images\":[],\"pull_bytes\":0,"
		"\"pull_unknown\":0,\"disk\":{\"directory\":\"/d\",\"needed_bytes\":2000,"
		"\"reserve_bytes\":1000,\"free_bytes\":500,\"enough\":false,\"removed\":["
		"{\"id\":\"sha256:1\",\"image\":\"ships/web:0\",\"bytes\":700},"
		"{\"id\":\"sha256:2\",\"image\":null,\"bytes\":1000}]}}",
		"compose file     k in bucket b\n"
		"offline          only the local copy of the compose file and images on this "
		"device\n"
		"docker-compose   2.26.1\n"
		"stages           \n"
		"\n"
		"to pull          nothing\n"
		"disk             about 2.0 kB needed, 1.0 kB reserved (MinFreeDiskMB), 500 B "
		"free in /d: not enough, free up space there\n"
		"would remove     ships/web:0, 700 B\n"
		"                 image sha256:2, 1.0 kB\n");
}

static void shows_what_there_is_of_a_damaged_plan(void **state)
{
	(void)state;
	assert_page("{\"services\":[1,{}],\"images\":[{}],\"disk\":7,\"pull_bytes\":-1,"
		    "\"key\":\"a\\u001b[31mb\"}",
		"compose file     a\\x1b[31mb\n"
		"docker-compose   \n"
		"stages           \n"
		"\n"
		"SERVICE  ACTION  WHY\n"
		"-        -       -\n"
		"-        -       -\n"
		"\n"
		"IMAGE  ACTION  TO PULL  NOTE\n"
		"-      -       unknown  not on this device\n"
		"\n"
		"to pull          \n"
		"disk             , free space unknown\n");
}

static void the_lines_of_an_answer_become_one_document(void **state)
{
	(void)state;
	lm_auto_json json_t *lines =
		parse("[{\"service\":{\"service\":\"a\"}},{\"image\":{\"image\":\"i\"}},"
		      "{\"service\":{\"service\":\"b\"}},{\"later\":1},{\"summary\":{\"pull_"
		      "bytes\":3}}]");
	lm_auto_json json_t *plan = plan_document(lines);
	lm_auto_json json_t *none = parse("[{\"service\":{}}]");

	assert_non_null(plan);
	assert_int_equal(json_array_size(json_object_get(plan, "services")), 2);
	assert_int_equal(json_array_size(json_object_get(plan, "images")), 1);
	assert_int_equal(json_get_int(plan, "pull_bytes", 0), 3);
	assert_null(plan_document(none));
}

static void shows_what_runs_for_client_devices(void **state)
{
	(void)state;
	static const char base[] = "compose file     \n"
				   "docker-compose   \n"
				   "stages           \n"
				   "\n"
				   "to pull          \n"
				   "disk             , free space unknown\n";
	lm_auto_buf struct lm_buf expected = LM_BUF(4096);

	assert_page("{\"devices\":null}", base);
	(void)lm_buf_printf(&expected,
		"%sclient devices   2, with 1 subscription; local broker on port 8883, discovery "
		"on "
		"8443, 443; bridge to AWS IoT\n",
		base);
	assert_page("{\"devices\":{\"devices\":2,\"subscriptions\":1,\"broker_port\":8883,"
		    "\"discovery_ports\":[8443,443],\"cloud\":true}}",
		lm_buf_cstr(&expected));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_services_images_and_sums),
		cmocka_unit_test(says_that_the_disk_is_too_small),
		cmocka_unit_test(shows_what_there_is_of_a_damaged_plan),
		cmocka_unit_test(the_lines_of_an_answer_become_one_document),
		cmocka_unit_test(shows_what_runs_for_client_devices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
