// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The jobs that this device has been given, on disk: `jobs.json` in the state directory
/// (docs/formats.md). Synced. Never logs.

#include "base/error.h"
#include "deploy/job_machine.h"
#include "sys/damage.h"

/// Reads the list; an empty one if there is no file, or it is damaged: that is noted, and the file
/// set aside.
void job_record_read(const char *state_directory, struct damage *damage, struct job_list *ret);
/// As record_json_replace.
lm_rc job_record_write(
	const char *state_directory, const struct job_list *list, struct lm_err *err);
