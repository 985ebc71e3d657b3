// SPDX-License-Identifier: Apache-2.0
#include "devices/certificates.h"

#include "base/limits.h"
#include "base/memory.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DAY = CERTIFICATE_DAY_S };

static const int64_t now = 1795953600; // 2026-11-29T12:00:00Z
static struct lm_secret ca_key, key;
static char *ca_pem;
static struct certificate_authority *ca;
static struct lm_err err;

static int make_all(void **state)
{
	(void)state;
	assert_int_equal(certificate_make_key(&ca_key, &err), LM_OK);
	assert_int_equal(certificate_make_key(&key, &err), LM_OK);
	assert_int_equal(
		certificate_make_authority(lm_secret_str(&ca_key), "Group CA", now, &ca_pem, &err),
		LM_OK);
	return certificate_authority_open(lm_secret_str(&ca_key), lm_str(ca_pem), &ca, &err);
}

static int free_all(void **state)
{
	(void)state;
	certificate_authority_close(ca);
	lm_secret_finish(&ca_key);
	lm_secret_finish(&key);
	free(ca_pem);
	return 0;
}

/// What OpenSSL's own verification of the chain says at a time; for a name, as a server's.
static int verify(const char *pem, const char *root, int64_t when, const char *host)
{
	BIO *in = BIO_new_mem_buf(pem, -1), *root_in = BIO_new_mem_buf(root, -1);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	X509 *root_x = PEM_read_bio_X509(root_in, NULL, NULL, NULL);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();

	assert_int_equal(X509_STORE_add_cert(store, root_x), 1);
	assert_int_equal(X509_STORE_CTX_init(context, store, x, NULL), 1);
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(context);
	X509_VERIFY_PARAM_set_time(param, (time_t)when);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_STORE_CTX_set_purpose(
		context, host ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT);
	if (host && !X509_VERIFY_PARAM_set1_ip_asc(param, host))
		assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
	(void)X509_verify_cert(context);
	int code = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	X509_free(x);
	X509_free(root_x);
	BIO_free(in);
	BIO_free(root_in);
	return code;
}

static void the_authority_signs_certificates_only(void **state)
{
	(void)state;
	lm_auto_certificate struct certificate c = {0};

	assert_int_equal(certificate_read(lm_str(ca_pem), &c, &err), LM_OK);
	assert_true(c.is_authority);
	assert_string_equal(c.cn, "Group CA");
	assert_int_equal(c.not_before_s, CERTIFICATE_CLOCK_FLOOR);
	assert_int_equal(c.not_after_s, now + (int64_t)CERTIFICATE_AUTHORITY_DAYS * DAY);
	assert_true(certificate_is_of_key(lm_str(ca_pem), lm_secret_str(&ca_key)));
	assert_false(certificate_is_of_key(lm_str(ca_pem), lm_secret_str(&key)));
	assert_true(
		lm_str_starts(lm_secret_str(&ca_key), LM_STR("-----BEGIN RSA PRIVATE KEY-----\n")));
}

static void a_device_is_verified_for_ten_years(void **state)
{
	(void)state;
	lm_auto_free char *pem = NULL;
	lm_auto_certificate struct certificate c = {0};

	assert_int_equal(certificate_issue_device(
				 ca, lm_secret_str(&key), "MyDockerDevice", now, &pem, &err),
		LM_OK);
	assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
	assert_string_equal(c.cn, "MyDockerDevice");
	assert_int_equal(c.names_n, 0);
	assert_false(c.is_authority);
	assert_int_equal(verify(pem, ca_pem, now, NULL), X509_V_OK);
	assert_int_equal(verify(pem, ca_pem, now + 3649 * (int64_t)DAY, NULL), X509_V_OK);
	assert_int_equal(
		verify(pem, ca_pem, now + 3651 * (int64_t)DAY, NULL), X509_V_ERR_CERT_HAS_EXPIRED);
	assert_int_equal(verify(pem, ca_pem, now, "MyDockerDevice"), X509_V_ERR_INVALID_PURPOSE);
	assert_true(certificate_is_of_key(lm_str(pem), lm_secret_str(&key)));
	assert_true(certificate_is_of_authority(lm_str(pem), ca));
	assert_false(certificate_is_of_authority(lm_str("x"), ca));
}

