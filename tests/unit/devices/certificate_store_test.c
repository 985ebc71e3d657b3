// SPDX-License-Identifier: Apache-2.0
#include "devices/certificate_store.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DAY = CERTIFICATE_DAY_S, YEAR = 365 * DAY };

static const int64_t today = 1795953600;
static char root[64];
static struct certificate_store *store;
static struct lm_err err;

static lm_rc try_open(int64_t when)
{
	certificate_store_close(lm_take(store));
	return certificate_store_open(root, when, &store, &err);
}

static void open_at(int64_t when)
{
	if (try_open(when))
		fail_msg("%s", err.msg);
}

static int start(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/certificate_store.XXXXXX");
	return mkdtemp(root) && try_open(today) == LM_OK ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	certificate_store_close(lm_take(store));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static char *path_of(const char *name)
{
	return lm_xasprintf("%s/devices/%s", root, name);
}

static char *file_text(const char *name)
{
	lm_auto_free char *path = path_of(name);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_REGISTRY_FILE);

	if (lm_file_read(path, &text, &err))
		fail_msg("%s", err.msg);
	return lm_buf_take(&text);
}

static void write_file(const char *name, const char *text)
{
	lm_auto_free char *path = path_of(name);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0600, &err), LM_OK);
}

static void drop_file(const char *name)
{
	lm_auto_free char *path = path_of(name);

	assert_int_equal(unlink(path), 0);
}

static bool exists(const char *name)
{
	lm_auto_free char *path = path_of(name);

	return access(path, F_OK) == 0;
}

static mode_t mode_of(const char *name)
{
	lm_auto_free char *path = path_of(name);
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/// The fingerprint of the certificate with which the device is equipped.
static char *equip(const char *name)
{
	lm_auto_identity struct certificate_identity identity = {0};

	if (certificate_store_equip(store, name, &identity, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(certificate_store_save(store, &err), LM_OK);
	assert_true(certificate_is_of_key(lm_str(identity.pem), lm_secret_str(&identity.key)));
	assert_true(certificate_is_of_authority(
		lm_str(identity.pem), certificate_store_authority(store)));
	assert_string_equal(identity.facts.cn, name);
	return lm_xstrdup(identity.facts.sha256);
}

static size_t list(const char *name, const char *named)
{
	const char *found[REGISTRY_CERTIFICATES_MAX + 1];

	return device_registry_list(
		device_registry_find(certificate_store_registry(store), name), named, found);
}

static void makes_a_ca_that_nobody_else_can_read(void **state)
{
	(void)state;
	assert_int_equal(mode_of(""), 0711);
	assert_int_equal(mode_of("ca"), 0700);
	assert_int_equal(mode_of("things"), 0700);
	assert_int_equal(mode_of("ca/group-ca.key"), 0600);
	assert_int_equal(mode_of("ca/registry.json"), 0600);
	lm_auto_free char *path = path_of("ca");
	assert_int_equal(chmod(path, 0755), 0);
	open_at(today);
	assert_int_equal(mode_of("ca"), 0700);
}

static void opens_what_it_made(void **state)
{
	(void)state;
	lm_auto_free char *pem = lm_xstrdup(certificate_store_authority_pem(store));
	lm_auto_free char *group = lm_xstrdup(certificate_store_registry(store)->group);
	lm_auto_free char *first = equip("x");

	open_at(today + YEAR);
	assert_string_equal(certificate_store_authority_pem(store), pem);
	assert_string_equal(certificate_store_registry(store)->group, group);
	lm_auto_free char *again = equip("x");
	assert_string_equal(first, again);
	assert_int_equal(list("x", NULL), 1);
}

static void a_device_has_its_four_files(void **state)
{
	(void)state;
	static const char *const names[] = {"things/x/device.key", "things/x/device.pem",
		"things/x/group-ca.pem", "things/x/root-ca.pem"};
	free(equip("x"));

	assert_int_equal(mode_of("things/x"), 0700);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(mode_of(names[i]), 0600);
	lm_auto_free char *ca = file_text("ca/group-ca.pem");
	lm_auto_free char *root_ca = file_text("things/x/root-ca.pem");
	assert_string_equal(ca, root_ca);
}

static void renews_a_devices_certificate_for_the_same_key(void **state)
{
	(void)state;
	lm_auto_free char *first = equip("x");
	lm_auto_free char *key = file_text("things/x/device.key");

	open_at(today + 8 * (int64_t)YEAR);
	lm_auto_free char *second = equip("x");
	lm_auto_free char *same_key = file_text("things/x/device.key");
	assert_string_equal(key, same_key);
	assert_string_not_equal(first, second);
	assert_int_equal(list("x", NULL), 2); // both, until the first expires
}

static void renews_the_ca_for_the_same_key(void **state)
{
	(void)state;
	free(equip("x"));
	lm_auto_free char *old = lm_xstrdup(certificate_store_authority_pem(store));
	lm_auto_free char *device = file_text("things/x/device.pem");

	open_at(today + 11 * (int64_t)YEAR);
	assert_string_not_equal(certificate_store_authority_pem(store), old);
	assert_true(
		certificate_is_of_authority(lm_str(device), certificate_store_authority(store)));
	free(equip("x"));
	lm_auto_free char *root_ca = file_text("things/x/root-ca.pem");
	assert_string_equal(root_ca, certificate_store_authority_pem(store));
}

static void a_ca_of_another_maker_is_not_renewed(void **state)
{
	(void)state;
	lm_auto_free char *key = file_text("ca/group-ca.key"), *pem = NULL;

	assert_int_equal(
		certificate_make_authority(lm_str(key), "The company", today, &pem, &err), LM_OK);
	write_file("ca/group-ca.pem", pem);
	open_at(today + 15 * (int64_t)YEAR);
	assert_string_equal(certificate_store_authority_pem(store), pem);
}

static void completes_a_ca_without_a_certificate(void **state)
{
	(void)state;
	lm_auto_free char *key = file_text("ca/group-ca.key");

	drop_file("ca/group-ca.pem");
	open_at(today);
	lm_auto_free char *same = file_text("ca/group-ca.key");
	assert_string_equal(key, same);
}

static void refuses_a_ca_that_is_damaged(void **state)
{
	(void)state;
	lm_auto_free char *key = file_text("ca/group-ca.key");
	lm_auto_free char *registry = file_text("ca/registry.json");

	drop_file("ca/group-ca.key");
	assert_int_equal(try_open(today), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "is lost"));
	write_file("ca/group-ca.key", "");
	assert_int_equal(try_open(today), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "private key"));
	write_file("ca/group-ca.key", key);
	drop_file("ca/registry.json");
	assert_int_equal(try_open(today), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "registry.json"));
	write_file("ca/registry.json", "{}");
	assert_int_equal(try_open(today), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "is damaged"));
	write_file("ca/registry.json", registry);
	open_at(today);
}

