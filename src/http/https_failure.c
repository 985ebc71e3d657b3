// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "http/certificate_dates.h"
#include "http/https_priv.h"

#include <openssl/ssl.h>

/// libcurl's own words, or its general ones for the code.
static const char *words(const struct transfer *t, CURLcode code)
{
	return t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
}

/// An alert with which TLS rejects a certificate; "access denied" is what some send instead.
static bool rejects_certificate(int alert)
{
	return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
	       alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED;
}

/// Whether the server ended the connection instead of answering. A server that sends no alert is
/// judged by the certificate's dates.
static bool was_ended(const struct transfer *t, CURLcode code)
{
	return t->alert >= 0 || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_RECV_ERROR ||
	       code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING;
}

/// By the dates of the certificate that we show. True: `err` is filled.
static bool is_out_of_its_time(const struct transfer *t, struct lm_str host, struct lm_err *err)
{
	const struct https_request *r = &t->request;
	int64_t now_ms = lm_clock_wall_ms();
	struct certificate_dates dates;
	char when[LM_TIME_SIZE];

	if (!certificate_dates_read(r->certificate, r->certificate_text, &dates))
		return false;
	if (dates.until_ms < now_ms)
		(void)!lm_fail(err, LM_E_DENIED, 0,
			"the device's certificate '%s' expired at %s and %.*s does not accept it; "
			"give the device a new one, or set its clock if that is wrong",
			r->certificate, lm_time_format_iso(dates.until_ms, when), LM_STR_ARG(host));
	else if (dates.from_ms > now_ms)
		(void)!lm_fail(err, LM_E_DENIED, 0,
			"the device's certificate '%s' is not valid before %s and %.*s does not "
			"accept it; set the device's clock if that is wrong, or wait",
			r->certificate, lm_time_format_iso(dates.from_ms, when), LM_STR_ARG(host));
	else if (t->alert == SSL_AD_CERTIFICATE_EXPIRED)
		(void)!lm_fail(err, LM_E_DENIED, 0,
			"%.*s does not accept the device's certificate '%s': it has expired there, "
			"but is valid until %s by the device's clock; set the clock",
			LM_STR_ARG(host), r->certificate, lm_time_format_iso(dates.until_ms, when));
	else
		return false;
	return true;
}

/// Whether the server does not accept the certificate that we show: `err` then says why.
static bool is_certificate_refused(
	const struct transfer *t, CURLcode code, struct lm_str host, struct lm_err *err)
{
	const struct https_request *r = &t->request;

	if (!r->certificate || !was_ended(t, code))
		return false;
	if (is_out_of_its_time(t, host, err))
		return true;
	if (!rejects_certificate(t->alert))
		return false;
	if (t->alert == SSL_AD_UNKNOWN_CA)
		(void)!lm_fail(err, LM_E_DENIED, 0,
			"%.*s does not know the authority that issued the device's certificate "
			"'%s'; use a certificate that is registered there",
			LM_STR_ARG(host), r->certificate);
	else
		(void)!lm_fail(err, LM_E_DENIED, 0,
			"%.*s does not accept the device's certificate '%s' (%s); check that it is "
			"registered there, active and not revoked",
			LM_STR_ARG(host), r->certificate, SSL_alert_desc_string_long(t->alert));
	return true;
}

