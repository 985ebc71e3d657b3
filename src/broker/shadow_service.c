// SPDX-License-Identifier: Apache-2.0
#include "broker/shadow_service.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "broker/report.h"

#include <stdio.h>
#include <string.h>

enum { REOPEN_MS = 10 * 1000 };

/// Of the requests of one thing, each leads to the one before: index + 1; 0: there is none.
struct shadow_thing {
	char *name;
	size_t latest, latest_committing, latest_waiting;
};

/// A request that is carried out and not answered yet.
struct shadow_pending {
	enum shadow_operation operation;
	char *thing;
	char *client;  ///< NULL: there is no limit.
	json_t *token; ///< NULL: none.
	bool changed;  ///< Accepted, and not a get.
	bool rejected;
	bool own;        ///< Of the synchronisation: nobody waits for a reply.
	size_t previous; ///< Of the same thing.
};

/// A request that came while a transaction is being committed.
struct shadow_waiting {
	enum shadow_operation operation;
	char *thing;
	char *client; ///< NULL: there is no limit.
	char *payload;
	size_t n;
	size_t previous; ///< Of the same thing.
};

/// A reply that waits for the commit.
struct shadow_message {
	char *topic;
	char *payload;
	size_t n;
};

/// All that happened since the last commit.
struct shadow_turn {
	struct shadow_pending *pending;
	size_t pending_n, pending_size;
	struct shadow_message *messages;
	size_t messages_n, messages_size;
	size_t bytes;         ///< Of the messages.
	bool begun;           ///< A transaction.
	bool failed;          ///< Something in it; `why` says what.
	bool wrote;           ///< Something that must get to the disk.
	bool synced;          ///< The synchronisation wrote something.
	uint64_t transaction; ///< Its number, once it has begun.
	struct lm_err why;
};

struct shadow_service {
	char *database;
	struct shadow_store *store; ///< NULL: it cannot be opened at the moment.
	uint64_t tried_ms;          ///< When it was tried last.
	char *error;                ///< Why shadows cannot be used; NULL: they can.

	shadow_service_publish *publish;
	void *publish_ctx;
	struct shadow_observer observer;

	struct shadow_thing *things; ///< Sorted by name.
	size_t things_n;

	struct shadow_turn turn;
	uint64_t transactions;

	background_function *wake; ///< NULL: commits are waited for.
	void *wake_ctx;
	struct shadow_turn committing; ///< What is being committed on the other thread,
	bool is_committing;
	bool is_settled; ///< or was, and is not answered yet.
	struct shadow_waiting *waiting;
	size_t waiting_n, waiting_size, waiting_bytes;

	struct shadow_counts counts; ///< Without `error`.

	struct report report;
};

// The database

static void set_error(struct shadow_service *s, const char *message)
{
	free(s->error);
	s->error = lm_xstrdup(message);
}

/// What cannot be read is reported by the caller.
static lm_rc open_shadow_store(struct shadow_service *s, struct lm_err *err)
{
	struct lm_err damage = {0};
	lm_rc rc = shadow_store_open(s->database, &s->store, &damage, err);

	s->tried_ms = lm_clock_mono_ms();
	if (damage.rc)
		report_error("shadows are lost, their versions go on: %s", damage.msg);
	if (rc)
		set_error(s, err->msg);
	return rc;
}

/// Opens the database again if it is time to.
static bool has_store(struct shadow_service *s)
{
	struct lm_err err = {0};

	if (s->store)
		return true;
	if (lm_clock_mono_ms() - s->tried_ms < REOPEN_MS)
		return false;
	lm_auto_free char *before = lm_take(s->error);
	if (open_shadow_store(s, &err) == LM_OK) {
		report_notice("shadows can be used again");
		return true;
	}
	if (!before || strcmp(before, s->error) != 0)
		report_error("shadows cannot be used: %s", s->error);
	return false;
}

