/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP requests read back with protobuf_reader.h. A field that is not in the protocol
 * is a failure. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "protobuf_reader.h"
#include "wire_batch.h"

#define POINTS_MAX 1024
#define REQUESTS_MAX 512
#define LIST_MAX 256
#define SCOPE "bpftally " BPFTALLY_VERSION

/* --- the decoder -------------------------------------------------------------- */

struct field {
	uint64_t number;
	unsigned int type;
	uint64_t value;
	struct bytes bytes;
};

static bool take_field(struct bytes *bytes, struct field *field)
{
	uint64_t tag;

	if (bytes->at == bytes->end)
		return false;
	tag = take_varint(bytes);
	field->number = tag >> 3;
	field->type = tag & 7;
	assert_true(field->type <= MESSAGE);
	if (field->type == VARINT) {
		field->value = take_varint(bytes);
	} else if (field->type == FIXED64) {
		field->value = take_fixed64(bytes);
	} else {
		field->bytes = take_message(bytes);
	}
	return true;
}

static void must(const struct field *field, unsigned int type)
{
	assert_int_equal(field->type, type);
}

static char *string_of(const struct field *field)
{
	must(field, MESSAGE);
	return text_of(field->bytes);
}

/* --- what was received -------------------------------------------------------- */

enum data {
	D_GAUGE = 5,
	D_SUM = 7,
	D_HISTOGRAM = 9,
	D_EXPONENTIAL = 10,
	D_SUMMARY = 11
};

struct list {
	uint64_t items[LIST_MAX];
	size_t count;
};

struct point {
	char *resource;
	char *name, *unit, *help;
	enum data data;
	uint64_t temporality;
	bool is_monotonic;
	char *attributes; /* key=value, integers as key=#1, each with a blank before */
	uint64_t start, time, flags, count, zero_count;
	bool has_value, has_sum;
	double value, sum, threshold;
	struct list counts, bounds, quantiles, values;
	int64_t scale, offset;
};

struct received {
	struct otlp_writer *writer; /* the test's */
	struct point *points;       /* POINTS_MAX */
	size_t count;
	uint32_t batch_points[REQUESTS_MAX];
	size_t batch_bytes[REQUESTS_MAX]; /* before gzip */
	size_t resource_messages;
	size_t batch_count;
	int64_t batch_time_ms;
};

static void read_attribute(struct bytes message, FILE *text)
{
	struct field field;
	char *key = NULL;

	while (take_field(&message, &field)) {
		struct bytes value = field.bytes;

		must(&field, MESSAGE);
		if (field.number == 1) {
			key = string_of(&field);
			continue;
		}
		assert_int_equal(field.number, 2);
		assert_non_null(key);
		assert_true(take_field(&value, &field));
		assert_true(value.at == value.end);
		if (field.number == 1) {
			char *string = string_of(&field);

			fprintf(text, " %s=%s", key, string);
			free(string);
		} else {
			assert_int_equal(field.number, 3);
			must(&field, VARINT);
			fprintf(text, " %s=#%lld", key, (long long)field.value);
		}
		free(key);
		key = NULL;
	}
	assert_null(key);
}

static void append_attribute(char **text, struct bytes message)
{
	char *longer, *one;
	size_t size;
	FILE *file = open_memstream(&one, &size);

	read_attribute(message, file);
	fclose(file);
	assert_true(asprintf(&longer, "%s%s", *text ? *text : "", one) >= 0);
	free(one);
	free(*text);
	*text = longer;
}

static void read_packed(const struct field *field, bool is_fixed, struct list *list)
{
	struct bytes bytes = field->bytes;

	must(field, MESSAGE);
	while (bytes.at < bytes.end) {
		assert_true(list->count < LIST_MAX);
		list->items[list->count++] =
		    is_fixed ? take_fixed64(&bytes) : take_varint(&bytes);
	}
}

static void read_number(struct bytes message, struct point *point)
{
	struct field field;

	while (take_field(&message, &field)) {
		switch (field.number) {
		case 2:
			must(&field, FIXED64);
			point->start = field.value;
			break;
		case 3:
			must(&field, FIXED64);
			point->time = field.value;
			break;
		case 4:
			must(&field, FIXED64);
			point->has_value = true;
			point->value = double_of(field.value);
			break;
		case 7:
			append_attribute(&point->attributes, field.bytes);
			break;
		case 8:
			must(&field, VARINT);
			point->flags = field.value;
			break;
		default:
			fail_msg("field %d of a number", (int)field.number);
		}
	}
}

