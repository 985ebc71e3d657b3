// SPDX-License-Identifier: Apache-2.0
#include "worker/policy_check.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "docker/compose.h"
#include "docker/engine_images.h"

#include <stdlib.h>

/// Whether for each active service it is certain that it has no health check.
static bool has_no_health_check(
	const struct compose_services *services, const enum policy_health *health)
{
	for (size_t i = 0; i < services->n; i++)
		if (services->items[i].active && health[i] != POLICY_HEALTH_NONE)
			return false;
	return true;
}

static bool is_ever_restarted(const struct compose_services *services)
{
	for (size_t i = 0; i < services->n; i++)
		if (services->items[i].active && services->items[i].restarts)
			return true;
	return false;
}

void policy_check(const struct connector_policy *policy, const struct compose_services *services,
	const enum policy_health *health, policy_found *found, void *ctx)
{
	if (!has_no_health_check(services, health))
		return;
	if (policy->restart_unhealthy)
		found(ctx,
			"Policy.RestartUnhealthy has no effect: no service has a health check, "
			"neither in the compose file nor in its image",
			"add a healthcheck to the services that are to be restarted, or omit "
			"RestartUnhealthy");
	if (policy->probation_s > 0 && !is_ever_restarted(services))
		found(ctx,
			"Policy.ProbationSeconds finds no failure: no service has a health check, "
			"and none is restarted when it exits, so none can turn unhealthy or be in "
			"a crash loop",
			"add a healthcheck, or a restart policy such as on-failure, or omit "
			"ProbationSeconds");
}

static enum policy_health ask_image(const struct context *cx, const struct compose_service *s)
{
	lm_auto_free char *built =
		compose_built_name(COMPOSE_PROJECT, s->name, (unsigned)cx->compose.generation);
	lm_auto(engine_image_finish) struct engine_image image = {0};
	struct lm_err ignored; // it is not there, or not known

	if (engine_inspect_image(
		    &cx->engine, s->image ? s->image : built, &cx->limit, &image, &ignored))
		return POLICY_HEALTH_UNKNOWN;
	return image.has_health_check ? POLICY_HEALTH_CHECKED : POLICY_HEALTH_NONE;
}

static enum policy_health find_health(const struct context *cx, const struct compose_service *s)
{
	if (!s->active || s->health == COMPOSE_HEALTH_OFF)
		return POLICY_HEALTH_NONE;
	return s->health == COMPOSE_HEALTH_ON ? POLICY_HEALTH_CHECKED : ask_image(cx, s);
}

void policy_check_services(const struct context *cx, policy_found *found, void *ctx)
{
	const struct compose_services *services = &cx->services;
	lm_auto_free enum policy_health *health = lm_xcalloc(services->n + 1, sizeof(*health));

	for (size_t i = 0; i < services->n; i++)
		health[i] = find_health(cx, &services->items[i]);
	policy_check(&context_definition(cx)->policy, services, health, found, ctx);
}
