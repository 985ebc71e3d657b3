// SPDX-License-Identifier: Apache-2.0
#include "daemon/mqtt_brokers.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "config/status_message.h"
#include "sys/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct mqtt_broker {
	struct mqtt_brokers *owner;
	struct publisher *publisher;
	const struct host_broker *settings;
	char *folder;                          ///< Name of its outbox below outbox/.
	char connection[MQTT_BROKERS_ID_SIZE]; ///< Of the attempt, or the connection, that there
					       ///< is.
	bool away_logged;                      ///< That it is away was logged.
	struct lm_err behind; ///< Why it could not take a status, and gets no later ones.
};

struct mqtt_brokers {
	struct loop *loop;
	const struct host_settings *host;
	char *directory; ///< Of the outboxes.
	struct mqtt_broker *items;
	size_t n; ///< One more than the host file's, while there is a local one.
	struct loop_timer *drain_timer;
	loop_cb *drained;
	void *drained_ctx;
	loop_cb *changed; ///< NULL: nobody asks.
	void *changed_ctx;
};

char *mqtt_brokers_make_id(char out[MQTT_BROKERS_ID_SIZE])
{
	(void)snprintf(out, MQTT_BROKERS_ID_SIZE, "%016" PRIx64 "%016" PRIx64,
		lm_random_below(UINT64_MAX), lm_random_below(UINT64_MAX));
	return out;
}

static void check_drained(struct mqtt_brokers *brokers);

void mqtt_brokers_watch(struct mqtt_brokers *brokers, loop_cb *changed, void *ctx)
{
	brokers->changed = changed;
	brokers->changed_ctx = ctx;
}

static void mqtt_brokers_notify_changed(const struct mqtt_brokers *brokers)
{
	if (brokers->changed)
		brokers->changed(brokers->changed_ctx);
}

static void mqtt_brokers_on_connected(void *ctx)
{
	struct mqtt_broker *b = ctx;

	b->away_logged = false;
	lm_info("connected to the broker %s", publisher_name(b->publisher));
	mqtt_brokers_notify_changed(b->owner);
}

/// It is the local one, and does not run: that is told by who runs it.
static bool is_not_up(const struct mqtt_broker *b)
{
	return b == &b->owner->items[b->owner->host->brokers_n] &&
	       access(b->settings->socket, F_OK) < 0;
}

static void on_disconnected(void *ctx, const char *why, uint64_t retry_ms)
{
	struct mqtt_broker *b = ctx;

	(void)retry_ms;
	// Inside publisher_create there is no publisher yet.
	const char *name = b->publisher ? publisher_name(b->publisher) : b->folder;
	if (!b->away_logged && !is_not_up(b)) {
		lm_warn("no connection to the broker %s: %s; messages wait on disk, retrying", name,
			why);
		b->away_logged = true;
	}
	mqtt_brokers_notify_changed(b->owner);
	check_drained(b->owner);
}

static void on_set_aside(void *ctx, const char *topic, uint64_t retry_ms)
{
	struct mqtt_broker *b = ctx;
	bool is_of_jobs = lm_str_starts(lm_str(topic), LM_STR("$aws/"));

	if (is_of_jobs)
		lm_warn("the broker %s refuses the topic %s: retrying in %u min; no jobs are taken "
			"meanwhile; allow it in the broker's policy (docs/fleet.md), or switch "
			"jobs off (mqtt.jobs in the host file)",
			publisher_name(b->publisher), topic, (unsigned)(retry_ms / 60000));
	else
		lm_warn("the broker %s closes the connection at each message to the topic %s: "
			"retrying its "
			"messages in %u min; allow the topic in the broker's policy, or switch it "
			"off "
			"(mqtt.topics in the host file)",
			publisher_name(b->publisher), topic, (unsigned)(retry_ms / 60000));
	mqtt_brokers_notify_changed(b->owner);
}

/// The topic of the broker; NULL: it is switched off.
static const char *topic_name(const struct host_topic *topic, const char *standard)
{
	if (topic->off)
		return NULL;
	return topic->name ? topic->name : standard;
}

static const char *topic_of(const struct host_broker *b, enum outbox_class class)
{
	if (class == OUTBOX_EVENT)
		return topic_name(&b->containers, STATUS_TOPIC_CONTAINERS);
	if (class == OUTBOX_PROGRESS)
		return topic_name(&b->progress, STATUS_TOPIC_PROGRESS);
	return STATUS_TOPIC;
}

