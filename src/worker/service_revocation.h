// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Takes a removed device out of what the local broker and discovery read, at once, and whatever
/// becomes of the next worker/service_files.h: that may fail, or come with the application only.

#include "base/error.h"
#include "devices/certificate_store.h"

/// For a device, or a function: takes its certificates out of the files, as far as these exist, so
/// that no start of the two programs accepts it any more. A file that is damaged is removed.
lm_rc service_revocation_write(
	struct certificate_store *store, const char *name, struct lm_err *err);
