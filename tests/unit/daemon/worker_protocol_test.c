// SPDX-License-Identifier: Apache-2.0
#include "daemon/worker_protocol.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static lm_rc parse(const char *text, json_t **line, struct worker_line *ret)
{
	return worker_protocol_parse(lm_str(text), line, ret);
}

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void knows_every_line_of_the_protocol(void **state)
{
	static const struct {
		const char *text;
		enum worker_line_kind kind;
	} lines[] = {
		{"{\"stage\":\"pull\",\"state\":\"begin\"}", WORKER_LINE_STAGE},
		{"{\"stage\":\"up\",\"state\":\"end\",\"ms\":12}", WORKER_LINE_STAGE},
		{"{\"stage\":\"pull\",\"state\":\"progress\",\"image\":\"a:1\",\"status\":\"done\","
		 "\"bytes_done\":1,\"bytes_total\":1}",
			WORKER_LINE_STAGE},
		{"{\"image\":\"a:1\",\"digest\":\"\",\"id\":\"sha256:" SHA256 "\",\"pulled\":true}",
			WORKER_LINE_IMAGE},
		{"{\"removed\":\"sha256:" SHA256 "\"}", WORKER_LINE_REMOVED},
		{"{\"compose\":{\"stamp\":\"1\",\"version\":\"1.29.2\"}}", WORKER_LINE_COMPOSE},
		{"{\"copy\":{\"sha256\":\"" SHA256 "\",\"version\":\"\"}}", WORKER_LINE_COPY},
		{"{\"plan\":{\"service\":{\"service\":\"web\"}}}", WORKER_LINE_PLAN},
		{"{\"shipped\":4711,\"rejected\":0}", WORKER_LINE_SHIPPED},
		{"{\"idle\":true}", WORKER_LINE_IDLE},
		{"{\"alive\":true}", WORKER_LINE_ALIVE},
		{"{\"result\":\"success\",\"stage\":null}", WORKER_LINE_RESULT},
		{"{\"result\":\"cancelled\",\"stage\":\"up\"}", WORKER_LINE_RESULT},
		{"{\"result\":\"fail\",\"error\":\"InternalError\",\"message\":\"m\"}",
			WORKER_LINE_RESULT},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_json json_t *line = NULL;
		struct worker_line parsed = {0};

		assert_int_equal(parse(lines[i].text, &line, &parsed), LM_OK);
		assert_int_equal(parsed.kind, lines[i].kind);
	}
}

static void refuses_everything_else(void **state)
{
	static const char *const lines[] = {
		"",
		"go",
		"[]",
		"{}",
		"{\"alive\":false}",
		"{\"plan\":true}",
		"{\"copy\":{\"sha256\":\"" SHA256 "\"}}",
		"{\"copy\":{\"sha256\":\"" SHA256 "0\",\"version\":\"\"}}",
		"{\"copy\":{\"sha256\":\"../../../../../../../../../../../../../../../../../../../"
		"../x\","
		"\"version\":\"\"}}",
		"{\"alive\":1}",
		"{\"idle\":false}",
		"{\"idle\":\"true\"}",
		"{\"stage\":\"unheard\",\"state\":\"begin\"}",
		"{\"stage\":\"pull\",\"state\":\"over\"}",
		"{\"stage\":\"pull\"}",
		"{\"stage\":7,\"state\":\"begin\"}",
		"{\"image\":\"a:1\",\"digest\":7}",
		"{\"image\":\"a:1\",\"digest\":\"sha256:0\"}",
		"{\"image\":\"a:1\",\"digest\":\"sha256:0\",\"id\":\"sha256:0\"}",
		"{\"image\":\"a:1\",\"digest\":\"sha256:0\",\"id\":\"" SHA256 "\"}",
		"{\"image\":\"a:1\",\"digest\":\"sha256:0\",\"id\":\"\"}",
		"{\"removed\":\"a:1\"}",
		"{\"compose\":{\"stamp\":\"1\"}}",
		"{\"compose\":\"1.29.2\"}",
		"{\"shipped\":1}",
		"{\"shipped\":-1,\"rejected\":0}",
		"{\"shipped\":1,\"rejected\":-1}",
		"{\"shipped\":\"1\",\"rejected\":0}",
		"{\"result\":\"good\"}",
		"{\"result\":\"fail\",\"error\":\"InternalError\"}",
		"{\"result\":\"fail\",\"error\":\"MyError\",\"message\":\"m\"}",
		"{\"alive\":true} {\"alive\":true}",
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(lines); i++) {
		lm_auto_json json_t *line = NULL;
		struct worker_line parsed = {0};

		assert_int_equal(parse(lines[i], &line, &parsed), LM_E_PROTOCOL);
		assert_null(line);
	}
}