/// The message about the connection itself (docs/formats.md). LOST is published by the broker, at a
/// time that is unknown beforehand: its time is null.
static char *make_connection_message(void *ctx, enum publisher_connection what)
{
	static const char *const states[] = {"connected", "ended", "lost"};
	struct mqtt_broker *b = ctx;
	char id[MQTT_BROKERS_ID_SIZE], time[LM_TIME_SIZE];
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_MQTT_PAYLOAD);

	if (what == PUBLISHER_LOST) // the first of a connection that is asked for
		(void)mqtt_brokers_make_id(b->connection);
	lm_auto_json json_t *message = json_pack("{s:s, s:s?, s:s, s:s, s:s?, s:s}", "id",
		mqtt_brokers_make_id(id), "time",
		what == PUBLISHER_LOST ? NULL : lm_time_format_iso(lm_clock_wall_ms(), time),
		"state", states[what], "connection", b->connection, "thing",
		b->owner->host->thing_name, "version", LM_VERSION);
	(void)json_write(message, &text);
	return lm_buf_take(&text);
}

static void mqtt_brokers_on_drained(void *ctx)
{
	struct mqtt_broker *b = ctx;

	mqtt_brokers_notify_changed(b->owner);
	check_drained(b->owner);
}

static bool is_drained(const struct mqtt_brokers *brokers)
{
	for (size_t i = 0; i < brokers->n; i++) {
		const struct publisher *p = brokers->items[i].publisher;

		if (p && publisher_is_connected(p) && !publisher_is_drained(p))
			return false;
	}
	return true;
}

static void finish_drain(void *ctx)
{
	struct mqtt_brokers *brokers = ctx;
	loop_cb *done = lm_take(brokers->drained);

	loop_timer_stop(brokers->drain_timer);
	if (done)
		done(brokers->drained_ctx);
}

static void check_drained(struct mqtt_brokers *brokers)
{
	if (brokers->drained && is_drained(brokers))
		loop_timer_start(
			brokers->drain_timer, 0, 0); // not from inside a publisher's callback
}

void mqtt_brokers_drain(struct mqtt_brokers *brokers, uint64_t limit_ms, loop_cb *done, void *ctx)
{
	for (size_t i = 0; i < brokers->n; i++)
		publisher_end(brokers->items[i].publisher);
	brokers->drained = done;
	brokers->drained_ctx = ctx;
	loop_timer_start(brokers->drain_timer, is_drained(brokers) ? 0 : limit_ms, 0);
}

/// A file's name for a broker: stable, and readable.
static char *folder_name(const struct host_broker *b)
{
	lm_auto_buf struct lm_buf name = LM_BUF(4096);

	if (b->socket)
		(void)lm_percent_encode(&name, lm_str(b->socket), false);
	else
		(void)lm_percent_encode(&name, lm_str(b->host), false);
	if (!b->socket)
		(void)lm_buf_printf(&name, "_%u", b->port);
	return lm_buf_take(&name);
}

static lm_rc add_broker(struct mqtt_brokers *brokers, struct loop *loop,
	const struct host_broker *from, const char *directory, struct lm_err *err)
{
	struct mqtt_broker *b = &brokers->items[brokers->n++];

	b->owner = brokers;
	b->settings = from;
	b->folder = folder_name(from);
	lm_auto_free char *path = lm_path_join(directory, b->folder);
	const struct mqtt_settings settings = {
		.host = from->host,
		.port = from->port,
		.socket = from->socket,
		.ca = from->ca,
		.certificate = from->certificate,
		.private_key = from->private_key,
		.username = from->username,
		.password_file = from->password_file,
		.client_id = from->client_id,
		.keep_alive_s = from->keep_alive_s,
	};
	const struct publisher_events events = {
		.connected = mqtt_brokers_on_connected,
		.disconnected = on_disconnected,
		.drained = mqtt_brokers_on_drained,
		.set_aside = on_set_aside,
		.connection_topic = topic_name(&from->connection, STATUS_TOPIC_CONNECTION),
		.connection_message = make_connection_message,
		.ctx = b,
	};
	lm_rc rc = publisher_create(loop, &settings, path, &events, &b->publisher, err);
	uint64_t bad = rc == LM_OK ? publisher_counts(b->publisher).bad : 0;
	if (bad > 0)
		lm_warn("%" PRIu64 " damaged file(s) in the outbox '%s' were set aside as "
			"'*.bad': messages in them are lost",
			bad, path);
	// What waits from an earlier run was taken for the topic of that time.
	if (rc == LM_OK)
		publisher_redirect(b->publisher, OUTBOX_EVENT, topic_of(from, OUTBOX_EVENT));
	return rc;
}

