// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Errors: a class for the program, a sentence for the person.
///
/// The finder of a failure fills `struct lm_err` with lm_fail(); each caller that knows more puts
/// its own words in front with lm_wrap() and returns the same class. Floors 0 to 3 return errors
/// and never log them; the programs log the finished sentence once. Storage is fixed, so reporting
/// a failure cannot fail; a sentence that is too long is cut at the end and marked with "...".

#include <stdarg.h>
#include <stdbool.h>

#if defined(__cppcheck__) // It reads neither spelling.
#define LM_MUST_USE
#elif defined(__clang__)
#define LM_MUST_USE __attribute__((warn_unused_result))
#else
#define LM_MUST_USE [[nodiscard]]
#endif

typedef enum LM_MUST_USE lm_rc {
	LM_OK = 0,
	LM_E_SYS,       ///< A system call failed; `sys` holds errno.
	LM_E_INVALID,   ///< What a person wrote (group file, host file, arguments) breaks a rule.
	LM_E_NOT_FOUND, ///< What was asked for does not exist.
	LM_E_DENIED,    ///< The other side, or the system, refuses us access.
	LM_E_TOO_LARGE, ///< An input is over its ceiling.
	LM_E_TIMEOUT,   ///< A time limit ran out; what was started has been ended.
	LM_E_NETWORK,   ///< No answer: no route, refused, reset, no such host, TLS failed.
	LM_E_PROTOCOL,  ///< The other side's answer is not what its protocol allows.
	LM_E_REFUSED,   ///< The other side understood, and answered with an error of its own.
	LM_E_CONFLICT,  ///< Something of the same name or of an earlier run is in the way.
	LM_E_CANCELLED, ///< A signal or a peer asked us to stop.
} lm_rc;

enum { LM_ERR_MSG_SIZE = 1024 };

struct lm_err {
	lm_rc rc;
	int sys; ///< errno at the place of failure, or 0.
	char msg[LM_ERR_MSG_SIZE];
};

/// Fills `err` (may be NULL) and returns `rc`. `%m` prints the text of `sys`.
/// Control characters in the finished text are replaced by '?', newlines by spaces.
lm_rc lm_fail(struct lm_err *err, lm_rc rc, int sys, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/// Puts "<words>: " in front of the message and returns the class already in `err`.
lm_rc lm_wrap(struct lm_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/// The class of a failure with a file or directory of that errno: LM_E_NOT_FOUND, LM_E_DENIED,
/// LM_E_SYS.
lm_rc lm_rc_of_errno(int sys);
/// The class as a short word for logs and tests ("timeout", "denied", …). Static storage.
const char *lm_rc_name(lm_rc rc);
/// The class of that word. False: there is none; `name` may be NULL.
bool lm_rc_from_name(const char *name, lm_rc *ret);
