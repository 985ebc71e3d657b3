// SPDX-License-Identifier: Apache-2.0
#include "cli/host_survey.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/core_config.h"
#include "docker/compose_find.h"
#include "sys/listeners.h"
#include "sys/process.h"
#include "sys/socket.h"

#include <arpa/inet.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOCKET_DEFAULT "/var/run/docker.sock"
#define DOCKER_HOST_UNIX "unix://"
#define USUAL_USER "ggc_user"

enum { PORT_BROKER = 1883, VALUE_MAX = 256 };

static bool survey_is_text(const char *text)
{
	return text && *text && strlen(text) <= VALUE_MAX && lm_str_is_utf8(lm_str(text));
}

static void survey_engine(struct host_survey *s)
{
	const char *host = getenv("DOCKER_HOST");
	bool is_socket = survey_is_text(host) &&
			 lm_str_starts(lm_str(host), LM_STR(DOCKER_HOST_UNIX)) &&
			 lm_path_is_absolute(lm_str(host + strlen(DOCKER_HOST_UNIX)));
	lm_auto_close int fd = -1;

	s->docker_socket = lm_xstrdup(is_socket ? host + strlen(DOCKER_HOST_UNIX) : SOCKET_DEFAULT);
	lm_rc rc = socket_unix_connect(s->docker_socket, &fd, NULL);
	// Whoever may not use it cannot know whether somebody listens.
	s->engine_answers = rc == LM_OK || rc == LM_E_DENIED;
}

static char *compose_text(const struct compose *c)
{
	return lm_xasprintf(
		"docker-compose %s (%s%s)", c->version, c->program, c->plugin ? " compose" : "");
}

static lm_rc survey_compose(struct host_survey *s, const struct host_survey_places *places,
	const struct wait_limit *limit, struct lm_err *err)
{
	static const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	struct compose_search search = {.directories = places->compose_directories, .env = env};
	lm_auto(compose_finish) struct compose found = {0}, plugin = {0};
	lm_auto_free char *docker = NULL;
	lm_rc rc = compose_find(&search, limit, &found, err);

	if (rc)
		return rc == LM_E_CANCELLED ? rc : LM_OK;
	s->compose = compose_text(&found);
	if (found.plugin || docker_find(places->compose_directories, &docker, NULL))
		return LM_OK;
	search.setting = docker;
	rc = compose_find(&search, limit, &plugin, err);
	if (!rc)
		s->other_compose = compose_text(&plugin);
	return rc == LM_E_CANCELLED ? rc : LM_OK;
}

static void take_region(struct host_survey *s, const char *region, const char *source)
{
	if (s->region || !survey_is_text(region))
		return;
	s->region = lm_xstrdup(region);
	s->region_source = lm_xstrdup(source);
}

static void survey_core(struct host_survey *s, const char *root)
{
	lm_auto_free char *path = lm_path_join(root, "config/config.json");
	lm_auto_core_config struct core_config core = {0};
	lm_auto_json json_t *config = NULL;

	if (json_read_file(path, LIMIT_HOST_FILE, &config, NULL))
		return;
	core_config_read(config, root, &core);
	s->greengrass_root = lm_xstrdup(root);
	if (survey_is_text(core.thing_name))
		s->thing_name = lm_take(core.thing_name);
	take_region(s, core.region, path);
}

static void survey_environment(struct host_survey *s)
{
	static const char *const endpoints[] = {"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
		"AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL_ECR",
		"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "AWS_ENDPOINT_URL_STS"};
	char name[VALUE_MAX] = "";

	take_region(s, getenv("AWS_REGION"), "AWS_REGION");
	take_region(s, getenv("AWS_DEFAULT_REGION"), "AWS_DEFAULT_REGION");
	for (size_t i = 0; i < LM_ARRAY_SIZE(endpoints); i++)
		s->has_endpoint = s->has_endpoint || survey_is_text(getenv(endpoints[i]));
	if (gethostname(name, sizeof(name) - 1) == 0 && survey_is_text(name))
		s->host_name = lm_xstrdup(name);
}

/// Adds a user, once, if it is not root and is in that group.
static bool survey_add_user(struct host_survey *s, const struct process_user *user, gid_t group)
{
	bool is_member = user->gid == group;

	for (int i = 0; i < user->groups_n; i++)
		is_member = is_member || user->groups[i] == group;
	for (size_t i = 0; i < s->users_n; i++)
		if (strcmp(s->users[i], user->name) == 0)
			return false;
	if (!is_member || user->uid == 0 || s->users_n == SURVEY_USERS_MAX ||
		!survey_is_text(user->name))
		return false;
	s->users[s->users_n++] = lm_xstrdup(user->name);
	return true;
}

static bool survey_add_named(struct host_survey *s, const char *name, gid_t group)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	return process_user_by_name(name, &user, NULL) == LM_OK && survey_add_user(s, &user, group);
}

