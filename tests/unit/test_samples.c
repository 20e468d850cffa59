/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buckets.h"
#include "length.h"
#include "samples.h"
#include "timeline.h"

#define STALE 0x7ff0000000000002ull
#define SERIES_MAX 4096

/* name=value name=value as they came, and the rest. */
struct series {
	char *text;
	const struct family *family;
	uint64_t bits;
	int64_t time_ms, start_ms;
	bool is_native;
	uint64_t native_total;
	double sum;
};

struct received {
	struct samples *samples;
	struct series series[SERIES_MAX];
	size_t count;
	struct sample_metric metric; /* what begin got last */
	size_t announced;            /* by begin */
	size_t metrics;
	size_t fails_at; /* this sample is not taken: -EIO; 0: all are */
	int64_t boot_ms, start_ms;
	struct timeline timeline;
};

static const struct family requests = {"requests", "Requests.", "", METRIC_COUNTER, 1};
static const struct family open_files = {"open_files", "Files.", "", METRIC_GAUGE, 2};
static const struct family target = {"target", "Target.", "", METRIC_INFO, 3};
static const struct family duration = {"duration_seconds", "Duration.", "seconds",
				       METRIC_HISTOGRAM, 4};
static const struct family waits = {"wait_seconds", "Waits.", "seconds", METRIC_SUMMARY,
				    6};

static const struct family bare = {"bare", "No labels.", "", METRIC_GAUGE, 5};

/* --- the sink ------------------------------------------------------------------ */

static int on_begin(void *context, const struct sample_metric *metric)
{
	struct received *received = context;

	assert_non_null(metric->metric->family);
	/* All that was announced before has come. */
	assert_int_equal(received->count, received->announced);
	received->announced += metric->sample_count;
	received->metric = *metric;
	received->metrics++;
	return 0;
}

static bool is_cumulative(const struct sample *sample)
{
	enum metric_type type = sample->family->type;

	return type == METRIC_COUNTER || type == METRIC_HISTOGRAM;
}

/* What the metric says holds for each of its samples. */
static void check_metric(const struct sample_metric *metric,
			 const struct sample *sample)
{
	assert_ptr_equal(metric->metric->family, sample->family);
	assert_int_equal(metric->time_ms, sample->time_ms);
	if (is_cumulative(sample))
		assert_int_equal(metric->start_ms, sample->start_ms);
	assert_int_equal(metric->is_stale, sample->bits == SAMPLE_STALE);
	if (sample->is_native)
		assert_true(metric->has_native);
}

static char *text_of(const struct sample *sample)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	for (size_t i = 0; i < sample->label_count; i++) {
		const struct label *label = &sample->labels[i];

		assert_true(*label->name && *label->value);
		assert_true(!i || strcmp(label[-1].name, label->name) < 0);
		fprintf(file, "%s%s=%s", i ? " " : "", label->name, label->value);
	}
	fclose(file);
	return text;
}

static int on_sample(void *context, const struct sample *sample)
{
	struct received *received = context;
	struct series *series = &received->series[received->count];

	if (received->fails_at && received->count + 1 == received->fails_at)
		return -EIO;
	assert_true(received->count < SERIES_MAX);
	assert_true(received->count < received->announced);
	check_metric(&received->metric, sample);
	*series = (struct series){
	    .text = text_of(sample),
	    .family = sample->family,
	    .bits = sample->bits,
	    .time_ms = sample->time_ms,
	    .start_ms = sample->start_ms,
	    .is_native = sample->is_native,
	    .sum = sample->sum,
	};
	for (size_t i = 0; sample->native && i < NATIVE_BUCKETS; i++)
		series->native_total += sample->native[i];
	received->count++;
	return 0;
}

/* --- scenes ------------------------------------------------------------------- */

static void forget_received(struct received *received)
{
	for (size_t i = 0; i < received->count; i++)
		free(received->series[i].text);
	memset(received->series, 0, received->count * sizeof(*received->series));
	received->count = 0;
	received->announced = 0;
	received->metrics = 0;
}

static struct received *receive(const struct config_labels *external)
{
	struct received *received = calloc(1, sizeof(*received));

	assert_non_null(received);
	assert_int_equal(samples_create(external, &received->samples), 0);
	return received;
}

