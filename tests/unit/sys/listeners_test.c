// SPDX-License-Identifier: Apache-2.0
#include "sys/listeners.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void reads_lines_of_sockets_that_listen(void **state)
{
	(void)state;
	struct listener l = {0};
	char address[64];

	assert_true(listener_parse(LM_STR("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 "
					  "00:00000000 00000000  1000        0 4711 1 0000 100"),
		false, false, &l));
	assert_string_equal(inet_ntop(AF_INET, &l.address, address, sizeof(address)), "127.0.0.1");
	assert_int_equal(l.port, 8080);
	assert_int_equal(l.uid, 1000);
	assert_int_equal(l.inode, 4711);
	assert_true(listener_parse(
		LM_STR("  12: 00000000000000000000000001000000:0035 "
		       "00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 "
		       "00000000   101        0 815 2 0000 0"),
		true, true, &l));
	assert_string_equal(inet_ntop(AF_INET6, &l.address, address, sizeof(address)), "::1");
	assert_int_equal(l.port, 53);
	assert_true(l.udp && l.ipv6);
}

static void leaves_out_other_lines(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid "
		" "
		"timeout inode",
		// A connection.
		"   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000 "
		"  "
		"     0 4712 1 0000",
		"   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000",
		"   1: 0100007F 00000000:0000 0A 0:0 0:0 0 0 0 1",
		"   1: 0100007G:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
		"   1: 0100007F:11F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
		"   1: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 -1 0 1",
	};
	struct listener l = {.port = 1};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(listener_parse(lm_str(lines[i]), false, false, &l));
	assert_int_equal(l.port, 1);
}

static void finds_a_socket_of_ours_and_its_program(void **state)
{
	(void)state;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	struct listeners list = {0};
	struct lm_err err = {LM_OK};
	const struct listener *found = NULL;

	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(listeners_read(&list, &err), LM_OK);
	for (size_t i = 0; i < list.n; i++)
		if (!list.items[i].udp && list.items[i].port == ntohs(address.sin_port))
			found = &list.items[i];
	assert_non_null(found);
	assert_int_equal(found->uid, geteuid());
	struct listener_process process = listener_find_process(found);
	assert_int_equal(process.pid, getpid());
	assert_int_equal(strncmp(process.name, "sys_listeners", 13), 0);
	struct listener nobodys = *found;
	nobodys.inode = 1;
	assert_int_equal(listener_find_process(&nobodys).pid, 0);
	listeners_finish(&list);
	(void)close(fd);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void finds_the_container_in_a_control_group(void **state)
{
	(void)state;
	static const char two_lines[] = "12:memory:/docker/" ID "\n1:name=systemd:/docker/" ID "\n";
	static const char *const with[] = {
		"0::/system.slice/docker-" ID ".scope\n", two_lines, "0::/" ID};
	static const char *const without[] = {
		"", "0::/init.scope\n", "0::/docker/" ID "0\n", "0::/docker/0123456789abcdef\n"};
	char id[65] = "";

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		assert_true(listener_find_container(lm_str(with[i]), id));
		assert_string_equal(id, ID);
	}
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		assert_false(listener_find_container(lm_str(without[i]), id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_lines_of_sockets_that_listen),
		cmocka_unit_test(leaves_out_other_lines),
		cmocka_unit_test(finds_a_socket_of_ours_and_its_program),
		cmocka_unit_test(finds_the_container_in_a_control_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
