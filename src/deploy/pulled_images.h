// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The images that deployments have brought to this device, which had not had them before, in the
/// store's file pulled-images.json: {"<id>":{"names":["<ref>",…],"generation":N},…}. Nobody else
/// is known to have wanted them, so they may go with the last generation that uses them. One that
/// is not here, for whatever reason, is somebody else's. Used by the store only (deploy/store.h).

#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>

#define PULLED_IMAGES "pulled-images.json"

/// All of them; the caller's. "{}" if there are none, or what there is cannot be understood.
lm_rc pulled_images_read(int root_fd, json_t **ret, struct lm_err *err);
/// Generation `n` uses an image under that name. With `is_new` it was brought; otherwise one that
/// is not here is left alone. Of too many the one of the oldest generation is forgotten.
lm_rc pulled_images_note(
	int root_fd, const char *id, const char *name, unsigned n, bool is_new, struct lm_err *err);
/// It is gone.
lm_rc pulled_images_forget(int root_fd, const char *id, struct lm_err *err);
