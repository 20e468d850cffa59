/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "wire_case.h"

static void a_sample_is_a_series_with_its_labels_value_and_time(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 100);
		const struct series *series = received->series;

		assert_int_equal(add(received, &requests, "requests_total", "200",
				     bits_of(9007199254740991.0)),
				 0);
		assert_int_equal(
		    add(received, &requests, "requests_total", "404", bits_of(0)), 0);
		assert_int_equal(received->batch_count, 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batch_count, 1);
		assert_int_equal(received->batches[0].time_ms, TIME);
		assert_int_equal(received->count, 2);
		assert_string_equal(series[0].text, "__name__=requests_total code=200");
		assert_string_equal(series[1].text, "__name__=requests_total code=404");
		assert_int_equal(series[0].bits, bits_of(9007199254740991.0));
		assert_int_equal(series[1].bits, 0);
		assert_int_equal(series[0].time_ms, TIME);
		end(received);
	}
}

static void starts_are_sent_in_2_0_only(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {1};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 100);

		add(received, &requests, "requests_total", "200", 1);
		add_histogram(received, native, 1);
		assert_int_equal(wire_finish(received->writer), 0);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(received->series[i].start_ms,
					 message == WIRE_V2 ? START : 0);
		end(received);
	}
}

static void an_exemplar_goes_with_its_sample(void **state)
{
	static const struct exemplar bare = {.time_ms = 7};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 100);
		const struct series *series = received->series;

		add_with_example(received, "200", false, NULL);
		add_with_example(received, "404", false, &example);
		add_with_example(received, "500", true, &example);
		add_with_example(received, "503", false, &bare);
		add_with_example(received, "504", false, NULL);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 5);
		assert_null(series[0].example);
		assert_string_equal(series[1].example, EXAMPLE);
		assert_string_equal(series[1].text, "__name__=requests_total code=404");
		assert_int_equal(series[1].bits, bits_of(1));
		assert_string_equal(series[2].example, EXAMPLE);
		assert_true(series[2].is_native);
		assert_string_equal(series[3].example, " 0 @7");
		assert_null(series[4].example);
		end(received);
	}
}

static void without_a_word_for_it_no_exemplar_is_sent(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		const struct wire_format format = {message, true, 100, false};
		struct received *received = receive(message, true, 100);

		wire_writer_free(&received->writer);
		assert_int_equal(
		    wire_writer_create(&format, on_batch, received, &received->writer),
		    0);
		add_with_example(received, "404", false, &example);
		add_with_example(received, "500", true, &example);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 2);
		assert_null(received->series[0].example);
		assert_null(received->series[1].example);
		end(received);
	}
}

/* 128 characters are somebody else's rule; whatever it is, there is room for it. */
static void an_exemplar_of_any_length_is_read_back(void **state)
{
	char *value = malloc(200001);

	(void)state;
	memset(value, 'x', 200000);
	value[200000] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		const struct label label = {"trace_id", value};
		const struct exemplar exemplar = {&label, 1, TIME, 0};
		struct received *received = receive(message, true, 100);

		add_with_example(received, "404", false, &exemplar);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(strlen(received->series[0].example),
				 strlen("trace_id= 0 @1700000000123") + 200000);
		end(received);
	}
	free(value);
}

static void lengths_of_any_size_are_read_back(void **state)
{
	static const size_t lengths[] = {1, 100, 127, 128, 129, 16383, 16384, 200000};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 100);
		char *value = malloc(200001);

		for (size_t i = 0; i < LENGTH(lengths); i++) {
			memset(value, 'a' + (int)i, lengths[i]);
			value[lengths[i]] = 0;
			add(received, &requests, "requests_total", value, 1);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		for (size_t i = 0; i < LENGTH(lengths); i++) {
			const char *text = received->series[i].text;

			assert_int_equal(strlen(text),
					 strlen("__name__=requests_total code=") +
					     lengths[i]);
			assert_int_equal(text[strlen(text) - 1], 'a' + (int)i);
		}
		free(value);
		end(received);
	}
}

