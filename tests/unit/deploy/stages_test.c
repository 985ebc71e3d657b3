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
#include "deploy/stages.h"

#include <string.h>

/// Each call of an operation adds its name to `calls`; the one that `fails` names answers `rc`.
struct fake {
	struct lm_buf calls;
	struct lm_buf reports;
	const char *fails;
	lm_rc rc;
	unsigned fail_times; ///< 0: always.
	const char *fails_too;
	lm_rc rc_too;
	const char *report_fails; ///< "pull begin"
	lm_rc report_rc;
	bool own_is_same; ///< The compose file that was deployed before is the one that was
			  ///< fetched.
	bool own_suffices;
	uint64_t clock_ms;
	bool silent; ///< A failing operation leaves `err` alone.
};

static lm_rc call(struct fake *f, const char *name, struct lm_err *err)
{
	(void)lm_buf_printf(&f->calls, "%s%s", f->calls.len > 0 ? " " : "", name);
	f->clock_ms += 7;
	lm_rc rc = LM_OK;
	if (f->fails && strcmp(f->fails, name) == 0) {
		rc = f->rc;
		if (f->fail_times > 0 && --f->fail_times == 0)
			f->fails = NULL;
	} else if (f->fails_too && strcmp(f->fails_too, name) == 0) {
		rc = f->rc_too;
	}
	if (rc == LM_OK || f->silent)
		return rc;
	return lm_fail(err, rc, 0, "%s broke", name);
}

#define FAKE(name)                                                                                 \
	static lm_rc fake_##name(void *ctx, struct lm_err *err)                                    \
	{                                                                                          \
		return call(ctx, #name, err);                                                      \
	}
FAKE(prepare)
FAKE(fetch)
FAKE(fetch_local)
FAKE(resolve)
FAKE(authenticate)
FAKE(stop)
FAKE(down)
FAKE(place)
FAKE(up)
FAKE(remove_leftovers)
FAKE(settle)

static lm_rc fake_take_own(void *ctx, bool *ret_changed, struct lm_err *err)
{
	*ret_changed = !((struct fake *)ctx)->own_is_same;
	return call(ctx, "take_own", err);
}

static lm_rc fake_own_suffices(void *ctx, bool *ret, struct lm_err *err)
{
	*ret = ((struct fake *)ctx)->own_suffices;
	return call(ctx, "own_suffices", err);
}

static lm_rc fake_admit(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	(void)mode;
	return call(ctx, "admit", err);
}

static lm_rc fake_pull(void *ctx, enum deploy_pull mode, struct lm_err *err)
{
	static const char *const names[] = {"pull", "pull_missing", "pull_local"};

	return call(ctx, names[mode], err);
}

static lm_rc fake_report(void *ctx, const struct deploy_event *event, struct lm_err *err)
{
	struct fake *f = ctx;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s %s", deploy_stage_name(event->stage),
		deploy_state_name(event->state));
	(void)lm_buf_printf(&f->reports, "%s(%llu) ", text, (unsigned long long)event->ms);
	if (event->state == DEPLOY_BEGIN)
		f->clock_ms += 1000; // waiting for the journal is not the stage's work
	if (f->report_fails && strcmp(f->report_fails, text) == 0)
		return lm_fail(err, f->report_rc, 0, "nobody listens");
	return LM_OK;
}

static uint64_t fake_now(void *ctx)
{
	return ((struct fake *)ctx)->clock_ms;
}

static const struct deploy_ops ops = {fake_prepare, fake_fetch, fake_fetch_local, fake_take_own,
	fake_own_suffices, fake_resolve, fake_authenticate, fake_admit, fake_pull, fake_stop,
	fake_down, fake_place, fake_up, fake_remove_leftovers, fake_settle, fake_report, fake_now};

static struct fake fake(void)
{
	return (struct fake){.calls = LM_BUF(4096), .reports = LM_BUF(4096), .clock_ms = 50};
}

static void fake_finish(struct fake *f)
{
	lm_buf_finish(&f->calls);
	lm_buf_finish(&f->reports);
}

#define auto_fake lm_auto(fake_finish)

static struct deploy_outcome run(struct fake *f, struct deploy_options options)
{
	struct deploy_outcome outcome;

	deploy_run(&options, &ops, f, &outcome);
	return outcome;
}

