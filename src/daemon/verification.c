// SPDX-License-Identifier: Apache-2.0
#include "daemon/verification.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/control_server.h"
#include "daemon/generation.h"
#include "daemon/log_router.h"
#include "daemon/worker_process.h"
#include "deploy/launch.h"
#include "sys/process.h"
#include "sys/record.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

enum {
	START_MS = 10 * 1000, ///< Without a task, before one that nobody waits for begins.
	RETRY_MS = 60 * 1000,
	RETRY_MAX_MS = 3600 * 1000,
	FILE_MAX = 1 << 20,
	BAD_MAX = 100, ///< Images that the report names.
	REPLACEMENTS_MAX = 20,
};

#define REPORT_FILE "verification.json"

enum found { FOUND_NOTHING, FOUND_OK, FOUND_DAMAGED, FOUND_MISSING, FOUND_UNREADABLE, FOUND_KINDS };

static const char *const FOUND_NAMES[FOUND_KINDS] = {"", "ok", "damaged", "missing", "unreadable"};

/// An image that some generations name.
struct verified_image {
	char *ref, *id;      ///< `id` "": unknown.
	json_t *generations; ///< Newest first.
	enum found found;
	json_t *result; ///< For clients and the report; NULL: none yet.
};

struct verification {
	struct loop *loop;
	const struct host_settings *host;
	struct store *store;
	struct verification_watcher watcher;
	char *program; ///< Path of lighterman-worker.
	bool is_paused;
	bool is_due; ///< On record.
	unsigned tries;
	struct loop_timer *timer;

	// The run, from its begin to its report:
	bool runs;
	struct waiter waiter; ///< All zero: nobody.
	struct verified_image *images;
	size_t n, at; ///< `at`: the next one to be read, or the one that is.
	bool is_reading;
	struct worker_process *worker;

	json_t *replaced; ///< Images that were replaced and not found whole since, by ID.
	/// Those that only generations other than the current one have and that were found damaged,
	/// by ID, until they are found whole: one that is missing was removed as it was damaged. A
	/// text is the platform by which it is pulled again.
	json_t *kept;
	json_t *replacements; ///< The last images that were replaced, newest first.
	json_t *bad;          ///< Of the last report: [{…},…]
	size_t total;         ///< Of the images in it.
	int64_t finished_ms;  ///< Wall clock; 0: never.
};

static void start_worker_soon(struct verification *v);

static void verification_changed(const struct verification *v)
{
	if (v->watcher.changed)
		v->watcher.changed(v->watcher.ctx);
}

static bool is_waited_for(const struct verification *v)
{
	return v->waiter.done != NULL;
}

// The report ----------------------------------------------------------------------------------

static bool has_state(const json_t *image, enum found found)
{
	const char *state = json_get_text(image, "state");

	return state && strcmp(state, FOUND_NAMES[found]) == 0;
}

static int open_state_directory(const struct verification *v)
{
	return open(v->host->state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void save_report(const struct verification *v)
{
	lm_auto_json json_t *report = json_pack("{s:i, s:b, s:I, s:I, s:O, s:O, s:O, s:O}",
		"format", 1, "due", (int)v->is_due, "finished_ms", (json_int_t)v->finished_ms,
		"images", (json_int_t)v->total, "bad", v->bad, "replaced", v->replaced, "kept",
		v->kept, "replacements", v->replacements);
	lm_auto_close int dir = open_state_directory(v);
	struct lm_err err = {LM_OK};

	if (dir < 0 || record_json_replace(dir, REPORT_FILE, FILE_MAX, report, &err))
		lm_warn("record the verification of images in '%s/" REPORT_FILE "': %s, ignoring",
			v->host->state_directory,
			dir < 0 ? "the directory cannot be opened" : err.msg);
}

/// Of the release before it has fewer members.
static void load_member(const json_t *report, const char *key, json_t **ret)
{
	json_t *found = json_object_get(report, key);

	if (!found || json_typeof(found) != json_typeof(*ret))
		return;
	json_decref(*ret);
	*ret = json_incref(found);
}

/// One that is damaged says nothing: then one is due.
static void load_report(struct verification *v)
{
	static const char meaning[] = "the images are verified again";
	lm_auto(damage_finish) struct damage damage = {0};
	lm_auto_json json_t *report = NULL;
	lm_auto_close int dir = open_state_directory(v);
	lm_rc rc =
		dir < 0 ? LM_E_NOT_FOUND
			: record_json_load(dir, REPORT_FILE, FILE_MAX, meaning, &damage, &report);

	if (rc == LM_E_NOT_FOUND)
		return;
	if (rc == LM_OK && !json_is_array(json_object_get(report, "bad"))) {
		rc = LM_E_INVALID;
		(void)damage_report(&damage, dir, REPORT_FILE,
			"'" REPORT_FILE "' is not as it was written", meaning);
	}
	damage_log(&damage, v->host->state_directory);
	if (rc) {
		v->is_due = true;
		return;
	}
	v->is_due = json_get_bool(report, "due", true);
	v->finished_ms = json_get_int(report, "finished_ms", 0);
	v->total = (size_t)json_get_int(report, "images", 0);
	load_member(report, "bad", &v->bad);
	load_member(report, "replaced", &v->replaced);
	load_member(report, "kept", &v->kept);
	load_member(report, "replacements", &v->replacements);
}

static size_t count_found(const struct verification *v, enum found found)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++)
		n += v->images[i].found == found;
	return n;
}

