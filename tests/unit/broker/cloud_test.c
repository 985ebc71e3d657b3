// SPDX-License-Identifier: Apache-2.0
#include "broker/cloud.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "broker/shadow_service.h"
#include "devices/broker_config.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/// What was published, in order: topic and payload.
static struct message {
	char *topic, *payload;
} * sent;
static size_t sent_n, sent_taken;
static struct lm_buf reported = LM_BUF(1 << 20);
static unsigned saves;
static bool broker_is_full;

static char directory[64];
static char *path;
static struct shadow_service *shadows;
static struct cloud *cloud;
static uint64_t now_ms;

/// In place of mosquitto's.
void mosquitto_log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mosquitto_log_printf(int level, const char *format, ...)
{
	(void)level;
	(void)format;
}

static void ignore_reply(void *ctx, const char *topic, struct lm_str payload)
{
	(void)ctx;
	(void)topic;
	(void)payload;
}

static bool take_message(void *ctx, const char *topic, struct lm_str payload)
{
	(void)ctx;
	if (broker_is_full)
		return false;
	assert_true(lm_str_starts(lm_str(topic), LM_STR(BROKER_CLOUD_PREFIX)));
	sent = lm_xrealloc(sent, (sent_n + 1) * sizeof(*sent));
	sent[sent_n++] = (struct message){
		lm_xstrdup(topic + strlen(BROKER_CLOUD_PREFIX)), lm_xmemdup0(payload.p, payload.n)};
	return true;
}

static void take_save(void *ctx)
{
	(void)ctx;
	saves++;
}

static void take_report(
	void *ctx, const char *kind, struct lm_str who, struct lm_str what, const char *why)
{
	(void)ctx;
	lm_buf_printf(
		&reported, "%s of %.*s, %.*s: %s\n", kind, LM_STR_ARG(who), LM_STR_ARG(what), why);
}

static void turn(void)
{
	now_ms += 100;
	cloud_tick(cloud, now_ms);
	shadow_service_commit(shadows);
}

static void open_cloud(void)
{
	static const char *const things[] = {"B", "A", "C"};
	struct lm_err err = {0};

	shadows = shadow_service_open(path, ignore_reply, NULL, &err);
	assert_int_equal(err.rc, LM_OK);
	shadow_service_set_things(shadows, things, 3);
	cloud = cloud_create(&(struct cloud_setup){.shadows = shadows,
		.publish = take_message,
		.save = take_save,
		.report = take_report});
	cloud_set(cloud, true, things, 1);
}

static void close_cloud(void)
{
	cloud_destroy(lm_take(cloud));
	shadow_service_close(lm_take(shadows));
}

static int set_up(void **state)
{
	(void)state;
	strncpy(directory, "/tmp/cloud-XXXXXX", sizeof(directory) - 1);
	assert_non_null(mkdtemp(directory));
	path = lm_path_join(directory, "shadows.db");
	now_ms = 1000000;
	saves = 0;
	broker_is_full = false;
	open_cloud();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close_cloud();
	for (size_t i = 0; i < sent_n; i++) {
		free(sent[i].topic);
		free(sent[i].payload);
	}
	free(lm_take(sent));
	sent_n = sent_taken = 0;
	lm_buf_finish(&reported);
	free(lm_take(path));
	struct lm_err err = {0};
	assert_int_equal(lm_tree_remove(AT_FDCWD, directory, &err), LM_OK);
	return 0;
}

/// The next message, which must be on that topic; its payload as JSON.
static json_t *next_request(const char *topic)
{
	struct lm_err err = {0};
	json_t *body = NULL;

	if (sent_taken >= sent_n)
		fail_msg("no message on '%s'", topic);
	struct message *m = &sent[sent_taken++];
	assert_string_equal(m->topic, topic);
	assert_int_equal(json_parse(lm_str(m->payload), &body, &err), LM_OK);
	return body;
}

static void no_request(void)
{
	if (sent_taken < sent_n)
		fail_msg("a message on '%s': %s", sent[sent_taken].topic, sent[sent_taken].payload);
}

/// A reply of the cloud; `body` (taken) gets the request's token. NULL: somebody else's.
static void reply(const char *topic, const json_t *request, json_t *body)
{
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	const char *token = request ? json_get_text(request, "clientToken") : NULL;

	if (token)
		json_object_set_new(body, "clientToken", json_string(token));
	assert_true(json_write(body, &text));
	json_decref(body);
	assert_int_equal(cloud_receive(cloud, topic, lm_buf_str(&text)), CLOUD_ROUTE);
}

#define B_SHADOW "$aws/things/B/shadow/"

