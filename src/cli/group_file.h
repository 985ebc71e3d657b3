// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The group file that a command was given, or the compose file in its place: a path, "-" for
/// standard input, or an https:// or oci:// address.

#include "base/buf.h"
#include "cli/options.h"

/// What messages call it: the path, or "standard input".
const char *group_file_name(const char *path);
/// Reads it to the end, under the ceiling of `out`. Errors as lm_file_read.
lm_rc group_file_read(const char *path, struct lm_buf *out, struct lm_err *err);
/// Puts the group that deploys a compose file (config/compose_group.h) in place of the text, if
/// that is a compose file or if the argument of the call is the address of one. `state_directory`
/// is lightermand's; NULL: the default. LM_E_INVALID: it cannot be deployed so; or it is a group
/// file, and the call has options that are only for a compose file.
lm_rc group_file_complete(const struct call *call, const char *state_directory, struct lm_buf *text,
	struct lm_err *err);
/// Reads the file of the call for lightermand, which validates it; but it must be JSON to be sent.
/// A compose file becomes a group. False: it cannot be sent, which has been reported as `lighterman
/// validate` does; `*ret_status` is the exit status.
bool group_file_load(const struct call *call, struct lm_buf *text, int *ret_status);
