// SPDX-License-Identifier: Apache-2.0
#include "broker/cloud.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "broker/shadow_service.h"
#include "config/topic.h"
#include "devices/broker_config.h"
#include "devices/shadow_sync.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	/// A reply comes within a second; at the first start maybe before the bridge has subscribed
	/// to it.
	REPLY_WAIT_MS = 5 * 1000,
	ATTEMPTS_MAX = 5,
	/// While the cloud is away, between what is asked in order to notice that it is back: it
	/// waits in the bridge's queue, which messages of devices need.
	PROBE_WAIT_MAX_MS = 20 * 60 * 1000,
	/// After an answer that may be another one next time: throttled, no permission yet.
	REFUSED_WAIT_MS = 30 * 1000,
	REFUSED_WAIT_MAX_MS = 60 * 60 * 1000,
	RACES_MAX = 5, ///< Without a pause.
		       /// One shadow after the other is asked for, in case that something got lost.
		       /// AWS IoT keeps messages for a connection that was lost for an hour.
	LOOK_AGAIN_MS = 30 * 60 * 1000,

	SAVE_MS = 1000,
	/// So that a long queue does not wear out the disk: a save waits one second more for each.
	SAVE_BYTES_A_SECOND = 256 << 10,
	/// Once more, so that what the cloud has taken is not sent again after a crash.
	SAVE_AGAIN_MS = 30 * 1000,

	CLOUD_SLASHES_MAX = 7,
	NAME_MAX_OF_AWS = 128,
	TOKEN_SIZE = 48,
	MESSAGE_SHOWN = 100,
};

/// A request that waits for its reply.
struct cloud_request {
	enum shadow_sync_request kind;
	char token[TOKEN_SIZE];
	char *payload;
	uint64_t start_ms;
	uint64_t repeat_ms; ///< When it is sent again; 0: now, also while the cloud is away.
	/// It is sent once that is on disk: else a kill could forget what the cloud was asked for.
	/// 0: it was sent.
	uint64_t transaction;
	unsigned attempts;
	// Of an update or delete:
	json_t *target; ///< What the cloud then has; NULL: no shadow.
	uint64_t local_version;
	bool blind;   ///< The cloud had no shadow whose version could be named.
	bool creates; ///< An empty one, so that there is a version to name.
};

struct cloud_thing {
	char *name;
	bool ask;  ///< The cloud's shadow must be asked for.
	bool push; ///< Ours has changed.
	/// The cloud's is what shadow_sync says: it was asked for since the start.
	bool known;
	bool unanswered;     ///< That was reported; nothing usable came since.
	bool failing;        ///< Nothing has made both the same since a failure.
	bool tried_empty;    ///< Since its shadow was last asked for.
	bool takes_no_empty; ///< There was none in spite of that: the first update has all.
	unsigned refusals;   ///< In a row.
	unsigned races;      ///< Updates in a row that came too late: somebody else was faster.
	uint64_t not_before_ms;
	struct cloud_request *request;
};

struct cloud {
	struct cloud_setup setup;
	char *database;
	bool bridge;

	struct cloud_thing *things;
	size_t things_n;
	size_t next;      ///< Whose turn it is.
	size_t look_next; ///< Who is looked at again next.
	size_t waiting;   ///< Requests without a reply.
	uint64_t look_ms; ///< When; 0: not set yet.
	uint64_t due_ms;  ///< When there is something to do; 0: now.
	uint64_t now_ms;  ///< Of the last turn.
	char instance[12];
	unsigned long sequence;

	bool unsaved; ///< Something was sent since the last save.
	uint64_t save_ms, save_again_ms;

	/// No request is answered: they wait and are not repeated, but for a probe now and then.
	/// Other messages do not tell that ours arrive: another connection may have brought them.
	bool away;
	uint64_t heard_ms; ///< When a request of ours was last answered.
	uint64_t probe_ms; ///< When the next probe may go.
	uint64_t probe_wait_ms;

	uint64_t sent, received, refused, conflicts;
	int connected; ///< -1: not known.
	bool changed;
};

// Messages for the cloud.

bool cloud_is_bridge(const char *client_id)
{
	return client_id && lm_str_starts(lm_str(client_id), LM_STR(BROKER_BRIDGE_ID));
}

