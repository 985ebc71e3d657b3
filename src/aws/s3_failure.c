// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_priv.h"

#include "aws/endpoint.h"
#include "base/clock.h"

#include <string.h>

enum {
	NAME_MAX_SHOWN = 120,
	NAME_SIZE = 4 * NAME_MAX_SHOWN + 32,
	SAYS_MAX = 320,
	SAYS_SIZE = 4 * SAYS_MAX + 64,
};

/// The names of a request, as a person can read them.
struct names {
	char bucket[NAME_SIZE], key[NAME_SIZE], version[NAME_SIZE];
};

static void shorten(const char *s, char out[NAME_SIZE])
{
	(void)lm_str_shorten(lm_str(s ? s : ""), NAME_MAX_SHOWN, out, NAME_SIZE);
}

/// What S3 says itself, to be put behind a sentence of ours; "" if that is no more than the code.
static const char *says(const struct s3_failure *f, char out[SAYS_SIZE])
{
	struct lm_str message = lm_str_trim(lm_str(f->error.message));
	char shown[4 * SAYS_MAX + 32];

	out[0] = '\0';
	while (message.n && message.p[message.n - 1] == '.')
		message.n--;
	if (message.n && !lm_str_eq_nocase(message, LM_STR("Access Denied")))
		(void)snprintf(out, SAYS_SIZE, " (S3 says: %s)",
			lm_str_shorten(message, SAYS_MAX, shown, sizeof(shown)));
	return out;
}

static lm_rc no_object(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	if (f->request->version)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"bucket '%s' has no object '%s' of version '%s'", n->bucket, n->key,
			n->version);
	return lm_fail(err, LM_E_NOT_FOUND, 0, "bucket '%s' has no object '%s'", n->bucket, n->key);
}

static lm_rc no_bucket(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	return lm_fail(err, LM_E_NOT_FOUND, 0, "there is no bucket '%s' at %.*s", n->bucket,
		LM_STR_ARG(f->host));
}

static lm_rc bad_version(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	char words[SAYS_SIZE];

	if (!f->request->version)
		return lm_fail(err, LM_E_DENIED, 0, "S3 refuses '%s' of bucket '%s': %s%s", n->key,
			n->bucket, f->error.code, says(f, words));
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"bucket '%s' has no object '%s' of version '%s': S3 says that this is no version "
		"id%s",
		n->bucket, n->key, n->version, says(f, words));
}

static lm_rc access_denied(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	const char *action = f->request->version ? "s3:GetObjectVersion" : "s3:GetObject";
	char words[SAYS_SIZE];

	(void)says(f, words);
	if (strstr(words, "kms:") || strstr(words, "KMS"))
		return lm_fail(err, LM_E_DENIED, 0,
			"object '%s' of bucket '%s' cannot be decrypted: the role needs "
			"kms:Decrypt "
			"on the object's KMS key%s",
			n->key, n->bucket, words);
	if (strstr(words, "explicit deny"))
		return lm_fail(err, LM_E_DENIED, 0,
			"access to object '%s' of bucket '%s' is denied: a policy forbids it by an "
			"explicit deny, which no other policy can outweigh%s",
			n->key, n->bucket, words);
	return lm_fail(err, LM_E_DENIED, 0,
		"access to object '%s' of bucket '%s' is denied: the role needs %s on "
		"arn:%s:s3:::%s/%s (S3 answers the same for an object that does not exist, if the "
		"role may not list the bucket)%s",
		n->key, n->bucket, action, endpoint_partition(f->request->region), n->bucket,
		n->key, words);
}

static lm_rc wrong_secret(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"S3 does not accept our signature (SignatureDoesNotMatch): the secret access key "
		"from %s does not belong to access key %.64s",
		f->source, f->access_key_id);
}

static lm_rc unknown_key(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"S3 does not know access key %.64s from %s (%s); check it, and that its partition "
		"(%s) is the bucket's",
		f->access_key_id, f->source, f->error.code, endpoint_partition(f->request->region));
}

static lm_rc expired(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	char words[SAYS_SIZE];

	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"the temporary credentials from %s are over (%s); get new ones%s", f->source,
		f->error.code, says(f, words));
}

