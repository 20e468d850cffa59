/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collection is walked once; each endpoint makes of its samples what its receiver
 * wants, and puts it into its lane of the spool: one transaction for all of them. What
 * was scraped comes between, a target at a time: a collection stays open for it, for
 * a second at most, so that many targets cost one transaction.
 */
#include "push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "endpoint.h"
#include "endpoint_metrics.h"
#include "log.h"
#include "samples.h"
#include "slice.h"
#include "spool.h"
#include "timeline.h"

#define HOST_LEN 256
#define MEMORY_BYTES_MAX (64ull << 20) /* of what no disk takes */
#define OPEN_MS 1000                   /* as long as a collection waits for more */
#define OPEN_SAMPLES_MAX 50000         /* and as much, in memory, encoded */

struct push {
	struct loop *loop;
	const struct config *config;
	struct client *client;
	struct spool *spool;
	struct samples *samples;
	char host[HOST_LEN];         /* what the label instance says */
	struct config_labels labels; /* strings are the configuration's, or that */
	struct endpoint **endpoints;
	size_t endpoint_count;
	const struct family **families; /* of the collection that is walked */
	size_t family_count;
	size_t family_capacity;
	struct timeline timeline; /* of all that is sent */
	struct loop_timer *commit_timer;
	uint64_t collection; /* number of the open one, or the next */
	bool is_open;
	size_t open_samples; /* scraped ones in it */
	int64_t newest_ms;   /* that anything was stamped with, of any */
	bool is_durable;
	uint64_t flush_end_ms; /* 0: no flush is running */
	bool is_ended;         /* the markers are out: nothing may come after them */
};

/* --- collecting ----------------------------------------------------------------- */

static int note_family(struct push *push, const struct family *family)
{
	if (push->family_count && push->families[push->family_count - 1] == family)
		return 0;
	if (push->family_count == push->family_capacity) {
		size_t capacity =
		    push->family_capacity ? push->family_capacity * 2 : 64;
		const struct family **families =
		    reallocarray(push->families, capacity, sizeof(*families));

		if (!families)
			return -ENOMEM;
		push->families = families;
		push->family_capacity = capacity;
	}
	push->families[push->family_count++] = family;
	return 0;
}

/* What a slow target answered is older than what went out meanwhile. */
static void note_time(struct push *push, int64_t time_ms)
{
	if (time_ms > push->newest_ms ||
	    push->newest_ms - time_ms > TIMELINE_FOLLOWED_MS)
		push->newest_ms = time_ms;
}

/* An endpoint's error is its own: it keeps it until its finish. */
static int on_begin(void *context, const struct sample_metric *metric)
{
	struct push *push = context;

	note_time(push, metric->time_ms);
	for (size_t i = 0; i < push->endpoint_count; i++)
		endpoint_begin(push->endpoints[i], metric);
	return note_family(push, metric->metric->family);
}

static int on_sample(void *context, const struct sample *sample)
{
	struct push *push = context;

	for (size_t i = 0; i < push->endpoint_count; i++)
		endpoint_add(push->endpoints[i], sample);
	return 0;
}

/* boot_ms 0: unknown. */
static void open_collection(struct push *push, int64_t now_ms, int64_t boot_ms)
{
	if (push->is_open)
		return;
	if (boot_ms)
		spool_see_clocks(push->spool, now_ms, boot_ms);
	spool_begin(push->spool, now_ms);
	push->is_open = true;
	push->open_samples = 0;
	push->family_count = 0;
	loop_timer_arm(push->commit_timer, OPEN_MS, 0);
}

/* Of the name that its samples have: ours have a suffix that a scraped one has in its
 * name already. */
static unsigned char byte_at(const struct family *family, size_t len, size_t i)
{
	const char *text = i < len ? family->name + i : family_suffix(family) + i - len;

	return (unsigned char)*text;
}

static int compare_families(const void *a, const void *b)
{
	const struct family *left = *(const struct family *const *)a;
	const struct family *right = *(const struct family *const *)b;
	const size_t left_len = strlen(left->name), right_len = strlen(right->name);
	int order = 0;

	for (size_t i = 0; !order; i++) {
		order = byte_at(left, left_len, i) - byte_at(right, right_len, i);
		if (!byte_at(left, left_len, i))
			break;
	}
	return order;
}

/* Several targets have the same: one of them speaks for all. */
static void drop_equal_families(struct push *push)
{
	size_t kept = 0;

	if (!push->open_samples || !push->family_count)
		return;
	qsort(push->families, push->family_count, sizeof(struct family *),
	      compare_families);
	for (size_t i = 1; i < push->family_count; i++) {
		if (compare_families(&push->families[kept], &push->families[i]))
			push->families[++kept] = push->families[i];
	}
	push->family_count = kept + 1;
}