/// Of a thing, a job ($next, too), a shadow, a rule.
static bool is_name_of_aws(struct lm_str name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789:_-$";

	for (size_t i = 0; i < name.n; i++) {
		if (!memchr(letters, name.p[i], sizeof(letters) - 1))
			return false;
	}
	return name.n > 0 && name.n <= NAME_MAX_OF_AWS;
}

/// What a client may publish under '$': AWS IoT ends the connection for anything else. Behind
/// `$aws/rules/` there may be any topic, and elsewhere names.
static bool is_topic_of_aws(struct lm_str topic)
{
	static const char *const names[] = {
		"$aws/things/+/shadow/get",
		"$aws/things/+/shadow/update",
		"$aws/things/+/shadow/delete",
		"$aws/things/+/shadow/name/+/get",
		"$aws/things/+/shadow/name/+/update",
		"$aws/things/+/shadow/name/+/delete",
		"$aws/things/+/jobs/get",
		"$aws/things/+/jobs/start-next",
		"$aws/things/+/jobs/+/get",
		"$aws/things/+/jobs/+/update",
		"$aws/things/+/defender/metrics/json",
		"$aws/things/+/defender/metrics/cbor",
		"$aws/things/+/streams/+/describe/json",
		"$aws/things/+/streams/+/describe/cbor",
		"$aws/things/+/streams/+/get/json",
		"$aws/things/+/streams/+/get/cbor",
		"$aws/commands/things/+/executions/+/response/json",
		"$aws/commands/things/+/executions/+/response/cbor",
		"$aws/device_location/+/get_position_estimate",
		"$aws/provisioning-templates/+/provision/json",
		"$aws/provisioning-templates/+/provision/cbor",
		"$aws/certificates/create/json",
		"$aws/certificates/create/cbor",
		"$aws/certificates/create-from-csr/json",
		"$aws/certificates/create-from-csr/cbor",
	};
	struct lm_str rest = topic;

	if (lm_str_starts(topic, LM_STR("$aws/rules/"))) {
		(void)lm_str_cut(&rest, '/');
		(void)lm_str_cut(&rest, '/');
		struct lm_str rule = lm_str_cut(&rest, '/');
		return is_name_of_aws(rule);
	}
	while (rest.n > 0) {
		struct lm_str level = lm_str_cut(&rest, '/');
		if (!is_name_of_aws(level))
			return false;
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (topic_matches(lm_str(names[i]), topic))
			return true;
	}
	return false;
}

/// Why AWS IoT would end the connection, or NULL.
static const char *why_not_for_cloud(
	const struct cloud *c, struct lm_str topic, struct lm_str payload)
{
	struct lm_str counted = topic;
	size_t slashes = 0;

	if (!c->bridge)
		return "the table says that there is no bridge to the cloud";
	if (!topic_is_name(topic, NULL))
		return "it is no topic for AWS IoT";
	if (topic.p[0] == '$' && !lm_str_starts(topic, LM_STR("$aws/")))
		return "AWS IoT has no topics with '$' but '$aws/'";
	if (topic.p[0] == '$' && !is_topic_of_aws(topic))
		return "AWS IoT lets no client publish to it";
	// The three levels that name a rule do not count.
	if (lm_str_starts(counted, LM_STR("$aws/rules/"))) {
		for (int i = 0; i < 3; i++)
			(void)lm_str_cut(&counted, '/');
	}
	for (size_t i = 0; i < counted.n; i++)
		slashes += counted.p[i] == '/';
	if (slashes > CLOUD_SLASHES_MAX)
		return "AWS IoT takes no topic with more than 7 slashes";
	if (payload.n > LIMIT_MQTT_PAYLOAD)
		return "AWS IoT takes no message over 128 KB";
	return NULL;
}

static bool cloud_send(struct cloud *c, const char *topic, struct lm_str payload)
{
	lm_auto_free char *under = lm_xasprintf(BROKER_CLOUD_PREFIX "%s", topic);

	return c->setup.publish(c->setup.ctx, under, payload);
}

bool cloud_forward(struct cloud *c, const char *topic, struct lm_str payload)
{
	const char *why = why_not_for_cloud(c, lm_str(topic), payload);

	if (!why && !cloud_send(c, topic, payload))
		why = "the broker has no memory for it";
	c->changed = true;
	if (why) {
		c->refused++;
		c->setup.report(c->setup.ctx, "forwarding", lm_str(topic), LM_STR(""), why);
		return false;
	}
	c->sent++;
	c->unsaved = true;
	return true;
}

