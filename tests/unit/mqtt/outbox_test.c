// SPDX-License-Identifier: Apache-2.0
#include "mqtt/outbox.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static int directory_fd;
static char big[LIMIT_MQTT_PAYLOAD + 1];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/outbox_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return directory_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)close(directory_fd);
	assert_int_equal(lm_tree_remove(AT_FDCWD, directory, NULL), LM_OK);
	return 0;
}

static struct outbox *open_outbox(void)
{
	struct outbox *o = NULL;

	assert_int_equal(outbox_open(directory, &o, NULL), LM_OK);
	return o;
}

static void add(struct outbox *o, enum outbox_class class, const char *payload)
{
	assert_int_equal(outbox_add(o, class, "t/x", lm_str(payload), NULL), LM_OK);
}

static void add_big(struct outbox *o, enum outbox_class class)
{
	struct lm_str payload = {big, LIMIT_MQTT_PAYLOAD};

	assert_int_equal(outbox_add(o, class, "t", payload, NULL), LM_OK);
}

/// The next message has this payload; returns its number.
static uint64_t expect_next(struct outbox *o, const char *payload)
{
	struct outbox_message m;

	assert_true(outbox_next(o, &m));
	assert_string_equal(m.topic, "t/x");
	assert_string_equal(m.payload, payload);
	uint64_t seq = m.seq;
	outbox_message_finish(&m);
	return seq;
}

static void expect_none(struct outbox *o)
{
	struct outbox_message m;

	assert_false(outbox_next(o, &m));
}

static bool exists(const char *name)
{
	lm_auto_free char *path = lm_path_join(directory, name);

	return access(path, F_OK) == 0;
}

static void write_file(const char *name, const char *text)
{
	lm_auto_free char *path = lm_path_join(directory, name);
	lm_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(lm_fd_write_all(fd, path, lm_str(text), NULL), LM_OK);
}

static void gives_a_status_first_and_the_others_in_the_order_they_came(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_EVENT, "first");
	add(o, OUTBOX_PROGRESS, "second");
	add(o, OUTBOX_STATUS, "third");
	(void)expect_next(o, "third");
	(void)expect_next(o, "first");
	(void)expect_next(o, "second");
	expect_none(o);
}

static void keeps_status_and_event_over_a_restart_but_not_progress(void **state)
{
	(void)state;
	struct outbox *o = open_outbox();

	for (int i = 0; i < 11; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "m%d", i);
		add(o, i % 2 ? OUTBOX_STATUS : OUTBOX_EVENT, text);
	}
	add(o, OUTBOX_PROGRESS, "p");
	outbox_close(o);

	o = open_outbox();
	assert_int_equal(outbox_counts(o).messages, 11);
	add(o, OUTBOX_STATUS, "m11");
	for (int i = 0; i < 12; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "m%d", i < 6 ? 2 * i + 1 : 2 * (i - 6));
		(void)expect_next(o, text);
	}
	expect_none(o);
	outbox_close(o);
}

static void a_payload_may_hold_any_byte(void **state)
{
	(void)state;
	static const char payload[] = "a\nb\0c\r\xff\n";
	struct outbox_message m;
	struct outbox *o = open_outbox();

	assert_int_equal(outbox_add(o, OUTBOX_STATUS, "t/x",
				 (struct lm_str){payload, sizeof(payload) - 1}, NULL),
		LM_OK);
	outbox_close(o);
	o = open_outbox();
	assert_true(outbox_next(o, &m));
	assert_int_equal(m.payload_n, sizeof(payload) - 1);
	assert_memory_equal(m.payload, payload, sizeof(payload) - 1);
	outbox_message_finish(&m);
	outbox_close(o);
}

static void an_acknowledged_message_does_not_come_again(void **state)
{
	(void)state;
	struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "one");
	add(o, OUTBOX_STATUS, "two");
	uint64_t one = expect_next(o, "one");
	assert_int_equal(outbox_done(o, one, NULL), LM_OK);
	assert_int_equal(outbox_done(o, one, NULL), LM_OK);
	outbox_close(o);
	o = open_outbox();
	(void)expect_next(o, "two");
	expect_none(o);
	outbox_close(o);
}

static void what_was_in_flight_comes_again_in_order(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "one");
	add(o, OUTBOX_EVENT, "two");
	(void)expect_next(o, "one");
	(void)expect_next(o, "two");
	expect_none(o);
	outbox_return_all(o);
	(void)expect_next(o, "one");
	(void)expect_next(o, "two");
}

