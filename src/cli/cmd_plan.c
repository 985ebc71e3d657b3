// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_plan.h"

#include "base/limits.h"
#include "base/memory.h"
#include "cli/follow.h"
#include "cli/group_file.h"
#include "cli/output.h"
#include "cli/render.h"

#include <string.h>

enum { WHY_MAX = 1024 };

json_t *plan_document(const json_t *lines)
{
	json_t *services = json_array(), *images = json_array(), *problems = json_array();
	json_t *plan = NULL;
	size_t i;
	json_t *line;

	json_array_foreach(lines, i, line)
	{
		json_t *service = json_object_get(line, "service");
		json_t *image = json_object_get(line, "image");
		json_t *problem = json_object_get(line, "problem");
		const json_t *summary = json_object_get(line, "summary");

		if (service)
			json_array_append(services, service);
		if (image)
			json_array_append(images, image);
		if (problem)
			json_array_append(problems, problem);
		if (json_is_object(summary) && !plan)
			plan = json_copy((json_t *)summary);
	}
	if (plan) {
		json_object_set(plan, "services", services);
		json_object_set(plan, "images", images);
		json_object_set(plan, "problems", problems);
	}
	json_decref(services);
	json_decref(images);
	json_decref(problems);
	return plan;
}

/// "a, b", of an array of texts.
static void add_list(struct lm_buf *out, const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
	{
		lm_auto_free char *plain = sanitize_text(json_string_value(item));
		(void)lm_buf_printf(out, "%s%s", i > 0 ? ", " : "", plain);
	}
}

static void add_head(const json_t *plan, struct lm_buf *out)
{
	render_label(out, "compose file");
	render_member(out, plan, "key", "");
	render_member(out, plan, "bucket", " in bucket ");
	render_member(out, plan, "compose_version", ", version ");
	(void)lm_buf_putc(out, '\n');
	if (json_get_bool(plan, "offline", false)) {
		render_label(out, "offline");
		(void)lm_buf_puts(
			out, "only the local copy of the compose file and images on this device\n");
	}
	render_label(out, "docker-compose");
	render_member(out, plan, "docker_compose", "");
	(void)lm_buf_putc(out, '\n');
	render_label(out, "stages");
	add_list(out, json_object_get(plan, "stages"));
	(void)lm_buf_putc(out, '\n');
}

static bool is(const json_t *object, const char *key, const char *value)
{
	const char *text = json_get_text(object, key);

	return text && strcmp(text, value) == 0;
}

static const struct {
	const char *reason, *text;
	const char *if_action; ///< NULL: whatever the action is.
} REASONS[] = {
	{"new", "no container yet", NULL},
	{"down", "the whole application is stopped first", NULL},
	{"docker-compose", "its containers were created by another docker-compose", NULL},
	{"definition", "definition changed", NULL},
	{"image", "image changed", NULL},
	{"dependency", "depends on a recreated service", NULL},
	{"scale", "scaled up", "created"},
	{"scale", "scaled down", "removed"},
	{"stopped", "its containers are not running", NULL},
	{"gone", "no longer in the compose file", "removed"},
	{"gone", "no longer in the compose file, and StopContainersOnNewDeployment is False",
		"left_alone"},
	{"unchanged", "no changes", NULL},
	{"unsure_image", "cannot determine its current image", NULL},
	{"unsure_definition", "cannot determine whether it changed", NULL},
};

static void add_reason(const json_t *service, struct lm_buf *out)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(REASONS); i++) {
		const char *action = REASONS[i].if_action;
		if (!is(service, "reason", REASONS[i].reason) ||
			(action && !is(service, "action", action)))
			continue;
		(void)lm_buf_puts(out, REASONS[i].text);
		return;
	}
	render_member(out, service, "reason", ""); // of a later lightermand
}

static char *why_cell(const json_t *service)
{
	lm_auto_buf struct lm_buf why = LM_BUF(WHY_MAX);
	const json_t *changes = json_object_get(service, "changes");

	add_reason(service, &why);
	if (is(service, "reason", "down") && json_is_array(changes)) {
		bool any = json_array_size(changes) > 0;
		(void)lm_buf_puts(&why, any ? "; changed: " : "; no changes");
		add_list(&why, changes);
	}
	return lm_xstrdup(lm_buf_cstr(&why));
}

static char *action_cell(const json_t *object)
{
	char *action = sanitize_text(json_get_text(object, "action"));

	for (char *p = action; *p; p++)
		if (*p == '_')
			*p = ' ';
	return action;
}

static void add_heads(struct table *t, const char *const *heads)
{
	for (size_t i = 0; i < t->columns; i++)
		table_add(t, lm_xstrdup(heads[i]));
}

