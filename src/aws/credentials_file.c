// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_priv.h"

#include "aws/profile_file.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

enum { SHOWN_MAX = 64 };

/// One of the two files, with what it says of the profile.
struct file {
	enum profile_file_kind kind;
	const char *variable;
	const char *usual; ///< Below the home directory.
	const char *source;
	char *path;
	bool named; ///< By the variable.
	struct lm_buf text;
	struct profile profile;
	struct lm_err lack; ///< Why it has no credentials.
};

static void file_finish(struct file *f)
{
	free(f->path);
	lm_buf_finish(&f->text);
}

/// NULL: the user has no home.
static const char *home(void)
{
	const char *directory = credentials_variable("HOME");
	const struct passwd *user = directory ? NULL : getpwuid(geteuid());

	return user && user->pw_dir && *user->pw_dir ? user->pw_dir : directory;
}

static void find_path(struct file *f)
{
	const char *value = credentials_variable(f->variable);
	const char *directory = home();

	f->named = value != NULL;
	if (value && lm_str_starts(lm_str(value), LM_STR("~/")) && directory)
		f->path = lm_path_join(directory, value + 2);
	else if (value)
		f->path = lm_xstrdup(value);
	else if (directory)
		f->path = lm_path_join(directory, f->usual);
}

/// A file that is not there, or that is another user's, has no credentials; what is wrong with a
/// file that someone named is worth a failure.
static lm_rc file_read(struct file *f, const char *name, struct lm_err *err)
{
	find_path(f);
	if (!f->path) {
		f->lack.rc = lm_fail(&f->lack, LM_E_NOT_FOUND, 0,
			"%s is not set and the user has no home directory", f->variable);
		return LM_OK;
	}
	lm_rc rc = lm_file_read(f->path, &f->text, &f->lack);
	if (rc == LM_E_NOT_FOUND)
		f->lack.rc = lm_fail(&f->lack, rc, 0, "there is no '%s'", f->path);
	if (rc == LM_E_NOT_FOUND || (rc == LM_E_DENIED && !f->named))
		return LM_OK;
	if (rc == LM_OK)
		rc = profile_file_find(
			lm_buf_str(&f->text), f->kind, lm_str(name), &f->profile, &f->lack);
	if (rc == LM_E_INVALID)
		rc = lm_wrap(&f->lack, "%s '%s'", f->source, f->path);
	if (rc != LM_OK)
		*err = f->lack;
	return rc;
}

static lm_rc take_keys(
	struct file *f, const char *shown, struct aws_credentials *ret, struct lm_err *err)
{
	if (f->lack.rc != LM_OK)
		return LM_E_NOT_FOUND;
	if (!f->profile.found)
		return lm_fail(
			&f->lack, LM_E_NOT_FOUND, 0, "'%s' has no profile '%s'", f->path, shown);
	lm_auto_free char *where = lm_xasprintf(" in profile '%s' of '%s'", shown, f->path);
	const struct credentials_parts parts = {
		.id = f->profile.access_key_id,
		.secret = f->profile.secret_access_key,
		.token = f->profile.session_token,
		.id_name = "aws_access_key_id",
		.secret_name = "aws_secret_access_key",
		.token_name = "aws_session_token",
		.where = where,
		.source = f->source,
	};
	lm_rc rc = credentials_assemble(&parts, ret, &f->lack);
	if (rc != LM_OK)
		*err = f->lack;
	return rc;
}

static lm_rc unsupported(
	const struct file *f, const char *shown, const char *key, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0,
		"profile '%s' of '%s' gets its credentials by '%s', which is not supported here; "
		"give it aws_access_key_id and aws_secret_access_key, or choose another profile "
		"with AWS_PROFILE",
		shown, f->path, key);
}

/// The order of Boto3 ("Credentials"): roles and IAM Identity Center, the credentials file's keys,
/// credential_process, the config file's keys.
static lm_rc choose(struct file *credentials, struct file *config, const char *shown,
	struct aws_credentials *ret, struct lm_err *err)
{
	struct file *const files[] = {credentials, config};

	for (size_t i = 0; i < LM_ARRAY_SIZE(files); i++) {
		if (files[i]->profile.elsewhere)
			return unsupported(files[i], shown, files[i]->profile.elsewhere, err);
	}
	lm_rc rc = take_keys(credentials, shown, ret, err);
	if (rc != LM_E_NOT_FOUND)
		return rc;
	for (size_t i = 0; i < LM_ARRAY_SIZE(files); i++) {
		if (files[i]->profile.process)
			return unsupported(files[i], shown, files[i]->profile.process, err);
	}
	rc = take_keys(config, shown, ret, err);
	if (rc != LM_E_NOT_FOUND)
		return rc;
	if (!credentials->profile.found && !config->profile.found &&
		credentials_variable("AWS_PROFILE"))
		return lm_fail(err, LM_E_INVALID, 0,
			"AWS_PROFILE names the profile '%s', which cannot be had: %s, and %s",
			shown, credentials->lack.msg, config->lack.msg);
	return lm_fail(err, rc, 0, "%s; %s", credentials->lack.msg, config->lack.msg);
}

lm_rc credentials_from_files(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto(file_finish) struct file credentials = {
		.kind = PROFILE_FILE_CREDENTIALS,
		.variable = "AWS_SHARED_CREDENTIALS_FILE",
		.usual = ".aws/credentials",
		.source = "the shared credentials file",
		.text = LM_BUF_SECRET(LIMIT_PROFILE_FILE),
	};
	lm_auto(file_finish) struct file config = {
		.kind = PROFILE_FILE_CONFIG,
		.variable = "AWS_CONFIG_FILE",
		.usual = ".aws/config",
		.source = "the AWS config file",
		.text = LM_BUF_SECRET(LIMIT_PROFILE_FILE),
	};
	const char *profile = credentials_variable("AWS_PROFILE");
	char shown[4 * SHOWN_MAX + 32];

	(void)c;
	if (!profile)
		profile = "default";
	lm_rc rc = file_read(&credentials, profile, err);
	if (rc == LM_OK)
		rc = file_read(&config, profile, err);
	if (rc != LM_OK)
		return rc;
	(void)lm_str_shorten(lm_str(profile), SHOWN_MAX, shown, sizeof(shown));
	return choose(&credentials, &config, shown, ret, err);
}
