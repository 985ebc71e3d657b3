// SPDX-License-Identifier: Apache-2.0
#include "worker/settle.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CONTAINER(n, s, h, code)                                                                   \
	{                                                                                          \
		.name = (char *)(n), .state = (char *)(s), .health = (h), .exit_code = (code)      \
	}
#define RUNNING(n, h) CONTAINER(n, "running", h, -1)

static enum settle_verdict judge(struct engine_container *items, size_t n, struct lm_buf *why)
{
	struct engine_containers list = {.items = items, .n = n};
	return settle_judge(&list, why);
}

static void ready_once_all_run_and_the_checked_are_healthy(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf why = LM_BUF(500);
	struct engine_container items[] = {RUNNING("web", ENGINE_HEALTHY),
		RUNNING("db", ENGINE_HEALTH_NONE), CONTAINER("migrate", "exited", 0, 0)};
	assert_int_equal(judge(items, 3, &why), SETTLE_READY);
	assert_int_equal(judge(items, 0, &why), SETTLE_READY);
	assert_int_equal(why.len, 0);
}

static void waits_for_what_is_not_there_yet_and_names_it(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf why = LM_BUF(500);
	struct engine_container items[] = {RUNNING("web", ENGINE_HEALTH_STARTING),
		RUNNING("db", ENGINE_HEALTHY), CONTAINER("job", "restarting", 0, 1),
		CONTAINER("new", "created", 0, -1)};
	assert_int_equal(judge(items, 4, &why), SETTLE_WAIT);
	assert_string_equal(
		lm_buf_cstr(&why), "web (health: starting), job (restarting), new (created)");
}

static void fails_on(struct engine_container failed, const char *sentence)
{
	lm_auto_buf struct lm_buf why = LM_BUF(500);
	struct engine_container items[] = {RUNNING("web", ENGINE_HEALTH_STARTING), failed};
	assert_int_equal(judge(items, 2, &why), SETTLE_FAILED);
	assert_string_equal(lm_buf_cstr(&why), sentence);
}

static void fails_at_once_on_what_will_not_mend(void **state)
{
	(void)state;
	fails_on((struct engine_container)CONTAINER("db", "exited", 0, 137),
		"container db has ended with exit code 137");
	fails_on((struct engine_container)RUNNING("db", ENGINE_UNHEALTHY),
		"container db is unhealthy");
	fails_on((struct engine_container)CONTAINER("db", "dead", 0, -1), "container db is dead");
}

static void containers_of_compose_run_do_not_count(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf why = LM_BUF(500);
	struct engine_container items[] = {RUNNING("web", ENGINE_HEALTH_NONE),
		{.name = (char *)"shell",
			.state = (char *)"exited",
			.exit_code = 1,
			.oneoff = true},
		{.name = (char *)"other", .state = (char *)"created", .oneoff = true}};
	assert_int_equal(judge(items, 3, &why), SETTLE_READY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ready_once_all_run_and_the_checked_are_healthy),
		cmocka_unit_test(waits_for_what_is_not_there_yet_and_names_it),
		cmocka_unit_test(fails_at_once_on_what_will_not_mend),
		cmocka_unit_test(containers_of_compose_run_do_not_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
