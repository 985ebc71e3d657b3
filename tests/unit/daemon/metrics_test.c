// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char NEW_PROGRAM[] =
	"# HELP lighterman_build_info Always 1; the label is the version of lightermand.\n"
	"# TYPE lighterman_build_info gauge\n"
	"lighterman_build_info{version=\"" LM_VERSION "\"} 1\n"
	"# HELP lighterman_up 0 once lightermand has shut down.\n"
	"# TYPE lighterman_up gauge\n"
	"lighterman_up 1\n"
	"# HELP lighterman_start_time_seconds When lightermand started, in seconds since 1970.\n"
	"# TYPE lighterman_start_time_seconds gauge\n"
	"lighterman_start_time_seconds 1600000000.007\n"
	"# HELP lighterman_deployments_total Finished attempts to deploy, by outcome.\n"
	"# TYPE lighterman_deployments_total counter\n"
	"lighterman_deployments_total{outcome=\"success\"} 0\n"
	"lighterman_deployments_total{outcome=\"invalid\"} 0\n"
	"lighterman_deployments_total{outcome=\"failed\"} 0\n"
	"lighterman_deployments_total{outcome=\"cancelled\"} 0\n"
	"# HELP lighterman_stage_duration_seconds How long completed stages of deployments took.\n"
	"# TYPE lighterman_stage_duration_seconds summary\n"
	"lighterman_stage_duration_seconds_sum{stage=\"validate\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"validate\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"prepare\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"prepare\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"fetch\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"fetch\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"resolve\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"resolve\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"authenticate\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"authenticate\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"admit\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"admit\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"pull\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"pull\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"snapshot\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"snapshot\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"down\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"down\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"up\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"up\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"settle\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"settle\"} 0\n"
	"lighterman_stage_duration_seconds_sum{stage=\"commit\"} 0.000\n"
	"lighterman_stage_duration_seconds_count{stage=\"commit\"} 0\n"
	"# HELP lighterman_last_success_timestamp_seconds When a deployment last succeeded, in "
	"seconds "
	"since 1970; 0: never.\n"
	"# TYPE lighterman_last_success_timestamp_seconds gauge\n"
	"lighterman_last_success_timestamp_seconds 0.000\n"
	"# HELP lighterman_generation The generation that is deployed; 0: none.\n"
	"# TYPE lighterman_generation gauge\n"
	"lighterman_generation 0\n"
	"# HELP lighterman_stopped 1 while the application is to stay down.\n"
	"# TYPE lighterman_stopped gauge\n"
	"lighterman_stopped 0\n"
	"# HELP lighterman_on_probation 1 while the deployed generation is on probation.\n"
	"# TYPE lighterman_on_probation gauge\n"
	"lighterman_on_probation 0\n"
	"# HELP lighterman_activation_waiting 1 while a deployment is ready and waits for its "
	"ActivateAt or HoldFile.\n"
	"# TYPE lighterman_activation_waiting gauge\n"
	"lighterman_activation_waiting 0\n"
	"# HELP lighterman_quarantined_generations Generations in quarantine.\n"
	"# TYPE lighterman_quarantined_generations gauge\n"
	"lighterman_quarantined_generations 0\n"
	"# HELP lighterman_rollbacks_total Attempts to go back to an earlier generation.\n"
	"# TYPE lighterman_rollbacks_total counter\n"
	"lighterman_rollbacks_total 0\n"
	"# HELP lighterman_activity 1 for what lightermand is doing, else 0.\n"
	"# TYPE lighterman_activity gauge\n"
	"lighterman_activity{activity=\"idle\"} 1\n"
	"lighterman_activity{activity=\"looking\"} 0\n"
	"lighterman_activity{activity=\"planning\"} 0\n"
	"lighterman_activity{activity=\"deploying\"} 0\n"
	"lighterman_activity{activity=\"cancelling\"} 0\n"
	"lighterman_activity{activity=\"stopping\"} 0\n"
	"lighterman_activity{activity=\"waiting\"} 0\n"
	"lighterman_activity{activity=\"recording\"} 0\n"
	"lighterman_activity{activity=\"exited\"} 0\n";