static void a_long_name_is_whole_in_a_uri(void **state)
{
	(void)state;
	char name[129];
	lm_auto_free char *pem = NULL;
	lm_auto_certificate struct certificate c = {0};

	memset(name, 'n', 128);
	name[128] = '\0';
	assert_int_equal(
		certificate_issue_device(ca, lm_secret_str(&key), name, now, &pem, &err), LM_OK);
	assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
	assert_int_equal(strlen(c.cn), 64);
	BIO *in = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	assert_int_equal(X509_print(out, x), 1);
	(void)BIO_write(out, "", 1);
	(void)BIO_get_mem_data(out, &text);
	lm_auto_free char *uri = lm_xasprintf("URI:urn:lighterman:thing:%s\n", name);
	assert_non_null(strstr(text, uri));
	BIO_free(in);
	BIO_free(out);
	X509_free(x);
	assert_int_equal(verify(pem, ca_pem, now, NULL), X509_V_OK);
}

static void refuses_a_name_that_is_none(void **state)
{
	(void)state;
	static const char *const names[] = {"", "a b", "a\nb", "ü"};
	lm_auto_free char *pem = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_int_equal(certificate_issue_device(
					 ca, lm_secret_str(&key), names[i], now, &pem, &err),
			LM_E_INVALID);
	assert_null(pem);
}

static const char *const names[] = {"192.168.1.4", "Prefix.iot.us-west-2.amazonaws.com",
	"fd00::1:2", "127.0.0.1", "127.0.0.1", "*.example.com"};

static char *make_server(int64_t when)
{
	char *pem = NULL;

	assert_int_equal(certificate_issue_server(
				 ca, lm_secret_str(&key), "Grp_Core", names, 6, when, &pem, &err),
		LM_OK);
	return pem;
}

static void a_server_is_verified_by_each_of_its_names(void **state)
{
	(void)state;
	lm_auto_free char *pem = make_server(now);
	lm_auto_certificate struct certificate c = {0};

	assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
	assert_int_equal(c.names_n, 5);
	for (size_t i = 0; i < 5; i++)
		if (names[i][0] != '*')
			assert_int_equal(verify(pem, ca_pem, now, names[i]), X509_V_OK);
	assert_int_equal(verify(pem, ca_pem, now, "a.example.com"), X509_V_OK);
	assert_int_equal(verify(pem, ca_pem, now, "192.168.1.5"), X509_V_ERR_IP_ADDRESS_MISMATCH);
	assert_int_equal(verify(pem, ca_pem, now, "Grp_Core"), X509_V_ERR_HOSTNAME_MISMATCH);
	assert_int_equal(verify(pem, ca_pem, now, NULL), X509_V_ERR_INVALID_PURPOSE);
	assert_int_equal(c.not_after_s, now + 90 * (int64_t)DAY);

	const char *const other_order[] = {"fd00:0::0001:2", "127.0.0.1", "*.EXAMPLE.com",
		"prefix.iot.us-west-2.amazonaws.com", "192.168.1.4"};
	assert_true(certificate_has_names(&c, other_order, 5));
	assert_false(certificate_has_names(&c, other_order, 4));
	const char *const others[] = {"fd00::1:3", "127.0.0.1", "*.example.com",
		"prefix.iot.us-west-2.amazonaws.com", "192.168.1.4"};
	assert_false(certificate_has_names(&c, others, 5));
}

