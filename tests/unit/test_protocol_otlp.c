/* SPDX-License-Identifier: Apache-2.0 */
/* protocol_otlp.c, as push uses it, against real sockets. What is in the requests,
 * test_otlp.c says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiving.h"

#define ACCEPTED STATUS("200 OK")

static const char *const accept_otlp[] = {ACCEPTED, NULL};

/* Of the first server, alone. */
static void set_otlp(struct scene *scene)
{
	scene->otlp = (struct config_otlp){
	    .name = (char *)"first",
	    .http = scene->endpoints[0].http,
	    .queue = scene->endpoints[0].queue,
	    .gzip = true,
	};
	scene->config.remote_write_count = 0;
	scene->config.otlps = &scene->otlp;
	scene->config.otlp_count = 1;
}

static void start_otlp(struct scene *scene, const char *const *answers)
{
	set_otlp(scene);
	start(scene, answers);
}

static bool no_point_pends(struct scene *scene, size_t argument)
{
	(void)argument;
	return metric_of(scene, "first", "data_points_pending") == 0;
}

static bool has_retried_points(struct scene *scene, size_t points)
{
	return metric_of(scene, "first", "data_points_retried") >= (double)points;
}

static void deliver_points(struct scene *scene)
{
	run_until(scene, no_point_pends, 0);
}

static void a_request_is_otlp_in_gzip(void **state)
{
	struct scene *scene = *state;
	const struct request *request;

	start_otlp(scene, accept_otlp);
	collect_many(scene, "a", 3);
	deliver_points(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	request = first_request(scene, 0);
	assert_int_equal(strncmp(request->head, "POST /push HTTP/1.1\r\n", 21), 0);
	assert_true(has_header(request, "Content-Type: application/x-protobuf"));
	assert_true(has_header(request, "Content-Encoding: gzip"));
	assert_true(has_header(request, "User-Agent: bpftally/" BPFTALLY_VERSION));
	assert_false(has_header_named(request, "X-Prometheus-Remote-Write-Version"));
	assert_true(body_has(request, "service.instance.id"));
	assert_true(body_has(request, "host-1"));
	assert_true(body_has(request, "a.2"));
	expect_metric(scene, "data_points", 3);
	expect_metric(scene, "data_points_failed", 0);
	expect_metric(scene, "highest_sent_timestamp_seconds", 1700000001);
}

static void without_compression_it_goes_as_it_is(void **state)
{
	struct scene *scene = *state;

	set_otlp(scene);
	scene->otlp.gzip = false;
	start(scene, accept_otlp);
	collect_many(scene, "a", 1);
	deliver_points(scene);
	assert_false(has_header_named(first_request(scene, 0), "Content-Encoding"));
	assert_true(body_has(first_request(scene, 0), "a.0"));
	expect_metric(scene, "bytes", (double)first_request(scene, 0)->body_len);
}

/* OTLP has a message for a metric, 1.0 one for each sample. */
static void metrics_are_for_receivers_that_take_them_whole(void **state)
{
	const struct label label = {"mark", "whole."}, other = {"mark", "sample."};
	const struct metric metric = {.family = &counted, .labels = {&label, 1}};
	const struct sample sample = {
	    .labels = &other, .label_count = 1, .family = &counted};
	struct scene *scene = *state;
	struct sample_metric scraped = {.metric = &metric};

	start_otlp(scene, accept_otlp);
	assert_true(push_wants_metrics(scene->push));
	scraped.time_ms = push_time_ms(scene->push);
	push_add(scene->push, &sample, scraped.time_ms);
	push_add_metric(scene->push, &scraped, scraped.time_ms);
	push_commit(scene->push);
	deliver_points(scene);
	assert_true(body_has(first_request(scene, 0), "whole."));
	assert_false(body_has(first_request(scene, 0), "sample."));
}

static void external_labels_are_in_the_resource(void **state)
{
	struct config_label external[] = {
	    {(char *)"job", (char *)"my-job"},
	    {(char *)"instance", (char *)"my-instance"},
	    {(char *)"region", (char *)"eu"},
	};
	struct scene *scene = *state;

	scene->config.external_labels = (struct config_labels){external, 3};
	start_otlp(scene, accept_otlp);
	collect_many(scene, "a", 1);
	deliver_points(scene);
	assert_true(body_has(first_request(scene, 0), "my-job"));
	assert_true(body_has(first_request(scene, 0), "my-instance"));
	assert_true(body_has(first_request(scene, 0), "region"));
	assert_false(body_has(first_request(scene, 0), "host-1"));
}

static void a_header_of_the_config_may_authorize(void **state)
{
	struct config_label header = {(char *)"Authorization",
				      (char *)"Bearer tok-0123456789abcdef"};
	struct scene *scene = *state;

	set_otlp(scene);
	scene->otlp.http.headers = (struct config_labels){&header, 1};
	start(scene, accept_otlp);
	collect_many(scene, "a", 1);
	deliver_points(scene);
	assert_true(has_header(first_request(scene, 0),
			       "Authorization: Bearer tok-0123456789abcdef"));
}

/* --- answers -------------------------------------------------------------------- */

static void four_statuses_are_tried_again(void **state)
{
	static const struct {
		const char *answer;
		bool is_retried;
	} cases[] = {
	    {STATUS("429 Too Many Requests"), true},
	    {STATUS("502 Bad Gateway"), true},
	    {UNAVAILABLE, true},
	    {STATUS("504 Gateway Timeout"), true},
	    {CLOSE, true},
	    {STATUS("400 Bad Request"), false},
	    {STATUS("401 Unauthorized"), false},
	    {STATUS("404 Not Found"), false},
	    {STATUS("408 Request Timeout"), false},
	    {STATUS("413 Content Too Large"), false},
	    {STATUS("415 Unsupported Media Type"), false},
	    {STATUS("500 Internal Server Error"), false},
	    {STATUS("501 Not Implemented"), false},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		const char *const answers[] = {cases[i].answer, ACCEPTED, NULL};
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		start_otlp(scene, answers);
		collect_many(scene, "a", 3);
		deliver_points(scene);
		assert_int_equal(scene->servers[0]->count, 1 + cases[i].is_retried);
		expect_metric(scene, "data_points", cases[i].is_retried ? 3 : 0);
		expect_metric(scene, "data_points_retried",
			      cases[i].is_retried ? 3 : 0);
		expect_metric(scene, "data_points_failed", cases[i].is_retried ? 0 : 3);
		if (cases[i].is_retried)
			assert_false(
			    has_header_named(first_request(scene, 1), "Retry-Attempt"));
		if (i + 1 < LENGTH(cases))
			tear_down(state);
	}
}

static void retry_after_is_kept(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", ACCEPTED,
	    NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 1);
	deliver_points(scene);
	assert_true(first_request(scene, 1)->time_ms -
			first_request(scene, 0)->time_ms >=
		    1000);
}

