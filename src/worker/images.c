// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/compose.h"
#include "docker/compose_variables.h"
#include "docker/platform.h"
#include "docker/pull.h"
#include "worker/application_priv.h"
#include "worker/hints.h"
#include "worker/image_action.h"
#include "worker/registries.h"
#include "worker/work_priv.h"

enum {
	CONFIG_MS = 300 * 1000, ///< Python starts slowly from a cold card.
	/// A layer of some GB is checked and unpacked without a word.
	STALL_MS = 300 * 1000,
	NAMES_MAX = 700,
	QUESTION_MAX = 1024,
};

static void note_unset(void *ctx, struct lm_str name)
{
	hints_note_unset(ctx, name);
}

/// Resolves `text`, a compose file that is to be read in the destination.
static lm_rc run_config(struct work *w, struct lm_str text, const struct wait_limit *limit,
	struct lm_buf *ret_config, struct lm_err *err)
{
	const struct work_place place = work_destination(w);
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_rc rc = application_write_candidate(w, &place, text, &candidate, err);

	if (rc)
		return rc;
	struct compose_job job = application_candidate_job(w, &place, w->env, &candidate);
	job.on_unset = note_unset;
	job.ctx = w;
	return compose_config(&job, limit, ret_config, err);
}

/// docker-compose is asked only if there may be something to tell.
static lm_rc read_variables(struct work *w, const struct wait_limit *limit,
	struct compose_variables *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf question = LM_BUF(QUESTION_MAX);
	lm_auto_buf struct lm_buf config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);

	if (!compose_variables_may_be_set(
		    (const char *const *)w->env, work_definition(w)->destination)) {
		*ret = (struct compose_variables){
			.profiles = lm_xstrdup(""), .platform = lm_xstrdup("")};
		return LM_OK;
	}
	compose_variables_question(w->compose.generation, &question);
	lm_rc rc = run_config(w, lm_buf_str(&question), limit, &config, err);
	return rc ? rc : compose_variables_parse(lm_buf_str(&config), ret, err);
}

/// Which services `up` starts, and of which images they are.
static lm_rc choose_services(struct work *w, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(compose_variables_finish) struct compose_variables variables = {0};
	lm_rc rc = read_variables(w, limit, &variables, err);

	if (!rc)
		rc = compose_services_activate(
			&w->services, w->compose.generation, lm_str(variables.profiles), err);
	if (rc)
		return rc;
	if (*variables.platform)
		w->default_platform = lm_take(variables.platform);
	const struct compose_images_options options = {.project = COMPOSE_PROJECT,
		.generation = w->compose.generation,
		.default_platform = w->default_platform};
	compose_images_make(&w->services, &options, &w->images);
	return LM_OK;
}

/// A start that goes on with another compose file resolves a second time.
static void forget_resolved(struct work *w)
{
	compose_images_finish(&w->images); // which borrow from what follows
	compose_services_finish(&w->services);
	free(lm_take(w->default_platform));
	lm_buf_clear(&w->config);
	lm_buf_clear(&w->unset);
}

/// docker-compose has the last word on the file; where it refuses what we found to be wrong, ours
/// says where that is.
static lm_rc resolve_text(struct work *w, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_str text = lm_buf_str(&w->text);
	struct lm_err own = {LM_OK};
	lm_rc own_rc = compose_file_check(text, w->compose.generation, &own);
	lm_rc rc = own_rc == LM_E_TOO_LARGE ? own_rc : run_config(w, text, limit, &w->config, err);

	// It would keep docker-compose busy for hours.
	if (own_rc && (rc == LM_E_TOO_LARGE || rc == LM_E_REFUSED)) {
		*err = own;
		rc = LM_E_REFUSED;
	}
	// compose's word on the file, which the definition names.
	if (rc == LM_E_REFUSED)
		err->rc = rc = LM_E_INVALID;
	return rc;
}

lm_rc images_resolve(struct work *w, struct lm_err *err)
{
	struct wait_limit limit = wait_limit_within(&w->limit, CONFIG_MS);
	struct lm_str text = lm_buf_str(&w->text);

	forget_resolved(w);
	lm_rc rc = resolve_text(w, &limit, err);

	if (!rc) {
		rc = compose_services_parse(lm_buf_str(&w->config), &w->services, err);
		if (rc == LM_E_INVALID)
			compose_file_explain_inactive(text, err);
	}
	if (!rc)
		rc = choose_services(w, &limit, err);
	if (rc)
		rc = hints_explain(w, HINTS_FILE, rc, err);
	else
		rc = hints_check_images(w, err);
	return rc ? lm_wrap(err, "'%s'", work_definition(w)->key) : LM_OK;
}

