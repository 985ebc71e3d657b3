// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One request and one answer of HTTP/1.1, as text, for a server with a single resource:
///
///     GET /greengrass/discover/thing/<thing name>
///
/// The answer has `content-length: N` in exactly this spelling, which the AWS IoT Device SDK for
/// Python looks for, and it closes the connection. Pure.

#include "base/buf.h"
#include "base/str.h"
#include "config/arn.h"

#include <stdbool.h>
#include <stddef.h>

struct http_request {
	int status;   ///< 200: `thing` is asked for; else what to answer: 400, 404, 405, 505.
	bool no_body; ///< The method is HEAD: the answer's body is left out.
	const char *problem; ///< What is wrong with it, for the log; NULL with 200. Static.
	char thing[ARN_THING_NAME_MAX + 1];
};

/// How long the request's head is, with the empty line that ends it; 0: that has not come yet.
size_t http_head_size(struct lm_str received);
/// Reads a head that is complete. What it has not asked for, a body, is left alone.
struct http_request http_request_parse(struct lm_str head);

/// Appends an answer; `json` is its body. A body for a status other than 200 is made here, and
/// `json` is ignored. False over the buffer's ceiling.
bool http_answer_write(struct lm_buf *out, int status, struct lm_str json, bool no_body);
