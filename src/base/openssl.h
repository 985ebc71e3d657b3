// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What OpenSSL says of a failure.

/// Its first error in words, which is the one nearest to the cause; static. The others are dropped.
/// NULL: it gave no reason, or the system's errno has it.
const char *lm_openssl_reason(void);
