// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "daemon/commands_logs.h"
#include "daemon/containers.h"
#include "daemon/control.h"
#include "docker/compose.h"
#include "docker/container_state.h"

#include <string.h>

struct commands {
	struct commands_sources from;
	struct containers *containers;
	struct control *control;
	unsigned followers; ///< Of the log.
};

/// A client whose answer is not complete.
struct request {
	struct commands *commands;
	struct control_client *client;
	bool waits;                ///< Until the deployment has ended.
	struct logs_request *logs; ///< While it follows the log.
};

static void end_request(struct request *r, json_t *last)
{
	control_end(r->client, last);
	free(r);
}

static void on_told(void *ctx, json_t *line, bool droppable)
{
	struct request *r = ctx;
	json_t *generation = json_object_get(line, "generation");

	if (r->waits || !generation) {
		control_send(r->client, json_incref(line), droppable);
		return;
	}
	json_t *last = control_last_line(0, NULL);
	json_object_set(last, "generation", generation);
	supervisor_forget(r->commands->from.supervisor, r);
	end_request(r, last);
}

static void on_ended(void *ctx, json_t *last)
{
	end_request(ctx, json_incref(last));
}

static struct waiter waiter_for(struct request *r)
{
	return (struct waiter){.told = on_told, .ended = on_ended, .ctx = r};
}

static void run_deploy(struct request *r, const json_t *request)
{
	const json_t *group = json_object_get(request, "group");
	struct waiter waiter = waiter_for(r);

	if (!json_is_string(group)) {
		end_request(r, control_last_line(2, "deploy needs a group file"));
		return;
	}
	r->waits = json_get_bool(request, "wait", true);
	supervisor_deploy(r->commands->from.supervisor, json_text(group), false, &waiter);
}

static void run_plan(struct request *r, const json_t *request)
{
	const json_t *group = json_object_get(request, "group");
	struct waiter waiter = waiter_for(r);

	if (json_is_string(group))
		supervisor_plan(r->commands->from.supervisor, json_text(group), &waiter);
	else
		end_request(r, control_last_line(2, "plan needs a group file"));
}

static void run_start(struct request *r, const json_t *request)
{
	struct waiter waiter = waiter_for(r);

	(void)request;
	supervisor_start(r->commands->from.supervisor, &waiter);
}

static void run_stop(struct request *r, const json_t *request)
{
	struct waiter waiter = waiter_for(r);

	(void)request;
	supervisor_stop(r->commands->from.supervisor, &waiter);
}

static const char *health_word(enum engine_health health)
{
	static const char *const words[] = {"none", "starting", "healthy", "unhealthy"};

	return words[health];
}

static json_t *count_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

static bool is_in_state(const struct engine_container *c, const char *word)
{
	return strcmp(c->state, word) == 0;
}

/// Whether it ends again and again; one that stays down is in no loop any more.
static json_t *loop_to_json(const struct engine_container *c, const struct monitor_container *known)
{
	if (!known->loops || !(is_in_state(c, "running") || is_in_state(c, "restarting")))
		return json_null();
	return json_pack("{s:s, s:o, s:I}", "kind", known->last_crashed ? "crash" : "restart",
		"exit_code", count_or_null(known->last_exit_code), "last_end_ms",
		(json_int_t)known->last_end_ms);
}

/// The list tells a container's age roughly, and at least that.
static int64_t container_uptime_s(
	const struct engine_container *c, const struct monitor_container *known)
{
	if (!is_in_state(c, "running") && !is_in_state(c, "paused"))
		return -1;
	return known->uptime_s >= 0 ? known->uptime_s : engine_status_age_s(c->status);
}

static json_t *container_to_json(const struct monitor *monitor, const struct engine_container *c)
{
	struct monitor_container known = {.restart_count = -1, .uptime_s = -1};

	(void)monitor_look_up(monitor, c->id, &known);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o}", "service",
		c->service, "name", c->name, "image", c->image, "state", c->state, "status",
		c->status, "health", health_word(c->health), "exit_code", c->exit_code, "restarts",
		count_or_null(known.restart_count), "uptime_s",
		count_or_null(container_uptime_s(c, &known)), "loop", loop_to_json(c, &known));
}

/// NULL for a path that JSON cannot hold: the member is then left out.
static json_t *host_file_to_json(const char *path)
{
	return path ? json_string(path) : json_null();
}

static void on_containers(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct request *r = ctx;
	json_t *status = supervisor_to_json(r->commands->from.supervisor, rc ? NULL : list);
	json_t *containers = rc ? json_null() : json_array();

	for (size_t i = 0; rc == LM_OK && i < list->n; i++)
		json_array_append_new(
			containers, container_to_json(r->commands->from.monitor, &list->items[i]));
	json_object_set_new(status, "containers", containers);
	if (rc)
		json_object_set_new(status, "containers_error", json_string(err->msg));
	json_object_set_new(status, "host_file", host_file_to_json(r->commands->from.host_file));
	json_object_set_new(status, "brokers", outgoing_to_json(r->commands->from.outgoing));
	json_t *last = control_last_line(0, NULL);
	json_object_set_new(last, "status", status);
	end_request(r, last);
}

