// SPDX-License-Identifier: Apache-2.0
#include "credentials_fixture.h"
#include "aws/shared_config.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "http/https.h"
#include "sys/wait.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/lm-credentials-XXXXXX";

void fixture_set(const char *name, const char *value)
{
	assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

int fixture_setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/lm-credentials-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(clearenv(), 0);
	fixture_set("PATH", "/usr/bin:/bin");
	fixture_set("HOME", folder);
	fixture_set("AWS_EC2_METADATA_DISABLED", "true");
	return 0;
}

int fixture_teardown(void **state)
{
	(void)state;
	return lm_tree_remove(AT_FDCWD, folder, NULL) == LM_OK ? 0 : -1;
}

const char *fixture_write(const char *name, const char *text)
{
	static char path[200];
	char parent[200];

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	(void)snprintf(parent, sizeof(parent), "%s", path);
	assert_int_equal(lm_dir_make(dirname(parent), 0700, NULL), LM_OK);
	lm_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(lm_fd_write_all(fd, path, lm_str(text), NULL), LM_OK);
	return path;
}

struct credentials_settings fixture_settings(void)
{
	return (struct credentials_settings){
		.timeout_ms = 20000, .attempts = 2, .backoff_max_ms = 1};
}

void fixture_load_with(struct load *l, const struct credentials_settings *settings)
{
	lm_auto(https_destroy_p) struct https *https = NULL;
	const struct wait_limit limit = {
		.deadline_ms = lm_clock_mono_ms() + 30000, .cancel_fd = -1};

	*l = (struct load){0};
	l->rc = shared_config_https(&https, &l->err);
	if (l->rc == LM_OK)
		l->rc = credentials_load(https, settings, &limit, &l->credentials, &l->err);
}

void fixture_load(struct load *l)
{
	const struct credentials_settings settings = fixture_settings();

	fixture_load_with(l, &settings);
}

void load_finish(struct load *l)
{
	credentials_finish(&l->credentials);
}

void assert_loaded(const struct load *l, const char *id, const char *secret, const char *token)
{
	if (l->rc != LM_OK)
		fail_msg("%s: %s", lm_rc_name(l->rc), l->err.msg);
	assert_string_equal(l->credentials.access_key_id, id);
	assert_string_equal(l->credentials.secret.data, secret);
	assert_string_equal(lm_secret_str(&l->credentials.session_token).p, token);
}

void assert_failed(const struct load *l, lm_rc rc, const char *part)
{
	if (l->rc != rc || !strstr(l->err.msg, part))
		fail_msg("%s: '%s' has no '%s'", lm_rc_name(l->rc), l->err.msg, part);
	assert_null(l->credentials.access_key_id);
}
