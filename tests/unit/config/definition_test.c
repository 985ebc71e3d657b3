// SPDX-License-Identifier: Apache-2.0
#include "config/definition.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARN(version)                                                                               \
	"arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationDeployment/versions/" version
#define REQUIRED                                                                                   \
	"\"DockerComposeFileS3Bucket\":\"bkt\",\"DockerComposeFileS3Key\":\"key\","                \
	"\"DockerComposeFileDestinationPath\":\"/d\""
#define ENTRY(arn, more)                                                                           \
	"{\"Id\":\"c\",\"ConnectorArn\":\"" arn "\",\"Parameters\":{" REQUIRED more "}}"
#define GROUP(version, more) "{\"Connectors\":[" ENTRY(ARN(version), more) "]}"
#define PLACE "Connectors[0] (c): "

static void expect_error_in(struct lm_str text, const char *line)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {0};

	assert_int_equal(definition_parse(text, &errors, &group, &err), LM_E_INVALID);
	assert_null(group);
	assert_int_equal(errors.n, 1);
	lm_auto_free char *found = validation_error_text(&errors.items[0]);
	bool whole = !errors.items[0].entry && !errors.items[0].parameter;
	assert_string_equal(found, line);
	// By itself the sentence has no subject, where the file is named in front of it.
	assert_string_equal(err.msg + (whole ? strlen("the group file ") : 0), line);
}

static void expect_error(const char *text, const char *line)
{
	expect_error_in(lm_str(text), line);
}

static struct group *expect_valid(struct lm_str text)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct group *group = NULL;
	struct lm_err err = {0};

	lm_rc rc = definition_parse(text, &errors, &group, &err);
	if (rc)
		print_error("%s\n", err.msg);
	assert_int_equal(rc, LM_OK);
	assert_int_equal(errors.n, 0);
	return group;
}

static struct group *read_fixture(const char *name)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto_free char *path = lm_xasprintf("%s/%s", FIXTURES, name);
	struct lm_err err = {0};

	assert_int_equal(lm_file_read(path, &text, &err), LM_OK);
	return expect_valid(lm_buf_str(&text));
}

static bool group_equal(const struct group *a, const struct group *b)
{
	lm_auto_json json_t *one = group_to_json(a);
	lm_auto_json json_t *other = group_to_json(b);

	return json_equal(one, other) != 0;
}

static void reads_a_group_file_with_all_its_arrays(void **state)
{
	lm_auto(group_destroy_p) struct group *g = read_fixture("group.json");
	const struct connector_definition *c = &g->connector;

	(void)state;
	assert_string_equal(c->id, "MyDockerApplicationDeploymentConnector");
	assert_string_equal(c->partition, "aws");
	assert_string_equal(c->region, "eu-west-1");
	assert_int_equal(c->version, 7);
	assert_string_equal(c->bucket, "my-compose-files");
	assert_string_equal(c->key, "production-docker-compose.yml");
	assert_null(c->object_version);
	assert_string_equal(c->destination, "/home/username/myCompose");
	assert_true(c->has_user);
	assert_int_equal(c->uid, 1000);
	assert_int_equal(c->secret_arns_n, 1);
	assert_string_equal(c->secret_arns[0],
		"arn:aws:secretsmanager:eu-west-1:123456789012:secret:greengrass-registry-AbC123");
	assert_int_equal(c->status_log_frequency_s, 30);
	assert_true(c->force_deploy && c->pull_before_up && c->offline_mode);
	assert_true(c->policy.wait_healthy && c->policy.rollback_on_failure);
	assert_int_equal(c->policy.probation_s, 60);
	assert_int_equal(g->loggers_n, 2);
	assert_int_equal(g->loggers[0].space_kb, 1024);
	assert_int_equal(g->loggers[1].space_kb, 128);
	assert_string_equal(g->loggers[1].type, "AWSCloudWatch");
	assert_int_equal(g->cores_n, 1);
	assert_true(g->cores[0].sync_shadow);
	assert_int_equal(g->devices_n, 1);
	assert_string_equal(g->devices[0].id, "docker-device");
	assert_string_equal(g->devices[0].thing_name, "MyDockerDevice");
	assert_string_equal(g->devices[0].certificate_sha256,
		"1111111111111111111111111111111111111111111111111111111111111111");
	assert_false(g->devices[0].sync_shadow);
	assert_int_equal(g->subscriptions_n, 3);
	assert_string_equal(g->subscriptions[1].id, "device-to-shadow");
	assert_string_equal(g->subscriptions[1].source, g->devices[0].thing_arn);
	assert_string_equal(
		g->subscriptions[1].subject, "$aws/things/MyDockerDevice/shadow/update");
	assert_string_equal(g->subscriptions[1].target, "GGShadowService");
	assert_int_equal(g->warnings_n, 0);
}

static void takes_the_documented_example_as_it_stands(void **state)
{
	lm_auto(group_destroy_p) struct group *g = read_fixture("create_connector_definition.json");

	(void)state;
	assert_int_equal(g->connector.version, 5);
	assert_string_equal(g->connector.region, "region");
	assert_string_equal(g->connector.object_version, "123");
	assert_int_equal(g->connector.secret_arns_n, 2);
	assert_true(g->connector.force_deploy && g->connector.pull_before_up);
}

static void takes_what_get_connector_definition_version_printed(void **state)
{
	lm_auto(group_destroy_p) struct group *g = expect_valid(
		LM_STR("{\"Arn\":\"a\",\"Id\":\"i\",\"Version\":\"v\",\"CreationTimestamp\":\"t\","
		       "\"Definition\":" GROUP("7", "") "}"));

	(void)state;
	assert_string_equal(g->connector.bucket, "bkt");
	assert_int_equal(g->warnings_n, 0);
}

