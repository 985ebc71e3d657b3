// SPDX-License-Identifier: Apache-2.0
#include "sys/interfaces.h"

#include "base/limits.h"

#include <arpa/inet.h>
#include <string.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct interface_address make(const char *text)
{
	struct interface_address a = {.is_up = true};

	if (inet_pton(AF_INET, text, &a.address) != 1) {
		a.is_ipv6 = true;
		assert_int_equal(inet_pton(AF_INET6, text, &a.address), 1);
	}
	return a;
}

static void tells_first_what_most_others_reach(void **state)
{
	(void)state;
	struct interface_address all[] = {make("::1"), make("127.0.0.1"), make("fd00::5"),
		make("172.17.0.1"), make("2001:db8::1"), make("192.168.1.4"), make("10.0.0.9"),
		make("192.168.1.4"), make("172.18.0.1")};
	static const char *const expected[] = {"10.0.0.9", "192.168.1.4", "172.17.0.1",
		"172.18.0.1", "2001:db8::1", "fd00::5", "127.0.0.1", "::1"};
	lm_auto_addresses struct address_list list = {0};

	all[0].is_loopback = all[1].is_loopback = true;
	all[3].is_bridge = all[8].is_bridge = true;
	interfaces_select(all, 9, &list);
	assert_int_equal(list.n, 8);
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(list.texts[i], expected[i]);
}

static void leaves_out_what_cannot_be_reached_or_will_not_stay(void **state)
{
	(void)state;
	struct interface_address all[] = {make("169.254.1.1"), make("fe80::1"), make("0.0.0.0"),
		make("::"), make("ff02::1"), make("224.0.0.1"), make("192.168.1.4"),
		make("2001:db8::2"), make("::ffff:1.2.3.4")};
	lm_auto_addresses struct address_list list = {0};

	all[6].is_up = false;
	all[7].is_passing = true;
	interfaces_select(all, 9, &list);
	assert_int_equal(list.n, 0);
}

static void has_a_ceiling(void **state)
{
	(void)state;
	static struct interface_address all[LIMIT_ADDRESSES + 5];
	lm_auto_addresses struct address_list list = {0};

	for (size_t i = 0; i < LIMIT_ADDRESSES + 5; i++) {
		all[i] = make("10.0.0.1");
		all[i].address.s6_addr[2] = (unsigned char)i;
	}
	interfaces_select(all, LIMIT_ADDRESSES + 5, &list);
	assert_int_equal(list.n, LIMIT_ADDRESSES);
}

static void finds_loopback_here(void **state)
{
	(void)state;
	lm_auto_addresses struct address_list list = {0};
	struct lm_err err;
	bool found = false;

	assert_int_equal(interfaces_list_addresses(&list, &err), LM_OK);
	for (size_t i = 0; i < list.n; i++)
		found |= strcmp(list.texts[i], "127.0.0.1") == 0;
	assert_true(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_first_what_most_others_reach),
		cmocka_unit_test(leaves_out_what_cannot_be_reached_or_will_not_stay),
		cmocka_unit_test(has_a_ceiling),
		cmocka_unit_test(finds_loopback_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
