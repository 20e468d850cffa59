/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of a directory make files due; due files are read in turns, 1 MiB a turn of
 * the loop; entries gather in a batch, which goes into the spool when it is full, or a
 * second after its first entry.
 */
#include "logs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "log_auto.h"
#include "log_batch.h"
#include "log_files.h"
#include "log_index.h"
#include "log_room.h"
#include "log_rule.h"
#include "log_watch.h"

#define BATCH_BYTES ((size_t)1 << 20)
#define FLUSH_MS 1000
#define PAUSE_MS 100    /* events that come meanwhile are read together */
#define BLOCKED_MS 100  /* how often it is asked whether there is room again */
#define TICK_MS 250     /* after something happened */
#define SAFETY_MS 60000 /* looks at everything: not all that happens has an event */
#define AUTO_MS 10000
#define SCAN_MIN_MS 250
#define SCAN_SHARE 20 /* of the time, a 20th at most */
#define OPEN_MAX 512u
#define FUTURE_NS 600000000000 /* Loki takes nothing that is later than so */
#define ORDER 1060
#define ORDER_OF_COUNTERS 2000
#define KEY_TIME "log_time_ns"
#define KEY_SCAN "log_scan_ns"

struct logs {
	struct loop *loop;
	struct logs_config config;
	struct log_rule *rules;
	size_t rule_count;
	struct log_room *room;
	struct log_watch *watch;
	struct log_files *files;
	struct log_batch *batch;
	struct loop_timer *turn_timer, *flush_timer, *tick_timer, *pause_timer,
	    *scan_timer, *auto_timer, *walk_timer;
	struct log_auto *walk; /* NULL: no rule is `auto` */
	int64_t now_ns;        /* wall clock, of this turn */
	int64_t last_ns;       /* of the last entry */
	int64_t scanned_ms, scan_took_ms;
	int64_t checked_ms; /* when everything was looked at */
	bool is_flush_armed, is_tick_short, is_scan_armed;
	bool is_stopped;
};

/* --- batches ------------------------------------------------------------------ */

/* The batch and the positions behind it, in one transaction. */
static void flush(struct logs *logs)
{
	struct wire_batch *batch = NULL;
	int err =
	    log_batch_lines(logs->batch) ? log_batch_finish(logs->batch, &batch) : 0;

	if (err) {
		log_error("cannot encode log lines: %s; tried again", strerror(-err));
		return;
	}
	if (!batch && !log_files_is_dirty(logs->files))
		return;
	logs->config.begin(logs->config.context);
	spool_see_clocks(logs->config.spool, clock_ms(CLOCK_REALTIME),
			 clock_ms(CLOCK_BOOTTIME));
	spool_begin(logs->config.spool, clock_ms(CLOCK_REALTIME));
	if (batch)
		log_room_put(logs->room, batch);
	log_files_note(logs->files);
	if (spool_set(logs->config.spool, NULL, KEY_TIME, logs->last_ns) ||
	    spool_set(logs->config.spool, NULL, KEY_SCAN, log_files_since(logs->files)))
		log_warning("no memory to remember the time of the last line");
	spool_commit(logs->config.spool, false);
	log_room_committed(logs->room);
	logs->config.committed(logs->config.context);
}

static void on_flush(void *context)
{
	struct logs *logs = context;

	logs->is_flush_armed = false;
	flush(logs);
}

static void arm_flush(struct logs *logs)
{
	if (logs->is_flush_armed ||
	    (!log_batch_lines(logs->batch) && !log_files_is_dirty(logs->files)))
		return;
	logs->is_flush_armed = true;
	loop_timer_arm(logs->flush_timer, FLUSH_MS, 0);
}

/* Later than all before, also in an earlier life; a clock that was set back by much was
 * wrong before. */
static int64_t next_time(struct logs *logs)
{
	if (logs->last_ns - logs->now_ns > FUTURE_NS) {
		log_warning("the clock was set back: times of log lines go back, too");
		logs->last_ns = 0;
	}
	logs->last_ns = logs->now_ns > logs->last_ns ? logs->now_ns : logs->last_ns + 1;
	return logs->last_ns;
}