/// Answers the get that the cloud is asked for next.
static void answer_get(json_t *state, int version)
{
	lm_auto_json json_t *request = next_request(B_SHADOW "get");

	reply(B_SHADOW "get/accepted", request,
		json_pack("{s:o,s:i}", "state", state, "version", version));
}

static void answer_get_404(void)
{
	lm_auto_json json_t *request = next_request(B_SHADOW "get");

	reply(B_SHADOW "get/rejected", request,
		json_pack("{s:i,s:s}", "code", 404, "message", "No shadow"));
}

static void change_local(const char *state)
{
	lm_auto_free char *payload = lm_xasprintf("{\"state\":%s}", state);

	shadow_service_request(shadows, "x", LM_STR(B_SHADOW "update"), lm_str(payload));
	turn();
	turn();
}

static void check_local(const char *wanted)
{
	struct shadow_document d = {0};
	struct lm_err err = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);

	assert_int_equal(shadow_service_read(shadows, "B", &d, &err), LM_OK);
	if (d.exists) {
		lm_auto_json json_t *state = shadow_document_state(&d);
		assert_true(json_write(state, &text));
	}
	assert_string_equal(lm_buf_cstr(&text), wanted ? wanted : "");
	shadow_document_finish(&d);
}

static void check_reported(const char *words)
{
	if (!strstr(lm_buf_cstr(&reported), words))
		fail_msg("'%s' is not in '%s'", words, lm_buf_cstr(&reported));
}

/// Both have {"desired":{"a":1}}, at the cloud's version 5.
static void start_the_same(void)
{
	turn();
	answer_get(json_pack("{s:{s:i}}", "desired", "a", 1), 5);
	turn();
	no_request();
	check_local("{\"desired\":{\"a\":1}}");
}

static void forwards_and_refuses(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"$SYS/a", "$lighterman/cloud/a", "1/2/3/4/5/6/7/8/9", "a/+", "", "\xff", "$aws/a"};
	lm_auto_free char *large = lm_xcalloc(1, LIMIT_MQTT_PAYLOAD + 1);

	sent_taken = sent_n;
	assert_true(cloud_forward(cloud, "a", LM_STR("1")));
	assert_true(cloud_forward(cloud, "1/2/3/4/5/6/7/8", LM_STR("1")));
	assert_true(cloud_forward(cloud, "$aws/rules/name/1/2/3/4/5/6/7/8", LM_STR("1")));
	assert_true(cloud_forward(cloud, "a", (struct lm_str){large, LIMIT_MQTT_PAYLOAD}));
	assert_int_equal(sent_n - sent_taken, 4);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(cloud_forward(cloud, bad[i], LM_STR("1")));
	assert_false(cloud_forward(cloud, "a", (struct lm_str){large, LIMIT_MQTT_PAYLOAD + 1}));
	check_reported("forwarding of a, : AWS IoT takes no message over 128 KB");
	broker_is_full = true;
	assert_false(cloud_forward(cloud, "a", LM_STR("1")));
	assert_int_equal(sent_n - sent_taken, 4);
	cloud_set(cloud, false, NULL, 0);
	assert_false(cloud_forward(cloud, "a", LM_STR("1")));
	assert_null(cloud_status(cloud));
}

static void forwards_under_aws_what_clients_may_publish(void **state)
{
	(void)state;
	static const char *const good[] = {B_SHADOW "get", B_SHADOW "update", B_SHADOW "delete",
		B_SHADOW "name/n/get", B_SHADOW "name/n/update", B_SHADOW "name/n/delete",
		"$aws/things/a:b_c-D9/jobs/get", "$aws/things/B/jobs/start-next",
		"$aws/things/B/jobs/$next/get", "$aws/things/B/jobs/j-1/update",
		"$aws/things/B/defender/metrics/json", "$aws/things/B/streams/s/get/cbor",
		"$aws/rules/r_1/any/topic", "$aws/rules/r",
		"$aws/provisioning-templates/t/provision/json", "$aws/certificates/create/json",
		"$aws/certificates/create-from-csr/cbor"};
	static const char *const bad[] = {"$aws/", "$aws/things", "$aws/things/B", B_SHADOW,
		B_SHADOW "bogus", B_SHADOW "get/", B_SHADOW "update/accepted",
		B_SHADOW "update/rejected", B_SHADOW "update/delta", B_SHADOW "update/documents",
		B_SHADOW "name/n", B_SHADOW "name//get", B_SHADOW "name/n/get/accepted",
		"$aws/things//shadow/get", "$aws/things/a b/shadow/get",
		"$aws/things/B/jobs/notify", "$aws/things/B/jobs/get/accepted",
		"$aws/things/B/jobs/j/delete", "$aws/things/B/other/get",
		"$aws/events/presence/connected/x", "$aws/rules", "$aws/rules/", "$aws/rules//a",
		"$aws/rules/a b/c", "$aws/certificates/create", "$aws/certificates/create/json/x",
		"$aws/provisioning-templates/t/provision", "$awsx/things/B/shadow/get"};

	sent_taken = sent_n;
	for (size_t i = 0; i < LM_ARRAY_SIZE(good); i++) {
		if (!cloud_forward(cloud, good[i], LM_STR("1")))
			fail_msg("'%s' is refused", good[i]);
	}
	assert_int_equal(sent_n - sent_taken, LM_ARRAY_SIZE(good));
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		if (cloud_forward(cloud, bad[i], LM_STR("1")))
			fail_msg("'%s' is forwarded", bad[i]);
	}
	check_reported("forwarding of " B_SHADOW "bogus, : AWS IoT lets no client publish to it");
	lm_auto_json json_t *status = cloud_status(cloud);
	assert_int_equal(json_get_int(status, "refused", 0), LM_ARRAY_SIZE(bad));
}

