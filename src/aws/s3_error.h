// SPDX-License-Identifier: Apache-2.0
#pragma once

/// S3's error document: <Error><Code/><Message/>…</Error> (Amazon S3 API Reference: "Error
/// responses"). Reads the direct children of the root only and is not an XML parser otherwise.

#include "base/str.h"

/// Texts are UTF-8 and cut at their size; "" if absent.
struct s3_error {
	char code[64];
	char message[512];
	char region[64]; ///< Where the bucket is (AuthorizationHeaderMalformed, PermanentRedirect).
	char request_time[40]; ///< The time we signed for, and the server's (RequestTimeTooSkewed).
	char server_time[40];
};

/// Whatever the text is, `ret` is filled with what could be read before it stopped making sense.
void s3_error_parse(struct lm_str xml, struct s3_error *ret);
