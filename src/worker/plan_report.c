// SPDX-License-Identifier: Apache-2.0
#include "worker/plan_priv.h"

#include "base/log.h"

static json_t *text_or_null(const char *text)
{
	return text ? report_text(text) : json_null();
}

/// JSON has no unsigned numbers.
static json_t *bytes(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static json_t *bytes_or_null(bool known, uint64_t n)
{
	return known ? bytes(n) : json_null();
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

	json_object_set_new(service, "service", report_text(s->name));
	json_object_set_new(service, "action", json_string(plan_action_name(s->action)));
	json_object_set_new(service, "reason", json_string(plan_reason_name(s->reason)));
	json_object_set_new(
		service, "changes", s->changes_known ? changes_to_json(s) : json_null());
	json_object_set_new(service, "image", text_or_null(s->image));
	json_object_set_new(service, "containers", json_integer((json_int_t)s->containers));
	return service;
}

static json_t *image_to_json(const struct plan_image *i)
{
	json_t *image = json_object();

	json_object_set_new(image, "image", report_text(i->image));
	json_object_set_new(image, "platform", text_or_null(i->platform));
	json_object_set_new(image, "action", json_string(image_action_name(i->action)));
	json_object_set_new(image, "here", json_boolean(i->id != NULL));
	json_object_set_new(image, "digest", text_or_null(i->digest));
	json_object_set_new(image, "bytes", bytes_or_null(i->known, i->bytes));
	json_object_set_new(image, "bytes_total",
		bytes_or_null(i->known && i->bytes_total > 0, i->bytes_total));
	json_object_set_new(image, "bytes_disk", bytes_or_null(i->known, i->bytes_disk));
	json_object_set_new(image, "reason", text_or_null(i->reason));
	return image;
}

static json_t *stages_to_json(const struct planning *p)
{
	enum deploy_stage stages[DEPLOY_STAGES];
	size_t n = deploy_plan_stages(&p->options, stages);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		// Without anything to take down, nothing is.
		if (stages[i] != DEPLOY_DOWN || p->takes_down)
			json_array_append_new(list, json_string(deploy_stage_name(stages[i])));
	}
	return list;
}

struct sums {
	uint64_t bytes, bytes_disk;
	size_t unknown;
};

static void add(uint64_t *sum, uint64_t n)
{
	if (__builtin_add_overflow(*sum, n, sum))
		*sum = UINT64_MAX;
}

static struct sums sum_up(const struct plan_images *images)
{
	struct sums sums = {0};

	for (size_t i = 0; i < images->n; i++) {
		const struct plan_image *image = &images->items[i];

		add(&sums.bytes, image->bytes);
		add(&sums.bytes_disk, image->bytes_disk);
		sums.unknown += !image->known;
	}
	return sums;
}

static json_t *disk_to_json(const struct planning *p, const struct sums *sums)
{
	uint64_t reserve = (uint64_t)work_definition(p->w)->policy.min_free_disk_mb << 20;
	uint64_t wanted = sums->bytes_disk;
	json_t *disk = json_object();

	add(&wanted, reserve);
	bool enough = p->free_known && p->free_bytes >= wanted;
	// More may be needed than is known of.
	bool judged = p->free_known && (!enough || sums->unknown == 0);
	json_object_set_new(disk, "directory", text_or_null(p->disk));
	json_object_set_new(disk, "needed_bytes", bytes(sums->bytes_disk));
	json_object_set_new(disk, "reserve_bytes", bytes(reserve));
	json_object_set_new(disk, "free_bytes", bytes_or_null(p->free_known, p->free_bytes));
	json_object_set_new(disk, "enough", judged ? json_boolean(enough) : json_null());
	json_object_set_new(disk, "reason", text_or_null(p->disk_reason));
	return disk;
}

static json_t *summary_to_json(const struct planning *p)
{
	const struct connector_definition *d = work_definition(p->w);
	const struct sums sums = sum_up(&p->images);
	json_t *plan = json_object();

	json_object_set_new(plan, "connector_version", json_integer(d->version));
	json_object_set_new(plan, "bucket", report_text(d->bucket));
	json_object_set_new(plan, "key", report_text(d->key));
	json_object_set_new(plan, "compose_version", text_or_null(work_compose_version(p->w)));
	json_object_set_new(plan, "docker_compose", report_text(p->w->compose.version));
	json_object_set_new(plan, "offline", json_boolean(p->offline));
	json_object_set_new(plan, "stages", stages_to_json(p));
	json_object_set_new(plan, "takes_down", json_boolean(p->takes_down));
	json_object_set_new(plan, "pull_bytes", bytes(sums.bytes));
	json_object_set_new(plan, "pull_unknown", json_integer((json_int_t)sums.unknown));
	json_object_set_new(plan, "disk", disk_to_json(p, &sums));
	return plan;
}

static json_t *problem_to_json(const struct problem *p)
{
	return json_pack("{s:s, s:o}", "level", problem_level_name(p->level), "message",
		report_text(p->message));
}

static void tell(const struct planning *p, const char *kind, json_t *what)
{
	work_tell(p->w, json_pack("{s:{s:o}}", "plan", kind, what));
}

void plan_report(const struct planning *p)
{
	for (size_t i = 0; i < p->services.n; i++)
		tell(p, "service", service_to_json(&p->services.items[i]));
	for (size_t i = 0; i < p->images.n; i++)
		tell(p, "image", image_to_json(&p->images.items[i]));
	for (size_t i = 0; i < p->problems.n; i++)
		tell(p, "problem", problem_to_json(&p->problems.items[i]));
	tell(p, "summary", summary_to_json(p));
	lm_info("planned '%s' from bucket '%s': %zu services, %zu images",
		work_definition(p->w)->key, work_definition(p->w)->bucket, p->services.n,
		p->images.n);
}
