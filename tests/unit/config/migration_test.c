// SPDX-License-Identifier: Apache-2.0
#include "config/migration.h"

#include "base/buf.h"
#include "config/definition.h"
#include "config/host_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OURS(version)                                                                              \
	"arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationDeployment/versions/" version
#define THING(name) "arn:aws:iot:eu-west-1:123456789012:thing/" name
#define PARAMETERS_JSON                                                                            \
	"{\"DockerComposeFileS3Bucket\":\"ships\",\"DockerComposeFileS3Key\":\"a.yml\","           \
	"\"DockerComposeFileDestinationPath\":\"/srv/app\"}"
#define CONNECTOR                                                                                  \
	"{\"Id\":\"app\",\"ConnectorArn\":\"" OURS("7") "\",\"Parameters\":" PARAMETERS_JSON "}"
#define CONNECTORS "{\"Definition\":{\"Connectors\":[" CONNECTOR "]}}"
#define SUBSCRIPTION(id, source, target)                                                           \
	"{\"Id\":\"" id "\",\"Source\":\"" source "\",\"Subject\":\"a/#\",\"Target\":\"" target    \
	"\"}"
#define CORE                                                                                       \
	"{\"coreThing\":{\"thingArn\":\"" THING(                                                   \
		"Gateway") "\",\"iotHost\":\"abc.example\","                                       \
			   "\"ggMqttPort\":8884},\"crypto\":{\"PKCS11\":{\"slotUserPin\":"         \
			   "\"1234secret\"},"                                                      \
			   "\"caPath\":\"file:///c/ca.pem\",\"principals\":{\"IoTCertificate\":{"  \
			   "\"privateKeyPath\":\"file:///c/core.key\","                            \
			   "\"certificatePath\":\"file:///c/core.pem\"}}}}"

static struct migration *m;
static struct lm_err err;
static struct validation_errors errors;

static int begin(void **state)
{
	(void)state;
	m = migration_create();
	err = (struct lm_err){0};
	errors = (struct validation_errors){0};
	return 0;
}

static int finish(void **state)
{
	(void)state;
	migration_destroy(m);
	validation_errors_finish(&errors);
	return 0;
}

static json_t *parse(const char *text)
{
	json_t *document = NULL;

	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	return document;
}

static lm_rc add(const char *text, const char *name)
{
	lm_auto_json json_t *document = parse(text);

	return migration_add_document(m, document, name, &err);
}

static lm_rc add_core(const char *text)
{
	lm_auto_json json_t *document = parse(text);

	return migration_add_core(m, document, "/greengrass", &err);
}

static const char *host_text(const char *object, const char *key)
{
	const json_t *host = migration_host(m);

	return json_get_text(object ? json_object_get(host, object) : host, key);
}

static size_t group_size(const char *array)
{
	return json_array_size(json_object_get(migration_group(m), array));
}

/// The note about `what`; NULL: there is none.
static const json_t *note(const char *what)
{
	const json_t *notes = json_object_get(migration_report(m), "not_taken");
	size_t i;
	json_t *item;

	json_array_foreach(notes, i, item)
	{
		if (strcmp(json_get_text(item, "what"), what) == 0)
			return item;
	}
	return NULL;
}

static void expect_note(const char *what, const char *part)
{
	const json_t *found = note(what);

	assert_non_null(found);
	const char *why = json_get_text(found, "why");
	const char *fix = json_get_text(found, "fix");
	if (!strstr(why, part) && !(fix && strstr(fix, part)))
		fail_msg("%s: %s -> %s", what, why, fix ? fix : "");
}

