/* SPDX-License-Identifier: Apache-2.0 */
#include "build_info.h"

static const struct family build = {
    .name = "bpftally_build",
    .help = "Version of bpftally, what compiled it, and for which machine.",
    .unit = "",
    .type = METRIC_INFO,
    .order = 101, /* after what was missed */
};

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#if defined(__x86_64__)
#define ARCH "x86_64"
#elif defined(__aarch64__)
#define ARCH "aarch64"
#else
#define ARCH "other"
#endif

void build_info_collect(struct snapshot *snapshot)
{
	struct label labels[] = {
	    {"arch", ARCH},
	    {"compiler", COMPILER},
	    {"version", BPFTALLY_VERSION},
	};

	snapshot_value(snapshot, &build, snapshot_labels(snapshot, labels, 3), 1);
}
