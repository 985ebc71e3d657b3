// SPDX-License-Identifier: Apache-2.0
#include "docker/engine.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "base/secret.h"
#include "docker/engine_images.h"
#include "docker/engine_request.h"
#include "fake_engine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define OK "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
#define ERROR "HTTP/1.0 500 Internal Server Error\r\n\r\n"

static const struct wait_limit forever = WAIT_FOREVER;

static struct engine engine_at(const struct fake_engine *f)
{
	return (struct engine){
		.socket_path = (char *)f->path, .version = {.engine = "20.10", .minor = 41}};
}

static void agrees_on_a_version(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"GET /version ",
		OK "{\"Version\":\"20.10.24\",\"ApiVersion\":\"1.41\"}", FAKE_PIECES}};
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_open(f->path, &forever, &e, &err), LM_OK);
	assert_int_equal(e.version.minor, 41);
	assert_string_equal(e.socket_path, f->path);
	engine_close(&e);
	fake_engine_destroy(f);
}

static void names_the_fix_without_a_daemon(void **state)
{
	(void)state;
	struct engine e = {0};
	struct lm_err err = {0};
	assert_int_equal(
		engine_open("/nonexistent/docker.sock", &forever, &e, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg,
		"no Docker socket at /nonexistent/docker.sock: start the Docker daemon (systemctl "
		"start docker), or install the Docker Engine");
	assert_int_equal(engine_explain(LM_E_NETWORK, "/x", &err), LM_E_NETWORK);
	assert_string_equal(err.msg,
		"the Docker daemon does not answer at /x: start it (systemctl start docker)");
	assert_int_equal(engine_explain(LM_E_DENIED, "/x", &err), LM_E_DENIED);
	assert_non_null(strstr(err.msg, "may not use the Docker socket /x"));
	assert_null(e.socket_path);
}

static void gives_up_on_a_silent_daemon(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"GET /version ", "HTTP/1.0 200 OK\r\n", FAKE_HANG}};
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = {0};
	struct lm_err err = {0};
	struct wait_limit limit = wait_limit_within(&forever, 20);
	assert_int_equal(engine_open(f->path, &limit, &e, &err), LM_E_TIMEOUT);
	fake_engine_destroy(f);
}

