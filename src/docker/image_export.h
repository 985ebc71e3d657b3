// SPDX-License-Identifier: Apache-2.0
#pragma once

/// An image as the Docker Engine exports it (`docker save`): a tar archive, handed over piece by
/// piece. For programs that wait.

#include "docker/engine.h"

/// What an export shows of the image itself.
enum image_export_state {
	IMAGE_EXPORTED,   ///< All of the archive was handed over.
	IMAGE_MISSING,    ///< The Engine does not have it.
	IMAGE_BROKEN,     ///< The Engine cannot read what it has of it.
	IMAGE_UNREADABLE, ///< Something else prevents the export.
};

/// `name` is a reference or an image ID. `on_piece` gets the archive, and ends the export with its
/// error. For MISSING, BROKEN and UNREADABLE, `err` has the reason; what on_piece got before is
/// worth nothing. Returns LM_OK with any of them; LM_E_CANCELLED of the limit, and what on_piece
/// returned.
lm_rc image_export(const struct engine *e, const char *name,
	lm_rc (*on_piece)(void *ctx, struct lm_str piece, struct lm_err *err), void *ctx,
	const struct wait_limit *limit, enum image_export_state *ret, struct lm_err *err);

/// Whether this error of the Engine at an export means that the image is damaged: its storage
/// driver compares each file with what was unpacked. Pure.
bool image_export_is_damage(struct lm_str message);
/// The Engine reports an error in the middle of an archive as a JSON object behind it. Whether
/// `tail`, the last bytes of a body, ends so: `message` gets it. Pure.
bool image_export_find_error(struct lm_str tail, struct lm_buf *message);
