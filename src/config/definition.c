// SPDX-License-Identifier: Apache-2.0
#include "config/definition.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "config/group_form.h"
#include "config/parameters.h"
#include "config/topic.h"

#include <ctype.h>
#include <limits.h>

#define RESERVED_ID "DOCKER_DEPLOYER_SECRET_RESOURCE_RESERVED_ID_"

/// What the walk over a group file carries along.
struct group_reader {
	struct group *group;
	struct validation_errors *errors;
	char *ours; ///< Place of our entry; NULL until it is found.
	const json_t *ours_json;
	bool doubtful; ///< It is unclear whether an entry is ours.
};

static void warn(struct group_reader *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void warn(struct group_reader *w, const char *format, ...)
{
	struct group *g = w->group;

	// Past this, another line is of no use.
	if (g->warnings_n == VALIDATION_ERRORS_MAX)
		return;
	if (!g->warnings)
		g->warnings = lm_xcalloc(VALIDATION_ERRORS_MAX, sizeof(char *));
	va_list ap;
	va_start(ap, format);
	g->warnings[g->warnings_n++] = lm_xvasprintf(format, ap);
	va_end(ap);
}

// The arrays of a group and the keys of their items

static bool is_word_of(struct lm_str text, const char *words)
{
	struct lm_str rest = lm_str(words);

	while (rest.n) {
		if (lm_str_eq(text, lm_str_cut(&rest, '|')))
			return true;
	}
	return false;
}

/// The words of "A|B|C" as "must be A, B or C".
static bool refuse_word(const char *words, struct lm_buf *why)
{
	struct lm_str rest = lm_str(words);
	const char *between = "must be ";

	while (rest.n) {
		struct lm_str word = lm_str_cut(&rest, '|');
		(void)lm_buf_printf(why, "%s%.*s", between, LM_STR_ARG(word));
		between = lm_str_find(rest, '|') < rest.n ? ", " : " or ";
	}
	return false;
}

static bool take_item_id(const json_t *value, struct lm_str *ret, struct lm_buf *why)
{
	enum { ID_MAX = 128 };

	if (!schema_take_text(value, ret, why))
		return false;
	bool fits = ret->n <= ID_MAX && schema_is_alnum(*ret, ":_-");
	return fits || schema_refuse(why, "must be 1 to 128 letters, digits, ':', '_' or '-'");
}

/// Only checked.
static bool read_item_id(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;

	(void)key;
	(void)field;
	return take_item_id(value, &text, why);
}

static bool read_kept_id(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;

	(void)key;
	if (!take_item_id(value, &text, why))
		return false;
	schema_put_text(field, text);
	return true;
}

static bool read_thing(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;

	(void)key;
	if (!schema_take_text(value, &text, why))
		return false;
	if (!arn_is_thing(text, NULL))
		return schema_refuse(why,
			"must be a thing's ARN, arn:<partition>:iot:<region>:<account>:"
			"thing/<name>, the name of 1 to 128 letters, digits, ':', '_' or '-'");
	schema_put_text(field, text);
	return true;
}

static bool read_subject(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;
	const char *rule;

	(void)key;
	if (!schema_take_text(value, &text, why))
		return false;
	if (!topic_is_filter(text, &rule))
		return schema_refuse(why, "is no topic that can be subscribed to: it %s", rule);
	schema_put_text(field, text);
	return true;
}

/// One of the words of the key's pattern.
static bool read_item_word(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text;

	if (!schema_take_text(value, &text, why))
		return false;
	if (!is_word_of(text, key->pattern))
		return refuse_word(key->pattern, why);
	schema_put_text(field, text);
	return true;
}

// CloudFormation writes booleans and numbers as strings: both are taken.

static bool read_flag(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	struct lm_str text = json_is_string(value) ? json_text(value) : (struct lm_str){"", 0};
	bool yes = json_is_true(value) || lm_str_eq_nocase(text, LM_STR("true"));

	(void)key;
	if (!yes && !json_is_false(value) && !lm_str_eq_nocase(text, LM_STR("false")))
		return schema_refuse(why, "must be true or false");
	if (field)
		*(bool *)field = yes;
	return true;
}

static bool read_space(
	const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why)
{
	uint64_t number = 0;

	(void)key;
	if (json_is_integer(value) && json_integer_value(value) <= INT_MAX)
		number = json_integer_value(value) < 0 ? 0 : (uint64_t)json_integer_value(value);
	else if (json_is_string(value))
		(void)lm_str_to_u64(json_text(value), INT_MAX, &number);
	if (number == 0)
		return schema_refuse(why, "must be a whole number of KB, 1 or more");
	*(unsigned *)field = (unsigned)number;
	return true;
}

static const struct schema_type ID = {read_item_id, NULL, NULL};
static const struct schema_type KEPT_ID = {read_kept_id, NULL, schema_finish_text};
static const struct schema_type THING = {read_thing, NULL, schema_finish_text};
static const struct schema_type SUBJECT = {read_subject, NULL, schema_finish_text};
static const struct schema_type WORD = {read_item_word, NULL, schema_finish_text};
static const struct schema_type FLAG = {read_flag, NULL, NULL};
static const struct schema_type SPACE = {read_space, NULL, NULL};

// clang-format off
static const struct schema_key CONNECTOR_KEYS[] = {
	{"Id", &ID, .required = true},
	{"ConnectorArn", &SCHEMA_TEXT, .required = true},
	{"Parameters", &SCHEMA_ANY},
	{"Source", &SCHEMA_ANY},
	{"Policy", &SCHEMA_ANY},
};
#define CORE(member) offsetof(struct group_core, member)
static const struct schema_key CORE_KEYS[] = {
	{"Id", &ID, .required = true},
	{"ThingArn", &SCHEMA_TEXT, CORE(thing_arn), .required = true},
	{"CertificateArn", &SCHEMA_TEXT, CORE(certificate_arn), .required = true},
	{"SyncShadow", &FLAG, CORE(sync_shadow)},
};
#define DEVICE(member) offsetof(struct group_device, member)
static const struct schema_key DEVICE_KEYS[] = {
	{"Id", &KEPT_ID, DEVICE(id), .required = true},
	{"ThingArn", &THING, DEVICE(thing_arn), .required = true},
	{"CertificateArn", &SCHEMA_TEXT, DEVICE(certificate_arn), .required = true},
	{"SyncShadow", &FLAG, DEVICE(sync_shadow)},
};
#define SUBSCRIPTION(member) offsetof(struct group_subscription, member)
static const struct schema_key SUBSCRIPTION_KEYS[] = {
	{"Id", &KEPT_ID, SUBSCRIPTION(id), .required = true},
	{"Source", &SCHEMA_TEXT, SUBSCRIPTION(source), .required = true},
	{"Subject", &SUBJECT, SUBSCRIPTION(subject), .required = true},
	{"Target", &SCHEMA_TEXT, SUBSCRIPTION(target), .required = true},
};
#define LOGGER(member) offsetof(struct group_logger, member)
static const struct schema_key LOGGER_KEYS[] = {
	{"Id", &ID, .required = true},
	{"Component", &WORD, LOGGER(component), .required = true, .pattern = "GreengrassSystem|Lambda"},
	{"Level", &WORD, LOGGER(level), .required = true, .pattern = "DEBUG|INFO|WARN|ERROR|FATAL"},
	{"Type", &WORD, LOGGER(type), .required = true, .pattern = "FileSystem|AWSCloudWatch"},
	{"Space", &SPACE, LOGGER(space_kb), .fallback = "128"},
};
// clang-format on

/// The arrays of a group that are known; of one without a schema the items are not looked at.
static const struct group_array {
	const char *name; ///< First: lm_str_nearest looks here.
	struct schema schema;
	size_t max; ///< Of items; 0: none of its own.
} ARRAYS[] = {
	{"Connectors", SCHEMA(CONNECTOR_KEYS)},
	{"Cores", SCHEMA(CORE_KEYS)},
	{"Devices", SCHEMA(DEVICE_KEYS), LIMIT_DEVICES},
	{"Subscriptions", SCHEMA(SUBSCRIPTION_KEYS), LIMIT_SUBSCRIPTIONS},
	{"Loggers", SCHEMA(LOGGER_KEYS)},
	{"Resources", {0}},
	{"Functions", {0}},
};

static const struct group_array *find_array(const char *name)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(ARRAYS); i++) {
		if (strcmp(ARRAYS[i].name, name) == 0)
			return &ARRAYS[i];
	}
	return NULL;
}