/* Also what there is of a collection that failed half-way. */
static int close_collection(struct push *push, int64_t now_ms, bool is_end)
{
	int err = 0;

	drop_equal_families(push);
	for (size_t i = 0; i < push->endpoint_count; i++) {
		struct endpoint *endpoint = push->endpoints[i];
		int failed = endpoint_add_metadata(endpoint, push->families,
						   push->family_count, now_ms);

		if (!failed)
			failed = endpoint_finish(endpoint);
		err = err ? err : failed;
	}
	if (push->newest_ms)
		spool_set_time(push->spool, push->newest_ms);
	spool_commit(push->spool, is_end);
	loop_timer_disarm(push->commit_timer);
	push->is_open = false;
	push->collection++;
	for (size_t i = 0; i < push->endpoint_count; i++)
		endpoint_send(push->endpoints[i], is_end);
	return err;
}

static int enqueue(struct push *push, const struct snapshot *snapshot, bool is_end)
{
	const struct samples_sink sink = {on_begin, on_sample, push};
	int64_t time_ms;
	int err, failed;

	if (!push->endpoint_count || push->is_ended)
		return 0;
	time_ms = timeline_after(&push->timeline, snapshot->time_ms, snapshot->boot_ms);
	open_collection(push, snapshot->time_ms, snapshot->boot_ms);
	err = samples_walk(push->samples, snapshot, time_ms, &sink);
	failed = close_collection(push, snapshot->time_ms, is_end);
	return err ? err : failed;
}

int push_collect(struct push *push, const struct snapshot *snapshot)
{
	return enqueue(push, snapshot, false);
}

/* --- what was scraped ------------------------------------------------------------- */

int64_t push_time_ms(struct push *push)
{
	return timeline_next(&push->timeline, clock_ms(CLOCK_REALTIME),
			     clock_ms(CLOCK_BOOTTIME));
}

uint64_t push_collection(const struct push *push)
{
	return push->collection;
}

void push_commit(struct push *push)
{
	int err;

	if (!push->is_open)
		return;
	err = close_collection(push, clock_ms(CLOCK_REALTIME), false);
	if (err)
		log_error("cannot encode what was scraped for receivers: %s",
			  strerror(-err));
}

struct spool *push_spool(const struct push *push)
{
	return push->spool;
}

void push_send(struct push *push)
{
	for (size_t i = 0; i < push->endpoint_count; i++)
		endpoint_send(push->endpoints[i], false);
}

static void on_commit(void *context)
{
	push_commit(context);
}

static bool accept_scraped(struct push *push, int64_t stamp_ms)
{
	if (!push->endpoint_count || push->is_ended)
		return false;
	open_collection(push, clock_ms(CLOCK_REALTIME), clock_ms(CLOCK_BOOTTIME));
	note_time(push, stamp_ms);
	return true;
}

static void note_scraped(struct push *push)
{
	if (++push->open_samples >= OPEN_SAMPLES_MAX)
		push_commit(push);
}

void push_add(struct push *push, const struct sample *sample, int64_t stamp_ms)
{
	if (!accept_scraped(push, stamp_ms))
		return;
	on_sample(push, sample);
	/* Only what its help says would be missing. */
	if (*sample->family->name)
		note_family(push, sample->family);
	note_scraped(push);
}

bool push_wants_metrics(const struct push *push)
{
	for (size_t i = 0; i < push->endpoint_count; i++) {
		if (endpoint_is_otlp(push->endpoints[i]))
			return true;
	}
	return false;
}

void push_add_metric(struct push *push, const struct sample_metric *metric,
		     int64_t stamp_ms)
{
	if (!accept_scraped(push, stamp_ms))
		return;
	for (size_t i = 0; i < push->endpoint_count; i++) {
		if (endpoint_is_otlp(push->endpoints[i]))
			endpoint_begin(push->endpoints[i], metric);
	}
	note_scraped(push);
}

/* --- flushing -------------------------------------------------------------------- */

/* Whether anything can be sent before the flush ends: not by an endpoint that was
 * told to wait for longer. */
static bool is_flush_useful(const struct push *push)
{
	for (size_t i = 0; i < push->endpoint_count; i++) {
		if (endpoint_is_busy(push->endpoints[i], push->flush_end_ms))
			return true;
	}
	return false;
}

static void on_settled(void *context)
{
	struct push *push = context;

	if (push->flush_end_ms && !is_flush_useful(push))
		loop_stop(push->loop);
}

static void on_deadline(void *context)
{
	loop_stop(context);
}

