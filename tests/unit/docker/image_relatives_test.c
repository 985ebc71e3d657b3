// SPDX-License-Identifier: Apache-2.0
#include "docker/image_relatives.h"

#include "base/cleanup.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\n\r\n"
#define IMAGE(id, tags, layers)                                                                    \
	{                                                                                          \
		"GET /v1.41/images/sha256%3A" id "/json ",                                         \
			OK "{\"Id\":\"sha256:" id "\",\"RepoTags\":[" tags                         \
			   "],\"RootFS\":{\"Layers\":[" layers "]}}",                              \
			FAKE_CLOSE, 0                                                              \
	}

static lm_rc find(const struct fake_answer *answers, size_t n, struct image_relatives *ret,
	struct lm_err *err)
{
	const struct wait_limit forever = WAIT_FOREVER;
	struct fake_engine *f = fake_engine_create(answers, n);
	struct engine e = {.socket_path = f->path, .version = {.minor = 41}};
	lm_rc rc = image_relatives_find(&e, "sha256:aa", &forever, ret, err);

	fake_engine_destroy(f);
	return rc;
}

static void finds_what_shares_layers_with_the_most_layers_first(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		{"GET /v1.41/images/json?all=1 ",
			OK "[{\"Id\":\"sha256:aa\"},{\"Id\":\"sha256:bb\"},{\"Id\":\"sha256:cc\"},"
			   "{\"Id\":\"sha256:dd\"},{\"Id\":\"sha256:gone\"}]",
			FAKE_CLOSE, 0},
		IMAGE("aa", "\"web:1\",\"web:latest\"", "\"1\",\"2\""),
		IMAGE("bb", "\"other:1\"", "\"9\""),
		IMAGE("cc", "\"<none>:<none>\"", "\"1\",\"3\",\"4\""),
		IMAGE("dd", "\"base:1\"", "\"1\""),
		{"GET /v1.41/images/sha256%3Agone/json ",
			"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image\"}", FAKE_CLOSE,
			0},
	};
	lm_auto(image_relatives_finish) struct image_relatives found = {0};
	struct lm_err err = {0};

	assert_int_equal(find(answers, LM_ARRAY_SIZE(answers), &found, &err), LM_OK);
	assert_int_equal(found.n, 3);
	assert_string_equal(found.items[0].id, "sha256:cc");
	assert_int_equal(found.items[0].names_n, 0);
	assert_int_equal(found.items[0].shared, 1);
	assert_string_equal(found.items[1].id, "sha256:aa");
	assert_int_equal(found.items[1].names_n, 2);
	assert_int_equal(found.items[1].shared, 2);
	assert_string_equal(found.items[2].id, "sha256:dd");
	assert_int_equal(found.items[2].layers, 1);
}

static void an_image_that_is_gone_has_none(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"GET /v1.41/images/sha256%3Aaa/json ",
		"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image\"}", FAKE_CLOSE, 0}};
	struct image_relatives found = {0};
	struct lm_err err = {0};

	assert_int_equal(find(answers, 1, &found, &err), LM_E_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_shares_layers_with_the_most_layers_first),
		cmocka_unit_test(an_image_that_is_gone_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