/// What was published in this turn is handed to the bridge at the begin of the next one, and
/// mosquitto saves at its end.
static void save_database(struct cloud *c, uint64_t now_ms)
{
	struct stat st;
	uint64_t pause = SAVE_MS;

	if (!c->unsaved && (c->save_again_ms == 0 || now_ms < c->save_again_ms))
		return;
	if (now_ms < c->save_ms)
		return;
	if (c->database && stat(c->database, &st) == 0 && st.st_size > 0)
		pause += (uint64_t)st.st_size * 1000 / SAVE_BYTES_A_SECOND;
	c->setup.save(c->setup.ctx);
	c->save_ms = now_ms + pause;
	c->save_again_ms = c->unsaved ? now_ms + SAVE_AGAIN_MS : 0;
	c->unsaved = false;
}

// Requests to the cloud's shadow service.

static struct cloud_thing *cloud_find_thing(const struct cloud *c, struct lm_str name)
{
	size_t low = 0;
	size_t high = c->things_n;

	while (low < high) {
		size_t middle = (low + high) / 2;
		struct lm_str there = lm_str(c->things[middle].name);
		int order = memcmp(there.p, name.p, there.n < name.n ? there.n : name.n);

		if (order == 0 && there.n == name.n)
			return &c->things[middle];
		if (order < 0 || (order == 0 && there.n < name.n))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void cloud_wake(struct cloud *c)
{
	c->due_ms = 0;
}

static void cloud_goes_away(struct cloud *c)
{
	if (c->away)
		return;
	c->away = true;
	c->probe_wait_ms = REPLY_WAIT_MS;
	c->probe_ms = c->now_ms + c->probe_wait_ms;
	cloud_wake(c);
}

/// What waits for a reply is asked anew, but for what was answered in the meantime.
static void cloud_comes_back(struct cloud *c)
{
	c->heard_ms = c->now_ms;
	if (!c->away)
		return;
	c->away = false;
	for (size_t i = 0; i < c->things_n; i++) {
		struct cloud_request *r = c->things[i].request;

		if (!r)
			continue;
		r->start_ms = c->now_ms;
		r->repeat_ms = c->now_ms + REPLY_WAIT_MS;
		r->attempts = 0;
	}
	cloud_wake(c);
}

static void thing_ask(struct cloud *c, struct cloud_thing *t)
{
	t->ask = true;
	cloud_wake(c);
}

static void request_end(struct cloud *c, struct cloud_thing *t)
{
	if (!t->request)
		return;
	free(t->request->payload);
	json_decref(t->request->target);
	free(t->request);
	t->request = NULL;
	c->waiting--;
	cloud_wake(c);
}

static void request_publish(struct cloud *c, struct cloud_thing *t)
{
	struct cloud_request *r = t->request;
	lm_auto_free char *topic = lm_xasprintf(
		"$aws/things/%s/shadow/%s", t->name, shadow_sync_request_name(r->kind));

	r->repeat_ms = c->now_ms + ((uint64_t)REPLY_WAIT_MS << r->attempts);
	r->attempts++;
	// If the broker has no memory for it, it is repeated as one that got lost.
	(void)cloud_send(c, topic, lm_str(r->payload));
}

/// `body` is the payload but for the token; this takes it.
static struct cloud_request *request_make(
	struct cloud *c, struct cloud_thing *t, enum shadow_sync_request kind, json_t *body)
{
	struct cloud_request *r = lm_xcalloc(1, sizeof(*r));
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_MQTT_PAYLOAD);

	r->kind = kind;
	r->start_ms = c->now_ms;
	(void)snprintf(r->token, sizeof(r->token), "lighterman-%s-%lu", c->instance, ++c->sequence);
	json_object_set_new_nocheck(body, "clientToken", json_string(r->token));
	(void)json_write(body, &payload);
	json_decref(body);
	r->payload = lm_buf_take(&payload);
	t->request = r;
	c->waiting++;
	return r;
}

static void request_get(struct cloud *c, struct cloud_thing *t)
{
	(void)request_make(c, t, SHADOW_SYNC_ASK_GET, json_object());
	request_publish(c, t);
}

/// It is tried again, after a pause.
static void thing_pause(struct cloud *c, struct cloud_thing *t)
{
	uint64_t wait = REFUSED_WAIT_MS;

	for (unsigned i = 0; i < t->refusals && wait < REFUSED_WAIT_MAX_MS; i++)
		wait *= 2;
	t->refusals++;
	t->failing = c->changed = true;
	t->not_before_ms = c->now_ms + (wait < REFUSED_WAIT_MAX_MS ? wait : REFUSED_WAIT_MAX_MS);
	thing_ask(c, t);
}

static void thing_fail(struct cloud *c, struct cloud_thing *t, const char *why)
{
	thing_pause(c, t);
	c->setup.report(c->setup.ctx, "synchronisation", lm_str(t->name), LM_STR(""), why);
}

/// Others take its place among those that wait.
static void thing_unanswered(struct cloud *c, struct cloud_thing *t, const char *why)
{
	request_end(c, t);
	if (t->unanswered)
		thing_pause(c, t);
	else
		thing_fail(c, t, why);
	t->unanswered = true;
}

/// Nothing is tried before one of the two shadows changes.
static void thing_give_up(struct cloud *c, struct cloud_thing *t, const char *why)
{
	t->ask = t->push = false;
	t->failing = c->changed = true;
	c->setup.report(c->setup.ctx, "synchronisation", lm_str(t->name), LM_STR(""), why);
}

/// Both have `state`.
static lm_rc thing_settle(struct cloud *c, struct cloud_thing *t, json_t *state,
	uint64_t cloud_version, uint64_t local_version, struct lm_err *err)
{
	struct shadow_sync sync = {
		.state = state, .cloud_version = cloud_version, .local_version = local_version};
	uint64_t ignored;

	t->failing = false;
	return shadow_service_put_sync(c->setup.shadows, t->name, &sync, &ignored, err);
}

/// A repeated update without a version would undo what somebody has changed meanwhile: mosquitto
/// repeats what was not acknowledged when a connection was lost. So the first one makes a shadow
/// that is empty, and changes none.
static json_t *make_empty_state(void)
{
	return json_pack("{s:{}}", "reported");
}

static struct cloud_request *thing_make_update(struct cloud *c, struct cloud_thing *t,
	const struct shadow_sync_step *step, uint64_t cloud_version)
{
	bool creates = cloud_version == 0 && !t->takes_no_empty;
	json_t *body = json_object();

	if (creates)
		json_object_set_new_nocheck(body, "state", make_empty_state());
	else
		json_object_set_nocheck(body, "state", step->patch);
	if (cloud_version > 0)
		json_object_set_new_nocheck(
			body, "version", json_integer((json_int_t)cloud_version));
	struct cloud_request *r = request_make(c, t, SHADOW_SYNC_ASK_UPDATE, body);
	r->blind = cloud_version == 0 && !creates;
	r->creates = creates;
	return r;
}

/// Has the cloud's shadow changed from version `cloud_version` to `target`.
static lm_rc thing_send(struct cloud *c, struct cloud_thing *t, const struct shadow_sync_step *step,
	uint64_t cloud_version, json_t *target, const struct shadow_sync *known,
	uint64_t local_version, struct lm_err *err)
{
	struct cloud_request *r =
		step->action == SHADOW_SYNC_DELETE
			? request_make(c, t, SHADOW_SYNC_ASK_DELETE, json_object())
			: thing_make_update(c, t, step, cloud_version);
	struct shadow_sync sync = *known; // borrowed
	lm_auto_json json_t *empty = json_object();

	r->target = json_incref(target);
	r->local_version = local_version;
	sync.is_sent = true;
	sync.sent = r->creates ? empty : target;
	lm_rc rc = shadow_service_put_sync(c->setup.shadows, t->name, &sync, &r->transaction, err);
	if (rc)
		request_end(c, t);
	return rc;
}

/// The cloud has refused what it was asked for.
static lm_rc thing_forget_sent(struct cloud *c, struct cloud_thing *t, struct lm_err *err)
{
	lm_auto(shadow_sync_finish) struct shadow_sync sync = {0};
	uint64_t ignored;
	lm_rc rc = shadow_service_read_sync(c->setup.shadows, t->name, &sync, err);

	if (rc || !sync.is_sent)
		return rc;
	sync.is_sent = false;
	json_decref(lm_take(sync.sent));
	return shadow_service_put_sync(c->setup.shadows, t->name, &sync, &ignored, err);
}

/// Our shadow becomes what was merged. `*ret` is then read again: it may have kept less of it, such
/// as empty objects, and counts.
static lm_rc thing_take(struct cloud *c, struct cloud_thing *t, const struct shadow_sync_step *step,
	struct shadow_document *ret, struct lm_err *err)
{
	uint64_t version = 0;
	lm_rc rc = shadow_service_merge(c->setup.shadows, t->name, step->patch, &version, err);