static void leftovers_are_removed_and_damaged_files_set_aside(void **state)
{
	(void)state;
	struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "good");
	outbox_close(o);
	write_file(".00000000000000000002.status.tmp", "half");
	write_file("00000000000000000003.status", "lighterman-message 1 0000000000000000\nt\nx");
	write_file("00000000000000000004.event", "");
	write_file("99999999999999999999.status", "number too large");
	write_file("stranger", "x");

	o = open_outbox();
	assert_false(exists(".00000000000000000002.status.tmp"));
	assert_true(exists("00000000000000000003.status.bad"));
	assert_true(exists("00000000000000000004.event.bad"));
	assert_true(exists("99999999999999999999.status.bad"));
	assert_true(exists("stranger.bad"));
	assert_int_equal(outbox_counts(o).bad, 4);
	(void)expect_next(o, "good");
	expect_none(o);
	outbox_close(o);
}

static void a_message_damaged_while_it_waits_is_set_aside(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "one");
	add(o, OUTBOX_STATUS, "two");
	write_file("00000000000000000001.status", "torn");
	(void)expect_next(o, "two");
	assert_int_equal(outbox_counts(o).bad, 1);
	assert_true(exists("00000000000000000001.status.bad"));
}

static void a_message_that_is_rejected_is_set_aside(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "bad");
	add(o, OUTBOX_PROGRESS, "good");
	outbox_reject(o, expect_next(o, "bad"));
	assert_true(exists("00000000000000000001.status.bad"));
	assert_int_equal(outbox_counts(o).messages, 1);
	assert_int_equal(outbox_counts(o).bad, 1);
	outbox_reject(o, 77);
	(void)expect_next(o, "good");
}

/// It has no file, and so no name of one.
static void progress_that_is_rejected_leaves_no_file(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_PROGRESS, "bad");
	add(o, OUTBOX_STATUS, "good");
	assert_int_equal(expect_next(o, "good"), 2);
	outbox_reject(o, expect_next(o, "bad"));
	assert_int_equal(outbox_counts(o).messages, 1);
	assert_int_equal(outbox_counts(o).bad, 1);
	assert_false(exists("00000000000000000001.progress.bad"));
	assert_false(exists("00000000000000000001(null).bad"));
	assert_true(exists("00000000000000000002.status"));
}

static void full_gives_up_progress_then_events_and_never_status(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	int fit = LIMIT_OUTBOX_BYTES / (LIMIT_MQTT_PAYLOAD + 256 + 1);

	add_big(o, OUTBOX_STATUS);
	add_big(o, OUTBOX_EVENT);
	add_big(o, OUTBOX_PROGRESS);
	for (int i = 3; i < fit; i++)
		add_big(o, OUTBOX_STATUS);
	assert_int_equal(outbox_counts(o).messages, fit);
	add_big(o, OUTBOX_STATUS);
	assert_int_equal(outbox_counts(o).dropped_progress, 1);
	assert_int_equal(outbox_counts(o).dropped_event, 0);
	add_big(o, OUTBOX_STATUS);
	assert_int_equal(outbox_counts(o).dropped_event, 1);
	assert_int_equal(outbox_counts(o).messages, fit);

	// Only STATUS is left: others find no room, STATUS does up to twice the bound.
	struct lm_str payload = {big, LIMIT_MQTT_PAYLOAD};
	struct lm_err err;
	assert_int_equal(outbox_add(o, OUTBOX_EVENT, "t", payload, &err), LM_E_TOO_LARGE);
	assert_int_equal(outbox_add(o, OUTBOX_PROGRESS, "t", payload, &err), LM_E_TOO_LARGE);
	assert_int_equal(outbox_counts(o).dropped_event, 2);
	assert_int_equal(outbox_counts(o).dropped_progress, 2);
	while (outbox_counts(o).bytes + LIMIT_MQTT_PAYLOAD + 257 <= 2 * LIMIT_OUTBOX_BYTES)
		add_big(o, OUTBOX_STATUS);
	assert_int_equal(outbox_add(o, OUTBOX_STATUS, "t", payload, &err), LM_E_TOO_LARGE);
	assert_non_null(strstr(err.msg, "is full"));
}

