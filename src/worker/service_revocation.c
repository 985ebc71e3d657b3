// SPDX-License-Identifier: Apache-2.0
#include "worker/service_revocation.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "devices/discovery_document.h"
#include "devices/router_table.h"
#include "worker/service_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/// Puts another text in place of a file's; owner and mode stay.
static lm_rc replace_text(int dir_fd, const char *name, struct lm_str text, struct lm_err *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "look at '%s': %m", name);
	return lm_file_replace_for(
		dir_fd, name, text, st.st_mode & 07777, st.st_uid, st.st_gid, err);
}

/// Frees the texts of a list. Returns whether there were any.
static bool clear_texts(char **texts, size_t *n)
{
	bool had = *n > 0;

	while (*n > 0)
		free(texts[--*n]);
	return had;
}

/// Makes the text of a file without the certificates of `name` from what is there, and says
/// whether there were any. LM_E_INVALID: it is damaged, and no other is known that accepts nobody.
typedef lm_rc revoke_in(struct lm_str old, const char *name, struct lm_buf *new, bool *ret_changed,
	struct lm_err *err);

static lm_rc revoke_in_table(struct lm_str old, const char *name, struct lm_buf *new,
	bool *ret_changed, struct lm_err *err)
{
	lm_auto_router_table struct router_table table = {0};
	lm_rc rc = router_table_read(old, &table, err);

	// The broker goes on with the table it has if it cannot read another: one that is empty
	// accepts nobody until the next `apply`.
	*ret_changed = rc == LM_E_INVALID;
	if (rc && rc != LM_E_INVALID)
		return rc;
	for (size_t i = 0; i < table.devices_n; i++)
		if (strcmp(table.devices[i].name, name) == 0)
			*ret_changed |= clear_texts(
				table.devices[i].certificates, &table.devices[i].certificates_n);
	for (size_t i = 0; i < table.functions_n; i++)
		if (strcmp(table.functions[i].arn, name) == 0)
			*ret_changed |= clear_texts(table.functions[i].certificates,
				&table.functions[i].certificates_n);
	lm_auto_json json_t *document = router_table_to_json(&table);
	return json_write(document, new) ? LM_OK : lm_fail(err, LM_E_TOO_LARGE, 0, "too large");
}

static lm_rc revoke_in_document(struct lm_str old, const char *name, struct lm_buf *new,
	bool *ret_changed, struct lm_err *err)
{
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};
	lm_rc rc = discovery_document_parse(old, &doc, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < doc.devices_n; i++)
		if (strcmp(doc.devices[i].name, name) == 0)
			*ret_changed |= clear_texts(
				doc.devices[i].certificates, &doc.devices[i].certificates_n);
	return discovery_document_write(&doc, new) ? LM_OK
						   : lm_fail(err, LM_E_TOO_LARGE, 0, "too large");
}

/// Both services are to read their files again.
static lm_rc note_reload(int folder_fd, struct lm_err *err)
{
	struct service_steps pending = service_steps_read(folder_fd);

	pending.broker = service_step_max(pending.broker, SERVICE_RELOAD);
	pending.discovery = service_step_max(pending.discovery, SERVICE_RELOAD);
	return service_steps_write(folder_fd, pending, err);
}

/// `ret_text` stays empty for a file that is damaged: nobody can be accepted by it, and the next
/// `apply` makes it anew.
static lm_rc make_revoked(int dir_fd, const char *file, revoke_in *revoke, const char *name,
	struct lm_buf *ret_text, bool *ret_changed, struct lm_err *err)
{
	lm_auto_buf struct lm_buf old = LM_BUF(ret_text->max);
	lm_rc rc = service_file_read(dir_fd, file, &old, err);

	if (!rc)
		rc = revoke(lm_buf_str(&old), name, ret_text, ret_changed, err);
	if (rc != LM_E_INVALID)
		return rc;
	lm_buf_clear(ret_text);
	*ret_changed = true;
	return LM_OK;
}

static lm_rc revoke_in_file(int folder_fd, const char *folder, const char *file, size_t max,
	revoke_in *revoke, const char *name, struct lm_err *err)
{
	lm_auto_close int fd =
		openat(folder_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	lm_auto_buf struct lm_buf text = LM_BUF(max);
	bool is_changed = false;
	struct lm_err why = {LM_OK};
	lm_rc rc = fd < 0 ? lm_fail(&why, lm_rc_of_errno(errno), errno, "open '%s': %m", folder)
			  : make_revoked(fd, file, revoke, name, &text, &is_changed, &why);

	if (rc == LM_E_NOT_FOUND || (!rc && !is_changed))
		return LM_OK;
	if (rc) {
		*err = why;
		return rc;
	}
	rc = note_reload(folder_fd, err);
	if (rc)
		return rc;
	return text.len > 0 ? replace_text(fd, file, lm_buf_str(&text), err)
			    : service_file_remove_all(fd, &file, 1, err);
}

lm_rc service_revocation_write(
	struct certificate_store *store, const char *name, struct lm_err *err)
{
	int fd = certificate_store_folder(store);
	lm_rc rc = revoke_in_file(
		fd, "broker", "router.json", LIMIT_ROUTER_TABLE, revoke_in_table, name, err);

	if (!rc)
		rc = revoke_in_file(fd, "discovery", "discovery.json", LIMIT_DISCOVERY_FILE,
			revoke_in_document, name, err);
	return rc ? lm_wrap(err, "take the certificates of '%s' out of the files of the services",
			    name)
		  : LM_OK;
}
