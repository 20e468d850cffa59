/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_bpf.h - libbpf's map calls over plain memory, so that what reads maps can
 * be tested without the right to make one. Defined in the test's own object, they
 * win over the library's. As in the kernel's hash maps, a batch is made of whole
 * buckets, ends with -ENOENT, and is -ENOSPC when the first bucket does not fit.
 */
#pragma once

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_FD 1000
#define FAKE_MAPS 8
#define FAKE_BUCKETS 16

struct fake_map {
	size_t key_bytes, value_bytes;
	uint32_t max_entries;
	uint32_t buckets; /* 1: all in one */
	size_t count;
	unsigned char *keys, *values;
	int batch_err, lookup_err, delete_err; /* what these calls fail with */
	unsigned int batches, lookups;
};

static struct fake_map fake_maps[FAKE_MAPS];

/* Runs before a row is taken: what a program in the kernel does meanwhile. */
static void (*fake_before_take)(void);

static inline struct fake_map *fake_map(int fd)
{
	int index = fd - FAKE_FD;

	if (index < 0 || index >= FAKE_MAPS || !fake_maps[index].key_bytes)
		return NULL;
	return &fake_maps[index];
}

static inline int fake_map_make(int index, size_t key_bytes, size_t value_bytes,
				uint32_t max_entries)
{
	fake_maps[index] = (struct fake_map){
	    .key_bytes = key_bytes,
	    .value_bytes = value_bytes,
	    .max_entries = max_entries,
	    .buckets = FAKE_BUCKETS,
	    .keys = calloc(max_entries, key_bytes),
	    .values = calloc(max_entries, value_bytes),
	};
	return FAKE_FD + index;
}

static inline void fake_maps_free(void)
{
	for (int i = 0; i < FAKE_MAPS; i++) {
		free(fake_maps[i].keys);
		free(fake_maps[i].values);
		fake_maps[i] = (struct fake_map){0};
	}
	fake_before_take = NULL;
}

static inline size_t fake_position(const struct fake_map *map, const void *key)
{
	size_t i = 0;

	while (i < map->count &&
	       memcmp(map->keys + i * map->key_bytes, key, map->key_bytes) != 0)
		i++;
	return i;
}

static inline uint32_t fake_bucket(const struct fake_map *map, size_t position)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < map->key_bytes; i++)
		hash = hash * 31 + map->keys[position * map->key_bytes + i];
	return hash % map->buckets;
}

static inline void fake_remove(struct fake_map *map, size_t position)
{
	size_t last = --map->count;

	memmove(map->keys + position * map->key_bytes,
		map->keys + last * map->key_bytes, map->key_bytes);
	memmove(map->values + position * map->value_bytes,
		map->values + last * map->value_bytes, map->value_bytes);
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	struct fake_map *map = fake_map(fd);
	size_t i;

	if (!map)
		return -EBADF;
	i = fake_position(map, key);
	if (i < map->count && flags == BPF_NOEXIST)
		return -EEXIST;
	if (i == map->max_entries)
		return -E2BIG;
	memcpy(map->keys + i * map->key_bytes, key, map->key_bytes);
	memcpy(map->values + i * map->value_bytes, value, map->value_bytes);
	if (i == map->count)
		map->count++;
	return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	struct fake_map *map = fake_map(fd);
	size_t i;

	if (!map)
		return -EBADF;
	map->lookups++;
	if (map->lookup_err)
		return map->lookup_err;
	i = fake_position(map, key);
	if (i == map->count)
		return -ENOENT;
	memcpy(value, map->values + i * map->value_bytes, map->value_bytes);
	return 0;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	struct fake_map *map = fake_map(fd);
	size_t i;

	if (!map)
		return -EBADF;
	if (map->delete_err)
		return map->delete_err;
	i = fake_position(map, key);
	if (i == map->count)
		return -ENOENT;
	fake_remove(map, i);
	return 0;
}

int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)
{
	struct fake_map *map = fake_map(fd);
	int err;

	if (map && map->delete_err)
		return map->delete_err;
	if (fake_before_take)
		fake_before_take();
	err = bpf_map_lookup_elem(fd, key, value);
	return err ? err : bpf_map_delete_elem(fd, key);
}

static inline uint32_t fake_copy_bucket(const struct fake_map *map, uint32_t bucket,
					uint32_t room, void *keys, void *values)
{
	uint32_t found = 0;

	for (size_t i = 0; i < map->count; i++) {
		if (fake_bucket(map, i) != bucket)
			continue;
		if (found < room) {
			memcpy((char *)keys + found * map->key_bytes,
			       map->keys + i * map->key_bytes, map->key_bytes);
			memcpy((char *)values + found * map->value_bytes,
			       map->values + i * map->value_bytes, map->value_bytes);
		}
		found++;
	}
	return found;
}

int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys,
			 void *values, __u32 *count,
			 const struct bpf_map_batch_opts *opts)
{
	struct fake_map *map = fake_map(fd);
	uint32_t bucket = in_batch ? *(uint32_t *)in_batch : 0, total = 0;
	uint32_t room = *count;

	(void)opts;
	*count = 0;
	if (!map)
		return -EBADF;
	map->batches++;
	if (map->batch_err)
		return map->batch_err;
	for (; bucket < map->buckets; bucket++) {
		uint32_t found = fake_copy_bucket(
		    map, bucket, room - total, (char *)keys + total * map->key_bytes,
		    (char *)values + total * map->value_bytes);

		if (found > room - total)
			break;
		total += found;
	}
	*(uint32_t *)out_batch = bucket;
	*count = total;
	if (bucket == map->buckets)
		return -ENOENT;
	return total ? 0 : -ENOSPC;
}

int bpf_map_lookup_and_delete_batch(int fd, void *in_batch, void *out_batch, void *keys,
				    void *values, __u32 *count,
				    const struct bpf_map_batch_opts *opts)
{
	struct fake_map *map = fake_map(fd);
	int err =
	    bpf_map_lookup_batch(fd, in_batch, out_batch, keys, values, count, opts);

	for (uint32_t i = 0; map && (!err || err == -ENOENT) && i < *count; i++)
		fake_remove(map, fake_position(map, (char *)keys + i * map->key_bytes));
	return err;
}

int bpf_obj_get_info_by_fd(int fd, void *info, __u32 *bytes)
{
	struct fake_map *map = fake_map(fd);

	(void)bytes;
	if (!map)
		return -EBADF;
	((struct bpf_map_info *)info)->max_entries = map->max_entries;
	return 0;
}
