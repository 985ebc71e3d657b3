// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The server's side of TLS: certificate and key, and the CAs of client certificates. A client
/// without a certificate, or with one that does not verify, is let through the handshake, so that
/// it gets an answer of HTTP; what its certificate is worth is asked for afterwards. TLS itself
/// refuses, with an alert: versions before 1.2, no common cipher, no common ALPN protocol of those
/// that the client offers (x-amzn-http-ca, http/1.1, http/1.0; a client may do without ALPN), and a
/// client that does not have its certificate's key.

#include "base/error.h"
#include "devices/certificates.h"

#include <stdbool.h>

struct ssl_ctx_st; // OpenSSL's SSL_CTX and SSL
struct ssl_st;

/// Reads server.pem, server.key and client-ca.pem of the folder. LM_E_INVALID: a file cannot be
/// used; the message names it.
lm_rc tls_identity_load(const char *folder, struct ssl_ctx_st **ret, struct lm_err *err);
/// Takes NULL. Connections that began with it keep it.
void tls_identity_free(struct ssl_ctx_st *identity);

/// The other end, after the handshake.
struct tls_client {
	/// SHA-256 of the certificate's DER, lower-case hexadecimal; "": it has none.
	char fingerprint[CERTIFICATE_SHA256_SIZE];
	/// Why the certificate is not accepted, static; NULL: a CA of client-ca.pem issued it, and
	/// it is valid at this time.
	const char *problem;
};

/// For a new connection, before its handshake; `ret_error` gets the first X509_V_ERR_ of the
/// client's certificate, and must outlive the connection.
struct ssl_st *tls_identity_accept(struct ssl_ctx_st *identity, int fd, int *ret_error);
/// `error` is what `ret_error` got.
struct tls_client tls_identity_client(struct ssl_st *tls, int error);
