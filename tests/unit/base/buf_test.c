// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void fills_to_the_ceiling_and_not_beyond(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(4);

	assert_true(lm_buf_puts(&b, "abcd"));
	assert_false(b.overflow);
	assert_true(lm_buf_puts(&b, ""));
	assert_false(lm_buf_putc(&b, 'e'));
	assert_true(b.overflow);
	assert_string_equal(lm_buf_cstr(&b), "abcd");
}

static void refuses_whole_what_does_not_fit(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(4);

	assert_false(lm_buf_printf(&b, "%s", "abcde"));
	assert_int_equal(b.len, 0);
	assert_true(lm_buf_puts(&b, "ab"));
	assert_true(b.overflow); // remembered
	lm_buf_clear(&b);
	assert_false(b.overflow);
	assert_string_equal(lm_buf_cstr(&b), "");
}

static void a_length_near_the_end_of_size_t_is_refused(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(100);

	assert_true(lm_buf_putc(&b, 'a'));
	assert_false(lm_buf_add(&b, "", SIZE_MAX));
	assert_null(lm_buf_reserve(&b, SIZE_MAX - 1));
	assert_int_equal(b.len, 1);
}

static void a_ceiling_of_size_max_does_not_wrap(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(SIZE_MAX);

	assert_true(lm_buf_puts(&b, "abc"));
	assert_string_equal(lm_buf_cstr(&b), "abc");
}

static void nothing_fits_under_a_ceiling_of_zero_but_nothing(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(0);

	assert_true(lm_buf_add(&b, NULL, 0));
	assert_false(lm_buf_putc(&b, 'a'));
	assert_string_equal(lm_buf_cstr(&b), "");
}

static void appends_its_own_bytes_though_growing_moves_them(void **state)
{
	(void)state;
	for (int wipe = 0; wipe < 2; wipe++) {
		lm_auto_buf struct lm_buf b = LM_BUF(1 << 20);

		b.wipe = wipe;
		assert_true(lm_buf_puts(&b, "ab"));
		for (int i = 0; i < 12; i++)
			assert_true(lm_buf_add_str(&b, lm_buf_str(&b)));
		assert_int_equal(b.len, 8192);
		for (size_t i = 0; i < b.len; i++)
			assert_int_equal(b.data[i], i % 2 ? 'b' : 'a');
	}
}

static void keeps_nul_bytes(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(16);

	assert_true(lm_buf_add(&b, "a\0b", 3));
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.data, "a\0b", 4);
}

static void reserve_stays_nul_ended_however_much_is_used(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(100);

	char *room = lm_buf_reserve(&b, 100);
	assert_non_null(room);
	assert_string_equal(lm_buf_cstr(&b), "");
	memcpy(room, "abc", 3);
	b.len += 3;
	assert_string_equal(lm_buf_cstr(&b), "abc");
	assert_null(lm_buf_reserve(&b, 98));
	assert_true(b.overflow);
}

static void consume_drops_from_the_front(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(16);

	lm_buf_consume(&b, 5); // nothing there
	assert_true(lm_buf_puts(&b, "abcdef"));
	lm_buf_consume(&b, 0);
	lm_buf_consume(&b, 2);
	assert_string_equal(lm_buf_cstr(&b), "cdef");
	lm_buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	assert_string_equal(lm_buf_cstr(&b), "");
}

static void a_secret_leaves_no_bytes_behind_what_is_consumed_or_cleared(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF_SECRET(16);
	static const char zeros[6];

	assert_true(lm_buf_puts(&b, "hunter"));
	lm_buf_consume(&b, 4);
	assert_memory_equal(b.data, "er\0\0\0\0", 6);
	lm_buf_clear(&b);
	assert_memory_equal(b.data, zeros, 6);
}

static void take_is_never_null_and_leaves_the_ceiling(void **state)
{
	(void)state;
	lm_auto_buf struct lm_buf b = LM_BUF(3);

	char *empty = lm_buf_take(&b);
	assert_string_equal(empty, "");
	free(empty);
	assert_true(lm_buf_puts(&b, "abc"));
	char *text = lm_buf_take(&b);
	assert_string_equal(text, "abc");
	free(text);
	assert_int_equal(b.len, 0);
	assert_false(lm_buf_puts(&b, "abcd"));
}

static void is_usable_after_finish(void **state)
{
	(void)state;
	struct lm_buf b = LM_BUF(3);

	assert_true(lm_buf_puts(&b, "abc"));
	lm_buf_finish(&b);
	lm_buf_finish(&b);
	assert_true(lm_buf_puts(&b, "xyz"));
	assert_false(lm_buf_putc(&b, '!'));
	assert_string_equal(lm_buf_cstr(&b), "xyz");
	lm_buf_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_to_the_ceiling_and_not_beyond),
		cmocka_unit_test(refuses_whole_what_does_not_fit),
		cmocka_unit_test(a_length_near_the_end_of_size_t_is_refused),
		cmocka_unit_test(a_ceiling_of_size_max_does_not_wrap),
		cmocka_unit_test(nothing_fits_under_a_ceiling_of_zero_but_nothing),
		cmocka_unit_test(appends_its_own_bytes_though_growing_moves_them),
		cmocka_unit_test(keeps_nul_bytes),
		cmocka_unit_test(reserve_stays_nul_ended_however_much_is_used),
		cmocka_unit_test(consume_drops_from_the_front),
		cmocka_unit_test(a_secret_leaves_no_bytes_behind_what_is_consumed_or_cleared),
		cmocka_unit_test(take_is_never_null_and_leaves_the_ceiling),
		cmocka_unit_test(is_usable_after_finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