static void a_core_and_its_connector_become_two_files(void **state)
{
	(void)state;
	assert_int_equal(add_core(CORE), LM_OK);
	assert_int_equal(add(CONNECTORS, "c.json"), LM_OK);
	assert_int_equal(add("{\"Definition\":{\"Subscriptions\":[" SUBSCRIPTION(
				     "s", OURS("7"), "cloud") "]}}",
				 "s.json"),
		LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);

	assert_string_equal(host_text(NULL, "greengrassRoot"), "/greengrass");
	assert_string_equal(host_text(NULL, "region"), "eu-west-1");
	assert_string_equal(host_text(NULL, "thingName"), "Gateway");
	assert_string_equal(host_text("iot", "endpoint"), "abc.example");
	assert_string_equal(host_text("iot", "certificate"), "/c/core.pem");
	assert_string_equal(host_text("iot", "privateKey"), "/c/core.key");
	assert_string_equal(host_text("iot", "ca"), "/c/ca.pem");
	assert_string_equal(host_text("mqtt", "host"), "abc.example");
	assert_string_equal(host_text("mqtt", "clientId"), "Gateway");
	assert_string_equal(host_text("mqtt", "privateKey"), "/c/core.key");
	assert_null(json_object_get(migration_host(m), "allowRoot"));

	const json_t *connector =
		json_array_get(json_object_get(migration_group(m), "Connectors"), 0);
	assert_string_equal(json_get_text(connector, "Id"), "app");
	assert_string_equal(
		json_get_text(json_object_get(connector, "Policy"), "AdoptContainers"), "True");
	assert_int_equal(group_size("Subscriptions"), 1);
	expect_note("AWS credentials", "credentials.roleAlias");

	// Both are what they are to be.
	lm_auto_host struct host_settings host = {0};
	assert_int_equal(host_from_json(migration_host(m), &host, &err), LM_OK);
	lm_auto(group_destroy_p) struct group *group = NULL;
	assert_int_equal(definition_parse_json(migration_group(m), &errors, &group, &err), LM_OK);
	assert_true(group->connector.policy.adopt_containers);
	lm_auto_buf struct lm_buf all = LM_BUF(1 << 20);
	assert_true(json_write(migration_report(m), &all) && json_write(migration_host(m), &all));
	assert_null(strstr(lm_buf_cstr(&all), "1234secret"));
}