/* A label set of which little or much differs from the last one, in buffers that
 * are the same ones each time. */
struct random_labels {
	struct label labels[8];
	char names[8][16], values[8][16];
	size_t count;
};

static void vary_labels(struct random_labels *random, unsigned int *seed)
{
	random->count = 1 + next_random(seed) % 8;
	for (size_t i = 0; i < random->count; i++) {
		random->labels[i] = (struct label){random->names[i], random->values[i]};
		if (!*random->names[i] || !(next_random(seed) % 4))
			snprintf(random->names[i], 16, "%c%c", '0' + (int)i,
				 'a' + (int)(next_random(seed) % 3));
		if (!*random->values[i] || !(next_random(seed) % 3))
			snprintf(random->values[i], 16, "v%u", next_random(seed) % 9);
	}
}

static void what_is_kept_of_the_last_series_never_shows_in_the_next(void **state)
{
	enum { SERIES = 3000 };

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 700);
		struct random_labels random = {0};
		char **expected = calloc(SERIES, sizeof(*expected));
		unsigned int seed = 20261129;

		print_message("seed %u\n", seed);
		for (int i = 0; i < SERIES; i++) {
			struct sample sample = {.labels = random.labels,
						.family = &requests};
			size_t size;
			FILE *text = open_memstream(&expected[i], &size);

			vary_labels(&random, &seed);
			sample.label_count = random.count;
			for (size_t j = 0; j < random.count; j++)
				write_label(text, random.names[j], random.values[j]);
			fclose(text);
			assert_int_equal(wire_add(received->writer, &sample), 0);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, SERIES);
		for (int i = 0; i < SERIES; i++) {
			assert_string_equal(received->series[i].text, expected[i]);
			free(expected[i]);
		}
		free(expected);
		end(received);
	}
}

static void each_string_of_a_request_is_there_once(void **state)
{
	struct received *received = receive(WIRE_V2, false, 100);

	(void)state;
	for (int i = 0; i < 20; i++) {
		add(received, &requests, "requests_total", i % 2 ? "200" : "404", 1);
		add(received, &duration, "duration_seconds_sum", "seconds", 1);
	}
	assert_int_equal(wire_finish(received->writer), 0);
	/* "", 2 names of labels, 2 of metrics, 200, 404, seconds, 2 helps */
	assert_int_equal(received->symbol_count, 10);
	for (size_t i = 0; i < received->symbol_count; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(received->symbols[i],
						received->symbols[j]);
	end(received);
}

static void each_series_of_2_0_says_what_its_family_is(void **state)
{
	static const struct {
		const struct family *family;
		uint64_t type;
	} cases[] = {
	    {&requests, 1}, {&open_files, 2}, {&duration, 3},
	    {&duration, 3}, {&waits, 5},      {&target, 6},
	    {&unknown, 0},  {&sizes, 4},      {&modes, 7},
	};
	static const uint64_t native[NATIVE_BUCKETS] = {1};
	struct received *received = receive(WIRE_V2, true, 3);

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		if (i == 3)
			add_histogram(received, native, 1);
		else
			add(received, cases[i].family, cases[i].family->name, "1", 1);
	assert_int_equal(wire_finish(received->writer), 0);
	assert_int_equal(received->batch_count, 3);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct series *series = &received->series[i];

		assert_int_equal(series->type, cases[i].type);
		assert_string_equal(series->help, cases[i].family->help);
		assert_string_equal(series->unit, cases[i].family->unit);
	}
	end(received);
}

/* Of one target after the other, in the same memory. */
static void a_family_in_the_place_of_another_is_not_taken_for_it(void **state)
{
	struct received *received = receive(WIRE_V2, true, 100);
	char help[] = "One.";
	struct family family = {"one", help, "", METRIC_GAUGE, FAMILY_SCRAPED};

	(void)state;
	add(received, &family, "one", "1", 1);
	memcpy(help, "Two.", sizeof(help));
	family.unit = "bytes";
	add(received, &family, "two", "1", 1);
	family.type = METRIC_COUNTER;
	add(received, &family, "three", "1", 1);
	assert_int_equal(wire_finish(received->writer), 0);
	assert_string_equal(received->series[0].help, "One.");
	assert_string_equal(received->series[0].unit, "");
	assert_string_equal(received->series[1].help, "Two.");
	assert_string_equal(received->series[1].unit, "bytes");
	assert_int_equal(received->series[1].type, 2);
	assert_int_equal(received->series[2].type, 1);
	end(received);
}

