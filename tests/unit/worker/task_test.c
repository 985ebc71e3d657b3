// SPDX-License-Identifier: Apache-2.0
#include "worker/task.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GROUP                                                                                      \
	"{\"Connectors\":[{\"Id\":\"app\",\"ConnectorArn\":\"arn:aws:greengrass:eu-west-1::/"      \
	"connectors/DockerApplicationDeployment/versions/7\",\"Parameters\":{"                     \
	"\"DockerComposeFileS3Bucket\":\"ships\",\"DockerComposeFileS3Key\":\"c.yml\","            \
	"\"DockerComposeFileDestinationPath\":\"/app\"}}]}"
#define HOST "{\"docker\":{\"socket\":\"/run/d.sock\"}}"
#define DIRECTORY "\"credentials_directory\":\"/run/l/1\""

static lm_rc parse(const char *line, struct task *ret, struct lm_err *err)
{
	return task_parse(lm_str(line), ret, err);
}

static void reads_a_deploy(void **state)
{
	(void)state;
	lm_auto_task struct task task = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(
		parse("{\"job\":\"deploy\",\"group\":" GROUP ",\"host\":" HOST "," DIRECTORY
		      ",\"compose\":{\"stamp\":\"s\",\"version\":\"1.29.2\"},"
		      "\"previous\":{\"destination\":\"/old\"}}",
			&task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_DEPLOY);
	assert_string_equal(task.group->connector.bucket, "ships");
	assert_string_equal(task.host.docker_socket, "/run/d.sock");
	assert_string_equal(task.credentials_directory, "/run/l/1");
	assert_string_equal(task.compose_stamp, "s");
	assert_string_equal(task.compose_version, "1.29.2");
	assert_string_equal(task.previous_destination, "/old");
}

static void reads_what_a_deploy_may_fall_back_to(void **state)
{
	(void)state;
	lm_auto_task struct task none = {0}, task = {0}, bad = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(
		parse("{\"job\":\"deploy\",\"group\":" GROUP ",\"host\":" HOST "," DIRECTORY "}",
			&none, &err),
		LM_OK);
	assert_false(none.fallback.is_start || none.fallback.placed);
	assert_int_equal(
		parse("{\"job\":\"deploy\",\"group\":" GROUP ",\"host\":" HOST "," DIRECTORY
		      ",\"fallback\":{\"start\":{\"version\":null},\"placed\":true,"
		      "\"images\":{\"a:1\":{\"digest\":\"\",\"id\":\"sha256:1\"},"
		      "\"b:1\":{\"digest\":\"d\",\"id\":\"\"},\"c:1\":\"old\"},"
		      "\"copies\":[{\"sha256\":\"0a\",\"version\":\"v1\"}]}}",
			&task, &err),
		LM_OK);
	assert_true(task.fallback.is_start && task.fallback.placed);
	assert_null(task.fallback.start_version);
	assert_int_equal(task.fallback.images_n, 1); // of the others no ID is known
	assert_string_equal(task.fallback.images[0].name, "a:1");
	assert_string_equal(task.fallback.images[0].id, "sha256:1");
	assert_int_equal(task.fallback.copies_n, 1);
	assert_string_equal(task.fallback.copies[0].sha256, "0a");
	assert_string_equal(task.fallback.copies[0].version, "v1");
	assert_int_equal(parse("{\"job\":\"deploy\",\"group\":" GROUP ",\"host\":" HOST
			       "," DIRECTORY ",\"fallback\":{\"copies\":[{\"sha256\":7}]}}",
				 &bad, &err),
		LM_E_PROTOCOL);
}

static void a_down_needs_no_compose(void **state)
{
	(void)state;
	lm_auto_task struct task task = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(parse("{\"job\":\"down\",\"group\":" GROUP ",\"host\":{}," DIRECTORY
			       ",\"compose\":null}",
				 &task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_DOWN);
	assert_null(task.compose_stamp);
	assert_null(task.compose_version);
	assert_null(task.previous_destination);
}

static void a_check_may_have_no_definition(void **state)
{
	(void)state;
	lm_auto_task struct task task = {0}, other = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(
		parse("{\"job\":\"check\",\"group\":null,\"host\":" HOST "}", &task, &err), LM_OK);
	assert_int_equal(task.kind, TASK_CHECK);
	assert_null(task.group);
	assert_null(task.credentials_directory);
	assert_false(task.as_user);
	assert_int_equal(
		parse("{\"job\":\"check\",\"group\":" GROUP ",\"host\":" HOST ",\"as_user\":true}",
			&other, &err),
		LM_OK);
	assert_string_equal(other.group->connector.bucket, "ships");
	assert_true(other.as_user);
}

static void shipping_logs_needs_no_directory(void **state)
{
	(void)state;
	lm_auto_task struct task task = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(
		parse("{\"job\":\"ship-logs\",\"group\":" GROUP ",\"host\":{}}", &task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_SHIP_LOGS);
	assert_null(task.credentials_directory);
}

static void replacing_needs_the_ids_of_images(void **state)
{
	lm_auto_task struct task task = {0}, other = {0};
	struct lm_err err = {LM_OK};
	(void)state;

	assert_int_equal(parse("{\"job\":\"replace-images\",\"group\":" GROUP ",\"host\":{},"
			       "\"kept\":{\"sha256:aa\":true},\"images\":[{\"image\":\"web:1\","
			       "\"id\":\"sha256:aa\",\"digest\":\"sha256:dd\","
			       "\"platform\":\"linux/arm/v7\",\"names\":{\"web:1\":true}},"
			       "{\"image\":\"db:2\",\"id\":\"sha256:bb\",\"digest\":\"\"}]}",
				 &task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_REPLACE_IMAGES);
	assert_int_equal(task.subjects_n, 2);
	assert_string_equal(task.subjects[0].digest, "sha256:dd");
	assert_string_equal(task.subjects[0].platform, "linux/arm/v7");
	assert_true(json_get_bool(task.subjects[0].names, "web:1", false));
	assert_null(task.subjects[1].digest);
	assert_null(task.subjects[1].platform);
	assert_null(task.subjects[1].names);
	assert_non_null(json_object_get(task.kept, "sha256:aa"));
	assert_int_equal(parse("{\"job\":\"replace-images\",\"group\":" GROUP ",\"host\":{},"
			       "\"images\":[{\"image\":\"web:1\",\"id\":null}]}",
				 &other, &err),
		LM_E_PROTOCOL);
}

static void verifying_needs_a_list_of_images(void **state)
{
	(void)state;
	lm_auto_task struct task task = {0};
	lm_auto_task struct task other = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(
		parse("{\"job\":\"verify\",\"group\":" GROUP ",\"host\":{},\"gentle\":true,"
		      "\"images\":[{\"image\":\"web:1\",\"id\":\"sha256:aa\"},{\"image\":"
		      "\"db:2\",\"id\":null}]}",
			&task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_VERIFY);
	assert_true(task.is_gentle);
	assert_int_equal(task.subjects_n, 2);
	assert_string_equal(task.subjects[0].id, "sha256:aa");
	assert_string_equal(task.subjects[1].ref, "db:2");
	assert_null(task.subjects[1].id);
	assert_int_equal(
		parse("{\"job\":\"verify\",\"group\":" GROUP ",\"host\":{}}", &other, &err),
		LM_E_PROTOCOL);
	assert_int_equal(parse("{\"job\":\"verify\",\"group\":" GROUP
			       ",\"host\":{},\"images\":[{\"id\":\"sha256:aa\"}]}",
				 &other, &err),
		LM_E_PROTOCOL);
}

static void what_is_not_as_agreed_is_no_fault_of_the_definition(void **state)
{
	(void)state;
	static const struct {
		const char *line, *message;
	} cases[] = {
		{"", "the task is not valid JSON: "},
		{"{\"job\":", "the task is not valid JSON: "},
		{"[]", "the task: unknown task ''"},
		{"{\"job\":\"sail\"}", "the task: unknown task 'sail'"},
		{"{\"job\":\"down\",\"credentials_directory\":\"l\"}",
			"the task: credentials_directory must be an absolute path"},
		{"{\"job\":\"down\"," DIRECTORY ",\"compose\":{\"stamp\":1}}",
			"the task: compose must have a stamp and a version"},
		{"{\"job\":\"plan\"," DIRECTORY ",\"previous\":{\"destination\":\"old\"}}",
			"the task: previous must have a destination"},
		{"{\"job\":\"down\"," DIRECTORY ",\"group\":" GROUP "}", "the task: host: "},
		{"{\"job\":\"down\"," DIRECTORY ",\"host\":{\"docker\":{\"socket\":\"x\"}}}",
			"the task: host: docker.socket: "},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct task task = {0};
		struct lm_err err = {LM_OK};
		assert_int_equal(parse(cases[i].line, &task, &err), LM_E_PROTOCOL);
		assert_ptr_equal(strstr(err.msg, cases[i].message), err.msg);
		assert_null(task.group);
		assert_null(task.credentials_directory);
	}
}

static void a_wrong_group_is_the_definitions_fault(void **state)
{
	(void)state;
	struct task task = {0};
	struct lm_err err = {LM_OK};
	assert_int_equal(parse("{\"job\":\"deploy\",\"host\":{}," DIRECTORY
			       ",\"group\":{\"Connectors\":[]}}",
				 &task, &err),
		LM_E_INVALID);
	assert_null(task.group);
	assert_int_equal(
		parse("{\"job\":\"deploy\",\"host\":{}," DIRECTORY "}", &task, &err), LM_E_INVALID);
	assert_int_equal(parse("{\"job\":\"deploy\",\"host\":{}," DIRECTORY
			       ",\"group\":{\"Connectors\":[]}}",
				 &task, &err),
		LM_E_INVALID);
	assert_non_null(strstr(err.msg, "Connectors: no entry is a "));
	assert_null(task.group);
}

#define VOLUMES(action, numbers)                                                                   \
	"{\"job\":\"volumes\",\"action\":\"" action "\",\"host\":" HOST "," numbers "}"

static void reads_what_is_to_be_done_with_volumes(void **state)
{
	(void)state;
	static const char *const bad[] = {"{\"job\":\"volumes\",\"host\":" HOST "}",
		VOLUMES("erase", "\"generation\":1,\"subject\":0,\"max_mb\":1,\"reserve_mb\":1"),
		VOLUMES("copy", "\"generation\":-1,\"subject\":0,\"max_mb\":1,\"reserve_mb\":1"),
		VOLUMES("copy",
			"\"generation\":1,\"subject\":0,\"max_mb\":4294967296,\"reserve_mb\":1"),
		VOLUMES("copy", "\"generation\":1,\"max_mb\":1,\"reserve_mb\":1"),
		VOLUMES("copy", "\"generation\":1,\"subject\":0,\"max_mb\":1")};
	lm_auto_task struct task task = {0}, deploy = {0};
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto_task struct task none = {0};
		assert_int_equal(parse(bad[i], &none, &err), LM_E_PROTOCOL);
	}
	assert_int_equal(
		parse(VOLUMES("start", "\"generation\":7,\"subject\":6,\"max_mb\":1073741824,"
				       "\"reserve_mb\":0"),
			&task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_VOLUMES);
	assert_int_equal(task.volumes.action, VOLUMES_START);
	assert_int_equal(task.volumes.subject, 6);
	assert_int_equal(task.volumes.generation, 7);
	assert_int_equal(task.volumes.max_mb, 1073741824);
	assert_null(task.group);
	assert_int_equal(
		parse("{\"job\":\"deploy\",\"group\":" GROUP ",\"host\":" HOST "," DIRECTORY
		      ",\"snapshots\":true,\"restores_data\":true,\"first\":true}",
			&deploy, &err),
		LM_OK);
	assert_true(deploy.snapshots && deploy.restores_data);
	assert_true(deploy.is_first);
}

static void reads_what_is_to_be_done_with_devices(void **state)
{
	(void)state;
	static const char *const bad[] = {"{\"job\":\"devices\",\"group\":null,\"host\":" HOST "}",
		"{\"job\":\"devices\",\"action\":\"x\",\"group\":null,\"host\":" HOST "}",
		"{\"job\":\"devices\",\"action\":\"add\",\"group\":null,\"host\":" HOST "}",
		"{\"job\":\"devices\",\"action\":\"remove\",\"name\":1,\"group\":null,"
		"\"host\":" HOST "}",
		"{\"job\":\"devices\",\"action\":\"add\",\"name\":\"X\",\"csr\":\"a\","
		"\"certificate\":\"b\",\"group\":null,\"host\":" HOST "}"};
	lm_auto_task struct task task = {0}, add = {0};
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parse(bad[i], &task, &err), LM_E_PROTOCOL);
	assert_int_equal(parse("{\"job\":\"devices\",\"action\":\"apply\",\"group\":" GROUP
			       ",\"host\":" HOST "}",
				 &task, &err),
		LM_OK);
	assert_int_equal(task.kind, TASK_DEVICES);
	assert_int_equal(task.device.action, DEVICES_APPLY);
	assert_null(task.credentials_directory);
	assert_int_equal(parse("{\"job\":\"devices\",\"action\":\"add\",\"name\":\"X\","
			       "\"csr\":\"c\",\"group\":null,\"host\":" HOST "}",
				 &add, &err),
		LM_OK);
	assert_null(add.group);
	assert_string_equal(add.device.name, "X");
	assert_string_equal(add.device.csr, "c");
	assert_null(add.device.certificate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_deploy),
		cmocka_unit_test(reads_what_is_to_be_done_with_devices),
		cmocka_unit_test(reads_what_is_to_be_done_with_volumes),
		cmocka_unit_test(reads_what_a_deploy_may_fall_back_to),
		cmocka_unit_test(a_down_needs_no_compose),
		cmocka_unit_test(a_check_may_have_no_definition),
		cmocka_unit_test(shipping_logs_needs_no_directory),
		cmocka_unit_test(verifying_needs_a_list_of_images),
		cmocka_unit_test(replacing_needs_the_ids_of_images),
		cmocka_unit_test(what_is_not_as_agreed_is_no_fault_of_the_definition),
		cmocka_unit_test(a_wrong_group_is_the_definitions_fault),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