static void takes_no_topic_that_no_bridge_brings(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"$lighterman/cloud/a", "$SYS/a", "$share/a", "$CONTROL/a", "a/#", ""};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(cloud_receive(cloud, bad[i], LM_STR("")), CLOUD_REFUSED);
	assert_int_equal(cloud_receive(cloud, "a", LM_STR("")), CLOUD_ROUTE);
	assert_int_equal(cloud_receive(cloud, "$aws/a", LM_STR("")), CLOUD_ROUTE);
	assert_true(cloud_is_bridge("local.lighterman-cloud-7"));
	assert_false(cloud_is_bridge("local.lighterman") || cloud_is_bridge(NULL));
}

static void saves_at_most_once_a_second(void **state)
{
	(void)state;
	turn();
	assert_int_equal(saves, 0);
	assert_true(cloud_forward(cloud, "a", LM_STR("1")));
	turn();
	assert_int_equal(saves, 1);
	for (int i = 0; i < 9; i++) {
		assert_true(cloud_forward(cloud, "a", LM_STR("1")));
		turn();
	}
	assert_int_equal(saves, 1);
	turn();
	assert_int_equal(saves, 2);
	// Once more for what the cloud has taken in the meantime, and then no more.
	for (int i = 0; i < 310; i++)
		turn();
	assert_int_equal(saves, 3);
	for (int i = 0; i < 1000; i++)
		turn();
	assert_int_equal(saves, 3);
}

static void sends_what_changed_here(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"b\":2}}");
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(request, "version", 0), 5);
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "b", 2);
	assert_true(json_equal(json_object_get(request, "state"), patch));
	// Another change waits for the answer.
	change_local("{\"desired\":{\"c\":3}}");
	no_request();
	reply(B_SHADOW "update/accepted", request,
		json_pack("{s:O,s:i}", "state", patch, "version", 6));
	turn();
	lm_auto_json json_t *second = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(second, "version", 0), 6);
	reply(B_SHADOW "update/accepted", second, json_pack("{s:{},s:i}", "state", "version", 7));
	turn();
	no_request();
	check_local("{\"desired\":{\"a\":1,\"b\":2,\"c\":3}}");
}

static void asks_when_somebody_else_changed_it(void **state)
{
	(void)state;
	start_the_same();
	reply(B_SHADOW "update/accepted", NULL, json_pack("{s:{},s:i}", "state", "version", 6));
	turn();
	answer_get(json_pack("{s:{s:i,s:i}}", "desired", "a", 1, "b", 2), 6);
	turn();
	no_request();
	check_local("{\"desired\":{\"a\":1,\"b\":2}}");
	// An answer that was for somebody else is none to us.
	reply(B_SHADOW "get/accepted", NULL,
		json_pack("{s:{s:{}},s:i}", "state", "desired", "version", 6));
	reply(B_SHADOW "update/rejected", NULL, json_pack("{s:i}", "code", 409));
	turn();
	no_request();
}

static void merges_after_a_conflict(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"a\":2,\"b\":2}}");
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	reply(B_SHADOW "update/rejected", request, json_pack("{s:i}", "code", 409));
	turn();
	answer_get(json_pack("{s:{s:i}}", "desired", "a", 3), 9);
	turn();
	lm_auto_json json_t *again = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(again, "version", 0), 9);
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "b", 2);
	assert_true(json_equal(json_object_get(again, "state"), patch));
	reply(B_SHADOW "update/accepted", again, json_pack("{s:{},s:i}", "state", "version", 10));
	turn();
	no_request();
	check_local("{\"desired\":{\"a\":3,\"b\":2}}");
	lm_auto_json json_t *status = cloud_status(cloud);
	assert_int_equal(json_get_int(status, "sync_conflicts", 0), 1);
}

