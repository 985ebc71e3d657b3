// SPDX-License-Identifier: Apache-2.0
#include "events/event_cursor.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "damaged_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>

#define BOOT "0f0f0f0f-1111-2222-3333-444444444444"

static const int64_t S = 1000000000;
static char folder[64];
static struct damage damage;

static int setup(void **unused)
{
	(void)unused;
	(void)snprintf(folder, sizeof(folder), "/tmp/event_cursor.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **unused)
{
	(void)unused;
	damage_finish(&damage);
	return lm_tree_remove(AT_FDCWD, folder, NULL) ? -1 : 0;
}

static void save(const struct event_cursor *r, int64_t since_ns)
{
	assert_int_equal(event_cursor_save(folder, BOOT, r, since_ns, NULL), LM_OK);
}

static void load(const char *boot, int64_t now_ns, struct event_cursor *ret)
{
	damage_finish(&damage);
	event_cursor_load(folder, boot, now_ns, &damage, ret);
}

static void takes_each_event_once(void **unused)
{
	(void)unused;
	struct event_cursor r = {.since_ns = 5 * S};

	assert_true(event_cursor_take(&r, 1, 7 * S));
	assert_false(event_cursor_take(&r, 1, 7 * S));
	assert_true(event_cursor_take(&r, 2, 7 * S));
	assert_true(event_cursor_take(&r, 3, 6 * S)); // sent a little late
	assert_int_equal(r.since_ns, 7 * S);
	assert_int_equal(event_cursor_from(&r), 6 * S);
}

static void remembers_as_many_as_the_engine_can_send_again(void **unused)
{
	(void)unused;
	struct event_cursor r = {0};

	for (uint64_t key = 1; key <= 1000; key++)
		assert_true(event_cursor_take(&r, key, (int64_t)key));
	for (uint64_t key = 1000 - EVENT_CURSOR_KEYS + 1; key <= 1000; key++)
		assert_false(event_cursor_take(&r, key, (int64_t)key));
}

static void the_first_start_asks_for_nothing_that_was_before(void **unused)
{
	(void)unused;
	struct event_cursor r;

	load(BOOT, 100 * S, &r);
	assert_false(r.knows_before);
	assert_int_equal(event_cursor_from(&r), 100 * S);
}

static void a_restart_asks_for_nothing_before_the_first_start_either(void **unused)
{
	(void)unused;
	struct event_cursor first, after;

	load(BOOT, 100 * S, &first);
	save(&first, first.since_ns + S / 4);
	load(BOOT, 200 * S, &after);
	assert_true(after.knows_before);
	assert_int_equal(event_cursor_from(&after), 100 * S);
}

static void what_a_clock_noted_before_it_was_set_back_is_not_waited_for(void **unused)
{
	(void)unused;
	const struct event_cursor before = {.since_ns = 3700 * S, .floor_ns = 3650 * S};
	struct event_cursor after;

	save(&before, before.since_ns);
	load(BOOT, 100 * S, &after);
	assert_true(after.knows_before);
	assert_int_equal(after.since_ns, 100 * S);
	assert_int_equal(event_cursor_from(&after), 100 * S);
}

static void a_restart_goes_on_where_it_was(void **unused)
{
	(void)unused;
	struct event_cursor before = {.busy_from_ns = 3, .busy_to_ns = 4}, after;

	for (uint64_t key = 1; key <= 20; key++)
		assert_true(event_cursor_take(&before, key, (int64_t)key * S / 2));
	save(&before, before.since_ns);
	load(BOOT, 100 * S, &after);
	assert_true(after.knows_before);
	assert_int_equal(after.since_ns, 10 * S);
	assert_int_equal(event_cursor_from(&after), 9 * S);
	assert_int_equal(after.left_from_ns, 3);
	assert_int_equal(after.left_to_ns, 4);
	assert_false(after.left_open);
	for (uint64_t key = 18; key <= 20; key++) // those of the overlap
		assert_false(event_cursor_take(&after, key, (int64_t)key * S / 2));
	assert_true(event_cursor_take(&after, 21, 10 * S));
}

static void a_busy_second_fits_into_the_file(void **unused)
{
	(void)unused;
	struct event_cursor before = {0}, after;

	for (uint64_t key = 0; key < 400; key++)
		(void)event_cursor_take(&before, UINT64_MAX - key, INT64_MAX - 500 + (int64_t)key);
	save(&before, before.since_ns);
	load(BOOT, 1, &after);
	assert_true(after.knows_before);
	assert_false(event_cursor_take(&after, UINT64_MAX - 399, INT64_MAX - 101));
	assert_false(event_cursor_take(&after, UINT64_MAX - 300, INT64_MAX - 200));
}

static void after_another_boot_all_that_the_engine_sends_is_new(void **unused)
{
	(void)unused;
	const struct event_cursor before = {.since_ns = 50 * S, .busy_from_ns = 1};
	struct event_cursor after;

	save(&before, 50 * S);
	load("another", 10 * S, &after); // whatever its clock shows
	assert_false(after.knows_before);
	assert_int_equal(event_cursor_from(&after), 0);
	assert_int_equal(after.left_from_ns, 0);
}

static void a_file_that_cannot_be_read_counts_as_none(void **unused)
{
	(void)unused;
	static const char *const texts[] = {
		"", "{", "[]", "{}", "{\"since\":-4}", "{\"since\":\"7\"}"};
	char path[80];

	(void)snprintf(path, sizeof(path), "%s/events.json", folder);
	for (size_t i = 0; i < LM_ARRAY_SIZE(texts); i++) {
		struct event_cursor r;

		assert_int_equal(
			lm_file_replace(AT_FDCWD, path, lm_str(texts[i]), 0600, NULL), LM_OK);
		load(BOOT, 100 * S, &r);
		assert_false(r.knows_before);
		assert_int_equal(event_cursor_from(&r), 100 * S);
		assert_int_equal(damage.n, 1);
	}
}

static void assert_forgotten(const char *kind)
{
	struct event_cursor r;

	load(BOOT, 100 * S, &r);
	if (r.knows_before || event_cursor_from(&r) != 100 * S || damage.n != 1 ||
		!strstr(damage.notes[0], "; it was set aside as 'events.json.damaged': what "
					 "happened to containers while lightermand did not run is "
					 "not reported"))
		fail_msg("%s", kind);
	// In its place another one is written.
	save(&r, 100 * S);
	load(BOOT, 100 * S, &r);
	assert_true(r.knows_before);
	assert_int_equal(damage.n, 0);
}

static void any_damage_is_found_and_set_aside(void **unused)
{
	(void)unused;
	struct event_cursor before = {.since_ns = 50 * S}, after;
	char path[80];

	(void)event_cursor_take(&before, 7, 50 * S);
	save(&before, 50 * S);
	(void)snprintf(path, sizeof(path), "%s/events.json", folder);
	damaged_file_each(path, assert_forgotten);
	load(BOOT, 100 * S, &after);
	assert_true(after.knows_before);
	assert_false(event_cursor_take(&after, 7, 50 * S));
}

static void keys_that_are_none_are_skipped(void **unused)
{
	(void)unused;
	char path[80];
	struct event_cursor r;

	(void)snprintf(path, sizeof(path), "%s/events.json", folder);
	assert_int_equal(lm_file_replace(AT_FDCWD, path,
				 LM_STR("{\"boot\":\"" BOOT "\",\"since\":9,\"seen\":[7,[],"
					"[\"xyz\",1],[\"00000000000000ag\",1]],\"restarts\":"
					"[7,[],[\"a1\"],[2,3,4],[\"\",1,99000000000]]}"),
				 0600, NULL),
		LM_OK);
	load(BOOT, 100 * S, &r);
	assert_true(r.knows_before);
	assert_int_equal(r.next, 0);
	assert_false(event_cursor_is_restarting(&r, "a1", 50 * S));
	assert_false(event_cursor_is_restarting(&r, "", 50 * S));
}

static void a_restart_of_a_container_is_known_until_it_is_over(void **unused)
{
	(void)unused;
	struct event_cursor c = {.since_ns = 1};

	assert_false(event_cursor_is_restarting(&c, "", 5 * S));
	event_cursor_begin_restart(&c, "a1", 5 * S, 9 * S);
	assert_false(event_cursor_is_restarting(&c, "a1", 4 * S));
	assert_true(event_cursor_is_restarting(&c, "a1", 5 * S));
	assert_true(event_cursor_is_restarting(&c, "a1", 9 * S));
	assert_false(event_cursor_is_restarting(&c, "a1", 9 * S + 1));
	assert_false(event_cursor_is_restarting(&c, "a2", 6 * S));
	event_cursor_begin_restart(&c, "a1", 20 * S, 30 * S); // again
	assert_false(event_cursor_is_restarting(&c, "a1", 6 * S));
	event_cursor_end_restart(&c, "a2");
	assert_true(event_cursor_is_restarting(&c, "a1", 25 * S));
	event_cursor_end_restart(&c, "a1");
	assert_false(event_cursor_is_restarting(&c, "a1", 25 * S));
}

static void of_too_many_restarts_the_earliest_is_forgotten(void **unused)
{
	(void)unused;
	struct event_cursor c = {.since_ns = 1};
	char id[8];

	for (int i = 0; i <= EVENT_CURSOR_RESTARTS; i++) {
		(void)snprintf(id, sizeof(id), "a%d", i);
		event_cursor_begin_restart(&c, id, (i + 1) * S, 100 * S);
	}
	assert_false(event_cursor_is_restarting(&c, "a0", 99 * S));
	for (int i = 1; i <= EVENT_CURSOR_RESTARTS; i++) {
		(void)snprintf(id, sizeof(id), "a%d", i);
		assert_true(event_cursor_is_restarting(&c, id, 99 * S));
	}
}

static void the_next_start_knows_which_containers_are_being_restarted(void **unused)
{
	(void)unused;
	struct event_cursor c = {.since_ns = 50 * S}, r;

	event_cursor_begin_restart(&c, "a1", 51 * S, 60 * S);
	save(&c, 50 * S);
	load(BOOT, 55 * S, &r);
	assert_true(event_cursor_is_restarting(&r, "a1", 56 * S));
	assert_false(event_cursor_is_restarting(&r, "a1", 61 * S));
	load("another", 55 * S, &r); // it exited with the device
	assert_false(event_cursor_is_restarting(&r, "a1", 56 * S));
}

static void restarts_follow_a_clock_that_is_set_back(void **unused)
{
	(void)unused;
	struct event_cursor c = {.since_ns = 1000 * S};

	event_cursor_begin_restart(&c, "a1", 1000 * S, 1070 * S);
	assert_true(event_cursor_follow_clock(&c, 100 * S, 99 * S));
	assert_true(event_cursor_is_restarting(&c, "a1", 101 * S));
	assert_true(event_cursor_is_restarting(&c, "a1", 169 * S));
	assert_false(event_cursor_is_restarting(&c, "a1", 170 * S));
}

#define CURSOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_each_event_once),
		cmocka_unit_test(remembers_as_many_as_the_engine_can_send_again),
		CURSOR_TEST(the_first_start_asks_for_nothing_that_was_before),
		CURSOR_TEST(a_restart_asks_for_nothing_before_the_first_start_either),
		CURSOR_TEST(what_a_clock_noted_before_it_was_set_back_is_not_waited_for),
		CURSOR_TEST(a_restart_goes_on_where_it_was),
		CURSOR_TEST(a_busy_second_fits_into_the_file),
		CURSOR_TEST(after_another_boot_all_that_the_engine_sends_is_new),
		CURSOR_TEST(a_file_that_cannot_be_read_counts_as_none),
		CURSOR_TEST(any_damage_is_found_and_set_aside),
		CURSOR_TEST(keys_that_are_none_are_skipped),
		cmocka_unit_test(a_restart_of_a_container_is_known_until_it_is_over),
		cmocka_unit_test(of_too_many_restarts_the_earliest_is_forgotten),
		CURSOR_TEST(the_next_start_knows_which_containers_are_being_restarted),
		cmocka_unit_test(restarts_follow_a_clock_that_is_set_back),
	};

	return cmocka_run_group_tests_name("events/event_cursor", tests, NULL, NULL);
}
