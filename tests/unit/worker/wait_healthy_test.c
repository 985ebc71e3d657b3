// SPDX-License-Identifier: Apache-2.0
#include "worker/wait_healthy.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { STABLE_MS = 10 * 1000, SHIPS_MAX = 400 };

/// A row of containers, looked at as often as a test says.
struct scene {
	struct engine_container listed[SHIPS_MAX];
	struct health_container containers[SHIPS_MAX];
	size_t n;
	struct health_watch watch;
	struct lm_buf why;
	uint64_t due_ms;
};

static void scene_finish(struct scene *s)
{
	health_watch_finish(&s->watch);
	lm_buf_finish(&s->why);
}

#define SCENE(name) lm_auto(scene_finish) struct scene name = {.why = LM_BUF(700)}

/// Adds a container "<service>_1" of that service, which has been started once.
static struct health_container *add(struct scene *s, const char *service, const char *state)
{
	static char names[SHIPS_MAX][64];
	size_t i = s->n++;

	(void)snprintf(names[i], sizeof(names[i]), "%s_1", service);
	s->listed[i] = (struct engine_container){
		.id = names[i], .name = names[i], .service = (char *)(uintptr_t)service};
	s->containers[i] = (struct health_container){.listed = &s->listed[i],
		.state = {.exit_code = -1, .started_ms = 1, .health = ENGINE_HEALTH_NONE}};
	(void)snprintf(
		s->containers[i].state.state, sizeof(s->containers[i].state.state), "%s", state);
	return &s->containers[i];
}

static struct health_container *add_exited(
	struct scene *s, const char *service, int code, enum engine_restart policy)
{
	struct health_container *c = add(s, service, "exited");

	c->state.exit_code = code;
	c->state.restart_policy = policy;
	return c;
}

static enum health_verdict look_for(
	struct scene *s, uint64_t now_ms, const struct health_service *services, size_t n)
{
	health_watch_update(&s->watch, s->containers, s->n, now_ms);
	const struct health_question q = {.services = services,
		.services_n = n,
		.containers = s->containers,
		.containers_n = s->n,
		.watch = &s->watch,
		.stable_ms = STABLE_MS,
		.now_ms = now_ms};
	lm_buf_clear(&s->why);
	return health_assess(&q, &s->why, &s->due_ms);
}

static enum health_verdict look(struct scene *s, uint64_t now_ms)
{
	static const struct health_service web = {"web", 1};

	return look_for(s, now_ms, &web, 1);
}

static void set_state(struct health_container *c, const char *state, int exit_code)
{
	(void)snprintf(c->state.state, sizeof(c->state.state), "%s", state);
	c->state.exit_code = exit_code;
}

static void up_for_long_enough_is_success(void **state)
{
	SCENE(s);

	(void)state;
	add(&s, "web", "running");
	assert_int_equal(look(&s, 1000), HEALTH_WAIT);
	assert_string_equal(lm_buf_cstr(&s.why), "container web_1 (up for less than 10 s)");
	assert_int_equal(s.due_ms, 11000);
	assert_int_equal(look(&s, 10999), HEALTH_WAIT);
	assert_int_equal(look(&s, 11000), HEALTH_READY);
	assert_int_equal(s.why.len, 0);
}

static void healthy_is_success_at_once_and_starting_is_not(void **state)
{
	SCENE(s);

	(void)state;
	struct health_container *c = add(&s, "web", "running");
	c->state.health = ENGINE_HEALTH_STARTING;
	assert_int_equal(look(&s, 1000), HEALTH_WAIT);
	assert_int_equal(look(&s, 1000 + 2 * STABLE_MS), HEALTH_WAIT);
	assert_string_equal(lm_buf_cstr(&s.why), "container web_1 (health: starting)");
	assert_int_equal(s.due_ms, 0);
	c->state.health = ENGINE_HEALTHY;
	assert_int_equal(look(&s, 1000 + 2 * STABLE_MS), HEALTH_READY);
}

static void a_restart_begins_the_time_anew_and_is_named(void **state)
{
	SCENE(s);

	(void)state;
	struct health_container *c = add(&s, "web", "running");
	c->state.restart_policy = ENGINE_RESTART_ALWAYS;
	assert_int_equal(look(&s, 1000), HEALTH_WAIT);
	set_state(c, "restarting", 3);
	c->state.restart_count = 6;
	assert_int_equal(look(&s, 5000), HEALTH_WAIT);
	assert_string_equal(
		lm_buf_cstr(&s.why), "container web_1 keeps restarting (exit code 3, 6 restarts)");
	set_state(c, "running", -1);
	c->state.started_ms = 2;
	c->state.restart_count = 7;
	assert_int_equal(look(&s, 11000), HEALTH_WAIT);
	assert_string_equal(
		lm_buf_cstr(&s.why), "container web_1 keeps restarting (exit code 3, 7 restarts)");
	assert_int_equal(look(&s, 20999), HEALTH_WAIT);
	assert_int_equal(look(&s, 21000), HEALTH_READY);
}

static void a_loop_between_two_looks_has_its_exit_code_from_the_event(void **state)
{
	SCENE(s);

	(void)state;
	struct health_container *c = add(&s, "web", "running");
	assert_int_equal(look(&s, 1000), HEALTH_WAIT);
	health_watch_exited(&s.watch, "web_1", 137);
	health_watch_exited(&s.watch, "nobody", 1);
	c->state.started_ms = 2; // by hand: the engine counts nothing
	assert_int_equal(look(&s, 1000 + STABLE_MS), HEALTH_WAIT);
	assert_string_equal(
		lm_buf_cstr(&s.why), "container web_1 keeps restarting (exit code 137, 1 restart)");
}

