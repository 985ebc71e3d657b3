// SPDX-License-Identifier: Apache-2.0
#include "registry/tar_stream.h"

#include "base/cleanup.h"
#include "tar_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/// What came, as text: "kind name size [content]" for each entry.
struct seen {
	struct lm_buf text;
	unsigned open;
};

static lm_rc on_begin(void *ctx, const struct tar_entry *entry, struct lm_err *err)
{
	struct seen *seen = ctx;
	(void)err;

	assert_int_equal(seen->open++, 0);
	(void)lm_buf_printf(&seen->text, "%c %s %llu [", "FLDO"[entry->kind], entry -> name,
		(unsigned long long)entry -> size);
	return LM_OK;
}

static lm_rc on_content(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct seen *seen = ctx;
	(void)err;

	assert_true(piece.n > 0);
	(void)lm_buf_add_str(&seen->text, piece);
	return LM_OK;
}

static lm_rc on_end(void *ctx, struct lm_err *err)
{
	struct seen *seen = ctx;
	(void)err;

	assert_int_equal(seen->open--, 1);
	(void)lm_buf_puts(&seen->text, "]\n");
	return LM_OK;
}

static lm_rc read_in_pieces(const struct lm_buf *tar, size_t size, struct seen *seen,
	bool *ret_ended, struct lm_err *err)
{
	const struct tar_handler handler = {on_begin, on_content, on_end, seen};
	lm_auto(tar_stream_finish) struct tar_stream t;
	lm_rc rc = LM_OK;

	lm_buf_clear(&seen->text);
	seen->open = 0;
	tar_stream_init(&t, &handler);
	for (size_t at = 0; at < tar->len && rc == LM_OK; at += size) {
		size_t n = tar->len - at < size ? tar->len - at : size;

		rc = tar_stream_feed(&t, (struct lm_str){tar->data + at, n}, err);
	}
	*ret_ended = tar_stream_has_ended(&t);
	return rc;
}

/// However it is cut, it says `wanted`.
static void expect(const struct lm_buf *tar, const char *wanted)
{
	static const size_t sizes[] = {1, 7, 511, 512, 513, 1 << 20};
	struct seen seen = {.text = LM_BUF(TAR_MAKER_MAX)};

	for (size_t i = 0; i < LM_ARRAY_SIZE(sizes); i++) {
		bool ended = false;
		struct lm_err err = {0};

		assert_int_equal(read_in_pieces(tar, sizes[i], &seen, &ended, &err), LM_OK);
		assert_string_equal(lm_buf_cstr(&seen.text), wanted);
		assert_true(ended);
	}
	lm_buf_finish(&seen.text);
}

static void refuse(const struct lm_buf *tar, lm_rc wanted, const char *words)
{
	struct seen seen = {.text = LM_BUF(TAR_MAKER_MAX)};
	bool ended = false;
	struct lm_err err = {0};

	assert_int_equal(read_in_pieces(tar, 100, &seen, &ended, &err), wanted);
	assert_non_null(strstr(err.msg, words));
	lm_buf_finish(&seen.text);
}

static void hands_over_files_links_and_directories(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	(void)state;

	tar_header(&tar, "blobs/", '5', 0);
	tar_file(&tar, "blobs/a", LM_STR("one"));
	tar_header(&tar, "blobs/link", '2', 0);
	tar_file(&tar, "empty", LM_STR(""));
	tar_header(&tar, "old", '\0', 3);
	tar_content(&tar, LM_STR("two"));
	tar_header(&tar, "device", '3', 0);
	tar_end(&tar);
	(void)lm_buf_puts(&tar, "what is behind the end is ignored");
	expect(&tar, "D blobs/ 0 []\nF blobs/a 3 [one]\nL blobs/link 0 []\nF empty 0 []\n"
		     "F old 3 [two]\nO device 0 []\n");
}

static void a_content_of_whole_blocks_has_no_padding(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	char content[1024 + 1];
	char wanted[2048];
	(void)state;

	memset(content, 'x', 1024);
	content[1024] = '\0';
	tar_file(&tar, "a", lm_str(content));
	tar_file(&tar, "b", LM_STR("y"));
	tar_end(&tar);
	(void)snprintf(wanted, sizeof(wanted), "F a 1024 [%s]\nF b 1 [y]\n", content);
	expect(&tar, wanted);
}

