// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_variables.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/yaml.h"

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_byte(char c)
{
	return is_letter(c) || (c >= '0' && c <= '9');
}

static struct lm_str take_name(struct lm_str text, size_t at)
{
	size_t n = 0;

	if (at < text.n && is_letter(text.p[at]))
		while (at + n < text.n && is_name_byte(text.p[at + n]))
			n++;
	return (struct lm_str){text.p + at, n};
}

/// Where the brace that is open at `at` (just behind it) is closed; `text.n` if nowhere.
static size_t find_end(struct lm_str text, size_t at)
{
	unsigned depth = 1;

	for (; at < text.n; at++) {
		if (text.p[at] == '{' && text.p[at - 1] == '$')
			depth++;
		else if (text.p[at] == '}' && --depth == 0)
			return at;
	}
	return text.n;
}

/// `${NAME}`, `${NAME:-text}` and so on, whose '$' is at `at`.
static bool read_braced(struct lm_str text, size_t at, struct compose_reference *ret)
{
	size_t end = find_end(text, at + 2);
	struct lm_str name = take_name(text, at + 2);
	size_t rest = at + 2 + name.n;

	if (end == text.n || name.n == 0)
		return false;
	*ret = (struct compose_reference){
		.begins = at, .ends = end + 1, .name = name, .braced = true};
	if (rest < end && text.p[rest] == ':')
		rest++;
	if (rest < end && text.p[rest] && strchr("-?+", text.p[rest])) {
		ret->required = text.p[rest] == '?';
		ret->instead = (struct lm_str){text.p + rest + 1, end - rest - 1};
	}
	return true;
}

static bool read_plain(struct lm_str text, size_t at, struct compose_reference *ret)
{
	struct lm_str name = take_name(text, at + 1);

	if (name.n == 0)
		return false;
	*ret = (struct compose_reference){.begins = at,
		.ends = at + 1 + name.n,
		.name = name,
		.glued = at > 0 && is_name_byte(text.p[at - 1]) && text.p[at - 1] != '_'};
	return true;
}

bool compose_reference_next(struct lm_str text, size_t *at, struct compose_reference *ret)
{
	for (size_t i = *at; i + 1 < text.n; i++) {
		if (text.p[i] != '$')
			continue;
		if (text.p[i + 1] == '$') {
			i++;
			continue;
		}
		bool found =
			text.p[i + 1] == '{' ? read_braced(text, i, ret) : read_plain(text, i, ret);
		if (found) {
			*at = ret->ends;
			return true;
		}
	}
	*at = text.n;
	return false;
}

/// Whether passwords may stand there.
static bool may_be_secret(const struct compose_place *place)
{
	static const char *const options[] = {"environment", "command", "entrypoint", "labels",
		"healthcheck", "logging", "driver_opts", "content", "build", "<<"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(options); i++)
		if (lm_str_eq(place->option, lm_str(options[i])))
			return true;
	return lm_str_starts(place->section, LM_STR("x-"));
}

bool compose_reference_is_doubtful(
	const struct compose_reference *reference, const struct compose_place *place)
{
	const struct compose_reference *r = reference;

	if (r->braced || r->glued || !may_be_secret(place))
		return r->glued;
	for (size_t i = 0; i < r->name.n; i++)
		if (r->name.p[i] >= 'a' && r->name.p[i] <= 'z')
			return true;
	return r->begins > 0 && !strchr("/:=,;?&.-_ \t\n\"'([", place->text.p[r->begins - 1]);
}

struct reference_walk {
	void (*found)(void *ctx, const struct compose_reference *reference,
		const struct compose_place *place);
	void *ctx;
	struct compose_place place;
};

static void walk_text(struct reference_walk *w, struct lm_str text)
{
	struct compose_reference r;

	w->place.text = text;
	for (size_t at = 0; compose_reference_next(text, &at, &r);) {
		w->found(w->ctx, &r, &w->place);
		if (!r.required && r.instead.n > 0)
			walk_text(w, r.instead);
		w->place.text = text;
	}
}

/// Below `environment` and `args` a name alone hands the variable of that name on.
static void walk_handed(const struct reference_walk *w, const struct yaml_node *node)
{
	for (size_t i = 0; i < yaml_size(node); i++) {
		bool listed = yaml_kind(node) == YAML_SEQUENCE;
		const struct yaml_node *name = listed ? yaml_item(node, i) : yaml_key(node, i);
		struct compose_reference r = {
			.name = take_name(yaml_text(name), 0), .braced = true};
		bool alone = listed || yaml_is_null(yaml_value(node, i));

		if (alone && r.name.n > 0 && r.name.n == yaml_text(name).n)
			w->found(w->ctx, &r, &w->place);
	}
}

static void walk_node(struct reference_walk *w, const struct yaml_node *node, unsigned depth)
{
	struct lm_str *const levels[] = {&w->place.section, &w->place.name, &w->place.option};

	if (yaml_kind(node) == YAML_SCALAR) {
		walk_text(w, yaml_text(node));
		return;
	}
	for (size_t i = 0; i < yaml_size(node); i++) {
		if (yaml_kind(node) == YAML_SEQUENCE) {
			walk_node(w, yaml_item(node, i), depth + LM_ARRAY_SIZE(levels));
			continue;
		}
		struct lm_str key = yaml_text(yaml_key(node, i));
		if (depth < LM_ARRAY_SIZE(levels))
			*levels[depth] = key;
		if (lm_str_eq(key, LM_STR("environment")) || lm_str_eq(key, LM_STR("args")))
			walk_handed(w, yaml_value(node, i));
		walk_node(w, yaml_value(node, i), depth + 1);
		if (depth < LM_ARRAY_SIZE(levels))
			*levels[depth] = LM_STR("");
	}
}

