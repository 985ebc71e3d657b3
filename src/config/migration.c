// SPDX-License-Identifier: Apache-2.0
#include "config/migration.h"

#include "base/buf.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "config/core_config.h"
#include "config/definition.h"
#include "config/group_form.h"
#include "config/host_file.h"
#include "config/parameters.h"

#include <stdio.h>

enum {
	NOTES_MAX = 100, ///< Of what was not taken; further ones are only counted.
	NAMES_MAX = 10,  ///< In one sentence.
	NAME_SHOWN = 80,
	SEARCH_DEPTH = 12, ///< For what a Lambda function of group.json has.
	SEARCH_VALUES = 20000,
	PORT_ALPN = 443,
	PORT_TLS = 8883,
};

#define FIRST_PARAMETER "DockerComposeFileS3Bucket"

/// The arrays of definition versions.
enum section {
	CONNECTORS,
	CORES,
	DEVICES,
	SUBSCRIPTIONS,
	LOGGERS,
	IN_GROUP_FILE, ///< So many of them.
	FUNCTIONS = IN_GROUP_FILE,
	RESOURCES,
	SECTIONS,
};

static const struct {
	const char *name;
	const char *mark; ///< A key that only its items have; NULL: there is none.
} KINDS[SECTIONS] = {
	[CONNECTORS] = {"Connectors", "ConnectorArn"},
	[CORES] = {"Cores", NULL},
	[DEVICES] = {"Devices", NULL},
	[SUBSCRIPTIONS] = {"Subscriptions", "Subject"},
	[LOGGERS] = {"Loggers", "Component"},
	[FUNCTIONS] = {"Functions", "FunctionArn"},
	[RESOURCES] = {"Resources", "ResourceDataContainer"},
};

/// Items of one kind, and where they are from.
struct part {
	json_t *items; ///< NULL: none were given.
	char *arn;     ///< Of the definition version; NULL: unknown.
	char *from;    ///< The document's name.
};

struct migration {
	char *root; ///< NULL: no core was added.
	struct core_config core;
	struct part saved[SECTIONS];
	struct part deployed[SECTIONS]; ///< Of group.json.
	char *deployed_from;            ///< NULL: none was added.
	json_t *guessed;                ///< The parameters that group.json has; NULL: none.
	unsigned guessed_version;       ///< 0: unknown.
	char *guessed_region;
	json_t *taken, *left, *keep, *report;
	size_t more; ///< Notes beyond NOTES_MAX.
	json_t *host, *group;
};

struct migration *migration_create(void)
{
	struct migration *m = lm_xcalloc(1, sizeof(*m));

	m->taken = json_array();
	m->left = json_array();
	m->keep = json_array();
	return m;
}

static void part_finish(struct part *p)
{
	json_decref(p->items);
	free(p->arn);
	free(p->from);
}

void migration_destroy(struct migration *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < SECTIONS; i++) {
		part_finish(&m->saved[i]);
		part_finish(&m->deployed[i]);
	}
	core_config_finish(&m->core);
	free(m->root);
	free(m->deployed_from);
	json_decref(m->guessed);
	free(m->guessed_region);
	json_decref(m->taken);
	json_decref(m->left);
	json_decref(m->keep);
	json_decref(m->report);
	json_decref(m->host);
	json_decref(m->group);
	free(m);
}

// The report

