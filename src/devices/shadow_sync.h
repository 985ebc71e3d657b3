// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How a thing's local shadow and its shadow in the cloud become the same again: a three-way merge
/// of what both were when they were last the same (the base), what ours is, and what the cloud's
/// is. Pure.
///
/// A state is {"desired":{…},"reported":{…}}, NULL if there is no shadow. What only one side
/// changed or deleted is taken over; of a value that both changed, the cloud's is. A value is
/// everything that is no object: arrays are taken whole.

#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum shadow_sync_action {
	SHADOW_SYNC_NOTHING,
	SHADOW_SYNC_UPDATE, ///< With the patch.
	SHADOW_SYNC_DELETE,
};

/// What must be done on a side so that it has the merged state.
struct shadow_sync_step {
	enum shadow_sync_action action;
	json_t *patch; ///< The `state` of an update: nulls delete. NULL unless it is one.
};

struct shadow_sync_plan {
	json_t *merged; ///< NULL: the shadow is to be deleted on both sides.
	struct shadow_sync_step local;
	struct shadow_sync_step cloud;
	unsigned conflicts; ///< Values that both sides changed, not to the same.
};

/// All are borrowed. The caller finishes `*ret`.
void shadow_sync_decide(
	const json_t *base, const json_t *local, const json_t *cloud, struct shadow_sync_plan *ret);
void shadow_sync_plan_finish(struct shadow_sync_plan *plan);
/// The base for what the cloud has now (`cloud`): `sent`, which we asked it for without having seen
/// its reply, if it has exactly that; else `base`. NULL stands for no shadow in all of them.
const json_t *shadow_sync_base(const json_t *base, const json_t *sent, const json_t *cloud);
/// What makes `to` of `from`.
struct shadow_sync_step shadow_sync_step(const json_t *from, const json_t *to);
void shadow_sync_step_finish(struct shadow_sync_step *step);

enum shadow_sync_request { SHADOW_SYNC_ASK_GET, SHADOW_SYNC_ASK_UPDATE, SHADOW_SYNC_ASK_DELETE };

/// "get", "update", "delete". Static.
const char *shadow_sync_request_name(enum shadow_sync_request request);

/// What the cloud says about a shadow: an answer to us or to somebody else.
struct shadow_sync_reply {
	struct lm_str thing; ///< Of the topic.
	enum shadow_sync_request request;
	bool accepted;
	json_t *body;
	const char *token; ///< Of the request; NULL: none. Belongs to `body`.
	uint64_t version;  ///< Of an accepted reply; 0: it has none.
	int code;          ///< Of a rejected one; 0: it has none.
	json_t *state;     ///< Of an accepted get: as above, an object.
};

/// Whether it is $aws/things/<thing>/shadow/{get,update,delete}/{accepted,rejected}; then these
/// members of `*ret` are set, and nothing else.
bool shadow_sync_topic_read(struct lm_str topic, struct shadow_sync_reply *ret);
/// Reads the topic and the payload. LM_E_INVALID: that is no reply of a shadow service, or one
/// without what we need. The caller finishes `*ret` in any case.
lm_rc shadow_sync_reply_read(struct lm_str topic, struct lm_str payload,
	struct shadow_sync_reply *ret, struct lm_err *err);
void shadow_sync_reply_finish(struct shadow_sync_reply *reply);