static void end(struct received *received)
{
	forget_received(received);
	samples_free(&received->samples);
	assert_null(received->samples);
	samples_free(&received->samples);
	free(received);
}

/* Replaces what was received; frees the snapshot. */
static int walk(struct received *received, struct snapshot *snapshot)
{
	const struct samples_sink sink = {on_begin, on_sample, received};
	int64_t time_ms;
	int err;

	forget_received(received);
	snapshot->start_ms = received->start_ms;
	snapshot_finish(snapshot);
	time_ms =
	    timeline_after(&received->timeline, snapshot->time_ms, received->boot_ms);
	err = samples_walk(received->samples, snapshot, time_ms, &sink);
	snapshot_free(snapshot);
	if (!err)
		assert_int_equal(received->count, received->announced);
	return err;
}

static void add(struct snapshot *snapshot, const struct family *family,
		const char *name, const char *value, double number)
{
	const struct label label = {name, value};

	snapshot_value(snapshot, family, snapshot_labels(snapshot, &label, 1), number);
}

static void add_histogram(struct snapshot *snapshot, const double *bounds,
			  size_t bound_count, const uint64_t *buckets, double sum)
{
	const struct label label = {"code", "200"};
	const struct histogram histogram = {
	    .bounds = bounds,
	    .bound_count = bound_count,
	    .buckets = buckets,
	    .sum = sum,
	};

	snapshot_histogram(snapshot, &duration, snapshot_labels(snapshot, &label, 1),
			   &histogram);
}

static void add_summary(struct snapshot *snapshot, const struct summary *summary)
{
	const struct label label = {"code", "200"};

	snapshot_summary(snapshot, &waits, snapshot_labels(snapshot, &label, 1),
			 summary);
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static void expect(const struct received *received, size_t i, const char *text,
		   uint64_t bits, int64_t time_ms)
{
	assert_true(i < received->count);
	assert_string_equal(received->series[i].text, text);
	assert_int_equal(received->series[i].bits, bits);
	assert_int_equal(received->series[i].time_ms, time_ms);
}

static const struct config_labels none = {NULL, 0};

/* --- tests -------------------------------------------------------------------- */

static void each_type_has_its_names_and_its_value(void **state)
{
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1700000000123);
	add(&snapshot, &requests, "code", "200", 9007199254740991.0);
	add(&snapshot, &open_files, "pid", "1", 0);
	add(&snapshot, &target, "version", "1.2", 1);
	snapshot_value(&snapshot, &bare, snapshot_labels(&snapshot, NULL, 0), 0.1);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 3, "__name__=bare", bits_of(0.1), 1700000000123);
	expect(received, 0, "__name__=requests_total code=200",
	       bits_of(9007199254740991.0), 1700000000123);
	expect(received, 1, "__name__=open_files pid=1", 0, 1700000000123);
	expect(received, 2, "__name__=target_info version=1.2", bits_of(1),
	       1700000000123);
	end(received);
}

static void buckets_are_cumulative_with_canonical_bounds(void **state)
{
	static const double bounds[] = {0.005, 1, 10, 1000000};
	static const uint64_t buckets[] = {3, 0, 4, 5, 6};
	static const struct {
		const char *text;
		double value;
	} expected[] = {
	    {"__name__=duration_seconds_bucket code=200 le=0.005", 3},
	    {"__name__=duration_seconds_bucket code=200 le=1.0", 3},
	    {"__name__=duration_seconds_bucket code=200 le=10.0", 7},
	    {"__name__=duration_seconds_bucket code=200 le=1e+06", 12},
	    {"__name__=duration_seconds_bucket code=200 le=+Inf", 18},
	    {"__name__=duration_seconds_sum code=200", 6.25},
	    {"__name__=duration_seconds_count code=200", 18},
	};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add_histogram(&snapshot, bounds, LENGTH(bounds), buckets, 6.25);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++)
		expect(received, i, expected[i].text, bits_of(expected[i].value), 1000);
	end(received);
}

static const char *const waits_series[] = {
    "__name__=wait_seconds code=200 quantile=0.5",
    "__name__=wait_seconds code=200 quantile=1.0",
    "__name__=wait_seconds_sum code=200",
    "__name__=wait_seconds_count code=200",
};

