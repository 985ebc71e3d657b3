// SPDX-License-Identifier: Apache-2.0
#include "worker/requirements.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "deploy/destination.h"
#include "docker/compose_file.h"
#include "worker/hints.h"
#include "worker/local_copy.h"
#include "worker/up_conflicts.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	PROBLEMS_MAX = 100,
	DIFFERENCES_MAX = 700,
	MOUNTS_MAX = 4 << 20,
	SOCKETS_MAX = 8 << 20,
	NVIDIA_BY_CDI_MINOR = 48, ///< Engines from here on may do without nvidia's hook.
};

/// A search for problems.
struct search {
	struct context *cx;
	struct compose_requirements wanted;
	struct engine_facts facts;
	bool same_host;   ///< Engine and worker see the same files.
	bool private_dev; ///< systemd gave lightermand a /dev of its own.
	bool private_tmp; ///< ... a /tmp.
	struct problems *to;
};

void problems_finish(struct problems *problems)
{
	for (size_t i = 0; i < problems->n; i++)
		free(problems->items[i].message);
	free(problems->items);
	*problems = (struct problems){0};
}

const char *problem_level_name(enum problem_level level)
{
	return level == PROBLEM_ERROR ? "error" : "warning";
}

static bool requirements_is_known(const struct problems *problems, const char *message)
{
	for (size_t i = 0; i < problems->n; i++)
		if (strcmp(problems->items[i].message, message) == 0)
			return true;
	return false;
}