json_t *verification_to_json(const struct verification *v)
{
	const char *state = !v->runs    ? (v->is_due ? "due" : "idle")
			    : v->worker ? "running"
					: "waiting";

	return json_pack("{s:s, s:I, s:I, s:o, s:I, s:O, s:O}", "state", state, "done",
		(json_int_t)(v->runs ? v->at : 0), "of", (json_int_t)(v->runs ? v->n : 0),
		"finished_ms",
		v->finished_ms ? json_integer((json_int_t)v->finished_ms) : json_null(), "images",
		(json_int_t)v->total, "bad", v->bad, "replaced", v->replacements);
}

struct metrics_images verification_measure(const struct verification *v)
{
	struct metrics_images measured = {0};
	size_t i;
	json_t *image;

	if (!v)
		return measured;
	measured.verified_ms = v->finished_ms;
	json_array_foreach(v->bad, i, image)
	{
		measured.damaged += has_state(image, FOUND_DAMAGED);
		measured.missing += has_state(image, FOUND_MISSING);
		measured.unreadable += has_state(image, FOUND_UNREADABLE);
	}
	return measured;
}

// The images ----------------------------------------------------------------------------------

static void forget_images(struct verification *v)
{
	for (size_t i = 0; i < v->n; i++) {
		free(v->images[i].ref);
		free(v->images[i].id);
		json_decref(v->images[i].generations);
		json_decref(v->images[i].result);
	}
	free(v->images);
	v->images = NULL;
	v->n = v->at = 0;
}

static struct verified_image *find_verified(struct verification *v, const char *ref, const char *id)
{
	for (size_t i = 0; i < v->n; i++) {
		struct verified_image *image = &v->images[i];

		if (*id ? strcmp(image->id, id) == 0 : !*image->id && strcmp(image->ref, ref) == 0)
			return image;
	}
	return NULL;
}

static void add_verified(
	struct verification *v, unsigned generation, const char *ref, const char *id)
{
	struct verified_image *image = find_verified(v, ref, id);

	if (!image && v->n == LIMIT_LOCAL_IMAGES)
		return;
	if (!image) {
		v->images = lm_xrealloc(v->images, (v->n + 1) * sizeof(*v->images));
		image = &v->images[v->n++];
		*image = (struct verified_image){
			.ref = lm_xstrdup(ref), .id = lm_xstrdup(id), .generations = json_array()};
	}
	json_array_append_new(image->generations, json_integer(generation));
}

static lm_rc collect_images(struct verification *v, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = store_list(v->store, &numbers, &count, err);

	forget_images(v);
	for (size_t i = 0; i < count && rc == LM_OK; i++) {
		lm_auto_json json_t *images = NULL;
		const char *ref;
		json_t *image;

		rc = store_read_images(v->store, numbers[i], &images, err);
		json_object_foreach(images, ref, image)
		{
			const char *id = json_get_text(image, "id");

			add_verified(v, numbers[i], ref, id ? id : "");
		}
	}
	return rc ? lm_wrap(err, "list the images of the generations") : LM_OK;
}

// The run -------------------------------------------------------------------------------------

