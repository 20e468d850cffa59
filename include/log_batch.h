/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_batch.h - entries as they come, of one stream and another, until they are one
 * request. Pure; it copies the text.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"
#include "wire_batch.h"

struct log_batch;

/* Where a stream is in the batch that was current then. Zero at first. */
struct log_batch_place {
	uint64_t batch;
	uint32_t stream;
};

/* bytes_max: of text, one entry aside. -ENOMEM. */
int log_batch_create(size_t bytes_max, struct log_batch **ret_batch);
void log_batch_free(struct log_batch **batch);
size_t log_batch_lines(const struct log_batch *batch);
/* Whether an entry of that length still belongs into it. */
bool log_batch_has_room(const struct log_batch *batch, size_t len);
/* labels stay until the batch is finished, or are equal to those of an earlier
 * call. -ENOMEM: all is as before. */
int log_batch_add(struct log_batch *batch, const char *labels,
		  struct log_batch_place *place, int64_t time_ns, struct slice line);
/* The request of all of it, in which a stream is once and its entries are in order;
 * an empty batch follows. On failure it stays. */
int log_batch_finish(struct log_batch *batch, struct wire_batch **ret_wire);
