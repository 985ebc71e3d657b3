// SPDX-License-Identifier: Apache-2.0
#include "deploy/pulled_images.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char root[64];
static struct store *s;
static struct lm_err err;

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(root, sizeof(root), "/tmp/pulled_test.XXXXXX");
	return mkdtemp(root) && store_open(root, &s, &err) == LM_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	store_close(lm_take(s));
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

/// Deploys a generation that uses the image `id` as "web", which it has pulled if `is_new`.
static unsigned deploy(const char *id, bool is_new, bool success)
{
	const struct store_outcome outcome = {
		.success = success, .stage = "up", .error = "InternalError", .message = "m"};
	unsigned n = 0;

	assert_int_equal(store_begin(s, LM_STR("definition"), false, (struct lifecycle_target){0},
				 false, &n, &err),
		LM_OK);
	assert_int_equal(store_image(s, n, LM_STR("web"), LM_STR(""), lm_str(id), &err), LM_OK);
	assert_int_equal(store_note_pulled(s, n, "web", id, is_new, &err), LM_OK);
	assert_int_equal(store_finish(s, n, &outcome, &err), LM_OK);
	assert_int_equal(store_prune(s, 2, &err), LM_OK);
	return n;
}

static void assert_released(const char *expected)
{
	lm_auto_json json_t *released = NULL;
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 16);

	if (store_list_released(s, &released, &err) != LM_OK)
		fail_msg("%s", err.msg);
	assert_true(json_write(released, &text));
	assert_string_equal(lm_buf_cstr(&text), expected);
}

static void an_image_is_released_with_the_last_generation_that_used_it(void **state)
{
	(void)state;
	(void)deploy("A", true, true);
	(void)deploy("B", true, true);
	assert_released("[]");
	(void)deploy("C", true, true);
	assert_released("[{\"id\":\"A\",\"names\":[\"web\"]}]");
	(void)deploy("A", false, true); // which is still here
	assert_released("[{\"id\":\"B\",\"names\":[\"web\"]}]");
	assert_int_equal(store_forget_pulled(s, "B", &err), LM_OK);
	assert_int_equal(store_forget_pulled(s, "B", &err), LM_OK);
	assert_released("[]");
}

static void an_image_that_was_here_before_is_never_released(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++)
		(void)deploy(i < 2 ? "stranger" : "A", i >= 2, true);
	assert_released("[]");
}

static void what_a_generation_that_is_kept_needs_is_not_released(void **state)
{
	(void)state;
	(void)deploy("good", true, true);
	// Failed ones of which the last good one, older than all that are kept, is not:
	for (unsigned i = 0; i < 4; i++)
		(void)deploy("bad", true, false);
	assert_released("[]");
	(void)deploy("next", true, false);
	(void)deploy("next", true, false);
	assert_released("[{\"id\":\"bad\",\"names\":[\"web\"]}]");
}

static void the_image_that_an_attempt_pulls_is_needed_before_it_has_an_outcome(void **state)
{
	unsigned n = 0;

	(void)state;
	assert_int_equal(store_begin(s, LM_STR("definition"), false, (struct lifecycle_target){0},
				 false, &n, &err),
		LM_OK);
	assert_int_equal(store_note_pulled(s, n, "web", "A", true, &err), LM_OK);
	assert_int_equal(store_note_pulled(s, n, "worker", "A", false, &err), LM_OK);
	assert_int_equal(store_note_pulled(s, n, "worker", "B", false, &err), LM_OK);
	assert_released("[]");
	store_close(lm_take(s));
	assert_int_equal(store_open(root, &s, &err), LM_OK);
	assert_released("[]");
}

static void what_cannot_be_read_is_all_somebody_elses(void **state)
{
	lm_auto_free char *path = lm_xasprintf("%s/" PULLED_IMAGES, root);

	(void)state;
	(void)deploy("A", true, true);
	assert_int_equal(lm_file_replace(AT_FDCWD, path, LM_STR("{\"A\":"), 0600, &err), LM_OK);
	for (unsigned i = 0; i < 4; i++)
		(void)deploy("B", true, true);
	assert_released("[]");
	assert_int_equal(
		lm_file_replace(AT_FDCWD, path, LM_STR("{\"C\":7,\"B\":[]}"), 0600, &err), LM_OK);
	(void)deploy("C", true, true); // "B" is needed by one before it
	(void)deploy("C", true, true);
	assert_released("[{\"id\":\"B\",\"names\":null}]");
}

static void damage_images(unsigned n, const char *text)
{
	lm_auto_free char *path = lm_xasprintf("%s/generations/%u/images.json", root, n);

	assert_int_equal(lm_file_replace(AT_FDCWD, path, lm_str(text), 0600, &err), LM_OK);
}

