// SPDX-License-Identifier: Apache-2.0
#pragma once

/// One object of GET /events, read. Pure. Engines before API 1.22 have `status` and `id` where
/// later ones have `Action` and `Actor`; from 1.52 on only the latter are there.

#include "base/error.h"
#include "docker/answer.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

enum event_action {
	EVENT_OTHER, ///< Nothing that we follow.
	EVENT_CREATE,
	EVENT_START,
	EVENT_DIE,
	EVENT_OOM,
	EVENT_KILL,
	EVENT_PAUSE,
	EVENT_UNPAUSE,
	EVENT_RENAME,
	EVENT_DESTROY,
	EVENT_HEALTH,
};

enum { EVENT_ID_SIZE = 65 };

struct event {
	enum event_action action;
	int64_t time_ns; ///< Since 1970, by the engine's clock.
	uint64_t key;    ///< The same for the same event, told again; a hash.
	char id[EVENT_ID_SIZE];
	/// Borrowed from the document; "" if it does not tell.
	const char *name, *service, *image;
	int exit_code;             ///< DIE; -1: not told.
	int signal;                ///< KILL; 0: not told.
	enum engine_health health; ///< HEALTH
};

/// `*ret_json` is the caller's; `ret` borrows from it. LM_E_PROTOCOL: it is no event of a
/// container.
lm_rc event_parse(struct lm_str text, json_t **ret_json, struct event *ret, struct lm_err *err);

/// Appends the target of the request: the events of a project's containers from `since_ns` on that
/// event_parse knows, those of health checks' commands not among them. False over the ceiling.
bool event_target(struct lm_buf *out, unsigned minor, const char *project, int64_t since_ns);
