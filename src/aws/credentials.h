// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS credentials: where they come from, and their safe keeping.
///
/// The sources, in the order in which they are asked:
/// 1. the AWS IoT credentials provider, if the settings name a role alias: what a Greengrass core
///    used. If it gives none, no other source is asked;
/// 2. the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN (or
///    AWS_SECURITY_TOKEN);
/// 3. the profile (aws/shared_config.h): its role, assumed with the credentials of another profile
/// or
///    source; a web identity, also by AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN; keys in the
///    shared credentials file; a credential_process; keys in the AWS config file;
/// 4. the container endpoint: AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or …_FULL_URI,
///    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE or …_TOKEN;
/// 5. the EC2 instance metadata service, version 2: AWS_EC2_METADATA_DISABLED,
///    AWS_EC2_METADATA_SERVICE_ENDPOINT and …_MODE.
/// 2 to 5 are the order and the settings of botocore (Boto3: "Credentials",
/// https://docs.aws.amazon.com/boto3/latest/guide/credentials.html; AWS SDKs and Tools Reference
/// Guide: "Standardized credential providers"). A source that was set up but does not work ends the
/// search, so that nobody gets another identity than the one that was meant.
///
/// For a job that signs more than once, aws/credentials_provider.h keeps them and renews them.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/secret.h"

#include <stdint.h>

struct https;
struct wait_limit;

struct aws_credentials {
	char *access_key_id;            ///< Not a secret: it may stand in messages.
	struct lm_secret secret;        ///< The secret access key.
	struct lm_secret session_token; ///< Empty for lasting credentials.
	int64_t expires_ms;             ///< Wall clock; 0: unknown or never.
	/// The same on lm_clock_mono_ms(), reckoned from the source's own time where it tells, so
	/// that a wrong clock of ours does not count. 0: unknown or never.
	uint64_t expires_mono_ms;
	const char *source; ///< For messages: "the environment". Static storage.
	unsigned serial;    ///< Which of a credentials_provider's these are, from 1; 0: of none.
};

struct credentials_settings {
	/// The AWS IoT credentials provider; NULL: it is not used.
	const char *role_alias;
	const char *endpoint; ///< Its host: "<prefix>.credentials.iot.<region>.amazonaws.com".
	const char *certificate, *private_key; ///< The device's, PEM files.
	/// Their texts instead, where we may not read the files; empty: read them. The names are
	/// needed all the same, for messages.
	struct lm_str certificate_text, private_key_text;
	const char *ca;         ///< PEM file; NULL: AWS_CA_BUNDLE's or the system's.
	const char *thing_name; ///< Must be attached to the certificate; NULL: not sent.

	const char *region; ///< Where STS is asked; NULL: the SDKs' settings say.

	// Of requests to any source; 0 stands for the source's own.
	unsigned timeout_ms; ///< An attempt's.
	unsigned attempts;
	unsigned backoff_max_ms;
	/// How long before their end a provider renews credentials; 0: 5 minutes.
	unsigned refresh_early_ms;
};

/// Loads credentials from the first source that has them; returns when it has, or has failed.
/// `https` may have no other transfer under way.
/// LM_E_NOT_FOUND: no source has any; the sentence names what each lacks, and what to do.
/// LM_E_INVALID: a source has half of them, or rubbish, or is set up wrongly. Otherwise as the
/// requests end: LM_E_DENIED, LM_E_REFUSED, LM_E_PROTOCOL, LM_E_NETWORK, LM_E_TIMEOUT,
/// LM_E_CANCELLED.
lm_rc credentials_load(struct https *https, const struct credentials_settings *settings,
	const struct wait_limit *limit, struct aws_credentials *ret, struct lm_err *err);
/// Wipes and frees.
void credentials_finish(struct aws_credentials *c);
#define lm_auto_credentials lm_auto(credentials_finish)
