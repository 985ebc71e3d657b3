// SPDX-License-Identifier: Apache-2.0
#include "http/https.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/wiping_alloc.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum {
	URL_MAX = 64 << 10,
	CONNECT_TIMEOUT_MS = 10 * 1000,
	TIMEOUT_MS = 60 * 1000,
	LOW_SPEED_BYTES_PER_S = 16,
	LOW_SPEED_S = 20,
	ATTEMPTS = 5,
	BACKOFF_BASE_MS = 200,
	BACKOFF_MAX_MS = 20 * 1000,
	RETRY_AFTER_MAX_S = 24 * 3600,
	POLL_MS = 1000, ///< libcurl's own timers are looked after by curl_multi_poll.
	GZIP_ONLY = 16 + MAX_WBITS,
	INFLATE_STEP = 16 << 10,
};

void header_list_add(struct header_list *list, struct lm_str name, struct lm_str value)
{
	list->items = lm_xrealloc(list->items, (list->n + 1) * sizeof(*list->items));
	struct header *h = &list->items[list->n++];

	*h = (struct header){.name = lm_xmemdup0(name.p, name.n)};
	lm_secret_set(&h->value, value);
}

void header_list_finish(struct header_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].name);
		lm_secret_finish(&list->items[i].value);
	}
	free(list->items);
	*list = (struct header_list){0};
}

struct lm_str https_origin_host(struct lm_str origin)
{
	const char *mark = memmem(origin.p, origin.n, "://", 3);

	if (!mark)
		return origin;
	mark += 3;
	return (struct lm_str){mark, (size_t)(origin.p + origin.n - mark)};
}

/// The value of the header's line `at`. False: there are not as many.
static bool find_header_line(
	const struct https_answer *answer, const char *name, size_t at, struct lm_str *ret)
{
	struct curl_header *h = NULL;

	if (!answer->handle ||
		curl_easy_header(answer->handle, name, at, CURLH_HEADER, -1, &h) != CURLHE_OK)
		return false;
	*ret = lm_str(h->value);
	return true;
}

struct lm_str https_header(const struct https_answer *answer, const char *name)
{
	struct lm_str value = LM_STR("");

	(void)find_header_line(answer, name, 0, &value);
	return value;
}

int64_t https_parse_date_ms(struct lm_str date)
{
	lm_auto_free char *text = lm_xmemdup0(date.p, date.n);
	time_t t = curl_getdate(text, NULL);

	return t > 0 ? (int64_t)t * 1000 : 0;
}

void https_answer_finish(struct https_answer *answer)
{
	curl_easy_cleanup(answer->handle);
	lm_buf_finish(&answer->body);
	*answer = (struct https_answer){0};
}

struct transfer {
	struct transfer *next;
	struct https_request request; ///< `query` is already in `url`; `origin` points into `url`.
	char *url;
	char *certificate, *private_key, *ca; ///< What `request` points to.
	unsigned attempt;                     ///< Of the attempt under way or to come, from 0.
	uint64_t start_ms;                    ///< When that may start, on lm_clock_mono_ms().

	// One attempt:
	CURL *easy; ///< `answer.handle`, while it is on the multi handle; NULL while waiting.
	struct curl_slist *header_lines;
	struct lm_buf wire; ///< The body as it came, maybe compressed.
	size_t header_bytes;
	bool headers_too_large, body_too_large, body_cut;
	char curl_text[CURL_ERROR_SIZE];
	int alert; ///< The TLS alert with which the server closed it, as SSL_AD_...; -1: none seen.

	struct https_answer answer;
};

struct https {
	CURLM *multi;
	char *ca_bundle;            ///< NULL: the system's.
	uint64_t alive_at_ms;       ///< When the caller was last shown that we are alive.
	int alert;                  ///< The last TLS alert from a server that asked for our
				    ///< certificate, since the attempt began; -1: none.
	struct transfer *transfers; ///< All under way or waiting, in the order they were started.
};

static void end_inflate(z_stream *z)
{
	(void)inflateEnd(z);
}

