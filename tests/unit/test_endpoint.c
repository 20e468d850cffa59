/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.c against real sockets, as push uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "buckets.h"
#include "direct.h"
#include "wire.h"

static void what_failed_is_sent_again_before_what_is_newer(void **state)
{
	static const char *const answers[] = {
	    UNAVAILABLE,
	    STATUS("500 Internal Server Error"),
	    /* On a connection that was in use before, curl tries once more itself. */
	    "HTTP/1.1 529 Overloaded\r\nConnection: close\r\nContent-Length: "
	    "0\r\n\r\n",
	    CLOSE,
	    OK,
	    UNAVAILABLE,
	    OK,
	    NULL,
	};
	static const struct {
		const char *mark, *attempt;
	} expected[] = {
	    {"old", NULL},
	    {"old", "Retry-Attempt: 1"},
	    {"old", "Retry-Attempt: 2"},
	    {"old", "Retry-Attempt: 3"},
	    {"old", "Retry-Attempt: 4"},
	    {"new", NULL},
	    {"new", "Retry-Attempt: 1"},
	};
	const size_t first_new = 5;
	struct scene *scene = *state;

	start(scene, answers);
	collect_many(scene, "old", 3);
	collect_many(scene, "new", 2);
	expect_metric(scene, "samples_pending", 8); /* with three stale markers */
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, LENGTH(expected));
	for (size_t i = 0; i < LENGTH(expected); i++) {
		struct request *request = first_request(scene, i);

		assert_true(body_has(request, expected[i].mark));
		assert_int_equal(body_has(request, "new"), i >= first_new);
		if (expected[i].attempt)
			assert_true(has_header(request, expected[i].attempt));
		else
			assert_false(has_header_named(request, "Retry-Attempt"));
	}
	expect_metric(scene, "samples", 8);
	expect_metric(scene, "samples_retried", 4 * 3 + 5);
	expect_metric(scene, "samples_failed", 0);
	expect_metric(scene, "samples_dropped", 0);
}

static void a_refused_connection_is_retried(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "a", 1);
	run_until(scene, has_retried, 3);
	assert_int_equal(scene->servers[0]->count, 0);
	server_listen(scene->servers[0]);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_true(has_header_named(first_request(scene, 0), "Retry-Attempt"));
	expect_metric(scene, "samples", 1);
}

static void a_request_without_answer_is_retried_after_the_timeout(void **state)
{
	static const char *const answers[] = {HANG, OK, NULL};
	struct scene *scene = *state;
	uint64_t waited_ms;

	scene->endpoints[0].http.timeout_ms = 60;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 2);
	waited_ms = first_request(scene, 1)->time_ms - first_request(scene, 0)->time_ms;
	assert_in_range(waited_ms, 50, DEADLINE_MS);
	assert_true(has_header(first_request(scene, 1), "Retry-Attempt: 1"));
	expect_metric(scene, "samples_retried", 1);
}

/* A backoff would outlast the test. */
static void retry_after_replaces_the_backoff(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    DATED,
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.min_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_true(
	    first_request(scene, 1)->time_ms - first_request(scene, 0)->time_ms >= 999);
	assert_true(first_request(scene, 2)->time_s >= scene->servers[0]->date);
}

/* Any wait but the backoff's would outlast the test. */
static void a_retry_after_that_says_nothing_leaves_the_backoff(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 503 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 503 No\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	    "Content-Length: 0\r\n\r\n",
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.min_backoff_ms = 20;
	scene->endpoints[0].queue.max_backoff_ms = 20;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 4);
	for (size_t i = 1; i < 4; i++)
		assert_true(first_request(scene, i)->time_ms -
				first_request(scene, i - 1)->time_ms >=
			    19);
}

static void backoff_grows_to_its_maximum_and_never_shrinks(void **state)
{
	static const char *const answers[] = {
	    UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK, NULL};
	/* Waits of 20, 40, 80, 80, 80 ms, each stretched by the same jitter. */
	static const uint64_t least_ms[] = {20, 40, 80, 80, 80};
	struct scene *scene = *state;

	scene->endpoints[0].queue.min_backoff_ms = 20;
	scene->endpoints[0].queue.max_backoff_ms = 80;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 6);
	for (size_t i = 0; i < LENGTH(least_ms); i++)
		assert_in_range(first_request(scene, i + 1)->time_ms -
				    first_request(scene, i)->time_ms,
				least_ms[i] - 1, DEADLINE_MS);
}

