/* SPDX-License-Identifier: Apache-2.0 */
#include "drain.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cleanup.h"
#include "series_key.h"

/* Rows per system call. A hash map's batch is made of whole buckets, so it must
 * hold the fullest one; the kernel sizes maps for one row a bucket. */
#define BATCH_MIN 64u
#define BATCH_MAX 8192u

/* bpf_map_lookup_batch, or bpf_map_lookup_and_delete_batch. */
typedef int (*read_batch)(int map_fd, void *in_batch, void *out_batch, void *keys,
			  void *values, __u32 *count,
			  const struct bpf_map_batch_opts *options);

struct batch {
	read_batch read;
	int map_fd;
	size_t key_bytes, value_bytes;
	uint32_t capacity; /* rows */
	char *keys, *values;
	uint32_t position; /* bucket to go on from */
	bool started;
};

static void batch_release(struct batch *batch)
{
	free(batch->keys);
	free(batch->values);
	batch->keys = NULL;
	batch->values = NULL;
}

static int batch_reserve(struct batch *batch, uint32_t capacity)
{
	batch_release(batch);
	batch->keys = calloc(capacity, batch->key_bytes);
	batch->values = calloc(capacity, batch->value_bytes);
	batch->capacity = capacity;
	return batch->keys && batch->values ? 0 : -ENOMEM;
}

/* The next rows; -ENOENT when they are the last ones, which may be none. */
static int batch_next(struct batch *batch, uint32_t *ret_count)
{
	uint32_t next = batch->position, count = batch->capacity;
	int err = batch->read(batch->map_fd, batch->started ? &batch->position : NULL,
			      &next, batch->keys, batch->values, &count, NULL);

	if (err == -ENOSPC && batch->capacity < BATCH_MAX) {
		*ret_count = 0;
		return batch_reserve(batch, batch->capacity * 2);
	}
	if (err && err != -ENOENT)
		return err;
	batch->position = next;
	batch->started = true;
	*ret_count = count;
	return err;
}

static int each_pair(read_batch read, int map_fd, size_t key_bytes, size_t value_bytes,
		     drain_visit_pair visit, void *context)
{
	CLEANUP(batch_release)
	struct batch batch = {
	    .read = read,
	    .map_fd = map_fd,
	    .key_bytes = key_bytes,
	    .value_bytes = value_bytes,
	};
	int err = batch_reserve(&batch, BATCH_MIN);

	while (!err) {
		uint32_t count = 0;

		err = batch_next(&batch, &count);
		for (uint32_t i = 0; i < count; i++)
			visit(context, batch.keys + i * key_bytes,
			      batch.values + i * value_bytes);
	}
	return err == -ENOENT ? 0 : err;
}

int drain_each(int map_fd, size_t key_bytes, size_t value_bytes, drain_visit_pair visit,
	       void *context)
{
	return each_pair(bpf_map_lookup_batch, map_fd, key_bytes, value_bytes, visit,
			 context);
}

struct series_visitor {
	uint64_t seed;
	drain_visit_row visit;
	void *context;
};

/* A row whose key is not its hash's is being made at this moment: what it counts stays
 * in the map, and is there with its key the next time. */
static void visit_series(void *context, const void *key, const void *value)
{
	const struct series_visitor *visitor = context;
	const struct tally_row *row = value;

	if (series_key_hash(visitor->seed, &row->key) == *(const uint64_t *)key)
		visitor->visit(visitor->context, &row->key, &row->series);
}

int drain_series(struct series_map map, drain_visit_row visit, void *context)
{
	struct series_visitor visitor = {map.seed, visit, context};

	return each_pair(bpf_map_lookup_batch, map.fd, sizeof(uint64_t),
			 sizeof(struct tally_row), visit_series, &visitor);
}

struct process_visitor {
	drain_visit_process visit;
	void *context;
};

static void visit_process(void *context, const void *key, const void *value)
{
	const struct process_visitor *visitor = context;

	visitor->visit(visitor->context, *(const uint32_t *)key, value);
}

int drain_processes(int map_fd, drain_visit_process visit, void *context)
{
	struct process_visitor visitor = {visit, context};

	return each_pair(bpf_map_lookup_batch, map_fd, sizeof(uint32_t),
			 sizeof(struct tally_process), visit_process, &visitor);
}

struct traffic_visitor {
	drain_visit_traffic visit;
	void *context;
};

