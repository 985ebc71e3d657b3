// SPDX-License-Identifier: Apache-2.0
#include "aws/local_store.h"

#include "base/file.h"
#include "base/memory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/// A store: <root>/store with the bucket "apps", and <root>/outside beside it.
static char root[] = "/tmp/local_store_test.XXXXXX";
static char *store;

static void write_file(const char *name, const char *text)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", root, name);
	lm_auto_fclose FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static void make_directory(const char *name)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", root, name);

	assert_int_equal(mkdir(path, 0700), 0);
}

static void make_link(const char *target, const char *name)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", root, name);

	assert_int_equal(symlink(target, path), 0);
}

static int set_up_objects(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(root));
	store = lm_xasprintf("%s/store", root);
	make_directory("store");
	make_directory("store/apps");
	make_directory("store/apps/dir");
	make_directory("outside");
	write_file("outside/secret", "secret");
	write_file("store/apps/plain", "text");
	write_file("store/apps/plain@v1", "old");
	write_file("store/apps/dir/a b+%20=\xC3\xBC&?#~.yml", "odd");
	write_file("store/apps/.hidden..", "dots");
	make_link("plain", "store/apps/link");
	make_link("../../outside/secret", "store/apps/leak");
	make_link("../../outside", "store/apps/leakdir");
	make_link("apps", "store/alias");
	return 0;
}

static int tear_down_objects(void **state)
{
	struct lm_err err;

	(void)state;
	free(store);
	return lm_tree_remove(AT_FDCWD, root, &err) == LM_OK ? 0 : -1;
}

static lm_rc get(const char *bucket, const char *key, const char *version,
	struct stored_object *ret, struct lm_err *err)
{
	return local_store_get_object(store, bucket, key, version, 100, ret, err);
}

static void assert_text(const char *bucket, const char *key, const char *version, const char *text)
{
	lm_auto_stored_object struct stored_object o = {0};

	assert_int_equal(get(bucket, key, version, &o, NULL), LM_OK);
	assert_string_equal(lm_buf_cstr(&o.text), text);
	if (version)
		assert_string_equal(o.version, version);
	else
		assert_null(o.version);
}

static void reads_objects_and_versions(void **state)
{
	(void)state;
	assert_text("apps", "plain", NULL, "text");
	assert_text("apps", "plain", "v1", "old");
	assert_text("apps", "dir/a b+%20=\xC3\xBC&?#~.yml", NULL, "odd");
	assert_text("apps", ".hidden..", NULL, "dots");
}

static void says_what_is_missing_and_where_it_looked(void **state)
{
	struct stored_object o;
	struct lm_err err = {0};
	lm_auto_free char *file = lm_xasprintf("no file '%s/apps/none'", store);
	lm_auto_free char *version = lm_xasprintf("no file '%s/apps/plain@v9'", store);
	lm_auto_free char *bucket = lm_xasprintf("no directory '%s/nope'", store);

	(void)state;
	assert_int_equal(get("apps", "none", NULL, &o, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "bucket 'apps' has no object 'none': "));
	assert_non_null(strstr(err.msg, file));
	assert_int_equal(get("apps", "plain", "v9", &o, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "has no object 'plain' of version 'v9': "));
	assert_non_null(strstr(err.msg, version));
	assert_int_equal(get("nope", "plain", NULL, &o, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "there is no bucket 'nope': "));
	assert_non_null(strstr(err.msg, bucket));
}

static void refuses_names_that_lead_out(void **state)
{
	static const struct {
		const char *bucket, *key, *version;
	} cases[] = {
		{"apps", "../../outside/secret", NULL},
		{"apps", "dir/../plain", NULL},
		{"apps", "..", NULL},
		{"apps", ".", NULL},
		{"apps", "./plain", NULL},
		{"apps", "/plain", NULL},
		{"apps", "/etc/passwd", NULL},
		{"apps", "dir//x", NULL},
		{"apps", "dir/", NULL},
		{"apps", "", NULL},
		{"..", "outside/secret", NULL},
		{"apps/dir", "x", NULL},
		{"", "apps", NULL},
		{"apps", "plain", "x/../../plain"},
		{"apps", "plain", ""},
	};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		struct stored_object o;
		struct lm_err err = {0};

		assert_int_equal(get(cases[i].bucket, cases[i].key, cases[i].version, &o, &err),
			LM_E_INVALID);
	}
}

static void follows_no_links(void **state)
{
	static const char *const keys[] = {"link", "leak", "leakdir/secret"};
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(keys); i++) {
		assert_int_equal(get("apps", keys[i], NULL, &o, &err), LM_E_DENIED);
		assert_non_null(strstr(err.msg, "symbolic link"));
	}
	assert_int_equal(get("alias", "plain", NULL, &o, &err), LM_E_DENIED);
}

