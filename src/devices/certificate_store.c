// SPDX-License-Identifier: Apache-2.0
#include "devices/certificate_store.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define AUTHORITY_KEY "group-ca.key"
#define AUTHORITY_PEM "group-ca.pem"
#define ROOT_PEM "root-ca.pem"
#define REGISTRY "registry.json"
#define DEVICE_KEY "device.key"
#define DEVICE_PEM "device.pem"
#define AUTHORITY_NAME "Lighterman group CA "

struct certificate_store {
	char *path; ///< For messages.
	int folder_fd, ca_fd, things_fd;
	int64_t now_s;
	struct device_registry registry;
	bool is_changed; ///< The registry, since it was saved.
	char *ca_pem;
	struct certificate_authority *ca;
};

void certificate_identity_finish(struct certificate_identity *identity)
{
	lm_secret_finish(&identity->key);
	free(identity->pem);
	certificate_finish(&identity->facts);
	*identity = (struct certificate_identity){0};
}

// Folders and files.

/// A folder for keys.
static lm_rc open_own_folder(
	int parent_fd, const char *name, mode_t mode, int *ret_fd, struct lm_err *err)
{
	return lm_dir_open_own(parent_fd, name, mode, (uid_t)-1, (gid_t)-1, ret_fd, err);
}

/// A file that is missing is LM_E_NOT_FOUND. No link is followed.
static lm_rc read_own_file(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	struct stat st;
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", name);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", name);
	return lm_fd_read_all(fd, name, out, err);
}

static lm_rc read_own_key(int dir_fd, const char *name, struct lm_secret *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_PEM_FILE);
	lm_rc rc = read_own_file(dir_fd, name, &text, err);

	if (!rc)
		lm_secret_set(ret, lm_buf_str(&text));
	return rc;
}

/// Writes a text that is the same for many, if it is another than the one that is there.
static lm_rc keep_file(
	int dir_fd, const char *name, struct lm_str text, mode_t mode, struct lm_err *err)
{
	lm_auto_buf struct lm_buf old = LM_BUF(LIMIT_PEM_FILE);

	if (read_own_file(dir_fd, name, &old, NULL) == LM_OK && lm_str_eq(lm_buf_str(&old), text))
		return LM_OK;
	return lm_file_replace(dir_fd, name, text, mode, err);
}

// The registry.

lm_rc certificate_store_save(struct certificate_store *store, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_REGISTRY_FILE);

	if (!store->is_changed)
		return LM_OK;
	if (!device_registry_write(&store->registry, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"write '%s/ca/" REGISTRY "': it would be over %d bytes", store->path,
			LIMIT_REGISTRY_FILE);
	if (record_replace(store->ca_fd, REGISTRY, lm_buf_str(&text), err))
		return lm_wrap(err, "in '%s/ca'", store->path);
	store->is_changed = false;
	return LM_OK;
}

/// A random UUID (RFC 9562, version 4).
static lm_rc make_group_id(char out[REGISTRY_GROUP_SIZE], struct lm_err *err)
{
	unsigned char b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return lm_fail(err, LM_E_SYS, errno, "get random bytes: %m");
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	(void)snprintf(out, REGISTRY_GROUP_SIZE,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
	return LM_OK;
}

static bool has_file(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/// Without the registry nothing says which certificates were revoked, so one that is lost is not
/// replaced by an empty one.
static lm_rc open_registry(struct certificate_store *store, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_REGISTRY_FILE + RECORD_HEADER_MAX);
	struct lm_str document;
	lm_rc rc = read_own_file(store->ca_fd, REGISTRY, &text, err);

	if (rc == LM_E_NOT_FOUND && has_file(store->ca_fd, AUTHORITY_PEM))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s/ca/" REGISTRY "', which says which devices' certificates are accepted "
			"and "
			"which are revoked, is lost: restore it, or remove '%s/ca' and deploy "
			"again, "
			"for another CA with certificates for all devices",
			store->path, store->path);
	if (rc == LM_E_NOT_FOUND) {
		rc = make_group_id(store->registry.group, err);
		store->is_changed = true;
		return rc ? rc : certificate_store_save(store, err);
	}
	if (!rc)
		rc = record_parse(REGISTRY, lm_buf_str(&text), &document, err);
	if (!rc && device_registry_read(document, &store->registry, err))
		rc = lm_wrap(err, "'" REGISTRY "' is damaged");
	if (rc == LM_E_INVALID)
		return lm_fail(err, rc, 0,
			"the registry of certificates in '%s/ca' cannot be used: %s: restore it, "
			"or remove '%s/ca' and deploy again, for another CA with certificates for "
			"all devices",
			store->path, err ? err->msg : "", store->path);
	return rc;
}

