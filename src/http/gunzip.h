// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Decompression of a gzip body (RFC 1952), of one or several members, under a ceiling.

#include "base/buf.h"
#include "base/error.h"

/// Appends to `out`, whose ceiling counts. LM_E_TOO_LARGE, LM_E_PROTOCOL (not gzip, damaged, or it
/// ends early). Messages begin "its gzip data …", for the caller to wrap.
lm_rc gunzip(struct lm_str data, struct lm_buf *out, struct lm_err *err);
