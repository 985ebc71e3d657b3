// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PLAIN ((struct terminal_style){.utf8 = true})
#define MOVING ((struct terminal_style){.moving = true, .utf8 = true, .columns = 60, .rows = 10})

static struct progress *progress;
static struct lm_buf out;
static const uint64_t BEGAN_MS = 1000;

static int begin(void **state)
{
	(void)state;
	progress = progress_create();
	out = LM_BUF(65536);
	return 0;
}

static int end(void **state)
{
	(void)state;
	progress_destroy(progress);
	lm_buf_finish(&out);
	return 0;
}

/// Takes events, a JSON object on each line.
static void take(struct terminal_style style, const char *events)
{
	struct lm_str rest = lm_str(events);
	struct lm_err err = {0};

	while (rest.n) {
		lm_auto_json json_t *event = NULL;
		assert_int_equal(json_parse(lm_str_cut(&rest, '\n'), &event, &err), LM_OK);
		progress_take(progress, &style, event, BEGAN_MS, &out);
	}
}

static void draw(struct terminal_style style, uint64_t now_ms)
{
	progress_draw(progress, &style, now_ms, &out);
}

/// What has been printed since the last call.
static void assert_printed(const char *expected)
{
	assert_string_equal(out.data ? out.data : "", expected);
	lm_buf_clear(&out);
}

static void plain_lines_are_for_what_is_final(void **state)
{
	(void)state;
	take(PLAIN, "{\"stage\":\"fetch\",\"state\":\"begin\"}\n"
		    "{\"stage\":\"fetch\",\"state\":\"end\",\"ms\":312}\n"
		    "{\"stage\":\"up\",\"state\":\"begin\"}\n"
		    "{\"stage\":\"up\",\"state\":\"fail\",\"ms\":65000,\"message\":\"no port\"}");
	draw(PLAIN, 5000);
	assert_printed("fetch: done in 0.3 s\n"
		       "up: failed after 1 min 5 s\n");
	assert_string_equal(progress_failed_stage(progress), "up");
}

static void a_plain_image_has_one_line_once_it_is_done(void **state)
{
	(void)state;
	take(PLAIN, "{\"stage\":\"pull\",\"state\":\"begin\"}\n"
		    "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/web:1\","
		    "\"status\":\"Downloading\",\"bytes_done\":34,\"bytes_total\":12100000}\n"
		    "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/web:1\","
		    "\"status\":\"done\",\"bytes_done\":12100000,\"bytes_total\":12100000}\n"
		    "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/web:1\","
		    "\"status\":\"done\",\"bytes_done\":12100000,\"bytes_total\":12100000}\n"
		    "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/db:1\","
		    "\"status\":\"done\",\"bytes_done\":0,\"bytes_total\":0}\n"
		    "{\"stage\":\"pull\",\"state\":\"end\",\"ms\":3200}");
	assert_printed("pull: ships/web:1 done, 12.1 MB\n"
		       "pull: ships/db:1 done\n"
		       "pull: done in 3.2 s\n");
}

static void a_sentence_is_printed_once(void **state)
{
	static const char event[] = "{\"stage\":\"up\",\"state\":\"progress\","
				    "\"message\":\"waiting for \\u001b[2J\"}";

	(void)state;
	take(PLAIN, "{\"stage\":\"up\",\"state\":\"begin\"}");
	take(PLAIN, event);
	take(PLAIN, event);
	assert_printed("up: waiting for \\x1b[2J\n");
	take(PLAIN, "{\"stage\":\"up\",\"state\":\"progress\",\"message\":\"going on\"}");
	assert_printed("up: going on\n");
}

