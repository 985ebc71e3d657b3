// SPDX-License-Identifier: Apache-2.0
#include "registry/compose_manifest.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TYPES "application/vnd.docker.compose."
#define PROJECT "\"artifactType\":\"" TYPES "project\","
#define EMPTY "\"config\":{\"mediaType\":\"application/vnd.oci.empty.v1+json\"},"
#define OLD "\"config\":{\"mediaType\":\"" TYPES "config.empty.v1+json\"},"
#define IMAGE "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\"},"
#define FILE_SIZED(bytes)                                                                          \
	"{\"mediaType\":\"" TYPES "file+yaml\",\"digest\":\"" DIGEST "\",\"size\":" bytes          \
	",\"annotations\":{\"com.docker.compose.file\":\"compose.yml\"}}"
#define FILE_LAYER FILE_SIZED("17")
#define ENV_LAYER                                                                                  \
	"{\"mediaType\":\"" TYPES "envfile\",\"digest\":\"" DIGEST "\",\"size\":1,"                \
	"\"annotations\":{\"com.docker.compose.envfile\":\"ab.env\"}}"
#define OTHER_LAYER(type) "{\"mediaType\":\"" type "\",\"digest\":\"" DIGEST "\",\"size\":1}"
#define MANIFEST(head, layers) "{\"schemaVersion\":2," head "\"layers\":[" layers "]}"

static void finds_the_compose_file(void **state)
{
	static const char *const good[] = {
		MANIFEST(PROJECT EMPTY, FILE_LAYER),
		MANIFEST(PROJECT, FILE_LAYER),
		MANIFEST(OLD, FILE_LAYER),
		MANIFEST(PROJECT EMPTY,
			OTHER_LAYER(TYPES "config.empty.v1+json") "," FILE_LAYER
								  "," OTHER_LAYER("text/plain")),
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(good); i++) {
		lm_auto(compose_manifest_finish) struct compose_manifest m = {0};
		struct lm_err err = {0};

		if (compose_manifest_parse(lm_str(good[i]), &m, &err))
			fail_msg("%s: %s", good[i], err.msg);
		assert_string_equal(m.digest, DIGEST);
		assert_int_equal(m.bytes, 17);
	}
}

static void says_what_else_it_is(void **state)
{
	static const struct {
		const char *body;
		lm_rc rc;
		const char *words;
	} bad[] = {
		{"rubbish", LM_E_PROTOCOL, "not a JSON object"},
		{"{}", LM_E_PROTOCOL, "not a manifest with layers"},
		{MANIFEST(IMAGE, FILE_LAYER), LM_E_INVALID, "it is a container image"},
		{"{\"manifests\":[]}", LM_E_INVALID, "it is an index of several images"},
		{MANIFEST("\"artifactType\":\"application/x-chart\"," OLD, FILE_LAYER),
			LM_E_INVALID, "of the type 'application/x-chart', not a compose file"},
		{MANIFEST("\"config\":{\"mediaType\":\"application/x\"},", FILE_LAYER),
			LM_E_INVALID, "of the type 'application/x'"},
		{MANIFEST(PROJECT EMPTY, ""), LM_E_INVALID, "it has no compose file"},
		{MANIFEST(PROJECT EMPTY, FILE_LAYER "," FILE_LAYER), LM_E_INVALID,
			"it has 2 compose files"},
		{MANIFEST(PROJECT EMPTY, FILE_LAYER "," ENV_LAYER), LM_E_INVALID,
			"it has an env file (ab.env)"},
		{MANIFEST(PROJECT EMPTY, FILE_LAYER "," OTHER_LAYER(TYPES "new")), LM_E_INVALID,
			"unknown type '" TYPES "new'"},
		{MANIFEST(PROJECT EMPTY, FILE_SIZED("4194305")), LM_E_TOO_LARGE,
			"4194305 bytes, the maximum is 4194304"},
		{MANIFEST(PROJECT EMPTY, FILE_SIZED("-1")), LM_E_PROTOCOL, "has no size"},
		{MANIFEST(PROJECT EMPTY, OTHER_LAYER(TYPES "file+yaml\",\"x\":\"")), LM_OK, NULL},
		{MANIFEST(PROJECT EMPTY,
			 "{\"mediaType\":\"" TYPES "file+yaml\",\"digest\":\"md5:00\",\"size\":1}"),
			LM_E_PROTOCOL, "no digest of the kind sha256"},
		{MANIFEST(PROJECT EMPTY, "null,7,[]," FILE_LAYER), LM_OK, NULL},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto(compose_manifest_finish) struct compose_manifest m = {0};
		struct lm_err err = {0};

		assert_int_equal(compose_manifest_parse(lm_str(bad[i].body), &m, &err), bad[i].rc);
		if (bad[i].words && !strstr(err.msg, bad[i].words))
			fail_msg("'%s' does not say '%s'", err.msg, bad[i].words);
	}
}

/// The advice is whole, whatever the registry has written into it.
static void the_advice_is_not_cut(void **state)
{
	char body[3000], name[600];
	lm_auto(compose_manifest_finish) struct compose_manifest m = {0};
	struct lm_err err = {0};

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(body, sizeof(body),
		MANIFEST(PROJECT EMPTY, "{\"mediaType\":\"" TYPES "envfile\",\"annotations\":{"
					"\"com.docker.compose.envfile\":\"%s\"}}"),
		name);
	assert_int_equal(compose_manifest_parse(lm_str(body), &m, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "(599 bytes)"));
	assert_non_null(strstr(err.msg, "publish that"));
}

static void too_many_layers_are_refused(void **state)
{
	lm_auto_buf struct lm_buf body = LM_BUF(1 << 20);
	lm_auto(compose_manifest_finish) struct compose_manifest m = {0};
	struct lm_err err = {0};

	(void)state;
	(void)lm_buf_puts(&body, "{" PROJECT "\"layers\":[" FILE_LAYER);
	for (int i = 0; i < LIMIT_LAYERS; i++)
		(void)lm_buf_puts(&body, ",{}");
	(void)lm_buf_puts(&body, "]}");
	assert_int_equal(compose_manifest_parse(lm_buf_str(&body), &m, &err), LM_E_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_compose_file),
		cmocka_unit_test(says_what_else_it_is),
		cmocka_unit_test(the_advice_is_not_cut),
		cmocka_unit_test(too_many_layers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
