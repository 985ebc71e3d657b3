// SPDX-License-Identifier: Apache-2.0
#include "sys/wait.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

struct wait_limit wait_limit_within(const struct wait_limit *limit, uint64_t timeout_ms)
{
	struct wait_limit within = *limit;
	uint64_t deadline = lm_clock_mono_ms() + timeout_ms;

	if (within.deadline_ms == 0 || deadline < within.deadline_ms)
		within.deadline_ms = deadline;
	return within;
}

/// How long poll may sleep before somebody must be called: the deadline, or `alive`.
static int poll_timeout_ms(const struct wait_limit *limit, uint64_t now, uint64_t alive_due)
{
	uint64_t until = UINT64_MAX;

	if (limit->deadline_ms)
		until = limit->deadline_ms;
	if (limit->alive && alive_due < until)
		until = alive_due;
	if (until == UINT64_MAX)
		return -1;
	if (until <= now)
		return 0;
	return until - now > INT_MAX ? INT_MAX : (int)(until - now);
}

/// One poll of the caller's descriptors and, last in the array, the cancel descriptor.
static lm_rc poll_all(
	struct pollfd *all, unsigned n, int timeout_ms, bool *ret_ready, struct lm_err *err)
{
	int ready = poll(all, n + 1, timeout_ms);

	if (ready < 0 && errno != EINTR)
		return lm_fail(err, LM_E_SYS, errno, "wait for an event: %m");
	if (ready > 0 && all[n].revents)
		return lm_fail(err, LM_E_CANCELLED, 0, "cancelled");
	*ret_ready = ready > 0;
	return LM_OK;
}

/// The waiting of wait_for and wait_ms: `*ret_ready` is false at the deadline.
static lm_rc wait_until_ready(struct pollfd *fds, unsigned n, const struct wait_limit *limit,
	bool *ret_ready, struct lm_err *err)
{
	lm_auto_free struct pollfd *all = lm_xcalloc(n + 1, sizeof(*all));
	uint64_t own_due = 0;
	uint64_t *alive_due = limit->alive_due_ms ? limit->alive_due_ms : &own_due;

	if (*alive_due == 0)
		*alive_due = lm_clock_mono_ms() + limit->alive_ms;
	if (n)
		memcpy(all, fds, n * sizeof(*all));
	all[n] = (struct pollfd){.fd = limit->cancel_fd, .events = POLLIN};
	for (;;) {
		bool ready = false;
		int timeout_ms = poll_timeout_ms(limit, lm_clock_mono_ms(), *alive_due);
		lm_rc rc = poll_all(all, n, timeout_ms, &ready, err);
		if (rc)
			return rc;
		uint64_t now = lm_clock_mono_ms();
		if (limit->alive && now >= *alive_due) {
			limit->alive(limit->alive_ctx);
			*alive_due = now + limit->alive_ms;
		}
		if (ready || (limit->deadline_ms && now >= limit->deadline_ms)) {
			if (n)
				memcpy(fds, all, n * sizeof(*all));
			*ret_ready = ready;
			return LM_OK;
		}
	}
}

lm_rc wait_for(struct pollfd *fds, unsigned n, const struct wait_limit *limit, struct lm_err *err)
{
	bool ready = false;
	lm_rc rc = wait_until_ready(fds, n, limit, &ready, err);

	if (rc)
		return rc;
	return ready ? LM_OK : lm_fail(err, LM_E_TIMEOUT, 0, "time limit reached");
}

lm_rc wait_ms(uint64_t ms, const struct wait_limit *limit, struct lm_err *err)
{
	struct wait_limit within = wait_limit_within(limit, ms);
	bool ready = false;
	lm_rc rc = wait_until_ready(NULL, 0, &within, &ready, err);

	if (rc)
		return rc;
	if (limit->deadline_ms && within.deadline_ms == limit->deadline_ms)
		return lm_fail(err, LM_E_TIMEOUT, 0, "time limit reached");
	return LM_OK;
}
