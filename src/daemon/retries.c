// SPDX-License-Identifier: Apache-2.0
#include "daemon/retries.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "daemon/space_watch.h"

#include <stdlib.h>

enum {
	RETRY_MS = 15 * 1000,
	RETRY_MAX_MS = 10 * 60 * 1000,
	SPACE_MS = 30 * 1000,
	DEBT_MS = 1000,
	DEBT_MAX_MS = 60 * 1000,
};

struct retries {
	struct retries_events events;
	struct loop_timer *retry, *debt;
	uint64_t at_ms; ///< On lm_clock_mono_ms(); 0: it waits for disk space.
	struct space_watch *space;
	char *space_directory; ///< Where the last deployment that lacked space lacked it.
	uint64_t space_bytes;
	unsigned debt_tries;
};

static void on_retry(void *ctx)
{
	struct retries *r = ctx;

	r->events.again(r->events.ctx);
}

static void on_space(void *ctx)
{
	struct retries *r = ctx;

	lm_info("there is disk space again");
	r->events.again(r->events.ctx);
}

static void on_debt(void *ctx)
{
	struct retries *r = ctx;

	r->events.settle(r->events.ctx);
}

struct retries *retries_create(struct loop *loop, const struct retries_events *events)
{
	struct retries *r = lm_xcalloc(1, sizeof(*r));

	r->events = *events;
	r->retry = loop_timer_create(loop, on_retry, r);
	r->space = space_watch_create(loop, SPACE_MS, on_space, r);
	r->debt = loop_timer_create(loop, on_debt, r);
	return r;
}

void retries_destroy(struct retries *r)
{
	if (!r)
		return;
	loop_timer_destroy(r->retry);
	space_watch_destroy(r->space);
	free(r->space_directory);
	loop_timer_destroy(r->debt);
	free(r);
}

void retries_note_space(struct retries *r, char *directory, uint64_t bytes)
{
	if (!directory)
		return;
	free(r->space_directory);
	r->space_directory = directory;
	r->space_bytes = bytes;
}

static void set_retry(struct retries *r, unsigned tries, enum lifecycle_wanted wanted)
{
	uint64_t delay_ms =
		RETRY_MS + lm_backoff_ms(tries > 0 ? tries - 1 : 0, RETRY_MS, RETRY_MAX_MS);

	lm_info("retrying %s in %u s",
		wanted == WANTED_DOWN ? "to stop the application" : "the start",
		(unsigned)(delay_ms / 1000));
	r->at_ms = lm_clock_mono_ms() + delay_ms;
	loop_timer_start(r->retry, delay_ms, 0);
}

static void await_space(struct retries *r)
{
	lm_info("waiting until %.1f MB are free in '%s'", (double)r->space_bytes / (1 << 20),
		r->space_directory);
	r->at_ms = 0;
	space_watch_start(r->space, r->space_directory, r->space_bytes);
}

void retries_set(
	struct retries *r, const struct lifecycle_action *action, enum lifecycle_wanted wanted)
{
	if (action->awaits_space && r->space_directory)
		await_space(r);
	else
		set_retry(r, action->tries, wanted);
}

void retries_stop(struct retries *r)
{
	loop_timer_stop(r->retry);
	space_watch_stop(r->space);
}

uint64_t retries_at_ms(const struct retries *r)
{
	return r->at_ms;
}

void retries_set_debt(struct retries *r)
{
	loop_timer_start(r->debt, lm_backoff_ms(r->debt_tries++, DEBT_MS, DEBT_MAX_MS) + 1, 0);
}

void retries_note_debts(struct retries *r, const struct lifecycle *l)
{
	if (l->unsaved || l->unrecorded || l->unquarantined || l->unconfirmed)
		return;
	r->debt_tries = 0;
	loop_timer_stop(r->debt);
}