/// `rc` LM_OK: a warning.
static void add_problem(struct search *s, lm_rc rc, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add_problem(struct search *s, lm_rc rc, const char *format, ...)
{
	struct problems *to = s->to;
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	if (to->n == PROBLEMS_MAX || requirements_is_known(to, message))
		return;
	if (!to->items)
		to->items = lm_xcalloc(PROBLEMS_MAX, sizeof(*to->items));
	to->items[to->n++] = (struct problem){.level = rc ? PROBLEM_ERROR : PROBLEM_WARNING,
		.rc = rc,
		.message = lm_take(message)};
}

// Paths

/// An engine in a container, on another machine or in a mount namespace of its own sees other files
/// than we do.
static bool is_same_host(const struct engine_facts *facts)
{
	char name[256];
	struct stat st;

	if (facts->rootless || gethostname(name, sizeof(name)) < 0)
		return false;
	name[sizeof(name) - 1] = '\0';
	if (strcmp(name, facts->host_name) != 0)
		return false;
	// A snap has its own root.
	if (strncmp(facts->root_directory, "/var/snap/", 10) == 0)
		return false;
	return stat(facts->root_directory, &st) == 0 || errno == EACCES;
}

/// Finds what systemd hides from us (PrivateDevices, PrivateTmp).
static void look_at_own_view(struct search *s)
{
	lm_auto_buf struct lm_buf mounts = LM_BUF(MOUNTS_MAX);
	struct statvfs dev;

	s->private_dev = statvfs("/dev", &dev) == 0 && (dev.f_flag & ST_RDONLY);
	s->private_tmp = lm_file_read("/proc/self/mountinfo", &mounts, NULL) == LM_OK &&
			 strstr(lm_buf_cstr(&mounts), "/systemd-private-") != NULL;
}

/// Whether `path` is `directory` or below it.
static bool is_below(const char *path, const char *directory)
{
	size_t n = strlen(directory);

	while (n > 1 && directory[n - 1] == '/')
		n--;
	return strncmp(path, directory, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool is_visible(const struct search *s, const char *path)
{
	if (!s->same_host || (s->private_dev && is_below(path, "/dev")))
		return false;
	return !s->private_tmp || !(is_below(path, "/tmp") || is_below(path, "/var/tmp"));
}

enum path_state { PATH_UNKNOWN, PATH_THERE, PATH_DIRECTORY, PATH_MISSING };

static enum path_state look_at_path(const struct search *s, const char *path)
{
	struct stat st;

	if (!is_visible(s, path))
		return PATH_UNKNOWN;
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? PATH_DIRECTORY : PATH_THERE;
	return errno == ENOENT || errno == ENOTDIR ? PATH_MISSING : PATH_UNKNOWN;
}

/// Another container may create the path first, as a directory above it is mounted, too.
static bool may_come(const struct search *s, const struct compose_path *path)
{
	for (size_t i = 0; i < s->wanted.paths_n; i++) {
		const struct compose_path *other = &s->wanted.paths[i];
		bool holds_files =
			other->kind == COMPOSE_PATH_BIND || other->kind == COMPOSE_PATH_VOLUME;

		if (holds_files && strcmp(other->path, path->path) != 0 &&
			is_below(path->path, other->path))
			return true;
	}
	return false;
}

/// The local copy of the compose file, and the certificates of the group's devices, are put there
/// before `up`.
static bool comes_before_up(const struct search *s, const char *path)
{
	const char *destination = context_definition(s->cx)->destination;
	const struct group *group = s->cx->task->group;
	lm_auto_free char *copy = lm_path_join(destination, LOCAL_COPY_NAME);
	lm_auto_free char *devices = lm_path_join(destination, "devices");

	if (strcmp(path, copy) == 0 || (group->devices_n > 0 && strcmp(path, devices) == 0))
		return true;
	for (size_t i = 0; i < group->devices_n; i++) {
		lm_auto_free char *device = lm_path_join(devices, group->devices[i].thing_name);

		if (is_below(path, device))
			return true;
	}
	return false;
}

/// What keeps the engine from creating the directory `path`: a link that leads nowhere, or
/// something else that is no directory. NULL: nothing that we can see. The caller frees.
static char *find_obstacle(const char *path)
{
	lm_auto_free char *at = lm_xstrdup(path);
	struct stat st;

	while (lstat(at, &st) < 0) {
		char *slash = strrchr(at, '/');

		if ((errno != ENOENT && errno != ENOTDIR) || !slash || slash == at)
			return NULL;
		*slash = '\0';
	}
	if (stat(at, &st) == 0)
		return S_ISDIR(st.st_mode) ? NULL : lm_take(at);
	return errno == ENOENT ? lm_take(at) : NULL;
}

/// Whether it is meant to be beside a compose file that is deployed without its own directory. The
/// daemon would create it empty, and the application would run without its files.
static bool is_left_behind(const struct search *s, const char *path)
{
	const char *destination = context_definition(s->cx)->destination;

	return destination_is_ours(s->cx->task->host.state_directory, destination) &&
	       is_below(path, destination);
}

static void report_missing_bind(struct search *s, const struct compose_path *p)
{
	if (is_left_behind(s, p->path)) {
		add_problem(s, LM_E_INVALID,
			"service '%s': bind source '%s' does not exist: give --destination, the "
			"directory that relative paths of the compose file start from, or an "
			"absolute path",
			p->service, p->path);
		return;
	}
	lm_auto_free char *obstacle = p->required ? NULL : find_obstacle(p->path);
	lm_rc rc = may_come(s, p) ? LM_OK : LM_E_INVALID;

	if (obstacle)
		add_problem(s, rc,
			"service '%s': bind source '%s' does not exist, and the Docker daemon "
			"cannot create it, as '%s' is %s: correct the path, or what is there",
			p->service, p->path, obstacle,
			access(obstacle, F_OK) == 0 ? "not a directory" : "a broken symbolic link");
	else if (p->required)
		add_problem(s, rc,
			"service '%s': bind source '%s' does not exist, and the Docker daemon does "
			"not create it: put it there, or correct the path",
			p->service, p->path);
	else
		add_problem(s, LM_OK,
			"service '%s': bind source '%s' does not exist; the Docker daemon would "
			"create a directory there that belongs to root: put the file or directory "
			"there, or correct the path",
			p->service, p->path);
}

static void report_missing(struct search *s, const struct compose_path *p)
{
	lm_rc rc = p->required && !may_come(s, p) ? LM_E_INVALID : LM_OK;
	const char *service = p->service, *name = p->name, *path = p->path;

	switch (p->kind) {
	case COMPOSE_PATH_BIND:
		report_missing_bind(s, p);
		break;
	case COMPOSE_PATH_DEVICE:
		add_problem(s, rc,
			"service '%s': device '%s' does not exist on this device: connect it, load "
			"its driver, or correct the path",
			service, path);
		break;
	case COMPOSE_PATH_SECRET:
		add_problem(s, rc,
			"service '%s': file '%s' of secret '%s' does not exist: put it there, or "
			"correct the path",
			service, path, name);
		break;
	case COMPOSE_PATH_CONFIG:
		add_problem(s, rc,
			"service '%s': file '%s' of config '%s' does not exist: put it there, or "
			"correct the path",
			service, path, name);
		break;
	case COMPOSE_PATH_VOLUME:
		add_problem(s, rc,
			"service '%s': volume '%s' mounts '%s', which does not exist: create it, "
			"or correct the volume's driver_opts",
			service, name, path);
		break;
	case COMPOSE_PATH_BUILD: // needed only if its image has to be built
		add_problem(s, LM_OK,
			"service '%s': build context '%s' does not exist: put it there, or correct "
			"the path",
			service, path);
		break;
	}
}

static void check_paths(struct search *s)
{
	for (size_t i = 0; i < s->wanted.paths_n; i++) {
		const struct compose_path *p = &s->wanted.paths[i];
		enum path_state state = look_at_path(s, p->path);
		bool is_file = p->kind == COMPOSE_PATH_SECRET || p->kind == COMPOSE_PATH_CONFIG;

		if (state == PATH_MISSING && !comes_before_up(s, p->path))
			report_missing(s, p);
		if (state == PATH_DIRECTORY && is_file)
			add_problem(s, LM_OK,
				"service '%s': '%s', the file of %s '%s', is a directory: put the "
				"file there, or correct the path",
				p->service, p->path,
				p->kind == COMPOSE_PATH_SECRET ? "secret" : "config", p->name);
	}
}

// Drivers

/// Whether a managed plugin has that name, whatever its tag is.
static bool has_plugin(const struct engine_facts *facts, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < facts->plugins.n; i++) {
		const char *plugin = facts->plugins.items[i];
		if (strncmp(plugin, name, n) == 0 && (plugin[n] == '\0' || plugin[n] == ':'))
			return true;
	}
	return false;
}

enum driver_state { DRIVER_KNOWN, DRIVER_UNSURE, DRIVER_MISSING };

/// A legacy plugin is a socket in a directory that is root's alone, but not its name.
static enum driver_state find_plugin_socket(const char *name)
{
	lm_auto_buf struct lm_buf sockets = LM_BUF(SOCKETS_MAX);
	lm_auto_free char *flat = lm_xasprintf("/run/docker/plugins/%s.sock", name);
	lm_auto_free char *deep = lm_xasprintf("/run/docker/plugins/%s/%s.sock", name, name);

	if (lm_file_read("/proc/net/unix", &sockets, NULL))
		return DRIVER_UNSURE;
	bool found = strstr(lm_buf_cstr(&sockets), flat) || strstr(lm_buf_cstr(&sockets), deep);
	return found ? DRIVER_KNOWN : DRIVER_MISSING;
}

/// ... or a file that names its address.
static enum driver_state find_plugin_file(const char *name)
{
	static const char *const directories[] = {"/etc/docker/plugins", "/usr/lib/docker/plugins"};
	static const char *const ends[] = {"spec", "json"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(directories) * LM_ARRAY_SIZE(ends); i++) {
		const char *directory = directories[i / 2], *end = ends[i % 2];
		lm_auto_free char *flat = lm_xasprintf("%s/%s.%s", directory, name, end);
		lm_auto_free char *deep = lm_xasprintf("%s/%s/%s.%s", directory, name, name, end);

		if (access(flat, F_OK) == 0 || access(deep, F_OK) == 0)
			return DRIVER_KNOWN;
		if (errno != ENOENT && errno != ENOTDIR)
			return DRIVER_UNSURE;
	}
	return DRIVER_MISSING;
}

/// The engine lists a legacy plugin only once something has used it.
static enum driver_state find_legacy_plugin(const char *name)
{
	if (strpbrk(name, "/:")) // of a managed one
		return DRIVER_MISSING;
	enum driver_state socket = find_plugin_socket(name);
	return socket == DRIVER_MISSING ? find_plugin_file(name) : socket;
}

/// Of volumes, networks and logs: built in, or a plugin.
static enum driver_state find_driver(
	const struct search *s, const struct engine_names *built_in, const char *name)
{
	if (built_in->n == 0 || engine_names_have(built_in, name) || strcmp(name, "none") == 0 ||
		has_plugin(&s->facts, name))
		return DRIVER_KNOWN;
	return s->facts.plugins_known && s->same_host ? find_legacy_plugin(name) : DRIVER_UNSURE;
}

/// A runtime may be named by its shim, "io.containerd.runsc.v1", or by its path.
static bool may_know_runtime(const struct search *s, const char *name)
{
	return s->facts.runtimes.n == 0 || strpbrk(name, "./") ||
	       engine_names_have(&s->facts.runtimes, name);
}

/// The engine has the device driver `nvidia` if it finds nvidia's hook when it starts.
static bool may_know_device_driver(const struct search *s, const char *name)
{
	static const char *const directories[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
		"/usr/bin", "/sbin", "/bin", "/snap/bin"};

	if (strcmp(name, "nvidia") != 0 || !s->same_host ||
		s->cx->engine.version.offered_max >= NVIDIA_BY_CDI_MINOR)
		return true;
	for (size_t i = 0; i < LM_ARRAY_SIZE(directories); i++) {
		lm_auto_free char *hook =
			lm_path_join(directories[i], "nvidia-container-runtime-hook");
		if (access(hook, F_OK) == 0)
			return true;
	}
	return false;
}

static const struct compose_volume *find_volume(const struct search *s, const char *key)
{
	for (size_t i = 0; i < s->wanted.volumes_n; i++)
		if (strcmp(s->wanted.volumes[i].key, key) == 0)
			return &s->wanted.volumes[i];
	return NULL;
}

/// One that exists is used whether or not its driver can be found.
static bool volume_exists(const struct search *s, const char *key)
{
	lm_auto(engine_volume_finish) struct engine_volume found = {0};
	const struct compose_volume *volume = find_volume(s, key);

	return volume && engine_inspect_volume(&s->cx->engine, volume->name, &s->cx->limit, &found,
				 NULL) == LM_OK;
}

static void check_plugin(struct search *s, const struct compose_driver *d, const char *user,
	const char *kind, const struct engine_names *built_in)
{
	enum driver_state state = find_driver(s, built_in, d->name);

	if (state == DRIVER_KNOWN)
		return;
	add_problem(s, state == DRIVER_MISSING ? LM_E_INVALID : LM_OK,
		"%s '%s': the Docker daemon %s a %s driver '%s': install its plugin (docker plugin "
		"install), or correct the name",
		user, d->user, state == DRIVER_MISSING ? "does not have" : "does not list", kind,
		d->name);
}

static void check_driver(struct search *s, const struct compose_driver *d)
{
	switch (d->kind) {
	case COMPOSE_DRIVER_VOLUME:
		if (!volume_exists(s, d->user))
			check_plugin(s, d, "volume", "volume", &s->facts.volume_drivers);
		break;
	case COMPOSE_DRIVER_NETWORK:
		if (strcmp(d->name, "host") != 0)
			check_plugin(s, d, "network", "network", &s->facts.network_drivers);
		break;
	case COMPOSE_DRIVER_LOG:
		check_plugin(s, d, "service", "log", &s->facts.log_drivers);
		break;
	case COMPOSE_DRIVER_RUNTIME:
		if (!may_know_runtime(s, d->name))
			add_problem(s, LM_E_INVALID,
				"service '%s': the Docker daemon does not have a runtime '%s': add "
				"it to 'runtimes' in /etc/docker/daemon.json, or correct the name",
				d->user, d->name);
		break;
	case COMPOSE_DRIVER_DEVICE:
		if (!may_know_device_driver(s, d->name))
			add_problem(s, LM_E_INVALID,
				"service '%s': the Docker daemon does not have a device driver "
				"'%s': install nvidia-container-toolkit and restart the Docker "
				"daemon",
				d->user, d->name);
		break;
	}
}

// Volumes and networks

/// Mount options whose values are never secret.
static bool is_harmless(struct lm_str option)
{
	static const char *const names[] = {"addr", "size", "mode", "uid", "gid", "vers", "nfsvers",
		"proto", "port", "timeo", "retrans", "rsize", "wsize", "nr_inodes", "sec",
		"file_mode", "dir_mode"};
	struct lm_str rest = option;
	struct lm_str name = lm_str_cut(&rest, '=');

	if (name.n == option.n)
		return true; // "rw", "bind"
	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++)
		if (lm_str_eq(name, lm_str(names[i])))
			return true;
	return false;
}

/// Writes mount options. A word after a hidden option may belong to it, as a password may contain a
/// comma.
static void show_mount_options(struct lm_buf *out, struct lm_str rest)
{
	bool hidden = false;

	while (rest.n > 0) {
		struct lm_str option = lm_str_cut(&rest, ',');
		struct lm_str behind = option;
		struct lm_str name = lm_str_cut(&behind, '=');
		bool is_word = name.n == option.n;

		hidden = !is_harmless(option) || (is_word && hidden);
		if (!hidden)
			(void)lm_buf_add_str(out, option);
		else if (is_word)
			(void)lm_buf_puts(out, "…");
		else
			(void)lm_buf_printf(out, "%.*s=…", LM_STR_ARG(name));
		if (rest.n > 0)
			(void)lm_buf_putc(out, ',');
	}
}

/// Writes the value of a driver option. Shows only harmless values: others may contain a password.
static void show_value(struct lm_buf *out, const char *key, const char *value)
{
	if (!value) {
		(void)lm_buf_puts(out, "not set");
		return;
	}
	(void)lm_buf_putc(out, '\'');
	if (strcmp(key, "o") == 0) {
		show_mount_options(out, lm_str(value));
	} else if (strcmp(key, "type") == 0 ||
		   (strcmp(key, "device") == 0 && !strchr(value, '@'))) {
		(void)lm_buf_puts(out, value);
	} else {
		(void)lm_buf_puts(out, "…");
	}
	(void)lm_buf_putc(out, '\'');
}

static void add_difference(
	struct lm_buf *out, const char *key, const char *wanted, const char *found)
{
	if (out->len > 0)
		(void)lm_buf_puts(out, ", ");
	(void)lm_buf_printf(out, "'%s' is ", key);
	show_value(out, key, wanted);
	(void)lm_buf_puts(out, " in the compose file and ");
	show_value(out, key, found);
	(void)lm_buf_puts(out, " in the volume");
}

static const char *find_option(const struct compose_volume *volume, const char *key)
{
	for (size_t i = 0; i < volume->options_n; i++)
		if (strcmp(volume->options[i].key, key) == 0)
			return volume->options[i].value;
	return NULL;
}

/// Set by the engine itself, and so left out by docker-compose, too.
static bool is_internal(const char *key)
{
	return strncmp(key, "com.docker.", 11) == 0;
}

bool requirements_compare_volume(
	const struct compose_volume *wanted, const struct engine_volume *found, struct lm_buf *out)
{
	size_t before = out->len;
	const char *driver = wanted->driver;

	if (*driver && strcmp(driver, "default") != 0 && strcmp(driver, found->driver) != 0)
		(void)lm_buf_printf(out,
			"the driver is '%s' in the compose file and '%s' in the volume", driver,
			found->driver);
	for (size_t i = 0; i < wanted->options_n; i++) {
		const struct compose_option *o = &wanted->options[i];
		const char *old = engine_volume_option(found, o->key);

		if (!is_internal(o->key) && !(old && strcmp(old, o->value) == 0))
			add_difference(out, o->key, o->value, old);
	}
	for (size_t i = 0; i < found->options_n; i++) {
		const struct engine_volume_option *o = &found->options[i];

		if (!is_internal(o->key) && !find_option(wanted, o->key))
			add_difference(out, o->key, NULL, o->value);
	}
	return out->len > before || out->overflow;
}

static void report_changed(
	struct search *s, const struct compose_volume *volume, const char *differences)
{
	if (s->cx->compose.generation < 2)
		add_problem(s, LM_E_CONFLICT,
			"volume '%s' exists as '%s' with another definition, which docker-compose "
			"1 refuses: %s; restore the old definition, or remove the volume, which "
			"deletes all data in it (lighterman stop; docker volume rm %s)",
			volume->key, volume->name, differences, volume->name);
	else
		add_problem(s, LM_OK,
			"volume '%s' exists as '%s' with another definition, and docker-compose %s "
			"keeps it as it is: %s; for the new definition remove the volume, which "
			"deletes all data in it (lighterman stop; docker volume rm %s)",
			volume->key, volume->name, s->cx->compose.version, differences,
			volume->name);
}

static lm_rc check_volume(struct search *s, const struct compose_volume *volume, struct lm_err *err)
{
	lm_auto(engine_volume_finish) struct engine_volume found = {0};
	lm_auto_buf struct lm_buf differences = LM_BUF(DIFFERENCES_MAX);
	lm_rc rc = engine_inspect_volume(&s->cx->engine, volume->name, &s->cx->limit, &found, err);

	if (rc && rc != LM_E_NOT_FOUND)
		return rc;
	if (rc && volume->external)
		add_problem(s, LM_E_INVALID,
			"volume '%s' is external, and the Docker daemon has no volume '%s': create "
			"it (docker volume create %s), or correct the name",
			volume->key, volume->name, volume->name);
	if (!rc && !volume->external && requirements_compare_volume(volume, &found, &differences))
		report_changed(s, volume, lm_buf_cstr(&differences));
	return LM_OK;
}

static lm_rc check_network(
	struct search *s, const struct compose_external *network, struct lm_err *err)
{
	lm_rc rc = engine_find_network(&s->cx->engine, network->name, &s->cx->limit, err);

	if (rc != LM_E_NOT_FOUND)
		return rc;
	// A worker of a swarm does not see a network of the swarm before it uses it.
	if (!s->facts.in_swarm)
		add_problem(s, LM_E_INVALID,
			"network '%s' is external, and the Docker daemon has no network '%s': "
			"create it (docker network create %s), or correct the name",
			network->key, network->name, network->name);
	return LM_OK;
}

static lm_rc check_partner(
	struct search *s, const struct compose_partner *partner, struct lm_err *err)
{
	struct engine_container_state ignored;
	lm_rc rc = engine_inspect_container(
		&s->cx->engine, partner->name, &s->cx->limit, &ignored, err);

	if (rc != LM_E_NOT_FOUND)
		return rc;
	add_problem(s, partner->required ? LM_E_INVALID : LM_OK,
		"service '%s' refers to container '%s' of another project, and the Docker daemon "
		"has none of that name: start it first, or correct the name",
		partner->service, partner->name);
	return LM_OK;
}

static lm_rc check_engine_objects(struct search *s, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < s->wanted.volumes_n && !rc; i++)
		rc = check_volume(s, &s->wanted.volumes[i], err);
	for (size_t i = 0; i < s->wanted.networks_n && !rc; i++)
		rc = check_network(s, &s->wanted.networks[i], err);
	for (size_t i = 0; i < s->wanted.partners_n && !rc; i++)
		rc = check_partner(s, &s->wanted.partners[i], err);
	return rc;
}

