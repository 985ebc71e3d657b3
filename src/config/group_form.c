// SPDX-License-Identifier: Apache-2.0
#include "config/group_form.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"

#include <ctype.h>

#define GET_VERSION                                                                                \
	"aws greengrass get-connector-definition-version --connector-definition-id %.*s "          \
	"--connector-definition-version-id %.*s%s%.*s"
#define MARK_UTF8 "\xef\xbb\xbf"

enum {
	/// Of a text without marks, to find out how it is encoded.
	SAMPLE_MAX = 64,
	/// Lines of a text, and values of a document, that are looked at.
	LINES_MAX = 20000,
	VALUES_MAX = 2000,
};

enum form {
	FORM_UNKNOWN,
	FORM_GROUP, ///< A group file.
	FORM_COMPOSE,
	FORM_RECIPE,
	FORM_DEPLOYMENT,
	FORM_CLOUDFORMATION,
	FORM_TERRAFORM,
	FORM_KUBERNETES,
	FORM_HOST_FILE,
	FORM_CORE_CONFIG,
	FORM_CORE_GROUP,
};

/// A key at the top that only one form has. Of several the first in this list decides.
static const struct mark {
	const char *key;
	enum form form;
} MARKS[] = {
	{"Connectors", FORM_GROUP},
	{"Definition", FORM_GROUP},
	{"InitialVersion", FORM_GROUP},
	{"AWSTemplateFormatVersion", FORM_CLOUDFORMATION},
	{"RecipeFormatVersion", FORM_RECIPE},
	{"ComponentName", FORM_RECIPE},
	{"Manifests", FORM_RECIPE},
	{"targetArn", FORM_DEPLOYMENT},
	{"services", FORM_COMPOSE},
	{"include", FORM_COMPOSE},
	{"terraform_version", FORM_TERRAFORM},
	{"terraform", FORM_TERRAFORM},
	{"resource", FORM_TERRAFORM},
	{"planned_values", FORM_TERRAFORM},
	{"GroupDefinitions", FORM_CORE_GROUP},
	{"coreThing", FORM_CORE_CONFIG},
	{"greengrassRoot", FORM_HOST_FILE},
	{"stateDirectory", FORM_HOST_FILE},
	{"objectStore", FORM_HOST_FILE},
	{"secretStore", FORM_HOST_FILE},
	{"mqtt", FORM_HOST_FILE},
	{"apiVersion", FORM_KUBERNETES},
};

static const char *const FORM_RULES[] = {
	[FORM_UNKNOWN] = NULL,
	[FORM_GROUP] = NULL,
	[FORM_COMPOSE] = "is a compose file: deploy it with 'lighterman deploy', or upload it to "
			 "S3 (or put it "
			 "into the object store), and name it in a group file with "
			 "DockerComposeFileS3Bucket and DockerComposeFileS3Key",
	[FORM_RECIPE] =
		"is a component recipe of AWS IoT Greengrass V2: write a connector definition of "
		"Greengrass V1 ({\"Connectors\": [...]}) that names the compose file of its "
		"artifacts",
	[FORM_DEPLOYMENT] =
		"is a deployment of AWS IoT Greengrass V2: write a connector definition of "
		"Greengrass V1 ({\"Connectors\": [...]})",
	[FORM_CLOUDFORMATION] = "is a CloudFormation template: copy the Connectors array of its "
				"AWS::Greengrass::ConnectorDefinition or "
				"ConnectorDefinitionVersion resource, with all "
				"references filled in, into {\"Connectors\": [...]}",
	[FORM_TERRAFORM] =
		"is a Terraform file: write the connector that it describes as JSON, with all "
		"references filled in, into {\"Connectors\": [...]}",
	[FORM_KUBERNETES] =
		"is a Kubernetes manifest: write a compose file, and a group file that names "
		"it",
	[FORM_HOST_FILE] =
		"is a host file: give it to lightermand after --config, and the group file "
		"here",
	[FORM_CORE_CONFIG] =
		"is the config.json of a Greengrass core: lightermand reads it by itself, "
		"from greengrassRoot; give the connector definition here",
	[FORM_CORE_GROUP] =
		"is the group.json of a Greengrass core, in which connectors are not as they were "
		"defined: make a group file of it with lighterman import",
};