/// One step: decompresses up to INFLATE_STEP bytes. Z_OK, Z_STREAM_END, or zlib's error.
static int inflate_step(z_stream *z, struct lm_buf *out, bool *ret_full)
{
	unsigned char piece[INFLATE_STEP];

	z->next_out = piece;
	z->avail_out = INFLATE_STEP;
	int rc = inflate(z, Z_NO_FLUSH);
	*ret_full = !lm_buf_add(out, piece, INFLATE_STEP - z->avail_out);
	return rc;
}

static lm_rc gunzip(struct lm_str data, struct lm_buf *out, struct lm_err *err)
{
	lm_auto(end_inflate) z_stream z = {
		// zlib does not write through next_in; its type only lacks the const.
		.next_in = (Bytef *)(uintptr_t)data.p,
		.avail_in = (uInt)data.n,
	};

	if (inflateInit2(&z, GZIP_ONLY) != Z_OK)
		return lm_fail(err, LM_E_SYS, 0, "its gzip data cannot be read: no memory");
	for (;;) {
		bool full = false;
		int rc = inflate_step(&z, out, &full);

		if (full)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"its gzip data holds more than %zu bytes", out->max);
		if (rc == Z_STREAM_END && !z.avail_in)
			return LM_OK;
		if (rc == Z_STREAM_END)
			rc = inflateReset(&z); // members may follow each other: RFC 1952 2.2
		if (rc == Z_BUF_ERROR || (rc == Z_OK && !z.avail_in && z.avail_out))
			return lm_fail(err, LM_E_PROTOCOL, 0, "its gzip data is truncated");
		if (rc != Z_OK)
			return lm_fail(err, LM_E_PROTOCOL, 0, "its gzip data is damaged");
	}
}

struct certificate_dates {
	int64_t from_ms, until_ms; ///< Wall clock.
};

static bool asn1_to_ms(const ASN1_TIME *time, int64_t *ret)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm))
		return false;
	*ret = (int64_t)timegm(&tm) * 1000;
	return true;
}

static bool parse_certificate_dates(struct lm_str text, struct certificate_dates *ret)
{
	BIO *bio = text.n <= LIMIT_PEM_FILE ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	struct certificate_dates d;
	bool ok = x && asn1_to_ms(X509_get0_notBefore(x), &d.from_ms) &&
		  asn1_to_ms(X509_get0_notAfter(x), &d.until_ms);

	X509_free(x);
	BIO_free(bio);
	if (ok)
		*ret = d;
	return ok;
}

/// Of the first certificate in the PEM `text` or, if that is empty, in the file `path`. False:
/// there is none that can be read.
static bool read_certificate_dates(
	const char *path, struct lm_str text, struct certificate_dates *ret)
{
	lm_auto_buf struct lm_buf read = LM_BUF(LIMIT_PEM_FILE);

	if (text.n)
		return parse_certificate_dates(text, ret);
	return path && lm_file_read(path, &read, NULL) == LM_OK &&
	       parse_certificate_dates(lm_buf_str(&read), ret);
}

/// libcurl's message, or its general one for the code.
static const char *curl_message(const struct transfer *t, CURLcode code)
{
	return t->curl_text[0] ? t->curl_text : curl_easy_strerror(code);
}

/// An alert with which TLS rejects a certificate; "access denied" is what some send instead.
static bool rejects_certificate(int alert)
{
	return (alert >= SSL_AD_BAD_CERTIFICATE && alert <= SSL_AD_CERTIFICATE_UNKNOWN) ||
	       alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_ACCESS_DENIED;
}

/// Whether the server closed the connection instead of answering. A server that sends no alert is
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

	if (!read_certificate_dates(r->certificate, r->certificate_text, &dates))
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

