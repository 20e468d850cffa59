/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* tally.bpf.h - one finished request into its series. Owns the series map; knows
 * nothing of connections. */
#pragma once

#include "../include/series_key.h"
#include "routes.bpf.h"

/* By the hash of the row's key, which costs half of what finding it by the key would.
 * Full: the row of service 0, role by role, which the daemon made at start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_SERIES_MAX + 2);
	__type(key, __u64);
	__type(value, struct tally_row);
} series SEC(".maps");

static const struct tally_row empty_row;

static __always_inline void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

__noinline __u32 duration_index(__u64 duration_ns)
{
	return bucket_index(duration_bounds_ns, DURATION_BOUNDS, duration_ns);
}

__noinline __u32 size_index(__u64 bytes)
{
	return bucket_index(size_bounds, SIZE_BOUNDS, bytes);
}

__noinline __u32 native_index(__u64 duration_ns)
{
	return bucket_index(native_bounds_ns, NATIVE_BUCKETS - 1, duration_ns);
}

static __always_inline void count_in(__u64 *buckets, __u32 size, __u32 index)
{
	if (index < size)
		add(&buckets[index], 1);
}

/* The first bucket, often the one, takes no call. */
static __always_inline void count_duration(__u64 *buckets, __u64 duration_ns)
{
	if (duration_ns <= duration_bounds_ns[0])
		add(&buckets[0], 1);
	else
		count_in(buckets, DURATION_BUCKETS, duration_index(duration_ns));
}

static __always_inline void count_size(__u64 *buckets, __u64 bytes)
{
	if (bytes <= size_bounds[0])
		add(&buckets[0], 1);
	else
		count_in(buckets, SIZE_BUCKETS, size_index(bytes));
}

static __always_inline void series_add(struct tally_series *s,
				       const struct sample *sample)
{
	count_duration(s->duration, sample->duration_ns);
	count_in(s->native, NATIVE_BUCKETS, native_index(sample->duration_ns));
	add(&s->duration_sum_ns, sample->duration_ns);
	count_size(s->request_size, sample->request_bytes);
	add(&s->request_bytes, sample->request_bytes);
	if (sample->key.role == TALLY_ROLE_SERVER) {
		count_duration(s->queue, sample->queue_ns);
		add(&s->queue_sum_ns, sample->queue_ns);
	}
	if (!sample->answered)
		return;
	count_duration(s->first_byte, sample->first_byte_ns);
	add(&s->first_byte_sum_ns, sample->first_byte_ns);
	count_size(s->response_size, sample->response_bytes);
	add(&s->response_bytes, sample->response_bytes);
}

/* The same for those who do not hurry: verified once. */
__noinline int series_count(struct tally_series *s, const struct sample *sample)
{
	if (s && sample)
		series_add(s, sample);
	return 0;
}

static __always_inline struct tally_series *
series_find(const struct tally_series_key *key)
{
	const __u64 hash = series_key_hash(config.seed, key);
	struct tally_row *row = bpf_map_lookup_elem(&series, &hash);

	return row ? &row->series : NULL;
}

/* A row gets its key after it is in the map, from the one program that put it there:
 * the daemon leaves it alone until it has, so the memory cannot be another row's by
 * then. What others count in it meanwhile stays. */
static __always_inline void series_make(const struct tally_series_key *key)
{
	const __u64 hash = series_key_hash(config.seed, key);
	struct tally_row *row;

	if (insert(&series, &hash, &empty_row))
		return;
	row = bpf_map_lookup_elem(&series, &hash);
	if (row)
		row->key = *key;
}

/* The map is full: the daemon made this row at start, so totals stay exact. */
static __always_inline struct tally_series *
series_overflow(const struct tally_series_key *key)
{
	struct tally_series_key other = {
	    .service = TALLY_SERVICE_OTHER,
	    .route = TALLY_ROUTE_OTHER,
	    .protocol = key->protocol,
	    .role = key->role,
	};

	return series_find(&other);
}

/* The first request of its kind, or one for which there is no room. */
__noinline int tally_first(const struct sample *sample)
{
	struct tally_series_key key;
	struct tally_series *s;

	if (!sample)
		return 0;
	key = sample->key;
	key.route = route_adopt(key.service, key.route, sample->route_service);
	series_make(&key);
	s = series_find(&key);
	if (!s) {
		s = series_overflow(&key);
		missed(s ? TALLY_MISSED_SERIES_FULL : TALLY_MISSED_TALLY_FAILED, 1);
	}
	if (s)
		series_count(s, sample);
	return 0;
}

__noinline int tally_count(const struct sample *sample)
{
	struct tally_series *s;

	if (!sample)
		return 0;
	s = series_find(&sample->key);
	if (!s)
		return tally_first(sample);
	return series_count(s, sample);
}