static void fail_turn(struct shadow_service *s, const struct lm_err *why)
{
	if (!s->turn.failed)
		s->turn.why = *why;
	s->turn.failed = true;
}

/// After a commit: what its failure means for what follows.
static void note_commit(struct shadow_service *s, struct shadow_turn *turn)
{
	if (!turn->failed)
		return;
	if (!s->error || strcmp(s->error, turn->why.msg) != 0) {
		report_error("requests for shadows are rejected: %s", turn->why.msg);
		set_error(s, turn->why.msg);
	}
	if (turn->begun)
		shadow_store_rollback(s->store);
	if (s->store && shadow_store_is_damaged(s->store))
		shadow_store_close(lm_take(s->store));
}

/// Commits, and waits for the disk.
static void commit_turn(struct shadow_service *s, struct shadow_turn *turn)
{
	if (turn->begun && !turn->failed && shadow_store_commit(s->store, &turn->why) != LM_OK)
		turn->failed = true;
	note_commit(s, turn);
}

/// If something is being committed, waits for the disk.
static void settle_commit(struct shadow_service *s)
{
	if (!s->is_committing || s->is_settled)
		return;
	s->is_settled = true;
	if (shadow_store_finish_commit(s->store, &s->committing.why) != LM_OK)
		s->committing.failed = true;
	note_commit(s, &s->committing);
}

/// A transaction is there, or the turn has failed.
static bool begin_turn(struct shadow_service *s)
{
	struct lm_err err = {0};

	if (s->turn.failed)
		return false;
	if (s->turn.begun)
		return true;
	settle_commit(s);
	if (!has_store(s)) {
		(void)!lm_fail(&err, LM_E_SYS, 0, "%s", s->error);
		fail_turn(s, &err);
		return false;
	}
	if (shadow_store_begin(s->store, &err) != LM_OK) {
		fail_turn(s, &err);
		return false;
	}
	s->turn.begun = true;
	s->turn.transaction = ++s->transactions;
	return true;
}

/// Of what cannot be read the version is kept.
static bool load(struct shadow_service *s, const char *thing, struct shadow_document *ret)
{
	struct lm_err err = {0};
	lm_rc rc = shadow_store_get(s->store, thing, ret, &err);

	if (rc == LM_E_INVALID)
		report_refusal(&s->report, "stored shadow", lm_str(thing), LM_STR(""), err.msg);
	if (rc == LM_OK || rc == LM_E_INVALID)
		return true;
	fail_turn(s, &err);
	return false;
}

static bool save(
	struct shadow_service *s, const char *thing, const struct shadow_document *document)
{
	struct lm_err err = {0};

	s->turn.wrote = true;
	if (shadow_store_put(s->store, thing, document, &err) == LM_OK)
		return true;
	fail_turn(s, &err);
	return false;
}

// Things

static int compare_things(const void *a, const void *b)
{
	return strcmp(
		((const struct shadow_thing *)a)->name, ((const struct shadow_thing *)b)->name);
}

static void free_things(struct shadow_service *s)
{
	for (size_t i = 0; i < s->things_n; i++)
		free(s->things[i].name);
	free(s->things);
	s->things = NULL;
	s->things_n = 0;
}

void shadow_service_set_things(struct shadow_service *s, const char *const *names, size_t n)
{
	free_things(s);
	s->things = lm_xcalloc(n ? n : 1, sizeof(*s->things));
	for (size_t i = 0; i < n; i++)
		s->things[i].name = lm_xstrdup(names[i]);
	s->things_n = n;
	qsort(s->things, n, sizeof(*s->things), compare_things);
}

static struct shadow_thing *find_thing(struct shadow_service *s, const char *name)
{
	struct shadow_thing key = {.name = (char *)name};

	return bsearch(&key, s->things, s->things_n, sizeof(key), compare_things);
}

// What waits for the commit