	if (rc)
		return rc;
	shadow_document_finish(ret);
	*ret = (struct shadow_document){0};
	return shadow_service_read(c->setup.shadows, t->name, ret, err);
}

static json_t *document_state(const struct shadow_document *d)
{
	return d->exists ? shadow_document_state(d) : NULL;
}

/// Both are read, and what is missing on either side is done. `cloud` is the cloud's state.
static lm_rc thing_merge(struct cloud *c, struct cloud_thing *t, const json_t *cloud,
	uint64_t cloud_version, const struct shadow_sync *sync, struct shadow_document *local,
	struct lm_err *err)
{
	lm_auto_json json_t *mine = document_state(local);
	struct shadow_sync_plan plan = {0};
	lm_rc rc = LM_OK;

	const json_t *base =
		sync->is_sent ? shadow_sync_base(sync->state, sync->sent, cloud) : sync->state;
	shadow_sync_decide(base, mine, cloud, &plan);
	c->conflicts += plan.conflicts;
	if (plan.local.action != SHADOW_SYNC_NOTHING) {
		rc = thing_take(c, t, &plan.local, local, err);
		json_decref(mine);
		mine = rc ? NULL : document_state(local);
	}
	shadow_sync_plan_finish(&plan);
	if (rc)
		return rc;
	struct shadow_sync_step step = shadow_sync_step(cloud, mine);
	if (step.action != SHADOW_SYNC_NOTHING)
		rc = thing_send(
			c, t, &step, cloud ? cloud_version : 0, mine, sync, local->version, err);
	else if (sync->is_sent || sync->cloud_version != cloud_version ||
		 sync->local_version != local->version || !sync->state != !mine ||
		 (mine && !json_equal(sync->state, mine)))
		rc = thing_settle(c, t, mine, cloud_version, local->version, err);
	else
		t->failing = false;
	shadow_sync_step_finish(&step);
	return rc;
}

/// `cloud` NULL with `known`: it has no shadow; without: it is as shadow_sync says.
static void thing_run(struct cloud *c, struct cloud_thing *t, bool known, const json_t *cloud,
	uint64_t cloud_version)
{
	struct shadow_document local = {0};
	struct shadow_sync sync = {0};
	struct lm_err err = {LM_OK};
	lm_rc rc = shadow_service_read(c->setup.shadows, t->name, &local, &err);

	if (rc == LM_OK)
		rc = shadow_service_read_sync(c->setup.shadows, t->name, &sync, &err);
	if (rc == LM_OK)
		rc = thing_merge(c, t, known ? cloud : sync.state,
			known ? cloud_version : sync.cloud_version, &sync, &local, &err);
	shadow_document_finish(&local);
	shadow_sync_finish(&sync);
	if (rc == LM_E_INVALID || rc == LM_E_TOO_LARGE)
		thing_give_up(c, t, err.msg);
	else if (rc)
		thing_fail(c, t, err.msg);
	c->changed = true;
}

// Replies.

static void reply_to_change(struct cloud *c, struct cloud_thing *t, uint64_t version)
{
	struct cloud_request *r = t->request;
	struct lm_err err = {LM_OK};
	lm_rc rc = LM_OK;
	bool blind = r->blind || r->creates;

	t->tried_empty = r->creates;
	if (!r->creates)
		rc = thing_settle(c, t, r->target, version, r->local_version, &err);
	request_end(c, t);
	t->refusals = t->races = 0;
	if (rc)
		thing_fail(c, t, err.msg);
	else if (blind)
		// Somebody else may have made one at the same time, and ours was merged into it.
		thing_ask(c, t);
}

/// What a get was answered with; `state` NULL: there is no shadow.
static void take_cloud_state(
	struct cloud *c, struct cloud_thing *t, const json_t *state, uint64_t version)
{
	request_end(c, t);
	t->refusals = 0;
	t->known = true;
	t->push = t->tried_empty = false;
	thing_run(c, t, true, state, version);
}

static void reply_accepted(struct cloud *c, struct cloud_thing *t, struct shadow_sync_reply *reply)
{
	if (t->request->kind != SHADOW_SYNC_ASK_GET) {
		reply_to_change(c, t, reply->version);
		return;
	}
	t->takes_no_empty = false;
	take_cloud_state(c, t, reply->state, reply->version);
}

static void reply_rejected(struct cloud *c, struct cloud_thing *t, struct shadow_sync_reply *reply)
{
	enum shadow_sync_request kind = t->request->kind;
	char shown[4 * MESSAGE_SHOWN + 32];
	struct lm_err ignored;
	lm_auto_free char *why = lm_xasprintf("AWS IoT answers %s with %d, '%s'",
		shadow_sync_request_name(kind), reply->code,
		lm_str_shorten(lm_str(json_get_text(reply->body, "message")), MESSAGE_SHOWN, shown,
			sizeof(shown)));

	if (reply->code == 404 && kind == SHADOW_SYNC_ASK_DELETE) {
		reply_to_change(c, t, 0);
		return;
	}
	if (reply->code == 404 && kind == SHADOW_SYNC_ASK_GET) {
		t->takes_no_empty = t->tried_empty;
		take_cloud_state(c, t, NULL, 0);
		return;
	}
	if (reply->code == 400 && t->request->creates) {
		t->tried_empty = true;
		request_end(c, t);
		thing_ask(c, t);
		return;
	}
	request_end(c, t);
	if (reply->code == 409 && ++t->races <= RACES_MAX) {
		thing_ask(c, t);
	} else if (kind == SHADOW_SYNC_ASK_UPDATE && (reply->code == 400 || reply->code == 413)) {
		(void)!thing_forget_sent(c, t, &ignored); // it is asked before it matters
		thing_give_up(c, t, why);
	} else {
		thing_fail(c, t, why);
	}
}

static bool is_our_token(const struct cloud *c, const char *token)
{
	struct lm_str rest = lm_str(token);

	return token && lm_str_eq(lm_str_cut(&rest, '-'), LM_STR("lighterman")) &&
	       lm_str_eq(lm_str_cut(&rest, '-'), lm_str(c->instance));
}

/// Whose it is cannot always be told; then it is taken for ours, lest we wait for ever.
static void reply_unreadable(struct cloud *c, struct cloud_thing *t, struct lm_str topic,
	const struct shadow_sync_reply *reply, const char *why)
{
	struct cloud_request *r = t->request;

	if (r && r->kind == reply->request &&
		(!reply->token || strcmp(reply->token, r->token) == 0)) {
		lm_auto_free char *text = lm_xasprintf("AWS IoT's answer to %s cannot be used: %s",
			shadow_sync_request_name(r->kind), why);

		cloud_comes_back(c);
		thing_unanswered(c, t, text);
	} else {
		c->setup.report(c->setup.ctx, "reply", LM_STR("cloud"), topic, why);
	}
}

static void take_reply(
	struct cloud *c, struct cloud_thing *t, struct lm_str topic, struct lm_str payload)
{
	struct shadow_sync_reply reply = {0};
	struct lm_err err = {LM_OK};
	lm_rc rc = shadow_sync_reply_read(topic, payload, &reply, &err);

