// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a deployment does with one image, decided as docker-compose of that generation would. Pure:
/// deployments, plans and offline mode share it.
///
/// docker-compose 1 accepts pull_policy and ignores it. Here it holds for both generations as far
/// as it forbids pulls; that "always" makes every `up` pull holds for generation 2 alone.

#include "deploy/stages.h"
#include "docker/compose_file.h"

#include <stdbool.h>

enum image_action {
	IMAGE_KEEP,    ///< It is here, and stays as it is.
	IMAGE_PULL,    ///< It is pulled. If that fails, `image_action_without_pull`.
	IMAGE_BUILD,   ///< docker-compose builds it here.
	IMAGE_MISSING, ///< It is not here, and may not be pulled: the deployment fails.
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
