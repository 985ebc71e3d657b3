// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One object out of S3, or of a store that speaks S3's API.
///
/// The only action used is GetObject; when S3 reports that the bucket is in another region but not
/// in which, a HEAD of the bucket asks (its answer names the region even without the right to it).
/// A wrong region and a wrong clock are each put right once, by signing again; so are credentials
/// that have expired, if there are others.

#include "aws/credentials_provider.h"
#include "aws/request.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "http/https.h"
#include "sys/wait.h"

#include <stdbool.h>
#include <stdint.h>

enum s3_style {
	/// As the AWS profile has it (s3, addressing_style); without that, virtual-host style where
	/// the bucket's name allows it (DNS-safe, no dots). Path style otherwise, and at an
	/// endpoint that was configured, as the AWS SDKs do.
	S3_STYLE_AUTO,
	S3_STYLE_PATH,
	S3_STYLE_VIRTUAL_HOST, ///< Where the bucket's name allows it, and the endpoint is a name.
};

/// What an object store answered with, whichever store it is.
struct stored_object {
	struct lm_buf text;
	char *version; ///< As the store named it ("null" is a name, too); NULL if it named none.
};
void stored_object_finish(struct stored_object *o);
#define lm_auto_stored_object lm_auto(stored_object_finish)

struct s3_result;

struct s3_request {
	const char *bucket;
	const char *key;
	const char *version; ///< NULL: the latest.
	const char *region;
	enum s3_style style;
	size_t size_max; ///< Ceiling of the text, after decompression.
	struct request_limits limits;
	/// Called once the result is there, from inside of https_run or, if the request is wrong in
	/// itself, of s3_start_get_object; may start further transfers. May be NULL.
	void (*done)(void *ctx, const struct s3_result *result);
	void *ctx;
};

/// Where an object is.
struct s3_location {
	char *origin;      ///< With the bucket in front in virtual-host style.
	char *path;        ///< Not encoded.
	char *bucket_path; ///< Of the bucket itself.
	bool plain_http;
};

struct s3_result {
	lm_rc rc;
	struct lm_err err;           ///< If `rc` is not LM_OK.
	struct stored_object object; ///< If it is.
	/// Our clock is wrong by so much (the server's minus ours), and the request was signed with
	/// the server's time: worth a line in the log. 0: no correction was needed.
	int64_t clock_offset_ms;
	char region[33]; ///< Where the bucket is: worth a line if it is not what was asked for.
};

/// Of `r` bucket, key and style. LM_E_INVALID: region, endpoint or style cannot be. Otherwise as
/// endpoint_resolve.
lm_rc s3_locate(const struct s3_request *r, const char *region, struct s3_location *ret,
	struct lm_err *err);
void s3_location_finish(struct s3_location *l);
#define lm_auto_s3_location lm_auto(s3_location_finish)

/// Starts fetching an object; https_run carries it out, beside whatever else was started.
/// All is borrowed until https_run has returned. `ret` is filled by then: as credentials_get fails,
/// or LM_E_NOT_FOUND (bucket, object or version), LM_E_DENIED (rights, keys, signature, clock,
/// or another code of S3's that stays), LM_E_TOO_LARGE, LM_E_INVALID (bucket, region or endpoint
/// cannot be), LM_E_REFUSED (S3 returns a server error or throttles: 5xx, 429), LM_E_PROTOCOL,
/// LM_E_NETWORK, LM_E_TIMEOUT, LM_E_CANCELLED.
void s3_start_get_object(struct https *https, const struct s3_request *request,
	struct credentials_provider *credentials, struct s3_result *ret);

/// The same, alone, from start to end.
lm_rc s3_get_object(struct https *https, const struct s3_request *request,
	struct credentials_provider *credentials, const struct wait_limit *limit,
	struct s3_result *ret, struct lm_err *err);
void s3_result_finish(struct s3_result *r);
#define lm_auto_s3_result lm_auto(s3_result_finish)

/// S3's error document: <Error><Code/><Message/>…</Error> (Amazon S3 API Reference: "Error
/// responses"). Texts are UTF-8 and cut at their size; "" if absent.
struct s3_error {
	char code[64];
	char message[512];
	char region[64]; ///< Where the bucket is (AuthorizationHeaderMalformed, PermanentRedirect).
	char request_time[40]; ///< The time we signed for, and the server's (RequestTimeTooSkewed).
	char server_time[40];
};
/// Whatever the text is, `ret` is filled with what could be read before it stopped making sense.
void s3_error_parse(struct lm_str xml, struct s3_error *ret);
