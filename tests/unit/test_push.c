/* SPDX-License-Identifier: Apache-2.0 */
/* push.c against real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"
#include "receiving.h"
#include "spool.h"

static void a_host_name_of_any_bytes_is_an_instance(void **state)
{
	struct scene *scene = *state;

	host_name = "caf\xe9-1";
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_true(body_has(first_request(scene, 0), "caf_-1"));
}

static void job_and_instance_of_the_config_stay(void **state)
{
	struct config_label external[] = {
	    {(char *)"job", (char *)"my-job"},
	    {(char *)"instance", (char *)"my-instance"},
	    {(char *)"region", (char *)"eu"},
	};
	struct scene *scene = *state;

	scene->config.external_labels = (struct config_labels){external, 3};
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_true(body_has(first_request(scene, 0), "my-job"));
	assert_true(body_has(first_request(scene, 0), "my-instance"));
	assert_true(body_has(first_request(scene, 0), "region"));
	assert_false(body_has(first_request(scene, 0), "bpftally"));
}

static void batches_go_in_order_over_one_connection(void **state)
{
	static const char *const marks[] = {"b1", "b2", "b3", "b4", "b5"};
	struct scene *scene = *state;

	start(scene, accept_all);
	for (size_t i = 0; i < LENGTH(marks); i++)
		collect_many(scene, marks[i], 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, LENGTH(marks));
	for (size_t i = 0; i < LENGTH(marks); i++) {
		assert_true(body_has(first_request(scene, i), marks[i]));
		if (i + 1 < LENGTH(marks))
			assert_false(body_has(first_request(scene, i), marks[i + 1]));
	}
	assert_int_equal(scene->servers[0]->connection_count, 1);
}

static bool second_is_done(struct scene *scene, size_t argument)
{
	(void)argument;
	return metric_of(scene, "second", "samples_pending") == 0;
}

static void a_dead_endpoint_delays_no_other(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	scene->config.remote_write_count = 2;
	server_listen(scene->servers[1]);
	start(scene, never);
	for (int i = 0; i < 10; i++) {
		collect_many(scene, "a", 5);
		run_until(scene, second_is_done, 0);
	}
	/* The first one's only request is still waiting for its answer. */
	assert_in_range(now_ms() - start_ms, 0, 9000);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(scene->servers[1]->count, 10);
	assert_int_equal(metric_of(scene, "second", "samples"), 50);
	expect_metric(scene, "samples", 0);
	expect_metric(scene, "samples_pending", 50);
}

static void each_endpoint_has_a_batch_size_of_its_own(void **state)
{
	struct scene *scene = *state;

	scene->config.remote_write_count = 2;
	scene->endpoints[1].queue.max_samples_per_send = 4;
	server_listen(scene->servers[1]);
	start(scene, accept_all);
	collect_many(scene, "a", 10);
	deliver(scene);
	run_until(scene, second_is_done, 0);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(scene->servers[1]->count, 3);
	expect_metric(scene, "samples", 10);
}

/* A receiver that is down for the first life, and up in the second. */
static void what_was_not_sent_is_sent_by_the_next_life(void **state)
{
	char directory[] = "/tmp/test_push.XXXXXX", path[64];
	struct scene *scene = *state;

	assert_non_null(mkdtemp(directory));
	scene->config.spool.directory = directory;
	scene->config.spool.is_given = true;
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "one", 3);
	collect_many(scene, "two", 3);
	push_flush(scene->push, 50);
	assert_non_null(strstr(log_text(scene), "12 samples wait in /tmp/test_push."));
	push_free(&scene->push);
	start(scene, accept_all);
	expect_metric(scene, "samples_pending", 12);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_true(body_has(first_request(scene, 0), "one"));
	assert_true(body_has(first_request(scene, 1), "two"));
	expect_metric(scene, "samples", 12);
	push_free(&scene->push);
	snprintf(path, sizeof(path), "%s/spool.db", directory);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/lock", directory);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

static void a_state_directory_that_was_asked_for_must_work(void **state)
{
	struct scene *scene = *state;

	scene->config.spool.directory = (char *)"/dev/null";
	scene->config.spool.is_given = true;
	assert_true(push_create(scene->loop, &scene->config, &scene->push) < 0);
	assert_non_null(strstr(log_text(scene), "/dev/null"));
	scene->config.spool.is_given = false;
	start(scene, accept_all);
	assert_non_null(strstr(log_text(scene), "is in memory, lost at the end"));
	collect_many(scene, "a", 1);
	deliver(scene);
	expect_metric(scene, "samples", 1);
}