static void metadata_of_1_0_is_by_the_names_of_samples(void **state)
{
	static const struct {
		const struct family *family;
		uint64_t type;
		const char *name;
	} cases[] = {
	    {&requests, 1, "requests_total"},
	    {&open_files, 2, "open_files"},
	    {&duration, 3, "duration_seconds"},
	    {&waits, 5, "wait_seconds"},
	    {&target, 6, "target_info"},
	    {&unknown, 0, "what"},
	    {&sizes, 4, "sizes"},
	    {&modes, 7, "mode"},
	    {&scraped, 1, "scraped"},
	};
	const struct family *families[LENGTH(cases)];
	struct received *received = receive(WIRE_V1, false, 2);

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++)
		families[i] = cases[i].family;
	add(received, &requests, "requests_total", "200", 1);
	assert_int_equal(wire_metadata(received->writer, families, LENGTH(cases)), 0);
	assert_int_equal(received->batch_count, 5);
	assert_int_equal(received->batches[0].families, 2);
	assert_int_equal(received->batches[3].families, 2);
	assert_int_equal(received->batches[4].families, 1);
	assert_int_equal(received->batches[4].time_ms, TIME);
	for (size_t i = 0; i < LENGTH(cases); i++) {
		const struct family_read *family = &received->families[i];

		assert_int_equal(family->type, cases[i].type);
		assert_string_equal(family->name, cases[i].name);
		assert_string_equal(family->help, cases[i].family->help);
		if (*cases[i].family->unit)
			assert_string_equal(family->unit, cases[i].family->unit);
		else
			assert_null(family->unit);
	}
	/* The series that was open is as it was. */
	assert_int_equal(wire_finish(received->writer), 0);
	assert_int_equal(received->count, 1);
	end(received);
}

static void metadata_of_nothing_and_in_2_0_is_no_request(void **state)
{
	const struct family *const families[] = {&requests};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 2);

		assert_int_equal(
		    wire_metadata(received->writer, families, message == WIRE_V2), 0);
		assert_int_equal(received->batch_count, 0);
		end(received);
	}
}

static void native_histograms_are_sent_only_where_asked_for(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {1};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 100);

		assert_int_equal(add_histogram(received, native, 1), 0);
		assert_int_equal(add_histogram(received, NULL, 1), 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batch_count, 0);
		end(received);
	}
}

static void expect_batches(const struct received *received, const uint32_t *sizes,
			   size_t count)
{
	assert_int_equal(received->batch_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(received->batches[i].samples +
				     received->batches[i].histograms,
				 sizes[i]);
}

static void batches_hold_at_most_samples_max(void **state)
{
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[6];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1}, 5}, {2, {2, 2, 1}, 3}, {3, {3, 2}, 2},
	    {4, {4, 1}, 2},          {5, {5}, 1},       {6, {5}, 1},
	};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++)
		for (size_t i = 0; i < LENGTH(cases); i++) {
			struct received *received =
			    receive(message, false, cases[i].samples_max);

			for (size_t j = 0; j < 5; j++) {
				assert_int_equal(wire_begin(received->writer, 1), 0);
				add(received, &requests, "requests_total", "200", j);
			}
			assert_int_equal(wire_finish(received->writer), 0);
			expect_batches(received, cases[i].sizes, cases[i].count);
			for (size_t j = 0; j < 5; j++)
				assert_int_equal(received->series[j].bits, j);
			end(received);
		}
}

