// SPDX-License-Identifier: Apache-2.0
#include "daemon/container_list.h"

#include "base/buf.h"
#include "base/memory.h"
#include "docker/engine_request.h"

#include <string.h>

enum {
	ANSWER_MS = 10 * 1000,
	TARGET_MAX = 4096,
};

struct container_question {
	struct container_question *next;
	container_list_done *done;
	void *ctx;
};

struct container_list {
	struct loop *loop;
	char *socket_path;
	char *project;
	unsigned minor;                     ///< Of the API version agreed on; 0: to be asked for.
	struct container_question *waiting; ///< For what is under way.
	struct container_question
		*answering;     ///< Being answered; a callback may forget some of them.
	struct engine_get *get; ///< NULL: nothing is under way.
	bool notifying;         ///< Callbacks are being called; the memory is needed until then.
	bool destroyed;
};

static void container_list_on_answer(
	void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *err);

struct container_list *container_list_create(
	struct loop *loop, const char *socket_path, const char *project)
{
	struct container_list *c = lm_xcalloc(1, sizeof(*c));

	c->loop = loop;
	c->socket_path = lm_xstrdup(socket_path);
	c->project = lm_xstrdup(project);
	return c;
}

static void container_list_stop(struct container_list *c)
{
	engine_get_destroy(lm_take(c->get));
}

static void free_first(struct container_question **list)
{
	struct container_question *q = *list;

	*list = q->next;
	free(q);
}

static void forget_list(struct container_question **list, const void *ctx)
{
	while (*list) {
		if ((*list)->ctx == ctx)
			free_first(list);
		else
			list = &(*list)->next;
	}
}

void container_list_destroy(struct container_list *c)
{
	if (!c)
		return;
	container_list_stop(c);
	while (c->waiting)
		free_first(&c->waiting);
	while (c->answering)
		free_first(&c->answering);
	free(c->socket_path);
	free(c->project);
	c->destroyed = true;
	if (!c->notifying)
		free(c);
}

/// Answers all questions. A callback may ask again, forget, and destroy `c`.
static void container_list_finish(struct container_list *c, lm_rc rc,
	const struct engine_containers *list, const struct lm_err *err)
{
	container_list_stop(c);
	if (rc != LM_OK)
		c->minor = 0;
	c->answering = lm_take(c->waiting);
	c->notifying = true;
	while (c->answering) {
		struct container_question q = *c->answering;

		free_first(&c->answering);
		q.done(q.ctx, rc, list, err);
	}
	c->notifying = false;
	if (c->destroyed)
		free(c);
}

static void ask_version(struct container_list *c)
{
	c->get = engine_get_start(c->loop, c->socket_path, "/version", "list containers", ANSWER_MS,
		container_list_on_answer, c);
}

static void ask_list(struct container_list *c)
{
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);

	(void)engine_containers_target(&target, c->minor, c->project);
	c->get = engine_get_start(c->loop, c->socket_path, lm_buf_cstr(&target), "list containers",
		ANSWER_MS, container_list_on_answer, c);
}

void container_list_ask(struct container_list *c, container_list_done *done, void *ctx)
{
	struct container_question *q = lm_xcalloc(1, sizeof(*q));
	struct container_question **end = &c->waiting;

	*q = (struct container_question){.done = done, .ctx = ctx};
	while (*end)
		end = &(*end)->next;
	*end = q;
	if (c->get)
		return;
	if (c->minor == 0)
		ask_version(c);
	else
		ask_list(c);
}

unsigned container_list_api_minor(const struct container_list *c)
{
	return c->minor;
}

void container_list_forget(struct container_list *c, void *ctx)
{
	forget_list(&c->waiting, ctx);
	forget_list(&c->answering, ctx);
	if (!c->waiting)
		container_list_stop(c);
}

/// Checks that the engine's API version is supported, then requests the list.
static lm_rc take_version(struct container_list *c, struct lm_str body, struct lm_err *err)
{
	struct engine_version version;
	lm_rc rc = engine_parse_version(body, &version, err);

	if (rc != LM_OK)
		return lm_wrap(err, "list containers");
	c->minor = version.minor;
	container_list_stop(c);
	ask_list(c);
	return LM_OK;
}

static void container_list_on_answer(
	void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *failure)
{
	struct container_list *c = ctx;
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	struct lm_err err = *failure;

	if (rc == LM_OK && c->minor == 0) {
		rc = take_version(c, body, &err);
		if (rc == LM_OK)
			return;
	} else if (rc == LM_OK) {
		rc = engine_parse_containers(body, c->project, &list, &err);
		if (rc != LM_OK)
			rc = lm_wrap(&err, "list containers");
	}
	container_list_finish(c, rc, rc ? NULL : &list, &err);
}

bool container_list_is_in_state(const struct engine_container *c, const char *word)
{
	return strcmp(c->state, word) == 0;
}

bool container_list_is_up(const struct engine_container *c)
{
	return container_list_is_in_state(c, "running") ||
	       container_list_is_in_state(c, "restarting") ||
	       container_list_is_in_state(c, "paused");
}

const char *container_list_health_name(enum engine_health health)
{
	static const char *const names[] = {[ENGINE_HEALTH_NONE] = "none",
		[ENGINE_HEALTH_STARTING] = "starting",
		[ENGINE_HEALTHY] = "healthy",
		[ENGINE_UNHEALTHY] = "unhealthy"};

	return names[health];
}