static void live_lines_are_replaced(void **state)
{
	(void)state;
	take(MOVING, "{\"stage\":\"pull\",\"state\":\"begin\"}");
	assert_printed("");
	draw(MOVING, BEGAN_MS);
	assert_true(progress_is_drawn(progress));
	assert_printed("· pull          0.0 s\n");
	take(MOVING, "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/web:1\","
		     "\"status\":\"Downloading\",\"bytes_done\":3400000,\"bytes_total\":12100000}\n"
		     "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/db:1\","
		     "\"status\":\"Waiting\",\"bytes_done\":0,\"bytes_total\":0}");
	assert_printed("");
	draw(MOVING, BEGAN_MS + 1500);
	assert_printed("\x1b[1A\r\x1b[J"
		       "· pull          1.5 s\n"
		       "    ships/web:1  3.4 of 12.1 MB  Downloading\n"
		       "    ships/db:1   Waiting\n");
	take(MOVING, "{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"ships/web:1\","
		     "\"status\":\"done\",\"bytes_done\":12100000,\"bytes_total\":12100000}");
	draw(MOVING, BEGAN_MS + 2000);
	assert_printed("\x1b[3A\r\x1b[J"
		       "· pull          2.0 s\n"
		       "    ships/web:1  12.1 MB  done\n"
		       "    ships/db:1   Waiting\n");
	take(MOVING, "{\"stage\":\"pull\",\"state\":\"end\",\"ms\":3200}");
	assert_printed("\x1b[3A\r\x1b[J"
		       "✓ pull          3.2 s  2 images, 12.1 MB\n");
	assert_false(progress_is_drawn(progress));
	draw(MOVING, BEGAN_MS + 4000);
	assert_printed("");
}

static void erasing_leaves_no_live_line(void **state)
{
	(void)state;
	take(MOVING, "{\"stage\":\"up\",\"state\":\"begin\"}");
	draw(MOVING, BEGAN_MS);
	lm_buf_clear(&out);
	progress_erase(progress, &out);
	assert_printed("\x1b[1A\r\x1b[J");
	progress_erase(progress, &out);
	assert_printed("");
}

static void a_sentence_moves_the_live_lines_down(void **state)
{
	(void)state;
	take(MOVING, "{\"stage\":\"up\",\"state\":\"begin\"}");
	draw(MOVING, BEGAN_MS);
	lm_buf_clear(&out);
	take(MOVING, "{\"stage\":\"up\",\"state\":\"progress\",\"message\":\"once more\"}");
	draw(MOVING, BEGAN_MS);
	assert_printed("\x1b[1A\r\x1b[J"
		       "  up: once more\n"
		       "· up            0.0 s\n");
}

static void marks_follow_the_terminal(void **state)
{
	struct terminal_style colour = MOVING, ascii = MOVING;

	(void)state;
	colour.colour = true;
	ascii.utf8 = false;
	take(colour, "{\"stage\":\"up\",\"state\":\"end\",\"ms\":0}\n"
		     "{\"stage\":\"up\",\"state\":\"fail\",\"ms\":0}");
	assert_printed("\x1b[32m✓\x1b[0m up            0.0 s\n"
		       "\x1b[31m✗\x1b[0m up            0.0 s\n");
	take(ascii, "{\"stage\":\"up\",\"state\":\"end\",\"ms\":0}\n"
		    "{\"stage\":\"up\",\"state\":\"fail\",\"ms\":0}\n"
		    "{\"stage\":\"up\",\"state\":\"begin\"}");
	draw(ascii, BEGAN_MS);
	assert_printed("+ up            0.0 s\n"
		       "x up            0.0 s\n"
		       "- up            0.0 s\n");
}

static void take_images(struct terminal_style style, int first, int last, const char *status)
{
	for (int i = first; i <= last; i++) {
		lm_auto_free char *event = lm_xasprintf(
			"{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"i%d\",\"status\":"
			"\"%s\",\"bytes_done\":0,\"bytes_total\":0}",
			i, status);
		take(style, event);
	}
}

static void a_low_terminal_shows_what_is_under_way(void **state)
{
	struct terminal_style low = MOVING;

	(void)state;
	low.rows = 6;
	take(low, "{\"stage\":\"pull\",\"state\":\"begin\"}");
	take_images(low, 1, 4, "Waiting");
	draw(low, BEGAN_MS);
	assert_printed("· pull          0.0 s\n"
		       "    i1  Waiting\n"
		       "    i2  Waiting\n"
		       "    i3  Waiting\n"
		       "    i4  Waiting\n");
	take_images(low, 1, 2, "done");
	take_images(low, 5, 7, "Waiting");
	draw(low, BEGAN_MS);
	assert_printed("\x1b[5A\r\x1b[J"
		       "· pull          0.0 s\n"
		       "    i3  Waiting\n"
		       "    i4  Waiting\n"
		       "    i5  Waiting\n"
		       "    and 4 more\n");
}

