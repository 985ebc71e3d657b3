// SPDX-License-Identifier: Apache-2.0
#include "worker/pull.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/compose.h"
#include "docker/compose_variables.h"
#include "docker/engine.h"
#include "docker/engine_images.h"
#include "docker/image_ref.h"
#include "docker/pull.h"
#include "docker/registry_auth.h"
#include "worker/compose_up.h"
#include "worker/hints.h"
#include "worker/image_report.h"
#include "worker/images.h"
#include "worker/login.h"
#include "worker/manifests.h"
#include "worker/pins.h"
#include "worker/registry_client.h"

enum {
	/// Unpacking a layer of some GB shows no progress.
	STALL_MS = 300 * 1000,
	NAMES_MAX = 700,
};

/// Which images are pulled, and with what.
struct pulls {
	struct context *cx;
	enum deploy_pull mode;
	struct pull_item *items;
	// By item:
	const struct compose_image **images;
	bool *here;              ///< The engine had it before.
	struct lm_secret *auths; ///< Empty: pulled without a login.
	char **ecr_hosts;        ///< The ECR hosts of the tokens; NULL: not of ECR.
	size_t n;
	size_t failed_n;
	size_t failed; ///< The first one.

	const char **builders; ///< The services whose images are built.
	size_t builders_n;
};

static void pulls_finish(struct pulls *p)
{
	for (size_t i = 0; i < p->n; i++) {
		lm_secret_finish(&p->auths[i]);
		free(p->ecr_hosts[i]);
	}
	free(p->auths);
	free(p->ecr_hosts);
	free(p->items);
	free(p->images);
	free(p->here);
	free(p->builders);
}

static void log_digest(const char *image, const char *digest)
{
	lm_info("image %s: %s", image, *digest ? digest : "present locally, no registry digest");
}

static void take_pull_progress(void *ctx, size_t item, const struct pull_progress *progress)
{
	const struct pulls *p = ctx;

	if (p->cx->task->kind != TASK_DEPLOY) // it has no stages
		return;
	context_send(
		p->cx, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "stage", "pull", "state",
			       "progress", "image", p->items[item].image, "status",
			       progress->status, "bytes_done", (json_int_t)progress->bytes_done,
			       "bytes_total", (json_int_t)progress->bytes_total));
}

static void take_done(void *ctx, size_t item, const char *digest)
{
	const struct pulls *p = ctx;
	struct lm_err err = {LM_OK};

	log_digest(p->items[item].image, digest);
	// At once: should this task be killed, nobody would know that the image is ours.
	if (image_report_send(p->cx, p->items[item].image, &err))
		lm_debug("%s", err.msg); // it is reported again
}

/// Appends an image to those to be pulled, with the login for it.
static lm_rc add_pull(
	struct pulls *p, const struct compose_image *image, bool here, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	enum login_source source = LOGIN_NONE;
	struct ecr_registry ecr;
	size_t i = p->n;
	lm_rc rc = image_ref_parse(lm_str(image->name), &ref, err);

	if (!rc)
		rc = login_find(p->cx, &ref, &login, &source, err);
	if (!rc && source != LOGIN_NONE)
		rc = registry_auth_header(&login, &p->auths[i], err);
	if (rc)
		return rc;
	bool by_token = source == LOGIN_TOKEN || source == LOGIN_NONE;
	if (by_token && ecr_registry_parse(lm_str(ref.registry), &ecr))
		p->ecr_hosts[i] = lm_take(ref.registry);
	p->images[i] = image;
	p->here[i] = here;
	p->items[p->n++] = (struct pull_item){.image = image->name,
		.platform = image->platform,
		.auth = &p->auths[i],
		.may_fail = image->builder != NULL};
	return LM_OK;
}

/// Pulls the item with the current token. `*ret_changed`: it had another one before.
static lm_rc use_token(struct pulls *p, size_t item, bool *ret_changed, struct lm_err *err)
{
	lm_auto(registry_credentials_finish) struct registry_credentials login =
		ecr_tokens_login(&p->cx->tokens, lm_str(p->ecr_hosts[item]));
	lm_auto_secret struct lm_secret auth = {0};
	lm_rc rc = registry_auth_header(&login, &auth, err);

	if (rc)
		return rc;
	*ret_changed = !lm_str_eq(lm_secret_str(&auth), lm_secret_str(&p->auths[item]));
	lm_secret_move(&p->auths[item], &auth);
	return LM_OK;
}

/// Before a pull begins: renews a token that is about to expire.
static lm_rc freshen_token(struct pulls *p, size_t item, struct lm_err *err)
{
	struct lm_str host = lm_str(p->ecr_hosts[item]);
	struct context *cx = p->cx;
	bool changed = false;
	lm_rc rc = LM_OK;

	if (ecr_tokens_is_due(&cx->tokens, host))
		rc = ecr_tokens_renew(&cx->tokens, &cx->session, host, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc)
		lm_warn("%s; using the token that is about to expire", err->msg);
	return ecr_tokens_has(&cx->tokens, host) ? use_token(p, item, &changed, err) : LM_OK;
}

