// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_request.h"

#include "base/limits.h"

lm_rc control_request_add(
	struct lm_buf *in, struct lm_str piece, bool *ret_complete, struct lm_err *err)
{
	struct lm_str line = {piece.p, lm_str_find(piece, '\n')};

	if (!lm_buf_add_str(in, line))
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the request is over %zu bytes, the most that is taken", in->max);
	*ret_complete = line.n < piece.n;
	return LM_OK;
}

lm_rc control_request_parse(struct lm_str line, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *request = NULL;

	if (json_count(line) > LIMIT_CONTROL_VALUES)
		return lm_fail(err, LM_E_INVALID, 0,
			"the request has more than %d values and keys, as no request has",
			LIMIT_CONTROL_VALUES);
	if (json_parse(line, &request, err) != LM_OK)
		return lm_wrap(err, "the request is not valid JSON");
	if (!json_is_object(request))
		return lm_fail(err, LM_E_INVALID, 0, "the request is not an object but %s",
			json_type_name(request));
	*ret = lm_take(request);
	return LM_OK;
}
