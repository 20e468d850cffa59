/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <sys/prctl.h>

/* Maps and iterator; /proc/PID of others; what they may read; their exe links. */
static const int kept[] = {
    CAP_BPF,
    CAP_PERFMON,
    CAP_SYS_PTRACE,
    CAP_DAC_READ_SEARCH,
};

int privileges_drop(void)
{
	const capng_type_t sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED;

	capng_clear(CAPNG_SELECT_BOTH);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (capng_update(CAPNG_ADD, sets, (unsigned int)kept[i]))
			return -EINVAL;
	if (capng_apply(CAPNG_SELECT_BOTH))
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return 0;
}
