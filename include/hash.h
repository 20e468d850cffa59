/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * hash.h - a keyed hash over what strangers write. Multilinear (Carter, Wegman 1979):
 * the sum of 32-bit pieces, each times a key of its own; two sums, of which the upper
 * halves are kept. Whoever does not know the seed finds no two inputs that share a
 * hash but by luck, one in 2^64. Mixing by shift and multiplication alone, with
 * whatever multiplier, lets pairs be constructed. Pure.
 */
#pragma once

#include "types.h"

struct keyed_hash {
	__u64 a, b;
};

/* The i-th key of a seed (splitmix64). */
PURE_INLINE __u64 hash_key(__u64 seed, __u32 i)
{
	__u64 key = seed + (i + 1) * 0x9e3779b97f4a7c15ull;

	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9ull;
	key = (key ^ key >> 27) * 0x94d049bb133111ebull;
	return key ^ key >> 31;
}

/* The word at position i; every position once. */
PURE_INLINE void hash_add(struct keyed_hash *hash, __u64 seed, __u32 i, __u64 word)
{
	const __u64 low = (__u32)word, high = word >> 32;

	hash->a += hash_key(seed, 4 * i) * low + hash_key(seed, 4 * i + 1) * high;
	hash->b += hash_key(seed, 4 * i + 2) * low + hash_key(seed, 4 * i + 3) * high;
}

PURE_INLINE __u64 hash_value(const struct keyed_hash *hash)
{
	return (hash->a >> 32 << 32) | hash->b >> 32;
}
