// SPDX-License-Identifier: Apache-2.0
#include "devices/device_registry.h"

#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define GROUP "0f1e2d3c-4b5a-4678-8796-a5b4c3d2e1f0"

static const int64_t now = 1795953600;
static struct lm_err err;

/// A certificate with a fingerprint of 64 times that digit.
static struct registry_certificate make(char digit, enum registry_origin origin)
{
	struct registry_certificate c = {.origin = origin, .expires_s = now + 1000};

	memset(c.sha256, digit, CERTIFICATE_SHA256_SIZE - 1);
	c.sha256[CERTIFICATE_SHA256_SIZE - 1] = '\0';
	return c;
}

static struct registry_device *take(struct device_registry *r, const char *name)
{
	struct registry_device *device = NULL;

	assert_int_equal(device_registry_take(r, name, &device, &err), LM_OK);
	return device;
}

static lm_rc accept(
	struct device_registry *r, const char *name, char digit, enum registry_origin origin)
{
	struct registry_certificate c = make(digit, origin);

	return device_registry_accept(r, take(r, name), &c, now, &err);
}

static size_t count(struct device_registry *r, const char *name, const char *named)
{
	const char *list[REGISTRY_CERTIFICATES_MAX + 1];

	return device_registry_list(device_registry_find(r, name), named, list);
}

static void keeps_devices_sorted(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};

	(void)take(&r, "m");
	(void)take(&r, "z");
	(void)take(&r, "a");
	(void)take(&r, "m");
	assert_int_equal(r.devices_n, 3);
	assert_string_equal(r.devices[0].name, "a");
	assert_string_equal(r.devices[2].name, "z");
	assert_ptr_equal(device_registry_find(&r, "m"), &r.devices[1]);
	assert_null(device_registry_find(&r, "n"));
}

static void refuses_a_name_that_is_none(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};
	struct registry_device *device = NULL;
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "\n", "ü"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(device_registry_take(&r, bad[i], &device, &err), LM_E_INVALID);
	char name[ARN_THING_NAME_MAX + 2];
	memset(name, 'a', sizeof(name));
	name[ARN_THING_NAME_MAX + 1] = '\0';
	assert_int_equal(device_registry_take(&r, name, &device, &err), LM_E_INVALID);
	name[ARN_THING_NAME_MAX] = '\0';
	assert_int_equal(device_registry_take(&r, name, &device, &err), LM_OK);
}

static void a_removed_device_has_no_certificate(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};
	struct registry_certificate b = make('b', REGISTRY_ISSUED);

	assert_int_equal(accept(&r, "x", 'a', REGISTRY_ISSUED), LM_OK);
	assert_int_equal(count(&r, "x", NULL), 1);
	assert_int_equal(count(&r, "x", b.sha256), 2);
	assert_int_equal(count(&r, "unknown", b.sha256), 1);
	device_registry_remove(device_registry_find(&r, "x"));
	device_registry_revoke(device_registry_find(&r, "x"), b.sha256);
	assert_int_equal(count(&r, "x", b.sha256), 0);
}

static void what_was_revoked_stays_so_until_it_is_registered_again(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};
	struct registry_certificate named = make('b', REGISTRY_REGISTERED);

	assert_int_equal(accept(&r, "x", 'a', REGISTRY_ISSUED), LM_OK);
	device_registry_remove(device_registry_find(&r, "x"));
	device_registry_revoke(device_registry_find(&r, "x"), named.sha256);
	assert_int_equal(accept(&r, "x", 'c', REGISTRY_ISSUED), LM_OK);
	assert_int_equal(count(&r, "x", named.sha256), 1);
	assert_true(device_registry_is_revoked(device_registry_find(&r, "x"), named.sha256));
	assert_int_equal(accept(&r, "x", 'b', REGISTRY_REGISTERED), LM_OK);
	assert_int_equal(count(&r, "x", named.sha256), 2);
	assert_false(device_registry_is_revoked(device_registry_find(&r, "x"), named.sha256));
}

static void a_certificate_is_of_one_device(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};

	assert_int_equal(accept(&r, "x", 'a', REGISTRY_REGISTERED), LM_OK);
	assert_int_equal(accept(&r, "x", 'a', REGISTRY_REGISTERED), LM_OK);
	assert_int_equal(count(&r, "x", NULL), 1);
	assert_int_equal(accept(&r, "y", 'a', REGISTRY_REGISTERED), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "'x'"));
	assert_int_equal(count(&r, "y", NULL), 0);
}

static void makes_room(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};
	struct registry_certificate expired = make('e', REGISTRY_REGISTERED);

	expired.expires_s = now - 1;
	assert_int_equal(device_registry_accept(&r, take(&r, "x"), &expired, now, &err), LM_OK);
	for (char c = '0'; c < '6'; c++)
		assert_int_equal(accept(&r, "x", c, REGISTRY_REGISTERED), LM_OK);
	assert_int_equal(accept(&r, "x", '6', REGISTRY_ISSUED), LM_OK); // for the expired one
	assert_int_equal(count(&r, "x", NULL), 7);
	assert_false(device_registry_has(device_registry_find(&r, "x"), expired.sha256));
	assert_int_equal(accept(&r, "x", '7', REGISTRY_REGISTERED), LM_OK); // for the issued one
	assert_int_equal(count(&r, "x", NULL), 7);
	assert_int_equal(accept(&r, "x", '8', REGISTRY_REGISTERED), LM_E_CONFLICT);
	assert_non_null(strstr(err.msg, "7 certificates"));
}

