// SPDX-License-Identifier: Apache-2.0
#include "daemon/local_connection.h"

#include "base/file.h"
#include "base/memory.h"
#include "config/status_message.h"
#include "config/topic.h"

#include <string.h>
#include <unistd.h>

enum {
	SOCKET_MS = 100,    ///< How often the broker's socket is looked for,
	SOCKET_TRIES = 100, ///< and how many times.
};

struct local_connection {
	const struct host_settings *host;
	struct mqtt_brokers *brokers;
	struct host_broker local; ///< No `socket`: the group wants none.
	bool is_served, is_up;
	struct loop_timer *timer;
	unsigned tries;
};

/// A topic of ours goes to the local broker if a subscription of the connector's matches it.
static bool is_subscribed(const struct group *group, const char *topic)
{
	for (size_t i = 0; i < group->subscriptions_n; i++) {
		const struct group_subscription *s = &group->subscriptions[i];

		if (strcmp(s->source, group->connector.arn) == 0 &&
			(!topic || topic_matches(lm_str(s->subject), lm_str(topic))))
			return true;
	}
	return false;
}

static void finish_local(struct host_broker *local)
{
	free(local->socket);
	free(local->username);
	free(local->client_id);
	free(local->password_file);
	*local = (struct host_broker){0};
}

/// Its connection, if it does not change, is kept.
static bool is_same_local(const struct host_broker *a, const struct host_broker *b)
{
	return a->username && b->username && strcmp(a->username, b->username) == 0 &&
	       a->progress.off == b->progress.off && a->containers.off == b->containers.off &&
	       a->connection.off == b->connection.off;
}

static struct host_broker make_local(const struct local_connection *l, const struct group *group)
{
	if (group->devices_n == 0 || !is_subscribed(group, NULL))
		return (struct host_broker){0};
	return (struct host_broker){
		.socket = lm_path_join(l->host->runtime_directory, MQTT_BROKERS_LOCAL),
		.username = lm_xstrdup(group->connector.arn),
		.client_id = lm_xstrdup(group->connector.arn),
		.password_file =
			lm_path_join(l->host->state_directory, "devices/broker/connector.password"),
		.progress = {.off = !is_subscribed(group, STATUS_TOPIC_PROGRESS)},
		.containers = {.off = !is_subscribed(group, STATUS_TOPIC_CONTAINERS)},
		.connection = {.off = !is_subscribed(group, STATUS_TOPIC_CONNECTION)},
	};
}

void local_connection_set_group(struct local_connection *l, const struct group *group)
{
	struct host_broker local = make_local(l, group);

	if (is_same_local(&local, &l->local)) {
		finish_local(&local);
		return;
	}
	mqtt_brokers_set_local(l->brokers, NULL);
	if (!local.socket)
		mqtt_brokers_forget_local(l->brokers);
	finish_local(&l->local);
	l->local = local;
}

/// It is tried again by itself, but later and later: once the broker has made its socket, at once.
static void look_for_socket(struct local_connection *l)
{
	bool is_wanted = l->is_served && l->local.socket;
	bool is_up = is_wanted && l->is_up;

	loop_timer_stop(l->timer);
	mqtt_brokers_set_local(l->brokers, is_wanted ? &l->local : NULL);
	if (is_up && access(l->local.socket, F_OK) < 0 && l->tries < SOCKET_TRIES) {
		l->tries++;
		loop_timer_start(l->timer, SOCKET_MS, 0);
		return;
	}
	l->tries = 0;
	if (is_up)
		mqtt_brokers_hasten_local(l->brokers);
}

static void on_socket_timer(void *ctx)
{
	look_for_socket(ctx);
}

void local_connection_update(struct local_connection *l, bool is_served, bool is_up)
{
	l->is_served = is_served;
	l->is_up = is_up;
	look_for_socket(l);
}

struct local_connection *local_connection_create(
	struct loop *loop, const struct host_settings *host, struct mqtt_brokers *brokers)
{
	struct local_connection *l = lm_xcalloc(1, sizeof(*l));

	*l = (struct local_connection){.host = host, .brokers = brokers};
	l->timer = loop_timer_create(loop, on_socket_timer, l);
	return l;
}

void local_connection_destroy(struct local_connection *l)
{
	if (!l)
		return;
	mqtt_brokers_set_local(l->brokers, NULL);
	loop_timer_destroy(l->timer);
	finish_local(&l->local);
	free(l);
}
