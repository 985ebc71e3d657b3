// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "worker/check_priv.h"

/// In the order of a deployment, with what each needs at least.
static const struct check {
	const char *name;
	unsigned needs;
	check_function *run;
} CHECKS[] = {
	{"docker command", 0, check_docker},
	{"engine", 0, check_engine},
	{"engine version", 0, check_engine_version},
	{"docker-compose", 0, check_compose},
	{"compose and engine", NEED_COMPOSE | NEED_ENGINE, check_compose_api},
	{"destination", NEED_DEFINITION | NEED_USER, check_destination},
	{"free space", NEED_DEFINITION | NEED_DESTINATION, check_free_space},
	{"region", 0, check_region},
	{"AWS credentials", 0, check_credentials},
	{"compose file", NEED_DEFINITION, check_object},
	{"compose syntax", NEED_FILE, check_compose_file},
	{"compose requirements", NEED_FILE | NEED_ENGINE, check_requirements},
	{"secrets", NEED_DEFINITION | NEED_USER, check_secrets},
	{"registries", NEED_DEFINITION | NEED_USER | NEED_ENGINE, check_registries},
	{"clock", 0, check_clock},
};

static void run_check(struct checkup *c, const struct check *check)
{
	const char *lack = check_lack(c, check->needs);

	c->name = check->name;
	if (lack) {
		check_skip(c, "not checked: %s", lack);
		return;
	}
	check_log_begin(c);
	check->run(c);
	check_log_end(c);
}

static void run_checks(struct checkup *c)
{
	check_find(c);
	for (size_t i = 0; i < LM_ARRAY_SIZE(CHECKS) && !c->cancelled; i++)
		run_check(c, &CHECKS[i]);
}

void check_job_run(struct work *w, struct deploy_outcome *ret)
{
	struct checkup c = {.w = w};

	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	c.have = (w->job->group ? NEED_DEFINITION : 0) | (w->job->as_user ? NEED_USER : 0);
	run_checks(&c);
	if (c.cancelled) {
		ret->failed = DEPLOY_VALIDATE;
		ret->rc = lm_fail(&ret->err, LM_E_CANCELLED, 0, "told to stop");
	}
	ret->ended_ms = lm_clock_mono_ms();
}