static struct lm_buf text = LM_BUF(LIMIT_METRICS);

static const char *write_text(const struct metrics *m)
{
	lm_buf_clear(&text);
	assert_true(metrics_write(m, &text));
	return lm_buf_cstr(&text);
}

/// The text has all of that in a row.
static void expect(const struct metrics *m, const char *part)
{
	const char *all = write_text(m);

	if (!strstr(all, part))
		fail_msg("'%s' is not in\n%s", part, all);
}

static void a_new_program_shows_what_it_knows_and_nothing_else(void **state)
{
	const struct metrics m = {.started_ms = 1600000000007};

	(void)state;
	assert_string_equal(write_text(&m), NEW_PROGRAM);
}

static void counts_deployments_and_stages(void **state)
{
	struct metrics m = {.started_ms = 1,
		.deployments = {.by_outcome = {3, 2, 1, 4},
			.last_success_ms = 1700000000120,
			.generation = 17,
			.stopped = true,
			.on_probation = true,
			.awaits_activation = true,
			.quarantined = 2,
			.rollbacks = 5,
			.activity = ACTIVITY_WAITING}};

	(void)state;
	m.deployments.stages[DEPLOY_PULL] = (struct metrics_stage){.n = 2, .ms = 61005};
	expect(&m, "{outcome=\"success\"} 3\n");
	expect(&m, "{outcome=\"invalid\"} 2\n");
	expect(&m, "{outcome=\"failed\"} 1\n");
	expect(&m, "{outcome=\"cancelled\"} 4\n");
	expect(&m, "lighterman_stage_duration_seconds_sum{stage=\"pull\"} 61.005\n"
		   "lighterman_stage_duration_seconds_count{stage=\"pull\"} 2\n");
	expect(&m, "\nlighterman_last_success_timestamp_seconds 1700000000.120\n");
	expect(&m, "\nlighterman_generation 17\n");
	expect(&m, "\nlighterman_stopped 1\n");
	expect(&m, "\nlighterman_on_probation 1\n");
	expect(&m, "\nlighterman_activation_waiting 1\n");
	expect(&m, "\nlighterman_quarantined_generations 2\n");
	expect(&m, "\nlighterman_rollbacks_total 5\n");
	expect(&m, "\nlighterman_activity{activity=\"idle\"} 0\n");
	expect(&m, "\nlighterman_activity{activity=\"waiting\"} 1\n");
}

static void counts_containers_by_state_and_health(void **state)
{
	struct metrics m = {.containers = {.known = true, .answered = true}};

	(void)state;
	metrics_count_container(&m.containers, "running", ENGINE_HEALTHY);
	metrics_count_container(&m.containers, "running", ENGINE_HEALTH_NONE);
	metrics_count_container(&m.containers, "exited", ENGINE_HEALTH_NONE);
	metrics_count_container(&m.containers, "dreaming", ENGINE_UNHEALTHY);
	expect(&m, "# HELP lighterman_engine_up Whether the Docker daemon answers.\n"
		   "# TYPE lighterman_engine_up gauge\n"
		   "lighterman_engine_up 1\n"
		   "# HELP lighterman_containers The application's containers, by state.\n"
		   "# TYPE lighterman_containers gauge\n"
		   "lighterman_containers{state=\"created\"} 0\n"
		   "lighterman_containers{state=\"running\"} 2\n"
		   "lighterman_containers{state=\"paused\"} 0\n"
		   "lighterman_containers{state=\"restarting\"} 0\n"
		   "lighterman_containers{state=\"removing\"} 0\n"
		   "lighterman_containers{state=\"exited\"} 1\n"
		   "lighterman_containers{state=\"dead\"} 0\n"
		   "# HELP lighterman_containers_health The application's containers, by health.\n"
		   "# TYPE lighterman_containers_health gauge\n"
		   "lighterman_containers_health{health=\"none\"} 2\n"
		   "lighterman_containers_health{health=\"starting\"} 0\n"
		   "lighterman_containers_health{health=\"healthy\"} 1\n"
		   "lighterman_containers_health{health=\"unhealthy\"} 1\n");
}