static void progress_never_pushes_out_an_event(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	struct lm_str payload = {big, LIMIT_MQTT_PAYLOAD};

	while (outbox_counts(o).bytes + LIMIT_MQTT_PAYLOAD + 257 <= LIMIT_OUTBOX_BYTES)
		add_big(o, OUTBOX_EVENT);
	assert_int_equal(outbox_add(o, OUTBOX_PROGRESS, "t", payload, NULL), LM_E_TOO_LARGE);
	assert_int_equal(outbox_counts(o).dropped_event, 0);
	assert_int_equal(outbox_counts(o).dropped_progress, 1);
}

static void what_is_in_flight_is_not_dropped(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	struct outbox_message m;

	add_big(o, OUTBOX_EVENT);
	assert_true(outbox_next(o, &m));
	while (outbox_counts(o).bytes + LIMIT_MQTT_PAYLOAD + 257 <= LIMIT_OUTBOX_BYTES)
		add_big(o, OUTBOX_EVENT);
	add_big(o, OUTBOX_EVENT);
	assert_int_equal(outbox_counts(o).dropped_event, 1);
	assert_true(exists("00000000000000000001.event"));
	assert_false(exists("00000000000000000002.event"));
	outbox_message_finish(&m);
}

static void refuses_what_no_broker_takes(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	struct lm_str too_big = {big, LIMIT_MQTT_PAYLOAD + 1};
	lm_auto_free char *long_topic = lm_xasprintf("%0*d", LIMIT_MQTT_TOPIC + 1, 0);

	assert_int_equal(outbox_add(o, OUTBOX_STATUS, "t", too_big, NULL), LM_E_TOO_LARGE);
	assert_int_equal(
		outbox_add(o, OUTBOX_STATUS, long_topic, LM_STR("x"), NULL), LM_E_TOO_LARGE);
	assert_int_equal(outbox_add(o, OUTBOX_STATUS, "", LM_STR("x"), NULL), LM_E_INVALID);
	assert_int_equal(outbox_add(o, OUTBOX_STATUS, "a\nb", LM_STR("x"), NULL), LM_E_INVALID);
	assert_int_equal(outbox_counts(o).messages, 0);
}

static void a_message_the_disk_refuses_is_an_error(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	// A directory has the name of the temporary file: the write fails, for root too.
	lm_auto_free char *path = lm_path_join(directory, ".00000000000000000001.status.tmp");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(outbox_add(o, OUTBOX_STATUS, "t/x", LM_STR("a"), NULL), LM_OK);
	assert_int_equal(outbox_counts(o).messages, 0);
	assert_int_equal(rmdir(path), 0);
	add(o, OUTBOX_STATUS, "a");
	(void)expect_next(o, "a");
}

static uint64_t hold(struct outbox *o, enum outbox_class class, const char *payload)
{
	uint64_t seq = 0;

	assert_int_equal(outbox_hold(o, class, "t/x", lm_str(payload), &seq, NULL), LM_OK);
	return seq;
}

static void what_is_held_is_on_disk_once_it_is_saved(void **state)
{
	(void)state;
	struct outbox *o = open_outbox();

	uint64_t one = hold(o, OUTBOX_EVENT, "one");
	uint64_t two = hold(o, OUTBOX_EVENT, "two");
	assert_false(outbox_is_sent(o));
	assert_int_equal(outbox_counts(o).messages, 2);
	assert_int_equal(outbox_counts(o).lasting, 0);
	assert_false(exists("00000000000000000001.event"));
	assert_int_equal(expect_next(o, "one"), one);
	assert_int_equal(expect_next(o, "two"), two);
	assert_true(outbox_is_sent(o));
	assert_int_equal(outbox_save(o, two, NULL), LM_OK);
	assert_int_equal(outbox_save(o, two, NULL), LM_OK);
	assert_int_equal(outbox_counts(o).lasting, 1);
	outbox_return_all(o);
	(void)expect_next(o, "one");
	(void)expect_next(o, "two");
	outbox_close(o);

	o = open_outbox();
	(void)expect_next(o, "two");
	expect_none(o);
	outbox_close(o);
}

static void what_was_acknowledged_before_it_was_saved_leaves_nothing(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	uint64_t seq = hold(o, OUTBOX_EVENT, "a");
	(void)expect_next(o, "a");
	assert_int_equal(outbox_done(o, seq, NULL), LM_OK);
	assert_int_equal(outbox_save(o, seq, NULL), LM_OK);
	assert_false(exists("00000000000000000001.event"));
	assert_int_equal(outbox_save(o, hold(o, OUTBOX_PROGRESS, "p"), NULL), LM_OK);
	assert_false(exists("00000000000000000002.progress"));
}

