// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_error.h"

#include "aws/xml.h"
#include "base/cleanup.h"

/// The first of a name counts.
static void store(void *ctx, struct lm_str path, struct lm_str text)
{
	struct s3_error *e = ctx;
	const struct {
		const char *path;
		char *out;
		size_t size;
	} fields[] = {
		{"Error/Code", e->code, sizeof(e->code)},
		{"Error/Message", e->message, sizeof(e->message)},
		{"Error/Region", e->region, sizeof(e->region)},
		{"Error/RequestTime", e->request_time, sizeof(e->request_time)},
		{"Error/ServerTime", e->server_time, sizeof(e->server_time)},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(fields); i++) {
		if (lm_str_eq(path, lm_str(fields[i].path)) && !fields[i].out[0])
			xml_decode(text, fields[i].out, fields[i].size);
	}
}

void s3_error_parse(struct lm_str xml, struct s3_error *ret)
{
	*ret = (struct s3_error){0};
	xml_each_text(xml, store, ret);
}
