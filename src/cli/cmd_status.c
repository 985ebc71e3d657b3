// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_status.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/cmd_verify.h"
#include "cli/output.h"
#include "cli/render.h"

#include <string.h>

enum { CLIENTS_SHOWN = 20 };

static void status_add_number(
	struct lm_buf *out, const json_t *object, const char *key, const char *before)
{
	const json_t *number = json_object_get(object, key);

	if (json_is_integer(number))
		(void)lm_buf_printf(out, "%s%lld", before, (long long)json_integer_value(number));
}

static void add_state(const json_t *status, struct lm_buf *out)
{
	const char *state = json_get_text(status, "state");
	const char *activity = json_get_text(status, "activity");
	const char *wanted = json_get_text(json_object_get(status, "wanted"), "state");
	bool is_idle = activity && strcmp(activity, "idle") == 0;
	bool is_failed = state && strcmp(state, "failed") == 0;
	bool is_beside =
		state && wanted && strcmp(state, "running") == 0 && strcmp(wanted, "down") == 0;
	bool says_all = !activity || (is_idle && !is_failed && !is_beside);

	render_label(out, "state");
	if (state && strcmp(state, "empty") == 0) {
		(void)lm_buf_puts(out, "empty: nothing deployed yet");
	} else {
		render_sanitized(out, state ? state : "-");
		if (!says_all)
			render_member(out, status, "description", ": ");
	}
	(void)lm_buf_putc(out, '\n');
}

static void add_task(const json_t *status, struct lm_buf *out)
{
	const json_t *task = json_object_get(status, "job");
	const json_t *since = json_object_get(task, "since_ms");
	char duration[FORMAT_SIZE];

	if (!json_is_object(task))
		return;
	render_label(out, "current task");
	render_sanitized(out, json_get_text(task, "kind"));
	status_add_number(out, task, "generation", " of generation ");
	render_member(out, task, "stage", ", in stage ");
	if (json_is_integer(since))
		(void)lm_buf_printf(
			out, ", for %s", format_duration(json_integer_value(since), duration));
	(void)lm_buf_putc(out, '\n');
}

static void add_deployment(const json_t *status, struct lm_buf *out)
{
	const json_t *deployment = json_object_get(status, "deployment");

	render_label(out, "deployment");
	if (!json_is_object(deployment)) {
		(void)lm_buf_puts(out, "none\n");
		return;
	}
	status_add_number(out, deployment, "generation", "generation ");
	render_member(out, deployment, "id", ", id ");
	status_add_number(out, deployment, "connector_version", ", connector version ");
	(void)lm_buf_putc(out, '\n');
	render_label(out, "compose file");
	render_member(out, deployment, "key", "");
	render_member(out, deployment, "bucket", " in bucket ");
	render_member(out, deployment, "compose_version", ", version ");
	(void)lm_buf_putc(out, '\n');
	render_label(out, "destination");
	render_member(out, deployment, "destination", "");
	(void)lm_buf_putc(out, '\n');
}

/// "5 min ago (2026-03-01T12:13:14+01:00), after 4.2 s"
static void add_ended(const json_t *last, int64_t now_ms, struct lm_buf *out)
{
	const json_t *ended = json_object_get(last, "ended_ms");
	int64_t ended_ms = json_integer_value(ended), took_ms;
	char ago[FORMAT_SIZE], time[FORMAT_SIZE], duration[FORMAT_SIZE];

	if (!json_is_integer(ended))
		return;
	(void)lm_buf_printf(
		out, " %s (%s)", format_ago(ended_ms, now_ms, ago), format_time(ended_ms, time));
	if (!__builtin_sub_overflow(
		    ended_ms, json_get_int(last, "started_ms", ended_ms), &took_ms) &&
		took_ms > 0) // a clock that was set in between makes no sense of it
		(void)lm_buf_printf(out, ", after %s", format_duration(took_ms, duration));
}

static void add_last_deployment(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	const json_t *last = json_object_get(status, "last_deployment");

	if (!json_is_object(last))
		return;
	render_label(out, "last deployment");
	status_add_number(out, last, "generation", "generation ");
	if (json_get_int(last, "attempt", 1) > 1)
		status_add_number(out, last, "attempt", ", attempt ");
	if (json_get_bool(last, "success", false)) {
		(void)lm_buf_puts(out, ": succeeded");
	} else {
		(void)lm_buf_puts(out, ": failed");
		render_member(out, last, "stage", " in ");
	}
	add_ended(last, now_ms, out);
	(void)lm_buf_putc(out, '\n');
	if (!json_get_text(last, "message"))
		return;
	render_label(out, "");
	render_member(out, last, "message", "");
	(void)lm_buf_putc(out, '\n');
}