static void assert_registry_refused(const char *damage)
{
	if (try_open(today) == LM_OK || !strstr(err.msg, "registry.json'"))
		fail_msg("%s", damage);
}

static void any_damage_of_the_registry_is_found(void **state)
{
	(void)state;
	lm_auto_free char *path = path_of("ca/registry.json");

	damaged_file_each(path, assert_registry_refused);
	open_at(today);
}

static void a_registry_of_the_release_before_is_read(void **state)
{
	(void)state;
	lm_auto_free char *registry = file_text("ca/registry.json");

	write_file("ca/registry.json", strchr(registry, '\n') + 1); // without its first line
	open_at(today);
}

static void makes_anew_what_a_device_has_lost(void **state)
{
	(void)state;
	lm_auto_free char *first = equip("x");

	write_file("things/x/device.pem", "");
	lm_auto_free char *second = equip("x");
	assert_string_not_equal(first, second);
	write_file("things/x/device.key", "no key");
	lm_auto_free char *third = equip("x");
	assert_string_not_equal(second, third);
	drop_file("things/x/device.key");
	lm_auto_free char *fourth = equip("x");
	assert_string_not_equal(third, fourth);
	assert_int_equal(list("x", NULL), 4);
}

static void takes_no_certificate_of_another(void **state)
{
	(void)state;
	lm_auto_free char *x = equip("x");
	free(equip("y"));
	lm_auto_free char *pem = file_text("things/x/device.pem");
	write_file("things/y/device.pem", pem);
	lm_auto_free char *again = equip("y");
	assert_string_not_equal(again, x);
}

static void takes_up_a_certificate_that_was_not_registered(void **state)
{
	(void)state;
	lm_auto_identity struct certificate_identity identity = {0};

	assert_int_equal(certificate_store_equip(store, "x", &identity, &err), LM_OK);
	open_at(today); // without saving
	assert_int_equal(list("x", NULL), 0);
	lm_auto_free char *again = equip("x");
	assert_string_equal(again, identity.facts.sha256);
	assert_int_equal(list("x", NULL), 1);
}

static void a_removed_device_stays_away_until_it_is_added(void **state)
{
	(void)state;
	lm_auto_free char *first = equip("x");
	lm_auto_identity struct certificate_identity identity = {0};

	assert_int_equal(certificate_store_remove(store, "x", true, NULL, &err), LM_OK);
	assert_true(exists("things/x"));
	assert_int_equal(certificate_store_discard(store, "x", &err), LM_OK);
	assert_false(exists("things/x"));
	open_at(today);
	assert_int_equal(certificate_store_equip(store, "x", &identity, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "device add x"));
	assert_int_equal(certificate_store_add(store, "x", &identity, &err), LM_OK);
	assert_string_not_equal(identity.facts.sha256, first);
	assert_int_equal(list("x", first), 1);
}

