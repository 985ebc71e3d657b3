// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"
#include "docker/compose_api.h"
#include "sys/yaml.h"
#include "worker/check_priv.h"
#include "worker/image_action.h"
#include "worker/registries.h"
#include "worker/requirements.h"

enum { ASK_DOCKER_COMPOSE = NEED_USER | NEED_COMPOSE | NEED_DESTINATION };

/// The file's `version`, by which old docker-composes choose an API version; NULL: none. The
/// caller frees.
static char *read_format(struct lm_str text)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	if (yaml_parse(text, &doc, NULL) || yaml_kind(yaml_root(doc)) != YAML_MAPPING)
		return NULL;
	const struct yaml_node *version = yaml_get(yaml_root(doc), "version");
	return version ? lm_xmemdup0(yaml_text(version).p, yaml_text(version).n) : NULL;
}

/// Whether docker-compose, with what the file asks for, can talk to the engine; what is wrong
/// whatever the file asks for was told before.
static void check_format(struct checkup *c)
{
	const struct work *w = c->w;
	lm_auto_free char *format = read_format(lm_buf_str(&w->text));
	struct lm_err err = {LM_OK};

	if (check_lack(c, NEED_COMPOSE | NEED_ENGINE) ||
		compose_check_api(&w->compose, &w->engine.version, NULL, NULL))
		return;
	if (compose_check_api(&w->compose, &w->engine.version, format, &err))
		check_wrong(c, &err, "set version: \"3.7\" in the compose file");
}

void check_compose_file(struct checkup *c)
{
	struct work *w = c->w;
	const char *lack = check_lack(c, ASK_DOCKER_COMPOSE);
	struct lm_err err = {LM_OK};

	check_format(c);
	if (lack && compose_file_check(lm_buf_str(&w->text), 0, &err)) {
		check_wrong(c, &err, NULL);
		return;
	}
	if (lack) {
		check_ok(c, "valid YAML; docker-compose was not asked, as %s", lack);
		return;
	}
	if (images_resolve(w, &err))
		check_wrong(c, &err, NULL);
	else
		check_ok(c, "docker-compose takes it: %zu services", w->services.n);
}

void check_requirements(struct checkup *c)
{
	lm_auto(problems_finish) struct problems problems = {0};
	struct lm_err err = {LM_OK};

	if (c->w->services.n == 0) {
		check_skip(c, "not checked: docker-compose has not resolved the compose file");
		return;
	}
	if (requirements_check(c->w, &problems, &err)) {
		check_wrong(c, &err, NULL);
		return;
	}
	for (size_t i = 0; i < problems.n; i++) {
		const struct problem *p = &problems.items[i];

		if (p->level == PROBLEM_WARNING) {
			check_warn(c, p->message, NULL);
			continue;
		}
		(void)!lm_fail(&err, p->rc, 0, "%s", p->message);
		check_wrong(c, &err, NULL);
	}
	if (problems.n == 0)
		check_ok(c, "what the compose file refers to is on this device");
}

struct logins {
	size_t good, images;
	bool *used; ///< By secret: an image is of its registry.
};

static void check_logins(struct checkup *c, struct logins *l)
{
	lm_auto_registry_list struct registry_list list = {0};
	struct lm_err err = {LM_OK};

	if (authenticate_list(c->w, &list, &err)) {
		check_wrong(c, &err, NULL);
		return;
	}
	// One after the other, so that each is told of; the stage stops at the first that fails.
	for (size_t i = 0; i < list.n && !c->cancelled; i++) {
		if (authenticate_one(c->w, &list.items[i], &err))
			check_wrong(c, &err,
				err.rc == LM_E_DENIED ? "mend user name and password in the secret"
						      : NULL);
		else
			l->good++;
	}
}