static void add_probation(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	const json_t *probation = json_object_get(status, "probation");
	const json_t *until = json_object_get(probation, "until_ms");
	char time[FORMAT_SIZE], left[FORMAT_SIZE];

	if (!json_is_object(probation))
		return;
	render_label(out, "probation");
	status_add_number(out, probation, "generation", "generation ");
	if (json_get_bool(probation, "failed", false))
		(void)lm_buf_puts(out, ": failed, but there is no generation to go back to");
	else if (json_is_integer(until))
		(void)lm_buf_printf(out, ", until %s, for %s",
			format_time(json_integer_value(until), time),
			format_age((json_integer_value(until) - now_ms) / 1000, left));
	(void)lm_buf_putc(out, '\n');
}

static void add_rollback(const json_t *status, struct lm_buf *out)
{
	const json_t *rollback = json_object_get(status, "rollback");

	if (!json_is_object(rollback))
		return;
	render_label(out, "rollback");
	status_add_number(out, rollback, "from", "from generation ");
	status_add_number(out, rollback, "to", " to generation ");
	render_member(out, rollback, "why", ": ");
	(void)lm_buf_putc(out, '\n');
}

static void add_quarantine(const json_t *status, struct lm_buf *out)
{
	size_t i;
	json_t *entry;
	char time[FORMAT_SIZE];

	json_array_foreach(json_object_get(status, "quarantine"), i, entry)
	{
		const json_t *at = json_object_get(entry, "at_ms");

		render_label(out, i == 0 ? "quarantine" : "");
		status_add_number(out, entry, "generation", "generation ");
		if (json_is_integer(at))
			(void)lm_buf_printf(
				out, ", since %s", format_time(json_integer_value(at), time));
		render_member(out, entry, "reason", ": ");
		(void)lm_buf_putc(out, '\n');
	}
}

/// Silent while nothing is wrong and none is in progress.
static void add_verification(const json_t *status, struct lm_buf *out)
{
	const json_t *verification = json_object_get(status, "verification");
	const json_t *bad = json_object_get(verification, "bad");
	const char *state = json_get_text(verification, "state");
	bool is_under_way = state && strcmp(state, "idle") != 0;
	size_t i;
	json_t *image;

	if (is_under_way) {
		render_label(out, "images");
		(void)lm_buf_puts(out, "verification ");
		render_sanitized(out, state);
		status_add_number(out, verification, "done", ": ");
		status_add_number(out, verification, "of", " of ");
		(void)lm_buf_putc(out, '\n');
	}
	json_array_foreach(bad, i, image)
	{
		lm_auto_free char *line = verify_render_image(image);

		if (!line)
			continue;
		render_label(out, i == 0 && !is_under_way ? "images" : "");
		render_sanitized(out, line);
		(void)lm_buf_putc(out, '\n');
	}
}

/// The damaged image that was replaced last.
static void add_replaced(const json_t *status, struct lm_buf *out)
{
	const json_t *replaced =
		json_object_get(json_object_get(status, "verification"), "replaced");
	const json_t *last = json_array_get(replaced, 0);
	const json_t *at = json_object_get(last, "at_ms");
	char time[FORMAT_SIZE];

	if (!json_is_integer(at))
		return;
	render_label(out, "replaced");
	render_member(out, last, "image", "");
	verify_render_generations(out, json_object_get(last, "generations"));
	(void)lm_buf_printf(out, ", at %s", format_time(json_integer_value(at), time));
	if (json_array_size(replaced) > 1)
		(void)lm_buf_printf(out, "; %zu more images before", json_array_size(replaced) - 1);
	(void)lm_buf_putc(out, '\n');
}

static void status_add_brokers(const json_t *status, struct lm_buf *out)
{
	const json_t *brokers = json_object_get(status, "brokers");

	if (json_array_size(brokers) == 0) {
		render_label(out, "brokers");
		(void)lm_buf_puts(out, "none: status messages are not sent\n");
	}
	for (size_t i = 0; i < json_array_size(brokers); i++) {
		const json_t *broker = json_array_get(brokers, i);
		int64_t waiting = json_get_int(broker, "waiting", 0);

		render_label(
			out, i == 0 ? (json_array_size(brokers) == 1 ? "broker" : "brokers") : "");
		render_sanitized(out, json_get_text(broker, "name"));
		(void)lm_buf_puts(out, json_get_bool(broker, "connected", false)
					       ? ": connected"
					       : ": not connected");
		if (waiting > 0)
			(void)lm_buf_printf(out, ", %lld message%s waiting", (long long)waiting,
				waiting == 1 ? "" : "s");
		render_member(out, broker, "error", ": ");
		const json_t *refused = json_object_get(broker, "refused_topics");
		for (size_t k = 0; k < json_array_size(refused); k++) {
			(void)lm_buf_puts(out, k == 0 ? "; rejects topic " : ", ");
			render_sanitized(out, json_string_value(json_array_get(refused, k)));
		}
		(void)lm_buf_putc(out, '\n');
	}
}

