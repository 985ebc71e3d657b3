// SPDX-License-Identifier: Apache-2.0
#include "daemon/requests.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/container_list.h"
#include "daemon/control_server.h"
#include "daemon/history.h"
#include "daemon/log_router.h"
#include "docker/compose.h"
#include "docker/engine_json.h"

#include <string.h>

enum { LINES_DEFAULT = 100, LINES_MAX = 100000 };

struct log_request {
	struct control_client *client;
	struct log_follower follower;
	unsigned long long left_out; ///< Lines, since the last one that was sent.
};

struct requests {
	struct requests_sources from;
	struct container_list *containers;
	struct control_server *control;
	unsigned followers; ///< Of the log.
};

/// A client whose answer is not complete.
struct control_request {
	struct requests *requests;
	struct control_client *client;
	bool waits;               ///< Until the deployment has finished.
	struct log_request *logs; ///< While it follows the log.
};

static void requests_finish_request(struct control_request *r, json_t *last)
{
	control_client_finish(r->client, last);
	free(r);
}

static void requests_on_answer(void *ctx, json_t *line, bool droppable)
{
	struct control_request *r = ctx;
	json_t *generation = json_object_get(line, "generation");

	if (r->waits || !generation) {
		control_client_send(r->client, json_incref(line), droppable);
		return;
	}
	json_t *last = control_last_line(0, NULL);
	json_object_set(last, "generation", generation);
	supervisor_forget(r->requests->from.supervisor, r);
	requests_finish_request(r, last);
}

static void on_last_line(void *ctx, json_t *last)
{
	requests_finish_request(ctx, json_incref(last));
}

static struct waiter waiter_for(struct control_request *r)
{
	return (struct waiter){.line = requests_on_answer, .done = on_last_line, .ctx = r};
}

static void run_deploy(struct control_request *r, const json_t *request)
{
	const json_t *group = json_object_get(request, "group");
	bool now = json_get_bool(request, "now", false);
	struct waiter waiter = waiter_for(r);

	if (!group && now) {
		supervisor_activate(r->requests->from.supervisor, &waiter);
		return;
	}
	if (!json_is_string(group)) {
		requests_finish_request(r, control_last_line(2, "deploy needs a group file"));
		return;
	}
	r->waits = json_get_bool(request, "wait", true);
	supervisor_deploy(r->requests->from.supervisor, json_text(group),
		now ? ORIGIN_PERSON_NOW : ORIGIN_PERSON, &waiter);
}

/// A failure of LM_E_SYS is the store's, any other the request's.
static void refuse_rollback(struct control_request *r, const struct lm_err *err)
{
	requests_finish_request(r, control_last_line(err->rc == LM_E_SYS ? 1 : 2, err->msg));
}

static void run_rollback(struct control_request *r, const json_t *request)
{
	const json_t *generation = json_object_get(request, "generation");
	const struct status shown = supervisor_status(r->requests->from.supervisor);
	struct waiter waiter = waiter_for(r);
	json_int_t n = json_integer_value(generation);
	struct lm_err err = {LM_OK};

	if ((generation && !json_is_integer(generation)) || n < 0 || n > INT32_MAX) {
		requests_finish_request(
			r, control_last_line(2, "rollback needs the number of a generation"));
		return;
	}
	if (n > 0 && history_check(shown.store, (unsigned)n, &err)) {
		refuse_rollback(r, &err);
		return;
	}
	r->waits = json_get_bool(request, "wait", true);
	supervisor_rollback(r->requests->from.supervisor, (unsigned)n, &waiter);
}

static void run_plan(struct control_request *r, const json_t *request)
{
	const json_t *group = json_object_get(request, "group");
	struct waiter waiter = waiter_for(r);

	if (json_is_string(group))
		supervisor_plan(r->requests->from.supervisor, json_text(group), &waiter);
	else
		requests_finish_request(r, control_last_line(2, "plan needs a group file"));
}