static lm_rc describe_tls(const struct transfer *t, CURLcode code, struct lm_str host,
	bool *ret_retry, struct lm_err *err)
{
	const struct https_request *r = &t->request;

	switch (code) {
	case CURLE_SSL_CERTPROBLEM:
		return lm_fail(err, LM_E_INVALID, 0,
			"the certificate '%s' with the private key '%s' cannot be used (%s); both "
			"must "
			"be PEM files that belong together, the key without a passphrase",
			r->certificate ? r->certificate : "", r->private_key ? r->private_key : "",
			words(t, code));
	case CURLE_PEER_FAILED_VERIFICATION:
		if (r->ca)
			return lm_fail(err, LM_E_NETWORK, 0,
				"the certificate of %.*s is not accepted (%s); check the CA file "
				"'%s', "
				"the host's name, and the device's clock",
				LM_STR_ARG(host), words(t, code), r->ca);
		return lm_fail(err, LM_E_NETWORK, 0,
			"the certificate of %.*s is not accepted (%s); if a proxy or a private "
			"store "
			"has a CA of its own, set AWS_CA_BUNDLE to that CA's file, and check the "
			"device's clock",
			LM_STR_ARG(host), words(t, code));
	case CURLE_SSL_CACERT_BADFILE:
		if (r->ca)
			return lm_fail(err, LM_E_INVALID, 0,
				"the CA file '%s' for %.*s cannot be used (%s); it must be a PEM "
				"file",
				r->ca, LM_STR_ARG(host), words(t, code));
		return lm_fail(err, LM_E_INVALID, 0,
			"the CA certificates for %.*s cannot be read (%s); install "
			"ca-certificates, "
			"or check AWS_CA_BUNDLE",
			LM_STR_ARG(host), words(t, code));
	default:
		*ret_retry = true;
		return lm_fail(err, LM_E_NETWORK, 0, "TLS with %.*s failed: %s", LM_STR_ARG(host),
			words(t, code));
	}
}

/// A proxy that answered CONNECT with an error shows as a broken connection only.
static bool proxy_refused(const struct transfer *t, long *ret_status)
{
	long status = 0;

	if (curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &status) != CURLE_OK)
		return false;
	*ret_status = status;
	return status >= 400;
}

static lm_rc describe_connection(const struct transfer *t, CURLcode code, struct lm_str host,
	bool *ret_retry, struct lm_err *err)
{
	long status = 0;

	if (proxy_refused(t, &status)) {
		*ret_retry = status >= 500;
		return lm_fail(err, status >= 500 ? LM_E_NETWORK : LM_E_DENIED, 0,
			"the proxy does not connect us to %.*s: it answers HTTP %ld; check "
			"https_proxy and no_proxy",
			LM_STR_ARG(host), status);
	}
	*ret_retry = true;
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return lm_fail(err, LM_E_NETWORK, 0,
			"the address of %.*s cannot be found; check the network, DNS and the name",
			LM_STR_ARG(host));
	case CURLE_COULDNT_RESOLVE_PROXY:
		return lm_fail(err, LM_E_NETWORK, 0,
			"the address of the proxy for %.*s cannot be found; check https_proxy",
			LM_STR_ARG(host));
	case CURLE_COULDNT_CONNECT:
		return lm_fail(err, LM_E_NETWORK, 0,
			"no connection to %.*s: %s; check the network and, if one is set, the "
			"proxy",
			LM_STR_ARG(host), words(t, code));
	case CURLE_OPERATION_TIMEDOUT:
		return lm_fail(err, LM_E_TIMEOUT, 0, "%.*s does not answer in time: %s",
			LM_STR_ARG(host), words(t, code));
	default:
		return lm_fail(err, LM_E_NETWORK, 0, "the connection to %.*s broke: %s",
			LM_STR_ARG(host), words(t, code));
	}
}

lm_rc https_describe_failure(
	const struct transfer *t, CURLcode code, bool *ret_retry, struct lm_err *err)
{
	struct lm_str host = https_origin_host(t->request.origin);

	*ret_retry = false;
	if (is_certificate_refused(t, code, host, err))
		return LM_E_DENIED;
	if (t->headers_too_large)
		return lm_fail(err, LM_E_PROTOCOL, 0, "the answer of %.*s has too many headers",
			LM_STR_ARG(host));
	if (t->body_too_large)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the answer of %.*s is larger than %zu bytes", LM_STR_ARG(host),
			t->request.body_max);
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CIPHER:
		return describe_tls(t, code, host, ret_retry, err);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
		return describe_connection(t, code, host, ret_retry, err);
	case CURLE_URL_MALFORMAT:
		return lm_fail(err, LM_E_INVALID, 0, "'%.*s' is no address to reach: %s",
			LM_STR_ARG(host), words(t, code));
	default:
		return lm_fail(err, LM_E_PROTOCOL, 0, "the answer of %.*s makes no sense: %s",
			LM_STR_ARG(host), words(t, code));
	}
}
