// SPDX-License-Identifier: Apache-2.0
#include "devices/discovery_document.h"

#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FINGERPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define CA_ONE "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n"
#define CA_TWO "-----BEGIN CERTIFICATE-----\\nMIIC\\n-----END CERTIFICATE-----\\n"
#define HEAD                                                                                       \
	"{\"format\":1,\"group\":\"0a1b\","                                                        \
	"\"core\":\"arn:aws:iot:us-west-2:123456789012:thing/Grp_Core\",\"port\":8883,"            \
	"\"addresses\":[\"192.168.1.4\",\"fd00::1\"],\"ca\":\"" CA_ONE "\","
#define DEVICES                                                                                    \
	"\"devices\":[{\"name\":\"MyDockerDevice\",\"certificates\":[\"" FINGERPRINT               \
	"\"]},{\"name\":\"Other\",\"certificates\":[]}],"
#define LISTEN "\"listen\":[{\"port\":8443},{\"port\":443,\"optional\":true}]}"

static lm_rc parse(const char *text, struct discovery_document *ret, struct lm_err *err)
{
	return discovery_document_parse(lm_str(text), ret, err);
}

static void reads_what_it_writes(void **state)
{
	(void)state;
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_DISCOVERY_FILE);

	assert_int_equal(parse(HEAD DEVICES LISTEN, &doc, NULL), LM_OK);
	assert_string_equal(doc.group, "0a1b");
	assert_string_equal(doc.core, "arn:aws:iot:us-west-2:123456789012:thing/Grp_Core");
	assert_int_equal(doc.port, 8883);
	assert_int_equal(doc.addresses_n, 2);
	assert_int_equal(doc.devices_n, 2);
	assert_int_equal(doc.listen_n, 2);
	assert_false(doc.listen[0].optional);
	assert_true(doc.listen[1].optional);
	assert_true(discovery_document_write(&doc, &out));
	assert_string_equal(lm_buf_cstr(&out), HEAD DEVICES LISTEN);
}

static void answers_in_the_capitalised_form(void **state)
{
	(void)state;
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_DISCOVERY_FILE);

	assert_int_equal(parse(HEAD DEVICES LISTEN, &doc, NULL), LM_OK);
	assert_true(discovery_document_answer(&doc, &out));
	assert_string_equal(lm_buf_cstr(&out),
		"{\"GGGroups\":[{\"GGGroupId\":\"0a1b\",\"Cores\":[{\"thingArn\":"
		"\"arn:aws:iot:us-west-2:123456789012:thing/Grp_Core\",\"Connectivity\":["
		"{\"Id\":\"AUTOIP_192.168.1.4_1\",\"HostAddress\":\"192.168.1.4\","
		"\"PortNumber\":8883,\"Metadata\":\"\"},"
		"{\"Id\":\"AUTOIP_fd00::1_2\",\"HostAddress\":\"fd00::1\","
		"\"PortNumber\":8883,\"Metadata\":\"\"}]}],\"CAs\":[\"" CA_ONE "\"]}]}");
}

static void answers_with_each_ca_as_a_text_of_its_own(void **state)
{
	(void)state;
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_DISCOVERY_FILE);

	assert_int_equal(parse("{\"format\":1,\"group\":\"g\",\"core\":\"c\",\"port\":1,"
			       "\"addresses\":[\"a\"],\"ca\":\"subject=x\\n" CA_ONE
			       "\\n# next\\n" CA_TWO "\",\"devices\":[]," LISTEN,
				 &doc, NULL),
		LM_OK);
	assert_true(discovery_document_answer(&doc, &out));
	assert_non_null(strstr(lm_buf_cstr(&out), "\"CAs\":[\"" CA_ONE "\",\"" CA_TWO "\"]"));
}

static void finds_devices_and_certificates(void **state)
{
	(void)state;
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};

	assert_int_equal(parse(HEAD DEVICES LISTEN, &doc, NULL), LM_OK);
	const struct discovery_device *mine =
		discovery_document_find(&doc, LM_STR("MyDockerDevice"));
	const struct discovery_device *other = discovery_document_find(&doc, LM_STR("Other"));
	assert_ptr_equal(mine, &doc.devices[0]);
	assert_ptr_equal(other, &doc.devices[1]);
	assert_null(discovery_document_find(&doc, LM_STR("mydockerdevice")));
	assert_null(discovery_document_find(&doc, LM_STR("MyDockerDevic")));
	assert_true(discovery_document_has_certificate(&doc, mine, LM_STR(FINGERPRINT)));
	assert_true(discovery_document_has_certificate(&doc, NULL, LM_STR(FINGERPRINT)));
	assert_false(discovery_document_has_certificate(&doc, other, LM_STR(FINGERPRINT)));
	assert_false(discovery_document_has_certificate(&doc, NULL, LM_STR(OTHER)));
	assert_false(discovery_document_has_certificate(&doc, NULL, LM_STR("")));
}