static void what_belongs_together_is_cut_only_where_no_batch_can_hold_it(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {1};
	static const struct {
		uint32_t samples_max;
		uint32_t sizes[9];
		size_t count;
	} cases[] = {
	    {1, {1, 1, 1, 1, 1, 1, 1}, 7},
	    {3, {2, 3, 2}, 3},
	    {4, {2, 4, 1}, 3},
	    {5, {2, 5}, 2},
	    {6, {2, 5}, 2},
	    {7, {7}, 1},
	};

	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++)
		for (size_t i = 0; i < LENGTH(cases); i++) {
			struct received *received =
			    receive(message, true, cases[i].samples_max);

			wire_begin(received->writer, 1);
			add(received, &requests, "requests_total", "200", 1);
			wire_begin(received->writer, 1);
			add(received, &requests, "requests_total", "201", 1);
			wire_begin(received->writer, 5);
			for (int j = 0; j < 4; j++)
				add(received, &duration, "duration_seconds_sum", "200",
				    1);
			add_histogram(received, native, 1);
			assert_int_equal(wire_finish(received->writer), 0);
			expect_batches(received, cases[i].sizes, cases[i].count);
			end(received);
		}
}

static void a_batch_stays_far_below_what_receivers_refuse(void **state)
{
	char *value = malloc(65536);

	(void)state;
	memset(value, 'x', 65535);
	value[65535] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 50000);

		for (int i = 0; i < 300; i++) { /* 19 MB of labels */
			value[snprintf(value, 8, "%d", i)] = '-';
			wire_begin(received->writer, 1);
			add(received, &requests, "requests_total", value, 1);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 300);
		assert_int_equal(received->batch_count, 5);
		for (size_t i = 0; i < 5; i++)
			assert_true(received->batches[i].unpacked_bytes <
				    (4 << 20) + (1 << 17));
		end(received);
	}
	free(value);
}

/* A label of a mebibyte, with each of the many series of a metric. In 2.0 it is
 * written once, but a batch has to have room as one of 1.0. */
static void a_metric_too_large_for_a_request_is_cut(void **state)
{
	char *value = malloc((1 << 20) + 1);

	(void)state;
	memset(value, 'x', 1 << 20);
	value[1 << 20] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 50000);
		struct wire_batch *batch;

		received->keeps = true;
		wire_begin(received->writer, 40);
		for (int i = 0; i < 40; i++) {
			add(received, &duration, "duration_seconds_sum", value, 1);
			if (i != 35 || message == WIRE_V1)
				continue;
			assert_int_equal(wire_downgrade(received->kept, false, &batch),
					 0);
			assert_int_equal(batch->samples, 16);
			wire_batch_put(&batch);
		}
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 40);
		assert_int_equal(received->batch_count, 3);
		for (size_t i = 0; i < 3; i++)
			assert_true(received->batches[i].unpacked_bytes < 18 << 20);
		end(received);
	}
	free(value);
}

static void an_error_lasts_until_finish(void **state)
{
	size_t len = (size_t)33 << 20;
	char *value = malloc(len + 1);

	(void)state;
	memset(value, 'x', len);
	value[len] = 0;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, false, 2);

		add(received, &requests, "requests_total", "1", 1);
		add(received, &requests, "requests_total", "2", 1);
		add(received, &requests, "requests_total", "3", 1);
		assert_int_equal(received->count, 2);
		assert_int_equal(add(received, &requests, "requests_total", value, 1),
				 -E2BIG);
		assert_int_equal(wire_begin(received->writer, 1), -E2BIG);
		assert_int_equal(add(received, &requests, "requests_total", "4", 1),
				 -E2BIG);
		assert_int_equal(wire_finish(received->writer), -E2BIG);
		assert_int_equal(received->count, 2);
		add(received, &requests, "requests_total", "5", 1);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->count, 3);
		assert_string_equal(received->series[2].text,
				    "__name__=requests_total code=5");
		end(received);
	}
	free(value);
}

static void a_writer_that_got_nothing_emits_nothing(void **state)
{
	(void)state;
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct received *received = receive(message, true, 5);

		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(wire_begin(received->writer, 3), 0);
		assert_int_equal(wire_begin(received->writer, 30), 0);
		assert_int_equal(wire_finish(received->writer), 0);
		assert_int_equal(received->batch_count, 0);
		end(received);
	}
}

