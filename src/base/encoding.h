// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Base64, hexadecimal and percent-encoding.

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum lm_base64 { LM_BASE64_STANDARD, LM_BASE64_URL };

/// Appends the encoding, padded with '='. False over the ceiling.
bool lm_base64_encode(struct lm_buf *out, struct lm_str bytes, enum lm_base64 alphabet);
/// Appends the decoded bytes. Takes both alphabets; padding may be missing; line ends are skipped.
/// False on any other character, on impossible lengths and over the ceiling.
bool lm_base64_decode(struct lm_buf *out, struct lm_str text);
/// Appends lower-case hexadecimal.
bool lm_hex_encode(struct lm_buf *out, struct lm_str bytes);
enum { LM_SHA256_HEX = 64 };
/// Whether it is a SHA-256 in that form: LM_SHA256_HEX digits.
bool lm_hex_is_sha256(struct lm_str text);
/// Appends `s` with all but A-Za-z0-9-_.~ (and '/' if `keep_slash`) as %XX, upper case
/// (RFC 3986 2.1 and 2.3; also what SigV4 signs).
bool lm_percent_encode(struct lm_buf *out, struct lm_str s, bool keep_slash);
/// Appends `s` with %XX decoded. False on a '%' without two hexadecimal digits.
bool lm_percent_decode(struct lm_buf *out, struct lm_str s);
