// SPDX-License-Identifier: Apache-2.0
#include "worker/task.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto_task struct task task = {0};
	struct lm_err err = {LM_OK};
	lm_rc rc = task_parse((struct lm_str){(const char *)data, size}, &task, &err);

	// A check may do without a definition, and needs no directory; nor does shipping.
	bool in_place = task.kind == TASK_SHIP_LOGS || task.kind == TASK_CHECK;
	bool complete = (task.group || task.kind == TASK_CHECK) &&
			(in_place || task.credentials_directory) && task.host.docker_socket &&
			!task.compose_stamp == !task.compose_version;
	if (rc == LM_OK && !complete)
		abort();
	if (rc != LM_OK && (task.group || task.credentials_directory || !err.msg[0]))
		abort();
	return 0;
}
