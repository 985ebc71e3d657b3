// SPDX-License-Identifier: Apache-2.0
#include "worker/replace_images.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"
#include "worker/doomed_images.h"
#include "worker/fetch.h"
#include "worker/image_check.h"
#include "worker/preflight.h"
#include "worker/pull.h"
#include "worker/verify_task.h"

#include <stdio.h>
#include <string.h>

enum { ASK_REGISTRY_MS = 30 * 1000, ASK_REGISTRY_ATTEMPTS = 2 };

/// One image that is being replaced.
struct replacement {
	const struct task_subject *subject;
	struct compose_image image;
	struct engine_image found; ///< `id` NULL: the Engine does not have it.
	char *by_digest;
	struct doomed_images doomed;
};

static void replacement_finish(struct replacement *r)
{
	engine_image_finish(&r->found);
	free(r->by_digest);
	doomed_images_finish(&r->doomed);
}

static struct compose_image image_of(const char *name)
{
	return (struct compose_image){.name = (char *)name,
		.key = (char *)name,
		.is_named = true,
		.policies = 1U << COMPOSE_PULL_DEFAULT};
}

/// For the logins, which are those of the images of a task.
static void take_images(struct context *cx)
{
	const struct task *task = cx->task;

	cx->images.items = lm_xcalloc(task->subjects_n + 1, sizeof(*cx->images.items));
	for (size_t i = 0; i < task->subjects_n; i++) {
		struct compose_image *image = &cx->images.items[cx->images.n++];

		*image = image_of(lm_xstrdup(task->subjects[i].ref));
		image->key = lm_xstrdup(task->subjects[i].ref);
	}
}

// Before anything is changed ---------------------------------------------------------------------

static lm_rc find_digest(struct replacement *r, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	const char *digest = r->subject->digest ? r->subject->digest : r->found.digest;
	lm_rc rc = image_ref_parse(lm_str(r->subject->ref), &ref, err);

	if (rc)
		return rc;
	if (!digest)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"no registry has it, as it was built or loaded on this device: build or "
			"load it again");
	r->by_digest = lm_xasprintf("%s@%s", ref.name, digest);
	return LM_OK;
}

/// Once it is removed, the generation depends on the registry.
static lm_rc check_registry(struct context *cx, const struct replacement *r, struct lm_err *err)
{
	lm_auto(pull_inquiry_finish) struct pull_inquiry q = {0};

	pull_inquiry_init(&q, 1);
	lm_rc rc = pull_inquiry_add(&q, cx, r->by_digest, r->image.platform, NULL, err);
	if (!rc)
		rc = pull_inquiry_ask(&q, cx, ASK_REGISTRY_ATTEMPTS, ASK_REGISTRY_MS, err);
	if (!rc && q.answers[0].rc != LM_OK) {
		*err = q.answers[0].err;
		rc = err->rc = q.answers[0].rc;
	}
	return rc ? lm_wrap(err, "it cannot be pulled again now") : LM_OK;
}

static bool has_name(const struct image_relative *image, const char *name)
{
	for (size_t i = 0; image && i < image->names_n; i++)
		if (image_ref_is_same(image->names[i], name))
			return true;
	return false;
}

/// Of one that is here: what has to go with it. `*ret_damaged`: it is damaged still.
static lm_rc admit_removal(
	const struct context *cx, struct replacement *r, bool *ret_damaged, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers containers = {0};
	const struct doomed_rules rules = {.containers = &containers, .spares_application = true};
	const char *ref = r->subject->ref;
	unsigned layer = 0;
	lm_rc rc = doomed_images_read_again(cx, ref, r->found.id, ret_damaged, &layer, err);

	if (!rc && *ret_damaged)
		rc = engine_list_containers(&cx->engine, NULL, &cx->limit, &containers, err);
	if (!rc && *ret_damaged)
		rc = doomed_images_add(cx, &rules, ref, r->found.id, layer, &r->doomed, err);
	return rc;
}

static lm_rc find_doomed(const struct context *cx, struct replacement *r, struct lm_err *err)
{
	const struct task_subject *s = r->subject;
	lm_rc rc = engine_inspect_image_id(&cx->engine, s->id, s->ref, &cx->limit, &r->found, err);

	r->image.platform = s->platform; // of one that is not here any more
	if (!rc && *r->found.platform)
		r->image.platform = r->found.platform;
	return rc == LM_E_NOT_FOUND ? LM_OK : rc;
}

// The replacement --------------------------------------------------------------------------------

static lm_rc put_name_back(
	const struct context *cx, const char *id, const char *name, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image named = {0};
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_rc rc = image_ref_parse(lm_str(name), &ref, err);

	if (rc || ref.digest)
		return rc;
	rc = engine_inspect_image(&cx->engine, name, &cx->limit, &named, err);
	if (rc != LM_E_NOT_FOUND)
		return rc;
	return engine_tag_image(&cx->engine, id, name, &cx->limit, err);
}

