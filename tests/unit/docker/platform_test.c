// SPDX-License-Identifier: Apache-2.0
#include "docker/platform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void compares_platforms_as_the_engine_does(void **state)
{
	(void)state;
	static const struct {
		const char *actual, *wanted;
		bool fits;
	} cases[] = {
		{"linux/amd64", "linux/amd64", true},
		{"linux/amd64", "linux/arm64", false},
		{"linux/amd64", "amd64", true},
		{"linux/amd64", "x86_64", true},
		{"linux/amd64", "linux", true},
		{"linux/arm64", "linux", false},
		{"linux/arm64/v8", "linux/arm64", true},
		{"linux/arm64", "linux/arm64/v8", true},
		{"linux/arm64", "aarch64", true},
		{"linux/arm64", "Linux/ARM64", true},
		{"linux/arm/v7", "linux/arm/v7", true},
		{"linux/arm/v7", "linux/arm", true},
		{"linux/arm/v6", "linux/arm/v7", true}, // an older one runs, too
		{"linux/arm/v7", "linux/arm/v6", false},
		{"linux/arm", "linux/arm/v6", true}, // it does not say
		{"linux/arm/v7", "armhf", true},
		{"linux/arm/v7", "armel", false},
		{"linux/arm64", "linux/arm", false},
		{"windows/amd64", "linux/amd64", false},
		{"windows/amd64", "windows", true},
		{"", "linux/arm64", true},
		{"linux/", "linux/arm64", true},
		{"linux/amd64", "", false},
		{"linux/amd64", "linux/amd64/v2", true},
		{"linux/386", "i386", true},
		{"linux/riscv64", "linux/riscv64", true},
		{"linux/a-very-long-architecture-that-nobody-has", "linux/amd64", false},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool fits = platform_fits(cases[i].actual, cases[i].wanted, "linux/amd64");
		if (fits != cases[i].fits)
			fail_msg("%s for %s: %d", cases[i].actual, cases[i].wanted, fits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_platforms_as_the_engine_does),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
