// SPDX-License-Identifier: Apache-2.0
#include "worker/device_files.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "devices/device_bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static char root[64];
static int root_fd;
static struct lm_err err;

static int start(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/device_files.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0;
}

static int end(void **state)
{
	(void)state;
	(void)close(root_fd);
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static lm_rc place_text(struct lm_str text)
{
	const struct wait_limit limit = WAIT_FOREVER;

	return device_files_place(root_fd, root, text, &limit, &err);
}

/// Places files for the devices named, whose key is "key of <name>".
static lm_rc place(const char *const *names, size_t n)
{
	lm_auto_bundle struct device_bundle bundle = {.ca = lm_xstrdup("the CA")};
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_DEVICE_BUNDLE);

	for (size_t i = 0; i < n; i++) {
		lm_auto_free char *key = lm_xasprintf("key of %s", names[i]);

		device_bundle_add(&bundle, names[i], lm_str(key), "a certificate");
	}
	assert_true(device_bundle_write(&bundle, &text));
	return place_text(lm_buf_str(&text));
}

#define PLACE(...)                                                                                 \
	do {                                                                                       \
		const char *const names_[] = {__VA_ARGS__};                                        \
		if (place(names_, sizeof(names_) / sizeof(*names_)))                               \
			fail_msg("%s", err.msg);                                                   \
	} while (0)

