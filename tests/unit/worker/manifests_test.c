// SPDX-License-Identifier: Apache-2.0
#include "worker/manifests.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "loopback.h"
#include "registry/challenge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#define ANSWER(status, headers, body) "HTTP/1.0 " status "\r\n" headers "\r\n" body
#define OK(body) ANSWER("200 OK", "", body)
#define MANIFEST                                                                                   \
	"{\"config\":{\"digest\":\"sha256:cc\"},\"layers\":[{\"digest\":\"sha256:01\","            \
	"\"size\":100}]}"
#define CONFIG "{\"rootfs\":{\"diff_ids\":[\"sha256:d1\"]}}"
#define INDEX                                                                                      \
	"{\"manifests\":[{\"digest\":\"sha256:a1\",\"platform\":{\"os\":\"linux\","                \
	"\"architecture\":\"amd64\"}},{\"digest\":\"sha256:a2\",\"platform\":{\"os\":\"linux\","   \
	"\"architecture\":\"arm64\"}}]}"

/// A registry that gives these answers, and what was asked of it.
struct exchange {
	struct loopback *server;
	struct registry_credentials credentials;
	struct manifest_answer answer;
};

static void begin(struct exchange *x, const struct loopback_answer *answers, unsigned n)
{
	*x = (struct exchange){.server = loopback_start(answers, n)};
	x->credentials = (struct registry_credentials){
		.registry = lm_xstrdup("registry"), .username = lm_xstrdup("alice")};
	lm_secret_set(&x->credentials.password, LM_STR("s3cret"));
}

static void run_knowing(struct exchange *x, bool with_credentials, const char *known)
{
	const struct manifests_options options = {
		.certificates = "/nonexistent", .attempts = 1, .timeout_ms = 30000};
	const struct wait_limit limit = WAIT_FOREVER;
	lm_auto_free char *image =
		lm_xasprintf("%s/demo/web:1", strstr(loopback_origin(x->server), "//") + 2);
	const struct manifest_question question = {.image = image,
		.platform = "linux/arm64",
		.credentials = with_credentials ? &x->credentials : NULL,
		.known = known};
	struct lm_err err = {0};

	assert_int_equal(manifests_ask(&question, 1, &options, &limit, &x->answer, &err), LM_OK);
	loopback_stop(x->server);
}

static void run(struct exchange *x, bool with_credentials)
{
	run_knowing(x, with_credentials, NULL);
}

static void finish(struct exchange *x)
{
	loopback_destroy(x->server);
	registry_credentials_finish(&x->credentials);
	manifest_answer_finish(&x->answer);
}

static void assert_asked(const struct exchange *x, unsigned i, const char *what)
{
	assert_true(i < loopback_count(x->server));
	if (!strstr(loopback_request(x->server, i), what))
		fail_msg("request %u has no '%s':\n%s", i, what, loopback_request(x->server, i));
}

static void assert_not_asked(const struct exchange *x, unsigned i, const char *what)
{
	assert_true(i < loopback_count(x->server));
	assert_null(strstr(loopback_request(x->server, i), what));
}

static void an_open_registry_tells_at_once(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {{OK(MANIFEST)}, {OK(CONFIG)}};
	struct exchange x;

	begin(&x, answers, 2);
	run(&x, true);
	assert_int_equal(x.answer.rc, LM_OK);
	assert_string_equal(x.answer.digest, x.answer.manifest_digest);
	assert_int_equal(strlen(x.answer.digest), 7 + 64);
	assert_int_equal(x.answer.manifest.layers[0].bytes, 100);
	assert_string_equal(x.answer.layers.digests[0], "sha256:d1");
	assert_asked(&x, 0, "GET /v2/demo/web/manifests/1 ");
	assert_asked(&x, 0, "Accept: application/vnd.oci.image.index.v1+json\r\n");
	assert_asked(&x, 0, "Accept: application/vnd.docker.distribution.manifest.v2+json\r\n");
	assert_not_asked(&x, 0, "Authorization");
	assert_asked(&x, 1, "GET /v2/demo/web/blobs/sha256%3Acc ");
	finish(&x);
}

#define HEADED(digest) ANSWER("200 OK", "Docker-Content-Digest: " digest "\r\n", "")

static void of_an_image_that_is_current_only_the_digest_is_asked(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {
		{ANSWER("401 No", "WWW-Authenticate: Basic realm=\"r\"\r\n", "")},
		{HEADED("sha256:aa")}};
	struct exchange x;

	begin(&x, answers, 2);
	run_knowing(&x, true, "sha256:aa");
	assert_int_equal(x.answer.rc, LM_OK);
	assert_string_equal(x.answer.digest, "sha256:aa");
	assert_int_equal(x.answer.manifest.layers_n, 0);
	assert_asked(&x, 0, "HEAD /v2/demo/web/manifests/1 ");
	assert_asked(&x, 1, "HEAD /v2/demo/web/manifests/1 ");
	assert_int_equal(loopback_count(x.server), 2);
	finish(&x);
}