static void finish_turn(struct shadow_turn *turn)
{
	for (size_t i = 0; i < turn->pending_n; i++) {
		free(turn->pending[i].thing);
		free(turn->pending[i].client);
		json_decref(turn->pending[i].token);
	}
	for (size_t i = 0; i < turn->messages_n; i++) {
		free(turn->messages[i].topic);
		free(turn->messages[i].payload);
	}
	free(turn->pending);
	free(turn->messages);
	*turn = (struct shadow_turn){0};
}

static struct shadow_pending *add_pending(
	struct shadow_turn *turn, enum shadow_operation operation, const char *thing)
{
	if (turn->pending_n == turn->pending_size) {
		turn->pending_size = turn->pending_size ? 2 * turn->pending_size : 16;
		turn->pending =
			lm_xrealloc(turn->pending, turn->pending_size * sizeof(*turn->pending));
	}
	struct shadow_pending *p = &turn->pending[turn->pending_n++];
	*p = (struct shadow_pending){.operation = operation, .thing = lm_xstrdup(thing)};
	return p;
}

/// Takes what `payload` holds.
static void add_message(struct shadow_turn *turn, enum shadow_operation operation,
	const char *thing, const char *kind, struct lm_buf *payload)
{
	if (turn->messages_n == turn->messages_size) {
		turn->messages_size = turn->messages_size ? 2 * turn->messages_size : 16;
		turn->messages =
			lm_xrealloc(turn->messages, turn->messages_size * sizeof(*turn->messages));
	}
	size_t n = payload->len;
	turn->messages[turn->messages_n++] = (struct shadow_message){
		.topic = lm_xasprintf("$aws/things/%s/shadow/%s/%s", thing,
			shadow_operation_name(operation), kind),
		.payload = lm_buf_take(payload),
		.n = n,
	};
	turn->bytes += n;
}

static void add_waiting(
	struct shadow_service *s, struct shadow_thing *thing, const struct shadow_waiting *request)
{
	if (s->waiting_n == s->waiting_size) {
		s->waiting_size = s->waiting_size ? 2 * s->waiting_size : 16;
		s->waiting = lm_xrealloc(s->waiting, s->waiting_size * sizeof(*s->waiting));
	}
	struct shadow_waiting *w = &s->waiting[s->waiting_n++];
	*w = *request;
	s->waiting_bytes += w->n;
	if (thing) {
		w->previous = thing->latest_waiting;
		thing->latest_waiting = s->waiting_n;
	}
}

static unsigned count_pending(const struct shadow_turn *turn, size_t latest, const char *client)
{
	unsigned n = 0;

	for (size_t i = latest; i > 0; i = turn->pending[i - 1].previous) {
		const char *other = turn->pending[i - 1].client;

		n += other && strcmp(other, client) == 0;
	}
	return n;
}

static unsigned count_waiting(const struct shadow_service *s, size_t latest, const char *client)
{
	unsigned n = 0;

	for (size_t i = latest; i > 0; i = s->waiting[i - 1].previous) {
		const char *other = s->waiting[i - 1].client;

		n += other && strcmp(other, client) == 0;
	}
	return n;
}

static bool is_over_limit(
	const struct shadow_service *s, const struct shadow_thing *thing, const char *client)
{
	const struct shadow_turn *turn = &s->turn, *committing = &s->committing;

	if (turn->pending_n + committing->pending_n + s->waiting_n >= LIMIT_SHADOW_WAITING ||
		turn->bytes + committing->bytes + s->waiting_bytes >= LIMIT_SHADOW_WAITING_BYTES)
		return true;
	if (!thing || !client)
		return false;
	return count_pending(turn, thing->latest, client) +
		       count_pending(committing, thing->latest_committing, client) +
		       count_waiting(s, thing->latest_waiting, client) >=
	       LIMIT_SHADOW_IN_FLIGHT;
}

// Requests

