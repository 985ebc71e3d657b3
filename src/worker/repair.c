// SPDX-License-Identifier: Apache-2.0
#include "worker/repair.h"

#include "base/log.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"
#include "docker/image_relatives.h"
#include "worker/image_check.h"
#include "worker/image_report.h"
#include "worker/images.h"
#include "worker/pull.h"
#include "worker/released_images.h"

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
	struct image_relative *doomed; ///< Those with the most layers first.
	size_t doomed_n;
};

static void finish_doomed(struct image_relative *d)
{
	free(d->id);
	for (size_t i = 0; i < d->names_n; i++)
		free(d->names[i]);
	free(d->names);
}

void repair_destroy(struct repair *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		free(r->items[i].id);
		free(r->items[i].by_digest);
	}
	for (size_t i = 0; i < r->doomed_n; i++)
		finish_doomed(&r->doomed[i]);
	free(r->items);
	free(r->doomed);
	free(r);
}

bool repair_is_wanted(const struct context *cx)
{
	return cx->task->kind == TASK_DEPLOY && cx->task->subjects_n > 0;
}

static const struct task_subject *find_damage(const struct context *cx, const char *id)
{
	for (size_t i = 0; id && i < cx->task->subjects_n; i++)
		if (cx->task->subjects[i].id && strcmp(cx->task->subjects[i].id, id) == 0)
			return &cx->task->subjects[i];
	return NULL;
}

// What has to go ---------------------------------------------------------------------------------

static bool is_doomed(const struct repair *r, const char *id)
{
	for (size_t i = 0; i < r->doomed_n; i++)
		if (strcmp(r->doomed[i].id, id) == 0)
			return true;
	return false;
}

/// Whether a deployment has brought it, and only ours are to go.
static bool was_deployed_here(const struct context *cx, const char *id)
{
	for (size_t i = 0; i < cx->task->released_n; i++)
		if (strcmp(cx->task->released[i].id, id) == 0)
			return true;
	return find_damage(cx, id) || json_object_get(cx->task->kept, id);
}

/// Whether an image that is not known to be damaged is one of this application, which is not to
/// lose it.
static lm_rc check_is_needed(
	const struct context *cx, const struct image_relative *r, bool *ret, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	*ret = false;
	for (size_t i = 0; i < cx->images.n && !rc && !*ret && !find_damage(cx, r->id); i++) {
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;

		rc = images_find(cx, &cx->images.items[i], &found, &here, err);
		*ret = !rc && found.id && strcmp(found.id, r->id) == 0;
	}
	return rc;
}

/// Why an image must stay; LM_OK: it need not.
static lm_rc find_why_it_stays(const struct context *cx, const struct engine_containers *containers,
	const struct image_relative *r, const char *damaged, struct lm_err *err)
{
	for (size_t i = 0; i < containers->n; i++) {
		const struct engine_container *c = &containers->items[i];

		if (strcmp(c->image_id, r->id) == 0 && strcmp(c->project, COMPOSE_PROJECT) != 0)
			return lm_fail(err, LM_E_CONFLICT, 0,
				"image %s is damaged and cannot be replaced: container '%s', "
				"which does not belong to this application, uses its damaged "
				"layer (image %.19s): remove that container (docker rm %s)",
				damaged, c->name, r->id, c->name);
	}
	if (!was_deployed_here(cx, r->id)) {
		const char *name = r->names_n ? r->names[0] : r->id;

		return lm_fail(err, LM_E_CONFLICT, 0,
			"image %s is damaged and cannot be replaced: image %s, which does not "
			"belong to this application, has its damaged layer, too: remove that image "
			"(docker rmi %s)",
			damaged, name, name);
	}
	bool is_needed = false;
	lm_rc rc = check_is_needed(cx, r, &is_needed, err);
	if (!rc && is_needed)
		return lm_fail(err, LM_E_CONFLICT, 0,
			"image %s is damaged, and its damaged layer is also that of image %s of "
			"this application: run 'lighterman verify', then 'lighterman start'",
			damaged, r->names_n ? r->names[0] : r->id);
	return rc;
}

/// Takes over the content of `from`.
static void doom(struct repair *r, struct image_relative *from)
{
	if (is_doomed(r, from->id))
		return;
	r->doomed = lm_xrealloc(r->doomed, (r->doomed_n + 1) * sizeof(*r->doomed));
	r->doomed[r->doomed_n++] = *from;
	*from = (struct image_relative){0};
}

/// The Engine's errors do not name the layer. Of an image that is whole, no layer is damaged: that
/// leaves those above, from `*ret_from` on.
static lm_rc narrow_by(const struct context *cx, const struct engine_facts *facts,
	const struct image_relative *other, size_t *ret_from, struct lm_err *err)
{
	lm_auto(image_finding_finish) struct image_finding found = {0};
	const struct image_check check = {
		.engine = &cx->engine, .facts = facts, .limit = &cx->limit};
	lm_rc rc = image_check(&check, other->id, other->id, &found, err);

	if (!rc && found.found == IMAGE_FOUND_OK)
		*ret_from = other->shared + 1;
	return rc;
}

