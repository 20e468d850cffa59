/* SPDX-License-Identifier: Apache-2.0 */
/* bpftally_build_info: which version this is. */
#pragma once

#include "snapshot.h"

void build_info_collect(struct snapshot *snapshot);