/// Of the local broker's outbox, which is kept while it is away. The caller frees.
static char *local_folder(const struct mqtt_brokers *brokers)
{
	lm_auto_free char *socket =
		lm_path_join(brokers->host->runtime_directory, MQTT_BROKERS_LOCAL);
	const struct host_broker local = {.socket = socket};

	return folder_name(&local);
}

static bool mqtt_brokers_is_known(const struct mqtt_brokers *brokers, const char *folder)
{
	for (size_t i = 0; i < brokers->n; i++) {
		if (strcmp(brokers->items[i].folder, folder) == 0)
			return true;
	}
	return false;
}

static size_t count_messages(int dir_fd, const char *folder)
{
	size_t n = 0;
	lm_auto_close int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return 0;
	(void)lm_take_fd(fd);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		n += e->d_name[0] != '.';
	return n;
}

static void remove_folder(int dir_fd, const char *folder)
{
	struct lm_err err = {LM_OK};
	size_t n = count_messages(dir_fd, folder);

	if (n > 0)
		lm_warn("dropped %zu message(s) for the broker %s: the host file no longer names "
			"it",
			n, folder);
	if (lm_tree_remove(dir_fd, folder, &err))
		lm_warn("remove the outbox of %s: %s, ignoring", folder, err.msg);
}

/// Outboxes of brokers that are named no more.
static lm_rc remove_unknown(
	const struct mqtt_brokers *brokers, const char *directory, struct lm_err *err)
{
	lm_auto_free char *local = local_folder(brokers);
	lm_auto_closedir DIR *dir = opendir(directory);

	if (!dir)
		return errno == ENOENT ? LM_OK
				       : lm_fail(err, LM_E_SYS, errno, "read '%s': %m", directory);
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
			!mqtt_brokers_is_known(brokers, e->d_name) && strcmp(e->d_name, local) != 0)
			remove_folder(dirfd(dir), e->d_name);
	}
	return LM_OK;
}

lm_rc mqtt_brokers_create(struct loop *loop, const struct host_settings *host,
	struct mqtt_brokers **ret, struct lm_err *err)
{
	lm_auto(mqtt_brokers_destroy_p) struct mqtt_brokers *brokers =
		lm_xcalloc(1, sizeof(*brokers));
	const char *directory = brokers->directory = lm_path_join(host->state_directory, "outbox");
	lm_rc rc = LM_OK;

	brokers->loop = loop;
	brokers->host = host;
	brokers->drain_timer = loop_timer_create(loop, finish_drain, brokers);
	brokers->items = lm_xcalloc(host->brokers_n + 1, sizeof(*brokers->items));
	for (size_t i = 0; i < host->brokers_n && rc == LM_OK; i++)
		rc = add_broker(brokers, loop, &host->brokers[i], directory, err);
	if (rc == LM_OK)
		rc = remove_unknown(brokers, directory, err);
	if (rc)
		return rc;
	*ret = lm_take(brokers);
	return LM_OK;
}

/// What the disk refused until now.
static void save_held(const struct mqtt_broker *b)
{
	struct lm_err err = {LM_OK};

	if (b->publisher && publisher_save(b->publisher, &err))
		lm_error("messages for the broker %s are lost as lightermand exits: %s", b->folder,
			err.msg);
}

static void drop_broker(struct mqtt_broker *b)
{
	save_held(b);
	publisher_destroy(b->publisher);
	free(b->folder);
	*b = (struct mqtt_broker){0};
}

void mqtt_brokers_set_local(struct mqtt_brokers *brokers, const struct host_broker *local)
{
	struct mqtt_broker *b = &brokers->items[brokers->host->brokers_n];
	bool is_there = brokers->n > brokers->host->brokers_n;
	struct lm_err err = {LM_OK};

	if (is_there && b->settings == local)
		return;
	if (is_there) {
		drop_broker(b);
		brokers->n--;
		mqtt_brokers_notify_changed(brokers);
		check_drained(brokers);
	}
	lm_auto_free char *folder = local ? folder_name(local) : NULL;
	if (!local || mqtt_brokers_is_known(brokers, folder))
		return;
	if (add_broker(brokers, brokers->loop, local, brokers->directory, &err) == LM_OK)
		return;
	lm_error("the connection to the broker of the client devices: %s", err.msg);
	drop_broker(b);
	brokers->n--;
}

void mqtt_brokers_hasten_local(struct mqtt_brokers *brokers)
{
	if (brokers->n > brokers->host->brokers_n)
		publisher_hasten(brokers->items[brokers->host->brokers_n].publisher);
}

