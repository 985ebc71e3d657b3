// SPDX-License-Identifier: Apache-2.0
#include "docker/image_ref.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
		assert_non_null(strstr(err.msg, "is not an image name"));
	}
}

static void compares_platforms_as_the_engine_does(void **state)
{
	(void)state;
	static const struct {
		const char *actual, *wanted;
		bool fits;
	} cases[] = {
		{"linux/amd64", "linux/amd64", true},
		{"linux/amd64", "linux/arm64", false},
		{"linux/amd64", "amd64", true},
		{"linux/amd64", "x86_64", true},
		{"linux/amd64", "linux", true},
		{"linux/arm64", "linux", false},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/arm64/v8", true},
		{"linux/arm64", "aarch64", true},
		{"linux/arm64", "Linux/ARM64", true},
		{"linux/arm/v7", "linux/arm/v7", true},
		{"linux/arm/v7", "linux/arm", true},
		{"linux/arm/v6", "linux/arm/v7", true}, // an older one runs, too
		{"linux/arm/v7", "linux/arm/v6", false},
		{"linux/arm", "linux/arm/v6", true}, // it does not say
		{"linux/arm/v7", "armhf", true},
		{"linux/arm/v7", "armel", false},
		{"linux/arm64", "linux/arm", false},
		{"windows/amd64", "linux/amd64", false},
		{"windows/amd64", "windows", true},
		{"", "linux/arm64", true},
		{"linux/", "linux/arm64", true},
		{"linux/amd64", "", false},
		{"linux/amd64", "linux/amd64/v2", true},
		{"linux/386", "i386", true},
		{"linux/riscv64", "linux/riscv64", true},
		{"linux/a-very-long-architecture-that-nobody-has", "linux/amd64", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool fits = image_platform_fits(cases[i].actual, cases[i].wanted, "linux/amd64");
		if (fits != cases[i].fits)
			fail_msg("%s for %s: %d", cases[i].actual, cases[i].wanted, fits);
	}
}

static void the_same_image_may_be_written_in_several_ways(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {{"nginx", "docker.io/library/nginx:latest", true}, {"a/b:1", "a/b:1", true},
		{"a/b:1", "a/b:2", false}, {"localhost:5000/b:1", "b:1", false},
		{"A B", "A B", false}, {"", "", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (image_ref_is_same(cases[i].a, cases[i].b) != cases[i].same)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_reference_apart),
		cmocka_unit_test(refuses_what_is_no_reference),
		cmocka_unit_test(compares_platforms_as_the_engine_does),
		cmocka_unit_test(the_same_image_may_be_written_in_several_ways),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
