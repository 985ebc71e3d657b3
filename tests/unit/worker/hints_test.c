// SPDX-License-Identifier: Apache-2.0
#include "worker/hints.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define FILE_TEXT                                                                                  \
	"services:\n"                                                                              \
	"  web:\n"                                                                                 \
	"    image: app:${TAG}\n"                                                                  \
	"    environment: {MODE: '${MODE}', P: '${AWS_PROFILE}'}\n"                                \
	"    mem_limit: ${MEMORY}\n"                                                               \
	"  db: {image: 'db:${TAG}${DB_TAG}'}\n"

struct fixture {
	struct group group;
	struct task task;
	struct context cx;
	struct lm_err err;
	struct lm_buf found;
};

static int set_up(void **state)
{
	struct fixture *f = lm_xcalloc(1, sizeof(*f));

	f->group.connector.destination = (char *)"/srv";
	f->task.group = &f->group;
	f->cx = (struct context){.task = &f->task,
		.text = LM_BUF(LIMIT_COMPOSE_FILE),
		.unset = LM_BUF(LIMIT_UNSET_NAMES)};
	f->found = LM_BUF(4000);
	(void)lm_buf_puts(&f->cx.text, FILE_TEXT);
	(void)!lm_fail(&f->err, LM_E_REFUSED, 0, "it failed");
	(void)unsetenv("AWS_PROFILE");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)unsetenv("AWS_PROFILE");
	lm_buf_finish(&f->cx.text);
	lm_buf_finish(&f->cx.unset);
	lm_buf_finish(&f->found);
	free(f);
	return 0;
}

static void check(struct fixture *f, enum hints_about about, lm_rc rc, lm_rc expected_rc,
	const char *expected)
{
	f->err = (struct lm_err){.rc = rc, .msg = "it failed"};
	assert_int_equal(hints_explain(&f->cx, about, rc, &f->err), expected_rc);
	assert_int_equal(f->err.rc, expected_rc);
	assert_string_equal(f->err.msg, expected);
}

static void names_the_variables_that_matter_to_what_failed(void **state)
{
	struct fixture *f = *state;
	check(f, HINTS_FILE, LM_E_INVALID, LM_E_INVALID, "it failed");
	hints_note_unset(&f->cx, LM_STR("MODE"));
	check(f, HINTS_FILE, LM_E_INVALID, LM_E_INVALID, "it failed");
	check(f, HINTS_START, LM_E_REFUSED, LM_E_REFUSED, "it failed");
	// What the application does without it is no fault of the definition.
	check(f, HINTS_HEALTH, LM_E_TIMEOUT, LM_E_TIMEOUT,
		"it failed; MODE is not set (environment of service web): set it in '/srv/.env'");
	hints_note_unset(&f->cx, LM_STR("MEMORY"));
	hints_note_unset(&f->cx, LM_STR("MEMORY"));
	check(f, HINTS_NEEDS, LM_E_INVALID, LM_E_INVALID, "it failed");
	check(f, HINTS_IMAGES, LM_E_NOT_FOUND, LM_E_NOT_FOUND, "it failed");
	check(f, HINTS_START, LM_E_REFUSED, LM_E_INVALID,
		"it failed; MEMORY is not set (mem_limit of service web): set it in '/srv/.env'");
	hints_note_unset(&f->cx, LM_STR("TAG"));
	check(f, HINTS_IMAGES, LM_E_DENIED, LM_E_INVALID,
		"it failed; TAG is not set (image of service web and 1 more): set it in "
		"'/srv/.env'");
	check(f, HINTS_FILE, LM_E_INVALID, LM_E_INVALID,
		"it failed; TAG is not set (image of service web and 1 more), MEMORY is not set "
		"(mem_limit of service web): set them in '/srv/.env'");
}

static void other_failures_are_left_alone(void **state)
{
	struct fixture *f = *state;
	static const lm_rc others[] = {LM_OK, LM_E_NETWORK, LM_E_TIMEOUT, LM_E_CONFLICT,
		LM_E_CANCELLED, LM_E_SYS, LM_E_TOO_LARGE};
	hints_note_unset(&f->cx, LM_STR("TAG"));
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++)
		check(f, HINTS_FILE, others[i], others[i], "it failed");
	check(f, HINTS_NEEDS, LM_E_REFUSED, LM_E_REFUSED, "it failed"); // a stranger is in the way
	// A registry that cannot be reached: offline mode may help.
	check(f, HINTS_IMAGES, LM_E_REFUSED, LM_E_REFUSED, "it failed");
}

