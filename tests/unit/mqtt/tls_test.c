// SPDX-License-Identifier: Apache-2.0
#include "mqtt/tls.h"

#include "base/file.h"
#include "base/str.h"
#include "certificates.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char directory[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/mqtt_tls_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(lm_tree_remove(AT_FDCWD, directory, NULL), LM_OK);
	return 0;
}

static lm_rc try(const char *ca, const char *certificate, const char *key, struct lm_err *err)
{
	const struct mqtt_settings s = {
		.host = "localhost", .ca = ca, .certificate = certificate, .private_key = key};
	int verify_error;
	SSL_CTX *ctx = NULL;
	lm_rc rc = tls_create(&s, &verify_error, &ctx, err);

	assert_int_equal(ctx != NULL, rc == LM_OK);
	SSL_CTX_free(ctx);
	return rc;
}

static void expect_refused(const char *ca, const char *certificate, const char *key,
	const char *word, const char *path)
{
	struct lm_err err;

	assert_int_equal(try(ca, certificate, key, &err), LM_E_INVALID);
	if (!strstr(err.msg, word) || !strstr(err.msg, path))
		fail_msg("'%s' has not both '%s' and '%s'", err.msg, word, path);
}

static void takes_files_that_belong_together_and_the_systems_cas(void **state)
{
	(void)state;
	lm_auto_free char *a = lm_path_join(directory, "a.pem");
	lm_auto_free char *a_key = lm_path_join(directory, "a.key");

	make_certificate(a, a_key, NULL);
	assert_int_equal(try(a, NULL, NULL, NULL), LM_OK);
	assert_int_equal(try(a, a, a_key, NULL), LM_OK);
	assert_int_equal(try(NULL, a, a_key, NULL), LM_OK);
}

static void names_the_file_that_cannot_be_used(void **state)
{
	(void)state;
	lm_auto_free char *a = lm_path_join(directory, "a.pem");
	lm_auto_free char *a_key = lm_path_join(directory, "a.key");
	lm_auto_free char *b = lm_path_join(directory, "b.pem");
	lm_auto_free char *b_key = lm_path_join(directory, "b.key");
	lm_auto_free char *none = lm_path_join(directory, "none");
	lm_auto_free char *empty = lm_path_join(directory, "empty");

	make_certificate(a, a_key, NULL);
	make_certificate(b, b_key, NULL);
	assert_int_equal(lm_file_replace(AT_FDCWD, empty, LM_STR(""), 0600, NULL), LM_OK);
	expect_refused(none, NULL, NULL, "mqtt: ca: ", none);
	expect_refused(empty, NULL, NULL, "mqtt: ca: ", empty);
	expect_refused(a, none, a_key, "mqtt: certificate: ", none);
	expect_refused(a, empty, a_key, "mqtt: certificate: ", empty);
	expect_refused(a, a, none, "mqtt: privateKey: ", none);
	expect_refused(a, a, empty, "mqtt: privateKey: ", empty);
	expect_refused(a, a, b_key, "mqtt: privateKey: ", "key values mismatch");
}

static void an_encrypted_key_is_refused_without_a_prompt(void **state)
{
	(void)state;
	lm_auto_free char *a = lm_path_join(directory, "a.pem");
	lm_auto_free char *a_key = lm_path_join(directory, "a.key");

	make_certificate(a, a_key, "secret");
	expect_refused(a, a, a_key, "mqtt: privateKey: ", a_key);
}

static void an_expired_certificate_makes_one_look_at_the_clock(void **state)
{
	(void)state;
	assert_non_null(strstr(tls_advice(X509_V_ERR_CERT_NOT_YET_VALID), "clock"));
	assert_non_null(strstr(tls_advice(X509_V_ERR_HOSTNAME_MISMATCH), "host "));
	assert_non_null(strstr(tls_advice(X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN), "ca "));
}

#define TLS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TLS_TEST(takes_files_that_belong_together_and_the_systems_cas),
		TLS_TEST(names_the_file_that_cannot_be_used),
		TLS_TEST(an_encrypted_key_is_refused_without_a_prompt),
		TLS_TEST(an_expired_certificate_makes_one_look_at_the_clock),
	};

	return cmocka_run_group_tests_name("mqtt/tls", tests, NULL, NULL);
}
