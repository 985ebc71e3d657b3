// SPDX-License-Identifier: Apache-2.0
#include "aws/shared_config.h"
#include "base/memory.h"
#include "worker/manifests_priv.h"

enum { AT_ONCE = 32 };

void manifest_answer_finish(struct manifest_answer *answer)
{
	free(answer->digest);
	free(answer->manifest_digest);
	manifest_finish(&answer->manifest);
	image_layers_finish(&answer->layers);
	*answer = (struct manifest_answer){0};
}

static void inquiry_finish(struct inquiry *q)
{
	image_ref_finish(&q->ref);
	registry_route_finish(&q->route);
	lm_secret_finish(&q->authorization);
}

static void manifests_finish(struct manifests *all)
{
	https_destroy(all->https);
	for (size_t i = 0; i < all->n; i++)
		inquiry_finish(&all->inquiries[i]);
	free(all->inquiries);
}

static void fail(struct inquiry *q, lm_rc rc, const struct lm_err *err)
{
	q->over = true;
	if (q->step == STEP_CONFIG && rc != LM_E_CANCELLED)
		return; // what the manifest says stands
	q->answer->rc = rc;
	q->answer->err = *err;
}

static void begin(struct inquiry *q)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = image_ref_parse(lm_str(q->question->image), &q->ref, &err);

	if (!rc)
		rc = manifest_platform_parse(lm_str(q->question->platform), &q->platform, &err);
	if (!rc) {
		registry_route_find(q->ref.registry, q->all->options->certificates, &q->route);
		rc = inquiry_ask(q, &err);
	}
	if (rc)
		fail(q, rc, &err);
}

/// One takes the place of another, so that many images do not need as many connections.
static void begin_next(struct manifests *all)
{
	bool begun = false;

	while (!begun && all->begun < all->n) {
		struct inquiry *q = &all->inquiries[all->begun++];
		begin(q);
		begun = !q->over;
	}
}

/// If the inquiry is not over, its next request has been started.
void manifests_done(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct inquiry *q = ctx;
	struct lm_err why = rc ? *err : (struct lm_err){LM_OK};

	if (!rc)
		rc = inquiry_take(q, answer, &why);
	if (rc)
		fail(q, rc, &why);
	if (q->over)
		begin_next(q->all);
}

lm_rc manifests_ask(const struct manifest_question *questions, size_t n,
	const struct manifests_options *options, const struct wait_limit *limit,
	struct manifest_answer *ret, struct lm_err *err)
{
	lm_auto(manifests_finish) struct manifests all = {.options = options};
	struct wait_limit within = wait_limit_within(limit, options->timeout_ms);
	struct lm_err why = {LM_OK};
	lm_rc rc = n > 0 ? shared_config_https(&all.https, &why) : LM_OK;

	for (size_t i = 0; i < n; i++)
		ret[i] = (struct manifest_answer){.rc = rc, .err = why};
	if (rc || n == 0)
		return LM_OK;
	all.inquiries = lm_xcalloc(n, sizeof(*all.inquiries));
	all.n = n;
	for (size_t i = 0; i < n; i++)
		all.inquiries[i] =
			(struct inquiry){.all = &all, .question = &questions[i], .answer = &ret[i]};
	for (size_t i = 0; i < AT_ONCE; i++)
		begin_next(&all);
	rc = https_run(all.https, &within, err);
	return rc == LM_E_CANCELLED ? rc : LM_OK;
}