/// Takes the request for an empty shadow, which changes nothing if it comes twice.
static void make_empty(void)
{
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	lm_auto_json json_t *nothing = json_pack("{s:{}}", "reported");

	assert_null(json_object_get(request, "version"));
	assert_true(json_equal(json_object_get(request, "state"), nothing));
	reply(B_SHADOW "update/accepted", request, json_pack("{s:{},s:i}", "state", "version", 1));
	turn();
}

static void deletes_on_either_side(void **state)
{
	(void)state;
	start_the_same();
	shadow_service_request(shadows, "x", LM_STR(B_SHADOW "delete"), LM_STR(""));
	turn();
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "delete");
	reply(B_SHADOW "delete/accepted", request, json_pack("{s:i}", "version", 6));
	turn();
	no_request();
	change_local("{\"desired\":{\"a\":2}}");
	make_empty();
	answer_get(json_object(), 7);
	turn();
	lm_auto_json json_t *made = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(made, "version", 0), 7);
	reply(B_SHADOW "update/accepted", made, json_pack("{s:{},s:i}", "state", "version", 8));
	turn();
	no_request();
	reply(B_SHADOW "delete/accepted", NULL, json_pack("{s:i}", "version", 9));
	turn();
	answer_get_404();
	turn();
	no_request();
	check_local(NULL);
}

static void knows_after_a_restart_what_both_had(void **state)
{
	(void)state;
	start_the_same();
	shadow_service_request(shadows, "x", LM_STR(B_SHADOW "update"),
		LM_STR("{\"state\":{\"desired\":{\"a\":null,\"b\":1}}}"));
	shadow_service_commit(shadows);
	close_cloud();
	open_cloud();
	turn();
	answer_get(json_pack("{s:{s:i,s:i}}", "desired", "a", 1, "c", 1), 6);
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	lm_auto_json json_t *patch = json_pack("{s:{s:n,s:i}}", "desired", "a", "b", 1);
	assert_true(json_equal(json_object_get(request, "state"), patch));
	check_local("{\"desired\":{\"b\":1,\"c\":1}}");
}

static unsigned conflicts(void)
{
	lm_auto_json json_t *status = cloud_status(cloud);

	return (unsigned)json_get_int(status, "sync_conflicts", 0);
}

static unsigned failing(void)
{
	lm_auto_json json_t *status = cloud_status(cloud);

	return (unsigned)json_get_int(status, "sync_failing", 0);
}

static void a_new_shadow_has_a_version_before_it_has_a_value(void **state)
{
	(void)state;
	turn();
	answer_get_404();
	turn();
	no_request();
	change_local("{\"desired\":{\"a\":1}}");
	make_empty();
	// Meanwhile somebody has put something into it.
	answer_get(json_pack("{s:{s:i}}", "desired", "b", 1), 2);
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(request, "version", 0), 2);
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "a", 1);
	assert_true(json_equal(json_object_get(request, "state"), patch));
	check_local("{\"desired\":{\"a\":1,\"b\":1}}");
	assert_int_equal(conflicts(), 0);
}

/// If AWS IoT makes no shadow of nothing, or refuses that, the first update has all.
static void without_an_empty_shadow_the_first_update_has_all(void **state)
{
	(void)state;
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "a", 1);

	turn();
	answer_get_404();
	for (int refused = 0; refused < 2; refused++) {
		change_local("{\"desired\":{\"a\":1}}");
		if (refused) {
			lm_auto_json json_t *request = next_request(B_SHADOW "update");

			reply(B_SHADOW "update/rejected", request, json_pack("{s:i}", "code", 400));
			turn();
		} else {
			make_empty();
		}
		answer_get_404();
		turn();
		lm_auto_json json_t *all = next_request(B_SHADOW "update");
		assert_null(json_object_get(all, "version"));
		assert_true(json_equal(json_object_get(all, "state"), patch));
		reply(B_SHADOW "update/accepted", all,
			json_pack("{s:{},s:i}", "state", "version", 1));
		turn();
		// Somebody may have made one at the same time.
		answer_get(json_deep_copy(patch), 1);
		turn();
		no_request();
		reply(B_SHADOW "delete/accepted", NULL, json_pack("{s:i}", "version", 1));
		turn();
		answer_get_404();
		turn();
		no_request();
		check_local(NULL);
	}
	assert_int_equal(failing(), 0);
}