/* Series of all kinds. */
static void write_all_kinds(struct received *received)
{
	static const uint64_t native[NATIVE_BUCKETS] = {5, [70] = 1, [90] = 7};

	add(received, &requests, "requests_total", "200", bits_of(3));
	add(received, &requests, "requests_total", "404", STALE);
	add(received, &duration, "duration_seconds_sum", "200", bits_of(0.25));
	add_histogram(received, native, 0.25);
	add_histogram(received, NULL, 0);
	add(received, &open_files, "open_files", "7", bits_of(-1));
	add_with_example(received, "500", false, &example);
	assert_int_equal(wire_finish(received->writer), 0);
}

static void downgraded_series_are_those_of_a_1_0_writer(void **state)
{
	(void)state;
	for (int native = 0; native <= 1; native++) {
		struct received *v1 = receive(WIRE_V1, native, 100);
		struct received *v2 = receive(WIRE_V2, true, 100);
		struct wire_batch *batch;
		size_t len, expected_len;
		char *packed, *expected;

		v1->keeps = true;
		v2->keeps = true;
		write_all_kinds(v1);
		write_all_kinds(v2);
		assert_int_equal(v2->count, 7);
		assert_string_equal(v2->series[6].example, EXAMPLE);
		assert_int_equal(wire_downgrade(v2->kept, native, &batch), 0);
		packed = decompress(batch, &len);
		expected = decompress(v1->kept, &expected_len);
		assert_int_equal(len, expected_len);
		assert_memory_equal(packed, expected, len);
		assert_int_equal(batch->message, WIRE_V1);
		assert_int_equal(batch->samples, 5);
		assert_int_equal(batch->histograms, native ? 2 : 0);
		assert_int_equal(batch->time_ms, TIME);
		assert_int_equal(batch->references, 1);
		assert_false(batch->is_metadata);
		assert_int_equal(v2->kept->references, 1);
		free(packed);
		free(expected);
		wire_batch_put(&batch);
		end(v1);
		end(v2);
	}
}

static void nothing_is_left_of_native_histograms_alone(void **state)
{
	static const uint64_t native[NATIVE_BUCKETS] = {5};
	struct received *received = receive(WIRE_V2, true, 100);
	struct wire_batch *batch = (void *)&received;

	(void)state;
	received->keeps = true;
	add_histogram(received, native, 1);
	assert_int_equal(wire_finish(received->writer), 0);
	assert_int_equal(wire_downgrade(received->kept, false, &batch), 0);
	assert_null(batch);
	end(received);
}

static struct wire_batch *make_batch(enum wire_message message, const char *bytes,
				     size_t len)
{
	size_t compressed = snappy_max_compressed_length(len);
	struct wire_batch *batch = calloc(1, sizeof(*batch) + compressed);

	assert_int_equal(snappy_compress(bytes, len, (char *)batch->bytes, &compressed),
			 SNAPPY_OK);
	batch->references = 1;
	batch->message = message;
	batch->len = compressed;
	return batch;
}

/* symbols "", "a"; one series with a sample and these refs. */
#define WITH_REFS(len, refs) "\x22\x00\x22\x01\x61\x2a" len refs "\x12\x02\x10\x01"
/* The same, and an exemplar with these. */
#define WITH_EXAMPLE(len, refs)                                                        \
	WITH_REFS(len, "\x0a\x02\x01\x01"                                              \
		       "\x22" refs)
#define BYTES(literal) (literal), sizeof(literal) - 1

