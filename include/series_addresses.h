/* SPDX-License-Identifier: Apache-2.0 */
/* series_addresses.h - the texts of server addresses, by the hashes that rows have:
 * each is read from the kernel once a collection, when it is first asked for. */
#pragma once

#include <stdint.h>

struct series_collection;

/* "" when the table of addresses had no room for it, or there is none.; other failures
 * are noted. As long as the snapshot. */
const char *series_address_text(struct series_collection *collection, uint64_t hash);