static void an_engine_that_is_away_has_no_containers(void **state)
{
	const struct metrics m = {.containers = {.known = true, .by_state = {1}}};

	(void)state;
	expect(&m, "\nlighterman_engine_up 0\n");
	assert_null(strstr(write_text(&m), "lighterman_containers"));
}

static void counts_restarts_of_unhealthy_containers(void **state)
{
	struct metrics_restarts restarts[] = {{"web", 3}, {"db", 1}};
	const struct metrics m = {.unhealthy_restarts = {restarts, 2}};

	(void)state;
	expect(&m, "# HELP lighterman_unhealthy_restarts_total How often lightermand restarted "
		   "unhealthy containers of a service.\n"
		   "# TYPE lighterman_unhealthy_restarts_total counter\n"
		   "lighterman_unhealthy_restarts_total{service=\"web\"} 3\n"
		   "lighterman_unhealthy_restarts_total{service=\"db\"} 1\n");
}

static void jobs_have_their_families_where_there_are_some(void **state)
{
	const struct metrics m = {.jobs = {.known = true,
					  .connected = true,
					  .in_progress = true,
					  .succeeded = 3,
					  .failed = 2,
					  .rejected = 1}};

	(void)state;
	expect(&m, "lighterman_jobs_connected 1\n"
		   "# HELP lighterman_jobs_in_progress Jobs that are carried out.\n"
		   "# TYPE lighterman_jobs_in_progress gauge\n"
		   "lighterman_jobs_in_progress 1\n"
		   "# HELP lighterman_jobs_unreported Jobs whose outcome the cloud does not know.\n"
		   "# TYPE lighterman_jobs_unreported gauge\n"
		   "lighterman_jobs_unreported 0\n"
		   "# HELP lighterman_jobs_total Jobs that have ended.\n"
		   "# TYPE lighterman_jobs_total counter\n"
		   "lighterman_jobs_total{status=\"succeeded\"} 3\n"
		   "lighterman_jobs_total{status=\"failed\"} 2\n"
		   "lighterman_jobs_total{status=\"rejected\"} 1\n");
}

static void escapes_what_labels_hold(void **state)
{
	const struct metrics_restarts restarts[] = {{"web", 3}, {"a\\b\"c\nx\xc3\xbc", 1}};
	const struct metrics m = {.restarts = restarts, .restarts_n = 2};

	(void)state;
	expect(&m, "# HELP lighterman_container_restarts_total How often the restart policy "
		   "restarted the "
		   "containers of a service.\n"
		   "# TYPE lighterman_container_restarts_total counter\n"
		   "lighterman_container_restarts_total{service=\"web\"} 3\n"
		   "lighterman_container_restarts_total{service=\"a\\\\b\\\"c\\nx\xc3\xbc\"} 1\n");
}

static void control_characters_do_not_reach_a_terminal(void **state)
{
	const struct metrics_restarts restarts[] = {
		{"\x1b[2J\a\t\x7f|\xc2\x80\xc2\x9b\xc2\x9f|\xc2\xa0\xe2\x82\x9b|\n\xc2", 1}};
	const struct metrics m = {.restarts = restarts, .restarts_n = 1};

	(void)state;
	expect(&m, "{service=\"\\\\x1b[2J\\\\x07\\\\x09\\\\x7f|"
		   "\\\\xc2\\\\x80\\\\xc2\\\\x9b\\\\xc2\\\\x9f|"
		   "\xc2\xa0\xe2\x82\x9b|\\n\xc2\"} 1\n");
}