static void many_variables_are_counted_and_long_messages_shortened(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"A", "B", "C", "D", "E"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		hints_note_unset(&f->cx, lm_str(names[i])); // of a file that it refers to
	check(f, HINTS_FILE, LM_E_INVALID, LM_E_INVALID,
		"it failed; A is not set, B is not set, C is not set and 2 more: set them in "
		"'/srv/.env'");
	check(f, HINTS_START, LM_E_REFUSED, LM_E_REFUSED, "it failed");
	f->err = (struct lm_err){.rc = LM_E_INVALID};
	memset(f->err.msg, 'x', sizeof(f->err.msg) - 1);
	assert_int_equal(hints_explain(&f->cx, HINTS_FILE, LM_E_INVALID, &f->err), LM_E_INVALID);
	assert_non_null(strstr(f->err.msg, "x; A is not set"));
	for (size_t i = 0; i < LIMIT_UNSET_NAMES; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "V%zu", i);
		hints_note_unset(&f->cx, lm_str(name));
	}
	assert_int_equal(hints_explain(&f->cx, HINTS_FILE, LM_E_INVALID, &f->err), LM_E_INVALID);
}

static void take_text(void *ctx, const char *text)
{
	(void)lm_buf_printf(ctx, "%s\n", text);
}

static void says_what_docker_compose_does_not_get(void **state)
{
	struct fixture *f = *state;
	hints_list_withheld(&f->cx, take_text, &f->found);
	assert_int_equal(f->found.len, 0); // lightermand has none of that name
	assert_int_equal(setenv("AWS_PROFILE", "harbour", 1), 0);
	hints_list_withheld(&f->cx, take_text, &f->found);
	assert_string_equal(lm_buf_cstr(&f->found),
		"variable AWS_PROFILE (environment of service web) is not passed to "
		"docker-compose, as it is a secret of lightermand or leads to one: use a variable "
		"of another name\n");
	// It is not called unset.
	hints_note_unset(&f->cx, LM_STR("AWS_PROFILE"));
	check(f, HINTS_FILE, LM_E_INVALID, LM_E_INVALID, "it failed");
	lm_buf_clear(&f->cx.text);
	(void)lm_buf_puts(&f->cx.text, "services: {web: {image: '${AWS_PROFILE:?}'}}");
	check(f, HINTS_FILE, LM_E_INVALID, LM_E_INVALID,
		"it failed; AWS_PROFILE (image of service web) is not passed to docker-compose, as "
		"it is a secret of lightermand or leads to one: use a variable of another name");
}

static void an_image_without_its_tag_is_refused(void **state)
{
	struct fixture *f = *state;
	struct compose_service services[] = {
		{.name = (char *)"other", .image = (char *)"Not A Name", .active = true},
		{.name = (char *)"built", .has_build = true, .active = true},
		{.name = (char *)"idle", .image = (char *)"app:"},
		{.name = (char *)"web", .image = (char *)"app:", .active = true}};
	f->cx.services = (struct compose_services){.items = services, .n = LM_ARRAY_SIZE(services)};
	assert_int_equal(hints_check_images(&f->cx, &f->err), LM_OK); // the engine's to refuse
	hints_note_unset(&f->cx, LM_STR("DB_TAG"));
	assert_int_equal(hints_check_images(&f->cx, &f->err), LM_OK); // not of that service
	hints_note_unset(&f->cx, LM_STR("TAG"));
	assert_int_equal(hints_check_images(&f->cx, &f->err), LM_E_INVALID);
	assert_non_null(strstr(f->err.msg, "image of service web: "));
	assert_non_null(strstr(f->err.msg, "; TAG is not set (image of service web and 1 more)"));
	services[1].has_build = false; // an image without a name, to docker-compose 1
	assert_int_equal(hints_check_images(&f->cx, &f->err), LM_E_INVALID);
	assert_string_equal(f->err.msg, "image of service built: it has no name");
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void ids_of_our_containers_become_names(void **state)
{
	struct fixture *f = *state;
	struct engine_container db = {
		.id = (char *)ID, .name = (char *)"app_db_1", .service = (char *)"db"};
	const struct engine_containers list = {&db, 1};
	static const struct {
		const char *in, *out; // NULL: there is nothing to replace
	} cases[] = {
		{"for web  Container \"0123456789ab\" is unhealthy.",
			"for web  Container app_db_1 of service db is unhealthy."},
		{"start 0123456789ab: no", "start app_db_1 of service db: no"},
		{ID, "app_db_1 of service db"},
		{"a \"0123456789ab", "a \"app_db_1 of service db"},
		{"0123456789ab 0123456789ab", "app_db_1 of service db app_db_1 of service db"},
		{"fedcba987654 is another's", NULL},
		{"image sha256:1" ID, NULL},
		{"x0123456789ab 0123456789abc 0123456789a 0123456789ab_", NULL},
		{"", NULL},
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const char *out = cases[i].out ? cases[i].out : cases[i].in;
		assert_int_equal(hints_name_containers(&list, lm_str(cases[i].in), &f->found),
			cases[i].out != NULL);
		assert_string_equal(lm_buf_cstr(&f->found), out);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names_the_variables_that_matter_to_what_failed),
		TEST(other_failures_are_left_alone),
		TEST(many_variables_are_counted_and_long_messages_shortened),
		TEST(says_what_docker_compose_does_not_get),
		TEST(an_image_without_its_tag_is_refused),
		TEST(ids_of_our_containers_become_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
