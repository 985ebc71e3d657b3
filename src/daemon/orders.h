// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The definitions that clients and files order: parsed, compared with the generations on record,
/// and kept until their command begins. From the loop's thread; never logs.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "config/definition.h"
#include "daemon/quarantine.h"
#include "daemon/waiters.h"
#include "deploy/store.h"

#include <stdbool.h>

struct orders {
	struct store *store;           ///< Borrowed,
	struct quarantine *quarantine; ///< and so is this; the rest is zero at first.
	struct group *deploy;          ///< What COMMAND_DEPLOY brought, until it has begun.
	bool now;                      ///< It is not to wait for its activation.
	struct group *plan;            ///< The same for COMMAND_PLAN.
};

void orders_finish(struct orders *o);
/// Takes the group over; it takes the place of the one before.
void orders_set_deploy(struct orders *o, struct group *group, bool now);
void orders_set_plan(struct orders *o, struct group *group);

/// Parses a group file; the waiter gets every validation error. Errors: as definition_parse.
lm_rc orders_parse(struct lm_str group_file, const struct waiter *waiter, struct group **ret,
	struct lm_err *err);
/// The definition as the store has it. LM_E_TOO_LARGE.
lm_rc orders_format(const struct group *group, struct lm_buf *out, struct lm_err *err);
/// The generation by which this definition is quarantined; 0: it is not. `*ret_reason` (the
/// caller's) may be left out.
unsigned orders_find_quarantined(struct orders *o, const struct group *group, char **ret_reason);
/// The generation whose deployment this definition would repeat; 0: none.
unsigned orders_find_deployed(struct orders *o, const struct group *group);