/// "running on port 8883", "failed: <error>"
static void status_add_service(struct lm_buf *out, const json_t *service, const char *label)
{
	const char *state = json_get_text(service, "state");

	render_label(out, label);
	render_sanitized(out, state ? state : "-");
	if (state && strcmp(state, "running") == 0)
		status_add_number(out, service, "port", " on port ");
	render_member(out, service, "error", ": ");
}

/// "120 messages routed, 3 refused"
static void add_routed(struct lm_buf *out, const json_t *devices)
{
	int64_t connections = json_get_int(devices, "refused_connections", 0);

	status_add_number(out, devices, "routed", "; messages routed: ");
	status_add_number(out, devices, "refused", ", refused: ");
	if (connections > 0)
		(void)lm_buf_printf(out, "; connections refused: %lld", (long long)connections);
}

static void add_bridge(struct lm_buf *out, const json_t *cloud)
{
	const json_t *connected = json_object_get(cloud, "connected");

	render_label(out, "cloud");
	if (json_is_boolean(connected))
		(void)lm_buf_puts(out, json_is_true(connected) ? "connected" : "not connected");
	else
		(void)lm_buf_puts(out, "no message received yet");
	status_add_number(out, cloud, "sent", "; messages sent: ");
	status_add_number(out, cloud, "received", ", received: ");
	if (json_get_int(cloud, "refused", 0) > 0)
		status_add_number(out, cloud, "refused", ", refused: ");
	if (json_get_int(cloud, "sync_failing", 0) > 0)
		status_add_number(out, cloud, "sync_failing",
			"; shadows whose synchronization fails (see the broker's log): ");
	(void)lm_buf_putc(out, '\n');
}

static void status_add_devices(const json_t *status, struct lm_buf *out)
{
	const json_t *devices = json_object_get(status, "devices");
	size_t i;
	json_t *warning;

	if (!json_is_object(devices))
		return;
	render_label(out, "client devices");
	(void)lm_buf_printf(out, "%lld of %lld connected, %lld subscriptions\n",
		(long long)json_get_int(devices, "connected", 0),
		(long long)json_get_int(devices, "devices", 0),
		(long long)json_get_int(devices, "subscriptions", 0));
	status_add_service(out, json_object_get(devices, "broker"), "local broker");
	add_routed(out, devices);
	(void)lm_buf_putc(out, '\n');
	status_add_service(out, json_object_get(devices, "discovery"), "discovery");
	(void)lm_buf_putc(out, '\n');
	if (json_is_object(json_object_get(devices, "cloud")))
		add_bridge(out, json_object_get(devices, "cloud"));
	json_array_foreach(json_object_get(devices, "warnings"), i, warning)
	{
		render_label(out, "");
		(void)lm_buf_puts(out, "warning: ");
		render_sanitized(out, json_string_value(warning));
		(void)lm_buf_putc(out, '\n');
	}
}

static char *since_cell(const json_t *client, int64_t now_ms)
{
	const json_t *since = json_object_get(client, "since_ms");
	char ago[FORMAT_SIZE];

	if (!json_is_integer(since) || json_integer_value(since) <= 0)
		return NULL;
	return lm_xstrdup(format_ago(json_integer_value(since), now_ms, ago));
}

static char *state_cell(const json_t *container)
{
	lm_auto_free char *state = sanitize_text(json_get_text(container, "state"));
	const json_t *code = json_object_get(container, "exit_code");

	if (strcmp(state, "exited") != 0 || !json_is_integer(code))
		return lm_take(state);
	return lm_xasprintf("exited (%lld)", (long long)json_integer_value(code));
}

static char *health_cell(const json_t *container)
{
	const char *health = json_get_text(container, "health");

	return sanitize_text(health && strcmp(health, "none") != 0 ? health : NULL);
}

