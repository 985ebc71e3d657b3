// SPDX-License-Identifier: Apache-2.0
#include "worker/repair.h"

#include "base/log.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"
#include "worker/doomed_images.h"
#include "worker/image_report.h"
#include "worker/images.h"
#include "worker/pull.h"

#include <stdlib.h>
#include <string.h>

enum { ASK_REGISTRY_MS = 30 * 1000, ASK_REGISTRY_ATTEMPTS = 2 };

struct repair_item {
	const struct compose_image *image;
	char *id;
	char *by_digest; ///< "demo/web@sha256:…"; NULL: no registry has it, but it is built here.
};

struct repair {
	struct repair_item *items;
	size_t n;
	struct doomed_images doomed;
};

void repair_destroy(struct repair *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		free(r->items[i].id);
		free(r->items[i].by_digest);
	}
	doomed_images_finish(&r->doomed);
	free(r->items);
	free(r);
}

bool repair_is_wanted(const struct context *cx)
{
	return cx->task->kind == TASK_DEPLOY && cx->task->subjects_n > 0;
}

static lm_rc add_item(const struct context *cx, const struct doomed_rules *rules,
	const struct compose_image *image, struct repair *r, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	bool here = false;
	lm_rc rc = images_find(cx, image, &found, &here, err);
	bool is_damaged = false;
	unsigned layer = 0;

	if (!rc && doomed_images_find_subject(cx, found.id))
		rc = doomed_images_read_again(cx, image->name, found.id, &is_damaged, &layer, err);
	if (rc || !is_damaged)
		return rc;
	if (!found.digest && !image->builder)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"image %s is damaged, and no registry has it: it was built or loaded on "
			"this device; build or load it again, then run 'lighterman start'",
			image->name);
	if (found.digest) // else it is built, which needs no reference
		rc = image_ref_parse(lm_str(image->name), &ref, err);
	if (rc)
		return rc;
	struct repair_item *item = &r->items[r->n++];
	*item = (struct repair_item){.image = image,
		.id = lm_xstrdup(found.id),
		.by_digest = found.digest ? lm_xasprintf("%s@%s", ref.name, found.digest) : NULL};
	return doomed_images_add(cx, rules, image->name, item->id, layer, &r->doomed, err);
}

/// Once the images are removed, the application depends on the registries.
static lm_rc ask_for_replacements(struct context *cx, const struct repair *r, struct lm_err *err)
{
	lm_auto(pull_inquiry_finish) struct pull_inquiry q = {0};
	lm_rc rc = LM_OK;

	pull_inquiry_init(&q, r->n);
	for (size_t i = 0; i < r->n && !rc; i++)
		if (r->items[i].by_digest)
			rc = pull_inquiry_add(&q, cx, r->items[i].by_digest,
				r->items[i].image->platform, NULL, err);
	if (!rc && q.n > 0)
		rc = pull_inquiry_ask(&q, cx, ASK_REGISTRY_ATTEMPTS, ASK_REGISTRY_MS, err);
	for (size_t i = 0; i < q.n && !rc; i++)
		if (q.answers[i].rc != LM_OK)
			rc = lm_fail(err, q.answers[i].rc, q.answers[i].err.sys,
				"image %s is damaged and cannot be pulled again now: %s; it is "
				"left as it is",
				q.questions[i].image, q.answers[i].err.msg);
	return rc;
}

lm_rc repair_admit(struct context *cx, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	const struct doomed_rules rules = {.containers = &containers};
	struct repair *r = lm_xcalloc(1, sizeof(*r));
	lm_rc rc = engine_list_containers(&cx->engine, NULL, &cx->limit, &containers, err);

	repair_destroy(cx->repair);
	cx->repair = r;
	r->items = lm_xcalloc(cx->images.n + 1, sizeof(*r->items));
	for (size_t i = 0; i < cx->images.n && !rc; i++)
		rc = add_item(cx, &rules, &cx->images.items[i], r, err);
	return rc ? rc : ask_for_replacements(cx, r, err);
}

// Removal ----------------------------------------------------------------------------------------

static lm_rc remove_users(const struct context *cx, const struct repair *r, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers all = {0};
	lm_auto_free struct engine_object *ours = NULL;
	size_t n = 0;
	lm_rc rc = engine_list_containers(&cx->engine, COMPOSE_PROJECT, &cx->limit, &all, err);

	ours = lm_xcalloc(all.n + 1, sizeof(*ours));
	for (size_t i = 0; i < all.n; i++)
		if (doomed_images_find(&r->doomed, all.items[i].image_id))
			ours[n++] = (struct engine_object){all.items[i].id, all.items[i].name};
	if (!rc && n > 0)
		rc = engine_stop_containers(&cx->engine, ours, n, &cx->limit, err);
	for (size_t i = 0; i < n && !rc; i++) {
		rc = engine_remove_container(&cx->engine, &ours[i], &cx->limit, err);
		if (!rc)
			lm_info("removed container %s, which used a damaged image", ours[i].name);
	}
	return rc;
}

lm_rc repair_remove(struct context *cx, struct lm_err *err)
{
	struct repair *r = cx->repair;
	lm_rc rc = r->doomed.n > 0 ? remove_users(cx, r, err) : LM_OK;

	return rc ? rc : doomed_images_remove(cx, &r->doomed, err);
}

// The pull ---------------------------------------------------------------------------------------

static lm_rc pull_item_again(struct context *cx, const struct repair_item *item, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_rc rc = pull_by_digest(cx, item->image, item->by_digest, err);

	if (!rc)
		rc = engine_inspect_image(&cx->engine, item->by_digest, &cx->limit, &found, err);
	if (!rc)
		rc = image_ref_parse(lm_str(item->image->name), &ref, err);
	if (!rc && !ref.digest)
		rc = engine_tag_image(&cx->engine, found.id, item->image->name, &cx->limit, err);
	if (!rc)
		lm_info("image %s was pulled again, as %s", item->image->name, item->by_digest);
	return rc;
}

lm_rc repair_pull(struct context *cx, struct lm_err *err)
{
	const struct repair *r = cx->repair;
	lm_rc rc = image_report_begin(cx, err); // what is pulled again is new

	for (size_t i = 0; i < r->n && !rc; i++)
		if (r->items[i].by_digest)
			rc = pull_item_again(cx, &r->items[i], err);
	return rc ? rc : pull_images(cx, DEPLOY_PULL_MISSING, err);
}
