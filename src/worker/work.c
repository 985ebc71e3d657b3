// SPDX-License-Identifier: Apache-2.0
#include "worker/work_priv.h"

#include "base/limits.h"
#include "docker/compose_env.h"

void work_init(struct work *w, const struct job *job, struct report *report, int compose_fd)
{
	*w = (struct work){.job = job,
		.report = report,
		.limit = report_limit(report, job->host.worker_silence_s),
		.compose_fd = compose_fd,
		.destination_fd = -1,
		.text = LM_BUF(LIMIT_COMPOSE_FILE)};
}

void work_finish(struct work *w)
{
	engine_close(&w->engine);
	compose_finish(&w->compose);
	compose_env_free(w->env);
	lm_cleanup_close(&w->destination_fd);
	lm_buf_finish(&w->text);
	free(w->store_version);
	secrets_finish(&w->secrets);
	compose_services_finish(&w->services);
	*w = (struct work){.compose_fd = -1, .destination_fd = -1};
}

const char *work_compose_version(const struct work *w)
{
	const char *asked = work_definition(w)->object_version;

	return asked ? asked : w->store_version;
}

void work_tell(const struct work *w, json_t *line)
{
	struct lm_err ignored;

	(void)!report_send(w->report, line, &ignored);
}