static void add_services(const json_t *services, struct lm_buf *out)
{
	static const char *const heads[] = {"SERVICE", "ACTION", "WHY"};
	struct table t = {.columns = LM_ARRAY_SIZE(heads)};
	size_t i;
	json_t *service;

	if (json_array_size(services) == 0)
		return;
	add_heads(&t, heads);
	json_array_foreach(services, i, service)
	{
		table_add(&t, sanitize_text(json_get_text(service, "service")));
		table_add(&t, action_cell(service));
		table_add(&t, why_cell(service));
	}
	(void)lm_buf_putc(out, '\n');
	table_render(&t, out);
}

/// A size from outside; false if it is none.
static bool plan_get_bytes(const json_t *object, const char *key, uint64_t *ret)
{
	const json_t *bytes = json_object_get(object, key);

	if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
		return false;
	*ret = (uint64_t)json_integer_value(bytes);
	return true;
}

/// "1.1 MB of 2.0 MB"; "-" if nothing is pulled.
static char *bytes_cell(const json_t *image)
{
	uint64_t bytes = 0, total = 0;
	char text[FORMAT_SIZE], total_text[FORMAT_SIZE];

	if (!plan_get_bytes(image, "bytes", &bytes))
		return lm_xstrdup("unknown");
	if (!is(image, "action", "pull"))
		return NULL;
	(void)format_bytes(bytes, text);
	if (!plan_get_bytes(image, "bytes_total", &total) || total == bytes)
		return lm_xstrdup(text);
	return lm_xasprintf("%s of %s", text, format_bytes(total, total_text));
}

static char *note_cell(const json_t *image)
{
	const char *reason = json_get_text(image, "reason");

	if (reason)
		return sanitize_text(reason);
	if (is(image, "action", "keep"))
		return lm_xstrdup("present on this device");
	return lm_xstrdup(json_get_bool(image, "here", false) ? "another version is on this device"
							      : "not on this device");
}

static void add_images(const json_t *images, struct lm_buf *out)
{
	static const char *const heads[] = {"IMAGE", "ACTION", "TO PULL", "NOTE"};
	struct table t = {.columns = LM_ARRAY_SIZE(heads)};
	size_t i;
	json_t *image;

	if (json_array_size(images) == 0)
		return;
	add_heads(&t, heads);
	json_array_foreach(images, i, image)
	{
		table_add(&t, sanitize_text(json_get_text(image, "image")));
		table_add(&t, action_cell(image));
		table_add(&t, bytes_cell(image));
		table_add(&t, note_cell(image));
	}
	(void)lm_buf_putc(out, '\n');
	table_render(&t, out);
}

static void add_sum(const json_t *plan, struct lm_buf *out)
{
	uint64_t bytes = 0;
	int64_t unknown = json_get_int(plan, "pull_unknown", 0);
	char text[FORMAT_SIZE];

	render_label(out, "to pull");
	if (plan_get_bytes(plan, "pull_bytes", &bytes))
		(void)lm_buf_puts(out, bytes ? format_bytes(bytes, text) : "nothing");
	if (unknown > 0)
		(void)lm_buf_printf(out, ", plus %lld image%s of unknown size", (long long)unknown,
			unknown == 1 ? "" : "s");
	(void)lm_buf_putc(out, '\n');
}

/// Images that no generation needs any more, and that would go to make space.
static void add_removed(const json_t *removed, struct lm_buf *out)
{
	size_t i;
	json_t *image;

	json_array_foreach(removed, i, image)
	{
		uint64_t bytes = 0;
		char text[FORMAT_SIZE];

		render_label(out, i == 0 ? "would remove" : "");
		if (json_is_string(json_object_get(image, "image")))
			render_member(out, image, "image", "");
		else
			render_member(out, image, "id", "image ");
		if (plan_get_bytes(image, "bytes", &bytes))
			(void)lm_buf_printf(out, ", %s", format_bytes(bytes, text));
		(void)lm_buf_putc(out, '\n');
	}
}