static void reads_regular_files_only(void **state)
{
	lm_auto_free char *fifo = lm_xasprintf("%s/apps/fifo", store);
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(get("apps", "fifo", NULL, &o, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, "is not a regular file"));
	assert_int_equal(get("apps", "dir", NULL, &o, &err), LM_E_INVALID);
}

static void refuses_a_file_over_the_ceiling(void **state)
{
	struct stored_object o;
	struct lm_err err = {0};
	char text[102];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[101] = '\0';
	write_file("store/apps/big", text);
	assert_int_equal(get("apps", "big", NULL, &o, &err), LM_E_TOO_LARGE);
	text[100] = '\0';
	write_file("store/apps/fits", text);
	assert_text("apps", "fits", NULL, text);
}

static void names_a_store_that_does_not_exist(void **state)
{
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(
		local_store_get_object("/nonexistent/store", "apps", "plain", NULL, 100, &o, &err),
		LM_E_NETWORK);
	assert_string_equal(err.msg,
		"object store: the directory '/nonexistent/store' cannot be used (No such file or "
		"directory): mount or create it, or name another in the host file");
}

static void a_store_where_nothing_is_mounted_is_away(void **state)
{
	lm_auto_free char *place = lm_xasprintf("%s/apps/mount-point", store);
	lm_auto_free char *folder = lm_xasprintf("%s/other", place);
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(mkdir(place, 0700), 0);
	assert_int_equal(
		local_store_get_object(place, "apps", "plain", NULL, 100, &o, &err), LM_E_NETWORK);
	assert_non_null(strstr(err.msg, "is empty: mount what belongs there"));
	assert_int_equal(local_store_get_object(place, "apps", "plain", "null", 100, &o, &err),
		LM_E_NETWORK);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(local_store_get_object(place, "apps", "plain", NULL, 100, &o, &err),
		LM_E_NOT_FOUND);
}

static void a_store_that_is_a_file_is_not_away(void **state)
{
	lm_auto_free char *file = lm_xasprintf("%s/apps/plain", store);
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(
		local_store_get_object(file, "apps", "plain", NULL, 100, &o, &err), LM_E_DENIED);
	assert_non_null(strstr(err.msg, "(Not a directory)"));
}

static void a_store_that_fails_to_read_is_away(void **state)
{
	// Nothing is mapped at 0, where reading this regular file begins: EIO.
	lm_auto_free char *own = lm_xasprintf("%d", (int)getpid());
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(
		local_store_get_object("/proc", own, "mem", NULL, 100, &o, &err), LM_E_NETWORK);
	assert_non_null(strstr(err.msg, "Input/output error"));
}

static void the_null_version_is_the_current_object(void **state)
{
	struct stored_object o;
	struct lm_err err = {0};

	(void)state;
	assert_text("apps", "plain", "null", "text");
	write_file("store/apps/kept", "new");
	write_file("store/apps/kept@null", "of before");
	assert_text("apps", "kept", "null", "of before");
	assert_text("apps", "kept", NULL, "new");
	assert_int_equal(get("apps", "none", "null", &o, &err), LM_E_NOT_FOUND);
	assert_non_null(strstr(err.msg, "bucket 'apps' has no object 'none': "));
	assert_int_equal(get("apps", "link", "null", &o, &err), LM_E_DENIED);
}

#define ARN "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
#define VALUE "{\"username\":\"u\",\"password\":\"hunter2\",\"registryUrl\":\"r\"}"

static char secrets[] = "/tmp/local_store_test.XXXXXX";

static void write_secret(const char *name, const char *text, mode_t mode)
{
	lm_auto_free char *path = lm_xasprintf("%s/%s", secrets, name);
	lm_auto_fclose FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(chmod(path, mode), 0);
}

static int set_up_secrets(void **state)
{
	lm_auto_free char *folder = NULL;
	lm_auto_free char *link = NULL;

	(void)state;
	assert_non_null(mkdtemp(secrets));
	folder = lm_xasprintf("%s/team", secrets);
	link = lm_xasprintf("%s/link.json", secrets);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_secret("greengrass-hub.json", VALUE, 0600);
	write_secret("team/hub.json", VALUE, 0600);
	write_secret("open.json", VALUE, 0644);
	write_secret("broken.json", "{\"password\":hunter2}", 0600);
	assert_int_equal(symlink("greengrass-hub.json", link), 0);
	return 0;
}

