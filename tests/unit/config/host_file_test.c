// SPDX-License-Identifier: Apache-2.0
#include "config/host_file.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static char *folder;

static int make_folder(void **state)
{
	char template[] = "/tmp/lighterman-host-XXXXXX";

	(void)state;
	folder = lm_xstrdup(mkdtemp(template));
	unsetenv("AWS_REGION");
	unsetenv("AWS_DEFAULT_REGION");
	return 0;
}

static int remove_folder(void **state)
{
	struct lm_err err = {0};

	(void)state;
	lm_rc rc = lm_tree_remove(AT_FDCWD, folder, &err);
	free(folder);
	return rc ? -1 : 0;
}

/// Writes a file in the folder; the caller frees its path.
static char *put(const char *name, const char *text)
{
	char *path = lm_path_join(folder, name);
	struct lm_err err = {0};

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0600, &err), LM_OK);
	return path;
}

static void expect_invalid(const char *text, const char *message)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	assert_int_equal(host_from_json(document, &host, &err), LM_E_INVALID);
	assert_string_equal(err.msg, message);
}

static void lines_that_begin_with_slashes_are_comments(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"// a\n{\n  // \"region\": 1,\n\t//\"\xff\n \"region\": \"//x\"\n}\n//", NULL},
		{"{\"region\": \"a\n//b\"}", "line 1, column"},
		{"{} // a", "line 1, column"},
		{"/ /\n{}", "line 1, column 1"},
		{"// a\n\n{\"a\": }", "line 3, column 7"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_buf struct lm_buf text = LM_BUF(1000);
		lm_auto_json json_t *document = NULL;
		struct lm_err err = {0};

		(void)lm_buf_puts(&text, cases[i].text);
		lm_rc rc = host_parse(&text, &document, &err);
		assert_int_equal(rc, cases[i].message ? LM_E_INVALID : LM_OK);
		if (!cases[i].message)
			assert_string_equal(json_get_text(document, "region"), "//x");
		else if (!strstr(err.msg, cases[i].message))
			fail_msg("'%s' does not say '%s'", err.msg, cases[i].message);
	}
}

static void an_empty_object_means_the_defaults(void **state)
{
	lm_auto_json json_t *document = json_object();
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(host_from_json(document, &host, &err), LM_OK);
	assert_string_equal(host.greengrass_root, "/greengrass");
	assert_string_equal(host.state_directory, "/var/lib/lighterman");
	assert_string_equal(host.runtime_directory, "/run/lighterman");
	assert_string_equal(host.docker_socket, "/var/run/docker.sock");
	assert_int_equal(host.worker_silence_s, 60);
	assert_int_equal(host.log_shipping_s, 60);
	assert_int_equal(host.brokers_n, 0);
	assert_false(host.allow_root);
	assert_null(host.region);
	assert_int_equal(host.devices.broker_port, 8883);
	assert_int_equal(host.devices.discovery_port, 8443);
	assert_int_equal(host.devices.alpn_port.number, 443);
	assert_int_equal(host.devices.cloud_port, 8883);
	assert_int_equal(host.devices.names.n, 0);
	assert_string_equal(host.devices.user, "mosquitto");
	assert_string_equal(host.devices.mosquitto, "/usr/sbin/mosquitto");
	assert_null(host.devices.ca);
	assert_null(host.devices.local_group);
}

