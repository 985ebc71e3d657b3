// SPDX-License-Identifier: Apache-2.0
#include "config/definition.h"

#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "config/form.h"
#include "config/items_priv.h"
#include "config/parameters.h"

#define RESERVED_ID "DOCKER_DEPLOYER_SECRET_RESOURCE_RESERVED_ID_"
enum { LOGGER_SPACE_KB = 128 };

/// What the walk over a group file carries along.
struct walk {
	struct group *group;
	struct definition_faults *faults;
	char *ours; ///< Place of our entry; NULL until it is found.
	const json_t *ours_json;
	bool doubtful; ///< An entry cannot be told to be ours or not.
};

static void warn(struct walk *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void warn(struct walk *w, const char *format, ...)
{
	struct group *g = w->group;

	// Past this, one more line tells nobody anything.
	if (g->warnings_n == FAULTS_MAX)
		return;
	if (!g->warnings)
		g->warnings = lm_xcalloc(FAULTS_MAX, sizeof(char *));
	va_list ap;
	va_start(ap, format);
	g->warnings[g->warnings_n++] = lm_xvasprintf(format, ap);
	va_end(ap);
}

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

/// Checks a connector's ARN. False after a fault. `*ret_version` is 0 for another connector.
static bool read_arn(const char *place, const json_t *value, struct definition_faults *faults,
	struct arn *ret, unsigned *ret_version)
{
	struct lm_str name, version;
	uint64_t number;
	char shown[4 * 60 + 32];
	static const char form[] =
		"arn:<partition>:greengrass:<region>::/connectors/<name>/versions/<number>";

	if (!arn_parse(json_text(value), ret)) {
		faults_add(faults, place, "ConnectorArn", value, "must be an ARN: %s", form);
		return false;
	}
	if (!arn_partition_known(ret->partition)) {
		faults_add(faults, place, "ConnectorArn", value,
			"has the unknown partition '%s' (known: aws, aws-cn, aws-us-gov)",
			lm_str_shorten(ret->partition, 60, shown, sizeof(shown)));
		return false;
	}
	if (!lm_str_eq(ret->service, LM_STR("greengrass"))) {
		faults_add(faults, place, "ConnectorArn", value,
			"is an ARN of the service '%s', not of greengrass",
			lm_str_shorten(ret->service, 60, shown, sizeof(shown)));
		return false;
	}
	if (!arn_region_valid(ret->region) || ret->account.n ||
		!split_resource(ret->resource, &name, &version)) {
		faults_add(faults, place, "ConnectorArn", value, "must have the form %s", form);
		return false;
	}
	*ret_version = 0;
	if (!lm_str_eq(name, LM_STR(CONNECTOR_NAME)))
		return true;
	if (!lm_str_to_u64(version, CONNECTOR_VERSION_LAST, &number) || number == 0) {
		faults_add(faults, place, "ConnectorArn", value,
			"must end in a version from 1 to %d, not '%s'", CONNECTOR_VERSION_LAST,
			lm_str_shorten(version, 20, shown, sizeof(shown)));
		return false;
	}
	*ret_version = (unsigned)number;
	return true;
}

static char *copy(struct lm_str s)
{
	return lm_xmemdup0(s.p, s.n);
}

/// Gives the object member `key` of our entry, or NULL after a fault or if it is absent.
static const json_t *read_object(struct walk *w, const json_t *item, const char *key)
{
	const json_t *value = json_object_get(item, key);

	if (!value || json_is_object(value))
		return value;
	faults_add(w->faults, w->ours, key, value, "must be an object, but is %s",
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

static void check_policy(struct walk *w, const json_t *policy)
{
	const struct connector_policy *p = &w->group->connector.policy;

	// 0: another fault is about it
	if (p->health_timeout_s > 0 && p->stable_s >= p->health_timeout_s)
		faults_add(w->faults, w->ours, "Policy.StableSeconds",
			json_object_get(policy, "StableSeconds"),
			"must be less than HealthTimeoutSeconds (%u)", p->health_timeout_s);
}

static void warn_of_later_policies(struct walk *w)
{
	const struct connector_policy *p = &w->group->connector.policy;
	const struct {
		const char *name;
		bool asked;
	} later[] = {
		{"RollbackOnFailure", p->rollback_on_failure},
		{"ProbationSeconds", p->probation_s > 0},
		{"RestartUnhealthy", p->restart_unhealthy},
		{"PruneImages", p->prune_images},
		{"MaxBandwidthKBps", p->max_bandwidth_kbps > 0},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(later); i++)
		if (later[i].asked)
			warn(w, "%s: Policy.%s has no effect in this version of Lighterman",
				w->ours, later[i].name);
}

static void read_ours(struct walk *w, const json_t *item, const struct arn *arn, unsigned version)
{
	struct connector_definition *def = &w->group->connector;
	const json_t *id = json_object_get(item, "Id");

	w->ours_json = item;
	def->id = lm_xstrdup(json_is_string(id) ? json_string_value(id) : "");
	def->arn = lm_xstrdup(json_get_text(item, "ConnectorArn"));
	def->partition = copy(arn->partition);
	def->region = copy(arn->region);
	def->version = version;

	const json_t *parameters = read_object(w, item, "Parameters");
	if (parameters || !json_object_get(item, "Parameters"))
		parameters_read(PARAMETERS, PARAMETERS_N, parameters, w->ours, "", def, w->faults);
	const json_t *policy = read_object(w, item, "Policy");
	parameters_read(POLICIES, POLICIES_N, policy, w->ours, "Policy.", def, w->faults);
	check_policy(w, policy);
	warn_of_later_policies(w);
}

static void read_connector(struct walk *w, const json_t *item, size_t i)
{
	const json_t *value = json_object_get(item, "ConnectorArn");
	lm_auto_free char *place = items_place("Connectors", i, item);
	struct arn arn;
	unsigned version;

	if (!json_is_string(value) || json_string_length(value) == 0 ||
		!read_arn(place, value, w->faults, &arn, &version)) {
		w->doubtful = true;
		return;
	}
	if (version == 0) {
		char shown[4 * 120 + 32];
		warn(w, "%s: %s is another connector, left alone", place,
			lm_str_shorten(json_text(value), 120, shown, sizeof(shown)));
	} else if (w->ours) {
		faults_add(w->faults, place, "ConnectorArn", value,
			"is a second " CONNECTOR_NAME " connector; %s is the first, and a group "
			"may have one",
			w->ours);
	} else {
		w->ours = lm_take(place);
		read_ours(w, item, &arn, version);
	}
}

static void read_connectors(struct walk *w, const json_t *connectors)
{
	size_t i;
	json_t *item;

	if (!connectors) {
		faults_add(w->faults, NULL, "Connectors", NULL, "is required");
		return;
	}
	json_array_foreach(connectors, i, item) read_connector(w, item, i);
	if (!w->ours && !w->doubtful && json_is_array(connectors))
		faults_add(w->faults, "Connectors", NULL, NULL,
			"no entry is a " CONNECTOR_NAME " connector "
			"(arn:<partition>:greengrass:<region>::/connectors/" CONNECTOR_NAME
			"/versions/<1..7>)");
}

static void read_loggers(struct walk *w, const json_t *loggers)
{
	struct group *g = w->group;
	size_t i;
	json_t *item;

	g->loggers = lm_xcalloc(json_array_size(loggers) + 1, sizeof(*g->loggers));
	json_array_foreach(loggers, i, item)
	{
		g->loggers[g->loggers_n++] = (struct group_logger){
			.component = copy(json_text(json_object_get(item, "Component"))),
			.level = copy(json_text(json_object_get(item, "Level"))),
			.type = copy(json_text(json_object_get(item, "Type"))),
			.space_kb = items_number(json_object_get(item, "Space"), LOGGER_SPACE_KB),
		};
	}
}

static void read_cores(struct walk *w, const json_t *cores)
{
	struct group *g = w->group;
	size_t i;
	json_t *item;

	g->cores = lm_xcalloc(json_array_size(cores) + 1, sizeof(*g->cores));
	json_array_foreach(cores, i, item)
	{
		g->cores[g->cores_n++] = (struct group_core){
			.thing_arn = copy(json_text(json_object_get(item, "ThingArn"))),
			.certificate_arn = copy(json_text(json_object_get(item, "CertificateArn"))),
			.sync_shadow = items_bool(json_object_get(item, "SyncShadow")),
		};
	}
}

static void note_reserved_ids(struct walk *w, const json_t *resources)
{
	size_t i;
	json_t *item;

	json_array_foreach(resources, i, item)
	{
		const json_t *id = json_object_get(item, "Id");
		lm_auto_free char *place = items_place("Resources", i, item);
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

static void warn_unknown(struct walk *w, const char *key)
{
	const char *near = faults_nearest(key, ITEMS_ARRAYS, ITEMS_ARRAYS_N, sizeof(*ITEMS_ARRAYS));
	char shown[4 * 60 + 32];

	lm_str_shorten(lm_str(key), 60, shown, sizeof(shown));
	if (near)
		warn(w, "%s: is not known and left alone; did you mean %s?", shown, near);
	else
		warn(w, "%s: is not known and left alone", shown);
}

static void read_version(struct walk *w, const json_t *version)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)version, key, value)
	{
		bool known = false;
		for (size_t i = 0; i < ITEMS_ARRAYS_N && !known; i++)
			known = strcmp(ITEMS_ARRAYS[i], key) == 0;
		if (known)
			items_check(key, value, w->faults);
		else if (!is_metadata(key))
			warn_unknown(w, key);
	}
	read_connectors(w, json_object_get(version, "Connectors"));
	note_reserved_ids(w, json_object_get(version, "Resources"));
}

/// The version object, wherever it stands; NULL after a fault.
static const json_t *unwrap(struct walk *w, const json_t *document)
{
	static const char *const wrappers[] = {"Definition", "InitialVersion"};
	const json_t *found = NULL;
	const char *name = NULL;
	const char *key;
	json_t *value;

	if (!json_is_object(document)) {
		faults_add(w->faults, NULL, NULL, document, "must be an object, but is %s",
			json_type_name(document));
		return NULL;
	}
	if (json_object_get(document, "Connectors"))
		name = "Connectors";
	for (size_t i = 0; i < LM_ARRAY_SIZE(wrappers); i++) {
		value = json_object_get(document, wrappers[i]);
		if (!value)
			continue;
		if (name) {
			faults_add(w->faults, NULL, wrappers[i], NULL,
				"stands beside %s; one of them is allowed", name);
			return NULL;
		}
		name = wrappers[i];
		found = value;
	}
	if (!found)
		return document;
	if (!json_is_object(found)) {
		faults_add(w->faults, NULL, name, found, "must be an object, but is %s",
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

static lm_rc fail_faults(const struct definition_faults *faults, struct lm_err *err)
{
	lm_auto_free char *text = fault_text(&faults->items[0]);
	bool whole = !faults->items[0].entry && !faults->items[0].parameter;
	lm_auto_free char *first = lm_xasprintf("%s%s", whole ? "the group file " : "", text);
	size_t others = faults->n + faults->more - 1;

	if (others == 0)
		return lm_fail(err, LM_E_INVALID, 0, "%s", first);
	return lm_fail(err, LM_E_INVALID, 0, "%s (and %zu more)", first, others);
}

static json_t *reduce(const json_t *version, const json_t *ours)
{
	static const char *const kept[] = {"Cores", "Loggers"};
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

lm_rc definition_parse_json(const json_t *document, struct definition_faults *faults,
	struct group **ret, struct lm_err *err)
{
	lm_auto(group_destroy_p) struct group *group = lm_xcalloc(1, sizeof(*group));
	struct walk w = {.group = group, .faults = faults};
	// A bare array of connectors counts as the version object around it.
	lm_auto_json json_t *around =
		form_is_connectors(document) ? json_pack("{s:O}", "Connectors", document) : NULL;
	lm_auto_free char *rule = form_explain_document(document);
	const json_t *version = NULL;

	if (rule)
		faults_add(faults, NULL, NULL, NULL, "%s", rule);
	else
		version = unwrap(&w, around ? around : document);
	if (version)
		read_version(&w, version);
	free(w.ours);
	if (faults->n)
		return fail_faults(faults, err);
	read_loggers(&w, json_object_get(version, "Loggers"));
	read_cores(&w, json_object_get(version, "Cores"));
	group->json = reduce(version, w.ours_json);
	*ret = lm_take(group);
	return LM_OK;
}

json_t *definition_read(struct lm_str text, struct definition_faults *faults)
{
	struct lm_str body = form_skip_mark(text);
	struct lm_err why = {0};
	json_t *document = NULL;

	if (text.n > LIMIT_GROUP_FILE) {
		faults_add(faults, NULL, NULL, NULL, "is larger than %d bytes", LIMIT_GROUP_FILE);
		return NULL;
	}
	lm_auto_free char *rule = form_explain_bytes(body);
	if (!rule && json_count(body) > LIMIT_GROUP_VALUES)
		rule = lm_xasprintf("has more than %d values and keys", LIMIT_GROUP_VALUES);
	if (!rule && json_parse(body, &document, &why)) {
		rule = form_explain_text(body);
		if (!rule)
			rule = lm_xasprintf("is not valid JSON: %s", why.msg);
	}
	if (rule)
		faults_add(faults, NULL, NULL, NULL, "%s", rule);
	return document;
}

lm_rc definition_parse(struct lm_str text, struct definition_faults *faults, struct group **ret,
	struct lm_err *err)
{
	lm_auto_json json_t *document = definition_read(text, faults);

	if (!document)
		return fail_faults(faults, err);
	return definition_parse_json(document, faults, ret, err);
}

static void definition_finish(struct connector_definition *def)
{
	free(def->id);
	free(def->arn);
	free(def->partition);
	free(def->region);
	free(def->bucket);
	free(def->key);
	free(def->object_version);
	free(def->destination);
	for (size_t i = 0; i < def->secret_arns_n; i++)
		free(def->secret_arns[i]);
	free(def->secret_arns);
	free(def->policy.compose_file_sha256);
}

void group_destroy(struct group *group)
{
	if (!group)
		return;
	definition_finish(&group->connector);
	for (size_t i = 0; i < group->loggers_n; i++) {
		free(group->loggers[i].component);
		free(group->loggers[i].level);
		free(group->loggers[i].type);
	}
	free(group->loggers);
	for (size_t i = 0; i < group->cores_n; i++) {
		free(group->cores[i].thing_arn);
		free(group->cores[i].certificate_arn);
	}
	free(group->cores);
	for (size_t i = 0; i < group->warnings_n; i++)
		free(group->warnings[i]);
	free(group->warnings);
	json_decref(group->json);
	free(group);
}

json_t *group_to_json(const struct group *group)
{
	return json_deep_copy(group->json);
}

bool group_equal(const struct group *a, const struct group *b)
{
	return json_equal(a->json, b->json) != 0;
}
