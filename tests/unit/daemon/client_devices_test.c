// SPDX-License-Identifier: Apache-2.0
#include "daemon/client_devices.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/generation.h"
#include "deploy/launch.h"

#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, GENERATION = 7 };

#define CONNECTOR "arn:aws:greengrass:eu-west-1::/connectors/DockerApplicationDeployment/versions/7"
#define GROUP(arrays)                                                                              \
	"{\"Connectors\":[{\"Id\":\"c\",\"ConnectorArn\":\"" CONNECTOR                             \
	"\",\"Parameters\":{\"DockerComposeFileS3Bucket\":\"bkt\","                                \
	"\"DockerComposeFileS3Key\":\"key\",\"DockerComposeFileDestinationPath\":\"/d\"}}]" arrays \
	"}"
#define DEVICE                                                                                     \
	"{\"Id\":\"a\",\"ThingArn\":\"arn:aws:iot:eu-west-1:123456789012:thing/A\","               \
	"\"CertificateArn\":\"c\"}"
#define PLAIN GROUP("")
#define DEVICES GROUP(",\"Devices\":[" DEVICE "]")
#define TOLD(subject)                                                                              \
	GROUP(",\"Devices\":[" DEVICE "],\"Subscriptions\":[{\"Id\":\"s\",\"Source\":\"" CONNECTOR \
	      "\",\"Subject\":\"" subject                                                          \
	      "\",\"Target\":\"arn:aws:iot:eu-west-1:123456789012:thing/A\"}]")

/// What lightermand is around them: a worker and services that are scripts.
static struct fixture {
	char folder[64];
	struct host_settings host;
	struct loop *loop;
	struct loop_timer *limit, *look;
	struct client_devices *devices;
	const char *group; ///< In the store, as GENERATION.
	bool (*awaited)(void);
	unsigned applied;
	bool prepared;
	struct lm_err why;
	char files[128];
	json_t *answer;
	const struct host_broker *local;
	bool forgot_local, hastened_local;
	struct lm_buf log;
} f;

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err);
lm_rc __wrap_launch_find_library(const char *name, char **ret, struct lm_err *err);
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err);
const struct store_state *__wrap_store_state(const struct store *s);
void __wrap_mqtt_brokers_set_local(struct mqtt_brokers *b, const struct host_broker *local);
void __wrap_mqtt_brokers_forget_local(struct mqtt_brokers *b);
void __wrap_mqtt_brokers_hasten_local(struct mqtt_brokers *b);

lm_rc __wrap_launch_find_worker(char **ret, struct lm_err *err)
{
	(void)err;
	*ret = lm_path_join(f.folder, "worker");
	return LM_OK;
}

lm_rc __wrap_launch_find_library(const char *name, char **ret, struct lm_err *err)
{
	(void)err;
	*ret = lm_path_join(f.folder, name);
	return LM_OK;
}

static struct group *parse_group(const char *text)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct group *group = NULL;
	struct lm_err err = {LM_OK};

	if (definition_parse(lm_str(text), &errors, &group, &err))
		fail_msg("%s", err.msg);
	return group;
}

lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *err)
{
	(void)s;
	if (n != GENERATION || !f.group)
		return lm_fail(err, LM_E_SYS, 0, "there is no generation %u", n);
	*ret = parse_group(f.group);
	return LM_OK;
}

const struct store_state *__wrap_store_state(const struct store *s)
{
	static const struct store_state nothing;

	(void)s;
	return &nothing;
}

void __wrap_mqtt_brokers_set_local(struct mqtt_brokers *b, const struct host_broker *local)
{
	(void)b;
	f.local = local;
}

void __wrap_mqtt_brokers_forget_local(struct mqtt_brokers *b)
{
	(void)b;
	f.forgot_local = true;
}

void __wrap_mqtt_brokers_hasten_local(struct mqtt_brokers *b)
{
	(void)b;
	f.hastened_local = f.local != NULL;
}

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("it does not come to that; the log: %s", lm_buf_cstr(&f.log));
}

static void look_again(void *ctx)
{
	(void)ctx;
	if (f.awaited && f.awaited())
		loop_stop(f.loop);
}

static void take_log(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	(void)level;
	(void)lm_buf_add_str(&f.log, line);
}

static void await(bool (*awaited)(void))
{
	f.awaited = awaited;
	loop_timer_start(f.limit, PATIENCE_MS, 0);
	loop_timer_start(f.look, 1, 5);
	loop_run(f.loop);
	loop_timer_stop(f.look);
	loop_timer_stop(f.limit);
}