static void a_summary_is_a_series_per_quantile_a_sum_and_a_count(void **state)
{
	static const double quantiles[] = {0.5, 1}, values[] = {0.25, NAN};
	const struct summary summary = {quantiles, values, 2, 18, 6.25};
	const struct summary without = {.observations = 1, .sum = 2};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add_summary(&snapshot, &summary);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(waits_series));
	expect(received, 0, waits_series[0], bits_of(0.25), 1000);
	expect(received, 1, waits_series[1], 0x7ff8000000000001, 1000);
	expect(received, 2, waits_series[2], bits_of(6.25), 1000);
	expect(received, 3, waits_series[3], bits_of(18), 1000);

	snapshot_init(&snapshot, 2000);
	snapshot_summary(&snapshot, &waits, (struct label_set){0}, &without);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 2 + LENGTH(waits_series));
	expect(received, 0, "__name__=wait_seconds_sum", bits_of(2), 2000);
	expect(received, 1, "__name__=wait_seconds_count", bits_of(1), 2000);
	for (size_t i = 0; i < LENGTH(waits_series); i++)
		expect(received, 2 + i, waits_series[i], STALE, 2000);
	end(received);
}

static void bounds_and_quantiles_of_equal_values_keep_their_labels(void **state)
{
	static const double parts[] = {0.5, 1};
	static const uint64_t buckets[] = {1, 1, 1};
	const struct summary summary = {parts, parts, 2, 1, 1};
	struct received *received = receive(&none);

	(void)state;
	for (int64_t time_ms = 1000; time_ms <= 2000; time_ms += 1000) {
		struct snapshot snapshot;

		snapshot_init(&snapshot, time_ms);
		if (time_ms == 1000) {
			add_histogram(&snapshot, parts, 2, buckets, 3);
			add_summary(&snapshot, &summary);
		}
		assert_int_equal(walk(received, &snapshot), 0);
		assert_int_equal(received->count, 5 + LENGTH(waits_series));
		assert_string_equal(received->series[0].text,
				    "__name__=duration_seconds_bucket code=200 le=0.5");
		for (size_t i = 0; i < LENGTH(waits_series); i++)
			assert_string_equal(received->series[5 + i].text,
					    waits_series[i]);
	}
	end(received);
}

static void labels_are_sorted_by_byte_and_external_ones_fill_gaps(void **state)
{
	static const struct config_label labels[] = {
	    {"job", "external"},  {"Zone", "z"},        {"empty", ""},
	    {"code", "external"}, {"_x", "underscore"}, {"zz", "last"},
	    {"__name__", "no"},   {"le", "no"},
	};
	const struct config_labels external = {(struct config_label *)labels,
					       LENGTH(labels)};
	static const double bounds[] = {1};
	static const uint64_t buckets[] = {1, 0};
	struct received *received = receive(&external);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add(&snapshot, &requests, "code", "own", 1);
	add_histogram(&snapshot, bounds, LENGTH(bounds), buckets, 0.5);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 5);
	expect(received, 0,
	       "Zone=z __name__=requests_total _x=underscore code=own job=external "
	       "le=no zz=last",
	       bits_of(1), 1000);
	expect(received, 1,
	       "Zone=z __name__=duration_seconds_bucket _x=underscore code=200 "
	       "job=external le=1.0 zz=last",
	       bits_of(1), 1000);
	expect(received, 3,
	       "Zone=z __name__=duration_seconds_sum _x=underscore code=200 "
	       "job=external zz=last",
	       bits_of(0.5), 1000);
	end(received);
}

static void a_series_that_vanished_is_marked_stale_once(void **state)
{
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &requests, "code", "404", 2);
	add(&snapshot, &requests, "code", "500", 3);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 3);

	snapshot_init(&snapshot, 2000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &requests, "code", "301", 1);
	add(&snapshot, &requests, "code", "500", 4);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 0, "__name__=requests_total code=200", bits_of(1), 2000);
	expect(received, 1, "__name__=requests_total code=301", bits_of(1), 2000);
	expect(received, 2, "__name__=requests_total code=404", STALE, 2000);
	expect(received, 3, "__name__=requests_total code=500", bits_of(4), 2000);

	snapshot_init(&snapshot, 3000);
	add(&snapshot, &requests, "code", "404", 5); /* it came back */
	add(&snapshot, &requests, "code", "500", 5);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 0, "__name__=requests_total code=200", STALE, 3000);
	expect(received, 1, "__name__=requests_total code=301", STALE, 3000);
	expect(received, 2, "__name__=requests_total code=404", bits_of(5), 3000);
	expect(received, 3, "__name__=requests_total code=500", bits_of(5), 3000);
	end(received);
}

