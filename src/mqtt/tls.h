// SPDX-License-Identifier: Apache-2.0
#pragma once

/// TLS as the settings ask for it: version 1.2 or later, the broker's certificate and host name
/// checked. Ours and not libmosquitto's, whose errors do not name the file, or the check.

#include "base/error.h"
#include "mqtt/settings.h"

struct ssl_ctx_st; // OpenSSL's SSL_CTX

/// Reads CA, certificate and key. `verify_error` must outlive the context, and gets the X509_V_ERR_
/// of a broker that is not accepted. LM_E_INVALID: a file cannot be used; the message names it.
lm_rc tls_create(const struct mqtt_settings *s, int *verify_error, struct ssl_ctx_st **ret,
	struct lm_err *err);
/// What to do about a X509_V_ERR_.
const char *tls_advice(int verify_error);
