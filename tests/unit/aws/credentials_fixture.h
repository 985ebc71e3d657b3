// SPDX-License-Identifier: Apache-2.0
#pragma once

/// For tests of the sources of credentials: an environment without any, a folder, and loading.

#include "aws/credentials_provider.h"
#include "base/error.h"
#include "loopback.h"

struct load {
	lm_rc rc;
	struct aws_credentials credentials;
	struct lm_err err;
};

/// cmocka's setup and teardown: no variable of AWS's is set but AWS_EC2_METADATA_DISABLED, and HOME
/// is an empty folder.
int fixture_setup(void **state);
int fixture_teardown(void **state);
/// Sets a variable; NULL removes it.
void fixture_set(const char *name, const char *value);
/// Writes a file below HOME, whose folder is made. The path is static storage.
const char *fixture_write(const char *name, const char *text);

/// Settings whose requests are sent twice at most, without a wait between them.
struct credentials_settings fixture_settings(void);
/// Loads with fixture_settings, within 30 s.
void fixture_load(struct load *l);
void fixture_load_with(struct load *l, const struct credentials_settings *settings);
void load_finish(struct load *l);
#define lm_auto_load lm_auto(load_finish)

void assert_loaded(const struct load *l, const char *id, const char *secret, const char *token);
/// A failure, whose sentence has `part`.
void assert_failed(const struct load *l, lm_rc rc, const char *part);