static void note_item(struct migration *m, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void note_item(struct migration *m, const char *what, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *value = lm_xvasprintf(format, ap);
	va_end(ap);
	json_array_append_new(
		m->taken, json_pack("{s:s, s:o}", "what", what, "value", json_from_text(value)));
}

/// `fix` NULL: nothing is to be done.
static void note_missed(struct migration *m, const char *what, const char *why, const char *fix)
{
	if (json_array_size(m->left) == NOTES_MAX) {
		m->more++;
		return;
	}
	json_array_append_new(
		m->left, json_pack("{s:o, s:o, s:o}", "what", json_from_text(what), "why",
				 json_from_text(why), "fix", json_from_text(fix)));
}

/// Adds a name to a list for a sentence; after NAMES_MAX of them only "and N more".
static void list_name(struct lm_buf *list, size_t i, size_t n, const char *name)
{
	char shown[4 * NAME_SHOWN + 32];

	if (i < NAMES_MAX)
		(void)lm_buf_printf(list, "%s%s", i ? ", " : "",
			lm_str_shorten(
				lm_str(name ? name : "?"), NAME_SHOWN, shown, sizeof(shown)));
	else if (i == NAMES_MAX)
		(void)lm_buf_printf(list, " and %zu more", n - i);
}

static void list_members(struct lm_buf *list, const json_t *items, const char *key)
{
	size_t i;
	json_t *item;

	json_array_foreach(items, i, item)
	{
		const char *name = json_get_text(item, key);

		list_name(list, i, json_array_size(items), name ? name : json_get_text(item, "Id"));
	}
}

// What is given

lm_rc migration_add_core(
	struct migration *m, const json_t *config, const char *root, struct lm_err *err)
{
	if (m->root)
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' and '%s' are two cores: import one at a time", m->root, root);
	if (!json_is_object(json_object_get(config, "coreThing")))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s/config/config.json' has no coreThing, so it is not that of a "
			"Greengrass V1 core",
			root);
	m->root = lm_xstrdup(root);
	core_config_read(config, root, &m->core);
	return LM_OK;
}

static lm_rc add_items(struct part *part, enum section section, json_t *items, const char *arn,
	const char *name, struct lm_err *err)
{
	if (!json_is_array(items))
		return lm_fail(err, LM_E_INVALID, 0, "%s: %s must be an array, but is %s", name,
			KINDS[section].name, json_type_name(items));
	if (!part->items) {
		*part = (struct part){
			json_copy(items), arn ? lm_xstrdup(arn) : NULL, lm_xstrdup(name)};
		return LM_OK;
	}
	// A long definition version comes in parts.
	if (!arn || !part->arn || strcmp(arn, part->arn) != 0)
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: has %s, and so has %s: give one of the two", name, KINDS[section].name,
			part->from);
	json_array_extend(part->items, items);
	return LM_OK;
}

/// An array alone, as --query prints it.
static lm_rc add_array(struct migration *m, json_t *array, const char *name, struct lm_err *err)
{
	const json_t *first = json_array_get(array, 0);

	for (enum section s = 0; s < SECTIONS; s++)
		if (KINDS[s].mark && json_object_get(first, KINDS[s].mark))
			return add_items(&m->saved[s], s, array, NULL, name, err);
	if (json_object_get(first, "ThingArn"))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: is an array of cores or of devices, which look alike: give the whole "
			"output of the command, without --query",
			name);
	return lm_fail(err, LM_E_INVALID, 0,
		"%s: is an array of nothing that Greengrass V1 has in a group", name);
}

static bool has_only_arns(const json_t *version)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)version, key, value)
	{
		if (lm_str_ends(lm_str(key), LM_STR("DefinitionVersionArn")))
			return true;
	}
	return false;
}

static void note_next_part(struct migration *m, const json_t *document, const char *name)
{
	const char *token = json_get_text(document, "NextToken");

	if (token && *token)
		note_missed(m, name, "it has a NextToken, so it is only a part of the list",
			"print the next part with --next-token, and give both files");
}

static lm_rc add_version(
	struct migration *m, const json_t *document, const char *name, struct lm_err *err)
{
	static const char *const wrappers[] = {"Definition", "InitialVersion"};
	const json_t *version = document;
	const char *arn = json_get_text(document, "Arn");
	bool found = false;

