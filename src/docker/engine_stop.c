// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine.h"
#include "docker/engine_priv.h"

#include <stdio.h>

enum {
	STOP_MS = 600 * 1000, ///< A container's own grace is within it.
	AT_ONCE = 16,
};

/// Sends the request; the engine answers once the container has stopped.
static lm_rc begin_stop(const struct engine *e, const struct engine_object *c,
	struct http_unix **ret, struct lm_err *err)
{
	char target[256];
	(void)snprintf(
		target, sizeof(target), "/v1.%u/containers/%.128s/stop", e->version.minor, c->id);
	struct http_unix_request request = {.socket_path = e->socket_path,
		.method = "POST",
		.target = target,
		.body_max = LIMIT_HTTP_ERROR_BODY};
	lm_auto(http_unix_destroy_p) struct http_unix *h = NULL;
	lm_rc rc = engine_connect(&request, &h, err);
	if (rc != LM_OK)
		return rc;
	bool done = false;
	rc = http_unix_step(h, &done, err);
	if (rc != LM_OK)
		return lm_wrap(err, "ask the Docker daemon");
	*ret = lm_take(h);
	return LM_OK;
}

static lm_rc end_stop(struct http_unix *h, const struct wait_limit *limit, struct lm_err *err)
{
	lm_rc rc = http_unix_wait(h, limit, err);
	if (rc != LM_OK)
		return lm_wrap(err, "ask the Docker daemon");
	int status = http_unix_status(h);
	// 304: it does not run; 404: it has gone.
	if (status / 100 == 2 || status == 304 || status == 404)
		return LM_OK;
	return engine_answer_error(h, err);
}

static lm_rc stop_some(const struct engine *e, const struct engine_object *items, size_t n,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct http_unix *under_way[AT_ONCE] = {NULL};
	struct wait_limit within = wait_limit_within(limit, STOP_MS);
	const struct engine_object *at = items;
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < n && rc == LM_OK; i++) {
		at = &items[i];
		rc = begin_stop(e, at, &under_way[i], err);
	}
	for (size_t i = 0; i < n && rc == LM_OK; i++) {
		at = &items[i];
		rc = end_stop(under_way[i], &within, err);
	}
	for (size_t i = 0; i < n; i++)
		http_unix_destroy(under_way[i]);
	return rc == LM_OK ? LM_OK : lm_wrap(err, "stop container %s", at->name);
}

lm_rc engine_stop_containers(const struct engine *e, const struct engine_object *items, size_t n,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < n && rc == LM_OK; i += AT_ONCE)
		rc = stop_some(e, items + i, n - i < AT_ONCE ? n - i : AT_ONCE, limit, err);
	return rc;
}

lm_rc engine_stop_project(const struct engine *e, const char *project,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_rc rc = engine_list_containers(e, project, limit, &list, err);
	if (rc != LM_OK)
		return rc;
	lm_auto_free struct engine_object *items = lm_xcalloc(list.n + 1, sizeof(*items));
	for (size_t i = 0; i < list.n; i++)
		items[i] = (struct engine_object){list.items[i].id, list.items[i].name};
	return engine_stop_containers(e, items, list.n, limit, err);
}
