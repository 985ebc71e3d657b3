// SPDX-License-Identifier: Apache-2.0
#include "discovery/tls_identity.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/openssl.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

enum { CHAIN_MAX = 4, CLIENT_CHAIN_BYTES_MAX = 32 << 10 };

LM_DEFINE_CLEANUP(SSL_CTX, SSL_CTX_free)

static lm_rc fail_identity(const char *path, struct lm_err *err)
{
	const char *why = lm_openssl_reason();

	return lm_fail(err, LM_E_INVALID, 0, "'%s' cannot be used: %s", path,
		why ? why : "the file cannot be read");
}

/// Without it OpenSSL would ask for the passphrase on a terminal.
static int answer_no_passphrase(char *buf, int size, int rwflag, void *userdata)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)userdata;
	return 0;
}

/// The handshake goes on, whatever the certificate is worth.
static int note_error(int ok, X509_STORE_CTX *store)
{
	SSL *tls = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	int *error = SSL_get_app_data(tls);

	if (!ok && *error == X509_V_OK)
		*error = X509_STORE_CTX_get_error(store);
	return 1;
}

static int select_protocol(SSL *tls, const unsigned char **out, unsigned char *out_n,
	const unsigned char *offered, unsigned offered_n, void *ctx)
{
	static const unsigned char ours[] = "\x0ex-amzn-http-ca\x08http/1.1\x08http/1.0";
	unsigned char *chosen = NULL;

	(void)tls;
	(void)ctx;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof(ours) - 1, offered, offered_n) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static lm_rc load_client_ca(SSL_CTX *identity, const char *path, struct lm_err *err)
{
	STACK_OF(X509_NAME) *names = NULL;

	if (SSL_CTX_load_verify_file(identity, path) != 1 ||
		!(names = SSL_load_client_CA_file(path)))
		return fail_identity(path, err);
	SSL_CTX_set_client_CA_list(identity, names); // takes it over
	return LM_OK;
}

static lm_rc load_identity_files(SSL_CTX *identity, const char *folder, struct lm_err *err)
{
	lm_auto_free char *certificate = lm_path_join(folder, "server.pem");
	lm_auto_free char *key = lm_path_join(folder, "server.key");
	lm_auto_free char *ca = lm_path_join(folder, "client-ca.pem");

	SSL_CTX_set_default_passwd_cb(identity, answer_no_passphrase);
	if (SSL_CTX_use_certificate_chain_file(identity, certificate) != 1)
		return fail_identity(certificate, err);
	if (SSL_CTX_use_PrivateKey_file(identity, key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(identity) != 1)
		return fail_identity(key, err);
	return load_client_ca(identity, ca, err);
}

lm_rc tls_identity_load(const char *folder, struct ssl_ctx_st **ret, struct lm_err *err)
{
	lm_auto(SSL_CTX_free_p) SSL_CTX *identity = NULL;

	ERR_clear_error();
	identity = SSL_CTX_new(TLS_server_method());
	if (!identity || SSL_CTX_set_min_proto_version(identity, TLS1_2_VERSION) != 1)
		return lm_fail(err, LM_E_SYS, 0, "prepare TLS: %s", lm_openssl_reason());
	// A resumed session would skip the check of the client's certificate.
	(void)SSL_CTX_set_options(identity, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
						    SSL_OP_NO_COMPRESSION |
						    SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_session_cache_mode(identity, SSL_SESS_CACHE_OFF);
	(void)SSL_CTX_set_num_tickets(identity, 0);
	(void)SSL_CTX_set_mode(identity, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
						 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_max_cert_list(identity, CLIENT_CHAIN_BYTES_MAX);
	SSL_CTX_set_alpn_select_cb(identity, select_protocol, NULL);
	SSL_CTX_set_verify(identity, SSL_VERIFY_PEER, note_error);
	SSL_CTX_set_verify_depth(identity, CHAIN_MAX);
	// devices.ca may be an intermediate one.
	(void)X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(identity), X509_V_FLAG_PARTIAL_CHAIN);
	lm_rc rc = load_identity_files(identity, folder, err);
	if (rc)
		return rc;
	*ret = lm_take(identity);
	return LM_OK;
}

void tls_identity_free(struct ssl_ctx_st *identity)
{
	SSL_CTX_free(identity);
}

struct ssl_st *tls_identity_accept(struct ssl_ctx_st *identity, int fd, int *ret_error)
{
	SSL *tls = SSL_new(identity);

	*ret_error = X509_V_OK;
	if (!tls || SSL_set_app_data(tls, ret_error) != 1 || SSL_set_fd(tls, fd) != 1) {
		SSL_free(tls);
		return NULL;
	}
	SSL_set_accept_state(tls);
	return tls;
}

struct tls_client tls_identity_client(struct ssl_st *tls, int error)
{
	struct tls_client client = {.problem = "it has no certificate"};
	X509 *certificate = SSL_get0_peer_certificate(tls);

	if (!certificate)
		return client;
	if (!certificate_fingerprint(certificate, client.fingerprint)) {
		client.problem = "its certificate cannot be read";
		return client;
	}
	if (error == X509_V_OK)
		error = (int)SSL_get_verify_result(tls);
	client.problem = error == X509_V_OK ? NULL : X509_verify_cert_error_string(error);
	return client;
}