/// Whether the server does not accept the certificate that we show: `err` then has the reason.
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
			"%.*s does not trust the authority that issued the device's certificate "
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
			"must be PEM files that belong together, the key without a passphrase",
			r->certificate ? r->certificate : "", r->private_key ? r->private_key : "",
			curl_message(t, code));
	case CURLE_PEER_FAILED_VERIFICATION:
		if (r->ca)
			return lm_fail(err, LM_E_NETWORK, 0,
				"the certificate of %.*s is not accepted (%s); check the CA file "
				"'%s', the host's name, and the device's clock",
				LM_STR_ARG(host), curl_message(t, code), r->ca);
		return lm_fail(err, LM_E_NETWORK, 0,
			"the certificate of %.*s is not accepted (%s); if a proxy or a private "
			"store has a CA of its own, set AWS_CA_BUNDLE to that CA's file, and check "
			"the device's clock",
			LM_STR_ARG(host), curl_message(t, code));
	case CURLE_SSL_CACERT_BADFILE:
		if (r->ca)
			return lm_fail(err, LM_E_INVALID, 0,
				"the CA file '%s' for %.*s cannot be used (%s); it must be a PEM "
				"file",
				r->ca, LM_STR_ARG(host), curl_message(t, code));
		return lm_fail(err, LM_E_INVALID, 0,
			"the CA certificates for %.*s cannot be read (%s); install "
			"ca-certificates, or check AWS_CA_BUNDLE",
			LM_STR_ARG(host), curl_message(t, code));
	default:
		*ret_retry = true;
		return lm_fail(err, LM_E_NETWORK, 0, "TLS with %.*s failed: %s", LM_STR_ARG(host),
			curl_message(t, code));
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
			"the proxy does not connect to %.*s: it answers HTTP %ld; check "
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
			LM_STR_ARG(host), curl_message(t, code));
	case CURLE_OPERATION_TIMEDOUT:
		return lm_fail(err, LM_E_TIMEOUT, 0, "%.*s does not answer in time: %s",
			LM_STR_ARG(host), curl_message(t, code));
	default:
		return lm_fail(err, LM_E_NETWORK, 0, "the connection to %.*s broke: %s",
			LM_STR_ARG(host), curl_message(t, code));
	}
}

static lm_rc describe_attempt_failure(
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
		return lm_fail(err, LM_E_INVALID, 0, "'%.*s' is not a valid address: %s",
			LM_STR_ARG(host), curl_message(t, code));
	default:
		return lm_fail(err, LM_E_PROTOCOL, 0, "unexpected answer from %.*s: %s",
			LM_STR_ARG(host), curl_message(t, code));
	}
}

static bool is_success_status(long status)
{
	return status >= 200 && status < 300;
}

