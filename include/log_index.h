/* SPDX-License-Identifier: Apache-2.0 */
/* Files by a hash of something: a chained table whose nodes are in the files. It does
 * not compare: the caller walks those of one hash. */
#pragma once

#include <stdint.h>

#include "log_file.h"

struct log_index { /* zeroed: empty */
	struct log_node **buckets;
	uint32_t bucket_count; /* a power of two */
	uint32_t count;
};

uint64_t log_index_inode(uint64_t device, uint64_t inode);
uint64_t log_index_text(const char *text);
/* -ENOMEM: it is not in it. The node is in no index. */
int log_index_add(struct log_index *index, struct log_node *node, struct log_file *file,
		  uint64_t hash);
/* Also where it is in none. */
void log_index_remove(struct log_index *index, struct log_node *node);
/* The first with that hash, and the next with the same; NULL: none. */
struct log_node *log_index_first(const struct log_index *index, uint64_t hash);
struct log_node *log_index_next(const struct log_node *node);
void log_index_free(struct log_index *index);