/// Forms whose keys may be written in any case.
static bool form_ignores_case(enum form form)
{
	return form == FORM_RECIPE;
}

static enum form form_of_key(struct lm_str key)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(MARKS); i++) {
		struct lm_str mark = lm_str(MARKS[i].key);
		if (form_ignores_case(MARKS[i].form) ? lm_str_eq_nocase(key, mark)
						     : lm_str_eq(key, mark))
			return MARKS[i].form;
	}
	return FORM_UNKNOWN;
}

/// The earlier of two in MARKS decides; FORM_UNKNOWN never does.
static enum form stronger(enum form a, enum form b)
{
	if (a == FORM_UNKNOWN || b == FORM_UNKNOWN)
		return a == FORM_UNKNOWN ? b : a;
	for (size_t i = 0; i < LM_ARRAY_SIZE(MARKS); i++) {
		if (MARKS[i].form == a || MARKS[i].form == b)
			return MARKS[i].form;
	}
	return a;
}

static char *copy_rule(const char *rule)
{
	return rule ? lm_xstrdup(rule) : NULL;
}

struct lm_str group_form_skip_mark(struct lm_str text)
{
	struct lm_str mark = LM_STR(MARK_UTF8);

	if (!lm_str_starts(text, mark))
		return text;
	return (struct lm_str){text.p + mark.n, text.n - mark.n};
}

// Bytes

/// Of a text in UTF-16 every second byte is 0, as JSON's own characters are ASCII; in UTF-32 three
/// of four are.
static const char *encoding_of(struct lm_str text)
{
	size_t zeros[4] = {0}, n = text.n < SAMPLE_MAX ? text.n & ~(size_t)3 : SAMPLE_MAX;

	if (lm_str_starts(text, (struct lm_str){"\xff\xfe\0\0", 4}) ||
		lm_str_starts(text, (struct lm_str){"\0\0\xfe\xff", 4}))
		return "UTF-32";
	if (lm_str_starts(text, LM_STR("\xff\xfe")) || lm_str_starts(text, LM_STR("\xfe\xff")))
		return "UTF-16"; // whose mark tells the order of bytes
	for (size_t i = 0; i < n; i++)
		zeros[i % 4] += text.p[i] == '\0';
	size_t even = zeros[0] + zeros[2], odd = zeros[1] + zeros[3], half = n / 2;
	if (n >= 4 && even + odd >= n - n / 4 && (zeros[0] == 0 || zeros[3] == 0))
		return zeros[0] == 0 ? "UTF-32LE" : "UTF-32BE";
	if (n >= 4 && odd > half / 2 && even == 0)
		return "UTF-16LE";
	if (n >= 4 && even > half / 2 && odd == 0)
		return "UTF-16BE";
	return NULL;
}

static bool is_only_space(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!isspace((unsigned char)text.p[i]))
			return false;
	}
	return true;
}

