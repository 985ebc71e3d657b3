// SPDX-License-Identifier: Apache-2.0
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on
#include "base/buf.h"
#include "base/cleanup.h"
#include "daemon/stage_holds.h"

/// What the holds and `ended` were called for, in order.
struct fixture {
	struct stage_holds holds;
	struct lm_buf calls;
	bool nothing; ///< "disk" has nothing to wait for.
};

static struct fixture fixture;

static void note(void *ctx, const char *what)
{
	struct fixture *f = ctx;

	(void)lm_buf_printf(&f->calls, "%s%s", f->calls.len > 0 ? " " : "", what);
}

static bool begin_disk(void *ctx)
{
	note(ctx, "disk");
	return !((struct fixture *)ctx)->nothing;
}

static void cancel_disk(void *ctx)
{
	note(ctx, "cancel_disk");
}

static void forget_disk(void *ctx)
{
	note(ctx, "forget_disk");
}

static bool begin_copy(void *ctx)
{
	note(ctx, "copy");
	return true;
}

static bool begin_devices(void *ctx)
{
	note(ctx, "devices");
	return true;
}

static void forget_devices(void *ctx)
{
	note(ctx, "forget_devices");
}

static void on_ended(void *ctx, const struct lm_err *why)
{
	note(ctx, why ? why->msg : "go");
}

static const struct stage_hold table[] = {
	{.after = DEPLOY_PULL, .begin = begin_disk, .cancel = cancel_disk, .forget = forget_disk},
	{.before = DEPLOY_UP, .begin = begin_copy, .cancel = cancel_disk, .forget = forget_disk},
	{.before = DEPLOY_UP, .begin = begin_devices, .forget = forget_devices},
};

static int setup(void **state)
{
	fixture = (struct fixture){.calls = LM_BUF(1024)};
	fixture.holds = (struct stage_holds){
		.table = table, .n = LM_ARRAY_SIZE(table), .ended = on_ended, .ctx = &fixture};
	*state = &fixture;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	lm_buf_finish(&fixture.calls);
	return 0;
}

static void fail_now(struct stage_holds *h, const char *text)
{
	struct lm_err err = {LM_OK};

	(void)!lm_fail(&err, LM_E_SYS, 0, "%s", text);
	stage_holds_end(h, &err);
}

static void holds_before_one_stage_follow_each_other(void **state)
{
	struct fixture *f = *state;

	assert_false(stage_holds_begin(&f->holds, DEPLOY_DOWN));
	assert_true(stage_holds_begin(&f->holds, DEPLOY_UP));
	assert_string_equal(lm_buf_cstr(&f->calls), "copy");
	stage_holds_end(&f->holds, NULL);
	assert_string_equal(lm_buf_cstr(&f->calls), "copy devices");
	stage_holds_end(&f->holds, NULL);
	assert_string_equal(lm_buf_cstr(&f->calls), "copy devices go");
}

static void a_hold_after_a_stage_is_due_before_whichever_follows(void **state)
{
	struct fixture *f = *state;

	assert_false(stage_holds_begin(&f->holds, DEPLOY_PULL));
	assert_true(stage_holds_begin(&f->holds, DEPLOY_UP)); // version 4
	stage_holds_end(&f->holds, NULL);
	assert_string_equal(lm_buf_cstr(&f->calls), "disk copy");
	stage_holds_forget(&f->holds);
	assert_false(stage_holds_begin(&f->holds, DEPLOY_WAIT_HEALTHY));
	assert_string_equal(lm_buf_cstr(&f->calls), "disk copy forget_disk");
}

static void what_has_nothing_to_wait_for_does_not_hold(void **state)
{
	struct fixture *f = *state;

	f->nothing = true;
	assert_false(stage_holds_begin(&f->holds, DEPLOY_PULL));
	assert_false(stage_holds_begin(&f->holds, DEPLOY_DOWN));
	assert_string_equal(lm_buf_cstr(&f->calls), "disk");
	stage_holds_end(&f->holds, NULL); // of nothing
	assert_string_equal(lm_buf_cstr(&f->calls), "disk");
}

static void a_failure_ends_all_of_them(void **state)
{
	struct fixture *f = *state;

	assert_true(stage_holds_begin(&f->holds, DEPLOY_UP));
	fail_now(&f->holds, "disk-full");
	assert_string_equal(lm_buf_cstr(&f->calls), "copy disk-full");
	assert_false(stage_holds_cancel(&f->holds));
}

static void a_cancelled_hold_ends_by_itself_and_no_other_begins(void **state)
{
	struct fixture *f = *state;

	assert_true(stage_holds_begin(&f->holds, DEPLOY_UP));
	assert_true(stage_holds_cancel(&f->holds));
	assert_true(stage_holds_cancel(&f->holds)); // once is enough
	stage_holds_end(&f->holds, NULL);
	assert_string_equal(lm_buf_cstr(&f->calls), "copy cancel_disk go");
	assert_false(stage_holds_cancel(&f->holds));
}

static void one_that_cannot_be_cancelled_is_forgotten(void **state)
{
	struct fixture *f = *state;

	assert_true(stage_holds_begin(&f->holds, DEPLOY_UP));
	stage_holds_end(&f->holds, NULL);
	assert_false(stage_holds_cancel(&f->holds));
	stage_holds_end(&f->holds, NULL); // too late
	assert_string_equal(lm_buf_cstr(&f->calls), "copy devices forget_devices");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(holds_before_one_stage_follow_each_other),
		TEST(a_hold_after_a_stage_is_due_before_whichever_follows),
		TEST(what_has_nothing_to_wait_for_does_not_hold),
		TEST(a_failure_ends_all_of_them),
		TEST(a_cancelled_hold_ends_by_itself_and_no_other_begins),
		TEST(one_that_cannot_be_cancelled_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