static void shows_each_broker_in_each_family(void **state)
{
	const struct metrics_broker brokers[] = {
		{.name = "a:1", .connected = true},
		{.name = "/run/b",
			.refused_topics = 2,
			.outbox = {.messages = 5,
				.bytes = 700,
				.dropped_event = 1,
				.dropped_progress = 2,
				.bad = 3,
				.bad_removed = 4}},
	};
	const struct metrics m = {.brokers = brokers, .brokers_n = 2};

	(void)state;
	expect(&m,
		"# HELP lighterman_broker_connected Whether there is a connection to the MQTT "
		"broker.\n"
		"# TYPE lighterman_broker_connected gauge\n"
		"lighterman_broker_connected{broker=\"a:1\"} 1\n"
		"lighterman_broker_connected{broker=\"/run/b\"} 0\n"
		"# HELP lighterman_outbox_messages Messages that the MQTT broker has not taken "
		"yet.\n"
		"# TYPE lighterman_outbox_messages gauge\n"
		"lighterman_outbox_messages{broker=\"a:1\"} 0\n"
		"lighterman_outbox_messages{broker=\"/run/b\"} 5\n"
		"# HELP lighterman_broker_refused_topics Topics that the MQTT broker refuses by "
		"closing the connection.\n"
		"# TYPE lighterman_broker_refused_topics gauge\n"
		"lighterman_broker_refused_topics{broker=\"a:1\"} 0\n"
		"lighterman_broker_refused_topics{broker=\"/run/b\"} 2\n"
		"# HELP lighterman_outbox_bytes What they take of the outbox's bound.\n"
		"# TYPE lighterman_outbox_bytes gauge\n"
		"lighterman_outbox_bytes{broker=\"a:1\"} 0\n"
		"lighterman_outbox_bytes{broker=\"/run/b\"} 700\n"
		"# HELP lighterman_messages_set_aside_total Files of the outbox that are damaged "
		"or could never be sent, renamed to *.bad.\n"
		"# TYPE lighterman_messages_set_aside_total counter\n"
		"lighterman_messages_set_aside_total{broker=\"a:1\"} 0\n"
		"lighterman_messages_set_aside_total{broker=\"/run/b\"} 3\n"
		"# HELP lighterman_messages_set_aside_removed_total Files *.bad of the outbox that "
		"were removed, as only the newest are kept.\n"
		"# TYPE lighterman_messages_set_aside_removed_total counter\n"
		"lighterman_messages_set_aside_removed_total{broker=\"a:1\"} 0\n"
		"lighterman_messages_set_aside_removed_total{broker=\"/run/b\"} 4\n"
		"# HELP lighterman_messages_dropped_total Messages dropped because the outbox was "
		"full; status messages never are.\n"
		"# TYPE lighterman_messages_dropped_total counter\n"
		"lighterman_messages_dropped_total{broker=\"a:1\",class=\"event\"} 0\n"
		"lighterman_messages_dropped_total{broker=\"a:1\",class=\"progress\"} 0\n"
		"lighterman_messages_dropped_total{broker=\"/run/b\",class=\"event\"} 1\n"
		"lighterman_messages_dropped_total{broker=\"/run/b\",class=\"progress\"} 2\n");
}

static void an_orderly_exit_shows(void **state)
{
	const struct metrics m = {.exited = true};

	(void)state;
	expect(&m, "\nlighterman_up 0\n");
}

static void the_ceiling_is_enough_for_all_services_and_brokers(void **state)
{
	static struct metrics_restarts restarts[LIMIT_SERVICES];
	char service[64] = "", name[256] = "";
	struct metrics_broker brokers[8];

	(void)state;
	memset(service, 's', sizeof(service) - 1);
	memset(name, 'b', sizeof(name) - 1);
	for (size_t i = 0; i < LIMIT_SERVICES; i++)
		restarts[i] = (struct metrics_restarts){service, UINT64_MAX};
	for (size_t i = 0; i < 8; i++)
		brokers[i] = (struct metrics_broker){.name = name};
	const struct metrics m = {.restarts = restarts,
		.restarts_n = LIMIT_SERVICES,
		.brokers = brokers,
		.brokers_n = 8};
	expect(&m, "lighterman_messages_dropped_total{broker=\"bbb");
}

static void what_is_over_the_ceiling_is_refused(void **state)
{
	lm_auto_buf struct lm_buf small = LM_BUF(1000);
	const struct metrics m = {.started_ms = 1};

	(void)state;
	assert_false(metrics_write(&m, &small));
}