static void what_a_kill_left_of_a_removed_device_is_removed(void **state)
{
	(void)state;
	free(equip("x"));
	lm_auto_free char *pem = file_text("things/x/device.pem");
	lm_auto_free char *key = file_text("things/x/device.key");

	assert_int_equal(certificate_store_remove(store, "x", false, NULL, &err), LM_OK);
	assert_int_equal(certificate_store_discard(store, "x", &err), LM_OK);
	lm_auto_free char *path = path_of("things/x");
	assert_int_equal(mkdir(path, 0700), 0);
	write_file("things/x/device.key", key);
	write_file("things/x/device.pem", pem);
	open_at(today);
	assert_false(exists("things/x"));
}

static void a_certificate_that_was_never_registered_is_revoked_too(void **state)
{
	(void)state;
	lm_auto_identity struct certificate_identity identity = {0};

	assert_int_equal(certificate_store_equip(store, "x", &identity, &err), LM_OK);
	open_at(today); // without saving
	assert_int_equal(certificate_store_remove(store, "x", true, NULL, &err), LM_OK);
	assert_true(device_registry_is_revoked(
		device_registry_find(certificate_store_registry(store), "x"),
		identity.facts.sha256));
}

static void removing_what_is_unknown_fails(void **state)
{
	(void)state;
	assert_int_equal(certificate_store_remove(store, "x", false, NULL, &err), LM_E_NOT_FOUND);
	assert_int_equal(certificate_store_remove(store, "x", true, NULL, &err), LM_OK);
	assert_int_equal(certificate_store_remove(store, "x", false, NULL, &err), LM_OK);
	assert_int_equal(certificate_store_remove(store, "..", true, NULL, &err), LM_E_INVALID);
	assert_true(exists("ca/group-ca.key"));
}

static void registers_another_cas_certificate(void **state)
{
	(void)state;
	lm_auto_secret struct lm_secret key = {0};
	lm_auto_free char *pem = NULL;
	lm_auto_certificate struct certificate c = {0};

	assert_int_equal(certificate_make_key(&key, &err), LM_OK);
	assert_int_equal(
		certificate_make_authority(lm_secret_str(&key), "AWS", today, &pem, &err), LM_OK);
	assert_int_equal(certificate_read(lm_str(pem), &c, &err), LM_OK);
	assert_int_equal(certificate_store_remove(store, "x", true, c.sha256, &err), LM_OK);
	assert_int_equal(certificate_store_register(store, "x", lm_str(pem), &err), LM_OK);
	open_at(today);
	assert_int_equal(list("x", c.sha256), 1);
	assert_int_equal(certificate_store_register(store, "y", lm_str(pem), &err), LM_E_CONFLICT);
	assert_int_equal(certificate_store_register(store, "y", LM_STR("x"), &err), LM_E_INVALID);
}

static void follows_no_link(void **state)
{
	(void)state;
	lm_auto_free char *path = path_of("things/x");
	lm_auto_identity struct certificate_identity identity = {0};

	assert_int_equal(symlink("/tmp", path), 0);
	assert_int_not_equal(certificate_store_equip(store, "x", &identity, &err), LM_OK);
	assert_non_null(strstr(err.msg, "'x'"));
	assert_int_equal(unlink(path), 0);
	lm_auto_free char *ca = path_of("ca"), *away = path_of("away");
	assert_int_equal(rename(ca, away), 0);
	assert_int_equal(symlink(away, ca), 0);
	assert_int_not_equal(try_open(today), LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(makes_a_ca_that_nobody_else_can_read),
		CASE(opens_what_it_made),
		CASE(a_device_has_its_four_files),
		CASE(renews_a_devices_certificate_for_the_same_key),
		CASE(renews_the_ca_for_the_same_key),
		CASE(a_ca_of_another_maker_is_not_renewed),
		CASE(completes_a_ca_without_a_certificate),
		CASE(refuses_a_ca_that_is_damaged),
		CASE(any_damage_of_the_registry_is_found),
		CASE(a_registry_of_the_release_before_is_read),
		CASE(makes_anew_what_a_device_has_lost),
		CASE(takes_no_certificate_of_another),
		CASE(takes_up_a_certificate_that_was_not_registered),
		CASE(a_removed_device_stays_away_until_it_is_added),
		CASE(what_a_kill_left_of_a_removed_device_is_removed),
		CASE(a_certificate_that_was_never_registered_is_revoked_too),
		CASE(removing_what_is_unknown_fails),
		CASE(registers_another_cas_certificate),
		CASE(follows_no_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
