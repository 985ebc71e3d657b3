// SPDX-License-Identifier: Apache-2.0
#include "config/core_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct core_config read_core(const char *text)
{
	lm_auto_json json_t *document = NULL;
	struct core_config core;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &document, &err), LM_OK);
	core_config_read(document, "/greengrass", &core);
	return core;
}

static void reads_a_core_with_crypto(void **state)
{
	(void)state;
	// As the V1 guide has it, with ports.
	lm_auto_core_config struct core_config c = read_core(
		"{\"coreThing\":{\"caPath\":\"old.ca\",\"certPath\":\"old.pem\","
		"\"keyPath\":\"old.key\","
		"\"thingArn\":\"arn:aws-cn:iot:cn-north-1:123456789012:thing/Gateway\","
		"\"iotHost\":\"abc-ats.iot.cn-north-1.amazonaws.com.cn\",\"ggMqttPort\":8884,"
		"\"iotMqttPort\":\"443\",\"keepAlive\":600},"
		"\"runtime\":{\"cgroup\":{\"useSystemd\":\"yes\"},"
		"\"allowFunctionsToRunAsRoot\":\"yes\"},\"writeDirectory\":\"/data/greengrass\","
		"\"crypto\":{\"caPath\":\"file:///certs/ca.pem\",\"principals\":{"
		"\"MQTTServerCertificate\":{\"privateKeyPath\":\"file:///certs/server.key\"},"
		"\"IoTCertificate\":{\"privateKeyPath\":\"file:///certs/core.key\","
		"\"certificatePath\":\"file:///certs/core.pem\"}}}}");

	assert_string_equal(c.partition, "aws-cn");
	assert_string_equal(c.region, "cn-north-1");
	assert_string_equal(c.account, "123456789012");
	assert_string_equal(c.thing_name, "Gateway");
	assert_string_equal(c.iot_endpoint, "abc-ats.iot.cn-north-1.amazonaws.com.cn");
	assert_int_equal(c.broker_port, 8884);
	assert_int_equal(c.cloud_port, 443);
	assert_string_equal(c.ca.path, "/certs/ca.pem");
	assert_string_equal(c.certificate.path, "/certs/core.pem");
	assert_string_equal(c.private_key.path, "/certs/core.key");
	assert_string_equal(c.server_key.path, "/certs/server.key");
	assert_string_equal(c.write_directory, "/data/greengrass");
	assert_true(c.allows_root);
	assert_false(c.has_proxy);
}

static void names_before_1_7_are_in_the_folder_certs(void **state)
{
	(void)state;
	lm_auto_core_config struct core_config c =
		read_core("{\"coreThing\":{\"caPath\":\"root.ca.pem\",\"certPath\":\"core.pem\","
			  "\"keyPath\":\"/keys/core.key\","
			  "\"networkProxy\":{\"proxy\":{\"url\":\"http://proxy:3128\"}}}}");

	assert_string_equal(c.ca.path, "/greengrass/certs/root.ca.pem");
	assert_string_equal(c.certificate.path, "/greengrass/certs/core.pem");
	assert_string_equal(c.private_key.path, "/keys/core.key");
	assert_true(c.has_proxy);
	assert_null(c.thing_name);
}

static void an_object_of_a_security_module_is_no_file(void **state)
{
	(void)state;
	lm_auto_core_config struct core_config c = read_core(
		"{\"coreThing\":{},\"crypto\":{\"caPath\":\"https://x\",\"principals\":{"
		"\"IoTCertificate\":{\"privateKeyPath\":\"pkcs11:object=core;type=private\","
		"\"certificatePath\":7}}}}");

	assert_true(c.private_key.is_pkcs11);
	assert_null(c.private_key.path);
	assert_true(c.ca.is_other);
	assert_true(c.certificate.is_other);
	assert_false(c.certificate.is_pkcs11);
}

static void wrong_types_are_left_alone(void **state)
{
	(void)state;
	static const char *const texts[] = {"null", "[]", "7", "{\"coreThing\":[]}",
		"{\"coreThing\":{\"thingArn\":7,\"iotHost\":{},\"ggMqttPort\":70000,"
		"\"iotMqttPort\":\"-1\"},\"crypto\":{\"principals\":[]},\"runtime\":7,"
		"\"writeDirectory\":\"relative\"}",
		"{\"coreThing\":{\"thingArn\":\"arn:aws:s3:::bucket\"},\"crypto\":7}"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		lm_auto_core_config struct core_config c = read_core(texts[i]);

		assert_null(c.thing_name);
		assert_null(c.iot_endpoint);
		assert_null(c.private_key.path);
		assert_null(c.write_directory);
		assert_int_equal(c.broker_port, 0);
		assert_int_equal(c.cloud_port, 0);
		assert_false(c.allows_root);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_core_with_crypto),
		cmocka_unit_test(names_before_1_7_are_in_the_folder_certs),
		cmocka_unit_test(an_object_of_a_security_module_is_no_file),
		cmocka_unit_test(wrong_types_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
