// SPDX-License-Identifier: Apache-2.0
#include "worker/plan.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/// Text that nobody changes or frees.
#define T(text) ((char *)(uintptr_t)(text))
#define SERVICE(n)                                                                                 \
	{                                                                                          \
		.name = T(n), .image = T("ships/" n), .replicas = 1, .active = true                \
	}
#define HASH(s, h)                                                                                 \
	{                                                                                          \
		.service = T(s), .hash = T(h)                                                      \
	}
#define CONTAINER(s, h, i)                                                                         \
	{                                                                                          \
		.name = T("p_" s "_1"), .service = T(s), .image = T("ships/" s), .image_id = T(i), \
		.config_hash = T(h), .compose_version = T("2.26.1"), .state = T("running")         \
	}
#define IMAGE(n, i)                                                                                \
	{                                                                                          \
		.image = T("ships/" n), .id = T(i), .known = true                                  \
	}

static struct plan_services made;

/// Makes the plan of these; it is freed by the next one.
static void make(struct plan_input input)
{
	static const struct compose_hashes none;
	static const struct compose_ties no_ties;
	static const struct plan_images no_images;
	static const struct engine_containers no_containers;

	input.hashes = input.hashes ? input.hashes : &none;
	input.old_hashes = input.old_hashes ? input.old_hashes : &none;
	input.ties = input.ties ? input.ties : &no_ties;
	input.images = input.images ? input.images : &no_images;
	input.containers = input.containers ? input.containers : &no_containers;
	input.generation = input.generation ? input.generation : 2;
	plan_services_finish(&made);
	plan_services_make(&input, &made);
}

static const struct plan_service *get(const char *name)
{
	for (size_t i = 0; i < made.n; i++)
		if (strcmp(made.items[i].name, name) == 0)
			return &made.items[i];
	fail_msg("there is no service '%s' in the plan", name);
	return NULL;
}

static void assert_plan(const char *name, enum plan_action action, enum plan_reason reason)
{
	const struct plan_service *s = get(name);

	assert_string_equal(plan_action_name(s->action), plan_action_name(action));
	assert_string_equal(plan_reason_name(s->reason), plan_reason_name(reason));
}

static struct compose_service one[] = {SERVICE("web")};
static const struct compose_services ONE = {one, 1};
static struct compose_hash one_hash[] = {HASH("web", "aa")};
static const struct compose_hashes ONE_HASH = {one_hash, 1};

static void a_service_without_a_container_is_created(void **state)
{
	(void)state;
	make((struct plan_input){.services = &ONE, .takes_down = true});
	assert_int_equal(made.n, 1);
	assert_plan("web", PLAN_CREATED, PLAN_NEW);
	assert_string_equal(made.items[0].image, "ships/web");
	assert_true(made.items[0].changes_known);
}

static void what_has_not_changed_is_left_alone(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "aa", "i1")};
	struct plan_image images[] = {IMAGE("web", "i1")};
	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.images = &(struct plan_images){images, 1},
		.containers = &(struct engine_containers){containers, 1}});
	assert_plan("web", PLAN_LEFT_ALONE, PLAN_UNCHANGED);
	assert_true(get("web")->changes_known);
	assert_int_equal(get("web")->changes, 0);
}

static void what_is_taken_down_tells_its_changes_too(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "bb", "i0")};
	struct plan_image images[] = {IMAGE("web", "i1")};
	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.images = &(struct plan_images){images, 1},
		.containers = &(struct engine_containers){containers, 1},
		.takes_down = true});
	assert_plan("web", PLAN_RECREATED, PLAN_DOWN);
	assert_int_equal(get("web")->changes, 1U << PLAN_DEFINITION | 1U << PLAN_IMAGE);
}

static void another_hash_is_another_definition(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "bb", "i1")};
	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.containers = &(struct engine_containers){containers, 1}});
	assert_plan("web", PLAN_RECREATED, PLAN_DEFINITION);
}

static void another_image_is_a_reason_of_its_own(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "aa", "i0")};
	struct plan_image moved[] = {IMAGE("web", "i1")};
	struct plan_image pulled[] = {IMAGE("web", "i0")};
	const struct engine_containers list = {containers, 1};

	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.images = &(struct plan_images){moved, 1},
		.containers = &list});
	assert_plan("web", PLAN_RECREATED, PLAN_IMAGE);
	pulled[0].replaced = true;
	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.images = &(struct plan_images){pulled, 1},
		.containers = &list});
	assert_plan("web", PLAN_RECREATED, PLAN_IMAGE);
}

