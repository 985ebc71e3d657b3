// SPDX-License-Identifier: Apache-2.0
#include "config/schema.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

bool schema_refuse(struct lm_buf *why, const char *rule, ...)
{
	va_list ap;

	va_start(ap, rule);
	(void)lm_buf_vprintf(why, rule, ap);
	va_end(ap);
	return false;
}

bool schema_take_text(const json_t *value, struct lm_str *ret, struct lm_buf *why)
{
	if (!json_is_string(value))
		return schema_refuse(why, "must be a string, but is %s", json_type_name(value));
	struct lm_str text = json_text(value);
	if (text.n == 0)
		return schema_refuse(why, "must not be empty");
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return schema_refuse(why, "must not hold control characters");
	}
	*ret = text;
	return true;
}

bool schema_is_alnum(struct lm_str text, const char *others)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    (c != '\0' && strchr(others, c))))
			return false;
	}
	return true;
}

void schema_put_text(void *field, struct lm_str value)
{
	char **text = field;

	if (!text)
		return;
	free(*text);
	*text = lm_xmemdup0(value.p, value.n);
}

json_t *schema_write_text(const void *field)
{
	const char *text = *(char *const *)field;

	return text ? json_string(text) : NULL;
}

void schema_finish_text(void *field)
{
	free(*(char **)field);
}

static bool read_plain_text(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;

	(void)key;
	if (!schema_take_text(value, &text, why))
		return false;
	schema_put_text(field, text);
	return true;
}

static bool read_path(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;

	(void)key;
	if (!schema_take_text(value, &text, why))
		return false;
	if (text.p[0] != '/')
		return schema_refuse(why, "must be an absolute path");
	schema_put_text(field, text);
	return true;
}

static bool read_bool(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	(void)key;
	if (!json_is_boolean(value))
		return schema_refuse(
			why, "must be true or false, but is %s", json_type_name(value));
	if (field)
		*(bool *)field = json_is_true(value);
	return true;
}

static json_t *write_bool(const void *field)
{
	return json_boolean(*(const bool *)field);
}

static bool read_number(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	if (!json_is_integer(value) || json_integer_value(value) < key->lowest ||
		json_integer_value(value) > key->highest)
		return schema_refuse(
			why, "must be a number from %u to %u", key->lowest, key->highest);
	if (field)
		*(unsigned *)field = (unsigned)json_integer_value(value);
	return true;
}

static json_t *write_number(const void *field)
{
	unsigned number = *(const unsigned *)field;

	return number ? json_integer(number) : NULL;
}

static bool schema_accept_any(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	(void)key;
	(void)value;
	(void)field;
	(void)why;
	return true;
}

static json_t *write_nothing(const void *field)
{
	(void)field;
	return NULL;
}

const struct schema_type SCHEMA_TEXT = {read_plain_text, schema_write_text, schema_finish_text};
const struct schema_type SCHEMA_PATH = {read_path, schema_write_text, schema_finish_text};
const struct schema_type SCHEMA_BOOL = {read_bool, write_bool, NULL};
const struct schema_type SCHEMA_NUMBER = {read_number, write_number, NULL};
const struct schema_type SCHEMA_ANY = {schema_accept_any, write_nothing, NULL};

static void *field_of(const struct schema_key *key, void *into)
{
	return into ? (char *)into + key->field : NULL;
}

/// Whether a key is there in other case, which is an error by itself.
static bool has_in_other_case(const json_t *object, const char *key)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		if (lm_str_eq_nocase(lm_str(name), lm_str(key)))
			return true;
	}
	return false;
}

/// An address with a user name, and so perhaps a password.
static bool has_login(const json_t *value)
{
	struct lm_str text = lm_str(json_string_value(value));
	struct lm_str scheme = LM_STR("://");
	const char *at = text.n > 0 ? memmem(text.p, text.n, scheme.p, scheme.n) : NULL;

	return at && memchr(at, '@', text.n - (size_t)(at - text.p));
}

/// For an error; `key` NULL: it is unknown.
static const json_t *shown_value(
	const struct schema *schema, const struct schema_key *key, const json_t *value)
{
	if (has_login(value))
		return NULL;
	bool is_in_place = key && !key->members && !json_is_object(value) && !json_is_array(value);

	return is_in_place || !schema->hides_misplaced ? value : NULL;
}

static void read_schema_key(const struct schema *schema, const struct schema_key *key,
	const json_t *object, const struct schema_place *place, void *into,
	struct validation_errors *errors)
{
	const json_t *value = json_object_get(object, key->name);
	const json_t *shown = shown_value(schema, key, value);
	lm_auto_buf struct lm_buf why = LM_BUF(LM_ERR_MSG_SIZE + 256);
	lm_auto_free char *name = lm_xasprintf("%s%s", place->prefix, key->name);

	if (!value && key->required && !has_in_other_case(object, key->name)) {
		validation_errors_add(errors, place->entry, name, NULL, "is required");
	} else if (!value && key->fallback) {
		lm_auto_json json_t *fallback = json_string(key->fallback);
		(void)key->type->read(key, fallback, field_of(key, into), &why);
	} else if (!value) {
		return;
	} else if (place->version && place->version < key->since) {
		validation_errors_add(errors, place->entry, name, shown,
			"version %u of the connector does not know it; it came with version %u",
			place->version, key->since);
	} else if (key->members && !json_is_object(value)) {
		validation_errors_add(errors, place->entry, name, shown,
			"must be an object, but is %s", json_type_name(value));
	} else if (key->members) {
		lm_auto_free char *prefix = lm_xasprintf("%s.", name);
		struct schema_place within = *place;
		within.prefix = prefix;
		schema_read(key->members, value, &within, into, errors);
	} else if (!key->type->read(key, value, field_of(key, into), &why)) {
		validation_errors_add(errors, place->entry, name, shown, "%s", lm_buf_cstr(&why));
	}
}

static bool has_key(const struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->n; i++) {
		if (strcmp(schema->keys[i].name, name) == 0)
			return true;
	}
	return false;
}

void schema_read(const struct schema *schema, const json_t *object,
	const struct schema_place *place, void *into, struct validation_errors *errors)
{
	const char *key;
	json_t *value;

	for (size_t i = 0; i < schema->n; i++)
		read_schema_key(schema, &schema->keys[i], object, place, into, errors);
	json_object_foreach((json_t *)object, key, value)
	{
		if (has_key(schema, key))
			continue;
		const char *near =
			lm_str_nearest(key, schema->keys, schema->n, sizeof(*schema->keys));
		lm_auto_free char *name = lm_xasprintf("%s%s", place->prefix, key);
		validation_errors_add(errors, place->entry, name, shown_value(schema, NULL, value),
			"%s%s%s%s", schema->unknown ? schema->unknown : "is not known",
			near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	}
}

void schema_write(const struct schema *schema, const void *from, json_t *object)
{
	for (size_t i = 0; i < schema->n; i++) {
		const struct schema_key *key = &schema->keys[i];
		json_t *value = key->members ? json_object()
					     : key->type->write((const char *)from + key->field);

		if (key->members)
			schema_write(key->members, from, value);
		if (value && (!key->members || json_object_size(value)))
			json_object_set_new(object, key->name, value);
		else
			json_decref(value);
	}
}

void schema_finish(const struct schema *schema, void *into)
{
	for (size_t i = 0; i < schema->n; i++) {
		const struct schema_key *key = &schema->keys[i];

		if (key->members)
			schema_finish(key->members, into);
		else if (key->type->finish)
			key->type->finish((char *)into + key->field);
	}
}
