// SPDX-License-Identifier: Apache-2.0
#include "deploy/handover.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void a_program_starts_with_what_is_read_before_main_and_nothing_else(void **state)
{
	static const char *const environment[] = {"AWS_SECRET_ACCESS_KEY=hunter2", "PATH=/bin",
		"LD_LIBRARY_PATH=/opt/lib", "GLIBC_TUNABLES=a=b", "GLIBC_TUNABLES_X=no",
		"MALLOC_ARENA_MAX=1", "HOLD_=1", NULL};
	lm_auto_free char **first = handover_first_environment(environment);

	(void)state;
	assert_string_equal(first[0], "LD_LIBRARY_PATH=/opt/lib");
	assert_string_equal(first[1], "GLIBC_TUNABLES=a=b");
	assert_string_equal(first[2], "MALLOC_ARENA_MAX=1");
	assert_null(first[3]);
}

static void what_is_no_variable_is_left_out(void **state)
{
	static const char block[] = "A=1\0=x\0B\0\0C=\0D=a=b";
	lm_auto_free char **entries =
		handover_parse_environment((struct lm_str){block, sizeof(block) - 1});

	(void)state;
	assert_string_equal(entries[0], "A=1");
	assert_string_equal(entries[1], "C=");
	assert_string_equal(entries[2], "D=a=b");
	assert_null(entries[3]);
}

static int file_with(const char *text)
{
	FILE *file = tmpfile();

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	rewind(file);
	int fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
	assert_int_equal(fclose(file), 0);
	return fd;
}

static void expect_text(int fd, const char *expected)
{
	char text[64];
	ssize_t n = read(fd, text, sizeof(text));

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(text, expected, strlen(expected));
}

static void environment_and_descriptors_arrive(void **state)
{
	static const char *const environment[] = {
		"AWS_SECRET_ACCESS_KEY=hunter2", "ODD=\xff\n", NULL};
	char **before = environ;
	lm_auto_close int ours = -1;
	lm_auto_close int theirs = -1;
	lm_auto_close int compose = file_with("services:");
	lm_auto_close int key = file_with("key");
	lm_auto(handover_finish) struct handover got = HANDOVER_NONE;
	char job[16];

	(void)state;
	assert_int_equal(handover_make_socket(&ours, &theirs, NULL), LM_OK);
	assert_int_equal(handover_send(ours, &(struct handover){compose, key, -1, compose, key},
				 environment, NULL),
		LM_OK);
	assert_int_equal(write(ours, "the job\n", 8), 8);
	assert_int_equal(handover_receive(theirs, &got, NULL), LM_OK);

	assert_string_equal(getenv("AWS_SECRET_ACCESS_KEY"), "hunter2");
	assert_string_equal(getenv("ODD"), "\xff\n");
	assert_null(getenv("PATH"));
	assert_int_equal(setenv("HOME", "/home/a", 1), 0);
	assert_string_equal(getenv("HOME"), "/home/a");
	expect_text(got.compose_fd, "services:");
	expect_text(got.key_fd, "key");
	expect_text(got.certificate_fd, "");
	assert_true(got.previous_fd >= 0);
	assert_true(got.devices_fd >= 0);
	assert_int_equal(fcntl(got.key_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(read(theirs, job, sizeof(job)), 8); // what follows is left there

	handover_forget_environment();
	assert_null(getenv("AWS_SECRET_ACCESS_KEY"));
	environ = before;
}

static void an_end_instead_is_the_order_to_stop(void **state)
{
	lm_auto_close int theirs = -1;
	struct handover got;
	int ours = -1;

	(void)state;
	assert_int_equal(handover_make_socket(&ours, &theirs, NULL), LM_OK);
	assert_int_equal(close(ours), 0);
	assert_int_equal(handover_receive(theirs, &got, NULL), LM_E_CANCELLED);
}

static void anything_else_is_refused(void **state)
{
	static const char *const lines[] = {"take\n", "take", "{\"job\":\"deploy\"}\n"};
	struct handover got;
	struct lm_err err;
	int pipe_fds[2];

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_close int ours = -1;
		lm_auto_close int theirs = -1;

		assert_int_equal(handover_make_socket(&ours, &theirs, NULL), LM_OK);
		assert_true(write(ours, lines[i], strlen(lines[i])) > 0);
		assert_int_equal(handover_receive(theirs, &got, &err), LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "of the same version?"));
	}
	assert_int_equal(pipe(pipe_fds), 0);
	assert_int_equal(handover_receive(pipe_fds[0], &got, &err), LM_E_PROTOCOL);
	assert_non_null(strstr(err.msg, "this program is started by lightermand"));
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
}

/// With `n` descriptors of `fd`.
static void send_many(int socket, int fd, size_t n)
{
	char line[] = "take\n";
	_Alignas(struct cmsghdr) char control[256] = {0};
	struct iovec data = {line, sizeof(line) - 1};
	struct msghdr message = {.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof(int));
	assert_int_equal(sendmsg(socket, &message, 0), 5);
}

static void another_number_of_descriptors_is_refused_and_none_stays_open(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 9; n++) {
		lm_auto_close int ours = -1;
		lm_auto_close int theirs = -1;
		struct handover got;
		struct lm_err err;

		if (n == 6) // what is agreed
			continue;
		assert_int_equal(handover_make_socket(&ours, &theirs, NULL), LM_OK);
		int before = dup(ours);
		assert_int_equal(close(before), 0);
		send_many(ours, ours, n);
		assert_int_equal(handover_receive(theirs, &got, &err), LM_E_PROTOCOL);
		assert_non_null(strstr(err.msg, "of the same version?"));
		int after = dup(ours); // the lowest that is free
		assert_int_equal(after, before);
		assert_int_equal(close(after), 0);
	}
}

static void an_environment_has_a_ceiling(void **state)
{
	lm_auto_free char *large = lm_xmalloc(LIMIT_ENVIRONMENT + 1);
	lm_auto_close int ours = -1;
	lm_auto_close int theirs = -1;
	struct lm_err err;

	(void)state;
	memset(large, 'x', LIMIT_ENVIRONMENT);
	large[LIMIT_ENVIRONMENT] = '\0';
	assert_int_equal(handover_make_socket(&ours, &theirs, NULL), LM_OK);
	assert_int_equal(
		handover_send(ours, &HANDOVER_NONE, (const char *const[]){large, NULL}, &err),
		LM_E_TOO_LARGE);
}

static void a_worker_that_has_gone_is_told_apart(void **state)
{
	static const char *const environment[] = {NULL};
	lm_auto_close int ours = -1;
	int theirs = -1;

	(void)state;
	assert_int_equal(handover_make_socket(&ours, &theirs, NULL), LM_OK);
	assert_int_equal(close(theirs), 0);
	assert_int_equal(handover_send(ours, &HANDOVER_NONE, environment, NULL), LM_E_NETWORK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_starts_with_what_is_read_before_main_and_nothing_else),
		cmocka_unit_test(what_is_no_variable_is_left_out),
		cmocka_unit_test(environment_and_descriptors_arrive),
		cmocka_unit_test(an_end_instead_is_the_order_to_stop),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(another_number_of_descriptors_is_refused_and_none_stays_open),
		cmocka_unit_test(an_environment_has_a_ceiling),
		cmocka_unit_test(a_worker_that_has_gone_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
