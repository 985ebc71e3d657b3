// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_checksum.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/// What the catalogues of checksums compute as the check value of each.
#define BODY LM_STR("123456789")
#define SHA256 "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="
#define SHA1 "98O8HYCOBHMq32eZZczDTKeuNEE="
#define CRC64NVME "rosUhgp5mIg="
#define CRC32C "4waSgw=="
#define CRC32 "y/Q5Jg=="
#define MD5 "25f9e794323b453885f5181f1b624d0b"

static void assert_differs(struct s3_checksum_headers headers, const char *name)
{
	struct lm_err err = {LM_OK};

	if (s3_checksum_check(&headers, BODY, &err) != LM_OK)
		fail_msg("%s: %s", name, err.msg);
	assert_int_equal(s3_checksum_check(&headers, LM_STR("123456780"), &err), LM_E_NETWORK);
	if (strncmp(err.msg, name, strlen(name)) != 0)
		fail_msg("%s", err.msg);
}

static void each_checksum_tells_a_damaged_body(void **state)
{
	(void)state;
	assert_differs((struct s3_checksum_headers){.sha256 = LM_STR(SHA256)}, "its SHA256 is ");
	assert_differs((struct s3_checksum_headers){.sha1 = LM_STR(SHA1)}, "its SHA1 is ");
	assert_differs((struct s3_checksum_headers){.crc64nvme = LM_STR(CRC64NVME),
			       .type = LM_STR("FULL_OBJECT")},
		"its CRC64NVME is ");
	assert_differs((struct s3_checksum_headers){.crc32c = LM_STR(CRC32C)}, "its CRC32C is ");
	assert_differs((struct s3_checksum_headers){.crc32 = LM_STR(CRC32)}, "its CRC32 is ");
	assert_differs((struct s3_checksum_headers){.etag = LM_STR("\"" MD5 "\"")}, "its MD5 is ");
	assert_differs((struct s3_checksum_headers){.etag = LM_STR("\"" MD5 "\""),
			       .encryption = LM_STR("AES256")},
		"its MD5 is ");
}

static void names_what_it_is_and_what_it_should_be(void **state)
{
	const struct s3_checksum_headers headers = {.crc32 = LM_STR(CRC32)};
	struct lm_err err = {LM_OK};

	(void)state;
	assert_int_equal(s3_checksum_check(&headers, LM_STR("hello"), &err), LM_E_NETWORK);
	assert_string_equal(err.msg, "its CRC32 is 3610a686, but the store's is cbf43926");
}

static void what_is_no_checksum_of_the_body_does_not_count(void **state)
{
	static const struct s3_checksum_headers cases[] = {
		{.sha256 = {"", 0}},
		{.sha256 = {SHA1, sizeof(SHA1) - 1}}, // of another length
		{.sha256 = {"***", 3}},
		{.crc32 = {CRC32 "-3", sizeof(CRC32 "-3") - 1}}, // of the checksums of three parts
		{.crc32 = {CRC32, sizeof(CRC32) - 1}, .type = {"COMPOSITE", 9}},
		{.etag = {"\"" MD5 "-2\"", sizeof("\"" MD5 "-2\"") - 1}},
		{.etag = {"W/\"" MD5 "\"", sizeof("W/\"" MD5 "\"") - 1}},
		{.etag = {"\"zzf9e794323b453885f5181f1b624d0b\"", 34}},
		{.etag = {MD5, sizeof(MD5) - 1}, .encryption = {"aws:kms", 7}},
		{.etag = {MD5, sizeof(MD5) - 1}, .customer_encryption = {"AES256", 6}},
	};
	struct lm_err err = {LM_OK};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		if (s3_checksum_check(&cases[i], LM_STR("another"), &err) != LM_OK)
			fail_msg("case %zu: %s", i, err.msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_checksum_tells_a_damaged_body),
		cmocka_unit_test(names_what_it_is_and_what_it_should_be),
		cmocka_unit_test(what_is_no_checksum_of_the_body_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
