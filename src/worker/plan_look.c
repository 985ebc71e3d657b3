// SPDX-License-Identifier: Apache-2.0
#include "worker/plan_priv.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "worker/application_priv.h"
#include "worker/local_copy.h"
#include "worker/registries.h"

#include <sys/statvfs.h>

enum {
	CONFIG_MS = 300 * 1000, ///< Python starts slowly from a cold card.
	REGISTRIES_MS = 90 * 1000,
	HASHES_MAX = LIMIT_SERVICES * 512,
};

#define CERTIFICATES "/etc/docker/certs.d"

/// Generation 1 takes the file as it is; 2 leaves env_file out of its hashes unless it is resolved.
static lm_rc hash(const struct work *w, const struct work_place *place, struct lm_str text,
	struct lm_str config, struct compose_hashes *ret, struct lm_err *err)
{
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_auto_buf struct lm_buf hashes = LM_BUF(HASHES_MAX);
	struct wait_limit limit = wait_limit_within(&w->limit, CONFIG_MS);
	lm_rc rc = w->compose.generation < 2
			   ? application_write_candidate(w, place, text, &candidate, err)
			   : application_write_secret_candidate(w, config, &candidate, err);

	if (rc)
		return rc;
	struct compose_job job = application_candidate_job(w, place, w->env, &candidate);
	rc = compose_hash(&job, &limit, &hashes, err);
	return rc ? rc : compose_hashes_parse(lm_buf_str(&hashes), ret, err);
}

/// Without hashes the plan says less.
static lm_rc go_without(lm_rc rc, const struct lm_err *err)
{
	if (rc == LM_OK || rc == LM_E_CANCELLED)
		return rc;
	lm_warn("%s; what has changed in the services is not known", err->msg);
	return LM_OK;
}

static bool has_late_hashes(const struct compose_ties *ties)
{
	for (size_t i = 0; i < ties->n; i++)
		if (ties->items[i].hash_is_late)
			return true;
	return false;
}

/// The hashes of the local copy, by which what runs was made.
static lm_rc hash_local_copy(struct planning *p, struct lm_err *err)
{
	const struct work *w = p->w;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_auto_buf struct lm_buf config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);
	const struct work_place place = work_running_place(w);
	lm_auto_free char *path = lm_path_join(place.directory, LOCAL_COPY_NAME);
	struct compose_job job = application_copy_job(w, &place, w->env, path);
	struct wait_limit limit = wait_limit_within(&w->limit, CONFIG_MS);
	lm_rc rc = local_copy_read(place.fd, place.directory, &text, err);

	if (!rc)
		rc = compose_config(&job, &limit, &config, err);
	if (!rc)
		rc = hash(w, &place, lm_buf_str(&text), lm_buf_str(&config), &p->old_hashes, err);
	return go_without(rc, err);
}

static bool goes_down(const struct planning *p)
{
	enum deploy_stage stages[DEPLOY_STAGES];
	size_t n = deploy_plan_stages(&p->options, stages);

	for (size_t i = 0; i < n; i++)
		if (stages[i] == DEPLOY_DOWN)
			return p->containers.n > 0;
	return false;
}

lm_rc plan_look_at_services(struct planning *p, struct lm_err *err)
{
	struct work *w = p->w;
	const struct work_place place = work_destination(w);
	struct lm_str config = lm_buf_str(&w->config);
	lm_rc rc = compose_ties_parse(config, w->compose.generation, &p->ties, err);

	if (!rc)
		rc = engine_list_containers(
			&w->engine, COMPOSE_PROJECT, &w->limit, &p->containers, err);
	if (rc || p->containers.n == 0) // then there is nothing to compare with
		return rc;
	p->takes_down = goes_down(p);
	rc = go_without(hash(w, &place, lm_buf_str(&w->text), config, &p->hashes, err), err);
	if (!rc && !p->takes_down && has_late_hashes(&p->ties))
		rc = hash_local_copy(p, err);
	return rc;
}

/// Those that are not here and are not asked for at a registry.
static void set_absent(struct plan_image *image, char *reason)
{
	image->known = false;
	image->replaced = true;
	image->reason = reason;
}

static char *why_missing(const struct planning *p, const struct compose_image *wanted,
	const struct engine_image *found)
{
	const char *platform = wanted->platform;

	return lm_xasprintf("%s, and it is not on this device%s%s%s%s",
		p->offline ? "offline" : "pull_policy forbids to pull it", platform ? " for " : "",
		platform ? platform : "", found->id ? ", only for " : "",
		found->id ? found->platform : "");
}

