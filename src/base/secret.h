// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A secret: wiped when it is finished, and with no function that prints it.
/// Memory is locked against swapping where the system allows it.

#include "base/cleanup.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct lm_secret {
	char *data; ///< NUL-ended; NULL if none.
	size_t len;
};

#define lm_auto_secret lm_auto(lm_secret_finish)

/// Replaces what `s` held by a copy of the bytes. The source stays the caller's to wipe.
void lm_secret_set(struct lm_secret *s, struct lm_str bytes);
/// Hands the bytes from one to the other; `from` is empty afterwards.
void lm_secret_move(struct lm_secret *to, struct lm_secret *from);
void lm_secret_finish(struct lm_secret *s);
static inline struct lm_str lm_secret_str(const struct lm_secret *s)
{
	return (struct lm_str){s->data ? s->data : "", s->len};
}
/// Overwrites memory so that the compiler cannot leave it out.
void lm_wipe(void *p, size_t n);
/// For a program that handles secrets: no core dumps, no ptrace by the same user, and wiping of
/// freed memory by the allocator is left to lm_secret. Call it first in main().
void lm_secret_harden_process(void);
/// Whether no other program of the same user can look into this process.
bool lm_secret_is_hardened(void);
