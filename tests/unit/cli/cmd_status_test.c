// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const int64_t NOW_MS = 1597153444909; // 2020-08-11T13:44:04.909Z

static void assert_page(const char *status, const char *expected)
{
	lm_auto_json json_t *json = NULL;
	lm_auto_buf struct lm_buf page = LM_BUF(65536);
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(status), &json, &err), LM_OK);
	status_render(json, NOW_MS, &page);
	assert_string_equal(page.data, expected);
}

static void shows_everything_in_columns(void **state)
{
	(void)state;
	assert_page(
		"{\"version\":\"0.1.0\",\"state\":\"running\","
		"\"job\":{\"kind\":\"deploy\",\"generation\":4,\"stage\":\"pull\","
		"\"since_ms\":12909},"
		"\"deployment\":{\"generation\":3,\"id\":\"app\",\"connector_version\":7,"
		"\"bucket\":\"ships\",\"key\":\"docker-compose.yml\",\"compose_version\":\"v2\","
		"\"destination\":\"/var/app\"},"
		"\"last_deployment\":{\"generation\":3,\"attempt\":1,\"success\":true,"
		"\"stage\":null,\"error\":null,\"message\":null,\"compose_version\":\"v2\","
		"\"started_ms\":1597153140700,\"ended_ms\":1597153144909,\"stages\":[]},"
		"\"containers\":["
		"{\"service\":\"web\",\"name\":\"app_web_1\",\"image\":\"ships/web:1\","
		"\"state\":\"running\",\"status\":\"Up\",\"health\":\"healthy\",\"exit_code\":-1,"
		"\"restarts\":0,\"uptime_s\":3720,\"loop\":null},"
		"{\"service\":\"database\",\"name\":\"app_database_1\",\"image\":\"db\","
		"\"state\":\"exited\",\"status\":\"Exited\",\"health\":\"none\",\"exit_code\":3,"
		"\"restarts\":12,\"uptime_s\":null,\"loop\":null}],"
		"\"brokers\":[{\"name\":\"local\",\"connected\":true,\"waiting\":0,\"error\":null}]"
		"}",
		"state            running\n"
		"current task     deploy of generation 4, in stage pull, for 12.9 s\n"
		"deployment       generation 3, id app, connector version 7\n"
		"compose file     docker-compose.yml in bucket ships, version v2\n"
		"destination      /var/app\n"
		"last deployment  generation 3: succeeded 5 min ago (2020-08-11T13:39:04+00:00), "
		"after 4.2 s\n"
		"broker           local: connected\n"
		"lightermand      0.1.0\n"
		"\n"
		"SERVICE   IMAGE        STATE       HEALTH   RESTARTS  UPTIME  CONTAINER\n"
		"web       ships/web:1  running     healthy  0         1 h     app_web_1\n"
		"database  db           exited (3)  -        12        -       app_database_1\n");
}

