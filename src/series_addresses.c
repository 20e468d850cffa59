/* SPDX-License-Identifier: Apache-2.0 */
#include "series_addresses.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "drain.h"
#include "probes.h"
#include "series_collection.h"
#include "snapshot.h"

struct series_address {
	uint64_t hash;
	char text[ADDRESS_TEXT_LEN];
};

static bool same_address(const void *item, const void *wanted)
{
	return ((const struct series_address *)item)->hash == *(const uint64_t *)wanted;
}

const char *series_address_text(struct series_collection *collection, uint64_t hash)
{
	uint64_t table_hash = series_hash(collection, &hash, sizeof(hash));
	struct series_address *address =
	    table_find(&collection->addresses, table_hash, same_address, &hash);
	struct tally_address raw;
	int err;

	if (address || !hash)
		return address ? address->text : "";
	address = snapshot_alloc(collection->snapshot, sizeof(*address));
	if (!address)
		return "";
	address->hash = hash;
	err = drain_address(probes_map_fd(collection->probes, PROBES_ADDRESSES), hash,
			    &raw);
	if (!err)
		address_text(&raw, address->text);
	else if (err != -ENOENT)
		series_note(collection, err);
	table_add(&collection->addresses, table_hash, address, collection->snapshot);
	return address->text;
}
