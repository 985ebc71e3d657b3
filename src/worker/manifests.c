// SPDX-License-Identifier: Apache-2.0
#include "worker/manifests.h"

#include "aws/shared_config.h"
#include "base/cleanup.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/image_ref.h"
#include "http/https.h"
#include "worker/registry_client.h"

enum { AT_ONCE = 32 };

enum step {
	STEP_NAMED,  ///< What the reference names: an index, or the manifest itself.
	STEP_CHILD,  ///< The manifest for the platform.
	STEP_CONFIG, ///< The configuration. Optional.
};

struct manifests;

/// The questions to one registry about one image.
struct inquiry {
	struct manifests *all;
	const struct manifest_question *question;
	struct manifest_answer *answer;
	struct manifest_platform platform;
	struct image_ref ref;
	struct registry_client client;
	enum step step;
	bool is_head; ///< The question under way asks only for the digest,
	bool headed;  ///< which did not suffice, or is not to be asked.
	bool over;
};

struct manifests {
	struct https *https;
	const struct manifests_options *options;
	struct inquiry *inquiries;
	size_t n, begun;
};

/// Asks for what the step needs.
static lm_rc inquiry_ask(struct inquiry *q, struct lm_err *err)
{
	bool is_config = q->step == STEP_CONFIG;

	q->is_head = q->step == STEP_NAMED && q->question->known && !q->headed;
	return registry_client_ask(&q->client,
		&(struct registry_question){.kind = is_config ? "blobs" : "manifests",
			.name = q->step == STEP_NAMED   ? image_ref_version(&q->ref)
				: q->step == STEP_CHILD ? q->answer->manifest_digest
							: q->answer->manifest.config,
			.accept = is_config ? NULL : MANIFEST_TYPES,
			.body_max = LIMIT_MANIFEST,
			.is_head = q->is_head},
		err);
}

static char *digest_of(struct lm_str body)
{
	char hex[LM_SHA256_HEX + 1];

	lm_sha256_hex(body, hex);
	return lm_xasprintf("sha256:%s", hex);
}

static lm_rc take_manifest(struct inquiry *q, struct lm_str body, struct lm_err *err)
{
	struct manifest_answer *a = q->answer;
	struct manifest manifest = {0};
	lm_rc rc = manifest_parse(body, &q->platform, &manifest, err);

	if (!rc && manifest.child && q->step == STEP_CHILD)
		rc = lm_fail(err, LM_E_PROTOCOL, 0, "an index refers to another index");
	if (rc) {
		manifest_finish(&manifest);
		return lm_wrap(err, "manifest from registry %s", q->ref.registry);
	}
	if (q->step == STEP_NAMED)
		a->digest = digest_of(body);
	if (manifest.child) {
		a->manifest_digest = manifest.child;
		q->step = STEP_CHILD;
		return inquiry_ask(q, err);
	}
	if (!a->manifest_digest)
		a->manifest_digest = digest_of(body);
	a->manifest = manifest;
	q->step = STEP_CONFIG;
	return inquiry_ask(q, err);
}

/// Anything but the digest that is known is asked for in full.
static lm_rc take_known_digest(
	struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	struct lm_str digest = https_header(answer, "docker-content-digest");

	q->headed = true;
	if (answer->status != 200 || !lm_str_eq(digest, lm_str(q->question->known)))
		return inquiry_ask(q, err);
	q->answer->digest = lm_xmemdup0(digest.p, digest.n);
	q->over = true;
	return LM_OK;
}

/// Takes an answer to it. After LM_OK it is over, or the next question has been asked.
static lm_rc inquiry_take(struct inquiry *q, const struct https_answer *answer, struct lm_err *err)
{
	struct lm_str body = lm_buf_str(&answer->body);

	if (q->is_head)
		return take_known_digest(q, answer, err);
	if (q->step != STEP_CONFIG)
		return take_manifest(q, body, err);
	q->over = true;
	return manifest_config_layers(body, &q->answer->layers.digests, &q->answer->layers.n, err);
}

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
	registry_client_finish(&q->client);
	image_ref_finish(&q->ref);
}

static void manifests_finish(struct manifests *all)
{
	https_destroy(all->https);
	for (size_t i = 0; i < all->n; i++)
		inquiry_finish(&all->inquiries[i]);
	free(all->inquiries);
}

static void fail_inquiry(struct inquiry *q, lm_rc rc, const struct lm_err *err)
{
	q->over = true;
	if (q->step == STEP_CONFIG && rc != LM_E_CANCELLED)
		return; // the manifest alone suffices
	q->answer->rc = rc;
	q->answer->err = *err;
}

static void manifests_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

static void begin_inquiry(struct inquiry *q)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = image_ref_parse(lm_str(q->question->image), &q->ref, &err);

	if (!rc)
		rc = manifest_platform_parse(lm_str(q->question->platform), &q->platform, &err);
	if (!rc) {
		q->client = (struct registry_client){.https = q->all->https,
			.ref = &q->ref,
			.credentials = q->question->credentials,
			.attempts = q->all->options->attempts,
			.done = manifests_on_answer,
			.ctx = q};
		registry_client_open(&q->client, q->all->options->certificates);
		rc = inquiry_ask(q, &err);
	}
	if (rc)
		fail_inquiry(q, rc, &err);
}

/// Limits how many run at the same time.
static void begin_next(struct manifests *all)
{
	bool begun = false;

	while (!begun && all->begun < all->n) {
		struct inquiry *q = &all->inquiries[all->begun++];
		begin_inquiry(q);
		begun = !q->over;
	}
}

/// If the inquiry is not over, its next question has been asked.
static void manifests_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct inquiry *q = ctx;
	struct lm_err why = rc ? *err : (struct lm_err){LM_OK};

	if (!rc)
		rc = inquiry_take(q, answer, &why);
	if (rc)
		fail_inquiry(q, rc, &why);
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
