// SPDX-License-Identifier: Apache-2.0
#include "aws/shared_config.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

const char *shared_config_variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/// NULL: the user has no home.
static const char *home(void)
{
	const char *directory = shared_config_variable("HOME");
	const struct passwd *user = directory ? NULL : getpwuid(geteuid());

	return user && user->pw_dir && *user->pw_dir ? user->pw_dir : directory;
}

static char *find_path(const char *named, const char *usual)
{
	const char *directory = home();

	if (named && lm_str_starts(lm_str(named), LM_STR("~/")) && directory)
		return lm_path_join(directory, named + 2);
	if (named)
		return lm_xstrdup(named);
	return directory ? lm_path_join(directory, usual) : NULL;
}

static lm_rc file_read(
	struct shared_file *f, const char *variable, const char *usual, struct lm_err *err)
{
	const char *named = shared_config_variable(variable);

	f->text = LM_BUF_SECRET(LIMIT_PROFILE_FILE);
	f->path = find_path(named, usual);
	if (!f->path) {
		(void)!lm_fail(&f->lack, LM_E_NOT_FOUND, 0,
			"%s is not set and the user has no home directory", variable);
		return LM_OK;
	}
	lm_rc rc = lm_file_read(f->path, &f->text, &f->lack);
	if (rc == LM_E_NOT_FOUND)
		(void)!lm_fail(&f->lack, rc, 0, "there is no '%s'", f->path);
	if (rc == LM_E_NOT_FOUND || (rc == LM_E_DENIED && !named))
		return LM_OK;
	if (rc == LM_OK)
		rc = profile_file_parse(lm_buf_str(&f->text), f->kind, &f->parsed, &f->lack);
	if (rc == LM_E_INVALID)
		rc = lm_wrap(&f->lack, "%s '%s'", f->source, f->path);
	if (rc != LM_OK && err)
		*err = f->lack;
	return rc;
}

static void find_profile(struct shared_config *c)
{
	static const char *const variables[] = {"AWS_DEFAULT_PROFILE", "AWS_PROFILE"};

	c->profile = LM_STR("default");
	for (size_t i = 0; i < LM_ARRAY_SIZE(variables) && !c->profile_variable; i++) {
		const char *name = shared_config_variable(variables[i]);

		if (name) {
			c->profile = lm_str(name);
			c->profile_variable = variables[i];
		}
	}
}

lm_rc shared_config_load(struct shared_config *ret, struct lm_err *err)
{
	lm_auto_shared_config struct shared_config c = {
		.credentials = {.kind = PROFILE_FILE_CREDENTIALS,
			.source = "the shared credentials file"},
		.config = {.kind = PROFILE_FILE_CONFIG, .source = "the AWS config file"},
	};

	find_profile(&c);
	lm_rc rc =
		file_read(&c.credentials, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", err);
	if (rc == LM_OK)
		rc = file_read(&c.config, "AWS_CONFIG_FILE", ".aws/config", err);
	if (rc != LM_OK)
		return rc;
	*ret = c;
	c = (struct shared_config){0};
	return LM_OK;
}

static void file_finish(struct shared_file *f)
{
	free(f->path);
	profile_file_finish(&f->parsed);
	lm_buf_finish(&f->text);
}

void shared_config_finish(struct shared_config *c)
{
	file_finish(&c->credentials);
	file_finish(&c->config);
	*c = (struct shared_config){0};
}

bool shared_config_has(const struct shared_config *c, struct lm_str profile)
{
	return profile_file_has(&c->credentials.parsed, PROFILE_SECTION_PROFILE, profile) ||
	       profile_file_has(&c->config.parsed, PROFILE_SECTION_PROFILE, profile);
}

struct lm_str shared_config_get_nested(
	const struct shared_config *c, struct lm_str profile, const char *key, const char *nested)
{
	const struct shared_file *const files[] = {&c->credentials, &c->config};
	struct lm_str value = LM_STR("");

	for (size_t i = 0; i < LM_ARRAY_SIZE(files) && !value.n; i++)
		value = profile_file_get_nested(
			&files[i]->parsed, PROFILE_SECTION_PROFILE, profile, key, nested);
	return value;
}

struct lm_str shared_config_get(
	const struct shared_config *c, struct lm_str profile, const char *key)
{
	return shared_config_get_nested(c, profile, key, "");
}

struct lm_str shared_config_get_whole(
	const struct shared_config *c, struct lm_str profile, const char *key)
{
	struct lm_str value = profile_file_get_whole(&c->credentials.parsed, profile, key);

	return value.n ? value : profile_file_get_whole(&c->config.parsed, profile, key);
}

struct lm_str shared_config_setting(
	const struct shared_config *c, const char *variable, const char *key, const char **ret_name)
{
	const char *value = variable ? shared_config_variable(variable) : NULL;

	if (ret_name)
		*ret_name = value ? variable : key;
	if (value)
		return lm_str(value);
	return key ? shared_config_get(c, c->profile, key) : LM_STR("");
}

bool shared_config_flag(const struct shared_config *c, const char *variable, const char *key)
{
	return lm_str_eq_nocase(shared_config_setting(c, variable, key, NULL), LM_STR("true"));
}

lm_rc shared_config_find_ca_bundle(char **ret, struct lm_err *err)
{
	lm_auto_shared_config struct shared_config config = {0};
	const char *name = NULL;
	lm_rc rc = shared_config_load(&config, err);

	if (rc != LM_OK)
		return rc;
	struct lm_str path = shared_config_setting(&config, "AWS_CA_BUNDLE", "ca_bundle", &name);
	lm_auto_free char *bundle = path.n ? lm_xmemdup0(path.p, path.n) : NULL;
	if (bundle && access(bundle, R_OK) != 0)
		return lm_fail(err, LM_E_INVALID, errno, "%s names '%s': %m", name, bundle);
	*ret = lm_take(bundle);
	return LM_OK;
}

lm_rc shared_config_https(struct https **ret, struct lm_err *err)
{
	lm_auto_free char *bundle = NULL;
	lm_rc rc = shared_config_find_ca_bundle(&bundle, err);

	return rc ? rc : https_create(bundle, ret, err);
}
