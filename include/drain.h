/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the kernel maps in batches into plain rows; formats nothing, keeps
 * nothing. Map descriptors come from probes.h; a test may bring its own maps. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "abi.h"

/* Calls back for each row of a hash map, by the sizes of its keys and values. The map
 * may change meanwhile: rows that were there throughout are visited exactly once unless
 * the map is resized by deletes (hash batch lookups walk whole buckets). Errors: -errno
 * of the lookup. */
typedef void (*drain_visit_pair)(void *context, const void *key, const void *value);
int drain_each(int map_fd, size_t key_bytes, size_t value_bytes, drain_visit_pair visit,
	       void *context);

/* The map of series; only drain.c knows by what its rows are found. */
struct series_map {
	int fd;
	uint64_t seed; /* of the kernel's configuration */
};

/* Without a row that the kernel is making at this moment: it has no key yet. */
typedef void (*drain_visit_row)(void *context, const struct tally_series_key *key,
				const struct tally_series *value);
int drain_series(struct series_map map, drain_visit_row visit, void *context);

typedef void (*drain_visit_process)(void *context, uint32_t pid,
				    const struct tally_process *process);
int drain_processes(int map_fd, drain_visit_process visit, void *context);

typedef void (*drain_visit_traffic)(void *context, uint32_t pid,
				    const struct tally_traffic *traffic);
int drain_traffic(int map_fd, drain_visit_traffic visit, void *context);
/* Removes a row and says what it held, as drain_take_series. */
int drain_take_traffic(int map_fd, uint32_t pid, struct tally_traffic *ret_traffic);

typedef void (*drain_visit_route)(void *context, const struct tally_route_key *key,
				  const struct tally_route *route);
int drain_routes(int map_fd, drain_visit_route visit, void *context);

/* Takes the rows out as it visits them (lookup-and-delete in batches, 5.6). NULL: only
 * empties the map. */
typedef void (*drain_visit_connections)(void *context,
					const struct tally_connections_key *key,
					const struct tally_connections *sum);
int drain_take_connections(int map_fd, drain_visit_connections visit, void *context);

int drain_route(int map_fd, uint64_t hash, uint32_t service,
		struct tally_route *ret_route);
/* -ENOENT when the kernel has no entry of that process. */
int drain_process(int map_fd, uint32_t pid, struct tally_process *ret_process);
int drain_address(int map_fd, uint64_t hash, struct tally_address *ret_address);
/* Rows that the map can hold. */
int drain_capacity(int map_fd, uint32_t *ret_rows);
/* Removes a row and says what it held at that moment, in one step of the kernel
 * (lookup-and-delete, 5.14): no count between reading and deleting is lost.
 * -ENOENT when there is no such row. */
int drain_take_series(struct series_map map, const struct tally_series_key *key,
		      struct tally_series *ret_value);
/* A row that is empty, unless there is one. */
int drain_make_series(struct series_map map, const struct tally_series_key *key);
/* Deletes a row / a route; -ENOENT is success. */
int drain_delete_series(struct series_map map, const struct tally_series_key *key);
int drain_delete_route(int map_fd, const struct tally_route_key *key);
int drain_delete_route_count(int map_fd, uint32_t service);
/* Puts a route under a service, unless that one has it; -E2BIG when the map is full. */
int drain_put_route(int map_fd, const struct tally_route_key *key,
		    const struct tally_route *route);

/* a += b, every counter. */
void drain_add(struct tally_series *a, const struct tally_series *b);