static void a_collection_says_what_a_scraper_would(void **state)
{
	struct snapshot snapshot;

	(void)state;
	snapshot_init(&snapshot, 0);
	snapshot_value(&snapshot, &counted, (struct label_set){0}, 1);
	push_describe_collection(&snapshot, 0.25);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(snapshot.count, 4);
	assert_string_equal(snapshot.metrics[1].family->name, "up");
	assert_true(snapshot.metrics[1].value == 1);
	assert_string_equal(snapshot.metrics[2].family->name,
			    "scrape_duration_seconds");
	assert_true(snapshot.metrics[2].value == 0.25);
	assert_string_equal(snapshot.metrics[3].family->name, "scrape_samples_scraped");
	assert_true(snapshot.metrics[3].value == 1);
	snapshot_free(&snapshot);
}

static bool body_has_marker(const struct request *request)
{
	static const unsigned char stale[] = {0x09, 0x02, 0, 0, 0, 0, 0, 0xf0, 0x7f};

	return memmem(request->body, request->body_len, stale, sizeof(stale));
}

static void a_flush_ends_every_series_and_sends_what_waits(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, OK, NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	/* A backoff is cut short, or it would outlast the deadline. */
	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, answers);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 3);
	push_flush(scene->push, 10000);
	assert_in_range(now_ms() - start_ms, 0, 9000);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_false(body_has_marker(first_request(scene, 1)));
	assert_true(body_has_marker(first_request(scene, 2)));
	expect_metric(scene, "samples", 6);
	expect_metric(scene, "samples_pending", 0);
	assert_null(strstr(log_text(scene), "not sent"));
	push_flush(scene->push, 10000); /* nothing is left to say */
	assert_int_equal(scene->servers[0]->count, 3);
}

static void a_flush_gives_up_at_its_deadline_and_says_what_remains(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	start(scene, never);
	collect_many(scene, "a", 3);
	push_flush(scene->push, 100);
	assert_in_range(now_ms() - start_ms, 99, 9000);
	assert_string_equal(log_text(scene),
			    "bpftally: warning: remote_write \"first\": 6 samples "
			    "were not sent before the end\n");
}