// The CA.

static lm_rc fail_authority(const struct certificate_store *store, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0,
		"the group's CA in '%s/ca' cannot be used: %s: restore its files, or remove "
		"'%s/ca' and deploy again, for another CA with certificates for all devices",
		store->path, err ? err->msg : "", store->path);
}

static lm_rc issue_authority(
	struct certificate_store *store, struct lm_str key, char **ret_pem, struct lm_err *err)
{
	char name[CERTIFICATE_CN_MAX + 1];

	(void)snprintf(name, sizeof(name), AUTHORITY_NAME "%s", store->registry.group);
	lm_rc rc = certificate_make_authority(key, name, store->now_s, ret_pem, err);
	if (!rc)
		rc = lm_file_replace(store->ca_fd, AUTHORITY_PEM, lm_str(*ret_pem), 0644, err);
	return rc;
}

/// The CA's key; one that is missing is made, unless there is a certificate for it.
static lm_rc open_authority_key(
	struct certificate_store *store, struct lm_secret *ret, struct lm_err *err)
{
	lm_rc rc = read_own_key(store->ca_fd, AUTHORITY_KEY, ret, err);

	if (rc != LM_E_NOT_FOUND)
		return rc;
	if (has_file(store->ca_fd, AUTHORITY_PEM)) {
		(void)!lm_fail(err, LM_E_INVALID, 0, "'" AUTHORITY_KEY "' is lost");
		return fail_authority(store, err);
	}
	rc = certificate_make_key(ret, err);
	return rc ? rc
		  : lm_file_replace(store->ca_fd, AUTHORITY_KEY, lm_secret_str(ret), 0600, err);
}

/// Whether it is time for another certificate of a CA that we made. One that a person put there is
/// that person's to renew.
static bool is_renewed_by_us(const struct certificate_store *store, struct lm_str pem)
{
	lm_auto_certificate struct certificate c = {0};

	return certificate_read(pem, &c, NULL) == LM_OK &&
	       lm_str_starts(lm_str(c.cn), LM_STR(AUTHORITY_NAME)) &&
	       certificate_is_due(&c, CERTIFICATE_AUTHORITY, store->now_s);
}

static lm_rc open_authority(struct certificate_store *store, struct lm_err *err)
{
	lm_auto_secret struct lm_secret key = {0};
	lm_auto_buf struct lm_buf pem = LM_BUF(LIMIT_PEM_FILE);
	lm_rc rc = open_authority_key(store, &key, err);

	if (!rc) {
		rc = read_own_file(store->ca_fd, AUTHORITY_PEM, &pem, err);
		if (rc == LM_OK && !is_renewed_by_us(store, lm_buf_str(&pem)))
			store->ca_pem = lm_xstrdup(lm_buf_cstr(&pem));
		else if (rc == LM_OK || rc == LM_E_NOT_FOUND)
			rc = issue_authority(store, lm_secret_str(&key), &store->ca_pem, err);
	}
	if (rc)
		return rc;
	rc = certificate_authority_open(
		lm_secret_str(&key), lm_str(store->ca_pem), &store->ca, err);
	return rc == LM_E_INVALID ? fail_authority(store, err) : rc;
}

