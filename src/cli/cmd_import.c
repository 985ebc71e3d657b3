// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_import.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/new_file.h"
#include "cli/output.h"
#include "cli/render.h"
#include "config/group_form.h"
#include "config/migration.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_DEFAULT "/etc/lighterman"
#define CORE_CONFIG "config/config.json"
#define CORE_GROUP "ggc/deployment/group/group.json"

enum {
	COLUMNS = 80,
	INDENT = 4,
	DIRECTORY_MODE = 0755,
	PAGE_MAX = 8 << 20,
};

// Reading

/// jansson quotes what it stumbled over, which may be the PIN or the password behind it.
static lm_rc import_fail_parse(const char *path, struct lm_err *why, struct lm_err *err)
{
	char *quote = strstr(why->msg, " near '");

	if (quote)
		*quote = '\0';
	return lm_fail(err, LM_E_INVALID, 0, "%s: is not valid JSON: %s", path, why->msg);
}

static lm_rc import_read(const char *path, size_t max, json_t **ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(max);
	struct lm_err why = {0};
	lm_rc rc = lm_file_read(path, &text, err);

	if (rc)
		return rc;
	struct lm_str body = group_form_skip_mark(lm_buf_str(&text));
	lm_auto_free char *rule = group_form_explain_bytes(body);
	if (rule)
		return lm_fail(err, LM_E_INVALID, 0, "%s: %s", path, rule);
	if (json_count(body) > LIMIT_GROUP_VALUES)
		return lm_fail(err, LM_E_INVALID, 0, "%s: has more than %d values and keys", path,
			LIMIT_GROUP_VALUES);
	return json_parse(body, ret, &why) ? import_fail_parse(path, &why, err) : LM_OK;
}

static lm_rc import_add_file(struct migration *m, const char *path, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	lm_rc rc = import_read(path, LIMIT_GROUP_FILE, &document, err);

	return rc ? rc : migration_add_document(m, document, path, err);
}

/// A core's root folder: its config.json, and its group.json if there was a deployment.
static lm_rc import_add_root(struct migration *m, const char *root, struct lm_err *err)
{
	lm_auto_free char *config_path = lm_path_join(root, CORE_CONFIG);
	lm_auto_free char *group_path = lm_path_join(root, CORE_GROUP);
	lm_auto_json json_t *config = NULL;
	lm_rc rc = import_read(config_path, LIMIT_HOST_FILE, &config, err);

	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, rc, 0,
			"'%s' is not the root folder of a Greengrass V1 core: it has no %s", root,
			CORE_CONFIG);
	if (!rc)
		rc = migration_add_core(m, config, root, err);
	if (rc)
		return rc;
	rc = import_add_file(m, group_path, err);
	return rc == LM_E_NOT_FOUND ? LM_OK : rc;
}

static lm_rc import_add_argument(struct migration *m, const char *path, struct lm_err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "cannot read '%s': %m", path);
	if (!S_ISDIR(st.st_mode))
		return import_add_file(m, path, err);
	lm_auto_free char *root = realpath(path, NULL); // the host file is read elsewhere
	return root ? import_add_root(m, root, err)
		    : lm_fail(err, lm_rc_of_errno(errno), errno, "cannot open '%s': %m", path);
}

static lm_rc import_add_all(struct migration *m, const struct call *call, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; !rc && i < call->arguments_n; i++)
		rc = import_add_argument(m, call->arguments[i], err);
	return rc;
}

// Writing

/// A file to write.
struct output_file {
	const char *name;
	const json_t *document; ///< NULL: there is none.
	bool written;
};

static lm_rc import_write_file(
	int dir_fd, const char *dir, const struct output_file *file, bool force, struct lm_err *err)
{
	lm_auto_free char *text = json_dumps(file->document, JSON_INDENT(2));
	lm_auto_free char *lines = lm_xasprintf("%s\n", text ? text : "");

	return new_file_write(dir_fd, dir, file->name, lm_str(lines), force, err);
}

static lm_rc import_write_files(
	const char *dir, struct output_file *files, size_t n, bool force, struct lm_err *err)
{
	lm_rc rc = lm_dir_make(dir, DIRECTORY_MODE, err);

	if (rc)
		return rc;
	lm_auto_close int dir_fd = open(dir, O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "cannot open '%s': %m", dir);
	for (size_t i = 0; !rc && !force && i < n; i++)
		if (files[i].document)
			rc = new_file_check(dir_fd, dir, files[i].name, err);
	for (size_t i = 0; !rc && i < n; i++) {
		if (!files[i].document)
			continue;
		rc = import_write_file(dir_fd, dir, &files[i], force, err);
		files[i].written = rc == LM_OK;
	}
	return rc;
}

// Reporting

static void import_render_list(
	struct lm_buf *out, const char *head, const json_t *list, const char *key)
{
	size_t i;
	json_t *item;

	if (json_array_size(list) == 0)
		return;
	(void)lm_buf_printf(out, "\n%s:\n", head);
	json_array_foreach(list, i, item)
	{
		(void)lm_buf_puts(out, "  ");
		render_sanitized(out, key ? json_get_text(item, key) : json_string_value(item));
		(void)lm_buf_putc(out, '\n');
	}
}

