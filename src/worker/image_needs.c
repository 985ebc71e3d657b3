// SPDX-License-Identifier: Apache-2.0
#include "worker/image_needs.h"

#include "base/log.h"
#include "base/memory.h"
#include "docker/image_ref.h"
#include "worker/images.h"
#include "worker/pull.h"

void image_needs_finish(struct image_needs *needs)
{
	plan_images_finish(&needs->images);
	*needs = (struct image_needs){0};
}

/// For images that are missing, and that no registry is asked about.
static void set_absent(struct plan_image *image, char *reason)
{
	image->known = false;
	image->replaced = true;
	image->reason = reason;
}

static char *why_missing(
	enum deploy_pull mode, const struct compose_image *wanted, const struct engine_image *found)
{
	const char *platform = wanted->platform;

	return lm_xasprintf("%s, and it is not available locally%s%s%s%s",
		mode == DEPLOY_PULL_LOCAL ? "offline" : "pull_policy forbids pulling it",
		platform ? " for " : "", platform ? platform : "", found->id ? ", only for " : "",
		found->id ? found->platform : "");
}

/// Adds an image, with what is known of it locally, and what the deployment does with it.
static lm_rc add_image(const struct context *cx, const struct compose_image *wanted,
	enum deploy_pull mode, struct plan_images *images, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	struct plan_image *image = &images->items[images->n];
	bool here = false;
	lm_rc rc = images_find(cx, wanted, &found, &here, err);

	if (rc)
		return rc;
	const struct image_case c = images_case(cx, wanted, here, mode);
	images->n++;
	*image = (struct plan_image){.image = lm_xstrdup(wanted->name),
		.platform = wanted->platform ? lm_xstrdup(wanted->platform) : NULL,
		.action = image_action_decide(&c),
		.is_built = image_action_without_pull(&c) == IMAGE_BUILD,
		.known = true};
	if (image->action == IMAGE_MISSING)
		set_absent(image, why_missing(mode, wanted, &found));
	if (image->action == IMAGE_BUILD)
		set_absent(image, lm_xstrdup("built here: its download size is unknown"));
	if (image->action == IMAGE_PULL)
		image->known = false;
	if (here) {
		image->id = lm_take(found.id);
		image->digest = lm_take(found.digest);
	}
	return LM_OK;
}

static lm_rc list_images(const struct context *cx, enum deploy_pull mode,
	struct plan_images *images, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	images->items = lm_xcalloc(cx->images.n + 1, sizeof(*images->items));
	for (size_t i = 0; i < cx->images.n && !rc; i++)
		rc = add_image(cx, &cx->images.items[i], mode, images, err);
	return rc;
}

static bool has_mirrors(const struct context *cx, lm_rc *ret_rc, struct lm_err *err)
{
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};

	*ret_rc = engine_get_facts(&cx->engine, &cx->limit, &facts, err);
	return facts.has_mirrors;
}

static bool is_of_hub(const char *image)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};

	return image_ref_parse(lm_str(image), &ref, NULL) == LM_OK &&
	       strcmp(ref.registry, "docker.io") == 0;
}

/// Only a definite answer counts; the engine may have other ways to get an image.
static void note_answer(
	struct image_needs *needs, const struct plan_image *image, const struct manifest_answer *a)
{
	if (a->rc == LM_OK || image->is_built)
		return;
	if (a->rc != LM_E_NOT_FOUND) {
		lm_info("image %s: %s; the pull will show", image->image, a->err.msg);
		return;
	}
	if (needs->missing++ > 0)
		lm_error("image %s: %s", image->image, a->err.msg);
	else
		(void)!lm_fail(&needs->missing_err, LM_E_NOT_FOUND, 0, "image %s: %s", image->image,
			a->err.msg);
}

/// Asks the registries about the images to be pulled.
static lm_rc ask_registries(struct context *cx, const struct image_needs_options *options,
	struct image_needs *needs, struct lm_err *err)
{
	lm_auto(pull_inquiry_finish) struct pull_inquiry q = {0};
	lm_auto(engine_layers_finish) struct engine_layers here = {0};
	lm_auto_free struct plan_image **asked =
		lm_xcalloc(needs->images.n + 1, sizeof(struct plan_image *));
	lm_rc rc = LM_OK;
	bool skips_hub = options->skips_mirrored && has_mirrors(cx, &rc, err);

	pull_inquiry_init(&q, needs->images.n);
	for (size_t i = 0; i < needs->images.n && !rc; i++) {
		struct plan_image *image = &needs->images.items[i];

		if (image->action != IMAGE_PULL || (skips_hub && is_of_hub(image->image)))
			continue;
		asked[q.n] = image;
		rc = pull_inquiry_add(&q, cx, image->image, image->platform,
			options->is_brief ? image->digest : NULL, err);
	}
	if (rc || q.n == 0)
		return rc;
	rc = pull_inquiry_ask(&q, cx, options->attempts, options->timeout_ms, err);
	if (!rc)
		rc = engine_list_layers(&cx->engine, &cx->limit, &here, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < q.n; i++)
		note_answer(needs, asked[i], &q.answers[i]);
	plan_take_answers(asked, q.answers, q.n, &here);
	return LM_OK;
}

static void image_needs_add(uint64_t *sum, uint64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = UINT64_MAX;
}

static void sum_up(struct image_needs *needs)
{
	for (size_t i = 0; i < needs->images.n; i++) {
		const struct plan_image *image = &needs->images.items[i];

		image_needs_add(&needs->bytes, image->bytes);
		image_needs_add(&needs->bytes_disk, image->bytes_disk);
		needs->unknown += !image->known;
	}
}

lm_rc image_needs_find(struct context *cx, const struct image_needs_options *options,
	struct image_needs *ret, struct lm_err *err)
{
	lm_auto(image_needs_finish) struct image_needs needs = {0};
	lm_rc rc = list_images(cx, options->mode, &needs.images, err);

	if (!rc)
		rc = ask_registries(cx, options, &needs, err);
	if (rc)
		return rc;
	sum_up(&needs);
	*ret = needs;
	needs.images = (struct plan_images){0};
	return LM_OK;
}
