// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/engine_facts.h"
#include "worker/image_action.h"
#include "worker/manifests.h"
#include "worker/registries.h"
#include "worker/work_priv.h"

enum {
	ASK_MS = 30 * 1000, ///< Registries that do not answer hold nothing up: the pull will tell.
	ASK_ATTEMPTS = 2,
};

#define CERTIFICATES "/etc/docker/certs.d"

/// Questions to registries about the images that are to be pulled, and their answers.
struct inquiries {
	struct work *w;
	enum deploy_pull mode;
	bool has_mirrors;
	struct manifest_question *questions;
	struct registry_credentials *logins;
	struct manifest_answer *answers;
	size_t n;
};

static void inquiries_finish(struct inquiries *q)
{
	for (size_t i = 0; i < q->n; i++) {
		manifest_answer_finish(&q->answers[i]);
		registry_credentials_finish(&q->logins[i]);
	}
	free(q->questions);
	free(q->logins);
	free(q->answers);
}

static lm_rc add_question(
	struct inquiries *q, const struct compose_image *image, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	struct registry_credentials *login = &q->logins[q->n];
	enum login_source source;

	if (image_ref_parse(lm_str(image->name), &ref, NULL)) // told when it is pulled
		return LM_OK;
	// A mirror may have what the Docker Hub does not.
	if (q->has_mirrors && strcmp(ref.registry, "docker.io") == 0)
		return LM_OK;
	lm_rc rc = registries_find(q->w, &ref, login, &source, err);
	if (rc)
		return rc;
	q->questions[q->n++] = (struct manifest_question){.image = image->name,
		.platform = image->platform ? image->platform : q->w->engine.version.platform,
		.credentials = login->username ? login : NULL};
	return LM_OK;
}

static lm_rc add_questions(struct inquiries *q, struct lm_err *err)
{
	const struct compose_images *images = &q->w->images;
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < images->n && !rc; i++) {
		lm_auto(engine_image_finish) struct engine_image found = {0};
		const struct compose_image *image = &images->items[i];
		bool here = false;

		rc = images_find(q->w, image, &found, &here, err);
		const struct image_case c = images_case(q->w, image, here, q->mode);
		if (!rc && !image->builder && image_action_decide(&c) == IMAGE_PULL)
			rc = add_question(q, image, err);
	}
	return rc;
}

/// Only what a registry is sure of counts; the engine may know more than we do of how to get the
/// rest.
static lm_rc sum_up(const struct inquiries *q, struct lm_err *err)
{
	size_t missing = 0, first = 0;

	for (size_t i = 0; i < q->n; i++) {
		const struct manifest_answer *a = &q->answers[i];

		if (a->rc == LM_OK)
			continue;
		if (a->rc != LM_E_NOT_FOUND)
			lm_info("image %s: %s; the pull will tell", q->questions[i].image,
				a->err.msg);
		else if (missing++ == 0)
			first = i;
		else
			lm_error("image %s: %s", q->questions[i].image, a->err.msg);
	}
	if (missing == 0)
		return LM_OK;
	(void)!lm_fail(err, LM_E_NOT_FOUND, 0, "image %s: %s", q->questions[first].image,
		q->answers[first].err.msg);
	return missing == 1
		       ? err->rc
		       : lm_wrap(err, "%zu images cannot be pulled (the log has all); the first",
				 missing);
}

lm_rc availability_check(struct work *w, enum deploy_pull mode, struct lm_err *err)
{
	static const struct manifests_options options = {
		.certificates = CERTIFICATES, .attempts = ASK_ATTEMPTS, .timeout_ms = ASK_MS};
	lm_auto(inquiries_finish) struct inquiries q = {.w = w, .mode = mode};
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	size_t most = w->images.n + 1;
	lm_rc rc = engine_get_facts(&w->engine, &w->limit, &facts, err);

	if (rc)
		return rc;
	q.has_mirrors = facts.has_mirrors;
	q.questions = lm_xcalloc(most, sizeof(*q.questions));
	q.logins = lm_xcalloc(most, sizeof(*q.logins));
	q.answers = lm_xcalloc(most, sizeof(*q.answers));
	rc = add_questions(&q, err);
	if (!rc && q.n > 0)
		rc = manifests_ask(q.questions, q.n, &options, &w->limit, q.answers, err);
	return rc ? rc : sum_up(&q, err);
}
