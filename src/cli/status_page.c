// SPDX-License-Identifier: Apache-2.0
#include "cli/status_page.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/human.h"
#include "cli/plain.h"

#include <string.h>

enum { LABEL_COLUMN = 17 };

static void add_label(struct lm_buf *out, const char *label)
{
	plain_add_padded(out, label, LABEL_COLUMN);
}

/// Text from lightermand, fit for a terminal.
static void add_plain(struct lm_buf *out, const char *s)
{
	lm_auto_free char *plain = plain_text(s);

	(void)lm_buf_puts(out, plain);
}

/// ", label text"; nothing if the member is no text.
static void add_member(
	struct lm_buf *out, const json_t *object, const char *key, const char *before)
{
	const char *text = json_get_text(object, key);

	if (!text)
		return;
	(void)lm_buf_puts(out, before);
	add_plain(out, text);
}

static void add_number(
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

	add_label(out, "state");
	if (state && strcmp(state, "empty") == 0) {
		(void)lm_buf_puts(out, "empty: nothing was ever deployed");
	} else {
		add_plain(out, state ? state : "-");
		if (!says_all)
			add_member(out, status, "description", ": ");
	}
	(void)lm_buf_putc(out, '\n');
}

static void add_job(const json_t *status, struct lm_buf *out)
{
	const json_t *job = json_object_get(status, "job");
	const json_t *since = json_object_get(job, "since_ms");
	char duration[HUMAN_SIZE];

	if (!json_is_object(job))
		return;
	add_label(out, "under way");
	add_plain(out, json_get_text(job, "kind"));
	add_number(out, job, "generation", " of generation ");
	add_member(out, job, "stage", ", in stage ");
	if (json_is_integer(since))
		(void)lm_buf_printf(
			out, ", for %s", human_duration(json_integer_value(since), duration));
	(void)lm_buf_putc(out, '\n');
}

static void add_deployment(const json_t *status, struct lm_buf *out)
{
	const json_t *deployment = json_object_get(status, "deployment");

	add_label(out, "deployment");
	if (!json_is_object(deployment)) {
		(void)lm_buf_puts(out, "none\n");
		return;
	}
	add_number(out, deployment, "generation", "generation ");
	add_member(out, deployment, "id", ", id ");
	add_number(out, deployment, "connector_version", ", connector version ");
	(void)lm_buf_putc(out, '\n');
	add_label(out, "compose file");
	add_member(out, deployment, "key", "");
	add_member(out, deployment, "bucket", " of bucket ");
	add_member(out, deployment, "compose_version", ", version ");
	(void)lm_buf_putc(out, '\n');
	add_label(out, "destination");
	add_member(out, deployment, "destination", "");
	(void)lm_buf_putc(out, '\n');
}

/// "5 min ago (2026-03-01T12:13:14+01:00), after 4.2 s"
static void add_ended(const json_t *last, int64_t now_ms, struct lm_buf *out)
{
	const json_t *ended = json_object_get(last, "ended_ms");
	int64_t ended_ms = json_integer_value(ended), took_ms;
	char ago[HUMAN_SIZE], time[HUMAN_SIZE], duration[HUMAN_SIZE];

	if (!json_is_integer(ended))
		return;
	(void)lm_buf_printf(
		out, " %s (%s)", human_ago(ended_ms, now_ms, ago), human_time(ended_ms, time));
	if (!__builtin_sub_overflow(
		    ended_ms, json_get_int(last, "started_ms", ended_ms), &took_ms) &&
		took_ms > 0) // a clock that was set in between says nothing
		(void)lm_buf_printf(out, ", after %s", human_duration(took_ms, duration));
}

static void add_last_deployment(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	const json_t *last = json_object_get(status, "last_deployment");

	if (!json_is_object(last))
		return;
	add_label(out, "last deployment");
	add_number(out, last, "generation", "generation ");
	if (json_get_int(last, "attempt", 1) > 1)
		add_number(out, last, "attempt", ", attempt ");
	if (json_get_bool(last, "success", false)) {
		(void)lm_buf_puts(out, ": succeeded");
	} else {
		(void)lm_buf_puts(out, ": failed");
		add_member(out, last, "stage", " in ");
	}
	add_ended(last, now_ms, out);
	(void)lm_buf_putc(out, '\n');
	if (!json_get_text(last, "message"))
		return;
	add_label(out, "");
	add_member(out, last, "message", "");
	(void)lm_buf_putc(out, '\n');
}

static void add_brokers(const json_t *status, struct lm_buf *out)
{
	const json_t *brokers = json_object_get(status, "brokers");

	if (json_array_size(brokers) == 0) {
		add_label(out, "brokers");
		(void)lm_buf_puts(out, "none: status messages are not sent\n");
	}
	for (size_t i = 0; i < json_array_size(brokers); i++) {
		const json_t *broker = json_array_get(brokers, i);
		int64_t waiting = json_get_int(broker, "waiting", 0);

		add_label(
			out, i == 0 ? (json_array_size(brokers) == 1 ? "broker" : "brokers") : "");
		add_plain(out, json_get_text(broker, "name"));
		(void)lm_buf_puts(out, json_get_bool(broker, "connected", false)
					       ? ": connected"
					       : ": not connected");
		if (waiting > 0)
			(void)lm_buf_printf(out, ", %lld message%s waiting", (long long)waiting,
				waiting == 1 ? "" : "s");
		add_member(out, broker, "error", ": ");
		const json_t *refused = json_object_get(broker, "refused_topics");
		for (size_t k = 0; k < json_array_size(refused); k++) {
			(void)lm_buf_puts(out, k == 0 ? "; refuses the topic " : ", ");
			add_plain(out, json_string_value(json_array_get(refused, k)));
		}
		(void)lm_buf_putc(out, '\n');
	}
}

