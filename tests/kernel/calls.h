/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of this very program under function rules: rules put together in code, and
 * what a collection shows of them. */
#pragma once

#include "require.h"

#include "function_abi.h"
#include "functions.h"
#include "snapshot.h"

#define RULES_MAX 8
#define LABELS_OF_RULE 4

struct rules {
	struct config config;
	struct config_function functions[RULES_MAX];
	struct config_function_label labels[RULES_MAX][LABELS_OF_RULE];
	struct functions *running;
};

static char own_path[4096];
static char *own_exe[] = {own_path};
static const double latency_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1};

/* A latency histogram of that function, to be changed by the test. */
static inline struct config_function *add_rule(struct rules *rules, const char *metric,
					       const char *function)
{
	size_t number = rules->config.function_count++;
	struct config_function *rule = &rules->functions[number];

	REQUIRE(number < RULES_MAX);
	REQUIRE(readlink("/proc/self/exe", own_path, sizeof(own_path) - 1) > 0);
	rules->config.functions = rules->functions;
	*rule = (struct config_function){
	    .where = (char *)"test",
	    .metric = (char *)(uintptr_t)metric,
	    .function = (char *)(uintptr_t)function,
	    .exes = {own_exe, 1},
	    .labels = rules->labels[number],
	    .bounds = (double *)(uintptr_t)latency_bounds,
	    .bound_count = sizeof(latency_bounds) / sizeof(latency_bounds[0]),
	};
	return rule;
}

static inline struct config_function *
add_counter(struct rules *rules, const char *metric, const char *function)
{
	struct config_function *rule = add_rule(rules, metric, function);

	rule->type = CONFIG_COUNTER;
	rule->value = CONFIG_VALUE_COUNT;
	rule->bound_count = 0;
	return rule;
}

static inline struct config_function_label *
add_label(struct config_function *rule, const char *name, uint8_t argument)
{
	struct config_function_label *label = &rule->labels[rule->label_count++];

	REQUIRE(rule->label_count <= LABELS_OF_RULE);
	*label = (struct config_function_label){
	    .name = (char *)(uintptr_t)name,
	    .operand = {.argument = argument, .is_return = !argument},
	    .max_values = 100,
	};
	return label;
}

static inline void start(struct rules *rules)
{
	char error[FUNCTIONS_ERROR_LEN];

	if (functions_create(&rules->config, "/proc", &rules->running, error))
		fail_msg("%s", error);
}

static inline void stop(struct rules *rules)
{
	functions_free(&rules->running);
}

static inline void look(struct rules *rules, struct snapshot *ret_snapshot)
{
	snapshot_init(ret_snapshot, 0);
	assert_int_equal(functions_collect(rules->running, 0, ret_snapshot), 0);
	assert_int_equal(snapshot_finish(ret_snapshot), 0);
}

static inline bool has_label(const struct metric *metric, const char *name,
			     const char *value)
{
	for (size_t i = 0; i < metric->labels.count; i++)
		if (!strcmp(metric->labels.labels[i].name, name))
			return !strcmp(metric->labels.labels[i].value, value);
	return false;
}

/* The one metric of that name, and that label if there is one; NULL: none. */
static inline const struct metric *find(const struct snapshot *snapshot,
					const char *name, const char *label,
					const char *value)
{
	const struct metric *found = NULL;

	for (size_t i = 0; i < snapshot->count; i++) {
		const struct metric *metric = &snapshot->metrics[i];

		if (strcmp(metric->family->name, name) ||
		    (label && !has_label(metric, label, value)))
			continue;
		assert_null(found);
		found = metric;
	}
	return found;
}

static inline uint64_t observations(const struct histogram *histogram)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= histogram->bound_count; i++)
		sum += histogram->buckets[i];
	return sum;
}

static inline double value_where(struct rules *rules, const char *name,
				 const char *label, const char *value)
{
	struct snapshot snapshot;
	const struct metric *metric;
	double result = -1;

	look(rules, &snapshot);
	metric = find(&snapshot, name, label, value);
	if (metric)
		result = metric->family->type == METRIC_HISTOGRAM
			     ? (double)observations(&metric->histogram)
			     : metric->value;
	snapshot_free(&snapshot);
	return result;
}

/* A value, a histogram's number of observations; -1: there is none. */
static inline double value_of(struct rules *rules, const char *name)
{
	return value_where(rules, name, NULL, NULL);
}

static inline double missed(struct rules *rules, const char *reason)
{
	return value_where(rules, "bpftally_function_missed", "reason", reason);
}

#define assert_value(actual, expected)                                                 \
	do {                                                                           \
		double actual_value = actual;                                          \
		if (actual_value != (double)(expected))                                \
			fail_msg("%s: %g, not %g", #actual, actual_value,              \
				 (double)(expected));                                  \
	} while (0)

/* Every reason at once. */
static inline void assert_missed_nothing(struct rules *rules)
{
	struct snapshot snapshot;

	look(rules, &snapshot);
	for (size_t i = 0; i < snapshot.count; i++) {
		const struct metric *metric = &snapshot.metrics[i];

		if (!strcmp(metric->family->name, "bpftally_function_missed") &&
		    metric->value != 0)
			fail_msg("missed %s: %g", metric->labels.labels[0].value,
				 metric->value);
	}
	snapshot_free(&snapshot);
}