static long status_of(const struct transfer *t)
{
	long status = 0;

	(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;

	(void)data; // libcurl keeps it, for https_header
	t->header_bytes += size * n;
	t->headers_too_large = t->header_bytes > LIMIT_HTTP_HEADERS;
	return t->headers_too_large ? 0 : size * n;
}

static size_t on_body_bytes(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t bytes = size * n;

	if (lm_buf_add(&t->wire, data, bytes))
		return bytes;
	if (is_success_status(status_of(t))) {
		t->body_too_large = true;
		return 0;
	}
	// The beginning of an error document is enough; the rest is not waited for.
	size_t room = t->wire.max - t->wire.len;
	(void)lm_buf_add(&t->wire, data, room < bytes ? room : bytes);
	t->body_cut = true;
	return 0;
}

/// The ceiling depends on the status, which is known only once the body begins.
static size_t on_body_start(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;

	if (!t->wire.max)
		t->wire.max = is_success_status(status_of(t)) ? t->request.body_max
							      : (size_t)LIMIT_HTTP_ERROR_BODY;
	return on_body_bytes(data, size, n, ctx);
}

static void add_header_line(struct transfer *t, const char *line)
{
	struct curl_slist *lines = curl_slist_append(t->header_lines, line);

	if (!lines)
		lm_out_of_memory();
	t->header_lines = lines;
}

static lm_rc prepare_headers(struct transfer *t, struct lm_err *err)
{
	lm_auto_header_list struct header_list headers = {0};

	if (t->request.prepare) {
		lm_rc rc = t->request.prepare(t->request.ctx, t->attempt, &headers, err);
		if (rc != LM_OK)
			return rc;
	}
	for (size_t i = 0; i < headers.n; i++) {
		lm_auto_buf struct lm_buf line = LM_BUF_SECRET(LIMIT_HTTP_HEADERS);

		(void)lm_buf_puts(&line, headers.items[i].name);
		(void)lm_buf_puts(&line, ": ");
		(void)lm_buf_add_str(&line, lm_secret_str(&headers.items[i].value));
		if (line.overflow)
			return lm_fail(err, LM_E_INVALID, 0, "the header %s is too long to send",
				headers.items[i].name);
		add_header_line(t, lm_buf_cstr(&line));
	}
	add_header_line(t, "Accept-Encoding: identity");
	add_header_line(t, "Accept:");
	add_header_line(t, "Expect:");
	return LM_OK;
}

static void set_method(struct transfer *t)
{
	const struct https_request *r = &t->request;
	CURL *e = t->easy;

	if (strcmp(r->method, "HEAD") == 0) {
		(void)curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else if (strcmp(r->method, "GET") != 0) {
		(void)curl_easy_setopt(e, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.p ? r->body.p : "");
		(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	}
}

static void set_limits(struct transfer *t)
{
	const struct https_request *r = &t->request;
	unsigned connect_ms = r->connect_timeout_ms ? r->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	unsigned total_ms = r->timeout_ms ? r->timeout_ms : TIMEOUT_MS;
	CURL *e = t->easy;

	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
	(void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)total_ms);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED_BYTES_PER_S);
	(void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_S);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	// A thread that waits for a name server is left to itself at the time limit: libcurl would
	// wait for it, without looking at anything else, for as long as the system's resolver does.
	(void)curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
}

/// What is not allowed to be left out by a libcurl that lacks it.
static bool set_security(const struct https *h, struct transfer *t)
{
	CURL *e = t->easy;
	const char *protocols = t->request.plain_http ? "http,https" : "https";
	const char *ca = t->request.ca ? t->request.ca : h->ca_bundle;
	bool only = ca && (t->request.ca || !t->request.beside_system);

	return curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	       (!ca || curl_easy_setopt(e, CURLOPT_CAINFO, ca) == CURLE_OK) &&
	       (!only || curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK) &&
	       curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK;
}

/// One half of what we show: a file or, in its stead, its text.
static bool set_pem(
	CURL *e, CURLoption file, const char *path, CURLoption blob, const struct lm_str text)
{
	const struct curl_blob borrowed = {
		.data = (char *)text.p, .len = text.n, .flags = CURL_BLOB_NOCOPY};

	return text.n ? curl_easy_setopt(e, blob, &borrowed) == CURLE_OK
		      : curl_easy_setopt(e, file, path) == CURLE_OK;
}

/// libcurl reads once more before it closes a connection, so this also sees the alert that arrived
/// while we were sending, as TLS 1.3 has it: libcurl itself then knows of a broken pipe only.
static void on_tls_info(const SSL *ssl, int where, int value)
{
	struct https *h = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	if (where == SSL_CB_READ_ALERT && value >> 8 == SSL3_AL_FATAL)
		h->alert = value & 0xff;
}

/// `ctx` is the struct https: the connection may outlast the transfer that opened it.
static CURLcode on_tls_context(CURL *e, void *tls, void *ctx)
{
	(void)e;
	if (!SSL_CTX_set_app_data(tls, ctx))
		return CURLE_OUT_OF_MEMORY;
	SSL_CTX_set_info_callback(tls, on_tls_info);
	// libcurl repeats a write from another buffer; OpenSSL would call that a fault of ours, and
	// the alert behind it would not be read.
	(void)SSL_CTX_set_mode(tls, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return CURLE_OK;
}

/// What we show of ourselves.
static bool set_identity(struct https *h, struct transfer *t)
{
	const struct https_request *r = &t->request;
	CURL *e = t->easy;

	if (!r->certificate)
		return true;
	// The empty passphrase keeps OpenSSL from asking for one at a terminal.
	return set_pem(e, CURLOPT_SSLCERT, r->certificate, CURLOPT_SSLCERT_BLOB,
		       r->certificate_text) &&
	       set_pem(e, CURLOPT_SSLKEY, r->private_key, CURLOPT_SSLKEY_BLOB,
		       r->private_key_text) &&
	       curl_easy_setopt(e, CURLOPT_KEYPASSWD, "") == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_tls_context) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, h) == CURLE_OK;
}

