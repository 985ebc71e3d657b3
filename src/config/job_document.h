// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The document of a job (docs/fleet.md): a group file, or what to do, as
/// {"operation":"lighterman.deploy","group":…} or {"operation":"lighterman.rollback"}.
///
/// Pure. The group file is not checked here.

#include "base/cleanup.h"
#include "base/error.h"
#include "sys/json.h"

enum { JOB_DOCUMENT_MAX = 32 << 10 }; ///< Bytes; AWS IoT's own.

enum job_operation { JOB_DEPLOYS, JOB_ROLLS_BACK };

struct job_document {
	enum job_operation operation;
	char *group; ///< JOB_DEPLOYS: the text of the group file; owned.
};

#define lm_auto_job_document lm_auto(job_document_finish)

/// Reads the document, or a text that is one: AWS's own interfaces differ. `document` may be NULL.
/// LM_E_INVALID, LM_E_TOO_LARGE: the message is a reason to reject the job.
lm_rc job_document_read(const json_t *document, struct job_document *ret, struct lm_err *err);
void job_document_finish(struct job_document *d);
/// "deploy" or "rollback"; static storage.
const char *job_operation_name(enum job_operation operation);
