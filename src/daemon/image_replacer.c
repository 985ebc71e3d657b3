// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_replacer.h"

#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"
#include "daemon/worker_launcher.h"
#include "daemon/worker_process.h"
#include "deploy/launch.h"
#include "sys/process.h"

#include <stdlib.h>
#include <string.h>

#define PULLED "pulled" ///< Of an image of a round: it was pulled again.

enum {
	START_MS = 1000,          ///< After the last task: another may follow.
	LOCK_AGAIN_MS = 5 * 1000, ///< Log lines are being shipped, say.
};

struct image_replacer {
	struct loop *loop;
	const struct host_settings *host;
	struct store *store;
	struct verification *verification;
	char *program; ///< Path of lighterman-worker.
	bool is_paused, is_wanted;
	json_t *left;        ///< Of this round: as verification_list_kept; NULL: it has not begun.
	unsigned generation; ///< Of the worker.
	struct loop_timer *timer;
	struct worker_process *worker;
};

/// Nothing is left to be tried.
static void end_round(struct image_replacer *r)
{
	json_decref(lm_take(r->left));
	r->is_wanted = false;
	loop_timer_stop(r->timer);
	if (!r->is_paused)
		verification_resume(r->verification);
}

static void drop_left(struct image_replacer *r, size_t i)
{
	(void)json_array_remove(r->left, i);
}

/// What became of an image of this round is known.
static void note_image(struct image_replacer *r, size_t i, const char *state, const char *why)
{
	lm_auto_json json_t *image = json_incref(json_array_get(r->left, i));
	const char *ref = json_get_text(image, "image");

	bool is_replaced = json_get_bool(image, PULLED, false);

	drop_left(r, i);
	verification_note_kept(
		r->verification, json_get_text(image, "id"), state, is_replaced, why);
	if (state && strcmp(state, "ok") == 0)
		lm_info("image %s of generation %u is as it was pulled", ref, r->generation);
	else if (is_replaced)
		lm_error("image %s of generation %u was replaced and is not whole: %s; look for "
			 "errors of the Docker daemon's disk (dmesg); it is left as it is",
			ref, r->generation, why);
	else
		lm_warn("image %s of generation %u stays as it is: %s; 'lighterman start' tries it "
			"again",
			ref, r->generation, why);
}

static bool is_of(const struct image_replacer *r, size_t i, unsigned generation)
{
	const json_t *image = json_array_get(r->left, i);

	return json_get_int(image, "generation", 0) == (json_int_t)generation;
}

// The worker -------------------------------------------------------------------------------------

static bool find_untried(const struct image_replacer *r, const char *id, size_t *ret)
{
	for (size_t i = 0; id && i < json_array_size(r->left); i++)
		if (strcmp(json_get_text(json_array_get(r->left, i), "id"), id) == 0) {
			*ret = i;
			return true;
		}
	return false;
}

static void on_replaced(void *ctx, const json_t *line)
{
	struct image_replacer *r = ctx;
	const json_t *verify = json_object_get(line, "verify");
	const char *why = json_get_text(verify, "message");
	size_t i;

	if (find_untried(r, json_get_text(verify, "id"), &i))
		note_image(r, i, json_get_text(verify, "state"),
			why ? why : "the worker gave no reason");
}

static void on_pulled_again(void *ctx, const struct worker_line *image)
{
	struct image_replacer *r = ctx;
	struct lm_err err = {LM_OK};
	size_t i;

	if (find_untried(r, image->id, &i))
		json_object_set_new(json_array_get(r->left, i), PULLED, json_true());
	if (store_note_pulled(
		    r->store, r->generation, image->first, image->id, image->pulled, &err))
		lm_warn("record that image %s was pulled: %s, ignoring", image->first, err.msg);
}

static void on_damaged_removed(void *ctx, const char *id)
{
	struct image_replacer *r = ctx;
	struct lm_err err = {LM_OK};

	if (store_forget_pulled(r->store, id, &err))
		lm_warn("record that image %s was removed: %s, ignoring", id, err.msg);
}

/// The others of that generation are not tried any more.
static void give_up_generation(struct image_replacer *r, const char *why)
{
	for (size_t i = json_array_size(r->left); i-- > 0;)
		if (is_of(r, i, r->generation))
			note_image(r, i, NULL, why);
}

static void replace_soon(struct image_replacer *r, uint64_t delay_ms)
{
	loop_timer_start(r->timer, delay_ms, 0);
}

static void on_replacer_exited(void *ctx, const struct worker_result *result)
{
	struct image_replacer *r = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(r->worker); // has `result`

	(void)worker;
	give_up_generation(r, result->message ? result->message : "the worker was stopped");
	if (json_array_size(r->left) > 0)
		replace_soon(r, 0);
	else
		end_round(r);
}