/// Everybody learns of an update that was accepted.
static void add_update_replies(struct shadow_turn *turn, const char *thing,
	const struct shadow_request *request, const struct shadow_document *before,
	const struct shadow_document *after, int64_t now_s)
{
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_SHADOW_REPLY);

	shadow_write_accepted(request, after, now_s, &payload);
	add_message(turn, SHADOW_UPDATE, thing, "accepted", &payload);
	if (shadow_write_delta(after, request->token, now_s, &payload))
		add_message(turn, SHADOW_UPDATE, thing, "delta", &payload);
	shadow_write_documents(before, after, request->token, now_s, &payload);
	add_message(turn, SHADOW_UPDATE, thing, "documents", &payload);
}

static enum shadow_rejection carry_out_update(struct shadow_service *s, const char *thing,
	const struct shadow_request *request, const struct shadow_document *before, int64_t now_s,
	uint64_t *ret_version)
{
	lm_auto(shadow_document_finish) struct shadow_document after = {0};
	enum shadow_rejection why = shadow_document_update(before, request, now_s, &after);

	if (why)
		return why;
	if (!save(s, thing, &after))
		return SHADOW_FAILURE;
	add_update_replies(&s->turn, thing, request, before, &after, now_s);
	*ret_version = after.version;
	return SHADOW_ACCEPTED;
}

static enum shadow_rejection carry_out_delete(struct shadow_service *s, const char *thing,
	const struct shadow_request *request, const struct shadow_document *before, int64_t now_s)
{
	struct shadow_document deleted = {.version = before->version};
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_SHADOW_REPLY);

	if (!save(s, thing, &deleted))
		return SHADOW_FAILURE;
	shadow_write_accepted(request, before, now_s, &payload);
	add_message(&s->turn, SHADOW_DELETE, thing, "accepted", &payload);
	return SHADOW_ACCEPTED;
}

static enum shadow_rejection carry_out(struct shadow_service *s, const char *thing,
	const struct shadow_request *request, int64_t now_s)
{
	lm_auto(shadow_document_finish) struct shadow_document document = {0};
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_SHADOW_REPLY);
	uint64_t version;

	if (!begin_turn(s) || !load(s, thing, &document))
		return SHADOW_FAILURE;
	if (request->operation == SHADOW_UPDATE)
		return carry_out_update(s, thing, request, &document, now_s, &version);
	if (!document.exists)
		return SHADOW_NO_SHADOW;
	if (request->operation == SHADOW_DELETE)
		return carry_out_delete(s, thing, request, &document, now_s);
	shadow_write_accepted(request, &document, now_s, &payload);
	add_message(&s->turn, SHADOW_GET, thing, "accepted", &payload);
	return SHADOW_ACCEPTED;
}

static void report_rejection(
	struct shadow_service *s, const struct shadow_pending *p, enum shadow_rejection why)
{
	char kind[32], text[128];

	// What happens to any client in its normal life is no news, and of failures the commit
	// reports.
	if (why == SHADOW_NO_SHADOW || why == SHADOW_CONFLICT || why == SHADOW_FAILURE)
		return;
	(void)snprintf(kind, sizeof(kind), "shadow %s", shadow_operation_name(p->operation));
	(void)snprintf(text, sizeof(text), "%d %s", shadow_rejection_code(why),
		shadow_rejection_text(why));
	report_refusal(
		&s->report, kind, lm_str(p->client ? p->client : ""), lm_str(p->thing), text);
}

/// Carries a request out, or rejects it, in the transaction of the turn.
static void answer_request(
	struct shadow_service *s, const struct shadow_waiting *w, bool over_limit)
{
	struct shadow_thing *thing = find_thing(s, w->thing);
	int64_t now_s = lm_clock_wall_ms() / 1000;
	lm_auto(shadow_request_finish) struct shadow_request request;
	enum shadow_rejection why =
		shadow_request_read(w->operation, (struct lm_str){w->payload, w->n}, &request);

	if (!thing)
		why = SHADOW_NO_THING;
	else if (over_limit)
		why = SHADOW_TOO_MANY;
	if (!why)
		why = carry_out(s, w->thing, &request, now_s);

