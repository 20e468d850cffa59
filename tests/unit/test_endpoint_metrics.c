/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "documented.h"
#include "receiving.h"

/* What push says of an endpoint of each kind. */
static void describe(struct scene *scene, struct snapshot *ret_snapshot)
{
	static struct config_loki_write loki;

	scene->otlp = (struct config_otlp){.name = (char *)"o",
					   .http = scene->endpoints[0].http,
					   .queue = scene->endpoints[0].queue};
	loki = (struct config_loki_write){.name = (char *)"l",
					  .http = scene->endpoints[0].http,
					  .queue = scene->endpoints[0].queue};
	scene->config.otlps = &scene->otlp;
	scene->config.otlp_count = 1;
	scene->config.loki_writes = &loki;
	scene->config.loki_write_count = 1;
	start(scene, accept_all);
	snapshot_init(ret_snapshot, 0);
	push_describe(scene->push, ret_snapshot);
	assert_int_equal(snapshot_finish(ret_snapshot), 0);
}

static void all_of_them_are_documented(void **state)
{
	struct names documented, exposed;
	struct snapshot snapshot;

	describe(*state, &snapshot);
	names_read(&documented, "Forwarding");
	names_of_snapshot(&exposed, &snapshot);
	names_check_same(&documented, &exposed);
	snapshot_free(&snapshot);
}

static size_t count_series(const struct snapshot *snapshot, const char *family,
			   const char *label, const char *value)
{
	size_t count = 0;

	for (size_t i = 0; i < snapshot->count; i++) {
		const struct metric *metric = &snapshot->metrics[i];

		if (strcmp(metric->family->name, family) != 0)
			continue;
		for (size_t j = 0; j < metric->labels.count; j++)
			count += !strcmp(metric->labels.labels[j].name, label) &&
				 !strcmp(metric->labels.labels[j].value, value);
	}
	return count;
}

static void each_kind_has_a_name_for_what_it_sends(void **state)
{
	static const struct {
		const char *sent, *dropped, *endpoint;
		size_t reasons;
	} kinds[] = {
	    {"bpftally_remote_write_samples", "bpftally_remote_write_samples_dropped",
	     "first", 4},
	    {"bpftally_otlp_data_points", "bpftally_otlp_data_points_dropped", "o", 3},
	    {"bpftally_loki_write_entries", "bpftally_loki_write_entries_dropped", "l",
	     3},
	};
	struct snapshot snapshot;

	describe(*state, &snapshot);
	for (size_t i = 0; i < LENGTH(kinds); i++) {
		const char *name = kinds[i].endpoint, *dropped = kinds[i].dropped;

		assert_int_equal(
		    count_series(&snapshot, kinds[i].sent, "remote_name", name), 1);
		assert_int_equal(count_series(&snapshot, dropped, "remote_name", name),
				 kinds[i].reasons);
		assert_int_equal(count_series(&snapshot, dropped, "reason", "corrupt"),
				 1);
	}
	snapshot_free(&snapshot);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(all_of_them_are_documented),
	    TEST(each_kind_has_a_name_for_what_it_sends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