static void write_script(const char *name, const char *script)
{
	lm_auto_free char *path = lm_path_join(f.folder, name);
	lm_auto_fclose FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fprintf(file, "#!/bin/sh\ncd %s\n%s\n", f.folder, script) > 0);
	assert_int_equal(fchmod(fileno(file), 0755), 0);
}

/// Without "set -e": a worker that is killed ends at the next read.
static void write_worker(const char *script)
{
	lm_auto_free char *all = lm_xasprintf(
		"echo '{\"hardened\":true}'; read -r take || exit; read -r job || exit\n"
		"action=${job#*'\"action\": \"'}; action=${job#*'\"action\":\"'}\n"
		"action=${action%%%%'\"'*}; echo \"$action\" >> trace\n"
		"case \"$job\" in *AWS_*) echo aws >> trace;; esac\n%s\n"
		"echo '{\"result\":\"success\",\"stage\":null}'",
		script);

	write_script("worker", all);
}

#define WORKS                                                                                      \
	"case $action in\n"                                                                        \
	"prepare) echo '{\"things\":{}}' > run/device-files.json;;\n"                              \
	"apply) mkdir -p state/devices/broker; : > state/devices/broker/mosquitto.conf\n"          \
	": > state/devices/pending.json\n"                                                         \
	"echo '{\"devices\":{\"broker\":\"restart\",\"discovery\":\"reload\",\"devices\":1,"       \
	"\"warnings\":[\"mind the gap\"],\"server_expires_ms\":12}}';;\n"                          \
	"list) echo '{\"device\":{\"name\":\"A\"}}'; echo '{\"device\":{\"name\":\"B\"}}';;\n"     \
	"add) echo '{\"device\":{\"name\":\"A\",\"sha256\":\"x\"}}';;\n"                           \
	"esac"
#define REFUSES                                                                                    \
	"echo '{\"result\":\"fail\",\"stage\":null,\"error\":\"InvalidParameter\","                \
	"\"message\":\"no such name\",\"class\":\"invalid\"}'; exit 1"

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.folder = "/tmp/client_devices_test.XXXXXX",
		.group = DEVICES,
		.log = LM_BUF(1 << 20)};
	assert_non_null(mkdtemp(f.folder));
	assert_int_equal(chmod(f.folder, 0755), 0);
	const struct passwd *user = getpwuid(geteuid());
	f.host = (struct host_settings){.state_directory = lm_path_join(f.folder, "state"),
		.runtime_directory = lm_path_join(f.folder, "run"),
		.worker_silence_s = 60};
	f.host.devices = (struct host_devices){.broker_port = 8883,
		.discovery_port = 8443,
		.user = lm_xstrdup(user ? user->pw_name : "root"),
		.mosquitto = lm_path_join(f.folder, "mosquitto")};
	assert_int_equal(mkdir(f.host.state_directory, 0755), 0);
	assert_int_equal(mkdir(f.host.runtime_directory, 0755), 0);
	write_worker(WORKS);
	write_script("mosquitto", "echo \"broker $*\" >> trace; sleep 0.3\n"
				  ": > run/devices/broker.sock; exec sleep 600");
	write_script("lighterman-discovery", "echo \"discovery $1\" >> trace; exec sleep 600");
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	f.look = loop_timer_create(f.loop, look_again, NULL);
	lm_log_set_sink(take_log, NULL);
	f.devices = client_devices_create(f.loop, &f.host, NULL, NULL, false);
	return 0;
}

static int teardown(void **state)
{
	struct lm_err err;

	(void)state;
	client_devices_destroy(f.devices);
	loop_timer_destroy(f.limit);
	loop_timer_destroy(f.look);
	loop_destroy(f.loop);
	lm_log_set_sink(NULL, NULL);
	lm_buf_finish(&f.log);
	json_decref(f.answer);
	host_finish(&f.host);
	return lm_tree_remove(AT_FDCWD, f.folder, &err) ? -1 : 0;
}

static size_t count(const char *word)
{
	lm_auto_free char *path = lm_path_join(f.folder, "trace");
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	struct lm_err err;
	size_t n = 0;

	if (lm_file_read(path, &text, &err))
		return 0;
	for (const char *p = lm_buf_cstr(&text); (p = strstr(p, word)) != NULL; p++)
		n++;
	return n;
}