/// Adds an image with what is known of it here, and what becomes of it.
static lm_rc add_image(struct planning *p, const struct compose_image *wanted, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image found = {0};
	struct plan_image *image = &p->images.items[p->images.n];
	struct image_case c = {.image = wanted,
		.generation = p->w->compose.generation,
		.mode = p->offline ? DEPLOY_PULL_LOCAL : deploy_pull_mode(&p->options)};
	lm_rc rc = images_find(p->w, wanted, &found, &c.here, err);

	if (rc)
		return rc;
	p->images.n++;
	*image = (struct plan_image){.image = lm_xstrdup(wanted->name),
		.platform = wanted->platform ? lm_xstrdup(wanted->platform) : NULL,
		.action = image_action_decide(&c),
		.is_built = image_action_without_pull(&c) == IMAGE_BUILD,
		.known = true};
	if (image->action == IMAGE_MISSING)
		set_absent(image, why_missing(p, wanted, &found));
	if (image->action == IMAGE_BUILD)
		set_absent(image, lm_xstrdup("it is built here: what that downloads is not known "
					     "beforehand"));
	if (image->action == IMAGE_PULL)
		image->known = false;
	if (c.here) {
		image->id = lm_take(found.id);
		image->digest = lm_take(found.digest);
	}
	return LM_OK;
}

static lm_rc list_images(struct planning *p, struct lm_err *err)
{
	const struct compose_images *wanted = &p->w->images;
	lm_rc rc = LM_OK;

	p->images.items = lm_xcalloc(wanted->n + 1, sizeof(*p->images.items));
	for (size_t i = 0; i < wanted->n && !rc; i++)
		rc = add_image(p, &wanted->items[i], err);
	return rc;
}

/// The logins that a deployment would have. One that cannot be had is told of when its registry
/// asks for it.
static lm_rc find_logins(struct work *w, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list ignored = {0};
	lm_rc rc = authenticate_list(w, &ignored, err);

	if (rc == LM_OK || rc == LM_E_CANCELLED)
		return rc;
	lm_warn("%s; what needs that login is not known", err->msg);
	return LM_OK;
}

/// `*ret` stays empty without a login.
static lm_rc find_login(
	struct work *w, const char *image, struct registry_credentials *ret, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	enum login_source source;

	if (image_ref_parse(lm_str(image), &ref, NULL)) // told when it is asked for
		return LM_OK;
	return registries_find(w, &ref, ret, &source, err);
}

/// The questions that the images to be pulled raise, and their answers.
struct inquiry {
	struct plan_image **asked;
	struct manifest_question *questions;
	struct registry_credentials *logins;
	struct manifest_answer *answers;
	size_t n;
	struct engine_layers here;
};

static void inquiry_finish(struct inquiry *q)
{
	for (size_t i = 0; i < q->n; i++)
		manifest_answer_finish(&q->answers[i]);
	for (size_t i = 0; i < q->n; i++)
		registry_credentials_finish(&q->logins[i]);
	free(q->logins);
	free(q->asked);
	free(q->questions);
	free(q->answers);
	engine_layers_finish(&q->here);
}

static lm_rc make_questions(const struct planning *p, struct inquiry *q, struct lm_err *err)
{
	size_t most = p->images.n + 1;
	lm_rc rc = LM_OK;

	q->asked = lm_xcalloc(most, sizeof(struct plan_image *));
	q->questions = lm_xcalloc(most, sizeof(*q->questions));
	q->logins = lm_xcalloc(most, sizeof(*q->logins));
	q->answers = lm_xcalloc(most, sizeof(*q->answers));
	for (size_t i = 0; i < p->images.n && !rc; i++) {
		struct plan_image *image = &p->images.items[i];
		struct registry_credentials *login = &q->logins[q->n];

		if (image->action != IMAGE_PULL)
			continue;
		rc = find_login(p->w, image->image, login, err);
		q->asked[q->n] = image;
		q->questions[q->n++] = (struct manifest_question){.image = image->image,
			.platform =
				image->platform ? image->platform : p->w->engine.version.platform,
			.credentials = login->username ? login : NULL};
	}
	return rc;
}

lm_rc plan_look_at_images(struct planning *p, struct lm_err *err)
{
	static const struct manifests_options options = {
		.certificates = CERTIFICATES, .timeout_ms = REGISTRIES_MS};
	struct work *w = p->w;
	lm_auto(inquiry_finish) struct inquiry q = {0};
	lm_rc rc = list_images(p, err);

	if (!rc && !p->offline)
		rc = find_logins(w, err);
	if (!rc)
		rc = make_questions(p, &q, err);
	if (rc || q.n == 0)
		return rc;
	rc = manifests_ask(q.questions, q.n, &options, &w->limit, q.answers, err);
	if (!rc)
		rc = engine_list_layers(&w->engine, &w->limit, &q.here, err);
	if (!rc)
		plan_take_answers(q.asked, q.answers, q.n, &q.here);
	return rc;
}

lm_rc plan_look_at_disk(struct planning *p, struct lm_err *err)
{
	struct statvfs fs;
	lm_rc rc = engine_root_directory(&p->w->engine, &p->w->limit, &p->disk, err);

	if (rc)
		return rc;
	p->free_known = statvfs(p->disk, &fs) == 0;
	if (p->free_known)
		p->free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	else // an engine in a container, or a directory in one that we may not enter
		p->disk_reason = lm_xasprintf("cannot look into '%s': %m", p->disk);
	return LM_OK;
}
