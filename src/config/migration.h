// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What is taken over from Greengrass V1: a core's config.json, its group.json and saved output of
/// `aws greengrass get-…-definition-version` in, a host file and a group file out, with a report of
/// what was taken, what was not, and what to do about that. No key, PIN or password is copied.
/// Pure.

#include "base/cleanup.h"
#include "config/validation_errors.h"
#include "sys/json.h"

struct migration;

struct migration *migration_create(void);
void migration_destroy(struct migration *m);
LM_DEFINE_CLEANUP(struct migration, migration_destroy)

/// The config.json of the core whose root folder is `root` (absolute). LM_E_INVALID: it is not
/// one, or there is one already.
lm_rc migration_add_core(
	struct migration *m, const json_t *config, const char *root, struct lm_err *err);
/// Any other document; what it is shows in its shape. `name` is for messages. In doubt an array of
/// a saved output stands before that of group.json. LM_E_INVALID: it is of no form that can be
/// taken, or has what another one had.
lm_rc migration_add_document(
	struct migration *m, const json_t *document, const char *name, struct lm_err *err);
/// Puts both files together, once all is added. LM_E_INVALID: the definition of the connector
/// breaks a rule; all of them are in `errors` (the caller's, zeroed).
lm_rc migration_finish(struct migration *m, struct validation_errors *errors, struct lm_err *err);

/// NULL: there was no core. Borrowed.
const json_t *migration_host(const struct migration *m);
/// NULL: there was no connector. Borrowed.
const json_t *migration_group(const struct migration *m);
/// {"taken":[{"what","value"},…],"not_taken":[{"what","why","fix"},…],"keep":[PATH,…]}, texts:
/// `keep` are files that the host file refers to. Borrowed.
const json_t *migration_report(const struct migration *m);