static void walk_document(struct reference_walk *w, const struct yaml_node *root)
{
	static const char *const sections[] = {
		"services", "include", "networks", "volumes", "secrets", "configs"};
	bool has_sections = false;

	// Format 1 has its services at the top.
	for (size_t i = 0; i < LM_ARRAY_SIZE(sections); i++)
		has_sections |= yaml_get(root, sections[i]) != NULL;
	w->place.section = has_sections ? LM_STR("") : LM_STR("services");
	walk_node(w, root, has_sections ? 0 : 1);
}

lm_rc compose_references_each(struct lm_str file,
	void (*found)(void *ctx, const struct compose_reference *reference,
		const struct compose_place *place),
	void *ctx, struct lm_err *err)
{
	struct yaml_doc **docs = NULL;
	size_t n = 0;
	lm_rc rc = yaml_parse_all(file, &docs, &n, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++)
		walk_document(
			&(struct reference_walk){.found = found, .ctx = ctx}, yaml_root(docs[i]));
	yaml_destroy_all(docs, n);
	return LM_OK;
}

struct description {
	struct lm_str name;
	struct lm_buf *out;
	size_t others;
};

void compose_place_describe(const struct compose_place *place, struct lm_buf *out)
{
	struct lm_str section = place->section;

	if (lm_str_ends(section, LM_STR("s")) && place->name.n > 0)
		section.n--; // "services" has one service of that name
	if (place->option.n > 0)
		(void)lm_buf_printf(out, "%.*s of ", LM_STR_ARG(place->option));
	(void)lm_buf_printf(out, "%.*s%s%.*s", LM_STR_ARG(section), place->name.n > 0 ? " " : "",
		LM_STR_ARG(place->name));
}

static void describe_reference(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	struct description *d = ctx;

	if (!lm_str_eq(reference->name, d->name) || compose_reference_is_doubtful(reference, place))
		return;
	if (d->out->len > 0)
		d->others++;
	else
		compose_place_describe(place, d->out);
}

void compose_references_describe(struct lm_str file, struct lm_str name, struct lm_buf *out)
{
	lm_auto_buf struct lm_buf text = LM_BUF(out->max);
	struct description d = {.name = name, .out = &text};

	if (compose_references_each(file, describe_reference, &d, NULL) || text.len == 0)
		return;
	(void)lm_buf_add_str(out, lm_buf_str(&text));
	if (d.others > 0)
		(void)lm_buf_printf(out, " and %zu more", d.others);
}

#define PROFILES "COMPOSE_PROFILES"
#define PLATFORM "DOCKER_DEFAULT_PLATFORM"

/// docker-compose 1 takes format 3.0 for one with defaults of variables; 2 warns of any `version`.
static const char version[] = "version: '3.0'\n";
static const char question[] = "services:\n"
			       "  variables:\n"
			       "    image: scratch\n"
			       "    labels:\n"
			       "      profiles: \"${" PROFILES "-}\"\n"
			       "      platform: \"${" PLATFORM "-}\"\n";

void compose_variables_finish(struct compose_variables *variables)
{
	free(variables->profiles);
	free(variables->platform);
	*variables = (struct compose_variables){0};
}

static bool is_in_env(const char *const *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; env[i]; i++)
		if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
			return true;
	return false;
}

/// Whether `.env` may set one of them. One that we cannot read may.
static bool is_in_file(const char *directory)
{
	lm_auto_free char *path = lm_path_join(directory, ".env");
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_COMPOSE_FILE);
	lm_rc rc = lm_file_read(path, &text, NULL);

	if (rc)
		return rc != LM_E_NOT_FOUND;
	return memmem(text.data, text.len, LM_STR(PROFILES).p, LM_STR(PROFILES).n) ||
	       memmem(text.data, text.len, LM_STR(PLATFORM).p, LM_STR(PLATFORM).n);
}

char *compose_unescape(struct lm_str text)
{
	char *ret = lm_xmemdup0(text.n > 0 ? text.p : "", text.n);
	size_t n = 0;

	for (size_t i = 0; ret[i]; i++) {
		ret[n++] = ret[i];
		if (ret[i] == '$' && ret[i + 1] == '$')
			i++;
	}
	ret[n] = '\0';
	return ret;
}

static char *copy_label(const struct yaml_node *labels, const char *key)
{
	const struct yaml_node *value = yaml_get(labels, key);

	return compose_unescape(value ? yaml_text(value) : LM_STR(""));
}

static const struct yaml_node *get_mapping(const struct yaml_node *in, const char *key)
{
	const struct yaml_node *found = in ? yaml_get(in, key) : NULL;

	return found && yaml_kind(found) == YAML_MAPPING ? found : NULL;
}

lm_rc compose_variables_parse(
	struct lm_str config, struct compose_variables *ret, struct lm_err *err)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;
	const struct yaml_node *labels = NULL;

	if (yaml_parse(config, &doc, NULL) == LM_OK && yaml_kind(yaml_root(doc)) == YAML_MAPPING)
		labels = get_mapping(
			get_mapping(get_mapping(yaml_root(doc), "services"), "variables"),
			"labels");
	if (!labels)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"docker-compose config did not print the variables it was asked for");
	*ret = (struct compose_variables){.profiles = copy_label(labels, "profiles"),
		.platform = copy_label(labels, "platform")};
	return LM_OK;
}

bool compose_variables_may_be_set(const char *const *env, const char *directory)
{
	return is_in_env(env, PROFILES) || is_in_env(env, PLATFORM) || is_in_file(directory);
}

void compose_variables_question(unsigned generation, struct lm_buf *out)
{
	(void)lm_buf_printf(out, "%s%s", generation < 2 ? version : "", question);
}
