// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The settings of the AWS SDKs on this device: environment variables, then a profile of the two
/// shared files (aws/profile_file.h), as botocore resolves them.
///
/// The files are AWS_SHARED_CREDENTIALS_FILE's and AWS_CONFIG_FILE's, or ~/.aws/credentials and
/// ~/.aws/config; the profile is AWS_DEFAULT_PROFILE's, else AWS_PROFILE's, else "default". What
/// the credentials file says of a profile counts before what the config file says. (AWS SDKs and
/// Tools Reference Guide: "Settings reference",
/// https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html.)

#include "aws/profile_file.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "http/https.h"

#include <stdbool.h>

/// One of the two files.
struct shared_file {
	enum profile_file_kind kind;
	const char *source; ///< "the AWS config file"; static storage.
	char *path;         ///< NULL: none is configured, and the user has no home.
	struct lm_buf text;
	struct profile_file parsed;
	struct lm_err lack; ///< Why it was not read; rc is LM_OK if it was.
};

struct shared_config {
	struct shared_file credentials, config;
	struct lm_str profile;        ///< Its name. Borrowed from the environment.
	const char *profile_variable; ///< Which named it; NULL: it is the default one.
};

/// Reads both files. One that is not there, or that belongs to another user and was not named by a
/// variable, has no settings. LM_E_INVALID and others: a file is no such file, or was named and
/// cannot be read; the message names it.
lm_rc shared_config_load(struct shared_config *ret, struct lm_err *err);
/// Wipes what was read.
void shared_config_finish(struct shared_config *c);
#define lm_auto_shared_config lm_auto(shared_config_finish)

/// Whether one of the files has a profile of that name.
bool shared_config_has(const struct shared_config *c, struct lm_str profile);
/// A value of a profile; empty if neither file has it. Borrowed.
struct lm_str shared_config_get(
	const struct shared_config *c, struct lm_str profile, const char *key);
/// The same with what may be a comment behind it, for command lines.
struct lm_str shared_config_get_whole(
	const struct shared_config *c, struct lm_str profile, const char *key);
/// The same of a setting nested in a key, like "s3" and "addressing_style".
struct lm_str shared_config_get_nested(
	const struct shared_config *c, struct lm_str profile, const char *key, const char *nested);

/// The variable's value, else the profile's; empty if neither has one. `*ret_name` is which it was,
/// for messages. Either may be NULL, and so may `ret_name`. Borrowed.
struct lm_str shared_config_setting(const struct shared_config *c, const char *variable,
	const char *key, const char **ret_name);
/// Whether such a setting is "true"; any other text is not.
bool shared_config_flag(const struct shared_config *c, const char *variable, const char *key);

/// The file of certificate authorities that AWS_CA_BUNDLE, or ca_bundle of the profile, names; NULL
/// if neither does. The caller frees. LM_E_INVALID: it, or one of the two files, cannot be read.
lm_rc shared_config_find_ca_bundle(char **ret, struct lm_err *err);
/// HTTPS with those authorities. Errors of shared_config_find_ca_bundle and https_create.
lm_rc shared_config_https(struct https **ret, struct lm_err *err);

/// The variable's value; NULL if it is not set or empty.
const char *shared_config_variable(const char *name);
