/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loki.h - log lines as Loki's push requests: protobuf (src/loki.proto by protobuf-c),
 * snappy block format. Pure: bytes in memory, no network, no clock.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "slice.h"
#include "wire_batch.h"

#define LOKI_LABELS_MAX 15 /* Loki's limits: names of a stream, */
#define LOKI_VALUE_BYTES_MAX 2048
#define LOKI_NAME_BYTES_MAX 1024
#define LOKI_LINE_BYTES_MAX ((uint64_t)256 << 10)
#define LOKI_AGE_MAX_MS (7ull * 86400000) /* older ones are refused */

struct loki_entry {
	int64_t time_ns;
	struct slice line; /* valid UTF-8 */
};

struct loki_stream {
	const char *labels; /* as loki_labels makes them */
	const struct loki_entry *entries;
	size_t count;
};

/* A batch of WIRE_LOKI: samples are lines, its time is that of the newest. -ENOMEM. */
int loki_encode(const struct loki_stream *streams, size_t count,
		struct wire_batch **ret_batch);
/* `{job="x", host="y"}`, sorted by name, empty values left out, values quoted as Go
 * does. NULL: no memory. The caller frees. */
char *loki_labels(const struct config_labels *labels);
