/* SPDX-License-Identifier: Apache-2.0 */
/* Series of either version, as a writer adds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire_case.h"
#include "wire_draft.h"
#include "wire_series.h"

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

/* What a receiver would have, of a batch by itself. */
static struct received *read_batch(struct wire_batch *batch)
{
	struct received *received = receive(batch->message, true, 1);

	on_batch(received, batch);
	return received;
}

static void a_batch_is_what_was_added_since_the_last_one(void **state)
{
	const struct label labels[] = {{"__name__", "open_files"}, {"code", "1"}};
	const struct sample sample = {.bits = bits_of(1), .time_ms = TIME};
	Prometheus__Sample number, *only = &number;
	const struct wire_series series = {
	    .labels = labels,
	    .label_count = LENGTH(labels),
	    .family = &open_files,
	    .sample_count = 1,
	    .samples = &only,
	};

	(void)state;
	wire_series_number(&sample, 0, &number);
	for (enum wire_message message = WIRE_V1; message <= WIRE_V2; message++) {
		struct wire_draft draft;

		assert_int_equal(wire_draft_init(&draft, message), 0);
		for (size_t i = 1; i <= 3; i++) {
			struct wire_batch *batch = NULL;
			struct received *received;

			for (size_t j = 0; j < i; j++)
				assert_int_equal(wire_draft_add(&draft, &series), 0);
			assert_int_equal(wire_draft_count(&draft), i);
			assert_int_equal(draft.label_bytes, i * 23);
			assert_int_equal(wire_draft_close(&draft, TIME + 1, &batch), 0);
			assert_int_equal(wire_draft_count(&draft), 0);
			assert_int_equal(draft.label_bytes, 0);
			received = read_batch(batch);
			assert_int_equal(received->count, i);
			assert_string_equal(received->series[i - 1].text,
					    "__name__=open_files code=1");
			assert_int_equal(received->batches[0].time_ms, TIME + 1);
			end(received);
			if (i == 2)
				wire_draft_reset(&draft);
		}
		wire_draft_free(&draft);
		assert_null(draft.v1);
		assert_null(draft.v2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_exemplar_goes_with_its_sample),
	    cmocka_unit_test(an_exemplar_of_any_length_is_read_back),
	    cmocka_unit_test(lengths_of_any_size_are_read_back),
	    cmocka_unit_test(what_is_kept_of_the_last_series_never_shows_in_the_next),
	    cmocka_unit_test(a_batch_is_what_was_added_since_the_last_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
