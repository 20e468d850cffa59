/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "return_probes.h"

struct kernel {
	const char *release;
	bool safe, safe_with_shadow_stacks;
};

static const struct kernel kernels[] = {
    {"5.15.0-107-generic", true, true},
    {"6.1.0-57-cloud-amd64", true, true},
    {"6.5.13", true, true},
    {"6.6.0", true, false},
    {"6.8.0-31-generic", true, false},
    {"6.10.14", true, false},
    {"6.11.0-26-generic", false, false},
    {"6.12.0", false, false},
    {"6.12.19", false, false},
    {"6.12.20", true, true},
    {"6.12.57+deb13-amd64", true, true},
    {"6.13.7", false, false},
    {"6.13.8", true, true},
    {"6.14.0", true, true},
    {"7.0.0-rc1", true, true},
    {"10.6.0", true, true},
    {"6", false, false},
    {"", false, false},
    {"linux", false, false},
};

static void each_kernel_is_judged_by_what_it_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		const struct kernel *kernel = &kernels[i];

		if (kernel->safe != !return_probes_danger(kernel->release, false) ||
		    kernel->safe_with_shadow_stacks !=
			!return_probes_danger(kernel->release, true))
			fail_msg("\"%s\" is judged wrong", kernel->release);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_kernel_is_judged_by_what_it_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
