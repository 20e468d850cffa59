/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffer with a ceiling given at birth. The first failure sticks
 * (buf_error), later appends do nothing: a writer checks once, at its end. */
#pragma once

#include <stddef.h>

struct buf {
	char *data; /* owned; not NUL terminated */
	size_t len;
	size_t capacity;
	size_t ceiling;
	int error; /* 0, -ENOMEM, or -E2BIG at the ceiling */
};

#define BUF_INIT(ceiling_bytes)                                                        \
	{                                                                              \
		.ceiling = (ceiling_bytes)                                             \
	}

void buf_append(struct buf *buf, const void *data, size_t len);
void buf_string(struct buf *buf, const char *string);
void buf_printf(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for len bytes behind the content; whoever wrote them adds to buf->len. NULL:
 * there is none, see buf->error. Valid until the next call. */
char *buf_reserve(struct buf *buf, size_t len);
/* Forget the content and the error, keep the memory. */
void buf_clear(struct buf *buf);
void buf_free(struct buf *buf);