static void set_rest(struct transfer *t)
{
	CURL *e = t->easy;

	(void)curl_easy_setopt(e, CURLOPT_URL, t->url);
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->header_lines);
	(void)curl_easy_setopt(e, CURLOPT_USERAGENT, "lighterman/" LM_VERSION);
	(void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (t->request.direct)
		(void)curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body_start);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->curl_text);
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
}

static lm_rc attempt_start(struct https *h, struct transfer *t, struct lm_err *err)
{
	https_answer_finish(&t->answer);
	t->answer.attempts = t->attempt + 1;
	t->wire = LM_BUF_SECRET(0);
	t->header_bytes = 0;
	t->headers_too_large = t->body_too_large = t->body_cut = false;
	t->curl_text[0] = '\0';
	t->alert = h->alert = -1;

	lm_rc rc = prepare_headers(t, err);
	if (rc != LM_OK)
		return rc;
	t->easy = t->answer.handle = curl_easy_init();
	if (!t->easy)
		lm_out_of_memory();
	if (!set_security(h, t) || !set_identity(h, t))
		return lm_fail(err, LM_E_SYS, 0, "this libcurl cannot do verified TLS");
	set_limits(t);
	set_method(t);
	set_rest(t);
	CURLMcode added = curl_multi_add_handle(h->multi, t->easy);
	if (added != CURLM_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl: %s", curl_multi_strerror(added));
	return LM_OK;
}

/// Takes the attempt off the multi handle, if there is one. Its headers stay with the answer.
static void attempt_drop(struct https *h, struct transfer *t)
{
	if (t->easy) {
		(void)curl_multi_remove_handle(h->multi, t->easy);
		(void)curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, NULL);
		(void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, NULL);
	}
	t->easy = NULL;
	curl_slist_free_all(t->header_lines); // wiped by our allocator
	t->header_lines = NULL;
	lm_buf_finish(&t->wire);
}

/// Adds to `*ret_gzips` how often one of the answer's content codings is gzip.
static lm_rc read_coding(
	const struct transfer *t, struct lm_str coding, unsigned *ret_gzips, struct lm_err *err)
{
	static const char *const unreadable[] = {"br", "zstd", "deflate", "compress", "x-compress"};
	struct lm_str host = https_origin_host(t->request.origin);

	for (size_t i = 0; i < LM_ARRAY_SIZE(unreadable); i++) {
		if (lm_str_eq_nocase(coding, lm_str(unreadable[i])))
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"the answer of %.*s is compressed as '%s'; store it as it is, or "
				"as gzip",
				LM_STR_ARG(host), unreadable[i]);
	}
	*ret_gzips += lm_str_eq_nocase(coding, LM_STR("gzip")) ||
		      lm_str_eq_nocase(coding, LM_STR("x-gzip"));
	if (*ret_gzips > 1)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the answer of %.*s is compressed more than once; store it as it is, or "
			"as gzip",
			LM_STR_ARG(host));
	return LM_OK; // anything else ("utf-8", "identity", "aws-chunked") changes no bytes
}

/// Content-Encoding is a list, in one line or several (RFC 9110, 8.4). "aws-chunked" in it is about
/// the upload, in which S3 has decoded it; S3 does not send it back, other stores do, beside what
/// the object is compressed with (Amazon S3: "Signature calculations … using multiple chunks").
static lm_rc read_codings(const struct transfer *t, unsigned *ret_gzips, struct lm_err *err)
{
	struct lm_str line;
	lm_rc rc = LM_OK;

	for (size_t i = 0; find_header_line(&t->answer, "content-encoding", i, &line); i++)
		while (rc == LM_OK && line.n > 0)
			rc = read_coding(t, lm_str_trim(lm_str_cut(&line, ',')), ret_gzips, err);
	return rc;
}

