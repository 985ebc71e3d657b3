// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void holds_a_copy_ended_by_nul(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret s = {0};
	char source[] = "hunter2";

	assert_true(lm_str_eq(lm_secret_str(&s), LM_STR("")));
	lm_secret_set(&s, lm_str(source));
	memset(source, 'x', sizeof(source) - 1);
	assert_string_equal(s.data, "hunter2");
	assert_int_equal(s.len, 7);
}

static void an_empty_secret_is_not_no_secret(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret s = {0};

	lm_secret_set(&s, (struct lm_str){NULL, 0});
	assert_non_null(s.data);
	assert_int_equal(s.len, 0);
}

static void may_be_set_from_a_part_of_itself(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret s = {0};

	lm_secret_set(&s, LM_STR("user:password"));
	lm_secret_set(&s, (struct lm_str){s.data + 5, 8});
	assert_string_equal(s.data, "password");
}

static void move_leaves_the_source_empty(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret from = {0};
	lm_auto_secret struct lm_secret to = {0};

	lm_secret_set(&from, LM_STR("new"));
	lm_secret_set(&to, LM_STR("old"));
	lm_secret_move(&to, &from);
	assert_string_equal(to.data, "new");
	assert_null(from.data);
	assert_int_equal(from.len, 0);
}

static void move_to_itself_keeps_it(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret s = {0};

	lm_secret_set(&s, LM_STR("keep"));
	lm_secret_move(&s, &s);
	assert_non_null(s.data);
	assert_string_equal(s.data, "keep");
}

static void finish_may_be_repeated(void **state)
{
	(void)state;
	struct lm_secret s = {0};

	lm_secret_finish(&s);
	lm_secret_set(&s, LM_STR("x"));
	lm_secret_finish(&s);
	lm_secret_finish(&s);
	assert_null(s.data);
}

static void wipe_overwrites(void **state)
{
	(void)state;
	char text[] = "hunter2";
	static const char zeros[7];

	lm_wipe(NULL, 0);
	lm_wipe(text, 7);
	assert_memory_equal(text, zeros, 7);
}

static void hardening_turns_core_dumps_off(void **state)
{
	(void)state;
	pid_t pid = fork(); // it cannot be undone

	assert_true(pid >= 0);
	if (pid == 0) {
		struct rlimit limit = {1, 1};

		lm_secret_harden_process();
		bool off = getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 &&
			   prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
		_exit(off ? 0 : 1);
	}
	int status = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_a_copy_ended_by_nul),
		cmocka_unit_test(an_empty_secret_is_not_no_secret),
		cmocka_unit_test(may_be_set_from_a_part_of_itself),
		cmocka_unit_test(move_leaves_the_source_empty),
		cmocka_unit_test(move_to_itself_keeps_it),
		cmocka_unit_test(finish_may_be_repeated),
		cmocka_unit_test(wipe_overwrites),
		cmocka_unit_test(hardening_turns_core_dumps_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