static void what_the_disk_refuses_to_save_is_still_held(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	lm_auto_free char *path = lm_path_join(directory, ".00000000000000000001.event.tmp");

	uint64_t seq = hold(o, OUTBOX_EVENT, "a");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(outbox_save(o, seq, NULL), LM_OK);
	(void)expect_next(o, "a");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(outbox_save(o, seq, NULL), LM_OK);
	assert_true(exists("00000000000000000001.event"));
}

static void what_is_held_is_saved_oldest_first_until_the_disk_refuses(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	lm_auto_free char *path = lm_path_join(directory, ".00000000000000000003.status.tmp");

	(void)hold(o, OUTBOX_EVENT, "one");
	(void)hold(o, OUTBOX_PROGRESS, "two");
	(void)hold(o, OUTBOX_STATUS, "three");
	(void)hold(o, OUTBOX_EVENT, "four");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(outbox_save_held(o, SIZE_MAX, NULL), LM_OK);
	assert_true(exists("00000000000000000001.event"));
	assert_int_equal(outbox_counts(o).lasting, 1);
	assert_false(outbox_is_saved(o));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(outbox_save_held(o, 1, NULL), LM_OK);
	assert_int_equal(outbox_counts(o).lasting, 2);
	assert_false(outbox_is_saved(o));
	assert_int_equal(outbox_save_held(o, 1, NULL), LM_OK);
	assert_int_equal(outbox_counts(o).lasting, 3);
	assert_true(outbox_is_saved(o));
	(void)expect_next(o, "three");
	(void)expect_next(o, "one");
	(void)expect_next(o, "two");
	(void)expect_next(o, "four");
}

static void nothing_is_dropped_for_what_the_disk_refuses(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	struct lm_str payload = {big, LIMIT_MQTT_PAYLOAD};
	size_t n = 0;

	for (; outbox_counts(o).bytes + LIMIT_MQTT_PAYLOAD + 257 <= LIMIT_OUTBOX_BYTES; n++)
		add_big(o, OUTBOX_EVENT);
	lm_auto_free char *name = lm_xasprintf(".%020zu.status.tmp", n + 1);
	lm_auto_free char *path = lm_path_join(directory, name);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_not_equal(outbox_add(o, OUTBOX_STATUS, "t", payload, NULL), LM_OK);
	assert_int_equal(outbox_counts(o).dropped_event, 0);
	assert_int_equal(outbox_counts(o).messages, n);
	assert_true(exists("00000000000000000001.event"));
}

/// Nothing can be opened from now on but `n` descriptors at a time. Returns the limit before.
static rlim_t leave_descriptors(unsigned n)
{
	int spare[4];
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	rlim_t was = limit.rlim_cur;
	for (unsigned i = 0; i <= n; i++)
		spare[i] = dup(directory_fd);
	limit.rlim_cur = (rlim_t)spare[n];
	for (unsigned i = 0; i <= n; i++)
		assert_int_equal(close(spare[i]), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return was;
}

static void give_descriptors_back(rlim_t was)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = was;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void a_message_that_cannot_be_read_now_waits(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "one");
	add(o, OUTBOX_PROGRESS, "two");
	rlim_t was = leave_descriptors(0);
	(void)expect_next(o, "two");
	expect_none(o);
	give_descriptors_back(was);
	assert_int_equal(outbox_counts(o).bad, 0);
	assert_true(exists("00000000000000000001.status"));
	(void)expect_next(o, "one");
}

static void a_message_that_cannot_be_read_at_the_start_waits(void **state)
{
	(void)state;
	struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "one");
	add(o, OUTBOX_EVENT, "two");
	size_t bytes = outbox_counts(o).bytes;
	outbox_close(o);
	rlim_t was = leave_descriptors(2); // its own, and the one to list
	o = open_outbox();
	give_descriptors_back(was);
	assert_int_equal(outbox_counts(o).messages, 2);
	assert_int_equal(outbox_counts(o).bad, 0);
	assert_in_range(outbox_counts(o).bytes, bytes, bytes + 2 * 64); // with their first lines
	add(o, OUTBOX_STATUS, "three");
	(void)expect_next(o, "one");
	(void)expect_next(o, "three");
	(void)expect_next(o, "two");
	outbox_close(o);
}

