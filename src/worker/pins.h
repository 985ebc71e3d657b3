// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The images of a generation as it was deployed, by ID. When it is started again from its own
/// compose file, it gets these, whatever their names mean by now: a tag may have moved, or be gone.
/// What the compose file names by digest or ID needs no pin.

#include "worker/context.h"

/// The ID that goes with the name; NULL: none does, as the task is no such start, or none was
/// recorded. Borrowed.
const char *pins_find(const struct context *cx, const char *name);
/// Whether all pinned images are on this device, and there are some. LM_E_CANCELLED and errors of
/// the engine.
lm_rc pins_are_here(const struct context *cx, bool *ret, struct lm_err *err);
/// Makes the names of the application's images name the pinned ones again. Of one that is gone a
/// warning names the image that has the name now.
lm_rc pins_set(const struct context *cx, struct lm_err *err);