static void end_run(struct verification *v)
{
	v->runs = false;
	loop_timer_stop(v->timer);
	forget_images(v);
}

/// "3 images: 1 damaged, 1 missing"; the caller frees.
static char *sum_up_found(const struct verification *v, size_t wrong)
{
	lm_auto_buf struct lm_buf text = LM_BUF(256);

	if (v->n == 0)
		return lm_xstrdup("no generation has images yet");
	(void)lm_buf_printf(&text, "%zu image%s", v->n, v->n == 1 ? "" : "s");
	if (wrong == 0) {
		(void)lm_buf_printf(
			&text, ": %s as pulled or built", v->n == 1 ? "it is" : "all are");
		return lm_buf_take(&text);
	}
	for (unsigned k = FOUND_DAMAGED; k < FOUND_KINDS; k++) {
		static const char *const words[] = {
			[FOUND_DAMAGED] = "damaged",
			[FOUND_MISSING] = "missing",
			[FOUND_UNREADABLE] = "unreadable",
		};
		size_t n = count_found(v, (enum found)k);

		if (n > 0)
			(void)lm_buf_printf(&text, "%s%zu %s",
				strchr(lm_buf_cstr(&text), ':') ? ", " : ": ", n, words[k]);
	}
	return lm_buf_take(&text);
}

static json_t *collect_bad(const struct verification *v)
{
	json_t *bad = json_array();

	for (size_t i = 0; i < v->n; i++)
		if (v->images[i].found != FOUND_OK && json_array_size(bad) < BAD_MAX)
			json_array_append(bad, v->images[i].result);
	return bad;
}

/// One that is whole again may be replaced again when it is damaged another time.
static void forget_replaced(struct verification *v)
{
	json_t *still = json_object();

	for (size_t i = 0; i < v->n; i++) {
		const char *id = v->images[i].id;

		if (v->images[i].found != FOUND_OK && json_object_get(v->replaced, id))
			json_object_set_new(still, id, json_true());
	}
	json_decref(v->replaced);
	v->replaced = still;
}

static bool names_generation(const json_t *image, unsigned generation)
{
	size_t i;
	json_t *number;

	json_array_foreach(json_object_get(image, "generations"), i, number)
	{
		if (json_integer_value(number) == (json_int_t)generation)
			return true;
	}
	return false;
}

/// Whether it is to be replaced although the current generation does not have it.
static bool is_kept_damage(const struct verification *v, const json_t *image)
{
	const char *id = json_get_text(image, "id");

	return id && !names_generation(image, store_state(v->store)->current) &&
	       (has_state(image, FOUND_DAMAGED) || json_object_get(v->kept, id));
}

/// The platform outlives the image.
static void keep_damage(const struct verification *v, const json_t *image, json_t *kept)
{
	const char *id = json_get_text(image, "id");
	json_t *platform = json_object_get(image, "platform");

	if (!json_is_string(platform))
		platform = json_object_get(v->kept, id);
	json_object_set_new(kept, id, platform ? json_incref(platform) : json_true());
}

/// From the new report.
static void note_kept_damage(struct verification *v)
{
	json_t *kept = json_object();
	size_t i;
	json_t *image;

	json_array_foreach(v->bad, i, image)
	{
		if (is_kept_damage(v, image))
			keep_damage(v, image, kept);
	}
	json_decref(v->kept);
	v->kept = kept;
}

static void finish_verification(struct verification *v)
{
	size_t wrong = v->n - count_found(v, FOUND_OK);
	lm_auto_free char *text = sum_up_found(v, wrong);
	struct waiter waiter = v->waiter;
	bool is_own = v->is_due || !is_waited_for(v);
	json_t *last = control_last_line(wrong ? 1 : 0, wrong ? text : NULL);

	lm_log(wrong ? LM_ERROR : LM_INFO, v->n > 0 ? "verified %s" : "%s", text);
	json_object_set_new(last, "images", json_integer((json_int_t)v->n));
	json_object_set_new(last, "wrong", json_integer((json_int_t)wrong));
	json_decref(v->bad);
	v->bad = collect_bad(v);
	forget_replaced(v);
	note_kept_damage(v);
	v->total = v->n;
	v->finished_ms = lm_clock_wall_ms();
	v->is_due = false;
	v->tries = 0;
	v->waiter = (struct waiter){0};
	end_run(v);
	save_report(v);
	waiter_finish(&waiter, last);
	verification_changed(v);
	if (v->watcher.finished)
		v->watcher.finished(v->watcher.ctx, is_own);
}

