// SPDX-License-Identifier: Apache-2.0
#include "worker/plan_task.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "deploy/stages.h"
#include "worker/candidate.h"
#include "worker/disk_check.h"
#include "worker/fetch.h"
#include "worker/image_needs.h"
#include "worker/local_copy.h"
#include "worker/login.h"
#include "worker/plan.h"
#include "worker/preflight.h"
#include "worker/released_images.h"
#include "worker/requirements.h"
#include "worker/resolve.h"

#include <errno.h>

enum {
	CONFIG_MS = 300 * 1000, ///< Python starts slowly from a cold card.
	REGISTRIES_MS = 90 * 1000,
	HASHES_MAX = LIMIT_SERVICES * 512,
};

/// A plan being made.
struct plan_task {
	struct context *cx;
	struct deploy_options options;
	enum deploy_pull mode; ///< Of the pull that the deployment would do.
	bool takes_down;       ///< The running application is stopped first.

	struct engine_containers containers;
	struct compose_ties ties;
	struct compose_hashes hashes, old_hashes;
	struct image_needs needs;
	struct plan_services services;
	struct problems problems;

	struct disk_space disk;
	struct released_images released;
};

static bool is_offline(const struct plan_task *p)
{
	return p->mode == DEPLOY_PULL_LOCAL;
}

/// JSON has no unsigned numbers.
static json_t *plan_task_bytes(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *bytes_or_null(bool known, uint64_t n)
{
	return known ? plan_task_bytes(n) : json_null();
}

static json_t *changes_to_json(const struct plan_service *s)
{
	static const enum plan_reason each[] = {PLAN_COMPOSE, PLAN_DEFINITION, PLAN_IMAGE};
	json_t *list = json_array();

	for (size_t i = 0; i < LM_ARRAY_SIZE(each); i++)
		if (s->changes & 1U << each[i])
			json_array_append_new(list, json_string(plan_reason_name(each[i])));
	return list;
}

static json_t *service_to_json(const struct plan_service *s)
{
	json_t *service = json_object();

	json_object_set_new(service, "service", json_from_text(s->name));
	json_object_set_new(service, "action", json_string(plan_action_name(s->action)));
	json_object_set_new(service, "reason", json_string(plan_reason_name(s->reason)));
	json_object_set_new(
		service, "changes", s->changes_known ? changes_to_json(s) : json_null());
	json_object_set_new(service, "image", json_from_text(s->image));
	json_object_set_new(service, "containers", json_integer((json_int_t)s->containers));
	return service;
}

static json_t *image_to_json(const struct plan_image *i)
{
	json_t *image = json_object();

	json_object_set_new(image, "image", json_from_text(i->image));
	json_object_set_new(image, "platform", json_from_text(i->platform));
	json_object_set_new(image, "action", json_string(image_action_name(i->action)));
	json_object_set_new(image, "here", json_boolean(i->id != NULL));
	json_object_set_new(image, "digest", json_from_text(i->digest));
	json_object_set_new(image, "bytes", bytes_or_null(i->known, i->bytes));
	json_object_set_new(image, "bytes_total",
		bytes_or_null(i->known && i->bytes_total > 0, i->bytes_total));
	json_object_set_new(image, "bytes_disk", bytes_or_null(i->known, i->bytes_disk));
	json_object_set_new(image, "reason", json_from_text(i->reason));
	return image;
}

static json_t *stages_to_json(const struct plan_task *p)
{
	enum deploy_stage stages[DEPLOY_STAGES];
	size_t n = deploy_plan_stages(&p->options, stages);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		// Skip `down` if nothing runs.
		if (stages[i] != DEPLOY_DOWN || p->takes_down)
			json_array_append_new(list, json_string(deploy_stage_name(stages[i])));
	}
	return list;
}

static json_t *released_to_json(const struct released_image *r)
{
	return json_pack("{s:s, s:o, s:o}", "id", r->id, "image",
		json_from_text(*r->name ? r->name : NULL), "bytes", plan_task_bytes(r->bytes));
}

/// What the deployment would remove: as many as seem to suffice. `*free_bytes` is then what would
/// be free at most, as images may share layers.
static json_t *removals_to_json(
	const struct plan_task *p, const struct disk_need *need, uint64_t *free_bytes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->released.n; i++) {
		if (disk_need_judge(need, *free_bytes) == DISK_FITS)
			break;
		json_array_append_new(list, released_to_json(&p->released.items[i]));
		if (__builtin_add_overflow(*free_bytes, p->released.items[i].bytes, free_bytes))
			*free_bytes = UINT64_MAX;
	}
	return list;
}

