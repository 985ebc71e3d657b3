// SPDX-License-Identifier: Apache-2.0
#include "daemon/orders.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "sys/json.h"

void orders_finish(struct orders *o)
{
	group_destroy(lm_take(o->deploy));
	group_destroy(lm_take(o->plan));
}

void orders_set_deploy(struct orders *o, struct group *group, bool now)
{
	group_destroy(o->deploy);
	o->deploy = group;
	o->now = now;
}

void orders_set_plan(struct orders *o, struct group *group)
{
	group_destroy(o->plan);
	o->plan = group;
}

static json_t *fault_line(const struct validation_error *fault)
{
	lm_auto_free char *text = validation_error_text(fault);

	return json_pack("{s:{s:s?, s:s?, s:s?, s:s?, s:s}}", "fault", "entry", fault->entry,
		"parameter", fault->parameter, "value", fault->value, "rule", fault->rule, "text",
		text);
}

lm_rc orders_parse(struct lm_str group_file, const struct waiter *waiter, struct group **ret,
	struct lm_err *err)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_rc rc = definition_parse(group_file, &errors, ret, err);

	for (size_t i = 0; rc != LM_OK && i < errors.n; i++)
		waiter_send(waiter, fault_line(&errors.items[i]), false);
	return rc;
}

lm_rc orders_format(const struct group *group, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_json json_t *json = group_to_json(group);

	return json_write(json, out)
		       ? LM_OK
		       : lm_fail(err, LM_E_TOO_LARGE, 0, "the group file is too large to store");
}

unsigned orders_find_quarantined(struct orders *o, const struct group *group, char **ret_reason)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	struct lm_err ignored; // what cannot be stored never was

	return orders_format(group, &text, &ignored)
		       ? 0
		       : quarantine_find(o->quarantine, lm_buf_str(&text), ret_reason);
}

unsigned orders_find_deployed(struct orders *o, const struct group *group)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_GROUP_FILE);
	unsigned n = 0;
	struct lm_err ignored; // what cannot be read was not deployed

	if (orders_format(group, &text, &ignored) ||
		store_find_definition(o->store, lm_buf_str(&text), &n, &ignored))
		return 0;
	return n;
}
