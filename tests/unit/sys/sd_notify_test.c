// SPDX-License-Identifier: Apache-2.0
#include "sys/sd_notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/// A manager's socket, and what it was told last.
struct manager {
	char folder[64], path[96], told[256];
	int fd;
};

static struct manager m;
static struct lm_err err;

static int enter(void **state)
{
	(void)state;
	m = (struct manager){.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	(void)snprintf(m.folder, sizeof(m.folder), "/tmp/notify_test.XXXXXX");
	if (m.fd < 0 || !mkdtemp(m.folder))
		return -1;
	(void)snprintf(m.path, sizeof(m.path), "%s/s", m.folder);
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return 0;
}

static int leave(void **state)
{
	(void)state;
	(void)close(m.fd);
	(void)unlink(m.path);
	return rmdir(m.folder);
}

static void bind_to(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t n = strlen(name);

	memcpy(address.sun_path, name, n);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(m.fd, (const struct sockaddr *)&address,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
		0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

static const char *told(void)
{
	ssize_t n = recv(m.fd, m.told, sizeof(m.told) - 1, 0);

	m.told[n < 0 ? 0 : n] = '\0';
	return m.told;
}

static void tells_a_socket_with_a_path(void **state)
{
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;

	(void)state;
	bind_to(m.path);
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	assert_int_equal(
		sd_notify_send(n, SD_NOTIFY_PATIENT, "READY=1\nSTATUS=all is well", &err), LM_OK);
	assert_string_equal(told(), "READY=1\nSTATUS=all is well");
}

static void tells_a_socket_without_a_file(void **state)
{
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof(name), "@lighterman/notify_test/%ld", (long)getpid());
	bind_to(name);
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	assert_int_equal(sd_notify_send(n, SD_NOTIFY_PATIENT, "STOPPING=1", &err), LM_OK);
	assert_string_equal(told(), "STOPPING=1");
}

static void does_nothing_without_a_manager(void **state)
{
	struct sd_notify *n = NULL;

	(void)state;
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	assert_null(n);
	assert_int_equal(sd_notify_send(NULL, SD_NOTIFY_PATIENT, "READY=1", &err), LM_OK);
	assert_int_equal(sd_notify_watchdog_ms(NULL), 0);
	sd_notify_close(NULL);
}

static void leaves_nothing_for_children(void **state)
{
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;

	(void)state;
	bind_to(m.path);
	(void)setenv("WATCHDOG_USEC", "30000000", 1);
	(void)setenv("WATCHDOG_PID", "1", 1);
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("WATCHDOG_USEC"));
	assert_null(getenv("WATCHDOG_PID"));
}

static void refuses_what_is_no_address(void **state)
{
	static const char *const names[] = {"relative", "vsock:2:1234", "/", "@"};
	char longest[200] = "/";
	struct sd_notify *n = NULL;

	(void)state;
	memset(longest + 1, 'x', 107);
	for (size_t i = 0; i < 4; i++) {
		(void)setenv("NOTIFY_SOCKET", names[i], 1);
		assert_int_equal(sd_notify_open(&n, &err), LM_E_INVALID);
		assert_null(n);
		assert_non_null(strstr(err.msg, "is not the address of a unix socket"));
	}
	(void)setenv("NOTIFY_SOCKET", longest, 1);
	assert_int_equal(sd_notify_open(&n, &err), LM_E_INVALID);
}

static void a_manager_that_is_gone_is_an_error(void **state)
{
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;

	(void)state;
	(void)setenv("NOTIFY_SOCKET", m.path, 1);
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	assert_int_equal(sd_notify_send(n, SD_NOTIFY_PATIENT, "READY=1", &err), LM_E_SYS);
	assert_string_equal(err.msg, "notify the service manager: No such file or directory");
}

static void a_manager_that_does_not_read_is_given_up(void **state)
{
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;
	lm_rc rc = LM_OK;

	(void)state;
	bind_to(m.path);
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	for (unsigned i = 0; i < 10000 && rc == LM_OK; i++)
		rc = sd_notify_send(n, SD_NOTIFY_AT_ONCE, "WATCHDOG=1", &err);
	assert_int_equal(rc, LM_E_TIMEOUT);
	assert_int_equal(sd_notify_send(n, SD_NOTIFY_PATIENT, "READY=1", &err), LM_E_TIMEOUT);
}

static uint64_t watchdog_ms(const char *interval_us, const char *pid)
{
	lm_auto(sd_notify_close_p) struct sd_notify *n = NULL;

	(void)setenv("NOTIFY_SOCKET", m.path, 1);
	(void)setenv("WATCHDOG_USEC", interval_us, 1);
	if (pid)
		(void)setenv("WATCHDOG_PID", pid, 1);
	assert_int_equal(sd_notify_open(&n, &err), LM_OK);
	return sd_notify_watchdog_ms(n);
}

static void knows_how_often_the_watchdog_wants_to_hear(void **state)
{
	char own[32];

	(void)state;
	(void)snprintf(own, sizeof(own), "%ld", (long)getpid());
	assert_int_equal(watchdog_ms("30000000", own), 30000);
	assert_int_equal(watchdog_ms("30000000", NULL), 30000);
	assert_int_equal(watchdog_ms("30000000", "1"), 0);
	assert_int_equal(watchdog_ms("soon", own), 0);
	assert_int_equal(watchdog_ms("0", own), 0);
}

#define NOTIFY_TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NOTIFY_TEST(tells_a_socket_with_a_path),
		NOTIFY_TEST(tells_a_socket_without_a_file),
		NOTIFY_TEST(does_nothing_without_a_manager),
		NOTIFY_TEST(leaves_nothing_for_children),
		NOTIFY_TEST(refuses_what_is_no_address),
		NOTIFY_TEST(a_manager_that_is_gone_is_an_error),
		NOTIFY_TEST(a_manager_that_does_not_read_is_given_up),
		NOTIFY_TEST(knows_how_often_the_watchdog_wants_to_hear),
	};

	return cmocka_run_group_tests_name("sys/sd_notify", tests, NULL, NULL);
}
