// SPDX-License-Identifier: Apache-2.0
#include "tables.h"

#include "base/buf.h"

#include <stdlib.h>

struct routes *tables_routes(const char *subscriptions, bool alone)
{
	lm_auto_buf struct lm_buf text = LM_BUF(16384);
	struct router_table table = {0};
	struct lm_err err = {0};

	lm_buf_printf(&text,
		"{\"format\":1,\"connector\":{\"arn\":\"" CONNECTOR "\",\"password_sha256\":"
		// Of "secret".
		"\"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"},"
		"\"devices\":[{\"name\":\"A\",\"arn\":\"" THING_A
		"\",\"certificates\":[\"" CERTIFICATE_A
		"\"]}%s],\"functions\":[{\"arn\":\"" FUNCTION
		"\",\"certificates\":[\"" CERTIFICATE_F "\"]}],\"subscriptions\":%s}",
		alone ? ""
		      : ",{\"name\":\"B\",\"arn\":\"" THING_B
			"\",\"certificates\":[\"" CERTIFICATE_B "\"]}",
		subscriptions);
	if (router_table_read(lm_buf_str(&text), &table, &err) != LM_OK)
		abort();
	return routes_create(&table);
}