static void run_status(struct request *r, const json_t *request)
{
	(void)request;
	containers_ask(r->commands->containers, on_containers, r);
}

/// Followers stay as long as they like, and leave places for those who do not.
static bool may_follow(const struct request *r)
{
	unsigned more = control_is_trusted(r->client) ? LIMIT_CONTROL_RESERVED / 2 : 0;

	return r->commands->followers < LIMIT_CONTROL_FOLLOWERS + more;
}

static void run_logs(struct request *r, const json_t *request)
{
	if (json_get_bool(request, "follow", false) && !may_follow(r)) {
		end_request(r, control_last_line(1, "too many clients follow the log: end another "
						    "'lighterman logs -f', or leave out -f"));
		return;
	}
	r->logs = logs_begin(r->client, request);
	if (r->logs)
		r->commands->followers++;
	else
		free(r); // the client was ended
}

static void run_crashes(struct request *r, const json_t *request)
{
	json_t *last = control_last_line(0, NULL);
	(void)request;

	json_object_set_new(last, "crashes", monitor_crashes_to_json(r->commands->from.monitor));
	end_request(r, last);
}

static void on_measured(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct request *r = ctx;
	const struct telemetry_asked asked = {.list = list};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_METRICS);
	json_t *last;

	(void)rc; // with a failure there is no list, and the metrics say so
	(void)err;
	if (telemetry_write(r->commands->from.telemetry, &asked, &text)) {
		last = control_last_line(0, NULL);
		json_object_set_new(last, "metrics", json_string(lm_buf_cstr(&text)));
	} else {
		last = control_last_line(1, "the metrics are too many to be shown");
	}
	end_request(r, last);
}

static void run_metrics(struct request *r, const json_t *request)
{
	(void)request;
	containers_ask(r->commands->containers, on_measured, r);
}

static const struct command {
	const char *name;
	void (*run)(struct request *r, const json_t *request);
	/// It only asks for what is known here. A plan does not: it does what its definition names
	/// as the user that it names, with the device's credentials.
	bool only_reads;
} COMMANDS[] = {
	{"crashes", run_crashes, .only_reads = true},
	{"deploy", run_deploy},
	{"logs", run_logs, .only_reads = true},
	{"plan", run_plan},
	{"metrics", run_metrics, .only_reads = true},
	{"start", run_start},
	{"status", run_status, .only_reads = true},
	{"stop", run_stop},
};

static void run_command(struct request *r, const struct command *command, const json_t *request)
{
	if (command->only_reads || control_may_act(r->client)) {
		command->run(r, request);
		return;
	}
	lm_auto_free char *text = lm_xasprintf(
		"'%s' is for root and members of controlGroup; members of controlReadGroup may use "
		"status, logs, crashes and metrics",
		command->name);
	end_request(r, control_last_line(1, text));
}

static void on_request(void *ctx, struct control_client *client, const json_t *request)
{
	const char *name = json_get_text(request, "command");
	struct request *r = lm_xcalloc(1, sizeof(*r));

	*r = (struct request){.commands = ctx, .client = client, .waits = true};
	control_set_data(client, r);
	for (size_t i = 0; name && i < LM_ARRAY_SIZE(COMMANDS); i++) {
		if (strcmp(COMMANDS[i].name, name) == 0) {
			run_command(r, &COMMANDS[i], request);
			return;
		}
	}
	end_request(r,
		control_last_line(64, "lightermand does not know this command: is it of the same "
				      "version as lighterman?"));
}

static void on_gone(void *ctx, struct control_client *client)
{
	struct commands *c = ctx;
	struct request *r = control_data(client);

	supervisor_forget(c->from.supervisor, r);
	containers_forget(c->containers, r);
	if (r->logs)
		c->followers--;
	logs_end(r->logs);
	free(r);
}

lm_rc commands_create(struct loop *loop, const struct host_settings *host,
	const struct commands_sources *from, struct commands **ret, struct lm_err *err)
{
	lm_auto(commands_destroy_p) struct commands *c = lm_xcalloc(1, sizeof(*c));
	lm_auto_free char *path = lm_path_join(host->runtime_directory, "control.sock");
	const struct control_handler handler = {.request = on_request, .gone = on_gone, .ctx = c};

	c->from = *from;
	c->containers = containers_create(loop, host->docker_socket, COMPOSE_PROJECT);
	const struct control_groups groups = {host->control_group, host->control_read_group};
	lm_rc rc = control_create(loop, path, &groups, &handler, &c->control, err);
	if (rc)
		return rc;
	*ret = lm_take(c);
	return LM_OK;
}

void commands_destroy(struct commands *c)
{
	if (!c)
		return;
	control_destroy(c->control);
	containers_destroy(c->containers);
	free(c);
}
