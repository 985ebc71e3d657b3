// SPDX-License-Identifier: Apache-2.0
#include "daemon/space_watch.h"

#include "base/memory.h"

#include <stdlib.h>
#include <sys/statvfs.h>

struct space_watch {
	struct loop_timer *timer;
	unsigned interval_ms;
	char *directory;
	uint64_t bytes;
	loop_cb *found;
	void *ctx;
};

/// As the disk check of a deployment counts it.
static bool has_space(const struct space_watch *w)
{
	struct statvfs fs;

	if (statvfs(w->directory, &fs) < 0 || (fs.f_files > 0 && fs.f_favail == 0))
		return false;
	return (uint64_t)fs.f_bavail * fs.f_frsize >= w->bytes;
}

static void space_watch_on_time(void *ctx)
{
	struct space_watch *w = ctx;

	if (!has_space(w))
		return;
	loop_timer_stop(w->timer);
	w->found(w->ctx);
}

struct space_watch *space_watch_create(
	struct loop *loop, unsigned interval_ms, loop_cb *found, void *ctx)
{
	struct space_watch *w = lm_xcalloc(1, sizeof(*w));

	*w = (struct space_watch){.interval_ms = interval_ms, .found = found, .ctx = ctx};
	w->timer = loop_timer_create(loop, space_watch_on_time, w);
	return w;
}

void space_watch_destroy(struct space_watch *w)
{
	if (!w)
		return;
	loop_timer_destroy(w->timer);
	free(w->directory);
	free(w);
}

void space_watch_start(struct space_watch *w, const char *directory, uint64_t bytes)
{
	char *copy = lm_xstrdup(directory);

	free(w->directory);
	w->directory = copy;
	w->bytes = bytes;
	loop_timer_start(w->timer, w->interval_ms, w->interval_ms);
}

void space_watch_stop(struct space_watch *w)
{
	loop_timer_stop(w->timer);
}