static int run_until_sent(struct push *push, uint64_t deadline_ms)
{
	CLEANUP(loop_timer_free) struct loop_timer *deadline = NULL;
	int err = loop_timer_create(push->loop, on_deadline, push->loop, &deadline);

	if (!err)
		err = loop_timer_arm(deadline, deadline_ms, 0);
	if (err)
		return err;
	push->flush_end_ms = (uint64_t)clock_ms(CLOCK_MONOTONIC) + deadline_ms;
	if (is_flush_useful(push))
		err = loop_run(push->loop);
	push->flush_end_ms = 0;
	return err;
}

static void tell_leftover(const struct push *push)
{
	for (size_t i = 0; i < push->endpoint_count; i++) {
		const struct endpoint *endpoint = push->endpoints[i];
		const char *title = endpoint_title(endpoint), *thing;
		struct spool_waiting waiting;
		bool is_one;

		endpoint_waiting(endpoint, &waiting);
		thing = endpoint_thing(endpoint, waiting.samples);
		is_one = waiting.samples == 1;
		if (waiting.samples && push->is_durable)
			log_info("%s: %llu %s %s in %s for the next start", title,
				 (unsigned long long)waiting.samples, thing,
				 is_one ? "waits" : "wait",
				 push->config->spool.directory);
		else if (waiting.samples)
			log_warning("%s: %llu %s %s not sent before the end", title,
				    (unsigned long long)waiting.samples, thing,
				    is_one ? "was" : "were");
	}
}

void push_flush(struct push *push, uint64_t deadline_ms)
{
	struct snapshot nothing;
	int err;

	snapshot_init(&nothing, clock_ms(CLOCK_REALTIME));
	nothing.boot_ms = clock_ms(CLOCK_BOOTTIME);
	err = enqueue(push, &nothing, true);
	snapshot_free(&nothing);
	push->is_ended = true;
	if (!err && push->endpoint_count)
		err = run_until_sent(push, deadline_ms);
	if (err)
		log_error("cannot flush what waits for receivers: %s",
			  strerrorname_np(-err));
	tell_leftover(push);
}

/* --- making ---------------------------------------------------------------------- */

static void add_default(struct config_labels *labels,
			const struct config_labels *external, const char *name,
			char *value)
{
	if (!config_label(external, name))
		labels->items[labels->count++] =
		    (struct config_label){(char *)name, value};
}

/* Pushed series need the two labels that a scrape would have given them. */
static int make_labels(struct push *push)
{
	const struct config_labels *external = &push->config->external_labels;
	struct config_labels *labels = &push->labels;
	char host[HOST_LEN] = "";

	labels->items = calloc(external->count + 2, sizeof(*labels->items));
	if (!labels->items)
		return -ENOMEM;
	if (gethostname(host, sizeof(host) - 1))
		return -errno;
	/* sethostname(2) takes any bytes; receivers refuse what is not UTF-8. */
	slice_to_label(slice_of(host), push->host, sizeof(push->host));
	if (external->count)
		memcpy(labels->items, external->items,
		       external->count * sizeof(*labels->items));
	labels->count = external->count;
	add_default(labels, external, "job", (char *)"bpftally");
	add_default(labels, external, "instance", push->host);
	return 0;
}

/* The default directory may be impossible, in a container for example: that must not
 * stop what else there is to do. One that was asked for must work. */
static int open_spool(struct push *push)
{
	const struct config_spool *config = &push->config->spool;
	struct spool_config spool = {
	    .directory = config->directory,
	    .bytes_max = config->bytes_max,
	    .memory_bytes_max = MEMORY_BYTES_MAX,
	    .age_max_ms = config->age_max_ms,
	};
	char error[SPOOL_ERROR_LEN];
	int64_t now_ms = clock_ms(CLOCK_REALTIME);
	int err = spool_open(&spool, now_ms, &push->spool, error);

	if (err && spool.directory && !config->is_given) {
		log_warning(
		    "%s; what waits for receivers is in memory, lost at the end "
		    "(--state-dir)",
		    error);
		spool.directory = NULL;
		err = spool_open(&spool, now_ms, &push->spool, error);
	} else if (!err && !spool.directory) {
		log_info("what waits for receivers is in memory, lost at the end "
			 "(--state-dir off)");
	}
	if (err)
		log_error("cannot use the state directory (--state-dir): %s", error);
	push->is_durable = spool.directory;
	return err;
}

static int make_endpoint(struct push *push, const struct endpoint_config *config)
{
	int err =
	    endpoint_create(push->loop, push->client, push->spool, config, on_settled,
			    push, &push->endpoints[push->endpoint_count]);

	push->endpoint_count += !err;
	return err;
}

static size_t count_receivers(const struct config *config)
{
	return config->remote_write_count + config->otlp_count +
	       config->loki_write_count;
}

