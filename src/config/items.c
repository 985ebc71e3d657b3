// SPDX-License-Identifier: Apache-2.0
#include "config/items_priv.h"

#include "base/memory.h"

#include <limits.h>

enum { ID_MAX = 128 };

enum kind { TEXT, ID, BOOL, NUMBER, LEVEL, LOGGER_TYPE, COMPONENT, ANY };

struct key {
	const char *name;
	bool required;
	enum kind kind;
};

static const struct key CONNECTOR[] = {{"Id", true, ID}, {"ConnectorArn", true, TEXT},
	{"Parameters", false, ANY}, {"Policy", false, ANY}};
static const struct key THING[] = {{"Id", true, ID}, {"ThingArn", true, TEXT},
	{"CertificateArn", true, TEXT}, {"SyncShadow", false, BOOL}};
static const struct key SUBSCRIPTION[] = {
	{"Id", true, ID}, {"Source", true, TEXT}, {"Subject", true, TEXT}, {"Target", true, TEXT}};
static const struct key LOGGER[] = {{"Id", true, ID}, {"Component", true, COMPONENT},
	{"Level", true, LEVEL}, {"Type", true, LOGGER_TYPE}, {"Space", false, NUMBER}};

struct array {
	const char *name;
	const struct key *keys;
	size_t keys_n;
};

static const struct array ARRAYS[] = {
	{"Connectors", CONNECTOR, LM_ARRAY_SIZE(CONNECTOR)},
	{"Cores", THING, LM_ARRAY_SIZE(THING)},
	{"Devices", THING, LM_ARRAY_SIZE(THING)},
	{"Subscriptions", SUBSCRIPTION, LM_ARRAY_SIZE(SUBSCRIPTION)},
	{"Loggers", LOGGER, LM_ARRAY_SIZE(LOGGER)},
};

const char *const ITEMS_ARRAYS[] = {
	"Connectors", "Cores", "Devices", "Subscriptions", "Loggers", "Resources", "Functions"};
const size_t ITEMS_ARRAYS_N = LM_ARRAY_SIZE(ITEMS_ARRAYS);

char *items_place(const char *array, size_t i, const json_t *item)
{
	const json_t *id = json_object_get(item, "Id");
	char shown[4 * 60 + 32];

	if (!json_is_string(id) || json_string_length(id) == 0)
		return lm_xasprintf("%s[%zu]", array, i);
	return lm_xasprintf(
		"%s[%zu] (%s)", array, i, lm_str_shorten(json_text(id), 60, shown, sizeof(shown)));
}

unsigned items_number(const json_t *value, unsigned fallback)
{
	uint64_t number = 0;

	if (json_is_integer(value) && json_integer_value(value) >= 0 &&
		json_integer_value(value) <= INT_MAX)
		return (unsigned)json_integer_value(value);
	if (json_is_string(value) && lm_str_to_u64(json_text(value), INT_MAX, &number))
		return (unsigned)number;
	return fallback;
}

bool items_bool(const json_t *value)
{
	return json_is_true(value) ||
	       (json_is_string(value) && lm_str_eq_nocase(json_text(value), LM_STR("true")));
}

static bool is_one_of(struct lm_str text, const char *words)
{
	struct lm_str rest = lm_str(words);

	while (rest.n) {
		if (lm_str_eq(text, lm_str_cut(&rest, '|')))
			return true;
	}
	return false;
}

static bool is_id(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == ':' || c == '_' || c == '-'))
			return false;
	}
	return text.n > 0 && text.n <= ID_MAX;
}