/// That a device deletes it before the cloud has more than an empty one is not undone.
static void a_new_shadow_that_is_deleted_at_once_stays_deleted(void **state)
{
	(void)state;
	turn();
	answer_get_404();
	change_local("{\"desired\":{\"a\":1}}");
	shadow_service_request(shadows, "x", LM_STR(B_SHADOW "delete"), LM_STR(""));
	turn();
	make_empty();
	answer_get(json_object(), 1);
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "delete");
	reply(B_SHADOW "delete/accepted", request, json_pack("{s:i}", "version", 1));
	turn();
	no_request();
	check_local(NULL);
}

static void restart(void)
{
	close_cloud();
	open_cloud();
	turn();
}

/// Killed between what the cloud has taken and its reply: what changed here then is no conflict.
static void a_reply_that_was_lost_makes_no_conflict(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"a\":2}}");
	json_decref(next_request(B_SHADOW "update"));
	change_local("{\"desired\":{\"a\":3}}");
	restart();
	answer_get(json_pack("{s:{s:i}}", "desired", "a", 2), 6);
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(request, "version", 0), 6);
	lm_auto_json json_t *patch = json_pack("{s:{s:i}}", "desired", "a", 3);
	assert_true(json_equal(json_object_get(request, "state"), patch));
	assert_int_equal(conflicts(), 0);
	reply(B_SHADOW "update/accepted", request, json_pack("{s:{},s:i}", "state", "version", 7));
	turn();
	// Once it was replied to, it is no base any more: somebody sets the old value again.
	change_local("{\"desired\":{\"a\":4}}");
	lm_auto_json json_t *last = next_request(B_SHADOW "update");
	reply(B_SHADOW "update/rejected", last, json_pack("{s:i}", "code", 409));
	turn();
	answer_get(json_pack("{s:{s:i}}", "desired", "a", 2), 8);
	turn();
	no_request();
	check_local("{\"desired\":{\"a\":2}}");
	assert_int_equal(conflicts(), 1);
}

static void a_deletion_whose_reply_was_lost_makes_no_conflict(void **state)
{
	(void)state;
	start_the_same();
	shadow_service_request(shadows, "x", LM_STR(B_SHADOW "delete"), LM_STR(""));
	turn();
	turn();
	json_decref(next_request(B_SHADOW "delete"));
	change_local("{\"desired\":{\"a\":3}}");
	restart();
	answer_get_404();
	turn();
	make_empty();
	answer_get(json_object(), 7);
	turn();
	json_decref(next_request(B_SHADOW "update"));
	check_local("{\"desired\":{\"a\":3}}");
	assert_int_equal(conflicts(), 0);
}

/// What the cloud refused is no base either.
static void what_was_refused_is_no_base(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"a\":2}}");
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	reply(B_SHADOW "update/rejected", request, json_pack("{s:i}", "code", 413));
	turn();
	assert_int_equal(failing(), 1);
	change_local("{\"desired\":{\"a\":3}}");
	lm_auto_json json_t *second = next_request(B_SHADOW "update");
	reply(B_SHADOW "update/rejected", second, json_pack("{s:i}", "code", 413));
	turn();
	change_local("{\"desired\":{\"a\":4}}");
	json_decref(next_request(B_SHADOW "update"));
	restart();
	// Somebody else's 3: there is no 3 that we know of.
	answer_get(json_pack("{s:{s:i}}", "desired", "a", 3), 9);
	turn();
	check_local("{\"desired\":{\"a\":3}}");
	assert_int_equal(conflicts(), 1);
	assert_int_equal(failing(), 0);
}

