// SPDX-License-Identifier: Apache-2.0
#include "registry/manifest.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "docker/engine_images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct manifest_platform platform(const char *text)
{
	struct manifest_platform p = {0};
	struct lm_err err = {0};

	assert_int_equal(manifest_platform_parse(lm_str(text), &p, &err), LM_OK);
	return p;
}

static void understands_platforms_however_written(void **state)
{
	(void)state;
	static const struct {
		const char *given, *os, *architecture, *variant;
	} cases[] = {
		{"linux/amd64", "linux", "amd64", ""},
		{"linux/x86_64", "linux", "amd64", ""},
		{"linux/arm", "linux", "arm", "v7"},
		{"linux/arm/v6", "linux", "arm", "v6"},
		{"linux/armv6l", "linux", "arm", "v6"},
		{"linux/arm64/v8", "linux", "arm64", ""},
		{"aarch64", "linux", "arm64", ""},
		{"windows/amd64", "windows", "amd64", ""},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct manifest_platform p = platform(cases[i].given);
		assert_string_equal(p.os, cases[i].os);
		assert_string_equal(p.architecture, cases[i].architecture);
		assert_string_equal(p.variant, cases[i].variant);
	}
}

static void refuses_what_is_no_platform(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "/", "linux/", "/arm", "linux/arm/v7/x",
		"linux/an-architecture-of-a-very-long-name"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct manifest_platform p = {0};
		struct lm_err err = {0};
		assert_int_equal(manifest_platform_parse(lm_str(bad[i]), &p, &err), LM_E_INVALID);
	}
}

#define ENTRY(digest, arch, variant)                                                               \
	"{\"digest\":\"sha256:" digest "\",\"size\":5,\"platform\":{\"os\":\"linux\","             \
	"\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}}"

static void assert_child(const char *wanted, const char *child)
{
	static const char index[] = "{\"manifests\":[" ENTRY("a1", "amd64", "") "," ENTRY(
		"a5", "arm", "v5") "," ENTRY("a6", "arm", "v6") "," ENTRY("a8", "arm64",
		"v8") "," ENTRY("ff", "unknown", "") "]}";
	lm_auto(manifest_finish) struct manifest m = {0};
	struct manifest_platform p = platform(wanted);
	struct lm_err err = {0};

	assert_int_equal(manifest_parse(lm_str(index), &p, &m, &err), LM_OK);
	assert_string_equal(m.child, child);
	assert_null(m.config);
}

static void chooses_what_runs_best_on_the_processor(void **state)
{
	(void)state;
	assert_child("linux/amd64", "sha256:a1");
	assert_child("linux/arm/v7", "sha256:a6");
	assert_child("linux/arm/v5", "sha256:a5");
	assert_child("linux/arm64", "sha256:a8");
}

static void names_the_platforms_that_there_are(void **state)
{
	(void)state;
	struct manifest_platform p = platform("linux/riscv64");
	struct manifest m = {0};
	struct lm_err err = {0};
	struct lm_str index = LM_STR("{\"manifests\":[" ENTRY("a1", "amd64", "") "," ENTRY("a6",
		"arm", "v6") ",{\"digest\":\"sha256:cc\",\"platform\":{\"os\":\"unknown\"}}]}");

	assert_int_equal(manifest_parse(index, &p, &m, &err), LM_E_NOT_FOUND);
	assert_string_equal(
		err.msg, "not available for linux/riscv64, only for: linux/amd64, linux/arm/v6");
}

static void reads_layers_with_their_sizes(void **state)
{
	(void)state;
	lm_auto(manifest_finish) struct manifest m = {0};
	struct manifest_platform p = platform("linux/amd64");
	struct lm_err err = {0};
	struct lm_str text = LM_STR(
		"{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:cc\",\"size\":1},\"layers\":["
		"{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar.gzip\","
		"\"digest\":\"sha256:01\",\"size\":100},"
		"{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		"\"digest\":\"sha256:02\",\"size\":50}]}");

	assert_int_equal(manifest_parse(text, &p, &m, &err), LM_OK);
	assert_null(m.child);
	assert_string_equal(m.config, "sha256:cc");
	assert_int_equal(m.layers_n, 2);
	assert_string_equal(m.layers[0].digest, "sha256:01");
	assert_int_equal(m.layers[0].bytes, 100);
	assert_true(m.layers[0].packed);
	assert_false(m.layers[1].packed);
}