static char *number_cell(const json_t *container, const char *key)
{
	const json_t *number = json_object_get(container, key);

	if (!json_is_integer(number))
		return NULL;
	return lm_xasprintf("%lld", (long long)json_integer_value(number));
}

static char *uptime_cell(const json_t *container)
{
	const json_t *uptime = json_object_get(container, "uptime_s");
	char age[FORMAT_SIZE];

	if (!json_is_integer(uptime))
		return NULL;
	return lm_xstrdup(format_age(json_integer_value(uptime), age));
}

/// The clients of the local broker: devices, functions, the connector.
static void status_add_clients(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	static const char *const heads[] = {"CLIENT", "STATE", "SINCE", "ROUTED", "REFUSED"};
	const json_t *clients = json_object_get(json_object_get(status, "devices"), "clients");
	size_t shown =
		json_array_size(clients) < CLIENTS_SHOWN ? json_array_size(clients) : CLIENTS_SHOWN;
	struct table t = {.columns = LM_ARRAY_SIZE(heads)};

	if (shown == 0)
		return;
	for (size_t i = 0; i < t.columns; i++)
		table_add(&t, lm_xstrdup(heads[i]));
	for (size_t i = 0; i < shown; i++) {
		const json_t *client = json_array_get(clients, i);
		bool is_connected = json_get_bool(client, "connected", false);

		table_add(&t, sanitize_text(json_get_text(client, "name")));
		table_add(&t, lm_xstrdup(is_connected ? "connected" : "not connected"));
		table_add(&t, since_cell(client, now_ms));
		table_add(&t, number_cell(client, "routed"));
		table_add(&t, number_cell(client, "refused"));
	}
	(void)lm_buf_putc(out, '\n');
	table_render(&t, out);
	if (json_array_size(clients) > shown)
		(void)lm_buf_printf(out, "and %zu more; see `lighterman status --json`\n",
			json_array_size(clients) - shown);
}

static void add_table(const json_t *containers, struct lm_buf *out)
{
	static const char *const heads[] = {
		"SERVICE", "IMAGE", "STATE", "HEALTH", "RESTARTS", "UPTIME", "CONTAINER"};
	struct table t = {.columns = LM_ARRAY_SIZE(heads)};
	size_t i;
	json_t *container;

	for (i = 0; i < t.columns; i++)
		table_add(&t, lm_xstrdup(heads[i]));
	json_array_foreach(containers, i, container)
	{
		table_add(&t, sanitize_text(json_get_text(container, "service")));
		table_add(&t, sanitize_text(json_get_text(container, "image")));
		table_add(&t, state_cell(container));
		table_add(&t, health_cell(container));
		table_add(&t, number_cell(container, "restarts"));
		table_add(&t, uptime_cell(container));
		table_add(&t, sanitize_text(json_get_text(container, "name")));
	}
	(void)lm_buf_putc(out, '\n');
	table_render(&t, out);
}

static void status_add_containers(const json_t *status, struct lm_buf *out)
{
	const json_t *containers = json_object_get(status, "containers");

	if (json_array_size(containers)) {
		add_table(containers, out);
		return;
	}
	render_label(out, "containers");
	if (json_is_array(containers))
		(void)lm_buf_puts(out, "none");
	else
		(void)lm_buf_puts(out, "unknown");
	if (!json_is_array(containers))
		render_member(out, status, "containers_error", ": ");
	(void)lm_buf_putc(out, '\n');
}

/// "web (app_web_1): exited again 4 s ago with exit code 1, restarted 7 times; see …"
static void add_loop(const json_t *container, int64_t now_ms, struct lm_buf *out)
{
	const json_t *loop = json_object_get(container, "loop");
	const char *kind = json_get_text(loop, "kind");
	bool crashes = kind && strcmp(kind, "crash") == 0;
	char ago[FORMAT_SIZE];

	if (!json_is_object(loop))
		return;
	render_label(out, crashes ? "crash loop" : "restart loop");
	render_member(out, container, "service", "");
	if (json_get_text(container, "name")) {
		render_member(out, container, "name", " (");
		(void)lm_buf_putc(out, ')');
	}
	(void)lm_buf_printf(out, ": exited again %s",
		format_ago(json_get_int(loop, "last_end_ms", now_ms), now_ms, ago));
	status_add_number(out, loop, "exit_code", " with exit code ");
	status_add_number(out, container, "restarts", ", restarts: ");
	(void)lm_buf_puts(out, crashes ? "; see `lighterman crashes`\n" : "\n");
}

