// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where an AWS service is reached: its own host of a region (the FIPS one and the one with IPv6 if
/// AWS_USE_FIPS_ENDPOINT and AWS_USE_DUALSTACK_ENDPOINT say so), or what is configured, in this
/// order: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, endpoint_url in the services section of the
/// AWS profile, endpoint_url of the profile (AWS SDKs and Tools Reference Guide: "Service-specific
/// endpoints", "Dual-stack and FIPS endpoints"). A named one is taken as it is, whatever the two
/// variables say, as botocore does.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>

enum aws_service { AWS_S3, AWS_SECRETS_MANAGER, AWS_ECR, AWS_CLOUDWATCH_LOGS, AWS_STS };

struct aws_endpoint {
	char *origin;    ///< "https://s3.eu-west-1.amazonaws.com".
	char *base_path; ///< What stands before the path, without a '/' at its end; "" mostly.
	bool overridden; ///< It was configured.
	bool plain_http; ///< The origin is "http://…"; only if configured so.
};

/// LM_E_INVALID: the region cannot be one, or a setting (it is named) holds no usable URL, or a
/// kind of host that there is none of. Otherwise as shared_config_load.
lm_rc endpoint_resolve(
	enum aws_service service, const char *region, struct aws_endpoint *ret, struct lm_err *err);
void endpoint_finish(struct aws_endpoint *e);
#define lm_auto_endpoint lm_auto(endpoint_finish)

/// Whether `region` can stand in a host name: a-z, 0-9 and '-', at most 32.
bool endpoint_is_region(struct lm_str region);

/// A group of regions with domains of its own. Static storage.
struct aws_partition {
	const char *name;          ///< As in an ARN: "aws", "aws-cn".
	const char *region_prefix; ///< "cn-".
	const char *suffix;        ///< Of the services' hosts: "amazonaws.com".
	/// Of hosts that have an IPv6 address, too, and belong to an account: "on.aws".
	const char *dual_stack_suffix;
};
/// "aws" for a region that no other partition has.
const struct aws_partition *endpoint_partition_of(struct lm_str region);
/// Its name: "aws", "aws-cn", "aws-us-gov", … Static storage.
const char *endpoint_partition(const char *region);
