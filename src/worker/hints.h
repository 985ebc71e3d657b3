// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What this task knows that explains a failure of docker-compose or of the engine: variables that
/// are not set, variables that docker-compose does not get, and which service a container belongs
/// to.

#include "worker/context.h"

/// Remembers a variable that the compose file uses and that is not set.
void hints_note_unset(struct context *cx, struct lm_str name);
/// Calls `found` with a sentence for each variable that the compose file uses and that lightermand
/// withholds from docker-compose.
void hints_list_withheld(
	const struct context *cx, void (*found)(void *ctx, const char *text), void *ctx);
/// LM_E_INVALID: an active service has neither image nor build, or a variable that is not set makes
/// the name of its image invalid.
lm_rc hints_check_images(const struct context *cx, struct lm_err *err);

/// What has failed.
enum hints_about {
	HINTS_FILE,   ///< To resolve the compose file.
	HINTS_NEEDS,  ///< To find what it refers to on this device.
	HINTS_IMAGES, ///< To find or pull its images.
	HINTS_START,  ///< To start it.
	HINTS_HEALTH, ///< The application itself.
};

/// Appends to the message the variables that may be to blame: "…; APP_TAG is not set (image of
/// service web): …". Then the class is LM_E_INVALID, except for HINTS_HEALTH. Where the failure has
/// other reasons (the network, a conflict), or no variable has to do with it, nothing changes.
/// Returns the class.
lm_rc hints_explain(const struct context *cx, enum hints_about about, lm_rc rc, struct lm_err *err);
/// The same for a failed `up`; the message also gets names in the place of ids of containers.
lm_rc hints_explain_up(const struct context *cx, lm_rc rc, struct lm_err *err);

/// Copies a text with names in the place of the ids of our containers. Clears `out` first. False:
/// it has none.
bool hints_name_containers(
	const struct engine_containers *list, struct lm_str text, struct lm_buf *out);
/// The same; asks the engine, but only if there is something like an id.
bool hints_find_names(
	const struct context *cx, struct lm_str text, uint64_t timeout_ms, struct lm_buf *out);
/// The same for a message.
void hints_name_containers_in(const struct context *cx, struct lm_err *err);