/// Nothing could be read. What is due is tried again later.
static void fail_run(struct verification *v, const char *why)
{
	struct waiter waiter = v->waiter;

	v->waiter = (struct waiter){0};
	end_run(v);
	lm_log(v->tries == 0 ? LM_WARN : LM_DEBUG, "verify images: %s%s", why,
		v->is_due ? "; retrying later" : "");
	waiter_finish(&waiter, control_last_line(1, why));
	if (v->is_due)
		loop_timer_start(
			v->timer, RETRY_MS + lm_backoff_ms(v->tries++, RETRY_MS, RETRY_MAX_MS), 0);
	verification_changed(v);
}

static char *describe_generations(const struct verified_image *image)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1024);
	size_t n = json_array_size(image->generations);

	(void)lm_buf_printf(&text, "generation%s", n == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++)
		(void)lm_buf_printf(&text, "%s%d", i ? ", " : " ",
			(int)json_integer_value(json_array_get(image->generations, i)));
	return lm_buf_take(&text);
}

static void log_result(const struct verified_image *image)
{
	static const char *const words[FOUND_KINDS] = {[FOUND_DAMAGED] = "is damaged",
		[FOUND_MISSING] = "is missing",
		[FOUND_UNREADABLE] = "could not be verified"};
	lm_auto_free char *generations = describe_generations(image);
	const char *why = json_get_text(image->result, "message");

	if (image->found == FOUND_OK)
		lm_info("image %s of %s is as it was pulled or built", image->ref, generations);
	else
		lm_error("image %s of %s %s: %s", image->ref, generations, words[image->found],
			why ? why : "the worker gave no reason");
}

/// When it was replaced last, as far as that is known; else null.
static json_t *find_replaced_ms(const struct verification *v, const char *id)
{
	size_t i;
	json_t *image;

	json_array_foreach(v->replacements, i, image)
	{
		if (strcmp(json_get_text(image, "id"), id) == 0)
			return json_incref(json_object_get(image, "at_ms"));
	}
	return json_null();
}

/// The image that is read now is done: `result` (taken over) is its line.
static void finish_image(struct verification *v, enum found found, json_t *result)
{
	struct verified_image *image = &v->images[v->at];

	json_object_set(result, "generations", image->generations);
	json_object_set_new(result, "replaced_ms", find_replaced_ms(v, image->id));
	json_decref(image->result);
	image->result = result;
	image->found = found;
	v->at++;
	v->is_reading = false;
	log_result(image);
	waiter_send(&v->waiter, json_pack("{s:O}", "verify", image->result), false);
	verification_changed(v);
}

static void on_verified(void *ctx, const json_t *line)
{
	struct verification *v = ctx;
	const json_t *verify = json_object_get(line, "verify");
	const char *state = json_get_text(verify, "state");
	const char *ref = json_get_text(verify, "image");
	enum found found = FOUND_NOTHING;

	if (v->at >= v->n || strcmp(ref, v->images[v->at].ref) != 0)
		return; // on_verifier_exited finds out
	if (strcmp(state, "reading") == 0) {
		v->is_reading = true;
		waiter_send(&v->waiter, json_pack("{s:O}", "verify", verify), true);
		return;
	}
	for (unsigned k = FOUND_OK; k < FOUND_KINDS; k++)
		if (strcmp(state, FOUND_NAMES[k]) == 0)
			found = (enum found)k;
	finish_image(v, found, json_deep_copy(verify));
}

/// The worker has died over an image.
static void give_up_image(struct verification *v, const char *why)
{
	finish_image(v, FOUND_UNREADABLE,
		json_pack("{s:s, s:s?, s:s, s:n, s:n, s:n, s:o, s:i, s:i}", "image",
			v->images[v->at].ref, "id",
			*v->images[v->at].id ? v->images[v->at].id : NULL, "state", "unreadable",
			"platform", "layer", "layers", "message", json_from_text(why), "bytes", 0,
			"ms", 0));
}

