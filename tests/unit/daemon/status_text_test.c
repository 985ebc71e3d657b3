// SPDX-License-Identifier: Apache-2.0
#include "daemon/status_text.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { NOW_MS = 1597153144909 };

static struct engine_container container(const char *state, const char *status)
{
	return (struct engine_container){.service = (char *)"web",
		.name = (char *)"app_web_1",
		.image = (char *)"localhost:5000/web:1",
		.state = (char *)state,
		.status = (char *)status,
		.exit_code = -1};
}

static void assert_line(const struct engine_container *c,
	const struct engine_container_state *state, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(4096);

	status_format(&out, c, state, NOW_MS);
	assert_string_equal(lm_buf_cstr(&out), expected);
}

static void a_container_that_runs(void **unused)
{
	(void)unused;
	struct engine_container c = container("running", "Up About an hour (healthy)");
	const struct engine_container_state state = {
		.restart_count = 2, .exit_code = -1, .started_ms = NOW_MS - 4000999};

	c.health = ENGINE_HEALTHY;
	assert_line(&c, &state,
		"service=web name=app_web_1 image=localhost:5000/web:1 state=running "
		"health=healthy restarts=2 exit_code=- uptime_s=4000");
}

static void a_container_that_has_ended(void **unused)
{
	(void)unused;
	struct engine_container c = container("exited", "Exited (137) 5 minutes ago");
	const struct engine_container_state state = {.exit_code = 137, .started_ms = NOW_MS - 1};

	c.exit_code = 137;
	assert_line(&c, &state,
		"service=web name=app_web_1 image=localhost:5000/web:1 state=exited "
		"health=none restarts=0 exit_code=137 uptime_s=-");
}

static void what_is_not_known_is_a_dash_and_the_uptime_the_least_it_can_be(void **unused)
{
	(void)unused;
	struct engine_container c = container("running", "Up 5 minutes (health: starting)");

	c.health = ENGINE_HEALTH_STARTING;
	assert_line(&c, NULL,
		"service=web name=app_web_1 image=localhost:5000/web:1 state=running "
		"health=starting restarts=- exit_code=- uptime_s=300");
	c = container("dead", "Dead");
	assert_line(&c, NULL,
		"service=web name=app_web_1 image=localhost:5000/web:1 state=dead "
		"health=none restarts=- exit_code=- uptime_s=-");
}

static void a_clock_that_was_set_back_makes_no_negative_uptime(void **unused)
{
	(void)unused;
	struct engine_container c = container("running", "Up 5 minutes");
	const struct engine_container_state state = {.exit_code = -1, .started_ms = NOW_MS + 1};

	assert_line(&c, &state,
		"service=web name=app_web_1 image=localhost:5000/web:1 state=running "
		"health=none restarts=0 exit_code=- uptime_s=0");
}

static void a_strangers_words_cannot_look_like_ours(void **unused)
{
	(void)unused;
	struct engine_container c = container("created", "Created");

	c.service = (char *)"x state=running \"y";
	c.name = (char *)"";
	c.image = (char *)"a\nb";
	assert_line(&c, NULL,
		"service=\"x state=running 'y\" name=- image=a\\x0ab state=created "
		"health=none restarts=- exit_code=- uptime_s=-");
}

static void fresh_is_what_has_not_changed_since(void **unused)
{
	(void)unused;
	static const struct {
		const char *word, *state, *status;
		bool fresh;
	} cases[] = {
		{"running", "running", "Up 5 minutes", true},
		{"running", "running", "Up 4 minutes (healthy)", false},
		{"running", "exited", "Exited (0) 10 minutes ago", false},
		{"exited", "exited", "Exited (1) 5 minutes ago", true},
		{"exited", "exited", "Exited (1) 4 minutes ago", false},
		{"restarting", "restarting", "Restarting (1) 5 minutes ago", false},
		{"created", "created", "Created", true},
		{"running", "running", "", false},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct status_known known = {.seen_ms = 1000};
		const struct engine_container c = container(cases[i].state, cases[i].status);

		strcpy(known.word, cases[i].word);
		assert_int_equal(status_is_fresh(&known, &c, 301000), cases[i].fresh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_container_that_runs),
		cmocka_unit_test(a_container_that_has_ended),
		cmocka_unit_test(what_is_not_known_is_a_dash_and_the_uptime_the_least_it_can_be),
		cmocka_unit_test(a_clock_that_was_set_back_makes_no_negative_uptime),
		cmocka_unit_test(a_strangers_words_cannot_look_like_ours),
		cmocka_unit_test(fresh_is_what_has_not_changed_since),
	};

	return cmocka_run_group_tests_name("daemon/status_text", tests, NULL, NULL);
}