static void refuses_with_the_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *message;
	} bad[] = {
		{"[]", "it must be an object, but is an array"},
		{"{\"format\":2}", "'format' must be 1: this version of Lighterman reads no other"},
		{"{\"format\":1,\"group\":\"\"}", "'group' must be a text of 1 to 1024 bytes "
						  "without control characters"},
		{HEAD "\"devices\":[{\"name\":\"a/b\"}]," LISTEN,
			"devices[0]: 'name' must be a thing name: 1 to 128 of A-Z a-z 0-9 : _ -"},
		{HEAD "\"devices\":[{\"name\":\"a\"}]," LISTEN,
			"devices[0]: 'certificates' must be an array of 0 to 8 items"},
		{HEAD "\"devices\":[{\"name\":\"a\",\"certificates\":[\"AB\"]}]," LISTEN,
			"devices[0]: 'certificates' must be SHA-256 fingerprints: 64 lower-case "
			"hexadecimal digits each"},
		{HEAD DEVICES "\"listen\":[]}", "'listen' must be an array of 1 to 8 items"},
		{HEAD DEVICES "\"listen\":[{\"port\":0}]}",
			"listen[0]: 'port' must be a number from 1 to 65535"},
		{HEAD DEVICES "\"listen\":[{\"port\":\"8443\"}]}",
			"listen[0]: 'port' must be a number from 1 to 65535"},
		{HEAD DEVICES "\"listen\":[{\"port\":1},{\"port\":1}]}",
			"listen[1]: port 1 is listed twice"},
		{HEAD DEVICES "\"listen\":7}", "'listen' must be an array of 1 to 8 items"},
		{"{\"format\":1,\"group\":\"g\",\"core\":\"c\",\"port\":1,\"addresses\":[\"a\"],"
		 "\"ca\":\"none\"," DEVICES LISTEN,
			"'ca' must be a PEM certificate"},
		{"{\"format\":1,\"group\":\"g\",\"core\":\"c\",\"port\":1,\"addresses\":[]}",
			"'addresses' must be an array of 1 to 64 items"},
		{"{\"format\":1", "line 1, column 11: '}' expected near end of file"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct discovery_document doc = {0};
		struct lm_err err = {0};

		assert_int_equal(parse(bad[i].text, &doc, &err), LM_E_INVALID);
		assert_string_equal(err.msg, bad[i].message);
		assert_null(doc.group); // untouched
	}
}

static struct lm_buf group_of(size_t devices)
{
	struct lm_buf text = LM_BUF(2U * LIMIT_DISCOVERY_FILE);

	(void)lm_buf_puts(&text, HEAD "\"devices\":[");
	for (size_t i = 0; i < devices; i++) {
		(void)lm_buf_printf(&text,
			"%s{\"name\":\"%0128zu\",\"certificates\":[\"" FINGERPRINT "\"",
			i ? "," : "", i);
		for (int c = 1; c < DISCOVERY_CERTIFICATES_MAX; c++)
			(void)lm_buf_puts(&text, ",\"" OTHER "\"");
		(void)lm_buf_puts(&text, "]}");
	}
	(void)lm_buf_puts(&text, "]," LISTEN);
	assert_false(text.overflow);
	return text;
}

static void takes_the_largest_group_and_no_larger_one(void **state)
{
	(void)state;
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};
	lm_auto_buf struct lm_buf largest = group_of(LIMIT_DEVICES);
	lm_auto_buf struct lm_buf larger = group_of(LIMIT_DEVICES + 1);
	lm_auto_buf struct lm_buf written = LM_BUF(LIMIT_DISCOVERY_FILE);
	struct lm_err err = {0};

	assert_int_equal(discovery_document_parse(lm_buf_str(&larger), &doc, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "'devices' must be an array of 0 to 2500 items");
	assert_int_equal(discovery_document_parse(lm_buf_str(&largest), &doc, &err), LM_OK);
	assert_true(discovery_document_write(&doc, &written));
	assert_true(lm_str_eq(lm_buf_str(&written), lm_buf_str(&largest)));
}

static void has_a_ceiling(void **state)
{
	(void)state;
	lm_auto_free char *text = lm_xmalloc(LIMIT_DISCOVERY_FILE + 1);
	struct discovery_document doc = {0};
	struct lm_err err = {0};

	memset(text, ' ', LIMIT_DISCOVERY_FILE + 1);
	assert_int_equal(discovery_document_parse(
				 (struct lm_str){text, LIMIT_DISCOVERY_FILE + 1}, &doc, &err),
		LM_E_TOO_LARGE);
	memset(text, ',', LIMIT_DISCOVERY_VALUES);
	assert_int_equal(
		discovery_document_parse((struct lm_str){text, LIMIT_DISCOVERY_VALUES}, &doc, &err),
		LM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(answers_in_the_capitalised_form),
		cmocka_unit_test(answers_with_each_ca_as_a_text_of_its_own),
		cmocka_unit_test(finds_devices_and_certificates),
		cmocka_unit_test(refuses_with_the_place),
		cmocka_unit_test(takes_the_largest_group_and_no_larger_one),
		cmocka_unit_test(has_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