static void a_refusal_is_never_retried(void **state)
{
	static const char *const refusals[] = {
	    STATUS("400 Bad Request"),
	    STATUS("401 Unauthorized"),
	    STATUS("403 Forbidden"),
	    STATUS("404 Not Found"),
	    STATUS("413 Too Large"),
	    STATUS("429 Too Many Requests"),
	    "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 307 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
	    "HTTP/1.1 301 No\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
	    OK,
	    NULL,
	};
	const size_t count = LENGTH(refusals) - 2;
	struct scene *scene = *state;

	scene->endpoints[0].http.follow_redirects = false;
	start(scene, refusals);
	for (size_t i = 0; i < count; i++) {
		collect_many(scene, "a", 2);
		deliver(scene);
		assert_int_equal(scene->servers[0]->count, i + 1);
		expect_metric(scene, "samples_failed", 2 * (double)(i + 1));
	}
	collect_many(scene, "a", 2);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, count + 1);
	for (size_t i = 0; i <= count; i++) {
		assert_false(
		    has_header_named(first_request(scene, i), "Retry-Attempt"));
		assert_int_equal(
		    strncmp(first_request(scene, i)->head, "POST /push ", 11), 0);
	}
	expect_metric(scene, "samples", 2);
	expect_metric(scene, "samples_retried", 0);
	expect_metric(scene, "samples_failed", 2 * (double)count);
}

static void a_refusal_is_logged_up_to_1024_bytes_on_one_line(void **state)
{
	static char answer[5000] = "HTTP/1.1 400 No\r\nContent-Length: 4000\r\n\r\n";
	const char *answers[] = {answer, NULL};
	struct scene *scene = *state;
	size_t start_of_body = strlen(answer);

	memset(answer + start_of_body, 'x', 4000);
	memcpy(answer + start_of_body, "a\nbpftally: error: forged", 24);
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_int_equal(occurrences(log_text(scene), "\n"), 1);
	assert_int_equal(occurrences(scene->log, "x"), 1024 - 24 + 1); /* and \x0a */
}

static void a_refusal_of_another_status_is_logged_at_once(void **state)
{
	static const char *const answers[] = {STATUS("413 Too Large"),
					      STATUS("413 Too Large"),
					      STATUS("401 Unauthorized"), NULL};
	struct scene *scene = *state;

	start(scene, answers);
	for (size_t i = 0; i < 3; i++) {
		collect_many(scene, "a", 1);
		deliver(scene);
	}
	assert_string_equal(log_text(scene),
			    "bpftally: warning: remote_write \"first\": refused 1 "
			    "sample, not retried: status 413\n"
			    "bpftally: warning: remote_write \"first\": refused 1 "
			    "sample, not retried: status 401\n");
}

static void a_refusal_says_of_what_and_ends_where_its_text_does(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 401 No\r\nContent-Length: 14\r\n\r\nno such token\n", NULL};
	struct scene *scene = *state;

	start(scene, answers);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_string_equal(log_text(scene),
			    "bpftally: warning: remote_write \"first\": refused 3 "
			    "samples, not retried: status 401: no such token\n");
}

static void refused_metadata_is_called_so(void **state)
{
	static const char *const answers[] = {STATUS("401 No"), NULL};
	struct scene *scene = *state;

	scene->endpoints[0].send_metadata = true;
	start(scene, answers);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_string_equal(log_text(scene),
			    "bpftally: warning: remote_write \"first\": refused "
			    "metadata, not retried: status 401\n");
}

static void an_outage_and_its_end_are_logged_once(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, UNAVAILABLE, UNAVAILABLE,
					      UNAVAILABLE, OK,          NULL};
	struct scene *scene = *state;

	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_string_equal(
	    log_text(scene),
	    "bpftally: warning: remote_write \"first\": cannot send, will retry: "
	    "status 503\n"
	    "bpftally: info: remote_write \"first\": works again, after 4 failed "
	    "requests\n");
}

static void an_outage_of_one_request_is_told_in_the_singular(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, OK, NULL};
	struct scene *scene = *state;

	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	assert_non_null(
	    strstr(log_text(scene), "works again, after 1 failed request\n"));
}

static bool has_requests(struct scene *scene, size_t count)
{
	return scene->servers[0]->count >= count;
}

/* --- side by side ----------------------------------------------------------------- */

