// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What a task has while it runs: what its stages find out, open and hand to each other.

#include "base/buf.h"
#include "config/definition.h"
#include "deploy/handover.h"
#include "deploy/stages.h"
#include "docker/compose.h"
#include "docker/compose_file.h"
#include "docker/engine.h"
#include "docker/engine_images.h"
#include "worker/aws_session.h"
#include "worker/ecr_tokens.h"
#include "worker/local_copy.h"
#include "worker/login.h"
#include "worker/protocol.h"
#include "worker/task.h"

/// A directory in which docker-compose works: `.env` and relative paths are looked up there.
struct project_directory {
	const char *path;
	int fd; ///< -1: it cannot be used.
};

struct context {
	const struct task *task; ///< Its group may be NULL for a check.
	struct protocol *protocol;
	struct wait_limit limit; ///< Of the whole task.
	int previous_fd;         ///< The compose file of the running generation; -1: none.
	int devices_fd;          ///< Files for client devices; -1: none.
	int compose_fd;          ///< Where a deploy writes its compose file, and a down reads it.

	struct engine engine;     ///< socket_path is NULL until it is open.
	struct compose compose;   ///< program is NULL until it is found.
	char **env;               ///< For docker-compose.
	int destination_fd;       ///< -1: not open.
	struct previous previous; ///< Of a deployment.

	struct lm_buf text; ///< The compose file of this deployment.
	bool fell_back;     ///< It is not what was fetched, if anything was.
	bool is_own; ///< It is the generation's own, which takes the place of the fetched one.
	char *store_version; ///< The store's name for its version; NULL: none is known.
	struct lm_buf own;   ///< The generation's own compose file, at a start.
	struct aws_session session;
	struct registry_list secrets; ///< The logins that the definition names.
	struct ecr_tokens tokens;
	struct user_logins user; ///< The logins in the user's own ~/.docker/config.json.
	struct lm_buf unset;     ///< Unset variables that the file uses, one per line.
	struct lm_buf config;    ///< The file as docker-compose resolved it; may hold passwords.
	struct compose_services services;
	char *default_platform;       ///< DOCKER_DEFAULT_PLATFORM; NULL: not set.
	struct compose_images images; ///< Of the active services.
	char *space_directory;        ///< It was refused for lack of space there; NULL: it was not.
	uint64_t space_bytes;         ///< So many have to be free there.
	struct engine_image_list
		images_before; ///< Those that the engine had before the stage `pull`.
	struct repair *repair; ///< Of damaged images; NULL until `admit`, if there are any.
};

static inline const struct connector_definition *context_definition(const struct context *cx)
{
	return &cx->task->group->connector;
}

static inline struct project_directory context_destination(const struct context *cx)
{
	return (struct project_directory){context_definition(cx)->destination, cx->destination_fd};
}

/// Where the running application has its local copy.
static inline struct project_directory context_running_directory(const struct context *cx)
{
	return cx->previous.moved ? (struct project_directory){cx->previous.directory,
					    cx->previous.directory_fd}
				  : context_destination(cx);
}

void context_init(struct context *cx, const struct task *task, struct protocol *protocol,
	const struct handover *files);
/// Takes back what would outlive the task: logins of ours in the user's credential helpers.
void context_withdraw(struct context *cx);
void context_finish(struct context *cx);

/// What the definition asks of the state machine.
struct deploy_options context_deploy_options(const struct context *cx);
/// The compose file's version to report; NULL: unknown. Borrowed.
const char *context_compose_version(const struct context *cx);
/// Sends a line to lightermand, and drops the reference. If nobody reads any more, the next wait
/// fails.
void context_send(const struct context *cx, json_t *line);
/// How docker-compose is run in `dir` with the compose file at `file`, which messages call `shown`
/// (NULL: by its path). Its output goes to the log. Borrows all.
struct compose_project context_compose_job(const struct context *cx,
	const struct project_directory *dir, char *const *env, const char *file, const char *shown);