/* ExportMetricsServiceResponse{1: {1: 2, 2: "too old"}} */
#define PARTIAL                                                                        \
	"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n\x0a\x0b\x08\x02\x12\x07too old"

static void what_an_accepted_request_says_was_rejected_has_failed(void **state)
{
	static const char *const answers[] = {PARTIAL, ACCEPTED, NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 5);
	deliver_points(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	expect_metric(scene, "data_points", 3);
	expect_metric(scene, "data_points_failed", 2);
	expect_metric(scene, "data_points_retried", 0);
	assert_non_null(
	    strstr(log_text(scene),
		   "otlp \"first\": of 5 data points in an accepted request 3 "
		   "were written: too old\n"));
}

/* A length of protobuf, in four bytes. */
static char *put_length(char *at, size_t len)
{
	for (int i = 0; i < 4; i++, len >>= 7)
		*at++ = (char)((len & 0x7f) | (i < 3 ? 0x80 : 0));
	return at;
}

/* An answer of 200 that rejects two points with a message of this length. */
static char *long_answer(size_t message_len)
{
	size_t size = message_len + 256;
	char *answer = malloc(size), *at = answer;

	at += sprintf(at, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n",
		      message_len + 12);
	*at++ = 0x0a;
	at = put_length(at, message_len + 7);
	memcpy(at, "\x08\x02\x12", 3);
	at = put_length(at + 3, message_len);
	memset(at, 'm', message_len);
	at[message_len] = 0;
	return answer;
}

/* One for each point, say. */
static void a_long_answer_is_read_to_its_end(void **state)
{
	char *answer = long_answer(3 << 20);
	const char *answers[] = {answer, NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 5);
	deliver_points(scene);
	expect_metric(scene, "data_points", 3);
	expect_metric(scene, "data_points_failed", 2);
	free(answer);
}

static void an_answer_without_an_end_is_a_refusal(void **state)
{
	char *answer = long_answer(5 << 20);
	const char *answers[] = {answer, ACCEPTED, NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 5);
	deliver_points(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	expect_metric(scene, "data_points", 0);
	expect_metric(scene, "data_points_failed", 5);
	assert_non_null(strstr(log_text(scene),
			       "refused 5 data points, not retried: status "
			       "200: an answer of more than 4 MiB\n"));
	free(answer);
}

static void more_rejected_than_were_sent_is_all(void **state)
{
	static const char *const answers[] = {PARTIAL, NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 1);
	deliver_points(scene);
	expect_metric(scene, "data_points", 0);
	expect_metric(scene, "data_points_failed", 1);
}

static void a_refusal_is_told_in_its_own_words(void **state)
{
	/* google.rpc.Status{1: 3, 2: "no such metric"}; then plain text */
	static const char *const answers[] = {
	    "HTTP/1.1 400 No\r\nContent-Length: 18\r\n\r\n\x08\x03\x12\x0eno such "
	    "metric",
	    NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 2);
	deliver_points(scene);
	assert_non_null(
	    strstr(log_text(scene),
		   "otlp \"first\": refused 2 data points, not retried: status "
		   "400: no such metric\n"));
}

static void a_refusal_in_plain_text_is_told_too(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\nbad bytes", NULL};
	struct scene *scene = *state;

	start_otlp(scene, answers);
	collect_many(scene, "a", 2);
	deliver_points(scene);
	assert_non_null(strstr(log_text(scene), "status 400: bad bytes\n"));
}

/* The message stays one when what it quotes is starred; a token without its scheme
 * is the token all the same. */
static void a_refusal_that_quotes_the_token_does_not_get_it_logged(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 401 No\r\nContent-Length: 32\r\n\r\n"
	    "\x08\x10\x12\x1cno tok-0123456789abcdef here",
	    NULL};
	struct config_label header = {(char *)"Authorization",
				      (char *)"Bearer tok-0123456789abcdef"};
	struct scene *scene = *state;

	set_otlp(scene);
	scene->otlp.http.headers = (struct config_labels){&header, 1};
	start(scene, answers);
	collect_many(scene, "a", 2);
	deliver_points(scene);
	assert_non_null(
	    strstr(log_text(scene), "status 401: no ******************** here\n"));
}

/* --- beside others -------------------------------------------------------------- */

static bool both_are_empty(struct scene *scene, size_t argument)
{
	(void)argument;
	return metric_of(scene, "first", "samples_pending") == 0 &&
	       metric_of(scene, "first", "data_points_pending") == 0;
}

/* One name, two kinds: two lanes of the spool. */
static void remote_write_and_otlp_get_what_is_theirs(void **state)
{
	struct scene *scene = *state;

	set_otlp(scene);
	scene->otlp.http.url = scene->urls[1];
	scene->config.remote_write_count = 1;
	server_listen(scene->servers[1]);
	start(scene, accept_all);
	collect_many(scene, "a", 3);
	collect_many(scene, "b", 3);
	run_until(scene, both_are_empty, 0);
	assert_int_equal(scene->servers[0]->count, 2);
	assert_int_equal(scene->servers[1]->count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(has_header(&scene->servers[0]->requests[i],
				       "Content-Encoding: snappy"));
		assert_true(has_header(&scene->servers[1]->requests[i],
				       "Content-Encoding: gzip"));
	}
	/* Of the second collection, the first one's series are ended as well. */
	expect_metric(scene, "samples", 9);
	expect_metric(scene, "data_points", 9);
}

static void a_collection_is_cut_into_requests(void **state)
{
	struct scene *scene = *state;

	set_otlp(scene);
	scene->otlp.queue.max_samples_per_send = 10;
	start(scene, accept_otlp);
	collect_many(scene, "a", 25);
	deliver_points(scene);
	assert_int_equal(scene->servers[0]->count, 3);
	expect_metric(scene, "data_points", 25);
}

static void a_flush_ends_every_series(void **state)
{
	struct scene *scene = *state;

	set_otlp(scene);
	scene->otlp.gzip = false;
	start(scene, accept_otlp);
	collect_many(scene, "a", 1);
	push_flush(scene->push, 10000);
	assert_int_equal(scene->servers[0]->count, 2);
	expect_metric(scene, "data_points", 2);
	/* field 8, flags: 1 */
	assert_false(body_has(first_request(scene, 0), "\x40\x01"));
	assert_true(body_has(first_request(scene, 1), "\x40\x01"));
	assert_true(body_has(first_request(scene, 1), "a.0"));
}

static void make_directory(struct scene *scene, char *directory)
{
	assert_non_null(mkdtemp(directory));
	scene->config.spool.directory = directory;
	scene->config.spool.is_given = true;
}

static void remove_directory(const char *directory)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/spool.db", directory);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/lock", directory);
	unlink(path);
	assert_int_equal(rmdir(directory), 0);
}