static void what_is_no_file_is_no_message(void **state)
{
	(void)state;
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	lm_auto_free char *one = lm_path_join(directory, "00000000000000000001.status");
	lm_auto_free char *two = lm_path_join(directory, "00000000000000000002.status");

	for (int i = 0; i < 4; i++)
		add(o, OUTBOX_STATUS, "a");
	assert_int_equal(unlink(one), 0);
	assert_int_equal(mkdir(one, 0700), 0);
	assert_int_equal(unlink(two), 0);
	assert_int_equal(symlink("00000000000000000004.status", two), 0);
	assert_int_equal(unlinkat(directory_fd, "00000000000000000003.status", 0), 0);
	assert_int_equal(expect_next(o, "a"), 4);
	assert_int_equal(outbox_counts(o).bad, 3);
	assert_true(exists("00000000000000000001.status.bad"));
}

static void only_the_newest_that_were_set_aside_are_kept(void **state)
{
	(void)state;
	char name[64];

	write_file("stranger", "x");
	for (int i = 1; i <= LIMIT_OUTBOX_BAD + 2; i++) {
		(void)snprintf(name, sizeof(name), "%020d.status", i);
		write_file(name, "torn");
	}
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();
	assert_int_equal(outbox_counts(o).bad, LIMIT_OUTBOX_BAD + 3);
	assert_int_equal(outbox_counts(o).bad_removed, 3);
	assert_false(exists("stranger.bad"));
	assert_false(exists("00000000000000000002.status.bad"));
	assert_true(exists("00000000000000000003.status.bad"));
	(void)snprintf(name, sizeof(name), "%020d.status.bad", LIMIT_OUTBOX_BAD + 2);
	assert_true(exists(name));

	add(o, OUTBOX_STATUS, "a");
	outbox_reject(o, expect_next(o, "a"));
	assert_int_equal(outbox_counts(o).bad_removed, 4);
	assert_false(exists("00000000000000000003.status.bad"));
	(void)snprintf(name, sizeof(name), "%020d.status.bad", LIMIT_OUTBOX_BAD + 3);
	assert_true(exists(name));
}

/// Else a message would, set aside, take the place of another.
static void the_number_of_what_was_set_aside_is_not_used_again(void **state)
{
	(void)state;
	write_file("00000000000000000007.event.bad", "torn");
	lm_auto(outbox_close_p) struct outbox *o = open_outbox();

	add(o, OUTBOX_STATUS, "a");
	assert_int_equal(expect_next(o, "a"), 8);
	assert_int_equal(outbox_counts(o).bad, 0);
}

#define OUTBOX_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void knows_what_it_has_taken_after_a_restart(void **state)
{
	struct outbox *o = open_outbox();

	(void)state;
	assert_false(outbox_has_taken(o, "3.1"));
	assert_int_equal(outbox_note_taken(o, "3.1", NULL), LM_OK);
	assert_int_equal(outbox_note_taken(o, "4.2", NULL), LM_OK);
	assert_int_equal(outbox_note_taken(o, "3.1", NULL), LM_OK);
	outbox_close(o);
	o = open_outbox();
	assert_true(outbox_has_taken(o, "3.1"));
	assert_true(outbox_has_taken(o, "4.2"));
	assert_false(outbox_has_taken(o, "4"));
	assert_int_equal(outbox_counts(o).bad, 0);
	outbox_forget_taken(o);
	assert_false(outbox_has_taken(o, "3.1"));
	outbox_close(o);
	o = open_outbox();
	assert_false(outbox_has_taken(o, "3.1"));
	outbox_close(o);
}

static void keeps_the_newest_of_many_keys_and_none_that_is_damaged(void **state)
{
	static const char damaged[] = "\n\n0123456789012345678901234567890123456789012345678901234"
				      "5678901234567890\n7.1";
	struct outbox *o = open_outbox();
	char key[16];

	(void)state;
	for (unsigned i = 0; i <= LIMIT_OUTBOX_TAKEN; i++) {
		(void)snprintf(key, sizeof(key), "%u.1", i);
		assert_int_equal(outbox_note_taken(o, key, NULL), LM_OK);
	}
	assert_false(outbox_has_taken(o, "0.1"));
	assert_true(outbox_has_taken(o, "1.1"));
	assert_true(outbox_has_taken(o, key));
	assert_int_equal(outbox_note_taken(o, "", NULL), LM_E_INVALID);
	assert_int_equal(outbox_note_taken(o, "a\nb", NULL), LM_E_INVALID);
	outbox_close(o);
	write_file("taken", damaged);
	o = open_outbox();
	assert_false(outbox_has_taken(o, "7.1"));
	assert_int_equal(outbox_counts(o).bad, 1);
	assert_true(exists("taken.bad"));
	outbox_close(o);
}