/// The value of X-Registry-Auth for an image; `ret` stays empty if there is no login for it.
static lm_rc find_auth(struct work *w, const char *image, struct logins *l, struct lm_secret *ret,
	struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	enum login_source source = LOGIN_NONE;
	lm_rc rc = image_ref_parse(lm_str(image), &ref, err);

	if (!rc)
		rc = registries_find(w, &ref, &login, &source, err);
	if (rc || source == LOGIN_NONE)
		return rc;
	if (source == LOGIN_SECRET)
		l->used[registry_match(w->secrets.items, w->secrets.n, &ref) - w->secrets.items] =
			true;
	return registry_auth_header(&login, ret, err);
}

static void check_image(struct checkup *c, const struct compose_image *image, struct logins *l)
{
	struct work *w = c->w;
	const struct connector_definition *d = work_definition(w);
	const struct deploy_options options = deploy_job_options(d);
	lm_auto_secret struct lm_secret auth = {0};
	lm_auto(engine_image_finish) struct engine_image found = {0};
	struct image_case decision = {.image = image,
		.generation = w->compose.generation,
		.mode = deploy_pull_mode(&options)};
	struct lm_err err = {LM_OK};
	lm_rc rc = image_action_may_pull(image) ? find_auth(w, image->name, l, &auth, &err) : LM_OK;

	if (images_find(w, image, &found, &decision.here, NULL))
		decision.here = false;
	if (!rc && image_action_decide(&decision) != IMAGE_PULL)
		return; // it will not be asked for
	if (!rc)
		rc = engine_ask_registry(
			&w->engine, image->name, auth.len > 0 ? &auth : NULL, &w->limit, &err);
	if (!rc)
		l->images++;
	else if (image_action_without_pull(&decision) == IMAGE_BUILD)
		return;
	else if (decision.here && d->offline_mode)
		check_warn(c, err.msg, "DockerOfflineMode goes on with the image on this device");
	else
		check_wrong(c, &err, NULL);
}

/// Those that neither a pull nor a build will bring here.
static void check_missing(struct checkup *c)
{
	const struct deploy_options options = deploy_job_options(work_definition(c->w));
	struct lm_err err = {LM_OK};

	if (images_check(c->w, deploy_pull_mode(&options), &err) == LM_E_NOT_FOUND)
		check_wrong(c, &err, NULL);
}

static void check_images(struct checkup *c, struct logins *l)
{
	const struct work *w = c->w;

	check_missing(c);
	for (size_t i = 0; i < w->images.n && !c->cancelled; i++)
		check_image(c, &w->images.items[i], l);
}

static bool builds(const struct compose_services *services)
{
	for (size_t i = 0; i < services->n; i++) {
		if (services->items[i].active && services->items[i].has_build)
			return true;
	}
	return false;
}

/// A secret for no image is most often one whose registryUrl is not what the compose file has.
static void check_unused(struct checkup *c, const struct logins *l)
{
	const struct work *w = c->w;

	if (w->services.n == 0 || builds(&w->services))
		return;
	for (size_t i = 0; i < w->secrets.n; i++) {
		if (l->used[i])
			continue;
		lm_auto_free char *message =
			lm_xasprintf("no image of the compose file is of registry '%.200s', for "
				     "which there is a secret",
				w->secrets.items[i].registry);
		check_warn(c, message,
			"let registryUrl in the secret be the registry that the compose file "
			"names");
	}
}

void check_registries(struct checkup *c)
{
	const struct work *w = c->w;
	lm_auto_free bool *used = lm_xcalloc(w->secrets.n + 1, sizeof(*used));
	struct logins l = {.used = used};
	bool asks = w->engine.version.minor >= ENGINE_ASK_MINOR_MIN;
	size_t wrong_before = c->wrong_n;

	if (w->secrets.n == 0 && w->services.n == 0) {
		check_skip(c, "not checked: no image and no login is known");
		return;
	}
	check_logins(c, &l);
	if (asks)
		check_images(c, &l);
	if (asks)
		check_unused(c, &l);
	if (l.good + l.images > 0)
		check_ok(c, "%zu logins are accepted, %zu images can be pulled", l.good, l.images);
	else if (c->wrong_n == wrong_before)
		check_skip(c, "not needed: all images are on this device or built there");
}
