// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Shared by the files of aws/https only: https.c runs transfers, https_attempt.c is one attempt of
/// one, https_failure.c words what went wrong.

#include "http/https.h"

#include <curl/curl.h>

struct transfer {
	struct transfer *next;
	struct https_request request; ///< `query` is already in `url`; `origin` points into `url`.
	char *url;
	char *certificate, *private_key, *ca; ///< What `request` points to.
	unsigned attempt;                     ///< Of the attempt under way or to come, from 0.
	uint64_t start_ms;                    ///< When that may start, on lm_clock_mono_ms().

	// One attempt:
	CURL *easy; ///< NULL while waiting.
	struct curl_slist *header_lines;
	struct lm_buf wire; ///< The body as it came, maybe compressed.
	size_t header_bytes;
	bool headers_too_large, body_too_large, body_cut;
	char curl_text[CURL_ERROR_SIZE];
	int alert; ///< The TLS alert with which the server ended it, as SSL_AD_...; -1: none seen.

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

/// Prepares the attempt and hands it to the multi handle.
lm_rc https_attempt_start(struct https *h, struct transfer *t, struct lm_err *err);
/// Takes the attempt off the multi handle; its answer is then in `t->answer`. Wipes what was sent.
/// LM_OK: an answer of whatever status. `*ret_retry`: worth another attempt.
lm_rc https_attempt_end(
	struct https *h, struct transfer *t, CURLcode code, bool *ret_retry, struct lm_err *err);
/// Drops the attempt, if there is one.
void https_attempt_drop(struct https *h, struct transfer *t);

/// libcurl's failure of an attempt as our class and sentence.
lm_rc https_describe_failure(
	const struct transfer *t, CURLcode code, bool *ret_retry, struct lm_err *err);