static void a_result_has_its_members(void **state)
{
	lm_auto_json json_t *line = NULL;
	struct worker_line parsed = {0};

	(void)state;
	assert_int_equal(parse("{\"result\":\"fail\",\"stage\":\"fetch\",\"error\":"
			       "\"InvalidParameter\",\"message\":\"no such object\","
			       "\"compose_version\":null,\"effect\":\"untouched\"}",
				 &line, &parsed),
		LM_OK);
	struct worker_result result = worker_protocol_result(line);
	assert_int_equal(result.verdict, WORKER_FAIL);
	assert_string_equal(result.stage, "fetch");
	assert_string_equal(result.error, "InvalidParameter");
	assert_string_equal(result.message, "no such object");
	assert_null(result.compose_version);
	assert_string_equal(result.effect, "untouched");
}

enum { LINE_MAX = 8 };

struct fixture {
	int write_fd;
	struct line_reader lines;
	struct lm_buf seen;
	bool end;
	struct lm_err err;
};

static int setup(void **state)
{
	static struct fixture f;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	f = (struct fixture){
		.write_fd = ends[1],
		.lines = {.fd = ends[0], .pending = LM_BUF(LINE_MAX)},
		.seen = LM_BUF(200),
	};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lm_cleanup_close(&f->write_fd);
	(void)close(f->lines.fd);
	line_reader_finish(&f->lines);
	lm_buf_finish(&f->seen);
	return 0;
}

static void see(void *ctx, struct lm_str line)
{
	(void)lm_buf_printf(ctx, "<%.*s>", LM_STR_ARG(line));
}

static lm_rc feed(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->write_fd, text, strlen(text)), strlen(text));
	return line_reader_read(&f->lines, see, &f->seen, &f->end, &f->err);
}

static void end_stream(struct fixture *f)
{
	lm_cleanup_close(&f->write_fd);
	f->write_fd = -1;
	assert_int_equal(line_reader_read(&f->lines, see, &f->seen, &f->end, &f->err), LM_OK);
}

static void hands_over_complete_lines_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "one\n\ntw"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<one><>");
	assert_int_equal(feed(f, "o\n"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<one><><two>");
	assert_false(f->end);
}

static void the_last_line_needs_no_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "a\nlast"), LM_OK);
	end_stream(f);
	assert_string_equal(lm_buf_cstr(&f->seen), "<a><last>");
	assert_true(f->end);
}

static void refuses_a_line_over_the_ceiling(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "12345678\n"), LM_E_TOO_LARGE);
	assert_string_equal(f->err.msg, "a line is longer than 8 bytes");
}

static void takes_a_line_of_the_ceiling_with_its_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(feed(f, "1234567\n1234567\n"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<1234567><1234567>");
}

static void cuts_a_long_line_into_pieces_if_asked_to(void **state)
{
	struct fixture *f = *state;

	f->lines.in_pieces = true;
	assert_int_equal(feed(f, "1234567890\nx\n"), LM_OK);
	assert_string_equal(lm_buf_cstr(&f->seen), "<12345678><90><x>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_every_line_of_the_protocol),
		cmocka_unit_test(refuses_everything_else),
		cmocka_unit_test(a_result_has_its_members),
		cmocka_unit_test_setup_teardown(hands_over_complete_lines_only, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_line_needs_no_end, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_a_line_over_the_ceiling, setup, teardown),
		cmocka_unit_test_setup_teardown(
			takes_a_line_of_the_ceiling_with_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
			cuts_a_long_line_into_pieces_if_asked_to, setup, teardown),
	};

	return cmocka_run_group_tests_name("daemon/worker_protocol", tests, NULL, NULL);
}
