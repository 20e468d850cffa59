/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * series_key.h - the hash that a series' row is found by. Every step is bijective in
 * the word that it adds, so keys that differ in one word never share a hash. Others do
 * by luck only, one in 2^64: the route and the address are keyed hashes themselves,
 * which no stranger can choose (hash.h), and the rest are small numbers. Pure.
 */
#pragma once

#include "abi.h"

/* A multiplication carries upwards only; with the bytes swapped, the next one carries
 * on from what came out at the top. */
PURE_INLINE __u64 series_key_hash(__u64 seed, const struct tally_series_key *key)
{
	__u64 words[sizeof(*key) / sizeof(__u64)];
	__u64 hash = seed;

	__builtin_memcpy(words, key, sizeof(words));
	for (__u32 i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		hash = __builtin_bswap64((hash ^ words[i]) * 0xbf58476d1ce4e5b9ull);
	return hash;
}
