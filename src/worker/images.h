// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a deployment does with each image, decided as docker-compose of that generation would, and
/// which images are available locally. Deployments, plans, checks and offline mode share it.
///
/// docker-compose 1 accepts pull_policy and ignores it. Here it holds for both generations as far
/// as it forbids pulls; that "always" makes every `up` pull holds for generation 2 alone.

#include "docker/engine_images.h"
#include "worker/context.h"

enum image_action {
	IMAGE_KEEP,    ///< It is available locally, and stays as it is.
	IMAGE_PULL,    ///< It is pulled. If that fails, `image_action_without_pull`.
	IMAGE_BUILD,   ///< docker-compose builds it here.
	IMAGE_MISSING, ///< It is not available locally and may not be pulled: the deployment fails.
};

struct image_case {
	const struct compose_image *image;
	bool here; ///< The engine has an image of that name, for the platform that is asked for.
	unsigned generation; ///< Of docker-compose.
	enum deploy_pull mode;
};

enum image_action image_action_decide(const struct image_case *c);
/// What is left once a registry did not have it, or could not be asked.
enum image_action image_action_without_pull(const struct image_case *c);
/// Whether there is a case in which it is pulled: then it may need a login.
bool image_action_may_pull(const struct compose_image *image);
/// "keep", "pull", "build", "missing": as in docs/formats.md.
const char *image_action_name(enum image_action action);

/// The pinned image (worker/pins.h), else what the engine has under an image's name (`ret->id`
/// NULL: nothing), and whether that is for the requested platform.
lm_rc images_find(const struct context *cx, const struct compose_image *image,
	struct engine_image *ret, bool *ret_here, struct lm_err *err);
/// What image_action_decide takes; `here` as from images_find.
struct image_case images_case(const struct context *cx, const struct compose_image *image,
	bool here, enum deploy_pull mode);
/// Whether this docker-compose's `up` always pulls it.
bool images_is_pulled_by_up(const struct context *cx, const struct compose_image *image);

/// Whether an image is missing; `found` is what has its name, `here` whether that fits.
typedef bool images_missing_if(const struct context *cx, const struct compose_image *image,
	const struct engine_image *found, bool here, enum deploy_pull mode);
/// Appends "image X is not available locally", joined by "; ", for each missing image.
lm_rc images_list_missing(const struct context *cx, images_missing_if *is_missing,
	enum deploy_pull mode, struct lm_buf *out, struct lm_err *err);
/// LM_E_NOT_FOUND: images are not available locally, and may be neither pulled nor built.
/// LM_E_REFUSED: offline, and `up` would pull nevertheless.
lm_rc images_check(const struct context *cx, enum deploy_pull mode, struct lm_err *err);
