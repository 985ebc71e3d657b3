// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The damaged images of a generation that a deployment is to replace, and when it is to do so.
/// From the loop's thread; never logs.

#include "deploy/lifecycle.h"
#include "sys/json.h"

#include <stdbool.h>

/// All zero: nothing is to be replaced.
struct repair_order {
	json_t *images;      ///< As `damaged` of a task in docs/formats.md; NULL: none.
	unsigned generation; ///< Whose they are.
	bool at_once;        ///< Else when a person starts it.
	bool is_under_way;   ///< The deployment that began last replaces them.
};

/// From now on these are to be replaced; `images` NULL: none. Takes a new reference.
void repair_order_set(struct repair_order *r, unsigned generation, json_t *images, bool at_once);
/// Whether a deployment is to begin for them: once what is wanted runs.
bool repair_order_is_due(const struct repair_order *r, const struct lifecycle *l);
/// A deployment of that generation begins. Returns the images that it is to replace, borrowed;
/// NULL: none. A generation that runs is left alone until its images can be replaced. One that did
/// not come up may be in want of them, or of something else: every other try replaces them.
json_t *repair_order_begin(struct repair_order *r, const struct lifecycle *l, unsigned generation);
/// They were replaced.
void repair_order_end(struct repair_order *r);
void repair_order_finish(struct repair_order *r);
