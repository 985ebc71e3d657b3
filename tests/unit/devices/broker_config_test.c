// SPDX-License-Identifier: Apache-2.0
#include "devices/broker_config.h"

#include "base/limits.h"
#include "base/memory.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct broker_settings broker = {
	.port = 8883,
	.user = "mosquitto",
	.plugin = "/usr/lib/lighterman/lighterman_router.so",
	.table = "/var/lib/lighterman/devices/broker/router.json",
	.status = "/run/lighterman/devices/status.json",
	.data = "/var/lib/lighterman/devices/broker/data",
	.socket = "/run/lighterman/devices/broker.sock",
	.certificate = "/var/lib/lighterman/devices/broker/server.pem",
	.key = "/var/lib/lighterman/devices/broker/server.key",
	.client_ca = "/var/lib/lighterman/devices/broker/client-ca.pem",
};
static const struct broker_bridge bridge = {
	.endpoint = "prefix-ats.iot.us-west-2.amazonaws.com",
	.port = 8883,
	.core = "Grp_Core",
	.certificate = "/c/cloud.pem",
	.key = "/c/cloud.key",
	.ca = "/c/cloud-ca.pem",
};

/// The text of these settings; the caller frees.
static char *text_of(const struct broker_settings *settings)
{
	struct lm_buf out = LM_BUF(LIMIT_BROKER_CONFIG);
	struct lm_err err = {LM_OK};
	lm_rc rc = broker_config_write(settings, &out, &err);

	if (rc)
		fail_msg("%s", err.msg);
	return lm_buf_take(&out);
}

static char *bridge_text(const struct broker_bridge *cloud)
{
	struct broker_settings settings = broker;

	settings.cloud = cloud;
	return text_of(&settings);
}

static void refused(const struct broker_settings *settings, const char *words)
{
	struct lm_buf out = LM_BUF(LIMIT_BROKER_CONFIG);
	struct lm_err err = {LM_OK};

	assert_int_equal(broker_config_write(settings, &out, &err), LM_E_INVALID);
	if (!strstr(err.msg, words))
		fail_msg("'%s' is not in '%s'", words, err.msg);
	assert_int_equal(out.len, 0);
	lm_buf_finish(&out);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, part)); p++)
		n++;
	return n;
}

static void writes_the_listeners_and_the_plugin(void **state)
{
	(void)state;
	lm_auto_free char *text = text_of(&broker);

	assert_non_null(
		strstr(text, "\nlistener 0 /run/lighterman/devices/broker.sock\nmax_qos 1\n"));
	assert_non_null(strstr(text, "\nlistener 8883\nmax_qos 1\n"));
	assert_non_null(strstr(text, "\nrequire_certificate true\n"));
	assert_non_null(strstr(text, "\nallow_anonymous true\n"));
	assert_non_null(strstr(text, "\nplugin /usr/lib/lighterman/lighterman_router.so\n"
				     "plugin_opt_table /var/lib/lighterman/devices/broker/"
				     "router.json\n"));
	assert_null(strstr(text, "connection "));
	assert_null(strstr(text, "use_identity_as_username"));
	assert_non_null(strstr(text, "\nmax_packet_size 147456\n"));
	assert_null(strstr(text, "message_size_limit"));
}

static void writes_the_bridge_as_aws_wants_it(void **state)
{
	(void)state;
	lm_auto_free char *text = bridge_text(&bridge);

	assert_int_equal(count(text, "\nconnection "), 1);
	assert_non_null(strstr(text, "\naddress prefix-ats.iot.us-west-2.amazonaws.com:8883\n"));
	assert_non_null(strstr(text, "\nlocal_clientid local.lighterman-cloud-0\n"));
	assert_non_null(strstr(text, "\nremote_clientid Grp_Core-c00\n"));
	assert_non_null(strstr(text, "\ntopic # out 1 $lighterman/cloud/ \"\"\n"));
	assert_non_null(strstr(text, "\nbridge_insecure false\n"));
	assert_non_null(strstr(text, "\ntry_private false\nnotifications false\n"));
	assert_non_null(strstr(text, "\nbridge_attempt_unsubscribe false\ncleansession false\n"));
	assert_non_null(strstr(text, "\nkeepalive_interval 75\n"));
	assert_non_null(strstr(text, "\nrestart_timeout 5 60\n"));
	assert_null(strstr(text, "alpn"));
}

static void asks_for_alpn_on_port_443(void **state)
{
	(void)state;
	struct broker_bridge cloud = bridge;

	cloud.port = 443;
	lm_auto_free char *text = bridge_text(&cloud);
	assert_non_null(strstr(text, "\nbridge_alpn x-amzn-mqtt-ca\n"));
}

