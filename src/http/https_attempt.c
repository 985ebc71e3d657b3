// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/memory.h"
#include "http/gunzip.h"
#include "http/https_priv.h"

#include <openssl/ssl.h>
#include <stdlib.h>

enum {
	CONNECT_TIMEOUT_MS = 10 * 1000,
	TIMEOUT_MS = 60 * 1000,
	LOW_SPEED_BYTES_PER_S = 16,
	LOW_SPEED_S = 20,
};

static bool is_success(long status)
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
	struct lm_str line = {data, size * n};

	t->header_bytes += line.n;
	if (t->header_bytes > LIMIT_HTTP_HEADERS) {
		t->headers_too_large = true;
		return 0;
	}
	if (lm_str_starts(line, LM_STR("HTTP/"))) { // an answer behind "100 Continue"
		header_list_finish(&t->answer.headers);
		return line.n;
	}
	struct lm_str value = line;
	struct lm_str name = lm_str_cut(&value, ':');
	if (name.n < line.n)
		header_list_add(&t->answer.headers, name, lm_str_trim(value));
	return line.n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	size_t bytes = size * n;

	if (lm_buf_add(&t->wire, data, bytes))
		return bytes;
	if (is_success(status_of(t))) {
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
		t->wire.max = is_success(status_of(t)) ? t->request.body_max
						       : (size_t)LIMIT_HTTP_ERROR_BODY;
	return on_body(data, size, n, ctx);
}

static void add_line(struct transfer *t, const char *line)
{
	struct curl_slist *lines = curl_slist_append(t->header_lines, line);

	if (!lines)
		abort();
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
		add_line(t, lm_buf_cstr(&line));
	}
	add_line(t, "Accept-Encoding: identity");
	add_line(t, "Accept:");
	add_line(t, "Expect:");
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

lm_rc https_attempt_start(struct https *h, struct transfer *t, struct lm_err *err)
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
	t->easy = curl_easy_init();
	if (!t->easy)
		abort(); // no memory
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

void https_attempt_drop(struct https *h, struct transfer *t)
{
	if (t->easy) {
		(void)curl_multi_remove_handle(h->multi, t->easy);
		curl_easy_cleanup(t->easy);
	}
	t->easy = NULL;
	curl_slist_free_all(t->header_lines); // wiped by our allocator
	t->header_lines = NULL;
	lm_buf_finish(&t->wire);
}

/// Moves the body to the answer, decompressed if it says that it is compressed. We ask for none;
/// an object that was stored with "Content-Encoding: gzip" comes so all the same.
static lm_rc take_body(struct transfer *t, struct lm_err *err)
{
	struct lm_str encoding = header_list_get(&t->answer.headers, "content-encoding");
	struct lm_str host = https_origin_host(t->request.origin);
	bool gzip = lm_str_eq_nocase(encoding, LM_STR("gzip")) ||
		    lm_str_eq_nocase(encoding, LM_STR("x-gzip"));
	static const char *const unreadable[] = {"br", "zstd", "deflate", "compress"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(unreadable); i++) {
		if (lm_str_eq_nocase(encoding, lm_str(unreadable[i])))
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"the answer of %.*s is compressed as '%s'; store it as it is, or "
				"as gzip",
				LM_STR_ARG(host), unreadable[i]);
	}
	if (!gzip || !t->wire.len) { // anything else ("utf-8", "aws-chunked") changes no bytes
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

static bool is_worth_retrying(const struct transfer *t)
{
	const struct https_request *r = &t->request;
	int status = t->answer.status;

	if (status == 429 || status == 500 || status == 502 || status == 503 || status == 504)
		return true;
	return status >= 400 && status < 500 && r->is_transient &&
	       r->is_transient(r->ctx, &t->answer);
}

lm_rc https_attempt_end(
	struct https *h, struct transfer *t, CURLcode code, bool *ret_retry, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	*ret_retry = false;
	if (code == CURLE_OK || t->body_cut) {
		t->answer.status = (int)status_of(t);
		rc = take_body(t, err);
		*ret_retry = rc == LM_OK && is_worth_retrying(t);
	} else {
		t->alert = h->alert;
		rc = https_describe_failure(t, code, ret_retry, err);
	}
	https_attempt_drop(h, t);
	return rc;
}