static void errors_name_the_path_of_the_key(void **state)
{
	(void)state;
	expect_invalid("{\"colour\":1}", "colour: is not a key of the host file");
	expect_invalid("{\"docker\":{\"sokcet\":1}}",
		"docker.sokcet: is not a key of the host file; did you mean socket?");
	expect_invalid("{\"docker\":3}", "docker: must be an object, but is a number");
	expect_invalid("{\"region\":3}", "region: 3: must be a string, but is a number");
	expect_invalid("{\"docker\":{\"socket\":\"x\"}}",
		"docker.socket: \"x\": must be an absolute path");
	expect_invalid("{\"metrics\":{\"textfile\":\"/m/lighterman.txt\"}}",
		"metrics.textfile: \"/m/lighterman.txt\": must end in .prom");
	expect_invalid("{\"allowRoot\":\"yes\"}",
		"allowRoot: \"yes\": must be true or false, but is a string");
	expect_invalid("{\"mqtt\":[{\"host\":\"a\"},{}]}", "mqtt[1]: needs either host or socket");
	expect_invalid("{\"mqtt\":[{\"host\":\"b\"},{\"host\":\"a\",\"port\":1883},"
		       "{\"host\":\"A\",\"clientId\":\"x\"}]}",
		"mqtt[2]: is the same broker as mqtt[1]; list it once");
	expect_invalid("{\"mqtt\":[{\"host\":\"a\",\"jobs\":true},{\"host\":\"b\"},"
		       "{\"socket\":\"/s\",\"jobs\":true}]}",
		"mqtt[2]: has jobs, as mqtt[0] has; only one broker can have them");
	expect_invalid("{\"mqtt\":[{\"socket\":\"/s\"},{\"socket\":\"/s\"}]}",
		"mqtt[1]: is the same broker as mqtt[0]; list it once");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"topics\":{\"progress\":\"a/#\"}}}",
		"mqtt.topics.progress: \"a/#\": must not have the wildcards + and #");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"keepAliveSeconds\":29}}",
		"mqtt.keepAliveSeconds: 29: must be a number from 30 to 1200");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"keepAliveSeconds\":1201}}",
		"mqtt.keepAliveSeconds: 1201: must be a number from 30 to 1200");
	expect_invalid("{\"mqtt\":[{\"host\":\"a\",\"topics\":{\"progress\":1}}]}",
		"mqtt[0].topics.progress: 1: must be a topic, true or false, but is a number");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"topics\":{\"containers\":\"\"}}}",
		"mqtt.topics.containers: \"\": must not be empty");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"topics\":{\"status\":false}}}",
		"mqtt.topics.status: is not a key of the host file");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"topics\":3}}",
		"mqtt.topics: must be an object, but is a number");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"topics\":{\"connection\":"
		       "\"dockerapplicationdeploymentconnector/message/status\"}}}",
		"mqtt.topics.connection: \"dockerapplicationdeploymentconnector/message/status\": "
		"is the topic of status messages; name another");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"port\":0}}",
		"mqtt.port: 0: must be a number from 1 to 65535");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"certificate\":\"/c\"}}",
		"mqtt: certificate and privateKey belong together");
	expect_invalid("{\"devices\":{\"brokerport\":1}}",
		"devices.brokerport: is not a key of the host file; did you mean brokerPort?");
	expect_invalid("{\"devices\":{\"alpnPort\":65536}}",
		"devices.alpnPort: 65536: must be a number from 1 to 65535, or 0 for none");
	expect_invalid("{\"devices\":{\"brokerPort\":8443,\"discoveryPort\":8443}}",
		"devices.discoveryPort: must not be brokerPort, too (8443)");
	expect_invalid("{\"devices\":{\"names\":[\"a.example\",\"b:1/x\"]}}",
		"devices.names: item 1 must be a host name or an address, without a port");
	expect_invalid("{\"devices\":{\"names\":\"a\"}}",
		"devices.names: \"a\": must be an array of at most 32 names");
	expect_invalid("[]", "it must be an object, but is an array");
}

/// lightermand logs the error, and ships its log.
static void errors_do_not_show_what_may_be_a_misplaced_secret(void **state)
{
	(void)state;
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"password\":\"hunter2\"}}",
		"mqtt.password: is not a key of the host file");
	expect_invalid(
		"{\"mqtt\":\"mqtts://u:hunter2@a\"}", "mqtt: must be an object, but is a string");
	expect_invalid("{\"mqtt\":[\"mqtts://u:hunter2@a\"]}",
		"mqtt[0]: must be an object, but is a string");
	expect_invalid(
		"{\"credentials\":\"hunter2\"}", "credentials: must be an object, but is a string");
	expect_invalid("{\"mqtt\":{\"host\":\"a\",\"username\":{\"u\":\"hunter2\"}}}",
		"mqtt.username: must be a string, but is an object");
}

static void topics_of_a_broker_are_read_and_written_back(void **state)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};
	const char *text =
		"{\"mqtt\":{\"host\":\"a\",\"keepAliveSeconds\":60,"
		"\"topics\":{\"progress\":false,\"containers\":\"b/c\",\"connection\":true}}}";

	(void)state;
	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	assert_int_equal(host_from_json(document, &host, &err), LM_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(host.brokers[0].keep_alive_s, 60);
		assert_true(host.brokers[0].progress.off);
		assert_string_equal(host.brokers[0].containers.name, "b/c");
		assert_false(host.brokers[0].connection.off);
		assert_null(host.brokers[0].connection.name);
		lm_auto_json json_t *again = host_to_json(&host);
		host_finish(&host);
		assert_int_equal(host_from_json(again, &host, &err), LM_OK);
	}
}

