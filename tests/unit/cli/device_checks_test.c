// SPDX-License-Identifier: Apache-2.0
#include "cli/device_checks.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/// The structures own their texts; these are never freed.
#define TEXT(s) ((char *)(s))
#define THING "arn:aws:iot:us-west-2:123456789012:thing/Crane"

static struct group_device device = {.thing_arn = TEXT(THING), .thing_name = TEXT("Crane")};
static struct group_subscription subscription = {.id = TEXT("s1"),
	.source = TEXT(THING),
	.subject = TEXT("load"),
	.target = TEXT("GGShadowService")};
static struct group group;
static struct host_settings host;
static struct device_checks checks;
/// What the checks reported: a line each, "ok", "warning", "problem" or "-" in front, the fix
/// behind.
static struct lm_buf lines = LM_BUF(65536);
static struct check_report report;

static void on_result(void *ctx, json_t *result)
{
	static const char *const names[] = {"ok", "warning", "problem", "-"};
	const char *fix = json_get_text(result, "mend");

	(void)ctx;
	(void)lm_buf_printf(&lines, "%s: %s%s%s\n", names[check_verdict_of(result)],
		json_get_text(result, "message"), fix ? "; " : "", fix ? fix : "");
	json_decref(result);
}

static int begin(void **state)
{
	(void)state;
	device.sync_shadow = false;
	subscription.target = TEXT("GGShadowService");
	group = (struct group){.devices = &device,
		.devices_n = 1,
		.subscriptions = &subscription,
		.subscriptions_n = 1};
	host = (struct host_settings){.devices = {.broker_port = 1,
					      .discovery_port = 2,
					      .user = TEXT("root"),
					      .mosquitto = TEXT("/absent/mosquitto"),
					      .cloud_port = 443}};
	checks = (struct device_checks){.group = &group, .host = &host, .daemon_uid = geteuid()};
	report = (struct check_report){.name = "test", .add = on_result};
	return 0;
}

static int end(void **state)
{
	(void)state;
	lm_buf_finish(&lines);
	lines = LM_BUF(65536);
	return 0;
}

/// Takes what was reported; the caller compares before the next check.
static const char *after(void (*check)(const struct device_checks *c, struct check_report *r))
{
	lm_buf_finish(&lines);
	lines = LM_BUF(65536);
	check(&checks, &report);
	return lm_buf_cstr(&lines);
}

static json_t *parse_json(const char *text)
{
	json_t *json = NULL;
	struct lm_err err = {0};

	assert_int_equal(json_parse(lm_str(text), &json, &err), LM_OK);
	return json;
}

static void a_group_without_devices_needs_none_of_it(void **state)
{
	const struct group none = {0};

	(void)state;
	assert_false(device_checks_apply(NULL));
	assert_false(device_checks_apply(&none));
	assert_true(device_checks_apply(&group));
	group.devices_n = 0; // its subscriptions alone have no effect
	assert_false(device_checks_apply(&group));
}

static void reads_mosquittos_version(void **state)
{
	(void)state;
	assert_int_equal(device_checks_parse_version(LM_STR("mosquitto version 2.0.11")), 2);
	assert_int_equal(device_checks_parse_version(LM_STR("mosquitto version 1.6.9")), 1);
	assert_int_equal(device_checks_parse_version(LM_STR("mosquitto version x.6")), -1);
	assert_int_equal(device_checks_parse_version(LM_STR("mosquitto version ")), -1);
	assert_int_equal(device_checks_parse_version(LM_STR("version 2.0.11")), -1);
	assert_int_equal(device_checks_parse_version(LM_STR("")), -1);
}

static void a_missing_mosquitto_is_a_problem_with_its_fix(void **state)
{
	(void)state;
	assert_non_null(strstr(after(device_checks_broker),
		"problem: cannot run '/absent/mosquitto': No such file or directory; install "
		"mosquitto 2.0 or later (Debian 12: apt-get install mosquitto), or name it with "
		"devices.mosquitto in the host file\n"));
	assert_true(report.problems >= 1);
}

static void a_program_that_is_no_mosquitto_is_a_problem(void **state)
{
	(void)state;
	host.devices.mosquitto = TEXT("/bin/true");
	assert_non_null(strstr(after(device_checks_broker),
		"problem: '/bin/true' does not print its version; install mosquitto 2.0"));
}

