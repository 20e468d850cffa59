/* SPDX-License-Identifier: Apache-2.0 */
#include "scrape_report.h"

#include <string.h>

#define REPORTS 5
#define REPORT(metric, what, of)                                                       \
	{                                                                              \
		.name = (metric), .help = (what), .unit = (of), .type = METRIC_GAUGE,  \
		.order = FAMILY_SCRAPED                                                \
	}

static const struct family reports[REPORTS] = {
    REPORT("up", "Whether the target could be scraped.", ""),
    REPORT("scrape_duration_seconds", "How long the scrape took.", "seconds"),
    REPORT("scrape_samples_scraped", "Samples that the target exposed.", ""),
    REPORT("scrape_samples_post_metric_relabeling",
	   "Samples that were left after metric_relabel_configs.", ""),
    REPORT("scrape_series_added", "Series that were not in the scrapes before.", ""),
};

bool scrape_report_has(const char *name)
{
	for (size_t i = 0; i < REPORTS; i++)
		if (!strcmp(name, reports[i].name))
			return true;
	return false;
}

static int report(struct scrape_labels *labels, const uint64_t *bits, int64_t time_ms,
		  const struct scrape_series_sink *sink)
{
	int err = 0;

	for (size_t i = 0; i < REPORTS && !err; i++) {
		struct label_set set;
		struct sample sample = {
		    .family = &reports[i],
		    .time_ms = time_ms,
		    .bits = bits ? bits[i] : SAMPLE_STALE,
		};

		err = scrape_labels_report(labels, reports[i].name, &set);
		if (err)
			break;
		sample.labels = set.labels;
		sample.label_count = set.count;
		err = sink->add(sink->context, &sample);
	}
	return err;
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

int scrape_report_add(struct scrape_labels *labels,
		      const struct scrape_series_result *result, double duration_s,
		      int64_t time_ms, const struct scrape_series_sink *sink)
{
	const uint64_t bits[REPORTS] = {
	    bits_of(result->is_up),           bits_of(duration_s),
	    bits_of((double)result->scraped), bits_of((double)result->relabeled),
	    bits_of((double)result->added),
	};

	return report(labels, bits, time_ms, sink);
}

int scrape_report_end(struct scrape_labels *labels, int64_t time_ms,
		      const struct scrape_series_sink *sink)
{
	return report(labels, NULL, time_ms, sink);
}