static bool exists(const char *name)
{
	return faccessat(root_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct stat status(const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(root_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

static void has_text(const char *name, const char *expected)
{
	lm_auto_free char *path = lm_path_join(root, name);
	lm_auto_buf struct lm_buf text = LM_BUF(4096);

	assert_int_equal(lm_file_read(path, &text, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&text), expected);
}

static void write_text(const char *name, const char *text)
{
	assert_int_equal(lm_file_replace(root_fd, name, lm_str(text), 0644, &err), LM_OK);
}

static void places_four_files_for_each_device(void **state)
{
	(void)state;
	static const char *const files[] = {"devices/A/device.key", "devices/A/device.pem",
		"devices/A/group-ca.pem", "devices/A/root-ca.pem"};

	(void)umask(0);
	PLACE("A", "B");
	(void)umask(022);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(status(files[i]).st_mode & 07777, 0600);
	assert_int_equal(status("devices").st_mode & 07777, 0700);
	assert_int_equal(status("devices/A").st_mode & 07777, 0700);
	has_text("devices/A/device.key", "key of A");
	has_text("devices/B/device.key", "key of B");
	has_text("devices/B/device.pem", "a certificate");
	has_text("devices/B/root-ca.pem", "the CA");
}

static void leaves_alone_what_is_right(void **state)
{
	(void)state;
	PLACE("A");
	struct stat key = status("devices/A/device.key"), list = status("devices/.lighterman.json");
	PLACE("A");
	assert_int_equal(status("devices/A/device.key").st_ino, key.st_ino);
	assert_int_equal(status("devices/.lighterman.json").st_ino, list.st_ino);
	write_text("devices/A/device.key", "key of A"); // mode 0644
	PLACE("A");
	assert_int_equal(status("devices/A/device.key").st_mode & 07777, 0600);
}

static void removes_the_files_of_devices_that_have_gone(void **state)
{
	(void)state;
	PLACE("A", "B", "C");
	write_text("devices/B/notes", "mine");
	write_text("devices/C/.device.key.tmp", "of a killed run");
	assert_int_equal(mkdirat(root_fd, "devices/D", 0700), 0);
	PLACE("A");
	assert_true(exists("devices/A/device.key"));
	assert_false(exists("devices/C"));
	assert_false(exists("devices/B/device.key"));
	assert_true(exists("devices/B/notes"));
	assert_true(exists("devices/D"));
}

static void removes_everything_of_ours_with_the_last_device(void **state)
{
	(void)state;
	PLACE("A");
	assert_int_equal(place(NULL, 0), LM_OK);
	assert_false(exists("devices"));
	assert_int_equal(place(NULL, 0), LM_OK);
	assert_int_equal(mkdirat(root_fd, "devices", 0755), 0);
	write_text("devices/notes", "mine");
	assert_int_equal(place(NULL, 0), LM_OK);
	assert_true(exists("devices/notes"));
}

static void without_a_bundle_nothing_is_done(void **state)
{
	(void)state;
	PLACE("A");
	assert_int_equal(place_text(LM_STR("")), LM_OK);
	assert_true(exists("devices/A/device.key"));
}

static void follows_no_link(void **state)
{
	(void)state;
	const char *const a[] = {"A"};

	assert_int_equal(mkdirat(root_fd, "away", 0700), 0);
	assert_int_equal(symlinkat("away", root_fd, "devices"), 0);
	assert_int_equal(place(a, 1), LM_E_DENIED);
	assert_non_null(strstr(err.msg, "in the way"));
	assert_int_equal(device_files_remove(root_fd, root, &err), LM_OK);
	assert_int_equal(unlinkat(root_fd, "devices", 0), 0);
	assert_int_equal(mkdirat(root_fd, "devices", 0700), 0);
	assert_int_equal(symlinkat("../away", root_fd, "devices/A"), 0);
	assert_int_equal(place(a, 1), LM_E_DENIED);
	assert_int_equal(unlinkat(root_fd, "devices/A", 0), 0);
	assert_int_equal(mkdirat(root_fd, "devices/A", 0700), 0);
	assert_int_equal(symlinkat("../../away/stolen", root_fd, "devices/A/device.key"), 0);
	PLACE("A");
	assert_false(exists("away/stolen"));
	assert_true(S_ISREG(status("devices/A/device.key").st_mode));
}

static void a_list_that_was_tampered_with_leads_nowhere_else(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(root_fd, "away", 0700), 0);
	write_text("away/device.key", "another's");
	PLACE("A");
	write_text("devices/.lighterman.json", "{\"things\":[\"../away\",\"..\",1,\"A\"]}");
	PLACE("B");
	assert_true(exists("away/device.key"));
	assert_false(exists("devices/A"));
	write_text("devices/.lighterman.json", "no JSON");
	PLACE("B", "C");
	assert_true(exists("devices/C/device.key"));
}

static void refuses_another_users_folder(void **state)
{
	(void)state;
	const char *const a[] = {"A"};

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdirat(root_fd, "devices", 0777), 0);
	assert_int_equal(mkdirat(root_fd, "devices/A", 0777), 0);
	assert_int_equal(fchownat(root_fd, "devices/A", 10077, 10077, 0), 0);
	assert_int_equal(place(a, 1), LM_E_DENIED);
	assert_non_null(strstr(err.msg, "belongs to user 10077"));
	assert_false(exists("devices/A/device.key"));
}

static void refuses_a_bundle_that_is_none_and_repeats_nothing_of_it(void **state)
{
	(void)state;
	static const char *const bad[] = {"x-secret", "{\"secret\":1}",
		"{\"format\":1,\"ca\":\"c\",\"things\":{\"../x-secret\":{\"key\":\"k\"}}}",
		"{\"format\":1,\"ca\":\"c\",\"things\":{\"x-secret\":{\"key\":\"k\"}}}"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(place_text(lm_str(bad[i])), LM_E_PROTOCOL);
		assert_null(strstr(err.msg, "secret"));
	}
	assert_false(exists("devices"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
		CASE(places_four_files_for_each_device),
		CASE(leaves_alone_what_is_right),
		CASE(removes_the_files_of_devices_that_have_gone),
		CASE(removes_everything_of_ours_with_the_last_device),
		CASE(without_a_bundle_nothing_is_done),
		CASE(follows_no_link),
		CASE(a_list_that_was_tampered_with_leads_nowhere_else),
		CASE(refuses_another_users_folder),
		CASE(refuses_a_bundle_that_is_none_and_repeats_nothing_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