static void knows_names(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a", "a.b", "*.a.b", "1.2.3.4", "::1", "a-1.b", "xn--4ca.de"};
	static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "*", "*.a", "a.*", "-a",
		"a-", "a_b", "a b", "a,DNS:b", "ü", "::1%eth0", "a*.b.c", "1.2.3.4/8"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(certificate_is_name(lm_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(certificate_is_name(lm_str(bad[i])));
	assert_false(certificate_is_name((struct lm_str){"a\0b", 3}));
	char label[65] = "";
	memset(label, 'a', 64);
	assert_false(certificate_is_name(lm_str(label)));
	label[63] = '\0';
	assert_true(certificate_is_name(lm_str(label)));
}

static void refuses_a_server_name_that_is_none(void **state)
{
	(void)state;
	const char *const bad[] = {"a,ip:1.2.3.4"};
	lm_auto_free char *pem = NULL;

	assert_int_equal(
		certificate_issue_server(ca, lm_secret_str(&key), "c", bad, 1, now, &pem, &err),
		LM_E_INVALID);
	assert_non_null(strstr(err.msg, "a,ip:1.2.3.4"));
	assert_int_equal(
		certificate_issue_server(ca, lm_secret_str(&key), "c", bad, 0, now, &pem, &err),
		LM_E_INVALID);
	assert_null(pem);
}

static bool is_due(const char *pem, enum certificate_kind kind, int64_t when)
{
	lm_auto_certificate struct certificate c = {0};

	assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
	return certificate_is_due(&c, kind, when);
}

static void is_renewed_before_it_expires(void **state)
{
	(void)state;
	lm_auto_free char *pem = make_server(now);

	assert_false(is_due(pem, CERTIFICATE_SERVER, now));
	assert_false(is_due(pem, CERTIFICATE_SERVER, now + 59 * DAY));
	assert_true(is_due(pem, CERTIFICATE_SERVER, now + 61 * DAY));
	assert_true(is_due(pem, CERTIFICATE_SERVER, now + 400 * DAY)); // the clock had been behind
	assert_true(is_due(pem, CERTIFICATE_SERVER, now - 2 * DAY));   // the clock had been ahead
	assert_false(is_due(ca_pem, CERTIFICATE_AUTHORITY, now + 3640 * (int64_t)DAY));
	assert_true(is_due(ca_pem, CERTIFICATE_AUTHORITY, now + 3660 * (int64_t)DAY));
}

static void one_that_was_just_made_is_not_due(void **state)
{
	(void)state;
	int64_t later = now + 30 * 365 * (int64_t)DAY;
	lm_auto_free char *root = NULL;

	assert_int_equal(
		certificate_make_authority(lm_secret_str(&ca_key), "Group CA", later, &root, &err),
		LM_OK);
	assert_false(is_due(root, CERTIFICATE_AUTHORITY, later));
	assert_true(is_due(root, CERTIFICATE_AUTHORITY, later + 3660 * (int64_t)DAY));
}

static void a_certificate_made_without_a_clock_is_good_until_there_is_one(void **state)
{
	(void)state;
	lm_auto_free char *pem = NULL, *root = NULL;
	struct certificate_authority *other = NULL;

	assert_int_equal(
		certificate_make_authority(lm_secret_str(&ca_key), "Group CA", 100, &root, &err),
		LM_OK);
	assert_int_equal(
		certificate_authority_open(lm_secret_str(&ca_key), lm_str(root), &other, &err),
		LM_OK);
	assert_int_equal(certificate_issue_server(
				 other, lm_secret_str(&key), "c", names, 1, 100, &pem, &err),
		LM_OK);
	certificate_authority_close(other);
	assert_int_equal(verify(pem, root, 100, names[0]), X509_V_OK);
	assert_int_equal(verify(pem, root, now, names[0]), X509_V_OK);
	assert_false(is_due(pem, CERTIFICATE_SERVER, 100));
	assert_true(is_due(pem, CERTIFICATE_SERVER, now));
	assert_true(is_due(root, CERTIFICATE_AUTHORITY, now));
	assert_int_equal(verify(pem, ca_pem, now, names[0]), X509_V_OK); // under the CA's next one
}

static void a_device_is_good_although_the_clock_was_ahead(void **state)
{
	(void)state;
	int64_t ahead = now + 5 * 365 * (int64_t)DAY;
	lm_auto_free char *pem = NULL, *root = NULL;
	struct certificate_authority *other = NULL;

	assert_int_equal(
		certificate_make_authority(lm_secret_str(&ca_key), "Group CA", ahead, &root, &err),
		LM_OK);
	assert_int_equal(
		certificate_authority_open(lm_secret_str(&ca_key), lm_str(root), &other, &err),
		LM_OK);
	assert_int_equal(
		certificate_issue_device(other, lm_secret_str(&key), "x", ahead, &pem, &err),
		LM_OK);
	certificate_authority_close(other);
	assert_int_equal(verify(pem, root, now, NULL), X509_V_OK);
	lm_auto_free char *server = make_server(ahead);
	assert_int_equal(verify(server, root, now, names[0]), X509_V_ERR_CERT_NOT_YET_VALID);
	assert_true(is_due(server, CERTIFICATE_SERVER, now));
}

static void is_cut_at_its_authoritys_end(void **state)
{
	(void)state;
	lm_auto_free char *pem = NULL;
	lm_auto_certificate struct certificate c = {0};
	int64_t late = now + (int64_t)(CERTIFICATE_AUTHORITY_DAYS - 5) * DAY;

	assert_int_equal(
		certificate_issue_device(ca, lm_secret_str(&key), "x", late, &pem, &err), LM_OK);
	assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
	assert_int_equal(c.not_after_s, now + (int64_t)CERTIFICATE_AUTHORITY_DAYS * DAY);
}

static void serials_differ(void **state)
{
	(void)state;
	lm_auto_free char *a = make_server(now), *b = make_server(now);
	lm_auto_certificate struct certificate c = {0}, d = {0};

	assert_int_equal(certificate_read(lm_str(a), &c, &err), LM_OK);
	assert_int_equal(certificate_read(lm_str(b), &d, &err), LM_OK);
	assert_string_not_equal(c.sha256, d.sha256);
	assert_int_equal(strlen(c.sha256), 64);
}

static void refuses_what_is_no_authority(void **state)
{
	(void)state;
	lm_auto_free char *pem = make_server(now);
	struct certificate_authority *other = NULL;

	assert_int_equal(certificate_authority_open(lm_secret_str(&key), lm_str(pem), &other, &err),
		LM_E_INVALID);
	assert_non_null(strstr(err.msg, "not one of a CA"));
	assert_int_equal(
		certificate_authority_open(lm_secret_str(&key), lm_str(ca_pem), &other, &err),
		LM_E_INVALID);
	assert_non_null(strstr(err.msg, "private key beside it"));
	assert_int_equal(certificate_authority_open(LM_STR("x"), lm_str(ca_pem), &other, &err),
		LM_E_INVALID);
	assert_int_equal(
		certificate_authority_open(lm_secret_str(&ca_key), LM_STR(""), &other, &err),
		LM_E_INVALID);
	assert_null(other);
}

static void never_asks_for_a_passphrase(void **state)
{
	(void)state;
	EVP_PKEY *made = EVP_RSA_gen(2048);
	BIO *out = BIO_new(BIO_s_mem());
	char *text;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(
				 out, made, EVP_aes_128_cbc(), "passphrase", 10, NULL, NULL),
		1);
	long n = BIO_get_mem_data(out, &text);
	assert_false(certificate_is_key((struct lm_str){text, (size_t)n}));
	assert_true(certificate_is_key(lm_secret_str(&key)));
	BIO_free(out);
	EVP_PKEY_free(made);
}

/// A signing request for the key, with a subject and extensions that ask for more than is given.
static char *make_request(EVP_PKEY *made, EVP_PKEY *signer)
{
	X509_REQ *request = X509_REQ_new();
	BIO *out = BIO_new(BIO_s_mem());
	char *text;
	STACK_OF(X509_EXTENSION) *asked = sk_X509_EXTENSION_new_null();

	X509_REQ_set_pubkey(request, made);
	X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
		(const unsigned char *)"Another", -1, -1, 0);
	sk_X509_EXTENSION_push(
		asked, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
	X509_REQ_add_extensions(request, asked);
	assert_true(X509_REQ_sign(request, signer, EVP_sha256()) > 0);
	PEM_write_bio_X509_REQ(out, request);
	long n = BIO_get_mem_data(out, &text);
	char *pem = lm_xmemdup0(text, (size_t)n);
	sk_X509_EXTENSION_pop_free(asked, X509_EXTENSION_free);
	X509_REQ_free(request);
	BIO_free(out);
	return pem;
}

static lm_rc sign(EVP_PKEY *made, EVP_PKEY *signer, char **ret)
{
	lm_auto_free char *request = make_request(made, signer);

	return certificate_sign_request(ca, lm_str(request), "Sensor", now, ret, &err);
}

static void signs_a_request_and_takes_its_key_only(void **state)
{
	(void)state;
	EVP_PKEY *made[] = {EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_EC_gen("P-384")};

	for (size_t i = 0; i < 3; i++) {
		lm_auto_free char *pem = NULL;
		lm_auto_certificate struct certificate c = {0};

		assert_int_equal(sign(made[i], made[i], &pem), LM_OK);
		assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
		assert_string_equal(c.cn, "Sensor");
		assert_false(c.is_authority);
		assert_int_equal(verify(pem, ca_pem, now, NULL), X509_V_OK);
		EVP_PKEY_free(made[i]);
	}
}

static void refuses_a_request(void **state)
{
	(void)state;
	EVP_PKEY *good = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048), *weak = EVP_RSA_gen(1024);
	EVP_PKEY *curve = EVP_EC_gen("P-521"), *edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	lm_auto_free char *pem = NULL;

	assert_int_equal(sign(good, other, &pem), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "not signed with its own key"));
	assert_int_equal(sign(weak, weak, &pem), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "1024 bits"));
	assert_int_equal(sign(curve, curve, &pem), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "P-256 or P-384"));

	X509_REQ *request = X509_REQ_new();
	X509_REQ_set_pubkey(request, edwards);
	assert_true(X509_REQ_sign(request, edwards, NULL) > 0);
	BIO *out = BIO_new(BIO_s_mem());
	PEM_write_bio_X509_REQ(out, request);
	char *text;
	long n = BIO_get_mem_data(out, &text);
	assert_int_equal(certificate_sign_request(
				 ca, (struct lm_str){text, (size_t)n}, "Sensor", now, &pem, &err),
		LM_E_INVALID);
	BIO_free(out);
	X509_REQ_free(request);

	static const char *const texts[] = {"", "x", "-----BEGIN CERTIFICATE REQUEST-----\n",
		"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_int_equal(
			certificate_sign_request(ca, lm_str(texts[i]), "Sensor", now, &pem, &err),
			LM_E_INVALID);
	lm_auto_free char *long_text = lm_xcalloc(LIMIT_SIGNING_REQUEST + 1, 1);
	assert_int_equal(
		certificate_sign_request(ca, (struct lm_str){long_text, LIMIT_SIGNING_REQUEST + 1},
			"Sensor", now, &pem, &err),
		LM_E_TOO_LARGE);
	assert_null(pem);
	EVP_PKEY_free(good);
	EVP_PKEY_free(other);
	EVP_PKEY_free(weak);
	EVP_PKEY_free(curve);
	EVP_PKEY_free(edwards);
}