static void report_stranger(void *ctx, const char *message)
{
	add_problem(ctx, LM_E_CONFLICT, "%s", message);
}

static void report_lint(void *ctx, const char *message)
{
	add_problem(ctx, LM_OK, "%s", message);
}

static void search_finish(struct search *s)
{
	compose_requirements_finish(&s->wanted);
	engine_facts_finish(&s->facts);
}

lm_rc requirements_check(struct context *cx, struct problems *ret, struct lm_err *err)
{
	lm_auto(problems_finish) struct problems found = {0};
	lm_auto(search_finish) struct search s = {.cx = cx, .to = &found};
	lm_rc rc = compose_requirements_parse(lm_buf_str(&cx->config), COMPOSE_PROJECT,
		cx->compose.generation, &cx->services, &s.wanted, err);

	if (!rc)
		rc = engine_get_facts(&cx->engine, &cx->limit, &s.facts, err);
	if (rc)
		return rc;
	s.same_host = is_same_host(&s.facts);
	look_at_own_view(&s);
	compose_lint(lm_buf_str(&cx->text), cx->compose.generation, report_lint, &s);
	hints_list_withheld(cx, report_lint, &s);
	check_paths(&s);
	for (size_t i = 0; i < s.wanted.drivers_n; i++)
		check_driver(&s, &s.wanted.drivers[i]);
	rc = check_engine_objects(&s, err);
	if (!rc)
		rc = up_conflicts_list_foreign(cx, s.same_host, report_stranger, &s, err);
	if (rc)
		return rc;
	*ret = found;
	found = (struct problems){0};
	return LM_OK;
}