/// A socket that listens on a port of its own, which is returned.
static int listen_somewhere(unsigned *ret_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void free_ports_and_our_own_are_fine(void **state)
{
	lm_auto_json json_t *ours =
		json_pack("{s:{s:s, s:i}}", "discovery", "state", "running", "pid", (int)getpid());
	lm_auto_json json_t *others =
		parse_json("{\"discovery\":{\"state\":\"running\",\"pid\":1}}");
	unsigned port = 0;
	lm_auto_close int fd = listen_somewhere(&port);
	char text[128];

	(void)state;
	(void)fd; // open to the end
	host.devices.alpn_port.number = port;
	checks.status = ours;
	(void)snprintf(text, sizeof(text),
		"ok: port 1: free for the local broker\n"
		"ok: port 2: free for discovery\n"
		"ok: port %u: discovery with ALPN, running\n",
		port);
	assert_string_equal(after(device_checks_ports), text);
	checks.status = others;
	(void)snprintf(
		text, sizeof(text), "warning: port %u, for discovery with ALPN, is in use (", port);
	assert_non_null(strstr(after(device_checks_ports), text));
	host.devices.discovery_port = port;
	checks.status = NULL;
	(void)snprintf(text, sizeof(text), "problem: port %u, for discovery, is in use (", port);
	assert_non_null(strstr(after(device_checks_ports), text));
}

static void a_missing_user_is_a_problem(void **state)
{
	(void)state;
	checks.daemon_uid = 0;
	host.devices.user = TEXT("lm-no-such-user");
	assert_non_null(strstr(after(device_checks_user), "problem: "));
	assert_non_null(strstr(lm_buf_cstr(&lines), "lm-no-such-user"));
	assert_non_null(strstr(lm_buf_cstr(&lines), "set devices.user in the host file"));
	host.devices.user = TEXT("root");
	assert_non_null(strstr(after(device_checks_user), "warning: the local broker and "));
	checks.daemon_uid = 1000;
	assert_string_equal(
		after(device_checks_user), "-: not needed: lightermand does not run as root\n");
}

static void the_cloud_needs_an_identity_only_if_the_group_names_it(void **state)
{
	(void)state;
	assert_string_equal(after(device_checks_cloud),
		"-: not needed: no subscription names the cloud, and no device has SyncShadow\n");
	device.sync_shadow = true;
	assert_non_null(strstr(after(device_checks_cloud),
		"problem: device Crane has SyncShadow, but this device has no endpoint for AWS "
		"IoT; set iot (endpoint, certificate, privateKey, ca) in the host file, or"));
	subscription.target = TEXT("cloud");
	host.iot = (struct host_iot){.endpoint = TEXT("iot.example")};
	assert_non_null(strstr(after(device_checks_cloud),
		"problem: subscription s1 has the cloud as target, but this device has no "
		"certificate for AWS IoT"));
	host.iot.certificate = TEXT("/absent/core.pem");
	host.iot.private_key = TEXT("/dev/null");
	assert_string_equal(after(device_checks_cloud),
		"problem: cannot read '/absent/core.pem': No such file or directory; put the "
		"core's file there, or correct iot.certificate in the host file\n");
	host.iot.certificate = TEXT("/dev/null");
	assert_string_equal(after(device_checks_cloud), "ok: iot.example:443\n");
}

static void a_broken_bridge_is_a_warning(void **state)
{
	lm_auto_json json_t *status = parse_json("{\"cloud\":{\"connected\":false}}");

	(void)state;
	subscription.target = TEXT("cloud");
	host.iot = (struct host_iot){.endpoint = TEXT("iot.example"),
		.certificate = TEXT("/dev/null"),
		.private_key = TEXT("/dev/null")};
	checks.status = status;
	assert_non_null(strstr(after(device_checks_cloud),
		"warning: not connected to AWS IoT; messages wait on this device; see the log"));
}

static void a_certificate_is_judged_by_the_days_it_has_left(void **state)
{
	static const struct {
		int64_t days;
		const char *verdict;
	} rows[] = {{-1, "problem: the server certificate expired on "},
		{3, "warning: the server certificate is valid until "},
		{300, "ok: the server certificate is valid until "}};

	(void)state;
	assert_string_equal(after(device_checks_certificates),
		"-: not checked: the deployed group has no client devices\n");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		lm_auto_json json_t *status = json_pack("{s:I, s:[s]}", "server_expires_ms",
			(json_int_t)(lm_clock_wall_ms() + rows[i].days * 86400000), "warnings",
			"the clock went backwards");

		checks.status = status;
		const char *text = after(device_checks_certificates);
		assert_non_null(strstr(text, rows[i].verdict));
		assert_non_null(strstr(text, "warning: the clock went backwards\n"));
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_group_without_devices_needs_none_of_it),
		TEST(reads_mosquittos_version),
		TEST(a_missing_mosquitto_is_a_problem_with_its_fix),
		TEST(a_program_that_is_no_mosquitto_is_a_problem),
		TEST(free_ports_and_our_own_are_fine),
		TEST(a_missing_user_is_a_problem),
		TEST(the_cloud_needs_an_identity_only_if_the_group_names_it),
		TEST(a_broken_bridge_is_a_warning),
		TEST(a_certificate_is_judged_by_the_days_it_has_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