static void refuses_a_curve_that_is_written_out(void **state)
{
	(void)state;
	EVP_PKEY *made = EVP_EC_gen("P-256");
	lm_auto_free char *pem = NULL;

	assert_int_equal(EVP_PKEY_set_utf8_string_param(made, "encoding", "explicit"), 1);
	assert_int_equal(sign(made, made, &pem), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "kind that is not taken"));
	EVP_PKEY_free(made);
}

static void copies_certificates_and_nothing_else(void **state)
{
	(void)state;
	lm_auto_free char *pem = make_server(now);
	lm_auto_free char *text =
		lm_xasprintf("a word\n%s%s%s", ca_pem, lm_secret_str(&key).p, pem);
	lm_auto_free char *expected = lm_xasprintf("%s%s", ca_pem, pem);
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_PEM_FILE);

	assert_int_equal(certificate_copy_all(lm_str(text), &out, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), expected);
	assert_int_equal(certificate_copy_all(LM_STR("nothing"), &out, &err), LM_E_INVALID);
	lm_auto_free char *cut = lm_xasprintf("%s-----BEGIN CERTIFICATE-----\nAA\n", ca_pem);
	assert_int_equal(certificate_copy_all(lm_str(cut), &out, &err), LM_E_INVALID);
	lm_auto_buf struct lm_buf small = LM_BUF(100);
	assert_int_equal(certificate_copy_all(lm_str(ca_pem), &small, &err), LM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_authority_signs_certificates_only),
		cmocka_unit_test(a_device_is_verified_for_ten_years),
		cmocka_unit_test(a_long_name_is_whole_in_a_uri),
		cmocka_unit_test(refuses_a_name_that_is_none),
		cmocka_unit_test(a_server_is_verified_by_each_of_its_names),
		cmocka_unit_test(knows_names),
		cmocka_unit_test(refuses_a_server_name_that_is_none),
		cmocka_unit_test(is_renewed_before_it_expires),
		cmocka_unit_test(one_that_was_just_made_is_not_due),
		cmocka_unit_test(a_certificate_made_without_a_clock_is_good_until_there_is_one),
		cmocka_unit_test(a_device_is_good_although_the_clock_was_ahead),
		cmocka_unit_test(is_cut_at_its_authoritys_end),
		cmocka_unit_test(serials_differ),
		cmocka_unit_test(refuses_what_is_no_authority),
		cmocka_unit_test(never_asks_for_a_passphrase),
		cmocka_unit_test(signs_a_request_and_takes_its_key_only),
		cmocka_unit_test(refuses_a_request),
		cmocka_unit_test(refuses_a_curve_that_is_written_out),
		cmocka_unit_test(copies_certificates_and_nothing_else),
	};

	return cmocka_run_group_tests(tests, make_all, free_all);
}