/// "Connectors[0] (MyId)"; the Id, shortened, only if there is one. The caller frees.
static char *item_place(const char *array, size_t i, const json_t *item)
{
	const json_t *id = json_object_get(item, "Id");
	char shown[4 * 60 + 32];

	if (!json_is_string(id) || json_string_length(id) == 0)
		return lm_xasprintf("%s[%zu]", array, i);
	return lm_xasprintf(
		"%s[%zu] (%s)", array, i, lm_str_shorten(json_text(id), 60, shown, sizeof(shown)));
}

static void check_unique(const char *place, json_t *seen, const json_t *item, size_t i,
	struct validation_errors *errors)
{
	const json_t *id = json_object_get(item, "Id");

	if (!json_is_string(id))
		return;
	const json_t *first = json_object_get(seen, json_string_value(id));
	if (first)
		validation_errors_add(errors, place, "Id", id, "is the Id of item %d already",
			(int)json_integer_value(first));
	else
		json_object_set_new(seen, json_string_value(id), json_integer((json_int_t)i));
}

/// Where an item of an array of `n` is kept; NULL: it is only checked.
static void *next_item(struct group *g, const char *array, size_t n)
{
	if (strcmp(array, "Cores") == 0) {
		g->cores = g->cores ? g->cores : lm_xcalloc(n, sizeof(*g->cores));
		return &g->cores[g->cores_n++];
	}
	if (strcmp(array, "Loggers") == 0) {
		g->loggers = g->loggers ? g->loggers : lm_xcalloc(n, sizeof(*g->loggers));
		return &g->loggers[g->loggers_n++];
	}
	if (strcmp(array, "Devices") == 0) {
		g->devices = g->devices ? g->devices : lm_xcalloc(n, sizeof(*g->devices));
		return &g->devices[g->devices_n++];
	}
	if (strcmp(array, "Subscriptions") == 0) {
		g->subscriptions = g->subscriptions ? g->subscriptions
						    : lm_xcalloc(n, sizeof(*g->subscriptions));
		return &g->subscriptions[g->subscriptions_n++];
	}
	return NULL;
}