static void refuses_what_is_no_manifest(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "[]", "{}", "{\"schemaVersion\":1,\"fsLayers\":[]}",
		"{\"config\":{\"digest\":\"sha256:cc\"},\"layers\":{}}",
		"{\"config\":{\"digest\":\"sha256:cc\"},\"layers\":[{\"size\":1}]}",
		"{\"config\":{\"digest\":\"a:c\"},\"layers\":[{\"digest\":\"a:0\",\"size\":-1}]}",
		"{\"config\":{\"digest\":\"sha256:../../x\"},\"layers\":[]}"};
	struct manifest_platform p = platform("linux/amd64");
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct manifest m = {0};
		struct lm_err err = {0};
		assert_int_equal(manifest_parse(lm_str(bad[i]), &p, &m, &err), LM_E_PROTOCOL);
		assert_null(m.layers);
	}
}

static void refuses_what_is_no_json_object_in_one_sentence(void **state)
{
	enum { SIZE = 4 << 20 };
	static const char *const bad[] = {"", " ", "[]", "[{}]", "null", "\xef\xbb\xbf{}",
		"rubbish", "{", "{}}", "\"{}\"", "\x1f\x8b", "{\"a\":1,\"a\":1}"};
	struct manifest_platform p = platform("linux/amd64");
	lm_auto_buf struct lm_buf blanks = LM_BUF(SIZE);
	(void)state;

	memset(lm_buf_reserve(&blanks, SIZE), ' ', SIZE);
	blanks.len = SIZE;
	for (size_t i = 0; i <= LM_ARRAY_SIZE(bad); i++) {
		struct lm_str text = i < LM_ARRAY_SIZE(bad) ? lm_str(bad[i]) : lm_buf_str(&blanks);
		struct manifest m = {0};
		struct lm_err err = {0};
		char **layers = NULL;
		size_t n = 0;

		assert_int_equal(manifest_parse(text, &p, &m, &err), LM_E_PROTOCOL);
		assert_string_equal(err.msg, "it is not a JSON object");
		assert_int_equal(manifest_config_layers(text, &layers, &n, &err), LM_E_PROTOCOL);
		assert_string_equal(err.msg, "the configuration: it is not a JSON object");
		assert_null(layers);
	}
}

static void white_space_may_come_first(void **state)
{
	struct lm_str text = LM_STR("\r\n\t {\"config\":{\"digest\":\"sha256:cc\"},\"layers\":[]}");
	struct manifest_platform p = platform("linux/amd64");
	struct manifest m = {0};
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(manifest_parse(text, &p, &m, &err), LM_OK);
	assert_string_equal(m.config, "sha256:cc");
	manifest_finish(&m);
}

/// Four megabytes of it would take four hundred.
static void refuses_more_values_than_an_image_has(void **state)
{
	enum { SIZE = 4 << 20 };
	struct manifest_platform p = platform("linux/amd64");
	lm_auto_buf struct lm_buf text = LM_BUF(SIZE);
	struct manifest m = {0};
	struct lm_err err = {0};
	char **layers = NULL;
	size_t n = 0;
	(void)state;

	(void)lm_buf_puts(&text, "{\"manifests\":[{}");
	while (text.len < SIZE - 10)
		(void)lm_buf_puts(&text, ",{}");
	(void)lm_buf_puts(&text, "]}");
	assert_int_equal(manifest_parse(lm_buf_str(&text), &p, &m, &err), LM_E_TOO_LARGE);
	assert_string_equal(err.msg, "it has more than 100000 values");
	assert_int_equal(
		manifest_config_layers(lm_buf_str(&text), &layers, &n, &err), LM_E_TOO_LARGE);
}

