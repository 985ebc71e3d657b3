// SPDX-License-Identifier: Apache-2.0
#include "docker/image_export.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define TAR "HTTP/1.0 200 OK\r\nContent-Type: application/x-tar\r\n\r\n"
#define ERROR "HTTP/1.0 500 Internal Server Error\r\n\r\n"

static lm_rc collect(void *ctx, struct lm_str piece, struct lm_err *err)
{
	(void)err;
	(void)lm_buf_add_str(ctx, piece);
	return LM_OK;
}

static lm_rc refuse(void *ctx, struct lm_str piece, struct lm_err *err)
{
	(void)ctx;
	(void)piece;
	return lm_fail(err, LM_E_PROTOCOL, 0, "that is no archive");
}

static lm_rc export(const char *bytes, enum fake_end end,
	lm_rc (*on_piece)(void *ctx, struct lm_str piece, struct lm_err *err), struct lm_buf *out,
	enum image_export_state *ret, struct lm_err *err)
{
	const struct fake_answer answers[] = {
		{"GET /v1.41/images/sha256%3Aaa/get HTTP/1.0", bytes, end}};
	const struct wait_limit forever = WAIT_FOREVER;
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = {.socket_path = f->path, .version = {.minor = 41}};
	lm_rc rc = image_export(&e, "sha256:aa", on_piece, out, &forever, ret, err);

	fake_engine_destroy(f);
	return rc;
}

static enum image_export_state state_after(const char *bytes, struct lm_err *err)
{
	lm_auto_buf struct lm_buf out = LM_BUF(1 << 16);
	enum image_export_state state = IMAGE_UNREADABLE;

	assert_int_equal(export(bytes, FAKE_CLOSE, collect, &out, &state, err), LM_OK);
	return state;
}

static void hands_over_the_archive(void **state)
{
	lm_auto_buf struct lm_buf out = LM_BUF(1 << 16);
	enum image_export_state found = IMAGE_UNREADABLE;
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(
		export(TAR "the archive", FAKE_PIECES, collect, &out, &found, &err), LM_OK);
	assert_int_equal(found, IMAGE_EXPORTED);
	assert_string_equal(lm_buf_cstr(&out), "the archive");
}

static void an_error_of_the_content_is_damage(void **state)
{
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(state_after(ERROR "{\"message\":\"file integrity checksum failed for "
					   "\\\"www/index.html\\\"\"}",
				 &err),
		IMAGE_BROKEN);
	assert_string_equal(err.msg, "file integrity checksum failed for \"www/index.html\"");
	assert_int_equal(state_after(ERROR "{\"message\":\"EOF\"}\n", &err), IMAGE_BROKEN);
}

static void another_error_is_none(void **state)
{
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(state_after(ERROR "{\"message\":\"failed to get digest sha256:aa: open "
					   "/d/imagedb/content/sha256/aa: no such file or "
					   "directory\"}",
				 &err),
		IMAGE_MISSING);

	assert_int_equal(state_after("HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image: "
				     "sha256:aa\"}",
				 &err),
		IMAGE_MISSING);
	assert_int_equal(state_after(ERROR "{\"message\":\"write /d/tmp/docker-export-1/layer.tar: "
					   "no space left on device\"}",
				 &err),
		IMAGE_UNREADABLE);
	assert_int_equal(state_after(ERROR "{\"message\":\"stat /d/tmp/docker-export-1: no such "
					   "file or directory\"}",
				 &err),
		IMAGE_UNREADABLE);
	// containerd was restarted.
	assert_int_equal(
		state_after(ERROR "{\"message\":\"dial unix /run/containerd/containerd.sock: "
				  "connect: no such file or directory\"}",
			&err),
		IMAGE_UNREADABLE);
	assert_int_equal(state_after(ERROR "{\"message\":\"error reading from server: unexpected "
					   "EOF\"}",
				 &err),
		IMAGE_UNREADABLE);
}

static void an_error_behind_half_an_archive_counts(void **state)
{
	lm_auto_buf struct lm_buf bytes = LM_BUF(1 << 16);
	struct lm_err err = {0};
	(void)state;

	(void)lm_buf_puts(&bytes, TAR);
	for (int i = 0; i < 9000; i++)
		(void)lm_buf_putc(&bytes, 'x');
	(void)lm_buf_puts(&bytes, "{\"errorDetail\":{\"message\":\"unexpected EOF\"},\"error\":"
				  "\"unexpected EOF\"}\r\n");
	assert_int_equal(state_after(lm_buf_cstr(&bytes), &err), IMAGE_BROKEN);
	assert_string_equal(err.msg, "unexpected EOF");
}

static void what_the_reader_refuses_is_returned(void **state)
{
	enum image_export_state found = IMAGE_UNREADABLE;
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(export(TAR "?", FAKE_CLOSE, refuse, NULL, &found, &err), LM_E_PROTOCOL);
	assert_string_equal(err.msg, "that is no archive");
	// The Engine's own error explains it better.
	assert_int_equal(export(TAR "{\"errorDetail\":{},\"error\":\"input/output error\"}",
				 FAKE_CLOSE, refuse, NULL, &found, &err),
		LM_OK);
	assert_int_equal(found, IMAGE_BROKEN);
}

static void no_engine_is_no_damage(void **state)
{
	char nowhere[] = "/nowhere/docker.sock";
	struct engine e = {.socket_path = nowhere, .version = {.minor = 41}};
	const struct wait_limit forever = WAIT_FOREVER;
	enum image_export_state found = IMAGE_EXPORTED;
	struct lm_err err = {0};
	(void)state;

	assert_int_equal(image_export(&e, "a", collect, NULL, &forever, &found, &err), LM_OK);
	assert_int_equal(found, IMAGE_UNREADABLE);
	assert_non_null(strstr(err.msg, "no Docker socket"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_over_the_archive),
		cmocka_unit_test(an_error_of_the_content_is_damage),
		cmocka_unit_test(another_error_is_none),
		cmocka_unit_test(an_error_behind_half_an_archive_counts),
		cmocka_unit_test(what_the_reader_refuses_is_returned),
		cmocka_unit_test(no_engine_is_no_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