/// A name that means something else by now keeps that; so does one that is gone, unless no other
/// generation has it.
static lm_rc put_names_back(
	const struct context *cx, const struct replacement *r, struct lm_err *err)
{
	const struct image_relative *was = doomed_images_find(&r->doomed, r->subject->id);
	lm_rc rc = LM_OK;
	const char *name;
	json_t *is_own;

	json_object_foreach(r->subject->names, name, is_own)
	{
		if (!rc && (has_name(was, name) || (!r->found.id && json_is_true(is_own))))
			rc = put_name_back(cx, r->subject->id, name, err);
	}
	return rc;
}

/// One that is still there after all keeps its names.
static lm_rc remove_doomed_image(struct context *cx, struct replacement *r, struct lm_err *err)
{
	struct lm_err ignored = {LM_OK}; // it is gone
	lm_rc rc = doomed_images_remove(cx, &r->doomed, err);

	if (rc)
		(void)!put_names_back(cx, r, &ignored);
	return rc;
}

static lm_rc pull_again(struct context *cx, const struct replacement *r, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image pulled = {0};
	const struct task_subject *s = r->subject;
	lm_rc rc = pull_by_digest(cx, &r->image, r->by_digest, err);

	if (!rc)
		rc = engine_inspect_image(&cx->engine, r->by_digest, &cx->limit, &pulled, err);
	if (!rc && strcmp(pulled.id, s->id) != 0)
		rc = lm_fail(err, LM_E_NOT_FOUND, 0,
			"the registry has another image (%.19s) for this device as %s", pulled.id,
			r->by_digest);
	if (rc)
		return rc;
	context_send(cx, json_pack("{s:s, s:s, s:s, s:b}", "image", s->ref, "digest",
				 strchr(r->by_digest, '@') + 1, "id", s->id, "pulled", 1));
	return put_names_back(cx, r, err);
}

/// `*ret_needed`: it was replaced, not found to be whole.
static lm_rc replace_image(
	struct context *cx, struct replacement *r, bool *ret_needed, struct lm_err *err)
{
	bool is_damaged = true;
	lm_rc rc = find_doomed(cx, r, err);

	if (!rc && r->found.id)
		rc = admit_removal(cx, r, &is_damaged, err);
	*ret_needed = !rc && is_damaged;
	if (rc || !is_damaged)
		return rc;
	rc = find_digest(r, err);
	if (!rc)
		rc = check_registry(cx, r, err);
	if (!rc)
		rc = remove_doomed_image(cx, r, err);
	return rc ? rc : pull_again(cx, r, err);
}

/// What is there now, and why, if it is not as it should be.
static lm_rc find_result(struct context *cx, const struct engine_facts *facts,
	const struct task_subject *s, const char *why, struct image_finding *ret,
	struct lm_err *err)
{
	const struct image_check check = {
		.engine = &cx->engine, .facts = facts, .limit = &cx->limit};
	lm_rc rc = image_check(&check, s->ref, s->id, ret, err);

	if (!rc && *why && ret->found != IMAGE_FOUND_OK)
		(void)snprintf(ret->verdict.why, sizeof(ret->verdict.why), "%s", why);
	return rc;
}

static lm_rc replace_and_report(struct context *cx, const struct engine_facts *facts,
	const struct task_subject *subject, struct lm_err *err)
{
	lm_auto(replacement_finish) struct replacement r = {
		.subject = subject, .image = image_of(subject->ref)};
	lm_auto(image_finding_finish) struct image_finding result = {0};
	struct lm_err why = {LM_OK};
	bool is_needed = false;
	lm_rc rc = replace_image(cx, &r, &is_needed, &why);

	if (rc == LM_E_CANCELLED) {
		*err = why;
		return rc;
	}
	rc = find_result(cx, facts, subject, why.msg, &result, err);
	if (rc)
		return rc;
	if (is_needed && result.found == IMAGE_FOUND_OK)
		lm_info("image %s was pulled again, as %s", subject->ref, r.by_digest);
	return verify_task_report(
		cx->protocol, subject->ref, image_found_name(result.found), &result, err);
}

static lm_rc replace_images(struct context *cx, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list logins = {0};
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_rc rc = preflight_engine(cx, err);

	preflight_environment(cx);
	take_images(cx);
	if (!rc)
		rc = engine_get_facts(&cx->engine, &cx->limit, &facts, err);
	if (!rc)
		rc = fetch_secrets(cx, err);
	if (!rc)
		rc = login_list_own(cx, &logins, err);
	for (size_t i = 0; i < cx->task->subjects_n && !rc; i++)
		rc = replace_and_report(cx, &facts, &cx->task->subjects[i], err);
	return rc;
}

void replace_images_run(struct context *cx, struct deploy_outcome *ret)
{
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	ret->rc = replace_images(cx, &ret->err);
	ret->ended_ms = lm_clock_mono_ms();
}
