// SPDX-License-Identifier: Apache-2.0
#include "daemon/earlier_run.h"

#include "base/file.h"
#include "base/memory.h"
#include "daemon/generation.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char root[64];
static struct earlier_run earlier;
static struct lm_err err;
/// What was recorded by the run of the test, once.
static unsigned revoked;
static char *given_up, *revocation;

lm_rc __wrap_outcomes_give_up_open(struct outcomes *o, const char *message, struct lm_err *error);
lm_rc __wrap_outcomes_give_up_open(struct outcomes *o, const char *message, struct lm_err *error)
{
	assert_null(o);
	assert_null(given_up);
	given_up = lm_xstrdup(message);
	return lm_fail(error, LM_E_SYS, 0, "the disk is full"); // which is only logged
}

lm_rc __wrap_outcomes_revoke(
	struct outcomes *o, unsigned generation, const char *message, struct lm_err *error);
lm_rc __wrap_outcomes_revoke(
	struct outcomes *o, unsigned generation, const char *message, struct lm_err *error)
{
	assert_null(o);
	assert_null(revocation);
	revoked = generation;
	revocation = lm_xstrdup(message);
	return lm_fail(error, LM_E_SYS, 0, "the disk is full");
}

/// Generation 2 has a minute of probation, and 3 cannot be read.
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *error);
lm_rc __wrap_generation_read(struct store *s, unsigned n, struct group **ret, struct lm_err *error)
{
	assert_ptr_equal(s, earlier.store);
	if (n != 2)
		return lm_fail(error, LM_E_SYS, 0, "generation %u is damaged", n);
	*ret = lm_xcalloc(1, sizeof(**ret));
	(*ret)->connector.policy.probation_s = 60;
	return LM_OK;
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/earlier_run_test.XXXXXX");
	if (!mkdtemp(root) || store_open(root, &earlier.store, &err))
		return -1;
	earlier.quarantine = quarantine_create(earlier.store);
	revoked = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(lm_take(given_up));
	free(lm_take(revocation));
	quarantine_destroy(lm_take(earlier.quarantine));
	store_close(lm_take(earlier.store));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static unsigned begin(const char *definition)
{
	unsigned n = 0;

	assert_int_equal(store_begin(earlier.store, lm_str(definition), false,
				 (struct lifecycle_target){0}, false, &n, &err),
		LM_OK);
	return n;
}

static void deploy(const char *definition)
{
	const struct store_outcome outcome = {.success = true};

	assert_int_equal(store_finish(earlier.store, begin(definition), &outcome, &err), LM_OK);
}

static void quarantine(unsigned n)
{
	quarantine_add(earlier.quarantine, n, QUARANTINE_FAILED, "web crashed");
	assert_int_equal(quarantine_write(earlier.quarantine, &err), LM_OK);
}

static void want(struct lifecycle_target wanted, unsigned leaves)
{
	const struct store_want record = {.wanted = wanted, .leaves = leaves};

	assert_int_equal(store_want(earlier.store, &record, &err), LM_OK);
}

/// What the run of the test does; `message` NULL: nothing is recorded that way.
static void assert_closed(const char *open_message, const char *revoked_message)
{
	const struct lifecycle_record record = earlier_run_record(&earlier, 0);
	const struct lifecycle l = lifecycle_begin(&record);

	earlier_run_close(&earlier, NULL, &l);
	if (open_message)
		assert_string_equal(given_up, open_message);
	else
		assert_null(given_up);
	if (revoked_message)
		assert_string_equal(revocation, revoked_message);
	else
		assert_null(revocation);
}

static void has_what_is_on_record(void **state)
{
	(void)state;
	deploy("one");
	deploy("two");
	quarantine(2);
	want((struct lifecycle_target){WANTED_UP, 1}, 2);
	const struct lifecycle_record record = earlier_run_record(&earlier, 1);
	assert_int_equal(record.wanted.state, WANTED_UP);
	assert_int_equal(record.wanted.generation, 1);
	assert_int_equal(record.current, 2);
	assert_int_equal(record.leaves, 2);
	assert_int_equal(record.left_running, 1);
	assert_false(record.wanted_quarantined);
	assert_true(record.current_quarantined);
	assert_true(record.leaves_quarantined);
}

static void an_attempt_that_goes_on_is_not_closed(void **state)
{
	(void)state;
	deploy("one");
	assert_closed(NULL, NULL);
	assert_int_equal(begin("two"), 2);
	assert_closed(NULL, NULL);
}

static void an_attempt_that_is_not_wanted_any_more_has_failed(void **state)
{
	(void)state;
	deploy("one");
	assert_int_equal(begin("two"), 2);
	want((struct lifecycle_target){WANTED_UP, 1}, 0);
	assert_closed("the deployment of generation 2 failed, and lightermand exited before it "
		      "could record why; see the connector log of that time",
		NULL);
}

static void an_attempt_that_is_quarantined_has_its_reason(void **state)
{
	(void)state;
	deploy("one");
	assert_int_equal(begin("two"), 2);
	quarantine(2);
	want((struct lifecycle_target){WANTED_UP, 1}, 2);
	assert_closed("web crashed; generation 1 is started again", NULL);
}

static void a_success_that_is_left_and_quarantined_is_revoked(void **state)
{
	(void)state;
	deploy("one");
	deploy("two");
	want((struct lifecycle_target){WANTED_DOWN, 1}, 2);
	assert_closed(NULL, NULL); // a rollback that has nothing to do with a failure
	quarantine(2);
	assert_closed(NULL, "web crashed; the application is stopped again");
	assert_int_equal(revoked, 2);
}

static void a_probation_goes_on_by_its_definition(void **state)
{
	(void)state;
	assert_int_equal(earlier_run_probation_ms(&earlier, 2), 60 * 1000);
	assert_int_equal(earlier_run_probation_ms(&earlier, 3), 0);
	assert_int_equal(earlier_run_probation_ms(&earlier, 0), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(has_what_is_on_record),
		TEST(an_attempt_that_goes_on_is_not_closed),
		TEST(an_attempt_that_is_not_wanted_any_more_has_failed),
		TEST(an_attempt_that_is_quarantined_has_its_reason),
		TEST(a_success_that_is_left_and_quarantined_is_revoked),
		TEST(a_probation_goes_on_by_its_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