static void generation_1_has_the_image_in_its_hash(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "bb", "i0")};
	struct plan_image images[] = {IMAGE("web", "i1")};
	containers[0].compose_version = T("1.29.2");
	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.generation = 1,
		.images = &(struct plan_images){images, 1},
		.containers = &(struct engine_containers){containers, 1}});
	assert_int_equal(get("web")->changes, 1U << PLAN_IMAGE);
}

static void hashes_of_another_generation_are_not_compared(void **state)
{
	(void)state;
	static const char *const others[] = {"1.29.2", "", "dev"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(others); i++) {
		struct engine_container containers[] = {CONTAINER("web", "bb", "i1")};
		containers[0].compose_version = T(others[i]);
		make((struct plan_input){.services = &ONE,
			.hashes = &ONE_HASH,
			.containers = &(struct engine_containers){containers, 1}});
		assert_plan("web", PLAN_RECREATED, PLAN_COMPOSE);
		assert_int_equal(get("web")->changes, 1U << PLAN_COMPOSE);
	}
}

static void what_is_not_known_is_said_to_be_so(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "aa", "i1")};
	const struct engine_containers list = {containers, 1};
	struct plan_image images[] = {IMAGE("web", "i1")};

	make((struct plan_input){.services = &ONE, .containers = &list});
	assert_plan("web", PLAN_UNKNOWN, PLAN_UNSURE_DEFINITION);
	images[0].unsure = true;
	make((struct plan_input){.services = &ONE,
		.hashes = &ONE_HASH,
		.images = &(struct plan_images){images, 1},
		.containers = &list});
	assert_plan("web", PLAN_UNKNOWN, PLAN_UNSURE_IMAGE);
}

static void what_does_not_run_is_started(void **state)
{
	(void)state;
	static const struct {
		const char *state;
		enum plan_action action;
	} cases[] = {{"exited", PLAN_STARTED}, {"created", PLAN_STARTED}, {"dead", PLAN_STARTED},
		{"restarting", PLAN_LEFT_ALONE}, {"paused", PLAN_LEFT_ALONE}};
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct engine_container containers[] = {CONTAINER("web", "aa", "i1")};
		containers[0].state = T(cases[i].state);
		make((struct plan_input){.services = &ONE,
			.hashes = &ONE_HASH,
			.containers = &(struct engine_containers){containers, 1}});
		assert_int_equal(get("web")->action, cases[i].action);
	}
}

static void containers_are_counted(void **state)
{
	(void)state;
	struct engine_container containers[] = {
		CONTAINER("web", "aa", "i1"), CONTAINER("web", "aa", "i1")};
	const struct engine_containers list = {containers, 2};
	struct compose_tie tie[] = {{.service = T("web"), .replicas = 3}};
	const struct compose_ties ties = {tie, 1};
	struct plan_input input = {
		.services = &ONE, .hashes = &ONE_HASH, .ties = &ties, .containers = &list};

	make(input);
	assert_plan("web", PLAN_CREATED, PLAN_SCALE);
	assert_int_equal(get("web")->containers, 2);
	tie[0].replicas = 1;
	make(input);
	assert_plan("web", PLAN_REMOVED, PLAN_SCALE);
	tie[0].replicas = 0;
	input.takes_down = true;
	make(input);
	assert_plan("web", PLAN_REMOVED, PLAN_DOWN);
	input.containers = NULL;
	make(input);
	assert_int_equal(made.n, 0);
}

static void what_is_gone_is_removed_or_left_alone(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("old", "aa", "i1"),
		CONTAINER("old", "aa", "i1"), CONTAINER("run", "aa", "i1")};
	const struct engine_containers list = {containers, 3};

	containers[2].oneoff = true;
	make((struct plan_input){.services = &ONE, .containers = &list});
	assert_int_equal(made.n, 2);
	assert_plan("old", PLAN_LEFT_ALONE, PLAN_GONE);
	assert_int_equal(get("old")->containers, 2);
	make((struct plan_input){.services = &ONE, .containers = &list, .takes_down = true});
	assert_plan("old", PLAN_REMOVED, PLAN_GONE);
	assert_plan("web", PLAN_CREATED, PLAN_NEW);
}

static void services_that_are_not_active_are_left_out(void **state)
{
	(void)state;
	struct compose_service services[] = {SERVICE("web"), SERVICE("debug")};
	const struct compose_services both = {services, 2};

	make((struct plan_input){.services = &both});
	assert_int_equal(made.n, 2);
	services[1].active = false;
	make((struct plan_input){.services = &both});
	assert_int_equal(made.n, 1);
}