static void on_applied(void *ctx)
{
	(void)ctx;
	f.applied++;
}

static bool is_applied(void)
{
	return f.applied > 0;
}

static bool apply(const char *text)
{
	lm_auto(group_destroy_p) struct group *group = parse_group(text);

	f.group = text;
	return client_devices_apply(f.devices, GENERATION, group, on_applied, NULL);
}

static void on_prepared(void *ctx, int files_fd, const struct lm_err *err)
{
	lm_auto_close int fd = files_fd;
	ssize_t n = fd < 0 ? -1 : read(fd, f.files, sizeof(f.files) - 1);

	(void)ctx;
	f.files[n > 0 ? n : 0] = '\0';
	f.prepared = true;
	if (err)
		f.why = *err;
}

static bool is_prepared(void)
{
	return f.prepared;
}

static bool prepare(const char *text)
{
	lm_auto(group_destroy_p) struct group *group = parse_group(text);

	return client_devices_prepare(f.devices, group, on_prepared, NULL);
}

static const char *state_of(const char *service)
{
	static char text[32];
	lm_auto_json json_t *shown = client_devices_show(f.devices);
	const char *found = json_get_text(json_object_get(shown, service), "state");

	(void)snprintf(text, sizeof(text), "%s", found ? found : "none");
	return text;
}

static bool both_are(const char *state)
{
	return strcmp(state_of("broker"), state) == 0 && strcmp(state_of("discovery"), state) == 0;
}

static bool both_run(void)
{
	return both_are("running");
}

static bool both_are_stopped(void)
{
	return both_are("stopped");
}

static bool exists(const char *name)
{
	lm_auto_free char *path = lm_path_join(f.folder, name);

	return access(path, F_OK) == 0;
}

static void a_group_without_devices_starts_nothing(void **state)
{
	lm_auto_json json_t *shown = NULL;

	(void)state;
	assert_false(prepare(PLAIN));
	assert_int_equal(client_devices_prepare_nothing(f.devices), -1);
	assert_false(apply(PLAIN));
	shown = client_devices_show(f.devices);
	assert_true(json_is_null(shown));
	assert_false(client_devices_measure(f.devices).known);
	client_devices_stop(f.devices);
	assert_int_equal(count(""), 0);
	assert_false(exists("run/devices") || exists("state/devices"));
}

static bool has_hastened_local(void)
{
	return f.hastened_local;
}

static void devices_are_served_until_the_application_stops(void **state)
{
	(void)state;
	setenv("AWS_SECRET_ACCESS_KEY", "hunter2", 1);
	assert_true(apply(DEVICES));
	await(is_applied);
	unsetenv("AWS_SECRET_ACCESS_KEY");
	await(both_run);
	lm_auto_json json_t *shown = client_devices_show(f.devices);
	assert_int_equal(json_get_int(shown, "devices", 0), 1);
	assert_int_equal(json_get_int(shown, "server_expires_ms", 0), 12);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(shown, "warnings"), 0)),
		"mind the gap");
	assert_non_null(strstr(lm_buf_cstr(&f.log), "client devices: mind the gap"));
	assert_false(exists("state/devices/pending.json")); // they have been told
	assert_int_equal(count("apply"), 1);
	assert_int_equal(count("aws"), 0);
	assert_null(f.local); // no subscription of the connector's
	assert_true(client_devices_measure(f.devices).broker_up);
	client_devices_stop(f.devices);
	await(both_are_stopped);
	assert_false(client_devices_measure(f.devices).broker_up);
	assert_false(exists("run/devices/broker.sock"));
}

static void our_messages_go_where_a_subscription_says(void **state)
{
	static const struct {
		const char *group;
		bool progress, containers;
	} cases[] = {
		{TOLD("dockerapplicationdeploymentconnector/message/status"), false, false},
		{TOLD("dockerapplicationdeploymentconnector/message/+"), true, true},
		{TOLD("dockerapplicationdeploymentconnector/message/progress"), true, false},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		f.hastened_local = false;
		assert_true(apply(cases[i].group));
		assert_non_null(f.local); // what it is to get waits for the broker
		await(is_applied);
		await(has_hastened_local);
		assert_true(exists("run/devices/broker.sock"));
		assert_string_equal(f.local->username, CONNECTOR);
		assert_string_equal(f.local->client_id, CONNECTOR);
		assert_int_equal(f.local->progress.off, !cases[i].progress);
		assert_int_equal(f.local->containers.off, !cases[i].containers);
		client_devices_stop(f.devices);
		assert_null(f.local);
		await(both_are_stopped);
		f.applied = 0;
	}
	f.forgot_local = false;
	assert_false(apply(PLAIN));
	assert_true(f.forgot_local);
}

