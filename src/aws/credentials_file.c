// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_priv.h"

#include "base/memory.h"

lm_rc credentials_from_profile_file(const struct shared_file *file, struct lm_str profile,
	struct aws_credentials *ret, struct lm_err *err)
{
	char shown[CREDENTIALS_SHOWN_SIZE];

	credentials_show(profile, shown);
	if (file->lack.rc != LM_OK) {
		*err = file->lack;
		return LM_E_NOT_FOUND;
	}
	if (!profile_file_has(&file->parsed, PROFILE_SECTION_PROFILE, profile))
		return lm_fail(
			err, LM_E_NOT_FOUND, 0, "'%s' has no profile '%s'", file->path, shown);
	lm_auto_free char *where = lm_xasprintf(" in profile '%s' of '%s'", shown, file->path);
	// As botocore: the name of old counts first.
	struct lm_str token = profile_file_get(&file->parsed, profile, "aws_security_token");
	bool old = token.n > 0;
	const struct credentials_parts parts = {
		.id = profile_file_get(&file->parsed, profile, "aws_access_key_id"),
		.secret = profile_file_get(&file->parsed, profile, "aws_secret_access_key"),
		.token =
			old ? token : profile_file_get(&file->parsed, profile, "aws_session_token"),
		.id_name = "aws_access_key_id",
		.secret_name = "aws_secret_access_key",
		.token_name = old ? "aws_security_token" : "aws_session_token",
		.where = where,
		.source = file->source,
	};
	return credentials_assemble(&parts, ret, err);
}
