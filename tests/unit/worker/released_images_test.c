// SPDX-License-Identifier: Apache-2.0
#include "worker/released_images.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define GONE "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image\"}"
#define IMAGE(id, tags) OK "{\"Id\":\"" id "\",\"Size\":7,\"RepoTags\":[" tags "]}"
#define CONTAINER(id)                                                                              \
	"[{\"Id\":\"c\",\"Names\":[\"/x\"],\"ImageID\":\"" id "\",\"State\":\"exited\"}]"

static const struct fake_answer answers[] = {
	{"GET /v1.41/containers/json?all=1 ", OK CONTAINER("sha256:used"), FAKE_CLOSE},
	{"GET /v1.41/images/sha256%3Agone/json ", GONE, FAKE_CLOSE},
	{"GET /v1.41/images/sha256%3Aours/json ", IMAGE("sha256:ours", "\"web:latest\""),
		FAKE_CLOSE},
	{"GET /v1.41/images/sha256%3Anameless/json ", IMAGE("sha256:nameless", ""), FAKE_CLOSE},
	{"GET /v1.41/images/sha256%3Anamed/json ", IMAGE("sha256:named", "\"web:2\",\"mine:1\""),
		FAKE_CLOSE},
	{"GET /v1.41/images/sha256%3Atwice/json ", IMAGE("sha256:twice", "\"web:3\",\"app:3\""),
		FAKE_CLOSE},
	{"DELETE /v1.41/images/sha256%3Aours ", OK "[]", FAKE_CLOSE},
	{"DELETE /v1.41/images/sha256%3Anameless ",
		"HTTP/1.0 409 Conflict\r\n\r\n{\"message\":\"image has dependent child images\"}",
		FAKE_CLOSE},
	{"DELETE /v1.41/images/web%3A3 ", OK "[]", FAKE_CLOSE},
	{"DELETE /v1.41/images/app%3A3 ", OK "[]", FAKE_CLOSE},
};

struct fixture {
	struct fake_engine *engine;
	int out[2];
	struct protocol protocol;
	struct task task;
	struct context cx;
};

static void release(struct fixture *f, const char *id, const char *first, const char *second)
{
	struct task_released *r = &f->task.released[f->task.released_n++];

	r->id = lm_xstrdup(id);
	r->names = lm_xcalloc(2, sizeof(*r->names));
	if (first)
		r->names[r->names_n++] = lm_xstrdup(first);
	if (second)
		r->names[r->names_n++] = lm_xstrdup(second);
}

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));

	f->engine = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	if (pipe2(f->out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	f->protocol = (struct protocol){.in = -1, .out = f->out[1], .signal_fd = -1, .stop_fd = -1};
	f->task.kind = TASK_DEPLOY;
	f->task.released = lm_xcalloc(8, sizeof(*f->task.released));
	f->cx = (struct context){.task = &f->task,
		.protocol = &f->protocol,
		.limit = WAIT_FOREVER,
		.engine = {.socket_path = f->engine->path, .version = {.minor = 41}}};
	release(f, "sha256:gone", "web:1", NULL);
	release(f, "sha256:used", "web:1", NULL);
	release(f, "sha256:ours", "docker.io/library/web", NULL);
	release(f, "sha256:nameless", NULL, NULL);
	release(f, "sha256:named", "web:2", NULL);
	release(f, "sha256:twice", "web:3", "app:3");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	fake_engine_destroy(f->engine);
	(void)close(f->out[0]);
	(void)close(f->out[1]);
	task_finish(&f->task);
	free(f);
	return 0;
}

/// What was sent to lightermand.
static const char *sent(struct fixture *f, char text[1024])
{
	ssize_t n = read(f->out[0], text, 1023);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void only_what_nobody_else_uses_or_names_can_go(void **state)
{
	struct fixture *f = *state;
	lm_auto(released_images_finish) struct released_images found = {0};
	struct lm_err err = {LM_OK};
	char text[1024];

	if (released_images_find(&f->cx, &found, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_int_equal(found.n, 3);
	assert_string_equal(found.items[0].id, "sha256:ours");
	assert_string_equal(found.items[0].name, "docker.io/library/web");
	assert_int_equal(found.items[0].bytes, 7);
	assert_string_equal(found.items[1].id, "sha256:nameless");
	assert_string_equal(found.items[1].name, "");
	assert_string_equal(found.items[2].id, "sha256:twice");
	assert_string_equal(sent(f, text), "{\"removed\":\"sha256:gone\"}\n");
}

static void a_plan_reports_nothing(void **state)
{
	struct fixture *f = *state;
	lm_auto(released_images_finish) struct released_images found = {0};
	struct lm_err err = {LM_OK};
	char text[1024];

	f->task.kind = TASK_PLAN;
	assert_int_equal(released_images_find(&f->cx, &found, &err), LM_OK);
	assert_string_equal(sent(f, text), "");
}

static void what_is_removed_is_reported_and_what_cannot_be_stays(void **state)
{
	struct fixture *f = *state;
	lm_auto(released_images_finish) struct released_images found = {0};
	struct lm_err err = {LM_OK};
	char text[1024];

	assert_int_equal(released_images_find(&f->cx, &found, &err), LM_OK);
	(void)sent(f, text);
	assert_int_equal(released_images_remove(&f->cx, &found, NULL, NULL, &err), LM_OK);
	assert_string_equal(
		sent(f, text), "{\"removed\":\"sha256:ours\"}\n{\"removed\":\"sha256:twice\"}\n");
	fake_engine_stop(f->engine);
	assert_int_equal(f->engine->given[8] + f->engine->given[9], 2); // both names
}

static bool goes_on_once(void *ctx)
{
	unsigned *left = ctx;

	return (*left)-- > 0;
}

static void no_more_are_removed_than_are_needed(void **state)
{
	struct fixture *f = *state;
	lm_auto(released_images_finish) struct released_images found = {0};
	struct lm_err err = {LM_OK};
	unsigned left = 1;
	char text[1024];

	assert_int_equal(released_images_find(&f->cx, &found, &err), LM_OK);
	(void)sent(f, text);
	assert_int_equal(released_images_remove(&f->cx, &found, goes_on_once, &left, &err), LM_OK);
	assert_string_equal(sent(f, text), "{\"removed\":\"sha256:ours\"}\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(only_what_nobody_else_uses_or_names_can_go),
		TEST(a_plan_reports_nothing),
		TEST(what_is_removed_is_reported_and_what_cannot_be_stays),
		TEST(no_more_are_removed_than_are_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