static void read_array(struct group_reader *w, const struct group_array *array, const json_t *items)
{
	lm_auto_json json_t *seen = json_object();
	size_t i;
	json_t *item;

	if (!json_is_array(items)) {
		validation_errors_add(w->errors, array->name, NULL, items,
			"must be an array, but is %s", json_type_name(items));
		return;
	}
	if (array->max && json_array_size(items) > array->max) {
		validation_errors_add(w->errors, array->name, NULL, NULL,
			"has %zu items; a group can have %zu", json_array_size(items), array->max);
		return;
	}
	json_array_foreach(items, i, item)
	{
		lm_auto_free char *place = item_place(array->name, i, item);
		if (!json_is_object(item)) {
			validation_errors_add(w->errors, place, NULL, item,
				"must be an object, but is %s", json_type_name(item));
		} else if (array->schema.keys) {
			const struct schema_place at = {.entry = place, .prefix = ""};
			void *into = next_item(w->group, array->name, json_array_size(items));
			schema_read(&array->schema, item, &at, into, w->errors);
			check_unique(place, seen, item, i, w->errors);
		}
	}
}

// Our entry

/// The version from "/connectors/<name>/versions/<version>", with the name in `name`.
static bool split_resource(struct lm_str resource, struct lm_str *name, struct lm_str *version)
{
	struct lm_str rest = resource;

	if (lm_str_cut(&rest, '/').n != 0 ||
		!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("connectors")))
		return false;
	*name = lm_str_cut(&rest, '/');
	if (!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("versions")))
		return false;
	*version = rest;
	return name->n > 0 && version->n > 0 && lm_str_find(rest, '/') == rest.n;
}

/// Checks a connector's ARN. False after an error. `*ret_version` is 0 for another connector.
static bool read_arn(const char *place, const json_t *value, struct validation_errors *errors,
	struct arn *ret, unsigned *ret_version)
{
	struct lm_str name, version;
	uint64_t number;
	char shown[4 * 60 + 32];
	static const char form[] =
		"arn:<partition>:greengrass:<region>::/connectors/<name>/versions/<number>";

