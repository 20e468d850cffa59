/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges.h"

#define KEPT                                                                           \
	(1ull << CAP_BPF | 1ull << CAP_PERFMON | 1ull << CAP_SYS_PTRACE |              \
	 1ull << CAP_DAC_READ_SEARCH)

/* The value of a line of /proc/self/status, in hexadecimal. */
static unsigned long long status_value(const char *name)
{
	char line[256];
	unsigned long long value = ~0ull;
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			value = strtoull(line + strlen(name), NULL, 16);
	if (file)
		fclose(file);
	return value;
}

/* Runs in a child: what is given up does not come back. 0: as it should be. */
static int drop_and_look(void)
{
	unsigned long long before = status_value("CapPrm:");
	int err = privileges_drop();

	if ((before & KEPT) != KEPT) /* nothing to keep: an error, and said */
		return err == -EPERM ? 0 : 1;
	if (err)
		return 2;
	if (status_value("CapEff:") != KEPT || status_value("CapPrm:") != KEPT)
		return 3;
	if (status_value("NoNewPrivs:") != 1)
		return 4;
	return setuid(65534) == 0 ? 5 : 0; /* CAP_SETUID is gone */
}

static void only_what_reading_needs_is_kept(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (!child)
		_exit(drop_and_look());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_what_reading_needs_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