/* The other endpoint is still served. */
static void a_flush_does_not_wait_for_who_asked_for_a_longer_pause(void **state)
{
	static const char *const later[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n", NULL};
	struct scene *scene = *state;
	uint64_t start_ms;

	scene->config.remote_write_count = 2;
	server_listen(scene->servers[1]);
	start(scene, later);
	collect_many(scene, "a", 3);
	run_until(scene, has_retried, 3);
	start_ms = now_ms();
	push_flush(scene->push, 2 * DEADLINE_MS);
	assert_true(now_ms() - start_ms < DEADLINE_MS);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(metric_of(scene, "second", "samples"), 6);
	assert_non_null(strstr(log_text(scene), "\"first\": 6 samples were not sent"));
}

struct late {
	struct scene *scene;
	bool is_over;
};

static void on_late_collection(void *context)
{
	struct late *late = context;

	collect_many(late->scene, "late", 1);
	late->is_over = true;
}

/* A series that came back after its marker would stay for five minutes. */
static void a_collection_during_the_flush_is_not_taken(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;
	struct late late = {scene, false};
	struct loop_timer *timer;

	start(scene, never);
	collect_many(scene, "a", 3);
	assert_int_equal(
	    loop_timer_create(scene->loop, on_late_collection, &late, &timer), 0);
	assert_int_equal(loop_timer_arm(timer, 10, 0), 0);
	push_flush(scene->push, 200);
	loop_timer_free(&timer);
	assert_true(late.is_over);
	expect_metric(scene, "samples_pending", 6);
}

static void without_endpoints_it_does_nothing(void **state)
{
	struct scene *scene = *state;
	struct snapshot snapshot;

	scene->config.remote_write_count = 0;
	start(scene, accept_all);
	collect_many(scene, "a", 1);
	snapshot_init(&snapshot, 0);
	push_describe(scene->push, &snapshot);
	assert_int_equal(snapshot.count, 0);
	snapshot_free(&snapshot);
	push_flush(scene->push, 10000);
	assert_int_equal(scene->servers[0]->count, 0);
}

static bool never(struct scene *scene, size_t argument)
{
	(void)scene;
	(void)argument;
	return false;
}

static void add_stamped(struct scene *scene, const char *mark, int64_t time_ms)
{
	const struct label labels[] = {{"__name__", "scraped"}, {"mark", mark}};
	const struct sample sample = {
	    .labels = labels,
	    .label_count = 2,
	    .family = &counted,
	    .time_ms = time_ms,
	};

	push_add(scene->push, &sample, time_ms);
}

static void add_scraped(struct scene *scene, const char *mark)
{
	add_stamped(scene, mark, push_time_ms(scene->push));
}

static bool are_requests(struct scene *scene, size_t count)
{
	return scene->servers[0]->count >= count;
}

static void what_is_scraped_within_a_second_is_one_collection(void **state)
{
	struct scene *scene = *state;
	uint64_t first;

	start(scene, accept_all);
	first = push_collection(scene->push);
	add_scraped(scene, "one.");
	add_scraped(scene, "two.");
	assert_int_equal(push_collection(scene->push), first);
	run_until(scene, are_requests, 1);
	deliver(scene);
	assert_int_equal(push_collection(scene->push), first + 1);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_true(body_has(first_request(scene, 0), "one."));
	assert_true(body_has(first_request(scene, 0), "two."));
	expect_metric(scene, "samples", 2);
}

static void our_own_collection_takes_along_what_was_scraped(void **state)
{
	struct scene *scene = *state;
	uint64_t first;

	start(scene, accept_all);
	first = push_collection(scene->push);
	add_scraped(scene, "scraped.");
	collect_many(scene, "own", 1);
	assert_int_equal(push_collection(scene->push), first + 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_true(body_has(first_request(scene, 0), "scraped."));
	assert_true(body_has(first_request(scene, 0), "own.0"));
}

static void a_series_that_comes_again_is_in_the_next_collection(void **state)
{
	struct scene *scene = *state;

	start(scene, accept_all);
	add_scraped(scene, "again.");
	push_commit(scene->push);
	add_scraped(scene, "again.");
	push_commit(scene->push);
	push_commit(scene->push); /* nothing is open: nothing happens */
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 2);
	expect_metric(scene, "samples", 2);
}

static void expect_last_time(struct scene *scene, int64_t time_ms)
{
	push_commit(scene->push);
	assert_int_equal(spool_last_time_ms(push_spool(scene->push)), time_ms);
}

/* Those of a slow target were stamped before those that went out meanwhile. */
static void the_newest_time_is_remembered_unless_the_clock_was_wrong(void **state)
{
	const int64_t hours_ms = 3 * 3600 * 1000;
	struct scene *scene = *state;
	int64_t time_ms;

	start(scene, accept_all);
	time_ms = push_time_ms(scene->push);
	add_stamped(scene, "quick.", time_ms);
	expect_last_time(scene, time_ms);
	add_stamped(scene, "slow.", time_ms - 10000);
	expect_last_time(scene, time_ms);
	add_stamped(scene, "set back.", time_ms - hours_ms);
	expect_last_time(scene, time_ms - hours_ms);
}

static void a_clock_put_back_is_told_once_for_all_that_is_sent(void **state)
{
	struct scene *scene = *state;

	start(scene, accept_all);
	scene->time_ms = clock_ms(CLOCK_REALTIME) + 600000; /* until it is put right */
	collect_many(scene, "a", 1);
	assert_int_equal(push_time_ms(scene->push), scene->time_ms);
	scene->time_ms -= 600000;
	collect_many(scene, "a", 1);
	assert_int_equal(occurrences(log_text(scene), "the wall clock went back"), 1);
	assert_int_equal(occurrences(scene->log, "\n"), 1);
}

/* Ours is a counter "twice", scraped it has its suffix in its name. */
static void one_family_speaks_for_those_of_its_name(void **state)
{
	static const struct family families[] = {
	    {"twice", "told here", "", METRIC_COUNTER, 1},
	    {"twice_total", "told there", "", METRIC_COUNTER, FAMILY_SCRAPED},
	    {"twice_more", "told beside", "", METRIC_GAUGE, FAMILY_SCRAPED},
	    {"twice_total", "told again", "", METRIC_COUNTER, FAMILY_SCRAPED},
	};
	struct scene *scene = *state;
	unsigned int told = 0, beside = 0;

	scene->endpoints[0].send_metadata = true;
	start(scene, accept_all);
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		const struct label labels[] = {{"__name__", "x"},
					       {"i", (char[2]){'a' + (char)i}}};
		const struct sample sample = {
		    .labels = labels,
		    .label_count = 2,
		    .family = &families[i],
		    .time_ms = push_time_ms(scene->push),
		};

		push_add(scene->push, &sample, sample.time_ms);
	}
	push_commit(scene->push);
	deliver(scene);
	for (size_t i = 0; i < scene->servers[0]->count; i++) {
		const struct request *request = first_request(scene, i);

		told += body_has(request, "told here") +
			body_has(request, "told there") +
			body_has(request, "told again");
		beside += body_has(request, "told beside");
	}
	assert_int_equal(told, 1);
	assert_int_equal(beside, 1);
}

static void a_flush_sends_what_was_scraped_and_ends_only_our_own(void **state)
{
	struct scene *scene = *state;

	start(scene, accept_all);
	add_scraped(scene, "scraped.");
	push_flush(scene->push, DEADLINE_MS);
	assert_int_equal(scene->servers[0]->count, 1);
	add_scraped(scene, "late.");
	push_commit(scene->push);
	expect_metric(scene, "samples", 1);
}