static void asks_the_registry_whether_an_image_may_be_had(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		{"GET /v1.41/distribution/localhost%3A5000/demo/web%3A1/json ",
			OK "{\"Descriptor\":{}}", FAKE_CLOSE},
		{"GET /v1.41/distribution/none/json ",
			"HTTP/1.0 403 Forbidden\r\n\r\n{\"message\":\"pull access denied\"}",
			FAKE_CLOSE},
		{"GET /v1.41/distribution/away/json ",
			ERROR "{\"message\":\"dial tcp: no route to host\"}", FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(f);
	lm_auto_secret struct lm_secret auth = {0};
	struct lm_err err = {0};

	lm_secret_set(&auth, LM_STR("e30="));
	assert_int_equal(
		engine_ask_registry(&e, "localhost:5000/demo/web:1", &auth, &forever, &err), LM_OK);
	assert_int_equal(engine_ask_registry(&e, "none", NULL, &forever, &err), LM_E_DENIED);
	assert_string_equal(err.msg, "image none: pull access denied");
	assert_int_equal(engine_ask_registry(&e, "away", NULL, &forever, &err), LM_E_NETWORK);
	fake_engine_stop(f);
	assert_non_null(strstr(f->requests[0], "X-Registry-Auth: e30=\r\n"));
	assert_null(strstr(f->requests[1], "X-Registry-Auth"));
	fake_engine_destroy(f);
}

static void distinguishes_a_missing_image_from_a_failure(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {
		{"GET /v1.41/images/nginx%3A1/json ",
			OK "{\"Id\":\"sha256:1d\",\"RepoDigests\":[\"nginx@sha256:aa\"]}",
			FAKE_CLOSE},
		{"GET /v1.41/images/none/json ",
			"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such image: none\"}",
			FAKE_CLOSE},
		{"GET /v1.41/images/bad/json ", ERROR "{\"message\":\"disk\"}", FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(f);
	lm_auto(engine_image_finish) struct engine_image image = {0};
	struct engine_image untouched = {0};
	struct lm_err err = {0};
	assert_int_equal(engine_inspect_image(&e, "nginx:1", &forever, &image, &err), LM_OK);
	assert_string_equal(image.digest, "sha256:aa");
	assert_int_equal(
		engine_inspect_image(&e, "none", &forever, &untouched, &err), LM_E_NOT_FOUND);
	assert_int_equal(engine_inspect_image(&e, "bad", &forever, &untouched, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "look for image bad: disk");
	assert_null(untouched.id);
	fake_engine_destroy(f);
}

#define LABEL "\"Labels\":{\"com.docker.compose.project\":\"p\"}"

static const struct fake_answer removal[] = {
	{"GET /v1.41/containers/json?all=1&filters=",
		OK "[{\"Id\":\"c1\",\"Names\":[\"/p_web_1\"]," LABEL "},"
		   "{\"Id\":\"stranger\",\"Names\":[\"/s\"],\"Labels\":{}}]",
		FAKE_CLOSE},
	{"DELETE /v1.41/containers/c1?force=1 ", "HTTP/1.0 204 No Content\r\n\r\n", FAKE_CLOSE},
	{"GET /v1.41/networks ",
		OK
		"[{\"Id\":\"n0\",\"Name\":\"bridge\"},{\"Id\":\"n1\",\"Name\":\"p_default\"," LABEL
		"}]",
		FAKE_CLOSE},
	{"DELETE /v1.41/networks/n1 ",
		"HTTP/1.0 403 Forbidden\r\n\r\n{\"message\":\"has active endpoints\"}", FAKE_CLOSE},
	{"GET /v1.41/networks/n1 ", OK "{\"Containers\":{\"s9\":{\"Name\":\"their_app\"}}}",
		FAKE_CLOSE},
};

static void note(void *ctx, const char *what)
{
	struct lm_buf *b = ctx;
	(void)lm_buf_printf(b, "%s;", what);
}

static void removal_leaves_strangers_alone_and_names_them(void **state)
{
	(void)state;
	struct fake_engine *f = fake_engine_create(removal, LM_ARRAY_SIZE(removal));
	struct engine e = engine_at(f);
	struct lm_err err = {0};
	lm_auto_buf struct lm_buf removed = LM_BUF(1000);
	assert_int_equal(
		engine_remove_project(&e, "p", note, &removed, &forever, &err), LM_E_CONFLICT);
	assert_string_equal(lm_buf_cstr(&removed), "container p_web_1;");
	assert_string_equal(err.msg, "network p_default is still used by their_app, which does not "
				     "belong to this application");
	fake_engine_stop(f);
	for (size_t i = 0; i < f->requests_n; i++)
		assert_null(strstr(f->requests[i], "DELETE /v1.41/containers/stranger"));
	fake_engine_destroy(f);
}

static void removal_takes_what_has_gone_for_done(void **state)
{
	(void)state;
	const struct fake_answer gone[] = {removal[0],
		{"DELETE /v1.41/containers/c1", "HTTP/1.0 404 Not Found\r\n\r\n{}", FAKE_CLOSE},
		removal[2], {"DELETE /v1.41/networks/n1 ", "HTTP/1.0 204 No\r\n\r\n", FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(gone, LM_ARRAY_SIZE(gone));
	struct engine e = engine_at(f);
	struct lm_err err = {0};
	assert_int_equal(engine_remove_project(&e, "p", NULL, NULL, &forever, &err), LM_OK);
	fake_engine_destroy(f);
}

static const struct fake_answer two_run[] = {
	{"GET /v1.41/containers/json",
		OK "[{\"Id\":\"c1\",\"Names\":[\"/"
		   "p_web_1\"],\"Labels\":{\"com.docker.compose.project\":"
		   "\"p\"}},{\"Id\":\"c2\",\"Names\":[\"/p_db_1\"],\"Labels\":{"
		   "\"com.docker.compose.project\":\"p\"}},{\"Id\":\"s\",\"Names\":[\"/their\"],"
		   "\"Labels\":{\"com.docker.compose.project\":\"q\"}}]",
		FAKE_CLOSE},
	{"POST /v1.41/containers/c1/stop ", "HTTP/1.0 304 Not Modified\r\n\r\n", FAKE_CLOSE},
	{"POST /v1.41/containers/c2/stop ", "HTTP/1.0 204 No Content\r\n\r\n", FAKE_CLOSE}};

static void stops_all_containers_of_the_project_and_no_other(void **state)
{
	(void)state;
	struct fake_engine *f = fake_engine_create(two_run, LM_ARRAY_SIZE(two_run));
	struct engine e = engine_at(f);
	struct lm_err err = {0};
	assert_int_equal(engine_stop_project(&e, "p", &forever, &err), LM_OK);
	fake_engine_stop(f);
	assert_int_equal(f->requests_n, 3);
	fake_engine_destroy(f);
}

static void names_the_container_that_does_not_stop(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {two_run[0], two_run[1],
		{"POST /v1.41/containers/c2/stop ",
			ERROR "{\"message\":\"did not receive an exit event\"}", FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(f);
	struct lm_err err = {0};
	assert_int_equal(engine_stop_project(&e, "p", &forever, &err), LM_E_REFUSED);
	assert_string_equal(err.msg, "stop container p_db_1: did not receive an exit event");
	fake_engine_destroy(f);
}

static void names_the_container_that_the_time_limit_does_not_wait_for(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {two_run[0],
		{"POST /v1.41/containers/c1/stop ", "HTTP/1.0 204", FAKE_HANG},
		{"POST /v1.41/containers/c2/stop ", "HTTP/1.0 204", FAKE_HANG}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = engine_at(f);
	struct lm_err err = {0};
	const struct wait_limit brief = {.deadline_ms = lm_clock_mono_ms() + 2000, .cancel_fd = -1};

	assert_int_equal(engine_stop_project(&e, "p", &brief, &err), LM_E_TIMEOUT);
	assert_string_equal(err.msg, "stop containers: p_web_1: time limit reached");
	fake_engine_destroy(f);
}

static void finds_the_directory_of_the_engines_images(void **state)
{
	(void)state;
	const struct fake_answer answers[] = {{"GET /v1.41/info ",
		OK "{\"ID\":\"x\",\"DockerRootDir\":\"/mnt/docker\"}", FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, 1);
	struct engine e = engine_at(f);
	struct lm_err err = {0};
	lm_auto_free char *directory = NULL;
	assert_int_equal(engine_root_directory(&e, &forever, &directory, &err), LM_OK);
	assert_string_equal(directory, "/mnt/docker");
	fake_engine_destroy(f);
	assert_int_equal(
		engine_parse_root_directory(LM_STR("{\"DockerRootDir\":\"\"}"), &directory, &err),
		LM_E_PROTOCOL);
}

#define GONE "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"no such thing\"}"

static const struct fake_answer facts_answers[] = {
	{"GET /v1.41/info ",
		OK "{\"Name\":\"box\",\"DockerRootDir\":\"/var/lib/docker\","
		   "\"Plugins\":{\"Volume\":[\"local\"],\"Network\":[\"bridge\",1],\"Log\":null},"
		   "\"Runtimes\":{\"runc\":{}},\"SecurityOptions\":[\"name=seccomp\","
		   "\"name=rootless\"],\"Swarm\":{\"LocalNodeState\":\"active\"},"
		   "\"RegistryConfig\":{\"Mirrors\":[\"https://mirror.invalid/\"]}}",
		FAKE_CLOSE},
	{"GET /v1.41/plugins ",
		OK "[{\"Name\":\"vieux/sshfs:latest\",\"Enabled\":true},{\"Name\":\"off:1\","
		   "\"Enabled\":false}]",
		FAKE_CLOSE},
	{"GET /v1.41/volumes/p_data ", OK "{\"Driver\":\"local\",\"Options\":{\"o\":\"size=1m\"}}",
		FAKE_CLOSE},
	{"GET /v1.41/volumes/none ", GONE, FAKE_CLOSE},
	{"GET /v1.41/networks/a%2Fb ", OK "{}", FAKE_CLOSE},
	{"GET /v1.41/networks/none ", GONE, FAKE_CLOSE},
};

static void asks_the_engine(void **state)
{
	(void)state;
	struct fake_engine *f = fake_engine_create(facts_answers, LM_ARRAY_SIZE(facts_answers));
	struct engine e = {.socket_path = f->path, .version = {.engine = "20.10", .minor = 41}};
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	lm_auto(engine_volume_finish) struct engine_volume volume = {0};
	struct engine_volume none = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_get_facts(&e, &forever, &facts, &err), LM_OK);
	assert_string_equal(facts.host_name, "box");
	assert_string_equal(facts.root_directory, "/var/lib/docker");
	assert_true(facts.rootless && facts.in_swarm && facts.has_mirrors && facts.plugins_known);
	assert_true(engine_names_have(&facts.volume_drivers, "local"));
	assert_int_equal(facts.network_drivers.n, 1);
	assert_int_equal(facts.log_drivers.n, 0);
	assert_true(engine_names_have(&facts.runtimes, "runc"));
	assert_int_equal(facts.plugins.n, 1);
	assert_string_equal(facts.plugins.items[0], "vieux/sshfs:latest");

	assert_int_equal(engine_inspect_volume(&e, "p_data", &forever, &volume, &err), LM_OK);
	assert_string_equal(engine_volume_option(&volume, "o"), "size=1m");
	assert_null(engine_volume_option(&volume, "type"));
	assert_int_equal(engine_inspect_volume(&e, "none", &forever, &none, &err), LM_E_NOT_FOUND);
	assert_int_equal(engine_find_network(&e, "a/b", &forever, &err), LM_OK);
	assert_int_equal(engine_find_network(&e, "none", &forever, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, "look for network 'none': no such thing");
	fake_engine_destroy(f);
}

/// Asks an engine of that API for its facts.
static lm_rc get_facts(
	const char *info, const char *plugins, unsigned minor, struct engine_facts *ret)
{
	const struct fake_answer answers[] = {{"GET /v1.41/info ", info, FAKE_CLOSE},
		{"GET /v1.24/info ", info, FAKE_CLOSE},
		{"GET /v1.41/plugins ", plugins, FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = {.socket_path = f->path, .version = {.minor = minor}};
	struct lm_err err = {LM_OK};
	lm_rc rc = engine_get_facts(&e, &forever, ret, &err);

	fake_engine_destroy(f);
	return rc;
}

static void an_engine_that_says_little_has_neutral_facts(void **state)
{
	(void)state;
	lm_auto(engine_facts_finish) struct engine_facts facts = {0}, old = {0};
	lm_auto(engine_volume_finish) struct engine_volume volume = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(get_facts(OK "{}", NULL, 24, &old), LM_OK);
	assert_string_equal(old.host_name, "");
	assert_false(old.rootless || old.in_swarm || old.has_mirrors || old.plugins_known);
	assert_int_equal(engine_parse_volume(LM_STR("{\"Options\":null}"), &volume, &err), LM_OK);
	assert_int_equal(volume.options_n, 0);
	assert_int_equal(get_facts(OK "{}", OK "null", 41, &facts), LM_OK);
	assert_true(facts.plugins_known);
}

/// Podman 4.3 answers like that; an answer that is none of its is still a failure.
static void an_engine_may_have_no_plugins(void **state)
{
	(void)state;
	lm_auto(engine_facts_finish) struct engine_facts facts = {0}, broken = {0};

	assert_int_equal(
		get_facts(OK "{\"Plugins\":{\"Volume\":[\"local\"]}}", GONE, 41, &facts), LM_OK);
	assert_false(facts.plugins_known);
	assert_true(engine_names_have(&facts.volume_drivers, "local"));
	assert_int_equal(get_facts(OK "{}", ERROR, 41, &broken), LM_E_REFUSED);
}

static void lists_the_volumes_of_a_project(void **state)
{
	(void)state;
	static const char list[] = OK
		"{\"Volumes\":[{\"Name\":\"p_data\",\"Driver\":\"local\",\"Mountpoint\":"
		"\"/v/p_data/_data\",\"Labels\":{\"com.docker.compose.project\":\"p\"},"
		"\"Options\":null},{\"Name\":\"anonymous\",\"Driver\":\"local\",\"Labels\":null},"
		"{\"Name\":\"q_data\",\"Labels\":{\"com.docker.compose.project\":\"q\"}},"
		"{\"Name\":\"p_nfs\",\"Labels\":{\"com.docker.compose.project\":\"p\"},"
		"\"Options\":{\"type\":\"nfs\"}}],\"Warnings\":null}";
	const struct fake_answer answers[] = {{"GET /v1.41/volumes ", list, FAKE_CLOSE}};
	struct fake_engine *f = fake_engine_create(answers, LM_ARRAY_SIZE(answers));
	struct engine e = {.socket_path = f->path, .version = {.minor = 41}};
	lm_auto(engine_volumes_finish) struct engine_volumes volumes = {0}, none = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(engine_list_volumes(&e, "p", &forever, &volumes, &err), LM_OK);
	assert_int_equal(volumes.n, 2);
	assert_string_equal(volumes.items[0].name, "p_data");
	assert_string_equal(volumes.items[0].mountpoint, "/v/p_data/_data");
	assert_int_equal(volumes.items[0].options_n, 0);
	assert_string_equal(engine_volume_option(&volumes.items[1], "type"), "nfs");
	fake_engine_destroy(f);
	assert_int_equal(
		engine_parse_volumes(LM_STR("{\"Volumes\":null}"), "p", &none, &err), LM_OK);
	assert_int_equal(none.n, 0);
}

static void refuses_what_is_no_answer(void **state)
{
	(void)state;
	struct engine_facts facts = {0};
	struct engine_volume volume = {0};
	struct lm_err err = {LM_OK};

	assert_int_equal(get_facts(OK "[]", OK "[]", 41, &facts), LM_E_PROTOCOL);
	assert_int_equal(get_facts(OK "{}", OK "{}", 41, &facts), LM_E_PROTOCOL);
	assert_int_equal(engine_parse_volume(LM_STR("x"), &volume, &err), LM_E_PROTOCOL);
	struct engine_volumes volumes = {0};
	assert_int_equal(engine_parse_volumes(LM_STR("[]"), "p", &volumes, &err), LM_E_PROTOCOL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_on_a_version),
		cmocka_unit_test(names_the_fix_without_a_daemon),
		cmocka_unit_test(gives_up_on_a_silent_daemon),
		cmocka_unit_test(asks_the_registry_whether_an_image_may_be_had),
		cmocka_unit_test(distinguishes_a_missing_image_from_a_failure),
		cmocka_unit_test(removal_leaves_strangers_alone_and_names_them),
		cmocka_unit_test(removal_takes_what_has_gone_for_done),
		cmocka_unit_test(stops_all_containers_of_the_project_and_no_other),
		cmocka_unit_test(names_the_container_that_does_not_stop),
		cmocka_unit_test(names_the_container_that_the_time_limit_does_not_wait_for),
		cmocka_unit_test(finds_the_directory_of_the_engines_images),
		cmocka_unit_test(asks_the_engine),
		cmocka_unit_test(an_engine_that_says_little_has_neutral_facts),
		cmocka_unit_test(an_engine_may_have_no_plugins),
		cmocka_unit_test(lists_the_volumes_of_a_project),
		cmocka_unit_test(refuses_what_is_no_answer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
