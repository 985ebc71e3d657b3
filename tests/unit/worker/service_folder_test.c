// SPDX-License-Identifier: Apache-2.0
#include "worker/service_folder.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define FOLDER "/tmp/service_folder_test.XXXXXX"

static struct fixture {
	char folder[sizeof(FOLDER)];
	int fd;
} f;

static int setup(void **state)
{
	(void)state;
	f = (struct fixture){.folder = FOLDER};
	assert_non_null(mkdtemp(f.folder));
	f.fd = open(f.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return f.fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)close(f.fd);
	return lm_tree_remove(AT_FDCWD, f.folder, NULL) == LM_OK ? 0 : -1;
}

static void write_steps(enum service_step broker, enum service_step discovery)
{
	struct lm_err err = {LM_OK};

	if (service_steps_write(f.fd, (struct service_steps){broker, discovery}, &err))
		fail_msg("%s", err.msg);
}

static void assert_steps(enum service_step broker, enum service_step discovery)
{
	struct service_steps found = service_steps_read(f.fd);

	assert_int_equal(found.broker, broker);
	assert_int_equal(found.discovery, discovery);
}

static void steps_are_on_disk_until_they_are_done(void **state)
{
	(void)state;
	assert_steps(SERVICE_NONE, SERVICE_NONE);
	write_steps(SERVICE_RELOAD, SERVICE_NONE);
	assert_steps(SERVICE_RELOAD, SERVICE_NONE);
	write_steps(SERVICE_STOP, SERVICE_RESTART); // which is there again by then
	assert_steps(SERVICE_RESTART, SERVICE_RESTART);
}

/// Nobody knows what they have not been told.
static void assert_both_restart(const char *damage)
{
	struct service_steps found = service_steps_read(f.fd);
	lm_auto_free char *aside = lm_path_join(f.folder, "pending.json.damaged");

	if (found.broker != SERVICE_RESTART || found.discovery != SERVICE_RESTART ||
		faccessat(AT_FDCWD, aside, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		fail_msg("%s", damage);
}

static void any_damage_of_the_steps_restarts_both_and_is_set_aside(void **state)
{
	lm_auto_free char *path = lm_path_join(f.folder, "pending.json");
	(void)state;

	write_steps(SERVICE_NONE, SERVICE_RELOAD);
	damaged_file_each(path, assert_both_restart);
	assert_steps(SERVICE_NONE, SERVICE_RELOAD);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(steps_are_on_disk_until_they_are_done),
		TEST(any_damage_of_the_steps_restarts_both_and_is_set_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