static void an_empty_snapshot_marks_everything_stale_once(void **state)
{
	static const uint64_t buckets[] = {1, 2, 3};
	static const char *const expected[] = {
	    "__name__=requests_total code=200",
	    "__name__=target_info version=1",
	    "__name__=duration_seconds_bucket code=200 le=0.1",
	    "__name__=duration_seconds_bucket code=200 le=2.5",
	    "__name__=duration_seconds_bucket code=200 le=+Inf",
	    "__name__=duration_seconds_sum code=200",
	    "__name__=duration_seconds_count code=200",
	};
	struct received *received = receive(&none);
	struct snapshot snapshot;
	double *bounds;

	(void)state;
	snapshot_init(&snapshot, 1000);
	/* Gone with the snapshot: the encoder has to keep its own. */
	bounds = snapshot_alloc(&snapshot, 2 * sizeof(*bounds));
	bounds[0] = 0.1;
	bounds[1] = 2.5;
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &target, "version", "1", 1);
	add_histogram(&snapshot, bounds, 2, buckets, 1);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));

	snapshot_init(&snapshot, 2000);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++)
		expect(received, i, expected[i], STALE, 2000);

	snapshot_init(&snapshot, 3000);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 0);
	end(received);
}

static void no_value_looks_like_a_stale_marker(void **state)
{
	static const uint64_t patterns[] = {STALE, 0x7ff8000000000002,
					    0xfff8000000000000};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	for (size_t i = 0; i < LENGTH(patterns); i++) {
		double value;

		memcpy(&value, &patterns[i], sizeof(value));
		snapshot_init(&snapshot, 1000 + (int64_t)i);
		add(&snapshot, &open_files, "pid", "1", value);
		assert_int_equal(walk(received, &snapshot), 0);
		assert_int_equal(received->count, 1);
		assert_int_equal(received->series[0].bits, 0x7ff8000000000001);
	}
	snapshot_init(&snapshot, 2000);
	add(&snapshot, &open_files, "pid", "1", -INFINITY);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->series[0].bits, 0xfff0000000000000);
	end(received);
}

#define HOUR 3600000ll
#define DAY 1700000000000ll

static void collect_starts(struct received *received, int64_t time_ms,
			   const char *const *codes, size_t count)
{
	struct snapshot snapshot;

	snapshot_init(&snapshot, time_ms);
	received->boot_ms = time_ms - DAY + 1000000;
	for (size_t i = 0; i < count; i++)
		add(&snapshot, &requests, "code", codes[i], 1);
	assert_int_equal(walk(received, &snapshot), 0);
}

static void only_what_is_cumulative_has_a_start(void **state)
{
	static const double bounds[] = {1}, quantiles[] = {0.5}, values[] = {1};
	static const uint64_t buckets[] = {1, 1};
	static const uint64_t native[NATIVE_BUCKETS] = {[3] = 2};
	const struct summary summary = {quantiles, values, 1, 18, 6.25};
	const struct histogram histogram = {bounds, 1, buckets, 3, native};
	static const int64_t starts[] = {DAY, 0,   0, DAY, DAY, DAY,
					 DAY, DAY, 0, DAY, DAY};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	received->start_ms = DAY;
	snapshot_init(&snapshot, DAY + 1000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &open_files, "pid", "1", 1);
	add(&snapshot, &target, "version", "1", 1);
	snapshot_histogram(&snapshot, &duration, (struct label_set){0}, &histogram);
	snapshot_summary(&snapshot, &waits, (struct label_set){0}, &summary);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(starts));
	for (size_t i = 0; i < LENGTH(starts); i++)
		assert_int_equal(received->series[i].start_ms, starts[i]);
	snapshot_init(&snapshot, DAY + 2000);
	assert_int_equal(walk(received, &snapshot), 0);
	for (size_t i = 0; i < LENGTH(starts); i++)
		assert_int_equal(received->series[i].start_ms, 0);
	end(received);
}

