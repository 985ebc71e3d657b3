// SPDX-License-Identifier: Apache-2.0
#include "mqtt/fault_priv.h"

#include "base/cleanup.h"
#include "mqtt/tls_priv.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/x509_vfy.h>
#include <string.h>

/// By CONNACK's return code (MQTT 3.1.1, table 3.1).
static const char *const REFUSALS[] = {
	[1] = "it does not speak MQTT 3.1.1",
	[2] = "it does not take the client identifier; check clientId",
	[3] = "its service is not available at the moment",
	[4] = "bad user name or password; check username and passwordFile",
	[5] = "not authorised; check username and passwordFile, or certificate",
};

static lm_rc fault_refused(const struct link *l, struct lm_err *err)
{
	size_t code = (size_t)l->connack;

	if (code >= LM_ARRAY_SIZE(REFUSALS))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the MQTT broker %s refuses us with %d, which MQTT 3.1.1 does not know",
			l->name, l->connack);
	return lm_fail(
		err, LM_E_REFUSED, 0, "the MQTT broker %s refuses us: %s", l->name, REFUSALS[code]);
}

/// A connection that was cut is also a complaint of OpenSSL, but TLS is not at fault.
static bool is_tls_fault(const struct link *l)
{
	return l->verify_error != X509_V_OK ||
	       (l->connack != 0 && l->reason[0] && !strstr(l->reason, "unexpected eof"));
}

static lm_rc fault_tls(const struct link *l, struct lm_err *err)
{
	if (l->verify_error != X509_V_OK)
		return lm_fail(err, LM_E_NETWORK, 0,
			"the certificate of the MQTT broker %s is not accepted (%s); %s", l->name,
			X509_verify_cert_error_string(l->verify_error),
			tls_advice(l->verify_error));
	return lm_fail(err, LM_E_NETWORK, 0,
		"TLS with the MQTT broker %s failed (%s); check that its port speaks TLS, and "
		"takes our certificate (certificate, privateKey)",
		l->name, l->reason[0] ? l->reason : "no reason given");
}

static lm_rc fault_socket(const struct link *l, int sys, struct lm_err *err)
{
	switch (sys) {
	case ENOENT:
	case ECONNREFUSED:
		return lm_fail(err, LM_E_NETWORK, sys,
			"no MQTT broker listens on the socket %s (%m); check that it runs, and "
			"socket",
			l->name);
	case EACCES:
		return lm_fail(err, LM_E_DENIED, sys,
			"the socket %s of the MQTT broker may not be used (%m); check its mode",
			l->name);
	default:
		return lm_fail(err, LM_E_NETWORK, sys, "the MQTT broker %s cannot be reached: %m",
			l->name);
	}
}

static lm_rc fault_host(const struct link *l, int sys, struct lm_err *err)
{
	if (sys == ECONNREFUSED)
		return lm_fail(err, LM_E_NETWORK, sys,
			"no MQTT broker listens on %s (%m); check that it runs, and host and port",
			l->name);
	return lm_fail(err, LM_E_NETWORK, sys,
		"the MQTT broker %s cannot be reached (%m); check the network, and host and port",
		l->name);
}

lm_rc fault_connect(const struct link *l, int rc, int sys, struct lm_err *err)
{
	switch (rc) {
	case MOSQ_ERR_EAI:
		return lm_fail(err, LM_E_NETWORK, 0,
			"the address of the MQTT broker '%s' cannot be found (%s); check the "
			"network, DNS, and host",
			l->settings.host, gai_strerror(sys));
	case MOSQ_ERR_ERRNO:
		// When sending CONNECT already failed; EPROTO stands for any failure of TLS.
		if (sys == EPROTO || sys == ECONNRESET || sys == EPIPE)
			return fault_lost(l, rc, sys, err);
		return l->settings.socket ? fault_socket(l, sys, err) : fault_host(l, sys, err);
	default:
		return fault_lost(l, rc, sys, err);
	}
}

static lm_rc fault_closed(const struct link *l, int sys, struct lm_err *err)
{
	if (l->connack == 0)
		return lm_fail(err, LM_E_NETWORK, sys,
			"the MQTT broker %s closed the connection; if that goes on, see its log: "
			"it may not let us publish, or another client has our clientId",
			l->name);
	return lm_fail(err, LM_E_NETWORK, sys,
		"the MQTT broker %s closed the connection before it answered; check port, and "
		"whether %s",
		l->name,
		!l->tls                   ? "it asks for TLS (ca, certificate)"
		: l->settings.certificate ? "it takes our certificate (certificate, privateKey)"
					  : "it asks for a certificate (certificate, privateKey)");
}

lm_rc fault_lost(const struct link *l, int rc, int sys, struct lm_err *err)
{
	if (l->connack > 0)
		return fault_refused(l, err);
	if (is_tls_fault(l) || rc == MOSQ_ERR_TLS)
		return fault_tls(l, err);
	switch (rc) {
	case MOSQ_ERR_KEEPALIVE:
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"the MQTT broker %s gave no sign of life for %u s; check the network, and "
			"that it runs",
			l->name, l->keep_alive_s);
	case MOSQ_ERR_PROTOCOL:
	case MOSQ_ERR_MALFORMED_PACKET:
	case MOSQ_ERR_NOT_SUPPORTED:
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"what answers at %s does not speak MQTT 3.1.1; check host and port",
			l->name);
	case MOSQ_ERR_CONN_LOST:
	case MOSQ_ERR_NO_CONN:
	case MOSQ_ERR_ERRNO:
		return fault_closed(l, sys, err);
	default:
		return lm_fail(err, LM_E_NETWORK, sys, "the connection to the MQTT broker %s: %s",
			l->name, mosquitto_strerror(rc));
	}
}

lm_rc fault_limit(const char *name, bool reached, unsigned limit_ms, struct lm_err *err)
{
	double limit_s = (double)limit_ms / 1000;

	if (reached)
		return lm_fail(err, LM_E_TIMEOUT, 0,
			"the MQTT broker %s took the connection, but did not answer within %g s; "
			"check that host and port are a broker's",
			name, limit_s);
	return lm_fail(err, LM_E_TIMEOUT, 0,
		"the MQTT broker %s was not reached within %g s; check the network, and host and "
		"port",
		name, limit_s);
}