#define FIRST "prepare fetch resolve authenticate admit "

static void runs_the_order_of_each_version(void **state)
{
	(void)state;
	// DockerPullBeforeUp and StopContainersOnNewDeployment as asked for; both, one, none.
	static const struct {
		unsigned version;
		bool pull, stop;
		const char *calls;
	} table[] = {
		{1, true, true, FIRST "pull_missing down place up"},
		{1, false, false, FIRST "pull_missing down place up"},
		{2, true, true, FIRST "pull_missing down place up"},
		{2, false, false, FIRST "pull_missing down place up"},
		{3, true, true, FIRST "pull_missing down place up"},
		{3, false, false, FIRST "pull_missing down place up"},
		{4, true, true, FIRST "down pull place up"},
		{4, false, false, FIRST "down pull place up"},
		{5, true, true, FIRST "pull down place up"},
		{5, false, true, FIRST "pull_missing down place up"},
		{5, true, false, FIRST "pull down place up"},
		{6, true, true, FIRST "pull down place up"},
		{6, false, true, FIRST "pull_missing down place up"},
		{6, true, false, FIRST "pull place up"},
		{6, false, false, FIRST "pull_missing place up"},
		{7, true, true, FIRST "pull down place up"},
		{7, false, true, FIRST "pull_missing down place up"},
		{7, true, false, FIRST "pull place up"},
		{7, false, false, FIRST "pull_missing place up"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		// Neither changes the order of a deployment that does not fail.
		for (unsigned other = 0; other < 4; other++) {
			auto_fake struct fake f = fake();
			struct deploy_outcome o = run(&f, (struct deploy_options){
								  .version = table[i].version,
								  .pull_before_up = table[i].pull,
								  .stop_containers = table[i].stop,
								  .force_deploy = (other & 1) != 0,
								  .offline_mode = (other & 2) != 0,
							  });

			assert_string_equal(lm_buf_cstr(&f.calls), table[i].calls);
			assert_int_equal(o.rc, LM_OK);
			assert_int_equal(o.failed, DEPLOY_STAGES);
			assert_int_equal(o.effect, DEPLOY_STARTED);
			assert_false(o.offline || o.forced);
			assert_string_equal(o.err.msg, "");
		}
	}
}

static void pulls_all_or_what_is_missing_by_version_and_wish(void **state)
{
	(void)state;
	static const struct {
		unsigned version;
		bool target;
		enum deploy_pull mode;
	} cases[] = {
		{3, true, DEPLOY_PULL_MISSING},
		{4, false, DEPLOY_PULL_ALL},
		{5, true, DEPLOY_PULL_ALL},
		{5, false, DEPLOY_PULL_MISSING},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(cases[i].version);
		options.pull_before_up = cases[i].target;
		assert_int_equal(deploy_pull_mode(&options), cases[i].mode);
	}
}

static void a_restore_fetches_nothing_that_is_on_this_device(void **state)
{
	(void)state;
	static const struct {
		bool has_own, suffices;
		const char *calls;
		bool offline;
	} cases[] = {
		{true, true, "prepare own_suffices take_own resolve admit pull_local down place up",
			true},
		{true, false,
			"prepare own_suffices fetch resolve authenticate admit pull down place up",
			false},
		{false, true, FIRST "pull down place up", false},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
		auto_fake struct fake f = fake();

		options.offline_mode = options.restores = true;
		options.has_own = cases[i].has_own;
		f.own_suffices = cases[i].suffices;
		struct deploy_outcome o = run(&f, options);
		assert_string_equal(lm_buf_cstr(&f.calls), cases[i].calls);
		assert_int_equal(o.rc, LM_OK);
		assert_int_equal(o.offline, cases[i].offline);
	}
}

static void offline_mode_helps_where_others_are_away(void **state)
{
	(void)state;
	static const struct {
		lm_rc rc;
		bool away;
	} cases[] = {{LM_OK, false}, {LM_E_NETWORK, true}, {LM_E_TIMEOUT, true},
		{LM_E_REFUSED, true}, {LM_E_DENIED, false}, {LM_E_NOT_FOUND, false},
		{LM_E_CANCELLED, false}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++)
		assert_int_equal(deploy_is_away(cases[i].rc), cases[i].away);
}

static void a_snapshot_comes_before_down_in_each_version(void **state)
{
	(void)state;
	static const struct {
		unsigned version;
		bool stop;
		const char *calls;
	} cases[] = {
		{1, true, FIRST "pull_missing stop down place up"},
		{4, true, FIRST "stop down pull place up"},
		{5, true, FIRST "pull stop down place up"},
		{7, true, FIRST "pull stop down place up"},
		{7, false, FIRST "pull stop place up"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(cases[i].version);
		auto_fake struct fake f = fake();

		options.snapshot = true;
		options.stop_containers = cases[i].stop;
		assert_int_equal(run(&f, options).effect, DEPLOY_STARTED);
		assert_string_equal(lm_buf_cstr(&f.calls), cases[i].calls);
	}
	// Without `down`, too, what runs is stopped before version 4 pulls.
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(4);
	options.snapshot = true;
	assert_true(deploy_pulls_after_down(&options));
	// What it stops is started again.
	assert_false(deploy_stage_acts(DEPLOY_SNAPSHOT));
}

static void adoption_stops_nothing_in_any_version(void **state)
{
	(void)state;
	static const char *const calls[] = {FIRST "pull_missing place up",
		FIRST "pull_missing place up", FIRST "pull_missing place up", FIRST "pull place up",
		FIRST "pull place up", FIRST "pull place up", FIRST "pull place up"};

	for (unsigned version = 1; version <= LM_ARRAY_SIZE(calls); version++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(version);
		auto_fake struct fake f = fake();

		options.adopts = true;
		assert_false(deploy_pulls_after_down(&options));
		assert_int_equal(run(&f, options).effect, DEPLOY_STARTED);
		assert_string_equal(lm_buf_cstr(&f.calls), calls[version - 1]);
	}
}

static void a_failed_stop_for_a_snapshot_has_changed_what_ran(void **state)
{
	(void)state;
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
	auto_fake struct fake f = fake();

	options.snapshot = true;
	f.fails = "stop";
	f.rc = LM_E_TIMEOUT;
	struct deploy_outcome o = run(&f, options);
	assert_int_equal(o.effect, DEPLOY_STOPPING);
	assert_int_equal(o.failed, DEPLOY_SNAPSHOT);
	assert_string_equal(
		o.err.msg, "stop the containers for a snapshot of their volumes: stop broke");
	// And what fails behind it finds it stopped.
	auto_fake struct fake g = fake();
	g.fails = "place";
	g.rc = LM_E_SYS;
	options.stop_containers = false;
	assert_int_equal(run(&g, options).effect, DEPLOY_STOPPED);
}

static void a_plan_runs_only_what_changes_nothing(void **state)
{
	(void)state;
	for (unsigned version = 1; version <= 7; version++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(version);
		auto_fake struct fake f = fake();

		options.wait_healthy = options.read_only = true;
		struct deploy_outcome o = run(&f, options);
		assert_string_equal(lm_buf_cstr(&f.calls), "prepare fetch resolve admit");
		assert_int_equal(o.rc, LM_OK);
		assert_int_equal(o.effect, DEPLOY_UNTOUCHED);
	}
}

static void a_repair_pulls_what_is_missing_once_the_damaged_is_gone(void **state)
{
	(void)state;
	for (unsigned version = 1; version <= 7; version++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(version);
		auto_fake struct fake f = fake();

		options.repairs = true;
		options.stop_containers = options.offline_mode = version % 2;
		struct deploy_outcome o = run(&f, options);
		assert_string_equal(lm_buf_cstr(&f.calls), FIRST "down pull_missing place up");
		assert_int_equal(o.rc, LM_OK);
	}
}

static void plans_the_stages_that_it_runs(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 7 * 32; bits++) {
		struct deploy_options options = {.version = 1 + bits / 32,
			.pull_before_up = (bits & 1) != 0,
			.stop_containers = (bits & 2) != 0,
			.wait_healthy = (bits & 4) != 0,
			.snapshot = (bits & 8) != 0,
			.pulls_first = (bits & 16) != 0};
		enum deploy_stage stages[DEPLOY_STAGES];
		size_t n = deploy_plan_stages(&options, stages);
		auto_fake struct fake f = fake();
		struct lm_buf expected = LM_BUF(4096);
		struct deploy_outcome o = run(&f, options);

		assert_int_equal(o.rc, LM_OK);
		for (size_t i = 0; i < n; i++)
			(void)lm_buf_printf(&expected, "%s begin(0) %s end(%d) ",
				deploy_stage_name(stages[i]), deploy_stage_name(stages[i]),
				stages[i] == DEPLOY_UP ? 14 : 7);
		assert_string_equal(lm_buf_cstr(&f.reports), lm_buf_cstr(&expected));
		assert_int_equal(
			strstr(lm_buf_cstr(&expected), "settle") != NULL, options.wait_healthy);
		lm_buf_finish(&expected);
	}
}

/// What interrupts the application may have to wait: then nothing but that is left to be done.
static void pulls_before_anything_is_stopped_if_asked(void **state)
{
	(void)state;
	for (unsigned version = 1; version <= 7; version++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(version);
		enum deploy_stage stages[DEPLOY_STAGES];

		options.snapshot = true;
		assert_int_equal(deploy_pulls_after_down(&options), version == 4);
		options.pulls_first = true;
		assert_false(deploy_pulls_after_down(&options));
		assert_int_equal(deploy_pull_mode(&options),
			version < 4 ? DEPLOY_PULL_MISSING : DEPLOY_PULL_ALL);
		assert_int_equal(deploy_plan_stages(&options, stages), 9);
		assert_int_equal(stages[5], DEPLOY_PULL);
		assert_int_equal(stages[6], DEPLOY_SNAPSHOT);
		options.repairs = true; // a damaged image can be pulled only once it is gone
		assert_true(deploy_pulls_after_down(&options));
	}
}

static void tells_where_it_failed_and_what_became_of_the_old(void **state)
{
	(void)state;
	static const struct {
		unsigned version;
		const char *fails;
		enum deploy_stage stage;
		enum deploy_effect effect;
		const char *message;
	} table[] = {
		{7, "prepare", DEPLOY_PREPARE, DEPLOY_UNTOUCHED,
			"check this device: prepare broke"},
		{7, "fetch", DEPLOY_FETCH, DEPLOY_UNTOUCHED,
			"fetch the compose file, secrets and tokens: fetch broke"},
		{7, "resolve", DEPLOY_RESOLVE, DEPLOY_UNTOUCHED,
			"read the compose file: resolve broke"},
		{7, "authenticate", DEPLOY_AUTHENTICATE, DEPLOY_UNTOUCHED,
			"log in to the registries: authenticate broke"},
		{7, "admit", DEPLOY_ADMIT, DEPLOY_UNTOUCHED,
			"check disk space and images: admit broke"},
		{7, "pull", DEPLOY_PULL, DEPLOY_UNTOUCHED, "pull the images: pull broke"},
		{4, "pull", DEPLOY_PULL, DEPLOY_STOPPED, "pull the images: pull broke"},
		{3, "pull_missing", DEPLOY_PULL, DEPLOY_UNTOUCHED,
			"pull the images: pull_missing broke"},
		{7, "down", DEPLOY_DOWN, DEPLOY_STOPPING,
			"stop the previous containers: down broke"},
		{7, "place", DEPLOY_UP, DEPLOY_STOPPED,
			"start the application: prepare the destination: place "
			"broke"},
		{7, "up", DEPLOY_UP, DEPLOY_STARTING, "start the application: up broke"},
		{7, "settle", DEPLOY_WAIT_HEALTHY, DEPLOY_STARTED,
			"wait until healthy: settle broke"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		for (int cancelled = 0; cancelled < 2; cancelled++) {
			struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(table[i].version);
			options.wait_healthy = options.force_deploy = options.offline_mode = true;
			auto_fake struct fake f = fake();
			f.fails = table[i].fails;
			f.rc = cancelled ? LM_E_CANCELLED : LM_E_SYS;
			struct deploy_outcome o = run(&f, options);
			char fail[64];

			assert_int_equal(o.rc, f.rc);
			assert_int_equal(o.err.rc, f.rc);
			assert_int_equal(o.failed, table[i].stage);
			assert_int_equal(o.effect, table[i].effect);
			assert_string_equal(o.err.msg, table[i].message);
			assert_int_equal(o.error_class, DEPLOY_INTERNAL_ERROR);
			// It was the last thing to happen, and a cancel is no failure.
			const char *calls = lm_buf_cstr(&f.calls);
			assert_string_equal(
				calls + strlen(calls) - strlen(table[i].fails), table[i].fails);
			(void)snprintf(
				fail, sizeof(fail), "%s fail", deploy_stage_name(table[i].stage));
			assert_int_equal(strstr(lm_buf_cstr(&f.reports), fail) != NULL, !cancelled);
		}
	}
}

static void leaves_all_alone_when_up_fails_before_it_began_without_down(void **state)
{
	(void)state;
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(6);
	options.stop_containers = false;
	auto_fake struct fake f = fake();
	f.fails = "place";
	f.rc = LM_E_SYS;

	assert_int_equal(run(&f, options).effect, DEPLOY_UNTOUCHED);
}

static void counts_a_failure_that_came_without_words(void **state)
{
	(void)state;
	static const char *const all[] = {"prepare", "fetch", "resolve", "authenticate", "admit",
		"pull", "down", "place", "up", "settle"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(all); i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
		options.wait_healthy = true;
		auto_fake struct fake f = fake();
		f.fails = all[i];
		f.rc = LM_E_REFUSED;
		f.silent = true;

		assert_int_equal(run(&f, options).rc, LM_E_REFUSED);
	}
}

static void blames_the_definition_only_for_what_it_got_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *fails;
		lm_rc rc;
		const char *name;
	} table[] = {
		{"prepare", LM_E_INVALID, "InvalidParameter"},
		{"prepare", LM_E_NOT_FOUND, "InternalError"},
		{"prepare", LM_E_DENIED, "InternalError"},
		{"fetch", LM_E_INVALID, "InvalidParameter"},
		{"fetch", LM_E_NOT_FOUND, "InvalidParameter"},
		{"fetch", LM_E_TOO_LARGE, "InvalidParameter"},
		{"fetch", LM_E_DENIED, "InternalError"},
		{"fetch", LM_E_NETWORK, "InternalError"},
		{"resolve", LM_E_INVALID, "InvalidParameter"},
		{"resolve", LM_E_SYS, "InternalError"},
		{"authenticate", LM_E_DENIED, "InternalError"},
		{"pull", LM_E_NOT_FOUND, "InternalError"},
		{"up", LM_E_INVALID, "InvalidParameter"},
		{"up", LM_E_REFUSED, "InternalError"},
		{"settle", LM_E_TIMEOUT, "InternalError"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
		options.wait_healthy = true;
		auto_fake struct fake f = fake();
		f.fails = table[i].fails;
		f.rc = table[i].rc;
		struct deploy_outcome o = run(&f, options);

		assert_int_equal(o.rc, table[i].rc);
		assert_string_equal(deploy_error_class_name(o.error_class), table[i].name);
	}
}

static void force_deploy_tries_up_exactly_once_more(void **state)
{
	(void)state;
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(5);
	options.force_deploy = true;

	auto_fake struct fake once = fake();
	once.fails = "up";
	once.rc = LM_E_CONFLICT;
	once.fail_times = 1;
	struct deploy_outcome o = run(&once, options);
	assert_string_equal(
		lm_buf_cstr(&once.calls), FIRST "pull down place up remove_leftovers up");
	assert_int_equal(o.rc, LM_OK);
	assert_true(o.forced);
	assert_non_null(strstr(lm_buf_cstr(&once.reports), "up progress(0) up end(28) "));

	auto_fake struct fake always = fake();
	always.fails = "up";
	always.rc = LM_E_CONFLICT;
	o = run(&always, options);
	assert_string_equal(
		lm_buf_cstr(&always.calls), FIRST "pull down place up remove_leftovers up");
	assert_int_equal(o.rc, LM_E_CONFLICT);
	assert_int_equal(o.effect, DEPLOY_STARTING);

	auto_fake struct fake stuck = fake();
	stuck.fails = "up";
	stuck.rc = LM_E_CONFLICT;
	stuck.fails_too = "remove_leftovers";
	stuck.rc_too = LM_E_REFUSED;
	o = run(&stuck, options);
	assert_string_equal(lm_buf_cstr(&stuck.calls), FIRST "pull down place up remove_leftovers");
	assert_int_equal(o.rc, LM_E_REFUSED);
	assert_string_equal(o.err.msg, "start the application: remove what an earlier deployment "
				       "left: remove_leftovers broke");
}

static void removes_nothing_without_force_deploy_or_conflict(void **state)
{
	(void)state;
	static const struct {
		unsigned version;
		bool force;
		lm_rc rc;
	} table[] = {{1, true, LM_E_CONFLICT}, {2, false, LM_E_CONFLICT}, {7, true, LM_E_REFUSED},
		{7, true, LM_E_CANCELLED}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(table[i].version);
		options.force_deploy = table[i].force;
		auto_fake struct fake f = fake();
		f.fails = "up";
		f.rc = table[i].rc;

		assert_int_equal(run(&f, options).rc, table[i].rc);
		assert_null(strstr(lm_buf_cstr(&f.calls), "remove_leftovers"));
	}
}

/// What fails, and what a deployment in offline mode does then to succeed all the same.
struct fallback_row {
	const char *fails;
	lm_rc rc;
	const char *calls;
};

static void check_fallbacks(const struct fallback_row *table, size_t n, bool has_own)
{
	for (size_t i = 0; i < n; i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
		options.offline_mode = true;
		options.has_own = has_own;
		auto_fake struct fake f = fake();
		f.fails = table[i].fails;
		f.rc = table[i].rc;
		f.fail_times = 1;
		struct deploy_outcome o = run(&f, options);

		assert_string_equal(lm_buf_cstr(&f.calls), table[i].calls);
		assert_int_equal(o.rc, LM_OK);
		assert_true(o.offline);
	}
}

/// What fails, and fails the deployment.
struct no_fallback_row {
	unsigned version;
	bool offline;
	const char *fails;
	lm_rc rc;
};

static void check_no_fallbacks(const struct no_fallback_row *table, size_t n, bool has_own)
{
	for (size_t i = 0; i < n; i++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(table[i].version);
		options.offline_mode = table[i].offline;
		options.has_own = has_own;
		auto_fake struct fake f = fake();
		f.fails = table[i].fails;
		f.rc = table[i].rc;
		struct deploy_outcome o = run(&f, options);

		assert_int_equal(o.rc, table[i].rc);
		assert_false(o.offline);
		assert_null(strstr(lm_buf_cstr(&f.calls), "local"));
	}
}

static void offline_mode_goes_on_with_what_is_on_this_device(void **state)
{
	(void)state;
	static const struct fallback_row table[] = {
		{"fetch", LM_E_NETWORK,
			"prepare fetch fetch_local resolve admit pull_local down place up"},
		{"fetch", LM_E_TIMEOUT,
			"prepare fetch fetch_local resolve admit pull_local down place up"},
		{"fetch", LM_E_REFUSED,
			"prepare fetch fetch_local resolve admit pull_local down place up"},
		{"authenticate", LM_E_NETWORK, FIRST "pull_local down place up"},
		{"authenticate", LM_E_REFUSED, FIRST "pull_local down place up"},
		{"pull", LM_E_TIMEOUT, FIRST "pull pull_local down place up"},
	};

	check_fallbacks(table, LM_ARRAY_SIZE(table), false);
}

static void a_start_goes_on_with_its_own_whatever_the_reason(void **state)
{
	(void)state;
	static const struct fallback_row table[] = {
		{"fetch", LM_E_NOT_FOUND,
			"prepare fetch fetch_local resolve admit pull_local down place up"},
		{"fetch", LM_E_DENIED,
			"prepare fetch fetch_local resolve admit pull_local down place up"},
		{"authenticate", LM_E_DENIED,
			"prepare fetch resolve authenticate take_own resolve admit pull_local down "
			"place up"},
		{"pull", LM_E_NOT_FOUND, FIRST "pull take_own resolve pull_local down place up"},
		{"resolve", LM_E_INVALID,
			"prepare fetch resolve take_own resolve admit pull_local down place up"},
		{"admit", LM_E_NOT_FOUND,
			"prepare fetch resolve authenticate admit take_own resolve admit "
			"pull_local down place up"},
	};

	check_fallbacks(table, LM_ARRAY_SIZE(table), true);
}

static void only_version_4_pulls_after_it_has_stopped_what_runs(void **state)
{
	(void)state;
	for (unsigned version = 1; version <= 7; version++) {
		struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(version);
		assert_true(deploy_pulls_after_down(&options) == (version == 4));
	}
}

static void its_own_helps_in_offline_mode_only_and_against_no_order_to_stop(void **state)
{
	(void)state;
	static const struct no_fallback_row table[] = {{7, true, "fetch", LM_E_CANCELLED},
		{7, true, "prepare", LM_E_NETWORK}, {7, false, "fetch", LM_E_NETWORK},
		{6, true, "fetch", LM_E_NETWORK}, {7, false, "resolve", LM_E_INVALID}};

	check_no_fallbacks(table, LM_ARRAY_SIZE(table), true);
}

static void a_start_does_not_read_the_same_file_twice(void **state)
{
	(void)state;
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
	options.offline_mode = options.has_own = true;
	auto_fake struct fake f = fake();
	f.own_is_same = true;
	f.fails = "resolve";
	f.rc = LM_E_INVALID;
	struct deploy_outcome o = run(&f, options);

	assert_string_equal(lm_buf_cstr(&f.calls), "prepare fetch resolve take_own");
	assert_int_equal(o.failed, DEPLOY_RESOLVE);
	assert_string_equal(o.err.msg, "read the compose file: resolve broke; offline: that is the "
				       "compose file that was deployed before");
}

static void offline_mode_names_both_failures(void **state)
{
	(void)state;
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
	options.offline_mode = true;
	auto_fake struct fake f = fake();
	f.fails = "fetch";
	f.rc = LM_E_NETWORK;
	f.fails_too = "fetch_local";
	f.rc_too = LM_E_NOT_FOUND;
	struct deploy_outcome o = run(&f, options);

	assert_int_equal(o.rc, LM_E_NOT_FOUND);
	assert_int_equal(o.error_class, DEPLOY_INTERNAL_ERROR);
	assert_string_equal(o.err.msg, "fetch the compose file, secrets and tokens: fetch broke; "
				       "offline: fetch_local broke");
}

static void offline_mode_does_not_hide_a_wrong_definition(void **state)
{
	(void)state;
	static const struct no_fallback_row table[] = {{7, true, "fetch", LM_E_NOT_FOUND},
		{7, true, "fetch", LM_E_DENIED}, {7, true, "fetch", LM_E_CANCELLED},
		{7, true, "authenticate", LM_E_DENIED}, {7, true, "prepare", LM_E_NETWORK},
		{7, false, "fetch", LM_E_NETWORK}, {6, true, "fetch", LM_E_NETWORK}};

	check_no_fallbacks(table, LM_ARRAY_SIZE(table), false);
}

static void starts_nothing_that_is_not_on_record(void **state)
{
	(void)state;
	struct deploy_options options = DEPLOY_OPTIONS_DEFAULT(7);
	enum deploy_stage stages[DEPLOY_STAGES];
	size_t n = deploy_plan_stages(&options, stages);

	for (size_t i = 0; i < n; i++) {
		for (int cancelled = 0; cancelled < 2; cancelled++) {
			auto_fake struct fake f = fake();
			char report[64];
			(void)snprintf(
				report, sizeof(report), "%s begin", deploy_stage_name(stages[i]));
			f.report_fails = report;
			f.report_rc = cancelled ? LM_E_CANCELLED : LM_E_SYS;
			struct deploy_outcome o = run(&f, options);

			assert_int_equal(o.rc, f.report_rc);
			assert_int_equal(o.failed, stages[i]);
			assert_null(strstr(lm_buf_cstr(&f.calls), deploy_stage_name(stages[i])));
			assert_int_equal(o.effect,
				stages[i] == DEPLOY_UP ? DEPLOY_STOPPED : DEPLOY_UNTOUCHED);
		}
	}
}

static void goes_no_further_when_a_report_is_lost(void **state)
{
	(void)state;
	auto_fake struct fake f = fake();
	f.report_fails = "down end";
	f.report_rc = LM_E_SYS;
	struct deploy_outcome o = run(&f, DEPLOY_OPTIONS_DEFAULT(7));

	assert_int_equal(o.rc, LM_E_SYS);
	assert_int_equal(o.effect, DEPLOY_STOPPED);
	assert_string_equal(lm_buf_cstr(&f.calls), FIRST "pull down");

	// The report of a failure cannot replace the failure.
	auto_fake struct fake g = fake();
	g.fails = "pull";
	g.rc = LM_E_NOT_FOUND;
	g.report_fails = "pull fail";
	g.report_rc = LM_E_SYS;
	o = run(&g, DEPLOY_OPTIONS_DEFAULT(7));
	assert_int_equal(o.rc, LM_E_NOT_FOUND);
	assert_string_equal(o.err.msg, "pull the images: pull broke");
}

static void measures_with_the_clock_it_was_given(void **state)
{
	(void)state;
	auto_fake struct fake f = fake();
	f.fails = "resolve";
	f.rc = LM_E_INVALID;
	struct deploy_outcome o = run(&f, DEPLOY_OPTIONS_DEFAULT(1));

	// From 50: three begins of 1000, three operations of 7.
	assert_int_equal(o.started_ms, 50);
	assert_int_equal(o.ended_ms, 50 + 3 * 1007);
	assert_string_equal(lm_buf_cstr(&f.reports),
		"prepare begin(0) prepare end(7) fetch begin(0) fetch end(7) "
		"resolve begin(0) resolve fail(7) ");
}

static void finds_stages_by_name(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DEPLOY_STAGES; i++)
		assert_int_equal(
			deploy_stage_from_name(deploy_stage_name((enum deploy_stage)i)), i);
	assert_int_equal(deploy_stage_from_name(""), DEPLOY_STAGES);
	assert_int_equal(deploy_stage_from_name("Pull"), DEPLOY_STAGES);
	assert_string_equal(deploy_stage_name(DEPLOY_STAGES), "");
}