/// Moves the body to the answer, decompressed if it is labelled as compressed. We ask for none;
/// an object that was stored with "Content-Encoding: gzip" comes so all the same.
static lm_rc take_answer_body(struct transfer *t, struct lm_err *err)
{
	struct lm_str host = https_origin_host(t->request.origin);
	unsigned gzips = 0;
	lm_rc rc = read_codings(t, &gzips, err);

	if (rc)
		return rc;
	if (!gzips || !t->wire.len) {
		t->answer.body = t->wire;
		t->wire = LM_BUF_SECRET(0);
		return LM_OK;
	}
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(t->wire.max);
	if (gunzip(lm_buf_str(&t->wire), &text, err) != LM_OK)
		return lm_wrap(err, "the answer of %.*s", LM_STR_ARG(host));
	t->answer.body = text;
	text = LM_BUF_SECRET(0);
	return LM_OK;
}

/// Whether the caller finds fault with what came.
static lm_rc verify_body(const struct transfer *t, struct lm_err *err)
{
	const struct https_request *r = &t->request;

	if (!r->verify || t->answer.status / 100 != 2)
		return LM_OK;
	return r->verify(r->ctx, &t->answer, lm_buf_str(&t->wire), err);
}

static bool is_worth_retrying(const struct transfer *t)
{
	const struct https_request *r = &t->request;
	int status = t->answer.status;

	if (status == 429 || status == 500 || status == 502 || status == 503 || status == 504)
		return true;
	return status >= 400 && status < 500 && r->is_transient &&
	       r->is_transient(r->ctx, &t->answer);
}

static lm_rc attempt_end(
	struct https *h, struct transfer *t, CURLcode code, bool *ret_retry, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	*ret_retry = false;
	if (code == CURLE_OK || t->body_cut) {
		t->answer.status = (int)status_of(t);
		rc = verify_body(t, err);
		*ret_retry = rc != LM_OK;
		if (rc == LM_OK) {
			rc = take_answer_body(t, err);
			*ret_retry = rc == LM_OK && is_worth_retrying(t);
		}
	} else {
		t->alert = h->alert;
		rc = describe_attempt_failure(t, code, ret_retry, err);
	}
	attempt_drop(h, t);
	return rc;
}

lm_rc https_create(const char *ca_bundle, struct https **ret, struct lm_err *err)
{
	static bool ready;

	if (!ready && curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free,
			      wiping_realloc, wiping_strdup, wiping_calloc) != CURLE_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl does not start");
	ready = true;

	CURLM *multi = curl_multi_init();
	if (!multi)
		return lm_fail(err, LM_E_SYS, 0, "libcurl does not start");
	struct https *h = lm_xcalloc(1, sizeof(*h));
	h->multi = multi;
	h->ca_bundle = ca_bundle ? lm_xstrdup(ca_bundle) : NULL;
	*ret = h;
	return LM_OK;
}

static void transfer_destroy(struct https *h, struct transfer *t)
{
	attempt_drop(h, t);
	https_answer_finish(&t->answer);
	free(t->url);
	free(t->certificate);
	free(t->private_key);
	free(t->ca);
	free(t);
}

void https_destroy(struct https *h)
{
	if (!h)
		return;
	while (h->transfers) {
		struct transfer *t = h->transfers;

		h->transfers = t->next;
		transfer_destroy(h, t);
	}
	(void)curl_multi_cleanup(h->multi);
	free(h->ca_bundle);
	free(h);
}

static char *build_url(const struct https_request *r)
{
	lm_auto_buf struct lm_buf url = LM_BUF(URL_MAX);

	(void)lm_buf_add_str(&url, r->origin);
	(void)lm_percent_encode(&url, r->path, true);
	for (size_t i = 0; i < r->query_n; i++) {
		(void)lm_buf_putc(&url, i ? '&' : '?');
		(void)lm_percent_encode(&url, r->query[i].name, false);
		(void)lm_buf_putc(&url, '=');
		(void)lm_percent_encode(&url, r->query[i].value, false);
	}
	return url.overflow ? lm_xstrdup("") : lm_buf_take(&url);
}