static void fills_in_the_documented_defaults(void **state)
{
	lm_auto(group_destroy_p) struct group *g = expect_valid(LM_STR(GROUP("1", "")));
	const struct connector_definition *c = &g->connector;

	(void)state;
	assert_int_equal(c->status_log_frequency_s, 300);
	assert_false(c->has_user || c->force_deploy || c->offline_mode);
	assert_true(c->pull_before_up && c->stop_containers_on_new_deployment);
	assert_false(c->policy.wait_healthy || c->policy.rollback_on_failure);
	assert_int_equal(c->secret_arns_n, 0);
}

static void version_7_takes_32_bit_users(void **state)
{
	lm_auto(group_destroy_p) struct group *g =
		expect_valid(LM_STR(GROUP("7", ",\"DockerUserId\":\"4294967294\"")));

	(void)state;
	assert_int_equal(g->connector.uid, 4294967294u);
	expect_error(GROUP("7", ",\"DockerUserId\":\"4294967295\""),
		PLACE "DockerUserId: \"4294967295\": must be a UID, a number from 0 to 4294967294");
	expect_error(GROUP("6", ",\"DockerUserId\":\"100000\""),
		PLACE "DockerUserId: \"100000\": must be a UID of 1 to 5 digits in version 6 "
		      "(^[0-9]{1,5}$)");
}

static void booleans_have_no_case(void **state)
{
	lm_auto(group_destroy_p) struct group *g =
		expect_valid(LM_STR(GROUP("7", ",\"ForceDeploy\":\"tRUE\"")));

	(void)state;
	assert_true(g->connector.force_deploy);
	expect_error(GROUP("7", ",\"ForceDeploy\":\"yes\""),
		PLACE "ForceDeploy: \"yes\": must be \"true\" or \"false\"");
}