/* What waits has the encoding that it was written with, whatever the file says now. */
static void what_waits_on_disk_keeps_its_encoding(void **state)
{
	char directory[] = "/tmp/test_otlp.XXXXXX";
	struct scene *scene = *state;

	make_directory(scene, directory);
	set_otlp(scene);
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "one", 3);
	push_flush(scene->push, 50);
	assert_non_null(strstr(log_text(scene), "otlp \"first\": 6 data points wait in "
						"/tmp/test_otlp."));
	push_free(&scene->push);
	scene->otlp.gzip = false;
	start(scene, accept_otlp);
	deliver_points(scene);
	assert_int_equal(scene->servers[0]->count, 2);
	assert_true(has_header(first_request(scene, 0), "Content-Encoding: gzip"));
	assert_true(body_has(first_request(scene, 0), "one.2"));
	push_free(&scene->push);
	remove_directory(directory);
}

static void what_waits_for_a_receiver_that_is_gone_is_told_by_its_name(void **state)
{
	char directory[] = "/tmp/test_otlp.XXXXXX";
	struct scene *scene = *state;

	make_directory(scene, directory);
	set_otlp(scene);
	assert_int_equal(push_create(scene->loop, &scene->config, &scene->push), 0);
	collect_many(scene, "one", 3);
	push_free(&scene->push);
	forget_log(scene);
	scene->config.otlp_count = 0;
	scene->config.remote_write_count = 1;
	start(scene, accept_all);
	assert_non_null(strstr(log_text(scene),
			       "3 data points wait for otlp \"first\", which is not "
			       "configured any more"));
	push_free(&scene->push);
	remove_directory(directory);
}