	struct shadow_pending *p = add_pending(&s->turn, w->operation, w->thing);
	p->client = w->client ? lm_xstrdup(w->client) : NULL;
	p->token = request.token ? json_incref((json_t *)request.token) : NULL;
	p->changed = !why && w->operation != SHADOW_GET;
	p->rejected = why != SHADOW_ACCEPTED;
	if (thing) {
		p->previous = thing->latest;
		thing->latest = s->turn.pending_n;
	}
	if (!why)
		return;
	report_rejection(s, p, why);
	lm_auto_buf struct lm_buf reply = LM_BUF(LIMIT_SHADOW_REPLY);
	shadow_write_rejected(why, lm_str(w->thing), request.token, now_s, &reply);
	add_message(&s->turn, w->operation, w->thing, "rejected", &reply);
}

void shadow_service_request(
	struct shadow_service *s, const char *client, struct lm_str topic, struct lm_str payload)
{
	struct lm_str name;
	struct shadow_waiting w = {0};

	if (topic.n > LIMIT_MQTT_TOPIC || !shadow_topic_read(topic, &name, &w.operation))
		return;
	// One byte more is enough to see that it is too large.
	w.n = payload.n > LIMIT_SHADOW_REQUEST ? LIMIT_SHADOW_REQUEST + 1 : payload.n;
	w.payload = (char *)payload.p;
	w.client = (char *)client;
	w.thing = lm_xmemdup0(name.p, name.n);
	struct shadow_thing *thing = find_thing(s, w.thing);
	bool over_limit = is_over_limit(s, thing, client);
	if (s->is_committing && !over_limit) {
		w.payload = lm_xmemdup0(payload.n ? payload.p : "", w.n);
		w.client = client ? lm_xstrdup(client) : NULL;
		add_waiting(s, thing, &w);
		return;
	}
	if (s->turn.pending_n < (size_t)2 * LIMIT_SHADOW_WAITING)
		answer_request(s, &w, over_limit);
	else // not even a reply
		s->counts.rejected++;
	free(w.thing);
}

static void free_waiting(struct shadow_service *s)
{
	for (size_t i = 0; i < s->waiting_n; i++) {
		free(s->waiting[i].thing);
		free(s->waiting[i].client);
		free(s->waiting[i].payload);
	}
	free(s->waiting);
	s->waiting = NULL;
	s->waiting_n = s->waiting_size = s->waiting_bytes = 0;
}

/// Carries out what came while the last transaction was committed.
static void answer_waiting(struct shadow_service *s)
{
	for (size_t i = 0; i < s->waiting_n; i++)
		answer_request(s, &s->waiting[i], false);
	if (s->waiting_n == 0)
		return;
	free_waiting(s);
	for (size_t i = 0; i < s->things_n; i++)
		s->things[i].latest_waiting = 0;
}

// The end of a turn

static void publish_messages(struct shadow_service *s, const struct shadow_turn *turn)
{
	for (size_t i = 0; i < turn->messages_n; i++) {
		const struct shadow_message *m = &turn->messages[i];

		s->publish(s->publish_ctx, m->topic, (struct lm_str){m->payload, m->n});
	}
}

/// Every request of the turn is rejected, whatever it would have been answered.
static void reject_all(struct shadow_service *s, const struct shadow_turn *turn)
{
	int64_t now_s = lm_clock_wall_ms() / 1000;

	for (size_t i = 0; i < turn->pending_n; i++) {
		const struct shadow_pending *p = &turn->pending[i];
		lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_SHADOW_REPLY);

		if (p->own)
			continue;
		lm_auto_free char *topic = lm_xasprintf("$aws/things/%s/shadow/%s/rejected",
			p->thing, shadow_operation_name(p->operation));
		shadow_write_rejected(SHADOW_FAILURE, lm_str(p->thing), p->token, now_s, &payload);
		s->publish(s->publish_ctx, topic, lm_buf_str(&payload));
		s->counts.rejected++;
	}
}

