// SPDX-License-Identifier: Apache-2.0
#include "daemon/image_store.h"

#include "base/memory.h"
#include "fake_engine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/// What the disk answers, and what it was asked: the device of each descriptor.
static struct {
	int fails; ///< errno; 0: it does not.
	int calls;
	dev_t device;
} disk;

int __wrap_syncfs(int fd);

int __wrap_syncfs(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	disk.calls++;
	disk.device = st.st_dev;
	errno = disk.fails;
	return disk.fails ? -1 : 0;
}

struct scene {
	struct loop *loop;
	struct loop_timer *limit;
	struct fake_answer answer; ///< Of the engine.
	struct fake_engine *engine;
	struct image_store *store;
	int done;
	char why[LM_ERR_MSG_SIZE];
};

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened within 20 s");
}

static void on_done(void *ctx, const struct lm_err *why)
{
	struct scene *s = ctx;

	s->done++;
	(void)snprintf(s->why, sizeof(s->why), "%s", why ? why->msg : "");
	loop_stop(s->loop);
}

/// Pulls, and syncs. `info` is the Engine's answer.
static void run(struct scene *s, const char *info, int fails)
{
	*s = (struct scene){.answer = {"GET /info HTTP/1.0", info, FAKE_CLOSE}};
	memset(&disk, 0, sizeof(disk));
	disk.fails = fails;
	assert_int_equal(loop_create(&s->loop, NULL), LM_OK);
	s->limit = loop_timer_create(s->loop, too_long, NULL);
	loop_timer_start(s->limit, 20000, 0);
	s->engine = fake_engine_create(&s->answer, 1);
	s->store = image_store_create(s->loop, s->engine->path);
	image_store_open(s->store);
	image_store_sync(s->store, on_done, s);
	assert_int_equal(s->done, 0); // later, from the loop
	loop_run(s->loop);
	assert_int_equal(s->done, 1);
}

static void finish(struct scene *s)
{
	image_store_destroy(s->store);
	fake_engine_destroy(s->engine);
	loop_timer_destroy(s->limit);
	loop_destroy(s->loop);
}

static char *info_of(const char *root, const char *more)
{
	return lm_xasprintf("HTTP/1.0 200 OK\r\n\r\n{\"DockerRootDir\":\"%s\"%s}", root, more);
}

static void syncs_the_file_system_of_the_images(void **state)
{
	lm_auto_free char *info = info_of("/proc", "");
	struct stat st;
	struct scene s;
	(void)state;

	assert_int_equal(stat("/proc", &st), 0);
	run(&s, info, 0);
	assert_string_equal(s.why, "");
	assert_int_equal(disk.calls, 1);
	assert_int_equal(disk.device, st.st_dev);
	finish(&s);
}

static void once_more_after_the_first_time(void **state)
{
	lm_auto_free char *info = info_of("/proc", "");
	struct scene s;
	(void)state;

	run(&s, info, 0);
	image_store_sync(s.store, on_done, &s); // without image_store_open
	loop_run(s.loop);
	assert_int_equal(s.done, 2);
	assert_int_equal(disk.calls, 2);
	finish(&s);
}

static void a_disk_that_fails_is_reported(void **state)
{
	lm_auto_free char *info = info_of("/proc", "");
	struct scene s;
	(void)state;

	run(&s, info, EIO);
	assert_string_equal(s.why, "sync the file system of '/proc', where the Docker daemon keeps "
				   "its images: Input/output error; what was pulled may be "
				   "damaged: look for errors of that disk (dmesg)");
	finish(&s);
}

static void what_is_elsewhere_is_left_alone(void **state)
{
	static const char *const roots[] = {"/nowhere/of/this/device", "C:", ""};
	struct scene s;
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(roots); i++) {
		lm_auto_free char *info = info_of(roots[i], "");

		run(&s, info, EIO);
		assert_string_equal(s.why, "");
		assert_int_equal(disk.calls, 0);
		finish(&s);
	}
	lm_auto_free char *rootless = info_of("/proc", ",\"SecurityOptions\":[\"name=rootless\"]");
	run(&s, rootless, EIO);
	assert_int_equal(disk.calls, 0);
	finish(&s);
}

#define REFUSES "HTTP/1.0 500 Internal Server Error\r\n\r\n{\"message\":\"no\"}"

static void an_engine_that_does_not_say_where_is_reported(void **state)
{
	struct scene s;
	(void)state;

	run(&s, REFUSES, 0);
	assert_non_null(strstr(s.why, "find out where the Docker daemon keeps its images"));
	assert_int_equal(disk.calls, 0);
	finish(&s);
}

static void is_asked_again_if_it_did_not_answer_when_the_pull_began(void **state)
{
	lm_auto_free char *info = info_of("/proc", "");
	const struct fake_answer answers[] = {
		{"GET /info HTTP/1.0", REFUSES, FAKE_CLOSE, 1},
		{"GET /info HTTP/1.0", info, FAKE_CLOSE, 0},
	};
	struct scene s = {0};
	(void)state;

	memset(&disk, 0, sizeof(disk));
	assert_int_equal(loop_create(&s.loop, NULL), LM_OK);
	s.limit = loop_timer_create(s.loop, too_long, NULL);
	loop_timer_start(s.limit, 20000, 0);
	s.engine = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	s.store = image_store_create(s.loop, s.engine->path);
	struct image_store *other = image_store_create(s.loop, s.engine->path);
	image_store_open(s.store); // gets the refusal,
	image_store_open(other);
	image_store_sync(other, on_done, &s);
	loop_run(s.loop); // for which it had time when the other has synced
	image_store_destroy(other);
	assert_int_equal(disk.calls, 1);
	image_store_sync(s.store, on_done, &s);
	loop_run(s.loop);
	assert_int_equal(s.done, 2);
	assert_string_equal(s.why, "");
	assert_int_equal(disk.calls, 2);
	finish(&s);
}

static void nothing_is_reported_after_forget(void **state)
{
	lm_auto_free char *info = info_of("/proc", "");
	struct scene s;
	(void)state;

	run(&s, info, 0);
	image_store_open(s.store);
	image_store_sync(s.store, on_done, &s);
	image_store_forget(s.store);
	image_store_sync(s.store, on_done, &s); // a new one is not mixed up with it
	loop_run(s.loop);
	assert_int_equal(s.done, 2);
	finish(&s);
}

static void what_is_cancelled_is_over_soon(void **state)
{
	lm_auto_free char *info = info_of("/proc", "");
	struct scene s;
	(void)state;

	run(&s, info, 0);
	image_store_cancel(s.store); // nothing is awaited
	image_store_open(s.store);
	image_store_sync(s.store, on_done, &s);
	image_store_cancel(s.store);
	image_store_cancel(s.store);
	assert_int_equal(s.done, 1); // later, from the loop
	loop_run(s.loop);
	assert_int_equal(s.done, 2);
	assert_string_equal(s.why, "cancelled");
	image_store_sync(s.store, on_done, &s);
	loop_run(s.loop);
	assert_string_equal(s.why, "");
	finish(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syncs_the_file_system_of_the_images),
		cmocka_unit_test(once_more_after_the_first_time),
		cmocka_unit_test(a_disk_that_fails_is_reported),
		cmocka_unit_test(what_is_elsewhere_is_left_alone),
		cmocka_unit_test(an_engine_that_does_not_say_where_is_reported),
		cmocka_unit_test(is_asked_again_if_it_did_not_answer_when_the_pull_began),
		cmocka_unit_test(nothing_is_reported_after_forget),
		cmocka_unit_test(what_is_cancelled_is_over_soon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
