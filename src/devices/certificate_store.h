// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The group's CA and its devices' keys and certificates on disk, in `<state>/devices`: `ca/` with
/// group-ca.key, group-ca.pem and registry.json, and `things/<name>/` with what a device needs.
///
/// Only the user that runs this can read any of it. A kill at any moment leaves what the next
/// certificate_store_open takes up; a certificate is in the registry on disk before
/// certificate_store_save returns, and nothing of it may be told before. One process at a time has
/// the store open: others wait.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"
#include "devices/device_registry.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate_store;

/// Opens the store, and makes what of it is missing: the CA, its next certificate, folders.
/// LM_E_INVALID: files of it are damaged or lost, and what to do about it. LM_E_DENIED: a folder is
/// not ours. LM_E_SYS. Close with certificate_store_close.
lm_rc certificate_store_open(const char *state_directory, int64_t now_s,
	struct certificate_store **ret, struct lm_err *err);
void certificate_store_close(struct certificate_store *store);
LM_DEFINE_CLEANUP(struct certificate_store, certificate_store_close)

/// The open folder `<state>/devices`; the store's.
int certificate_store_folder(const struct certificate_store *store);
/// Borrowed.
const struct device_registry *certificate_store_registry(const struct certificate_store *store);
const struct certificate_authority *certificate_store_authority(
	const struct certificate_store *store);
/// The CA's certificate, PEM.
const char *certificate_store_authority_pem(const struct certificate_store *store);

/// What a device has.
struct certificate_identity {
	struct lm_secret key;
	char *pem;
	struct certificate facts;
};

#define lm_auto_identity lm_auto(certificate_identity_finish)
void certificate_identity_finish(struct certificate_identity *identity);

/// Takes the device's key and certificate from its folder, or makes them; a certificate that is due
/// is followed by another one for the same key. LM_E_NOT_FOUND: the device was removed, and must be
/// added first. Save afterwards.
lm_rc certificate_store_equip(struct certificate_store *store, const char *name,
	struct certificate_identity *ret, struct lm_err *err);
/// The same for a device that may have been removed; it then gets another key. Save afterwards.
lm_rc certificate_store_add(struct certificate_store *store, const char *name,
	struct certificate_identity *ret, struct lm_err *err);
/// Signs a device's own request. As certificate_sign_request, and saves; the caller frees.
lm_rc certificate_store_sign(struct certificate_store *store, const char *name,
	struct lm_str request, char **ret_pem, struct lm_err *err);
/// Accepts a certificate of another CA, and saves. LM_E_INVALID: it is none. LM_E_CONFLICT: it is
/// another device's.
lm_rc certificate_store_register(
	struct certificate_store *store, const char *name, struct lm_str pem, struct lm_err *err);
/// Removes the device, revokes all its certificates and `named`, that of the group file (NULL:
/// none), and saves; its folder is left to certificate_store_discard. LM_E_NOT_FOUND: nothing is
/// known of it, and it is not `in_group`.
lm_rc certificate_store_remove(struct certificate_store *store, const char *name, bool in_group,
	const char *named, struct lm_err *err);
/// Deletes the folder, with the key, of a device that was removed. What fails is tried again at
/// each opening.
lm_rc certificate_store_discard(
	struct certificate_store *store, const char *name, struct lm_err *err);
/// Makes the registry last, if it has changed.
lm_rc certificate_store_save(struct certificate_store *store, struct lm_err *err);