	if (!arn_parse(json_text(value), ret)) {
		validation_errors_add(
			errors, place, "ConnectorArn", value, "must be an ARN: %s", form);
		return false;
	}
	if (!arn_partition_known(ret->partition)) {
		validation_errors_add(errors, place, "ConnectorArn", value,
			"has the unknown partition '%s' (known: aws, aws-cn, aws-us-gov)",
			lm_str_shorten(ret->partition, 60, shown, sizeof(shown)));
		return false;
	}
	if (!lm_str_eq(ret->service, LM_STR("greengrass"))) {
		validation_errors_add(errors, place, "ConnectorArn", value,
			"is an ARN of the service '%s', not of greengrass",
			lm_str_shorten(ret->service, 60, shown, sizeof(shown)));
		return false;
	}
	if (!arn_region_valid(ret->region) || ret->account.n ||
		!split_resource(ret->resource, &name, &version)) {
		validation_errors_add(
			errors, place, "ConnectorArn", value, "must have the form %s", form);
		return false;
	}
	*ret_version = 0;
	if (!lm_str_eq(name, LM_STR(CONNECTOR_NAME)))
		return true;
	if (!lm_str_to_u64(version, CONNECTOR_VERSION_LAST, &number) || number == 0) {
		validation_errors_add(errors, place, "ConnectorArn", value,
			"must end in a version from 1 to %d, not '%s'", CONNECTOR_VERSION_LAST,
			lm_str_shorten(version, 20, shown, sizeof(shown)));
		return false;
	}
	*ret_version = (unsigned)number;
	return true;
}

static char *copy_str(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
}

/// Gives the object member `key` of our entry, or NULL after an error or if it is absent.
static const json_t *read_object(struct group_reader *w, const json_t *item, const char *key)
{
	const json_t *value = json_object_get(item, key);

	if (!value || json_is_object(value))
		return value;
	validation_errors_add(w->errors, w->ours, key, value, "must be an object, but is %s",
		json_type_name(value));
	return NULL;
}

uint64_t policy_stable_ms(const struct connector_policy *policy)
{
	enum { DEFAULT_MS = 10 * 1000 };
	uint64_t half_ms = (uint64_t)policy->health_timeout_s * 1000 / 2;

	if (policy->stable_s > 0)
		return (uint64_t)policy->stable_s * 1000;
	return half_ms < DEFAULT_MS ? half_ms : DEFAULT_MS;
}

static void check_policy(struct group_reader *w, const json_t *policy)
{
	const struct connector_policy *p = &w->group->connector.policy;

	// 0: another error is about it
	if (p->health_timeout_s > 0 && p->stable_s >= p->health_timeout_s)
		validation_errors_add(w->errors, w->ours, "Policy.StableSeconds",
			json_object_get(policy, "StableSeconds"),
			"must be less than HealthTimeoutSeconds (%u)", p->health_timeout_s);
}

/// Settings that need another one.
static void warn_of_idle_policies(struct group_reader *w, const json_t *policy)
{
	static const char *const of_wait[] = {"HealthTimeoutSeconds", "StableSeconds"};
	const struct connector_policy *p = &w->group->connector.policy;

	for (size_t i = 0; i < LM_ARRAY_SIZE(of_wait); i++)
		if (!p->wait_healthy && json_object_get(policy, of_wait[i]))
			warn(w, "%s: Policy.%s has no effect without WaitHealthy", w->ours,
				of_wait[i]);
	if (p->activate_within_s > 0 && !p->activate_at && !p->hold_file)
		warn(w,
			"%s: Policy.ActivateWithinSeconds has no effect without ActivateAt or "
			"HoldFile",
			w->ours);
}

static void warn_of_later_policies(struct group_reader *w)
{
	const struct connector_policy *p = &w->group->connector.policy;
	const struct {
		const char *name;
		bool asked;
	} later[] = {
		{"MaxBandwidthKBps", p->max_bandwidth_kbps > 0},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(later); i++)
		if (later[i].asked)
			warn(w, "%s: Policy.%s has no effect in this version of Lighterman",
				w->ours, later[i].name);
}

bool compose_source_is_artifact(const struct compose_source *source)
{
	return source->url && lm_str_starts(lm_str(source->url), LM_STR(SOURCE_ARTIFACT));
}

/// Of the members of "Source" exactly one says where the compose file is. NULL: there is none.
static const json_t *read_source(struct group_reader *w, const json_t *item)
{
	struct connector_definition *def = &w->group->connector;
	struct compose_source *source = &def->source;
	const json_t *value = read_object(w, item, "Source");
	size_t errors_n = w->errors->n;

	if (!value)
		return NULL;
	schema_read(&SOURCES, value, &(struct schema_place){w->ours, "Source.", 0}, def, w->errors);
	if (w->errors->n == errors_n && !source->text == !source->url)
		validation_errors_add(w->errors, w->ours, "Source", NULL,
			"must have Text, the compose file itself, or Url, its https:// or oci:// "
			"address");
	else if (w->errors->n == errors_n)
		def->key = lm_xstrdup(source->url    ? source->url
				      : source->name ? source->name
						     : "docker-compose.yml");
	return value;
}