static void shows_jobs_only_where_there_are_some(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"empty\",\"containers\":[],\"brokers\":[],"
		    "\"jobs\":{\"thing\":\"Gateway\",\"broker\":\"b:8883\",\"connected\":true,"
		    "\"job\":{\"id\":\"web-2\",\"operation\":\"deploy\",\"generation\":4,"
		    "\"status\":\"IN_PROGRESS\",\"stage\":\"pull\",\"reason\":null,"
		    "\"reported\":false},"
		    "\"last\":{\"id\":\"web-1\",\"operation\":\"rollback\",\"generation\":null,"
		    "\"status\":\"REJECTED\",\"stage\":null,\"reason\":\"no\\u001bway\","
		    "\"reported\":false}}}",
		"state            empty: nothing deployed yet\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"jobs             of Gateway, from b:8883\n"
		"job              web-2: IN_PROGRESS, deploy, generation 4: pull\n"
		"last job         web-1: REJECTED, not reported yet, rollback: no\\x1bway\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
	assert_page("{\"version\":\"0.1.0\",\"state\":\"empty\",\"containers\":[],\"brokers\":[],"
		    "\"jobs\":{\"thing\":\"Gateway\",\"broker\":\"b:8883\",\"connected\":false,"
		    "\"job\":null,\"last\":7}}",
		"state            empty: nothing deployed yet\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"jobs             of Gateway, from b:8883: not connected\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
}

static void an_empty_device_says_so(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"empty\",\"job\":null,\"deployment\":null,"
		    "\"last_deployment\":null,\"containers\":[],\"brokers\":[]}",
		"state            empty: nothing deployed yet\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
}

static void tells_what_failed_and_who_is_away(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"failed\",\"job\":null,\"deployment\":null,"
		    "\"last_deployment\":{\"generation\":4,\"attempt\":2,\"success\":false,"
		    "\"stage\":\"fetch\",\"error\":\"InternalError\","
		    "\"message\":\"bucket 'ships' has no object 'x'\",\"compose_version\":null,"
		    "\"started_ms\":1597153444000,\"ended_ms\":1597153443000},"
		    "\"containers\":null,\"containers_error\":\"the engine does not answer\","
		    "\"brokers\":["
		    "{\"name\":\"a\",\"connected\":false,\"waiting\":1,\"error\":\"refused\"},"
		    "{\"name\":\"b\",\"connected\":false,\"waiting\":12,\"error\":null}]}",
		"state            failed\n"
		"deployment       none\n"
		"last deployment  generation 4, attempt 2: failed in fetch 1 s ago "
		"(2020-08-11T13:44:03+00:00)\n"
		"                 bucket 'ships' has no object 'x'\n"
		"brokers          a: not connected, 1 message waiting: refused\n"
		"                 b: not connected, 12 messages waiting\n"
		"lightermand      0.1.0\n"
		"containers       unknown: the engine does not answer\n");
}

static void names_from_outside_cannot_command_the_terminal(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":["
		    "{\"service\":\"港口\",\"name\":\"a\\u001b[2J\\nb\",\"image\":\"i\","
		    "\"state\":\"running\",\"health\":\"none\"}]}",
		"state            running\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"\n"
		"SERVICE  IMAGE  STATE    HEALTH  RESTARTS  UPTIME  CONTAINER\n"
		"港口     i      running  -       -         -       a\\x1b[2J\\x0ab\n");
}

static void names_what_ends_again_and_again(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":["
		    "{\"service\":\"web\",\"name\":\"app_web_1\",\"image\":\"i\","
		    "\"state\":\"restarting\",\"health\":\"none\",\"exit_code\":1,\"restarts\":7,"
		    "\"uptime_s\":null,\"loop\":{\"kind\":\"crash\",\"exit_code\":1,"
		    "\"last_end_ms\":1597153440909}},"
		    "{\"service\":\"job\",\"name\":\"app_job_1\",\"image\":\"i\","
		    "\"state\":\"running\",\"health\":\"none\",\"exit_code\":-1,\"restarts\":3,"
		    "\"uptime_s\":2,\"loop\":{\"kind\":\"restart\",\"exit_code\":0,"
		    "\"last_end_ms\":1597153442909}},"
		    "{\"service\":\"old\",\"name\":\"app_old_1\",\"image\":\"i\","
		    "\"state\":\"running\",\"health\":\"none\",\"exit_code\":-1,"
		    "\"restarts\":null,\"uptime_s\":2,\"loop\":{\"kind\":\"crash\","
		    "\"exit_code\":null,\"last_end_ms\":1597153442909}}]}",
		"state            running\n"
		"crash loop       web (app_web_1): exited again 4 s ago with exit code 1, "
		"restarts: 7; see `lighterman crashes`\n"
		"restart loop     job (app_job_1): exited again 2 s ago with exit code 0, "
		"restarts: 3\n"
		"crash loop       old (app_old_1): exited again 2 s ago; see `lighterman crashes`\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"\n"
		"SERVICE  IMAGE  STATE       HEALTH  RESTARTS  UPTIME  CONTAINER\n"
		"web      i      restarting  -       7         -       app_web_1\n"
		"job      i      running     -       3         2 s     app_job_1\n"
		"old      i      running     -       -         2 s     app_old_1\n");
}

