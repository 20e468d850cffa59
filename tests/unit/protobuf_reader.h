/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format of protobuf by hand, nothing of protobuf-c: what the decoders of our
 * requests read with. What is cut short, or no such format, is a failure. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* What a tag says of its content; field and type as one number. */
enum { VARINT = 0, FIXED64 = 1, MESSAGE = 2 };
#define FIELD(number, wire_type) ((number) << 3 | (wire_type))

/* What is left of a message. */
struct bytes {
	const unsigned char *at, *end;
};

static inline uint64_t take_varint(struct bytes *bytes)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		assert_true(bytes->at < bytes->end);
		value |= (uint64_t)(*bytes->at & 0x7f) << shift;
		if (!(*bytes->at++ & 0x80))
			return value;
	}
	fail_msg("varint of more than ten bytes");
	return 0;
}

static inline int64_t zigzag(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

static inline uint64_t take_fixed64(struct bytes *bytes)
{
	uint64_t value = 0;

	assert_true(bytes->end - bytes->at >= 8);
	for (int i = 7; i >= 0; i--)
		value = value << 8 | bytes->at[i];
	bytes->at += 8;
	return value;
}

/* Behind its length; a string or packed numbers as well. */
static inline struct bytes take_message(struct bytes *bytes)
{
	uint64_t len = take_varint(bytes);
	struct bytes message = {.at = bytes->at};

	assert_true(len <= (uint64_t)(bytes->end - bytes->at));
	bytes->at = message.end = message.at + len;
	return message;
}

/* The caller frees. */
static inline char *text_of(struct bytes string)
{
	return strndup((const char *)string.at, (size_t)(string.end - string.at));
}

static inline double double_of(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}