lm_rc images_find(const struct work *w, const struct compose_image *image, struct engine_image *ret,
	bool *ret_here, struct lm_err *err)
{
	lm_rc rc = engine_inspect_image(&w->engine, image->name, &w->limit, ret, err);

	if (rc && rc != LM_E_NOT_FOUND)
		return rc;
	*ret_here =
		rc == LM_OK && (!image->platform || platform_fits(ret->platform, image->platform,
							    w->engine.version.platform));
	return LM_OK;
}

/// Appends that an image is not here; `found` is what has its name.
static void list_missing(
	const struct compose_image *image, const struct engine_image *found, struct lm_buf *missing)
{
	(void)lm_buf_printf(missing, "%simage %s is not on this device",
		missing->len > 0 ? "; " : "", image->name);
	if (image->platform)
		(void)lm_buf_printf(missing, " for %s", image->platform);
	if (found->id)
		(void)lm_buf_printf(missing, " (the one of that name is for %s)", found->platform);
}

static lm_rc fail_missing(enum deploy_pull mode, const struct lm_buf *missing, struct lm_err *err)
{
	if (mode == DEPLOY_PULL_LOCAL)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "%s, and cannot be pulled offline",
			lm_buf_cstr(missing));
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"%s, and pull_policy in the compose file forbids to pull it: load or build it on "
		"this device, or change pull_policy",
		lm_buf_cstr(missing));
}

struct image_case images_case(
	const struct work *w, const struct compose_image *image, bool here, enum deploy_pull mode)
{
	return (struct image_case){
		.image = image, .here = here, .generation = w->compose.generation, .mode = mode};
}

bool images_is_pulled_by_up(const struct work *w, const struct compose_image *image)
{
	return compose_up_pulls_again(&w->compose) && !image->builder &&
	       (image->policies & 1U << COMPOSE_PULL_ALWAYS) != 0;
}

/// Offline mode needs an `up` that pulls nothing.
static lm_rc check_up_offline(const struct work *w, struct lm_err *err)
{
	for (size_t i = 0; i < w->images.n; i++)
		if (images_is_pulled_by_up(w, &w->images.items[i]))
			return lm_fail(err, LM_E_REFUSED, 0,
				"docker-compose %s pulls image %s even offline, as its pull_policy "
				"is always: install docker-compose 2.15 or later, or change "
				"pull_policy",
				w->compose.version, w->images.items[i].name);
	return LM_OK;
}

/// Whether an image that is not there as it should be fails the deployment; `found` is what has its
/// name, `here` whether that fits.
typedef bool missing_if(const struct work *w, const struct compose_image *image,
	const struct engine_image *found, bool here, enum deploy_pull mode);

static lm_rc list_all_missing(const struct work *w, missing_if *is_missing, enum deploy_pull mode,
	struct lm_buf *missing, struct lm_err *err)
{
	for (size_t i = 0; i < w->images.n; i++) {
		const struct compose_image *image = &w->images.items[i];
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;
		lm_rc rc = images_find(w, image, &found, &here, err);

		if (rc)
			return rc;
		if (is_missing(w, image, &found, here, mode))
			list_missing(image, &found, missing);
	}
	return LM_OK;
}

static bool is_missing_before_pull(const struct work *w, const struct compose_image *image,
	const struct engine_image *found, bool here, enum deploy_pull mode)
{
	const struct image_case c = images_case(w, image, here, mode);
	(void)found;

	return image_action_decide(&c) == IMAGE_MISSING;
}

lm_rc images_check(const struct work *w, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto_buf struct lm_buf missing = LM_BUF(NAMES_MAX);
	lm_rc rc = list_all_missing(w, is_missing_before_pull, mode, &missing, err);

	if (rc)
		return rc;
	if (missing.len > 0)
		return fail_missing(mode, &missing, err);
	return mode == DEPLOY_PULL_LOCAL ? check_up_offline(w, err) : LM_OK;
}

/// Which images are pulled, and with what.
struct pulls {
	struct work *w;
	enum deploy_pull mode;
	struct pull_item *items;
	// By item:
	const struct compose_image **images;
	bool *here;              ///< The engine had it before.
	struct lm_secret *auths; ///< Empty: it is pulled without.
	char **ecr_hosts;        ///< Whose tokens they are; NULL: of none.
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
		rc = registries_find(p->w, &ref, &login, &source, err);
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

	if (!p->ecr_hosts[item])
		return LM_OK;
	return refusal ? replace_token(p, item, refusal, ret_renewed, err)
		       : freshen_token(p, item, err);
}

