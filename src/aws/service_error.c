// SPDX-License-Identifier: Apache-2.0
#include "aws/service_error.h"

#include "sys/json.h"

#include <string.h>

/// Copies what fits, and no half of a character.
static void copy(struct lm_str text, char *out, size_t size)
{
	if (text.n >= size)
		text.n = size - 1;
	while (text.n && !lm_str_is_utf8(text))
		text.n--;
	if (text.n)
		memcpy(out, text.p, text.n);
	out[text.n] = '\0';
}

/// "com.amazon.coral.service#Code:http://…" → "Code".
static struct lm_str bare_code(struct lm_str type)
{
	struct lm_str code = lm_str_cut(&type, ':'), rest = code;

	while (lm_str_find(rest, '#') < rest.n) {
		(void)lm_str_cut(&rest, '#');
		code = rest;
	}
	return lm_str_trim(code);
}

static struct lm_str text_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? json_text(value) : LM_STR("");
}

static struct lm_str first_of(const json_t *object, const char *key, const char *other)
{
	struct lm_str text = text_of(object, key);

	return text.n ? text : text_of(object, other);
}

void service_error_parse(struct lm_str body, struct lm_str header, struct service_error *ret)
{
	lm_auto_json json_t *root = NULL;

	*ret = (struct service_error){0};
	if (json_parse(body, &root, NULL) == LM_OK) {
		copy(bare_code(first_of(root, "__type", "code")), ret->code, sizeof(ret->code));
		copy(first_of(root, "message", "Message"), ret->message, sizeof(ret->message));
	}
	if (!ret->code[0])
		copy(bare_code(header), ret->code, sizeof(ret->code));
}