/// The cloud is asked for nothing that a kill could make us forget.
static void sends_only_what_is_on_disk(void **state)
{
	(void)state;
	struct rlimit limit;
	struct stat st;
	lm_auto_free char *log = lm_xasprintf("%s-wal", path);

	start_the_same();
	shadow_service_request(shadows, "x", LM_STR(B_SHADOW "update"),
		LM_STR("{\"state\":{\"desired\":{\"a\":2}}}"));
	turn();
	cloud_tick(cloud, now_ms += 100);
	no_request();
	// The disk is full: it is not sent, and the cloud is asked what it has.
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(stat(log, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = (rlim_t)st.st_size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	shadow_service_commit(shadows);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	no_request();
	turn();
	answer_get(json_pack("{s:{s:i}}", "desired", "a", 1), 5);
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	assert_int_equal(json_get_int(request, "version", 0), 5);
}

/// Of a thing's get, the latest; earlier ones are left out.
static void answer_latest_404(const char *thing)
{
	lm_auto_free char *topic = lm_xasprintf("$aws/things/%s/shadow/get", thing);
	lm_auto_free char *answer = lm_xasprintf("%s/rejected", topic);

	for (size_t i = sent_n; i-- > 0;) {
		if (strcmp(sent[i].topic, topic) != 0)
			continue;
		sent_taken = i;
		lm_auto_json json_t *request = next_request(topic);
		sent_taken = sent_n;
		reply(answer, request, json_pack("{s:i}", "code", 404));
		return;
	}
	fail_msg("'%s' was never asked for", thing);
}

static unsigned reports_of(const char *words)
{
	unsigned n = 0;

	for (const char *at = lm_buf_cstr(&reported); (at = strstr(at, words)); at++)
		n++;
	return n;
}

static void repeats_what_is_not_answered(void **state)
{
	(void)state;
	turn();
	size_t first = sent_taken;
	lm_auto_json json_t *request = next_request(B_SHADOW "get");
	for (int i = 0; i < 48; i++)
		turn();
	no_request();
	for (int i = 0; i < 4; i++)
		turn();
	lm_auto_json json_t *again = next_request(B_SHADOW "get");
	assert_true(json_equal(request, again));
	no_request();
	// An outage of a day adds little to the queue.
	for (int i = 0; i < 24 * 3600; i++) {
		now_ms += 900;
		turn();
	}
	assert_in_range(sent_n - first, 75, 90);
	assert_int_equal(reports_of("AWS IoT does not answer"), 1);
	answer_latest_404("B");
	turn();
	no_request();
}

static void waits_when_the_cloud_refuses(void **state)
{
	(void)state;
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "get");
	reply(B_SHADOW "get/rejected", request,
		json_pack("{s:i,s:s}", "code", 403, "message", "Forbidden\n"));
	check_reported("synchronisation of B, : AWS IoT answers get with 403, 'Forbidden\\x0a'");
	for (int i = 0; i < 290; i++)
		turn();
	no_request();
	for (int i = 0; i < 20; i++)
		turn();
	answer_get_404();
	turn();
	no_request();
}

/// Answers everything as `change` says until nothing more is asked; returns how much was.
static unsigned answer_all(int update_code)
{
	unsigned n = 0;

	for (turn(); sent_taken < sent_n; turn()) {
		bool get = strcmp(sent[sent_taken].topic, B_SHADOW "get") == 0;
		lm_auto_json json_t *request = next_request(sent[sent_taken].topic);

		assert_true(++n < 100);
		if (get)
			reply(B_SHADOW "get/accepted", request,
				json_pack("{s:{s:{s:i}},s:i}", "state", "desired", "a", 1,
					"version", 5));
		else
			reply(B_SHADOW "update/rejected", request,
				json_pack("{s:i}", "code", update_code));
	}
	return n;
}

static void does_not_race_for_ever(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"b\":2}}");
	assert_in_range(answer_all(409), 10, 13);
	check_reported("AWS IoT answers update with 409");
}

static void waits_when_there_is_no_such_thing(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"b\":2}}");
	assert_int_equal(answer_all(404), 1);
	check_reported("AWS IoT answers update with 404");
}

static void gives_up_until_something_changes(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"b\":2}}");
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	reply(B_SHADOW "update/rejected", request,
		json_pack("{s:i,s:s}", "code", 413, "message", "large"));
	for (int i = 0; i < 1000; i++)
		turn();
	no_request();
	change_local("{\"desired\":{\"b\":3}}");
	json_decref(next_request(B_SHADOW "update"));
}

static void survives_bad_replies(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "{", "[]", "\xff", "{\"version\":\"x\"}", "{\"code\":[]}"};
	static const char *const topics[] = {"get/accepted", "get/rejected", "update/accepted",
		"update/rejected", "delete/accepted", "delete/rejected", "update/delta",
		"name/n/get/accepted"};

	turn();
	for (size_t i = 0; i < LM_ARRAY_SIZE(topics); i++) {
		lm_auto_free char *topic = lm_xasprintf(B_SHADOW "%s", topics[i]);

		for (size_t j = 0; j < LM_ARRAY_SIZE(bad); j++)
			assert_int_equal(cloud_receive(cloud, topic, lm_str(bad[j])), CLOUD_ROUTE);
	}
	turn();
	check_local(NULL);
}

/// T00 to T99.
static void set_100_things(const char *list[100])
{
	static char names[100][8];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "T%02d", i);
		list[i] = names[i];
	}
	shadow_service_set_things(shadows, list, 100);
	cloud_set(cloud, true, list, 100);
}