	for (size_t i = 0; i < LM_ARRAY_SIZE(wrappers); i++)
		if (json_is_object(json_object_get(document, wrappers[i])))
			version = json_object_get(document, wrappers[i]);
	for (enum section s = 0; s < SECTIONS; s++) {
		json_t *items = json_object_get(version, KINDS[s].name);
		lm_rc rc = items ? add_items(&m->saved[s], s, items, arn, name, err) : LM_OK;

		if (rc)
			return rc;
		found |= items != NULL;
	}
	if (found) {
		note_next_part(m, document, name);
		return LM_OK;
	}
	if (has_only_arns(version)) {
		note_missed(m, name,
			"it is a group version, which has only the ARNs of its definitions",
			"give saved output of get-connector-definition-version and of the others "
			"that it names");
		return LM_OK;
	}
	lm_auto_free char *rule = group_form_explain_document(document);
	return lm_fail(err, LM_E_INVALID, 0, "%s: %s", name,
		rule ? rule
		     : "is nothing that Greengrass V1 has: give a core's root folder, and saved "
		       "output of aws greengrass get-...-definition-version");
}

// group.json, whose keys are written in several ways

static json_t *member_nocase(const json_t *object, const char *name)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		if (lm_str_eq_nocase(lm_str(key), lm_str(name)))
			return value;
	}
	return NULL;
}

/// The items as definition versions have them: with these keys (which NULL ends), as far as they
/// are there, and an Id.
static json_t *convert_items(const json_t *items, const char *const *keys, const char *kind)
{
	json_t *converted = json_array();
	size_t i;
	json_t *item;

	json_array_foreach(items, i, item)
	{
		lm_auto_free char *id = lm_xasprintf("%s-%zu", kind, i + 1);
		json_t *own = member_nocase(item, "Id");
		json_t *to = json_object();

		json_object_set_new(
			to, "Id", json_is_string(own) ? json_incref(own) : json_string(id));
		for (size_t k = 0; keys[k]; k++) {
			json_t *value = member_nocase(item, keys[k]);

			if (value)
				json_object_set(to, keys[k], value);
		}
		json_array_append_new(converted, to);
	}
	return converted;
}

static void deploy_part(struct migration *m, enum section s, json_t *items)
{
	m->deployed[s].items = items;
}

static const json_t *content_of(const json_t *definitions, const char *name)
{
	return json_object_get(json_object_get(definitions, name), "Content");
}

static json_t *convert_things(const json_t *items, const char *kind)
{
	static const char *const keys[] = {"ThingArn", "CertificateArn", "SyncShadow", NULL};
	json_t *things = convert_items(items, keys, kind);
	size_t i;
	json_t *thing;

	json_array_foreach(things, i, thing)
	{
		json_t *arn = member_nocase(json_array_get(items, i), "certArn");

		if (json_object_get(thing, "CertificateArn"))
			continue;
		json_object_set_new(thing, "CertificateArn",
			json_is_string(arn) ? json_incref(arn) : json_string("unknown"));
	}
	return things;
}

/// The first value in `value`, or itself, that `fits`; NULL: none does. Of those at most `*left`
/// are looked at.
static const json_t *find_value(
	const json_t *value, unsigned depth, size_t *left, bool (*fits)(const json_t *value))
{
	const json_t *found = NULL;
	const char *key;
	json_t *member;
	size_t i;

	if (depth == 0 || *left == 0)
		return NULL;
	--*left;
	if (fits(value))
		return value;
	json_object_foreach((json_t *)value, key, member)
	{
		if (!found)
			found = find_value(member, depth - 1, left, fits);
	}
	json_array_foreach(value, i, member)
	{
		if (!found)
			found = find_value(member, depth - 1, left, fits);
	}
	return found;
}

static bool has_our_parameters(const json_t *value)
{
	return json_get_text(value, FIRST_PARAMETER) != NULL;
}

/// The version at the end of an ARN of our connector or its function; 0: it is none.
static unsigned version_in(struct lm_str text)
{
	size_t n = text.n;
	uint64_t version = 0;

	if (!strstr(text.p, CONNECTOR_NAME))
		return 0;
	while (n && text.p[n - 1] >= '0' && text.p[n - 1] <= '9')
		n--;
	(void)lm_str_to_u64(
		(struct lm_str){text.p + n, text.n - n}, CONNECTOR_VERSION_LAST, &version);
	return (unsigned)version;
}

