/* SPDX-License-Identifier: Apache-2.0 */
#include "process_metrics.h"

#include <inttypes.h>
#include <stdio.h>

#include "length.h"

#define PID_LEN 12
#define MS_PER_S 1000

enum { ORDER_PROCESS = 200 }; /* after those of ledger.c */

static const struct family cpu = {
    .name = "process_cpu_seconds",
    .help = "Total user and system CPU time spent in seconds.",
    .unit = "seconds",
    .type = METRIC_COUNTER,
    .order = ORDER_PROCESS,
};

static const struct family resident_memory = {
    .name = "process_resident_memory_bytes",
    .help = "Resident memory size in bytes.",
    .unit = "bytes",
    .type = METRIC_GAUGE,
    .order = ORDER_PROCESS + 1,
};

static const struct family virtual_memory = {
    .name = "process_virtual_memory_bytes",
    .help = "Virtual memory size in bytes.",
    .unit = "bytes",
    .type = METRIC_GAUGE,
    .order = ORDER_PROCESS + 2,
};

static const struct family open_fds = {
    .name = "process_open_fds",
    .help = "Number of open file descriptors.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = ORDER_PROCESS + 3,
};

static const struct family max_fds = {
    .name = "process_max_fds",
    .help = "Maximum number of open file descriptors.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = ORDER_PROCESS + 4,
};

static const struct family start_time = {
    .name = "process_start_time_seconds",
    .help = "Start time of the process since unix epoch in seconds.",
    .unit = "seconds",
    .type = METRIC_GAUGE,
    .order = ORDER_PROCESS + 5,
};

static const struct family threads = {
    .name = "process_threads",
    .help = "Number of OS threads in the process.",
    .unit = "",
    .type = METRIC_GAUGE,
    .order = ORDER_PROCESS + 6,
};

static const struct family received = {
    .name = "process_network_receive_bytes",
    .help = "Number of bytes received by the process over the network.",
    .unit = "bytes",
    .type = METRIC_COUNTER,
    .order = ORDER_PROCESS + 7,
};

static const struct family sent = {
    .name = "process_network_transmit_bytes",
    .help = "Number of bytes sent by the process over the network.",
    .unit = "bytes",
    .type = METRIC_COUNTER,
    .order = ORDER_PROCESS + 8,
};

static struct label_set owner_labels(struct snapshot *snapshot,
				     const struct process_owner *owner)
{
	char *pid = owner->pid ? snapshot_alloc(snapshot, PID_LEN) : NULL;
	const struct label labels[] = {
	    {"pid", pid},
	    {"service_name", owner->service},
	    {"service_namespace", owner->name_space},
	};

	if (pid)
		snprintf(pid, PID_LEN, "%" PRIu32, owner->pid);
	return snapshot_labels(snapshot, labels, LENGTH(labels));
}

/* Bytes are counted since bpftally runs, where the process is older. */
static int64_t network_start_ms(const struct snapshot *snapshot, int64_t start_ms)
{
	return start_ms && start_ms < snapshot->start_ms ? snapshot->start_ms
							 : start_ms;
}

static void emit_network(struct snapshot *snapshot, struct label_set labels,
			 const struct process_numbers *numbers, int64_t start_ms)
{
	start_ms = network_start_ms(snapshot, start_ms);
	snapshot_counter_since(snapshot, &received, labels,
			       (double)numbers->received_bytes, start_ms);
	snapshot_counter_since(snapshot, &sent, labels, (double)numbers->sent_bytes,
			       start_ms);
}

void process_metrics_emit(struct snapshot *snapshot, const struct process_owner *owner,
			  const struct process_numbers *numbers)
{
	struct label_set labels = owner_labels(snapshot, owner);
	int64_t start_ms = (int64_t)(numbers->since_s * MS_PER_S);

	if (numbers->has_cpu)
		snapshot_counter_since(snapshot, &cpu, labels, numbers->cpu_s,
				       start_ms);
	if (numbers->has_memory) {
		snapshot_value(snapshot, &resident_memory, labels,
			       (double)numbers->resident_bytes);
		snapshot_value(snapshot, &virtual_memory, labels,
			       (double)numbers->virtual_bytes);
	}
	if (numbers->has_open_fds)
		snapshot_value(snapshot, &open_fds, labels, numbers->open_fds);
	if (numbers->has_max_fds)
		snapshot_value(snapshot, &max_fds, labels, numbers->max_fds);
	if (numbers->start_s > 0)
		snapshot_value(snapshot, &start_time, labels, numbers->start_s);
	if (numbers->has_threads)
		snapshot_value(snapshot, &threads, labels, (double)numbers->threads);
	if (numbers->has_network)
		emit_network(snapshot, labels, numbers, start_ms);
}
