// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/pull.h"
#include "worker/application_priv.h"
#include "worker/registries.h"
#include "worker/work_priv.h"

enum {
	CONFIG_MS = 300 * 1000, ///< Python starts slowly from a cold card.
	/// A layer of some GB is checked and unpacked without a word.
	STALL_MS = 300 * 1000,
	NAMES_MAX = 700,
};

static lm_rc run_config(struct work *w, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_rc rc = application_write_candidate(w, lm_buf_str(&w->text), &candidate, err);

	if (rc)
		return rc;
	struct compose_job job = application_candidate_job(w, w->env, &candidate);
	return compose_config(&job, limit, &w->config, err);
}

lm_rc images_resolve(struct work *w, struct lm_err *err)
{
	struct wait_limit limit = wait_limit_within(&w->limit, CONFIG_MS);
	lm_rc rc = compose_file_check(lm_buf_str(&w->text), err);

	if (!rc)
		rc = run_config(w, &limit, err);
	// compose's word on the file, which the definition names.
	if (rc == LM_E_REFUSED)
		err->rc = rc = LM_E_INVALID;
	if (!rc)
		rc = compose_services_parse(lm_buf_str(&w->config), &w->services, err);
	return rc ? lm_wrap(err, "'%s'", work_definition(w)->key) : LM_OK;
}

/// The images of the application, and which of them are pulled with what.
struct pulls {
	struct work *w;
	struct compose_image *images;
	size_t images_n;
	struct pull_item *items;
	// By item:
	struct lm_secret *auths; ///< Empty: it is pulled without.
	char **ecr_hosts;        ///< Whose tokens they are; NULL: of none.
	size_t n;
	size_t refused; ///< The last one that a registry refused.
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
}

static void tell_digest(const struct work *w, const char *image, const char *digest)
{
	lm_info("image %s is %s", image, *digest ? digest : "there, and of no registry");
	if (*digest)
		work_tell(w, json_pack("{s:s, s:s}", "image", image, "digest", digest));
}

static void take_progress(void *ctx, size_t item, const struct pull_progress *progress)
{
	const struct pulls *p = ctx;

	work_tell(p->w, json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "stage", "pull", "state",
				"progress", "image", p->items[item].image, "status",
				progress->status, "bytes_done", (json_int_t)progress->bytes_done,
				"bytes_total", (json_int_t)progress->bytes_total));
}

static void take_done(void *ctx, size_t item, const char *digest)
{
	const struct pulls *p = ctx;

	tell_digest(p->w, p->items[item].image, digest);
}

/// Appends an image to those to be pulled, with the login for it.
static lm_rc add_pull(struct pulls *p, const struct compose_image *image, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	enum login_source source = LOGIN_NONE;
	struct ecr_registry ecr;
	size_t i = p->n;
	lm_rc rc = image_ref_parse(lm_str(image->image), &ref, err);

	if (!rc)
		rc = registries_find(p->w, &ref, &login, &source, err);
	if (!rc && source != LOGIN_NONE)
		rc = registry_auth_header(&login, &p->auths[i], err);
	if (rc)
		return rc;
	bool by_token = source == LOGIN_TOKEN || source == LOGIN_NONE;
	if (by_token && ecr_registry_parse(lm_str(ref.registry), &ecr))
		p->ecr_hosts[i] = lm_take(ref.registry);
	p->items[p->n++] = (struct pull_item){
		.image = image->image, .platform = image->platform, .auth = &p->auths[i]};
	return LM_OK;
}

/// Pulls the item with the token that is held now. `*ret_changed`: it was another one before.
static lm_rc use_token(struct pulls *p, size_t item, bool *ret_changed, struct lm_err *err)
{
	lm_auto(registry_credentials_finish) struct registry_credentials login =
		tokens_login(&p->w->tokens, lm_str(p->ecr_hosts[item]));
	lm_auto_secret struct lm_secret auth = {0};
	lm_rc rc = registry_auth_header(&login, &auth, err);

	if (rc)
		return rc;
	*ret_changed = !lm_str_eq(lm_secret_str(&auth), lm_secret_str(&p->auths[item]));
	lm_secret_move(&p->auths[item], &auth);
	return LM_OK;
}

