/* SPDX-License-Identifier: Apache-2.0 */
/* protocol_write.c, as push uses it, against real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "receiving.h"

static void a_request_has_the_headers_of_the_specification(void **state)
{
	static const char *const expected[] = {
	    "Content-Encoding: snappy",
	    "Content-Type: application/x-protobuf",
	    "X-Prometheus-Remote-Write-Version: 0.1.0",
	    "User-Agent: bpftally/" BPFTALLY_VERSION,
	    "X-Scope-OrgID: team-a",
	    "Authorization: Bearer s3cret",
	};
	struct config_label header = {(char *)"X-Scope-OrgID", (char *)"team-a"};
	struct scene *scene = *state;
	struct request *request;
	char host[256] = "";

	scene->endpoints[0].http.headers = (struct config_labels){&header, 1};
	scene->endpoints[0].http.authorization.type = (char *)"Bearer";
	scene->endpoints[0].http.authorization.credentials = (char *)"s3cret";
	start(scene, accept_all);
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 1);
	request = first_request(scene, 0);
	assert_int_equal(strncmp(request->head, "POST /push HTTP/1.1\r\n", 21), 0);
	for (size_t i = 0; i < LENGTH(expected); i++) {
		if (!has_header(request, expected[i]))
			fail_msg("no '%s' in %s", expected[i], request->head);
	}
	assert_false(has_header_named(request, "Expect"));
	assert_false(has_header_named(request, "Retry-Attempt"));
	assert_false(has_header_named(request, "Transfer-Encoding"));
	gethostname(host, sizeof(host) - 1);
	assert_true(body_has(request, "bpftally"));
	assert_true(body_has(request, "instance"));
	assert_true(body_has(request, host));
	expect_metric(scene, "samples", 3);
	expect_metric(scene, "highest_sent_timestamp_seconds", 1700000001);
	assert_string_equal(log_text(scene), "");
}

static void too_many_requests_is_retried_where_asked(void **state)
{
	static const char *const answers[] = {
	    STATUS("429 Too Many Requests"),
	    "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
	    OK,
	    NULL,
	};
	struct scene *scene = *state;

	scene->endpoints[0].queue.retry_on_http_429 = true;
	start(scene, answers);
	collect_many(scene, "a", 2);
	deliver(scene);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_in_range(first_request(scene, 2)->time_ms -
			    first_request(scene, 1)->time_ms,
			999, DEADLINE_MS);
	expect_metric(scene, "samples", 2);
	expect_metric(scene, "samples_retried", 4);
	expect_metric(scene, "samples_failed", 0);
}

/* --- which message ---------------------------------------------------------------- */

#define V2 "proto=io.prometheus.write.v2.Request"
#define WRITTEN(samples)                                                               \
	"HTTP/1.1 204 No "                                                             \
	"Content\r\nX-Prometheus-Remote-Write-Samples-Written: " samples "\r\n\r\n"

static bool is_v2(struct scene *scene, size_t i)
{
	struct request *request = first_request(scene, i);

	return has_header(request, "Content-Type: application/x-protobuf;" V2) &&
	       has_header(request, "X-Prometheus-Remote-Write-Version: 2.0.0");
}

static bool is_v1(struct scene *scene, size_t i)
{
	struct request *request = first_request(scene, i);

	return has_header(request, "Content-Type: application/x-protobuf") &&
	       has_header(request, "X-Prometheus-Remote-Write-Version: 0.1.0");
}

static bool has_requests(struct scene *scene, size_t count)
{
	return scene->servers[0]->count >= count;
}

static void a_receiver_of_2_0_gets_it_and_says_what_it_wrote(void **state)
{
	static const char *const answers[] = {WRITTEN("3"), WRITTEN("2"), NULL};
	struct scene *scene = *state;

	scene->endpoints[0].is_v2 = true;
	start(scene, answers);
	collect_many(scene, "a", 3);
	deliver(scene);
	expect_metric(scene, "samples", 3);
	assert_string_equal(log_text(scene), "");
	collect_many(scene, "a", 3);
	deliver(scene);
	assert_true(is_v2(scene, 0) && is_v2(scene, 1));
	assert_true(body_has(first_request(scene, 0), "a.2"));
	expect_metric(scene, "samples", 5);
	expect_metric(scene, "samples_failed", 1);
	assert_non_null(strstr(log_text(scene), "of 3 samples in an accepted request 2 "
						"were written"));
}

/* It may say so, or take what it does not understand for an empty request, or refuse
 * it in its own way. The samples are sent again, and counted once. */
static void a_receiver_of_1_0_gets_1_0_from_then_on(void **state)
{
	static const char *const firsts[] = {STATUS("415 Unsupported Media Type"), OK,
					     STATUS("400 Bad Request")};

	for (size_t i = 0; i < LENGTH(firsts); i++) {
		const char *answers[] = {firsts[i], OK, NULL};
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		scene->endpoints[0].is_v2 = true;
		start(scene, answers);
		collect_many(scene, "one", 3);
		deliver(scene);
		collect_many(scene, "two", 3);
		deliver(scene);
		assert_int_equal(scene->servers[0]->count, 3);
		assert_true(is_v2(scene, 0) && is_v1(scene, 1) && is_v1(scene, 2));
		assert_true(body_has(first_request(scene, 1), "one.2"));
		expect_metric(scene, "samples", 9); /* with three stale markers */
		expect_metric(scene, "samples_failed", 0);
		expect_metric(scene, "samples_retried", 0);
		assert_int_equal(occurrences(log_text(scene), "\n"), 1);
		assert_non_null(strstr(scene->log, "does not take Remote-Write 2.0"));
		if (i + 1 < LENGTH(firsts))
			tear_down(state);
	}
}