static void one_pulls_the_next_along(void **state)
{
	(void)state;
	struct compose_service services[] = {SERVICE("web"), SERVICE("cache"), SERVICE("db")};
	struct engine_container containers[] = {CONTAINER("web", "aa", "i1"),
		CONTAINER("cache", "aa", "i1"), CONTAINER("db", "old", "i1")};
	struct compose_hash hashes[] = {HASH("web", "aa"), HASH("cache", "aa"), HASH("db", "aa")};
	char *web_follows[] = {T("cache")}, *cache_follows[] = {T("db")};
	struct compose_tie ties[] = {{T("web"), 1, web_follows, 1, false},
		{T("cache"), 1, cache_follows, 1, false}, {T("db"), 1, NULL, 0, false}};
	make((struct plan_input){.services = &(struct compose_services){services, 3},
		.hashes = &(struct compose_hashes){hashes, 3},
		.ties = &(struct compose_ties){ties, 3},
		.containers = &(struct engine_containers){containers, 3}});
	assert_plan("db", PLAN_RECREATED, PLAN_DEFINITION);
	assert_plan("cache", PLAN_RECREATED, PLAN_DEPENDENCY);
	assert_plan("web", PLAN_RECREATED, PLAN_DEPENDENCY);
}

static void a_late_hash_is_compared_with_the_local_copys(void **state)
{
	(void)state;
	struct engine_container containers[] = {CONTAINER("web", "made-later", "i1")};
	struct compose_tie tie[] = {{.service = T("web"), .replicas = 1, .hash_is_late = true}};
	struct compose_hash old[] = {HASH("web", "aa")};
	const struct compose_ties ties = {tie, 1};
	const struct compose_hashes old_hashes = {old, 1};
	const struct engine_containers list = {containers, 1};
	struct plan_input input = {.services = &ONE,
		.hashes = &ONE_HASH,
		.old_hashes = &old_hashes,
		.ties = &ties,
		.containers = &list};

	make(input);
	assert_plan("web", PLAN_LEFT_ALONE, PLAN_UNCHANGED);
	old[0].hash = T("bb");
	make(input);
	assert_plan("web", PLAN_RECREATED, PLAN_DEFINITION);
	input.old_hashes = NULL;
	make(input);
	assert_plan("web", PLAN_UNKNOWN, PLAN_UNSURE_DEFINITION);
}

static int tear_down(void **state)
{
	(void)state;
	plan_services_finish(&made);
	return 0;
}

enum { MOST = 4 };

/// Images to be pulled, and what their registries say.
struct pull_fixture {
	struct plan_image images[MOST], *asked[MOST];
	struct manifest_answer answers[MOST];
	struct manifest_layer layers[MOST][MOST];
	char *diff_ids[MOST][MOST];
	struct engine_layers here;
	size_t n;
};

/// `layers` is a letter for each layer, of 100 bytes; as an engine knows them they have the same
/// names.
static struct manifest_answer *add_image(struct pull_fixture *f, const char *id, const char *layers)
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

static void take_answers(struct pull_fixture *f)
{
	plan_take_answers(f->asked, f->answers, f->n, &f->here);
}

static void finish_images(struct pull_fixture *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->images[i].digest);
		free(f->images[i].reason);
	}
}

static void an_image_that_is_not_here_counts_whole(void **state)
{
	(void)state;
	struct pull_fixture f = {0};

	add_image(&f, NULL, "ab");
	take_answers(&f);
	assert_int_equal(f.images[0].action, IMAGE_PULL);
	assert_true(f.images[0].known && f.images[0].replaced);
	assert_int_equal(f.images[0].bytes, 200);
	assert_int_equal(f.images[0].bytes_total, 200);
	assert_int_equal(f.images[0].bytes_disk, 200 + 3 * 200);
	assert_string_equal(f.images[0].digest, "sha256:index");
	finish_images(&f);
}

static void a_layer_that_is_not_packed_takes_as_much_again(void **state)
{
	(void)state;
	struct pull_fixture f = {0};

	add_image(&f, NULL, "a");
	f.layers[0][0].packed = false;
	take_answers(&f);
	assert_int_equal(f.images[0].bytes_disk, 100 + 100);
	finish_images(&f);
}