char *group_form_explain_bytes(struct lm_str text)
{
	static const struct {
		struct lm_str begin;
		const char *rule;
	} packed[] = {
		{{"\x1f\x8b", 2}, "is compressed with gzip: unpack it (gunzip)"},
		{{"\x28\xb5\x2f\xfd", 4}, "is compressed with zstd: unpack it (unzstd)"},
		{{"\xfd"
		  "7zXZ",
			 5},
			"is compressed with xz: unpack it (unxz)"},
		{{"BZh", 3}, "is compressed with bzip2: unpack it (bunzip2)"},
		{{"PK\x03\x04", 4},
			"is a ZIP archive: unpack it (unzip), and give the group file in it"},
	};

	if (text.n == 0)
		return lm_xstrdup("is empty: write the group file again");
	if (is_only_space(text))
		return lm_xstrdup("is blank, it has only white space: write the group file again");
	for (size_t i = 0; i < LM_ARRAY_SIZE(packed); i++) {
		if (lm_str_starts(text, packed[i].begin))
			return lm_xstrdup(packed[i].rule);
	}
	const char *encoding = encoding_of(text);
	if (encoding)
		return lm_xasprintf(
			"is in %s: save it as UTF-8 (iconv -f %s -t UTF-8)", encoding, encoding);
	size_t zero = lm_str_find(text, '\0');
	if (zero < text.n)
		return lm_xasprintf(
			"is binary data (byte %zu is 0), not text: give the group file, in JSON",
			zero + 1);
	return NULL;
}

// Text

static size_t indent_of(struct lm_str line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] == ' ')
		n++;
	return n;
}

/// The key of a line "key: …" of YAML, maybe quoted; empty if it is none.
static struct lm_str yaml_line_key(struct lm_str line)
{
	const struct lm_str none = {"", 0};
	struct lm_str key = line;
	size_t colon = lm_str_find(line, ':');

	if (colon == line.n || (colon + 1 < line.n && !strchr(" \t\r", line.p[colon + 1])))
		return none;
	key = lm_str_trim((struct lm_str){line.p, colon});
	if (key.n >= 2 && strchr("\"'", key.p[0]) && key.p[key.n - 1] == key.p[0])
		key = (struct lm_str){key.p + 1, key.n - 2};
	for (size_t i = 0; i < key.n; i++) {
		if (!isalnum((unsigned char)key.p[i]) && !strchr("_-.$/", key.p[i]))
			return none;
	}
	return key;
}

/// Whether a line begins a block of HCL, as "resource "x" "y" {".
static bool is_hcl(struct lm_str line)
{
	static const char *const blocks[] = {"resource", "data", "provider", "module", "variable",
		"output", "terraform", "locals"};
	struct lm_str rest = line;
	struct lm_str word = lm_str_cut(&rest, ' ');

	for (size_t i = 0; i < LM_ARRAY_SIZE(blocks); i++) {
		if (lm_str_eq(word, lm_str(blocks[i])))
			return lm_str_ends(lm_str_trim(rest), LM_STR("{"));
	}
	return false;
}

/// What a text is by the line that has its first content; NULL: that is to be found out.
static const char *rule_of_first(struct lm_str line)
{
	struct lm_str trimmed = lm_str_trim(line);

	if (lm_str_starts(trimmed, LM_STR("<")))
		return "is HTML or XML, perhaps a page that a proxy answered with: give the group "
		       "file, "
		       "in JSON";
	if (lm_str_starts(trimmed, LM_STR("-----BEGIN ")))
		return "is a certificate or a key: give the group file, in JSON";
	if (lm_str_starts(trimmed, LM_STR("#!")))
		return "is a script: give the group file, in JSON";
	if (lm_str_starts(trimmed, LM_STR("----")) || lm_str_starts(trimmed, LM_STR("+--")))
		return "is a table of the AWS CLI: print it with --output json";
	if (lm_str_starts(trimmed, LM_STR("An error occurred")))
		return "is an error message of the AWS CLI, not its output: read it, and "
		       "run "
		       "that command again";
	if (isupper((unsigned char)*trimmed.p) && lm_str_find(line, '\t') < line.n &&
		yaml_line_key(trimmed).n == 0)
		return "is the text output of the AWS CLI: print it with --output json";
	return NULL;
}

/// Comments, directives and what begins a document.
static bool is_before_content(struct lm_str line)
{
	struct lm_str trimmed = lm_str_trim(line);

	return trimmed.n == 0 || lm_str_eq(trimmed, LM_STR("---")) ||
	       (trimmed.p[0] == '#' && !lm_str_starts(trimmed, LM_STR("#!"))) ||
	       (trimmed.p[0] == '%' && lm_str_starts(trimmed, LM_STR("%YAML")));
}

