/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_v2.h - Remote-Write 2.0 (io.prometheus.write.v2.Request): series, each packed as
 * a request of one, and the symbols that they refer to. One behind the other, symbols
 * first, they are one request. What a request may be as a whole is wire.h's.
 */
#pragma once

#include <stddef.h>

struct buf;
struct wire_batch;
struct wire_series;

/* Symbols of the request, and of the last series what the next one may have, too. */
struct wire_v2;

/* -ENOMEM. */
int wire_v2_create(struct wire_v2 **ret_v2);
void wire_v2_free(struct wire_v2 **v2);
/* Another request begins: without symbols, but with its memory. */
void wire_v2_clear(struct wire_v2 *v2);
/* As new, without memory. */
void wire_v2_reset(struct wire_v2 *v2);
/* Appends it, with its family. ret_text_bytes: of names and values, as often as they
 * are used. After an error only wire_v2_clear and the like. -ENOMEM; -E2BIG: packed is
 * full. */
int wire_v2_add(struct wire_v2 *v2, const struct wire_series *series,
		struct buf *packed, size_t *ret_text_bytes);
/* What was added since the last clear, with its symbols, as a batch whose numbers are
 * not set. -ENOMEM. */
int wire_v2_compress(const struct wire_v2 *v2, const struct buf *packed,
		     struct wire_batch **ret_batch);
