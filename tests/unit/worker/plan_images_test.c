// SPDX-License-Identifier: Apache-2.0
#include "worker/plan.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 4 };

/// Text that nobody changes or frees.
#define T(text) ((char *)(uintptr_t)(text))

/// Images to be pulled, and what their registries say.
struct fixture {
	struct plan_image images[MOST], *asked[MOST];
	struct manifest_answer answers[MOST];
	struct manifest_layer layers[MOST][MOST];
	char *diff_ids[MOST][MOST];
	struct engine_layers here;
	size_t n;
};

/// `layers` is a letter for each layer, of 100 bytes; as an engine knows them they have the same
/// names.
static struct manifest_answer *add(struct fixture *f, const char *id, const char *layers)
{
	static const char *const names[] = {"a", "b", "c", "d"};
	size_t i = f->n++;
	struct manifest_answer *a = &f->answers[i];

	f->images[i] = (struct plan_image){.image = T("image"), .action = IMAGE_PULL, .id = T(id)};
	f->asked[i] = &f->images[i];
	*a = (struct manifest_answer){.digest = T("sha256:index"),
		.manifest_digest = T("sha256:manifest"),
		.manifest = {.config = T("sha256:config"), .layers = f->layers[i]},
		.layers = {.digests = f->diff_ids[i]}};
	for (; layers[a->layers.n]; a->layers.n++) {
		char *name = T(names[layers[a->layers.n] - 'a']);
		f->layers[i][a->layers.n] =
			(struct manifest_layer){.digest = name, .bytes = 100, .packed = true};
		f->diff_ids[i][a->layers.n] = name;
	}
	a->manifest.layers_n = a->layers.n;
	return a;
}

static void take(struct fixture *f)
{
	plan_take_answers(f->asked, f->answers, f->n, &f->here);
}

static void finish(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->images[i].digest);
		free(f->images[i].reason);
	}
}

static void an_image_that_is_not_here_counts_whole(void **state)
{
	(void)state;
	struct fixture f = {0};

	add(&f, NULL, "ab");
	take(&f);
	assert_int_equal(f.images[0].action, IMAGE_PULL);
	assert_true(f.images[0].known && f.images[0].replaced);
	assert_int_equal(f.images[0].bytes, 200);
	assert_int_equal(f.images[0].bytes_total, 200);
	assert_int_equal(f.images[0].bytes_disk, 200 + 3 * 200);
	assert_string_equal(f.images[0].digest, "sha256:index");
	finish(&f);
}

static void a_layer_that_is_not_packed_takes_as_much_again(void **state)
{
	(void)state;
	struct fixture f = {0};

	add(&f, NULL, "a");
	f.layers[0][0].packed = false;
	take(&f);
	assert_int_equal(f.images[0].bytes_disk, 100 + 100);
	finish(&f);
}

static void an_image_is_current_by_any_of_its_names(void **state)
{
	(void)state;
	static const char *const ids[] = {"sha256:config", "sha256:manifest", "sha256:index"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(ids); i++) {
		struct fixture f = {0};
		add(&f, ids[i], "ab");
		take(&f);
		assert_int_equal(f.images[0].action, IMAGE_KEEP);
		assert_false(f.images[0].replaced);
		assert_int_equal(f.images[0].bytes + f.images[0].bytes_disk, 0);
		assert_int_equal(f.images[0].bytes_total, 200);
		finish(&f);
	}
	struct fixture f = {0};
	add(&f, "sha256:other", "ab");
	f.images[0].digest = lm_xstrdup("sha256:index");
	take(&f);
	assert_int_equal(f.images[0].action, IMAGE_KEEP);
	finish(&f);
}

static void layers_that_are_here_count_nothing(void **state)
{
	(void)state;
	char *base[] = {T("a")};
	struct image_layers images[] = {{.digests = base, .n = 1}};
	struct fixture f = {.here = {.images = images, .n = 1}};

	add(&f, "sha256:old", "abc");
	take(&f);
	assert_true(f.images[0].replaced);
	assert_int_equal(f.images[0].bytes, 200);
	assert_int_equal(f.images[0].bytes_total, 300);
	finish(&f);
}

static void layers_of_several_images_count_once(void **state)
{
	(void)state;
	struct fixture f = {0};

	add(&f, NULL, "ab");
	add(&f, NULL, "ac");
	add(&f, NULL, "dd");
	take(&f);
	assert_int_equal(f.images[0].bytes, 200);
	assert_int_equal(f.images[1].bytes, 100);
	assert_int_equal(f.images[2].bytes, 100);
	finish(&f);
}

static void without_a_configuration_everything_counts(void **state)
{
	(void)state;
	char *base[] = {T("a")};
	struct image_layers images[] = {{.digests = base, .n = 1}};
	struct fixture f = {.here = {.images = images, .n = 1}};

	add(&f, NULL, "ab")->layers.n = 0;
	take(&f);
	assert_int_equal(f.images[0].bytes, 200);
	finish(&f);
}

static void what_no_registry_tells_is_not_known(void **state)
{
	(void)state;
	struct fixture f = {0};

	add(&f, NULL, "a")->rc = LM_E_DENIED;
	add(&f, "sha256:here", "a")->rc = LM_E_NETWORK;
	(void)!lm_fail(&f.answers[0].err, LM_E_DENIED, 0, "refused");
	take(&f);
	assert_false(f.images[0].known || f.images[1].known);
	assert_true(f.images[0].replaced);
	assert_false(f.images[0].unsure);
	assert_true(f.images[1].unsure);
	assert_string_equal(f.images[0].reason, "refused");
	finish(&f);
}

static void sizes_that_no_disk_has_do_no_harm(void **state)
{
	(void)state;
	struct fixture f = {0};

	add(&f, NULL, "ab");
	f.layers[0][0].bytes = f.layers[0][1].bytes = INT64_MAX;
	take(&f);
	assert_true(f.images[0].bytes_disk == UINT64_MAX);
	finish(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_that_is_not_here_counts_whole),
		cmocka_unit_test(a_layer_that_is_not_packed_takes_as_much_again),
		cmocka_unit_test(an_image_is_current_by_any_of_its_names),
		cmocka_unit_test(layers_that_are_here_count_nothing),
		cmocka_unit_test(layers_of_several_images_count_once),
		cmocka_unit_test(without_a_configuration_everything_counts),
		cmocka_unit_test(what_no_registry_tells_is_not_known),
		cmocka_unit_test(sizes_that_no_disk_has_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
