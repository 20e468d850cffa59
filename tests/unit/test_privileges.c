/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "privileges.h"

#define KEPT                                                                           \
	(1ull << CAP_BPF | 1ull << CAP_PERFMON | 1ull << CAP_SYS_PTRACE |              \
	 1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_LEASE)

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

	if (err)
		return 2;
	if (status_value("CapEff:") != (before & KEPT) ||
	    status_value("CapPrm:") != (before & KEPT))
		return 3;
	if (status_value("NoNewPrivs:") != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 4;
	/* CAP_SETUID is gone */
	return getuid() == 0 && setuid(65534) == 0 ? 5 : 0;
}

/* With some of what it needs, and something it does not. */
static int drop_some_and_look(void)
{
	if (getuid())
		return 0; /* has nothing to begin with: the other test's case */
	capng_clear(CAPNG_SELECT_CAPS);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_BPF,
		      CAP_PERFMON, CAP_SETPCAP, -1);
	return capng_apply(CAPNG_SELECT_CAPS) ? 6 : drop_and_look();
}

static void run_in_child(int (*look)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		_exit(look());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void only_what_reading_needs_is_kept(void **state)
{
	(void)state;
	run_in_child(drop_and_look);
}

static void what_is_needed_and_missing_stays_missing(void **state)
{
	(void)state;
	run_in_child(drop_some_and_look);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_what_reading_needs_is_kept),
	    cmocka_unit_test(what_is_needed_and_missing_stays_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
