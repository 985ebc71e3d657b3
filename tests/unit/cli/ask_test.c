// SPDX-License-Identifier: Apache-2.0
#include "cli/ask.h"

#include "base/cleanup.h"
#include "cli/command.h"
#include "sys/socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct lm_err err;

static int enter_folder(void **state)
{
	static char folder[64];

	(void)snprintf(folder, sizeof(folder), "/tmp/ask_test.XXXXXX");
	*state = folder;
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
	(void)unlink("s");
	return chdir("/") || rmdir(*state) ? -1 : 0;
}

static void a_lightermand_that_hangs_can_be_left(void **state)
{
	lm_auto_close int listen_fd = -1;
	int cancel[2], exit_status = 0;
	json_t *last = NULL;

	(void)state;
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &listen_fd, &err), LM_OK);
	assert_int_equal(pipe(cancel), 0);
	assert_int_equal(write(cancel[1], "", 1), 1);
	struct wait_limit limit = {.cancel_fd = cancel[0]};
	assert_int_equal(
		ask_lightermand("s", "status", &limit, &last, &exit_status, &err), LM_E_CANCELLED);
	assert_int_equal(exit_status, EXIT_FAILED);
	assert_null(last);
	(void)close(cancel[0]);
	(void)close(cancel[1]);
}

static void nobody_there_is_told(void **state)
{
	int exit_status = 0;
	json_t *last = NULL;

	(void)state;
	assert_int_equal(ask_lightermand("s", "status", &WAIT_FOREVER, &last, &exit_status, &err),
		LM_E_NOT_FOUND);
	assert_int_equal(exit_status, EXIT_UNREACHABLE);
	assert_null(last);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lightermand_that_hangs_can_be_left),
		TEST(nobody_there_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