/// The rule that a string breaks, or NULL.
static const char *check_text(enum kind kind, struct lm_str text)
{
	if (text.n == 0)
		return "must not be empty";
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return "must not hold control characters";
	}
	if (kind == ID && !is_id(text))
		return "must be 1 to 128 letters, digits, ':', '_' or '-'";
	if (kind == COMPONENT && !is_one_of(text, "GreengrassSystem|Lambda"))
		return "must be GreengrassSystem or Lambda";
	if (kind == LEVEL && !is_one_of(text, "DEBUG|INFO|WARN|ERROR|FATAL"))
		return "must be DEBUG, INFO, WARN, ERROR or FATAL";
	if (kind == LOGGER_TYPE && !is_one_of(text, "FileSystem|AWSCloudWatch"))
		return "must be FileSystem or AWSCloudWatch";
	return NULL;
}

// CloudFormation writes booleans and numbers as strings: both are taken.
static void check_value(const char *place, const struct key *key, const json_t *value,
	struct definition_faults *faults)
{
	const char *rule = NULL;

	if (key->kind == ANY)
		return;
	if (key->kind == BOOL) {
		if (!json_is_boolean(value) &&
			!(json_is_string(value) &&
				(items_bool(value) ||
					lm_str_eq_nocase(json_text(value), LM_STR("false")))))
			rule = "must be true or false";
	} else if (key->kind == NUMBER) {
		if (items_number(value, 0) == 0)
			rule = "must be a whole number of KB, 1 or more";
	} else if (!json_is_string(value)) {
		faults_add(faults, place, key->name, value, "must be a string, but is %s",
			json_type_name(value));
	} else {
		rule = check_text(key->kind, json_text(value));
	}
	if (rule)
		faults_add(faults, place, key->name, value, "%s", rule);
}

/// Whether a key is there in other case, which is a fault by itself.
static bool has_in_other_case(const json_t *item, const char *key)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)item, name, value)
	{
		if (lm_str_eq_nocase(lm_str(name), lm_str(key)))
			return true;
	}
	return false;
}

static void check_keys(const char *place, const struct array *array, const json_t *item,
	struct definition_faults *faults)
{
	const char *name;
	json_t *value;

	for (size_t i = 0; i < array->keys_n; i++) {
		const struct key *key = &array->keys[i];
		value = json_object_get(item, key->name);
		if (value)
			check_value(place, key, value, faults);
		else if (key->required && !has_in_other_case(item, key->name))
			faults_add(faults, place, key->name, NULL, "is required");
	}
	json_object_foreach((json_t *)item, name, value)
	{
		bool known = false;
		for (size_t i = 0; i < array->keys_n && !known; i++)
			known = strcmp(array->keys[i].name, name) == 0;
		if (known)
			continue;
		const char *near =
			faults_nearest(name, array->keys, array->keys_n, sizeof(*array->keys));
		faults_add(faults, place, name, value, "is not known%s%s%s",
			near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	}
}

static void check_unique(const char *place, json_t *seen, const json_t *item, size_t i,
	struct definition_faults *faults)
{
	const json_t *id = json_object_get(item, "Id");

	if (!json_is_string(id))
		return;
	const json_t *first = json_object_get(seen, json_string_value(id));
	if (first)
		faults_add(faults, place, "Id", id, "is the Id of item %d already",
			(int)json_integer_value(first));
	else
		json_object_set_new(seen, json_string_value(id), json_integer((json_int_t)i));
}

static const struct array *find_array(const char *name)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(ARRAYS); i++) {
		if (strcmp(ARRAYS[i].name, name) == 0)
			return &ARRAYS[i];
	}
	return NULL;
}

void items_check(const char *name, const json_t *items, struct definition_faults *faults)
{
	const struct array *array = find_array(name);
	size_t i;
	json_t *item;

	if (!json_is_array(items)) {
		faults_add(faults, name, NULL, items, "must be an array, but is %s",
			json_type_name(items));
		return;
	}
	lm_auto_json json_t *seen = json_object();
	json_array_foreach(items, i, item)
	{
		lm_auto_free char *place = items_place(name, i, item);
		if (!json_is_object(item)) {
			faults_add(faults, place, NULL, item, "must be an object, but is %s",
				json_type_name(item));
		} else if (array) {
			check_keys(place, array, item, faults);
			check_unique(place, seen, item, i, faults);
		}
	}
}
