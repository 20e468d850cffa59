/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1e9
#define LOOKS 8 /* at the sockets, before more of them are believed lost */

struct ledger {
	uint64_t unseen_closes; /* known so far */
	uint64_t unjudged;
};

struct reason {
	const char *name;
	const char *explanation;
};

static const struct reason reasons[TALLY_MISSED_COUNT] = {
    [TALLY_MISSED_JOINED_MIDWAY] =
	{"joined_midway", "responses on connections of which no request was seen"},
    [TALLY_MISSED_LOST_SYNC] = {"lost_sync",
				"requests in which bytes moved that could not be seen"},
    [TALLY_MISSED_NO_REQUEST] = {"no_request",
				 "responses that answer no request that was seen"},
    [TALLY_MISSED_MALFORMED] = {"malformed", "requests that broke the rules of HTTP/1"},
    [TALLY_MISSED_IO_URING] = {"io_uring",
			       "requests that moved through io_uring, unseen"},
    [TALLY_MISSED_COMPAT] = {"compat", "requests of 32-bit programs"},
    [TALLY_MISSED_NO_WINDOW] = {"no_window",
				"requests whose start was in no user memory"},
    [TALLY_MISSED_READ_FAULT] = {"read_fault",
				 "requests whose bytes could not be read from memory"},
    [TALLY_MISSED_PIPELINE_FULL] =
	{"pipeline_full", "requests sent ahead on a connection with too many already"},
    [TALLY_MISSED_WORK_LIMIT] = {"work_limit",
				 "requests in a call that moved too many messages"},
    [TALLY_MISSED_CONCURRENT_IO] =
	{"concurrent_io", "requests while two threads used one direction of a socket"},
    [TALLY_MISSED_HANDED_OVER] =
	{"handed_over", "requests answered by a process that is not selected"},
    [TALLY_MISSED_CONNECTION_FULL] =
	{"connection_full", "transfers on connections without memory in the kernel"},
    [TALLY_MISSED_PROCESS_FULL] =
	{"process_full", "counted as service other: the table of processes is full"},
    [TALLY_MISSED_EVENT_FULL] = {"event_full", "processes that were named late"},
    [TALLY_MISSED_SERIES_FULL] = {"series_full",
				  "requests counted as service other: too many series"},
    [TALLY_MISSED_ROUTE_FULL] = {"route_full",
				 "requests counted as route other: too many routes"},
    [TALLY_MISSED_ADDRESS_FULL] =
	{"address_full", "connections counted without server address: too many"},
    [TALLY_MISSED_TALLY_FAILED] =
	{"tally_failed", "requests for which there was not even the row of other"},
    [TALLY_MISSED_TLS] = {"tls", "connections that are encrypted"},
    [TALLY_MISSED_HTTP2] = {"http2", "connections that speak HTTP/2"},
    [TALLY_MISSED_UNSEEN_CLOSE] =
	{"unseen_close", "requests under way when their Unix socket was closed"},
    [TALLY_MISSED_UNJUDGED] = {"unjudged",
			       "requests of processes that ended before it was known "
			       "whether --exe selects them"},
};

const char *ledger_reason(enum tally_missed reason)
{
	return reason < TALLY_MISSED_COUNT ? reasons[reason].name : NULL;
}

const char *ledger_explain(enum tally_missed reason)
{
	return reason < TALLY_MISSED_COUNT ? reasons[reason].explanation : NULL;
}

/* --- families: after those of series.h ---------------------------------------- */

enum {
	ORDER_MISSED = 100,
	ORDER_PROBES = 102, /* behind build_info.c */
};

static const struct family missed = {
    .name = "bpftally_missed",
    .help = "What could not be counted, or not under its own labels, by reason.",
    .unit = "",
    .type = METRIC_COUNTER,
    .order = ORDER_MISSED,
};

static const struct family probe_seconds = {
    .name = "bpftally_probe_seconds",
    .help = "Time spent in a kernel program; zero unless sysctl "
	    "kernel.bpf_stats_enabled is 1.",
    .unit = "seconds",
    .type = METRIC_COUNTER,
    .order = ORDER_PROBES,
};

static const struct family probe_runs = {
    .name = "bpftally_probe_runs",
    .help = "Runs of a kernel program; zero unless sysctl kernel.bpf_stats_enabled "
	    "is 1.",
    .unit = "",
    .type = METRIC_COUNTER,
    .order = ORDER_PROBES + 1,
};

static const struct family probe_skipped = {
    .name = "bpftally_probe_skipped",
    .help = "Runs of a kernel program that the kernel refused because the program "
	    "was already running on that processor.",
    .unit = "",
    .type = METRIC_COUNTER,
    .order = ORDER_PROBES + 2,
};

static const struct family probe_verified_instructions = {
    .name = "bpftally_probe_verified_instructions",
    .help = "Instructions that the kernel's verifier walked to accept a program.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = ORDER_PROBES + 3,
};