static void run_start(struct control_request *r, const json_t *request)
{
	struct waiter waiter = waiter_for(r);

	(void)request;
	supervisor_start(r->requests->from.supervisor, &waiter);
}

static void run_stop(struct control_request *r, const json_t *request)
{
	struct waiter waiter = waiter_for(r);

	(void)request;
	supervisor_stop(r->requests->from.supervisor, &waiter);
}

static void run_verify(struct control_request *r, const json_t *request)
{
	struct waiter waiter = waiter_for(r);

	(void)request;
	verification_ask(r->requests->from.verification, &waiter);
}

static json_t *count_or_null(int64_t n)
{
	return n < 0 ? json_null() : json_integer(n);
}

/// Whether it exits again and again; one that stays down is not in a loop.
static json_t *loop_to_json(const struct engine_container *c, const struct monitor_container *known)
{
	if (!known->loops || !(container_list_is_in_state(c, "running") ||
				     container_list_is_in_state(c, "restarting")))
		return json_null();
	return json_pack("{s:s, s:o, s:I}", "kind", known->last_crashed ? "crash" : "restart",
		"exit_code", count_or_null(known->last_exit_code), "last_end_ms",
		(json_int_t)known->last_end_ms);
}

/// The list has a container's age rounded down.
static int64_t container_uptime_s(
	const struct engine_container *c, const struct monitor_container *known)
{
	if (!container_list_is_in_state(c, "running") && !container_list_is_in_state(c, "paused"))
		return -1;
	return known->uptime_s >= 0 ? known->uptime_s : engine_status_age_s(c->status);
}

static json_t *container_to_json(const struct monitor *monitor, const struct engine_container *c)
{
	struct monitor_container known = {.restart_count = -1, .uptime_s = -1};

	(void)monitor_look_up(monitor, c->id, &known);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o}", "service",
		c->service, "name", c->name, "image", c->image, "state", c->state, "status",
		c->status, "health", container_list_health_name(c->health), "exit_code",
		c->exit_code, "restarts", count_or_null(known.restart_count), "uptime_s",
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
	struct control_request *r = ctx;
	const struct status shown = supervisor_status(r->requests->from.supervisor);
	json_t *status = status_to_json(&shown, rc ? NULL : list);
	json_t *containers = rc ? json_null() : json_array();

	for (size_t i = 0; rc == LM_OK && i < list->n; i++)
		json_array_append_new(
			containers, container_to_json(r->requests->from.monitor, &list->items[i]));
	json_object_set_new(status, "containers", containers);
	if (rc)
		json_object_set_new(status, "containers_error", json_string(err->msg));
	json_object_set_new(status, "unhealthy_restarts", healer_to_json(r->requests->from.healer));
	json_object_set_new(status, "host_file", host_file_to_json(r->requests->from.host_file));
	json_object_set_new(
		status, "state_directory", host_file_to_json(r->requests->from.state_directory));
	json_object_set_new(status, "brokers", mqtt_brokers_to_json(r->requests->from.brokers));
	json_object_set_new(status, "jobs", jobs_to_json(r->requests->from.jobs));
	json_object_set_new(status, "devices", client_devices_show(r->requests->from.devices));
	json_object_set_new(
		status, "verification", verification_to_json(r->requests->from.verification));
	json_t *last = control_last_line(0, NULL);
	json_object_set_new(last, "status", status);
	requests_finish_request(r, last);
}

static void run_status(struct control_request *r, const json_t *request)
{
	(void)request;
	container_list_ask(r->requests->containers, on_containers, r);
}

static void send_line(struct control_client *client, struct lm_str line)
{
	size_t n = lm_str_ends(line, LM_STR("\n")) ? line.n - 1 : line.n;
	size_t size = 4 * n + 32;
	lm_auto_free char *text = lm_xmalloc(size);

	// A part of the file may be another program's.
	(void)lm_str_shorten((struct lm_str){line.p, n}, n, text, size);
	control_client_send(client, json_pack("{s:s}", "line", text), false);
}

