// SPDX-License-Identifier: Apache-2.0
#include "docker/images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void takes_a_reference_apart(void **state)
{
	(void)state;
#define DIGEST "sha256:2d31cd4396c7840df23c9aa25fd368702c255d64db8bdb1eca07b143a7d936df"
	static const struct {
		const char *text, *name, *registry, *repository, *version;
	} cases[] = {
		{"nginx", "nginx", "docker.io", "library/nginx", "latest"},
		{"nginx:1.25", "nginx", "docker.io", "library/nginx", "1.25"},
		{"docker.io/nginx", "docker.io/nginx", "docker.io", "library/nginx", "latest"},
		{"grafana/grafana:9", "grafana/grafana", "docker.io", "grafana/grafana", "9"},
		{"localhost:5000/demo/web:1", "localhost:5000/demo/web", "localhost:5000",
			"demo/web", "1"},
		{"localhost:5000/web", "localhost:5000/web", "localhost:5000", "web", "latest"},
		{"localhost/web", "localhost/web", "localhost", "web", "latest"},
		{"123456789012.dkr.ecr.eu-west-1.amazonaws.com/a-b/c__d.e:V_1",
			"123456789012.dkr.ecr.eu-west-1.amazonaws.com/a-b/c__d.e",
			"123456789012.dkr.ecr.eu-west-1.amazonaws.com", "a-b/c__d.e", "V_1"},
		{"reg.example:443/x@" DIGEST, "reg.example:443/x", "reg.example:443", "x", DIGEST},
		// Docker, too, goes by the digest where both are given.
		{"x:1@" DIGEST, "x", "docker.io", "library/x", DIGEST},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(image_ref_finish) struct image_ref ref = {0};
		struct lm_err err = {0};
		assert_int_equal(image_ref_parse(lm_str(cases[i].text), &ref, &err), LM_OK);
		assert_string_equal(ref.name, cases[i].name);
		assert_string_equal(ref.registry, cases[i].registry);
		assert_string_equal(ref.repository, cases[i].repository);
		assert_string_equal(image_ref_version(&ref), cases[i].version);
	}
}

static void refuses_what_is_no_reference(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "/", "a/", "/a", "a//b", "Nginx", "a:", "a:b:c",
		"a b", "a@", "a@sha256:12", "a@sha256", "-a", "a-", "a..b", "a___b", "a_-b", "a:-x",
		"https://a/b", "reg:/a", "a\nb", "reg.io:5000/", "a&tag=x", "a?x"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct image_ref ref = {0};
		struct lm_err err = {0};
		assert_int_equal(image_ref_parse(lm_str(bad[i]), &ref, &err), LM_E_INVALID);
		assert_null(ref.name);
		assert_non_null(strstr(err.msg, "is not the name of an image"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_reference_apart),
		cmocka_unit_test(refuses_what_is_no_reference),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