static void has_few_requests_at_a_time(void **state)
{
	(void)state;
	const char *list[100];

	set_100_things(list);
	turn();
	assert_int_equal(sent_n, LIMIT_CLOUD_REQUESTS);
	for (size_t i = 0; i < 100; i++) {
		lm_auto_free char *topic = lm_xasprintf("$aws/things/T%02zu/shadow/get", i);
		lm_auto_free char *answer = lm_xasprintf("%s/rejected", topic);
		lm_auto_json json_t *request = next_request(topic);

		reply(answer, request, json_pack("{s:i}", "code", 404));
		turn();
	}
	assert_int_equal(sent_n, 100);
	// Those that stay are not asked for again, others are forgotten.
	cloud_set(cloud, true, list, 50);
	turn();
	no_request();
	// One after the other is looked at again.
	now_ms += 31 * 60 * 1000;
	turn();
	json_decref(next_request("$aws/things/T00/shadow/get"));
	no_request();
	now_ms += 31 * 60 * 1000;
	turn();
	assert_true(sent_n - sent_taken >= 1);
	sent_taken = sent_n;
	// After a loss of the connection all are.
	cloud_disconnected(cloud, "local.lighterman-cloud-12");
	turn();
	assert_true(sent_n - sent_taken <= LIMIT_CLOUD_REQUESTS && sent_n > sent_taken);
}

/// Replies to all gets but to those of the first `dead` things; how many it replied to.
static unsigned answer_all_but(int dead, unsigned char answered[100])
{
	unsigned n = 0;

	while (sent_taken < sent_n) {
		struct message *m = &sent[sent_taken];
		int at = (m->topic[strlen("$aws/things/T")] - '0') * 10 +
			 m->topic[strlen("$aws/things/T0")] - '0';
		lm_auto_json json_t *request = next_request(m->topic);
		lm_auto_free char *topic =
			lm_xasprintf("$aws/things/T%02d/shadow/get/rejected", at);

		if (at < dead)
			continue;
		reply(topic, request, json_pack("{s:i}", "code", 404));
		n += !answered[at];
		answered[at] = 1;
	}
	return n;
}

static void things_without_an_answer_do_not_stop_others(void **state)
{
	(void)state;
	enum { DEAD = 20 };
	const char *list[100];
	unsigned char answered[100] = {0};
	unsigned n = 0;

	set_100_things(list);
	for (int i = 0; i < 30 * 60 * 10 && n < 100 - DEAD; i++) {
		turn();
		n += answer_all_but(DEAD, answered);
	}
	assert_int_equal(n, 100 - DEAD);
	// They are tried again, and each is reported once.
	size_t before = sent_n;
	for (int i = 0; i < 5 * 60 * 60 * 10; i++) {
		turn();
		(void)answer_all_but(DEAD, answered);
	}
	assert_true(sent_n - before > DEAD);
	for (int i = 0; i < DEAD; i++) {
		lm_auto_free char *words =
			lm_xasprintf("synchronisation of T%02d, : AWS IoT does not answer", i);
		assert_in_range(reports_of(words), i < LIMIT_CLOUD_REQUESTS, 1);
	}
	// Once they are answered nothing stays.
	for (int i = 0; i < 2 * 60 * 60 * 10; i++) {
		turn();
		(void)answer_all_but(0, answered);
	}
	for (int i = 0; i < 100; i++)
		assert_true(answered[i]);
}

static void unreadable_replies_do_not_stop_others(void **state)
{
	(void)state;
	const char *list[100];

	set_100_things(list);
	turn();
	for (int i = 0; i < LIMIT_CLOUD_REQUESTS; i++) {
		lm_auto_free char *topic = lm_xasprintf("$aws/things/T%02d/shadow/get/accepted", i);

		json_decref(next_request(sent[sent_taken].topic));
		assert_int_equal(cloud_receive(cloud, topic, LM_STR("{")), CLOUD_ROUTE);
	}
	assert_int_equal(
		reports_of("AWS IoT's answer to get cannot be used"), LIMIT_CLOUD_REQUESTS);
	turn();
	for (int i = 0; i < LIMIT_CLOUD_REQUESTS; i++) {
		lm_auto_free char *topic =
			lm_xasprintf("$aws/things/T%02d/shadow/get", LIMIT_CLOUD_REQUESTS + i);
		json_decref(next_request(topic));
	}
	no_request();
}