static void each_shape_of_a_saved_output_is_recognised(void **state)
{
	(void)state;
	assert_int_equal(add("[" CONNECTOR "]", "a"), LM_OK);
	assert_int_equal(add("{\"Cores\":[{\"Id\":\"c\",\"ThingArn\":\"" THING(
				     "Gateway") "\",\"CertificateArn\":\"x\"}]}",
				 "b"),
		LM_OK);
	assert_int_equal(
		add("{\"InitialVersion\":{\"Devices\":[{\"Id\":\"d\",\"ThingArn\":\"" THING(
			    "Crane") "\",\"CertificateArn\":\"x\"}]}}",
			"c"),
		LM_OK);
	assert_int_equal(add("{\"Definition\":{\"Loggers\":[{\"Id\":\"l\",\"Component\":\"Lambda\","
			     "\"Level\":\"INFO\",\"Type\":\"FileSystem\",\"Space\":5000}]}}",
				 "d"),
		LM_OK);
	assert_int_equal(add("[" SUBSCRIPTION("s", THING("Crane"), "cloud") "]", "e"), LM_OK);
	assert_int_equal(add("{\"Definition\":{\"Functions\":[{\"Id\":\"f\",\"FunctionArn\":"
			     "\"arn:aws:lambda:eu-west-1:123456789012:function:pump:3\"}],"
			     "\"DefaultConfig\":{}}}",
				 "f"),
		LM_OK);
	assert_int_equal(add("{\"Definition\":{\"Resources\":[{\"Id\":\"r\",\"Name\":\"disk\","
			     "\"ResourceDataContainer\":{}}]}}",
				 "g"),
		LM_OK);
	assert_int_equal(
		add("{\"Arn\":\"a\",\"Definition\":{\"CoreDefinitionVersionArn\":\"x\"}}", "h"),
		LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_null(migration_host(m));
	assert_int_equal(group_size("Connectors"), 1);
	assert_int_equal(group_size("Cores"), 1);
	assert_int_equal(group_size("Devices"), 1);
	assert_int_equal(group_size("Loggers"), 1);
	assert_int_equal(group_size("Subscriptions"), 1);
	expect_note("Lambda functions", "function:pump:3");
	expect_note("resources", "disk");
	expect_note("h", "only the ARNs of its definitions");
	assert_null(note("status messages to AWS IoT"));
}

static void a_part_of_a_list_is_put_behind_the_other(void **state)
{
	(void)state;
	assert_int_equal(
		add("{\"Arn\":\"v1\",\"NextToken\":\"t\",\"Definition\":{\"Subscriptions\":"
		    "[" SUBSCRIPTION("a", "cloud", "GGShadowService") "]}}",
			"one"),
		LM_OK);
	assert_int_equal(add("{\"Arn\":\"v1\",\"Definition\":{\"Subscriptions\":[" SUBSCRIPTION(
				     "b", "GGShadowService", "cloud") "]}}",
				 "two"),
		LM_OK);
	assert_int_equal(add("{\"Arn\":\"v2\",\"Definition\":{\"Subscriptions\":[]}}", "three"),
		LM_E_INVALID);
	assert_string_equal(
		err.msg, "three: has Subscriptions, and so has one: give one of the two");
	assert_int_equal(add(CONNECTORS, "c"), LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_int_equal(group_size("Subscriptions"), 2);
	expect_note("one", "--next-token");
}

static void what_cannot_be_used_is_named_and_left_out(void **state)
{
	(void)state;
	assert_int_equal(
		add("{\"Connectors\":[{\"Id\":\"o\",\"ConnectorArn\":"
		    "\"arn:aws:greengrass:eu-west-1::/connectors/SNS/versions/3\"}," CONNECTOR "]}",
			"c"),
		LM_OK);
	assert_int_equal(add("{\"Subscriptions\":[" SUBSCRIPTION("good", "cloud",
				     OURS("7")) "," SUBSCRIPTION("gone", THING("Nobody"),
				     "cloud") "," SUBSCRIPTION("old", OURS("3"), "cloud") ",7]}",
				 "s"),
		LM_OK);
	assert_int_equal(add("{\"Devices\":[{\"Id\":\"d\",\"ThingArn\":\"" THING(
				     "Crane") "\",\"CertificateArn\":\"x\"}]}",
				 "d"),
		LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_int_equal(group_size("Connectors"), 1);
	assert_int_equal(group_size("Subscriptions"), 1);
	expect_note("other connectors", "/connectors/SNS/versions/3");
	const json_t *notes = json_object_get(migration_report(m), "not_taken");
	lm_auto_buf struct lm_buf all = LM_BUF(1 << 20);
	assert_true(json_write(notes, &all));
	assert_non_null(strstr(lm_buf_cstr(&all), "Subscriptions[1] (gone)"));
	assert_non_null(strstr(lm_buf_cstr(&all), "Subscriptions[2] (old)"));
	assert_non_null(strstr(lm_buf_cstr(&all), "Subscriptions[3]"));
}

static void thousands_of_bad_items_are_dropped_and_counted(void **state)
{
	enum { N = 3000 };
	lm_auto_buf struct lm_buf text = LM_BUF(4 << 20);

	(void)state;
	(void)lm_buf_puts(&text, "{\"Subscriptions\":[");
	for (size_t i = 0; i < N; i++)
		(void)lm_buf_printf(
			&text, "%s{\"Id\":\"s%zu\",\"Source\":\"nobody\"}", i ? "," : "", i);
	(void)lm_buf_puts(&text, "]}");
	assert_int_equal(add(CONNECTORS, "c"), LM_OK);
	assert_int_equal(add(lm_buf_cstr(&text), "s"), LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_int_equal(group_size("Subscriptions"), 0);
	expect_note("and", "more are not listed");
}

static void an_invalid_connector_is_reported_whole(void **state)
{
	(void)state;
	assert_int_equal(add("{\"Connectors\":[{\"Id\":\"app\",\"ConnectorArn\":\"" OURS(
				     "7") "\","
					  "\"Parameters\":{\"DockerComposeFileS3Bucket\":\"s\"}}]}",
				 "c"),
		LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_E_INVALID);
	assert_int_equal(errors.n, 3);
	assert_string_equal(errors.items[0].parameter, "DockerComposeFileS3Bucket");
}

static void a_key_in_a_security_module_is_not_taken(void **state)
{
	(void)state;
	assert_int_equal(
		add_core("{\"coreThing\":{\"thingArn\":\"" THING(
			"Gateway") "\","
				   "\"iotHost\":\"abc.example\",\"networkProxy\":{\"proxy\":{"
				   "\"url\":\"http://"
				   "p:1\",\"password\":\"1234secret\"}}},\"crypto\":{"
				   "\"principals\":{\"IoTCertificate\":{\"privateKeyPath\":"
				   "\"pkcs11:object=core;pin-value=1234secret\","
				   "\"certificatePath\":\"file:///c/core.pem\"}}}}"),
		LM_OK);
	assert_int_equal(add(CONNECTORS, "c"), LM_OK);
	assert_int_equal(add("[" SUBSCRIPTION("s", OURS("7"), "cloud") "]", "s"), LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	expect_note("private key", "PKCS#11");
	expect_note("network proxy", "https_proxy");
	expect_note("status messages to AWS IoT", "set mqtt");
	assert_null(json_object_get(migration_host(m), "mqtt"));
	assert_null(host_text("iot", "certificate"));
	lm_auto_buf struct lm_buf all = LM_BUF(1 << 20);
	assert_true(json_write(migration_report(m), &all) && json_write(migration_host(m), &all));
	assert_null(strstr(lm_buf_cstr(&all), "1234secret"));
}

static void the_group_of_a_core_is_read_as_far_as_it_is_known(void **state)
{
	(void)state;
	static const char group[] =
		"{\"Arn\":\"arn:aws:greengrass:eu-west-1:123456789012:/greengrass/groups/g/"
		"versions/v\",\"Cores\":[{\"thingArn\":\"" THING(
			"Gateway") "\"}],"
				   "\"Devices\":[{\"thingArn\":\"" THING(
					   "Crane") "\",\"certArn\":\"arn/abc\","
						    "\"syncShadow\":true},{\"x\":1}],"
						    "\"GroupDefinitions\":{\"Lambdas\":{"
						    "\"Content\":["
						    "{\"FunctionArn\":\"arn:aws:lambda:eu-west-1:"
						    "123456789012:function:pump:1\"},"
						    "{\"FunctionArn\":\"arn:aws:lambda:::function:"
						    "DockerApplicationDeployment:6\","
						    "\"Config\":{\"Environment\":{"
						    "\"Variables\":" PARAMETERS_JSON "}}}]},"
						    "\"Subscriptions\":{\"Content\":[{\"Source\":"
						    "\"arn:aws:lambda:::function:"
						    "DockerApplicationDeployment:6\","
						    "\"Subject\":\"#\",\"Target\":\"" THING(
							    "Crane") "\"}]},"
								     "\"Logging\":{\"Content\":[{"
								     "\"Component\":\"Lambda\","
								     "\"Level\":\"INFO\","
								     "\"Type\":\"FileSystem\"}]},"
								     "\"Resources\":{\"Content\":[{"
								     "\"Id\":\"r\",\"Type\":"
								     "\"Local\"}]}}}";

	assert_int_equal(add(group, "group.json"), LM_OK);
	assert_int_equal(add(group, "again"), LM_E_INVALID);
	assert_string_equal(err.msg,
		"again: is a core's group.json, and so is group.json: give one of the two");
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_int_equal(group_size("Cores"), 1);
	assert_int_equal(group_size("Devices"), 1);
	assert_int_equal(group_size("Subscriptions"), 1);
	assert_int_equal(group_size("Loggers"), 1);
	const json_t *connector =
		json_array_get(json_object_get(migration_group(m), "Connectors"), 0);
	assert_string_equal(json_get_text(connector, "ConnectorArn"), OURS("6"));
	const json_t *device = json_array_get(json_object_get(migration_group(m), "Devices"), 0);
	assert_string_equal(json_get_text(device, "CertificateArn"), "arn/abc");
	assert_true(json_is_true(json_object_get(device, "SyncShadow")));
	expect_note("definition of the connector", "compare");
	expect_note("Lambda functions", "function:pump:1");
	expect_note("resources", "r");
}

static void what_was_saved_stands_before_what_was_deployed(void **state)
{
	(void)state;
	assert_int_equal(
		add("{\"GroupDefinitions\":{\"Lambdas\":{\"Content\":[{\"x\":" PARAMETERS_JSON
		    "}]},\"Subscriptions\":{\"Content\":[{\"Source\":\"cloud\","
		    "\"Subject\":\"a\",\"Target\":\"GGShadowService\"}]}},"
		    "\"Region\":\"eu-west-1\"}",
			"group.json"),
		LM_OK);
	assert_int_equal(add(CONNECTORS, "c"), LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_null(note("definition of the connector"));
	const json_t *connector =
		json_array_get(json_object_get(migration_group(m), "Connectors"), 0);
	assert_string_equal(json_get_text(connector, "Id"), "app");
	assert_int_equal(group_size("Subscriptions"), 1);
}

static void without_a_connector_there_is_no_group_file(void **state)
{
	(void)state;
	assert_int_equal(add_core(CORE), LM_OK);
	assert_int_equal(add("{\"GroupDefinitions\":7}", "group.json"), LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_OK);
	assert_null(migration_group(m));
	assert_non_null(migration_host(m));
	expect_note("connector", "get-connector-definition-version");
}

static void other_documents_are_rejected_in_a_sentence(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"[]", "f: is an array of nothing that Greengrass V1 has in a group"},
		{"7", "f: is nothing that Greengrass V1 has: give a core's root folder, and saved "
		      "output of aws greengrass get-...-definition-version"},
		{CORE, "f: is the config.json of a core: give the root folder of that core "
		       "instead, which is /greengrass in most cases"},
		{"{\"Devices\":7}", "f: Devices must be an array, but is a number"},
		{"[{\"ThingArn\":\"x\"}]",
			"f: is an array of cores or of devices, which look alike: give the whole "
			"output of the command, without --query"},
		{"{\"services\":{}}",
			"f: is a compose file: deploy it with 'lighterman deploy', or upload it to "
			"S3 (or put it into the object store), and name it in a group file with "
			"DockerComposeFileS3Bucket and DockerComposeFileS3Key"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		assert_int_equal(add(cases[i].text, "f"), LM_E_INVALID);
		assert_string_equal(err.msg, cases[i].message);
	}
	assert_int_equal(add_core("{\"coreThing\":7}"), LM_E_INVALID);
	assert_string_equal(err.msg,
		"'/greengrass/config/config.json' has no coreThing, so it is not that of a "
		"Greengrass V1 core");
	assert_int_equal(add_core(CORE), LM_OK);
	assert_int_equal(add_core(CORE), LM_E_INVALID);
}

static void a_value_that_no_host_file_may_have_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(add_core("{\"coreThing\":{\"iotHost\":\"a\\nb\"}}"), LM_OK);
	assert_int_equal(migration_finish(m, &errors, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "'/greengrass/config/config.json': iot.endpoint"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_core_and_its_connector_become_two_files),
		TEST(each_shape_of_a_saved_output_is_recognised),
		TEST(a_part_of_a_list_is_put_behind_the_other),
		TEST(what_cannot_be_used_is_named_and_left_out),
		TEST(thousands_of_bad_items_are_dropped_and_counted),
		TEST(an_invalid_connector_is_reported_whole),
		TEST(a_key_in_a_security_module_is_not_taken),
		TEST(the_group_of_a_core_is_read_as_far_as_it_is_known),
		TEST(what_was_saved_stands_before_what_was_deployed),
		TEST(without_a_connector_there_is_no_group_file),
		TEST(other_documents_are_rejected_in_a_sentence),
		TEST(a_value_that_no_host_file_may_have_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
