// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Explains failures of docker-compose and of the engine with what this task knows: unset
/// variables, variables that are withheld from docker-compose, and the service of a container.

#include "worker/context.h"

/// Notes an unset variable that the compose file uses.
void hints_note_unset(struct context *cx, struct lm_str name);
/// Calls `found` with a sentence for each variable that the compose file uses and lightermand
/// withholds from docker-compose.
void hints_list_withheld(
	const struct context *cx, void (*found)(void *ctx, const char *text), void *ctx);
/// LM_E_INVALID: an active service has neither image nor build, or a variable that is not set makes
/// the name of its image invalid.
lm_rc hints_check_images(const struct context *cx, struct lm_err *err);

/// What has failed.
enum hints_about {
	HINTS_FILE,   ///< To resolve the compose file.
	HINTS_NEEDS,  ///< To find on this device what it refers to.
	HINTS_IMAGES, ///< To find or pull its images.
	HINTS_START,  ///< To start it.
	HINTS_HEALTH, ///< The application is not healthy.
};

/// Appends the variables that may be the cause: "…; APP_TAG is not set (image of
/// service web): …". Then the class is LM_E_INVALID, except for HINTS_HEALTH. Nothing changes where
/// the failure has other causes (the network, a conflict). Returns the class.
lm_rc hints_explain(const struct context *cx, enum hints_about about, lm_rc rc, struct lm_err *err);
/// The same for a failed `up`, with names instead of container IDs.
lm_rc hints_explain_up(const struct context *cx, lm_rc rc, struct lm_err *err);

/// Copies a text with names instead of our containers' IDs. Clears `out` first. False: it has none.
bool hints_name_containers(
	const struct engine_containers *list, struct lm_str text, struct lm_buf *out);
/// The same with the engine's list of containers, which is fetched only if the text may have an ID.
bool hints_find_names(
	const struct context *cx, struct lm_str text, uint64_t timeout_ms, struct lm_buf *out);
/// The same for a message.
void hints_name_containers_in(const struct context *cx, struct lm_err *err);