static void on_entry(void *context, struct log_file *file,
		     const struct log_entry *entry)
{
	struct logs *logs = context;
	struct log_totals *totals = &file->rule->totals;
	int err;

	if (!log_rule_takes(file->rule, entry->text))
		return;
	if (!log_batch_has_room(logs->batch, entry->text.len))
		flush(logs);
	err = log_batch_add(logs->batch, file->labels, &file->place, next_time(logs),
			    entry->text);
	if (err) {
		log_error("no memory for a line of \"%s\"", file->name);
		totals->dropped++;
		return;
	}
	totals->lines++;
	totals->bytes += entry->text.len;
	totals->cut += entry->is_cut;
}

/* --- turns -------------------------------------------------------------------- */

static struct log_sink sink_of(struct logs *logs)
{
	logs->now_ns = clock_ns(CLOCK_REALTIME);
	return (struct log_sink){
	    .entry = on_entry,
	    .context = logs,
	    .now_ms = clock_ms(CLOCK_MONOTONIC),
	};
}

static void arm_scan(struct logs *logs)
{
	int64_t since_ms = clock_ms(CLOCK_MONOTONIC) - logs->scanned_ms;
	int64_t delay_ms = logs->scan_took_ms * SCAN_SHARE;

	if (logs->is_scan_armed || !log_files_wants_scan(logs->files))
		return;
	if (delay_ms < SCAN_MIN_MS)
		delay_ms = SCAN_MIN_MS;
	delay_ms = delay_ms > since_ms ? delay_ms - since_ms : 0;
	logs->is_scan_armed = true;
	loop_timer_arm(logs->scan_timer, (uint64_t)delay_ms, 0);
}

static void arm_tick(struct logs *logs)
{
	if (logs->is_tick_short)
		return;
	logs->is_tick_short = true;
	loop_timer_arm(logs->tick_timer, TICK_MS, 0);
}

/* After anything that may have left something to do. */
static void go_on(struct logs *logs, uint64_t turn_delay_ms)
{
	if (logs->is_stopped)
		return;
	loop_timer_arm(logs->turn_timer, turn_delay_ms, 0);
}

static void on_turn(void *context)
{
	struct logs *logs = context;
	const struct log_sink sink = sink_of(logs);
	bool is_more;

	if (!log_room_is_there(logs->room, sink.now_ms))
		return go_on(logs, BLOCKED_MS);
	is_more = log_files_turn(logs->files, &sink);
	arm_flush(logs);
	arm_scan(logs);
	arm_tick(logs);
	if (is_more)
		go_on(logs, 0);
	else if (log_room_is_behind(logs->room))
		go_on(logs, BLOCKED_MS);
}

static void on_tick(void *context)
{
	struct logs *logs = context;
	const struct log_sink sink = sink_of(logs);
	uint64_t delay_ms = log_files_tick(logs->files, &sink);
	uint64_t left_ms;

	if (sink.now_ms - logs->checked_ms >= SAFETY_MS) {
		log_files_check(logs->files);
		logs->checked_ms = sink.now_ms;
	}
	left_ms = (uint64_t)(logs->checked_ms + SAFETY_MS - sink.now_ms);
	if (!delay_ms || delay_ms > left_ms)
		delay_ms = left_ms;
	logs->is_tick_short = delay_ms <= TICK_MS;
	loop_timer_arm(logs->tick_timer, delay_ms, 0);
	arm_flush(logs);
	arm_scan(logs);
	if (log_files_is_due(logs->files))
		go_on(logs, 0);
}

static void on_event(void *context, enum log_event event, const char *directory,
		     const char *name)
{
	struct logs *logs = context;

	switch (event) {
	case LOG_EVENT_WRITTEN:
		log_files_written(logs->files, directory, name);
		break;
	case LOG_EVENT_NAMES:
		log_files_want_scan(logs->files);
		break;
	case LOG_EVENT_LOST:
		log_files_look_at_all(logs->files);
		break;
	}
}

static void scan(struct logs *logs, bool is_first)
{
	int64_t start_ms = clock_ms(CLOCK_MONOTONIC);
	int64_t start_ns = clock_ns(CLOCK_REALTIME);
	int trouble;

	/* Or what was written meanwhile would not be due. */
	log_watch_read(logs->watch, on_event, logs);
	log_files_set_time(logs->files, start_ns);
	log_files_scan(logs->files, start_ms, is_first);
	logs->scanned_ms = clock_ms(CLOCK_MONOTONIC);
	logs->scan_took_ms = logs->scanned_ms - start_ms;
	trouble = log_watch_trouble(logs->watch);
	if (trouble && is_first)
		log_warning("cannot watch every directory of log files: %s; those are "
			    "looked at again and again",
			    trouble == ENOSPC ? "fs.inotify.max_user_watches"
					      : strerror(trouble));
}