static void any_other_answer_to_that_leads_to_the_manifest(void **state)
{
	(void)state;
	static const char *const heads[] = {HEADED("sha256:bb"), ANSWER("200 OK", "", ""),
		ANSWER("405 Not allowed", "", ""), ANSWER("307 There", "Location: /x\r\n", "")};

	for (size_t i = 0; i < LM_ARRAY_SIZE(heads); i++) {
		const struct loopback_answer answers[] = {{heads[i]}, {OK(MANIFEST)}, {OK(CONFIG)}};
		struct exchange x;

		begin(&x, answers, 3);
		run_knowing(&x, false, "sha256:aa");
		assert_int_equal(x.answer.rc, LM_OK);
		assert_int_equal(x.answer.manifest.layers_n, 1);
		assert_asked(&x, 1, "GET /v2/demo/web/manifests/1 ");
		finish(&x);
	}
}

static void an_index_leads_to_the_platforms_manifest(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {{OK(INDEX)}, {OK(MANIFEST)}, {OK(CONFIG)}};
	struct exchange x;

	begin(&x, answers, 3);
	run(&x, false);
	assert_int_equal(x.answer.rc, LM_OK);
	assert_asked(&x, 1, "GET /v2/demo/web/manifests/sha256%3Aa2 ");
	assert_string_equal(x.answer.manifest_digest, "sha256:a2");
	assert_string_not_equal(x.answer.digest, "sha256:a2");
	finish(&x);
}