	if (is_our_token(c, reply.token))
		cloud_comes_back(c);
	if (rc) {
		reply_unreadable(c, t, topic, &reply, err.msg);
	} else if (t->request && reply.request == t->request->kind && reply.token &&
		   strcmp(reply.token, t->request->token) == 0) {
		t->unanswered = false;
		if (reply.accepted)
			reply_accepted(c, t, &reply);
		else
			reply_rejected(c, t, &reply);
	} else if (reply.accepted && reply.request != SHADOW_SYNC_ASK_GET &&
		   !is_our_token(c, reply.token)) {
		// Somebody else has changed it.
		t->not_before_ms = 0;
		thing_ask(c, t);
	}
	shadow_sync_reply_finish(&reply);
}

enum cloud_inbound cloud_receive(struct cloud *c, const char *topic, struct lm_str payload)
{
	struct lm_str name = lm_str(topic);
	struct shadow_sync_reply reply = {0};

	c->changed = true;
	c->connected = 1;
	// Only what is subscribed to should come, of which nothing is under another '$'.
	if (!topic_is_name(name, NULL) ||
		(name.p[0] == '$' && !lm_str_starts(name, LM_STR("$aws/")))) {
		c->refused++;
		c->setup.report(c->setup.ctx, "message", LM_STR("cloud"), name,
			"the bridge subscribes to no such topic");
		return CLOUD_REFUSED;
	}
	c->received++;
	if (c->things_n > 0 && shadow_sync_topic_read(name, &reply)) {
		struct cloud_thing *t = cloud_find_thing(c, reply.thing);

		if (t)
			take_reply(c, t, name, payload);
	}
	return CLOUD_ROUTE;
}

void cloud_disconnected(struct cloud *c, const char *client_id)
{
	if (!cloud_is_bridge(client_id))
		return;
	if (c->connected != 0)
		c->changed = true;
	c->connected = 0;
	if (!c->away) {
		// Once more: the request or its reply may be lost, and so it is noticed soon that
		// the cloud is back.
		for (size_t i = 0; i < c->things_n; i++) {
			if (c->things[i].request)
				c->things[i].request->repeat_ms = c->things[i].request->attempts =
					0;
		}
		cloud_goes_away(c);
	}
	// What the cloud told in the meantime may be lost.
	for (size_t i = 0; i < c->things_n; i++)
		c->things[i].ask = true;
	cloud_wake(c);
}

// What our shadow service tells.

static void on_shadow_changed(void *ctx, const char *thing)
{
	struct cloud *c = ctx;
	struct cloud_thing *t = cloud_find_thing(c, lm_str(thing));

	if (!t)
		return;
	t->push = true;
	cloud_wake(c);
}

static void on_shadow_stored(void *ctx, uint64_t transaction)
{
	struct cloud *c = ctx;

	for (size_t i = 0; i < c->things_n; i++) {
		struct cloud_request *r = c->things[i].request;

		if (!r || r->transaction != transaction)
			continue;
		r->transaction = 0;
		request_publish(c, &c->things[i]);
	}
	cloud_wake(c);
}

static void on_shadow_lost(void *ctx, uint64_t transaction)
{
	struct cloud *c = ctx;

	for (size_t i = 0; i < c->things_n; i++) {
		struct cloud_thing *t = &c->things[i];

		if (t->request && t->request->transaction == transaction)
			request_end(c, t);
		t->ask = true;
	}
	cloud_wake(c);
}

// The loop.

/// Is the cloud back? A request that only asks makes way for the next thing's: that may be one
/// which the cloud answers.
static void thing_probe(struct cloud *c, struct cloud_thing *t)
{
	if (c->probe_wait_ms < PROBE_WAIT_MAX_MS / 2)
		c->probe_wait_ms *= 2;
	else
		c->probe_wait_ms = PROBE_WAIT_MAX_MS;
	c->probe_ms = c->now_ms + c->probe_wait_ms;
	c->next = ((size_t)(t - c->things) + 1) % c->things_n;
	if (t->request->kind == SHADOW_SYNC_ASK_GET) {
		request_end(c, t);
		t->ask = true;
	} else {
		t->request->attempts = 0;
		request_publish(c, t);
	}
}

/// For one with a request. Returns when there is something to do again.
static uint64_t thing_wait(struct cloud *c, struct cloud_thing *t)
{
	struct cloud_request *r = t->request;
	if (r->transaction > 0)
		return UINT64_MAX; // see on_shadow_stored
	bool last = r->attempts >= ATTEMPTS_MAX;
	bool probe = c->away && !last && r->repeat_ms > 0;
	uint64_t due = probe && r->repeat_ms < c->probe_ms ? c->probe_ms : r->repeat_ms;

	if (c->now_ms < due)
		return due;
	if (probe) {
		thing_probe(c, t);
		return c->now_ms;
	}
	if (!last) {
		request_publish(c, t);
		return r->repeat_ms;
	}
	if (c->heard_ms <= r->start_ms)
		cloud_goes_away(c);
	thing_unanswered(c, t, "AWS IoT does not answer");
	return c->now_ms;
}

/// Returns when there is something to do for it again; UINT64_MAX: when something happens.
static uint64_t thing_turn(struct cloud *c, struct cloud_thing *t)
{
	if (t->request)
		return thing_wait(c, t);
	if (!t->ask && !t->push)
		return UINT64_MAX;
	if (c->now_ms < t->not_before_ms)
		return t->not_before_ms;
	if (c->waiting >= LIMIT_CLOUD_REQUESTS)
		return UINT64_MAX;
	if (t->ask || !t->known) {
		t->ask = false;
		request_get(c, t);
	} else {
		t->push = false;
		thing_run(c, t, false, NULL, 0);
	}
	if (t->request)
		return t->request->transaction ? UINT64_MAX : t->request->repeat_ms;
	return t->ask || t->push ? t->not_before_ms : UINT64_MAX;
}

static void cloud_look_again(struct cloud *c)
{
	if (c->look_ms == 0)
		c->look_ms = c->now_ms + LOOK_AGAIN_MS;
	if (c->now_ms < c->look_ms)
		return;
	c->look_ms = c->now_ms + LOOK_AGAIN_MS;
	if (!c->things[c->look_next].request)
		c->things[c->look_next].ask = true;
	c->look_next = (c->look_next + 1) % c->things_n;
}

void cloud_tick(struct cloud *c, uint64_t now_mono_ms)
{
	c->now_ms = now_mono_ms;
	save_database(c, now_mono_ms);
	if (!c->bridge || c->things_n == 0 || now_mono_ms < c->due_ms)
		return;
	cloud_look_again(c);
	uint64_t due = c->look_ms;
	size_t first = c->next;
	for (size_t i = 0; i < c->things_n; i++) {
		size_t at = (first + i) % c->things_n;
		bool waited = c->things[at].request;
		uint64_t again = thing_turn(c, &c->things[at]);

		if (!waited && c->things[at].request)
			c->next = (at + 1) % c->things_n;
		if (again < due)
			due = again;
	}
	c->due_ms = due > now_mono_ms ? due : now_mono_ms + 1;
}

// Set-up.

static int cloud_compare_things(const void *a, const void *b)
{
	return strcmp(((const struct cloud_thing *)a)->name, ((const struct cloud_thing *)b)->name);
}

static void things_free(struct cloud *c, struct cloud_thing *things, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		request_end(c, &things[i]);
		free(things[i].name);
	}
	free(things);
}