/// ECR has refused a pull: the token may have expired, or was missing.
static lm_rc replace_token(struct pulls *p, size_t item, const struct lm_err *refusal,
	bool *ret_changed, struct lm_err *err)
{
	struct lm_str host = lm_str(p->ecr_hosts[item]);
	struct context *cx = p->cx;
	lm_rc rc = LM_OK;

	// Another pull may have got a new one already.
	if (ecr_tokens_has(&cx->tokens, host))
		rc = use_token(p, item, ret_changed, err);
	if (rc || *ret_changed)
		return rc;
	rc = ecr_tokens_renew(&cx->tokens, &cx->session, host, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc)
		return lm_wrap(err, "%.300s; and no new token could be fetched", refusal->msg);
	lm_info("image %s: %s; retrying with a new token", p->items[item].image, refusal->msg);
	return use_token(p, item, ret_changed, err);
}

static lm_rc renew_token(
	void *ctx, size_t item, const struct lm_err *refusal, bool *ret_renewed, struct lm_err *err)
{
	struct pulls *p = ctx;

	if (!p->ecr_hosts[item])
		return LM_OK;
	return refusal ? replace_token(p, item, refusal, ret_renewed, err)
		       : freshen_token(p, item, err);
}

/// `build` of docker-compose 2 builds all of `build.platforms`, which not every engine can store;
/// `up` builds only the one for this device. It also builds services whose name looks like an
/// option.
static bool is_built_before_up(const struct compose_image *image)
{
	return !image->builds_for_many && *image->builder != '-';
}

static void add_builder(struct pulls *p, const struct compose_image *image)
{
	if (!is_built_before_up(image))
		return;
	for (size_t i = 0; i < p->builders_n; i++)
		if (strcmp(p->builders[i], image->builder) == 0)
			return;
	p->builders[p->builders_n++] = image->builder;
}

/// Decides for each image whether it is pulled or built. The digests of those that stay are
/// reported.
static lm_rc choose_pulls(struct pulls *p, struct lm_err *err)
{
	const struct context *cx = p->cx;

	for (size_t i = 0; i < cx->images.n; i++) {
		const struct compose_image *image = &cx->images.items[i];
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;
		lm_rc rc = images_find(cx, image, &found, &here, err);

		if (rc)
			return rc;
		const struct image_case c = images_case(cx, image, here, p->mode);
		enum image_action action = image_action_decide(&c);
		if (action == IMAGE_PULL)
			rc = add_pull(p, image, here, err);
		else if (action == IMAGE_BUILD)
			add_builder(p, image);
		else if (image->is_named)
			log_digest(image->name, found.digest ? found.digest : "");
		if (rc)
			return rc;
	}
	return LM_OK;
}

static void take_failed(void *ctx, size_t item, const struct lm_err *why)
{
	struct pulls *p = ctx;
	const struct image_case c = images_case(p->cx, p->images[item], p->here[item], p->mode);

	if (p->items[item].may_fail) {
		bool is_built = image_action_without_pull(&c) == IMAGE_BUILD;

		lm_info("%s: %s", why->msg,
			is_built ? "building it instead" : "keeping the local one");
		if (is_built)
			add_builder(p, p->images[item]);
		return;
	}
	if (p->failed_n++ == 0)
		p->failed = item;
	else // the deployment fails with the first
		lm_warn("%s", why->msg);
}

static lm_rc explain_refusal(const struct pulls *p, struct lm_err *err)
{
	if (p->ecr_hosts[p->failed])
		return lm_wrap(err, "ECR refuses, check that the role and the repository's policy "
				    "allow ecr:BatchGetImage and ecr:GetDownloadUrlForLayer");
	return lm_wrap(err, "a registry refuses, check its secret in AWSSecretsArnList or add one");
}

static bool is_missing_after_pull(const struct context *cx, const struct compose_image *image,
	const struct engine_image *found, bool here, enum deploy_pull mode)
{
	(void)cx;
	(void)mode;
	return image->builder ? !found->id && is_built_before_up(image) : !here;
}

/// Checks again before anything is stopped: a pulled image may be for another platform than
/// requested, if its registry has no other, or if two services request different ones.
static lm_rc check_all_here(const struct context *cx, struct lm_err *err)
{
	lm_auto_buf struct lm_buf missing = LM_BUF(NAMES_MAX);
	lm_rc rc = images_list_missing(cx, is_missing_after_pull, DEPLOY_PULL_ALL, &missing, err);

	if (rc)
		return rc;
	return missing.len == 0
		       ? LM_OK
		       : lm_fail(err, LM_E_NOT_FOUND, 0, "%s, although it was pulled or built",
				 lm_buf_cstr(&missing));
}

/// Names the platform if an image was pulled because the local one is for another.
static lm_rc explain_platform(const struct pulls *p, struct lm_err *err)
{
	const char *platform = p->images[p->failed]->platform;

	if (!platform || p->here[p->failed])
		return err->rc;
	return lm_fail(err, err->rc, err->sys, "%s; image %s is not available locally for %s",
		err->msg, p->images[p->failed]->name, platform);
}

