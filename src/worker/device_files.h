// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Keys and certificates of client devices beside the compose file: in
/// `<DockerComposeFileDestinationPath>/devices/<name>`, for containers to mount. Other users may be
/// able to write to that directory, so no link is followed, and a folder of another user is not
/// used.
///
/// `devices/.lighterman.json` lists the folders in which there are files of ours. Only those are
/// removed again, and a folder only if nothing else is in it.

#include "base/error.h"
#include "base/str.h"
#include "sys/wait.h"

/// `directory_fd` is the open destination; its path is for messages. `bundle` is the text of a
/// device_bundle; empty: nothing is done.
///
/// Writes the files of all devices that are in the bundle, as far as they are not there already,
/// and removes those of others. LM_E_DENIED: something of that name is in the way. LM_E_INVALID,
/// LM_E_SYS, LM_E_CANCELLED.
lm_rc device_files_place(int directory_fd, const char *directory, struct lm_str bundle,
	const struct wait_limit *limit, struct lm_err *err);
/// Removes all files of ours.
lm_rc device_files_remove(int directory_fd, const char *directory, struct lm_err *err);
