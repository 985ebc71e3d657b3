// SPDX-License-Identifier: Apache-2.0
#pragma once

/// SHA-256. Ends the program, as lm_xmalloc does, if OpenSSL has no memory for it.

#include "base/cleanup.h"
#include "base/encoding.h"
#include "base/str.h"

/// In lower-case hexadecimal digits, with a NUL behind them.
void lm_sha256_hex(struct lm_str bytes, char ret[LM_SHA256_HEX + 1]);

/// Of what comes piece by piece.
struct lm_sha256;

struct lm_sha256 *lm_sha256_create(void) __attribute__((returns_nonnull));
void lm_sha256_add(struct lm_sha256 *s, struct lm_str piece);
/// Writes the digits as lm_sha256_hex; then begins anew.
void lm_sha256_end(struct lm_sha256 *s, char ret_hex[LM_SHA256_HEX + 1]);
/// Takes NULL.
void lm_sha256_destroy(struct lm_sha256 *s);
LM_DEFINE_CLEANUP(struct lm_sha256, lm_sha256_destroy)
