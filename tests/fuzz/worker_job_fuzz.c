// SPDX-License-Identifier: Apache-2.0
#include "worker/job.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_job struct job job = {0};
	struct lm_err err = {LM_OK};
	lm_rc rc = job_parse((struct lm_str){(const char *)data, size}, &job, &err);

	// A check may do without a definition, and needs no directory; nor does shipping.
	bool in_place = job.kind == JOB_SHIP_LOGS || job.kind == JOB_CHECK;
	bool complete = (job.group || job.kind == JOB_CHECK) &&
			(in_place || job.credentials_directory) && job.host.docker_socket &&
			!job.compose_stamp == !job.compose_version;
	if (rc == LM_OK && !complete)
		abort();
	if (rc != LM_OK && (job.group || job.credentials_directory || !err.msg[0]))
		abort();
	return 0;
}
