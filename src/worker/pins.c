// SPDX-License-Identifier: Apache-2.0
#include "worker/pins.h"

#include "base/log.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"

#include <string.h>

/// Whether the engine can be given the name for another image.
static bool can_be_given(const char *name)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	return image_ref_parse(lm_str(name), &ref, NULL) == LM_OK && !ref.digest;
}

const char *pins_find(const struct context *cx, const char *name)
{
	const struct task_fallback *f = &cx->task->fallback;

	if (!cx->is_own || !can_be_given(name))
		return NULL;
	for (size_t i = 0; i < f->images_n; i++)
		if (strcmp(f->images[i].name, name) == 0)
			return f->images[i].id;
	return NULL;
}

static lm_rc find_id(
	const struct context *cx, const char *id, const char *name, bool *ret, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_rc rc = engine_inspect_image_id(&cx->engine, id, name, &cx->limit, &found, err);

	*ret = rc == LM_OK;
	return rc == LM_E_NOT_FOUND ? LM_OK : rc;
}

lm_rc pins_are_here(const struct context *cx, bool *ret, struct lm_err *err)
{
	const struct task_fallback *f = &cx->task->fallback;
	bool all = f->images_n > 0;
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < f->images_n && all && !rc; i++)
		rc = find_id(cx, f->images[i].id, f->images[i].name, &all, err);
	*ret = all;
	return rc;
}

/// `now` is what has the name; its ID is NULL if nothing has.
static lm_rc set_pin(const struct context *cx, const char *name, const char *id,
	const struct engine_image *now, struct lm_err *err)
{
	bool is_here = false;
	lm_rc rc = find_id(cx, id, name, &is_here, err);

	if (rc)
		return rc;
	if (is_here) {
		rc = engine_tag_image(&cx->engine, id, name, &cx->limit, err);
		if (!rc)
			lm_info("image %s is %.19s again, as deployed; meanwhile it was %.19s",
				name, id, now->id ? now->id : "none");
		return rc;
	}
	if (now->id)
		lm_warn("image %s: %.19s, which was deployed, is no longer on this device; using "
			"%.19s, "
			"which has the name now",
			name, id, now->id);
	return LM_OK;
}

lm_rc pins_set(const struct context *cx, struct lm_err *err)
{
	for (size_t i = 0; i < cx->images.n; i++) {
		const char *name = cx->images.items[i].name;
		const char *id = pins_find(cx, name);
		lm_auto(engine_image_finish) struct engine_image now = {0};

		if (!id)
			continue;
		lm_rc rc = engine_inspect_image(&cx->engine, name, &cx->limit, &now, err);
		if (rc && rc != LM_E_NOT_FOUND)
			return rc;
		if (now.id && strcmp(now.id, id) == 0)
			continue;
		rc = set_pin(cx, name, id, &now, err);
		if (rc)
			return rc;
	}
	return LM_OK;
}