static void report_changes(struct shadow_service *s, const struct shadow_turn *turn)
{
	const struct shadow_observer *o = &s->observer;

	if (!o->changed)
		return;
	for (size_t i = 0; i < turn->pending_n; i++) {
		const struct shadow_pending *p = &turn->pending[i];
		bool reported = !p->changed || p->own;

		for (size_t j = p->previous; j > 0 && !reported; j = turn->pending[j - 1].previous)
			reported = turn->pending[j - 1].changed && !turn->pending[j - 1].own;
		if (!reported)
			o->changed(o->ctx, p->thing);
	}
}

/// Publishes what the commit allows, and leaves the turn empty.
static void publish_turn(struct shadow_service *s, struct shadow_turn *done)
{
	// An observer may begin another one meanwhile.
	lm_auto(finish_turn) struct shadow_turn turn = *done;

	*done = (struct shadow_turn){0};
	if (turn.failed) {
		reject_all(s, &turn);
		if (turn.synced && s->observer.lost)
			s->observer.lost(s->observer.ctx, turn.transaction);
		return;
	}
	for (size_t i = 0; i < turn.pending_n; i++) {
		s->counts.updates += turn.pending[i].changed && !turn.pending[i].own;
		s->counts.rejected += turn.pending[i].rejected;
	}
	if (turn.wrote && s->error) {
		report_notice("requests for shadows are accepted again");
		free(lm_take(s->error));
	}
	publish_messages(s, &turn);
	if (turn.synced && s->observer.stored)
		s->observer.stored(s->observer.ctx, turn.transaction);
	report_changes(s, &turn);
}

/// False: it is still being committed.
static bool end_commit(struct shadow_service *s)
{
	if (!s->is_committing)
		return true;
	if (!s->is_settled && !shadow_store_commit_is_done(s->store))
		return false;
	settle_commit(s);
	s->is_committing = s->is_settled = false;
	for (size_t i = 0; i < s->things_n; i++)
		s->things[i].latest_committing = 0;
	publish_turn(s, &s->committing);
	return true;
}

void shadow_service_commit(struct shadow_service *s)
{
	if (s->report.held > 0)
		report_tick(&s->report, lm_clock_mono_ms());
	if (!end_commit(s))
		return;
	answer_waiting(s);
	struct shadow_turn *turn = &s->turn;
	if (!turn->begun && turn->pending_n == 0) {
		finish_turn(turn);
		return;
	}
	bool beside = s->wake && turn->wrote && turn->begun && !turn->failed;
	for (size_t i = 0; i < s->things_n; i++) {
		s->things[i].latest_committing = beside ? s->things[i].latest : 0;
		s->things[i].latest = 0;
	}
	if (beside) {
		s->committing = *turn;
		*turn = (struct shadow_turn){0};
		s->is_committing = true;
		shadow_store_start_commit(s->store, s->wake, s->wake_ctx);
		return;
	}
	commit_turn(s, turn);
	publish_turn(s, turn);
}

void shadow_service_commit_beside(
	struct shadow_service *s, background_function *wake, void *wake_ctx)
{
	s->wake = wake;
	s->wake_ctx = wake_ctx;
}

struct shadow_counts shadow_service_counts(const struct shadow_service *s)
{
	struct shadow_counts counts = s->counts;

	counts.error = s->error;
	return counts;
}

struct shadow_service *shadow_service_open(const char *database, shadow_service_publish *publish,
	void *publish_ctx, struct lm_err *err)
{
	struct lm_err why = {0};
	struct shadow_service *s = lm_xcalloc(1, sizeof(*s));

	s->database = lm_xstrdup(database);
	s->publish = publish;
	s->publish_ctx = publish_ctx;
	shadow_service_set_things(s, NULL, 0);
	if (open_shadow_store(s, &why) != LM_OK && err)
		*err = why;
	return s;
}