/// Those of the generation.
static json_t *list_of_generation(const struct image_replacer *r)
{
	json_t *images = json_array();

	for (size_t i = 0; i < json_array_size(r->left); i++)
		if (is_of(r, i, r->generation))
			json_array_append(images, json_array_get(r->left, i));
	return images;
}

static lm_rc launch_replacer(
	struct image_replacer *r, const struct group *group, int lock_fd, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto_json json_t *released = NULL;
	const struct worker_process_events events = {.verify = on_replaced,
		.image = on_pulled_again,
		.removed = on_damaged_removed,
		.text = log_router_forward,
		.exited = on_replacer_exited,
		.ctx = r};
	lm_rc rc = launch_find_user(r->host, &group->connector, &user, err);

	if (rc == LM_OK && !r->program)
		rc = launch_find_worker(&r->program, err);
	if (rc == LM_OK)
		rc = store_list_released(r->store, &released, err);
	if (rc)
		return rc;
	lm_auto_json json_t *document = json_pack("{s:s, s:o, s:o, s:o, s:o, s:O}", "job",
		"replace-images", "group", group_to_json(group), "host", host_to_json(r->host),
		"images", list_of_generation(r), "kept", generation_list_images(r->store),
		"released", released);
	const struct worker_launch_spec start = {
		.program = r->program,
		.user = &user,
		.document = document,
		.compose_fd = -1,
		.lock_fd = lock_fd,
		.previous_fd = -1,
		.devices_fd = -1,
		.needs_aws = true,
	};
	rc = worker_launch(r->loop, r->host, &start, &events, &r->worker, err);
	if (rc)
		worker_process_destroy(lm_take(r->worker));
	return rc;
}

/// Starts the worker for the first of what is left, if the lock is free.
static lm_rc start_replacer(struct image_replacer *r, struct lm_err *err)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_close int lock = -1;
	pid_t holder = 0;
	lm_rc rc = generation_read(r->store, r->generation, &group, err);

	if (rc == LM_OK)
		rc = launch_lock(r->host, &lock, &holder, err);
	if (rc == LM_E_CONFLICT) {
		replace_soon(r, LOCK_AGAIN_MS);
		return LM_OK;
	}
	if (rc == LM_OK)
		rc = launch_replacer(r, group, lock, err);
	if (rc == LM_OK) {
		lm_info("replacing damaged images of generation %u, which is kept", r->generation);
		verification_pause(r->verification);
	}
	return rc;
}

static void on_replacer_due(void *ctx)
{
	struct image_replacer *r = ctx;
	struct lm_err err = {LM_OK};

	if (r->is_paused || r->worker || verification_is_under_way(r->verification))
		return;
	if (!r->left)
		r->left = verification_list_kept(r->verification);
	if (json_array_size(r->left) == 0) {
		end_round(r);
		return;
	}
	r->generation = (unsigned)json_get_int(json_array_get(r->left, 0), "generation", 0);
	if (start_replacer(r, &err)) {
		give_up_generation(r, err.msg);
		replace_soon(r, 0);
	}
}

// The module -------------------------------------------------------------------------------------

struct image_replacer *image_replacer_create(struct loop *loop, const struct host_settings *host,
	struct store *store, struct verification *verification)
{
	struct image_replacer *r = lm_xcalloc(1, sizeof(*r));

	*r = (struct image_replacer){.loop = loop,
		.host = host,
		.store = store,
		.verification = verification,
		.is_paused = true,
		.is_wanted = verification_has_kept(verification)};
	r->timer = loop_timer_create(loop, on_replacer_due, r);
	return r;
}

void image_replacer_destroy(struct image_replacer *r)
{
	if (!r)
		return;
	worker_process_destroy(r->worker); // whose lines nobody can take any more
	json_decref(r->left);
	loop_timer_destroy(r->timer);
	free(r->program);
	free(r);
}

void image_replacer_want(struct image_replacer *r)
{
	r->is_wanted = true;
	if (!r->is_paused && !r->worker && !r->left)
		replace_soon(r, START_MS);
}

void image_replacer_note_verified(struct image_replacer *r, bool is_own)
{
	if (is_own || r->is_wanted)
		image_replacer_want(r);
}

void image_replacer_pause(struct image_replacer *r)
{
	r->is_paused = true;
	loop_timer_stop(r->timer);
	if (r->worker)
		worker_process_kill(r->worker);
	worker_process_destroy(lm_take(r->worker));
	json_decref(lm_take(r->left));
}

void image_replacer_resume(struct image_replacer *r)
{
	if (!r->is_paused)
		return;
	r->is_paused = false;
	if (r->is_wanted)
		replace_soon(r, START_MS);
}

bool image_replacer_is_busy(const struct image_replacer *r)
{
	return r->worker != NULL;
}
