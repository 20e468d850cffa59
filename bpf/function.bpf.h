/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* function.bpf.h - the maps of function rules: what to measure, what was counted.
 * Owns the rows; knows nothing of probes and frames. */
#pragma once

#include "../include/function_abi.h"
#include "../include/hash.h"
#include "insert.bpf.h"

/* Written by the daemon; a point whose rule is gone is never hit. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TALLY_FUNCTION_RULES);
	__type(key, __u32);
	__type(value, struct tally_function_rule);
} function_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TALLY_FUNCTION_POINTS);
	__type(key, __u32);
	__type(value, struct tally_function_point);
} function_points SEC(".maps");

/* Programs come with every release and container, and none is told to be gone: full,
 * the one that called least lately makes room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TALLY_FUNCTION_SELECTED);
	__type(key, struct tally_function_selected);
	__type(value, __u64); /* of a program: once it called, what it is */
} function_selected SEC(".maps");

/* As many as the rules name. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_FUNCTION_ENUMERATED);
	__type(key, struct tally_function_enumerated);
	__type(value, __u32);
} function_enumerated SEC(".maps");

/* Of rules without labels from the call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TALLY_FUNCTION_RULES);
	__type(key, __u32);
	__type(value, struct tally_function_row);
} function_singles SEC(".maps");

/* Full: the rule's row of `other`, which the daemon made at start. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_FUNCTION_ROWS);
	__type(key, struct tally_function_key);
	__type(value, struct tally_function_row);
} function_rows SEC(".maps");

/* The same; one where no rule has such rows: the table of a hash is there at once. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_FUNCTION_ROWS);
	__type(key, struct tally_function_key);
	__type(value, struct tally_function_summary);
} function_summaries SEC(".maps");

/* Full, or the rule's cap reached: TALLY_ARGUMENTS_OTHER. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TALLY_FUNCTION_ROWS);
	__type(key, struct tally_function_labels_key);
	__type(value, struct tally_function_labels);
} function_labels SEC(".maps");

/* Programs that were started while we are here; when one is forgotten, the daemon looks
 * at it once more, for nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TALLY_FUNCTION_PROGRAMS);
	__type(key, struct tally_function_program);
	__type(value, __u32);
} function_programs SEC(".maps");

/* Of processes by their service's name, as the daemon found it; goes with them. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tally_function_member);
} function_members SEC(".maps");

/* 200 processes. Full: the daemon is told that it missed some, and asks all there are.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8192);
} function_events SEC(".maps");

const volatile __u64 function_seed = 0;
const volatile bool function_names_services = false; /* any rule */
const volatile bool function_can_hold = false;     /* the kernel knows of preemption */
const volatile bool function_has_sessions = false; /* of entry and return, 6.13 */
__u64 function_execs_untold = 0;
struct tally_function_counters function_counters = {};
/* Of each rule, what has a place of its own: label sets; results, each with a set. */
__u32 function_label_sets[TALLY_FUNCTION_RULES] = {};
__u32 function_results[TALLY_FUNCTION_RULES] = {};

static const struct tally_function_summary empty; /* begins as a row does */

/* As bpf_task_storage_get(), which makes no storage while another call of it is under
 * way on this processor: of a thread that was preempted in it
 * (bpf_task_storage_trylock()). Before 6.10 nobody can see to that; then the ledger has
 * it (no_memory). */
extern void bpf_preempt_disable(void) __ksym __weak; /* Linux 6.10 */
extern void bpf_preempt_enable(void) __ksym __weak;

static __always_inline void *task_storage(void *map, struct task_struct *task,
					  __u64 flags)
{
	void *storage;

	if (function_can_hold)
		bpf_preempt_disable();
	storage = bpf_task_storage_get(map, task, NULL, flags);
	if (function_can_hold)
		bpf_preempt_enable();
	return storage;
}

static __always_inline void function_missed(enum tally_function_missed reason)
{
	__sync_fetch_and_add(&function_counters.missed[reason], 1);
}

/* Whether one more of the rule finds room under its cap. */
static __always_inline bool has_room(__u32 *counts, __u32 rule, __u32 max)
{
	__u32 *count;

	asm volatile("" : "+r"(rule)); /* keep the check where the verifier looks */
	if (rule >= TALLY_FUNCTION_RULES)
		return false;
	count = &counts[rule];
	if (*(volatile __u32 *)count >= max)
		return false;
	if (__sync_fetch_and_add(count, 1) < max)
		return true;
	__sync_fetch_and_add(count, (__u32)-1);
	return false;
}

static __always_inline void give_room_back(__u32 *counts, __u32 rule)
{
	asm volatile("" : "+r"(rule));
	if (rule < TALLY_FUNCTION_RULES)
		__sync_fetch_and_add(&counts[rule], (__u32)-1);
}

