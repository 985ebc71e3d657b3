// SPDX-License-Identifier: Apache-2.0
#pragma once

/// HTTPS requests over libcurl: several at the same time, each with retries, under one time limit.
///
/// It always verifies TLS, shows our certificate where one is given, goes through the proxies of
/// http_proxy, https_proxy and no_proxy, tries again on 429, 500, 502, 503, 504, time limits and
/// broken connections (exponential backoff with full jitter; Retry-After is honoured up to the
/// backoff's bound), stops an answer at its ceiling, and decompresses a gzip body under that same
/// ceiling (`verify` sees the body as it came). It does not follow redirects (a signature covers
/// the host), sign, or log.
///
/// One thread. Transfers belong to the `struct https` until their `done` was called, from inside
/// https_run; `done` may start further ones. Memory that libcurl gives back is wiped.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct https;

/// A name with its value, both as they are meant: not encoded, not lower-cased. Borrowed.
struct http_pair {
	struct lm_str name;
	struct lm_str value;
};

/// Headers of a request, each value in wiped memory: signatures and session tokens pass here.
struct header_list {
	struct header {
		char *name;
		struct lm_secret value;
	} * items;
	size_t n;
};
/// Adds a copy.
void header_list_add(struct header_list *list, struct lm_str name, struct lm_str value);
/// Wipes and frees; the list stays usable.
void header_list_finish(struct header_list *list);
#define lm_auto_header_list lm_auto(header_list_finish)

struct https_answer {
	int status;   ///< 100 to 599.
	void *handle; ///< libcurl's, which has the headers: https_header.
	/// Wiped when freed. Of answers other than 2xx at most LIMIT_HTTP_ERROR_BODY, cut there.
	struct lm_buf body;
	unsigned attempts; ///< How often the request was sent, from 1.
};

/// A transfer has finished. LM_OK: there is an answer, of any status (after retries were used up
/// too). Otherwise `err` has the reason why there is none. Both are borrowed for the call; the body
/// may be moved out.
typedef void https_done(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

struct https_request {
	const char *method;            ///< "GET", "HEAD", "POST". Static storage.
	struct lm_str origin;          ///< "https://host" or "https://host:port".
	struct lm_str path;            ///< Not encoded; begins with '/'.
	const struct http_pair *query; ///< Not encoded.
	size_t query_n;
	struct lm_str body; ///< Borrowed until `done`.
	size_t body_max;    ///< Ceiling of a 2xx answer's body, after decompression.
	/// "http://" is accepted. Only for an endpoint that is configured as such.
	bool plain_http;
	/// Never through a proxy: for an address of this device or its link.
	bool direct;
	/// PEM files of a certificate to show (with its chain) and its key; NULL: none. A key that
	/// needs a passphrase is rejected.
	const char *certificate, *private_key;
	/// Their texts instead, where we may not read the files: their names are then for messages
	/// alone. Borrowed until `done`.
	struct lm_str certificate_text, private_key_text;
	const char
		*ca; ///< PEM file of the only CAs to trust; NULL: AWS_CA_BUNDLE's or the system's.
	/// AWS_CA_BUNDLE's authorities count beside the system's, not instead of them: for servers
	/// that are none of AWS's.
	bool beside_system;
	/// Called before every attempt (from 0) to add its headers, so that each is signed afresh.
	/// May be NULL.
	lm_rc (*prepare)(
		void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err);
	/// Whether an answer of 4xx, which is the caller's fault by its status, is worth another
	/// attempt all the same: some services throttle with 400. May be NULL.
	bool (*is_transient)(void *ctx, const struct https_answer *answer);
	/// Whether the body of a 2xx answer, as it came (`wire`, maybe compressed), is complete and
	/// undamaged. If not, the attempt has failed with that error, and there is another. May be
	/// NULL.
	lm_rc (*verify)(void *ctx, const struct https_answer *answer, struct lm_str wire,
		struct lm_err *err);
	https_done *done;
	void *ctx; ///< For all four.

	// 0 stands for the default.
	unsigned connect_timeout_ms; ///< An attempt's; default 10 s.
	unsigned timeout_ms;         ///< An attempt's; default 60 s.
	unsigned attempts;           ///< Default 5.
	unsigned backoff_base_ms;    ///< Default 200.
	unsigned backoff_max_ms;     ///< Default 20 s.
};

/// `ca_bundle` is a PEM file of the authorities to trust instead of the system's; NULL: those.
/// LM_E_SYS: libcurl does not start.
lm_rc https_create(const char *ca_bundle, struct https **ret, struct lm_err *err);
/// Transfers under way are dropped without `done`.
void https_destroy(struct https *h);
LM_DEFINE_CLEANUP(struct https, https_destroy)

/// Takes up a request; copies all but the body and the texts of certificate and key. A request that
/// is wrong in itself (no usable origin) finishes in `done` like any other, in https_run.
void https_start(struct https *h, const struct https_request *request);
/// Runs until no transfer is left. LM_E_TIMEOUT or LM_E_CANCELLED by `limit`: the transfers left
/// have finished with that.
lm_rc https_run(struct https *h, const struct wait_limit *limit, struct lm_err *err);

/// "host" or "host:port" of an origin, for the Host header and for messages. Borrowed.
struct lm_str https_origin_host(struct lm_str origin);
/// A date as HTTP headers have it, in milliseconds since 1970; 0 if it is none.
int64_t https_parse_date_ms(struct lm_str date);
/// Value of the answer's first header of that name (without regard to case), or an empty text.
/// Borrowed from the answer.
struct lm_str https_header(const struct https_answer *answer, const char *name);
void https_answer_finish(struct https_answer *answer);