static void send_left_out(struct log_request *r)
{
	lm_auto_free char *text = lm_xasprintf("%llu lines were skipped here, as earlier ones were "
					       "not read in time; they are in the log itself",
		r->left_out);

	if (r->left_out > 0)
		control_client_send(r->client, json_pack("{s:s}", "warning", text), false);
	r->left_out = 0;
}

static void on_line(void *ctx, struct lm_str line)
{
	struct log_request *r = ctx;

	if (control_client_waiting(r->client) > LIMIT_LOG_TAIL) {
		r->left_out++;
		return;
	}
	send_left_out(r);
	send_line(r->client, line);
}

static void send_past(struct control_client *client, struct lm_str text)
{
	while (text.n > 0)
		send_line(client, lm_str_cut(&text, '\n'));
}

/// Answers with the last lines. NULL: that was all, and the client is finished. Otherwise it
/// follows, and gets each further line until stop_logs.
static struct log_request *start_logs(struct control_client *client, const json_t *request)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_TAIL);
	int64_t lines = json_get_int(request, "lines", LINES_DEFAULT);
	bool follows = json_get_bool(request, "follow", false);
	struct lm_err err = {LM_OK};

	if (lines < 0 || lines > LINES_MAX)
		lines = LINES_MAX;
	if (log_router_tail((unsigned)lines, &text, &err) && !follows) {
		control_client_finish(client, control_last_line(1, err.msg));
		return NULL;
	}
	send_past(client, lm_buf_str(&text));
	if (!follows) {
		control_client_finish(client, control_last_line(0, NULL));
		return NULL;
	}
	struct log_request *r = lm_xcalloc(1, sizeof(*r));
	*r = (struct log_request){.client = client, .follower = {.line = on_line, .ctx = r}};
	log_router_follow(&r->follower);
	return r;
}

static void stop_logs(struct log_request *r)
{
	if (!r)
		return;
	log_router_unfollow(&r->follower);
	free(r);
}

/// Followers stay as long as they like, and leave places for those who do not.
static bool may_follow(const struct control_request *r)
{
	unsigned more = control_client_is_trusted(r->client) ? LIMIT_CONTROL_RESERVED / 2 : 0;

	return r->requests->followers < LIMIT_CONTROL_FOLLOWERS + more;
}

static void run_logs(struct control_request *r, const json_t *request)
{
	if (json_get_bool(request, "follow", false) && !may_follow(r)) {
		requests_finish_request(
			r, control_last_line(1, "too many clients follow the log: stop "
						"another 'lighterman logs -f', or omit -f"));
		return;
	}
	r->logs = start_logs(r->client, request);
	if (r->logs)
		r->requests->followers++;
	else
		free(r); // the client was closed
}

static void run_crashes(struct control_request *r, const json_t *request)
{
	json_t *last = control_last_line(0, NULL);
	(void)request;

	json_object_set_new(last, "crashes", monitor_crashes_to_json(r->requests->from.monitor));
	requests_finish_request(r, last);
}

static void run_history(struct control_request *r, const json_t *request)
{
	const struct status shown = supervisor_status(r->requests->from.supervisor);
	json_t *history = NULL, *last;
	struct lm_err err = {LM_OK};
	(void)request;

	if (history_to_json(&shown, &history, &err)) {
		last = control_last_line(1, err.msg);
	} else {
		last = control_last_line(0, NULL);
		json_object_set_new(last, "history", history);
	}
	requests_finish_request(r, last);
}

static void on_measured(
	void *ctx, lm_rc rc, const struct engine_containers *list, const struct lm_err *err)
{
	struct control_request *r = ctx;
	const struct metrics_exporter_asked asked = {.list = list};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_METRICS);
	json_t *last;

	(void)rc; // with a failure there is no list, and the metrics show that
	(void)err;
	if (metrics_exporter_write(r->requests->from.metrics, &asked, &text)) {
		last = control_last_line(0, NULL);
		json_object_set_new(last, "metrics", json_string(lm_buf_cstr(&text)));
	} else {
		last = control_last_line(1, "the metrics exceed the limit of what can be shown");
	}
	requests_finish_request(r, last);
}

