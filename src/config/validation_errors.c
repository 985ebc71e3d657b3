// SPDX-License-Identifier: Apache-2.0
#include "config/validation_errors.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	VALUE_SHOWN = 60,
};

static char *shorten(struct lm_str s)
{
	char out[4 * VALUE_SHOWN + 32];

	return lm_xstrdup(lm_str_shorten(s, VALUE_SHOWN, out, sizeof(out)));
}

static char *value_text(const json_t *value)
{
	if (!value)
		return NULL;
	if (json_is_string(value))
		return shorten(json_text(value));
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE * 2);
	(void)json_write(value, &text); // only its beginning is shown
	return shorten(lm_buf_str(&text));
}

void validation_errors_add(struct validation_errors *errors, const char *entry,
	const char *parameter, const json_t *value, const char *rule, ...)
{
	if (errors->n == VALIDATION_ERRORS_MAX) {
		errors->more++;
		return;
	}
	if (!errors->items)
		errors->items = lm_xcalloc(VALIDATION_ERRORS_MAX, sizeof(*errors->items));
	va_list ap;
	va_start(ap, rule);
	errors->items[errors->n++] = (struct validation_error){
		.entry = entry ? lm_xstrdup(entry) : NULL,
		.parameter = parameter ? shorten(lm_str(parameter)) : NULL,
		.value = value_text(value),
		.value_is_text = json_is_string(value),
		.rule = lm_xvasprintf(rule, ap),
	};
	va_end(ap);
}

void validation_errors_finish(struct validation_errors *errors)
{
	for (size_t i = 0; i < errors->n; i++) {
		free(errors->items[i].entry);
		free(errors->items[i].parameter);
		free(errors->items[i].value);
		free(errors->items[i].rule);
	}
	free(errors->items);
	*errors = (struct validation_errors){0};
}

char *validation_error_text(const struct validation_error *error)
{
	const char *quote = error->value_is_text ? "\"" : "";

	return lm_xasprintf("%s%s%s%s%s%s%s%s%s", error->entry ? error->entry : "",
		error->entry ? ": " : "", error->parameter ? error->parameter : "",
		error->parameter ? ": " : "", error->value ? quote : "",
		error->value ? error->value : "", error->value ? quote : "",
		error->value ? ": " : "", error->rule);
}

lm_rc validation_errors_fail(
	const struct validation_errors *errors, const char *document, struct lm_err *err)
{
	if (errors->n == 0)
		return LM_OK;
	const struct validation_error *first = &errors->items[0];
	lm_auto_free char *text = validation_error_text(first);
	bool whole = !first->entry && !first->parameter;
	size_t others = errors->n + errors->more - 1;
	char more[48] = "";

	if (others)
		(void)snprintf(more, sizeof(more), " (and %zu more)", others);
	return lm_fail(err, LM_E_INVALID, 0, "%s%s%s%s", whole ? document : "", whole ? " " : "",
		text, more);
}
