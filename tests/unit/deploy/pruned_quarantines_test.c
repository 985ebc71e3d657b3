// SPDX-License-Identifier: Apache-2.0
#include "deploy/pruned_quarantines.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "sys/record.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[64];
static int fd = -1;
static struct lm_err err;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/pruned_test.XXXXXX");
	fd = mkdtemp(root) ? open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	return fd >= 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	lm_cleanup_close(&fd);
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static void keep(const char *definition, unsigned n, const char *reason)
{
	assert_int_equal(
		pruned_quarantines_keep(fd, lm_str(definition), n, reason, 7, &err), LM_OK);
}

static void forget(const char *definition, unsigned n)
{
	assert_int_equal(pruned_quarantines_forget(fd, lm_str(definition), n, &err), LM_OK);
}

/// `n` 0: it is not there.
static void assert_found(const char *definition, unsigned n, const char *reason)
{
	lm_auto_free char *why = NULL;
	unsigned found = 0;
	lm_rc rc = pruned_quarantines_find(fd, lm_str(definition), &found, &why, &err);

	assert_int_equal(rc, n ? LM_OK : LM_E_NOT_FOUND);
	assert_int_equal(found, n);
	if (n)
		assert_string_equal(why, reason);
}

static void finds_what_is_kept(void **state)
{
	(void)state;
	assert_found("def A", 0, NULL);
	keep("def A", 2, "it crashed");
	keep("def B", 3, "it hung");
	assert_found("def A", 2, "it crashed");
	assert_found("def B", 3, "it hung");
	assert_found("def C", 0, NULL);
	forget("def A", 2);
	assert_found("def A", 0, NULL);
	assert_found("def B", 3, "it hung");
}

static void the_newest_generation_of_a_definition_counts(void **state)
{
	(void)state;
	keep("def A", 4, "it crashed");
	keep("def A", 2, "long ago");
	assert_found("def A", 4, "it crashed");
	forget("def A", 3);
	assert_found("def A", 4, "it crashed");
	keep("def A", 5, "again");
	assert_found("def A", 5, "again");
	forget("def A", 6);
	assert_found("def A", 0, NULL);
}

static void of_too_many_the_oldest_is_forgotten(void **state)
{
	char definition[16], reason[3001];

	(void)state;
	memset(reason, '"', sizeof(reason) - 1); // of which a part is kept, so that all fit
	reason[sizeof(reason) - 1] = '\0';
	for (unsigned i = 1; i <= PRUNED_QUARANTINES_MAX + 1; i++) {
		(void)snprintf(definition, sizeof(definition), "def %u", i);
		keep(definition, i, reason);
	}
	assert_found("def 1", 0, NULL);
	reason[1000] = '\0';
	assert_found("def 2", 2, reason);
	assert_found(definition, PRUNED_QUARANTINES_MAX + 1, reason);
}

static void what_is_damaged_is_none(void **state)
{
	(void)state;
	keep("def A", 2, "it crashed");
	assert_int_equal(record_replace(fd, PRUNED_QUARANTINES, LM_STR("[1]"), &err), LM_OK);
	assert_found("def A", 0, NULL);
	keep("def A", 3, "it crashed again");
	assert_found("def A", 3, "it crashed again");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(finds_what_is_kept),
		TEST(the_newest_generation_of_a_definition_counts),
		TEST(of_too_many_the_oldest_is_forgotten),
		TEST(what_is_damaged_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
