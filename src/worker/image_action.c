// SPDX-License-Identifier: Apache-2.0
#include "worker/image_action.h"

#include "base/cleanup.h"
#include "docker/images.h"

#include <string.h>

const char *image_action_name(enum image_action action)
{
	static const char *const names[] = {[IMAGE_KEEP] = "keep",
		[IMAGE_PULL] = "pull",
		[IMAGE_BUILD] = "build",
		[IMAGE_MISSING] = "missing"};

	return names[action];
}

static bool has_policy(const struct compose_image *image, enum compose_pull_policy policy)
{
	return (image->policies & 1U << policy) != 0;
}

bool image_action_may_pull(const struct compose_image *image)
{
	static const unsigned never = 1U << COMPOSE_PULL_NEVER | 1U << COMPOSE_PULL_BUILD;

	return image->is_named && (image->policies & ~never) != 0;
}

static bool is_latest(const struct compose_image *image)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	return image_ref_parse(lm_str(image->name), &ref, NULL) == LM_OK &&
	       strcmp(image_ref_version(&ref), "latest") == 0;
}

/// Whether `up` would pull it: generation 1 builds what it can build.
static bool is_pulled_by_up(const struct image_case *c)
{
	return !c->here && (c->generation > 1 || !c->image->builder);
}

/// Whether a service with that policy has the image pulled.
static bool is_pulled(const struct image_case *c, enum compose_pull_policy policy)
{
	bool all = c->mode == DEPLOY_PULL_ALL;

	switch (policy) {
	case COMPOSE_PULL_NEVER:
	case COMPOSE_PULL_BUILD:
		return false;
	case COMPOSE_PULL_ALWAYS:
		return all || c->generation > 1 || is_pulled_by_up(c);
	case COMPOSE_PULL_MISSING:
		// `docker-compose pull` takes "latest" for a name whose image changes.
		return all ? !c->here || is_latest(c->image) : is_pulled_by_up(c);
	case COMPOSE_PULL_DEFAULT:
		break;
	}
	return all || is_pulled_by_up(c);
}

enum image_action image_action_without_pull(const struct image_case *c)
{
	// Generation 2 builds anew; offline that could need what is not here.
	bool anew = c->generation > 1 && c->mode != DEPLOY_PULL_LOCAL &&
		    has_policy(c->image, COMPOSE_PULL_BUILD);

	if (c->image->builder && (anew || !c->here))
		return IMAGE_BUILD;
	return c->here ? IMAGE_KEEP : IMAGE_MISSING;
}

enum image_action image_action_decide(const struct image_case *c)
{
	bool may_pull = c->image->is_named && c->mode != DEPLOY_PULL_LOCAL;

	for (unsigned p = COMPOSE_PULL_DEFAULT; may_pull && p <= COMPOSE_PULL_BUILD; p++)
		if (has_policy(c->image, (enum compose_pull_policy)p) &&
			is_pulled(c, (enum compose_pull_policy)p))
			return IMAGE_PULL;
	return image_action_without_pull(c);
}