/// Null: that will show, as more may be needed than is known, or less be freed.
static json_t *enough_to_json(
	const struct plan_task *p, const struct disk_need *need, uint64_t free_at_most)
{
	if (!p->disk.seen)
		return json_null();
	if (disk_need_judge(need, free_at_most) == DISK_SHORT)
		return json_false();
	bool is_certain =
		p->needs.unknown == 0 && disk_need_judge(need, p->disk.free_bytes) == DISK_FITS;
	return is_certain ? json_true() : json_null();
}

static char *disk_reason(const struct disk_space *disk)
{
	errno = disk->sys;
	return disk->seen ? NULL : lm_xasprintf("cannot access '%s': %m", disk->directory);
}

static json_t *disk_to_json(const struct plan_task *p)
{
	const struct disk_need need = disk_need_of(p->cx, &p->needs);
	lm_auto_free char *reason = disk_reason(&p->disk);
	uint64_t free_at_most = p->disk.free_bytes;
	json_t *disk = json_object();
	json_t *removed = p->disk.seen ? removals_to_json(p, &need, &free_at_most) : json_array();

	json_object_set_new(disk, "directory", json_from_text(p->disk.directory));
	json_object_set_new(disk, "needed_bytes", plan_task_bytes(need.most));
	json_object_set_new(disk, "reserve_bytes", plan_task_bytes(need.reserve));
	json_object_set_new(disk, "free_bytes", bytes_or_null(p->disk.seen, p->disk.free_bytes));
	json_object_set_new(disk, "removed", removed);
	json_object_set_new(disk, "enough", enough_to_json(p, &need, free_at_most));
	json_object_set_new(disk, "reason", json_from_text(reason));
	return disk;
}

static bool uses_cloud(const struct group *g)
{
	for (size_t i = 0; i < g->subscriptions_n; i++) {
		if (strcmp(g->subscriptions[i].source, ENDPOINT_CLOUD) == 0 ||
			strcmp(g->subscriptions[i].target, ENDPOINT_CLOUD) == 0)
			return true;
	}
	for (size_t i = 0; i < g->devices_n; i++) {
		if (g->devices[i].sync_shadow)
			return true;
	}
	return false;
}

/// What runs beside the application for the group's client devices; null: nothing.
static json_t *client_devices_to_json(const struct plan_task *p)
{
	const struct group *g = p->cx->task->group;
	const struct host_devices *h = &p->cx->task->host.devices;

	if (g->devices_n == 0)
		return json_null();
	json_t *ports = json_pack("[i]", (int)h->discovery_port);
	if (h->alpn_port.number)
		json_array_append_new(ports, json_integer(h->alpn_port.number));
	return json_pack("{s:i, s:i, s:i, s:o, s:b}", "devices", (int)g->devices_n, "subscriptions",
		(int)g->subscriptions_n, "broker_port", (int)h->broker_port, "discovery_ports",
		ports, "cloud", (int)uses_cloud(g));
}

static json_t *summary_to_json(const struct plan_task *p)
{
	const struct connector_definition *d = context_definition(p->cx);
	json_t *plan = json_object();

	json_object_set_new(plan, "connector_version", json_integer(d->version));
	json_object_set_new(plan, "bucket", json_from_text(d->bucket));
	json_object_set_new(plan, "key", json_from_text(d->key));
	json_object_set_new(
		plan, "compose_version", json_from_text(context_compose_version(p->cx)));
	json_object_set_new(plan, "docker_compose", json_from_text(p->cx->compose.version));
	json_object_set_new(plan, "offline", json_boolean(is_offline(p)));
	json_object_set_new(plan, "stages", stages_to_json(p));
	json_object_set_new(plan, "takes_down", json_boolean(p->takes_down));
	json_object_set_new(plan, "pull_bytes", plan_task_bytes(p->needs.bytes));
	json_object_set_new(plan, "pull_unknown", json_integer((json_int_t)p->needs.unknown));
	json_object_set_new(plan, "disk", disk_to_json(p));
	json_object_set_new(plan, "devices", client_devices_to_json(p));
	return plan;
}

static json_t *problem_to_json(const struct problem *p)
{
	return json_pack("{s:s, s:o}", "level", problem_level_name(p->level), "message",
		json_from_text(p->message));
}

static void send_plan(const struct plan_task *p, const char *kind, json_t *what)
{
	context_send(p->cx, json_pack("{s:{s:o}}", "plan", kind, what));
}

