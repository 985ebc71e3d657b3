// SPDX-License-Identifier: Apache-2.0
#include "worker/work_priv.h"

#include "base/limits.h"
#include "docker/compose_env.h"

enum { WITHDRAW_MS = 15 * 1000 }; ///< A job that is cancelled has 30 s in all.

void work_init(
	struct work *w, const struct job *job, struct report *report, const struct handover *files)
{
	*w = (struct work){.job = job,
		.report = report,
		.limit = report_limit(report, job->host.worker_silence_s),
		.compose_fd = files->compose_fd,
		.previous_fd = files->previous_fd,
		.destination_fd = -1,
		.previous = PREVIOUS_NONE,
		.text = LM_BUF(LIMIT_COMPOSE_FILE),
		.own = LM_BUF(LIMIT_COMPOSE_FILE),
		.unset = LM_BUF(LIMIT_UNSET_NAMES),
		.config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG),
		.cloud = {.host = &job->host,
			.key_fd = files->key_fd,
			.certificate_fd = files->certificate_fd}};
	w->cloud.limit = &w->limit;
	w->cloud.region = job->host.region;
	if (!w->cloud.region && job->group)
		w->cloud.region = job->group->connector.region;
}

void work_withdraw(struct work *w)
{
	struct wait_limit limit = wait_limit_within(&w->limit, WITHDRAW_MS);

	limit.cancel_fd = -1; // above all when it is cancelled
	user_logins_restore(&w->user, &limit);
}

void work_finish(struct work *w)
{
	work_withdraw(w);
	user_logins_finish(&w->user);
	engine_close(&w->engine);
	compose_finish(&w->compose);
	compose_env_free(w->env);
	lm_cleanup_close(&w->destination_fd);
	previous_finish(&w->previous);
	lm_buf_finish(&w->text);
	lm_buf_finish(&w->own);
	lm_buf_finish(&w->unset);
	lm_buf_finish(&w->config);
	free(w->store_version);
	registry_list_finish(&w->secrets);
	tokens_finish(&w->tokens);
	compose_images_finish(&w->images); // which borrow from what follows
	compose_services_finish(&w->services);
	free(w->default_platform);
	cloud_finish(&w->cloud);
	*w = (struct work){.compose_fd = -1, .destination_fd = -1};
}

const char *work_compose_version(const struct work *w)
{
	const char *asked = work_definition(w)->object_version;

	return asked && !w->fell_back ? asked : w->store_version;
}

void work_tell(const struct work *w, json_t *line)
{
	struct lm_err ignored;

	(void)!report_send(w->report, line, &ignored);
}