/// Of YAML alone: in JSON it is an array of a group's resources, too.
static enum form form_of_yaml_key(struct lm_str key)
{
	bool is_template =
		lm_str_eq(key, LM_STR("Resources")) || lm_str_eq(key, LM_STR("Transform"));

	return is_template ? FORM_CLOUDFORMATION : form_of_key(key);
}

/// Whether a line below another has what only services have: those of a compose file without
/// `services`, as it was in its first format.
static bool is_service_line(struct lm_str line)
{
	struct lm_str trimmed = lm_str_trim(line);
	struct lm_str key = yaml_line_key(trimmed);

	return lm_str_eq(key, LM_STR("build")) ||
	       (lm_str_eq(key, LM_STR("image")) && trimmed.n > key.n + 1);
}

static char *explain_yaml(enum form form)
{
	if (form == FORM_UNKNOWN || form == FORM_GROUP)
		return lm_xstrdup(
			"is YAML: convert it to JSON (the AWS CLI prints JSON with --output "
			"json)");
	return copy_rule(FORM_RULES[form]);
}

/// From the lines behind the first content, which stands in column `indent`.
static char *explain_lines(struct lm_str first, struct lm_str rest, size_t indent)
{
	struct lm_str line = first;
	enum form form = FORM_UNKNOWN, below = FORM_UNKNOWN;
	bool yaml = false;

	for (size_t n = 0; n < LINES_MAX; n++) {
		struct lm_str inner = {line.p + indent, line.n - indent};
		struct lm_str key = yaml_line_key(inner);

		if (is_hcl(inner))
			return copy_rule(FORM_RULES[FORM_TERRAFORM]);
		if (n == 0)
			yaml = key.n > 0 || lm_str_starts(inner, LM_STR("- "));
		form = stronger(form, form_of_yaml_key(key));
		do {
			if (rest.n == 0)
				return yaml ? explain_yaml(form ? form : below) : NULL;
			line = lm_str_cut(&rest, '\n');
			if (indent_of(line) > indent && is_service_line(line))
				below = FORM_COMPOSE;
		} while (indent_of(line) != indent || is_before_content(line));
	}
	return yaml ? explain_yaml(form) : NULL;
}

char *group_form_explain_text(struct lm_str text)
{
	struct lm_str rest = text;

	while (rest.n) {
		struct lm_str line = lm_str_cut(&rest, '\n');
		if (is_before_content(line))
			continue;
		struct lm_str trimmed = lm_str_trim(line);
		if (strchr("{[", trimmed.p[0])) {
			struct lm_str inner = lm_str_trim((struct lm_str){
				trimmed.p + 1, (size_t)(text.p + text.n - trimmed.p) - 1});
			return inner.n && inner.p[0] == '\''
				       ? lm_xstrdup(
						 "has its texts in single quotes, as Python prints "
						 "them: JSON has double quotes (json.dumps)")
				       : NULL;
		}
		const char *rule = rule_of_first(line);
		return rule ? lm_xstrdup(rule) : explain_lines(line, rest, indent_of(line));
	}
	return NULL;
}

// Documents

/// Whether two spellings of a key differ in nothing but case and separators: connectorArn,
/// connector_arn, ConnectorArn.
static bool same_key(const char *a, const char *b)
{
	for (;; a++, b++) {
		a += strspn(a, "_-");
		b += strspn(b, "_-");
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
	}
}

static const char *const KEYS[] = {"Definition", "InitialVersion", "Connectors", "Cores", "Devices",
	"Subscriptions", "Loggers", "Id", "ConnectorArn", "Parameters", "Policy",
	"ConnectorDefinitionVersionArn"};