lm_rc problems_to_error(const struct problems *problems, struct lm_err *err)
{
	const struct problem *first = NULL;
	size_t errors = 0;

	for (size_t i = 0; i < problems->n; i++) {
		if (problems->items[i].level != PROBLEM_ERROR)
			continue;
		if (!first)
			first = &problems->items[i];
		errors++;
	}
	if (!first)
		return LM_OK;
	if (errors == 1)
		return lm_fail(err, first->rc, 0, "%s", first->message);
	return lm_fail(err, first->rc, 0, "%.900s (and %zu more)", first->message, errors - 1);
}

static void log_problems(const struct problems *problems)
{
	for (size_t i = 0; i < problems->n; i++) {
		const struct problem *p = &problems->items[i];

		lm_log(p->level == PROBLEM_ERROR ? LM_ERROR : LM_WARN, "%s", p->message);
	}
}

lm_rc requirements_enforce(struct context *cx, struct lm_err *err)
{
	lm_auto(problems_finish) struct problems problems = {0};
	lm_rc rc = requirements_check(cx, &problems, err);

	if (rc)
		return rc;
	log_problems(&problems);
	// At a start nothing runs yet: docker-compose starts what it can.
	if (cx->task->fallback.is_start)
		return LM_OK;
	rc = problems_to_error(&problems, err);
	return rc ? lm_wrap(err, "'%s'", context_definition(cx)->key) : LM_OK;
}
