// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_values.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_masked(struct compose_values *v, const char *line, const char *expected)
{
	lm_auto_buf struct lm_buf out = LM_BUF(10000);
	compose_values_mask(v, lm_str(line), &out);
	assert_string_equal(lm_buf_cstr(&out), expected);
}

static struct compose_values *of_file(const char *text)
{
	struct compose_values *v = compose_values_create();
	compose_values_add_file(v, lm_str(text));
	return v;
}

static void values_go_and_names_stay(void **state)
{
	(void)state;
	struct compose_values *v = of_file(
		"services:\n"
		"  web:\n"
		"    image: reg.example:5000/app:1.2.3\n"
		"    container_name: front\n"
		"    ports: ['8080:80']\n"
		"    volumes: ['./data:/data']\n"
		"    command: [serve, --token, t0ken]\n"
		"    environment: {DB_PASSWORD: hunter22, DB_HOST: postgres, MODE: front, P: "
		"'81'}\n"
		"    labels: ['who=some body']\n"
		"    build: {context: ./ctx, args: {KEY: abcd}}\n"
		"    healthcheck: {test: [CMD, curl, 'http://u:Pa55w0rd@x/'], interval: 5s}\n"
		"  postgres: {image: db}\n"
		"x-common: {deep: [{er: underneath}]}\n"
		"volumes: {data: {driver_opts: {o: 'password=oooo'}}}\n");
	assert_masked(v, "service web: DB_PASSWORD hunter22 \"HUNTER22\" xhunter22x",
		"service web: DB_PASSWORD *** \"***\" x***x");
	assert_masked(v, "image reg.example:5000/app:1.2.3 ports 8080:80 ./data:/data ./ctx",
		"image reg.example:5000/app:1.2.3 ports 8080:80 ./data:/data ./ctx");
	assert_masked(v, "exec \"serve\" --token t0ken postgres front 81",
		"exec \"serve\" *** *** postgres front 81");
	assert_masked(v, "'who=some body' \"some body\" abcd abcde",
		"'who=***' \"***\" *** abcde"); // abcd is short: not inside of words
	assert_masked(v, "Pa55w0rd underneath password=oooo", "*** *** ***");
	compose_values_destroy(v);
}

static void values_are_found_however_they_are_cut_and_quoted(void **state)
{
	(void)state;
	struct compose_values *v = of_file(
		"services:\n"
		"  web:\n"
		"    image: a\n"
		"    environment:\n"
		"      A: \"one'two-three\\\"four\\nfivefive\\ttail\"\n"
		"      B: 'front$$-${LONG_NAME:-fallback}-${NEEDED:?set it in .env}-backwards'\n"
		"      C: 'pa$sword-behind'\n");
	assert_masked(v, "{'A': 'one\\'two-three\\\"four\\nfivefive\\ttail'}",
		"{'A': 'one\\'***\\\"four\\n***\\ttail'}");
	assert_masked(v, "fallback -backwards LONG_NAME NEEDED set it in .env",
		"*** *** LONG_NAME NEEDED set it in .env");
	assert_masked(
		v, "The sword variable is not set, -behind", "The *** variable is not set, ***");
	compose_values_destroy(v);
}

static void env_files_and_the_environment_count(void **state)
{
	(void)state;
	static const char *const env[] = {
		"PATH=/usr/bin:/bin", "TOKEN=from-outside", "HOME=/root/x", "N=8080", NULL};
	struct compose_values *v = compose_values_create();
	compose_values_add_env_file(v, LM_STR("# a comment\nexport A='in-quotes' # why\r\n"
					      "B = with blanks \nno name here\nC=\nE=\"open\n"));
	compose_values_add_environment(v, env);
	assert_masked(
		v, "in-quotes, with blanks, no name here, from-outside", "***, ***, ***, ***");
	assert_masked(
		v, "/usr/bin:/bin /root/x 8080 a comment", "/usr/bin:/bin /root/x 8080 a comment");
	compose_values_destroy(v);
}

static void what_is_no_yaml_counts_line_by_line(void **state)
{
	(void)state;
	struct compose_values *v = of_file("a: [\nPASSWORD: 'hidden1'\n\tx\n");
	assert_masked(v, "near 'hidden1'", "near '***'");
	compose_values_destroy(v);
}

static void values_are_found_as_docker_compose_unescapes_them_and_quotes_them_again(void **state)
{
	(void)state;
	struct compose_values *v = of_file("services:\n"
					   "  web:\n"
					   "    image: a\n"
					   "    environment:\n"
					   "      A: swo$$fi\n"
					   "      B: \"ab\\\"cd'ef\\\\gh\"\n"
					   "      C: \"ab\\ncd\\nef\"\n");
	assert_masked(v, "swo$$fi swo$fi", "*** ***");
	assert_masked(v, "`ab\"cd'ef\\gh` \"ab\\\"cd'ef\\\\gh\" 'ab\"cd\\'ef\\\\gh'",
		"`***` \"***\" '***'");
	assert_masked(v, "'ab\\ncd\\nef'", "'***'");
	compose_values_destroy(v);
}

