// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS Signature Version 4, as a pure function of the request, the credentials and the time.
/// (AWS: "Create a signed AWS API request", and for S3 "Signature Calculations for the
/// Authorization Header: Transferring Payload in a Single Chunk".)
///
/// Signing of the body is by its SHA-256; neither chunked uploads nor presigned URLs.

#include "aws/credentials.h"
#include "base/buf.h"
#include "base/error.h"
#include "http/https.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sigv4_request {
	const char *method;
	struct lm_str host; ///< As in the Host header: with the port if it is not the default.
	struct lm_str path; ///< Not encoded; begins with '/'.
	const struct http_pair *query; ///< Not encoded, any order.
	size_t query_n;
	/// Further headers to sign. Those that proxies and clients change on the way (Connection,
	/// Expect, User-Agent, …) are left out of the signature.
	const struct http_pair *headers;
	size_t headers_n;
	/// Lower-case hexadecimal SHA-256 of the body (lm_sha256_hex), or "UNSIGNED-PAYLOAD".
	const char *body_sha256;
	const char *region;
	/// The signing name. "s3" has rules of its own: the path is encoded once and taken as it is
	/// (keys may hold "//" and ".."), and x-amz-content-sha256 is sent and signed.
	const char *service;
	int64_t wall_ms; ///< The time to sign for.
};

/// Appends what is to be sent beside the request's own headers: X-Amz-Date, Authorization and,
/// where they apply, X-Amz-Content-SHA256 and X-Amz-Security-Token.
void sigv4_sign(const struct sigv4_request *request, const struct aws_credentials *credentials,
	struct header_list *ret_headers);

/// The text that is hashed and signed, for error messages and tests. Holds the session token.
void sigv4_canonical_request(const struct sigv4_request *request,
	const struct aws_credentials *credentials, struct lm_buf *ret);
