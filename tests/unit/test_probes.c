/* SPDX-License-Identifier: Apache-2.0 */
/* What probes.c says when it may not; that it counts is the kernel layer's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <grp.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probes.h"

/* In a child that is nobody: 0 when refused as it should be. */
static int open_as_nobody(void)
{
	const struct tally_config config = {.series_max = 16, .routes_per_service = 4};
	struct probes *probes = NULL;
	char error[PROBES_ERROR_LEN] = "";

	if (!getuid() && (setgroups(0, NULL) || setgid(65534) || setuid(65534)))
		return 1;
	if (!probes_open(&config, CAPTURE_AUTO, &probes, error))
		return 2;
	if (probes)
		return 3;
	if (strncmp(error, "cannot ", 7) || strchr(error, '\n'))
		return 4;
	return 0;
}

static void without_privileges_it_refuses_in_one_line(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (!child)
		_exit(open_as_nobody());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void closing_nothing_is_fine(void **state)
{
	struct probes *probes = NULL;

	(void)state;
	probes_close(&probes);
	assert_null(probes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_privileges_it_refuses_in_one_line),
	    cmocka_unit_test(closing_nothing_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