static void read_ours(
	struct group_reader *w, const json_t *item, const struct arn *arn, unsigned version)
{
	struct connector_definition *def = &w->group->connector;
	const json_t *id = json_object_get(item, "Id");

	w->ours_json = item;
	def->id = lm_xstrdup(json_is_string(id) ? json_string_value(id) : "");
	def->arn = lm_xstrdup(json_get_text(item, "ConnectorArn"));
	def->partition = copy_str(arn->partition);
	def->region = copy_str(arn->region);
	def->version = version;

	const json_t *parameters = read_object(w, item, "Parameters");
	const json_t *source = read_source(w, item);
	if (parameters || !json_object_get(item, "Parameters"))
		schema_read(source ? &PARAMETERS_BESIDE_SOURCE : &PARAMETERS, parameters,
			&(struct schema_place){w->ours, "", version}, def, w->errors);
	const json_t *policy = read_object(w, item, "Policy");
	schema_read(&POLICIES, policy, &(struct schema_place){w->ours, "Policy.", version}, def,
		w->errors);
	check_policy(w, policy);
	warn_of_later_policies(w);
	warn_of_idle_policies(w, policy);
}

static void read_connector(struct group_reader *w, const json_t *item, size_t i)
{
	const json_t *value = json_object_get(item, "ConnectorArn");
	lm_auto_free char *place = item_place("Connectors", i, item);
	struct arn arn;
	unsigned version;

	if (!json_is_string(value) || json_string_length(value) == 0 ||
		!read_arn(place, value, w->errors, &arn, &version)) {
		w->doubtful = true;
		return;
	}
	if (version == 0) {
		char shown[4 * 120 + 32];
		warn(w, "%s: %s is another connector, ignoring", place,
			lm_str_shorten(json_text(value), 120, shown, sizeof(shown)));
	} else if (w->ours) {
		validation_errors_add(w->errors, place, "ConnectorArn", value,
			"is a second " CONNECTOR_NAME " connector; %s is the first, and a group "
			"may have one",
			w->ours);
	} else {
		w->ours = lm_take(place);
		read_ours(w, item, &arn, version);
	}
}

static void read_connectors(struct group_reader *w, const json_t *connectors)
{
	size_t i;
	json_t *item;

	if (!connectors) {
		validation_errors_add(w->errors, NULL, "Connectors", NULL, "is required");
		return;
	}
	json_array_foreach(connectors, i, item) read_connector(w, item, i);
	if (!w->ours && !w->doubtful && json_is_array(connectors))
		validation_errors_add(w->errors, "Connectors", NULL, NULL,
			"no entry is a " CONNECTOR_NAME " connector "
			"(arn:<partition>:greengrass:<region>::/connectors/" CONNECTOR_NAME
			"/versions/<1..7>)");
}

// Devices and subscriptions

/// The SHA-256 that the ID of a certificate of AWS IoT is, in lower case; NULL: it is none. The
/// caller frees.
static char *certificate_sha256(const char *arn)
{
	enum { DIGITS = 64 };
	const char *id = arn ? lm_path_base(arn) : "";
	char *sha256;

	if (strlen(id) != DIGITS || strspn(id, "0123456789abcdefABCDEF") != DIGITS)
		return NULL;
	sha256 = lm_xstrdup(id);
	for (size_t i = 0; i < DIGITS; i++)
		sha256[i] = (char)tolower((unsigned char)sha256[i]);
	return sha256;
}

/// Fills in what follows from the keys, and refuses a thing that is listed twice: its name is what
/// it connects with.
static void check_devices(struct group_reader *w, const json_t *devices)
{
	lm_auto_json json_t *seen = json_object();
	size_t i, n = 0;
	json_t *item;

	json_array_foreach(devices, i, item)
	{
		lm_auto_free char *place = item_place("Devices", i, item);
		const json_t *arn = json_object_get(item, "ThingArn");
		struct lm_str name;
		if (!json_is_object(item))
			continue;
		struct group_device *device = &w->group->devices[n++];
		if (!device->thing_arn || !arn_is_thing(lm_str(device->thing_arn), &name))
			continue; // another error is about it
		device->thing_name = copy_str(name);
		device->certificate_sha256 = certificate_sha256(device->certificate_arn);
		const json_t *first = json_object_get(seen, device->thing_name);
		if (first)
			validation_errors_add(w->errors, place, "ThingArn", arn,
				"has the thing name of item %d already",
				(int)json_integer_value(first));
		else
			json_object_set_new(seen, device->thing_name, json_integer((json_int_t)i));
	}
}