/// The right spelling of a key that is spelt otherwise; NULL: it is right, or not known.
static const char *right_spelling(const char *key)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(KEYS); i++) {
		if (same_key(key, KEYS[i]))
			return strcmp(key, KEYS[i]) == 0 ? NULL : KEYS[i];
	}
	return NULL;
}

/// What is wrong in the spelling of a document's keys.
struct spelling {
	struct lm_buf *list;
	bool seen[LM_ARRAY_SIZE(KEYS)];
	size_t left; ///< Values that are still looked at.
};

static void note_spelling(struct spelling *s, const char *key)
{
	const char *right = right_spelling(key);

	for (size_t i = 0; right && i < LM_ARRAY_SIZE(KEYS); i++) {
		if (KEYS[i] != right || s->seen[i])
			continue;
		s->seen[i] = true;
		(void)lm_buf_printf(s->list, "%s%s is %s", s->list->len ? ", " : "", key, right);
	}
}

/// Lists the keys down to those of a connector, each once. Parameters have names of their own.
static void list_spellings(struct spelling *s, const json_t *value, unsigned depth)
{
	const char *key;
	json_t *member;
	size_t i;

	if (depth == 0 || s->left == 0)
		return;
	s->left--;
	json_array_foreach(value, i, member) list_spellings(s, member, depth - 1);
	json_object_foreach((json_t *)value, key, member)
	{
		note_spelling(s, key);
		if (!same_key(key, "Parameters") && !same_key(key, "Policy"))
			list_spellings(s, member, depth - 1);
	}
}

/// A key of `object` that is `name` in any spelling; NULL: there is none.
static const char *find_spelling(const json_t *object, const char *name)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		if (same_key(key, name))
			return key;
	}
	return NULL;
}

/// Of a document that has what a group file has, in another spelling. NULL: it has not.
static char *explain_spelling(const json_t *document)
{
	static const char *const tops[] = {"Connectors", "Definition", "InitialVersion"};
	const json_t *first = json_array_get(document, 0);
	bool found = find_spelling(first ? first : document, "ConnectorArn") != NULL;
	lm_auto_buf struct lm_buf list = LM_BUF(1024);
	struct spelling s = {.list = &list, .left = VALUES_MAX};

	for (size_t i = 0; i < LM_ARRAY_SIZE(tops); i++)
		found |= find_spelling(document, tops[i]) != NULL;
	if (found)
		list_spellings(&s, document, 5);
	if (list.len == 0)
		return NULL;
	return lm_xasprintf(
		"has keys in another spelling; the keys of a group file begin with capitals: %s",
		lm_buf_cstr(&list));
}

/// The IDs from ".../<collection>/<id>/versions/<version>".
static bool split_ids(struct lm_str resource, const char *collection, struct lm_str *ret_id,
	struct lm_str *ret_version)
{
	lm_auto_free char *prefix = lm_xasprintf("/greengrass/%s/", collection);
	struct lm_str rest = resource;

	if (!lm_str_starts(rest, lm_str(prefix)))
		return false;
	rest.p += strlen(prefix);
	rest.n -= strlen(prefix);
	*ret_id = lm_str_cut(&rest, '/');
	if (!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("versions")))
		return false;
	*ret_version = rest;
	return true;
}

/// Whether it may stand in a command that a person copies into a shell.
static bool is_shell_safe(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!isalnum((unsigned char)text.p[i]) && text.p[i] != '-')
			return false;
	}
	return text.n > 0 && text.n <= 128;
}

/// The command that prints the connector definition version of that ARN.
static char *get_version_command(const char *text)
{
	struct lm_str id = LM_STR("ID"), version = LM_STR("VERSION"), region = {"", 0};
	struct arn arn;
	struct lm_str found_id, found_version;

	if (text && arn_parse(lm_str(text), &arn) && is_shell_safe(arn.region) &&
		split_ids(arn.resource, "definition/connectors", &found_id, &found_version) &&
		is_shell_safe(found_id) && is_shell_safe(found_version)) {
		id = found_id;
		version = found_version;
		region = arn.region;
	}
	return lm_xasprintf(GET_VERSION, LM_STR_ARG(id), LM_STR_ARG(version),
		region.n ? " --region " : "", LM_STR_ARG(region));
}

