// SPDX-License-Identifier: Apache-2.0
#include "aws/s3.h"

#include "aws/endpoint.h"
#include "aws/s3_checksum.h"
#include "aws/shared_config.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <string.h>

void s3_error_parse(struct lm_str xml, struct s3_error *ret)
{
	const struct xml_field fields[] = {
		{"/Error/Code", ret->code, sizeof(ret->code)},
		{"/Error/Message", ret->message, sizeof(ret->message)},
		{"/Error/Region", ret->region, sizeof(ret->region)},
		{"/Error/RequestTime", ret->request_time, sizeof(ret->request_time)},
		{"/Error/ServerTime", ret->server_time, sizeof(ret->server_time)},
	};

	xml_read_fields(xml, fields, LM_ARRAY_SIZE(fields));
}

enum {
	NAME_MAX_SHOWN = 120,
	NAME_SIZE = 4 * NAME_MAX_SHOWN + 32,
	SAYS_MAX = 320,
	SAYS_SIZE = 4 * SAYS_MAX + 64,
};

/// What S3 answered instead of the object.
struct s3_failure {
	const struct s3_request *request;
	const struct signed_request *sent;
	struct lm_str host;
	const struct https_answer *answer;
	struct s3_error error;
};

/// The names of a request, as a person can read them.
struct shown_names {
	char bucket[NAME_SIZE], key[NAME_SIZE], version[NAME_SIZE];
};

static void shorten_name(const char *s, char out[NAME_SIZE])
{
	(void)lm_str_shorten(lm_str(s ? s : ""), NAME_MAX_SHOWN, out, NAME_SIZE);
}

/// S3's own message, to follow a sentence of ours; "" if that is no more than the code.
static const char *s3_remark(const struct s3_failure *f, char out[SAYS_SIZE])
{
	struct lm_str message = lm_str_trim(lm_str(f->error.message));
	char shown[4 * SAYS_MAX + 32];

	out[0] = '\0';
	while (message.n && message.p[message.n - 1] == '.')
		message.n--;
	if (message.n && !lm_str_eq_nocase(message, LM_STR("Access Denied")))
		(void)snprintf(out, SAYS_SIZE, " (S3: %s)",
			lm_str_shorten(message, SAYS_MAX, shown, sizeof(shown)));
	return out;
}

static lm_rc no_object(const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	if (f->request->version)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"bucket '%s' has no object '%s' of version '%s'", n->bucket, n->key,
			n->version);
	return lm_fail(err, LM_E_NOT_FOUND, 0, "bucket '%s' has no object '%s'", n->bucket, n->key);
}

static lm_rc no_bucket(const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	return lm_fail(err, LM_E_NOT_FOUND, 0, "there is no bucket '%s' at %.*s", n->bucket,
		LM_STR_ARG(f->host));
}

static lm_rc bad_version(
	const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	char remark[SAYS_SIZE];

	if (!f->request->version)
		return lm_fail(err, LM_E_DENIED, 0, "S3 refuses '%s' of bucket '%s': %s%s", n->key,
			n->bucket, f->error.code, s3_remark(f, remark));
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"bucket '%s' has no object '%s' of version '%s': S3 does not accept this version "
		"ID%s",
		n->bucket, n->key, n->version, s3_remark(f, remark));
}

static lm_rc access_denied(
	const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	const char *action = f->request->version ? "s3:GetObjectVersion" : "s3:GetObject";
	char remark[SAYS_SIZE];

	(void)s3_remark(f, remark);
	if (strstr(remark, "kms:") || strstr(remark, "KMS"))
		return lm_fail(err, LM_E_DENIED, 0,
			"object '%s' of bucket '%s' cannot be decrypted: the role needs "
			"kms:Decrypt on the object's KMS key%s",
			n->key, n->bucket, remark);
	if (strstr(remark, "explicit deny"))
		return lm_fail(err, LM_E_DENIED, 0,
			"access to object '%s' of bucket '%s' is denied: a policy forbids it by an "
			"explicit deny, which no other policy can outweigh%s",
			n->key, n->bucket, remark);
	return lm_fail(err, LM_E_DENIED, 0,
		"access to object '%s' of bucket '%s' is denied: the role needs %s on "
		"arn:%s:s3:::%s/%s (S3 answers the same for an object that does not exist, if the "
		"role may not list the bucket)%s",
		n->key, n->bucket, action, endpoint_partition(f->request->region), n->bucket,
		n->key, remark);
}