static void an_image_is_current_by_any_of_its_names(void **state)
{
	(void)state;
	static const char *const ids[] = {"sha256:config", "sha256:manifest", "sha256:index"};
	for (size_t i = 0; i < LM_ARRAY_SIZE(ids); i++) {
		struct pull_fixture f = {0};
		add_image(&f, ids[i], "ab");
		take_answers(&f);
		assert_int_equal(f.images[0].action, IMAGE_KEEP);
		assert_false(f.images[0].replaced);
		assert_int_equal(f.images[0].bytes + f.images[0].bytes_disk, 0);
		assert_int_equal(f.images[0].bytes_total, 200);
		finish_images(&f);
	}
	struct pull_fixture f = {0};
	add_image(&f, "sha256:other", "ab");
	f.images[0].digest = lm_xstrdup("sha256:index");
	take_answers(&f);
	assert_int_equal(f.images[0].action, IMAGE_KEEP);
	finish_images(&f);
}

static void layers_that_are_here_count_nothing(void **state)
{
	(void)state;
	char *base[] = {T("a")};
	struct image_layers images[] = {{.digests = base, .n = 1}};
	struct pull_fixture f = {.here = {.images = images, .n = 1}};

	add_image(&f, "sha256:old", "abc");
	take_answers(&f);
	assert_true(f.images[0].replaced);
	assert_int_equal(f.images[0].bytes, 200);
	assert_int_equal(f.images[0].bytes_total, 300);
	finish_images(&f);
}

static void layers_of_several_images_count_once(void **state)
{
	(void)state;
	struct pull_fixture f = {0};

	add_image(&f, NULL, "ab");
	add_image(&f, NULL, "ac");
	add_image(&f, NULL, "dd");
	take_answers(&f);
	assert_int_equal(f.images[0].bytes, 200);
	assert_int_equal(f.images[1].bytes, 100);
	assert_int_equal(f.images[2].bytes, 100);
	finish_images(&f);
}

static void without_a_configuration_everything_counts(void **state)
{
	(void)state;
	char *base[] = {T("a")};
	struct image_layers images[] = {{.digests = base, .n = 1}};
	struct pull_fixture f = {.here = {.images = images, .n = 1}};

	add_image(&f, NULL, "ab")->layers.n = 0;
	take_answers(&f);
	assert_int_equal(f.images[0].bytes, 200);
	finish_images(&f);
}

static void what_no_registry_tells_is_not_known(void **state)
{
	(void)state;
	struct pull_fixture f = {0};

	add_image(&f, NULL, "a")->rc = LM_E_DENIED;
	add_image(&f, "sha256:here", "a")->rc = LM_E_NETWORK;
	(void)!lm_fail(&f.answers[0].err, LM_E_DENIED, 0, "refused");
	take_answers(&f);
	assert_false(f.images[0].known || f.images[1].known);
	assert_true(f.images[0].replaced);
	assert_false(f.images[0].unsure);
	assert_true(f.images[1].unsure);
	assert_string_equal(f.images[0].reason, "refused");
	finish_images(&f);
}

static void sizes_that_no_disk_has_do_no_harm(void **state)
{
	(void)state;
	struct pull_fixture f = {0};

	add_image(&f, NULL, "ab");
	f.layers[0][0].bytes = f.layers[0][1].bytes = INT64_MAX;
	take_answers(&f);
	assert_true(f.images[0].bytes_disk == UINT64_MAX);
	finish_images(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_without_a_container_is_created),
		cmocka_unit_test(what_has_not_changed_is_left_alone),
		cmocka_unit_test(what_is_taken_down_tells_its_changes_too),
		cmocka_unit_test(another_hash_is_another_definition),
		cmocka_unit_test(another_image_is_a_reason_of_its_own),
		cmocka_unit_test(generation_1_has_the_image_in_its_hash),
		cmocka_unit_test(hashes_of_another_generation_are_not_compared),
		cmocka_unit_test(what_is_not_known_is_said_to_be_so),
		cmocka_unit_test(what_does_not_run_is_started),
		cmocka_unit_test(containers_are_counted),
		cmocka_unit_test(what_is_gone_is_removed_or_left_alone),
		cmocka_unit_test(services_that_are_not_active_are_left_out),
		cmocka_unit_test(one_pulls_the_next_along),
		cmocka_unit_test(a_late_hash_is_compared_with_the_local_copys),
		cmocka_unit_test(an_image_that_is_not_here_counts_whole),
		cmocka_unit_test(a_layer_that_is_not_packed_takes_as_much_again),
		cmocka_unit_test(an_image_is_current_by_any_of_its_names),
		cmocka_unit_test(layers_that_are_here_count_nothing),
		cmocka_unit_test(layers_of_several_images_count_once),
		cmocka_unit_test(without_a_configuration_everything_counts),
		cmocka_unit_test(what_no_registry_tells_is_not_known),
		cmocka_unit_test(sizes_that_no_disk_has_do_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