static void on_verifier_exited(void *ctx, const struct worker_result *result)
{
	struct verification *v = ctx;
	lm_auto(worker_process_destroy_p) struct worker_process *worker =
		lm_take(v->worker); // has `result`
	const char *why = result->message ? result->message : "the worker was stopped";
	bool is_done = result->verdict == WORKER_SUCCESS;

	(void)worker;
	if (!is_done && v->is_reading) {
		give_up_image(v, why);
		is_done = true;
	} else if (is_done && v->at < v->n) {
		is_done = false;
		why = "the worker reported success without having read all images; are "
		      "lightermand and lighterman-worker of the same version?";
	}
	if (!is_done)
		fail_run(v, why);
	else if (v->at == v->n)
		finish_verification(v);
	else
		start_worker_soon(v);
}

static json_t *list_unread(const struct verification *v)
{
	json_t *list = json_array();

	for (size_t i = v->at; i < v->n; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s?}", "image", v->images[i].ref, "id",
				      *v->images[i].id ? v->images[i].id : NULL));
	return list;
}

static lm_rc start_worker(struct verification *v, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	unsigned n = store_state(v->store)->current;
	const struct worker_process_events events = {.verify = on_verified,
		.text = log_router_forward,
		.exited = on_verifier_exited,
		.ctx = v};
	// The user of what runs, or is to.
	lm_rc rc = generation_read(v->store, n ? n : store_state(v->store)->newest, &group, err);

	if (rc == LM_OK)
		rc = launch_find_user(v->host, &group->connector, &user, err);
	if (rc == LM_OK && !v->program)
		rc = launch_find_worker(&v->program, err);
	if (rc)
		return rc;
	lm_auto_json json_t *document = json_pack("{s:s, s:o, s:o, s:o, s:b}", "job", "verify",
		"group", group_to_json(group), "host", host_to_json(v->host), "images",
		list_unread(v), "gentle", (int)!is_waited_for(v));
	// It needs no lock: it changes nothing, and exits with us.
	const struct worker_process_spec spec = {
		.program = v->program,
		.user = &user,
		.document = document,
		.lock_fd = -1,
		.handover = HANDOVER_NONE,
		.silence_ms = v->host->worker_silence_s * 1000,
		.bare = true,
	};
	rc = worker_process_start(v->loop, &spec, &events, &v->worker, err);
	if (rc)
		worker_process_destroy(lm_take(v->worker));
	return rc;
}

static void on_verification_due(void *ctx)
{
	struct verification *v = ctx;
	struct lm_err err = {LM_OK};

	if (v->is_paused || v->worker || !(v->runs || v->is_due))
		return;
	if (!v->runs) {
		v->runs = true;
		if (collect_images(v, &err)) {
			fail_run(v, err.msg);
			return;
		}
		lm_info("verifying %zu image%s", v->n, v->n == 1 ? "" : "s");
	}
	v->is_reading = false;
	if (v->at == v->n)
		finish_verification(v);
	else if (start_worker(v, &err))
		fail_run(v, err.msg);
	else
		verification_changed(v);
}

static void start_worker_soon(struct verification *v)
{
	loop_timer_start(v->timer, 0, 0);
}

bool verification_is_under_way(const struct verification *v)
{
	return v->runs;
}

void verification_pause(struct verification *v)
{
	v->is_paused = true;
	loop_timer_stop(v->timer);
	if (!v->worker)
		return;
	worker_process_kill(v->worker);
	worker_process_destroy(lm_take(v->worker));
	v->is_reading = false;
	verification_changed(v);
}

void verification_resume(struct verification *v)
{
	if (!v->is_paused)
		return;
	v->is_paused = false;
	if (v->runs || v->is_due)
		loop_timer_start(v->timer, is_waited_for(v) ? 0 : START_MS, 0);
}

void verification_make_due(struct verification *v)
{
	v->is_due = true;
	save_report(v);
	if (!v->is_paused && !v->runs)
		loop_timer_start(v->timer, START_MS, 0);
}

/// One that goes on by itself reads on for the client, who also gets what was found.
static void join_run(struct verification *v)
{
	for (size_t i = 0; i < v->at; i++)
		waiter_send(&v->waiter, json_pack("{s:O}", "verify", v->images[i].result), false);
	if (!v->worker && !v->is_paused)
		start_worker_soon(v);
}

