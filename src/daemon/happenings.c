// SPDX-License-Identifier: Apache-2.0
#include "daemon/happenings.h"

#include "base/limits.h"
#include "base/log.h"
#include "config/status.h"
#include "docker/compose.h"

static void on_happened(void *ctx, const struct report *report)
{
	const struct happenings *to = ctx;
	lm_auto_free char *text = report_to_text(report);
	lm_auto_json json_t *message = report_to_message(report);
	lm_auto_buf struct lm_buf payload = LM_BUF(LIMIT_MQTT_PAYLOAD);
	struct lm_err err = {LM_OK};

	// The message first: it is waited for.
	bool fits = json_write(message, &payload);
	lm_rc rc =
		!fits ? lm_fail(&err, LM_E_TOO_LARGE, 0, "it is over %d bytes", LIMIT_MQTT_PAYLOAD)
		      : outgoing_send(to->outgoing, OUTBOX_EVENT, lm_buf_str(&payload), &err);
	lm_log(report_is_bad(report) ? LM_WARN : LM_INFO, "%s", text);
	if (rc)
		lm_error("the message about that is lost: %s", err.msg);
	to->changed(to->ctx);
}

static void on_lost(void *ctx, const char *why)
{
	const struct happenings *to = ctx;

	lm_warn("what happens to the containers is not seen: %s, retrying", why);
	to->changed(to->ctx);
}

static void on_found(void *ctx)
{
	const struct happenings *to = ctx;

	lm_info("what happens to the containers is seen again");
	to->back(to->ctx);
}

static void on_changed(void *ctx)
{
	const struct happenings *to = ctx;

	to->changed(to->ctx);
}

static void on_trouble(void *ctx, const char *what)
{
	(void)ctx;
	lm_warn("%s, ignoring", what);
}

lm_rc happenings_watch(struct loop *loop, const struct host_settings *host,
	const struct happenings *to, struct monitor **ret, struct lm_err *err)
{
	const struct monitor_settings settings = {
		.engine_socket = host->docker_socket,
		.project = COMPOSE_PROJECT,
		.state_directory = host->state_directory,
	};
	const struct monitor_events events = {
		.happened = on_happened,
		.lost = on_lost,
		.found = on_found,
		.trouble = on_trouble,
		.changed = on_changed,
		.ctx = (void *)to,
	};

	return monitor_create(loop, &settings, &events, ret, err);
}