/// The ARNs of the group's things, to look them up.
static json_t *list_things(const struct group *g)
{
	json_t *things = json_object();

	for (size_t i = 0; i < g->cores_n; i++) {
		if (g->cores[i].thing_arn)
			json_object_set_new(things, g->cores[i].thing_arn, json_string("core"));
	}
	for (size_t i = 0; i < g->devices_n; i++) {
		if (g->devices[i].thing_arn)
			json_object_set_new(things, g->devices[i].thing_arn, json_string("device"));
	}
	return things;
}

/// A source or target, and where it stands.
struct endpoint_place {
	const char *place, *key;
	const json_t *value;
};

static void check_thing_endpoint(
	struct group_reader *w, const struct endpoint_place *at, const json_t *things)
{
	const char *kind = json_get_text(things, json_string_value(at->value));

	if (!kind)
		validation_errors_add(w->errors, at->place, at->key, at->value,
			"is a thing that Devices does not have");
	else if (strcmp(kind, "core") == 0)
		warn(w,
			"%s: %s is the core itself, with which nothing is exchanged here, "
			"ignoring",
			at->place, at->key);
}

/// False: it is no connector's ARN. A version that is not deployed is an error: V1 took such a
/// subscription as one of a connector that is gone.
static bool check_connector_endpoint(struct group_reader *w, const struct endpoint_place *at)
{
	const struct connector_definition *def = &w->group->connector;
	char shown[4 * 120 + 32];
	struct lm_str name, version;
	struct arn arn;

	if (!arn_parse(json_text(at->value), &arn) ||
		!lm_str_eq(arn.service, LM_STR("greengrass")) ||
		!split_resource(arn.resource, &name, &version))
		return false;
	if (!lm_str_eq(name, LM_STR(CONNECTOR_NAME))) {
		warn(w,
			"%s: %s is another connector (%s), with which nothing is exchanged, "
			"ignoring",
			at->place, at->key,
			lm_str_shorten(json_text(at->value), 120, shown, sizeof(shown)));
	} else if (def->arn && strcmp(def->arn, json_string_value(at->value)) != 0) {
		lm_str_shorten(version, 20, shown, sizeof(shown));
		validation_errors_add(w->errors, at->place, at->key, at->value,
			"names version %s of the connector, but deployed is version %u: it must "
			"be exactly %s",
			shown, def->version, def->arn);
	}
	return true;
}

static void check_endpoint(
	struct group_reader *w, const struct endpoint_place *at, const json_t *things)
{
	struct lm_str text = json_text(at->value);

	if (lm_str_eq(text, LM_STR(ENDPOINT_CLOUD)) || lm_str_eq(text, LM_STR(ENDPOINT_SHADOWS)))
		return;
	if (arn_is_thing(text, NULL))
		check_thing_endpoint(w, at, things);
	else if (!arn_is_function(text) && !check_connector_endpoint(w, at))
		validation_errors_add(w->errors, at->place, at->key, at->value,
			"must be the ARN of a thing, a Lambda function or the connector, or "
			"\"" ENDPOINT_CLOUD "\" or \"" ENDPOINT_SHADOWS "\"");
}

static void check_subscription(struct group_reader *w, const char *place, const json_t *item,
	size_t i, const json_t *things, json_t *seen)
{
	static const char *const ends[] = {"Source", "Target"};
	const char *source = json_get_text(item, "Source");
	const char *subject = json_get_text(item, "Subject");
	const char *target = json_get_text(item, "Target");

	for (size_t k = 0; k < LM_ARRAY_SIZE(ends); k++) {
		const json_t *value = json_object_get(item, ends[k]);

		if (json_is_string(value) && json_string_length(value) > 0)
			check_endpoint(w, &(struct endpoint_place){place, ends[k], value}, things);
	}
	if (!source || !subject || !target)
		return;
	if (strcmp(source, target) == 0 && strcmp(source, ENDPOINT_CLOUD) == 0)
		validation_errors_add(w->errors, place, "Target", json_object_get(item, "Target"),
			"is the Source, too: a message would come back for ever");
	// None of them has a line end in it.
	lm_auto_free char *all = lm_xasprintf("%s\n%s\n%s", source, subject, target);
	const json_t *first = json_object_get(seen, all);
	if (first)
		warn(w, "%s: is the same as item %d, ignoring", place,
			(int)json_integer_value(first));
	else
		json_object_set_new(seen, all, json_integer((json_int_t)i));
}