static void read_histogram(struct bytes message, struct point *point)
{
	struct field field;

	while (take_field(&message, &field)) {
		switch (field.number) {
		case 2:
			point->start = field.value;
			break;
		case 3:
			point->time = field.value;
			break;
		case 4:
			must(&field, FIXED64);
			point->count = field.value;
			break;
		case 5:
			point->has_sum = true;
			point->sum = double_of(field.value);
			break;
		case 6:
			read_packed(&field, true, &point->counts);
			break;
		case 7:
			read_packed(&field, true, &point->bounds);
			break;
		case 9:
			append_attribute(&point->attributes, field.bytes);
			break;
		case 10:
			must(&field, VARINT);
			point->flags = field.value;
			break;
		default:
			fail_msg("field %d of a histogram", (int)field.number);
		}
	}
}

static void read_buckets(struct bytes message, struct point *point)
{
	struct field field;

	while (take_field(&message, &field)) {
		if (field.number == 1) {
			must(&field, VARINT);
			point->offset = zigzag(field.value);
			continue;
		}
		assert_int_equal(field.number, 2);
		read_packed(&field, false, &point->counts);
	}
}

static void read_exponential(struct bytes message, struct point *point)
{
	struct field field;

	while (take_field(&message, &field)) {
		switch (field.number) {
		case 1:
			append_attribute(&point->attributes, field.bytes);
			break;
		case 2:
			point->start = field.value;
			break;
		case 3:
			point->time = field.value;
			break;
		case 4:
			must(&field, FIXED64);
			point->count = field.value;
			break;
		case 5:
			point->has_sum = true;
			point->sum = double_of(field.value);
			break;
		case 6:
			must(&field, VARINT);
			point->scale = zigzag(field.value);
			break;
		case 7:
			must(&field, FIXED64);
			point->zero_count = field.value;
			break;
		case 8:
			read_buckets(field.bytes, point);
			break;
		case 10:
			point->flags = field.value;
			break;
		case 14:
			point->threshold = double_of(field.value);
			break;
		default:
			fail_msg("field %d of an exponential", (int)field.number);
		}
	}
}

static void read_quantile(struct bytes message, struct point *point)
{
	uint64_t quantile = 0, value = 0;
	struct field field;

	while (take_field(&message, &field)) {
		must(&field, FIXED64);
		*(field.number == 1 ? &quantile : &value) = field.value;
		assert_in_range(field.number, 1, 2);
	}
	point->quantiles.items[point->quantiles.count++] = quantile;
	point->values.items[point->values.count++] = value;
}

static void read_summary(struct bytes message, struct point *point)
{
	struct field field;

	point->has_sum = true; /* not optional here */
	while (take_field(&message, &field)) {
		switch (field.number) {
		case 2:
			point->start = field.value;
			break;
		case 3:
			point->time = field.value;
			break;
		case 4:
			must(&field, FIXED64);
			point->count = field.value;
			break;
		case 5:
			point->sum = double_of(field.value);
			break;
		case 6:
			read_quantile(field.bytes, point);
			break;
		case 7:
			append_attribute(&point->attributes, field.bytes);
			break;
		case 8:
			point->flags = field.value;
			break;
		default:
			fail_msg("field %d of a summary", (int)field.number);
		}
	}
}

static void read_point(struct bytes message, struct point *point)
{
	if (point->data == D_GAUGE || point->data == D_SUM)
		read_number(message, point);
	else if (point->data == D_HISTOGRAM)
		read_histogram(message, point);
	else if (point->data == D_EXPONENTIAL)
		read_exponential(message, point);
	else
		read_summary(message, point);
	if (!point->attributes)
		point->attributes = strdup("");
}

