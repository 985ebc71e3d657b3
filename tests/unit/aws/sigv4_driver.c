// SPDX-License-Identifier: Apache-2.0
/// Signs requests for tests/e2e/sigv4_botocore_test.py: reads one JSON object a line, writes the
/// headers that the signer adds as one JSON object a line.
#include "aws/sigv4.h"
#include "base/digest.h"
#include "sys/json.h"

#include <stdio.h>
#include <stdlib.h>

static size_t read_pairs(const json_t *array, struct http_pair **ret)
{
	size_t n = json_array_size(array);

	*ret = calloc(n + 1, sizeof(**ret));
	for (size_t i = 0; *ret && i < n; i++) {
		const json_t *pair = json_array_get(array, i);
		(*ret)[i] = (struct http_pair){
			json_text(json_array_get(pair, 0)), json_text(json_array_get(pair, 1))};
	}
	return n;
}

static void sign(const json_t *in)
{
	lm_auto_credentials struct aws_credentials c = {
		.access_key_id = strdup(json_string_value(json_object_get(in, "access_key"))),
	};
	lm_auto_header_list struct header_list headers = {0};
	lm_auto_free struct http_pair *query = NULL;
	lm_auto_free struct http_pair *extra = NULL;
	char hash[LM_SHA256_HEX + 1];

	lm_secret_set(&c.secret, json_text(json_object_get(in, "secret_key")));
	if (json_string_length(json_object_get(in, "token")))
		lm_secret_set(&c.session_token, json_text(json_object_get(in, "token")));
	lm_sha256_hex(json_text(json_object_get(in, "body")), hash);
	struct sigv4_request r = {
		.method = json_string_value(json_object_get(in, "method")),
		.host = json_text(json_object_get(in, "host")),
		.path = json_text(json_object_get(in, "path")),
		.body_sha256 = hash,
		.region = json_string_value(json_object_get(in, "region")),
		.service = json_string_value(json_object_get(in, "service")),
		.wall_ms = json_integer_value(json_object_get(in, "wall_ms")),
	};
	r.query_n = read_pairs(json_object_get(in, "query"), &query);
	r.query = query;
	r.headers_n = read_pairs(json_object_get(in, "headers"), &extra);
	r.headers = extra;
	sigv4_sign(&r, &c, &headers);

	lm_auto_json json_t *out = json_object();
	for (size_t i = 0; i < headers.n; i++)
		(void)json_object_set_new(out, headers.items[i].name,
			json_stringn(headers.items[i].value.data, headers.items[i].value.len));
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)putchar('\n');
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) > 0) {
		json_error_t e;
		lm_auto_json json_t *in = json_loads(line, 0, &e);

		if (!in) {
			(void)fprintf(stderr, "line not understood: %s\n", e.text);
			return 1;
		}
		sign(in);
	}
	free(line);
	return 0;
}
