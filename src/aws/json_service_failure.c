// SPDX-License-Identifier: Apache-2.0
#include "aws/json_service_priv.h"

#include "base/clock.h"

#include <string.h>

enum { SKEW_MS = 5 * 60 * 1000 }; ///< What the JSON services tolerate.

static bool is_one_of(const struct service_error *e, const char *const *codes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(e->code, codes[i]) == 0)
			return true;
	}
	return false;
}

bool json_service_is_transient(const struct service_error *error)
{
	static const char *const codes[] = {"Throttling", "ThrottlingException",
		"ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded",
		"ProvisionedThroughputExceededException", "PriorRequestNotComplete",
		"TransactionInProgressException", "SlowDown", "RequestTimeout",
		"RequestTimeoutException", "ServiceUnavailable", "ServiceUnavailableException",
		"InternalFailure", "InternalServiceError", "InternalServerError", "ServerException",
		"OperationAbortedException"}; // of two who create the same log group

	return is_one_of(error, codes, LM_ARRAY_SIZE(codes));
}

bool json_service_is_expired(const struct service_error *error)
{
	static const char *const codes[] = {
		"ExpiredTokenException", "ExpiredToken", "TokenRefreshRequired"};

	return is_one_of(error, codes, LM_ARRAY_SIZE(codes));
}

/// The codes of a signature that is wrong or was made at the wrong time.
static bool is_signature(const struct service_error *error)
{
	static const char *const codes[] = {"InvalidSignatureException", "SignatureDoesNotMatch",
		"RequestTimeTooSkewed", "RequestTimeTooSkewedException", "RequestExpired",
		"RequestInTheFuture"};

	return is_one_of(error, codes, LM_ARRAY_SIZE(codes));
}

static bool is_denied(const struct service_error *error)
{
	static const char *const codes[] = {
		"AccessDeniedException", "AccessDenied", "NotAuthorized", "UnauthorizedOperation"};

	return is_one_of(error, codes, LM_ARRAY_SIZE(codes));
}

static bool is_unknown_key(const struct service_error *error)
{
	static const char *const codes[] = {"UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidAccessKeyId", "InvalidToken"};

	return is_one_of(error, codes, LM_ARRAY_SIZE(codes));
}

int64_t json_service_server_ms(const struct service_failure *f)
{
	struct lm_str date = header_list_get(&f->answer->headers, "date");
	int64_t server_ms = is_signature(f->error) ? https_parse_date_ms(date) : 0;
	int64_t apart_ms = server_ms - f->signed_ms;

	return server_ms && (apart_ms > SKEW_MS || apart_ms < -SKEW_MS) ? server_ms : 0;
}

static lm_rc describe_signature(const struct service_failure *f, struct lm_err *err)
{
	char ours[LM_TIME_SIZE];
	struct lm_str date = header_list_get(&f->answer->headers, "date");

	if (json_service_server_ms(f))
		return lm_fail(err, LM_E_DENIED, 0,
			"the clocks are too far apart (%s): the request was signed at %s, the "
			"server's time is %.*s; set the device's clock",
			f->error->code, lm_time_format_iso(f->signed_ms, ours), LM_STR_ARG(date));
	return lm_fail(err, LM_E_DENIED, 0,
		"%s does not accept our signature (%s): the secret access key from %s does not "
		"belong to access key %.64s",
		f->service, f->error->code, f->source, f->access_key_id);
}

/// What is wrong with who we are; LM_OK if that is not it.
static lm_rc describe_identity(const struct service_failure *f, struct lm_err *err)
{
	if (json_service_is_expired(f->error))
		return lm_fail(err, LM_E_DENIED, 0,
			"the temporary credentials from %s are over (%s%s%s); get new ones",
			f->source, f->error->code, f->error->message[0] ? ": " : "",
			f->error->message);
	if (is_unknown_key(f->error))
		return lm_fail(err, LM_E_DENIED, 0,
			"%s does not know access key %.64s from %s (%s%s%s); check key and session "
			"token, both from the same source, and that their partition is %s",
			f->service, f->access_key_id, f->source, f->error->code,
			f->error->message[0] ? ": " : "", f->error->message,
			endpoint_partition(f->region));
	return is_signature(f->error) ? describe_signature(f, err) : LM_OK;
}

static lm_rc describe_without_code(const struct service_failure *f, struct lm_err *err)
{
	int status = f->answer->status;

	if (status >= 500 || status == 429)
		return lm_fail(err, LM_E_REFUSED, 0, "%.*s answers HTTP %d, after %u attempt%s",
			LM_STR_ARG(f->host), status, f->answer->attempts,
			f->answer->attempts == 1 ? "" : "s");
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"%.*s answers HTTP %d, and not as %s does; check that AWS_ENDPOINT_URL names such "
		"a server, and that no proxy answers in its place",
		LM_STR_ARG(f->host), status, f->service);
}

static lm_rc describe_refusal(const struct service_failure *f, struct lm_err *err)
{
	int status = f->answer->status;
	bool passes = status >= 500 || status == 429 || json_service_is_transient(f->error);
	lm_rc rc = strcmp(f->error->code, "ResourceNotFoundException") == 0 ? LM_E_NOT_FOUND
		   : passes                                                 ? LM_E_REFUSED
									    : LM_E_DENIED;

	return lm_fail(err, rc, 0, "%s refuses: %s%s%s (HTTP %d, after %u attempt%s)", f->service,
		f->error->code, f->error->message[0] ? ", " : "", f->error->message,
		f->answer->status, f->answer->attempts, f->answer->attempts == 1 ? "" : "s");
}

lm_rc json_service_describe(const struct service_failure *f, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (is_denied(f->error))
		return lm_fail(err, LM_E_DENIED, 0,
			"access to %s is denied: the role needs %s (%s says: %s)", f->subject,
			f->permission, f->service,
			f->error->message[0] ? f->error->message : "nothing more");
	rc = describe_identity(f, err);
	if (rc == LM_OK)
		rc = f->error->code[0] ? describe_refusal(f, err) : describe_without_code(f, err);
	return rc == LM_OK ? rc : lm_wrap(err, "%s", f->subject);
}