static void takes_long_names_of_gnu_and_pax(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	char name[301], record[400], wanted[1024];
	(void)state;

	memset(name, 'n', 300);
	name[300] = '\0';
	tar_header(&tar, "././@LongLink", 'L', 301);
	tar_content(&tar, (struct lm_str){name, 301});
	tar_file(&tar, "short", LM_STR("gnu"));
	(void)snprintf(record, sizeof(record), "310 path=%s\n", name);
	assert_int_equal(strlen(record), 310);
	tar_header(&tar, "PaxHeaders/a", 'x', 310);
	tar_content(&tar, lm_str(record));
	tar_file(&tar, "short", LM_STR("pax"));
	tar_file(&tar, "short", LM_STR("own")); // the name was of one entry
	tar_end(&tar);
	(void)snprintf(wanted, sizeof(wanted), "F %s 3 [gnu]\nF %s 3 [pax]\nF short 3 [own]\n",
		name, name);
	expect(&tar, wanted);
}

static void a_size_in_pax_counts(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	(void)state;

	tar_header(&tar, "PaxHeaders/a", 'x', 9);
	tar_content(&tar, LM_STR("9 size=5\n"));
	tar_header(&tar, "a", '0', 0);
	tar_content(&tar, LM_STR("12345"));
	tar_end(&tar);
	expect(&tar, "F a 5 [12345]\n");
}

static void a_size_in_base_256_counts(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	unsigned sum = 0;
	(void)state;

	tar_header(&tar, "a", '0', 0);
	memset(tar.data + 124, 0, 12);
	tar.data[124] = (char)0x80;
	tar.data[135] = 3;
	memset(tar.data + 148, ' ', 8);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)tar.data[i];
	(void)snprintf(tar.data + 148, 8, "%06o", sum);
	tar_content(&tar, LM_STR("abc"));
	tar_end(&tar);
	expect(&tar, "F a 3 [abc]\n");
}

static void refuses_what_is_no_archive(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	(void)state;

	for (int i = 0; i < 600; i++)
		(void)lm_buf_putc(&tar, '{');
	refuse(&tar, LM_E_PROTOCOL, "no tar archive");
	lm_buf_clear(&tar);
	tar_file(&tar, "a", LM_STR("x"));
	tar.data[0] = 'b'; // the checksum is of another name
	refuse(&tar, LM_E_PROTOCOL, "no tar archive");
}

static void refuses_sparse_files(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	(void)state;

	tar_header(&tar, "a", 'S', 0);
	refuse(&tar, LM_E_PROTOCOL, "sparse");
	lm_buf_clear(&tar);
	tar_header(&tar, "PaxHeaders/a", 'x', 22);
	tar_content(&tar, LM_STR("22 GNU.sparse.major=1\n"));
	refuse(&tar, LM_E_PROTOCOL, "sparse");
}

static void bounds_names_and_attributes(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	char name[TAR_NAME_MAX + 2];
	(void)state;

	memset(name, 'n', sizeof(name));
	tar_header(&tar, "././@LongLink", 'L', sizeof(name));
	tar_content(&tar, (struct lm_str){name, sizeof(name)});
	refuse(&tar, LM_E_TOO_LARGE, "name over");
	lm_buf_clear(&tar);
	tar_header(&tar, "PaxHeaders/a", 'x', (64 << 10) + 1);
	refuse(&tar, LM_E_TOO_LARGE, "attributes over");
}

static void refuses_attributes_that_cannot_be_read(void **state)
{
	static const char *const bad[] = {
		"x", "99 path=a\n", "0 \n", "9 path=ab", "2 \n", "9 size=x\n"};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);

		tar_header(&tar, "PaxHeaders/a", 'x', strlen(bad[i]));
		tar_content(&tar, lm_str(bad[i]));
		refuse(&tar, LM_E_PROTOCOL, "the archive has");
	}
}

static void an_archive_that_is_cut_has_not_ended(void **state)
{
	lm_auto_buf struct lm_buf tar = LM_BUF(TAR_MAKER_MAX);
	struct seen seen = {.text = LM_BUF(TAR_MAKER_MAX)};
	struct lm_err err = {0};
	bool ended = true;
	(void)state;

	tar_file(&tar, "a", LM_STR("x"));
	assert_int_equal(read_in_pieces(&tar, 512, &seen, &ended, &err), LM_OK);
	assert_false(ended);
	lm_buf_finish(&seen.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_over_files_links_and_directories),
		cmocka_unit_test(a_content_of_whole_blocks_has_no_padding),
		cmocka_unit_test(takes_long_names_of_gnu_and_pax),
		cmocka_unit_test(a_size_in_pax_counts),
		cmocka_unit_test(a_size_in_base_256_counts),
		cmocka_unit_test(refuses_what_is_no_archive),
		cmocka_unit_test(refuses_sparse_files),
		cmocka_unit_test(bounds_names_and_attributes),
		cmocka_unit_test(refuses_attributes_that_cannot_be_read),
		cmocka_unit_test(an_archive_that_is_cut_has_not_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