static void a_batch_that_is_none_of_ours_is_refused(void **state)
{
	static const struct {
		enum wire_message message;
		const char *bytes;
		size_t len;
		int err;
	} cases[] = {
	    {WIRE_V2, BYTES(WITH_REFS("\x08", "\x0a\x02\x01\x01")), 0},
	    {WIRE_V1, BYTES(WITH_REFS("\x08", "\x0a\x02\x01\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x08", "\x0a\x02\x01\x02")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x08", "\x0a\x02\x02\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x09", "\x0a\x03\x01\x01\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x0c", "\x0a\x06\x01\xff\xff\xff\xff\x0f")),
	     -EBADMSG},
	    {WIRE_V2, BYTES(WITH_REFS("\x7f", "\x0a\x02\x01\x01")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_EXAMPLE("\x0e", "\x04\x0a\x02\x01\x01")), 0},
	    {WIRE_V2, BYTES(WITH_EXAMPLE("\x0e", "\x04\x0a\x02\x01\x02")), -EBADMSG},
	    {WIRE_V2, BYTES(WITH_EXAMPLE("\x0d", "\x03\x0a\x01\x01")), -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct wire_batch *batch =
		    make_batch(cases[i].message, cases[i].bytes, cases[i].len);
		struct wire_batch *v1 = NULL;

		assert_int_equal(wire_downgrade(batch, true, &v1), cases[i].err);
		assert_int_equal(!v1, cases[i].err != 0);
		wire_batch_put(&v1);
		wire_batch_put(&batch);
	}
}

/* Cut anywhere, compressed or before: from a disk that lost the end. */
static void a_batch_that_was_cut_is_refused_or_lacks_series(void **state)
{
	struct received *received = receive(WIRE_V2, true, 100);
	size_t len, whole;
	char *packed;

	(void)state;
	received->keeps = true;
	write_all_kinds(received);
	packed = decompress(received->kept, &len);
	for (size_t i = 0; i < len; i++) {
		struct wire_batch *batch = make_batch(WIRE_V2, packed, i), *v1 = NULL;
		int err = wire_downgrade(batch, true, &v1);

		assert_true(!err || err == -EBADMSG);
		assert_true(!v1 || v1->samples + v1->histograms < 7);
		wire_batch_put(&v1);
		wire_batch_put(&batch);
	}
	whole = received->kept->len;
	for (size_t i = 0; i < whole; i++) {
		struct wire_batch *v1 = NULL;

		received->kept->len = i;
		assert_int_equal(wire_downgrade(received->kept, true, &v1), -EBADMSG);
		assert_null(v1);
	}
	free(packed);
	end(received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_sample_is_a_series_with_its_labels_value_and_time),
	    cmocka_unit_test(starts_are_sent_in_2_0_only),
	    cmocka_unit_test(an_exemplar_goes_with_its_sample),
	    cmocka_unit_test(without_a_word_for_it_no_exemplar_is_sent),
	    cmocka_unit_test(an_exemplar_of_any_length_is_read_back),
	    cmocka_unit_test(lengths_of_any_size_are_read_back),
	    cmocka_unit_test(what_is_kept_of_the_last_series_never_shows_in_the_next),
	    cmocka_unit_test(each_string_of_a_request_is_there_once),
	    cmocka_unit_test(each_series_of_2_0_says_what_its_family_is),
	    cmocka_unit_test(a_family_in_the_place_of_another_is_not_taken_for_it),
	    cmocka_unit_test(metadata_of_1_0_is_by_the_names_of_samples),
	    cmocka_unit_test(metadata_of_nothing_and_in_2_0_is_no_request),
	    cmocka_unit_test(native_histograms_are_sent_only_where_asked_for),
	    cmocka_unit_test(batches_hold_at_most_samples_max),
	    cmocka_unit_test(
		what_belongs_together_is_cut_only_where_no_batch_can_hold_it),
	    cmocka_unit_test(a_batch_stays_far_below_what_receivers_refuse),
	    cmocka_unit_test(a_metric_too_large_for_a_request_is_cut),
	    cmocka_unit_test(an_error_lasts_until_finish),
	    cmocka_unit_test(a_writer_that_got_nothing_emits_nothing),
	    cmocka_unit_test(downgraded_series_are_those_of_a_1_0_writer),
	    cmocka_unit_test(nothing_is_left_of_native_histograms_alone),
	    cmocka_unit_test(a_batch_that_is_none_of_ours_is_refused),
	    cmocka_unit_test(a_batch_that_was_cut_is_refused_or_lacks_series),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