static bool has_applied_twice(void)
{
	return count("apply") >= 2;
}

static void another_group_takes_the_place_of_one(void **state)
{
	(void)state;
	assert_true(apply(DEVICES));
	await(is_applied);
	await(both_run);
	assert_false(apply(PLAIN)); // nothing to wait for
	assert_int_equal(count("apply"), 1);
	await(has_applied_twice); // which removes the services' files
	lm_auto_json json_t *shown = client_devices_show(f.devices);
	assert_true(json_is_null(shown));
	// Their files are removed from the application, too.
	char text[64] = "";
	lm_auto_close int nothing = client_devices_prepare_nothing(f.devices);
	assert_true(read(nothing, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "{\"format\":1,\"ca\":\"\",\"things\":{}}");
	f.applied = 0;
	assert_true(apply(DEVICES));
	await(is_applied);
	await(both_run);
}

static void a_failure_is_shown_and_holds_nothing_up(void **state)
{
	(void)state;
	write_worker("echo '{\"result\":\"fail\",\"stage\":null,\"error\":\"InternalError\","
		     "\"message\":\"the disk is full\",\"class\":\"system\"}'; exit 1");
	assert_true(apply(DEVICES));
	await(is_applied);
	lm_auto_json json_t *shown = client_devices_show(f.devices);
	assert_string_equal(json_get_text(json_object_get(shown, "broker"), "state"), "failed");
	assert_string_equal(
		json_get_text(json_object_get(shown, "broker"), "error"), "the disk is full");
	assert_non_null(strstr(
		lm_buf_cstr(&f.log), "serve the client devices: the disk is full, retrying in "));
	assert_true(client_devices_measure(f.devices).fault);
	assert_int_equal(count("broker"), 0);
}

static void a_start_of_ours_serves_what_ran_before(void **state)
{
	lm_auto(group_destroy_p) struct group *group = parse_group(DEVICES);

	(void)state;
	client_devices_resume(f.devices, GENERATION, group, true); // nothing was made yet
	assert_string_equal(state_of("broker"), "stopped");
	assert_true(apply(DEVICES));
	await(is_applied);
	await(both_run);
	client_devices_destroy(f.devices); // as a crash
	f.devices = client_devices_create(f.loop, &f.host, NULL, NULL, false);
	client_devices_resume(f.devices, GENERATION, group, false);
	assert_true(both_are_stopped());
	client_devices_resume(f.devices, GENERATION, group, true);
	await(both_run);
	assert_int_equal(count("apply"), 2);
}

static void files_that_an_earlier_group_has_left_are_removed(void **state)
{
	lm_auto(group_destroy_p) struct group *group = parse_group(PLAIN);

	(void)state;
	assert_true(apply(DEVICES));
	await(is_applied);
	await(both_run);
	client_devices_destroy(f.devices); // as a crash, amid a deployment
	f.devices = client_devices_create(f.loop, &f.host, NULL, NULL, false);
	client_devices_resume(f.devices, GENERATION, group, true);
	await(has_applied_twice);
}

static void a_deployment_gets_its_files_once(void **state)
{
	(void)state;
	assert_true(prepare(DEVICES));
	assert_false(f.prepared); // later
	await(is_prepared);
	assert_int_equal(f.why.rc, LM_OK);
	assert_string_equal(f.files, "{\"things\":{}}\n");
	assert_false(exists("run/device-files.json"));
}

static void a_deployment_without_its_files_fails(void **state)
{
	(void)state;
	write_worker("");
	assert_true(prepare(DEVICES));
	await(is_prepared);
	assert_int_equal(f.why.rc, LM_E_SYS);
	assert_non_null(strstr(f.why.msg, "make certificates for the client devices: open '"));
	f.prepared = false;
	write_worker("ln -s /etc/passwd run/device-files.json");
	assert_true(prepare(DEVICES));
	await(is_prepared);
	assert_int_equal(f.why.rc, LM_E_SYS);
	assert_string_equal(f.files, "");
	f.prepared = false;
	write_worker(REFUSES);
	assert_true(prepare(DEVICES));
	await(is_prepared);
	assert_int_equal(f.why.rc, LM_E_INVALID);
	assert_string_equal(f.why.msg, "make certificates for the client devices: no such name");
}

static void a_deployment_that_is_cancelled_waits_no_longer(void **state)
{
	(void)state;
	write_worker("trap 'echo \"{\\\"result\\\":\\\"cancelled\\\"}\"; exit' TERM\n"
		     "while :; do sleep 0.05; done");
	assert_true(prepare(DEVICES));
	client_devices_cancel(f.devices);
	await(is_prepared);
	assert_int_equal(f.why.rc, LM_E_CANCELLED);
	f.prepared = false;
	assert_true(prepare(DEVICES));
	client_devices_forget(f.devices);
	client_devices_cancel(f.devices);
	assert_false(f.prepared);
}

static void on_answer(void *ctx, json_t *last)
{
	(void)ctx;
	json_decref(f.answer);
	f.answer = json_incref(last);
}

static bool is_answered(void)
{
	return f.answer != NULL;
}

/// The answer to a request, as text.
static char *ask(const char *request)
{
	lm_auto_json json_t *parsed = json_loads(request, 0, NULL);

	json_decref(lm_take(f.answer));
	client_devices_ask(f.devices, parsed, on_answer, NULL);
	if (!f.answer)
		await(is_answered);
	return json_dumps(f.answer, JSON_COMPACT | JSON_SORT_KEYS);
}

static void requests_are_answered(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{"{\"action\":\"list\"}",
			"{\"devices\":[{\"connected\":null,\"name\":\"A\"},"
			"{\"connected\":null,\"name\":\"B\"}],\"exit\":0,\"message\":null}"},
		{"{\"action\":\"add\",\"name\":\"A\"}", "{\"device\":{\"name\":\"A\",\"sha256\":"
							"\"x\"},\"exit\":0,\"message\":null}"},
		{"{\"action\":\"remove\",\"name\":\"A\"}", "{\"exit\":0,\"message\":null}"},
		{"{\"action\":\"burn\"}",
			"{\"exit\":2,\"message\":\"the action of 'device' must be add, list or "
			"remove\"}"},
		{"{}", "{\"exit\":2,\"message\":\"the action of 'device' must be add, list or "
		       "remove\"}"},
		{"{\"action\":\"add\",\"name\":7}",
			"{\"exit\":2,\"message\":\"the name of the device is missing\"}"},
		{"{\"action\":\"add\",\"name\":\"A\",\"csr\":\"x\",\"certificate\":\"y\"}",
			"{\"exit\":2,\"message\":\"a device has either a signing request or a "
			"certificate, as PEM text\"}"},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_free char *answer = ask(cases[i].request);
		assert_string_equal(answer, cases[i].answer);
	}
	write_worker(REFUSES);
	lm_auto_free char *answer = ask("{\"action\":\"add\",\"name\":\"../x\"}");
	assert_string_equal(answer, "{\"exit\":2,\"message\":\"no such name\"}");
}