static void refuses_a_later_versions_parameter(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{GROUP("1", ",\"ForceDeploy\":\"true\""),
			PLACE "ForceDeploy: \"true\": version 1 of the connector does not know it; "
			      "it came with version 2"},
		{GROUP("4", ",\"DockerPullBeforeUp\":\"true\""),
			PLACE "DockerPullBeforeUp: \"true\": version 4 of the connector does not "
			      "know it; it came with version 5"},
		{GROUP("5", ",\"StopContainersOnNewDeployment\":\"true\""),
			PLACE "StopContainersOnNewDeployment: \"true\": version 5 of the connector "
			      "does not know it; it came with version 6"},
		{GROUP("6", ",\"DockerOfflineMode\":\"true\""),
			PLACE "DockerOfflineMode: \"true\": version 6 of the connector does not "
			      "know it; it came with version 7"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		expect_error(cases[i].text, cases[i].line);
}

static void refuses_what_is_not_json_or_has_the_wrong_type(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{"[]", "Connectors: no entry is a DockerApplicationDeployment connector "
		       "(arn:<partition>:greengrass:<region>::/connectors/"
		       "DockerApplicationDeployment/versions/<1..7>)"},
		{"null", "null: must be an object, but is null"},
		{"{\"Definition\":3}", "Definition: 3: must be an object, but is a number"},
		{"{\"Connectors\":{}}", "Connectors: {}: must be an array, but is an object"},
		{"{\"Connectors\":[7]}", "Connectors[0]: 7: must be an object, but is a number"},
		{"{}", "Connectors: is required"},
		{GROUP("7", ",\"ForceDeploy\":true"),
			PLACE "ForceDeploy: true: must be a string, but is true"},
		{GROUP("7", ",\"DockerUserId\":1000"),
			PLACE "DockerUserId: 1000: must be a string, but is a number"},
		{GROUP("7", ",\"DockerUserId\":\"\""),
			PLACE "DockerUserId: \"\": must not be empty"},
		{GROUP("7", ",\"DockerComposeFileS3Version\":\"a\\u0001\""), PLACE
			"DockerComposeFileS3Version: \"a\\x01\": must not hold control characters"},
		{"{\"Connectors\":[" ENTRY(ARN("7"), "") "],\"Loggers\":3}",
			"Loggers: 3: must be an array, but is a number"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		expect_error(cases[i].text, cases[i].line);
}

static void refuses_unknown_parameters_with_a_suggestion(void **state)
{
	(void)state;
	expect_error(GROUP("7", ",\"ForceDeplyo\":\"true\""),
		PLACE "ForceDeplyo: \"true\": is not known; did you mean ForceDeploy?");
	expect_error(GROUP("7", ",\"Colour\":\"red\""), PLACE "Colour: \"red\": is not known");
}

static void expect_document_error(struct lm_str text, const char *contains)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct group *group = NULL;
	struct lm_err err = {0};

	assert_int_equal(definition_parse(text, &errors, &group, &err), LM_E_INVALID);
	assert_int_equal(errors.n, 1);
	assert_ptr_equal(strstr(err.msg, "the group file "), err.msg);
	if (!strstr(errors.items[0].rule, contains))
		fail_msg("'%s' lacks '%s'", errors.items[0].rule, contains);
}

static void takes_a_byte_order_mark_and_a_bare_array(void **state)
{
	lm_auto(group_destroy_p) struct group *plain = expect_valid(LM_STR(GROUP("7", "")));
	lm_auto(group_destroy_p) struct group *marked =
		expect_valid(LM_STR("\xef\xbb\xbf" GROUP("7", "")));
	lm_auto(group_destroy_p) struct group *array =
		expect_valid(LM_STR("\xef\xbb\xbf[" ENTRY(ARN("7"), "") "]"));

	(void)state;
	assert_true(group_equal(plain, marked));
	assert_true(group_equal(plain, array));
	expect_error("[{\"Id\":\"c\",\"ConnectorArn\":\"x\"}]",
		PLACE "ConnectorArn: \"x\": must be an ARN: "
		      "arn:<partition>:greengrass:<region>::/connectors/<name>/versions/<number>");
}

static void names_a_key_in_other_case_once(void **state)
{
	(void)state;
	expect_error("{\"Connectors\":[{\"id\":\"c\",\"ConnectorArn\":\"" ARN(
			     "7") "\",\"Parameters\":{" REQUIRED "}}]}",
		"Connectors[0]: id: \"c\": is not known; did you mean Id?");
}

static void says_what_a_document_of_another_form_is(void **state)
{
	(void)state;
	expect_document_error(LM_STR("services:\n  web: {image: x}\n"), "is a compose file: ");
	expect_document_error(LM_STR("\xef\xbb\xbf{\"services\": {}}"), "is a compose file: ");
	expect_document_error(LM_STR("[{\"Subject\": \"#\"}]"), "is an array of subscriptions: ");
}

static void refuses_arns_that_are_not_of_a_connector(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{GROUP("0", ""),
			PLACE "ConnectorArn: \""
			      "arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationD…(80 "
			      "bytes)\": must end in a version from 1 to 7, not '0'"},
		{GROUP("8", ""),
			PLACE "ConnectorArn: \""
			      "arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationD…(80 "
			      "bytes)\": must end in a version from 1 to 7, not '8'"},
		{GROUP("07", ""),
			PLACE "ConnectorArn: \""
			      "arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationD…(81 "
			      "bytes)\": must end in a version from 1 to 7, not '07'"},
		{"{\"Connectors\":[" ENTRY("arn:aws:lambda:eu-west-1::f", "") "]}", PLACE
			"ConnectorArn: \"arn:aws:lambda:eu-west-1::f\": is an ARN of the service "
			"'lambda', not of greengrass"},
		{"{\"Connectors\":[" ENTRY("arn:aws-moon:greengrass:r::x", "") "]}", PLACE
			"ConnectorArn: \"arn:aws-moon:greengrass:r::x\": has the unknown partition "
			"'aws-moon' (known: aws, aws-cn, aws-us-gov)"},
		{"{\"Connectors\":[" ENTRY("hello", "") "]}",
			PLACE "ConnectorArn: \"hello\": must be an ARN: "
			      "arn:<partition>:greengrass:<region>::/connectors/<name>/versions/"
			      "<number>"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		expect_error(cases[i].text, cases[i].line);
}

static void takes_every_known_partition(void **state)
{
	(void)state;
	group_destroy(expect_valid(
		LM_STR("{\"Connectors\":[" ENTRY("arn:aws-cn:greengrass:cn-north-1::/connectors/"
						 "DockerApplicationDeployment/versions/7",
			"") "]}")));
	group_destroy(expect_valid(LM_STR(
		"{\"Connectors\":[" ENTRY("arn:aws-us-gov:greengrass:us-gov-west-1::/connectors/"
					  "DockerApplicationDeployment/versions/7",
			"") "]}")));
}

static void refuses_a_second_connector_of_ours(void **state)
{
	(void)state;
	expect_error(
		"{\"Connectors\":[" ENTRY(ARN("7"), "") ",{\"Id\":\"d\",\"ConnectorArn\":\"" ARN(
			"6") "\",\"Parameters\":{}}]}",
		"Connectors[1] (d): ConnectorArn: "
		"\"arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationD…(80 bytes)\": is a "
		"second DockerApplicationDeployment connector; Connectors[0] (c) is the first, and "
		"a "
		"group may have one");
}

static void leaves_other_connectors_and_reserved_resources_alone(void **state)
{
	lm_auto(group_destroy_p) struct group *g = expect_valid(LM_STR("{\"Connectors\":[" ENTRY(
		ARN("7"),
		"") ",{\"Id\":\"s\",\"ConnectorArn\":"
		    "\"arn:aws:greengrass:eu-west-1::/connectors/SNS/versions/4\"}],\"Resources\":"
		    "[{\"Id\":\"DOCKER_DEPLOYER_SECRET_RESOURCE_RESERVED_ID_0\"}],\"Extra\":[]}"));

	(void)state;
	assert_int_equal(g->warnings_n, 3);
	assert_string_equal(g->warnings[0], "Extra: is not known, ignoring");
	assert_string_equal(g->warnings[1],
		"Connectors[1] (s): arn:aws:greengrass:eu-west-1::/connectors/SNS/versions/4 is "
		"another "
		"connector, ignoring");
	assert_string_equal(g->warnings[2],
		"Resources[0] (DOCKER_DEPLOYER_SECRET_RESOURCE_RESERVED_ID_0): the connector made "
		"this "
		"resource for its secrets; it is not needed here, ignoring");
}

static void refuses_texts_that_no_parser_should_take(void **state)
{
	static char deep[10000], large[LIMIT_GROUP_FILE + 1];

	(void)state;
	memset(deep, '[', sizeof(deep));
	memset(large, ' ', sizeof(large));
	expect_document_error((struct lm_str){deep, sizeof(deep)}, "nested more than 32 levels");
	expect_document_error(
		(struct lm_str){large, sizeof(large)}, "is larger than 4194304 bytes");
	expect_document_error(LM_STR("hello"), "is not valid JSON: line 1, column ");
	expect_document_error(LM_STR(""), "is empty");
	expect_document_error(LM_STR("{\"a\":\"\xff\"}"), "it is not UTF-8");
	expect_document_error(LM_STR("{\"a\":1,\n\"a\":2}"), "line 2, column ");
	expect_document_error(LM_STR("{\"a\":1,\n\"a\":2}"), "duplicate object key");
	expect_document_error(LM_STR("{\"a\":\"\\u0000\"}"), "line 1, column ");
}

/// A group file with so many values and keys, as json_count counts them.
static void fill_values(struct lm_buf *text, size_t n)
{
	(void)lm_buf_puts(text, "{\"Connectors\":[" ENTRY(ARN("7"), "") "],\"Functions\":[{}");
	size_t before = json_count(lm_buf_str(text));

	for (size_t i = before + 1; i < n; i += 2)
		(void)lm_buf_puts(text, ",{}");
	(void)lm_buf_puts(text, "]}");
}

static void refuses_more_values_than_a_group_has(void **state)
{
	lm_auto_buf struct lm_buf most = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto_buf struct lm_buf more = LM_BUF(LIMIT_GROUP_FILE);

	(void)state;
	fill_values(&most, LIMIT_GROUP_VALUES);
	group_destroy(expect_valid(lm_buf_str(&most)));
	fill_values(&more, LIMIT_GROUP_VALUES + 2);
	expect_document_error(lm_buf_str(&more), "has more than 150000 values and keys");
}

static void shortens_a_megabyte(void **state)
{
	static char mega[1 << 20];
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);

	(void)state;
	memset(mega, 'x', sizeof(mega));
	(void)lm_buf_puts(
		&text, "{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" ARN("7") "\",");
	(void)lm_buf_puts(&text, "\"Parameters\":{" REQUIRED ",\"DockerComposeFileS3Version\":\"");
	(void)lm_buf_add(&text, mega, sizeof(mega));
	(void)lm_buf_puts(&text, "\"}}]}");
	expect_error_in(lm_buf_str(&text),
		PLACE "DockerComposeFileS3Version: "
		      "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		      "…(1048576 bytes)\": must be at most 1024 bytes long");
}

#define POLICY(members)                                                                            \
	"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" ARN(                                  \
		"7") "\",\"Parameters\":{\"DockerComposeFileS3Bucket\":\"bkt\","                   \
		     "\"DockerComposeFileS3Key\":\"key\","                                         \
		     "\"DockerComposeFileDestinationPath\":\"/app\"},\"Policy\":{" members "}}]}"

static void policies_without_effect_are_warned_of(void **state)
{
	static const char *const names[] = {"MaxBandwidthKBps"};
	lm_auto(group_destroy_p) struct group *asked =
		expect_valid(LM_STR(POLICY("\"RestartUnhealthy\":\"True\","
					   "\"MaxBandwidthKBps\":\"9\"")));
	lm_auto(group_destroy_p) struct group *off = expect_valid(
		LM_STR(POLICY("\"RollbackOnFailure\":\"true\",\"ProbationSeconds\":\"1\","
			      "\"KeepGenerations\":\"9\",\"MinFreeDiskMB\":\"1\","
			      "\"PruneImages\":\"true\","
			      "\"WaitHealthy\":\"true\"")));

	(void)state;
	assert_int_equal(off->warnings_n, 0);
	assert_int_equal(asked->warnings_n, LM_ARRAY_SIZE(names));
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		lm_auto_free char *text = lm_xasprintf("Connectors[0] (c): Policy.%s has no effect "
						       "in this version of Lighterman",
			names[i]);
		assert_string_equal(asked->warnings[i], text);
	}
}