static void check_subscriptions(struct group_reader *w, const json_t *subscriptions)
{
	lm_auto_json json_t *things = list_things(w->group);
	lm_auto_json json_t *seen = json_object();
	size_t i;
	json_t *item;

	if (json_array_size(subscriptions) > LIMIT_SUBSCRIPTIONS)
		return;
	if (w->group->devices_n == 0) {
		// A group that only sent the status to the cloud must not lose that unnoticed.
		if (json_array_size(subscriptions) > 0)
			warn(w, "Subscriptions: have no effect without Devices, ignoring; status "
				"messages go "
				"to the brokers of the host file's mqtt");
		return;
	}
	json_array_foreach(subscriptions, i, item)
	{
		lm_auto_free char *place = item_place("Subscriptions", i, item);
		check_subscription(w, place, item, i, things, seen);
	}
}

static void note_reserved_ids(struct group_reader *w, const json_t *resources)
{
	size_t i;
	json_t *item;

	json_array_foreach(resources, i, item)
	{
		const json_t *id = json_object_get(item, "Id");
		lm_auto_free char *place = item_place("Resources", i, item);
		if (json_is_string(id) && lm_str_starts(json_text(id), LM_STR(RESERVED_ID)))
			warn(w,
				"%s: the connector made this resource for its secrets; it is not "
				"needed here, ignoring",
				place);
	}
}

/// What get-connector-definition-version prints beside "Definition", and what others may add.
static bool is_metadata(const char *key)
{
	static const char *const known[] = {"Arn", "Id", "Version", "CreationTimestamp",
		"LastUpdatedTimestamp", "NextToken", "Name", "ResponseMetadata", "DefaultConfig",
		"LatestVersion", "LatestVersionArn", "AmznClientToken", "tags"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(known); i++) {
		if (strcmp(known[i], key) == 0)
			return true;
	}
	return false;
}

static void warn_unknown(struct group_reader *w, const char *key)
{
	const char *near = lm_str_nearest(key, ARRAYS, LM_ARRAY_SIZE(ARRAYS), sizeof(*ARRAYS));
	char shown[4 * 60 + 32];

	lm_str_shorten(lm_str(key), 60, shown, sizeof(shown));
	if (near)
		warn(w, "%s: is not known, ignoring; did you mean %s?", shown, near);
	else
		warn(w, "%s: is not known, ignoring", shown);
}

static void read_version(struct group_reader *w, const json_t *version)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)version, key, value)
	{
		const struct group_array *array = find_array(key);
		if (array)
			read_array(w, array, value);
		else if (!is_metadata(key))
			warn_unknown(w, key);
	}
	read_connectors(w, json_object_get(version, "Connectors"));
	if (w->group->devices)
		check_devices(w, json_object_get(version, "Devices"));
	check_subscriptions(w, json_object_get(version, "Subscriptions"));
	note_reserved_ids(w, json_object_get(version, "Resources"));
}

/// The version object, wherever it stands; NULL after an error.
static const json_t *unwrap(struct group_reader *w, const json_t *document)
{
	static const char *const wrappers[] = {"Definition", "InitialVersion"};
	const json_t *found = NULL;
	const char *name = NULL;
	const char *key;
	json_t *value;

	if (!json_is_object(document)) {
		validation_errors_add(w->errors, NULL, NULL, document,
			"must be an object, but is %s", json_type_name(document));
		return NULL;
	}
	if (json_object_get(document, "Connectors"))
		name = "Connectors";
	for (size_t i = 0; i < LM_ARRAY_SIZE(wrappers); i++) {
		value = json_object_get(document, wrappers[i]);
		if (!value)
			continue;
		if (name) {
			validation_errors_add(w->errors, NULL, wrappers[i], NULL,
				"conflicts with %s; give only one of them", name);
			return NULL;
		}
		name = wrappers[i];
		found = value;
	}
	if (!found)
		return document;
	if (!json_is_object(found)) {
		validation_errors_add(w->errors, NULL, name, found, "must be an object, but is %s",
			json_type_name(found));
		return NULL;
	}
	json_object_foreach((json_t *)document, key, value)
	{
		if (value != found && !is_metadata(key))
			warn_unknown(w, key);
	}
	return found;
}

static json_t *reduce(const json_t *version, const json_t *ours)
{
	static const char *const kept[] = {"Cores", "Devices", "Subscriptions", "Loggers"};
	json_t *reduced = json_object();
	json_t *connectors = json_array();

	json_array_append_new(connectors, json_deep_copy(ours));
	json_object_set_new(reduced, "Connectors", connectors);
	for (size_t i = 0; i < LM_ARRAY_SIZE(kept); i++) {
		const json_t *value = json_object_get(version, kept[i]);
		if (value)
			json_object_set_new(reduced, kept[i], json_deep_copy(value));
	}
	return reduced;
}