static lm_rc narrow(const struct context *cx, const char *id, const struct image_relatives *all,
	size_t *ret_from, struct lm_err *err)
{
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_rc rc = engine_get_facts(&cx->engine, &cx->limit, &facts, err);

	for (size_t i = 0; i < all->n && !rc; i++) {
		const struct image_relative *other = &all->items[i];

		if (other->shared >= *ret_from && strcmp(other->id, id) != 0 &&
			!find_damage(cx, other->id))
			rc = narrow_by(cx, &facts, other, ret_from, err);
	}
	return rc;
}

/// All images that share the damaged layer of an item, which is not below number `from`.
static lm_rc find_doomed(const struct context *cx, const struct engine_containers *containers,
	const struct repair_item *item, unsigned layer, struct repair *r, struct lm_err *err)
{
	lm_auto(image_relatives_finish) struct image_relatives all = {0};
	size_t from = layer ? layer : 1;
	lm_rc rc = image_relatives_find(&cx->engine, item->id, &cx->limit, &all, err);

	if (!rc && !layer)
		rc = narrow(cx, item->id, &all, &from, err);
	for (size_t i = 0; i < all.n && !rc; i++) {
		bool is_self = strcmp(all.items[i].id, item->id) == 0;

		if (all.items[i].shared < from && !is_self)
			continue;
		rc = find_why_it_stays(cx, containers, &all.items[i], item->image->name, err);
		if (!rc)
			doom(r, &all.items[i]);
	}
	return rc;
}

/// What was found may be long ago: an image may have been replaced since, by the same bytes.
/// `*ret_layer`: the damaged one, 0: unknown. `*ret_damaged`: it is damaged still.
static lm_rc read_again(const struct context *cx, const char *name, const char *id,
	bool *ret_damaged, unsigned *ret_layer, struct lm_err *err)
{
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_auto(image_finding_finish) struct image_finding now = {0};
	const struct image_check check = {
		.engine = &cx->engine, .facts = &facts, .limit = &cx->limit};
	lm_rc rc = engine_get_facts(&cx->engine, &cx->limit, &facts, err);

	if (!rc)
		rc = image_check(&check, name, id, &now, err);
	if (rc)
		return rc;
	*ret_damaged = now.found == IMAGE_FOUND_DAMAGED;
	*ret_layer = now.verdict.layer;
	if (now.found == IMAGE_FOUND_UNREADABLE)
		return lm_fail(err, LM_E_REFUSED, 0,
			"image %s was damaged, and cannot be read now: %s", name, now.verdict.why);
	if (!*ret_damaged)
		lm_info("image %s is not damaged any more", name);
	return LM_OK;
}

static lm_rc add_item(const struct context *cx, const struct engine_containers *containers,
	const struct compose_image *image, struct repair *r, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	bool here = false;
	lm_rc rc = images_find(cx, image, &found, &here, err);
	bool is_damaged = false;
	unsigned layer = 0;

	if (!rc && find_damage(cx, found.id))
		rc = read_again(cx, image->name, found.id, &is_damaged, &layer, err);
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
	return find_doomed(cx, containers, item, layer, r, err);
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

/// An image that was built of another one goes before it.
static int compare_doomed(const void *a, const void *b)
{
	const struct image_relative *x = a;
	const struct image_relative *y = b;

	return (x->layers < y->layers) - (x->layers > y->layers);
}

lm_rc repair_admit(struct context *cx, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	struct repair *r = lm_xcalloc(1, sizeof(*r));
	lm_rc rc = engine_list_containers(&cx->engine, NULL, &cx->limit, &containers, err);

	repair_destroy(cx->repair);
	cx->repair = r;
	r->items = lm_xcalloc(cx->images.n + 1, sizeof(*r->items));
	for (size_t i = 0; i < cx->images.n && !rc; i++)
		rc = add_item(cx, &containers, &cx->images.items[i], r, err);
	if (r->doomed_n > 0)
		qsort(r->doomed, r->doomed_n, sizeof(*r->doomed), compare_doomed);
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
		if (is_doomed(r, all.items[i].image_id))
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

/// By its names first: by its ID the Engine removes only one that has no more than one.
static lm_rc remove_doomed(
	const struct context *cx, const struct image_relative *d, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < d->names_n && !rc; i++)
		rc = engine_remove_image(&cx->engine, d->names[i], &cx->limit, err);
	if (!rc)
		rc = engine_remove_image(&cx->engine, d->id, &cx->limit, err);
	if (rc)
		return lm_wrap(err, "remove image %s, which has a damaged layer",
			d->names_n ? d->names[0] : d->id);
	released_images_report_gone(cx, d->id);
	lm_info("removed image %s (%.19s), which has a damaged layer",
		d->names_n ? d->names[0] : "without a name", d->id);
	return LM_OK;
}

lm_rc repair_remove(struct context *cx, struct lm_err *err)
{
	const struct repair *r = cx->repair;
	lm_rc rc = r->doomed_n > 0 ? remove_users(cx, r, err) : LM_OK;

	for (size_t i = 0; i < r->doomed_n && !rc; i++)
		rc = remove_doomed(cx, &r->doomed[i], err);
	return rc;
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