static bool has_our_version(const json_t *value)
{
	return json_is_string(value) && version_in(json_text(value)) > 0;
}

/// Our connector is a Lambda function there.
static void guess_connector(struct migration *m, const json_t *function, const json_t *parameters)
{
	size_t left = SEARCH_VALUES;

	m->guessed = json_object();
	for (size_t i = 0; i < PARAMETERS.n; i++) {
		json_t *value = json_object_get(parameters, PARAMETERS.keys[i].name);

		if (json_is_string(value))
			json_object_set(m->guessed, PARAMETERS.keys[i].name, value);
	}
	const json_t *arn = find_value(function, SEARCH_DEPTH, &left, has_our_version);
	m->guessed_version = arn ? version_in(json_text(arn)) : 0;
}

static void add_functions(struct migration *m, const json_t *functions)
{
	json_t *others = json_array();
	size_t i, left = SEARCH_VALUES;
	json_t *function;

	json_array_foreach(functions, i, function)
	{
		const json_t *parameters =
			m->guessed ? NULL
				   : find_value(function, SEARCH_DEPTH, &left, has_our_parameters);

		if (parameters)
			guess_connector(m, function, parameters);
		else
			json_array_append(others, function);
	}
	deploy_part(m, FUNCTIONS, others);
}

static lm_rc add_deployed(
	struct migration *m, const json_t *document, const char *name, struct lm_err *err)
{
	static const char *const of_subscriptions[] = {"Source", "Subject", "Target", NULL};
	static const char *const of_loggers[] = {"Component", "Level", "Type", "Space", NULL};
	const json_t *definitions = json_object_get(document, "GroupDefinitions");
	const char *region = json_get_text(document, "Region");
	const char *arn = json_get_text(document, "Arn");
	struct arn parsed;

	if (m->deployed_from)
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: is a core's group.json, and so is %s: give one of the two", name,
			m->deployed_from);
	m->deployed_from = lm_xstrdup(name);
	if (!region && arn && arn_parse(lm_str(arn), &parsed))
		m->guessed_region = lm_xmemdup0(parsed.region.p, parsed.region.n);
	else
		m->guessed_region = region ? lm_xstrdup(region) : NULL;
	deploy_part(m, CORES, convert_things(member_nocase(document, "Cores"), "core"));
	deploy_part(m, DEVICES, convert_things(member_nocase(document, "Devices"), "device"));
	deploy_part(m, SUBSCRIPTIONS,
		convert_items(content_of(definitions, "Subscriptions"), of_subscriptions,
			"subscription"));
	deploy_part(m, LOGGERS,
		convert_items(content_of(definitions, "Logging"), of_loggers, "logger"));
	deploy_part(m, RESOURCES, json_copy((json_t *)content_of(definitions, "Resources")));
	add_functions(m, content_of(definitions, "Lambdas"));
	return LM_OK;
}

lm_rc migration_add_document(
	struct migration *m, const json_t *document, const char *name, struct lm_err *err)
{
	if (json_is_array(document))
		return add_array(m, (json_t *)document, name, err);
	if (json_object_get(document, "coreThing"))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: is the config.json of a core: give the root folder of that core "
			"instead, which is /greengrass in most cases",
			name);
	if (json_object_get(document, "GroupDefinitions"))
		return add_deployed(m, document, name, err);
	return add_version(m, document, name, err);
}

// The group file

/// What was saved, else what group.json has; NULL: neither has any.
static json_t *items_of(const struct migration *m, enum section s)
{
	json_t *items = m->saved[s].items ? m->saved[s].items : m->deployed[s].items;

	return json_array_size(items) ? items : NULL;
}

/// Greengrass had started the containers, so the first deployment is to stop none of them.
static void set_adoption(json_t *connector)
{
	json_t *policy = json_object_get(connector, "Policy");

	if (!policy) {
		policy = json_object();
		json_object_set_new(connector, "Policy", policy);
	}
	if (json_is_object(policy) && !json_object_get(policy, "AdoptContainers"))
		json_object_set_new(policy, "AdoptContainers", json_string("True"));
}

