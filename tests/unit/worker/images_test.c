// SPDX-License-Identifier: Apache-2.0
#include "worker/images.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DEFAULT = 1, ALWAYS = 2, MISSING = 4, NEVER = 8, BUILD = 16 };

/// A row for each policy, with and without `build`; in it what happens by mode and by whether the
/// image is here: "ALL here, ALL not here, MISSING here, …, LOCAL not here".
/// k keep, p pull, b build, m missing; behind it what is left if a pull fails.
static const struct row {
	unsigned generation;
	unsigned policies;
	bool is_built;
	const char *expected;
} rows[] = {
	//                      all         missing     local
	{1, DEFAULT, false, "pk pm  kk pm  kk mm"},
	{2, DEFAULT, false, "pk pm  kk pm  kk mm"},
	{1, DEFAULT, true, "pk pb  kk bb  kk bb"}, // generation 1 builds what it can build
	{2, DEFAULT, true, "pk pb  kk pb  kk bb"},
	{1, ALWAYS, false, "pk pm  kk pm  kk mm"},
	{2, ALWAYS, false, "pk pm  pk pm  kk mm"},
	{1, ALWAYS, true, "pk pb  kk bb  kk bb"},
	{2, ALWAYS, true, "pk pb  pk pb  kk bb"},
	{1, MISSING, false, "kk pm  kk pm  kk mm"},
	{2, MISSING, false, "kk pm  kk pm  kk mm"},
	{1, MISSING, true, "kk pb  kk bb  kk bb"},
	{2, MISSING, true, "kk pb  kk pb  kk bb"},
	{1, NEVER, false, "kk mm  kk mm  kk mm"},
	{2, NEVER, false, "kk mm  kk mm  kk mm"},
	{1, NEVER, true, "kk bb  kk bb  kk bb"},
	{2, NEVER, true, "kk bb  kk bb  kk bb"},
	{1, BUILD, false, "kk mm  kk mm  kk mm"},
	{2, BUILD, false, "kk mm  kk mm  kk mm"},
	{1, BUILD, true, "kk bb  kk bb  kk bb"},
	{2, BUILD, true, "bb bb  bb bb  kk bb"}, // anew, but not offline
	// One service builds it, others use it:
	{1, DEFAULT | BUILD, true, "pk pb  kk bb  kk bb"},
	{2, DEFAULT | BUILD, true, "pb pb  bb pb  kk bb"},
	{2, NEVER | ALWAYS, false, "pk pm  pk pm  kk mm"},
};

static char letter(enum image_action action)
{
	return *image_action_name(action);
}

static void decide_all(const struct row *row, const char *name, bool is_named, char out[32])
{
	static const enum deploy_pull modes[] = {
		DEPLOY_PULL_ALL, DEPLOY_PULL_MISSING, DEPLOY_PULL_LOCAL};
	const struct compose_image image = {.name = (char *)name,
		.builder = row->is_built ? "web" : NULL,
		.is_named = is_named,
		.policies = row->policies};
	size_t n = 0;

	for (size_t m = 0; m < 3; m++)
		for (unsigned here = 2; here-- > 0;) {
			const struct image_case c = {&image, here, row->generation, modes[m]};
			n += (size_t)snprintf(out + n, 32 - n, "%c%c%s",
				letter(image_action_decide(&c)),
				letter(image_action_without_pull(&c)), here ? " " : "  ");
		}
	out[n - 2] = '\0';
}

static void decides_as_docker_compose_of_that_generation(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char decided[32];
		decide_all(&rows[i], "demo/web:1", true, decided);
		if (strcmp(decided, rows[i].expected) != 0)
			fail_msg("row %zu: %s instead of %s", i, decided, rows[i].expected);
	}
}

static void latest_is_never_there_for_good(void **state)
{
	(void)state;
	static const char *const names[] = {"demo/web", "demo/web:latest"};
	const struct row row = {2, MISSING, false, NULL};
	for (size_t i = 0; i < 2; i++) {
		char decided[32];
		decide_all(&row, names[i], true, decided);
		assert_string_equal(decided, "pk pm  kk pm  kk mm");
	}
}

static void an_image_without_a_name_is_built_and_never_pulled(void **state)
{
	(void)state;
	const struct row row = {2, DEFAULT, true, NULL};
	char decided[32];
	decide_all(&row, "project-web", false, decided);
	assert_string_equal(decided, "kk bb  kk bb  kk bb");
}

static void logins_are_needed_for_what_may_be_pulled(void **state)
{
	(void)state;
	static const struct {
		unsigned policies;
		bool is_named, may;
	} cases[] = {{DEFAULT, true, true}, {DEFAULT, false, false}, {NEVER, true, false},
		{BUILD, true, false}, {NEVER | BUILD, true, false}, {NEVER | MISSING, true, true},
		{ALWAYS, true, true}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct compose_image image = {
			.is_named = cases[i].is_named, .policies = cases[i].policies};
		assert_int_equal(image_action_may_pull(&image), cases[i].may);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decides_as_docker_compose_of_that_generation),
		cmocka_unit_test(latest_is_never_there_for_good),
		cmocka_unit_test(an_image_without_a_name_is_built_and_never_pulled),
		cmocka_unit_test(logins_are_needed_for_what_may_be_pulled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
