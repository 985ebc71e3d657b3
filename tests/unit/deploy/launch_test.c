// SPDX-License-Identifier: Apache-2.0
#include "deploy/launch.h"

#include "base/file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char folder[64];
	struct host_settings host;
	struct lm_err err;
};

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.folder = "/tmp/launch_test.XXXXXX"};
	assert_non_null(mkdtemp(f.folder));
	f.host.runtime_directory = f.folder;
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;

	return lm_tree_remove(AT_FDCWD, f->folder, &err) ? 1 : 0;
}

static void a_number_without_a_user_is_the_definitions_fault(void **state)
{
	struct fixture *f = *state;
	const struct connector_definition def = {.has_user = true, .uid = 3999999999};
	struct process_user user = {0};

	assert_int_equal(launch_find_user(&f->host, &def, &user, &f->err), LM_E_INVALID);
	assert_string_equal(f->err.msg,
		"DockerUserId 3999999999: this device has no user of that number: create it "
		"('useradd -u 3999999999 -G docker NAME'), or set another");
}

static void a_missing_default_user_is_named(void **state)
{
	struct fixture *f = *state;
	const struct connector_definition def = {0};
	struct process_user user = {0};

	f->host.default_user = (char[]){"no-such-user"};
	assert_int_equal(launch_find_user(&f->host, &def, &user, &f->err), LM_E_NOT_FOUND);
	assert_non_null(strstr(f->err.msg, "the user 'no-such-user', does not exist"));
}

static void root_must_be_allowed(void **state)
{
	struct fixture *f = *state;
	const struct connector_definition def = {.has_user = true, .uid = 0};
	lm_auto(process_user_finish) struct process_user user = {0};

	if (geteuid() != 0)
		skip();
	assert_int_equal(launch_find_user(&f->host, &def, &user, &f->err), LM_E_INVALID);
	assert_non_null(strstr(f->err.msg, "root, which is not allowed"));
	f->host.allow_root = true;
	assert_int_equal(launch_find_user(&f->host, &def, &user, &f->err), LM_OK);
	assert_int_equal(user.uid, 0);
}

static void the_lock_tells_who_has_it(void **state)
{
	struct fixture *f = *state;
	lm_auto_close int first = -1;
	int second = -1;
	pid_t holder = 0;

	assert_int_equal(launch_lock(&f->host, &first, &holder, &f->err), LM_OK);
	assert_int_equal(launch_lock_note(first, 4711, &f->err), LM_OK);
	assert_int_equal(launch_lock(&f->host, &second, &holder, &f->err), LM_E_CONFLICT);
	assert_int_equal(holder, 4711);
	assert_int_equal(second, -1);
	(void)close(lm_take_fd(first));
	assert_int_equal(launch_lock(&f->host, &first, &holder, &f->err), LM_OK);
}

static void the_folder_for_credentials_begins_empty(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *old = lm_path_join(f->folder, "credentials/config.json");
	lm_auto_free char *folder = lm_path_join(f->folder, "credentials");
	lm_auto_free char *path = NULL;
	const struct process_user user = {
		.uid = geteuid(), .gid = getegid(), .name = (char[]){"me"}};
	struct stat st;

	assert_int_equal(lm_dir_make(folder, 0755, &f->err), LM_OK);
	assert_int_equal(lm_file_replace(AT_FDCWD, old, LM_STR("secret"), 0600, &f->err), LM_OK);
	assert_int_equal(launch_make_credentials(&f->host, &user, &path, &f->err), LM_OK);
	assert_string_equal(path, folder);
	assert_int_equal(access(old, F_OK), -1);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(launch_remove_credentials(&f->host, &f->err), LM_OK);
	assert_int_equal(access(folder, F_OK), -1);
}

