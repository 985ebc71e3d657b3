// SPDX-License-Identifier: Apache-2.0
#include "broker/identity.h"

#include "tables.h"

// cmocka.h wants these before it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
	struct identity shown;
	const char *name; ///< Of the endpoint that it is; NULL: refused.
} cases[] = {
	{{"A", CERTIFICATE_A, NULL, NULL, false}, THING_A},
	{{"A", CERTIFICATE_A, "?SDK=JavaScript", "", false}, THING_A},
	{{"A", CERTIFICATE_B, NULL, NULL, false}, NULL},
	{{"A", NULL, NULL, NULL, false}, NULL},
	{{"A", NULL, NULL, NULL, true}, NULL},
	{{"A", CERTIFICATE_A, NULL, NULL, true}, NULL},
	{{THING_A, CERTIFICATE_A, NULL, NULL, false}, NULL},
	{{"C", CERTIFICATE_A, NULL, NULL, false}, NULL},
	{{"a", CERTIFICATE_A, NULL, NULL, false}, NULL},
	{{"", CERTIFICATE_A, NULL, NULL, false}, NULL},
	{{NULL, CERTIFICATE_A, NULL, NULL, false}, NULL},
	{{"cloud", CERTIFICATE_A, NULL, NULL, true}, NULL},
	{{"GGShadowService", NULL, NULL, NULL, true}, NULL},
	{{"local.lighterman-cloud-1", NULL, NULL, NULL, true}, NULL},
	{{FUNCTION, NULL, NULL, NULL, true}, FUNCTION},
	{{FUNCTION, CERTIFICATE_F, NULL, NULL, false}, FUNCTION},
	{{FUNCTION, CERTIFICATE_A, NULL, NULL, false}, NULL},
	{{FUNCTION, NULL, NULL, NULL, false}, NULL},
	{{CONNECTOR, NULL, CONNECTOR, "secret", true}, CONNECTOR},
	{{CONNECTOR, NULL, CONNECTOR, "wrong", true}, NULL},
	{{CONNECTOR, NULL, CONNECTOR, NULL, true}, NULL},
	{{CONNECTOR, NULL, NULL, "secret", true}, NULL},
	{{CONNECTOR, NULL, "A", "secret", true}, NULL},
	{{CONNECTOR, CERTIFICATE_A, CONNECTOR, "secret", false}, NULL},
};

static void only_who_shows_it_is_somebody(void **state)
{
	(void)state;
	lm_auto(routes_destroy_p) struct routes *r = tables_routes("[]", false);

	for (size_t i = 0; i < LM_ARRAY_SIZE(cases); i++) {
		const char *why = "";
		const struct router_endpoint *e = identity_check(r, &cases[i].shown, &why);

		if (!lm_str_eq(lm_str(e ? e->name : NULL), lm_str(cases[i].name)) || !e == !why)
			fail_msg("case %zu: %s, %s", i, e ? e->name : "refused", why ? why : "-");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_who_shows_it_is_somebody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
