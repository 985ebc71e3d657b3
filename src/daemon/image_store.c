// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_store.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/engine.h"
#include "docker/engine_request.h"
#include "sys/side_thread.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum {
	ASK_MS = 60 * 1000,
	SYNC_MS = 30 * 60 * 1000, ///< Some GB on a slow card.
	DIRECTORIES_MAX = 2,
};

/// With its image store of containerd the Engine's own directory has only what is about images.
#define CONTAINERD "/var/lib/containerd"

enum image_store_state {
	IMAGES_IDLE,
	IMAGES_ASKING,    ///< Where the images are.
	IMAGES_OPENED,    ///< That is known, and open if it is here.
	IMAGES_SYNCING,   ///< The thread has the descriptors.
	IMAGES_CANCELLED, ///< `done` is due.
};

/// The thread's own.
struct sync_work {
	int fds[DIRECTORIES_MAX];
	char *paths[DIRECTORIES_MAX];
	size_t n;
	lm_rc rc;
	struct lm_err err;
};

struct image_store {
	struct loop *loop;
	const char *engine_socket;
	enum image_store_state state;
	struct engine_get *get;
	struct sync_work *work; ///< NULL also while the thread has it.
	const struct sync_work *running;
	struct side_thread *thread;
	struct loop_timer *limit;
	uint64_t began_ms; ///< On lm_clock_mono_ms().
	image_store_done *done;
	void *ctx;
	bool is_elsewhere; ///< That was logged.
};

static void free_sync_work(void *ctx)
{
	struct sync_work *w = ctx;

	if (!w)
		return;
	for (size_t i = 0; i < w->n; i++) {
		(void)close(w->fds[i]);
		free(w->paths[i]);
	}
	free(w);
}

static void run_sync(void *ctx)
{
	struct sync_work *w = ctx;

	for (size_t i = 0; i < w->n && w->rc == LM_OK; i++)
		if (syncfs(w->fds[i]) < 0)
			w->rc = lm_fail(&w->err, LM_E_SYS, errno,
				"sync the file system of '%s', where the Docker daemon keeps its "
				"images: %m; what was pulled may be damaged: look for errors of "
				"that disk (dmesg)",
				w->paths[i]);
}

/// A directory on the same file system that we may open; -1 and errno: none.
static int open_file_system(const char *path)
{
	lm_auto_free char *above = lm_xstrdup(path);
	struct stat st;
	struct stat other;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 || errno != EACCES || stat(path, &st) < 0)
		return fd;
	for (char *slash = strrchr(above, '/'); slash && fd < 0; slash = strrchr(above, '/')) {
		slash[slash == above ? 1 : 0] = '\0';
		if (stat(above, &other) < 0 || other.st_dev != st.st_dev)
			break;
		fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (slash == above)
			break;
	}
	if (fd < 0)
		errno = EACCES;
	return fd;
}

static void say_elsewhere(struct image_store *s, const char *why)
{
	if (!s->is_elsewhere)
		lm_info("what is pulled is not synced to disk: %s", why);
	s->is_elsewhere = true;
}

/// `is_needed`: the Engine says that it is there.
static void add_directory(struct image_store *s, const char *path, bool is_needed)
{
	struct sync_work *w = s->work;
	int fd = open_file_system(path);

	if (fd >= 0) {
		w->fds[w->n] = fd;
		w->paths[w->n++] = lm_xstrdup(path);
	} else if (is_needed) {
		lm_auto_free char *why = lm_xasprintf(
			"cannot open '%s', where the Docker daemon keeps its images: %s", path,
			strerrordesc_np(errno));
		say_elsewhere(s, why);
	}
}

static void open_directories(struct image_store *s, const struct engine_facts *facts)
{
	free_sync_work(s->work);
	s->work = lm_xcalloc(1, sizeof(*s->work));
	if (facts->rootless || facts->root_directory[0] != '/') {
		say_elsewhere(s, "the Docker daemon keeps its images out of sight (rootless)");
		return;
	}
	add_directory(s, facts->root_directory, true);
	if (facts->has_containerd_store)
		add_directory(s, CONTAINERD, false);
	s->is_elsewhere &= s->work->n == 0;
}

static void image_store_finish(struct image_store *s, const struct lm_err *why)
{
	image_store_done *done = s->done;

	s->done = NULL;
	image_store_forget(s);
	if (done)
		done(s->ctx, why);
}

