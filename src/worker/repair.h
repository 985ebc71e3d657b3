// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Replaces damaged images of the generation that runs. The stages of its deployment do other
/// things then: `admit` finds out whether the images can be replaced, before anything is changed;
/// `down` removes the containers that use them, and the images; `pull` gets these again, by their
/// digest. With them go all that share their damaged layers (worker/doomed_images.h); if one of
/// these has to stay, nothing is changed.

#include "worker/context.h"

struct repair;
void repair_destroy(struct repair *r);

/// Whether the task is one.
bool repair_is_wanted(const struct context *cx);
/// LM_E_CONFLICT: something that is not ours is in the way. LM_E_NOT_FOUND, LM_E_NETWORK, LM_E_…:
/// a registry does not have an image any more, or cannot be asked. The message says what to do.
lm_rc repair_admit(struct context *cx, struct lm_err *err);
lm_rc repair_remove(struct context *cx, struct lm_err *err);
/// What else is missing is pulled as ever.
lm_rc repair_pull(struct context *cx, struct lm_err *err);
