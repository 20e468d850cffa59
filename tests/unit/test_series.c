/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "documented.h"
#include "quantile.h"
#include "series_case.h"

/* --- expiry ------------------------------------------------------------------- */

static void an_expired_service_goes_with_everything(void **state)
{
	struct scene *scene = *state;

	name_alias(scene, PROVISIONAL(1), 1, NOW - 10 * SERIES_SETTLE_MS);
	name_alias(scene, PROVISIONAL(2), 1, NOW);
	count_plain(PROVISIONAL(1), 1);
	count_plain(PROVISIONAL(2), 2);
	count_plain(1, 4);
	count_plain(2, 8);
	put_route(77, 1, "/a");
	put_route_count(1);
	put_route_count(2);
	put_route(78, PROVISIONAL(2), "/b");
	put_route(79, 2, "/c");
	collect_well(scene, NOW);
	check_plain(scene, WEB, 7);
	assert_int_equal(kernel_rows(), 3);
	scene->targets.expired = 1;
	collect_well(scene, NOW);
	check_absent(scene, "web");
	check_plain(scene, "service_name=\"db\"", 8);
	assert_int_equal(scene->targets.expired, 0);
	assert_int_equal(scene->targets.alias_count, 0);
	assert_int_equal(kernel_rows(), 1);
	assert_false(has_route(77, 1));
	assert_false(has_route_count(1));
	assert_true(has_route_count(2));
	assert_false(has_route(78, PROVISIONAL(2)));
	assert_true(has_route(79, 2));
	scene->targets.services[0] =
	    (struct service){.id = 1, .name = "web", .name_space = "eu"};
	collect_well(scene, NOW); /* nothing of it was kept */
	check_absent(scene, "web");
}

static void a_service_whose_rows_cannot_be_deleted_is_not_dropped(void **state)
{
	struct scene *scene = *state;

	count_plain(1, 4);
	scene->targets.expired = 1;
	fake_maps[PROBES_SERIES].delete_err = -EPERM;
	collect(scene, NOW);
	assert_int_equal(scene->err, -EPERM);
	assert_int_equal(scene->targets.expired, 1);
	check_plain(scene, WEB, 4);
}

/* --- any history --------------------------------------------------------------- */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Requests shown in all, and those of each service. */
struct shown {
	uint64_t all, web, db, unknown;
};

static struct shown shown(const struct scene *scene)
{
	static const char family[] = "\nhttp_server_request_duration_seconds_count{";
	struct shown sums = {0};

	for (const char *line = strstr(scene->text.data, family); line;
	     line = strstr(line + 1, family)) {
		const char *end = strchr(line + 1, '\n'), *value = end;
		const char *service = strstr(line, "service_name=\"") + 14;
		uint64_t requests;

		while (value[-1] != ' ')
			value--;
		requests = strtoull(value, NULL, 10);
		sums.all += requests;
		if (!strncmp(service, "web\"", 4))
			sums.web += requests;
		if (!strncmp(service, "db\"", 3))
			sums.db += requests;
		if (!strncmp(service, "unknown\"", 8))
			sums.unknown += requests;
	}
	return sums;
}

struct history {
	uint64_t seed;
	int64_t now_ms;
	uint32_t next_id;
	uint64_t counted;
	struct {
		uint32_t kernel_id; /* what its connections count under */
		uint32_t provisional;
	} processes[16];
};

static void live_a_little(struct scene *scene, struct history *history)
{
	uint32_t pid = (uint32_t)(next_random(&history->seed) % 16);
	uint32_t id = history->processes[pid].kernel_id;
	uint64_t act = next_random(&history->seed) % 8;

	history->now_ms += (int64_t)(next_random(&history->seed) % 400);
	if (!id) {
		id = PROVISIONAL(++history->next_id);
		history->processes[pid].kernel_id = id;
		history->processes[pid].provisional = id;
		put_process(pid + 1, id, 0);
	}
	if (act < 5) {
		count_plain(id, act + 1);
		history->counted += act + 1;
	} else if (act == 5 && id & TALLY_SERVICE_PROVISIONAL &&
		   scene->targets.alias_count < ALIASES) {
		history->processes[pid].kernel_id = pid % 2 + 1;
		name_alias(scene, id, pid % 2 + 1, history->now_ms);
		put_process(pid + 1, pid % 2 + 1, 0);
	} else if (act == 6) {
		/* gone, and its event is handled after it */
		if (id & TALLY_SERVICE_PROVISIONAL && pid % 3)
			name_alias(scene, id, pid % 2 + 1, history->now_ms);
		history->processes[pid].kernel_id = 0;
		end_process(pid + 1);
	}
}