static void restarts_of_long_ago_do_not_count(void **state)
{
	SCENE(s);

	(void)state;
	add(&s, "web", "running")->state.restart_count = 57;
	assert_int_equal(look(&s, 1000), HEALTH_WAIT);
	assert_string_equal(
		lm_buf_cstr(&s.why), "container web_1 (up for less than 10 s, 57 restarts)");
	assert_int_equal(look(&s, 1000 + STABLE_MS), HEALTH_READY);
}

static void what_exited_with_0_counts_unless_it_comes_back(void **state)
{
	static const struct {
		enum engine_restart policy;
		int code;
		enum health_verdict verdict;
	} cases[] = {
		{ENGINE_RESTART_NO, 0, HEALTH_READY},
		{ENGINE_RESTART_ON_FAILURE, 0, HEALTH_READY},
		{ENGINE_RESTART_ALWAYS, 0, HEALTH_WAIT},
		{ENGINE_RESTART_ALWAYS, 1, HEALTH_WAIT},
		{ENGINE_RESTART_NO, 1, HEALTH_FAILED},
		{ENGINE_RESTART_ON_FAILURE, 1, HEALTH_FAILED},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		SCENE(s);

		add_exited(&s, "web", cases[i].code, cases[i].policy);
		assert_int_equal(look(&s, 1000), cases[i].verdict);
	}
}

static void fails_at_once_on_what_stays_as_it_is(void **state)
{
	SCENE(exited);
	SCENE(sick);
	SCENE(dead);

	(void)state;
	add_exited(&exited, "web", 3, ENGINE_RESTART_ON_FAILURE)->state.restart_count = 5;
	assert_int_equal(look(&exited, 1000), HEALTH_FAILED);
	assert_string_equal(
		lm_buf_cstr(&exited.why), "container web_1 exited with exit code 3, 5 restarts");
	add(&sick, "web", "running")->state.health = ENGINE_UNHEALTHY;
	assert_int_equal(look(&sick, 1000), HEALTH_FAILED);
	assert_string_equal(lm_buf_cstr(&sick.why), "container web_1 is unhealthy");
	add(&dead, "web", "dead");
	assert_int_equal(look(&dead, 1000), HEALTH_FAILED);
	assert_string_equal(lm_buf_cstr(&dead.why), "container web_1 is dead");
}

static void a_service_has_all_its_containers(void **state)
{
	static const struct health_service three = {"web", 3}, none = {"db", 1};
	SCENE(s);

	(void)state;
	add(&s, "web", "running")->state.health = ENGINE_HEALTHY;
	add(&s, "web", "running")->state.health = ENGINE_HEALTHY;
	assert_int_equal(look_for(&s, 1000, &three, 1), HEALTH_WAIT);
	assert_string_equal(lm_buf_cstr(&s.why), "service web has 2 of 3 containers");
	assert_int_equal(look_for(&s, 1000, &none, 1), HEALTH_WAIT);
	assert_string_equal(lm_buf_cstr(&s.why), "service db has no container");
	add(&s, "web", "running")->state.health = ENGINE_HEALTHY;
	assert_int_equal(look_for(&s, 1000, &three, 1), HEALTH_READY);
	// One more than there should be may be anything.
	add_exited(&s, "web", 1, ENGINE_RESTART_NO);
	assert_int_equal(look_for(&s, 1000, &three, 1), HEALTH_READY);
}

static void strangers_do_not_count(void **state)
{
	SCENE(s);

	(void)state;
	add_exited(&s, "gone", 1, ENGINE_RESTART_NO);
	add_exited(&s, "web", 1, ENGINE_RESTART_NO)->listed = &s.listed[1];
	s.listed[1].oneoff = true; // `docker-compose run web`
	assert_int_equal(look(&s, 1000), HEALTH_WAIT);
	assert_string_equal(lm_buf_cstr(&s.why), "service web has no container");
	add(&s, "web", "running")->state.health = ENGINE_HEALTHY;
	assert_int_equal(look(&s, 1000), HEALTH_READY);
}

static void says_what_is_worst_first_and_counts_the_rest(void **state)
{
	static const struct health_service both[] = {{"slow", 1}, {"mad", 1}};
	static struct health_service many[SHIPS_MAX];
	SCENE(s);
	SCENE(crowd);

	(void)state;
	add(&s, "slow", "created");
	add(&s, "mad", "restarting")->state.exit_code = 0;
	assert_int_equal(look_for(&s, 1000, both, 2), HEALTH_WAIT);
	assert_string_equal(lm_buf_cstr(&s.why),
		"container mad_1 keeps restarting (exit code 0), container slow_1 (created)");
	for (size_t i = 0; i < SHIPS_MAX; i++)
		many[i] = (struct health_service){"nowhere", 1};
	assert_int_equal(look_for(&crowd, 1000, many, SHIPS_MAX), HEALTH_WAIT);
	assert_non_null(strstr(lm_buf_cstr(&crowd.why), "service nowhere has no container, and 3"));
	assert_false(crowd.why.overflow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(up_for_long_enough_is_success),
		cmocka_unit_test(healthy_is_success_at_once_and_starting_is_not),
		cmocka_unit_test(a_restart_begins_the_time_anew_and_is_named),
		cmocka_unit_test(a_loop_between_two_looks_has_its_exit_code_from_the_event),
		cmocka_unit_test(restarts_of_long_ago_do_not_count),
		cmocka_unit_test(what_exited_with_0_counts_unless_it_comes_back),
		cmocka_unit_test(fails_at_once_on_what_stays_as_it_is),
		cmocka_unit_test(a_service_has_all_its_containers),
		cmocka_unit_test(strangers_do_not_count),
		cmocka_unit_test(says_what_is_worst_first_and_counts_the_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