static void a_change_of_devices_is_applied(void **state)
{
	(void)state;
	assert_true(apply(DEVICES));
	await(is_applied);
	lm_auto_free char *answer = ask("{\"action\":\"remove\",\"name\":\"A\"}");
	assert_string_equal(answer, "{\"exit\":0,\"message\":null}");
	await(has_applied_twice);
}

static bool has_exited;

static void on_exited(void *ctx)
{
	(void)ctx;
	has_exited = true;
}

static bool exited(void)
{
	return has_exited;
}

static void our_end_waits_for_the_services(void **state)
{
	(void)state;
	has_exited = false;
	assert_true(apply(DEVICES));
	await(is_applied);
	await(both_run);
	client_devices_exit(f.devices, on_exited, NULL);
	assert_false(has_exited);
	await(exited);
	assert_true(both_are_stopped());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_group_without_devices_starts_nothing),
		TEST(devices_are_served_until_the_application_stops),
		TEST(our_messages_go_where_a_subscription_says),
		TEST(another_group_takes_the_place_of_one),
		TEST(a_failure_is_shown_and_holds_nothing_up),
		TEST(a_start_of_ours_serves_what_ran_before),
		TEST(files_that_an_earlier_group_has_left_are_removed),
		TEST(a_deployment_gets_its_files_once),
		TEST(a_deployment_without_its_files_fails),
		TEST(a_deployment_that_is_cancelled_waits_no_longer),
		TEST(requests_are_answered),
		TEST(a_change_of_devices_is_applied),
		TEST(our_end_waits_for_the_services),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