static void requests_of_one_collection_go_side_by_side(void **state)
{
	static const char *const never[] = {HANG, NULL};
	struct scene *scene = *state;

	scene->endpoints[0].queue.max_samples_per_send = 2;
	scene->endpoints[0].queue.max_shards = 3;
	start(scene, never);
	collect_many(scene, "one", 10);
	collect_many(scene, "two", 10);
	run_until(scene, has_requests, 3);
	run_for(scene, 50);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_int_equal(scene->servers[0]->connection_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_false(body_has(first_request(scene, i), "two"));
}

static void a_collection_waits_for_all_of_the_one_before(void **state)
{
	static const char *const answers[] = {OK, HANG, NULL};
	struct scene *scene = *state;

	scene->endpoints[0].queue.max_samples_per_send = 2;
	start(scene, answers);
	collect_many(scene, "one", 4);
	collect_many(scene, "two", 4);
	run_until(scene, has_requests, 2);
	run_for(scene, 50);
	assert_int_equal(scene->servers[0]->count, 2);
	assert_false(body_has(first_request(scene, 1), "two"));
}

static void while_it_fails_there_is_one_request_at_a_time(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, UNAVAILABLE, UNAVAILABLE,
					      UNAVAILABLE, HANG,        NULL};
	struct scene *scene = *state;

	scene->endpoints[0].queue.max_samples_per_send = 2;
	scene->endpoints[0].queue.max_shards = 4;
	start(scene, answers);
	collect_many(scene, "a", 8);
	run_until(scene, has_requests, 5);
	run_for(scene, 50);
	assert_int_equal(scene->servers[0]->count, 5);
}

/* The first one is told to wait, the others fail as well: nobody comes earlier. */
static void a_pause_that_was_asked_for_holds_for_all_requests(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    UNAVAILABLE,
	    UNAVAILABLE,
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.max_samples_per_send = 2;
	start(scene, answers);
	collect_many(scene, "a", 6);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 6);
	assert_in_range(first_request(scene, 3)->time_ms -
			    first_request(scene, 0)->time_ms,
			999, DEADLINE_MS);
	expect_metric(scene, "samples", 6);
}

/* Eight that fail side by side are one failure: the next wait is the first one. */
static void requests_that_fail_together_back_off_once(void **state)
{
	static const char *const answers[] = {
	    UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, UNAVAILABLE,
	    UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, OK,          NULL};
	struct scene *scene = *state;
	uint64_t start_ms = now_ms();

	/* Eight times twice as long would outlast the test. */
	scene->endpoints[0].queue.min_backoff_ms = 200;
	scene->endpoints[0].queue.max_backoff_ms = 3600000;
	scene->endpoints[0].queue.max_samples_per_send = 1;
	start(scene, answers);
	collect_many(scene, "a", 8);
	deliver(scene);
	assert_in_range(now_ms() - start_ms, 200, DEADLINE_MS);
	expect_metric(scene, "samples", 8);
	expect_metric(scene, "samples_retried", 8);
}

static void one_that_always_fails_does_not_keep_the_others(void **state)
{
	static const char *const answers[] = {UNAVAILABLE, UNAVAILABLE, OK, NULL};
	struct scene *scene = *state;

	scene->endpoints[0].queue.max_samples_per_send = 2;
	scene->endpoints[0].queue.max_shards = 2;
	start(scene, answers);
	collect_many(scene, "a", 4);
	deliver(scene);
	/* Both failed; the one that failed again would come first for ever. */
	assert_false(body_has(first_request(scene, 2), "a.2") &&
		     body_has(first_request(scene, 3), "a.2"));
	expect_metric(scene, "samples", 4);
}

static bool has_dropped(struct scene *scene, size_t samples)
{
	return metric_of(scene, "first", "samples_dropped") >= (double)samples;
}

static void what_gets_too_old_while_it_fails_is_given_up(void **state)
{
	struct scene *scene = *state;

	scene->config.spool.age_max_ms = 60000;
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "old", 3);
	run_until(scene, has_retried, 3);
	expect_metric(scene, "samples_dropped", 0);
	scene->time_ms += 120000;
	collect_many(scene, "new", 2);
	run_until(scene, has_dropped, 3);
	expect_metric(scene, "samples_dropped", 3);
	server_listen(scene->servers[0]);
	deliver(scene);
	assert_true(body_has(first_request(scene, 0), "new"));
	expect_metric(scene, "samples_failed", 0);
}

/* --- without push: what is in the spool is made here ----------------------------- */

/* Its receiver took nothing but 1.0 in an earlier life. */
static void start_direct(struct direct *direct, struct scene *scene)
{
	scene->endpoints[0].is_v2 = true;
	direct_open(direct, scene, "first");
	assert_int_equal(spool_set(direct->spool, direct->lane, "wants_v1", 1), 0);
}

static void make_endpoint(struct direct *direct, struct scene *scene)
{
	const struct endpoint_config config = {.remote_write = &scene->endpoints[0]};

	direct_endpoint(direct, scene, &config);
}

static void put_garbage(struct direct *direct, uint32_t samples)
{
	struct wire_batch *batch = calloc(1, sizeof(*batch) + 7);

	*batch = (struct wire_batch){.references = 1,
				     .message = WIRE_V2,
				     .samples = samples,
				     .time_ms = 1700000000000,
				     .len = 7};
	memcpy(batch->bytes, "garbage", 7);
	spool_put(direct->lane, batch);
}

static void on_wire_batch(void *context, struct wire_batch *batch)
{
	const struct direct *direct = context;

	spool_put(direct->lane, batch);
}

