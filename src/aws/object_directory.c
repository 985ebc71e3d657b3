// SPDX-License-Identifier: Apache-2.0
#include "aws/object_directory.h"

#include "aws/beneath.h"
#include "base/cleanup.h"
#include "base/memory.h"

#include <string.h>
#include <sys/stat.h>

static lm_rc not_found(const char *directory, const char *bucket, const char *key,
	const char *version, struct lm_err *err)
{
	lm_auto_free char *folder = lm_xasprintf("%s/%s", directory, bucket);
	struct stat st;

	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		return lm_fail(err, LM_E_NOT_FOUND, 0, "there is no bucket '%s': no directory '%s'",
			bucket, folder);
	if (version)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"bucket '%s' has no object '%.300s' of version '%.100s': no file "
			"'%s/%.200s@%.100s'",
			bucket, key, version, folder, key, version);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"bucket '%s' has no object '%.300s': no file '%s/%.300s'", bucket, key, folder,
		key);
}

static lm_rc check_names(const char *bucket, const char *version, struct lm_err *err)
{
	// A '/' would move the border between bucket and key, or between key and version.
	if (!*bucket || strchr(bucket, '/'))
		return lm_fail(
			err, LM_E_INVALID, 0, "'%.100s' cannot be the name of a bucket", bucket);
	if (version && (!*version || strchr(version, '/')))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%.100s' cannot be a version in the directory store", version);
	return LM_OK;
}

/// S3's name for the version of an object that was stored while its bucket kept none.
static bool is_null_version(const char *version)
{
	return version && strcmp(version, "null") == 0;
}

/// A file `<key>@null` is the null version beside later ones; without it, it is the object itself.
static lm_rc open_null_version(
	const char *directory, const char *name, char **path, int *ret_fd, struct lm_err *err)
{
	lm_auto_free char *marked = lm_xasprintf("%s@null", name);
	lm_rc rc = beneath_open(directory, marked, ret_fd, err);

	if (rc != LM_E_NOT_FOUND) {
		free(*path);
		*path = lm_xasprintf("%s/%s", directory, marked);
		return rc;
	}
	return beneath_open(directory, name, ret_fd, err);
}

lm_rc object_directory_get(const char *directory, const char *bucket, const char *key,
	const char *version, size_t size_max, struct stored_object *ret, struct lm_err *err)
{
	lm_auto_stored_object struct stored_object object = {.text = LM_BUF(size_max)};
	lm_auto_close int fd = -1;
	lm_rc rc = check_names(bucket, version, err);

	if (rc != LM_OK)
		return rc;
	bool null = is_null_version(version);
	bool plain = !version || null;
	lm_auto_free char *name =
		lm_xasprintf("%s/%s%s%s", bucket, key, plain ? "" : "@", plain ? "" : version);
	lm_auto_free char *path = lm_xasprintf("%s/%s", directory, name);

	rc = null ? open_null_version(directory, name, &path, &fd, err)
		  : beneath_open(directory, name, &fd, err);
	if (rc == LM_E_NOT_FOUND)
		return not_found(directory, bucket, key, null ? NULL : version, err);
	if (rc == LM_OK)
		rc = beneath_read(fd, path, &object.text, err);
	if (rc != LM_OK) {
		(void)lm_wrap(err, "object store");
		return rc;
	}
	object.version = version ? lm_xstrdup(version) : NULL;
	*ret = object;
	object = (struct stored_object){0};
	return LM_OK;
}
