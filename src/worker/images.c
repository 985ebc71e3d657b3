// SPDX-License-Identifier: Apache-2.0
#include "worker/images.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/compose.h"
#include "docker/compose_variables.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"
#include "docker/pull.h"
#include "worker/hints.h"
#include "worker/login.h"
#include "worker/pins.h"

#include <string.h>

enum { NAMES_MAX = 700 };

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

/// Whether `up` would pull it: generation 1 builds whatever has a build section.
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
		// `docker-compose pull` always pulls "latest".
		return all ? !c->here || is_latest(c->image) : is_pulled_by_up(c);
	case COMPOSE_PULL_DEFAULT:
		break;
	}
	return all || is_pulled_by_up(c);
}

enum image_action image_action_without_pull(const struct image_case *c)
{
	// Generation 2 builds again; offline that could need images that are missing.
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

lm_rc images_find(const struct context *cx, const struct compose_image *image,
	struct engine_image *ret, bool *ret_here, struct lm_err *err)
{
	const char *pinned = pins_find(cx, image->name);
	lm_rc rc = LM_E_NOT_FOUND;

	if (pinned)
		rc = engine_inspect_image_id(
			&cx->engine, pinned, image->name, &cx->limit, ret, err);
	if (rc == LM_E_NOT_FOUND)
		rc = engine_inspect_image(&cx->engine, image->name, &cx->limit, ret, err);
	if (rc && rc != LM_E_NOT_FOUND)
		return rc;
	*ret_here = rc == LM_OK &&
		    (!image->platform || image_platform_fits(ret->platform, image->platform,
						 cx->engine.version.platform));
	return LM_OK;
}

/// `found`: the image of that name, for another platform.
static void add_missing_image(const struct context *cx, const struct compose_image *image,
	const struct engine_image *found, struct lm_buf *missing)
{
	const char *pinned = pins_find(cx, image->name);

	(void)lm_buf_printf(missing, "%simage %s is not available locally",
		missing->len > 0 ? "; " : "", image->name);
	if (image->platform)
		(void)lm_buf_printf(missing, " for %s", image->platform);
	if (pinned)
		(void)lm_buf_printf(missing, " (%.19s was deployed)", pinned);
	if (found->id)
		(void)lm_buf_printf(missing, " (the one of that name is for %s)", found->platform);
}

static lm_rc fail_missing_images(
	enum deploy_pull mode, const struct lm_buf *missing, struct lm_err *err)
{
	if (mode == DEPLOY_PULL_LOCAL)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "%s and cannot be pulled offline",
			lm_buf_cstr(missing));
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"%s, and pull_policy in the compose file forbids pulling it: load or build it on "
		"this device, or change pull_policy",
		lm_buf_cstr(missing));
}

struct image_case images_case(const struct context *cx, const struct compose_image *image,
	bool here, enum deploy_pull mode)
{
	return (struct image_case){
		.image = image, .here = here, .generation = cx->compose.generation, .mode = mode};
}

bool images_is_pulled_by_up(const struct context *cx, const struct compose_image *image)
{
	return compose_up_pulls_again(&cx->compose) && !image->builder &&
	       (image->policies & 1U << COMPOSE_PULL_ALWAYS) != 0;
}

/// Offline mode needs an `up` that pulls nothing.
static lm_rc check_up_offline(const struct context *cx, struct lm_err *err)
{
	for (size_t i = 0; i < cx->images.n; i++)
		if (images_is_pulled_by_up(cx, &cx->images.items[i]))
			return lm_fail(err, LM_E_REFUSED, 0,
				"docker-compose %s pulls image %s even offline, as its pull_policy "
				"is always: install docker-compose 2.15 or later, or change "
				"pull_policy",
				cx->compose.version, cx->images.items[i].name);
	return LM_OK;
}

lm_rc images_list_missing(const struct context *cx, images_missing_if *is_missing,
	enum deploy_pull mode, struct lm_buf *out, struct lm_err *err)
{
	for (size_t i = 0; i < cx->images.n; i++) {
		const struct compose_image *image = &cx->images.items[i];
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;
		lm_rc rc = images_find(cx, image, &found, &here, err);

		if (rc)
			return rc;
		if (is_missing(cx, image, &found, here, mode))
			add_missing_image(cx, image, &found, out);
	}
	return LM_OK;
}

static bool is_missing_before_pull(const struct context *cx, const struct compose_image *image,
	const struct engine_image *found, bool here, enum deploy_pull mode)
{
	const struct image_case c = images_case(cx, image, here, mode);
	(void)found;

	return image_action_decide(&c) == IMAGE_MISSING;
}

lm_rc images_check(const struct context *cx, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto_buf struct lm_buf missing = LM_BUF(NAMES_MAX);
	lm_rc rc = images_list_missing(cx, is_missing_before_pull, mode, &missing, err);

	if (rc)
		return rc;
	if (missing.len > 0)
		return fail_missing_images(mode, &missing, err);
	return mode == DEPLOY_PULL_LOCAL ? check_up_offline(cx, err) : LM_OK;
}