static void bears_members_of_other_types(void **state)
{
	(void)state;
	assert_page("{}", "state            -\n"
			  "deployment       none\n"
			  "brokers          none: status messages are not sent\n"
			  "lightermand      \n"
			  "containers       unknown\n");
	assert_page("{\"version\":7,\"state\":[],\"job\":7,\"deployment\":{},"
		    "\"last_deployment\":{},\"containers\":[7],\"brokers\":[7]}",
		"state            -\n"
		"deployment       \n"
		"compose file     \n"
		"destination      \n"
		"last deployment  : failed\n"
		"broker           : not connected\n"
		"lightermand      \n"
		"\n"
		"SERVICE  IMAGE  STATE  HEALTH  RESTARTS  UPTIME  CONTAINER\n"
		"-        -      -      -       -         -       -\n");
	assert_page("{\"containers\":[{\"restarts\":\"7\",\"uptime_s\":-5,\"loop\":{\"kind\":7}},"
		    "{\"loop\":[],\"uptime_s\":1.5,\"restarts\":true}]}",
		"state            -\n"
		"restart loop     : exited again 0 s ago\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      \n"
		"\n"
		"SERVICE  IMAGE  STATE  HEALTH  RESTARTS  UPTIME  CONTAINER\n"
		"-        -      -      -       -         0 s     -\n"
		"-        -      -      -       -         -       -\n");
}

#define DEVICES_STATUS                                                                             \
	"\"version\":\"0.1.0\",\"state\":\"running\",\"job\":null,\"deployment\":null,"            \
	"\"last_deployment\":null,\"containers\":[],"                                              \
	"\"brokers\":[{\"name\":\"local\",\"connected\":true,\"waiting\":0,\"error\":null}]"

static void shows_client_devices_only_if_there_are(void **state)
{
	(void)state;
	assert_page("{" DEVICES_STATUS
		    ",\"devices\":{\"broker\":{\"state\":\"running\",\"port\":8883,"
		    "\"error\":null},\"discovery\":{\"state\":\"failed\",\"port\":8443,"
		    "\"error\":\"port 8443 is in use\"},\"devices\":3,\"connected\":1,"
		    "\"subscriptions\":5,\"routed\":120,\"refused\":3,\"refused_connections\":1,"
		    "\"cloud\":{\"connected\":false,\"sent\":12,\"received\":4},"
		    "\"warnings\":[\"the clock\\u001b is wrong\"],"
		    "\"clients\":[{\"name\":\"Crane\",\"connected\":true,"
		    "\"since_ms\":1597153144909,\"routed\":120,\"refused\":0},"
		    "{\"name\":\"Pump\",\"connected\":false,\"routed\":0,\"refused\":3}]}}",
		"state            running\n"
		"deployment       none\n"
		"broker           local: connected\n"
		"client devices   1 of 3 connected, 5 subscriptions\n"
		"local broker     running on port 8883; messages routed: 120, refused: 3; "
		"connections refused: 1\n"
		"discovery        failed: port 8443 is in use\n"
		"cloud            not connected; messages sent: 12, received: 4\n"
		"                 warning: the clock\\x1b is wrong\n"
		"lightermand      0.1.0\n"
		"containers       none\n"
		"\n"
		"CLIENT  STATE          SINCE      ROUTED  REFUSED\n"
		"Crane   connected      5 min ago  120     0\n"
		"Pump    not connected  -          0       3\n");
	assert_page("{" DEVICES_STATUS ",\"devices\":null}", "state            running\n"
							     "deployment       none\n"
							     "broker           local: connected\n"
							     "lightermand      0.1.0\n"
							     "containers       none\n");
}

static void bears_devices_of_other_types(void **state)
{
	(void)state;
	assert_page("{" DEVICES_STATUS ",\"devices\":{\"broker\":7,\"cloud\":{},\"clients\":[7]}}",
		"state            running\n"
		"deployment       none\n"
		"broker           local: connected\n"
		"client devices   0 of 0 connected, 0 subscriptions\n"
		"local broker     -\n"
		"discovery        -\n"
		"cloud            no message received yet\n"
		"lightermand      0.1.0\n"
		"containers       none\n"
		"\n"
		"CLIENT  STATE          SINCE  ROUTED  REFUSED\n"
		"-       not connected  -      -       -\n");
}

