// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The job `check`: whether this machine has what a deployment needs. Each check runs, whatever
/// became of those before it, unless it needs something that was not found; it tells what it found
/// in one line or more (docs/formats.md). What a stage's own function warns of while a check runs
/// it is told as a warning of that check.

#include "worker/work_priv.h"

/// What a check may need of those before it.
enum check_need {
	NEED_USER = 1, ///< We are the application's user.
	NEED_DEFINITION = 2,
	NEED_ENGINE = 4,
	NEED_COMPOSE = 8,
	NEED_DESTINATION = 16,
	NEED_CREDENTIALS = 32, ///< AWS.
	NEED_FILE = 64,        ///< The compose file's text.
};

enum { CHECK_WARNINGS_MAX = 20 };

struct checkup {
	struct work *w;
	const char *name; ///< Of the check that runs.
	unsigned have;    ///< Of enum check_need.
	size_t wrong_n;   ///< Told so far.
	bool cancelled;
	lm_rc engine_rc, compose_rc; ///< LM_OK: found.
	struct lm_err engine_err, compose_err;

	char *warnings[CHECK_WARNINGS_MAX]; ///< Logged since the check began.
	size_t warnings_n;
};

// check.c: what a check found
/// `mend`: what to do, beyond what the message says; NULL: nothing. Texts are copied.
void check_ok(struct checkup *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void check_warn(struct checkup *c, const char *message, const char *mend);
/// An `err` of LM_E_CANCELLED ends the job instead.
void check_wrong(struct checkup *c, const struct lm_err *err, const char *mend);
/// Not checked; `why` is a part of a sentence: "not needed: …".
void check_skip(struct checkup *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/// The first of `needs` that is not there, as a part of a sentence; NULL: all are.
const char *check_lack(const struct checkup *c, unsigned needs);
/// Notes what is logged as warnings of the check; until check_log_end.
void check_log_begin(struct checkup *c);
void check_log_end(struct checkup *c);

typedef void check_function(struct checkup *c);

// check_machine.c
/// Looks for engine and docker-compose, for the checks to tell of.
void check_find(struct checkup *c);
check_function check_docker, check_engine, check_engine_version, check_compose, check_compose_api,
	check_destination, check_free_space;

// check_aws.c
check_function check_region, check_credentials, check_object, check_secrets, check_clock;

// check_application.c
check_function check_compose_file, check_requirements, check_registries;