// Opening.

/// Folders of removed devices whose removal was cut short. One that cannot be deleted is a key that
/// nobody accepts any more: no reason to keep the others from theirs.
static void remove_leftovers(struct certificate_store *store)
{
	for (size_t i = 0; i < store->registry.devices_n; i++) {
		const struct registry_device *device = &store->registry.devices[i];

		if (!device->removed || !has_file(store->things_fd, device->name))
			continue;
		struct lm_err err;
		if (certificate_store_discard(store, device->name, &err))
			lm_warn("%s", err.msg);
	}
}

static lm_rc open_folders(
	struct certificate_store *store, const char *state_directory, struct lm_err *err)
{
	lm_rc rc = lm_dir_make(state_directory, 0755, err);
	lm_auto_close int state =
		rc ? -1 : open(state_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (rc)
		return rc;
	if (state < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", state_directory);
	rc = open_own_folder(state, "devices", 0711, &store->folder_fd, err);
	if (rc)
		return rc;
	while (flock(store->folder_fd, LOCK_EX) < 0) // an earlier worker, which is ending
		if (errno != EINTR)
			return lm_fail(err, LM_E_SYS, errno, "lock '%s': %m", store->path);
	rc = open_own_folder(store->folder_fd, "ca", 0700, &store->ca_fd, err);
	return rc ? rc : open_own_folder(store->folder_fd, "things", 0700, &store->things_fd, err);
}

lm_rc certificate_store_open(const char *state_directory, int64_t now_s,
	struct certificate_store **ret, struct lm_err *err)
{
	lm_auto(certificate_store_close_p) struct certificate_store *store =
		lm_xcalloc(1, sizeof(*store));

	*store = (struct certificate_store){.path = lm_path_join(state_directory, "devices"),
		.folder_fd = -1,
		.ca_fd = -1,
		.things_fd = -1,
		.now_s = now_s};
	lm_rc rc = open_folders(store, state_directory, err);
	if (!rc)
		rc = open_registry(store, err);
	if (!rc)
		rc = open_authority(store, err);
	if (rc)
		return lm_wrap(err, "open the certificates of client devices");
	remove_leftovers(store);
	*ret = lm_take(store);
	return LM_OK;
}

void certificate_store_close(struct certificate_store *store)
{
	if (!store)
		return;
	device_registry_finish(&store->registry);
	certificate_authority_close(store->ca);
	free(store->ca_pem);
	lm_cleanup_close(&store->ca_fd);
	lm_cleanup_close(&store->things_fd);
	lm_cleanup_close(&store->folder_fd);
	free(store->path);
	free(store);
}

int certificate_store_folder(const struct certificate_store *store)
{
	return store->folder_fd;
}

const struct device_registry *certificate_store_registry(const struct certificate_store *store)
{
	return &store->registry;
}

const struct certificate_authority *certificate_store_authority(
	const struct certificate_store *store)
{
	return store->ca;
}

const char *certificate_store_authority_pem(const struct certificate_store *store)
{
	return store->ca_pem;
}

// Devices.

/// The device's key; one that is missing or damaged is made.
static lm_rc take_key(int dir_fd, struct lm_secret *ret, struct lm_err *err)
{
	lm_rc rc = read_own_key(dir_fd, DEVICE_KEY, ret, err);

	if (rc == LM_OK && certificate_is_key(lm_secret_str(ret)))
		return LM_OK;
	if (rc && rc != LM_E_NOT_FOUND && rc != LM_E_TOO_LARGE)
		return rc;
	rc = certificate_make_key(ret, err);
	return rc ? rc : lm_file_replace(dir_fd, DEVICE_KEY, lm_secret_str(ret), 0600, err);
}

/// Whether the certificate that is there is good: one that a killed run made and could not register
/// is, too, as nobody but us can have put it there.
static bool is_usable(const struct certificate_store *store, const struct registry_device *device,
	struct lm_str pem, const struct certificate_identity *identity, struct certificate *ret)
{
	lm_auto_certificate struct certificate c = {0};

	if (certificate_read(pem, &c, NULL) || device_registry_is_revoked(device, c.sha256) ||
		certificate_is_due(&c, CERTIFICATE_DEVICE, store->now_s) ||
		!certificate_is_of_key(pem, lm_secret_str(&identity->key)) ||
		!certificate_is_of_authority(pem, store->ca))
		return false;
	*ret = c;
	c = (struct certificate){0};
	return true;
}

static lm_rc take_certificate(struct certificate_store *store, const struct registry_device *device,
	int dir_fd, struct certificate_identity *identity, struct lm_err *err)
{
	lm_auto_buf struct lm_buf pem = LM_BUF(LIMIT_PEM_FILE);
	lm_rc rc = read_own_file(dir_fd, DEVICE_PEM, &pem, err);

	if (rc == LM_OK && is_usable(store, device, lm_buf_str(&pem), identity, &identity->facts)) {
		identity->pem = lm_buf_take(&pem);
		return LM_OK;
	}
	if (rc && rc != LM_E_NOT_FOUND && rc != LM_E_TOO_LARGE)
		return rc;
	rc = certificate_issue_device(store->ca, lm_secret_str(&identity->key), device->name,
		store->now_s, &identity->pem, err);
	if (!rc)
		rc = certificate_read(lm_str(identity->pem), &identity->facts, err);
	return rc ? rc : lm_file_replace(dir_fd, DEVICE_PEM, lm_str(identity->pem), 0600, err);
}

static lm_rc register_certificate(struct certificate_store *store, struct registry_device *device,
	const struct certificate *facts, enum registry_origin origin, struct lm_err *err)
{
	struct registry_certificate c = {.origin = origin, .expires_s = facts->not_after_s};

	memcpy(c.sha256, facts->sha256, sizeof(c.sha256));
	store->is_changed = true;
	return device_registry_accept(&store->registry, device, &c, store->now_s, err);
}

static lm_rc fill_folder(struct certificate_store *store, struct registry_device *device,
	struct certificate_identity *ret, struct lm_err *err)
{
	lm_auto_close int dir_fd = -1;
	struct lm_str ca = lm_str(store->ca_pem);
	lm_rc rc = open_own_folder(store->things_fd, device->name, 0700, &dir_fd, err);

	if (!rc)
		rc = take_key(dir_fd, &ret->key, err);
	if (!rc)
		rc = take_certificate(store, device, dir_fd, ret, err);
	if (!rc)
		rc = keep_file(dir_fd, AUTHORITY_PEM, ca, 0600, err);
	return rc ? rc : keep_file(dir_fd, ROOT_PEM, ca, 0600, err);
}

static lm_rc equip_device(struct certificate_store *store, struct registry_device *device,
	struct certificate_identity *ret, struct lm_err *err)
{
	lm_auto_identity struct certificate_identity identity = {0};
	lm_rc rc = fill_folder(store, device, &identity, err);

	if (!rc && !device_registry_has(device, identity.facts.sha256))
		rc = register_certificate(store, device, &identity.facts, REGISTRY_ISSUED, err);
	if (rc)
		return lm_wrap(err, "make the certificate of the device '%s'", device->name);
	*ret = identity;
	identity = (struct certificate_identity){0};
	return LM_OK;
}

lm_rc certificate_store_equip(struct certificate_store *store, const char *name,
	struct certificate_identity *ret, struct lm_err *err)
{
	struct registry_device *device = NULL;
	lm_rc rc = device_registry_take(&store->registry, name, &device, err);

	if (rc)
		return rc;
	if (device->removed)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"the device '%s' was removed: 'lighterman device add %s' takes it back",
			name, name);
	return equip_device(store, device, ret, err);
}

/// What is left in the folder of a device that was removed has been revoked.
static lm_rc take_back(
	struct certificate_store *store, struct registry_device *device, struct lm_err *err)
{
	if (!device->removed)
		return LM_OK;
	lm_rc rc = lm_tree_remove(store->things_fd, device->name, err);
	if (!rc)
		rc = device_registry_take_back(device, err);
	if (!rc)
		store->is_changed = true;
	return rc;
}

lm_rc certificate_store_add(struct certificate_store *store, const char *name,
	struct certificate_identity *ret, struct lm_err *err)
{
	struct registry_device *device = NULL;
	lm_rc rc = device_registry_take(&store->registry, name, &device, err);

