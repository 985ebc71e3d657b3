// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Allocation that does not return without memory.
///
/// When memory is out, the program writes one line to stderr and ends with abort(): every program
/// here is built to be killed at any moment and to recover at its next start, which is worth more
/// than thousands of paths that no one can test. Sizes come from inputs that have ceilings.
/// The caller frees with free().

#include <stdarg.h>
#include <stddef.h>

/// Says that memory is out and ends the program: also for libraries that have no other answer.
void lm_out_of_memory(void) __attribute__((noreturn, cold));

void *lm_xmalloc(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));
/// Zeroed memory for `n` elements of `size` bytes.
void *lm_xcalloc(size_t n, size_t size)
	__attribute__((malloc, returns_nonnull, warn_unused_result));
void *lm_xrealloc(void *p, size_t size) __attribute__((returns_nonnull, warn_unused_result));
char *lm_xstrdup(const char *s) __attribute__((malloc, returns_nonnull, warn_unused_result));
/// A copy of `n` bytes with a NUL behind them.
char *lm_xmemdup0(const void *p, size_t n)
	__attribute__((malloc, returns_nonnull, warn_unused_result));
char *lm_xasprintf(const char *format, ...)
	__attribute__((format(printf, 1, 2), malloc, returns_nonnull, warn_unused_result));
char *lm_xvasprintf(const char *format, va_list ap)
	__attribute__((format(printf, 1, 0), malloc, returns_nonnull, warn_unused_result));

/// Gives back to the system what is not needed at the moment: free pages of the heap, and the pages
/// of the program and its libraries that are as they are on disk. When one of those is used again
/// it comes back from the system's cache of files. Takes well under a millisecond; the next use
/// of each piece of code costs a page fault, so this is for the end of a piece of work, not for
/// every turn of a loop. Returns how many bytes of mappings were offered.
size_t lm_memory_give_back(void);
