// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_crashes.h"

#include "base/limits.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/render.h"

static int64_t number(const json_t *crash, const char *key)
{
	return json_get_int(crash, key, -1);
}

static void add_end(const json_t *crash, struct lm_buf *out)
{
	int64_t code = number(crash, "exit_code"), signal = number(crash, "signal");

	if (code >= 0)
		(void)lm_buf_printf(out, "exit code %lld", (long long)code);
	else
		(void)lm_buf_puts(out, "exit code unknown");
	if (signal > 0)
		(void)lm_buf_printf(out, ", signal %lld", (long long)signal);
	if (json_get_bool(crash, "oom_killed", false))
		(void)lm_buf_puts(out, ", out of memory");
}

static void add_circumstances(const json_t *crash, struct lm_buf *out)
{
	int64_t uptime_s = number(crash, "uptime_seconds"), memory, disk;
	int64_t restarts = number(crash, "restart_count"), times = number(crash, "count");
	char text[FORMAT_SIZE];

	if (uptime_s >= 0 && uptime_s < INT64_MAX / 1000)
		(void)lm_buf_printf(out, ", after %s", format_duration(uptime_s * 1000, text));
	if (restarts > 0)
		(void)lm_buf_printf(
			out, ", %lld restart%s", (long long)restarts, restarts == 1 ? "" : "s");
	if (times > 1)
		(void)lm_buf_printf(out, ", %lld times in a minute", (long long)times);
	memory = number(crash, "memory_free_bytes");
	disk = number(crash, "disk_free_bytes");
	if (memory >= 0)
		(void)lm_buf_printf(out, ", memory free %s", format_bytes((uint64_t)memory, text));
	if (disk >= 0)
		(void)lm_buf_printf(out, ", disk free %s", format_bytes((uint64_t)disk, text));
}

static void add_log(const json_t *log, struct lm_buf *out)
{
	for (size_t i = 0; i < json_array_size(log); i++) {
		(void)lm_buf_puts(out, "    ");
		render_sanitized(out, json_string_value(json_array_get(log, i)));
		(void)lm_buf_putc(out, '\n');
	}
}

static void add_crash(const json_t *crash, struct lm_buf *out)
{
	const char *time = json_get_text(crash, "time");
	const char *service = json_get_text(crash, "service");

	render_sanitized(out, time ? time : "-");
	(void)lm_buf_puts(out, "  ");
	render_sanitized(out, service && *service ? service : "-");
	(void)lm_buf_puts(out, "  ");
	add_end(crash, out);
	add_circumstances(crash, out);
	(void)lm_buf_putc(out, '\n');
	add_log(json_object_get(crash, "log"), out);
}

void crashes_render(const json_t *crashes, struct lm_buf *out)
{
	if (json_array_size(crashes) == 0)
		(void)lm_buf_puts(out, "no crashes\n");
	for (size_t i = 0; i < json_array_size(crashes); i++)
		add_crash(json_array_get(crashes, i), out);
}

int cmd_crashes(const struct call *call)
{
	// Escaped, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);
	lm_auto_json json_t *crashes = NULL;
	int failure = client_query(call, "crashes", JSON_ARRAY, &crashes);

	if (failure)
		return failure;
	if (call->json) {
		output_json(call, crashes);
		return EXIT_DONE;
	}
	crashes_render(crashes, &page);
	output_text(call, lm_buf_str(&page));
	return EXIT_DONE;
}