static void assert_none_taken(const char *damage)
{
	lm_auto_free char *aside = lm_path_join(directory, "taken.bad");
	struct outbox *o = open_outbox();

	if (outbox_has_taken(o, "3.1") || outbox_counts(o).bad != 1)
		fail_msg("%s", damage);
	outbox_close(o);
	assert_int_equal(lm_tree_remove(AT_FDCWD, aside, NULL), LM_OK);
}

static void any_damage_of_the_keys_is_found_and_set_aside(void **state)
{
	lm_auto_free char *path = lm_path_join(directory, "taken");
	struct outbox *o = open_outbox();

	(void)state;
	assert_int_equal(outbox_note_taken(o, "3.1", NULL), LM_OK);
	outbox_close(o);
	damaged_file_each(path, assert_none_taken);
	o = open_outbox();
	assert_true(outbox_has_taken(o, "3.1"));
	assert_int_equal(outbox_counts(o).bad, 0);
	outbox_close(o);
}

static void keys_of_the_release_before_are_read(void **state)
{
	struct outbox *o;

	(void)state;
	write_file("taken", "3.1\n4.2\n");
	o = open_outbox();
	assert_true(outbox_has_taken(o, "3.1"));
	assert_true(outbox_has_taken(o, "4.2"));
	assert_int_equal(outbox_counts(o).bad, 0);
	outbox_close(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		OUTBOX_TEST(gives_a_status_first_and_the_others_in_the_order_they_came),
		OUTBOX_TEST(knows_what_it_has_taken_after_a_restart),
		OUTBOX_TEST(any_damage_of_the_keys_is_found_and_set_aside),
		OUTBOX_TEST(keys_of_the_release_before_are_read),
		OUTBOX_TEST(keeps_the_newest_of_many_keys_and_none_that_is_damaged),
		OUTBOX_TEST(keeps_status_and_event_over_a_restart_but_not_progress),
		OUTBOX_TEST(a_payload_may_hold_any_byte),
		OUTBOX_TEST(an_acknowledged_message_does_not_come_again),
		OUTBOX_TEST(what_was_in_flight_comes_again_in_order),
		OUTBOX_TEST(leftovers_are_removed_and_damaged_files_set_aside),
		OUTBOX_TEST(a_message_damaged_while_it_waits_is_set_aside),
		OUTBOX_TEST(a_message_that_is_rejected_is_set_aside),
		OUTBOX_TEST(progress_that_is_rejected_leaves_no_file),
		OUTBOX_TEST(full_gives_up_progress_then_events_and_never_status),
		OUTBOX_TEST(progress_never_pushes_out_an_event),
		OUTBOX_TEST(what_is_in_flight_is_not_dropped),
		OUTBOX_TEST(refuses_what_no_broker_takes),
		OUTBOX_TEST(a_message_the_disk_refuses_is_an_error),
		OUTBOX_TEST(what_is_held_is_on_disk_once_it_is_saved),
		OUTBOX_TEST(what_was_acknowledged_before_it_was_saved_leaves_nothing),
		OUTBOX_TEST(what_the_disk_refuses_to_save_is_still_held),
		OUTBOX_TEST(what_is_held_is_saved_oldest_first_until_the_disk_refuses),
		OUTBOX_TEST(nothing_is_dropped_for_what_the_disk_refuses),
		OUTBOX_TEST(a_message_that_cannot_be_read_now_waits),
		OUTBOX_TEST(a_message_that_cannot_be_read_at_the_start_waits),
		OUTBOX_TEST(what_is_no_file_is_no_message),
		OUTBOX_TEST(only_the_newest_that_were_set_aside_are_kept),
		OUTBOX_TEST(the_number_of_what_was_set_aside_is_not_used_again),
	};

	return cmocka_run_group_tests_name("mqtt/outbox", tests, NULL, NULL);
}