static void what_a_killed_job_leaves_goes_with_all_that_is_in_it(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *deep = lm_path_join(f->folder, "credentials/docker/buildx/refs");
	lm_auto_free char *config = lm_path_join(f->folder, "credentials/docker/config.json");
	lm_auto_free char *link = lm_path_join(f->folder, "credentials/docker/cli-plugins");
	lm_auto_free char *own = lm_path_join(f->folder, "own");
	lm_auto_free char *plugin = lm_path_join(f->folder, "own/docker-buildx");
	lm_auto_free char *path = NULL;
	const struct process_user user = {
		.uid = geteuid(), .gid = getegid(), .name = (char[]){"me"}};

	assert_int_equal(lm_dir_make(deep, 0700, &f->err), LM_OK);
	assert_int_equal(lm_file_replace(AT_FDCWD, config, LM_STR("secret"), 0600, &f->err), LM_OK);
	assert_int_equal(lm_dir_make(own, 0755, &f->err), LM_OK);
	assert_int_equal(lm_file_replace(AT_FDCWD, plugin, LM_STR("x"), 0755, &f->err), LM_OK);
	assert_int_equal(symlink(own, link), 0);
	assert_int_equal(launch_make_credentials(&f->host, &user, &path, &f->err), LM_OK);
	assert_int_equal(access(config, F_OK), -1);
	assert_int_equal(rmdir(path), 0); // nothing is left in it
	assert_int_equal(access(plugin, F_OK), 0);
}

static void write_file(struct fixture *f, const char *name, mode_t mode)
{
	lm_auto_free char *path = lm_path_join(f->folder, name);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, LM_STR("PEM"), mode, &f->err), LM_OK);
}

static void assert_is_file(const struct fixture *f, int fd, const char *name)
{
	lm_auto_free char *path = lm_path_join(f->folder, name);
	struct stat opened, there;

	assert_int_equal(fstat(fd, &opened), 0);
	assert_int_equal(stat(path, &there), 0);
	assert_int_equal(opened.st_ino, there.st_ino);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0); // nothing was read of it
}

static void the_devices_key_is_opened_for_the_credentials_provider_alone(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *key = lm_path_join(f->folder, "key.pem");
	lm_auto_free char *certificate = lm_path_join(f->folder, "certificate.pem");
	lm_auto_free char *other = lm_path_join(f->folder, "other.pem");

	write_file(f, "key.pem", 0400);
	write_file(f, "certificate.pem", 0400);
	write_file(f, "other.pem", 0400);
	f->host.iot.private_key = key;
	f->host.iot.certificate = certificate;
	lm_auto(launch_identity_finish) struct launch_identity none =
		launch_open_identity(&f->host);
	assert_int_equal(none.key_fd, -1);
	assert_int_equal(none.certificate_fd, -1);
	f->host.credentials.role_alias = (char[]){"ship"};
	lm_auto(launch_identity_finish) struct launch_identity core =
		launch_open_identity(&f->host);
	assert_is_file(f, core.key_fd, "key.pem");
	assert_is_file(f, core.certificate_fd, "certificate.pem");
	f->host.credentials.private_key = other;
	lm_auto(launch_identity_finish) struct launch_identity own = launch_open_identity(&f->host);
	assert_is_file(f, own.key_fd, "other.pem");
	assert_is_file(f, own.certificate_fd, "certificate.pem");
}

static void what_is_no_file_is_not_opened_for_a_worker(void **state)
{
	struct fixture *f = *state;
	lm_auto_free char *missing = lm_path_join(f->folder, "missing.pem");
	lm_auto_free char *fifo = lm_path_join(f->folder, "fifo");

	assert_int_equal(mkfifo(fifo, 0600), 0);
	f->host.credentials.role_alias = (char[]){"ship"};
	f->host.credentials.private_key = missing;
	f->host.credentials.certificate = fifo;
	struct launch_identity i = launch_open_identity(&f->host);
	assert_int_equal(i.key_fd, -1);
	assert_int_equal(i.certificate_fd, -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_number_without_a_user_is_the_definitions_fault),
		TEST(a_missing_default_user_is_named),
		TEST(root_must_be_allowed),
		TEST(the_lock_tells_who_has_it),
		TEST(the_folder_for_credentials_begins_empty),
		TEST(what_a_killed_job_leaves_goes_with_all_that_is_in_it),
		TEST(the_devices_key_is_opened_for_the_credentials_provider_alone),
		TEST(what_is_no_file_is_not_opened_for_a_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
