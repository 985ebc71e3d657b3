// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_page.h"

#include "base/memory.h"
#include "cli/human.h"
#include "cli/plain.h"
#include "cli/table.h"

#include <string.h>

enum { LABEL_COLUMN = 17, WHY_MAX = 1024 };

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

static void add_label(struct lm_buf *out, const char *label)
{
	plain_add_padded(out, label, LABEL_COLUMN);
}

/// "before TEXT"; nothing if the member is no text.
static void add_member(
	struct lm_buf *out, const json_t *object, const char *key, const char *before)
{
	const char *text = json_get_text(object, key);
	lm_auto_free char *plain = plain_text(text);

	if (text)
		(void)lm_buf_printf(out, "%s%s", before, plain);
}

/// "a, b", of an array of texts.
static void add_words(struct lm_buf *out, const json_t *words)
{
	size_t i;
	json_t *word;

	json_array_foreach(words, i, word)
	{
		lm_auto_free char *plain = plain_text(json_string_value(word));
		(void)lm_buf_printf(out, "%s%s", i > 0 ? ", " : "", plain);
	}
}

static void add_head(const json_t *plan, struct lm_buf *out)
{
	add_label(out, "compose file");
	add_member(out, plan, "key", "");
	add_member(out, plan, "bucket", " of bucket ");
	add_member(out, plan, "compose_version", ", version ");
	(void)lm_buf_putc(out, '\n');
	if (json_get_bool(plan, "offline", false)) {
		add_label(out, "offline");
		(void)lm_buf_puts(out, "the local copy of the compose file, and the images that "
				       "are here, have to do\n");
	}
	add_label(out, "docker-compose");
	add_member(out, plan, "docker_compose", "");
	(void)lm_buf_putc(out, '\n');
	add_label(out, "stages");
	add_words(out, json_object_get(plan, "stages"));
	(void)lm_buf_putc(out, '\n');
}

static bool is(const json_t *object, const char *key, const char *value)
{
	const char *text = json_get_text(object, key);

	return text && strcmp(text, value) == 0;
}

static const struct {
	const char *reason, *words;
	const char *if_action; ///< NULL: whatever the action is.
} REASONS[] = {
	{"new", "it has no container yet", NULL},
	{"down", "everything is taken down first", NULL},
	{"docker-compose", "another docker-compose made its containers", NULL},
	{"definition", "its definition has changed", NULL},
	{"image", "its image is another", NULL},
	{"dependency", "a service that it depends on is recreated", NULL},
	{"scale", "it is to have more containers", "created"},
	{"scale", "it is to have fewer containers", "removed"},
	{"stopped", "its containers do not run", NULL},
	{"gone", "the compose file does not have it any more", "removed"},
	{"gone",
		"the compose file does not have it any more, and StopContainersOnNewDeployment is "
		"False",
		"left_alone"},
	{"unchanged", "nothing has changed", NULL},
	{"unsure_image", "what its image is now could not be found out", NULL},
	{"unsure_definition", "whether it has changed could not be found out", NULL},
};

static void add_reason(const json_t *service, struct lm_buf *out)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(REASONS); i++) {
		const char *action = REASONS[i].if_action;
		if (!is(service, "reason", REASONS[i].reason) ||
			(action && !is(service, "action", action)))
			continue;
		(void)lm_buf_puts(out, REASONS[i].words);
		return;
	}
	add_member(out, service, "reason", ""); // of a later lightermand
}

static char *why_cell(const json_t *service)
{
	lm_auto_buf struct lm_buf why = LM_BUF(WHY_MAX);
	const json_t *changes = json_object_get(service, "changes");

	add_reason(service, &why);
	if (is(service, "reason", "down") && json_is_array(changes)) {
		bool any = json_array_size(changes) > 0;
		(void)lm_buf_puts(&why, any ? "; changed: " : "; nothing has changed");
		add_words(&why, changes);
	}
	return lm_xstrdup(lm_buf_cstr(&why));
}

