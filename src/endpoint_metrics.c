/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_metrics.h"

#include "protocol.h"
#include "spool.h"

enum {
	SAMPLES,
	SAMPLES_FAILED,
	SAMPLES_DROPPED,
	SAMPLES_RETRIED,
	SAMPLES_PENDING,
	BYTES_PENDING,
	BYTES,
	LAST_DURATION,
	HIGHEST_SENT,
	FAMILIES
};

/* What is counted is a sample to one, a data point or a log entry to others. */
#define DESCRIBED(prefix, thing, Things, position)                                     \
	{                                                                              \
		[SAMPLES] = {prefix thing, Things " that the endpoint accepted.", "",  \
			     METRIC_COUNTER, position},                                \
		[SAMPLES_FAILED] = {prefix thing "_failed",                            \
				    Things " that the endpoint refused for good.", "", \
				    METRIC_COUNTER, (position) + 1},                   \
		[SAMPLES_DROPPED] = {prefix thing "_dropped",                          \
				     Things " that were given up before they were "    \
					    "sent, by reason.",                        \
				     "", METRIC_COUNTER, (position) + 2},              \
		[SAMPLES_RETRIED] = {prefix thing "_retried",                          \
				     Things " in requests that failed and are sent "   \
					    "again.",                                  \
				     "", METRIC_COUNTER, (position) + 3},              \
		[SAMPLES_PENDING] = {prefix thing "_pending",                          \
				     Things " that wait to be sent or are on their "   \
					    "way.",                                    \
				     "", METRIC_GAUGE, (position) + 4},                \
		[BYTES_PENDING] = {prefix "pending_bytes",                             \
				   "Bytes that wait, as they will be sent.", "bytes",  \
				   METRIC_GAUGE, (position) + 5},                      \
		[BYTES] = {prefix "bytes",                                             \
			   "Bytes that the endpoint accepted, as sent.", "bytes",      \
			   METRIC_COUNTER, (position) + 6},                            \
		[LAST_DURATION] = {prefix "last_request_duration_seconds",             \
				   "How long the last request took, successful or "    \
				   "not.",                                             \
				   "seconds", METRIC_GAUGE, (position) + 7},           \
		[HIGHEST_SENT] = {prefix "highest_sent_timestamp_seconds",             \
				  "Time of the newest that the endpoint accepted, 0 "  \
				  "if none.",                                          \
				  "seconds", METRIC_GAUGE, (position) + 8},            \
	}

static const struct family write_families[FAMILIES] =
    DESCRIBED("bpftally_remote_write_", "samples", "Samples", 1000);
static const struct family otlp_families[FAMILIES] =
    DESCRIBED("bpftally_otlp_", "data_points", "Data points", 1020);
static const struct family loki_families[FAMILIES] =
    DESCRIBED("bpftally_loki_write_", "entries", "Log entries", 1040);

static const struct family *families_of(const struct endpoint *endpoint)
{
	const struct protocol *protocol = endpoint_protocol(endpoint);

	if (protocol == &protocol_otlp)
		return otlp_families;
	return protocol == &protocol_loki ? loki_families : write_families;
}

static void describe_dropped(const struct endpoint *endpoint,
			     const struct family *family,
			     const struct spool_waiting *waiting,
			     struct label labels[static 3], struct snapshot *snapshot)
{
	const struct {
		const char *reason;
		uint64_t samples;
	} dropped[] = {
	    {"too_old", waiting->dropped[SPOOL_TOO_OLD]},
	    {"spool_full", waiting->dropped[SPOOL_FULL]},
	    {"corrupt", waiting->dropped[SPOOL_CORRUPT]},
	    {"relabel_failed", endpoint_counters(endpoint)->unrelabelled},
	};
	/* The last one is of remote_write alone. */
	size_t count = sizeof(dropped) / sizeof(dropped[0]) -
		       (family != &write_families[SAMPLES_DROPPED]);

	for (size_t i = 0; i < count; i++) {
		labels[2] = (struct label){"reason", dropped[i].reason};
		snapshot_value(snapshot, family, snapshot_labels(snapshot, labels, 3),
			       (double)dropped[i].samples);
	}
}

void endpoint_describe(const struct endpoint *endpoint, struct snapshot *snapshot)
{
	const struct family *families = families_of(endpoint);
	const struct endpoint_counters *counters = endpoint_counters(endpoint);
	struct label labels[3] = {
	    {"remote_name", endpoint_name(endpoint)},
	    {"url", endpoint_shown_url(endpoint)},
	};
	struct label_set set = snapshot_labels(snapshot, labels, 2);
	struct spool_waiting waiting;
	double values[FAMILIES];

	endpoint_waiting(endpoint, &waiting);
	values[SAMPLES] = (double)counters->samples;
	values[SAMPLES_FAILED] = (double)counters->failed;
	values[SAMPLES_RETRIED] = (double)counters->retried;
	values[SAMPLES_PENDING] = (double)waiting.samples;
	values[BYTES_PENDING] = (double)waiting.bytes;
	values[BYTES] = (double)counters->bytes;
	values[LAST_DURATION] = counters->last_duration_s;
	values[HIGHEST_SENT] = (double)counters->highest_sent_ms / 1000;
	for (size_t i = 0; i < FAMILIES; i++) {
		if (i != SAMPLES_DROPPED)
			snapshot_value(snapshot, &families[i], set, values[i]);
	}
	describe_dropped(endpoint, &families[SAMPLES_DROPPED], &waiting, labels,
			 snapshot);
}