static char *copy_or_null(const char *s)
{
	return s ? lm_xstrdup(s) : NULL;
}

void https_start(struct https *h, const struct https_request *request)
{
	struct transfer *t = lm_xcalloc(1, sizeof(*t));
	struct transfer **end = &h->transfers;

	t->request = *request;
	t->request.certificate = t->certificate = copy_or_null(request->certificate);
	t->request.private_key = t->private_key = copy_or_null(request->private_key);
	t->request.ca = t->ca = copy_or_null(request->ca);
	t->url = build_url(request);
	t->request.origin = (struct lm_str){t->url, *t->url ? request->origin.n : 0};
	t->request.query = NULL;
	t->request.query_n = 0;
	while (*end)
		end = &(*end)->next;
	*end = t;
}

static void unlink_transfer(struct https *h, struct transfer *t)
{
	struct transfer **p = &h->transfers;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
}

/// Ends a transfer; `done` may start others.
static void finish_transfer(struct https *h, struct transfer *t, lm_rc rc, const struct lm_err *err)
{
	unlink_transfer(h, t);
	attempt_drop(h, t);
	if (rc != LM_OK) { // there is no answer whose headers somebody could want
		curl_easy_cleanup(t->answer.handle);
		t->answer.handle = NULL;
	}
	t->request.done(t->request.ctx, rc, &t->answer, err);
	transfer_destroy(h, t);
}

static lm_rc check_request(const struct transfer *t, struct lm_err *err)
{
	struct lm_str url = lm_str(t->url);

	if (!url.n)
		return lm_fail(
			err, LM_E_INVALID, 0, "the address of a request is over %d bytes", URL_MAX);
	if (lm_str_starts(url, LM_STR("https://")) ||
		(t->request.plain_http && lm_str_starts(url, LM_STR("http://"))))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0, "'%.*s' is not an https:// address",
		LM_STR_ARG(t->request.origin));
}

/// Retry-After; 0 if there is none.
static uint64_t retry_after_ms(const struct transfer *t)
{
	curl_off_t seconds = 0;

	(void)curl_easy_getinfo(t->answer.handle, CURLINFO_RETRY_AFTER, &seconds);
	return seconds <= 0
		       ? 0
		       : (uint64_t)(seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) *
				 1000;
}

/// How long to wait before the next attempt: our backoff or, if the server asks for more, that, up
/// to the backoff's bound.
static uint64_t retry_delay_ms(const struct transfer *t)
{
	const struct https_request *r = &t->request;
	uint64_t base = r->backoff_base_ms ? r->backoff_base_ms : BACKOFF_BASE_MS;
	uint64_t max = r->backoff_max_ms ? r->backoff_max_ms : BACKOFF_MAX_MS;
	uint64_t ours = lm_backoff_ms(t->attempt, base, max), theirs = retry_after_ms(t);
	uint64_t delay = theirs > ours ? theirs : ours;

	return delay < max ? delay : max;
}

/// An attempt finished: try again later, or finish the transfer. A retry that the time limit would
/// cut off is not waited for, as the failure at hand tells more than "time limit reached".
static void attempt_ended(
	struct https *h, struct transfer *t, CURLcode code, const struct wait_limit *limit)
{
	struct lm_err err = {0};
	bool retry = false;
	unsigned attempts = t->request.attempts ? t->request.attempts : ATTEMPTS;
	lm_rc rc = attempt_end(h, t, code, &retry, &err);

	if (retry && t->attempt + 1 < attempts) {
		uint64_t start = lm_clock_mono_ms() + retry_delay_ms(t);

		if (!limit->deadline_ms || start < limit->deadline_ms) {
			t->start_ms = start;
			t->attempt++;
			return;
		}
	}
	if (rc != LM_OK && t->attempt > 0)
		rc = lm_wrap(&err, "after %u attempts", t->attempt + 1);
	finish_transfer(h, t, rc, &err);
}

