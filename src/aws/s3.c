// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_priv.h"

#include "aws/endpoint.h"
#include "aws/shared_config.h"
#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/memory.h"

#include <arpa/inet.h>
#include <string.h>

static const char empty_sha256[] =
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

enum { ACCESS_KEY_SHOWN = 64 };

/// Fetching one object: a GET, and again after a correction of region, clock or credentials.
struct job {
	struct https *https;
	const struct s3_request *request;
	struct credentials_provider *credentials;
	struct s3_result *result;

	struct s3_location at;
	struct http_pair query[1];
	size_t query_n;
	const char *method;
	// How the last attempt was signed:
	int64_t signed_ms;
	unsigned signed_serial;
	char signed_key[ACCESS_KEY_SHOWN + 1];
	const char *signed_source;
	bool region_corrected, clock_corrected, credentials_corrected;
};

static void job_destroy(struct job *j)
{
	s3_location_finish(&j->at);
	free(j);
}

static void job_end(struct job *j, lm_rc rc)
{
	j->result->rc = rc;
	if (j->request->done)
		j->request->done(j->request->ctx, j->result);
	job_destroy(j);
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
static lm_rc locate(struct job *j, struct lm_err *err)
{
	struct s3_location at = {0};
	lm_rc rc = s3_locate(j->request, j->result->region, &at, err);

	if (rc != LM_OK)
		return rc;
	s3_location_finish(&j->at);
	j->at = at;
	return LM_OK;
}

static lm_rc prepare(void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	struct job *j = ctx;
	const struct aws_credentials *credentials = NULL;
	bool get = strcmp(j->method, "GET") == 0;
	lm_rc rc = credentials_get(j->credentials, &credentials, err);

	(void)attempt;
	if (rc != LM_OK)
		return rc;
	(void)snprintf(j->signed_key, sizeof(j->signed_key), "%s", credentials->access_key_id);
	j->signed_source = credentials->source;
	j->signed_serial = credentials->serial;
	j->signed_ms = lm_clock_wall_ms() + j->result->clock_offset_ms;
	const struct sigv4_request r = {
		.method = j->method,
		.host = https_origin_host(lm_str(j->at.origin)),
		.path = lm_str(get ? j->at.path : j->at.bucket_path),
		.query = j->query,
		.query_n = get ? j->query_n : 0,
		.body_sha256 = empty_sha256,
		.region = j->result->region,
		.service = "s3",
		.wall_ms = j->signed_ms,
	};
	sigv4_sign(&r, credentials, headers);
	return LM_OK;
}

static void send_request(struct job *j, const char *method, https_done *done)
{
	const struct s3_request *r = j->request;
	bool get = strcmp(method, "GET") == 0;

	j->method = method;
	const struct https_request request = {
		.method = method,
		.origin = lm_str(j->at.origin),
		.path = lm_str(get ? j->at.path : j->at.bucket_path),
		.query = j->query,
		.query_n = get ? j->query_n : 0,
		.body_max = r->size_max,
		.plain_http = j->at.plain_http,
		.prepare = prepare,
		.done = done,
		.ctx = j,
		.connect_timeout_ms = r->connect_timeout_ms,
		.timeout_ms = r->timeout_ms,
		.attempts = r->attempts,
		.backoff_base_ms = r->backoff_base_ms,
		.backoff_max_ms = r->backoff_max_ms,
	};
	https_start(j->https, &request);
}

static void on_object(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

/// Asks again in another region; false if it is none, or the one at hand, or the second correction.
static bool retry_in_region(struct job *j, struct lm_str region)
{
	if (j->region_corrected || !endpoint_is_region(region) ||
		lm_str_eq(region, lm_str(j->result->region)))
		return false;
	j->region_corrected = true;
	memcpy(j->result->region, region.p, region.n);
	j->result->region[region.n] = '\0';

	lm_rc rc = locate(j, &j->result->err);
	if (rc != LM_OK)
		job_end(j, rc);
	else
		send_request(j, "GET", on_object);
	return true;
}

static void fail_with_answer(struct job *j, const struct https_answer *answer)
{
	struct s3_failure f = {
		.request = j->request,
		.access_key_id = j->signed_key,
		.source = j->signed_source,
		.host = https_origin_host(lm_str(j->at.origin)),
		.answer = answer,
		.signed_ms = j->signed_ms,
	};

	s3_error_parse(lm_buf_str(&answer->body), &f.error);
	job_end(j, s3_describe_failure(&f, &j->result->err));
}

static void on_bucket(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct job *j = ctx;

	if (rc != LM_OK) {
		j->result->err = *err;
		job_end(j, rc);
		return;
	}
	if (retry_in_region(j, header_list_get(&answer->headers, "x-amz-bucket-region")))
		return;
	job_end(j, lm_fail(&j->result->err, LM_E_REFUSED, 0,
			   "bucket '%s' is not in region %s, and S3 does not say in which; set "
			   "'region' in the host file to the bucket's",
			   j->request->bucket, j->result->region));
}

static bool is_wrong_region(int status, struct lm_str header, const struct s3_error *e)
{
	return status == 301 || status == 307 ||
	       (status == 400 &&
		       (header.n || strcmp(e->code, "AuthorizationHeaderMalformed") == 0 ||
			       strcmp(e->code, "IllegalLocationConstraintException") == 0));
}

/// Amazon S3: "Request redirection and the REST API". True if the job goes on, or has ended.
static bool correct_region(
	struct job *j, const struct https_answer *answer, const struct s3_error *e)
{
	struct lm_str header = header_list_get(&answer->headers, "x-amz-bucket-region");

	if (j->region_corrected || !is_wrong_region(answer->status, header, e))
		return false;
	if (retry_in_region(j, header) || retry_in_region(j, lm_str(e->region)))
		return true;
	if (header.n || e->region[0])
		return false;
	send_request(j, "HEAD", on_bucket);
	return true;
}

/// Signs once more, with the server's time.
static bool correct_clock(
	struct job *j, const struct https_answer *answer, const struct s3_error *e)
{
	if (j->clock_corrected || strcmp(e->code, "RequestTimeTooSkewed") != 0)
		return false;
	int64_t server_ms = https_parse_date_ms(header_list_get(&answer->headers, "date"));

	if (!server_ms)
		return false;
	j->clock_corrected = true;
	j->result->clock_offset_ms = server_ms - lm_clock_wall_ms();
	send_request(j, "GET", on_object);
	return true;
}

/// Signs once more, with other credentials.
static bool correct_credentials(struct job *j, const struct s3_error *e)
{
	bool over = strcmp(e->code, "ExpiredToken") == 0 ||
		    strcmp(e->code, "ExpiredTokenException") == 0 ||
		    strcmp(e->code, "TokenRefreshRequired") == 0;

	if (!over || j->credentials_corrected ||
		!credentials_expire(j->credentials, j->signed_serial))
		return false;
	j->credentials_corrected = true;
	send_request(j, "GET", on_object);
	return true;
}

static void take_object(struct job *j, struct https_answer *answer)
{
	struct lm_str version = header_list_get(&answer->headers, "x-amz-version-id");
	struct s3_result *r = j->result;

	r->object.text = answer->body;
	answer->body = LM_BUF(0);
	r->object.version = version.n ? lm_xmemdup0(version.p, version.n) : NULL;
	job_end(j, LM_OK);
}

static void on_object(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct job *j = ctx;
	struct s3_error e;

	if (rc == LM_E_TOO_LARGE) {
		job_end(j, lm_fail(&j->result->err, rc, 0,
				   "object '%.200s' of bucket '%s' is larger than %zu bytes",
				   j->request->key, j->request->bucket, j->request->size_max));
		return;
	}
	if (rc != LM_OK) {
		j->result->err = *err;
		job_end(j, rc);
		return;
	}
	if (answer->status == 200) {
		take_object(j, answer);
		return;
	}
	s3_error_parse(lm_buf_str(&answer->body), &e);
	if (!correct_region(j, answer, &e) && !correct_clock(j, answer, &e) &&
		!correct_credentials(j, &e))
		fail_with_answer(j, answer);
}

void s3_start_get_object(struct https *https, const struct s3_request *request,
	struct credentials_provider *credentials, struct s3_result *ret)
{
	struct job *j = lm_xcalloc(1, sizeof(*j));

	*ret = (struct s3_result){0};
	*j = (struct job){
		.https = https,
		.request = request,
		.credentials = credentials,
		.result = ret,
	};
	if (request->version) {
		j->query[0] = (struct http_pair){LM_STR("versionId"), lm_str(request->version)};
		j->query_n = 1;
	}
	lm_rc rc = check_names(request, &ret->err);
	if (rc == LM_OK && !endpoint_is_region(lm_str(request->region)))
		rc = s3_locate(request, request->region, &j->at, &ret->err);
	if (rc == LM_OK) {
		(void)snprintf(ret->region, sizeof(ret->region), "%s", request->region);
		rc = locate(j, &ret->err);
	}
	if (rc != LM_OK)
		job_end(j, rc);
	else
		send_request(j, "GET", on_object);
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

void s3_result_finish(struct s3_result *r)
{
	stored_object_finish(&r->object);
	*r = (struct s3_result){0};
}