static void a_sign_of_equality_alone_makes_no_name(void **state)
{
	(void)state;
	struct compose_values *v =
		of_file("services:\n"
			"  web:\n"
			"    image: a\n"
			"    command: [serve, c3dvcmRmaXNo, c3dvcmRmaXNoc3c=, c3dvcmRmaXNoYQ==]\n"
			"    environment: [EMPTY_2=, NAME=swordfish]\n"
			"    healthcheck: {test: 'ping -pswordfish --timeout=9'}\n");
	assert_masked(v, "c3dvcmRmaXNo c3dvcmRmaXNoc3c= c3dvcmRmaXNoYQ==", "*** *** ***");
	assert_masked(v, "EMPTY_2 NAME ping -pswordfish --timeout=9", "EMPTY_2 NAME ***");
	compose_values_destroy(v);
	v = compose_values_create();
	compose_values_add_env_file(v, LM_STR("KEY=\"-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n"
					      "hkiG9w0BAQEF\nAaSCBK==\n-----END KEY-----\"\n"));
	assert_masked(v, "KEY hkiG9w0BAQEF AaSCBK==", "KEY *** ***");
	compose_values_destroy(v);
}

static void a_value_that_was_cut_off_is_a_value(void **state)
{
	(void)state;
	struct compose_values *v = of_file("services:\n"
					   "  web:\n"
					   "    image: a\n"
					   "    environment: {P: correct horse battery staple}\n");
	assert_masked(v, "`correct horse...` as a number, correct horse bat",
		"`***...` as a number, ***");
	assert_masked(v, "correct horse of another", "correct horse of another");
	compose_values_destroy(v);
}

static void each_document_counts_and_each_line_of_none(void **state)
{
	(void)state;
	struct compose_values *v =
		of_file("services: {web: {image: a, environment: {A: swordfish}}}"
			"\n---\nservices: {db: {labels: {B: catfish}}}\n");
	assert_masked(v, "services[web].stop_grace_period: swordfish catfish",
		"services[web].stop_grace_period: *** ***");
	compose_values_destroy(v);
	v = of_file("services:\n\tweb:\n  - PASSWORD: swordfish\n  - TOKEN=catfish\n"
		    "    PIN: *starfish\n    e: [\n");
	assert_masked(v, "swordfish 'catfish' found undefined alias 'starfish'",
		"*** '***' found undefined alias '***'");
	compose_values_destroy(v);
}

static void what_is_merged_into_options_is_options(void **state)
{
	(void)state;
	struct compose_values *v =
		of_file("x-a: &a {image: 'reg.example/app:9', networks: [inner]}\n"
			"x-b: &b {restart: sometimes, environment: {P: swordfish}}\n"
			"services:\n"
			"  web: {<<: *a}\n"
			"  db: {<<: [*a, *b]}\n");
	assert_masked(v, "reg.example/app:9 inner sometimes swordfish",
		"reg.example/app:9 inner sometimes ***");
	compose_values_destroy(v);
}

static void names_the_files_that_a_file_refers_to(void **state)
{
	(void)state;
	struct compose_values *v =
		of_file("include: [a.yml, {path: b.yml, env_file: b.env}]\n"
			"services:\n"
			"  w: {extends: {file: c.yml, service: s}, env_file: e1}\n"
			"  x: {env_file: [e2, {path: e3, required: false}]}\n");
	static const char *const expected[] = {
		"a.yml", "b.yml", "c.yml", "b.env", "e1", "e2", "e3"};
	bool env = false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(expected); i++) {
		assert_string_equal(compose_values_file(v, i, &env), expected[i]);
		assert_int_equal(env, i >= 3);
	}
	assert_null(compose_values_file(v, LM_ARRAY_SIZE(expected), &env));
	compose_values_destroy(v);
	compose_values_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_go_and_names_stay),
		cmocka_unit_test(values_are_found_however_they_are_cut_and_quoted),
		cmocka_unit_test(env_files_and_the_environment_count),
		cmocka_unit_test(what_is_no_yaml_counts_line_by_line),
		cmocka_unit_test(
			values_are_found_as_docker_compose_unescapes_them_and_quotes_them_again),
		cmocka_unit_test(a_sign_of_equality_alone_makes_no_name),
		cmocka_unit_test(a_value_that_was_cut_off_is_a_value),
		cmocka_unit_test(each_document_counts_and_each_line_of_none),
		cmocka_unit_test(what_is_merged_into_options_is_options),
		cmocka_unit_test(names_the_files_that_a_file_refers_to),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
