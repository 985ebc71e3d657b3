// SPDX-License-Identifier: Apache-2.0
#include "daemon/start.h"

#include "deploy/launch.h"

lm_rc start_worker(struct loop *loop, const struct host_settings *host, const struct start *start,
	const struct job_events *events, struct job **ret, struct lm_err *err)
{
	lm_auto(launch_identity_finish) struct launch_identity identity = {-1, -1};

	if (start->needs_aws)
		identity = launch_open_identity(host);
	const struct job_spec spec = {
		.program = start->program,
		.user = start->user,
		.document = start->document,
		.lock_fd = start->lock_fd,
		.handover = {start->compose_fd, identity.key_fd, identity.certificate_fd,
			start->previous_fd},
		.silence_ms = host->worker_silence_s * 1000,
	};
	lm_rc rc = job_start(loop, &spec, events, ret, err);

	return rc ? rc : launch_lock_note(start->lock_fd, job_pid(*ret), err);
}