void shadow_service_close(struct shadow_service *s)
{
	if (!s)
		return;
	settle_commit(s);
	finish_turn(&s->committing);
	finish_turn(&s->turn);
	free_waiting(s);
	shadow_store_close(s->store);
	free_things(s);
	free(s->database);
	free(s->error);
	free(s);
}

// The synchronisation

void shadow_service_observe(struct shadow_service *s, const struct shadow_observer *observer)
{
	s->observer = observer ? *observer : (struct shadow_observer){0};
}

static lm_rc use_turn(struct shadow_service *s, struct lm_err *err)
{
	return begin_turn(s) ? LM_OK : lm_fail(err, LM_E_SYS, 0, "%s", s->turn.why.msg);
}

lm_rc shadow_service_read(struct shadow_service *s, const char *thing, struct shadow_document *ret,
	struct lm_err *err)
{
	lm_rc rc = use_turn(s, err);

	if (rc)
		return rc;
	return load(s, thing, ret) ? LM_OK : lm_fail(err, LM_E_SYS, 0, "%s", s->turn.why.msg);
}

lm_rc shadow_service_read_sync(
	struct shadow_service *s, const char *thing, struct shadow_sync *ret, struct lm_err *err)
{
	lm_rc rc = use_turn(s, err);
	struct lm_err why = {0};

	if (rc || shadow_store_get_sync(s->store, thing, ret, &why) == LM_OK)
		return rc;
	fail_turn(s, &why);
	return lm_fail(err, why.rc, 0, "%s", why.msg);
}

lm_rc shadow_service_put_sync(struct shadow_service *s, const char *thing,
	const struct shadow_sync *sync, uint64_t *ret_transaction, struct lm_err *err)
{
	lm_rc rc = use_turn(s, err);
	struct lm_err why = {0};

	if (rc)
		return rc;
	s->turn.synced = s->turn.wrote = true;
	*ret_transaction = s->turn.transaction;
	if (shadow_store_put_sync(s->store, thing, sync, &why) == LM_OK)
		return LM_OK;
	fail_turn(s, &why);
	return lm_fail(err, why.rc, 0, "%s", why.msg);
}

static lm_rc merge_rejected(const char *thing, enum shadow_rejection why,
	const struct shadow_turn *turn, struct lm_err *err)
{
	if (why == SHADOW_FAILURE)
		return lm_fail(err, LM_E_SYS, 0, "%s", turn->why.msg);
	return lm_fail(err, why == SHADOW_TOO_LARGE ? LM_E_TOO_LARGE : LM_E_INVALID, 0,
		"merge the shadow of '%s': %s", thing, shadow_rejection_text(why));
}

lm_rc shadow_service_merge(struct shadow_service *s, const char *thing, json_t *patch,
	uint64_t *ret_version, struct lm_err *err)
{
	lm_auto(shadow_document_finish) struct shadow_document before = {0};
	lm_auto(shadow_request_finish) struct shadow_request request = {.operation = SHADOW_DELETE};
	enum shadow_rejection why = SHADOW_ACCEPTED;
	int64_t now_s = lm_clock_wall_ms() / 1000;
	lm_rc rc = shadow_service_read(s, thing, &before, err);

	if (rc)
		return rc;
	uint64_t version = before.version;
	if (patch) {
		why = shadow_request_of_state(patch, &request);
		if (!why)
			why = carry_out_update(s, thing, &request, &before, now_s, &version);
	} else if (before.exists) {
		why = carry_out_delete(s, thing, &request, &before, now_s);
	}
	if (why)
		return merge_rejected(thing, why, &s->turn, err);
	s->turn.synced = true;
	struct shadow_pending *p =
		add_pending(&s->turn, patch ? SHADOW_UPDATE : SHADOW_DELETE, thing);
	p->own = true;
	p->changed = true;
	*ret_version = version;
	return LM_OK;
}
