// SPDX-License-Identifier: Apache-2.0
#include "sys/socket.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct lm_err err;

static int enter_folder(void **state)
{
	static char folder[64];

	(void)snprintf(folder, sizeof(folder), "/tmp/socket_test.XXXXXX");
	*state = folder;
	return mkdtemp(folder) ? chdir(folder) : -1;
}

static int leave_folder(void **state)
{
	(void)unlink("s");
	return chdir("/") || rmdir(*state) ? -1 : 0;
}

static void carries_bytes_from_client_to_server(void **state)
{
	(void)state;
	lm_auto_close int server = -1, client = -1, accepted = -1;
	char got[3] = "";
	struct stat st;

	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &server, &err), LM_OK);
	assert_int_equal(stat("s", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(socket_unix_accept(server, &accepted, &err), LM_OK);
	assert_int_equal(accepted, -1);
	assert_int_equal(socket_unix_connect("s", &client, &err), LM_OK);
	assert_int_equal(socket_unix_accept(server, &accepted, &err), LM_OK);
	assert_int_equal(write(client, "hi", 2), 2);
	assert_int_equal(read(accepted, got, 2), 2);
	assert_string_equal(got, "hi");
	assert_int_equal(socket_unix_peer_uid(accepted), geteuid());
	assert_int_equal(socket_unix_peer_uid(-1), (uid_t)-1);
}

static void replaces_a_socket_that_nobody_answers(void **state)
{
	(void)state;
	lm_auto_close int old = -1, fresh = -1, client = -1;

	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &old, &err), LM_OK);
	(void)close(lm_take_fd(old));
	assert_int_equal(socket_unix_connect("s", &client, &err), LM_E_NETWORK);
	assert_string_equal(err.msg, "nothing is listening at 's'");
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &fresh, &err), LM_OK);
}

static void leaves_a_socket_that_somebody_answers(void **state)
{
	(void)state;
	lm_auto_close int first = -1;
	int second = -1;

	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &first, &err), LM_OK);
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &second, &err), LM_E_CONFLICT);
	assert_int_equal(second, -1);
}

static void leaves_a_file_that_is_no_socket(void **state)
{
	(void)state;
	int fd = -1;

	(void)close(open("s", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(socket_unix_listen("s", 0600, (gid_t)-1, &fd, &err), LM_E_CONFLICT);
	assert_string_equal(err.msg, "'s' exists and is not a socket");
}

static void says_what_is_wrong_with_a_path(void **state)
{
	(void)state;
	int fd = -1;
	char path[200];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(socket_unix_connect(path, &fd, &err), LM_E_INVALID);
	assert_int_equal(socket_unix_connect("absent", &fd, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "there is no socket 'absent'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			carries_bytes_from_client_to_server, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(
			replaces_a_socket_that_nobody_answers, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(
			leaves_a_socket_that_somebody_answers, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(
			leaves_a_file_that_is_no_socket, enter_folder, leave_folder),
		cmocka_unit_test_setup_teardown(
			says_what_is_wrong_with_a_path, enter_folder, leave_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
