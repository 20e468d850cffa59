/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * buckets.h - which bucket a value falls in. Pure; both sides and the tests.
 *
 * Classic bounds are inclusive upper bounds, as Prometheus' `le`. Native
 * buckets are schema 3 (growth 2^(1/8)) on integer nanoseconds: bucket i ends
 * at floor(1e9 * 2^(i/8)), inclusive, which is exact because durations are
 * integers. Index 0 of the array is the zero bucket (<= 2^-20 s), then i =
 * -159 .. 48 (64 s), then what is longer.
 *
 * Value buckets are the same growth on any integers: 0 has the first one, bucket
 * i ends at floor(2^(i/8)), inclusive, up to 2^47, then what is larger. Between
 * small integers some can hold nothing.
 */
#pragma once

#include "types.h"

#define DURATION_BOUNDS 19
#define DURATION_BUCKETS (DURATION_BOUNDS + 1)
#define SIZE_BOUNDS 14
#define SIZE_BUCKETS (SIZE_BOUNDS + 1)

#define NATIVE_SCHEMA 3
#define NATIVE_FIRST (-159)
#define NATIVE_LAST 48
#define NATIVE_BUCKETS (NATIVE_LAST - NATIVE_FIRST + 1 + 2)
#define NATIVE_ZERO_S 0x1p-20 /* what is up to that is in the zero bucket */
#define NATIVE_ZERO_NS 953ull /* floor(1e9 * NATIVE_ZERO_S) */

#define VALUE_OCTAVES 47
#define VALUE_BUCKETS (8 * VALUE_OCTAVES + 2)

/* Moves *low on by so many bounds: where clang sees no condition, it cannot make a
 * number of it and multiply. */
PURE_INLINE void move_on(const __u64 **low, __u32 count)
{
	*low += count;
#ifdef __bpf__
	asm volatile("" : "+r"(*low));
#endif
}

/* The number of bounds below v, which is the index of v's bucket. The first look
 * leaves the lower or the upper 2^k of the n + 1 indexes, which may overlap, the
 * others halve (Shar's binary search): nothing asks where the table ends. */
PURE_INLINE __u32 bucket_index(const __u64 *bounds, __u32 n, __u64 v)
{
	const __u64 *low = bounds;
	__u32 half;

	if (!n || v <= bounds[0]) /* often: an empty body, no wait */
		return 0;
	half = 1u << (31 - __builtin_clz(n));
	if (low[half - 1] < v)
		move_on(&low, n + 1 - half);
	for (__u32 step = half / 2; step; step >>= 1)
		if (low[step - 1] < v)
			move_on(&low, step);
	return (__u32)(low - bounds);
}

#define BUCKET_TABLE static const __u64 __attribute__((unused))

BUCKET_TABLE duration_bounds_ns[DURATION_BOUNDS] = {
    100000,     250000,     500000,     1000000,    2500000,     5000000,   10000000,
    25000000,   50000000,   75000000,   100000000,  250000000,   500000000, 750000000,
    1000000000, 2500000000, 5000000000, 7500000000, 10000000000,
};

BUCKET_TABLE size_bounds[SIZE_BOUNDS] = {
    0,    32,   64,   128,   256,     512,      1024,
    2048, 4096, 8192, 65536, 1048576, 16777216, 134217728,
};

/* floor(1e9 * 2^(i/8)) for i = -160 .. 48; tests/unit recomputes each. */
BUCKET_TABLE native_bounds_ns[NATIVE_BUCKETS - 1] = {
    953,         1039,        1134,        1236,        1348,        1470,
    1603,        1749,        1907,        2079,        2268,        2473,
    2697,        2941,        3207,        3498,        3814,        4159,
    4536,        4947,        5394,        5883,        6415,        6996,
    7629,        8319,        9072,        9894,        10789,       11766,
    12831,       13992,       15258,       16639,       18145,       19788,
    21579,       23532,       25662,       27984,       30517,       33279,
    36291,       39576,       43158,       47064,       51324,       55969,
    61035,       66559,       72583,       79152,       86316,       94129,
    102648,      111938,      122070,      133118,      145166,      158305,
    172633,      188258,      205296,      223877,      244140,      266237,
    290333,      316611,      345266,      376516,      410593,      447755,
    488281,      532474,      580667,      633222,      690533,      753032,
    821187,      895511,      976562,      1064948,     1161335,     1266444,
    1381067,     1506065,     1642375,     1791023,     1953125,     2129897,
    2322670,     2532889,     2762135,     3012130,     3284751,     3582047,
    3906250,     4259795,     4645340,     5065779,     5524271,     6024261,
    6569503,     7164094,     7812500,     8519591,     9290680,     10131559,
    11048543,    12048522,    13139006,    14328188,    15625000,    17039183,
    18581361,    20263118,    22097086,    24097044,    26278012,    28656376,
    31250000,    34078366,    37162722,    40526236,    44194173,    48194088,
    52556025,    57312752,    62500000,    68156733,    74325444,    81052472,
    88388347,    96388176,    105112051,   114625505,   125000000,   136313466,
    148650889,   162104944,   176776695,   192776353,   210224103,   229251010,
    250000000,   272626933,   297301778,   324209888,   353553390,   385552706,
    420448207,   458502021,   500000000,   545253866,   594603557,   648419777,
    707106781,   771105412,   840896415,   917004043,   1000000000,  1090507732,
    1189207115,  1296839554,  1414213562,  1542210825,  1681792830,  1834008086,
    2000000000,  2181015465,  2378414230,  2593679109,  2828427124,  3084421650,
    3363585661,  3668016172,  4000000000,  4362030930,  4756828460,  5187358218,
    5656854249,  6168843301,  6727171322,  7336032345,  8000000000,  8724061861,
    9513656920,  10374716437, 11313708498, 12337686603, 13454342644, 14672064691,
    16000000000, 17448123722, 19027313840, 20749432874, 22627416997, 24675373206,
    26908685288, 29344129382, 32000000000, 34896247445, 38054627680, 41498865748,
    45254833995, 49350746413, 53817370576, 58688258765, 64000000000,
};

/* floor(2^(63 + i/8)); tests/unit recomputes each. */
BUCKET_TABLE value_mantissas[8] = {
    0x8000000000000000ull, 0x8b95c1e3ea8bd6e6ull, 0x9837f0518db8a96full,
    0xa5fed6a9b15138eaull, 0xb504f333f9de6484ull, 0xc5672a115506daddull,
    0xd744fccad69d6af4ull, 0xeac0c6e7dd24392eull,
};

/* v is moved up until its first bit is the top one, and compared with what the
 * bounds of every octave have in common. By halves: clang 14 has no
 * __builtin_clzll of a variable for BPF, it does not come to an end. */
static inline __attribute__((always_inline)) __u32 value_bucket(__u64 v)
{
	__u32 octave = 63;

	if (v <= 1)
		return (__u32)v;
	if (v > 1ull << VALUE_OCTAVES)
		return VALUE_BUCKETS - 1;
	for (__u32 step = 32; step; step /= 2) {
		if (v >> (64 - step))
			continue;
		v <<= step;
		octave -= step;
	}
	return 8 * octave + bucket_index(value_mantissas, 8, v);
}

/* The largest v of a bucket that is not the last one. */
static inline __attribute__((always_inline)) __u64 value_bound(__u32 bucket)
{
	return bucket ? value_mantissas[bucket % 8] >> (63 - bucket / 8) : 0;
}
