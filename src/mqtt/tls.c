// SPDX-License-Identifier: Apache-2.0
#include "mqtt/tls.h"

#include "base/openssl.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

LM_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)

static const char *tls_reason(void)
{
	const char *reason = lm_openssl_reason();

	return reason ? reason : "the file cannot be read";
}

static lm_rc tls_fail_file(const char *key, const char *path, struct lm_err *err)
{
	return lm_fail(
		err, LM_E_INVALID, 0, "mqtt: %s: '%s' cannot be used: %s", key, path, tls_reason());
}

/// Without it OpenSSL would ask for the passphrase on a terminal.
static int no_passphrase(char *buf, int size, int rwflag, void *userdata)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)userdata;
	return 0;
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	int *verify_error = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (!ok)
		*verify_error = X509_STORE_CTX_get_error(store);
	return ok;
}

static bool check_host(SSL_CTX *ctx, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

static lm_rc load_files(SSL_CTX *ctx, const struct mqtt_settings *s, struct lm_err *err)
{
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (s->ca && SSL_CTX_load_verify_file(ctx, s->ca) != 1)
		return tls_fail_file("ca", s->ca, err);
	// A directory: only what a broker's chain asks for is read.
	if (!s->ca && SSL_CTX_set_default_verify_dir(ctx) != 1)
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: the system's CA certificates: %s",
			tls_reason());
	if (!s->certificate)
		return LM_OK;
	if (SSL_CTX_use_certificate_chain_file(ctx, s->certificate) != 1)
		return tls_fail_file("certificate", s->certificate, err);
	if (SSL_CTX_use_PrivateKey_file(ctx, s->private_key, SSL_FILETYPE_PEM) != 1)
		return tls_fail_file("privateKey", s->private_key, err);
	return LM_OK;
}

lm_rc tls_create(
	const struct mqtt_settings *s, int *verify_error, SSL_CTX **ret, struct lm_err *err)
{
	lm_auto(SSL_CTX_free_p) SSL_CTX *ctx = NULL;

	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_client_method());
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
		!check_host(ctx, s->host))
		return lm_fail(err, LM_E_INVALID, 0, "mqtt: prepare TLS with '%s': %s", s->host,
			tls_reason());
	// What a renegotiation would have to be checked with is gone by then
	// (mqtt_connection_shed).
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	*verify_error = X509_V_OK;
	(void)SSL_CTX_set_app_data(ctx, verify_error);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	lm_rc rc = load_files(ctx, s, err);
	if (rc != LM_OK)
		return rc;
	*ret = lm_take(ctx);
	return LM_OK;
}

const char *tls_advice(int verify_error)
{
	switch (verify_error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "check the device's clock, then the broker's certificate";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "host must be a name that the broker's certificate has";
	default:
		return "check that ca is the file of the CA that issued it";
	}
}
