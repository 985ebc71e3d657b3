// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What images an engine has, and of which layers.

#include "docker/engine.h"

/// The layers of an image as engines name them, from the base upwards: digests of their unpacked
/// contents.
struct image_layers {
	char **digests;
	size_t n;
};

void image_layers_finish(struct image_layers *layers);

/// How many of `wanted` are here already: an engine keeps a layer together with all that is below
/// it, so it is the longest beginning that `wanted` has in common with one of `here`.
size_t image_layers_shared(
	const struct image_layers *wanted, const struct image_layers *here, size_t here_n);

struct engine_image_list {
	char **ids;
	size_t n;
};

/// Reads GET /images/json. LM_E_PROTOCOL. Pure.
lm_rc engine_parse_image_list(
	struct lm_str body, struct engine_image_list *ret, struct lm_err *err);
void engine_image_list_finish(struct engine_image_list *list);
/// Reads the layers in GET /images/{name}/json of an image that was pulled or pushed, none of
/// another: of one that was built or loaded here the engine does not know under which digests
/// registries have its layers, and downloads them again. Engines before API 1.22 tell none.
/// LM_E_PROTOCOL. Pure.
lm_rc engine_parse_image_layers(struct lm_str body, struct image_layers *ret, struct lm_err *err);

struct engine_layers {
	struct image_layers *images;
	size_t n;
};

/// The layers of all images of registries that the engine has, of at most LIMIT_LOCAL_IMAGES. One
/// that goes away meanwhile is left out.
lm_rc engine_list_layers(const struct engine *e, const struct wait_limit *limit,
	struct engine_layers *ret, struct lm_err *err);
void engine_layers_finish(struct engine_layers *layers);