static int tear_down_secrets(void **state)
{
	struct lm_err err;

	(void)state;
	return lm_tree_remove(AT_FDCWD, secrets, &err) == LM_OK ? 0 : -1;
}

static void finds_a_secret_by_its_arn(void **state)
{
	static const char *const arns[] = {ARN "greengrass-hub-a1B2c3", ARN "team/hub-a1B2c3",
		"arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:greengrass-hub-XXXXXX"};

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++) {
		lm_auto_secret_value struct secret_value v = {0};
		bool exposed = true;

		assert_int_equal(
			local_store_get_secret(secrets, arns[i], &v, &exposed, NULL), LM_OK);
		assert_string_equal(v.password.data, "hunter2");
		assert_false(exposed);
	}
}

static void tells_that_every_user_can_read_it(void **state)
{
	lm_auto_secret_value struct secret_value v = {0};
	bool exposed = false;

	(void)state;
	assert_int_equal(
		local_store_get_secret(secrets, ARN "open-a1B2c3", &v, &exposed, NULL), LM_OK);
	assert_true(exposed);
}

static void names_the_arn_and_the_file_that_is_missing(void **state)
{
	struct secret_value v;
	struct lm_err err = {0};
	lm_auto_free char *expected = lm_xasprintf(
		"secret '" ARN "none-a1B2c3': there is no file '%s/none.json'", secrets);

	(void)state;
	assert_int_equal(
		local_store_get_secret(secrets, ARN "none-a1B2c3", &v, NULL, &err), LM_E_NOT_FOUND);
	assert_string_equal(err.msg, expected);
}

static void never_leaves_its_directory(void **state)
{
	static const char *const arns[] = {ARN "../x-a1B2c3", ARN "/etc/x-a1B2c3",
		ARN "team//hub-a1B2c3", ARN "team/../greengrass-hub-a1B2c3"};
	struct secret_value v;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++)
		assert_int_equal(
			local_store_get_secret(secrets, arns[i], &v, NULL, NULL), LM_E_INVALID);
	assert_int_equal(
		local_store_get_secret(secrets, ARN "link-a1B2c3", &v, NULL, NULL), LM_E_DENIED);
}

static void refuses_what_is_no_arn_of_a_secret(void **state)
{
	static const char *const arns[] = {"", "greengrass-hub", "arn:aws:s3:::apps/greengrass-hub",
		"arn:aws:secretsmanager:eu-west-1:1:parameter:greengrass-hub-a1B2c3", ARN};
	struct secret_value v;

	(void)state;
	for (size_t i = 0; i < LM_ARRAY_SIZE(arns); i++)
		assert_int_equal(
			local_store_get_secret(secrets, arns[i], &v, NULL, NULL), LM_E_INVALID);
}

static void shows_no_content_of_a_broken_value(void **state)
{
	struct secret_value v;
	struct lm_err err = {0};

	(void)state;
	assert_int_equal(
		local_store_get_secret(secrets, ARN "broken-a1B2c3", &v, NULL, &err), LM_E_INVALID);
	assert_non_null(strstr(err.msg, ARN "broken-a1B2c3"));
	assert_null(strstr(err.msg, "hunter2"));
}

int main(void)
{
	const struct CMUnitTest of_objects[] = {
		cmocka_unit_test(reads_objects_and_versions),
		cmocka_unit_test(says_what_is_missing_and_where_it_looked),
		cmocka_unit_test(refuses_names_that_lead_out),
		cmocka_unit_test(follows_no_links),
		cmocka_unit_test(reads_regular_files_only),
		cmocka_unit_test(refuses_a_file_over_the_ceiling),
		cmocka_unit_test(names_a_store_that_does_not_exist),
		cmocka_unit_test(a_store_where_nothing_is_mounted_is_away),
		cmocka_unit_test(a_store_that_is_a_file_is_not_away),
		cmocka_unit_test(a_store_that_fails_to_read_is_away),
		cmocka_unit_test(the_null_version_is_the_current_object),
	};
	const struct CMUnitTest of_secrets[] = {
		cmocka_unit_test(finds_a_secret_by_its_arn),
		cmocka_unit_test(tells_that_every_user_can_read_it),
		cmocka_unit_test(names_the_arn_and_the_file_that_is_missing),
		cmocka_unit_test(never_leaves_its_directory),
		cmocka_unit_test(refuses_what_is_no_arn_of_a_secret),
		cmocka_unit_test(shows_no_content_of_a_broken_value),
	};

	return cmocka_run_group_tests(of_objects, set_up_objects, tear_down_objects) +
	       cmocka_run_group_tests(of_secrets, set_up_secrets, tear_down_secrets);
}
