// SPDX-License-Identifier: Apache-2.0
#include "aws/secret_value.h"

#include "base/memory.h"
#include "http/wiping_alloc.h"
#include "sys/json.h"

#include <stdlib.h>
#include <string.h>

enum field { USERNAME, PASSWORD, REGISTRY_URL, FIELDS };

static const char *const field_names[FIELDS] = {"username", "password", "registryUrl"};

void secret_json_harden(void)
{
	json_set_alloc_funcs(wiping_malloc, wiping_free);
}

/// jansson's own message may quote the text, so it is never passed on: only its place.
static lm_rc load(const char *name, struct lm_str text, json_t **ret, struct lm_err *err)
{
	json_error_t e;
	lm_auto_json json_t *root =
		json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	enum json_error_code code = json_error_code(&e);
	int line = e.line, column = e.column;

	lm_wipe(&e, sizeof(e));
	if (!root && code == json_error_duplicate_key)
		return lm_fail(err, LM_E_INVALID, 0,
			"secret '%s' has a key twice (line %d, column %d)", name, line, column);
	if (!root)
		return lm_fail(err, LM_E_INVALID, 0,
			"the value of secret '%s' is not JSON (line %d, column %d); it must be an "
			"object with username, password and registryUrl",
			name, line, column);
	*ret = lm_take(root);
	return LM_OK;
}

static lm_rc add_fields(
	const char *name, const json_t *object, json_t *found[FIELDS], struct lm_err *err)
{
	for (int i = 0; i < FIELDS; i++) {
		json_t *value = json_object_get(object, field_names[i]);

		if (value && found[i])
			return lm_fail(err, LM_E_INVALID, 0, "secret '%s' has '%s' twice", name,
				field_names[i]);
		if (value)
			found[i] = value;
	}
	return LM_OK;
}

static lm_rc find_fields(
	const char *name, const json_t *root, json_t *found[FIELDS], struct lm_err *err)
{
	if (json_is_object(root))
		return add_fields(name, root, found, err);
	if (!json_is_array(root))
		return lm_fail(err, LM_E_INVALID, 0,
			"the value of secret '%s' is %s; it must be an object with username, "
			"password and registryUrl, or an array of such objects",
			name, json_type_name(root));
	for (size_t i = 0; i < json_array_size(root); i++) {
		const json_t *item = json_array_get(root, i);

		if (!json_is_object(item))
			return lm_fail(err, LM_E_INVALID, 0,
				"item %zu of secret '%s' is %s, not an object", i + 1, name,
				json_type_name(item));
		lm_rc rc = add_fields(name, item, found, err);
		if (rc != LM_OK)
			return rc;
	}
	return LM_OK;
}

/// User name and registry go into headers and messages; only the password may hold anything.
static bool has_control(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7F)
			return true;
	}
	return false;
}

static lm_rc check_field(
	const char *name, enum field field, const json_t *value, struct lm_err *err)
{
	const char *key = field_names[field];

	if (!value)
		return lm_fail(err, LM_E_INVALID, 0, "secret '%s' has no key '%s'", name, key);
	if (!json_is_string(value))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' of secret '%s' is %s, not a string", key,
			name, json_type_name(value));
	if (!json_string_length(value))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' of secret '%s' is empty", key, name);
	if (field != PASSWORD && has_control(json_text(value)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' of secret '%s' holds a line end or another control character", key,
			name);
	return LM_OK;
}

lm_rc secret_value_parse(
	const char *name, struct lm_str text, struct secret_value *ret, struct lm_err *err)
{
	lm_auto_json json_t *root = NULL;
	json_t *found[FIELDS] = {NULL};
	lm_rc rc = load(name, text, &root, err);

	if (rc == LM_OK)
		rc = find_fields(name, root, found, err);
	for (int i = 0; i < FIELDS && rc == LM_OK; i++)
		rc = check_field(name, (enum field)i, found[i], err);
	if (rc != LM_OK)
		return rc;
	struct secret_value v = {
		.username = lm_xstrdup(json_string_value(found[USERNAME])),
		.registry_url = lm_xstrdup(json_string_value(found[REGISTRY_URL])),
	};
	lm_secret_set(&v.password, json_text(found[PASSWORD]));
	*ret = v;
	return LM_OK;
}

void secret_value_finish(struct secret_value *v)
{
	free(v->username);
	free(v->registry_url);
	lm_secret_finish(&v->password);
	*v = (struct secret_value){0};
}
