// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One request to lightermand, followed until its answer is complete: progress, validation errors
/// and warnings are shown as they come (not with --json), and kept.

#include "base/error.h"
#include "cli/options.h"
#include "sys/json.h"

struct answer {
	json_t *last;       ///< The line with `exit`.
	json_t *faults;     ///< The `fault` objects.
	json_t *warnings;   ///< Sentences.
	json_t *stages;     ///< [{"stage","ms"},…]
	json_t *plan;       ///< The `plan` objects.
	json_t *verified;   ///< The `verify` objects of images that were read.
	char *failed_stage; ///< Or NULL.
	int exit_status;    ///< What lightermand, or a failure to reach it, asks for.
};

struct follow_texts {
	const char *source; ///< In front of errors and warnings: the file, or "lighterman".
	const char *doing;  ///< "deploying": "deploying generation 3". NULL: not shown.
	/// The line for a `verify` object, which the caller frees, or NULL. NULL: none is shown.
	char *(*image)(const json_t *verify);
	const char *interrupted; ///< The error if a signal comes.
	bool quiet;              ///< Stages are shown as they pass, and leave nothing behind.
};

/// Sends the request and reads to the end. On a failure `ret->exit_status` is set too, and what
/// came until then is in `ret`. LM_E_CANCELLED: SIGINT, SIGTERM or SIGHUP came; the error says
/// what continues. `ret` is to be freed with answer_finish in either case.
lm_rc follow_run(const struct call *call, const struct follow_texts *texts, const json_t *request,
	struct answer *ret, struct lm_err *err);
void answer_finish(struct answer *answer);

/// The last line with `faults`, `warnings` and `stages`; without one, `exit` and `message`. A new
/// reference.
json_t *answer_to_json(const struct answer *answer, const char *message);
