/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_v1.h - Remote-Write 1.0 (prometheus.WriteRequest): series and what is said of
 * families, each packed as a request of one. One behind the other they are one request.
 * What a request may be as a whole is wire.h's.
 */
#pragma once

#include <stddef.h>

struct buf;
struct family;
struct wire_series;

/* Labels of the last series, packed, for the next one's. */
struct wire_v1;

/* -ENOMEM. */
int wire_v1_create(struct wire_v1 **ret_v1);
void wire_v1_free(struct wire_v1 **v1);
/* As new, without memory. */
void wire_v1_reset(struct wire_v1 *v1);
/* Appends it, without starts: the caller left them out. ret_text_bytes: of names and
 * values. -ENOMEM; -E2BIG: packed is full. */
int wire_v1_add(struct wire_v1 *v1, const struct wire_series *series,
		struct buf *packed, size_t *ret_text_bytes);
/* Its type, help and unit, under the name that its samples have (with _total, _info).
 * Likewise. */
int wire_v1_add_family(const struct family *family, struct buf *packed);