/* The hash that the labels' rows have: of theirs, or of `other`. */
static __always_inline __u64 labels_adopt(__u32 number,
					  const struct tally_function_rule *rule,
					  __u64 hash,
					  const struct tally_function_labels *labels)
{
	struct tally_function_labels_key key = {.rule = number, .arguments = hash};
	int err;

	if (bpf_map_lookup_elem(&function_labels, &key))
		return hash;
	if (has_room(function_label_sets, number, rule->labels_max)) {
		err = insert(&function_labels, &key, labels);
		if (!err)
			return hash;
		give_room_back(function_label_sets, number);
		if (err == -EEXIST)
			return hash;
	}
	function_missed(TALLY_FUNCTION_LABELS_FULL);
	return TALLY_ARGUMENTS_OTHER;
}

static __always_inline void *row_make(void *map, const struct tally_function_rule *rule,
				      struct tally_function_key *key)
{
	void *row;
	int err = 0;

	if (rule->has_result && !key->other_result &&
	    !has_room(function_results, key->rule, rule->results_max)) {
		function_missed(TALLY_FUNCTION_LABELS_FULL);
		key->other_result = 1;
		key->result = 0;
		row = bpf_map_lookup_elem(map, key);
		if (row)
			return row;
	}
	err = insert(map, key, &empty);
	if (err && rule->has_result && !key->other_result)
		give_room_back(function_results, key->rule);
	return bpf_map_lookup_elem(map, key);
}

/* The map is full: the daemon made this row at start, so totals stay exact. */
static __always_inline void *row_overflow(void *map, __u32 rule)
{
	struct tally_function_key key = {
	    .rule = rule,
	    .other_result = 1,
	    .arguments = TALLY_ARGUMENTS_OTHER,
	};

	return bpf_map_lookup_elem(map, &key);
}

/* NULL: not even that one is there. */
static __always_inline void *row_find(void *map, const struct tally_function_rule *rule,
				      struct tally_function_key *key)
{
	void *row = bpf_map_lookup_elem(map, key);

	if (!row)
		row = row_make(map, rule, key);
	if (row)
		return row;
	row = row_overflow(map, key->rule);
	function_missed(row ? TALLY_FUNCTION_LABELS_FULL : TALLY_FUNCTION_NO_MEMORY);
	return row;
}

__noinline __u32 function_bucket(const struct tally_function_rule *rule, __s64 number)
{
	if (!rule)
		return 0;
	return bucket_index(rule->bounds, TALLY_FUNCTION_BOUNDS,
			    TALLY_FUNCTION_ORDERED(number, rule->is_unsigned));
}

__noinline __u32 function_log(__u64 number, bool is_latency)
{
	return is_latency ? bucket_index(native_bounds_ns, NATIVE_BUCKETS - 1, number)
			  : value_bucket(number);
}

static __always_inline void row_add(const struct tally_function_rule *rule,
				    struct tally_function_row *row, __s64 number)
{
	__u32 index;

	__sync_fetch_and_add(&row->count, 1);
	if (rule->measure == TALLY_MEASURE_CALLS)
		return;
	__sync_fetch_and_add(&row->sum, number);
	*(volatile __s64 *)&row->last = number;
	if (rule->has_buckets) {
		index = function_bucket(rule, number);
		if (index <= TALLY_FUNCTION_BOUNDS)
			__sync_fetch_and_add(&row->buckets[index], 1);
	}
}

static __always_inline void summary_add(const struct tally_function_rule *rule,
					struct tally_function_summary *summary,
					__s64 number)
{
	__u32 index;

	row_add(rule, &summary->row, number);
	if (number < 0 && !rule->is_unsigned)
		number = 0;
	index = function_log((__u64)number, rule->measure == TALLY_MEASURE_LATENCY);
	if (index < TALLY_FUNCTION_LOGS)
		__sync_fetch_and_add(&summary->logs[index], 1);
}

/* One call, as the rule measures it. */
__noinline int function_count(const struct tally_function_rule *rule,
			      const struct tally_function_key *measured, __s64 number)
{
	struct tally_function_summary *summary;
	struct tally_function_row *row;
	struct tally_function_key key;

	if (!rule || !measured)
		return 0;
	key = *measured; /* 6.1 takes a map's key from the stack only */
	if (rule->only_grows && number < 0 && !rule->is_unsigned) {
		function_missed(TALLY_FUNCTION_FALLING);
		return 0;
	}
	if (rule->place == TALLY_PLACE_SUMMARY) {
		summary = row_find(&function_summaries, rule, &key);
		if (summary)
			summary_add(rule, summary, number);
		return 0;
	}
	row = rule->place == TALLY_PLACE_SINGLE
		  ? bpf_map_lookup_elem(&function_singles, &key.rule)
		  : row_find(&function_rows, rule, &key);
	if (row)
		row_add(rule, row, number);
	return 0;
}