static void what_appears_later_starts_at_the_collection_before(void **state)
{
	static const char *const codes[] = {"200", "404"};
	struct received *received = receive(&none);

	(void)state;
	received->start_ms = DAY - 500;
	collect_starts(received, DAY, codes, 1);
	assert_int_equal(received->series[0].start_ms, DAY - 500);
	collect_starts(received, DAY + 1000, codes, 2);
	assert_int_equal(received->series[0].start_ms, DAY - 500);
	assert_int_equal(received->series[1].start_ms, DAY);
	collect_starts(received, DAY + 2000, codes, 2);
	assert_int_equal(received->series[1].start_ms, DAY);
	collect_starts(received, DAY + 3000, codes + 1, 1); /* 200 has ended */
	collect_starts(received, DAY + 4000, codes, 2);
	assert_int_equal(received->series[0].start_ms, DAY + 3000);
	assert_int_equal(received->series[1].start_ms, DAY);
	end(received);
}

/* Of a process that was there before us, and of one that has its pid later. */
static void a_counter_may_have_a_start_of_its_own(void **state)
{
	static const int64_t starts[] = {DAY - HOUR, DAY - HOUR, DAY + 1500};
	const struct label label = {"pid", "7"};
	struct received *received = receive(&none);

	(void)state;
	received->start_ms = DAY - 500;
	for (size_t i = 0; i < LENGTH(starts); i++) {
		struct snapshot snapshot;

		snapshot_init(&snapshot, DAY + 1000 * (int64_t)i);
		snapshot_counter_since(&snapshot, &requests,
				       snapshot_labels(&snapshot, &label, 1), 1,
				       starts[i]);
		assert_int_equal(walk(received, &snapshot), 0);
		assert_int_equal(received->count, 1);
		assert_int_equal(received->series[0].start_ms, starts[i]);
	}
	end(received);
}

static void a_start_is_before_its_sample_or_unknown(void **state)
{
	static const char *const codes[] = {"200", "404"};
	struct received *received = receive(&none);

	(void)state;
	collect_starts(received, DAY, codes, 1);
	assert_int_equal(received->series[0].start_ms, 0); /* nobody said */
	end(received);
	received = receive(&none);
	received->start_ms = DAY;
	collect_starts(received, DAY, codes, 1);
	assert_int_equal(received->series[0].start_ms, 0);
	collect_starts(received, DAY + 1000, codes, 1);
	assert_int_equal(received->series[0].start_ms, DAY);
	/* The clock was wrong: so was that start, and for good. */
	collect_starts(received, DAY - 3 * HOUR, codes, 1);
	assert_int_equal(received->series[0].start_ms, 0);
	collect_starts(received, DAY + HOUR, codes, 2);
	assert_int_equal(received->series[0].start_ms, 0);
	assert_int_equal(received->series[1].start_ms, DAY - 3 * HOUR);
	end(received);
}

static void a_start_is_not_within_an_earlier_life(void **state)
{
	static const char *const codes[] = {"200"};
	static const struct {
		int64_t last_ms, start_ms;
	} cases[] = {
	    {DAY - 2000, DAY - 1000},           /* before this one */
	    {DAY - 500, DAY - 500},             /* the clock went back */
	    {DAY + 500, DAY + 500},             /* and more */
	    {DAY + 500 + 2 * HOUR, DAY - 1000}, /* so much that it was wrong */
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct received *received = receive(&none);

		received->start_ms = DAY - 1000;
		samples_continue(received->samples, cases[i].last_ms);
		timeline_continue(&received->timeline, cases[i].last_ms);
		collect_starts(received, DAY, codes, 1);
		assert_int_equal(received->series[0].start_ms, cases[i].start_ms);
		end(received);
	}
}

static void native_counts_are_one_more_series_and_end_with_the_others(void **state)
{
	static const double bounds[] = {1};
	static const uint64_t buckets[] = {1, 1};
	static const char *const expected[] = {
	    "__name__=duration_seconds_bucket code=200 le=1.0",
	    "__name__=duration_seconds_bucket code=200 le=+Inf",
	    "__name__=duration_seconds_sum code=200",
	    "__name__=duration_seconds_count code=200",
	    "__name__=duration_seconds code=200",
	};
	static const uint64_t native[NATIVE_BUCKETS] = {5, [NATIVE_BUCKETS - 1] = 2};
	const struct histogram histogram = {bounds, 1, buckets, 0.75, native};
	const struct label label = {"code", "200"};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	snapshot_histogram(&snapshot, &duration, snapshot_labels(&snapshot, &label, 1),
			   &histogram);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->metrics, 1);
	assert_int_equal(received->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++) {
		assert_string_equal(received->series[i].text, expected[i]);
		assert_ptr_equal(received->series[i].family, &duration);
		assert_int_equal(received->series[i].is_native, i == 4);
	}
	assert_int_equal(received->series[4].native_total, 7);
	assert_true(received->series[4].sum == 0.75);
	snapshot_init(&snapshot, 2000);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++) {
		expect(received, i, expected[i], STALE, 2000);
		assert_int_equal(received->series[i].is_native, i == 4);
	}
	end(received);
}