static lm_rc bad_token(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"S3 does not accept the session token from %s (%s); get access key, secret key and "
		"token anew, all three from the same source",
		f->source, f->error.code);
}

static lm_rc skewed(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	char ours[LM_TIME_SIZE];
	struct lm_str date = header_list_get(&f->answer->headers, "date");

	(void)n;
	if (f->error.server_time[0])
		date = lm_str(f->error.server_time);
	return lm_fail(err, LM_E_DENIED, 0,
		"the clocks are too far apart (RequestTimeTooSkewed): the request was signed at "
		"%s, "
		"the server's time is %.*s; set the device's clock",
		lm_time_format_iso(f->signed_ms, ours), LM_STR_ARG(date));
}

static lm_rc archived(const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	return lm_fail(err, LM_E_DENIED, 0,
		"object '%s' of bucket '%s' is archived (%s); restore it, or store the compose "
		"file in the class STANDARD",
		n->key, n->bucket, f->error.code);
}

static const struct {
	const char *code;
	lm_rc (*describe)(const struct s3_failure *, const struct names *, struct lm_err *);
} codes[] = {
	{"NoSuchKey", no_object},
	{"NoSuchVersion", no_object},
	{"NoSuchBucket", no_bucket},
	{"InvalidArgument", bad_version},
	{"AccessDenied", access_denied},
	{"AllAccessDisabled", access_denied},
	{"SignatureDoesNotMatch", wrong_secret},
	{"InvalidAccessKeyId", unknown_key},
	{"ExpiredToken", expired},
	{"ExpiredTokenException", expired},
	{"TokenRefreshRequired", expired},
	{"InvalidToken", bad_token},
	{"RequestTimeTooSkewed", skewed},
	{"InvalidObjectState", archived},
};

static lm_rc describe_without_code(
	const struct s3_failure *f, const struct names *n, struct lm_err *err)
{
	int status = f->answer->status;

	if (status >= 500 || status == 429)
		return lm_fail(err, LM_E_REFUSED, 0,
			"%.*s answers HTTP %d for object '%s' of bucket '%s', after %u attempts",
			LM_STR_ARG(f->host), status, n->key, n->bucket, f->answer->attempts);
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"%.*s answers HTTP %d, and not as S3 does; check that AWS_ENDPOINT_URL names an S3 "
		"server",
		LM_STR_ARG(f->host), status);
}

/// Whether the same request may succeed later: the service is ill or busy.
static bool is_passing(const struct s3_failure *f)
{
	int status = f->answer->status;

	return status >= 500 || status == 429 || strcmp(f->error.code, "RequestTimeout") == 0;
}

lm_rc s3_describe_failure(const struct s3_failure *f, struct lm_err *err)
{
	struct lm_str marker = header_list_get(&f->answer->headers, "x-amz-delete-marker");
	char words[SAYS_SIZE];
	struct names n;

	shorten(f->request->bucket, n.bucket);
	shorten(f->request->key, n.key);
	shorten(f->request->version, n.version);
	if (lm_str_eq_nocase(marker, LM_STR("true")) && f->answer->status == 404)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"bucket '%s' has no object '%s' any more: it was deleted (the newest "
			"version is a delete marker)",
			n.bucket, n.key);
	if (lm_str_eq_nocase(marker, LM_STR("true")) && f->answer->status == 405)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"version '%s' of object '%s' in bucket '%s' is a delete marker and has no "
			"content",
			n.version, n.key, n.bucket);
	for (size_t i = 0; i < LM_ARRAY_SIZE(codes); i++) {
		if (strcmp(f->error.code, codes[i].code) == 0)
			return codes[i].describe(f, &n, err);
	}
	if (!f->error.code[0])
		return describe_without_code(f, &n, err);
	return lm_fail(err, is_passing(f) ? LM_E_REFUSED : LM_E_DENIED, 0,
		"S3 refuses object '%s' of bucket '%s': %s (HTTP %d, after %u attempt%s)%s", n.key,
		n.bucket, f->error.code, f->answer->status, f->answer->attempts,
		f->answer->attempts == 1 ? "" : "s", says(f, words));
}
