// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What GET /containers/{id}/json says of a container's life. Pure.

#include "base/error.h"
#include "base/str.h"
#include "docker/answer.h"

#include <stdbool.h>
#include <stdint.h>

/// The engine's words for the state of a container.
enum life {
	LIFE_CREATED,
	LIFE_RUNNING,
	LIFE_PAUSED,
	LIFE_RESTARTING,
	LIFE_REMOVING,
	LIFE_EXITED,
	LIFE_DEAD,
};
enum { LIVES = LIFE_DEAD + 1 };

const char *life_word(enum life life);
/// A word that is none of them is LIFE_CREATED.
enum life life_from_word(const char *word);
/// Its process is there.
bool life_is_up(enum life life);

struct inspect {
	enum life life;
	enum engine_health health;
	int exit_code; ///< Of the last end; 0 while it runs.
	bool oom_killed;
	int64_t started_ns;  ///< The last start, since 1970; 0: never.
	int64_t finished_ns; ///< The last end; 0: never.
	int64_t restart_count;
};

/// LM_E_PROTOCOL: it is not what an engine answers.
lm_rc inspect_parse(struct lm_str body, struct inspect *ret, struct lm_err *err);

/// "2026-11-24T15:19:03.499521528Z", with a zone other than Z too. 0 for a time before 1970 (the
/// engine's "never") and for what is no time.
int64_t inspect_parse_time(const char *text);