static void import_render_taken(struct lm_buf *out, const json_t *taken)
{
	struct table t = {.columns = 2};
	size_t i;
	json_t *item;

	json_array_foreach(taken, i, item)
	{
		lm_auto_free char *what = sanitize_text(json_get_text(item, "what"));

		table_add(&t, lm_xasprintf("  %s", what));
		table_add(&t, sanitize_text(json_get_text(item, "value")));
	}
	if (i == 0)
		return;
	(void)lm_buf_puts(out, "Taken:\n");
	table_render(&t, out);
}

static void import_render_left(struct lm_buf *out, const json_t *left)
{
	size_t i;
	json_t *item;

	if (json_array_size(left) == 0)
		return;
	(void)lm_buf_puts(out, "\nNot taken:\n");
	json_array_foreach(left, i, item)
	{
		lm_auto_free char *what = sanitize_text(json_get_text(item, "what"));
		lm_auto_free char *why = sanitize_text(json_get_text(item, "why"));
		lm_auto_free char *fix = sanitize_text(json_get_text(item, "fix"));
		lm_auto_free char *line = lm_xasprintf("  %s: %s", what, why);
		lm_auto_free char *then = lm_xasprintf("    -> %s", fix);

		render_wrapped(out, line, COLUMNS, INDENT);
		(void)lm_buf_putc(out, '\n');
		if (*fix) {
			render_wrapped(out, then, COLUMNS, INDENT + 3);
			(void)lm_buf_putc(out, '\n');
		}
	}
}

void import_render(const json_t *report, struct lm_buf *out)
{
	const json_t *files = json_object_get(report, "files");
	bool written = json_get_bool(json_array_get(files, 0), "written", false);

	import_render_taken(out, json_object_get(report, "taken"));
	import_render_left(out, json_object_get(report, "not_taken"));
	import_render_list(out, "The host file refers to these files, which must stay",
		json_object_get(report, "keep"), NULL);
	import_render_list(out, "Missing", json_object_get(report, "missing"), NULL);
	import_render_list(out, written ? "Written" : "Would be written", files, "path");
}

static json_t *describe_files(const char *dir, const struct output_file *files, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		lm_auto_free char *path = lm_path_join(dir, files[i].name);

		if (files[i].document)
			json_array_append_new(
				list, json_pack("{s:o, s:b}", "path", json_from_text(path),
					      "written", (int)files[i].written));
	}
	return list;
}

/// Those that are not where config.json names them.
static json_t *find_missing(const json_t *keep)
{
	json_t *missing = json_array();
	size_t i;
	json_t *path;

	json_array_foreach(keep, i, path)
	{
		if (access(json_string_value(path), F_OK) != 0 && errno != EACCES)
			json_array_append(missing, path);
	}
	return missing;
}

static void report_files(const struct call *call, const struct output_file *files, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		lm_auto_free char *text =
			files[i].document ? json_dumps(files[i].document, JSON_INDENT(2)) : NULL;

		if (!text)
			continue;
		lm_auto_free char *page = lm_xasprintf("\n%s:\n%s\n", files[i].name, text);
		output_text(call, lm_str(page));
	}
}

static void report_migration(const struct call *call, const struct migration *m, const char *dir,
	const struct output_file *files, size_t n)
{
	lm_auto_buf struct lm_buf page = LM_BUF(PAGE_MAX);
	lm_auto_json json_t *report = json_copy((json_t *)migration_report(m));

	json_object_set_new(report, "missing", find_missing(json_object_get(report, "keep")));
	json_object_set_new(report, "files", describe_files(dir, files, n));
	if (call->json) {
		for (size_t i = 0; i < n; i++)
			json_object_set_new(report, files[i].name,
				files[i].document ? json_incref((json_t *)files[i].document)
						  : json_null());
		output_json(call, report);
		return;
	}
	import_render(report, &page);
	output_text(call, lm_buf_str(&page));
	if (call->dry_run)
		report_files(call, files, n);
}

/// The definition breaks rules: all of them are printed.
static int fail_errors(
	const struct call *call, const struct validation_errors *errors, const struct lm_err *why)
{
	for (size_t i = 0; !call->json && i + 1 < errors->n; i++) {
		lm_auto_free char *line = validation_error_text(&errors->items[i]);

		output_error(call->err, line);
	}
	if (errors->n == 0 || call->json)
		return output_fail(call, EXIT_INVALID, why->msg);
	lm_auto_free char *last = validation_error_text(&errors->items[errors->n - 1]);
	return output_fail(call, EXIT_INVALID, last);
}

int cmd_import(const struct call *call)
{
	lm_auto(migration_destroy_p) struct migration *m = migration_create();
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	const char *dir = call->output ? call->output : OUTPUT_DEFAULT;
	struct lm_err why = {0};

	if (import_add_all(m, call, &why))
		return output_fail(call,
			why.rc == LM_E_SYS || why.rc == LM_E_DENIED ? EXIT_FAILED : EXIT_INVALID,
			why.msg);
	if (migration_finish(m, &errors, &why))
		return fail_errors(call, &errors, &why);
	struct output_file files[] = {{.name = "lighterman.json", .document = migration_host(m)},
		{.name = "group.json", .document = migration_group(m)}};
	if (!migration_host(m) && !migration_group(m))
		return output_fail(call, EXIT_INVALID,
			"nothing was found to write: give a core's root folder, or the output of "
			"aws greengrass get-connector-definition-version");
	if (!call->dry_run &&
		import_write_files(dir, files, LM_ARRAY_SIZE(files), call->force, &why))
		return output_fail(call, EXIT_FAILED, why.msg);
	report_migration(call, m, dir, files, LM_ARRAY_SIZE(files));
	return EXIT_DONE;
}
