// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS credentials for as long as a task lasts: loaded when they are first asked for, kept, renewed
/// five minutes before they expire, and once more when a service reports that they have expired.
///
/// The sources, in the order in which they are asked:
/// 1. the AWS IoT credentials provider, if the settings name a role alias: what a Greengrass core
///    used. If it gives none, no other source is asked;
/// 2. the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (or
///    AWS_SECURITY_TOKEN);
/// 3. the profile (aws/shared_config.h): its role, assumed with the credentials of another profile
///    or source; a web identity, also by AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN; keys in the
///    shared credentials file; a credential_process; keys in the AWS config file;
/// 4. the container endpoint: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI,
///    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or …_TOKEN;
/// 5. the EC2 instance metadata service, version 2: AWS_EC2_METADATA_DISABLED,
///    AWS_EC2_METADATA_SERVICE_ENDPOINT and …_MODE.
/// 2 to 5 are the order and the settings of botocore (Boto3: "Credentials",
/// https://docs.aws.amazon.com/boto3/latest/guide/credentials.html; AWS SDKs and Tools Reference
/// Guide: "Standardized credential providers"). A source that was set up but does not work ends the
/// search, so that no other identity is used than the one that was meant.
///
/// It has connections of its own, so it may be asked from inside of a request that is being
/// prepared or that has just finished; the caller's other transfers stand still meanwhile.
/// One thread. Requests keep no pointer to credentials: they ask each time they sign.

#include "aws/credentials.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <stdbool.h>

struct https;
struct wait_limit;
struct credentials_provider;

/// Loads credentials from the first source that has them; returns when it has, or has failed.
/// `https` may have no other transfer under way.
/// LM_E_NOT_FOUND: no source has any; the sentence names what each lacks, and what to do.
/// LM_E_INVALID: a source has half of them, or rubbish, or is set up wrongly. Otherwise as the
/// requests end: LM_E_DENIED, LM_E_REFUSED, LM_E_PROTOCOL, LM_E_NETWORK, LM_E_TIMEOUT,
/// LM_E_CANCELLED.
lm_rc credentials_load(struct https *https, const struct credentials_settings *settings,
	const struct wait_limit *limit, struct aws_credentials *ret, struct lm_err *err);

/// `settings` and what they point to are borrowed for the provider's life; `limit` is copied, and
/// bounds each load. LM_E_INVALID: as https_create.
lm_rc credentials_provider_create(const struct credentials_settings *settings,
	const struct wait_limit *limit, struct credentials_provider **ret, struct lm_err *err);
/// A provider of nothing but these, which it takes over.
struct credentials_provider *credentials_provider_of(struct aws_credentials *credentials);
/// Wipes what it has.
void credentials_provider_destroy(struct credentials_provider *p);
LM_DEFINE_CLEANUP(struct credentials_provider, credentials_provider_destroy)

/// The credentials, loaded or renewed where that is due. `*ret` is borrowed until the next call.
/// Those that cannot be renewed, but are still valid, are returned all the same, and
/// credentials_take_warning then has the reason. Errors as credentials_load.
lm_rc credentials_get(
	struct credentials_provider *p, const struct aws_credentials **ret, struct lm_err *err);
/// A service reports that those with this `serial` have expired: the next credentials_get loads
/// others, or fails. Does nothing if that has happened since, for another request that was signed
/// with them. False: there are no others to be had.
bool credentials_expire(struct credentials_provider *p, unsigned serial);
/// True, once, if credentials could not be renewed in time: `*ret` is why, worth a warning.
bool credentials_take_warning(struct credentials_provider *p, struct lm_err *ret);