static void keeps_within_awss_limits_of_keepalive(void **state)
{
	(void)state;
	static const unsigned cases[][2] = {{0, 75}, {1, 30}, {30, 30}, {600, 600}, {9999, 1200}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct broker_bridge cloud = bridge;
		lm_auto_free char *wanted = lm_xasprintf("\nkeepalive_interval %u\n", cases[i][1]);

		cloud.keepalive_s = cases[i][0];
		lm_auto_free char *text = bridge_text(&cloud);
		assert_non_null(strstr(text, wanted));
	}
}

static void subscribes_once_to_what_another_filter_brings(void **state)
{
	(void)state;
	static const char *const subjects[] = {"a/b", "a/b", "a/#", "a", "x/+/z", "x/1/z", "x/+/#",
		"$aws/things/X/shadow/update/accepted", "$aws/things/Y/shadow/update/accepted",
		"+"};
	static const char *const things[] = {"X"};
	struct broker_bridge cloud = bridge;

	cloud.subjects = subjects;
	cloud.subjects_n = sizeof(subjects) / sizeof(*subjects);
	cloud.sync_things = things;
	cloud.sync_things_n = 1;
	lm_auto_free char *text = bridge_text(&cloud);
	assert_int_equal(count(text, " in 1 "), 6);
	assert_non_null(strstr(text, "\ntopic a/# in 1 \"\" \"\"\n"));
	assert_non_null(strstr(text, "\ntopic + in 1 "));
	assert_non_null(strstr(text, "\ntopic x/+/# in 1 "));
	assert_non_null(strstr(text, "\ntopic $aws/things/X/shadow/+/accepted in 1 "));
	assert_non_null(strstr(text, "\ntopic $aws/things/X/shadow/+/rejected in 1 "));
	assert_non_null(strstr(text, "\ntopic $aws/things/Y/shadow/update/accepted in 1 "));
}

static void has_the_same_text_in_every_order(void **state)
{
	(void)state;
	static const char *const one[] = {"a", "b", "c/#"};
	static const char *const other[] = {"c/#", "a", "c/d", "b", "a"};
	struct broker_bridge cloud = bridge;

	cloud.subjects = one;
	cloud.subjects_n = 3;
	lm_auto_free char *first = bridge_text(&cloud);
	cloud.subjects = other;
	cloud.subjects_n = 5;
	lm_auto_free char *second = bridge_text(&cloud);
	assert_string_equal(first, second);
}

/// The number of the only inward connection.
static unsigned number_of(const char *const *subjects, size_t n)
{
	struct broker_bridge cloud = bridge;
	unsigned number = 0;

	cloud.subjects = subjects;
	cloud.subjects_n = n;
	lm_auto_free char *text = bridge_text(&cloud);
	assert_int_equal(count(text, "\nconnection cloud-"), 2);
	const char *second = strstr(strstr(text, "\nconnection cloud-") + 1, "\nconnection cloud-");
	assert_int_equal(sscanf(second, "\nconnection cloud-%u", &number), 1);
	return number;
}

static void other_filters_are_another_session(void **state)
{
	(void)state;
	static const char *const one[] = {"a", "b"};
	static const char *const other[] = {"a", "c"};

	assert_int_equal(number_of(one, 2), number_of(one, 2));
	assert_int_not_equal(number_of(one, 2), number_of(other, 2));
}

/// Walks through the text: no connection has more filters than AWS takes, no number comes twice.
static void check_connections(const char *text, size_t connections, size_t filters)
{
	lm_auto_free char *copy = lm_xstrdup(text);
	bool taken[1000] = {false};
	size_t here = 0;
	size_t all = 0;
	size_t n = 0;
	char *rest = copy;

	for (char *line; (line = strsep(&rest, "\n"));) {
		unsigned number = 0;

		if (sscanf(line, "connection cloud-%u", &number) == 1) {
			assert_true(number < 1000 && !taken[number]);
			taken[number] = true;
			here = 0;
			n++;
		} else if (strncmp(line, "topic ", 6) == 0 && strstr(line, " in ")) {
			assert_false(n == 1);
			assert_true(++here <= BROKER_CLOUD_FILTERS);
			all++;
		}
	}
	assert_int_equal(n, connections);
	assert_int_equal(all, filters);
}

static void fits_v1s_largest_group(void **state)
{
	(void)state;
	enum { SUBJECTS = 10000, THINGS = 2500 };
	static char *subjects[SUBJECTS];
	static char *things[THINGS];
	struct broker_bridge cloud = bridge;

	for (int i = 0; i < SUBJECTS; i++)
		subjects[i] = lm_xasprintf("%0200d/subject/%d", 0, i);
	for (int i = 0; i < THINGS; i++)
		things[i] = lm_xasprintf("thing-%0120d", i);
	cloud.subjects = (const char *const *)subjects;
	cloud.subjects_n = SUBJECTS;
	cloud.sync_things = (const char *const *)things;
	cloud.sync_things_n = THINGS;
	lm_auto_free char *text = bridge_text(&cloud);
	check_connections(text, 1 + (SUBJECTS + 2 * THINGS) / 50, SUBJECTS + 2 * THINGS);
	for (int i = 0; i < SUBJECTS; i++)
		free(subjects[i]);
	for (int i = 0; i < THINGS; i++)
		free(things[i]);
}