/* Points come first in what we write, what holds for all of them behind: twice. */
static void read_points(struct received *received, struct bytes message,
			const struct point *prototype)
{
	struct point common = *prototype;
	struct bytes again = message;
	struct field field;

	while (take_field(&message, &field)) {
		if (field.number == 2)
			common.temporality = field.value;
		else if (field.number == 3)
			common.is_monotonic = field.value;
		else
			assert_int_equal(field.number, 1);
	}
	while (take_field(&again, &field)) {
		struct point *point = &received->points[received->count];

		if (field.number != 1)
			continue;
		assert_true(received->count < POINTS_MAX);
		received->count++;
		*point = common;
		point->resource = strdup(common.resource);
		point->name = strdup(common.name);
		point->unit = strdup(common.unit ? common.unit : "");
		point->help = strdup(common.help ? common.help : "");
		read_point(field.bytes, point);
	}
}

static void read_metric(struct received *received, struct bytes message,
			const char *resource)
{
	struct point common = {.resource = (char *)resource};
	struct field field;

	while (take_field(&message, &field)) {
		if (field.number == 1) {
			common.name = string_of(&field);
		} else if (field.number == 2) {
			common.help = string_of(&field);
		} else if (field.number == 3) {
			common.unit = string_of(&field);
		} else {
			must(&field, MESSAGE);
			common.data = (enum data)field.number;
			assert_non_null(common.name);
			read_points(received, field.bytes, &common);
		}
	}
	free(common.name);
	free(common.help);
	free(common.unit);
}

static void check_scope(struct bytes message)
{
	char text[64] = "";
	struct field field;

	while (take_field(&message, &field)) {
		char *string = string_of(&field);

		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			 field.number == 1 ? "" : " ", string);
		free(string);
	}
	assert_string_equal(text, SCOPE);
}

static void read_scope(struct received *received, struct bytes message,
		       const char *resource)
{
	bool has_scope = false;
	struct field field;

	while (take_field(&message, &field)) {
		must(&field, MESSAGE);
		if (field.number == 1) {
			check_scope(field.bytes);
			has_scope = true;
			continue;
		}
		assert_int_equal(field.number, 2);
		read_metric(received, field.bytes, resource);
	}
	assert_true(has_scope);
}

static void read_resource(struct received *received, struct bytes message)
{
	struct field field, attribute;
	char *resource = NULL;

	received->resource_messages++;
	while (take_field(&message, &field)) {
		must(&field, MESSAGE);
		if (field.number == 2) {
			read_scope(received, field.bytes, resource);
			continue;
		}
		assert_int_equal(field.number, 1);
		while (take_field(&field.bytes, &attribute)) {
			assert_int_equal(attribute.number, 1);
			append_attribute(&resource, attribute.bytes);
		}
	}
	free(resource);
}

static void read_request(struct received *received, struct bytes message)
{
	struct field field;

	while (take_field(&message, &field)) {
		assert_int_equal(field.number, 1);
		read_resource(received, field.bytes);
	}
}

static size_t inflate_all(const struct wire_batch *batch, unsigned char **ret_bytes)
{
	size_t room = (size_t)16 << 20;
	z_stream stream = {
	    .next_in = (unsigned char *)batch->bytes,
	    .avail_in = (unsigned int)batch->len,
	    .avail_out = (unsigned int)room,
	};

	*ret_bytes = malloc(room);
	stream.next_out = *ret_bytes;
	assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	inflateEnd(&stream);
	return stream.total_out;
}

static void on_batch(void *context, struct wire_batch *batch)
{
	struct received *received = context;
	unsigned char *inflated = NULL;
	struct bytes bytes = {batch->bytes, batch->bytes + batch->len};
	size_t before = received->count;

	if (batch->message == WIRE_OTLP_GZIP) {
		size_t len = inflate_all(batch, &inflated);

		bytes = (struct bytes){inflated, inflated + len};
	} else {
		assert_int_equal(batch->message, WIRE_OTLP);
	}
	assert_true(received->batch_count < REQUESTS_MAX);
	received->batch_points[received->batch_count] = batch->samples;
	received->batch_bytes[received->batch_count++] = (size_t)(bytes.end - bytes.at);
	assert_false(batch->is_metadata);
	assert_int_equal(batch->histograms, 0);
	received->batch_time_ms = batch->time_ms;
	read_request(received, bytes);
	assert_int_equal(received->count - before, batch->samples);
	free(inflated);
	wire_batch_put(&batch);
}