/// Before a pull begins: its token must last for a while.
static lm_rc freshen_token(struct pulls *p, size_t item, struct lm_err *err)
{
	struct lm_str host = lm_str(p->ecr_hosts[item]);
	struct work *w = p->w;
	bool changed = false;
	lm_rc rc = LM_OK;

	if (tokens_is_due(&w->tokens, host))
		rc = tokens_renew(&w->tokens, &w->cloud, host, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc)
		lm_warn("%s; going on with the token that is about to run out", err->msg);
	return tokens_has(&w->tokens, host) ? use_token(p, item, &changed, err) : LM_OK;
}

/// A registry of ECR has refused a pull: the token may be over, or not have been there at all.
static lm_rc replace_token(struct pulls *p, size_t item, const struct lm_err *refusal,
	bool *ret_changed, struct lm_err *err)
{
	struct lm_str host = lm_str(p->ecr_hosts[item]);
	struct work *w = p->w;
	lm_rc rc = LM_OK;

	// Another pull may have got a new one already.
	if (tokens_has(&w->tokens, host))
		rc = use_token(p, item, ret_changed, err);
	if (rc || *ret_changed)
		return rc;
	rc = tokens_renew(&w->tokens, &w->cloud, host, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	if (rc)
		return lm_wrap(err, "%.300s; and there is no new token", refusal->msg);
	lm_info("image %s: %s; trying once more with a new token", p->items[item].image,
		refusal->msg);
	return use_token(p, item, ret_changed, err);
}

static lm_rc renew(
	void *ctx, size_t item, const struct lm_err *refusal, bool *ret_renewed, struct lm_err *err)
{
	struct pulls *p = ctx;

	if (refusal)
		p->refused = item;
	if (!p->ecr_hosts[item])
		return LM_OK;
	return refusal ? replace_token(p, item, refusal, ret_renewed, err)
		       : freshen_token(p, item, err);
}

/// Whether the image is on this device; if so, its digest is reported.
static lm_rc is_here(const struct work *w, const char *image, bool *ret, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	lm_rc rc = engine_inspect_image(&w->engine, image, &w->limit, &found, err);

	*ret = rc == LM_OK;
	if (rc == LM_E_NOT_FOUND)
		return LM_OK;
	if (rc == LM_OK)
		tell_digest(w, image, found.digest ? found.digest : "");
	return rc;
}

/// Decides for each image whether it is pulled, and appends to `missing` those that may not be.
static lm_rc choose(
	struct pulls *p, enum deploy_pull mode, struct lm_buf *missing, struct lm_err *err)
{
	for (size_t i = 0; i < p->images_n; i++) {
		bool here = false;
		lm_rc rc = LM_OK;

		if (mode != DEPLOY_PULL_ALL)
			rc = is_here(p->w, p->images[i].image, &here, err);
		if (!rc && !here && mode != DEPLOY_PULL_LOCAL)
			rc = add_pull(p, &p->images[i], err);
		if (rc)
			return rc;
		if (!here && mode == DEPLOY_PULL_LOCAL)
			(void)lm_buf_printf(
				missing, "%s%s", missing->len > 0 ? ", " : "", p->images[i].image);
	}
	return LM_OK;
}

static lm_rc explain_refusal(const struct pulls *p, struct lm_err *err)
{
	if (p->n > 0 && p->ecr_hosts[p->refused])
		return lm_wrap(err,
			"ECR refuses, check that the role and the repository's policy allow "
			"ecr:BatchGetImage and ecr:GetDownloadUrlForLayer");
	return lm_wrap(err, "a registry refuses, check its secret in AWSSecretsArnList or add one");
}

lm_rc images_pull(struct work *w, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto(pulls_finish) struct pulls p = {.w = w};
	lm_auto_buf struct lm_buf missing = LM_BUF(NAMES_MAX);
	struct pull_options options = {.stall_ms = STALL_MS,
		.on_progress = take_progress,
		.on_done = take_done,
		.renew = renew,
		.ctx = &p};

	p.images_n = compose_services_images(&w->services, w->compose.generation, &p.images);
	p.items = lm_xcalloc(p.images_n + 1, sizeof(*p.items));
	p.auths = lm_xcalloc(p.images_n + 1, sizeof(*p.auths));
	p.ecr_hosts = lm_xcalloc(p.images_n + 1, sizeof(char *));
	w->images_n = p.images_n;
	lm_rc rc = choose(&p, mode, &missing, err);
	if (rc)
		return rc;
	if (missing.len > 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"these images are not on this device, and offline none is pulled: %s",
			lm_buf_cstr(&missing));
	rc = engine_pull(&w->engine, p.items, p.n, &options, &w->limit, err);
	return rc == LM_E_DENIED ? explain_refusal(&p, err) : rc;
}