static void settings_for_devices_are_read_and_written_back(void **state)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};
	const char *text = "{\"devices\":{\"brokerPort\":1,\"discoveryPort\":2,\"alpnPort\":0,"
			   "\"cloudPort\":443,\"names\":[\"a.example\",\"::1\"],\"ca\":\"/ca\","
			   "\"user\":\"u\",\"localGroup\":\"g\",\"mosquitto\":\"/m\"}}";

	(void)state;
	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	assert_int_equal(host_from_json(document, &host, &err), LM_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(host.devices.broker_port, 1);
		assert_int_equal(host.devices.discovery_port, 2);
		assert_int_equal(host.devices.alpn_port.number, 0);
		assert_int_equal(host.devices.cloud_port, 443);
		assert_int_equal(host.devices.names.n, 2);
		assert_string_equal(host.devices.names.items[1], "::1");
		assert_string_equal(host.devices.ca, "/ca");
		assert_string_equal(host.devices.user, "u");
		assert_string_equal(host.devices.local_group, "g");
		assert_string_equal(host.devices.mosquitto, "/m");
		lm_auto_json json_t *again = host_to_json(&host);
		host_finish(&host);
		assert_int_equal(host_from_json(again, &host, &err), LM_OK);
	}
}

static void takes_one_broker_or_several(void **state)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};
	const char *text =
		"{\"mqtt\":[{\"host\":\"a\"},{\"host\":\"b\",\"ca\":\"/ca\"},{\"socket\":\"/s\"}]}";

	(void)state;
	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	assert_int_equal(host_from_json(document, &host, &err), LM_OK);
	assert_int_equal(host.brokers_n, 3);
	assert_int_equal(host.brokers[0].port, 1883);
	assert_int_equal(host.brokers[1].port, 8883);
	assert_string_equal(host.brokers[2].socket, "/s");
}

static void completes_itself_from_a_greengrass_core(void **state)
{
	lm_auto_free char *config_folder = lm_path_join(folder, "config");
	struct lm_err err = {0};
	assert_int_equal(lm_dir_make(config_folder, 0700, &err), LM_OK);
	lm_auto_free char *config = put("config/config.json",
		"{\"coreThing\":{\"thingArn\":\"arn:aws:iot:eu-central-1:123456789012:thing/Gate\","
		"\"ggMqttPort\":8884,\"iotMqttPort\":\"443\",\"iotHost\":\"x-ats.iot\"},"
		"\"runtime\":{\"allowFunctionsToRunAsRoot\":\"yes\"},"
		"\"writeDirectory\":\"/data\",\"crypto\":{\"caPath\":\"file:///"
		"ca.pem\",\"principals\":"
		"{\"IoTCertificate\":{\"privateKeyPath\":\"pkcs11:object=k\","
		"\"certificatePath\":\"file:///c.pem\"}}}}");
	lm_auto_free char *text =
		lm_xasprintf("{\"greengrassRoot\":\"%s\",\"thingName\":\"Mine\"}", folder);
	lm_auto_free char *path = put("host.json", text);
	lm_auto_host struct host_settings host = {0};

	(void)state;
	assert_int_equal(host_load(path, &host, &err), LM_OK);
	assert_string_equal(host.thing_name, "Mine");
	assert_string_equal(host.region, "eu-central-1");
	assert_string_equal(host.iot.endpoint, "x-ats.iot");
	assert_string_equal(host.iot.certificate, "/c.pem");
	assert_string_equal(host.iot.ca, "/ca.pem");
	assert_null(host.iot.private_key);
	assert_string_equal(host.write_directory, "/data");
	assert_int_equal(host.devices.broker_port, 8884);
	assert_int_equal(host.devices.cloud_port, 443);
	assert_true(host.allow_root);
	assert_int_equal(unlink(config), 0);

	lm_auto_json json_t *json = host_to_json(&host);
	lm_auto_host struct host_settings again = {0};
	assert_int_equal(host_from_json(json, &again, &err), LM_OK);
	lm_auto_json json_t *json_again = host_to_json(&again);
	assert_true(json_equal(json, json_again));
}

static void the_environment_gives_the_region_last(void **state)
{
	lm_auto_free char *text = lm_xasprintf("{\"greengrassRoot\":\"%s/none\"}", folder);
	lm_auto_free char *path = put("host.json", text);
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};

	(void)state;
	setenv("AWS_DEFAULT_REGION", "us-west-2", 1);
	assert_int_equal(host_load(path, &host, &err), LM_OK);
	unsetenv("AWS_DEFAULT_REGION");
	assert_string_equal(host.region, "us-west-2");
}

static void a_named_file_must_exist(void **state)
{
	lm_auto_free char *path = lm_path_join(folder, "absent.json");
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(host_load(path, &host, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_that_begin_with_slashes_are_comments),
		cmocka_unit_test(an_empty_object_means_the_defaults),
		cmocka_unit_test(errors_name_the_path_of_the_key),
		cmocka_unit_test(errors_do_not_show_what_may_be_a_misplaced_secret),
		cmocka_unit_test(topics_of_a_broker_are_read_and_written_back),
		cmocka_unit_test(settings_for_devices_are_read_and_written_back),
		cmocka_unit_test(takes_one_broker_or_several),
		cmocka_unit_test(completes_itself_from_a_greengrass_core),
		cmocka_unit_test(the_environment_gives_the_region_last),
		cmocka_unit_test(a_named_file_must_exist),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