static void remembers_all_that_were_revoked_of_a_device_that_comes_back(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {0};
	struct registry_device *device = take(&r, "x");
	char sha256[CERTIFICATE_SHA256_SIZE];

	for (unsigned i = 0; i < REGISTRY_REVOKED_FULL; i++) {
		(void)snprintf(sha256, sizeof(sha256), "%064x", i);
		device_registry_revoke(device, sha256);
	}
	device_registry_remove(device);
	assert_int_equal(device_registry_take_back(device, &err), LM_OK);
	assert_false(device->removed);
	for (char c = 'a'; c < 'a' + REGISTRY_CERTIFICATES_MAX; c++)
		assert_int_equal(accept(&r, "x", c, REGISTRY_REGISTERED), LM_OK);
	device_registry_remove(device);
	device_registry_revoke(device, make('x', REGISTRY_ISSUED).sha256);     // not registered
	device_registry_revoke(device, make('y', REGISTRY_REGISTERED).sha256); // the group file's
	assert_int_equal(device->revoked_n, REGISTRY_REVOKED_FULL + REGISTRY_CERTIFICATES_MAX + 2);
	(void)snprintf(sha256, sizeof(sha256), "%064x", 0);
	assert_true(device_registry_is_revoked(device, sha256));

	// What more there is to revoke is not remembered of all, so it stays removed.
	assert_int_equal(device_registry_take_back(device, &err), LM_E_CONFLICT);
	assert_true(device->removed);
	for (unsigned i = 0; i < REGISTRY_REVOKED_MAX; i++) {
		(void)snprintf(sha256, sizeof(sha256), "%063xf", i);
		device_registry_revoke(device, sha256);
	}
	assert_int_equal(device->revoked_n, REGISTRY_REVOKED_MAX);
	assert_int_equal(device_registry_take_back(device, &err), LM_E_CONFLICT);
}

static void is_read_back_as_it_was_written(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {.group = GROUP}, again = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_REGISTRY_FILE);
	lm_auto_buf struct lm_buf second = LM_BUF(LIMIT_REGISTRY_FILE);

	assert_int_equal(accept(&r, "b", 'a', REGISTRY_ISSUED), LM_OK);
	assert_int_equal(accept(&r, "b", 'b', REGISTRY_SIGNED), LM_OK);
	assert_int_equal(accept(&r, "a", 'c', REGISTRY_REGISTERED), LM_OK);
	device_registry_remove(device_registry_find(&r, "a"));
	assert_true(device_registry_write(&r, &text));
	assert_int_equal(device_registry_read(lm_buf_str(&text), &again, &err), LM_OK);
	assert_true(device_registry_write(&again, &second));
	assert_string_equal(lm_buf_cstr(&text), lm_buf_cstr(&second));
	assert_string_equal(again.group, GROUP);
	assert_true(device_registry_find(&again, "a")->removed);
	assert_int_equal(
		device_registry_find(&again, "b")->certificates[1].origin, REGISTRY_SIGNED);
	assert_int_equal(device_registry_find(&again, "b")->certificates[0].expires_s, now + 1000);
}

static void holds_as_many_devices_as_may_be(void **state)
{
	(void)state;
	lm_auto_registry struct device_registry r = {.group = GROUP};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_REGISTRY_FILE);
	struct registry_device *device = NULL;

	for (unsigned i = 0; i < LIMIT_REGISTRY_DEVICES; i++) {
		char name[ARN_THING_NAME_MAX + 1];

		(void)snprintf(name, sizeof(name), "%0128u", i);
		assert_int_equal(accept(&r, name, 'a', REGISTRY_ISSUED), LM_OK);
	}
	assert_int_equal(device_registry_take(&r, "x", &device, &err), LM_E_TOO_LARGE);
	assert_true(device_registry_write(&r, &text));
}

static void refuses_a_text_that_is_none(void **state)
{
	(void)state;
#define HEAD "{\"format\":1,\"group\":\"" GROUP "\","
	static const char *const bad[] = {"", "[]", "{}", "{\"format\":2}",
		"{\"format\":1,\"group\":\"x\",\"devices\":{}}", HEAD "\"devices\":[]}",
		HEAD "\"devices\":{\"../x\":{}}}", HEAD "\"devices\":{\"x\":1}}",
		HEAD "\"devices\":{\"x\":{\"removed\":false,\"certificates\":[]}}}",
		HEAD
		"\"devices\":{\"x\":{\"removed\":false,\"certificates\":[{}],\"revoked\":[]}}}",
		HEAD "\"devices\":{\"x\":{\"removed\":false,\"certificates\":[],\"revoked\":[1]}}}",
		HEAD "\"devices\":{\"x\":{\"certificates\":[],\"revoked\":[]}}}"};
	struct device_registry r = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		err.msg[0] = '\0';
		assert_int_equal(device_registry_read(lm_str(bad[i]), &r, &err), LM_E_INVALID);
		assert_true(err.msg[0]);
	}
	assert_int_equal(
		device_registry_read(lm_str(HEAD "\"devices\":{},\"new\":1}"), &r, &err), LM_OK);
	device_registry_finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_devices_sorted),
		cmocka_unit_test(refuses_a_name_that_is_none),
		cmocka_unit_test(a_removed_device_has_no_certificate),
		cmocka_unit_test(what_was_revoked_stays_so_until_it_is_registered_again),
		cmocka_unit_test(a_certificate_is_of_one_device),
		cmocka_unit_test(makes_room),
		cmocka_unit_test(remembers_all_that_were_revoked_of_a_device_that_comes_back),
		cmocka_unit_test(is_read_back_as_it_was_written),
		cmocka_unit_test(holds_as_many_devices_as_may_be),
		cmocka_unit_test(refuses_a_text_that_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
