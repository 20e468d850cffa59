/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The tally: one finished request into its series. Owns the series and routes
 * maps; knows nothing of connections. */
#pragma once

#include "../include/window.h"
#include "maps.bpf.h"

#define EEXIST 17

/* Full: the row of service 0, role by role, which the daemon made at start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_SERIES_MAX + 2);
	__type(key, struct tally_series_key);
	__type(value, struct tally_series);
} series SEC(".maps");

/* Full, or a service has its share: route `other`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_ROUTE_ROWS);
	__type(key, struct tally_route_key);
	__type(value, struct tally_route);
} routes SEC(".maps");

/* Distinct routes of each service. Full: as a service that has its share. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_PROCESS_ROWS);
	__type(key, __u32);
	__type(value, __u32);
} route_counts SEC(".maps");

/* A finished request, as the conversation saw it. */
struct sample {
	struct tally_series_key key;
	__u64 duration_ns;
	__u64 first_byte_ns;
	__u64 queue_ns;
	__u64 request_bytes;
	__u64 response_bytes;
	__u32 answered;      /* a response began: first_byte and its size count */
	__u32 route_service; /* under which the route's text was put down */
};

static const struct tally_series empty_series;

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

static __always_inline void series_add(struct tally_series *s,
				       const struct sample *sample)
{
	count_in(s->duration, DURATION_BUCKETS, duration_index(sample->duration_ns));
	count_in(s->native, NATIVE_BUCKETS, native_index(sample->duration_ns));
	add(&s->duration_sum_ns, sample->duration_ns);
	count_in(s->request_size, SIZE_BUCKETS, size_index(sample->request_bytes));
	add(&s->request_bytes, sample->request_bytes);
	if (sample->key.role == TALLY_ROLE_SERVER) {
		count_in(s->queue, DURATION_BUCKETS, duration_index(sample->queue_ns));
		add(&s->queue_sum_ns, sample->queue_ns);
	}
	if (!sample->answered)
		return;
	count_in(s->first_byte, DURATION_BUCKETS,
		 duration_index(sample->first_byte_ns));
	add(&s->first_byte_sum_ns, sample->first_byte_ns);
	count_in(s->response_size, SIZE_BUCKETS, size_index(sample->response_bytes));
	add(&s->response_bytes, sample->response_bytes);
}

static __always_inline bool route_known(__u32 service, __u64 hash)
{
	struct tally_route_key key = {.hash = hash, .service = service};

	return bpf_map_lookup_elem(&routes, &key) != NULL;
}

/* Room for one more route of this service? Counts it if so. */
__noinline int route_reserve(__u32 service)
{
	__u32 zero = 0, *count;

	count = bpf_map_lookup_elem(&route_counts, &service);
	if (!count) {
		bpf_map_update_elem(&route_counts, &service, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&route_counts, &service);
	}
	if (!count)
		return 0;
	if (__sync_fetch_and_add(count, 1) < config.routes_per_service)
		return 1;
	__sync_fetch_and_add(count, -1);
	return 0;
}

static __always_inline void route_release(__u32 service)
{
	__u32 *count = bpf_map_lookup_elem(&route_counts, &service);

	if (count)
		__sync_fetch_and_add(count, -1);
}

/* Zeroes the window's bytes from len on, as far as a route's text may reach. */
static __always_inline void window_zero_from(struct window *w, __u32 len)
{
	__u64 *words = (__u64 *)w->bytes;

	for (__u32 i = 0; i < (TALLY_ROUTE_LEN + 4 + 7) / 8; i++) {
		if (len <= i * 8)
			words[i] = 0;
		else if (len < i * 8 + 8)
			words[i] &= (1ull << ((len - i * 8) * 8)) - 1;
	}
}

/* Puts the route of len bytes at the start of the window into the routes map.
 * Overwrites the window; TALLY_ROUTE_OTHER when there is no room. */
__noinline __u64 route_insert(struct window *w, __u32 len, __u32 service, __u64 hash)
{
	struct tally_route_key key = {.hash = hash, .service = service};
	long err;

	_Static_assert(__builtin_offsetof(struct window, bytes) -
			       __builtin_offsetof(struct window, len) ==
			   __builtin_offsetof(struct tally_route, text),
		       "the map's value is built in place: length, then text");
	if (!w)
		return TALLY_ROUTE_NONE;
	if (!route_reserve(service)) {
		missed(TALLY_MISSED_ROUTE_FULL, 1);
		return TALLY_ROUTE_OTHER;
	}
	window_zero_from(w, len);
	w->len = len;
	err = bpf_map_update_elem(&routes, &key, &w->len, BPF_NOEXIST);
	if (!err)
		return hash;
	route_release(service);
	if (err == -EEXIST) /* another processor was first */
		return hash;
	missed(TALLY_MISSED_ROUTE_FULL, 1);
	return TALLY_ROUTE_OTHER;
}

/* The request was read before its process was named, and is counted after: the
 * route's text goes along to the name's service. */
static __always_inline void route_adopt(__u32 service, __u64 hash, __u32 from)
{
	struct tally_route_key key = {.hash = hash, .service = from};
	struct tally_route *text;

	if (service == from || hash <= TALLY_ROUTE_OTHER)
		return;
	text = bpf_map_lookup_elem(&routes, &key);
	key.service = service;
	if (!text || bpf_map_lookup_elem(&routes, &key) || !route_reserve(service))
		return;
	if (bpf_map_update_elem(&routes, &key, text, BPF_NOEXIST))
		route_release(service);
}

static __always_inline struct tally_series *
series_make(const struct tally_series_key *key)
{
	bpf_map_update_elem(&series, key, &empty_series, BPF_NOEXIST);
	return bpf_map_lookup_elem(&series, key);
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

	return bpf_map_lookup_elem(&series, &other);
}

__noinline int tally_count(const struct sample *sample)
{
	struct tally_series_key key;
	struct tally_series *s;

	if (!sample)
		return 0;
	key = sample->key;
	s = bpf_map_lookup_elem(&series, &key);
	if (!s) {
		route_adopt(key.service, key.route, sample->route_service);
		s = series_make(&key);
	}
	if (!s) {
		s = series_overflow(&key);
		missed(s ? TALLY_MISSED_SERIES_FULL : TALLY_MISSED_TALLY_FAILED, 1);
	}
	if (s)
		series_add(s, sample);
	return 0;
}