static void a_metric_that_was_added_twice_is_sent_once(void **state)
{
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	for (int64_t time_ms = 1000; time_ms <= 2000; time_ms += 1000) {
		snapshot_init(&snapshot, time_ms);
		add(&snapshot, &requests, "code", "200", 1);
		add(&snapshot, &requests, "code", "200", 1);
		add(&snapshot, &requests, "code", "201", 1);
		assert_int_equal(walk(received, &snapshot), 0);
		assert_int_equal(received->count, 2);
	}
	snapshot_init(&snapshot, 3000);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 2);
	end(received);
}

static void a_broken_snapshot_ends_no_series(void **state)
{
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add(&snapshot, &requests, "code", "200", 1);
	add(&snapshot, &requests, "code", "201", 1);
	assert_int_equal(walk(received, &snapshot), 0);

	snapshot_init(&snapshot, 2000);
	add(&snapshot, &requests, "code", "200", 1);
	snapshot.error = -ENOMEM;
	assert_int_equal(walk(received, &snapshot), -ENOMEM);
	assert_int_equal(received->count, 0);

	snapshot_init(&snapshot, 3000);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 2);
	end(received);
}

/* At each sample in turn. What was handed out is known, what was not is told later:
 * in the end every series has its marker, and none has two. */
static void a_sink_that_fails_loses_no_marker(void **state)
{
	enum { SERIES = 2 + 1 + 5, SAMPLES = SERIES + 1 /* a marker */ };
	static const uint64_t buckets[] = {1, 2, 3};
	static const double bounds[] = {1, 2};

	(void)state;
	for (size_t fails_at = 1; fails_at <= SAMPLES; fails_at++) {
		struct received *received = receive(&none);
		struct snapshot snapshot;

		for (int64_t time_ms = 1000; time_ms <= 2000; time_ms += 1000) {
			received->fails_at = time_ms == 2000 ? fails_at : 0;
			snapshot_init(&snapshot, time_ms);
			add(&snapshot, &requests, "code", "200", 1);
			add(&snapshot, &requests, "code", "201", 1);
			add_histogram(&snapshot, bounds, 2, buckets, 1);
			if (time_ms == 1000)
				add(&snapshot, &open_files, "pid", "1", 1);
			else
				add(&snapshot, &open_files, "pid", "2", 1);
			assert_int_equal(walk(received, &snapshot),
					 time_ms == 2000 ? -EIO : 0);
		}
		received->fails_at = 0;
		snapshot_init(&snapshot, 3000);
		assert_int_equal(walk(received, &snapshot), 0);
		assert_int_equal(received->count, SERIES);
		/* The third sample was the first one's marker. */
		assert_string_equal(received->series[2].text,
				    fails_at <= 3 ? "__name__=open_files pid=1"
						  : "__name__=open_files pid=2");
		for (size_t i = 0; i < received->count; i++)
			assert_int_equal(received->series[i].bits, STALE);
		snapshot_init(&snapshot, 4000);
		assert_int_equal(walk(received, &snapshot), 0);
		assert_int_equal(received->count, 0);
		end(received);
	}
}

static void what_a_failed_walk_left_out_keeps_its_start(void **state)
{
	static const char *const codes[] = {"200", "404", "500"};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	received->start_ms = DAY - 500;
	collect_starts(received, DAY, codes, 1);
	received->fails_at = 2;
	snapshot_init(&snapshot, DAY + 1000);
	for (size_t i = 0; i < 3; i++)
		add(&snapshot, &requests, "code", codes[i], 1);
	assert_int_equal(walk(received, &snapshot), -EIO);
	received->fails_at = 0;
	collect_starts(received, DAY + 2000, codes, 3);
	assert_int_equal(received->series[0].start_ms, DAY - 500);
	assert_int_equal(received->series[1].start_ms, DAY);
	assert_int_equal(received->series[2].start_ms, DAY);
	end(received);
}