void verification_ask(struct verification *v, const struct waiter *waiter)
{
	struct waiter waits = *waiter;
	struct lm_err err = {LM_OK};

	if (is_waited_for(v)) {
		waiter_finish(&waits,
			control_last_line(1, "another client has asked for it; try again when "
					     "that has finished"));
		return;
	}
	v->waiter = *waiter;
	if (v->is_paused)
		waiter_send(&v->waiter,
			json_pack("{s:s}", "warning",
				"a task is running: images are read when it has finished"),
			false);
	if (v->runs) {
		join_run(v);
		return;
	}
	v->runs = true;
	if (collect_images(v, &err))
		fail_run(v, err.msg);
	else if (!v->is_paused)
		start_worker_soon(v);
	verification_changed(v);
}

void verification_forget(struct verification *v, const void *ctx)
{
	if (!is_waited_for(v) || v->waiter.ctx != ctx)
		return;
	v->waiter = (struct waiter){0};
	if (v->is_due)
		return;
	if (v->worker)
		worker_process_kill(v->worker);
	worker_process_destroy(lm_take(v->worker));
	end_run(v);
	verification_changed(v);
}

static bool is_damaged_in(const json_t *image, unsigned generation)
{
	return has_state(image, FOUND_DAMAGED) && json_get_text(image, "id") &&
	       names_generation(image, generation);
}

/// It was replaced, and is damaged again or still: another time would not help.
static bool was_in_vain(const struct verification *v, const json_t *image)
{
	if (has_state(image, FOUND_MISSING) ||
		!json_object_get(v->replaced, json_get_text(image, "id")))
		return false;
	lm_error("image %s is damaged although it was replaced: look for errors of the Docker "
		 "daemon's disk (dmesg); it is left as it is",
		json_get_text(image, "image"));
	return true;
}

json_t *verification_find_damaged(const struct verification *v, unsigned generation)
{
	lm_auto_json json_t *list = json_array();
	size_t i;
	json_t *image;

	json_array_foreach(v->bad, i, image)
	{
		if (!is_damaged_in(image, generation) || was_in_vain(v, image))
			continue;
		json_array_append_new(
			list, json_pack("{s:O, s:O, s:O}", "image", json_object_get(image, "image"),
				      "id", json_object_get(image, "id"), "layer",
				      json_object_get(image, "layer")));
	}
	return json_array_size(list) > 0 ? lm_take(list) : NULL;
}

/// For clients.
static void note_replacement(struct verification *v, const json_t *image)
{
	json_array_insert_new(v->replacements, 0,
		json_pack("{s:O, s:O, s:O, s:I}", "image", json_object_get(image, "image"), "id",
			json_object_get(image, "id"), "generations",
			json_object_get(image, "generations"), "at_ms",
			(json_int_t)lm_clock_wall_ms()));
	if (json_array_size(v->replacements) > REPLACEMENTS_MAX)
		(void)json_array_remove(v->replacements, REPLACEMENTS_MAX);
}

void verification_note_repair(struct verification *v, unsigned generation)
{
	json_t *rest = json_array();
	size_t i;
	json_t *image;

	json_array_foreach(v->bad, i, image)
	{
		if (is_damaged_in(image, generation)) {
			json_object_set_new(v->replaced, json_get_text(image, "id"), json_true());
			note_replacement(v, image);
		} else
			json_array_append(rest, image);
	}
	json_decref(v->bad);
	v->bad = rest;
	verification_make_due(v); // which puts both on disk
}

/// The images of all generations, the newest first: [{"n","images"},…]; a new reference.
static lm_rc read_all_images(const struct verification *v, json_t **ret, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = store_list(v->store, &numbers, &count, err);

	*ret = json_array();
	for (size_t i = 0; i < count && rc == LM_OK; i++) {
		json_t *images = NULL;

		rc = store_read_images(v->store, numbers[i], &images, err);
		json_array_append_new(
			*ret, json_pack("{s:i, s:o?}", "n", (int)numbers[i], "images", images));
	}
	return rc;
}

/// All names that generations give to an image: whether none gives it to another one.
static json_t *collect_image_names(const json_t *all, const char *wanted)
{
	json_t *names = json_object();
	const char *ref;
	json_t *generation, *image;
	size_t i;

	json_array_foreach(all, i, generation)
	{
		json_object_foreach(json_object_get(generation, "images"), ref, image)
		{
			const char *id = json_get_text(image, "id");

			if (id && strcmp(id, wanted) == 0)
				json_object_set_new(names, ref, json_true());
		}
	}
	json_array_foreach(all, i, generation)
	{
		json_object_foreach(json_object_get(generation, "images"), ref, image)
		{
			const char *id = json_get_text(image, "id");

			if (json_object_get(names, ref) && (!id || strcmp(id, wanted) != 0))
				json_object_set_new(names, ref, json_false());
		}
	}
	return names;
}