/// A line for each service, image and problem, and one for the whole.
static void report_plan(const struct plan_task *p)
{
	for (size_t i = 0; i < p->services.n; i++)
		send_plan(p, "service", service_to_json(&p->services.items[i]));
	for (size_t i = 0; i < p->needs.images.n; i++)
		send_plan(p, "image", image_to_json(&p->needs.images.items[i]));
	for (size_t i = 0; i < p->problems.n; i++)
		send_plan(p, "problem", problem_to_json(&p->problems.items[i]));
	send_plan(p, "summary", summary_to_json(p));
	lm_auto_free char *file = definition_file_text(context_definition(p->cx));
	lm_info("planned %s: %zu services, %zu images", file, p->services.n, p->needs.images.n);
}

/// Generation 1 hashes the file as it is; 2 includes env_file only if the file is resolved.
static lm_rc hash_services(const struct context *cx, const struct project_directory *dir,
	struct lm_str text, struct lm_str config, struct compose_hashes *ret, struct lm_err *err)
{
	lm_auto_candidate struct candidate candidate = CANDIDATE_NONE;
	lm_auto_buf struct lm_buf hashes = LM_BUF(HASHES_MAX);
	struct wait_limit limit = wait_limit_within(&cx->limit, CONFIG_MS);
	lm_rc rc = cx->compose.generation < 2 ? candidate_write(cx, dir, text, &candidate, err)
					      : candidate_write_secret(cx, config, &candidate, err);

	if (rc)
		return rc;
	struct compose_project job = candidate_compose_job(cx, dir, cx->env, &candidate);
	rc = compose_hash(&job, &limit, &hashes, err);
	return rc ? rc : compose_hashes_parse(lm_buf_str(&hashes), ret, err);
}

/// Without hashes the plan shows less.
static lm_rc go_without(lm_rc rc, const struct lm_err *err)
{
	if (rc == LM_OK || rc == LM_E_CANCELLED)
		return rc;
	lm_warn("%s; what has changed in the services is unknown", err->msg);
	return LM_OK;
}

static bool has_late_hashes(const struct compose_ties *ties)
{
	for (size_t i = 0; i < ties->n; i++)
		if (ties->items[i].hash_is_late)
			return true;
	return false;
}

/// The hashes of the local copy, from which the running containers were created.
static lm_rc hash_local_copy(struct plan_task *p, struct lm_err *err)
{
	const struct context *cx = p->cx;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_auto_buf struct lm_buf config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);
	const struct project_directory dir = context_running_directory(cx);
	lm_auto_free char *path = lm_path_join(dir.path, LOCAL_COPY_NAME);
	struct compose_project job = context_compose_job(cx, &dir, cx->env, path, NULL);
	struct wait_limit limit = wait_limit_within(&cx->limit, CONFIG_MS);
	lm_rc rc = local_copy_read(dir.fd, dir.path, &text, err);

	if (!rc)
		rc = compose_config(&job, &limit, &config, err);
	if (!rc)
		rc = hash_services(
			cx, &dir, lm_buf_str(&text), lm_buf_str(&config), &p->old_hashes, err);
	return go_without(rc, err);
}

static bool goes_down(const struct plan_task *p)
{
	enum deploy_stage stages[DEPLOY_STAGES];
	size_t n = deploy_plan_stages(&p->options, stages);

	for (size_t i = 0; i < n; i++)
		if (stages[i] == DEPLOY_DOWN)
			return p->containers.n > 0;
	return false;
}

/// What runs, and how the new services differ from it, images aside.
static lm_rc look_at_services(struct plan_task *p, struct lm_err *err)
{
	struct context *cx = p->cx;
	const struct project_directory dir = context_destination(cx);
	struct lm_str config = lm_buf_str(&cx->config);
	lm_rc rc = compose_ties_parse(config, cx->compose.generation, &p->ties, err);

	if (!rc)
		rc = engine_list_containers(
			&cx->engine, COMPOSE_PROJECT, &cx->limit, &p->containers, err);
	if (rc || p->containers.n == 0) // nothing to compare with
		return rc;
	p->takes_down = goes_down(p);
	rc = go_without(
		hash_services(cx, &dir, lm_buf_str(&cx->text), config, &p->hashes, err), err);
	if (!rc && !p->takes_down && has_late_hashes(&p->ties))
		rc = hash_local_copy(p, err);
	return rc;
}

