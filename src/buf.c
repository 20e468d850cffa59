/* SPDX-License-Identifier: Apache-2.0 */
#include "buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 256

/* The capacity to grow to for `needed` bytes. Never above ceiling + 1: what fits
 * into the capacity, with vsnprintf's NUL, is therefore within the ceiling. */
static size_t grown_capacity(const struct buf *buf, size_t needed)
{
	size_t capacity = buf->capacity ? buf->capacity : CAPACITY_MIN;

	while (capacity < needed && capacity <= buf->ceiling / 2)
		capacity *= 2;
	if (capacity < needed || capacity > buf->ceiling)
		capacity = buf->ceiling + 1;
	return capacity;
}

/* Room for `more` bytes and vsnprintf's NUL. */
static bool reserve(struct buf *buf, size_t more)
{
	size_t needed, capacity;
	char *data;

	if (buf->error)
		return false;
	if (more > buf->ceiling - buf->len) {
		buf->error = -E2BIG;
		return false;
	}
	needed = buf->len + more + 1;
	if (needed <= buf->capacity)
		return true;
	capacity = grown_capacity(buf, needed);
	data = realloc(buf->data, capacity);
	if (!data) {
		buf->error = -ENOMEM;
		return false;
	}
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

char *buf_reserve(struct buf *buf, size_t len)
{
	return reserve(buf, len) ? buf->data + buf->len : NULL;
}

void buf_append(struct buf *buf, const void *data, size_t len)
{
	if (!len || !reserve(buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

void buf_string(struct buf *buf, const char *string)
{
	buf_append(buf, string, strlen(string));
}

/* Formats into the room that is there; the length it would have taken, or
 * negative. Writes nothing that counts until buf->len moves. */
__attribute__((format(printf, 2, 0))) static int
format_at_end(struct buf *buf, const char *format, va_list arguments)
{
	size_t room = buf->capacity - buf->len;

	return vsnprintf(room ? buf->data + buf->len : NULL, room, format, arguments);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list arguments;
	int len;

	if (buf->error)
		return;
	va_start(arguments, format);
	len = format_at_end(buf, format, arguments);
	va_end(arguments);
	if (len < 0) { /* EOVERFLOW: longer than INT_MAX */
		buf->error = -E2BIG;
		return;
	}
	if ((size_t)len >= buf->capacity - buf->len) {
		if (!reserve(buf, (size_t)len))
			return;
		va_start(arguments, format);
		len = format_at_end(buf, format, arguments);
		va_end(arguments);
	}
	buf->len += (size_t)len;
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
	buf->error = 0;
}

void buf_free(struct buf *buf)
{
	free(buf->data);
	buf->data = NULL;
	buf->len = 0;
	buf->capacity = 0;
	buf->error = 0;
}