/// Borrowed; NULL: not known.
static json_t *find_digest_in(const json_t *all, json_int_t number, const char *ref)
{
	json_t *generation;
	size_t i;

	json_array_foreach(all, i, generation)
	{
		if (json_get_int(generation, "n", 0) == number)
			return json_object_get(
				json_object_get(json_object_get(generation, "images"), ref),
				"digest");
	}
	return NULL;
}

static void list_kept_image(const struct verification *v, const json_t *image, json_t *list)
{
	lm_auto_json json_t *all = NULL;
	const char *ref = json_get_text(image, "image");
	const char *id = json_get_text(image, "id");
	const json_t *newest = json_array_get(json_object_get(image, "generations"), 0);
	json_int_t number = json_integer_value(newest);
	json_t *platform = json_object_get(v->kept, id);
	struct lm_err err = {LM_OK};

	if (read_all_images(v, &all, &err)) {
		lm_warn("replace image %s: %s, ignoring", ref, err.msg);
		return;
	}
	json_array_append_new(
		list, json_pack("{s:O, s:O, s:O?, s:O?, s:o, s:I}", "image",
			      json_object_get(image, "image"), "id", json_object_get(image, "id"),
			      "digest", find_digest_in(all, number, ref), "platform",
			      json_is_string(platform) ? platform : NULL, "names",
			      collect_image_names(all, id), "generation", number));
}

json_t *verification_list_kept(const struct verification *v)
{
	unsigned current = store_state(v->store)->current;
	json_t *list = json_array();
	size_t i;
	json_t *image;

	json_array_foreach(v->bad, i, image)
	{
		if (is_damaged_in(image, current) &&
			!json_object_get(v->replaced, json_get_text(image, "id"))) {
			json_array_clear(list); // its repair is followed by a verification
			return list;
		}
		if (is_kept_damage(v, image) && !was_in_vain(v, image))
			list_kept_image(v, image, list);
	}
	return list;
}

bool verification_has_kept(const struct verification *v)
{
	return json_object_size(v->kept) > 0;
}

void verification_note_kept(struct verification *v, const char *id, const char *state,
	bool is_replaced, const char *why)
{
	size_t i;
	json_t *image;

	json_array_foreach(v->bad, i, image)
	{
		const char *other = json_get_text(image, "id");

		if (!other || strcmp(other, id) != 0)
			continue;
		if (is_replaced)
			note_replacement(v, image);
		if (state && strcmp(state, FOUND_NAMES[FOUND_OK]) == 0) {
			(void)json_object_del(v->kept, id);
			(void)json_object_del(v->replaced, id);
			(void)json_array_remove(v->bad, i);
		} else {
			keep_damage(v, image, v->kept);
			if (is_replaced)
				json_object_set_new(v->replaced, id, json_true());
			json_object_set_new(image, "message", json_from_text(why));
			if (state)
				json_object_set_new(image, "state", json_string(state));
		}
		break;
	}
	save_report(v);
	verification_changed(v);
}

void verification_watch(struct verification *v, const struct verification_watcher *watcher)
{
	v->watcher = *watcher;
}

struct verification *verification_create(
	struct loop *loop, const struct host_settings *host, struct store *store)
{
	struct verification *v = lm_xcalloc(1, sizeof(*v));

	*v = (struct verification){.loop = loop,
		.host = host,
		.store = store,
		.is_paused = true,
		.replaced = json_object(),
		.kept = json_object(),
		.replacements = json_array(),
		.bad = json_array()};
	v->timer = loop_timer_create(loop, on_verification_due, v);
	load_report(v);
	return v;
}

void verification_destroy(struct verification *v)
{
	if (!v)
		return;
	worker_process_destroy(v->worker);
	forget_images(v);
	json_decref(v->bad);
	json_decref(v->replaced);
	json_decref(v->kept);
	json_decref(v->replacements);
	loop_timer_destroy(v->timer);
	free(v->program);
	free(v);
}
