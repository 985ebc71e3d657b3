// SPDX-License-Identifier: Apache-2.0
#include "daemon/policy_cache.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/generation.h"

static unsigned read_frequency(struct store *store, unsigned n)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (generation_read(store, n, &group, &err) == LM_OK)
		return group->connector.status_log_frequency_s;
	lm_error("%s; the status of its containers is not logged", err.msg);
	return 0;
}

unsigned policy_cache_frequency_s(struct policy_cache *c, unsigned generation)
{
	if (c->frequency_of != generation) {
		c->frequency_s = read_frequency(c->store, generation);
		c->frequency_of = generation;
	}
	return c->frequency_s;
}

static bool read_restarts_unhealthy(struct store *store, unsigned n)
{
	lm_auto(group_destroy_p) struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (generation_read(store, n, &group, &err) == LM_OK)
		return group->connector.policy.restart_unhealthy;
	lm_error("%s; its unhealthy containers are not restarted", err.msg);
	return false;
}

bool policy_cache_restarts_unhealthy(struct policy_cache *c, unsigned generation)
{
	if (c->restarts_of != generation) {
		c->restarts_unhealthy = read_restarts_unhealthy(c->store, generation);
		c->restarts_of = generation;
	}
	return c->restarts_unhealthy;
}