/// `build` of docker-compose 2 makes all of `build.platforms`, which not every engine can keep;
/// `up` makes the one that runs here. A service whose name looks like an option is left to it, too.
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
static lm_rc choose(struct pulls *p, struct lm_err *err)
{
	const struct work *w = p->w;

	for (size_t i = 0; i < w->images.n; i++) {
		const struct compose_image *image = &w->images.items[i];
		lm_auto(engine_image_finish) struct engine_image found = {0};
		bool here = false;
		lm_rc rc = images_find(w, image, &found, &here, err);

		if (rc)
			return rc;
		const struct image_case c = images_case(w, image, here, p->mode);
		enum image_action action = image_action_decide(&c);
		if (action == IMAGE_PULL)
			rc = add_pull(p, image, here, err);
		else if (action == IMAGE_BUILD)
			add_builder(p, image);
		else if (image->is_named)
			tell_digest(w, image->name, found.digest ? found.digest : "");
		if (rc)
			return rc;
	}
	return LM_OK;
}

static void take_failed(void *ctx, size_t item, const struct lm_err *why)
{
	struct pulls *p = ctx;
	const struct image_case c = images_case(p->w, p->images[item], p->here[item], p->mode);

	if (p->items[item].may_fail) {
		bool is_built = image_action_without_pull(&c) == IMAGE_BUILD;

		lm_info("%s: %s", why->msg,
			is_built ? "building it instead" : "keeping the one on this device");
		if (is_built)
			add_builder(p, p->images[item]);
		return;
	}
	if (p->failed_n++ == 0)
		p->failed = item;
	else // the first is the deployment's own failure
		lm_warn("%s", why->msg);
}

static lm_rc explain_refusal(const struct pulls *p, struct lm_err *err)
{
	if (p->ecr_hosts[p->failed])
		return lm_wrap(err,
			"ECR refuses, check that the role and the repository's policy allow "
			"ecr:BatchGetImage and ecr:GetDownloadUrlForLayer");
	return lm_wrap(err, "a registry refuses, check its secret in AWSSecretsArnList or add one");
}

static bool is_missing_after_pull(const struct work *w, const struct compose_image *image,
	const struct engine_image *found, bool here, enum deploy_pull mode)
{
	(void)w;
	(void)mode;
	return image->builder ? !found->id && is_built_before_up(image) : !here;
}

/// The last look before anything is stopped: what was pulled may be for another platform than was
/// asked for, if its registry has no other, or if two services want it for two.
static lm_rc check_all_here(const struct work *w, struct lm_err *err)
{
	lm_auto_buf struct lm_buf missing = LM_BUF(NAMES_MAX);
	lm_rc rc = list_all_missing(w, is_missing_after_pull, DEPLOY_PULL_ALL, &missing, err);

	if (rc)
		return rc;
	return missing.len == 0
		       ? LM_OK
		       : lm_fail(err, LM_E_NOT_FOUND, 0, "%s, although it was pulled or built",
				 lm_buf_cstr(&missing));
}

/// It was pulled because what is here is for another platform, or nothing is.
static lm_rc explain_platform(const struct pulls *p, struct lm_err *err)
{
	const char *platform = p->images[p->failed]->platform;

	if (!platform || p->here[p->failed])
		return err->rc;
	return lm_fail(err, err->rc, err->sys, "%s; image %s is not on this device for %s",
		err->msg, p->images[p->failed]->name, platform);
}

lm_rc images_pull(struct work *w, enum deploy_pull mode, struct lm_err *err)
{
	lm_auto(pulls_finish) struct pulls p = {.w = w, .mode = mode};
	struct pull_options options = {.stall_ms = STALL_MS,
		.on_progress = take_progress,
		.on_done = take_done,
		.on_failed = take_failed,
		.renew = renew,
		.ctx = &p};
	size_t most = w->images.n + 1;

	p.items = lm_xcalloc(most, sizeof(*p.items));
	p.images = lm_xcalloc(most, sizeof(const struct compose_image *));
	p.here = lm_xcalloc(most, sizeof(*p.here));
	p.builders = lm_xcalloc(most, sizeof(*p.builders));
	p.auths = lm_xcalloc(most, sizeof(*p.auths));
	p.ecr_hosts = lm_xcalloc(most, sizeof(*p.ecr_hosts));
	lm_rc rc = images_check(w, mode, err);
	if (!rc)
		rc = choose(&p, err);
	if (rc)
		return rc;
	rc = engine_pull(&w->engine, p.items, p.n, &options, &w->limit, err);
	if (rc == LM_E_DENIED)
		rc = explain_refusal(&p, err);
	if (rc)
		return p.failed_n > 0 ? explain_platform(&p, err) : rc;
	if (p.builders_n > 0)
		rc = application_build(w, p.builders, p.builders_n, err);
	return rc ? rc : check_all_here(w, err);
}
