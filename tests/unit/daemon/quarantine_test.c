// SPDX-License-Identifier: Apache-2.0
#include "daemon/quarantine.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char root[64];
static struct store *store;
static struct quarantine *q;
static bool disk_is_full;
static struct lm_err err;

lm_rc __real_store_quarantine(
	struct store *s, unsigned n, const char *reason, struct lm_err *error);
lm_rc __wrap_store_quarantine(
	struct store *s, unsigned n, const char *reason, struct lm_err *error);

lm_rc __wrap_store_quarantine(struct store *s, unsigned n, const char *reason, struct lm_err *error)
{
	return disk_is_full ? lm_fail(error, LM_E_SYS, ENOSPC, "the disk is full")
			    : __real_store_quarantine(s, n, reason, error);
}

static void deploy(const char *definition, bool success)
{
	const struct store_outcome outcome = {.success = success,
		.stage = success ? NULL : "up",
		.error = success ? NULL : "InternalError",
		.message = success ? NULL : "m"};
	unsigned n = 0;

	assert_int_equal(store_begin(store, lm_str(definition), false, (struct lifecycle_target){0},
				 false, &n, &err),
		LM_OK);
	assert_int_equal(store_finish(store, n, &outcome, &err), LM_OK);
}

/// Generation 1 was deployed with success, 2 was not.
static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/quarantine_test.XXXXXX");
	if (!mkdtemp(root) || store_open(root, &store, &err))
		return -1;
	disk_is_full = false;
	deploy("old", true);
	deploy("new", false);
	q = quarantine_create(store);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	quarantine_destroy(lm_take(q));
	store_close(lm_take(store));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static void open_again(void)
{
	quarantine_destroy(lm_take(q));
	store_close(lm_take(store));
	assert_int_equal(store_open(root, &store, &err), LM_OK);
	q = quarantine_create(store);
}

/// NULL: it is not quarantined.
static void assert_reason(unsigned n, const char *expected)
{
	lm_auto_free char *reason = NULL;

	assert_int_equal(quarantine_has(q, n, &reason), expected != NULL);
	assert_int_equal(quarantine_has(q, n, NULL), expected != NULL);
	if (expected)
		assert_string_equal(reason, expected);
	else
		assert_null(reason);
}

static void add(unsigned n, enum lifecycle_quarantine why, const char *failure)
{
	quarantine_add(q, n, why, failure);
	assert_true(quarantine_is_owed(q));
	assert_int_equal(quarantine_write(q, &err), LM_OK);
	assert_false(quarantine_is_owed(q));
}

static void has_what_was_put_on_disk(void **state)
{
	(void)state;
	assert_reason(0, NULL);
	assert_reason(2, NULL);
	add(2, QUARANTINE_FAILED, "it crashed");
	assert_reason(2, "it crashed");
	assert_reason(1, NULL);
	assert_reason(3, NULL);
	open_again();
	assert_reason(2, "it crashed");
}

static void gives_the_reason(void **state)
{
	(void)state;
	add(1, QUARANTINE_BY_PERSON, "something else");
	assert_reason(1, "rolled back by a person");
	add(2, QUARANTINE_FAILED, NULL);
	assert_reason(2, "it failed");
}

static void has_what_the_disk_refuses_until_it_does_not(void **state)
{
	(void)state;
	disk_is_full = true;
	quarantine_add(q, 2, QUARANTINE_FAILED, "it crashed");
	assert_int_equal(quarantine_write(q, &err), LM_E_SYS);
	assert_string_equal(err.msg, "quarantine generation 2: the disk is full");
	assert_true(quarantine_is_owed(q));
	assert_reason(2, "it crashed");
	// The first reason counts: by now another failure may have been reported.
	quarantine_add(q, 2, QUARANTINE_FAILED, "another failure");
	disk_is_full = false;
	assert_int_equal(quarantine_write(q, &err), LM_OK);
	assert_false(quarantine_is_owed(q));
	open_again();
	assert_reason(2, "it crashed");
}

static void writes_nothing_if_nothing_is_owed(void **state)
{
	(void)state;
	disk_is_full = true;
	assert_int_equal(quarantine_write(q, &err), LM_OK);
}

static void owes_nothing_of_a_generation_that_is_gone(void **state)
{
	(void)state;
	add(3, QUARANTINE_FAILED, "it crashed");
	assert_reason(3, NULL);
}

static void assert_definition(const char *definition, unsigned n, const char *expected)
{
	lm_auto_free char *reason = NULL;

	assert_int_equal(quarantine_find(q, lm_str(definition), &reason), n);
	assert_int_equal(quarantine_find(q, lm_str(definition), NULL), n);
	if (expected)
		assert_string_equal(reason, expected);
}

static void finds_a_definition_until_it_is_deployed_again(void **state)
{
	(void)state;
	assert_definition("new", 0, NULL);
	disk_is_full = true;
	quarantine_add(q, 2, QUARANTINE_FAILED, "it crashed");
	assert_definition("new", 2, "it crashed"); // not on disk yet
	disk_is_full = false;
	assert_int_equal(quarantine_write(q, &err), LM_OK);
	assert_definition("new", 2, "it crashed");
	assert_definition("old", 0, NULL);
	assert_definition("another", 0, NULL);
	deploy("third", true);
	assert_int_equal(store_prune(store, 1, &err), LM_OK);
	assert_reason(2, NULL); // there is no such generation
	assert_definition("new", 2, "it crashed");
	open_again();
	assert_definition("new", 2, "it crashed");
	deploy("new", true);
	assert_definition("new", 0, NULL);
}

static void lifts(void **state)
{
	(void)state;
	add(2, QUARANTINE_FAILED, "it crashed");
	quarantine_lift(q, 2);
	assert_reason(2, NULL);
	open_again();
	assert_reason(2, NULL);
	quarantine_lift(q, 2); // no error
	assert_reason(2, NULL);
}

static void lifts_what_is_not_on_disk_yet(void **state)
{
	(void)state;
	quarantine_add(q, 2, QUARANTINE_FAILED, "it crashed");
	quarantine_lift(q, 2);
	assert_false(quarantine_is_owed(q));
	assert_reason(2, NULL);
	quarantine_add(q, 2, QUARANTINE_FAILED, "it crashed");
	quarantine_lift(q, 1);
	assert_true(quarantine_is_owed(q));
	assert_reason(2, "it crashed");
}

/// What a person has lifted, and whose rollback then changed nothing.
static void has_the_reason_again_that_was_lifted(void **state)
{
	(void)state;
	add(2, QUARANTINE_FAILED, "it crashed");
	quarantine_lift(q, 2);
	add(2, QUARANTINE_AS_BEFORE, "the network is down");
	assert_reason(2, "it crashed");
	quarantine_lift(q, 2);
	add(1, QUARANTINE_AS_BEFORE, "the network is down");
	assert_reason(1, "the network is down");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(has_what_was_put_on_disk),
		TEST(gives_the_reason),
		TEST(has_what_the_disk_refuses_until_it_does_not),
		TEST(writes_nothing_if_nothing_is_owed),
		TEST(owes_nothing_of_a_generation_that_is_gone),
		TEST(finds_a_definition_until_it_is_deployed_again),
		TEST(lifts),
		TEST(lifts_what_is_not_on_disk_yet),
		TEST(has_the_reason_again_that_was_lifted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
