// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/pull.h"
#include "worker/application_priv.h"
#include "worker/work_priv.h"

enum {
	CONFIG_MS = 300 * 1000, ///< Python starts slowly from a cold card.
	/// A layer of some GB is checked and unpacked without a word.
	STALL_MS = 300 * 1000,
	NAMES_MAX = 700,
};

lm_rc images_resolve(struct work *w, struct lm_err *err)
{
	// It may hold what the environment holds: passwords for the containers.
	lm_auto_buf struct lm_buf config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);
	struct wait_limit limit = wait_limit_within(&w->limit, CONFIG_MS);
	struct compose_job job = application_compose_job(w, w->env);
	lm_rc rc = compose_file_check(lm_buf_str(&w->text), err);

	if (!rc)
		rc = compose_config(&job, lm_buf_str(&w->text), &limit, &config, err);
	// compose's word on the file, which the definition names.
	if (rc == LM_E_REFUSED)
		err->rc = rc = LM_E_INVALID;
	if (!rc)
		rc = compose_services_parse(lm_buf_str(&config), &w->services, err);
	return rc ? lm_wrap(err, "'%s'", work_definition(w)->key) : LM_OK;
}

/// Whether these credentials were tried already.
static bool is_repeated(const struct secrets *s, size_t i)
{
	const struct registry_credentials *c = &s->items[i];

	for (size_t k = 0; k < i; k++) {
		const struct registry_credentials *other = &s->items[k];

		if (strcmp(c->registry, other->registry) == 0 &&
			strcmp(c->username, other->username) == 0 &&
			lm_str_eq(lm_secret_str(&c->password), lm_secret_str(&other->password)))
			return true;
	}
	return false;
}

lm_rc images_authenticate(struct work *w, struct lm_err *err)
{
	for (size_t i = 0; i < w->secrets.n; i++) {
		const struct registry_credentials *c = &w->secrets.items[i];

		if (is_repeated(&w->secrets, i))
			continue;
		lm_rc rc = engine_login(&w->engine, c, &w->limit, err);
		if (rc)
			return rc;
		lm_info("logged in to registry %s as %s", c->registry, c->username);
	}
	return LM_OK;
}

/// The images of the application, and which of them are pulled with what.
struct pulls {
	const struct work *w;
	struct compose_image *images;
	size_t images_n;
	struct pull_item *items;
	struct lm_secret *auths; ///< By item.
	size_t n;
};

static void pulls_finish(struct pulls *p)
{
	for (size_t i = 0; i < p->n; i++)
		lm_secret_finish(&p->auths[i]);
	free(p->auths);
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

/// Appends an image to those to be pulled, with the credentials for it.
static lm_rc add_pull(struct pulls *p, const struct compose_image *image, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	struct lm_secret *auth = &p->auths[p->n];
	lm_rc rc = image_ref_parse(lm_str(image->image), &ref, err);

	if (rc)
		return rc;
	const struct registry_credentials *c =
		registry_match(p->w->secrets.items, p->w->secrets.n, &ref);
	rc = c ? registry_auth_header(c, auth, err) : LM_OK;
	if (rc)
		return rc;
	p->items[p->n++] = (struct pull_item){
		.image = image->image, .platform = image->platform, .auth = c ? auth : NULL};
	return LM_OK;
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

lm_rc images_pull(struct work *w, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto(pulls_finish) struct pulls p = {.w = w};
	lm_auto_buf struct lm_buf missing = LM_BUF(NAMES_MAX);
	struct pull_options options = {.stall_ms = STALL_MS,
		.on_progress = take_progress,
		.on_done = take_done,
		.ctx = &p};

	p.images_n = compose_services_images(&w->services, w->compose.generation, &p.images);
	p.items = lm_xcalloc(p.images_n + 1, sizeof(*p.items));
	p.auths = lm_xcalloc(p.images_n + 1, sizeof(*p.auths));
	w->images_n = p.images_n;
	lm_rc rc = choose(&p, mode, &missing, err);
	if (rc)
		return rc;
	if (missing.len > 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"these images are not on this device, and offline none is pulled: %s",
			lm_buf_cstr(&missing));
	rc = engine_pull(&w->engine, p.items, p.n, &options, &w->limit, err);
	if (rc == LM_E_DENIED)
		return lm_wrap(err,
			"a registry refuses, check its secret in AWSSecretsArnList or add one");
	return rc;
}