/// Starts what is due; returns milliseconds until the next is, at most POLL_MS.
static uint64_t start_due(struct https *h)
{
	uint64_t wait = POLL_MS;
	struct transfer *next;

	for (struct transfer *t = h->transfers; t; t = next) {
		struct lm_err err = {0};
		uint64_t now = lm_clock_mono_ms();

		next = t->next;
		if (t->easy)
			continue;
		if (t->start_ms > now) {
			wait = t->start_ms - now < wait ? t->start_ms - now : wait;
			continue;
		}
		lm_rc rc = check_request(t, &err);
		if (rc == LM_OK)
			rc = attempt_start(h, t, &err);
		if (rc == LM_OK)
			continue;
		finish_transfer(h, t, rc, &err);
		wait = 0; // `done` may have started another, or it was the last
		next = h->transfers;
	}
	return wait;
}

static lm_rc run_transfers(struct https *h, const struct wait_limit *limit, struct lm_err *err)
{
	int running = 0, left = 0;
	CURLMcode code = curl_multi_perform(h->multi, &running);

	if (code != CURLM_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl: %s", curl_multi_strerror(code));
	for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));) {
		char *owner = NULL;

		if (m->msg == CURLMSG_DONE &&
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &owner) == CURLE_OK)
			attempt_ended(h, (struct transfer *)owner, m->data.result, limit);
	}
	return LM_OK;
}

static lm_rc check_limit(const struct wait_limit *limit, struct lm_err *err)
{
	struct pollfd cancel = {.fd = limit->cancel_fd, .events = POLLIN};

	if (cancel.fd >= 0 && poll(&cancel, 1, 0) > 0)
		return lm_fail(err, LM_E_CANCELLED, 0, "cancelled");
	if (limit->deadline_ms && lm_clock_mono_ms() >= limit->deadline_ms)
		return lm_fail(err, LM_E_TIMEOUT, 0, "time limit reached");
	return LM_OK;
}

/// Waits for the network, the cancel descriptor or `ms`.
static lm_rc wait_for_events(
	struct https *h, const struct wait_limit *limit, uint64_t ms, struct lm_err *err)
{
	struct curl_waitfd cancel = {.fd = limit->cancel_fd, .events = CURL_WAIT_POLLIN};
	uint64_t now = lm_clock_mono_ms();

	if (limit->deadline_ms && limit->deadline_ms < now + ms)
		ms = limit->deadline_ms > now ? limit->deadline_ms - now : 0;
	if (limit->alive && limit->alive_ms < ms)
		ms = limit->alive_ms;
	CURLMcode code = curl_multi_poll(h->multi, limit->cancel_fd >= 0 ? &cancel : NULL,
		limit->cancel_fd >= 0 ? 1 : 0, (int)ms, NULL);

	now = lm_clock_mono_ms();
	if (limit->alive && now - h->alive_at_ms >= limit->alive_ms) {
		limit->alive(limit->alive_ctx);
		h->alive_at_ms = now;
	}
	if (code != CURLM_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl: %s", curl_multi_strerror(code));
	return LM_OK;
}

lm_rc https_run(struct https *h, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_err failure = {0};
	lm_rc rc = LM_OK;

	while (h->transfers && rc == LM_OK) {
		rc = check_limit(limit, &failure);
		if (rc == LM_OK)
			rc = run_transfers(h, limit, &failure);
		if (rc != LM_OK)
			break;
		uint64_t wait_ms =
			start_due(h); // behind run_transfers(), whose ends may have started some

		if (h->transfers && wait_ms)
			rc = wait_for_events(h, limit, wait_ms, &failure);
	}
	if (rc == LM_OK)
		return LM_OK;
	while (h->transfers) // what `done` starts now finishes at once, too
		finish_transfer(h, h->transfers, rc, &failure);
	if (err)
		*err = failure;
	return rc;
}