static lm_rc wrong_secret(
	const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"S3 does not accept our signature (SignatureDoesNotMatch): the secret access key "
		"from %s does not belong to access key %.64s",
		f->sent->source, f->sent->access_key_id);
}

static lm_rc unknown_key(
	const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"S3 does not recognize access key %.64s from %s (%s); check it, and that its "
		"partition (%s) is the bucket's",
		f->sent->access_key_id, f->sent->source, f->error.code,
		endpoint_partition(f->request->region));
}

static lm_rc token_expired(
	const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	char remark[SAYS_SIZE];

	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"the temporary credentials from %s have expired (%s); renew them%s",
		f->sent->source, f->error.code, s3_remark(f, remark));
}

static lm_rc bad_token(const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	(void)n;
	return lm_fail(err, LM_E_DENIED, 0,
		"S3 does not accept the session token from %s (%s); get access key, secret key and "
		"token again, all three from the same source",
		f->sent->source, f->error.code);
}

static lm_rc skewed(const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	char ours[LM_TIME_SIZE];
	struct lm_str date = https_header(f->answer, "date");

	(void)n;
	if (f->error.server_time[0])
		date = lm_str(f->error.server_time);
	return lm_fail(err, LM_E_DENIED, 0,
		"the clocks are too far apart (RequestTimeTooSkewed): the request was signed at "
		"%s, the server's time is %.*s; set the device's clock",
		lm_time_format_iso(f->sent->signed_ms, ours), LM_STR_ARG(date));
}

static lm_rc archived(const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
{
	return lm_fail(err, LM_E_DENIED, 0,
		"object '%s' of bucket '%s' is archived (%s); restore it, or store the compose "
		"file in the class STANDARD",
		n->key, n->bucket, f->error.code);
}

static const struct {
	const char *code;
	lm_rc (*describe)(const struct s3_failure *, const struct shown_names *, struct lm_err *);
} codes[] = {
	{"NoSuchKey", no_object},
	{"NoSuchVersion", no_object},
	{"NoSuchBucket", no_bucket},
	{"InvalidArgument", bad_version},
	{"AccessDenied", access_denied},
	{"AllAccessDisabled", access_denied},
	{"SignatureDoesNotMatch", wrong_secret},
	{"InvalidAccessKeyId", unknown_key},
	{"ExpiredToken", token_expired},
	{"ExpiredTokenException", token_expired},
	{"TokenRefreshRequired", token_expired},
	{"InvalidToken", bad_token},
	{"RequestTimeTooSkewed", skewed},
	{"InvalidObjectState", archived},
};

static lm_rc describe_s3_status(
	const struct s3_failure *f, const struct shown_names *n, struct lm_err *err)
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

static lm_rc describe_s3_failure(const struct s3_failure *f, struct lm_err *err)
{
	struct lm_str marker = https_header(f->answer, "x-amz-delete-marker");
	char remark[SAYS_SIZE];
	struct shown_names n;

	shorten_name(f->request->bucket, n.bucket);
	shorten_name(f->request->key, n.key);
	shorten_name(f->request->version, n.version);
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
		return describe_s3_status(f, &n, err);
	return lm_fail(err, is_passing(f) ? LM_E_REFUSED : LM_E_DENIED, 0,
		"S3 refuses object '%s' of bucket '%s': %s (HTTP %d, after %u attempt%s)%s", n.key,
		n.bucket, f->error.code, f->answer->status, f->answer->attempts,
		f->answer->attempts == 1 ? "" : "s", s3_remark(f, remark));
}

static const char empty_sha256[] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Fetching one object: a GET, and again after a correction of region, clock or credentials.
struct object_fetch {
	const struct s3_request *request;
	struct s3_result *result;
	struct signed_request signed_request;
	struct s3_location at;
	struct http_pair query[1];
	struct http_pair headers[1];
	bool region_corrected;
};

static void fetch_end(struct object_fetch *j, lm_rc rc)
{
	j->result->rc = rc;
	j->result->clock_offset_ms = j->signed_request.clock_offset_ms;
	if (j->request->done)
		j->request->done(j->request->ctx, j->result);
	s3_location_finish(&j->at);
	free(j);
}

/// Whether the bucket can be a part of a host name that a wildcard certificate covers.
static bool fits_host(struct lm_str bucket)
{
	for (size_t i = 0; i < bucket.n; i++) {
		char c = bucket.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!letter && (c != '-' || i == 0 || i == bucket.n - 1))
			return false;
	}
	return bucket.n >= 3 && bucket.n <= 63;
}

