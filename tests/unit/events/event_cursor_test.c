// SPDX-License-Identifier: Apache-2.0
#include "events/event_cursor.h"

#include "base/cleanup.h"
#include "base/file.h"

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

static int setup(void **unused)
{
	(void)unused;
	(void)snprintf(folder, sizeof(folder), "/tmp/event_cursor.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **unused)
{
	(void)unused;
	return lm_tree_remove(AT_FDCWD, folder, NULL) ? -1 : 0;
}

static void save(const struct event_cursor *r, int64_t since_ns)
{
	assert_int_equal(event_cursor_save(folder, BOOT, r, since_ns, NULL), LM_OK);
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

	event_cursor_load(folder, BOOT, 100 * S, &r);
	assert_false(r.knows_before);
	assert_int_equal(event_cursor_from(&r), 100 * S);
}

static void a_restart_asks_for_nothing_before_the_first_start_either(void **unused)
{
	(void)unused;
	struct event_cursor first, after;

	event_cursor_load(folder, BOOT, 100 * S, &first);
	save(&first, first.since_ns + S / 4);
	event_cursor_load(folder, BOOT, 200 * S, &after);
	assert_true(after.knows_before);
	assert_int_equal(event_cursor_from(&after), 100 * S);
}

static void what_a_clock_noted_before_it_was_set_back_is_not_waited_for(void **unused)
{
	(void)unused;
	const struct event_cursor before = {.since_ns = 3700 * S, .floor_ns = 3650 * S};
	struct event_cursor after;

	save(&before, before.since_ns);
	event_cursor_load(folder, BOOT, 100 * S, &after);
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
	event_cursor_load(folder, BOOT, 100 * S, &after);
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
	event_cursor_load(folder, BOOT, 1, &after);
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
	event_cursor_load(folder, "another", 10 * S, &after); // whatever its clock shows
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
		event_cursor_load(folder, BOOT, 100 * S, &r);
		assert_false(r.knows_before);
		assert_int_equal(event_cursor_from(&r), 100 * S);
	}
}

static void keys_that_are_none_are_skipped(void **unused)
{
	(void)unused;
	char path[80];
	struct event_cursor r;

	(void)snprintf(path, sizeof(path), "%s/events.json", folder);
	assert_int_equal(lm_file_replace(AT_FDCWD, path,
				 LM_STR("{\"boot\":\"" BOOT "\",\"since\":9,\"seen\":[7,[],"
					"[\"xyz\",1],[\"00000000000000ag\",1]]}"),
				 0600, NULL),
		LM_OK);
	event_cursor_load(folder, BOOT, 100 * S, &r);
	assert_true(r.knows_before);
	assert_int_equal(r.next, 0);
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
		CURSOR_TEST(keys_that_are_none_are_skipped),
	};

	return cmocka_run_group_tests_name("events/event_cursor", tests, NULL, NULL);
}
