// SPDX-License-Identifier: Apache-2.0
#include "worker/doomed_images.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define IMAGE(id, name, layers)                                                                    \
	OK "{\"Id\":\"" id "\",\"RepoTags\":[\"" name "\"],\"RootFS\":{\"Layers\":[" layers "]}}"

/// Of three layers, the second is damaged; `base` has only the one below, `top` is built on it all.
static const struct fake_answer answers[] = {
	{"GET /v1.41/images/json?all=1 ",
		OK "[{\"Id\":\"base\"},{\"Id\":\"web\"},{\"Id\":\"gone\"},{\"Id\":\"top\"}]",
		FAKE_CLOSE},
	{"GET /v1.41/images/web/json ", IMAGE("web", "web:1", "\"a\",\"b\",\"c\""), FAKE_CLOSE},
	{"GET /v1.41/images/base/json ", IMAGE("base", "base:1", "\"a\""), FAKE_CLOSE},
	{"GET /v1.41/images/top/json ", IMAGE("top", "top:1", "\"a\",\"b\",\"c\",\"d\""),
		FAKE_CLOSE},
	{"GET /v1.41/images/gone/json ", "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"gone\"}",
		FAKE_CLOSE},
	{"DELETE /v1.41/images/top%3A1 ", OK "[]", FAKE_CLOSE},
	{"DELETE /v1.41/images/top ", OK "[]", FAKE_CLOSE},
	{"DELETE /v1.41/images/web%3A1 ", OK "[]", FAKE_CLOSE},
	{"DELETE /v1.41/images/web ", OK "[]", FAKE_CLOSE},
};

enum { LAYER = 2, TOP_LAYER = 4 };

struct fixture {
	struct fake_engine *engine;
	int out[2];
	struct protocol protocol;
	struct task task;
	struct context cx;
	struct engine_container container;
	struct engine_containers containers;
	struct doomed_images doomed;
};

static struct task_subject subject(const char *id, const char *name)
{
	return (struct task_subject){.ref = lm_xstrdup(name),
		.id = lm_xstrdup(id),
		.names = json_pack("{s:b}", name, 1)};
}

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));

	f->engine = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	if (pipe2(f->out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	f->protocol = (struct protocol){.in = -1, .out = f->out[1], .signal_fd = -1, .stop_fd = -1};
	f->task.kind = TASK_REPLACE_IMAGES;
	f->task.kept = json_pack("{s:b, s:b}", "web", 1, "top", 1);
	f->task.subjects = lm_xcalloc(2, sizeof(*f->task.subjects));
	f->task.subjects[0] = subject("web", "docker.io/library/web:1");
	f->task.subjects[1] = subject("top", "top:1");
	f->task.subjects_n = 1;
	f->cx = (struct context){.task = &f->task,
		.protocol = &f->protocol,
		.limit = WAIT_FOREVER,
		.engine = {.socket_path = f->engine->path, .version = {.minor = 41}}};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	doomed_images_finish(&f->doomed);
	fake_engine_destroy(f->engine);
	(void)close(f->out[0]);
	(void)close(f->out[1]);
	f->task.subjects_n = 2;
	task_finish(&f->task);
	free(f);
	return 0;
}

static lm_rc add(struct fixture *f, bool spares_application, struct lm_err *err)
{
	const struct doomed_rules rules = {
		.containers = &f->containers, .spares_application = spares_application};

	return doomed_images_add(&f->cx, &rules, "web:1", "web", LAYER, &f->doomed, err);
}

/// Beside what runs, the layer that only it has.
static lm_rc add_top(struct fixture *f, struct lm_err *err)
{
	const struct doomed_rules rules = {
		.containers = &f->containers, .spares_application = true};

	return doomed_images_add(&f->cx, &rules, "top:1", "top", TOP_LAYER, &f->doomed, err);
}

static void use(struct fixture *f, char *image, char *project)
{
	static char name[] = "box";

	f->container =
		(struct engine_container){.name = name, .image_id = image, .project = project};
	f->containers = (struct engine_containers){.items = &f->container, .n = 1};
}

static void all_that_have_the_damaged_layer_go_the_highest_first(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	char text[1024] = {0};

	if (add(f, false, &err) || doomed_images_remove(&f->cx, &f->doomed, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(f->doomed.n, 2);
	assert_non_null(doomed_images_find(&f->doomed, "web"));
	assert_null(doomed_images_find(&f->doomed, "base"));
	assert_true(read(f->out[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "{\"removed\":\"top\"}\n{\"removed\":\"web\"}\n");
}

/// Whether it is of the current generation, was built here or can be pulled: nobody asks.
static void beside_what_runs_an_image_goes_only_alone(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	assert_int_equal(add(f, true, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "image top:1 has its damaged layer, too: if both can be "
					"pulled again, remove them (docker rmi top:1 web:1)"));
	assert_int_equal(f->doomed.n, 0);
	// The other one's layers above it are its own.
	f->task.subjects_n = 2;
	assert_int_equal(add_top(f, &err), LM_OK);
	assert_int_equal(f->doomed.n, 1);
	assert_string_equal(f->doomed.items[0].id, "top");
}

static void one_that_somebody_else_has_named_stays(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};

	f->task.subjects_n = 2;
	json_object_clear(f->task.subjects[1].names);
	json_object_set_new(f->task.subjects[1].names, "top:2", json_true());
	assert_int_equal(add_top(f, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "it also has the name top:1, which no generation of this "
					"application gives to it: remove that name (docker rmi "
					"top:1), then run 'lighterman start'"));
	assert_int_equal(f->doomed.n, 0);
}

static void what_a_container_of_the_application_uses_goes_only_with_it(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	char image[] = "top", project[] = COMPOSE_PROJECT;

	use(f, image, project);
	assert_int_equal(add(f, true, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "container 'box' of the application"));
	assert_int_equal(add(f, false, &err), LM_OK);
}

static void what_is_somebody_elses_stays(void **state)
{
	struct fixture *f = *state;
	struct lm_err err = {LM_OK};
	char image[] = "top", project[] = "";

	use(f, image, project);
	assert_int_equal(add(f, false, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "remove that container (docker rm box)"));
	f->containers.n = 0;
	json_object_del(f->task.kept, "top");
	assert_int_equal(add(f, false, &err), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "remove that image (docker rmi top:1)"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_that_have_the_damaged_layer_go_the_highest_first),
		TEST(beside_what_runs_an_image_goes_only_alone),
		TEST(one_that_somebody_else_has_named_stays),
		TEST(what_a_container_of_the_application_uses_goes_only_with_it),
		TEST(what_is_somebody_elses_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
