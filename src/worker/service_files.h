// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the local broker and discovery read: the files in `<state>/devices/broker` and
/// `<state>/devices/discovery`, made from the group, the host file, the store of certificates and
/// the addresses of this device.

#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "devices/certificate_store.h"
#include "worker/service_folder.h"

#include <stddef.h>
#include <stdint.h>

enum { SERVICE_WARNINGS_MAX = 16 };

struct service_files_result {
	struct service_steps steps; ///< What the two programs have to do.
	int64_t server_expires_s;   ///< The broker's certificate; 0: there is none.
	char *warnings[SERVICE_WARNINGS_MAX];
	size_t warnings_n;
};

/// Makes all files. LM_E_NOT_FOUND: the user of the broker does not exist. LM_E_INVALID: they
/// cannot be made from these settings. `*ret` is freed with service_files_finish, after a failure,
/// too.
lm_rc service_files_apply(struct certificate_store *store, const struct group *group,
	const struct host_settings *host, int64_t now_s, struct service_files_result *ret,
	struct lm_err *err);
/// For a group without client devices: removes the files, except for what the broker keeps.
lm_rc service_files_remove(
	const char *state_directory, struct service_files_result *ret, struct lm_err *err);
void service_files_finish(struct service_files_result *result);

/// When the broker's certificate expires, in seconds since 1970; 0: there is none.
int64_t service_files_server_expires(const char *state_directory);
