// SPDX-License-Identifier: Apache-2.0
#include "config/arn.h"

static bool all_of(struct lm_str s, const char *more)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!letter && (c == 0 || !strchr(more, c)))
			return false;
	}
	return s.n > 0;
}

bool arn_parse(struct lm_str text, struct arn *ret)
{
	struct lm_str rest = text;
	struct arn arn;

	if (!lm_str_eq(lm_str_cut(&rest, ':'), LM_STR("arn")))
		return false;
	arn.partition = lm_str_cut(&rest, ':');
	arn.service = lm_str_cut(&rest, ':');
	arn.region = lm_str_cut(&rest, ':');
	if (lm_str_find(rest, ':') == rest.n)
		return false;
	arn.account = lm_str_cut(&rest, ':');
	arn.resource = rest;
	*ret = arn;
	return true;
}

bool arn_partition_known(struct lm_str partition)
{
	return lm_str_eq(partition, LM_STR("aws")) || lm_str_eq(partition, LM_STR("aws-cn")) ||
	       lm_str_eq(partition, LM_STR("aws-us-gov"));
}

bool arn_region_valid(struct lm_str region)
{
	return region.n <= 64 && all_of(region, "-");
}

/// Twelve digits, or the placeholder of the spec's own example, which is to be accepted as it
/// stands (the store will answer that there is no such secret).
static bool account_valid(struct lm_str account)
{
	if (lm_str_eq(account, LM_STR("account-id")))
		return true;
	for (size_t i = 0; i < account.n; i++) {
		if (account.p[i] < '0' || account.p[i] > '9')
			return false;
	}
	return account.n == 12;
}

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/// [a-zA-Z0-9/_+=,.@-]+-[a-zA-Z0-9]+
static bool secret_name_valid(struct lm_str name)
{
	size_t dash = name.n;

	while (dash > 0 && name.p[dash - 1] != '-')
		dash--;
	if (dash < 2 || name.n > 512 + 7)
		return false;
	struct lm_str head = {name.p, dash - 1};
	struct lm_str tail = {name.p + dash, name.n - dash};
	return all_of(head, UPPER "/_+=,.@-") && all_of(tail, UPPER);
}

// The documented pattern says "aws(-[a-z]+)", which would refuse the partition "aws" of its own
// example; the suffix is taken as optional.
bool arn_is_secret(struct lm_str text)
{
	struct arn arn;

	if (!arn_parse(text, &arn))
		return false;
	struct lm_str name = arn.resource;
	if (!lm_str_eq(lm_str_cut(&name, ':'), LM_STR("secret")))
		return false;
	return arn_partition_known(arn.partition) &&
	       lm_str_eq(arn.service, LM_STR("secretsmanager")) && arn_region_valid(arn.region) &&
	       account_valid(arn.account) && secret_name_valid(name);
}

bool arn_is_thing_name(struct lm_str name)
{
	return name.n <= ARN_THING_NAME_MAX && all_of(name, UPPER ":_-");
}

bool arn_is_thing(struct lm_str text, struct lm_str *ret_name)
{
	struct arn arn;

	if (!arn_parse(text, &arn))
		return false;
	struct lm_str name = arn.resource;
	if (!lm_str_eq(lm_str_cut(&name, '/'), LM_STR("thing")))
		return false;
	bool fits = arn_partition_known(arn.partition) && lm_str_eq(arn.service, LM_STR("iot")) &&
		    arn_region_valid(arn.region) && account_valid(arn.account) &&
		    arn_is_thing_name(name);
	if (fits && ret_name)
		*ret_name = name;
	return fits;
}

bool arn_is_function(struct lm_str text)
{
	enum { FUNCTION_NAME_MAX = 64, QUALIFIER_MAX = 128 };
	struct arn arn;

	if (!arn_parse(text, &arn))
		return false;
	struct lm_str rest = arn.resource;
	bool is_greengrass = arn.region.n == 0 && arn.account.n == 0;
	if (!arn_partition_known(arn.partition) || !lm_str_eq(arn.service, LM_STR("lambda")) ||
		!(is_greengrass || (arn_region_valid(arn.region) && account_valid(arn.account))) ||
		!lm_str_eq(lm_str_cut(&rest, ':'), LM_STR("function")))
		return false;
	bool is_qualified = lm_str_find(rest, ':') < rest.n;
	struct lm_str name = lm_str_cut(&rest, ':');
	return name.n <= FUNCTION_NAME_MAX && all_of(name, UPPER "_-") &&
	       (!is_qualified || (rest.n <= QUALIFIER_MAX && all_of(rest, UPPER "$_-")));
}