static void a_password_is_sent_only_once_it_is_asked_for(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {
		{ANSWER("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "")},
		{OK(MANIFEST)}, {OK(CONFIG)}};
	struct exchange x;

	begin(&x, answers, 3);
	run(&x, true);
	assert_int_equal(x.answer.rc, LM_OK);
	assert_not_asked(&x, 0, "Authorization");
	assert_asked(&x, 1, "Authorization: Basic YWxpY2U6czNjcmV0\r\n");
	assert_asked(&x, 2, "Authorization: Basic YWxpY2U6czNjcmV0\r\n");
	finish(&x);
}

static void a_token_is_fetched_where_the_registry_says(void **state)
{
	(void)state;
	static char challenge[300];
	const struct loopback_answer answers[] = {
		{challenge}, {OK("{\"token\":\"t0k\"}")}, {OK(MANIFEST)}, {OK(CONFIG)}};
	struct exchange x;

	begin(&x, answers, 4);
	(void)snprintf(challenge, sizeof(challenge),
		ANSWER("401 Unauthorized",
			"WWW-Authenticate: Bearer realm=\"%s/token?a=1\",service=\"reg\"\r\n", ""),
		loopback_origin(x.server));
	run(&x, true);
	assert_int_equal(x.answer.rc, LM_OK);
	assert_asked(&x, 1, "GET /token?a=1&scope=repository%3Ademo%2Fweb%3Apull&service=reg ");
	assert_asked(&x, 1, "Authorization: Basic YWxpY2U6czNjcmV0\r\n");
	assert_asked(&x, 2, "Authorization: Bearer t0k\r\n");
	assert_asked(&x, 3, "Authorization: Bearer t0k\r\n");
	finish(&x);
}

static void what_authorizes_us_goes_to_no_other_host(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {
		{ANSWER("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "")},
		{OK(MANIFEST)}, {ANSWER("307 Temporary Redirect", "Location: /store?s=1\r\n", "")},
		{OK(CONFIG)}};
	struct exchange x;

	begin(&x, answers, 4);
	run(&x, true);
	assert_int_equal(x.answer.layers.n, 1);
	assert_asked(&x, 3, "GET /store?s=1 ");
	assert_not_asked(&x, 3, "Authorization");
	finish(&x);
}

/// Nothing is known, and the sentence has these words.
static void assert_unknown(const struct exchange *x, lm_rc rc, const char *words)
{
	assert_int_equal(x->answer.rc, rc);
	if (!strstr(x->answer.err.msg, words))
		fail_msg("'%s' does not say '%s'", x->answer.err.msg, words);
	assert_null(strstr(x->answer.err.msg, "s3cret"));
	assert_int_equal(x->answer.manifest.layers_n, 0);
}

static void fails_with(
	const char *first, const char *second, bool with_credentials, lm_rc rc, const char *words)
{
	const struct loopback_answer answers[] = {{first}, {second}};
	struct exchange x;

	begin(&x, answers, second ? 2 : 1);
	run(&x, with_credentials);
	assert_unknown(&x, rc, words);
	finish(&x);
}

#define BASIC ANSWER("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", "")
#define BEARER(realm)                                                                              \
	ANSWER("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"" realm "\"\r\n", "")

static void says_why_nothing_is_known(void **state)
{
	(void)state;
	fails_with(BASIC, BASIC, true, LM_E_DENIED, "refuses user alice");
	fails_with(BASIC, NULL, false, LM_E_DENIED, "there is none for it");
	fails_with(ANSWER("404 Not Found", "", ""), NULL, true, LM_E_NOT_FOUND, "does not have it");
	fails_with(ANSWER("403 Forbidden", "", ""), NULL, true, LM_E_DENIED, "refuses user alice");
	fails_with(ANSWER("500 Oh", "", ""), NULL, true, LM_E_NETWORK, "returned HTTP 500");
	fails_with(OK("rubbish"), NULL, true, LM_E_PROTOCOL, "not a JSON object");
	fails_with(OK(INDEX), OK(INDEX), true, LM_E_PROTOCOL, "refers to another index");
	fails_with(OK("{\"manifests\":[]}"), NULL, true, LM_E_NOT_FOUND,
		"not available for linux/arm64");
}

static void an_identity_token_is_sent_to_nobody(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {{BASIC}};
	struct exchange x;

	begin(&x, answers, 1);
	free(x.credentials.username);
	x.credentials.username = lm_xstrdup(REGISTRY_TOKEN_USER);
	run(&x, true);
	assert_unknown(&x, LM_E_DENIED, "is an identity token");
	finish(&x);
}

static void a_password_goes_to_no_address_that_is_not_safe(void **state)
{
	(void)state;
	fails_with(BEARER("http://198.51.100.7/token"), NULL, true, LM_E_DENIED, "is not secure");
	fails_with(BEARER("ftp://x"), NULL, true, LM_E_INVALID,
		"is not a valid http:// or https:// URL");
	fails_with(ANSWER("302 Found", "Location: http://198.51.100.7/\r\n", ""), NULL, true,
		LM_E_DENIED, "is not secure");
}

static void a_registry_that_sends_in_circles_is_left(void **state)
{
	(void)state;
	const struct loopback_answer again = {ANSWER("302 Found", "Location: /again\r\n", "")};
	const struct loopback_answer answers[] = {again, again, again, again};
	struct exchange x;

	begin(&x, answers, 4);
	run(&x, true);
	assert_unknown(&x, LM_E_PROTOCOL, "redirects too often");
	finish(&x);
}

static void without_the_configuration_the_sizes_stand(void **state)
{
	(void)state;
	const struct loopback_answer answers[] = {{OK(MANIFEST)}, {ANSWER("404 Not", "", "")}};
	struct exchange x;

	begin(&x, answers, 2);
	run(&x, true);
	assert_int_equal(x.answer.rc, LM_OK);
	assert_int_equal(x.answer.manifest.layers_n, 1);
	assert_int_equal(x.answer.layers.n, 0);
	finish(&x);
}

static void many_images_are_asked_for_each(void **state)
{
	(void)state;
	enum { N = 100 };
	struct manifest_question questions[N];
	struct manifest_answer answers[N];
	const struct manifests_options options = {
		.certificates = "/nonexistent", .attempts = 1, .timeout_ms = 30000};
	const struct wait_limit limit = WAIT_FOREVER;
	struct lm_err err = {0};

	// Nobody listens there, and every fourth is no name at all.
	for (size_t i = 0; i < N; i++)
		questions[i] = (struct manifest_question){
			.image = i % 4 ? "127.0.0.1:1/a" : "A", .platform = "linux/amd64"};
	assert_int_equal(manifests_ask(questions, N, &options, &limit, answers, &err), LM_OK);
	for (size_t i = 0; i < N; i++) {
		assert_int_equal(answers[i].rc, i % 4 ? LM_E_NETWORK : LM_E_INVALID);
		manifest_answer_finish(&answers[i]);
	}
}

static void gives_up_when_told_to_stop(void **state)
{
	(void)state;
	lm_auto_close int stop = eventfd(1, EFD_CLOEXEC);
	const struct wait_limit limit = {.cancel_fd = stop};
	const struct manifests_options options = {
		.certificates = "/nonexistent", .attempts = 1, .timeout_ms = 30000};
	struct manifest_answer answer = {0};
	struct lm_err err = {0};
	const struct manifest_question question = {
		.image = "127.0.0.1:1/a", .platform = "linux/amd64"};
	assert_int_equal(
		manifests_ask(&question, 1, &options, &limit, &answer, &err), LM_E_CANCELLED);
	assert_int_equal(answer.rc, LM_E_CANCELLED);
	manifest_answer_finish(&answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_registry_tells_at_once),
		cmocka_unit_test(of_an_image_that_is_current_only_the_digest_is_asked),
		cmocka_unit_test(any_other_answer_to_that_leads_to_the_manifest),
		cmocka_unit_test(an_index_leads_to_the_platforms_manifest),
		cmocka_unit_test(a_password_is_sent_only_once_it_is_asked_for),
		cmocka_unit_test(a_token_is_fetched_where_the_registry_says),
		cmocka_unit_test(what_authorizes_us_goes_to_no_other_host),
		cmocka_unit_test(says_why_nothing_is_known),
		cmocka_unit_test(an_identity_token_is_sent_to_nobody),
		cmocka_unit_test(a_password_goes_to_no_address_that_is_not_safe),
		cmocka_unit_test(a_registry_that_sends_in_circles_is_left),
		cmocka_unit_test(without_the_configuration_the_sizes_stand),
		cmocka_unit_test(many_images_are_asked_for_each),
		cmocka_unit_test(gives_up_when_told_to_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