static void on_scan(void *context)
{
	struct logs *logs = context;

	logs->is_scan_armed = false;
	scan(logs, false);
	go_on(logs, 0);
}

/* --- events ------------------------------------------------------------------- */

static bool read_events(struct logs *logs)
{
	bool any = log_watch_read(logs->watch, on_event, logs);

	arm_scan(logs);
	if (log_files_is_due(logs->files) && !log_room_is_blocked(logs->room))
		go_on(logs, 0);
	return any;
}

/* What a file is written meanwhile is one event, or few. */
static void on_events(void *context, uint32_t events)
{
	struct logs *logs = context;

	(void)events;
	read_events(logs);
	loop_unwatch(logs->loop, log_watch_fd(logs->watch));
	loop_timer_arm(logs->pause_timer, PAUSE_MS, 0);
}

static int watch_events(struct logs *logs)
{
	return loop_watch(logs->loop, log_watch_fd(logs->watch), EPOLLIN, on_events,
			  logs);
}

static void on_pause(void *context)
{
	struct logs *logs = context;

	if (read_events(logs))
		loop_timer_arm(logs->pause_timer, PAUSE_MS, 0);
	else
		watch_events(logs);
}

/* --- what observed processes write -------------------------------------------- */

static void on_log_of_process(void *context, const char *path, const char *name,
			      const char *service)
{
	struct logs *logs = context;

	for (size_t i = 0; i < logs->rule_count; i++) {
		struct log_rule *rule = &logs->rules[i];

		if (!rule->config->is_auto)
			continue;
		if (!log_rule_excludes(rule, name) &&
		    log_files_want(logs->files, rule, path, name, service))
			log_files_want_scan(logs->files);
		return;
	}
}

/* A portion a turn: a process may have thousands of descriptors. */
static void on_walk(void *context)
{
	struct logs *logs = context;

	if (log_auto_go_on(logs->walk, on_log_of_process, logs))
		loop_timer_arm(logs->walk_timer, 0, 0);
	arm_scan(logs);
}

void logs_see_process(struct logs *logs, uint32_t pid, const char *service)
{
	if (!logs->walk || logs->is_stopped || pid == (uint32_t)getpid())
		return;
	log_auto_add(logs->walk, pid, service);
	loop_timer_arm(logs->walk_timer, 0, 0);
}

static void on_process(void *context, uint32_t pid, const char *service)
{
	logs_see_process(context, pid, service);
}

/* None is added twice because the last time is not over yet. */
static void on_auto(void *context)
{
	struct logs *logs = context;

	if (logs->config.observed.each && log_auto_is_idle(logs->walk))
		logs->config.observed.each(logs->config.observed.observer, on_process,
					   logs);
}

/* --- making ------------------------------------------------------------------- */

/* Whether this is the first time that its paths are looked at, with this state. */
static bool is_new(struct logs *logs, const struct config_log *config)
{
	CLEANUP(buf_free) struct buf text = BUF_INIT(1 << 20);
	char key[64];
	int64_t number;

	buf_string(&text, config->job);
	for (size_t i = 0; i < config->paths.count; i++)
		buf_printf(&text, "\n%s", config->paths.items[i]);
	buf_append(&text, "", 1);
	if (text.error)
		return false;
	snprintf(key, sizeof(key), "log_rule_%016" PRIx64, log_index_text(text.data));
	if (spool_get(logs->config.spool, NULL, key, &number))
		return false;
	return !spool_set(logs->config.spool, NULL, key, 1);
}

static int make_rules(struct logs *logs)
{
	const struct config *config = logs->config.config;
	unsigned int order = ORDER_OF_COUNTERS;
	int err = 0;

	logs->rules = calloc(config->log_count, sizeof(*logs->rules));
	if (!logs->rules)
		return -ENOMEM;
	for (size_t i = 0; !err && i < config->log_count; i++) {
		err = log_rule_init(&logs->rules[i], &config->logs[i],
				    &config->external_labels, order);
		if (err)
			break;
		logs->rules[i].is_new = is_new(logs, &config->logs[i]);
		order += (unsigned int)config->logs[i].metric_count;
		logs->rule_count++;
	}
	return err;
}

static int make_walk(struct logs *logs)
{
	int err = log_auto_create("/proc", &logs->walk);

	if (!err)
		err = loop_timer_create(logs->loop, on_walk, logs, &logs->walk_timer);
	if (!err)
		err = loop_timer_create(logs->loop, on_auto, logs, &logs->auto_timer);
	return err ? err : loop_timer_arm(logs->auto_timer, 0, AUTO_MS);
}