/// What the application's images are now.
static lm_rc report_images(const struct context *cx, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < cx->images.n && !rc; i++)
		rc = image_report_send(cx, cx->images.items[i].name, err);
	return rc;
}

lm_rc pull_images(struct context *cx, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto(pulls_finish) struct pulls p = {.cx = cx, .mode = mode};
	struct pull_options options = {.stall_ms = STALL_MS,
		.on_progress = take_pull_progress,
		.on_done = take_done,
		.on_failed = take_failed,
		.renew = renew_token,
		.ctx = &p};
	size_t most = cx->images.n + 1;

	p.items = lm_xcalloc(most, sizeof(*p.items));
	p.images = lm_xcalloc(most, sizeof(const struct compose_image *));
	p.here = lm_xcalloc(most, sizeof(*p.here));
	p.builders = lm_xcalloc(most, sizeof(*p.builders));
	p.auths = lm_xcalloc(most, sizeof(*p.auths));
	p.ecr_hosts = lm_xcalloc(most, sizeof(*p.ecr_hosts));
	lm_rc rc = image_report_begin(cx, err);
	if (!rc)
		rc = pins_set(cx, err);
	if (!rc)
		rc = images_check(cx, mode, err);
	if (!rc)
		rc = choose_pulls(&p, err);
	if (rc)
		return rc;
	rc = engine_pull(&cx->engine, p.items, p.n, &options, &cx->limit, err);
	if (rc == LM_E_DENIED)
		rc = explain_refusal(&p, err);
	if (rc)
		return p.failed_n > 0 ? explain_platform(&p, err) : rc;
	if (p.builders_n > 0)
		rc = compose_up_build(cx, p.builders, p.builders_n, err);
	if (!rc)
		rc = check_all_here(cx, err);
	return rc ? rc : report_images(cx, err);
}

lm_rc pull_by_digest(struct context *cx, const struct compose_image *image, const char *by_digest,
	struct lm_err *err)
{
	lm_auto_free char *name = lm_xstrdup(by_digest);
	lm_auto(pulls_finish) struct pulls p = {.cx = cx, .mode = DEPLOY_PULL_ALL};
	const struct pull_options options = {.stall_ms = STALL_MS,
		.on_progress = take_pull_progress,
		.renew = renew_token,
		.ctx = &p};
	struct compose_image pulled = *image;

	pulled.name = name;
	pulled.builder = NULL; // it may not fail
	p.items = lm_xcalloc(1, sizeof(*p.items));
	p.images = lm_xcalloc(1, sizeof(const struct compose_image *));
	p.here = lm_xcalloc(1, sizeof(*p.here));
	p.auths = lm_xcalloc(1, sizeof(*p.auths));
	p.ecr_hosts = lm_xcalloc(1, sizeof(*p.ecr_hosts));
	lm_rc rc = add_pull(&p, &pulled, false, err);
	if (!rc)
		rc = engine_pull(&cx->engine, p.items, p.n, &options, &cx->limit, err);
	return rc == LM_E_DENIED ? explain_refusal(&p, err) : rc;
}

void pull_inquiry_init(struct pull_inquiry *q, size_t most)
{
	*q = (struct pull_inquiry){.questions = lm_xcalloc(most + 1, sizeof(*q->questions)),
		.logins = lm_xcalloc(most + 1, sizeof(*q->logins)),
		.answers = lm_xcalloc(most + 1, sizeof(*q->answers))};
}

void pull_inquiry_finish(struct pull_inquiry *q)
{
	for (size_t i = 0; i < q->n; i++) {
		manifest_answer_finish(&q->answers[i]);
		registry_credentials_finish(&q->logins[i]);
	}
	free(q->questions);
	free(q->logins);
	free(q->answers);
}

lm_rc pull_inquiry_add(struct pull_inquiry *q, struct context *cx, const char *image,
	const char *platform, const char *known, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	struct registry_credentials *login = &q->logins[q->n];
	enum login_source source;

	// The answer has the error of an invalid reference.
	lm_rc rc = image_ref_parse(lm_str(image), &ref, NULL)
			   ? LM_OK
			   : login_find(cx, &ref, login, &source, err);
	if (rc)
		return rc;
	q->questions[q->n++] = (struct manifest_question){.image = image,
		.platform = platform ? platform : cx->engine.version.platform,
		.credentials = login->username ? login : NULL,
		.known = known};
	return LM_OK;
}

lm_rc pull_inquiry_ask(struct pull_inquiry *q, const struct context *cx, unsigned attempts,
	unsigned timeout_ms, struct lm_err *err)
{
	const struct manifests_options options = {.certificates = REGISTRY_CERTIFICATES,
		.attempts = attempts,
		.timeout_ms = timeout_ms};

	return manifests_ask(q->questions, q->n, &options, &cx->limit, q->answers, err);
}