static void lines_are_cut_to_the_terminal(void **state)
{
	struct terminal_style narrow = MOVING, wide = MOVING;

	(void)state;
	narrow.columns = 20;
	wide.columns = 50;
	take(narrow, "{\"stage\":\"pull\",\"state\":\"begin\"}\n"
		     "{\"stage\":\"pull\",\"state\":\"progress\","
		     "\"image\":\"registry.example:5000/ships/web:1\",\"status\":\"Downloading\","
		     "\"bytes_done\":3400000,\"bytes_total\":12100000}");
	draw(narrow, BEGAN_MS);
	assert_printed("· pull          0.0…\n"
		       "    …ships/web:1  3…\n");
	draw(wide, BEGAN_MS);
	assert_printed("\x1b[2A\r\x1b[J"
		       "· pull          0.0 s\n"
		       "    …0/ships/web:1  3.4 of 12.1 MB  Downloading\n");
}

static void an_image_of_a_long_registry_can_be_told_from_others(void **state)
{
	struct terminal_style usual = MOVING;

	(void)state;
	usual.columns = 80;
	take(usual,
		"{\"stage\":\"pull\",\"state\":\"begin\"}\n"
		"{\"stage\":\"pull\",\"state\":\"progress\",\"image\":"
		"\"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleet/web1:1.4.2\","
		"\"status\":\"Downloading\",\"bytes_done\":3400000,\"bytes_total\":12100000}\n"
		"{\"stage\":\"pull\",\"state\":\"progress\",\"image\":"
		"\"123456789012.dkr.ecr.eu-west-1.amazonaws.com/fleet/web2@sha256:0123456789abcdef"
		"0123456789abcdef0123456789abcdef0123456789abcdef\",\"status\":\"Waiting\"}");
	draw(usual, BEGAN_MS);
	assert_printed(
		"· pull          0.0 s\n"
		"    …cr.eu-west-1.amazonaws.com/fleet/web1:1.4.2  3.4 of 12.1 MB  Downloading\n"
		"    …mazonaws.com/fleet/web2@sha256:0123456789ab  Waiting\n");
}

static void keeps_the_stages_that_ended(void **state)
{
	lm_auto_buf struct lm_buf text = LM_BUF(4096);

	(void)state;
	take(PLAIN, "{\"stage\":\"fetch\",\"state\":\"end\",\"ms\":312}\n"
		    "{\"stage\":\"pull\",\"state\":\"fail\",\"ms\":-5}\n"
		    "{\"stage\":\"up\",\"state\":\"begin\"}");
	assert_true(json_write(progress_stages(progress), &text));
	assert_string_equal(
		text.data, "[{\"stage\":\"fetch\",\"ms\":312},{\"stage\":\"pull\",\"ms\":0}]");
}

static void what_is_not_understood_is_left_out(void **state)
{
	(void)state;
	take(PLAIN, "{}\n[]\n7\n"
		    "{\"stage\":7,\"state\":\"end\"}\n"
		    "{\"stage\":\"up\"}\n"
		    "{\"stage\":\"up\",\"state\":\"sideways\"}\n"
		    "{\"stage\":\"up\",\"state\":\"progress\"}\n"
		    "{\"stage\":\"up\",\"state\":\"progress\",\"image\":7}");
	assert_printed("");
	take(PLAIN, "{\"stage\":\"up\\n\",\"state\":\"end\",\"ms\":\"long\"}");
	assert_printed("up\\x0a: done in 0.0 s\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(plain_lines_are_for_what_is_final),
		TEST(a_plain_image_has_one_line_once_it_is_done),
		TEST(a_sentence_is_printed_once),
		TEST(live_lines_are_replaced),
		TEST(erasing_leaves_no_live_line),
		TEST(a_sentence_moves_the_live_lines_down),
		TEST(marks_follow_the_terminal),
		TEST(a_low_terminal_shows_what_is_under_way),
		TEST(lines_are_cut_to_the_terminal),
		TEST(an_image_of_a_long_registry_can_be_told_from_others),
		TEST(keeps_the_stages_that_ended),
		TEST(what_is_not_understood_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