static bool is_our_connector(const json_t *connector)
{
	const char *arn = json_get_text(connector, "ConnectorArn");

	return arn && strstr(arn, "/connectors/" CONNECTOR_NAME "/");
}

/// The connector as group.json has it; NULL: it has none.
static json_t *make_guessed(struct migration *m)
{
	const char *region = m->guessed_region ? m->guessed_region : m->core.region;
	const char *partition = m->core.partition ? m->core.partition : "aws";
	unsigned version = m->guessed_version ? m->guessed_version : CONNECTOR_VERSION_LAST;

	if (!m->guessed || !region)
		return NULL;
	lm_auto_free char *arn =
		lm_xasprintf("arn:%s:greengrass:%s::/connectors/" CONNECTOR_NAME "/versions/%u",
			partition, region, version);
	lm_auto_free char *why = lm_xasprintf(
		"its definition is the cloud's; parameters%s were taken from group.json, where "
		"Greengrass keeps them in a form that is documented nowhere%s",
		m->guessed_version ? " and version" : "",
		m->guessed_version ? "" : ", without a version: it was taken as 7");
	note_missed(m, "definition of the connector", why,
		"compare the group file with the definition that you had, or give saved output of "
		"aws greengrass get-connector-definition-version");
	return json_pack("{s:s, s:o, s:O}", "Id", CONNECTOR_NAME, "ConnectorArn",
		json_from_text(arn), "Parameters", m->guessed);
}

/// Notes other connectors.
static json_t *find_connectors(struct migration *m)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX * 4 * (NAME_SHOWN + 32));
	lm_auto_json json_t *others = json_array();
	json_t *ours = json_array();
	json_t *items = items_of(m, CONNECTORS);
	size_t i;
	json_t *item;

	json_array_foreach(items, i, item)
	{
		if (is_our_connector(item) || !json_get_text(item, "ConnectorArn"))
			json_array_append_new(ours, json_deep_copy(item));
		else
			json_array_append(others, item);
	}
	list_members(&names, others, "ConnectorArn");
	if (json_array_size(others))
		note_missed(m, "other connectors", lm_buf_cstr(&names),
			"Lighterman has no other connectors: run what replaces them in containers "
			"of the compose file");
	json_t *guessed = json_array_size(ours) ? NULL : make_guessed(m);
	if (guessed)
		json_array_append_new(ours, guessed);
	json_array_foreach(ours, i, item) set_adoption(item);
	return ours;
}

/// Subscriptions of group.json name the function that the connector is there.
static void name_connector(json_t *subscriptions, const json_t *connector)
{
	static const char *const ends[] = {"Source", "Target"};
	json_t *arn = json_object_get(connector, "ConnectorArn");
	size_t i;
	json_t *item;

	json_array_foreach(subscriptions, i, item)
	{
		for (size_t k = 0; k < LM_ARRAY_SIZE(ends); k++) {
			const char *end = json_get_text(item, ends[k]);

			if (end && strstr(end, CONNECTOR_NAME))
				json_object_set(item, ends[k], arn);
		}
	}
}

static void make_group(struct migration *m)
{
	json_t *connectors = find_connectors(m);

	if (json_array_size(connectors) == 0) {
		json_decref(connectors);
		note_missed(m, "connector",
			m->deployed_from ? "group.json does not have it in a form that is known"
					 : "no definition of it was given",
			"give saved output of aws greengrass get-connector-definition-version, or "
			"write a group file by hand (docs/formats.md)");
		return;
	}
	m->group = json_object();
	json_object_set_new(m->group, KINDS[CONNECTORS].name, connectors);
	for (enum section s = CORES; s < IN_GROUP_FILE; s++) {
		json_t *items = items_of(m, s);

		if (items)
			json_object_set(m->group, KINDS[s].name, items);
	}
	if (!m->saved[SUBSCRIPTIONS].items)
		name_connector(m->deployed[SUBSCRIPTIONS].items, json_array_get(connectors, 0));
}

