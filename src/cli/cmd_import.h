// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman import`: writes a host file and a group file from what Greengrass V1 has left.

#include "base/buf.h"
#include "cli/options.h"
#include "sys/json.h"

int cmd_import(const struct call *call);

// For tests.

/// The report of config/migration.h, with "files" ([{"path","written"},…]), as text.
void import_render(const json_t *report, struct lm_buf *out);