static void run_metrics(struct control_request *r, const json_t *request)
{
	(void)request;
	container_list_ask(r->requests->containers, on_measured, r);
}

/// A list only tells what is known; whatever else is asked for makes or forgets keys.
static void run_device(struct control_request *r, const json_t *request)
{
	const char *action = json_get_text(request, "action");

	if ((action && strcmp(action, "list") == 0) || control_client_may_act(r->client)) {
		client_devices_ask(r->requests->from.devices, request, on_last_line, r);
		return;
	}
	requests_finish_request(
		r, control_last_line(1, "'device' is for root and members of controlGroup; "
					"members of controlReadGroup may use 'device list'"));
}

static const struct request_kind {
	const char *name;
	void (*run)(struct control_request *r, const json_t *request);
	/// It only asks for what is known here. A plan does not: it does what its definition names
	/// as the user that it names, with the device's credentials.
	bool only_reads;
} COMMANDS[] = {
	{"crashes", run_crashes, .only_reads = true},
	{"deploy", run_deploy},
	{"device", run_device, .only_reads = true}, // see there
	{"history", run_history, .only_reads = true},
	{"logs", run_logs, .only_reads = true},
	{"plan", run_plan},
	{"metrics", run_metrics, .only_reads = true},
	{"rollback", run_rollback},
	{"start", run_start},
	{"status", run_status, .only_reads = true},
	{"stop", run_stop},
	{"verify", run_verify},
};

static void run_command(
	struct control_request *r, const struct request_kind *command, const json_t *request)
{
	if (command->only_reads || control_client_may_act(r->client)) {
		command->run(r, request);
		return;
	}
	lm_auto_free char *text =
		lm_xasprintf("'%s' is for root and members of controlGroup; members of "
			     "controlReadGroup may use status, history, logs, crashes and metrics",
			command->name);
	requests_finish_request(r, control_last_line(1, text));
}

static void on_request(void *ctx, struct control_client *client, const json_t *request)
{
	const char *name = json_get_text(request, "command");
	struct control_request *r = lm_xcalloc(1, sizeof(*r));

	*r = (struct control_request){.requests = ctx, .client = client, .waits = true};
	control_client_set_data(client, r);
	for (size_t i = 0; name && i < LM_ARRAY_SIZE(COMMANDS); i++) {
		if (strcmp(COMMANDS[i].name, name) == 0) {
			run_command(r, &COMMANDS[i], request);
			return;
		}
	}
	requests_finish_request(
		r, control_last_line(64, "lightermand does not know this command: is it of "
					 "the same version as lighterman?"));
}

static void on_gone(void *ctx, struct control_client *client)
{
	struct requests *c = ctx;
	struct control_request *r = control_client_data(client);

	supervisor_forget(c->from.supervisor, r);
	verification_forget(c->from.verification, r);
	container_list_forget(c->containers, r);
	client_devices_forget_request(c->from.devices, r);
	if (r->logs)
		c->followers--;
	stop_logs(r->logs);
	free(r);
}

lm_rc requests_create(struct loop *loop, const struct host_settings *host,
	const struct requests_sources *from, struct requests **ret, struct lm_err *err)
{
	lm_auto(requests_destroy_p) struct requests *c = lm_xcalloc(1, sizeof(*c));
	lm_auto_free char *path = lm_path_join(host->runtime_directory, "control.sock");
	const struct control_handler handler = {.request = on_request, .gone = on_gone, .ctx = c};

	c->from = *from;
	c->containers = container_list_create(loop, host->docker_socket, COMPOSE_PROJECT);
	const struct control_groups groups = {host->control_group, host->control_read_group};
	lm_rc rc = control_server_create(loop, path, &groups, &handler, &c->control, err);
	if (rc)
		return rc;
	*ret = lm_take(c);
	return LM_OK;
}

void requests_destroy(struct requests *c)
{
	if (!c)
		return;
	control_server_destroy(c->control);
	container_list_destroy(c->containers);
	free(c);
}