/// The array and index of "Subscriptions[3] (Id)". False: the error is elsewhere, or about a
/// connector.
static bool find_item(const struct validation_error *error, enum section *ret, size_t *ret_i)
{
	for (enum section s = CORES; s < IN_GROUP_FILE; s++) {
		size_t n = strlen(KINDS[s].name);
		struct lm_str rest = lm_str(error->entry);
		uint64_t i;

		if (!lm_str_starts(rest, lm_str(KINDS[s].name)) || error->entry[n] != '[')
			continue;
		rest = (struct lm_str){rest.p + n + 1, rest.n - n - 1};
		if (!lm_str_to_u64(lm_str_cut(&rest, ']'), SIZE_MAX, &i))
			return false;
		*ret = s;
		*ret_i = (size_t)i;
		return true;
	}
	return false;
}

/// Removes what breaks a rule. False: that is the connector, or the group as a whole.
static bool drop_invalid(struct migration *m, const struct validation_errors *errors)
{
	enum section s = CORES;
	size_t at = 0;

	for (size_t i = 0; i < errors->n; i++)
		if (!find_item(&errors->items[i], &s, &at))
			return false;
	for (size_t i = 0; i < errors->n; i++) {
		(void)find_item(&errors->items[i], &s, &at);
		json_t *items = json_object_get(m->group, KINDS[s].name);
		lm_auto_free char *rule = validation_error_text(&errors->items[i]);

		if (json_is_null(json_array_get(items, at)))
			continue; // another error was about it
		note_missed(m, "item of the group", rule, NULL);
		json_array_set_new(items, at, json_null());
	}
	for (s = CORES; s < IN_GROUP_FILE; s++) {
		json_t *items = json_object_get(m->group, KINDS[s].name);

		for (at = json_array_size(items); at-- > 0;)
			if (json_is_null(json_array_get(items, at)))
				json_array_remove(items, at);
	}
	return errors->n > 0;
}

/// The group that the file describes, once all that cannot be taken is dropped.
static lm_rc check_group(struct migration *m, struct validation_errors *errors, struct group **ret,
	struct lm_err *err)
{
	for (;;) {
		lm_rc rc = definition_parse_json(m->group, errors, ret, err);

		if (rc == LM_OK || !drop_invalid(m, errors))
			return rc;
		validation_errors_finish(errors);
		*errors = (struct validation_errors){0};
	}
}

static void note_secrets(struct migration *m, const struct connector_definition *d)
{
	if (d->secret_arns_n == 0)
		return;
	lm_auto_free char *what = lm_xasprintf("%zu secrets", d->secret_arns_n);
	note_missed(m, d->secret_arns_n == 1 ? "1 secret" : what,
		"Greengrass's own copies are encrypted for Greengrass; a deployment fetches "
		"secrets from AWS Secrets Manager",
		"allow secretsmanager:GetSecretValue to the role of the AWS credentials, or put "
		"them into the host file's secretStore.directory (docs/formats.md)");
}

static void note_credentials(struct migration *m)
{
	note_missed(m, "AWS credentials",
		"those of the group's role came from Greengrass's own cloud service, which is shut "
		"down",
		"make a role alias for that role (aws iot create-role-alias), allow "
		"iot:AssumeRoleWithCertificate in the core's policy, and set "
		"credentials.roleAlias and credentials.endpoint in the host file "
		"(docs/migrate.md); "
		"or set objectStore.directory and do without AWS");
}

static void note_warnings(struct migration *m, const struct group *g)
{
	for (size_t i = 0; i < g->warnings_n; i++)
		note_missed(m, "group file", g->warnings[i], NULL);
}