void mqtt_brokers_forget_local(struct mqtt_brokers *brokers)
{
	lm_auto_free char *folder = local_folder(brokers);
	lm_auto_close int dir = open(brokers->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct lm_err err = {LM_OK};

	if (dir >= 0 && !mqtt_brokers_is_known(brokers, folder) &&
		lm_tree_remove(dir, folder, &err))
		lm_warn("remove the outbox of %s: %s, ignoring", folder, err.msg);
}

void mqtt_brokers_destroy(struct mqtt_brokers *brokers)
{
	if (!brokers)
		return;
	for (size_t i = 0; i < brokers->n; i++)
		drop_broker(&brokers->items[i]);
	free(brokers->items);
	loop_timer_destroy(brokers->drain_timer);
	free(brokers->directory);
	free(brokers);
}

typedef lm_rc give_to(struct publisher *p, enum outbox_class class, const char *topic,
	struct lm_str payload, struct lm_err *err);

static lm_rc give_all(const struct mqtt_brokers *brokers, give_to *give, enum outbox_class class,
	struct lm_str payload, struct lm_err *err)
{
	lm_rc first = LM_OK;

	for (size_t i = 0; i < brokers->n; i++) {
		struct lm_err failed = {LM_OK};
		const char *topic = topic_of(brokers->items[i].settings, class);
		lm_rc rc = topic ? give(brokers->items[i].publisher, class, topic, payload, &failed)
				 : LM_OK;

		if (rc && !first) {
			*err = failed;
			first = rc;
		}
	}
	return first;
}

lm_rc mqtt_brokers_send(struct mqtt_brokers *brokers, enum outbox_class class,
	struct lm_str payload, struct lm_err *err)
{
	return give_all(brokers, publisher_send, class, payload, err);
}

lm_rc mqtt_brokers_send_once(
	struct mqtt_brokers *brokers, const char *key, struct lm_str payload, struct lm_err *err)
{
	lm_rc first = LM_OK;

	for (size_t i = 0; i < brokers->n; i++) {
		struct mqtt_broker *b = &brokers->items[i];
		lm_rc rc = b->behind.rc ? b->behind.rc
					: publisher_send_once(b->publisher, key, OUTBOX_STATUS,
						  STATUS_TOPIC, payload, &b->behind);

		if (rc && !first) {
			*err = b->behind;
			first = rc;
		}
	}
	return first;
}

void mqtt_brokers_send_again(struct mqtt_brokers *brokers)
{
	for (size_t i = 0; i < brokers->n; i++)
		brokers->items[i].behind.rc = LM_OK;
}

void mqtt_brokers_forget_taken(struct mqtt_brokers *brokers)
{
	for (size_t i = 0; i < brokers->n; i++)
		publisher_forget_taken(brokers->items[i].publisher);
}

lm_rc mqtt_brokers_hold(struct mqtt_brokers *brokers, enum outbox_class class,
	struct lm_str payload, struct lm_err *err)
{
	return give_all(brokers, publisher_hold, class, payload, err);
}

struct publisher *mqtt_brokers_of_jobs(const struct mqtt_brokers *brokers)
{
	for (size_t i = 0; i < brokers->n; i++) {
		if (brokers->items[i].settings->jobs)
			return brokers->items[i].publisher;
	}
	return NULL;
}

json_t *mqtt_brokers_to_json(const struct mqtt_brokers *brokers)
{
	json_t *list = json_array();

	for (size_t i = 0; i < brokers->n; i++) {
		const struct publisher *p = brokers->items[i].publisher;
		const char *fault = publisher_fault(p);

		json_t *refused = json_array();
		const char *topic;

		for (size_t k = 0; (topic = publisher_set_aside(p, k)); k++)
			json_array_append_new(refused, json_string(topic));
		json_array_append_new(
			list, json_pack("{s:s, s:b, s:I, s:s?, s:o}", "name", publisher_name(p),
				      "connected", publisher_is_connected(p), "waiting",
				      (json_int_t)publisher_counts(p).lasting, "error",
				      fault[0] ? fault : NULL, "refused_topics", refused));
	}
	return list;
}

size_t mqtt_brokers_measure(const struct mqtt_brokers *brokers, struct metrics_broker **ret)
{
	*ret = lm_xcalloc(brokers->n + 1, sizeof(**ret));
	for (size_t i = 0; i < brokers->n; i++) {
		const struct publisher *p = brokers->items[i].publisher;

		size_t refused = 0;

		while (publisher_set_aside(p, refused))
			refused++;
		(*ret)[i] = (struct metrics_broker){
			.refused_topics = refused,
			.name = publisher_name(p),
			.connected = publisher_is_connected(p),
			.outbox = publisher_counts(p),
		};
	}
	return brokers->n;
}
