/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* routes.bpf.h - the texts of routes by their hash, and how many each service may
 * have. Owns both maps. */
#pragma once

#include "workspace.bpf.h"

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
		insert(&route_counts, &service, &zero);
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
__noinline __u64 route_insert(struct workspace *ws, __u32 len, __u32 service,
			      __u64 hash)
{
	struct tally_route_key key = {.hash = hash, .service = service};
	struct window *w;
	__u32 index;
	int err;

	_Static_assert(__builtin_offsetof(struct window, bytes) -
			       __builtin_offsetof(struct window, len) ==
			   __builtin_offsetof(struct tally_route, text),
		       "the map's value is built in place: length, then text");
	if (!ws)
		return TALLY_ROUTE_NONE;
	/* itself: before 6.2, no map takes keys or values from an argument's memory */
	index = ws->index;
	ws = bpf_map_lookup_elem(&workspaces, &index);
	if (!ws || !route_reserve(service)) {
		missed(TALLY_MISSED_ROUTE_FULL, 1);
		return TALLY_ROUTE_OTHER;
	}
	w = &ws->window;
	window_zero_from(w, len);
	w->len = len;
	err = insert(&routes, &key, &w->len);
	if (!err)
		return hash;
	route_release(service);
	if (err == -EEXIST) /* another processor was first */
		return hash;
	missed(TALLY_MISSED_ROUTE_FULL, 1);
	return TALLY_ROUTE_OTHER;
}

/* The request was read before its process was named, and is counted after: the
 * route's text goes along to the name's service. The route to count under. */
static __always_inline __u64 route_adopt(__u32 service, __u64 hash, __u32 from)
{
	struct tally_route_key key = {.hash = hash, .service = from};
	struct tally_route *text;
	int err;

	if (service == from || hash <= TALLY_ROUTE_OTHER)
		return hash;
	text = bpf_map_lookup_elem(&routes, &key);
	key.service = service;
	if (bpf_map_lookup_elem(&routes, &key))
		return hash;
	if (text && route_reserve(service)) {
		err = insert(&routes, &key, text);
		if (!err)
			return hash;
		route_release(service);
		if (err == -EEXIST)
			return hash;
	}
	missed(TALLY_MISSED_ROUTE_FULL, 1);
	return TALLY_ROUTE_OTHER;
}
