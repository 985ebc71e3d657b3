// SPDX-License-Identifier: Apache-2.0

/// A message of the job service: the topic below "$aws/things/Gateway/jobs/", a line end, the
/// payload. What it holds fits what a job may have, and a document becomes a group file or a
/// reason.

#include "base/memory.h"
#include "config/job_document.h"
#include "config/job_messages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_document(const json_t *document)
{
	lm_auto_job_document struct job_document d = {JOB_DEPLOYS, NULL};
	struct lm_err err = {LM_OK};

	if (job_document_read(document, &d, &err)) {
		if (d.group || !err.msg[0])
			abort();
	} else if ((d.operation == JOB_DEPLOYS) != (d.group != NULL) ||
		   (d.group && strlen(d.group) > JOB_DOCUMENT_MAX)) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str rest = {(const char *)data, size};
	struct lm_str name = lm_str_cut(&rest, '\n');
	lm_auto_free char *topic = lm_xasprintf("$aws/things/Gateway/jobs/%.*s", LM_STR_ARG(name));
	lm_auto_job_message struct job_message m = {.kind = JOB_KIND_NONE};
	char text[JOB_TEXT_SIZE];
	struct lm_err err = {LM_OK};

	if (job_message_parse("Gateway", topic, rest, &m, &err))
		return 0;
	if (m.kind == JOB_KIND_NONE || m.version < 0 || m.execution.version < 0 ||
		m.execution.number < 0 || (m.has_execution && !m.execution.id[0]))
		abort();
	if (!lm_str_is_utf8(lm_str(job_text(m.why, text))))
		abort();
	check_document(m.execution.document);
	return 0;
}