	if (!rc)
		rc = take_back(store, device, err);
	return rc ? rc : equip_device(store, device, ret, err);
}

/// Registers and saves.
static lm_rc accept_certificate(struct certificate_store *store, const char *name,
	struct lm_str pem, enum registry_origin origin, struct lm_err *err)
{
	struct registry_device *device = NULL;
	lm_auto_certificate struct certificate facts = {0};
	lm_rc rc = certificate_read(pem, &facts, err);

	if (!rc)
		rc = device_registry_take(&store->registry, name, &device, err);
	if (!rc)
		rc = take_back(store, device, err);
	if (!rc)
		rc = register_certificate(store, device, &facts, origin, err);
	return rc ? rc : certificate_store_save(store, err);
}

lm_rc certificate_store_sign(struct certificate_store *store, const char *name,
	struct lm_str request, char **ret_pem, struct lm_err *err)
{
	lm_auto_free char *pem = NULL;
	lm_rc rc = certificate_sign_request(store->ca, request, name, store->now_s, &pem, err);

	if (!rc)
		rc = accept_certificate(store, name, lm_str(pem), REGISTRY_SIGNED, err);
	if (!rc)
		*ret_pem = lm_take(pem);
	return rc;
}

lm_rc certificate_store_register(
	struct certificate_store *store, const char *name, struct lm_str pem, struct lm_err *err)
{
	return accept_certificate(store, name, pem, REGISTRY_REGISTERED, err);
}

/// A certificate that a killed run has made and not registered.
static void revoke_unregistered(struct certificate_store *store, struct registry_device *device)
{
	lm_auto_free char *path = lm_path_join(device->name, DEVICE_PEM);
	lm_auto_buf struct lm_buf pem = LM_BUF(LIMIT_PEM_FILE);
	lm_auto_certificate struct certificate c = {0};

	if (read_own_file(store->things_fd, path, &pem, NULL) == LM_OK &&
		certificate_read(lm_buf_str(&pem), &c, NULL) == LM_OK)
		device_registry_revoke(device, c.sha256);
}

lm_rc certificate_store_remove(struct certificate_store *store, const char *name, bool in_group,
	const char *named, struct lm_err *err)
{
	struct registry_device *device = device_registry_find(&store->registry, name);
	lm_rc rc = LM_OK;

	if (!device && !in_group)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"there is no device '%s': 'lighterman device list' shows all", name);
	if (!device)
		rc = device_registry_take(&store->registry, name, &device, err);
	if (rc)
		return rc;
	revoke_unregistered(store, device);
	device_registry_remove(device);
	if (named)
		device_registry_revoke(device, named);
	store->is_changed = true;
	return certificate_store_save(store, err);
}

lm_rc certificate_store_discard(
	struct certificate_store *store, const char *name, struct lm_err *err)
{
	return lm_tree_remove(store->things_fd, name, err)
		       ? lm_wrap(err,
				 "the device '%s' is removed and no longer accepted, but its key "
				 "cannot be deleted: delete '%s/things/%s' by hand",
				 name, store->path, name)
		       : LM_OK;
}