/* While it fails there is one request at a time, and waits do not shrink. */
static void an_outage_loses_nothing(void **state)
{
	struct scene *scene = *state;
	const char *const answers[] = {UNAVAILABLE, UNAVAILABLE, CLOSE,
				       UNAVAILABLE, ACCEPTED,    NULL};

	start_otlp(scene, answers);
	for (size_t i = 0; i < 5; i++)
		collect_many(scene, "a", 4);
	run_until(scene, has_retried_points, 4);
	deliver_points(scene);
	/* one name is one series: it ends in no later collection */
	expect_metric(scene, "data_points", 20);
	expect_metric(scene, "data_points_failed", 0);
	assert_int_equal(scene->servers[0]->count, 9);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(metrics_are_for_receivers_that_take_them_whole),
	    TEST(a_request_is_otlp_in_gzip),
	    TEST(without_compression_it_goes_as_it_is),
	    TEST(external_labels_are_in_the_resource),
	    TEST(a_header_of_the_config_may_authorize),
	    TEST(four_statuses_are_tried_again),
	    TEST(retry_after_is_kept),
	    TEST(what_an_accepted_request_says_was_rejected_has_failed),
	    TEST(a_long_answer_is_read_to_its_end),
	    TEST(an_answer_without_an_end_is_a_refusal),
	    TEST(more_rejected_than_were_sent_is_all),
	    TEST(a_refusal_is_told_in_its_own_words),
	    TEST(a_refusal_in_plain_text_is_told_too),
	    TEST(a_refusal_that_quotes_the_token_does_not_get_it_logged),
	    TEST(remote_write_and_otlp_get_what_is_theirs),
	    TEST(a_collection_is_cut_into_requests),
	    TEST(a_flush_ends_every_series),
	    TEST(what_waits_on_disk_keeps_its_encoding),
	    TEST(what_waits_for_a_receiver_that_is_gone_is_told_by_its_name),
	    TEST(an_outage_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
