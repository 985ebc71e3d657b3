// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The images that have to go so that a damaged one can be replaced. The Engine keeps a layer as
/// long as an image has it: so all images go that share the damaged layer, but none that a
/// stranger's container uses, or that no deployment has brought here.

#include "docker/image_relatives.h"
#include "worker/context.h"

struct doomed_images {
	struct image_relative *items; ///< Those with the most layers first, once they are sorted.
	size_t n;
};

struct doomed_rules {
	const struct engine_containers *containers; ///< All that the Engine has.
	/// What the application's own containers use stays, too, and so does an image with which
	/// another one would have to go, whatever that is, or that has a name which the subject's
	/// `names` do not have.
	bool spares_application;
};

/// The image of the task's subjects with that ID; NULL: it is not among the damaged ones.
const struct task_subject *doomed_images_find_subject(const struct context *cx, const char *id);

/// Reads an image again: what was found may be long ago, and an image may have been replaced since,
/// by the same bytes. `*ret_layer`: the damaged one, 0: unknown. `*ret_damaged`: it is damaged
/// still. LM_E_REFUSED: it cannot be read. LM_E_CANCELLED and errors of the Engine.
lm_rc doomed_images_read_again(const struct context *cx, const char *name, const char *id,
	bool *ret_damaged, unsigned *ret_layer, struct lm_err *err);
/// Adds all images that share the damaged layer of an image, by ID, `name` in messages; `layer` as
/// from doomed_images_read_again. LM_E_CONFLICT: one of them has to stay, and none is added; the
/// message says why, and what to do. LM_E_CANCELLED and errors of the Engine.
lm_rc doomed_images_add(const struct context *cx, const struct doomed_rules *rules,
	const char *name, const char *id, unsigned layer, struct doomed_images *to,
	struct lm_err *err);
/// Whether the image with that ID is to go; NULL: it is not.
const struct image_relative *doomed_images_find(const struct doomed_images *d, const char *id);
/// Removes all, one built of another one before it, and reports each to lightermand.
lm_rc doomed_images_remove(const struct context *cx, struct doomed_images *d, struct lm_err *err);
void doomed_images_finish(struct doomed_images *d);