static int make_timers(struct logs *logs)
{
	const struct {
		loop_timeout call;
		struct loop_timer **timer;
	} timers[] = {
	    {on_turn, &logs->turn_timer}, {on_flush, &logs->flush_timer},
	    {on_tick, &logs->tick_timer}, {on_pause, &logs->pause_timer},
	    {on_scan, &logs->scan_timer},
	};
	bool is_auto = false;
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(timers) / sizeof(timers[0]); i++)
		err = loop_timer_create(logs->loop, timers[i].call, logs,
					timers[i].timer);
	for (size_t i = 0; i < logs->rule_count; i++)
		is_auto |= logs->rules[i].config->is_auto;
	return !err && is_auto ? make_walk(logs) : err;
}

static void on_note(void *context, uint32_t id, const void *bytes, size_t len)
{
	struct logs *logs = context;
	struct log_position position;

	if (log_position_decode(bytes, len, &position) ||
	    !log_files_recall(logs->files, id, &position, clock_ms(CLOCK_MONOTONIC)))
		spool_note_remove(logs->config.spool, id);
}

/* A quarter of what there may be: connections need some, too. */
static unsigned int open_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / 4 > OPEN_MAX)
		return OPEN_MAX;
	return (unsigned int)limit.rlim_cur / 4 + 1;
}

static int make_files(struct logs *logs)
{
	const struct log_files_config config = {
	    .rules = logs->rules,
	    .rule_count = logs->rule_count,
	    .watch = logs->watch,
	    .spool = logs->config.spool,
	    .own_path = logs->config.config->spool.directory,
	    .open_max = open_max(),
	};
	int err = log_files_create(&config, &logs->files);

	if (!err)
		err = log_batch_create(BATCH_BYTES, &logs->batch);
	return err;
}

static int make(struct logs *logs)
{
	int err = make_rules(logs);

	if (!err)
		err = log_room_create(logs->config.spool, logs->config.config,
				      clock_ms(CLOCK_MONOTONIC), &logs->room);
	if (!err)
		err = log_watch_create(&logs->watch);
	if (!err)
		err = make_files(logs);
	if (!err)
		err = make_timers(logs);
	return err;
}

static int begin(struct logs *logs)
{
	int64_t since_ns;
	int err;

	spool_get(logs->config.spool, NULL, KEY_TIME, &logs->last_ns);
	if (spool_get(logs->config.spool, NULL, KEY_SCAN, &since_ns))
		log_files_set_time(logs->files, since_ns);
	else if (logs->config.config->spool.directory)
		log_info("no positions in log files are known: each is read from its "
			 "beginning, or as start_at says");
	spool_each_note(logs->config.spool, on_note, logs);
	scan(logs, true);
	logs->checked_ms = logs->scanned_ms;
	if (!logs->config.config->spool.directory)
		log_info("positions in log files are in memory: the next start reads "
			 "them from their beginning (--state-dir off)");
	err = watch_events(logs);
	if (!err)
		err = loop_timer_arm(logs->turn_timer, 0, 0);
	return err;
}

int logs_create(struct loop *loop, const struct logs_config *config,
		struct logs **ret_logs)
{
	CLEANUP(logs_free) struct logs *logs = calloc(1, sizeof(*logs));
	int err = -ENOMEM;

	if (logs) {
		logs->loop = loop;
		logs->config = *config;
		err = make(logs);
	}
	if (!err)
		err = begin(logs);
	if (err)
		log_error("cannot follow log files: %s", strerror(-err));
	else
		*ret_logs = TAKE(logs);
	return err;
}

void logs_stop(struct logs *logs)
{
	if (logs->is_stopped)
		return;
	flush(logs);
	logs->is_stopped = true;
	loop_unwatch(logs->loop, log_watch_fd(logs->watch));
	loop_timer_free(&logs->turn_timer);
	loop_timer_free(&logs->flush_timer);
	loop_timer_free(&logs->tick_timer);
	loop_timer_free(&logs->pause_timer);
	loop_timer_free(&logs->scan_timer);
	loop_timer_free(&logs->auto_timer);
	loop_timer_free(&logs->walk_timer);
}

