// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_validate.h"

#include "base/limits.h"
#include "base/memory.h"
#include "cli/group_file.h"
#include "cli/output.h"
#include "config/definition.h"

static json_t *validate_text_or_null(const char *s)
{
	// A name need not be UTF-8, and jansson takes nothing else.
	return s && lm_str_is_utf8(lm_str(s)) ? json_string(s) : json_null();
}

static json_t *validation_errors_to_json(const struct validation_errors *errors)
{
	json_t *list = json_array();

	for (size_t i = 0; i < errors->n; i++) {
		const struct validation_error *f = &errors->items[i];
		json_t *fault = json_object();
		json_object_set_new(fault, "entry", validate_text_or_null(f->entry));
		json_object_set_new(fault, "parameter", validate_text_or_null(f->parameter));
		json_object_set_new(fault, "value", validate_text_or_null(f->value));
		json_object_set_new(fault, "rule", validate_text_or_null(f->rule));
		json_array_append_new(list, fault);
	}
	return list;
}

static json_t *connector_to_json(const struct group *group)
{
	if (!group)
		return json_null();
	const struct connector_definition *def = &group->connector;
	json_t *summary = json_object();
	json_object_set_new(summary, "id", json_string(def->id));
	json_object_set_new(summary, "version", json_integer(def->version));
	json_object_set_new(summary, "region", json_string(def->region));
	json_object_set_new(summary, "bucket", validate_text_or_null(def->bucket));
	json_object_set_new(summary, "key", json_string(def->key));
	json_object_set_new(summary, "object_version", validate_text_or_null(def->object_version));
	json_object_set_new(summary, "destination", json_string(def->destination));
	json_object_set_new(summary, "uid", def->has_user ? json_integer(def->uid) : json_null());
	return summary;
}

static void validate_print_json(
	const struct call *call, const struct validation_errors *errors, const struct group *group)
{
	const char *path = group_file_name(call->argument);
	lm_auto_json json_t *document = json_object();
	json_t *warnings = json_array();
	char shown[4 * 4096 + 32];

	for (size_t i = 0; group && i < group->warnings_n; i++)
		json_array_append_new(warnings, validate_text_or_null(group->warnings[i]));
	json_object_set_new(document, "file",
		json_string(lm_str_shorten(lm_str(path), 4096, shown, sizeof(shown))));
	json_object_set_new(document, "valid", json_boolean(group != NULL));
	json_object_set_new(document, "faults", validation_errors_to_json(errors));
	json_object_set_new(document, "more_faults", json_integer((json_int_t)errors->more));
	json_object_set_new(document, "warnings", warnings);
	json_object_set_new(document, "connector", connector_to_json(group));
	output_json(call, document);
}

static void print_text(
	const struct call *call, const struct validation_errors *errors, const struct group *group)
{
	const char *path = group_file_name(call->argument);

	for (size_t i = 0; i < errors->n; i++) {
		lm_auto_free char *line = validation_error_text(&errors->items[i]);
		(void)fprintf(call->err, "%s: %s\n", path, line);
	}
	if (errors->more)
		(void)fprintf(call->err, "%s: and %zu more\n", path, errors->more);
	if (!group)
		return;
	for (size_t i = 0; i < group->warnings_n; i++)
		(void)fprintf(call->err, "%s: warning: %s\n", path, group->warnings[i]);
	(void)fprintf(call->out, "%s: valid: " CONNECTOR_NAME " version %u, id %s\n", path,
		group->connector.version, group->connector.id);
}

int cmd_validate(const struct call *call)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err why = {0};

	if (group_file_read(call->argument, &text, &why) ||
		group_file_complete(call, NULL, &text, &why))
		validation_errors_add(&errors, NULL, NULL, NULL, "%s", why.msg);
	else if (definition_parse(lm_buf_str(&text), &errors, &group, &why))
		group = NULL; // the errors say why
	if (call->json)
		validate_print_json(call, &errors, group);
	else
		print_text(call, &errors, group);
	return group ? EXIT_DONE : EXIT_INVALID;
}