void cloud_set(struct cloud *c, bool bridge, const char *const *names, size_t n)
{
	struct cloud_thing *old = c->things;
	size_t old_n = c->things_n;
	struct cloud_thing *things = lm_xcalloc(n + 1, sizeof(*things));

	if (!c->setup.shadows || !bridge)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		struct cloud_thing *before = cloud_find_thing(c, lm_str(names[i]));

		if (before) {
			// Its name stays where it is: the others are looked for by it.
			things[i] = *before;
			things[i].name = lm_xstrdup(names[i]);
			before->request = NULL;
		} else {
			things[i] = (struct cloud_thing){.name = lm_xstrdup(names[i]), .ask = true};
		}
	}
	if (n > 1)
		qsort(things, n, sizeof(*things), cloud_compare_things);
	things_free(c, old, old_n);
	c->things = things;
	c->things_n = n;
	c->bridge = bridge;
	c->next = c->look_next = 0;
	c->changed = true;
	cloud_wake(c);
}

struct cloud *cloud_create(const struct cloud_setup *setup)
{
	struct cloud *c = lm_xcalloc(1, sizeof(*c));

	c->setup = *setup;
	c->database = setup->database ? lm_xstrdup(setup->database) : NULL;
	c->setup.database = c->database;
	c->connected = -1;
	// Tells our requests from those that an earlier run left in the bridge's queue.
	(void)snprintf(c->instance, sizeof(c->instance), "%08" PRIx32,
		(uint32_t)lm_random_below(UINT32_MAX));
	if (setup->shadows)
		shadow_service_observe(
			setup->shadows, &(struct shadow_observer){.changed = on_shadow_changed,
						.stored = on_shadow_stored,
						.lost = on_shadow_lost,
						.ctx = c});
	return c;
}

void cloud_destroy(struct cloud *c)
{
	if (!c)
		return;
	if (c->setup.shadows)
		shadow_service_observe(c->setup.shadows, &(struct shadow_observer){0});
	things_free(c, c->things, c->things_n);
	free(c->database);
	free(c);
}

static size_t count_failing(const struct cloud *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->things_n; i++)
		n += c->things[i].failing;
	return n;
}

json_t *cloud_status(const struct cloud *c)
{
	if (!c->bridge)
		return NULL;
	return json_pack("{s:o,s:I,s:I,s:I,s:I,s:I}", "connected",
		c->connected < 0 ? json_null() : json_boolean(c->connected), "sent",
		(json_int_t)c->sent, "received", (json_int_t)c->received, "refused",
		(json_int_t)c->refused, "sync_conflicts", (json_int_t)c->conflicts, "sync_failing",
		(json_int_t)count_failing(c));
}

bool cloud_changed(struct cloud *c)
{
	bool changed = c->changed;

	c->changed = false;
	return changed;
}