static lm_rc check_names(const struct s3_request *r, struct lm_err *err)
{
	char shown[4 * 64 + 32];
	struct lm_str bucket = lm_str(r->bucket);

	for (size_t i = 0; i < bucket.n; i++) {
		char c = bucket.p[i];
		bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';

		if (!usual)
			bucket.n = 0;
	}
	if (!bucket.n)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' cannot be the name of a bucket",
			lm_str_shorten(lm_str(r->bucket), 64, shown, sizeof(shown)));
	if (!*r->key)
		return lm_fail(err, LM_E_INVALID, 0, "the key of an object cannot be empty");
	return LM_OK;
}

/// The style of the request or, if that leaves it open, of the AWS profile.
static lm_rc find_style(const struct s3_request *r, enum s3_style *ret, struct lm_err *err)
{
	lm_auto_shared_config struct shared_config c = {0};
	lm_rc rc = r->style == S3_STYLE_AUTO ? shared_config_load(&c, err) : LM_OK;
	struct lm_str style = shared_config_get_nested(&c, c.profile, "s3", "addressing_style");

	if (rc != LM_OK)
		return rc;
	*ret = r->style;
	if (lm_str_eq(style, LM_STR("path")))
		*ret = S3_STYLE_PATH;
	else if (lm_str_eq(style, LM_STR("virtual")))
		*ret = S3_STYLE_VIRTUAL_HOST;
	else if (style.n && !lm_str_eq(style, LM_STR("auto")))
		return lm_fail(err, LM_E_INVALID, 0,
			"s3 addressing_style of the AWS profile must be auto, path or virtual");
	return LM_OK;
}

static bool is_ip_address(struct lm_str host)
{
	lm_auto_free char *name = lm_xmemdup0(host.p, lm_str_find(host, ':'));
	struct in_addr ignored;

	return host.p[0] == '[' || inet_pton(AF_INET, name, &ignored) == 1;
}

lm_rc s3_locate(
	const struct s3_request *r, const char *region, struct s3_location *ret, struct lm_err *err)
{
	lm_auto_endpoint struct aws_endpoint e = {0};
	enum s3_style style = r->style;
	lm_rc rc = find_style(r, &style, err);

	if (rc == LM_OK)
		rc = endpoint_resolve(AWS_S3, region, &e, err);
	if (rc != LM_OK)
		return rc;
	struct lm_str host = https_origin_host(lm_str(e.origin));
	bool virtual_host =
		style == S3_STYLE_VIRTUAL_HOST || (style == S3_STYLE_AUTO && !e.overridden);
	if (virtual_host && fits_host(lm_str(r->bucket)) && !is_ip_address(host))
		*ret = (struct s3_location){
			.origin = lm_xasprintf(
				"%.*s%s.%s", (int)(host.p - e.origin), e.origin, r->bucket, host.p),
			.path = lm_xasprintf("%s/%s", e.base_path, r->key),
			.bucket_path = lm_xasprintf("%s/", e.base_path),
			.plain_http = e.plain_http,
		};
	else
		*ret = (struct s3_location){
			.origin = lm_xstrdup(e.origin),
			.path = lm_xasprintf("%s/%s/%s", e.base_path, r->bucket, r->key),
			.bucket_path = lm_xasprintf("%s/%s", e.base_path, r->bucket),
			.plain_http = e.plain_http,
		};
	return LM_OK;
}

void s3_location_finish(struct s3_location *l)
{
	free(l->origin);
	free(l->path);
	free(l->bucket_path);
	*l = (struct s3_location){0};
}

/// Works out where the object is, for the region in the result.
static lm_rc locate(struct object_fetch *j, struct lm_err *err)
{
	struct s3_location at = {0};
	lm_rc rc = s3_locate(j->request, j->result->region, &at, err);

	if (rc != LM_OK)
		return rc;
	s3_location_finish(&j->at);
	j->at = at;
	return LM_OK;
}