/// Of a group version: only ARNs of definitions.
static char *explain_group_version(const json_t *version)
{
	const char *key;
	json_t *value;
	bool has_arns = false;

	json_object_foreach((json_t *)version, key, value) has_arns |=
		lm_str_ends(lm_str(key), LM_STR("DefinitionVersionArn"));
	if (!has_arns || json_object_get(version, "Connectors"))
		return NULL;
	const char *connector = find_spelling(version, "ConnectorDefinitionVersionArn");
	if (!connector)
		return lm_xstrdup(
			"is a group version without connectors (it has no "
			"ConnectorDefinitionVersionArn): give one that has the connector");
	lm_auto_free char *command = get_version_command(json_get_text(version, connector));
	return lm_xasprintf(
		"is a group version, which has only the ARNs of its definitions: give what "
		"this prints: %s",
		command);
}

/// Of get-connector-definition, get-group and the lists of these: a name, and the latest version.
static char *explain_summary(const json_t *document)
{
	static const char *const lists[] = {"Definitions", "Versions", "Groups"};
	const char *latest = json_get_text(document, "LatestVersionArn");
	const char *arn = latest ? latest : json_get_text(document, "Arn");
	const json_t *list = NULL;

	for (size_t i = 0; !list && i < LM_ARRAY_SIZE(lists); i++)
		list = json_object_get(document, lists[i]);
	if (json_is_array(list)) {
		const json_t *first = json_array_get(list, 0);
		const char *from = json_get_text(first, "LatestVersionArn");
		arn = from ? from : json_get_text(first, "Arn");
	}
	if (!arn || !strstr(arn, ":greengrass:"))
		return NULL;
	if (strstr(arn, ":/greengrass/groups/"))
		return lm_xstrdup(
			"names a group, and has no connector: print its version with aws "
			"greengrass get-group-version, and the connector definition that that "
			"names with aws greengrass get-connector-definition-version");
	lm_auto_free char *command = get_version_command(arn);
	return lm_xasprintf("names a connector definition, and does not have it: give what this "
			    "prints: %s",
		command);
}

/// Of a version of another definition than that of connectors.
static char *explain_other_definition(const json_t *document)
{
	static const char *const wrappers[] = {"Definition", "InitialVersion"};
	static const char *const kinds[] = {
		"Functions", "Resources", "Cores", "Devices", "Subscriptions", "Loggers"};
	static const size_t others = 2; // which no group file has
	const json_t *version = document;
	const char *found = NULL;

	for (size_t i = 0; i < LM_ARRAY_SIZE(wrappers); i++)
		if (json_is_object(json_object_get(document, wrappers[i])))
			version = json_object_get(document, wrappers[i]);
	for (size_t i = 0; i < LM_ARRAY_SIZE(kinds); i++) {
		if (!json_is_array(json_object_get(version, kinds[i])))
			continue;
		if (found || (version == document && i >= others))
			return NULL; // more of a group
		found = kinds[i];
	}
	if (!found || json_object_get(version, "Connectors"))
		return NULL;
	return lm_xasprintf(
		"has the %c%s of a group, and no connector: give the output of aws greengrass "
		"get-connector-definition-version",
		tolower((unsigned char)found[0]), found + 1);
}

/// A template as synthesised may have no version; its resources have types. One of them may have
/// been copied out of it.
static bool is_cloudformation(const json_t *document)
{
	const json_t *resources = json_object_get(document, "Resources");
	const char *own = json_get_text(document, "Type");
	const char *key;
	json_t *resource;

	if (own && lm_str_starts(lm_str(own), LM_STR("AWS::")))
		return true;

	json_object_foreach((json_t *)resources, key, resource)
	{
		const char *type = json_get_text(resource, "Type");
		if (type && strstr(type, "::"))
			return true;
	}
	return false;
}