static void every_effect_has_a_name_of_its_own(void **state)
{
	(void)state;
	assert_string_equal(deploy_effect_name(DEPLOY_UNTOUCHED), "untouched");
	assert_string_equal(deploy_effect_name(DEPLOY_STOPPING), "stopping");
	assert_string_equal(deploy_effect_name(DEPLOY_STOPPED), "stopped");
	assert_string_equal(deploy_effect_name(DEPLOY_STARTING), "starting");
	assert_string_equal(deploy_effect_name(DEPLOY_STARTED), "started");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_effect_has_a_name_of_its_own),
		cmocka_unit_test(runs_the_order_of_each_version),
		cmocka_unit_test(pulls_all_or_what_is_missing_by_version_and_wish),
		cmocka_unit_test(a_restore_fetches_nothing_that_is_on_this_device),
		cmocka_unit_test(offline_mode_helps_where_others_are_away),
		cmocka_unit_test(plans_the_stages_that_it_runs),
		cmocka_unit_test(pulls_before_anything_is_stopped_if_asked),
		cmocka_unit_test(a_repair_pulls_what_is_missing_once_the_damaged_is_gone),
		cmocka_unit_test(a_snapshot_comes_before_down_in_each_version),
		cmocka_unit_test(adoption_stops_nothing_in_any_version),
		cmocka_unit_test(a_failed_stop_for_a_snapshot_has_changed_what_ran),
		cmocka_unit_test(a_plan_runs_only_what_changes_nothing),
		cmocka_unit_test(tells_where_it_failed_and_what_became_of_the_old),
		cmocka_unit_test(leaves_all_alone_when_up_fails_before_it_began_without_down),
		cmocka_unit_test(counts_a_failure_that_came_without_words),
		cmocka_unit_test(blames_the_definition_only_for_what_it_got_wrong),
		cmocka_unit_test(force_deploy_tries_up_exactly_once_more),
		cmocka_unit_test(removes_nothing_without_force_deploy_or_conflict),
		cmocka_unit_test(offline_mode_goes_on_with_what_is_on_this_device),
		cmocka_unit_test(a_start_goes_on_with_its_own_whatever_the_reason),
		cmocka_unit_test(only_version_4_pulls_after_it_has_stopped_what_runs),
		cmocka_unit_test(its_own_helps_in_offline_mode_only_and_against_no_order_to_stop),
		cmocka_unit_test(a_start_does_not_read_the_same_file_twice),
		cmocka_unit_test(offline_mode_names_both_failures),
		cmocka_unit_test(offline_mode_does_not_hide_a_wrong_definition),
		cmocka_unit_test(starts_nothing_that_is_not_on_record),
		cmocka_unit_test(goes_no_further_when_a_report_is_lost),
		cmocka_unit_test(measures_with_the_clock_it_was_given),
		cmocka_unit_test(finds_stages_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