static void policies_that_need_another_one_are_warned_of(void **state)
{
	lm_auto(group_destroy_p) struct group *alone = expect_valid(
		LM_STR(POLICY("\"HealthTimeoutSeconds\":\"60\",\"StableSeconds\":\"5\"")));
	lm_auto(group_destroy_p) struct group *together = expect_valid(
		LM_STR(POLICY("\"HealthTimeoutSeconds\":\"60\",\"StableSeconds\":\"5\","
			      "\"WaitHealthy\":\"True\"")));

	(void)state;
	assert_int_equal(together->warnings_n, 0);
	assert_int_equal(alone->warnings_n, 2);
	assert_string_equal(alone->warnings[0], "Connectors[0] (c): Policy.HealthTimeoutSeconds "
						"has no effect without WaitHealthy");
	assert_string_equal(alone->warnings[1], "Connectors[0] (c): Policy.StableSeconds has no "
						"effect without WaitHealthy");
}

static void a_time_to_activate_may_be_set(void **state)
{
	lm_auto(group_destroy_p) struct group *group =
		expect_valid(LM_STR(POLICY("\"ActivateAt\":\"Mon-Fri 22:00-06:00, 12:00-13:00\","
					   "\"HoldFile\":\"/run/app/hold\","
					   "\"ActivateWithinSeconds\":\"31536000\"")));
	lm_auto(group_destroy_p) struct group *alone =
		expect_valid(LM_STR(POLICY("\"ActivateWithinSeconds\":\"1\"")));
	const struct connector_policy *p = &group->connector.policy;

	(void)state;
	assert_string_equal(p->activate_at, "Mon-Fri 22:00-06:00, 12:00-13:00");
	assert_string_equal(p->hold_file, "/run/app/hold");
	assert_int_equal(p->activate_within_s, 31536000);
	assert_int_equal(group->warnings_n, 0);
	assert_string_equal(alone->warnings[0],
		"Connectors[0] (c): Policy.ActivateWithinSeconds has no effect without ActivateAt "
		"or HoldFile");
}