static void add_loops(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	const json_t *containers = json_object_get(status, "containers");

	for (size_t i = 0; i < json_array_size(containers); i++)
		add_loop(json_array_get(containers, i), now_ms, out);
}

/// "web: is unhealthy; restarting it in 20 s; restarts: 3, the last 2 min ago"
static void add_unhealthy_service(const json_t *entry, int64_t now_ms, struct lm_buf *out)
{
	const json_t *retry = json_object_get(entry, "retry_ms");
	const json_t *last = json_object_get(entry, "last_ms");
	bool is_due = json_is_integer(retry), has_failed = json_get_text(entry, "error") != NULL;
	char text[FORMAT_SIZE];

	render_label(out, is_due || has_failed ? "unhealthy" : "restarted");
	render_member(out, entry, "service", "");
	if (has_failed)
		render_member(out, entry, "error", ": could not be restarted: ");
	else
		(void)lm_buf_puts(out, is_due ? ": is unhealthy" : ": was unhealthy");
	if (is_due)
		(void)lm_buf_printf(out, "; %s in %s",
			has_failed ? "trying again" : "restarting it",
			format_age((json_integer_value(retry) + 999) / 1000, text));
	status_add_number(out, entry, "restarts", "; restarts: ");
	if (json_is_integer(last))
		(void)lm_buf_printf(
			out, ", the last %s", format_ago(json_integer_value(last), now_ms, text));
	(void)lm_buf_putc(out, '\n');
}

static void add_unhealthy_services(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	const json_t *list = json_object_get(status, "unhealthy_restarts");

	for (size_t i = 0; i < json_array_size(list); i++)
		add_unhealthy_service(json_array_get(list, i), now_ms, out);
}

/// "rollout-7: IN_PROGRESS, deploy, generation 4: pull"
static void add_job(const json_t *job, const char *label, struct lm_buf *out)
{
	if (!json_is_object(job))
		return;
	render_label(out, label);
	render_member(out, job, "id", "");
	render_member(out, job, "status", ": ");
	if (!json_get_bool(job, "reported", true) && strcmp(label, "last job") == 0)
		(void)lm_buf_puts(out, ", not reported yet");
	render_member(out, job, "operation", ", ");
	status_add_number(out, job, "generation", ", generation ");
	render_member(out, job, "stage", ": ");
	render_member(out, job, "reason", ": ");
	(void)lm_buf_putc(out, '\n');
}

static void add_jobs(const json_t *status, struct lm_buf *out)
{
	const json_t *jobs = json_object_get(status, "jobs");

	if (!json_is_object(jobs))
		return;
	render_label(out, "jobs");
	render_member(out, jobs, "thing", "of ");
	render_member(out, jobs, "broker", ", from ");
	(void)lm_buf_puts(
		out, json_get_bool(jobs, "connected", false) ? "\n" : ": not connected\n");
	add_job(json_object_get(jobs, "job"), "job", out);
	add_job(json_object_get(jobs, "last"), "last job", out);
}

void status_render(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	add_state(status, out);
	add_task(status, out);
	add_loops(status, now_ms, out);
	add_unhealthy_services(status, now_ms, out);
	add_deployment(status, out);
	add_last_deployment(status, now_ms, out);
	add_rollback(status, out);
	add_probation(status, now_ms, out);
	add_quarantine(status, out);
	add_verification(status, out);
	add_replaced(status, out);
	status_add_brokers(status, out);
	add_jobs(status, out);
	status_add_devices(status, out);
	render_label(out, "lightermand");
	render_member(out, status, "version", "");
	(void)lm_buf_putc(out, '\n');
	status_add_containers(status, out);
	status_add_clients(status, now_ms, out);
}

int cmd_status(const struct call *call)
{
	// Escaped and padded, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);
	lm_auto_json json_t *status = NULL;
	int failure = client_query(call, "status", JSON_OBJECT, &status);

	if (failure)
		return failure;
	if (call->json) {
		output_json(call, status);
		return EXIT_DONE;
	}
	status_render(status, lm_clock_wall_ms(), &page);
	output_text(call, lm_buf_str(&page));
	return EXIT_DONE;
}

int cmd_metrics(const struct call *call)
{
	lm_auto_json json_t *text = NULL;
	int failure = client_query(call, "metrics", JSON_STRING, &text);

	if (failure)
		return failure;
	if (call->json) {
		lm_auto_json json_t *document = json_pack("{s:O}", "metrics", text);
		output_json(call, document);
		return EXIT_DONE;
	}
	output_text(call, lm_str(json_string_value(text)));
	return EXIT_DONE;
}
