// SPDX-License-Identifier: Apache-2.0
#include "sys/json.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/secret.h"

#include <stdlib.h>

/// jansson has no memory when we have none, and ends the program as we do: where it returns NULL
/// instead, a document would lack a member, or count as damaged. Before main, as nothing of jansson
/// may have been allocated yet.
__attribute__((constructor)) static void share_allocation(void)
{
	json_set_alloc_funcs(lm_xmalloc, free);
}

static bool too_deep(const json_t *j, unsigned depth)
{
	if (!json_is_object(j) && !json_is_array(j))
		return false;
	if (depth == 0)
		return true;
	if (json_is_array(j)) {
		for (size_t i = 0; i < json_array_size(j); i++) {
			if (too_deep(json_array_get(j, i), depth - 1))
				return true;
		}
		return false;
	}
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)j, key, value)
	{
		if (too_deep(value, depth - 1))
			return true;
	}
	return false;
}

static lm_rc fail_too_deep(struct lm_err *err)
{
	return lm_fail(
		err, LM_E_INVALID, 0, "it is nested more than %d levels deep", LIMIT_JSON_DEPTH);
}

static lm_rc fail_parse(struct lm_str text, json_error_t *why, struct lm_err *err)
{
	if (!lm_str_is_utf8(text)) // whose error would quote it
		return lm_fail(err, LM_E_INVALID, 0, "it is not UTF-8 text");
	if (json_error_code(why) == json_error_stack_overflow)
		return fail_too_deep(err);
	return lm_fail(
		err, LM_E_INVALID, 0, "line %d, column %d: %s", why->line, why->column, why->text);
}

lm_rc json_parse(struct lm_str text, json_t **ret, struct lm_err *err)
{
	json_error_t why;
	json_t *parsed = json_loadb(
		text.n ? text.p : "", text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	lm_rc rc = parsed ? LM_OK : fail_parse(text, &why, err);

	lm_wipe(&why, sizeof(why)); // it quotes the text, which may hold a secret
	if (rc != LM_OK)
		return rc;
	if (too_deep(parsed, LIMIT_JSON_DEPTH)) {
		json_decref(parsed);
		return fail_too_deep(err);
	}
	*ret = parsed;
	return LM_OK;
}

size_t json_count(struct lm_str text)
{
	size_t n = 1;
	bool quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted)
			i += c == '\\'; // and what it escapes
		else
			n += c == ',' || c == ':' || c == '[' || c == '{';
	}
	return n;
}

lm_rc json_read_file(const char *path, size_t max, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(max);
	lm_rc rc = lm_file_read(path, &text, err);

	if (rc)
		return rc;
	rc = json_parse(lm_buf_str(&text), ret, err);
	return rc ? lm_wrap(err, "'%s' is not valid JSON", path) : LM_OK;
}

static int json_append_piece(const char *piece, size_t n, void *out)
{
	return lm_buf_add(out, piece, n) ? 0 : -1;
}

bool json_write(const json_t *j, struct lm_buf *out)
{
	return json_dump_callback(j, json_append_piece, out, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
}

const char *json_type_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	case JSON_NULL:
		break;
	}
	return "null";
}

const char *json_get_text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

char *json_copy_text(const json_t *object, const char *key)
{
	const char *text = json_get_text(object, key);

	return lm_xstrdup(text ? text : "");
}

struct lm_str json_text(const json_t *string)
{
	return (struct lm_str){json_string_value(string), json_string_length(string)};
}

int64_t json_get_int(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool json_get_bool(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_t *json_from_text(const char *text)
{
	char shown[4 * LM_ERR_MSG_SIZE + 32];

	if (!text)
		return json_null();
	if (lm_str_is_utf8(lm_str(text)))
		return json_string(text);
	return json_string(lm_str_shorten(lm_str(text), LM_ERR_MSG_SIZE, shown, sizeof(shown)));
}
