/* SPDX-License-Identifier: Apache-2.0 */
#include "return_probes.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "cleanup.h"

/* Some releases later than the fix, in case one of a distribution skipped it. */
#define EXEMPT_6_12 20
#define EXEMPT_6_13 8

static unsigned int version(unsigned int major, unsigned int minor)
{
	return major << 16 | minor;
}

const char *return_probes_danger(const char *release, bool has_shadow_stacks)
{
	unsigned int major = 0, minor = 0, patch = 0;
	unsigned int there;

	if (sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2)
		return "the kernel's version is not known";
	there = version(major, minor);
	if (there >= version(6, 6) && there <= version(6, 10) && has_shadow_stacks)
		return "Linux 6.6 to 6.10 break shadow stacks with return probes";
	if (there == version(6, 11) ||
	    (there == version(6, 12) && patch < EXEMPT_6_12) ||
	    (there == version(6, 13) && patch < EXEMPT_6_13))
		return "this Linux lets seccomp filters kill processes with return "
		       "probes";
	return NULL;
}

bool return_probes_shadow_stacks(const char *root)
{
	AUTO_FREE char *path = NULL, *line = NULL;
	AUTO_FCLOSE FILE *file = NULL;
	size_t size = 0;

	if (asprintf(&path, "%s/proc/cpuinfo", root) < 0)
		return true;
	file = fopen(path, "re");

	while (file && getline(&line, &size, file) > 0)
		if (!strncmp(line, "flags", 5))
			return strstr(line, " user_shstk") != NULL;
	return false;
}

const char *return_probes_danger_here(void)
{
	struct utsname name;

	if (uname(&name))
		return "the kernel's version is not known";
	return return_probes_danger(name.release, return_probes_shadow_stacks(""));
}