static void add_disk(const json_t *disk, struct lm_buf *out)
{
	uint64_t needed = 0, free_bytes = 0, reserve = 0;
	const json_t *enough = json_object_get(disk, "enough");
	char text[FORMAT_SIZE];

	render_label(out, "disk");
	if (plan_get_bytes(disk, "needed_bytes", &needed))
		(void)lm_buf_printf(out, "%s%s needed", needed ? "about " : "",
			needed ? format_bytes(needed, text) : "nothing");
	if (plan_get_bytes(disk, "reserve_bytes", &reserve) && reserve > 0)
		(void)lm_buf_printf(
			out, ", %s reserved (MinFreeDiskMB)", format_bytes(reserve, text));
	if (plan_get_bytes(disk, "free_bytes", &free_bytes))
		(void)lm_buf_printf(out, ", %s free", format_bytes(free_bytes, text));
	else
		(void)lm_buf_puts(out, ", free space unknown");
	render_member(out, disk, "directory", " in ");
	render_member(out, disk, "reason", ": ");
	if (json_is_false(enough))
		(void)lm_buf_puts(out, ": not enough, free up space there");
	(void)lm_buf_putc(out, '\n');
	add_removed(json_object_get(disk, "removed"), out);
}

/// "2 client devices, 5 subscriptions: local broker on port 8883, discovery on ports 8443, 443"
static void add_client_devices(const json_t *devices, struct lm_buf *out)
{
	const json_t *ports = json_object_get(devices, "discovery_ports");
	int64_t n = json_get_int(devices, "devices", 0);
	int64_t subscriptions = json_get_int(devices, "subscriptions", 0);

	if (!json_is_object(devices))
		return;
	render_label(out, "client devices");
	(void)lm_buf_printf(out, "%lld, with %lld subscription%s; local broker on port %lld",
		(long long)n, (long long)subscriptions, subscriptions == 1 ? "" : "s",
		(long long)json_get_int(devices, "broker_port", 0));
	for (size_t i = 0; i < json_array_size(ports); i++)
		(void)lm_buf_printf(out, "%s%lld", i > 0 ? ", " : ", discovery on ",
			(long long)json_integer_value(json_array_get(ports, i)));
	if (json_get_bool(devices, "cloud", false))
		(void)lm_buf_puts(out, "; bridge to AWS IoT");
	(void)lm_buf_putc(out, '\n');
}

static void add_problems(const json_t *problems, struct lm_buf *out)
{
	size_t i;
	json_t *problem;

	if (json_array_size(problems) > 0)
		(void)lm_buf_putc(out, '\n');
	json_array_foreach(problems, i, problem)
	{
		render_member(out, problem, "level", "");
		render_member(out, problem, "message", ": ");
		(void)lm_buf_putc(out, '\n');
	}
}

void plan_render(const json_t *plan, struct lm_buf *out)
{
	add_head(plan, out);
	add_services(json_object_get(plan, "services"), out);
	add_images(json_object_get(plan, "images"), out);
	(void)lm_buf_putc(out, '\n');
	add_sum(plan, out);
	add_disk(json_object_get(plan, "disk"), out);
	add_client_devices(json_object_get(plan, "devices"), out);
	add_problems(json_object_get(plan, "problems"), out);
}

/// `why` the deployment would fail; NULL: it would not.
static int print_plan(
	const struct call *call, const struct answer *answer, json_t *plan, const char *why)
{
	// Escaped and padded, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);

	if (call->json) {
		json_object_set(plan, "warnings", answer->warnings);
		output_json(call, plan);
		return answer->exit_status;
	}
	plan_render(plan, &page);
	output_text(call, lm_buf_str(&page));
	if (why)
		output_error(call->err, why);
	return answer->exit_status;
}

/// The validation errors of an invalid group file have been printed.
static int plan_fail(
	const struct call *call, const struct answer *answer, const char *why, int status)
{
	bool reported = status == EXIT_INVALID && json_array_size(answer->faults) > 0;

	if (call->json) {
		lm_auto_json json_t *document = answer_to_json(answer, why);
		output_json(call, document);
	} else if (!reported) {
		output_error(call->err, why);
	}
	return status;
}

int cmd_plan(const struct call *call)
{
	const struct follow_texts texts = {.source = group_file_name(call->argument),
		.interrupted = "plan cancelled",
		.quiet = true};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto(answer_finish) struct answer answer = {0};
	struct lm_err why = {0};
	int status;

	if (!group_file_load(call, &text, &status))
		return status;
	lm_auto_json json_t *request =
		json_pack("{s:s, s:s%}", "command", "plan", "group", text.data, text.len);
	if (follow_run(call, &texts, request, &answer, &why))
		return plan_fail(call, &answer, why.msg, answer.exit_status);
	const char *message = json_get_text(answer.last, "message");
	lm_auto_json json_t *plan = plan_document(answer.plan);
	if (answer.exit_status != EXIT_DONE && !plan)
		return plan_fail(call, &answer, message ? message : "no plan", answer.exit_status);
	if (!plan)
		return plan_fail(call, &answer,
			"lightermand's answer has no plan; are lighterman and lightermand the "
			"same version?",
			EXIT_FAILED);
	return print_plan(call, &answer, plan, message);
}
