// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The group that deploys a compose file as it stands, without a group file: version 7 of the
/// connector, with what a person expects of a deployment by hand: success means healthy, a failure
/// is rolled back, and the application comes back without a network. Pure.

#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

/// Either `text` or `url`; all is borrowed.
struct compose_group_source {
	struct lm_str text; ///< The compose file; empty: it is at `url`.
	const char *name;   ///< Its name, for messages; NULL: none.
	const char *url;    ///< Begins with https:// or oci://.
	const char *destination;
	bool has_user;
	uint32_t uid; ///< The application's user, with `has_user`; else the host file's.
};

/// Whether the text is a compose file rather than a group file, by its keys.
bool compose_group_is_compose(struct lm_str text);
/// Whether it is the address of one.
bool compose_group_is_url(const char *argument);
/// The group file, a new reference. LM_E_INVALID: the text is not UTF-8.
lm_rc compose_group_make(
	const struct compose_group_source *source, json_t **ret, struct lm_err *err);