static char *explain_object(const json_t *document)
{
	static const char *const wrappers[] = {"Definition", "InitialVersion"};
	enum form form = FORM_UNKNOWN;
	const char *key;
	json_t *value;
	char *rule = explain_group_version(document);

	for (size_t i = 0; !rule && i < LM_ARRAY_SIZE(wrappers); i++) {
		const char *wrapper = find_spelling(document, wrappers[i]);
		rule = wrapper ? explain_group_version(json_object_get(document, wrapper)) : NULL;
	}
	if (!rule)
		rule = explain_other_definition(document);
	if (rule)
		return rule;
	json_object_foreach((json_t *)document, key, value) form =
		stronger(form, form_of_key(lm_str(key)));
	if (form == FORM_GROUP)
		return NULL;
	if (json_object_get(document, "ConnectorArn"))
		return lm_xstrdup(
			"is a connector by itself: write {\"Connectors\": [ and ]} around it");
	if (is_cloudformation(document))
		form = FORM_CLOUDFORMATION;
	rule = copy_rule(FORM_RULES[form]);
	if (!rule)
		rule = explain_spelling(document);
	return rule ? rule : explain_summary(document);
}

bool group_form_is_connectors(const json_t *array)
{
	size_t i;
	json_t *item;

	if (!json_is_array(array))
		return false;
	json_array_foreach(array, i, item)
	{
		if (json_object_get(item, "ConnectorArn"))
			return true;
	}
	return json_array_size(array) == 0;
}

static char *explain_array(const json_t *array)
{
	static const struct {
		const char *key, *what;
	} kinds[] = {
		{"Subject", "subscriptions"},
		{"ThingArn", "cores or devices"},
		{"FunctionArn", "functions"},
		{"Component", "loggers"},
		{"ResourceDataContainer", "resources"},
	};
	const json_t *first = json_array_get(array, 0);
	char *rule = explain_spelling(array);

	if (rule)
		return rule;
	for (size_t i = 0; i < LM_ARRAY_SIZE(kinds); i++) {
		if (json_object_get(first, kinds[i].key))
			return lm_xasprintf("is an array of %s: the connector is needed "
					    "({\"Connectors\": [...]})",
				kinds[i].what);
	}
	if (json_object_get(first, "Connectors") || json_object_get(first, "Definition") ||
		json_object_get(first, "InitialVersion"))
		return lm_xstrdup(
			"is an array around a connector definition: take the brackets [ and ] "
			"at both ends away");
	return lm_xasprintf(
		"is an array whose first item is %s, not a connector: give an object with "
		"Connectors, or an array of connectors",
		json_is_object(first) ? "an object without ConnectorArn" : json_type_name(first));
}

char *group_form_explain_document(const json_t *document)
{
	if (json_is_object(document))
		return explain_object(document);
	if (json_is_array(document))
		return group_form_is_connectors(document) ? NULL : explain_array(document);
	if (json_is_string(document) && json_string_length(document) &&
		strchr("{[", json_string_value(document)[0]))
		return lm_xstrdup(
			"is JSON inside of a JSON text: print it without quotes (jq -r .)");
	return NULL;
}

bool group_form_is_compose(struct lm_str text)
{
	lm_auto_json json_t *document = NULL;
	struct lm_err ignored;
	lm_auto_free char *rule = group_form_explain_bytes(text);

	if (rule || json_count(text) > LIMIT_GROUP_VALUES)
		return false;
	rule = json_parse(text, &document, &ignored) ? group_form_explain_text(text)
						     : group_form_explain_document(document);
	return rule && strcmp(rule, FORM_RULES[FORM_COMPOSE]) == 0;
}