static void visit_traffic(void *context, const void *key, const void *value)
{
	const struct traffic_visitor *visitor = context;

	visitor->visit(visitor->context, *(const uint32_t *)key, value);
}

int drain_traffic(int map_fd, drain_visit_traffic visit, void *context)
{
	struct traffic_visitor visitor = {visit, context};

	return each_pair(bpf_map_lookup_batch, map_fd, sizeof(uint32_t),
			 sizeof(struct tally_traffic), visit_traffic, &visitor);
}

struct route_visitor {
	drain_visit_route visit;
	void *context;
};

static void visit_route(void *context, const void *key, const void *value)
{
	const struct route_visitor *visitor = context;

	visitor->visit(visitor->context, key, value);
}

int drain_routes(int map_fd, drain_visit_route visit, void *context)
{
	struct route_visitor visitor = {visit, context};

	return each_pair(bpf_map_lookup_batch, map_fd, sizeof(struct tally_route_key),
			 sizeof(struct tally_route), visit_route, &visitor);
}

struct connections_visitor {
	drain_visit_connections visit;
	void *context;
};

static void visit_connections(void *context, const void *key, const void *value)
{
	const struct connections_visitor *visitor = context;

	if (visitor->visit)
		visitor->visit(visitor->context, key, value);
}

int drain_take_connections(int map_fd, drain_visit_connections visit, void *context)
{
	struct connections_visitor visitor = {visit, context};

	return each_pair(bpf_map_lookup_and_delete_batch, map_fd,
			 sizeof(struct tally_connections_key),
			 sizeof(struct tally_connections), visit_connections, &visitor);
}

int drain_route(int map_fd, uint64_t hash, uint32_t service,
		struct tally_route *ret_route)
{
	struct tally_route_key key = {.hash = hash, .service = service};

	return bpf_map_lookup_elem(map_fd, &key, ret_route);
}

int drain_process(int map_fd, uint32_t pid, struct tally_process *ret_process)
{
	return bpf_map_lookup_elem(map_fd, &pid, ret_process);
}

int drain_address(int map_fd, uint64_t hash, struct tally_address *ret_address)
{
	return bpf_map_lookup_elem(map_fd, &hash, ret_address);
}

int drain_capacity(int map_fd, uint32_t *ret_rows)
{
	struct bpf_map_info info = {0};
	uint32_t bytes = sizeof(info);
	int err = bpf_obj_get_info_by_fd(map_fd, &info, &bytes);

	if (err)
		return err;
	*ret_rows = info.max_entries;
	return 0;
}

int drain_take_series(struct series_map map, const struct tally_series_key *key,
		      struct tally_series *ret_value)
{
	const uint64_t hash = series_key_hash(map.seed, key);
	struct tally_row row;
	int err = bpf_map_lookup_and_delete_elem(map.fd, &hash, &row);

	if (!err)
		*ret_value = row.series;
	return err;
}

int drain_make_series(struct series_map map, const struct tally_series_key *key)
{
	const uint64_t hash = series_key_hash(map.seed, key);
	const struct tally_row row = {.key = *key};

	return bpf_map_update_elem(map.fd, &hash, &row, BPF_NOEXIST);
}

int drain_take_traffic(int map_fd, uint32_t pid, struct tally_traffic *ret_traffic)
{
	return bpf_map_lookup_and_delete_elem(map_fd, &pid, ret_traffic);
}

static int delete_key(int map_fd, const void *key)
{
	int err = bpf_map_delete_elem(map_fd, key);

	return err == -ENOENT ? 0 : err;
}

int drain_delete_series(struct series_map map, const struct tally_series_key *key)
{
	const uint64_t hash = series_key_hash(map.seed, key);

	return delete_key(map.fd, &hash);
}

int drain_delete_route(int map_fd, const struct tally_route_key *key)
{
	return delete_key(map_fd, key);
}

int drain_delete_route_count(int map_fd, uint32_t service)
{
	return delete_key(map_fd, &service);
}

int drain_put_route(int map_fd, const struct tally_route_key *key,
		    const struct tally_route *route)
{
	int err = bpf_map_update_elem(map_fd, key, route, BPF_NOEXIST);

	return err == -EEXIST ? 0 : err;
}

void drain_add(struct tally_series *a, const struct tally_series *b)
{
	__u64 *sum = (__u64 *)a;
	const __u64 *more = (const __u64 *)b;

	for (size_t i = 0; i < sizeof(*a) / sizeof(*sum); i++)
		sum[i] += more[i];
}
