// SPDX-License-Identifier: Apache-2.0
#include "docker/engine_images.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"

static const struct wait_limit forever = WAIT_FOREVER;

static lm_rc list(
	const struct fake_answer *answers, size_t n, struct engine_layers *ret, struct lm_err *err)
{
	struct fake_engine *f = fake_engine_create(answers, n);
	struct engine e = {.socket_path = f->path, .version = {.engine = "20.10", .minor = 41}};
	lm_rc rc = engine_list_layers(&e, &forever, ret, err);

	fake_engine_destroy(f);
	return rc;
}

static void lists_the_layers_of_all_images(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		{"GET /v1.41/images/json ",
			OK "[{\"Id\":\"sha256:aa\"},{\"Id\":\"sha256:gone\"},{\"Id\":\"sha256:bb\"}"
			   "]",
			FAKE_CLOSE},
		{"GET /v1.41/images/sha256%3Aaa/json ",
			OK "{\"RepoDigests\":[\"a@sha256:0\"],\"RootFS\":{\"Layers\":[\"one\","
			   "\"two\"]}}",
			FAKE_CLOSE},
		{"GET /v1.41/images/sha256%3Agone/json ",
			"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image\"}",
			FAKE_CLOSE},
		{"GET /v1.41/images/sha256%3Abb/json ",
			OK "{\"RepoDigests\":[],\"RootFS\":{\"Layers\":[\"built\"]}}", FAKE_CLOSE},
	};
	lm_auto(engine_layers_finish) struct engine_layers layers = {0};
	struct lm_err err = {0};

	assert_int_equal(list(answers, LM_ARRAY_SIZE(answers), &layers, &err), LM_OK);
	assert_int_equal(layers.n, 2);
	assert_int_equal(layers.images[0].n, 2);
	assert_string_equal(layers.images[0].digests[1], "two");
	assert_int_equal(layers.images[1].n, 0);
}

static void reads_whether_an_image_has_a_health_check(void **state)
{
	(void)state;
	static const struct {
		const char *config;
		bool has;
	} cases[] = {{"null", false}, {"{}", false}, {"{\"Healthcheck\":null}", false},
		{"{\"Healthcheck\":{}}", false}, {"{\"Healthcheck\":{\"Test\":[]}}", false},
		{"{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", false},
		{"{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"]}}", true}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(engine_image_finish) struct engine_image image = {0};
		lm_auto_free char *body =
			lm_xasprintf("{\"Id\":\"sha256:aa\",\"Config\":%s}", cases[i].config);

		assert_int_equal(engine_parse_image(lm_str(body), NULL, &image, NULL), LM_OK);
		assert_int_equal(image.has_health_check, cases[i].has);
	}
}

static void reports_the_error_of_the_engine(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		{"GET /v1.41/images/json ", OK "[{\"Id\":\"sha256:aa\"}]", FAKE_CLOSE},
		{"GET /v1.41/images/sha256%3Aaa/json ",
			"HTTP/1.0 500 Internal Server Error\r\n\r\n{\"message\":\"disk\"}",
			FAKE_CLOSE},
	};
	struct engine_layers layers = {0};
	struct lm_err err = {0};

	assert_int_equal(list(answers, LM_ARRAY_SIZE(answers), &layers, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "read the layers of image sha256:aa: disk");
	assert_null(layers.images);
}

static void chooses_the_digest_of_the_repository(void **state)
{
	(void)state;
	const char *json = "{\"Id\":\"sha256:1d\",\"Size\":7,\"RepoDigests\":"
			   "[\"a/b@sha256:aa\",\"localhost:5000/demo/web@sha256:bb\"]}";
	lm_auto(engine_image_finish) struct engine_image image = {0};
	struct lm_err err = {0};
	assert_int_equal(
		engine_parse_image(lm_str(json), "localhost:5000/demo/web", &image, &err), LM_OK);
	assert_string_equal(image.id, "sha256:1d");
	assert_string_equal(image.digest, "sha256:bb");
	assert_int_equal(image.size, 7);
	assert_int_equal(image.tags_n, 0);
	lm_auto(engine_image_finish) struct engine_image local = {0};
	assert_int_equal(engine_parse_image(
				 LM_STR("{\"Id\":\"x\",\"RepoDigests\":null}"), NULL, &local, &err),
		LM_OK);
	assert_null(local.digest);
	assert_int_equal(engine_parse_image(LM_STR("{}"), NULL, &local, &err), LM_E_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_the_layers_of_all_images),
		cmocka_unit_test(reads_whether_an_image_has_a_health_check),
		cmocka_unit_test(reports_the_error_of_the_engine),
		cmocka_unit_test(chooses_the_digest_of_the_repository),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
