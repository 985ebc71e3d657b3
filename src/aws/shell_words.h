// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The words of a command line, taken apart as a POSIX shell does, and nothing else of what a shell
/// does: no variables, no patterns, no operators. botocore reads credential_process so.

#include "base/cleanup.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum { SHELL_WORDS_MAX = 256 };

struct shell_words {
	char **items; ///< NULL-ended, for a program's arguments.
	size_t n;
};

/// False: a quote is not closed, a backslash ends the text, there is a NUL in it, or it has more
/// than SHELL_WORDS_MAX words; `*ret_why` says which.
bool shell_words_split(struct lm_str text, struct shell_words *ret, const char **ret_why);
/// Wipes and frees: a word may be a password.
void shell_words_finish(struct shell_words *w);
#define lm_auto_shell_words lm_auto(shell_words_finish)