static void a_time_to_activate_that_is_none_is_refused(void **state)
{
	static const struct {
		const char *text, *parameter, *rule;
	} bad[] = {
		{POLICY("\"ActivateAt\":\"25:00-26:00\""), "Policy.ActivateAt",
			"must be windows of local time, such as \"02:00-05:30\" or \"Mon-Fri "
			"22:00-06:00, Sat 02:00-05:30\"; '25:00-26:00' is not from HH:MM-HH:MM, "
			"00:00 to 24:00"},
		{POLICY("\"ActivateAt\":\"\""), "Policy.ActivateAt", "must not be empty"},
		{POLICY("\"HoldFile\":\"run/hold\""), "Policy.HoldFile",
			"must be the absolute path of a file on this device, without '.' and "
			"'..'"},
		{POLICY("\"HoldFile\":\"/run/../hold\""), "Policy.HoldFile", "must be the abs"},
		{POLICY("\"HoldFile\":\"/run/hold/\""), "Policy.HoldFile", "must be the abs"},
		{POLICY("\"HoldFile\":\"/run/./hold\""), "Policy.HoldFile", "must be the abs"},
		{POLICY("\"ActivateWithinSeconds\":\"0\""), "Policy.ActivateWithinSeconds",
			"must be a number from 1 to 31536000"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto(validation_errors_finish) struct validation_errors errors = {0};
		struct group *group = NULL;
		struct lm_err err = {LM_OK};

		assert_int_equal(
			definition_parse(lm_str(bad[i].text), &errors, &group, &err), LM_E_INVALID);
		assert_int_equal(errors.n, 1);
		assert_string_equal(errors.items[0].parameter, bad[i].parameter);
		assert_memory_equal(errors.items[0].rule, bad[i].rule, strlen(bad[i].rule));
	}
}

static void stable_time_fits_into_the_health_timeout(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms; ///< 0: it is a fault.
	} cases[] = {
		{POLICY(""), 10000},
		{POLICY("\"HealthTimeoutSeconds\":\"10\""), 5000},
		{POLICY("\"HealthTimeoutSeconds\":\"1\""), 500},
		{POLICY("\"StableSeconds\":\"299\""), 299000},
		{POLICY("\"HealthTimeoutSeconds\":\"10\",\"StableSeconds\":\"9\""), 9000},
		{POLICY("\"HealthTimeoutSeconds\":\"10\",\"StableSeconds\":\"10\""), 0},
		{POLICY("\"StableSeconds\":\"300\""), 0},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(validation_errors_finish) struct validation_errors errors = {0};
		lm_auto(group_destroy_p) struct group *group = NULL;
		struct lm_err err = {0};
		lm_rc rc = definition_parse(lm_str(cases[i].text), &errors, &group, &err);

		assert_int_equal(rc, cases[i].ms ? LM_OK : LM_E_INVALID);
		if (rc == LM_OK)
			assert_int_equal(policy_stable_ms(&group->connector.policy), cases[i].ms);
		else
			assert_non_null(strstr(err.msg, "StableSeconds: "));
	}
}

static void finds_every_error_at_once(void **state)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct group *group = NULL;
	struct lm_err err = {0};
	const char *text = "{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" ARN(
		"7") "\","
		     "\"Parameters\":{\"DockerComposeFileS3Bucket\":\"a\"},"
		     "\"Policy\":{\"ProbationSeconds\":\"-1\"}}]}";

	(void)state;
	assert_int_equal(definition_parse(lm_str(text), &errors, &group, &err), LM_E_INVALID);
	assert_int_equal(errors.n, 4);
	assert_string_equal(errors.items[0].parameter, "DockerComposeFileS3Bucket");
	assert_string_equal(errors.items[1].parameter, "DockerComposeFileS3Key");
	assert_string_equal(errors.items[2].parameter, "DockerComposeFileDestinationPath");
	assert_string_equal(errors.items[3].parameter, "Policy.ProbationSeconds");
	assert_non_null(strstr(err.msg, "(and 3 more)"));
}

static void reads_its_own_json_back_as_equal(void **state)
{
	lm_auto(group_destroy_p) struct group *a = read_fixture("group.json");
	lm_auto(group_destroy_p) struct group *b = NULL;
	lm_auto(group_destroy_p) struct group *other = expect_valid(LM_STR(GROUP("7", "")));
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto_json json_t *json = group_to_json(a);
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(definition_parse_json(json, &errors, &b, &err), LM_OK);
	assert_true(group_equal(a, b));
	assert_false(group_equal(a, other));
	assert_int_equal(json_array_size(json_object_get(json, "Subscriptions")), 3);
	assert_int_equal(b->devices_n, 1);
	assert_int_equal(b->subscriptions_n, 3);
}

static void refuses_secret_lists_of_many_values_unparsed(void **state)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);

	(void)state;
	(void)lm_buf_puts(
		&text, "{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" ARN("7") "\",");
	(void)lm_buf_puts(&text, "\"Parameters\":{" REQUIRED ",\"AWSSecretsArnList\":\"[");
	for (size_t i = 0; i < 300; i++)
		(void)lm_buf_puts(&text, "[],");
	(void)lm_buf_puts(&text, "[]]\"}}]}");
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {0};
	assert_int_equal(definition_parse(lm_buf_str(&text), &errors, &group, &err), LM_E_INVALID);
	assert_int_equal(errors.n, 1);
	assert_string_equal(errors.items[0].rule, "must hold at most 100 secrets");
}

static void refuses_secret_lists_that_are_not_lists_of_secrets(void **state)
{
	(void)state;
	expect_error(GROUP("7", ",\"AWSSecretsArnList\":\"{}\""),
		PLACE "AWSSecretsArnList: \"{}\": must hold a JSON array of secret ARNs, but holds "
		      "an object");
	expect_error(GROUP("7", ",\"AWSSecretsArnList\":\"[1]\""),
		PLACE "AWSSecretsArnList: \"[1]\": item 0 must be a string, but is a number");
	expect_error(GROUP("7", ",\"AWSSecretsArnList\":[]"),
		PLACE "AWSSecretsArnList: []: must be a string, but is an array");
}

// Devices and subscriptions

#define THING(name) "arn:aws:iot:eu-west-1:123456789012:thing/" name
#define DEVICE(id, name)                                                                           \
	"{\"Id\":\"" id "\",\"ThingArn\":\"" THING(name) "\",\"CertificateArn\":\"c\"}"
#define SUBSCRIPTION(source, subject, target)                                                      \
	"{\"Id\":\"s\",\"Source\":\"" source "\",\"Subject\":\"" subject "\",\"Target\":\"" target \
	"\"}"
#define WITH(devices, subscriptions)                                                               \
	"{\"Connectors\":[" ENTRY(ARN("7"), "") "],\"Cores\":[" DEVICE("core",                     \
		"Core") "],\"Devices\":[" devices "],\"Subscriptions\":[" subscriptions "]}"
#define ONE(source, subject, target) WITH(DEVICE("d", "D"), SUBSCRIPTION(source, subject, target))
#define ARN_SHOWN "\"arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationD…(80 bytes)\""

