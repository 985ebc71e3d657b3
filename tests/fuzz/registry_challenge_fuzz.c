// SPDX-License-Identifier: Apache-2.0

/// How registries ask for credentials, where they send us, and what token servers answer.

#include "base/cleanup.h"
#include "registry/challenge.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};
	lm_auto(challenge_finish) struct challenge c = {0};
	challenge_parse(text, &c);
	if (c.scheme == CHALLENGE_BEARER && !(c.realm && c.service && c.scope))
		__builtin_trap();
	lm_auto_secret struct lm_secret token = {0};
	if (challenge_token_parse(text, &token, &err) == LM_OK && token.len == 0)
		__builtin_trap();
	lm_auto(registry_url_finish) struct registry_url a = {0};
	(void)!registry_url_parse(text, size % 2 ? "https://registry.example" : NULL, &a, &err);
	lm_auto(registry_url_finish) struct registry_url realm = {0};
	if (c.realm)
		(void)!registry_url_parse(lm_str(c.realm), NULL, &realm, &err);
	return 0;
}