static void in_any_history_no_counter_falls_and_none_is_lost(void **state)
{
	struct history history = {.seed = (uint64_t)time(NULL) | 1, .now_ms = NOW};
	struct scene *scene = *state;
	struct shown last = {0};

	printf("seed %llu\n", (unsigned long long)history.seed);
	for (int i = 0; i < 3000; i++) {
		struct shown now;

		live_a_little(scene, &history);
		if (next_random(&history.seed) % 4)
			continue;
		collect_well(scene, history.now_ms);
		now = shown(scene);
		assert_true(now.all <= history.counted);
		assert_true(now.all >= last.all);
		assert_true(now.web >= last.web);
		assert_true(now.db >= last.db);
		assert_true(now.unknown >= last.unknown);
		last = now;
	}
	/* in the end all has a name, or has been without for long */
	for (uint32_t pid = 0; pid < 16; pid++)
		if (history.processes[pid].kernel_id)
			end_process(pid + 1);
	collect_well(scene, history.now_ms);
	for (int i = 0; i < 2; i++) {
		collect_well(scene, history.now_ms + 10000);
		assert_int_equal(shown(scene).all, history.counted);
	}
	assert_int_equal(scene->targets.alias_count, 0);
	assert_true(kernel_rows() <= 2);
}

/* --- summaries ------------------------------------------------------------------ */

static void summarize(struct scene *scene)
{
	series_free(&scene->series);
	assert_int_equal(series_create(ROWS, true, &scene->series), 0);
}

#define WEB_QUANTILES                                                                  \
	"http_server_request_duration_quantiles_seconds%s{http_request_method="        \
	"\"GET\","                                                                     \
	"http_response_status_code=\"200\"," WEB ",url_scheme=\"http\"%s} %s"

static void check_quantiles(const struct scene *scene, const char *count,
			    const char *median)
{
	char line[512];

	snprintf(line, sizeof(line), WEB_QUANTILES, "_count", "", count);
	check_line(scene, line);
	snprintf(line, sizeof(line), WEB_QUANTILES, "", ",quantile=\"0.5\"", median);
	check_line(scene, line);
}

static void without_the_switch_there_are_no_summaries(void **state)
{
	struct scene *scene = *state;

	count_plain(1, 1);
	collect_well(scene, NOW);
	check_absent(scene, "quantile");
}

/* Row, alias and what retired are one label set: its window goes on when a row moves
 * from the kernel to here, and there is nothing new then. */
static void a_window_outlives_the_rows_of_its_labels(void **state)
{
	const int64_t minute = 60000;
	const uint64_t recent[NATIVE_BUCKETS] = {[80] = 1}; /* as count() has it */
	struct scene *scene = *state;
	char median[32];

	text_number(median, quantile_of(&quantile_durations, recent, 0.5) / 1e9);
	summarize(scene);
	count_plain(1, 2);
	count_plain(PROVISIONAL(1), 3);
	put_process(10, PROVISIONAL(1), 0);
	name_alias(scene, PROVISIONAL(1), 1, NOW);
	collect_well(scene, NOW);
	check_quantiles(scene, "5", median);
	for (int64_t i = 1; i <= 11; i++)
		collect_well(scene, NOW + i * minute);
	check_quantiles(scene, "5", "NaN");
	end_process(10);
	collect_well(scene, NOW + 12 * minute);
	assert_int_equal(kernel_rows(), 1); /* the alias has retired */
	check_quantiles(scene, "5", "NaN");
	count_plain(1, 1);
	collect_well(scene, NOW + 13 * minute);
	check_quantiles(scene, "6", median);
}

/* --- the document -------------------------------------------------------------- */

static void the_document_names_exactly_these_metrics(void **state)
{
	static struct names documented, exposed;
	struct tally_series_key key = server_key(1);
	struct scene *scene = *state;
	struct snapshot snapshot;

	summarize(scene);
	count(&key, 1);
	key.role = TALLY_ROLE_CLIENT;
	count(&key, 1);
	snapshot_init(&snapshot, 0);
	assert_int_equal(series_collect(scene->series, &scene->probes, &scene->targets,
					NOW, &snapshot),
			 0);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	names_of_snapshot(&exposed, &snapshot);
	names_read(&documented, "Requests");
	names_check_same(&documented, &exposed);
	snapshot_free(&snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_expired_service_goes_with_everything),
	    TEST(a_service_whose_rows_cannot_be_deleted_is_not_dropped),
	    TEST(in_any_history_no_counter_falls_and_none_is_lost),
	    TEST(without_the_switch_there_are_no_summaries),
	    TEST(a_window_outlives_the_rows_of_its_labels),
	    TEST(the_document_names_exactly_these_metrics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