static void nothing_wakes_while_nothing_waits(void **state)
{
	struct scene *scene = *state;
	struct wait wait = {scene, never, 0, 0};
	struct loop_timer *timer;
	struct rusage before, after;

	start(scene, accept_all);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(loop_timer_create(scene->loop, on_look, &wait, &timer), 0);
	/* What is left of the request: the loop asleep for the first time. */
	loop_timer_arm(timer, 50, 0);
	loop_run(scene->loop);
	loop_timer_arm(timer, 500, 0);
	getrusage(RUSAGE_SELF, &before);
	loop_run(scene->loop);
	getrusage(RUSAGE_SELF, &after);
	loop_timer_free(&timer);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 0, 1);
}

static void collect_histogram(struct scene *scene)
{
	static const struct family duration = {"took_seconds", "Took.", "seconds",
					       METRIC_HISTOGRAM, 2};
	static const double bounds[] = {0.005, 1, 10};
	static const uint64_t buckets[] = {1, 2, 0, 4};
	const struct histogram histogram = {
	    .bounds = bounds,
	    .bound_count = LENGTH(bounds),
	    .buckets = buckets,
	    .sum = 5.5,
	};
	const struct label label = {"Upper", "gr\xc3\xbc\xc3\x9f"};
	struct snapshot snapshot;

	scene->time_ms += 1000;
	snapshot_init(&snapshot, scene->time_ms);
	snapshot_histogram(&snapshot, &duration, snapshot_labels(&snapshot, &label, 1),
			   &histogram);
	push_describe(scene->push, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	assert_int_equal(push_collect(scene->push, &snapshot), 0);
	snapshot_free(&snapshot);
}

static void a_strict_receiver_accepts_every_request(void **state)
{
	struct scene *scene = *state;
	struct child child;
	char *output;

	receiver_start(&child, "204*2,503*2,hang,close,429:Retry-After=@1,200:Body=ok",
		       false);
	snprintf(scene->urls[0], sizeof(scene->urls[0]), "http://127.0.0.1:%u/push",
		 child.port);
	scene->endpoints[0].http.timeout_ms = 300;
	scene->endpoints[0].queue.retry_on_http_429 = true;
	scene->endpoints[0].queue.max_samples_per_send = 6;
	scene->endpoints[0].queue.max_shards = 1;
	start(scene, accept_all);
	for (int i = 0; i < 3; i++) {
		collect_many(scene, "a", 5);
		collect_histogram(scene);
		deliver(scene);
	}
	push_flush(scene->push, 10000);
	expect_metric(scene, "samples_pending", 0);
	expect_metric(scene, "samples_failed", 0);
	output = receiver_end(&child);
	assert_true(occurrences(output, "\n") > 12);
	assert_int_equal(occurrences(output, "\"violations\": []"),
			 occurrences(output, "\n"));
	assert_int_equal(occurrences(output, "\"status\": 503"), 2);
	assert_int_equal(occurrences(output, "\"status\": \"hang\""), 1);
	assert_int_equal(occurrences(output, "\"Retry-Attempt\": \"4\""), 1);
	assert_true(occurrences(output, "\"bits\": \"7ff0000000000002\"") > 0);
	assert_int_equal(occurrences(output, "\"bits\": \"7ff8"), 0);
	assert_true(occurrences(output, "\"le\": \"1.0\"") > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_host_name_of_any_bytes_is_an_instance),
	    TEST(job_and_instance_of_the_config_stay),
	    TEST(batches_go_in_order_over_one_connection),
	    TEST(a_dead_endpoint_delays_no_other),
	    TEST(each_endpoint_has_a_batch_size_of_its_own),
	    TEST(what_was_not_sent_is_sent_by_the_next_life),
	    TEST(a_state_directory_that_was_asked_for_must_work),
	    TEST(a_collection_says_what_a_scraper_would),
	    TEST(a_flush_ends_every_series_and_sends_what_waits),
	    TEST(a_flush_gives_up_at_its_deadline_and_says_what_remains),
	    TEST(a_flush_does_not_wait_for_who_asked_for_a_longer_pause),
	    TEST(a_collection_during_the_flush_is_not_taken),
	    TEST(without_endpoints_it_does_nothing),
	    TEST(what_is_scraped_within_a_second_is_one_collection),
	    TEST(our_own_collection_takes_along_what_was_scraped),
	    TEST(a_series_that_comes_again_is_in_the_next_collection),
	    TEST(the_newest_time_is_remembered_unless_the_clock_was_wrong),
	    TEST(a_clock_put_back_is_told_once_for_all_that_is_sent),
	    TEST(one_family_speaks_for_those_of_its_name),
	    TEST(a_flush_sends_what_was_scraped_and_ends_only_our_own),
	    TEST(nothing_wakes_while_nothing_waits),
	    TEST(a_strict_receiver_accepts_every_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