static void only_replies_to_us_end_a_request(void **state)
{
	(void)state;
	turn();
	lm_auto_json json_t *request = next_request(B_SHADOW "get");
	// Of somebody else, unreadable or not; of another kind.
	reply(B_SHADOW "get/accepted", NULL,
		json_pack("{s:s,s:{},s:i}", "clientToken", "x", "state", "version", 0));
	reply(B_SHADOW "get/accepted", NULL,
		json_pack("{s:s,s:{},s:i}", "clientToken", "x", "state", "version", 1));
	reply(B_SHADOW "update/rejected", NULL, json_pack("{s:s}", "code", "x"));
	turn();
	no_request();
	// Ours, without what we need: pauses, and then asks again.
	reply(B_SHADOW "get/accepted", request, json_pack("{s:{}}", "state"));
	check_reported("synchronisation of B, : AWS IoT's answer to get cannot be used: it has no");
	for (int i = 0; i < 290; i++)
		turn();
	no_request();
	for (int i = 0; i < 20; i++)
		turn();
	answer_get_404();
	turn();
	no_request();
}

static void asks_little_while_the_bridge_is_away(void **state)
{
	(void)state;
	const char *list[100];
	unsigned char answered[100] = {0};

	set_100_things(list);
	turn();
	size_t first = sent_n;
	assert_int_equal(first, LIMIT_CLOUD_REQUESTS);
	cloud_disconnected(cloud, "local.lighterman-cloud-0");
	turn();
	// Once more: whether the first ones were sent is not known.
	assert_int_equal(sent_n, 2 * first);
	for (int i = 0; i < 24 * 3600; i++) {
		now_ms += 900;
		turn();
		// mosquitto tries.
		if (i % 60 == 0)
			cloud_disconnected(cloud, "local.lighterman-cloud-0");
	}
	assert_in_range(sent_n, 2 * first + 70, 2 * first + 90);
	assert_int_equal(reports_of("does not answer"), 0);
	// Something that another connection brings changes nothing.
	sent_taken = sent_n;
	assert_int_equal(cloud_receive(cloud, "a", LM_STR("1")), CLOUD_ROUTE);
	for (int i = 0; i < 60; i++)
		turn();
	no_request();
	// It is back: the next thing is asked for, what waits anew, and everything gets done.
	sent_taken--;
	assert_int_equal(answer_all_but(0, answered), 1);
	turn();
	assert_int_equal(sent_n - sent_taken, 1);
	for (int i = 0; i < 60; i++)
		turn();
	assert_int_equal(sent_n - sent_taken, 1 + LIMIT_CLOUD_REQUESTS);
	for (int i = 0; i < 100; i++) {
		(void)answer_all_but(0, answered);
		turn();
	}
	for (int i = 0; i < 100; i++)
		assert_true(answered[i]);
	no_request();
}

static void an_update_is_kept_while_the_bridge_is_away(void **state)
{
	(void)state;
	start_the_same();
	change_local("{\"desired\":{\"b\":2}}");
	lm_auto_json json_t *request = next_request(B_SHADOW "update");
	cloud_disconnected(cloud, "local.lighterman-cloud-0");
	for (int i = 0; i < 3600; i++) {
		now_ms += 900;
		turn();
	}
	assert_in_range(sent_n - sent_taken, 2, 20);
	while (sent_taken < sent_n) {
		lm_auto_json json_t *again = next_request(B_SHADOW "update");
		assert_true(json_equal(request, again));
	}
	reply(B_SHADOW "update/accepted", request, json_pack("{s:{},s:i}", "state", "version", 6));
	turn();
	// What the cloud told in the meantime may be lost.
	answer_get(json_pack("{s:{s:i,s:i}}", "desired", "a", 1, "b", 2), 6);
	turn();
	no_request();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(forwards_and_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			forwards_under_aws_what_clients_may_publish, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			takes_no_topic_that_no_bridge_brings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(saves_at_most_once_a_second, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sends_what_changed_here, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			asks_when_somebody_else_changed_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(merges_after_a_conflict, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deletes_on_either_side, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			knows_after_a_restart_what_both_had, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_new_shadow_has_a_version_before_it_has_a_value, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_an_empty_shadow_the_first_update_has_all, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_new_shadow_that_is_deleted_at_once_stays_deleted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_reply_that_was_lost_makes_no_conflict, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_deletion_whose_reply_was_lost_makes_no_conflict, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_refused_is_no_base, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sends_only_what_is_on_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(repeats_what_is_not_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(waits_when_the_cloud_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(does_not_race_for_ever, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			waits_when_there_is_no_such_thing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			gives_up_until_something_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(survives_bad_replies, set_up, tear_down),
		cmocka_unit_test_setup_teardown(has_few_requests_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			things_without_an_answer_do_not_stop_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			unreadable_replies_do_not_stop_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			only_replies_to_us_end_a_request, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			asks_little_while_the_bridge_is_away, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_update_is_kept_while_the_bridge_is_away, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
