/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "length.h"

/* Maps and iterator; /proc/PID of others; what they may read; their exe links; leases
 * on their files. */
static const int needed[] = {
    CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_LEASE,
};

#define NEEDED (LENGTH(needed))

int privileges_drop(void)
{
	const capng_type_t sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED;
	int there[NEEDED];

	/* no new privileges, and no core file that may hold a credential */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0))
		return -errno;
	for (size_t i = 0; i < NEEDED; i++)
		there[i] =
		    capng_have_capability(CAPNG_PERMITTED, (unsigned int)needed[i]);
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; i < NEEDED; i++)
		if (there[i] && capng_update(CAPNG_ADD, sets, (unsigned int)needed[i]))
			return -EINVAL;
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}