static void refuses_too_many_layers(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	struct manifest_platform p = platform("linux/amd64");
	struct manifest m = {0};
	struct lm_err err = {0};

	(void)lm_buf_puts(&text, "{\"config\":{\"digest\":\"sha256:cc\"},\"layers\":[");
	for (int i = 0; i <= LIMIT_LAYERS; i++)
		(void)lm_buf_printf(
			&text, "%s{\"digest\":\"sha256:%04x\",\"size\":1}", i ? "," : "", i);
	(void)lm_buf_puts(&text, "]}");
	assert_int_equal(manifest_parse(lm_buf_str(&text), &p, &m, &err), LM_E_TOO_LARGE);
}

static struct image_layers config(const char *ids)
{
	struct image_layers layers = {0};
	struct lm_err err = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	(void)lm_buf_printf(&text, "{\"rootfs\":{\"diff_ids\":[%s]}}", ids);
	assert_int_equal(
		manifest_config_layers(lm_buf_str(&text), &layers.digests, &layers.n, &err), LM_OK);
	return layers;
}

static void layers_are_shared_from_the_base_upwards(void **state)
{
	(void)state;
	static const struct {
		const char *wanted;
		size_t shared;
	} cases[] = {
		{"\"a\",\"b\",\"c\"", 2},
		{"\"a\",\"x\",\"c\"", 1},
		{"\"b\",\"a\"", 0}, // a layer is kept together with what is below it
		{"\"a\",\"b\"", 2},
		{"", 0},
	};
	struct image_layers here[] = {config("\"a\""), config("\"a\",\"b\",\"d\""), config("")};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(image_layers_finish) struct image_layers wanted = config(cases[i].wanted);
		assert_int_equal(
			image_layers_shared(&wanted, here, LM_ARRAY_SIZE(here)), cases[i].shared);
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(here); i++)
		image_layers_finish(&here[i]);
}

static void refuses_what_is_no_configuration(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "{}", "{\"rootfs\":{}}", "{\"rootfs\":{\"diff_ids\":[1]}}"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct image_layers layers = {0};
		struct lm_err err = {0};
		assert_int_equal(
			manifest_config_layers(lm_str(bad[i]), &layers.digests, &layers.n, &err),
			LM_E_PROTOCOL);
		assert_null(layers.digests);
	}
}

static void reads_what_the_engine_has(void **state)
{
	(void)state;
	lm_auto(engine_image_list_finish) struct engine_image_list list = {0};
	lm_auto(image_layers_finish) struct image_layers layers = {0};
	struct lm_err err = {0};

	assert_int_equal(
		engine_parse_image_list(
			LM_STR("[{\"Id\":\"sha256:aa\"},{},{\"Id\":\"sha256:bb\"}]"), &list, &err),
		LM_OK);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.ids[1], "sha256:bb");
	assert_int_equal(
		engine_parse_image_layers(
			LM_STR("{\"RepoDigests\":[\"r@d\"],\"RootFS\":{\"Layers\":[\"a\",\"b\"]}}"),
			&layers, &err),
		LM_OK);
	assert_int_equal(layers.n, 2);
	assert_string_equal(layers.digests[0], "a");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(understands_platforms_however_written),
		cmocka_unit_test(refuses_what_is_no_platform),
		cmocka_unit_test(chooses_what_runs_best_on_the_processor),
		cmocka_unit_test(names_the_platforms_that_there_are),
		cmocka_unit_test(reads_layers_with_their_sizes),
		cmocka_unit_test(refuses_what_is_no_manifest),
		cmocka_unit_test(refuses_what_is_no_json_object_in_one_sentence),
		cmocka_unit_test(white_space_may_come_first),
		cmocka_unit_test(refuses_more_values_than_an_image_has),
		cmocka_unit_test(refuses_too_many_layers),
		cmocka_unit_test(layers_are_shared_from_the_base_upwards),
		cmocka_unit_test(refuses_what_is_no_configuration),
		cmocka_unit_test(reads_what_the_engine_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
