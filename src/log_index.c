/* SPDX-License-Identifier: Apache-2.0 */
#include "log_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define BUCKETS_MIN 64u

uint64_t log_index_inode(uint64_t device, uint64_t inode)
{
	struct keyed_hash hash = {0};

	hash_add(&hash, 0, 0, device);
	hash_add(&hash, 0, 1, inode);
	return hash_value(&hash);
}

uint64_t log_index_text(const char *text)
{
	return log_print_of(text, strlen(text)).hash;
}

static struct log_node **bucket_of(const struct log_index *index, uint64_t hash)
{
	return &index->buckets[hash & (index->bucket_count - 1)];
}

static int grow(struct log_index *index)
{
	struct log_index larger = {
	    .bucket_count = index->bucket_count ? index->bucket_count * 2 : BUCKETS_MIN,
	    .count = index->count,
	};

	larger.buckets = calloc(larger.bucket_count, sizeof(struct log_node *));
	if (!larger.buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < index->bucket_count; i++) {
		struct log_node *node = index->buckets[i];

		while (node) {
			struct log_node *next = node->next;
			struct log_node **bucket = bucket_of(&larger, node->hash);

			node->next = *bucket;
			*bucket = node;
			node = next;
		}
	}
	free(index->buckets);
	*index = larger;
	return 0;
}

int log_index_add(struct log_index *index, struct log_node *node, struct log_file *file,
		  uint64_t hash)
{
	struct log_node **bucket;

	if (index->count >= index->bucket_count && grow(index))
		return -ENOMEM;
	bucket = bucket_of(index, hash);
	*node = (struct log_node){.next = *bucket, .file = file, .hash = hash};
	*bucket = node;
	index->count++;
	return 0;
}

void log_index_remove(struct log_index *index, struct log_node *node)
{
	struct log_node **at;

	if (!node->file)
		return;
	at = bucket_of(index, node->hash);
	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	*node = (struct log_node){0};
	index->count--;
}

static struct log_node *with_hash(struct log_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct log_node *log_index_first(const struct log_index *index, uint64_t hash)
{
	return index->bucket_count ? with_hash(*bucket_of(index, hash), hash) : NULL;
}

struct log_node *log_index_next(const struct log_node *node)
{
	return with_hash(node->next, node->hash);
}

void log_index_free(struct log_index *index)
{
	free(index->buckets);
	*index = (struct log_index){0};
}