static int make_writes(struct push *push)
{
	const struct config *config = push->config;
	int err = 0;

	for (size_t i = 0; !err && i < config->remote_write_count; i++) {
		const struct endpoint_config endpoint = {
		    .remote_write = &config->remote_writes[i],
		};

		err = make_endpoint(push, &endpoint);
	}
	for (size_t i = 0; !err && i < config->loki_write_count; i++) {
		const struct endpoint_config endpoint = {
		    .loki_write = &config->loki_writes[i],
		};

		err = make_endpoint(push, &endpoint);
	}
	return err;
}

static int make_endpoints(struct push *push)
{
	const struct config *config = push->config;
	int err;

	push->endpoints = calloc(count_receivers(config), sizeof(*push->endpoints));
	if (!push->endpoints)
		return -ENOMEM;
	err = make_writes(push);
	for (size_t i = 0; !err && i < config->otlp_count; i++) {
		const struct endpoint_config endpoint = {
		    .otlp = &config->otlps[i],
		    .labels = &push->labels,
		};

		err = make_endpoint(push, &endpoint);
	}
	return err;
}

/* What an earlier life could not send is sent now. */
static int start_delivery(struct push *push)
{
	int err = client_create(push->loop, &push->client);
	int64_t last_ms;

	if (!err)
		err = make_labels(push);
	if (!err)
		err = samples_create(&push->labels, &push->samples);
	if (!err)
		err =
		    loop_timer_create(push->loop, on_commit, push, &push->commit_timer);
	if (!err)
		err = make_endpoints(push);
	if (err) {
		log_error("cannot start sending: %s", strerror(-err));
		return err;
	}
	last_ms = spool_last_time_ms(push->spool);
	samples_continue(push->samples, last_ms);
	timeline_continue(&push->timeline, last_ms);
	push->newest_ms = last_ms;
	spool_orphans(push->spool, endpoint_tell_orphan, NULL);
	for (size_t i = 0; i < push->endpoint_count; i++)
		endpoint_send(push->endpoints[i], false);
	return 0;
}

int push_create(struct loop *loop, const struct config *config, struct push **ret_push)
{
	CLEANUP(push_free) struct push *push = calloc(1, sizeof(*push));
	int err = 0;

	if (!push)
		return -ENOMEM;
	push->loop = loop;
	push->config = config;
	/* Without endpoints nothing is sent, and libcurl costs nothing. */
	if (count_receivers(config))
		err = open_spool(push);
	if (!err && push->spool)
		err = start_delivery(push);
	if (err)
		return err;
	*ret_push = TAKE(push);
	return 0;
}

void push_free(struct push **push)
{
	if (!*push)
		return;
	for (size_t i = 0; i < (*push)->endpoint_count; i++)
		endpoint_free(&(*push)->endpoints[i]);
	free((*push)->endpoints);
	client_free(&(*push)->client);
	samples_free(&(*push)->samples);
	loop_timer_free(&(*push)->commit_timer);
	spool_close(&(*push)->spool);
	free((*push)->families);
	free((*push)->labels.items);
	free(*push);
	*push = NULL;
}

/* --- about itself -------------------------------------------------------------- */

void push_describe(const struct push *push, struct snapshot *snapshot)
{
	for (size_t i = 0; i < push->endpoint_count; i++)
		endpoint_describe(push->endpoints[i], snapshot);
}

static const struct family up = {"up",
				 "Whether the collection worked: it is not sent else.",
				 "", METRIC_GAUGE, 1100};
static const struct family scrape_duration = {"scrape_duration_seconds",
					      "How long the collection took.",
					      "seconds", METRIC_GAUGE, 1101};
static const struct family scrape_samples = {
    "scrape_samples_scraped", "Samples of the collection, but for these.", "",
    METRIC_GAUGE, 1102};

static size_t count_samples(const struct metric *metric)
{
	switch (metric->family->type) {
	case METRIC_HISTOGRAM:
		return metric->histogram.bound_count + 3;
	case METRIC_SUMMARY:
		return metric->summary.count + 2;
	case METRIC_COUNTER:
	case METRIC_GAUGE:
	case METRIC_INFO:
	case METRIC_UNKNOWN:
	case METRIC_GAUGE_HISTOGRAM:
	case METRIC_STATE_SET:
		break;
	}
	return 1;
}

void push_describe_collection(struct snapshot *snapshot, double duration_s)
{
	const struct label_set none = {0};
	size_t samples = 0;

	for (size_t i = 0; i < snapshot->count; i++)
		samples += count_samples(&snapshot->metrics[i]);
	snapshot_value(snapshot, &up, none, 1);
	snapshot_value(snapshot, &scrape_duration, none, duration_s);
	snapshot_value(snapshot, &scrape_samples, none, (double)samples);
}
