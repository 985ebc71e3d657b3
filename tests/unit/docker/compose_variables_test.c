// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_variables.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void finds_references_in_every_form(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	struct lm_str text =
		LM_STR("$A ${B} ${C:-x${D}y} ${E?why} pa$word $$no ${ $1 ${F+z} a_$G $");
	struct compose_reference r;
	for (size_t at = 0; compose_reference_next(text, &at, &r);)
		(void)lm_buf_printf(&out, "%.*s(%.*s)%s%s;", LM_STR_ARG(r.name),
			LM_STR_ARG(r.instead), r.required ? "!" : "", r.glued ? "?" : "");
	assert_string_equal(lm_buf_cstr(&out), "A();B();C(x${D}y);E(why)!;word()?;F(z);G();");
}

static void note(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	(void)lm_buf_printf(ctx, "%.*s/%.*s/%.*s %.*s;", LM_STR_ARG(place->section),
		LM_STR_ARG(place->name), LM_STR_ARG(place->option), LM_STR_ARG(reference->name));
}

static void knows_where_they_stand(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	struct lm_err err = {LM_OK};
	assert_int_equal(compose_references_each(
				 LM_STR("services:\n"
					"  web: {image: 'a:$T', environment: [{K: '$U'}], x: ok}\n"
					"networks: {n: {driver: '${V:-${W}}'}}\n"),
				 note, &out, &err),
		LM_OK);
	assert_string_equal(lm_buf_cstr(&out),
		"services/web/image T;services/web/environment U;networks/n/driver "
		"V;networks/n/driver W;");
	lm_buf_clear(&out);
	assert_int_equal(
		compose_references_each(LM_STR("web: {image: '$T'}\n"), note, &out, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "services/web/image T;");
	assert_int_equal(compose_references_each(LM_STR("a: ["), note, &out, &err), LM_E_INVALID);
}

static void a_name_alone_hands_a_variable_on(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	struct lm_err err = {LM_OK};
	assert_int_equal(
		compose_references_each(
			LM_STR("services:\n"
			       "  a: {environment: [X, Y=1, 'b c'], build: {args: {Z: }}}\n"
			       "  b: {environment: {V: , W: '1'}, labels: [L]}\n"),
			note, &out, &err),
		LM_OK);
	assert_string_equal(lm_buf_cstr(&out),
		"services/a/environment X;services/a/build Z;services/b/environment V;");
}

static void note_doubtful(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	if (compose_reference_is_doubtful(reference, place))
		(void)lm_buf_printf(ctx, "%.*s;", LM_STR_ARG(reference->name));
}

static void doubts_dollars_that_may_belong_to_passwords(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf out = LM_BUF(1000);
	static const char file[] = "x-app: &app {environment: {P: $one}}\n"
				   "services:\n"
				   "  web:\n"
				   "    image: 'r/$app:$tag'\n"
				   "    environment: [P=$two, 'Q=a!$three', 'R=p@$FOUR', "
				   "'S=$HOST:$PORT', 'T=${five}']\n"
				   "    labels: {l: 'a.$SIX', m: 'pa${SEVEN}'}\n"
				   "    hostname: 'a$eight'\n"
				   "  db: {<<: *app}\n"
				   "---\n"
				   "volumes: {v: {driver_opts: {o: 'password=$nine'}}}\n";
	assert_int_equal(compose_references_each(lm_str(file), note_doubtful, &out, NULL), LM_OK);
	assert_string_equal(lm_buf_cstr(&out), "one;two;three;FOUR;eight;one;nine;");
}

static void describes_the_first_place(void **state)
{
	(void)state;
	static const char file[] = "services:\n"
				   "  web: {image: 'a:$T', labels: ['$T', 'pa$word']}\n"
				   "  db: {image: 'b:$T'}\n";
	static const char *const cases[][2] = {
		{"T", "image of service web and 2 more"}, {"word", ""}, {"NONE", ""}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto_buf struct lm_buf out = LM_BUF(1000);
		compose_references_describe(lm_str(file), lm_str(cases[i][0]), &out);
		assert_string_equal(lm_buf_cstr(&out), cases[i][1]);
	}
}

static void reads_what_docker_compose_made_of_them(void **state)
{
	(void)state;
	static const struct {
		const char *config, *profiles, *platform;
	} cases[] = {
		{"services:\n  variables:\n    image: scratch\n    labels:\n      platform: ''\n"
		 "      profiles: field,debug\nversion: '3.0'\n",
			"field,debug", ""},
		{"name: x\nservices:\n  variables:\n    labels:\n      platform: linux/arm64\n"
		 "      profiles: \"a$$b$$$$c$\"\n",
			"a$b$$c$", "linux/arm64"},
		{"services: {variables: {labels: {}}}\n", "", ""},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		lm_auto(compose_variables_finish) struct compose_variables v = {0};
		struct lm_err err = {0};
		assert_int_equal(compose_variables_parse(lm_str(cases[i].config), &v, &err), LM_OK);
		assert_string_equal(v.profiles, cases[i].profiles);
		assert_string_equal(v.platform, cases[i].platform);
	}
}

static void refuses_what_is_no_answer(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "[", "- a\n", "services: {}\n",
		"services: {variables: 1}\n", "services: {variables: {labels: [a]}}\n"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		struct compose_variables v = {0};
		struct lm_err err = {0};
		assert_int_equal(compose_variables_parse(lm_str(bad[i]), &v, &err), LM_E_PROTOCOL);
		assert_null(v.profiles);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_references_in_every_form),
		cmocka_unit_test(knows_where_they_stand),
		cmocka_unit_test(a_name_alone_hands_a_variable_on),
		cmocka_unit_test(doubts_dollars_that_may_belong_to_passwords),
		cmocka_unit_test(describes_the_first_place),
		cmocka_unit_test(reads_what_docker_compose_made_of_them),
		cmocka_unit_test(refuses_what_is_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