void logs_free(struct logs **logs)
{
	struct logs *freed = *logs;

	if (!freed)
		return;
	if (freed->watch && !freed->is_stopped)
		loop_unwatch(freed->loop, log_watch_fd(freed->watch));
	loop_timer_free(&freed->turn_timer);
	loop_timer_free(&freed->flush_timer);
	loop_timer_free(&freed->tick_timer);
	loop_timer_free(&freed->pause_timer);
	loop_timer_free(&freed->scan_timer);
	loop_timer_free(&freed->auto_timer);
	loop_timer_free(&freed->walk_timer);
	log_auto_free(&freed->walk);
	log_batch_free(&freed->batch);
	log_files_free(&freed->files);
	log_watch_free(&freed->watch);
	for (size_t i = 0; i < freed->rule_count; i++)
		log_rule_clear(&freed->rules[i]);
	free(freed->rules);
	log_room_free(&freed->room);
	free(freed);
	*logs = NULL;
}

/* --- about itself ------------------------------------------------------------- */

static const struct family lines_family = {
    "bpftally_log_lines", "Log entries handed over to be sent, by job.", "",
    METRIC_COUNTER, ORDER};
static const struct family bytes_family = {
    "bpftally_log_bytes", "Bytes of text in them.", "bytes", METRIC_COUNTER, ORDER + 1};
static const struct family truncated_family = {
    "bpftally_log_truncated_lines", "Log entries that were longer than may be sent.",
    "", METRIC_COUNTER, ORDER + 2};
static const struct family dropped_family = {"bpftally_log_dropped_lines",
					     "Log entries that drop and keep left out.",
					     "", METRIC_COUNTER, ORDER + 3};
static const struct family failures_family = {
    "bpftally_log_regex_failures",
    "Regexes that were given up on an entry, which passed as if there were none.", "",
    METRIC_COUNTER, ORDER + 4};
static const struct family files_family = {
    "bpftally_log_files", "Log files that are followed.", "", METRIC_GAUGE, ORDER + 5};
static const struct family open_family = {
    "bpftally_log_open_files", "Log files that are open.", "", METRIC_GAUGE, ORDER + 6};
static const struct family lag_family = {
    "bpftally_log_lag_bytes", "Bytes in log files that were not handed over yet.",
    "bytes", METRIC_GAUGE, ORDER + 7};
static const struct family blocked_family = {"bpftally_log_blocked",
					     "Whether reading waits for receivers.", "",
					     METRIC_GAUGE, ORDER + 8};

static bool is_first_of_job(const struct logs *logs, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (!strcmp(logs->rules[i].config->job, logs->rules[index].config->job))
			return false;
	}
	return true;
}

static struct log_totals totals_of(const struct logs *logs, const char *job)
{
	struct log_totals sum = {0};

	for (size_t i = 0; i < logs->rule_count; i++) {
		const struct log_totals *totals = &logs->rules[i].totals;

		if (strcmp(logs->rules[i].config->job, job) != 0)
			continue;
		sum.lines += totals->lines;
		sum.bytes += totals->bytes;
		sum.cut += totals->cut;
		sum.dropped += totals->dropped;
		sum.unjudged += totals->unjudged;
	}
	return sum;
}

static void describe_job(const struct logs *logs, const char *job,
			 struct snapshot *snapshot)
{
	const struct log_totals sum = totals_of(logs, job);
	const struct label label = {"job", job};
	struct label_set set = snapshot_labels(snapshot, &label, 1);

	snapshot_value(snapshot, &lines_family, set, (double)sum.lines);
	snapshot_value(snapshot, &bytes_family, set, (double)sum.bytes);
	snapshot_value(snapshot, &truncated_family, set, (double)sum.cut);
	snapshot_value(snapshot, &dropped_family, set, (double)sum.dropped);
	snapshot_value(snapshot, &failures_family, set, (double)sum.unjudged);
}

void logs_describe(const struct logs *logs, struct snapshot *snapshot)
{
	const struct log_files_sums sums = log_files_sums(logs->files);
	const struct label_set none = {0};

	for (size_t i = 0; i < logs->rule_count; i++) {
		if (is_first_of_job(logs, i))
			describe_job(logs, logs->rules[i].config->job, snapshot);
		log_counters_describe(logs->rules[i].counters, snapshot);
	}
	snapshot_value(snapshot, &files_family, none, (double)sums.files);
	snapshot_value(snapshot, &open_family, none, (double)sums.open);
	snapshot_value(snapshot, &lag_family, none, (double)sums.lag_bytes);
	snapshot_value(snapshot, &blocked_family, none,
		       log_room_is_blocked(logs->room));
}