static void a_stray_answer_does_not_move_who_has_taken_2_0(void **state)
{
	static const char *const answers[] = {WRITTEN("1"), OK, OK, OK,  OK,
					      WRITTEN("1"), OK, OK, OK,  OK,
					      OK,           OK, OK, NULL};
	/* Twice two strays, each sent again as 1.0, and 2.0 in between; then the third.
	 */
	static const bool v2[] = {true,  true, false, true, false, true, true,
				  false, true, false, true, false, false};
	struct scene *scene = *state;

	scene->endpoints[0].is_v2 = true;
	start(scene, answers);
	for (int i = 0; i < 8; i++) {
		collect_many(scene, "a", 1);
		deliver(scene);
	}
	assert_int_equal(scene->servers[0]->count, LENGTH(v2));
	for (size_t i = 0; i < LENGTH(v2); i++)
		assert_true(v2[i] ? is_v2(scene, i) : is_v1(scene, i));
	expect_metric(scene, "samples", 8);
	assert_int_equal(occurrences(log_text(scene), "does not take"), 1);
}

/* The receiver's answer comes while a collection is open for what is scraped. */
static void what_was_collected_already_comes_along_to_1_0(void **state)
{
	static const char *const answers[] = {STATUS("415 Unsupported Media Type"), OK,
					      NULL};
	const struct label labels[] = {{"__name__", "scraped"}, {"mark", "open."}};
	struct sample sample = {.labels = labels, .label_count = 2, .family = &counted};
	struct scene *scene = *state;

	scene->endpoints[0].is_v2 = true;
	start(scene, answers);
	collect_many(scene, "a", 2);
	sample.time_ms = push_time_ms(scene->push);
	push_add(scene->push, &sample, sample.time_ms);
	run_until(scene, has_requests, 2);
	deliver(scene);
	push_commit(scene->push);
	deliver(scene);
	assert_true(is_v1(scene, 2));
	assert_true(body_has(first_request(scene, 2), "open."));
	expect_metric(scene, "samples", 3);
}

static void who_came_to_1_0_gets_its_metadata_too(void **state)
{
	static const char *const answers[] = {STATUS("415 No"), OK, NULL};
	struct scene *scene = *state;

	scene->endpoints[0].is_v2 = true;
	scene->endpoints[0].send_metadata = true;
	start(scene, answers);
	collect_many(scene, "a", 1);
	deliver(scene);
	collect_many(scene, "a", 1);
	deliver(scene);
	run_until(scene, has_requests, 4);
	assert_true(is_v1(scene, 2) && is_v1(scene, 3));
	assert_true(body_has(first_request(scene, 2), "Sent.") ||
		    body_has(first_request(scene, 3), "Sent."));
	expect_metric(scene, "samples", 2);
}

static void what_1_0_does_not_get_taken_either_is_a_refusal(void **state)
{
	static const char *const answers[] = {STATUS("400 Bad Request"),
					      STATUS("400 Bad Request"), WRITTEN("3"),
					      STATUS("400 Bad Request"), NULL};
	struct scene *scene = *state;

	scene->endpoints[0].is_v2 = true;
	start(scene, answers);
	for (double i = 1; i <= 3; i++) {
		collect_many(scene, "a", 3);
		deliver(scene);
	}
	/* The second time 2.0 was taken: the third refusal says nothing about it. */
	assert_int_equal(scene->servers[0]->count, 4);
	assert_true(is_v2(scene, 0) && is_v1(scene, 1));
	assert_true(is_v2(scene, 2) && is_v2(scene, 3));
	expect_metric(scene, "samples", 3);
	expect_metric(scene, "samples_failed", 6);
}
/* Scraped, as ours have none. */
static void exemplars_are_sent_where_the_file_says_so(void **state)
{
	static const struct family scraped = {"a", "A.", "", METRIC_COUNTER,
					      FAMILY_SCRAPED};
	static const struct label labels[] = {{"__name__", "a_total"}};
	static const struct label trace[] = {{"trace_id", "t-1"}};
	struct scene *scene;

	for (int sends = 0; sends <= 1; sends++) {
		const struct exemplar exemplar = {trace, 1, 1700000000000, 0};
		struct sample sample = {.labels = labels,
					.label_count = 1,
					.family = &scraped,
					.time_ms = 1700000000000,
					.exemplar = &exemplar};

		if (sends)
			set_up(state);
		scene = *state;
		scene->endpoints[0].send_exemplars = sends;
		start(scene, accept_all);
		push_add(scene->push, &sample, sample.time_ms);
		push_commit(scene->push);
		deliver(scene);
		assert_int_equal(body_has(first_request(scene, 0), "t-1"), sends);
		expect_metric(scene, "samples", 1);
		if (!sends)
			tear_down(state);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_request_has_the_headers_of_the_specification),
	    TEST(too_many_requests_is_retried_where_asked),
	    TEST(a_receiver_of_2_0_gets_it_and_says_what_it_wrote),
	    TEST(a_receiver_of_1_0_gets_1_0_from_then_on),
	    TEST(a_stray_answer_does_not_move_who_has_taken_2_0),
	    TEST(what_was_collected_already_comes_along_to_1_0),
	    TEST(who_came_to_1_0_gets_its_metadata_too),
	    TEST(what_1_0_does_not_get_taken_either_is_a_refusal),
	    TEST(exemplars_are_sent_where_the_file_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