static lm_rc verify_object(
	void *ctx, const struct https_answer *answer, struct lm_str wire, struct lm_err *err)
{
	const struct signed_request *sent = ctx;
	const struct object_fetch *j = sent->ctx;
	// A directory bucket's ETag is no MD5.
	bool is_directory = lm_str_ends(lm_str(j->request->bucket), LM_STR("--x-s3"));
	const struct s3_checksum_headers headers = {
		.sha256 = https_header(answer, "x-amz-checksum-sha256"),
		.sha1 = https_header(answer, "x-amz-checksum-sha1"),
		.crc64nvme = https_header(answer, "x-amz-checksum-crc64nvme"),
		.crc32c = https_header(answer, "x-amz-checksum-crc32c"),
		.crc32 = https_header(answer, "x-amz-checksum-crc32"),
		.type = https_header(answer, "x-amz-checksum-type"),
		.etag = is_directory ? LM_STR("") : https_header(answer, "etag"),
		.encryption = https_header(answer, "x-amz-server-side-encryption"),
		.customer_encryption =
			https_header(answer, "x-amz-server-side-encryption-customer-algorithm"),
	};
	lm_rc rc = s3_checksum_check(&headers, wire, err);

	return rc ? lm_wrap(err, "object '%.200s' of bucket '%s' arrived damaged", j->request->key,
			    j->request->bucket)
		  : LM_OK;
}

static void send_object_request(struct object_fetch *j, const char *method, https_done *done)
{
	const struct s3_request *r = j->request;
	bool get = strcmp(method, "GET") == 0;

	j->signed_request.done = done;
	j->signed_request.headers = j->headers;
	j->signed_request.headers_n = get ? LM_ARRAY_SIZE(j->headers) : 0;
	j->signed_request.http = (struct https_request){
		.method = method,
		.origin = lm_str(j->at.origin),
		.path = lm_str(get ? j->at.path : j->at.bucket_path),
		.query = j->query,
		.query_n = get && r->version ? 1 : 0,
		.body_max = r->size_max,
		.plain_http = j->at.plain_http,
		.verify = get ? verify_object : NULL,
	};
	request_set_limits(&j->signed_request.http, &r->limits);
	request_send(&j->signed_request);
}

static void on_object_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

/// Asks again in another region; false if it is none, or the one at hand, or the second correction.
static bool retry_in_region(struct object_fetch *j, struct lm_str region)
{
	if (j->region_corrected || !endpoint_is_region(region) ||
		lm_str_eq(region, lm_str(j->result->region)))
		return false;
	j->region_corrected = true;
	memcpy(j->result->region, region.p, region.n);
	j->result->region[region.n] = '\0';

	lm_rc rc = locate(j, &j->result->err);
	if (rc != LM_OK)
		fetch_end(j, rc);
	else
		send_object_request(j, "GET", on_object_answer);
	return true;
}

static void fail_with_answer(
	struct object_fetch *j, const struct https_answer *answer, const struct s3_error *e)
{
	const struct s3_failure f = {
		.request = j->request,
		.sent = &j->signed_request,
		.host = https_origin_host(lm_str(j->at.origin)),
		.answer = answer,
		.error = *e,
	};

	fetch_end(j, describe_s3_failure(&f, &j->result->err));
}

static void on_bucket(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct object_fetch *j = ctx;

	if (rc != LM_OK) {
		j->result->err = *err;
		fetch_end(j, rc);
		return;
	}
	if (retry_in_region(j, https_header(answer, "x-amz-bucket-region")))
		return;
	fetch_end(j, lm_fail(&j->result->err, LM_E_REFUSED, 0,
			     "bucket '%s' is not in region %s, and S3 does not report the right "
			     "one; set 'region' in the host file to the bucket's",
			     j->request->bucket, j->result->region));
}

static bool is_wrong_region(int status, struct lm_str header, const struct s3_error *e)
{
	return status == 301 || status == 307 ||
	       (status == 400 &&
		       (header.n || strcmp(e->code, "AuthorizationHeaderMalformed") == 0 ||
			       strcmp(e->code, "IllegalLocationConstraintException") == 0));
}

