// SPDX-License-Identifier: Apache-2.0
#include "worker/context.h"

#include "base/limits.h"
#include "base/log.h"
#include "docker/compose.h"
#include "worker/hints.h"

enum {
	WITHDRAW_MS = 15 * 1000, ///< A cancelled task has 30 s in all.
	NAMES_MS = 2000,
};

void context_init(struct context *cx, const struct task *task, struct protocol *protocol,
	const struct handover *files)
{
	*cx = (struct context){.task = task,
		.protocol = protocol,
		.limit = protocol_limit(protocol, task->host.worker_silence_s),
		.compose_fd = files->compose_fd,
		.previous_fd = files->previous_fd,
		.devices_fd = files->devices_fd,
		.destination_fd = -1,
		.previous = PREVIOUS_NONE,
		.text = LM_BUF(LIMIT_COMPOSE_FILE),
		.own = LM_BUF(LIMIT_COMPOSE_FILE),
		.unset = LM_BUF(LIMIT_UNSET_NAMES),
		.config = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG),
		.session = {.host = &task->host,
			.key_fd = files->key_fd,
			.certificate_fd = files->certificate_fd}};
	cx->session.limit = &cx->limit;
	cx->session.region = task->host.region;
	if (!cx->session.region && task->group)
		cx->session.region = task->group->connector.region;
}

void context_withdraw(struct context *cx)
{
	struct wait_limit limit = wait_limit_within(&cx->limit, WITHDRAW_MS);

	limit.cancel_fd = -1; // a cancelled task withdraws, too
	user_logins_restore(&cx->user, &limit);
}

void context_finish(struct context *cx)
{
	context_withdraw(cx);
	user_logins_finish(&cx->user);
	engine_close(&cx->engine);
	compose_finish(&cx->compose);
	compose_env_free(cx->env);
	lm_cleanup_close(&cx->destination_fd);
	previous_finish(&cx->previous);
	lm_buf_finish(&cx->text);
	lm_buf_finish(&cx->own);
	lm_buf_finish(&cx->unset);
	lm_buf_finish(&cx->config);
	free(cx->store_version);
	registry_list_finish(&cx->secrets);
	ecr_tokens_finish(&cx->tokens);
	compose_images_finish(&cx->images); // which borrow from what follows
	compose_services_finish(&cx->services);
	free(cx->default_platform);
	engine_image_list_finish(&cx->images_before);
	free(cx->space_directory);
	aws_session_finish(&cx->session);
	*cx = (struct context){.compose_fd = -1, .destination_fd = -1};
}

const char *context_compose_version(const struct context *cx)
{
	const char *asked = context_definition(cx)->object_version;

	return asked && !cx->fell_back ? asked : cx->store_version;
}

void context_send(const struct context *cx, json_t *line)
{
	struct lm_err ignored;

	(void)!protocol_send(cx->protocol, line, &ignored);
}

struct deploy_options context_deploy_options(const struct context *cx)
{
	const struct connector_definition *d = context_definition(cx);

	return (struct deploy_options){
		.version = d->version,
		.force_deploy = d->force_deploy,
		.pull_before_up = d->pull_before_up,
		.stop_containers = d->stop_containers_on_new_deployment,
		.offline_mode = d->offline_mode,
		.wait_healthy = d->policy.wait_healthy,
		.snapshot = cx->task->snapshots,
		.pulls_first = d->policy.activate_at || d->policy.hold_file,
		.adopts = cx->task->is_first && d->policy.adopt_containers &&
			  !cx->task->snapshots && !cx->task->restores_data,
	};
}

static void context_log_compose_line(void *ctx, enum lm_level level, struct lm_str line)
{
	const struct context *cx = ctx;
	lm_auto_buf struct lm_buf named = LM_BUF(LIMIT_LOG_LINE);

	// docker-compose waits meanwhile.
	if (level == LM_ERROR && hints_find_names(cx, line, NAMES_MS, &named))
		line = lm_buf_str(&named);
	lm_log(level, "docker-compose: %.*s", LM_STR_ARG(line));
}

struct compose_project context_compose_job(const struct context *cx,
	const struct project_directory *dir, char *const *env, const char *file, const char *shown)
{
	return (struct compose_project){.compose = &cx->compose,
		.name = COMPOSE_PROJECT,
		// A `down` must work without the destination, too.
		.directory = dir->fd >= 0 ? dir->path : "/",
		.file = file,
		.file_shown = shown,
		.env = (const char *const *)env,
		.resolved = lm_buf_str(&cx->config),
		.on_line = context_log_compose_line,
		.ctx = (void *)cx};
}