static void assert_unknown(unsigned n)
{
	lm_auto_json json_t *released = NULL;
	lm_auto_free char *expected = lm_xasprintf(
		"find the images that are no longer needed: which images generation %u needs is "
		"not known, because its 'images.json' is damaged: none is removed before that "
		"generation was deployed again or removed",
		n);

	assert_int_equal(store_list_released(s, &released, &err), LM_E_INVALID);
	assert_string_equal(err.msg, expected);
	assert_null(released);
}

static void while_it_is_not_known_what_a_generation_needs_nothing_is_released(void **state)
{
	static const char *const damaged[] = {"", "{", "[]", "7",
		"{\"lighterman\":\"images\",\"format\":2,\"sha256\":\"00\"}\n{}"};

	(void)state;
	(void)deploy("A", true, true);
	(void)deploy("B", true, true);
	// The last good one has "B", which a failed one had last; "A" is nobody's.
	(void)deploy("B", false, false);
	(void)deploy("bad", true, false);
	(void)deploy("bad", true, false);
	assert_released("[{\"id\":\"A\",\"names\":[\"web\"]}]");
	for (size_t i = 0; i < LM_ARRAY_SIZE(damaged); i++) {
		damage_images(2, damaged[i]);
		assert_unknown(2);
	}
	store_close(lm_take(s)); // the next start sets it aside
	damage_images(2, "{");
	assert_int_equal(store_open(root, &s, &err), LM_OK);
	assert_unknown(2);
}

static void what_was_damaged_is_known_again_after_a_deployment(void **state)
{
	const struct store_outcome outcome = {.success = true};

	(void)state;
	(void)deploy("A", true, true);
	(void)deploy("B", true, true);
	(void)deploy("C", true, true);
	store_close(lm_take(s));
	damage_images(3, "{");
	assert_int_equal(store_open(root, &s, &err), LM_OK);
	assert_unknown(3);
	assert_int_equal(store_rerun(s, 3, &err), LM_OK);
	assert_int_equal(store_image(s, 3, LM_STR("web"), LM_STR(""), LM_STR("C"), &err), LM_OK);
	assert_int_equal(store_finish(s, 3, &outcome, &err), LM_OK);
	assert_released("[{\"id\":\"A\",\"names\":[\"web\"]}]");
}

static void an_image_without_an_id_is_kept_by_its_name(void **state)
{
	(void)state;
	(void)deploy("A", true, true);
	(void)deploy("B", true, true);
	(void)deploy("C", true, true);
	assert_released("[{\"id\":\"A\",\"names\":[\"web\"]}]");
	damage_images(2, "{\"web\":\"sha256:d\"}"); // as the first release wrote it
	assert_released("[]");
	damage_images(2, "{\"other\":\"sha256:d\"}");
	assert_released("[{\"id\":\"A\",\"names\":[\"web\"]}]");
}

static void of_too_many_the_oldest_are_forgotten(void **state)
{
	lm_auto_json json_t *images = NULL;
	lm_auto_close int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_json json_t *full = json_object();

	(void)state;
	for (unsigned i = 0; i < LIMIT_PULLED_IMAGES; i++) {
		char id[16];

		(void)snprintf(id, sizeof(id), "%u", i);
		json_object_set_new(
			full, id, json_pack("{s:[], s:i}", "names", "generation", i + 1));
	}
	lm_auto_buf struct lm_buf text = LM_BUF(1 << 20);
	assert_true(json_write(full, &text));
	assert_int_equal(lm_file_replace(fd, PULLED_IMAGES, lm_buf_str(&text), 0600, &err), LM_OK);
	assert_int_equal(pulled_images_note(fd, "new", "web", 2000, true, &err), LM_OK);
	assert_int_equal(pulled_images_read(fd, &images, &err), LM_OK);
	assert_int_equal(json_object_size(images), LIMIT_PULLED_IMAGES);
	assert_null(json_object_get(images, "0"));
	assert_non_null(json_object_get(images, "1"));
	assert_non_null(json_object_get(images, "new"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(an_image_is_released_with_the_last_generation_that_used_it),
		TEST(an_image_that_was_here_before_is_never_released),
		TEST(what_a_generation_that_is_kept_needs_is_not_released),
		TEST(the_image_that_an_attempt_pulls_is_needed_before_it_has_an_outcome),
		TEST(what_cannot_be_read_is_all_somebody_elses),
		TEST(while_it_is_not_known_what_a_generation_needs_nothing_is_released),
		TEST(what_was_damaged_is_known_again_after_a_deployment),
		TEST(an_image_without_an_id_is_kept_by_its_name),
		TEST(of_too_many_the_oldest_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