/// Amazon S3: "Request redirection and the REST API". True if the fetch goes on, or has finished.
static bool correct_region(
	struct object_fetch *j, const struct https_answer *answer, const struct s3_error *e)
{
	struct lm_str header = https_header(answer, "x-amz-bucket-region");

	if (j->region_corrected || !is_wrong_region(answer->status, header, e))
		return false;
	if (retry_in_region(j, header) || retry_in_region(j, lm_str(e->region)))
		return true;
	if (header.n || e->region[0])
		return false;
	send_object_request(j, "HEAD", on_bucket);
	return true;
}

static int64_t s3_server_ms(const struct https_answer *answer, const struct s3_error *e)
{
	return strcmp(e->code, "RequestTimeTooSkewed") == 0
		       ? https_parse_date_ms(https_header(answer, "date"))
		       : 0;
}

static void take_answer_object(struct object_fetch *j, struct https_answer *answer)
{
	struct lm_str version = https_header(answer, "x-amz-version-id");
	struct s3_result *r = j->result;

	r->object.text = answer->body;
	answer->body = LM_BUF(0);
	r->object.version = version.n ? lm_xmemdup0(version.p, version.n) : NULL;
	fetch_end(j, LM_OK);
}

static void on_object_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct object_fetch *j = ctx;
	struct s3_error e;

	if (rc == LM_E_TOO_LARGE) {
		fetch_end(j, lm_fail(&j->result->err, rc, 0,
				     "object '%.200s' of bucket '%s' is larger than %zu bytes",
				     j->request->key, j->request->bucket, j->request->size_max));
		return;
	}
	if (rc != LM_OK) {
		j->result->err = *err;
		fetch_end(j, rc);
		return;
	}
	if (answer->status == 200) {
		take_answer_object(j, answer);
		return;
	}
	s3_error_parse(lm_buf_str(&answer->body), &e);
	if (!correct_region(j, answer, &e) &&
		!request_correct_clock(&j->signed_request, s3_server_ms(answer, &e)) &&
		!request_correct_credentials(&j->signed_request, e.code))
		fail_with_answer(j, answer, &e);
}

void s3_start_get_object(struct https *https, const struct s3_request *request,
	struct credentials_provider *credentials, struct s3_result *ret)
{
	struct object_fetch *j = lm_xcalloc(1, sizeof(*j));

	*ret = (struct s3_result){0};
	*j = (struct object_fetch){
		.request = request,
		.result = ret,
		.signed_request =
			{
				.https = https,
				.credentials = credentials,
				.ctx = j,
				.body_sha256 = empty_sha256,
				.region = ret->region,
				.service = "s3",
			},
		.query = {{LM_STR("versionId"), lm_str(request->version)}},
		.headers = {{LM_STR("x-amz-checksum-mode"), LM_STR("ENABLED")}},
	};
	lm_rc rc = check_names(request, &ret->err);
	if (rc == LM_OK && !endpoint_is_region(lm_str(request->region)))
		rc = s3_locate(request, request->region, &j->at, &ret->err);
	if (rc == LM_OK) {
		(void)snprintf(ret->region, sizeof(ret->region), "%s", request->region);
		rc = locate(j, &ret->err);
	}
	if (rc != LM_OK)
		fetch_end(j, rc);
	else
		send_object_request(j, "GET", on_object_answer);
}

lm_rc s3_get_object(struct https *https, const struct s3_request *request,
	struct credentials_provider *credentials, const struct wait_limit *limit,
	struct s3_result *ret, struct lm_err *err)
{
	lm_auto_s3_result struct s3_result result = {0};

	s3_start_get_object(https, request, credentials, &result);
	(void)https_run(https, limit, NULL); // a failure of it is in the result
	if (result.rc != LM_OK) {
		if (err)
			*err = result.err;
		return result.rc;
	}
	*ret = result;
	result.object = (struct stored_object){0};
	return LM_OK;
}

void stored_object_finish(struct stored_object *o)
{
	lm_buf_finish(&o->text);
	free(o->version);
	*o = (struct stored_object){0};
}

void s3_result_finish(struct s3_result *r)
{
	stored_object_finish(&r->object);
	*r = (struct s3_result){0};
}
