// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Images of the Docker Engine, those that it has and those that it can get from a registry, for
/// programs that wait.

#include "docker/engine.h"

struct lm_secret;

struct engine_image {
	char *id;     ///< "sha256:…"
	char *digest; ///< "sha256:…" of the repository asked for, else of any; NULL if it has none.
	char *platform; ///< "linux/arm64/v8"; "" if the engine does not report it.
	uint64_t size;  ///< Bytes.
	bool has_health_check;
	char **tags; ///< "localhost:5000/demo/web:1": all its names but those by digest.
	size_t tags_n;
};

/// Reads GET /images/{name}/json. `repository` ("localhost:5000/demo/web", as the engine spells
/// it) chooses among the image's RepoDigests; NULL: any.
lm_rc engine_parse_image(
	struct lm_str body, const char *repository, struct engine_image *ret, struct lm_err *err);
void engine_image_finish(struct engine_image *image);

/// The image's id, digest, platform and size. LM_E_NOT_FOUND: the engine does not have it.
/// `name` is a reference as in a compose file.
lm_rc engine_inspect_image(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct engine_image *ret, struct lm_err *err);

/// The same for the image with that ID. `name` is a reference whose repository chooses the digest.
lm_rc engine_inspect_image_id(const struct engine *e, const char *id, const char *name,
	const struct wait_limit *limit, struct engine_image *ret, struct lm_err *err);

/// Makes `name`, a reference without a digest, the name of the image with that ID, whatever it
/// named before. LM_E_NOT_FOUND: there is no such image. LM_E_INVALID: `name` is no such reference.
lm_rc engine_tag_image(const struct engine *e, const char *id, const char *name,
	const struct wait_limit *limit, struct lm_err *err);
/// Removes an image by its ID or, if others are left, one of its names; layers that no other image
/// has go with the last name. Never by force. One that does not exist is no error.
/// LM_E_CONFLICT: a container or another image needs it.
lm_rc engine_remove_image(const struct engine *e, const char *name, const struct wait_limit *limit,
	struct lm_err *err);

enum { ENGINE_ASK_MINOR_MIN = 30 };
/// Asks an image's registry, through the engine, whether the image exists and may be pulled; pulls
/// nothing. `auth` is as in struct pull_item. Needs API 1.ENGINE_ASK_MINOR_MIN.
/// LM_E_DENIED, LM_E_NETWORK, LM_E_NOT_FOUND, LM_E_REFUSED: the message names the image and has the
/// registry's error. LM_E_TIMEOUT, LM_E_CANCELLED.
lm_rc engine_ask_registry(const struct engine *e, const char *image, const struct lm_secret *auth,
	const struct wait_limit *limit, struct lm_err *err);

/// The layers of an image as engines name them, from the base upwards: digests of their unpacked
/// contents.
struct image_layers {
	char **digests;
	size_t n;
};

void image_layers_finish(struct image_layers *layers);

/// How many of `wanted` are here already: an engine keeps a layer together with all layers below
/// it, so it is the longest prefix that `wanted` has in common with one of `here`.
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
bool engine_image_list_has(const struct engine_image_list *list, const char *id);
/// The IDs of all images that the engine has.
lm_rc engine_list_images(const struct engine *e, const struct wait_limit *limit,
	struct engine_image_list *ret, struct lm_err *err);
/// Reads the layers in GET /images/{name}/json of an image that was pulled or pushed, none of
/// another: of one that was built or loaded here the engine does not know under which digests
/// registries have its layers, and downloads them again. Engines before API 1.22 report none.
/// LM_E_PROTOCOL. Pure.
lm_rc engine_parse_image_layers(struct lm_str body, struct image_layers *ret, struct lm_err *err);

struct engine_layers {
	struct image_layers *images;
	size_t n;
};

/// The layers of all images of registries that the engine has, of at most LIMIT_LOCAL_IMAGES. One
/// that is removed meanwhile is left out.
lm_rc engine_list_layers(const struct engine *e, const struct wait_limit *limit,
	struct engine_layers *ret, struct lm_err *err);
void engine_layers_finish(struct engine_layers *layers);
