// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_variables.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/yaml.h"

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

/// What `config` prints is a compose file again: it writes "$$" for "$".
static char *label(const struct yaml_node *labels, const char *key)
{
	const struct yaml_node *value = yaml_get(labels, key);
	struct lm_str text = value ? yaml_text(value) : LM_STR("");
	char *ret = lm_xmemdup0(text.n > 0 ? text.p : "", text.n);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		ret[n++] = text.p[i];
		if (text.p[i] == '$' && i + 1 < text.n && text.p[i + 1] == '$')
			i++;
	}
	ret[n] = '\0';
	return ret;
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
	*ret = (struct compose_variables){
		.profiles = label(labels, "profiles"), .platform = label(labels, "platform")};
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
