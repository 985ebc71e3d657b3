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
#include "base/file.h"
#include "sys/record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DOCUMENT "{\"a\": 1}\n"
#define SHA256 "e8c628edc9968ef0c668f54e0ba2636b35503357eb1aca0ddc828aeace432f67"

static struct lm_err err;

static void make(struct lm_buf *text)
{
	assert_int_equal(record_make("outcome.json", LM_STR(DOCUMENT), text, &err), LM_OK);
}

static void the_document_follows_a_line_with_its_kind_format_and_checksum(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	struct lm_str document;

	make(&text);
	assert_string_equal(lm_buf_cstr(&text),
		"{\"lighterman\":\"outcome\",\"format\":2,\"sha256\":\"" SHA256 "\"}\n" DOCUMENT);
	assert_int_equal(record_parse("outcome.json", lm_buf_str(&text), &document, &err), LM_OK);
	assert_true(lm_str_eq(document, LM_STR(DOCUMENT)));
	// While it waits for its place it has another name.
	assert_int_equal(
		record_parse("outcome.json.new", lm_buf_str(&text), &document, &err), LM_OK);
}

static void no_file_passes_for_another(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	struct lm_str document;

	make(&text);
	assert_int_equal(
		record_parse("images.json", lm_buf_str(&text), &document, &err), LM_E_INVALID);
	assert_string_equal(err.msg, "'images.json' is damaged: it does not match its checksum");
}

static void any_flipped_bit_is_noticed(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	struct lm_str document;

	make(&text);
	for (size_t i = 0; i < text.len * 8; i++) {
		text.data[i / 8] ^= (char)(1 << i % 8);
		assert_int_equal(record_parse("outcome.json", lm_buf_str(&text), &document, &err),
			LM_E_INVALID);
		text.data[i / 8] ^= (char)(1 << i % 8);
	}
}

static void any_cut_and_any_zeros_are_noticed(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(1000);
	struct lm_str document;

	make(&text);
	for (size_t n = 0; n < text.len; n++)
		assert_int_equal(record_parse("outcome.json", (struct lm_str){text.data, n},
					 &document, &err),
			LM_E_INVALID);
	for (size_t n = text.len; n-- > 0;) {
		text.data[n] = '\0';
		assert_int_equal(record_parse("outcome.json", lm_buf_str(&text), &document, &err),
			LM_E_INVALID);
	}
}

static void a_document_of_the_release_before_has_no_such_line(void **state)
{
	static const struct {
		const char *text;
		lm_rc rc;
	} table[] = {
		{"{\"Connectors\":[]}", LM_OK},
		{"3\n", LM_OK},
		{"[\n]", LM_OK},
		{"", LM_E_INVALID},
		{"\n", LM_E_INVALID},
		{"{\"Connectors\":[", LM_E_INVALID},
		{"{} {}", LM_E_INVALID},
		{"services: {}", LM_E_INVALID},
	};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(table); i++) {
		struct lm_str document = LM_STR("-"), text = lm_str(table[i].text);

		assert_int_equal(record_parse("reported", text, &document, &err), table[i].rc);
		if (table[i].rc == LM_OK)
			assert_true(lm_str_eq(document, text));
	}
}

static void a_blank_document_is_refused(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf text = LM_BUF(1000);

	assert_int_equal(record_make("outcome.json", LM_STR(""), &text, &err), LM_E_INVALID);
	assert_int_equal(record_make("outcome.json", LM_STR(" \n"), &text, &err), LM_E_INVALID);
}

static void what_is_written_is_read_under_the_ceiling(void **state)
{
	(void)state;
	char path[] = "/tmp/record_test.XXXXXX";
	lm_auto_buf struct lm_buf fits = LM_BUF(strlen(DOCUMENT));
	lm_auto_buf struct lm_buf small = LM_BUF(strlen(DOCUMENT) - 1);
	lm_auto_buf struct lm_buf tiny = LM_BUF(40);
	struct stat st;

	assert_non_null(mkdtemp(path));
	lm_auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(record_read(dir, "outcome.json", &fits, &err), LM_E_NOT_FOUND);
	assert_int_equal(record_replace(dir, "outcome.json", LM_STR(DOCUMENT), &err), LM_OK);
	assert_int_equal(fstatat(dir, "outcome.json", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(record_read(dir, "outcome.json", &fits, &err), LM_OK);
	assert_string_equal(lm_buf_cstr(&fits), DOCUMENT);
	assert_int_equal(record_read(dir, "outcome.json", &small, &err), LM_E_TOO_LARGE);
	assert_int_equal(
		record_make("outcome.json", LM_STR(DOCUMENT), &tiny, &err), LM_E_TOO_LARGE);
	assert_int_equal(record_read(dir, ".", &fits, &err), LM_E_INVALID);
	assert_int_equal(lm_tree_remove(AT_FDCWD, path, &err), LM_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_document_follows_a_line_with_its_kind_format_and_checksum),
		cmocka_unit_test(no_file_passes_for_another),
		cmocka_unit_test(any_flipped_bit_is_noticed),
		cmocka_unit_test(any_cut_and_any_zeros_are_noticed),
		cmocka_unit_test(a_document_of_the_release_before_has_no_such_line),
		cmocka_unit_test(a_blank_document_is_refused),
		cmocka_unit_test(what_is_written_is_read_under_the_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