/* A batch of one series. */
static void put_one(struct direct *direct, bool is_native)
{
	static const struct family family = {"a", "A.", "", METRIC_HISTOGRAM, 1};
	static const struct label label = {"__name__", "a"};
	static const uint64_t native[NATIVE_BUCKETS] = {1};
	const struct wire_format format = {WIRE_V2, true, 1, false};
	const struct sample sample = {.labels = &label,
				      .label_count = 1,
				      .family = &family,
				      .time_ms = 1700000000000,
				      .is_native = is_native,
				      .native = native};
	struct wire_writer *writer;

	assert_int_equal(wire_writer_create(&format, on_wire_batch, direct, &writer),
			 0);
	assert_int_equal(wire_add(writer, &sample), 0);
	assert_int_equal(wire_finish(writer), 0);
	wire_writer_free(&writer);
}

static void what_can_never_be_sent_is_dropped_and_told(void **state)
{
	struct scene *scene = *state;
	struct direct direct;

	start_direct(&direct, scene);
	spool_begin(direct.spool, scene->time_ms);
	put_garbage(&direct, 1);
	put_garbage(&direct, 6);
	put_one(&direct, false);
	spool_commit(direct.spool, false);
	make_endpoint(&direct, scene);
	endpoint_send(direct.endpoint, false);
	for (int i = 0; i < 1000 && endpoint_is_busy(direct.endpoint, UINT64_MAX); i++)
		run_for(scene, 1);
	assert_int_equal(waiting_of(&direct).samples, 0);
	assert_int_equal(waiting_of(&direct).dropped[SPOOL_CORRUPT], 7);
	assert_int_equal(endpoint_counters(direct.endpoint)->samples, 1);
	assert_int_equal(endpoint_counters(direct.endpoint)->failed, 0);
	assert_int_equal(endpoint_counters(direct.endpoint)->retried, 0);
	assert_int_equal(scene->servers[0]->count, 1);
	assert_int_equal(occurrences(log_text(scene), "cannot be read"), 1);
	assert_non_null(strstr(scene->log, "\"first\": 1 sample that waited cannot be "
					   "read, and is dropped\n"));
	direct_end(&direct);
}

/* Of native histograms alone 1.0 leaves nothing. */
static void many_batches_that_are_not_sent_leave_the_loop_to_others(void **state)
{
	struct scene *scene = *state;
	struct direct direct;
	uint64_t before = 200;

	start_direct(&direct, scene);
	spool_begin(direct.spool, scene->time_ms);
	for (int i = 0; i < 200; i++)
		put_one(&direct, true);
	spool_commit(direct.spool, false);
	make_endpoint(&direct, scene);
	endpoint_send(direct.endpoint, false);
	assert_int_equal(waiting_of(&direct).samples, 200 - 64);
	while (endpoint_is_busy(direct.endpoint, 0)) {
		assert_true(before - waiting_of(&direct).samples <= 64 * 2);
		before = waiting_of(&direct).samples;
		run_for(scene, 0);
	}
	assert_int_equal(waiting_of(&direct).samples, 0);
	assert_int_equal(endpoint_counters(direct.endpoint)->failed, 200);
	assert_int_equal(scene->servers[0]->count, 0);
	direct_end(&direct);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(what_failed_is_sent_again_before_what_is_newer),
	    TEST(a_refused_connection_is_retried),
	    TEST(a_request_without_answer_is_retried_after_the_timeout),
	    TEST(retry_after_replaces_the_backoff),
	    TEST(a_retry_after_that_says_nothing_leaves_the_backoff),
	    TEST(backoff_grows_to_its_maximum_and_never_shrinks),
	    TEST(a_refusal_is_never_retried),
	    TEST(a_refusal_is_logged_up_to_1024_bytes_on_one_line),
	    TEST(a_refusal_of_another_status_is_logged_at_once),
	    TEST(a_refusal_says_of_what_and_ends_where_its_text_does),
	    TEST(refused_metadata_is_called_so),
	    TEST(an_outage_and_its_end_are_logged_once),
	    TEST(an_outage_of_one_request_is_told_in_the_singular),
	    TEST(requests_of_one_collection_go_side_by_side),
	    TEST(a_collection_waits_for_all_of_the_one_before),
	    TEST(while_it_fails_there_is_one_request_at_a_time),
	    TEST(a_pause_that_was_asked_for_holds_for_all_requests),
	    TEST(requests_that_fail_together_back_off_once),
	    TEST(one_that_always_fails_does_not_keep_the_others),
	    TEST(what_gets_too_old_while_it_fails_is_given_up),
	    TEST(what_can_never_be_sent_is_dropped_and_told),
	    TEST(many_batches_that_are_not_sent_leave_the_loop_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