static char *action_cell(const json_t *object)
{
	char *action = plain_text(json_get_text(object, "action"));

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
		table_add(&t, plain_text(json_get_text(service, "service")));
		table_add(&t, action_cell(service));
		table_add(&t, why_cell(service));
	}
	(void)lm_buf_putc(out, '\n');
	table_print(&t, out);
}

/// A size from outside; false if it is none.
static bool get_bytes(const json_t *object, const char *key, uint64_t *ret)
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
	char text[HUMAN_SIZE], total_text[HUMAN_SIZE];

	if (!get_bytes(image, "bytes", &bytes))
		return lm_xstrdup("not known");
	if (!is(image, "action", "pull"))
		return NULL;
	(void)human_bytes(bytes, text);
	if (!get_bytes(image, "bytes_total", &total) || total == bytes)
		return lm_xstrdup(text);
	return lm_xasprintf("%s of %s", text, human_bytes(total, total_text));
}

static char *note_cell(const json_t *image)
{
	const char *reason = json_get_text(image, "reason");

	if (reason)
		return plain_text(reason);
	if (is(image, "action", "keep"))
		return lm_xstrdup("it is on this device");
	return lm_xstrdup(json_get_bool(image, "here", false) ? "another one is on this device"
							      : "it is not on this device");
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
		table_add(&t, plain_text(json_get_text(image, "image")));
		table_add(&t, action_cell(image));
		table_add(&t, bytes_cell(image));
		table_add(&t, note_cell(image));
	}
	(void)lm_buf_putc(out, '\n');
	table_print(&t, out);
}

static void add_sum(const json_t *plan, struct lm_buf *out)
{
	uint64_t bytes = 0;
	int64_t unknown = json_get_int(plan, "pull_unknown", 0);
	char text[HUMAN_SIZE];

	add_label(out, "to pull");
	if (get_bytes(plan, "pull_bytes", &bytes))
		(void)lm_buf_puts(out, bytes ? human_bytes(bytes, text) : "nothing");
	if (unknown > 0)
		(void)lm_buf_printf(out, ", and %lld image%s of a size that is not known",
			(long long)unknown, unknown == 1 ? "" : "s");
	(void)lm_buf_putc(out, '\n');
}

static void add_disk(const json_t *disk, struct lm_buf *out)
{
	uint64_t needed = 0, free_bytes = 0, reserve = 0;
	const json_t *enough = json_object_get(disk, "enough");
	char text[HUMAN_SIZE];

	add_label(out, "disk");
	if (get_bytes(disk, "needed_bytes", &needed))
		(void)lm_buf_printf(out, "%s%s needed", needed ? "about " : "",
			needed ? human_bytes(needed, text) : "nothing");
	if (get_bytes(disk, "reserve_bytes", &reserve) && reserve > 0)
		(void)lm_buf_printf(
			out, ", %s to be left (MinFreeDiskMB)", human_bytes(reserve, text));
	if (get_bytes(disk, "free_bytes", &free_bytes))
		(void)lm_buf_printf(out, ", %s free", human_bytes(free_bytes, text));
	else
		(void)lm_buf_puts(out, ", free space not known");
	add_member(out, disk, "directory", " in ");
	add_member(out, disk, "reason", ": ");
	if (json_is_false(enough))
		(void)lm_buf_puts(out, ": not enough, make room there");
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
		add_member(out, problem, "level", "");
		add_member(out, problem, "message", ": ");
		(void)lm_buf_putc(out, '\n');
	}
}

void plan_page_add(const json_t *plan, struct lm_buf *out)
{
	add_head(plan, out);
	add_services(json_object_get(plan, "services"), out);
	add_images(json_object_get(plan, "images"), out);
	(void)lm_buf_putc(out, '\n');
	add_sum(plan, out);
	add_disk(json_object_get(plan, "disk"), out);
	add_problems(json_object_get(plan, "problems"), out);
}
