/* SPDX-License-Identifier: Apache-2.0 */
/* fake_series.h - rows of a map of series (fake_bpf.h), as the kernel has them. */
#pragma once

#include "drain.h"
#include "fake_bpf.h"
#include "series_key.h"

#define FAKE_SEED 0x5eed

static inline struct series_map fake_series(int fd)
{
	return (struct series_map){.fd = fd, .seed = FAKE_SEED};
}

static inline int fake_series_make(int index, uint32_t max_entries)
{
	return fake_map_make(index, sizeof(__u64), sizeof(struct tally_row),
			     max_entries);
}

static inline int fake_series_put(int fd, const struct tally_series_key *key,
				  const struct tally_series *value)
{
	const __u64 hash = series_key_hash(FAKE_SEED, key);
	const struct tally_row row = {.series = *value, .key = *key};

	return bpf_map_update_elem(fd, &hash, &row, BPF_ANY);
}

/* Leaves value as it is when there is no such row. */
static inline void fake_series_get(int fd, const struct tally_series_key *key,
				   struct tally_series *value)
{
	const __u64 hash = series_key_hash(FAKE_SEED, key);
	struct tally_row row;

	if (!bpf_map_lookup_elem(fd, &hash, &row))
		*value = row.series;
}
