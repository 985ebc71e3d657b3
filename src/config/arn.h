// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Amazon Resource Names: "arn:partition:service:region:account:resource". Pure.

#include "base/str.h"

#include <stdbool.h>

/// Borrowed from the text that was parsed.
struct arn {
	struct lm_str partition, service, region, account, resource;
};

/// False if it has not six parts or does not begin with "arn".
bool arn_parse(struct lm_str text, struct arn *ret);
/// aws, aws-cn, aws-us-gov.
bool arn_partition_known(struct lm_str partition);
/// [a-z0-9-]+. The spec's examples have the word "region" there, which passes.
bool arn_region_valid(struct lm_str region);
/// Whether it names a secret as the spec's pattern for AWSSecretsArnList means it.
bool arn_is_secret(struct lm_str text);

enum { ARN_THING_NAME_MAX = 128 }; ///< AWS IoT's own.
/// Whether a thing can have this name: 1 to ARN_THING_NAME_MAX of A-Z a-z 0-9 : _ -
bool arn_is_thing_name(struct lm_str name);
/// Whether it names a thing: "arn:<partition>:iot:<region>:<account>:thing/<name>".
/// `*ret_name` is borrowed from `text`; it may be NULL.
bool arn_is_thing(struct lm_str text, struct lm_str *ret_name);
/// Whether it names a Lambda function: "arn:<partition>:lambda:<region>:<account>:function:<name>",
/// maybe with ":<version or alias>". Those of Greengrass itself have neither region nor account.
bool arn_is_function(struct lm_str text);
