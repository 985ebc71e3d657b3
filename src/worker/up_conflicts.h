// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is in the way of `up`: containers, networks and ports that the compose file wants and that
/// an earlier deployment, another project or another program holds.

#include "worker/context.h"

/// Stops and removes what carries our project's label and is in the way of `up`; no more.
lm_rc up_conflicts_remove(struct context *cx, struct lm_err *err);
/// Removes networks of ours that this generation of docker-compose refuses, because the other one
/// labelled them differently. LM_E_REFUSED: another project's container uses one; the message names
/// the command to run.
lm_rc up_conflicts_replace_networks(const struct context *cx, struct lm_err *err);
/// After `up` has failed with `rc`: if something is in the way, the message names it.
/// LM_E_CONFLICT: ForceDeploy may help. LM_E_INVALID: the compose file contradicts itself.
lm_rc up_conflicts_explain(const struct context *cx, lm_rc rc, struct lm_err *err);
/// Before anything is stopped: calls `found` with a sentence for each thing that the compose file
/// wants and others hold. `sees_programs`: the engine uses our own network namespace.
lm_rc up_conflicts_list_foreign(const struct context *cx, bool sees_programs,
	void (*found)(void *ctx, const char *text), void *ctx, struct lm_err *err);
/// Removes networks of ours that no container uses any more: after `down` all of them, else those
/// that the compose file does not have. Warns of a failure.
void up_conflicts_remove_unused_networks(const struct context *cx, bool is_down);
