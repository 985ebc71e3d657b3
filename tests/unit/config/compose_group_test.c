// SPDX-License-Identifier: Apache-2.0
#include "config/compose_group.h"

#include "base/limits.h"
#include "config/definition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct group *parse(const json_t *document)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct group *group = NULL;
	struct lm_err err = {0};

	lm_rc rc = definition_parse_json(document, &errors, &group, &err);
	if (rc)
		print_error("%s\n", err.msg);
	assert_int_equal(rc, LM_OK);
	return group;
}

static void a_group_of_a_text_is_valid(void **state)
{
	const struct compose_group_source source = {.text = LM_STR("\xef\xbb\xbfservices: {}\n"),
		.name = "app.yml",
		.destination = "/var/lib/lighterman/compose/1000",
		.has_user = true,
		.uid = 4000000000};
	lm_auto_json json_t *document = NULL;
	struct lm_err err;

	(void)state;
	assert_int_equal(compose_group_make(&source, &document, &err), LM_OK);
	lm_auto(group_destroy_p) struct group *group = parse(document);
	const struct connector_definition *d = &group->connector;
	assert_string_equal(d->source.text, "services: {}\n");
	assert_string_equal(d->key, "app.yml");
	assert_string_equal(d->destination, source.destination);
	assert_true(d->has_user && d->uid == source.uid);
	assert_int_equal(d->version, CONNECTOR_VERSION_LAST);
	assert_true(d->offline_mode && d->policy.wait_healthy && d->policy.rollback_on_failure);
	assert_int_equal(group->warnings_n, 0);
}

static void a_group_of_an_address_has_no_text(void **state)
{
	const struct compose_group_source source = {
		.url = "https://h/app.yml", .destination = "/d"};
	lm_auto_json json_t *document = NULL;
	struct lm_err err;

	(void)state;
	assert_int_equal(compose_group_make(&source, &document, &err), LM_OK);
	lm_auto(group_destroy_p) struct group *group = parse(document);
	assert_null(group->connector.source.text);
	assert_string_equal(group->connector.source.url, "https://h/app.yml");
	assert_false(group->connector.has_user);
}

static void what_json_cannot_hold_is_refused_or_left_out(void **state)
{
	struct compose_group_source source = {
		.text = LM_STR("services: \xff\n"), .name = "\xff.yml", .destination = "/d"};
	lm_auto_json json_t *document = NULL;
	struct lm_err err;

	(void)state;
	assert_int_equal(compose_group_make(&source, &document, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "the compose file is not UTF-8: save it in that encoding");
	source.text = LM_STR("services: {}\n");
	source.destination = "/\xff";
	assert_int_equal(compose_group_make(&source, &document, &err), LM_E_INVALID);
	source.destination = "/d";
	assert_int_equal(compose_group_make(&source, &document, &err), LM_OK);
	lm_auto(group_destroy_p) struct group *group = parse(document);
	assert_string_equal(group->connector.key, "docker-compose.yml");
}

static void compose_files_are_told_from_group_files(void **state)
{
	static const struct {
		const char *text;
		bool is_compose;
	} texts[] = {
		{"services:\n  web:\n    image: x\n", true},
		{"\xef\xbb\xbfservices: {}\n", true},
		{"# ours\n---\nversion: '3'\nservices:\n  web: {}\n", true},
		{"{\"services\":{\"web\":{\"image\":\"x\"}}}", true},
		{"web:\n  image: x\n", true},
		{"{\"Connectors\":[]}", false},
		{"Connectors:\n- Id: x\n", false},
		{"apiVersion: v1\nkind: Pod\n", false},
		{"services", false},
		{"", false},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++)
		if (compose_group_is_compose(lm_str(texts[i].text)) != texts[i].is_compose)
			fail_msg("'%s'", texts[i].text);
	assert_true(compose_group_is_url("https://h/a.yml"));
	assert_true(compose_group_is_url("oci://h/a:1"));
	assert_false(compose_group_is_url("http://h/a.yml"));
	assert_false(compose_group_is_url("oci:h/a"));
	assert_false(compose_group_is_url("https.yml"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_of_a_text_is_valid),
		cmocka_unit_test(a_group_of_an_address_has_no_text),
		cmocka_unit_test(what_json_cannot_hold_is_refused_or_left_out),
		cmocka_unit_test(compose_files_are_told_from_group_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