static void take_over_group(struct migration *m, const struct group *g)
{
	const struct connector_definition *d = &g->connector;

	note_item(m, "connector", CONNECTOR_NAME " version %u, Id %s", d->version, d->id);
	note_item(m, "compose file", "%s of bucket %s%s%s", d->key, d->bucket,
		d->object_version ? ", version " : "", d->object_version ? d->object_version : "");
	note_item(m, "destination", "%s", d->destination);
	if (d->has_user)
		note_item(m, "user", "%u", d->uid);
	if (g->devices_n)
		note_item(m, "client devices", "%zu", g->devices_n);
	if (g->subscriptions_n)
		note_item(m, "subscriptions", "%zu", g->subscriptions_n);
	if (g->loggers_n)
		note_item(m, "loggers", "%zu", g->loggers_n);
	note_secrets(m, d);
	note_credentials(m);
	if (g->devices_n || m->core.server_key.path || m->core.server_key.is_pkcs11)
		note_missed(m, "certificate of the local broker",
			"Lighterman makes its own, with a group CA of its own",
			"nothing for devices that use discovery; give the new CA to all others, "
			"and "
			"name in devices.ca of the host file who issued the certificates that "
			"devices have (docs/containers.md)");
	note_warnings(m, g);
}

static void note_rest(struct migration *m)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX * 4 * (NAME_SHOWN + 32));
	json_t *functions = items_of(m, FUNCTIONS), *resources = items_of(m, RESOURCES);

	list_members(&names, functions, "FunctionArn");
	if (functions)
		note_missed(m, "Lambda functions", lm_buf_cstr(&names),
			"Lighterman runs none: run each as a service of the compose file; with the "
			"function's ARN as client ID its subscriptions stay as they are "
			"(docs/containers.md)");
	lm_buf_clear(&names);
	list_members(&names, resources, "Name");
	if (resources)
		note_missed(m, "resources", lm_buf_cstr(&names),
			"name local devices and volumes in the compose file (devices, volumes), "
			"and put models into images");
}

// The host file

static void put_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, json_string(text));
}

static void put_port(json_t *object, const char *key, unsigned port)
{
	if (port)
		json_object_set_new(object, key, json_integer(port));
}

/// Drops it if it is empty.
static void put_object(json_t *host, const char *key, json_t *object)
{
	if (json_object_size(object))
		json_object_set(host, key, object);
	json_decref(object);
}

static void keep(struct migration *m, const char *what, const struct core_file *file)
{
	if (!file->path)
		return;
	note_item(m, what, "%s", file->path);
	json_array_append_new(m->keep, json_from_text(file->path));
}

static void note_file(struct migration *m, const char *what, const struct core_file *file)
{
	if (file->is_pkcs11)
		note_missed(m, what,
			"it is in a hardware security module (PKCS#11), and Lighterman reads keys "
			"and certificates from files only",
			"make another key and certificate for this thing (aws iot "
			"create-keys-and-certificate --set-as-active), attach the core's policy "
			"and "
			"thing to that certificate, and set iot.certificate and iot.privateKey in "
			"the host file");
	else if (file->is_other)
		note_missed(m, what, "config.json names it in a form that is not known",
			"set its path in the host file (iot)");
}

/// Whether messages of the connector went to AWS IoT. With client devices the local broker's bridge
/// takes them there.
static bool publishes_to_cloud(const struct group *g)
{
	for (size_t i = 0; g && i < g->subscriptions_n; i++)
		if (strcmp(g->subscriptions[i].source, g->connector.arn) == 0 &&
			strcmp(g->subscriptions[i].target, ENDPOINT_CLOUD) == 0)
			return g->devices_n == 0;
	return false;
}