static void on_synced(void *ctx)
{
	struct image_store *s = ctx;
	uint64_t ms = lm_clock_mono_ms() - s->began_ms;
	struct lm_err err = s->running->err;

	if (s->running->rc == LM_OK)
		lm_debug("what was pulled is on disk: synced in %u ms", (unsigned)ms);
	image_store_finish(s, s->running->rc ? &err : NULL);
}

static void on_sync_limit(void *ctx)
{
	struct lm_err err;

	(void)!lm_fail(&err, LM_E_TIMEOUT, 0,
		"the disk has not stored within %d min what was pulled: look for errors of that "
		"disk (dmesg)",
		SYNC_MS / 60000);
	image_store_finish(ctx, &err);
}

/// From the loop, as `done` is.
static void begin_sync(struct image_store *s)
{
	const struct side_thread_spec spec = {.work = run_sync,
		.free_work = free_sync_work,
		.work_ctx = s->work,
		.done = on_synced,
		.ctx = s};
	struct lm_err err = {LM_OK};

	if (s->work->n == 0) {
		image_store_finish(s, NULL);
		return;
	}
	s->state = IMAGES_SYNCING;
	s->began_ms = lm_clock_mono_ms();
	if (side_thread_start(s->loop, &spec, &s->thread, &err)) {
		image_store_finish(s, &err);
		return;
	}
	s->running = lm_take(s->work);
	loop_timer_start(s->limit, SYNC_MS, 0);
}

static void image_store_on_info(void *ctx, lm_rc rc, struct lm_str body, const struct lm_err *why)
{
	struct image_store *s = ctx;
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	struct lm_err err = *why;

	engine_get_destroy(lm_take(s->get));
	if (rc == LM_OK)
		rc = engine_parse_info(body, &facts, &err);
	if (rc && s->done) {
		image_store_finish(s, &err);
		return;
	}
	s->state = rc ? IMAGES_IDLE : IMAGES_OPENED; // asked again once it matters
	if (rc)
		return;
	open_directories(s, &facts);
	if (s->done)
		begin_sync(s);
}

void image_store_open(struct image_store *s)
{
	image_store_forget(s);
	s->state = IMAGES_ASKING;
	s->get = engine_get_start(s->loop, s->engine_socket, "/info",
		"find out where the Docker daemon keeps its images", ASK_MS, image_store_on_info,
		s);
}

/// Later: the caller may not be ready for `done`.
static void on_sync_due(void *ctx)
{
	struct image_store *s = ctx;
	struct lm_err cancelled;

	(void)!lm_fail(&cancelled, LM_E_CANCELLED, 0, "cancelled");
	if (s->state == IMAGES_CANCELLED)
		image_store_finish(s, &cancelled);
	else if (s->state == IMAGES_OPENED)
		begin_sync(s);
	else
		on_sync_limit(s);
}

void image_store_sync(struct image_store *s, image_store_done *done, void *ctx)
{
	if (s->state == IMAGES_IDLE)
		image_store_open(s);
	s->done = done;
	s->ctx = ctx;
	if (s->state == IMAGES_OPENED)
		loop_timer_start(s->limit, 0, 0);
}

void image_store_cancel(struct image_store *s)
{
	image_store_done *done = s->done;

	if (!done)
		return;
	image_store_forget(s);
	s->done = done;
	s->state = IMAGES_CANCELLED;
	loop_timer_start(s->limit, 0, 0);
}

void image_store_forget(struct image_store *s)
{
	s->done = NULL;
	s->state = IMAGES_IDLE;
	loop_timer_stop(s->limit);
	engine_get_destroy(lm_take(s->get));
	side_thread_destroy(lm_take(s->thread));
	s->running = NULL;
	free_sync_work(lm_take(s->work));
}

struct image_store *image_store_create(struct loop *loop, const char *engine_socket)
{
	struct image_store *s = lm_xcalloc(1, sizeof(*s));

	*s = (struct image_store){.loop = loop, .engine_socket = engine_socket};
	s->limit = loop_timer_create(loop, on_sync_due, s);
	return s;
}

void image_store_destroy(struct image_store *s)
{
	if (!s)
		return;
	image_store_forget(s);
	loop_timer_destroy(s->limit);
	free(s);
}
