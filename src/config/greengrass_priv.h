// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The configuration of a Greengrass V1 core on this machine.

#include "config/host_file.h"

/// Fills what `host` leaves open from `<greengrassRoot>/config/config.json`; a missing file changes
/// nothing. `says_root`: the host file has decided on `allow_root`. Unknown keys and types are left
/// alone, for the file belongs to another program. LM_E_INVALID: it is not JSON; LM_E_DENIED.
lm_rc greengrass_merge(struct host_settings *host, bool says_root, struct lm_err *err);