/// The logins that a deployment would have. A missing one is reported when its registry requires
/// it.
static lm_rc find_logins(struct context *cx, struct lm_err *err)
{
	lm_auto_registry_list struct registry_list ignored = {0};
	lm_rc rc = login_list_own(cx, &ignored, err);

	if (rc == LM_OK || rc == LM_E_CANCELLED)
		return rc;
	lm_warn("%s; sizes of images that need that login are unknown", err->msg);
	return LM_OK;
}

/// Which images there are, which are pulled, and of what size.
static lm_rc look_at_images(struct plan_task *p, struct lm_err *err)
{
	const struct image_needs_options options = {.mode = p->mode, .timeout_ms = REGISTRIES_MS};
	lm_rc rc = is_offline(p) ? LM_OK : find_logins(p->cx, err);

	return rc ? rc : image_needs_find(p->cx, &options, &p->needs, err);
}

static lm_rc look_at_disk(struct plan_task *p, struct lm_err *err)
{
	lm_rc rc = disk_space_find(p->cx, &p->disk, err);

	return rc || is_offline(p) ? rc : released_images_find(p->cx, &p->released, err);
}

static void plan_task_finish(struct plan_task *p)
{
	engine_containers_finish(&p->containers);
	compose_ties_finish(&p->ties);
	compose_hashes_finish(&p->hashes);
	compose_hashes_finish(&p->old_hashes);
	image_needs_finish(&p->needs);
	plan_services_finish(&p->services);
	problems_finish(&p->problems);
	disk_space_finish(&p->disk);
	released_images_finish(&p->released);
}

static lm_rc plan_prepare(void *ctx, struct lm_err *err)
{
	return preflight_run(((struct plan_task *)ctx)->cx, err);
}

static lm_rc plan_fetch(void *ctx, struct lm_err *err)
{
	return fetch_all(((struct plan_task *)ctx)->cx, err);
}

static lm_rc plan_fetch_local(void *ctx, struct lm_err *err)
{
	return fetch_local_copy(((struct plan_task *)ctx)->cx, err);
}

static lm_rc plan_resolve(void *ctx, struct lm_err *err)
{
	struct plan_task *p = ctx;
	lm_rc rc = resolve_compose_file(p->cx, err);

	if (!rc)
		rc = requirements_check(p->cx, &p->problems, err);
	return rc ? rc : look_at_services(p, err);
}

static lm_rc plan_admit(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	struct plan_task *p = ctx;

	p->mode = mode;
	lm_rc rc = look_at_images(p, err);
	return rc ? rc : look_at_disk(p, err);
}

static lm_rc plan_report(void *ctx, const struct deploy_event *event, struct lm_err *err)
{
	struct plan_task *p = ctx;

	if (event->state != DEPLOY_PROGRESS)
		return protocol_report_stage(p->cx->protocol, event, err);
	lm_warn("%s", event->message); // offline mode
	return LM_OK;
}

static uint64_t plan_now(void *ctx)
{
	(void)ctx;
	return lm_clock_mono_ms();
}

/// Those that change nothing.
static const struct deploy_ops plan_ops = {
	.prepare = plan_prepare,
	.fetch = plan_fetch,
	.fetch_local = plan_fetch_local,
	.resolve = plan_resolve,
	.admit = plan_admit,
	.report = plan_report,
	.now = plan_now,
};

static void make_plan(struct plan_task *p)
{
	const struct plan_input input = {.services = &p->cx->services,
		.ties = &p->ties,
		.hashes = &p->hashes,
		.old_hashes = &p->old_hashes,
		.generation = p->cx->compose.generation,
		.containers = &p->containers,
		.images = &p->needs.images,
		.takes_down = p->takes_down};

	plan_services_make(&input, &p->services);
	report_plan(p);
}

/// The plan exists, but the deployment would fail.
static void fail_on_problems(const struct plan_task *p, struct deploy_outcome *ret)
{
	ret->rc = problems_to_error(&p->problems, &ret->err);
	if (ret->rc == LM_OK)
		return;
	ret->failed = DEPLOY_RESOLVE;
	if (ret->rc == LM_E_INVALID)
		ret->error_class = DEPLOY_INVALID_PARAMETER;
}

void plan_task_run(struct context *cx, struct deploy_outcome *ret)
{
	lm_auto(plan_task_finish) struct plan_task p = {
		.cx = cx, .options = context_deploy_options(cx)};
	struct deploy_options options = p.options;

	options.read_only = true;
	deploy_run(&options, &plan_ops, &p, ret);
	if (ret->rc)
		return;
	make_plan(&p);
	fail_on_problems(&p, ret);
}