enum { SERVICE, IMAGE, STATE, HEALTH, RESTARTS, UPTIME, NAME, CELLS };

struct row {
	char *cells[CELLS];
};

static char *state_cell(const json_t *container)
{
	lm_auto_free char *state = plain_text(json_get_text(container, "state"));
	const json_t *code = json_object_get(container, "exit_code");

	if (strcmp(state, "exited") != 0 || !json_is_integer(code))
		return lm_take(state);
	return lm_xasprintf("exited (%lld)", (long long)json_integer_value(code));
}

static char *health_cell(const json_t *container)
{
	const char *health = json_get_text(container, "health");

	return plain_text(health && strcmp(health, "none") != 0 ? health : "-");
}

static char *number_cell(const json_t *container, const char *key)
{
	const json_t *number = json_object_get(container, key);

	if (!json_is_integer(number))
		return lm_xstrdup("-");
	return lm_xasprintf("%lld", (long long)json_integer_value(number));
}

static char *uptime_cell(const json_t *container)
{
	const json_t *uptime = json_object_get(container, "uptime_s");
	char age[HUMAN_SIZE];

	return lm_xstrdup(
		json_is_integer(uptime) ? human_age(json_integer_value(uptime), age) : "-");
}

static struct row make_row(const json_t *container)
{
	return (struct row){{
		[SERVICE] = plain_text(json_get_text(container, "service")),
		[IMAGE] = plain_text(json_get_text(container, "image")),
		[STATE] = state_cell(container),
		[HEALTH] = health_cell(container),
		[RESTARTS] = number_cell(container, "restarts"),
		[UPTIME] = uptime_cell(container),
		[NAME] = plain_text(json_get_text(container, "name")),
	}};
}

static struct row make_head(void)
{
	return (struct row){{
		[SERVICE] = lm_xstrdup("SERVICE"),
		[IMAGE] = lm_xstrdup("IMAGE"),
		[STATE] = lm_xstrdup("STATE"),
		[HEALTH] = lm_xstrdup("HEALTH"),
		[RESTARTS] = lm_xstrdup("RESTARTS"),
		[UPTIME] = lm_xstrdup("UPTIME"),
		[NAME] = lm_xstrdup("CONTAINER"),
	}};
}

/// Prints a row and frees its cells.
static void add_row(struct lm_buf *out, struct row *row, const size_t widths[CELLS])
{
	for (size_t c = 0; c < CELLS; c++) {
		const char *cell = *row->cells[c] ? row->cells[c] : "-";

		if (c + 1 < CELLS)
			plain_add_padded(out, cell, widths[c] + 2);
		else
			(void)lm_buf_puts(out, cell);
		free(row->cells[c]);
	}
	(void)lm_buf_putc(out, '\n');
}

static void add_table(const json_t *containers, struct lm_buf *out)
{
	size_t n = json_array_size(containers) + 1, widths[CELLS] = {0};
	lm_auto_free struct row *rows = lm_xcalloc(n, sizeof(*rows));

	for (size_t i = 0; i < n; i++) {
		rows[i] = i == 0 ? make_head() : make_row(json_array_get(containers, i - 1));
		for (size_t c = 0; c < CELLS; c++) {
			size_t width = plain_width(rows[i].cells[c]);
			widths[c] = width > widths[c] ? width : widths[c];
		}
	}
	(void)lm_buf_putc(out, '\n');
	for (size_t i = 0; i < n; i++)
		add_row(out, &rows[i], widths);
}

static void add_containers(const json_t *status, struct lm_buf *out)
{
	const json_t *containers = json_object_get(status, "containers");

	if (json_array_size(containers)) {
		add_table(containers, out);
		return;
	}
	add_label(out, "containers");
	if (json_is_array(containers))
		(void)lm_buf_puts(out, "none");
	else
		(void)lm_buf_puts(out, "not known");
	if (!json_is_array(containers))
		add_member(out, status, "containers_error", ": ");
	(void)lm_buf_putc(out, '\n');
}

/// "web (app_web_1): ended again 4 s ago with exit code 1, restarted 7 times; see …"
static void add_loop(const json_t *container, int64_t now_ms, struct lm_buf *out)
{
	const json_t *loop = json_object_get(container, "loop");
	const char *kind = json_get_text(loop, "kind");
	bool crashes = kind && strcmp(kind, "crash") == 0;
	char ago[HUMAN_SIZE];

	if (!json_is_object(loop))
		return;
	add_label(out, crashes ? "crash loop" : "restart loop");
	add_member(out, container, "service", "");
	if (json_get_text(container, "name")) {
		add_member(out, container, "name", " (");
		(void)lm_buf_putc(out, ')');
	}
	(void)lm_buf_printf(out, ": ended again %s",
		human_ago(json_get_int(loop, "last_end_ms", now_ms), now_ms, ago));
	add_number(out, loop, "exit_code", " with exit code ");
	add_number(out, container, "restarts", ", restarts: ");
	(void)lm_buf_puts(out, crashes ? "; see `lighterman crashes`\n" : "\n");
}

static void add_loops(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	const json_t *containers = json_object_get(status, "containers");

	for (size_t i = 0; i < json_array_size(containers); i++)
		add_loop(json_array_get(containers, i), now_ms, out);
}

void status_page_add(const json_t *status, int64_t now_ms, struct lm_buf *out)
{
	add_state(status, out);
	add_job(status, out);
	add_loops(status, now_ms, out);
	add_deployment(status, out);
	add_last_deployment(status, now_ms, out);
	add_brokers(status, out);
	add_label(out, "lightermand");
	add_member(out, status, "version", "");
	(void)lm_buf_putc(out, '\n');
	add_containers(status, out);
}