static json_t *make_broker(struct migration *m, const struct group *g)
{
	const struct core_config *c = &m->core;
	json_t *broker = json_object();

	if (!publishes_to_cloud(g))
		return broker;
	if (!c->iot_endpoint || !c->certificate.path || !c->private_key.path) {
		note_missed(m, "status messages to AWS IoT",
			"endpoint, certificate or private key are not known",
			"set mqtt in the host file (docs/formats.md)");
		return broker;
	}
	if (c->cloud_port == PORT_ALPN)
		note_missed(m, "AWS IoT on port 443 for status messages",
			"they are sent to port 8883",
			"open port 8883 to the endpoint, or set mqtt to a broker nearby");
	note_item(m, "status messages", "to AWS IoT, as the client %s",
		c->thing_name ? c->thing_name : "?");
	put_text(broker, "host", c->iot_endpoint);
	put_port(broker, "port", PORT_TLS);
	put_text(broker, "ca", c->ca.path);
	put_text(broker, "certificate", c->certificate.path);
	put_text(broker, "privateKey", c->private_key.path);
	put_text(broker, "clientId", c->thing_name);
	return broker;
}

static void make_host(struct migration *m, const struct group *g)
{
	const struct core_config *c = &m->core;
	json_t *iot = json_object(), *devices = json_object();

	m->host = json_object();
	put_text(m->host, "greengrassRoot", m->root);
	put_text(m->host, "writeDirectory", c->write_directory);
	put_text(m->host, "region", c->region);
	put_text(m->host, "thingName", c->thing_name);
	if (c->allows_root)
		json_object_set_new(m->host, "allowRoot", json_true());
	put_text(iot, "endpoint", c->iot_endpoint);
	put_text(iot, "ca", c->ca.path);
	if (c->certificate.path && c->private_key.path) {
		put_text(iot, "certificate", c->certificate.path);
		put_text(iot, "privateKey", c->private_key.path);
	}
	put_object(m->host, "iot", iot);
	put_port(devices, "brokerPort", c->broker_port);
	put_port(devices, "cloudPort", c->cloud_port);
	put_object(m->host, "devices", devices);
	put_object(m->host, "mqtt", make_broker(m, g));
}

static void take_core(struct migration *m)
{
	const struct core_config *c = &m->core;

	note_item(m, "core", "%s", c->thing_name ? c->thing_name : "?");
	if (c->region)
		note_item(m, "region", "%s", c->region);
	if (c->iot_endpoint)
		note_item(m, "AWS IoT", "%s", c->iot_endpoint);
	keep(m, "certificate", &c->certificate);
	keep(m, "private key", &c->private_key);
	keep(m, "CA of AWS IoT", &c->ca);
	if (!c->thing_name)
		note_missed(m, "thing name and region",
			"coreThing.thingArn of config.json is not the ARN of a thing",
			"set thingName and region in the host file");
	note_file(m, "certificate", &c->certificate);
	note_file(m, "private key", &c->private_key);
	note_file(m, "CA of AWS IoT", &c->ca);
	if (c->has_proxy)
		note_missed(m, "network proxy",
			"config.json may have its password, which is not copied",
			"set https_proxy and no_proxy for lightermand (systemctl edit "
			"lightermand); "
			"MQTT does not use a proxy");
}

static void make_report(struct migration *m)
{
	if (m->more) {
		lm_auto_free char *why = lm_xasprintf("%zu more are not listed", m->more);

		json_array_append_new(
			m->left, json_pack("{s:s, s:s, s:n}", "what", "and", "why", why, "fix"));
	}
	m->report = json_pack(
		"{s:O, s:O, s:O}", "taken", m->taken, "not_taken", m->left, "keep", m->keep);
}

lm_rc migration_finish(struct migration *m, struct validation_errors *errors, struct lm_err *err)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_host struct host_settings host = {0};
	lm_rc rc = LM_OK;

	if (m->root)
		take_core(m);
	make_group(m);
	if (m->group)
		rc = check_group(m, errors, &group, err);
	if (rc)
		return rc;
	if (group)
		take_over_group(m, group);
	note_rest(m);
	if (m->root) {
		make_host(m, group);
		if (host_from_json(m->host, &host, err))
			return lm_wrap(err, "'%s/config/config.json'", m->root);
	}
	make_report(m);
	return LM_OK;
}

const json_t *migration_host(const struct migration *m)
{
	return m->host;
}

const json_t *migration_group(const struct migration *m)
{
	return m->group;
}

const json_t *migration_report(const struct migration *m)
{
	return m->report;
}