static const struct family map_bytes = {
    .name = "bpftally_map_bytes",
    .help = "Kernel memory of bpftally's BPF maps.",
    .unit = "bytes",
    .type = METRIC_GAUGE,
    .order = ORDER_PROBES + 4,
};

static void add_value(struct snapshot *snapshot, const struct family *family,
		      double value)
{
	snapshot_value(snapshot, family, (struct label_set){0}, value);
}

static void add_labelled(struct snapshot *snapshot, const struct family *family,
			 struct label label, double value)
{
	snapshot_value(snapshot, family, snapshot_labels(snapshot, &label, 1), value);
}

/* --- what was missed ----------------------------------------------------------- */

static uint64_t read_counter(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void add_in_flight(void *context, const struct tally_connections_key *key,
			  const struct tally_connections *sum)
{
	uint64_t *in_flight = context;

	if (key->protocol & TALLY_CONNECTION_UNIX)
		*in_flight += sum->in_flight;
}

/* Requests on Unix sockets that neither ended nor are in flight. Read in this
 * order, one that begins or ends meanwhile makes the difference smaller. */
static int measure_vanished(const struct probes *probes, uint64_t *ret_vanished)
{
	const struct tally_counters *counters = probes_counters(probes);
	uint64_t begun = read_counter(&counters->unix_balance.begun);
	uint64_t accounted = 0;
	int err = probes_count_connections(probes, add_in_flight, &accounted);

	if (err)
		return err;
	accounted += read_counter(&counters->unix_balance.ended);
	*ret_vanished = begun > accounted ? begun - accounted : 0;
	return 0;
}

/* No more can have vanished than began and did not end: nothing to look for on most
 * machines, which have no requests on Unix sockets. */
static bool may_have_vanished(const struct ledger *ledger, const struct probes *probes)
{
	const struct tally_unix_balance *balance =
	    &probes_counters(probes)->unix_balance;
	uint64_t begun = read_counter(&balance->begun);

	return begun > read_counter(&balance->ended) + ledger->unseen_closes;
}

/* A request that is just being queued or tallied is in neither number for an
 * instant, and a counter cannot take back what it said. One that vanished stays
 * away: so more than was known is believed when repeated looks all find it. */
static int find_unseen_closes(struct ledger *ledger, const struct probes *probes)
{
	uint64_t least = UINT64_MAX;

	if (!may_have_vanished(ledger, probes))
		return 0;
	for (int look = 0; look < LOOKS && least > ledger->unseen_closes; look++) {
		uint64_t vanished;
		int err = measure_vanished(probes, &vanished);

		if (err)
			return err;
		if (vanished < least)
			least = vanished;
	}
	if (least > ledger->unseen_closes)
		ledger->unseen_closes = least;
	return 0;
}

static void collect_missed(const struct ledger *ledger, const struct probes *probes,
			   struct snapshot *snapshot)
{
	const struct tally_counters *counters = probes_counters(probes);

	for (unsigned int reason = 0; reason < TALLY_MISSED_COUNT; reason++) {
		uint64_t count = read_counter(&counters->missed[reason]);

		if (reason == TALLY_MISSED_UNSEEN_CLOSE)
			count += ledger->unseen_closes;
		if (reason == TALLY_MISSED_UNJUDGED)
			count += ledger->unjudged;
		add_labelled(snapshot, &missed,
			     (struct label){"reason", reasons[reason].name},
			     (double)count);
	}
}

/* --- the programs -------------------------------------------------------------- */

static void see_program(void *context, const struct objects_program *program)
{
	struct snapshot *snapshot = context;
	struct label label = {"program", snapshot_text(snapshot, program->name)};

	add_labelled(snapshot, &probe_seconds, label,
		     (double)program->run_ns / NS_PER_S);
	add_labelled(snapshot, &probe_runs, label, (double)program->runs);
	add_labelled(snapshot, &probe_skipped, label, (double)program->skipped);
	add_labelled(snapshot, &probe_verified_instructions, label,
		     (double)program->verified_instructions);
}

/* --- the module ---------------------------------------------------------------- */

int ledger_create(struct ledger **ret_ledger)
{
	struct ledger *ledger = calloc(1, sizeof(*ledger));

	if (!ledger)
		return -ENOMEM;
	*ret_ledger = ledger;
	return 0;
}

void ledger_free(struct ledger **ledger)
{
	free(*ledger);
	*ledger = NULL;
}

void ledger_set_unjudged(struct ledger *ledger, uint64_t requests)
{
	ledger->unjudged = requests;
}

int ledger_collect(struct ledger *ledger, const struct probes *probes,
		   const struct functions *functions, struct snapshot *snapshot)
{
	int err = find_unseen_closes(ledger, probes);

	collect_missed(ledger, probes, snapshot);
	probes_each_program(probes, see_program, snapshot);
	functions_each_program(functions, see_program, snapshot);
	add_value(snapshot, &map_bytes,
		  (double)(probes_map_bytes(probes) + functions_map_bytes(functions)));
	return err ? err : snapshot->error;
}