static void refuses_a_subject_that_cannot_be_said(void **state)
{
	(void)state;
	static const struct {
		const char *subject, *words;
	} bad[] = {
		{"", "is empty"},
		{"a b", "put '+' for that level"},
		{" ", "put '+'"},
		{"\"\"", "knows no quotes"},
		{"a\nlistener 1883", "control character"},
		{"a\rb", "control character"},
		{"a/#/b", "'#'"},
		{"a+", "'+'"},
		{"\xff", "UTF-8"},
		{"1/2/3/4/5/6/7/8/9", "7 slashes"},
		{"$lighterman/cloud/#", "begins with '$'"},
		{"$SYS/#", "begins with '$'"},
		{"$share/g/a", "begins with '$'"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *const subjects[] = {"good", bad[i].subject};
		struct broker_bridge cloud = bridge;
		struct broker_settings settings = broker;

		cloud.subjects = subjects;
		cloud.subjects_n = 2;
		settings.cloud = &cloud;
		refused(&settings, bad[i].words);
	}
	// mosquitto reads a '#' as a comment at the begin of a line only.
	const char *const all[] = {"#"};
	struct broker_bridge cloud = bridge;
	cloud.subjects = all;
	cloud.subjects_n = 1;
	lm_auto_free char *text = bridge_text(&cloud);
	assert_non_null(strstr(text, "\ntopic # in 1 \"\" \"\"\n"));
}

static void refuses_settings_that_cannot_be_said(void **state)
{
	(void)state;
	struct broker_settings s;

	s = broker;
	s.socket = "/run/with space/broker.sock";
	refused(&s, "has a space");
	s = broker;
	s.socket = "/run/lighterman/0123456789/0123456789/0123456789/0123456789/0123456789/"
		   "0123456789/0123456789/0123456789/broker.sock";
	refused(&s, "longer than 107 bytes");
	s = broker;
	s.table = "/a\nplugin /tmp/evil.so";
	refused(&s, "control character");
	s = broker;
	s.key = "server.key";
	refused(&s, "absolute");
	s = broker;
	s.data = "/data ";
	refused(&s, "ends with a space");
	s = broker;
	s.user = NULL;
	refused(&s, "user is not set");
	s = broker;
	s.port = 65536;
	refused(&s, "between 1 and 65535");
	// The rest of a line may have spaces in it.
	s = broker;
	s.data = "/data of mine";
	lm_auto_free char *text = text_of(&s);
	assert_non_null(strstr(text, "\npersistence_location /data of mine\n"));
}

static void refuses_a_bridge_that_cannot_be(void **state)
{
	(void)state;
	struct broker_bridge cloud;
	struct broker_settings s = broker;
	char name[125];

	s.cloud = &cloud;
	cloud = bridge;
	cloud.endpoint = "host name";
	refused(&s, "is not a host name");
	cloud = bridge;
	cloud.endpoint = "host:1883";
	refused(&s, "is not a host name");
	cloud = bridge;
	cloud.endpoint = NULL;
	refused(&s, "is not a host name");
	cloud = bridge;
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	cloud.core = name;
	refused(&s, "makes no client ID");
	name[123] = '\0';
	lm_auto_free char *text = bridge_text(&cloud);
	assert_non_null(strstr(text, "-c00\n"));
	cloud = bridge;
	cloud.ca = "ca.pem";
	refused(&s, "absolute");
	const char *const things[] = {"a/b"};
	cloud = bridge;
	cloud.sync_things = things;
	cloud.sync_things_n = 1;
	refused(&s, "is not a thing's name");
}

static void says_that_it_does_not_fit(void **state)
{
	(void)state;
	struct lm_buf out = LM_BUF(100);
	struct lm_err err = {LM_OK};

	assert_int_equal(broker_config_write(&broker, &out, &err), LM_E_TOO_LARGE);
	lm_buf_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_listeners_and_the_plugin),
		cmocka_unit_test(writes_the_bridge_as_aws_wants_it),
		cmocka_unit_test(asks_for_alpn_on_port_443),
		cmocka_unit_test(keeps_within_awss_limits_of_keepalive),
		cmocka_unit_test(subscribes_once_to_what_another_filter_brings),
		cmocka_unit_test(has_the_same_text_in_every_order),
		cmocka_unit_test(other_filters_are_another_session),
		cmocka_unit_test(fits_v1s_largest_group),
		cmocka_unit_test(refuses_a_subject_that_cannot_be_said),
		cmocka_unit_test(refuses_settings_that_cannot_be_said),
		cmocka_unit_test(refuses_a_bridge_that_cannot_be),
		cmocka_unit_test(says_that_it_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