lm_rc definition_parse_json(const json_t *document, struct validation_errors *errors,
	struct group **ret, struct lm_err *err)
{
	lm_auto(group_destroy_p) struct group *group = lm_xcalloc(1, sizeof(*group));
	struct group_reader w = {.group = group, .errors = errors};
	// A bare array of connectors counts as the version object around it.
	lm_auto_json json_t *around = group_form_is_connectors(document)
					      ? json_pack("{s:O}", "Connectors", document)
					      : NULL;
	lm_auto_free char *rule = group_form_explain_document(document);
	const json_t *version = NULL;

	if (rule)
		validation_errors_add(errors, NULL, NULL, NULL, "%s", rule);
	else
		version = unwrap(&w, around ? around : document);
	if (version)
		read_version(&w, version);
	free(w.ours);
	lm_rc rc = validation_errors_fail(errors, "the group file", err);
	if (rc)
		return rc;
	group->json = reduce(version, w.ours_json);
	*ret = lm_take(group);
	return LM_OK;
}

json_t *definition_read(struct lm_str text, struct validation_errors *errors)
{
	struct lm_str body = group_form_skip_mark(text);
	struct lm_err why = {0};
	json_t *document = NULL;

	if (text.n > LIMIT_GROUP_FILE) {
		validation_errors_add(
			errors, NULL, NULL, NULL, "is larger than %d bytes", LIMIT_GROUP_FILE);
		return NULL;
	}
	lm_auto_free char *rule = group_form_explain_bytes(body);
	if (!rule && json_count(body) > LIMIT_GROUP_VALUES)
		rule = lm_xasprintf("has more than %d values and keys", LIMIT_GROUP_VALUES);
	if (!rule && json_parse(body, &document, &why)) {
		rule = group_form_explain_text(body);
		if (!rule)
			rule = lm_xasprintf("is not valid JSON: %s", why.msg);
	}
	if (rule)
		validation_errors_add(errors, NULL, NULL, NULL, "%s", rule);
	return document;
}

lm_rc definition_parse(struct lm_str text, struct validation_errors *errors, struct group **ret,
	struct lm_err *err)
{
	lm_auto_json json_t *document = definition_read(text, errors);

	if (!document)
		return validation_errors_fail(errors, "the group file", err);
	return definition_parse_json(document, errors, ret, err);
}

static void definition_finish(struct connector_definition *def)
{
	free(def->id);
	free(def->arn);
	free(def->partition);
	free(def->region);
	schema_finish(&PARAMETERS, def);
	schema_finish(&POLICIES, def);
	schema_finish(&SOURCES, def);
}

void group_destroy(struct group *group)
{
	if (!group)
		return;
	definition_finish(&group->connector);
	for (size_t i = 0; i < group->loggers_n; i++)
		schema_finish(&find_array("Loggers")->schema, &group->loggers[i]);
	free(group->loggers);
	for (size_t i = 0; i < group->cores_n; i++)
		schema_finish(&find_array("Cores")->schema, &group->cores[i]);
	free(group->cores);
	for (size_t i = 0; i < group->devices_n; i++) {
		schema_finish(&find_array("Devices")->schema, &group->devices[i]);
		free(group->devices[i].thing_name);
		free(group->devices[i].certificate_sha256);
	}
	free(group->devices);
	for (size_t i = 0; i < group->subscriptions_n; i++)
		schema_finish(&find_array("Subscriptions")->schema, &group->subscriptions[i]);
	free(group->subscriptions);
	for (size_t i = 0; i < group->warnings_n; i++)
		free(group->warnings[i]);
	free(group->warnings);
	json_decref(group->json);
	free(group);
}

char *definition_file_text(const struct connector_definition *def)
{
	return def->bucket ? lm_xasprintf("'%s' from bucket '%s'", def->key, def->bucket)
			   : lm_xasprintf("'%s'", def->key);
}

static bool is_equal_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool definition_same_file(
	const struct connector_definition *a, const struct connector_definition *b)
{
	return is_equal_text(a->bucket, b->bucket) && is_equal_text(a->key, b->key) &&
	       is_equal_text(a->source.text, b->source.text) &&
	       is_equal_text(a->source.url, b->source.url);
}

json_t *group_to_json(const struct group *group)
{
	return json_deep_copy(group->json);
}