/// Who called sudo, or the caller.
static void survey_add_caller(struct host_survey *s, gid_t group)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	const char *sudo = getenv("SUDO_UID");
	uint64_t uid = geteuid();

	if (uid == 0 && sudo)
		(void)lm_str_to_u64(lm_str(sudo), UINT32_MAX - 1, &uid);
	if (process_user_by_uid((uid_t)uid, &user, NULL) == LM_OK)
		(void)survey_add_user(s, &user, group);
}

/// The group of the engine's socket has those that may use the engine.
static void survey_users(struct host_survey *s)
{
	struct stat st;
	gid_t group;

	if (stat(s->docker_socket, &st) == 0)
		group = st.st_gid;
	else if (process_group_by_name("docker", &group, NULL))
		return;
	s->has_usual_user = survey_add_named(s, USUAL_USER, group);
	survey_add_caller(s, group);
	const struct group *entry = getgrgid(group);
	// A copy: looking up a user may overwrite the entry.
	lm_auto_buf struct lm_buf names = LM_BUF(64 << 10);
	for (char *const *name = entry ? entry->gr_mem : NULL; name && *name; name++)
		(void)lm_buf_printf(&names, "%s\n", *name);
	for (struct lm_str rest = lm_buf_str(&names); rest.n > 0;) {
		struct lm_str line = lm_str_cut(&rest, '\n');
		lm_auto_free char *name = lm_xmemdup0(line.p, line.n);
		(void)survey_add_named(s, name, group);
	}
}

/// The address to connect to for what listens there.
static char *survey_address(const struct listener *l)
{
	struct in_addr v4;
	char text[INET6_ADDRSTRLEN] = "";

	memcpy(&v4, &l->address, sizeof(v4));
	if (l->ipv6 ? IN6_IS_ADDR_UNSPECIFIED(&l->address) : v4.s_addr == htonl(INADDR_ANY))
		return lm_xstrdup("127.0.0.1");
	(void)inet_ntop(l->ipv6 ? AF_INET6 : AF_INET,
		l->ipv6 ? (const void *)&l->address : (const void *)&v4, text, sizeof(text));
	return lm_xstrdup(text);
}

static void survey_broker(struct host_survey *s)
{
	lm_auto(listeners_finish) struct listeners list = {0};

	if (listeners_read(&list, NULL))
		return;
	for (size_t i = 0; i < list.n; i++) {
		const struct listener *l = &list.items[i];

		if (l->udp || l->port != PORT_BROKER)
			continue;
		free(s->broker_host);
		s->broker_host = survey_address(l);
		s->broker_port = l->port;
		if (strcmp(s->broker_host, "127.0.0.1") == 0)
			return;
	}
}

lm_rc host_survey_make(const struct host_survey_places *places, const struct wait_limit *limit,
	struct host_survey *ret, struct lm_err *err)
{
	struct host_survey s = {0};

	survey_engine(&s);
	// In the order in which lightermand takes a Region.
	survey_core(&s, places->greengrass_root ? places->greengrass_root : "/greengrass");
	survey_environment(&s);
	survey_users(&s);
	survey_broker(&s);
	lm_rc rc = survey_compose(&s, places, limit, err);
	if (rc) {
		host_survey_finish(&s);
		return rc;
	}
	*ret = s;
	return LM_OK;
}

void host_survey_finish(struct host_survey *s)
{
	for (size_t i = 0; i < s->users_n; i++)
		free(s->users[i]);
	free(s->docker_socket);
	free(s->compose);
	free(s->other_compose);
	free(s->greengrass_root);
	free(s->region);
	free(s->region_source);
	free(s->thing_name);
	free(s->host_name);
	free(s->broker_host);
	*s = (struct host_survey){0};
}
