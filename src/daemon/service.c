// SPDX-License-Identifier: Apache-2.0
#include "daemon/service.h"

#include "base/log.h"
#include "base/memory.h"
#include "sys/notify.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct service {
	struct notify *notify; ///< NULL: nobody is to be told.
	struct loop_timer *watchdog;
	char *status;
	bool failed; ///< The log knows that the manager cannot be told.
};

static bool tell(struct service *s, enum notify_patience patience, const char *lines)
{
	struct lm_err err;

	if (notify_send(s->notify, patience, lines, &err) == LM_OK) {
		s->failed = false;
		return true;
	}
	if (!s->failed)
		lm_warn("%s, ignoring", err.msg);
	s->failed = true;
	return false;
}

static void on_watchdog(void *ctx)
{
	(void)tell(ctx, NOTIFY_AT_ONCE, "WATCHDOG=1");
}

struct service *service_create(struct loop *loop)
{
	struct service *s = lm_xcalloc(1, sizeof(*s));
	struct lm_err err;

	if (notify_open(&s->notify, &err))
		lm_warn("%s; the service manager is told nothing", err.msg);
	s->watchdog = loop_timer_create(loop, on_watchdog, s);
	uint64_t interval_ms = notify_watchdog_ms(s->notify) / 2;
	if (interval_ms > 0)
		loop_timer_start(s->watchdog, interval_ms, interval_ms);
	return s;
}

void service_destroy(struct service *s)
{
	if (!s)
		return;
	loop_timer_destroy(s->watchdog);
	notify_close(s->notify);
	free(s->status);
	free(s);
}

void service_ready(struct service *s)
{
	(void)tell(s, NOTIFY_PATIENT, "READY=1");
}

void service_status(struct service *s, const char *sentence)
{
	if (s->status && strcmp(s->status, sentence) == 0)
		return;
	lm_auto_free char *lines = lm_xasprintf("STATUS=%s", sentence);
	free(s->status);
	s->status = tell(s, NOTIFY_AT_ONCE, lines) ? lm_xstrdup(sentence) : NULL;
}

void service_stopping(struct service *s)
{
	(void)tell(s, NOTIFY_PATIENT, "STOPPING=1");
}