/* A rule that was changed: its bounds are others, its labels the same. */
static void bounds_that_changed_are_remembered_as_they_are_now(void **state)
{
	static const double before[] = {1, 2}, after[] = {3};
	static const uint64_t buckets[] = {1, 2, 3};
	struct received *received = receive(&none);
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 1000);
	add_histogram(&snapshot, before, 2, buckets, 1);
	assert_int_equal(walk(received, &snapshot), 0);
	snapshot_init(&snapshot, 2000);
	add_histogram(&snapshot, after, 1, buckets, 1);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	assert_string_equal(received->series[0].text,
			    "__name__=duration_seconds_bucket code=200 le=3.0");
	snapshot_init(&snapshot, 3000);
	assert_int_equal(walk(received, &snapshot), 0);
	assert_int_equal(received->count, 4);
	expect(received, 0, "__name__=duration_seconds_bucket code=200 le=3.0", STALE,
	       3000);
	end(received);
}

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

/* Every series that is not there now but was last time, and no other. */
static void markers_match_the_difference_of_random_snapshots(void **state)
{
	enum { SERIES = 40, ROUNDS = 60 };
	struct received *received = receive(&none);
	unsigned int seed = 20240229;
	uint64_t was = 0;

	(void)state;
	print_message("seed %u\n", seed);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t is = 0;
		struct snapshot snapshot;
		size_t marked = 0, sent = 0;

		snapshot_init(&snapshot, 1000 + round);
		for (int i = 0; i < SERIES; i++) {
			char *name = snapshot_alloc(&snapshot, 16);

			snprintf(name, 16, "%d", i);
			if (next_random(&seed) % 3)
				continue;
			is |= 1ull << i;
			add(&snapshot, i % 2 ? &requests : &open_files, "i", name, 1);
		}
		assert_int_equal(walk(received, &snapshot), 0);
		for (size_t j = 0; j < received->count; j++) {
			int i = atoi(strrchr(received->series[j].text, '=') + 1);
			bool stale = received->series[j].bits == STALE;

			assert_true(stale ? was >> i & 1 && !(is >> i & 1)
					  : is >> i & 1);
			marked += stale;
			sent += !stale;
		}
		assert_int_equal(sent, __builtin_popcountll(is));
		assert_int_equal(marked, __builtin_popcountll(was & ~is));
		was = is;
	}
	end(received);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_type_has_its_names_and_its_value),
	    cmocka_unit_test(buckets_are_cumulative_with_canonical_bounds),
	    cmocka_unit_test(a_summary_is_a_series_per_quantile_a_sum_and_a_count),
	    cmocka_unit_test(bounds_and_quantiles_of_equal_values_keep_their_labels),
	    cmocka_unit_test(labels_are_sorted_by_byte_and_external_ones_fill_gaps),
	    cmocka_unit_test(a_series_that_vanished_is_marked_stale_once),
	    cmocka_unit_test(an_empty_snapshot_marks_everything_stale_once),
	    cmocka_unit_test(no_value_looks_like_a_stale_marker),
	    cmocka_unit_test(only_what_is_cumulative_has_a_start),
	    cmocka_unit_test(what_appears_later_starts_at_the_collection_before),
	    cmocka_unit_test(a_counter_may_have_a_start_of_its_own),
	    cmocka_unit_test(a_start_is_before_its_sample_or_unknown),
	    cmocka_unit_test(a_start_is_not_within_an_earlier_life),
	    cmocka_unit_test(native_counts_are_one_more_series_and_end_with_the_others),
	    cmocka_unit_test(a_metric_that_was_added_twice_is_sent_once),
	    cmocka_unit_test(a_broken_snapshot_ends_no_series),
	    cmocka_unit_test(a_sink_that_fails_loses_no_marker),
	    cmocka_unit_test(what_a_failed_walk_left_out_keeps_its_start),
	    cmocka_unit_test(bounds_that_changed_are_remembered_as_they_are_now),
	    cmocka_unit_test(markers_match_the_difference_of_random_snapshots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