static void takes_every_kind_of_endpoint(void **state)
{
	static const char *const endpoints[] = {"cloud", "GGShadowService", THING("D"), ARN("7"),
		"arn:aws:lambda:eu-west-1:123456789012:function:F",
		"arn:aws:lambda:eu-west-1:123456789012:function:F:alias_1",
		"arn:aws:lambda:eu-west-1:123456789012:function:F:$LATEST",
		"arn:aws:lambda:::function:GGIPDetector:1"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(endpoints); i++) {
		lm_auto_free char *text = lm_xasprintf(
			WITH(DEVICE("d", "D"), SUBSCRIPTION("%s", "a/+/#", THING("D"))),
			endpoints[i]);
		lm_auto(group_destroy_p) struct group *g = expect_valid(lm_str(text));

		assert_int_equal(g->warnings_n, 0);
		assert_string_equal(g->subscriptions[0].source, endpoints[i]);
		assert_string_equal(g->subscriptions[0].subject, "a/+/#");
	}
}

static void refuses_subscriptions_of_what_is_not_there(void **state)
{
	static const struct {
		const char *text, *line;
	} cases[] = {
		{ONE(THING("E"), "a", "cloud"),
			"Subscriptions[0] (s): Source: \"" THING("E") "\": is a thing that Devices "
								      "does not have"},
		{ONE("cloud", "a", ARN("6")),
			"Subscriptions[0] (s): Target: " ARN_SHOWN
			": names version 6 of the connector, but deployed is version 7: it must be "
			"exactly " ARN("7")},
		{ONE("cloud", "a", "cloud"), "Subscriptions[0] (s): Target: \"cloud\": is the "
					     "Source, too: a message would come back for ever"},
		{ONE("Cloud", "a", ARN("7")),
			"Subscriptions[0] (s): Source: \"Cloud\": must be the ARN of a thing, a "
			"Lambda function or the connector, or \"cloud\" or \"GGShadowService\""},
		{ONE("arn:aws:lambda:eu-west-1:123456789012:function:F:1:2", "a", "cloud"),
			"Subscriptions[0] (s): Source: "
			"\"arn:aws:lambda:eu-west-1:123456789012:function:F:1:2\": must be the ARN "
			"of a thing, a Lambda function or the connector, or \"cloud\" or "
			"\"GGShadowService\""},
		{ONE("cloud", "a/#/b", "GGShadowService"),
			"Subscriptions[0] (s): Subject: \"a/#/b\": is no topic that can be "
			"subscribed to: it has a '#' that is not the whole last level"},
		{ONE("cloud", "", "GGShadowService"),
			"Subscriptions[0] (s): Subject: \"\": must not be empty"},
		{WITH("", "7"), "Subscriptions[0]: 7: must be an object, but is a number"},
		{WITH("7," DEVICE("d", "D"), ""),
			"Devices[0]: 7: must be an object, but is a number"},
		{WITH(DEVICE("d", "D") "," DEVICE("e", "D"), ""),
			"Devices[1] (e): ThingArn: \"" THING(
				"D") "\": has the thing name of item 0 "
				     "already"},
		{WITH(DEVICE("d", "D") "," DEVICE("d", "E"), ""),
			"Devices[1] (d): Id: \"d\": is the Id of item 0 already"},
		{WITH(DEVICE("d", "D.E"), ""),
			"Devices[0] (d): ThingArn: \"" THING(
				"D.E") "\": must be a thing's ARN, "
				       "arn:<partition>:iot:<region>:<account>:thing/<name>, the "
				       "name of 1 to 128 letters, digits, ':', '_' or '-'"},
		{WITH("{\"Id\":\"d\",\"ThingArn\":\"" THING(
			      "D") "\",\"CertificateArn\":\"c\",\"SyncShadow\":\"yes\"}",
			 ""),
			"Devices[0] (d): SyncShadow: \"yes\": must be true or false"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		expect_error(cases[i].text, cases[i].line);
}

static void warns_of_subscriptions_without_effect(void **state)
{
	lm_auto(group_destroy_p) struct group *g = expect_valid(LM_STR(WITH(DEVICE("d", "D"),
		SUBSCRIPTION("cloud", "a",
			THING("Core")) ","
				       "{\"Id\":\"t\",\"Source\":\"arn:aws:greengrass:eu-west-1::/"
				       "connectors/SNS/versions/4\","
				       "\"Subject\":\"a\",\"Target\":\"cloud\"},"
				       "{\"Id\":\"u\",\"Source\":\"cloud\",\"Subject\":\"a\","
				       "\"Target\":\"" THING("Core") "\"}")));

	(void)state;
	assert_int_equal(g->subscriptions_n, 3);
	assert_int_equal(g->warnings_n, 4);
	assert_string_equal(g->warnings[0],
		"Subscriptions[0] (s): Target is the core itself, with which nothing is exchanged "
		"here, ignoring");
	assert_string_equal(g->warnings[1],
		"Subscriptions[1] (t): Source is another connector "
		"(arn:aws:greengrass:eu-west-1::/connectors/SNS/versions/4), with which nothing is "
		"exchanged, ignoring");
	assert_string_equal(
		g->warnings[3], "Subscriptions[2] (u): is the same as item 0, ignoring");
}

static void warns_of_subscriptions_without_devices(void **state)
{
	lm_auto(group_destroy_p) struct group *g =
		expect_valid(LM_STR(WITH("", SUBSCRIPTION(ARN("7"), "a", "cloud"))));
	lm_auto(group_destroy_p) struct group *none = expect_valid(LM_STR(WITH("", "")));

	(void)state;
	assert_int_equal(g->warnings_n, 1);
	assert_string_equal(g->warnings[0],
		"Subscriptions: have no effect without Devices, ignoring; status messages go to "
		"the brokers of the host file's mqtt");
	assert_int_equal(none->warnings_n, 0);
}

static void a_certificate_arn_has_a_fingerprint_if_its_id_is_one(void **state)
{
	static const char hex[] =
		"ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
	static const char lower[] =
		"abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
	const struct {
		const char *head, *tail;
		bool is_fingerprint;
	} cases[] = {
		{"arn:aws:iot:eu-west-1:123456789012:cert/", "", true},
		{"", "", true},
		{"arn:aws:iot:eu-west-1:123456789012:cert/", "0", false},
		{"arn:aws:iot:eu-west-1:123456789012:cert/x/", "/", false},
		{"arn:aws:iot:eu-west-1:123456789012:cert", "", false},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_free char *text = lm_xasprintf(
			WITH("{\"Id\":\"d\",\"ThingArn\":\"" THING(
				     "D") "\","
					  "\"CertificateArn\":\"%s%s%s\",\"SyncShadow\":\"TRUE\"}",
				""),
			cases[i].head, hex, cases[i].tail);
		lm_auto(group_destroy_p) struct group *g = expect_valid(lm_str(text));

		assert_true(g->devices[0].sync_shadow);
		if (cases[i].is_fingerprint)
			assert_string_equal(g->devices[0].certificate_sha256, lower);
		else
			assert_null(g->devices[0].certificate_sha256);
	}
}

static void fill_group(struct lm_buf *text, size_t devices, size_t subscriptions)
{
	(void)lm_buf_puts(text, "{\"Connectors\":[" ENTRY(ARN("7"), "") "],\"Devices\":[");
	for (size_t i = 0; i < devices; i++)
		(void)lm_buf_printf(text,
			"%s{\"Id\":\"d%zu\",\"ThingArn\":\"" THING("D%zu") "\",\"CertificateArn\":"
									   "\"c\"}",
			i ? "," : "", i, i);
	(void)lm_buf_puts(text, "],\"Subscriptions\":[");
	for (size_t i = 0; i < subscriptions; i++)
		(void)lm_buf_printf(text,
			"%s{\"Id\":\"s%zu\",\"Source\":\"" THING("D%zu") "\",\"Subject\":\"a/%zu\","
									 "\"Target\":\"cloud\"}",
			i ? "," : "", i, devices ? i % devices : 0, i);
	assert_true(lm_buf_puts(text, "]}"));
}

#define SOURCE(source, parameters)                                                                 \
	"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" ARN(                                  \
		"7") "\",\"Source\":" source ",\"Parameters\":{" parameters "}}]}"
#define DESTINATION "\"DockerComposeFileDestinationPath\":\"/d\""

static void a_source_stands_in_for_the_bucket(void **state)
{
	lm_auto(group_destroy_p) struct group *text = expect_valid(LM_STR(
		SOURCE("{\"Text\":\"services:\\n  web: {}\\n\",\"Name\":\"a.yml\"}", DESTINATION)));
	lm_auto(group_destroy_p) struct group *url =
		expect_valid(LM_STR(SOURCE("{\"Url\":\"https://h/a.yml?x=1\"}", DESTINATION)));
	lm_auto(group_destroy_p) struct group *bare =
		expect_valid(LM_STR(SOURCE("{\"Text\":\"x\"}", DESTINATION)));
	lm_auto(group_destroy_p) struct group *bucket = expect_valid(LM_STR(GROUP("7", "")));

	(void)state;
	assert_string_equal(text->connector.source.text, "services:\n  web: {}\n");
	assert_string_equal(text->connector.key, "a.yml");
	assert_null(text->connector.bucket);
	assert_string_equal(url->connector.key, "https://h/a.yml?x=1");
	assert_string_equal(bare->connector.key, "docker-compose.yml");
	lm_auto_free char *shown = definition_file_text(&text->connector);
	lm_auto_free char *shown_bucket = definition_file_text(&bucket->connector);
	assert_string_equal(shown, "'a.yml'");
	assert_string_equal(shown_bucket, "'key' from bucket 'bkt'");
	assert_true(definition_same_file(&text->connector, &text->connector));
	assert_false(definition_same_file(&text->connector, &bare->connector));
	assert_false(definition_same_file(&url->connector, &bucket->connector));
	// As the store keeps it.
	lm_auto_json json_t *kept = group_to_json(text);
	lm_auto_buf struct lm_buf written = LM_BUF(LIMIT_GROUP_FILE);
	assert_true(json_write(kept, &written));
	lm_auto(group_destroy_p) struct group *again = expect_valid(lm_buf_str(&written));
	assert_true(definition_same_file(&text->connector, &again->connector));
}

static void a_source_is_one_place_and_no_bucket(void **state)
{
	static const char one[] = PLACE "Source: must have Text, the compose file itself, or Url, "
					"its https:// or oci:// address";

	(void)state;
	expect_error(SOURCE("{}", DESTINATION), one);
	expect_error(SOURCE("{\"Name\":\"a\"}", DESTINATION), one);
	expect_error(SOURCE("{\"Text\":\"x\",\"Url\":\"https://h/\"}", DESTINATION), one);
	expect_error(SOURCE("{\"Text\":\"x\"}", ""),
		PLACE "DockerComposeFileDestinationPath: is required");
	expect_error(SOURCE("{\"Text\":\"x\"}", DESTINATION ",\"DockerComposeFileS3Key\":\"k\""),
		PLACE "DockerComposeFileS3Key: \"k\": is not known beside Source");
}

#define REFERENCE "must be oci://REGISTRY/REPOSITORY:TAG, or @sha256:... in place of :TAG"

#define CAPITALS "must have no capital letters in the repository"
#define DIGEST_RULE "must have 64 hexadecimal digits, in small letters, behind @sha256:"
#define HEX_63 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static void an_address_is_https_without_a_login(void **state)
{
	static const struct {
		const char *url, *rule;
	} bad[] = {
		{"http://h/a", "must begin with https:// or oci://"},
		{"oci://", REFERENCE},
		{"oci://h/a b", REFERENCE},
		{"oci://h/a?b", REFERENCE},
		{"oci://u:p@h/a", "must not hold a user name or a password; behind @ stands a "
				  "digest, sha256:..."},
		{"oci://h/boats/App:1", CAPITALS},
		{"oci://h/Boats/app", CAPITALS},
		{"oci://App", CAPITALS},
		{"oci://h/a@sha256:", DIGEST_RULE},
		{"oci://h/a@sha256:12", DIGEST_RULE},
		{"oci://h/a@sha256:" HEX_63 "g", DIGEST_RULE},
		{"oci://h/a@sha256:" HEX_63 "A", DIGEST_RULE},
		{"oci://h/a@sha256:" HEX_63 "00", DIGEST_RULE},
		{"https://u:p@h/a", "must not hold a user name or a password"},
		{"https://h/a b", "must not hold blanks: write %20"},
		{"", "must not be empty"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto_free char *text = lm_xasprintf(
			"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" ARN(
				"7") "\",\"Source\":{\"Url\":\"%s\"},\"Parameters\":{" DESTINATION
				     "}}]}",
			bad[i].url);
		lm_auto(validation_errors_finish) struct validation_errors errors = {0};
		lm_auto(group_destroy_p) struct group *group = NULL;
		struct lm_err err = {0};

		assert_int_equal(
			definition_parse(lm_str(text), &errors, &group, &err), LM_E_INVALID);
		assert_int_equal(errors.n, 1);
		assert_string_equal(errors.items[0].rule, bad[i].rule);
		assert_int_equal(!errors.items[0].value,
			lm_str_find(lm_str(bad[i].url), '@') < strlen(bad[i].url)); // a password
	}
}

static void takes_what_greengrass_took_and_no_more(void **state)
{
	lm_auto_buf struct lm_buf most = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto_buf struct lm_buf devices = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto_buf struct lm_buf subscriptions = LM_BUF(LIMIT_GROUP_FILE);

	(void)state;
	fill_group(&most, LIMIT_DEVICES, LIMIT_SUBSCRIPTIONS);
	lm_auto(group_destroy_p) struct group *g = expect_valid(lm_buf_str(&most));
	assert_int_equal(g->devices_n, LIMIT_DEVICES);
	assert_int_equal(g->subscriptions_n, LIMIT_SUBSCRIPTIONS);
	assert_int_equal(g->warnings_n, 0);
	fill_group(&devices, LIMIT_DEVICES + 1, 0);
	expect_error_in(lm_buf_str(&devices), "Devices: has 2501 items; a group can have 2500");
	fill_group(&subscriptions, 1, LIMIT_SUBSCRIPTIONS + 1);
	expect_error_in(lm_buf_str(&subscriptions),
		"Subscriptions: has 10001 items; a group can have 10000");
}

static void a_group_without_devices_is_as_before(void **state)
{
	lm_auto(group_destroy_p) struct group *g = expect_valid(LM_STR(GROUP("7", "")));
	lm_auto_json json_t *json = group_to_json(g);

	(void)state;
	assert_null(g->devices);
	assert_null(g->subscriptions);
	assert_int_equal(json_object_size(json), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_group_file_with_all_its_arrays),
		cmocka_unit_test(takes_the_documented_example_as_it_stands),
		cmocka_unit_test(takes_what_get_connector_definition_version_printed),
		cmocka_unit_test(fills_in_the_documented_defaults),
		cmocka_unit_test(version_7_takes_32_bit_users),
		cmocka_unit_test(booleans_have_no_case),
		cmocka_unit_test(refuses_a_later_versions_parameter),
		cmocka_unit_test(refuses_what_is_not_json_or_has_the_wrong_type),
		cmocka_unit_test(refuses_unknown_parameters_with_a_suggestion),
		cmocka_unit_test(takes_a_byte_order_mark_and_a_bare_array),
		cmocka_unit_test(names_a_key_in_other_case_once),
		cmocka_unit_test(says_what_a_document_of_another_form_is),
		cmocka_unit_test(refuses_arns_that_are_not_of_a_connector),
		cmocka_unit_test(takes_every_known_partition),
		cmocka_unit_test(refuses_a_second_connector_of_ours),
		cmocka_unit_test(leaves_other_connectors_and_reserved_resources_alone),
		cmocka_unit_test(refuses_texts_that_no_parser_should_take),
		cmocka_unit_test(refuses_more_values_than_a_group_has),
		cmocka_unit_test(shortens_a_megabyte),
		cmocka_unit_test(policies_without_effect_are_warned_of),
		cmocka_unit_test(policies_that_need_another_one_are_warned_of),
		cmocka_unit_test(a_time_to_activate_may_be_set),
		cmocka_unit_test(a_time_to_activate_that_is_none_is_refused),
		cmocka_unit_test(stable_time_fits_into_the_health_timeout),
		cmocka_unit_test(finds_every_error_at_once),
		cmocka_unit_test(reads_its_own_json_back_as_equal),
		cmocka_unit_test(refuses_secret_lists_of_many_values_unparsed),
		cmocka_unit_test(refuses_secret_lists_that_are_not_lists_of_secrets),
		cmocka_unit_test(takes_every_kind_of_endpoint),
		cmocka_unit_test(refuses_subscriptions_of_what_is_not_there),
		cmocka_unit_test(warns_of_subscriptions_without_effect),
		cmocka_unit_test(warns_of_subscriptions_without_devices),
		cmocka_unit_test(a_certificate_arn_has_a_fingerprint_if_its_id_is_one),
		cmocka_unit_test(takes_what_greengrass_took_and_no_more),
		cmocka_unit_test(a_source_stands_in_for_the_bucket),
		cmocka_unit_test(a_source_is_one_place_and_no_bucket),
		cmocka_unit_test(an_address_is_https_without_a_login),
		cmocka_unit_test(a_group_without_devices_is_as_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