static int finish(void **state)
{
	(void)state;
	lm_buf_finish(&text);
	return 0;
}

static void adds_up_by_service(void **state)
{
	lm_auto(metrics_restarts_finish) struct metrics_restart_list r = {0};

	(void)state;
	metrics_restarts_add(&r, "web", 1);
	metrics_restarts_add(&r, "db", 0);
	metrics_restarts_add(&r, "web", 2);
	assert_int_equal(r.n, 2);
	assert_string_equal(r.items[0].service, "web");
	assert_int_equal(r.items[0].n, 3);
	assert_string_equal(r.items[1].service, "db");
	assert_int_equal(r.items[1].n, 0);
}

static void names_that_are_never_the_same_take_no_more_memory(void **state)
{
	lm_auto(metrics_restarts_finish) struct metrics_restart_list r = {0};
	char name[32];

	(void)state;
	for (unsigned i = 0; i < LIMIT_SERVICES + 50; i++) {
		(void)snprintf(name, sizeof(name), "service%u", i);
		metrics_restarts_add(&r, name, 1);
	}
	metrics_restarts_add(&r, "service0", 1);
	assert_int_equal(r.n, LIMIT_SERVICES + 1);
	assert_int_equal(r.items[0].n, 2);
	assert_string_equal(r.items[LIMIT_SERVICES].service, "");
	assert_int_equal(r.items[LIMIT_SERVICES].n, 50);
}

static void client_devices_have_their_families(void **state)
{
	const struct metrics m = {.devices = {.known = true,
					  .broker_up = true,
					  .discovery_failures = 3,
					  .devices = 2500,
					  .connected = 7,
					  .routed = 11,
					  .refused = 12,
					  .cloud = -1}};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_METRICS);

	(void)state;
	assert_true(metrics_write(&m, &out));
	const char *found = lm_buf_cstr(&out);
	assert_non_null(strstr(found, "\nlighterman_device_service_up{service=\"broker\"} 1\n"
				      "lighterman_device_service_up{service=\"discovery\"} 0\n"));
	assert_non_null(strstr(
		found, "\nlighterman_device_service_failures_total{service=\"discovery\"} 3\n"));
	assert_non_null(strstr(found, "\nlighterman_devices 2500\n"));
	assert_non_null(strstr(found, "\nlighterman_device_connections 7\n"));
	assert_non_null(strstr(found, "\nlighterman_device_messages_routed_total 11\n"));
	assert_non_null(strstr(found, "\nlighterman_device_messages_refused_total 12\n"));
	assert_null(strstr(found, "lighterman_device_cloud"));
}

static void a_group_without_them_has_none(void **state)
{
	const struct metrics m = {.devices = {.known = false}};
	lm_auto_buf struct lm_buf out = LM_BUF(LIMIT_METRICS);

	(void)state;
	assert_true(metrics_write(&m, &out));
	assert_null(strstr(lm_buf_cstr(&out), "lighterman_device"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_program_shows_what_it_knows_and_nothing_else),
		cmocka_unit_test(counts_deployments_and_stages),
		cmocka_unit_test(counts_containers_by_state_and_health),
		cmocka_unit_test(an_engine_that_is_away_has_no_containers),
		cmocka_unit_test(counts_restarts_of_unhealthy_containers),
		cmocka_unit_test(escapes_what_labels_hold),
		cmocka_unit_test(control_characters_do_not_reach_a_terminal),
		cmocka_unit_test(shows_each_broker_in_each_family),
		cmocka_unit_test(an_orderly_exit_shows),
		cmocka_unit_test(the_ceiling_is_enough_for_all_services_and_brokers),
		cmocka_unit_test(what_is_over_the_ceiling_is_refused),
		cmocka_unit_test(adds_up_by_service),
		cmocka_unit_test(names_that_are_never_the_same_take_no_more_memory),
		cmocka_unit_test(client_devices_have_their_families),
		cmocka_unit_test(jobs_have_their_families_where_there_are_some),
		cmocka_unit_test(a_group_without_them_has_none),
	};

	return cmocka_run_group_tests_name("daemon/metrics", tests, NULL, finish);
}