static void names_probation_rollback_and_quarantine(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":[],"
		    "\"probation\":{\"generation\":4,\"until_ms\":1597153744909,\"failed\":"
		    "false},\"rollback\":{\"from\":5,\"to\":4,\"why\":\"up\\u001b failed\"},"
		    "\"quarantine\":[{\"generation\":5,\"reason\":\"it crashed\",\"at_ms\":"
		    "1597153144909},{\"generation\":2,\"reason\":7,\"at_ms\":null},8]}",
		"state            running\n"
		"deployment       none\n"
		"rollback         from generation 5 to generation 4: up\\x1b failed\n"
		"probation        generation 4, until 2020-08-11T13:49:04+00:00, for 5 min\n"
		"quarantine       generation 5, since 2020-08-11T13:39:04+00:00: it crashed\n"
		"                 generation 2\n"
		"                 \n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":[],"
		    "\"probation\":{\"generation\":1,\"until_ms\":null,\"failed\":true},"
		    "\"rollback\":null,\"quarantine\":null}",
		"state            running\n"
		"deployment       none\n"
		"probation        generation 1: failed, but there is no generation to go back to\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
}

static void names_images_that_are_not_what_they_were(void **state)
{
	(void)state;
	assert_page(
		"{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":[],"
		"\"verification\":{\"state\":\"running\",\"done\":1,\"of\":3,\"bad\":["
		"{\"image\":\"web\\u001b:1\",\"state\":\"damaged\",\"generations\":[4,3],"
		"\"message\":\"layer 2 is empty\"},{\"image\":\"db:1\",\"state\":\"missing\"},8]}}",
		"state            running\n"
		"deployment       none\n"
		"images           verification running: 1 of 3\n"
		"                 damaged     web\\x1b:1, of generations 4, 3: layer 2 is empty\n"
		"                 missing     db:1\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":[],"
		    "\"verification\":{\"state\":\"idle\",\"bad\":[],\"replaced\":[{\"image\":"
		    "\"web:1\","
		    "\"generations\":[3],\"at_ms\":1597153324909},{},{}]}}",
		"state            running\n"
		"deployment       none\n"
		"replaced         web:1, of generation 3, at 2020-08-11T13:42:04+00:00; 2 more "
		"images "
		"before\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":[],"
		    "\"verification\":{\"state\":\"idle\",\"done\":null,\"of\":null,\"bad\":[]}}",
		"state            running\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
}

static void names_services_that_are_restarted_because_they_are_unhealthy(void **state)
{
	(void)state;
	assert_page("{\"version\":\"0.1.0\",\"state\":\"running\",\"brokers\":[],\"containers\":[],"
		    "\"unhealthy_restarts\":["
		    "{\"service\":\"web\",\"restarts\":2,\"last_ms\":1597153324909,"
		    "\"retry_ms\":39001,\"error\":null},"
		    "{\"service\":\"db\",\"restarts\":0,\"last_ms\":null,\"retry_ms\":20000,"
		    "\"error\":\"port\\u001b is taken\"},"
		    "{\"service\":\"job\",\"restarts\":1,\"last_ms\":1597153444000,"
		    "\"retry_ms\":null,\"error\":null},7,{\"service\":7}]}",
		"state            running\n"
		"unhealthy        web: is unhealthy; restarting it in 40 s; restarts: 2, the last "
		"2 min ago\n"
		"unhealthy        db: could not be restarted: port\\x1b is taken; trying again in "
		"20 s; restarts: 0\n"
		"restarted        job: was unhealthy; restarts: 1, the last 0 s ago\n"
		"restarted        : was unhealthy\n"
		"restarted        : was unhealthy\n"
		"deployment       none\n"
		"brokers          none: status messages are not sent\n"
		"lightermand      0.1.0\n"
		"containers       none\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_everything_in_columns),
		cmocka_unit_test(an_empty_device_says_so),
		cmocka_unit_test(tells_what_failed_and_who_is_away),
		cmocka_unit_test(names_from_outside_cannot_command_the_terminal),
		cmocka_unit_test(names_what_ends_again_and_again),
		cmocka_unit_test(names_probation_rollback_and_quarantine),
		cmocka_unit_test(names_images_that_are_not_what_they_were),
		cmocka_unit_test(names_services_that_are_restarted_because_they_are_unhealthy),
		cmocka_unit_test(bears_members_of_other_types),
		cmocka_unit_test(shows_client_devices_only_if_there_are),
		cmocka_unit_test(shows_jobs_only_where_there_are_some),
		cmocka_unit_test(bears_devices_of_other_types),
	};

	(void)setenv("TZ", "UTC0", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
