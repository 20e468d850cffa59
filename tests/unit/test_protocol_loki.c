/* SPDX-License-Identifier: Apache-2.0 */
/* protocol_loki.c, in an endpoint against real sockets. What is in the requests,
 * test_loki.c says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "direct.h"

struct shipping {
	struct scene *scene;
	struct config_loki_write config;
	struct direct direct;
	size_t bytes; /* of all that was put */
};

/* Of its own, as the shipping of a scene. */
static struct shipping shipping;

static void ship(struct scene *scene, const char *const *answers)
{
	const struct endpoint_config config = {.loki_write = &shipping.config};

	shipping = (struct shipping){
	    .scene = scene,
	    .config = {.name = (char *)"first",
		       .http = scene->endpoints[0].http,
		       .queue = {.max_shards = 50,
				 .min_backoff_ms = 2,
				 .max_backoff_ms = 10,
				 .retry_on_http_429 = true}},
	};
	direct_open(&shipping.direct, scene, "loki:first");
	direct_endpoint(&shipping.direct, scene, &config);
	scene->servers[0]->answers = answers;
}

static void end(void)
{
	direct_end(&shipping.direct);
}

/* A batch of so many entries, as loki.c makes them; the text stands for the message. */
static void put(const char *text, uint32_t entries)
{
	size_t len = snappy_max_compressed_length(strlen(text));
	struct wire_batch *batch = calloc(1, sizeof(*batch) + len);

	assert_int_equal(
	    snappy_compress(text, strlen(text), (char *)batch->bytes, &len), SNAPPY_OK);
	batch->references = 1;
	batch->message = WIRE_LOKI;
	batch->samples = entries;
	batch->time_ms = shipping.scene->time_ms;
	batch->len = len;
	shipping.bytes += len;
	spool_put(shipping.direct.lane, batch);
}

/* Three batches, in one collection. */
static void put_three(void)
{
	spool_begin(shipping.direct.spool, shipping.scene->time_ms);
	put("one", 1);
	put("two", 2);
	put("three", 3);
	spool_commit(shipping.direct.spool, false);
	endpoint_send(shipping.direct.endpoint, false);
}

static const struct endpoint_counters *counters(void)
{
	return endpoint_counters(shipping.direct.endpoint);
}

static bool nothing_waits(struct scene *scene, size_t argument)
{
	(void)scene;
	(void)argument;
	return !waiting_of(&shipping.direct).samples;
}

static bool was_retried(struct scene *scene, size_t entries)
{
	(void)scene;
	return counters()->retried >= entries;
}

static bool are_asked(struct scene *scene, size_t requests)
{
	return scene->servers[0]->count >= requests;
}

static void expect_texts(struct scene *scene, const char *const *texts)
{
	for (size_t i = 0; texts[i]; i++) {
		const struct request *request = first_request(scene, i);

		assert_int_equal(request->body_len, strlen(texts[i]));
		assert_memory_equal(request->body, texts[i], request->body_len);
	}
}

static void a_request_has_the_headers_of_loki(void **state)
{
	static const char *const expected[] = {
	    "Content-Type: application/x-protobuf",   "Content-Encoding: snappy",
	    "User-Agent: bpftally/" BPFTALLY_VERSION, "X-Scope-OrgID: team-a",
	    "Authorization: Bearer s3cret",
	};
	struct config_label header = {(char *)"X-Scope-OrgID", (char *)"team-a"};
	struct scene *scene = *state;
	const struct request *request;

	scene->endpoints[0].http.headers = (struct config_labels){&header, 1};
	scene->endpoints[0].http.authorization.credentials = (char *)"s3cret";
	ship(scene, accept_all);
	put_three();
	run_until(scene, nothing_waits, 0);
	assert_int_equal(scene->servers[0]->count, 3);
	request = first_request(scene, 0);
	assert_int_equal(strncmp(request->head, "POST /push HTTP/1.1\r\n", 21), 0);
	for (size_t i = 0; i < LENGTH(expected); i++)
		assert_true(has_header(request, expected[i]));
	assert_false(has_header_named(request, "X-Prometheus-Remote-Write-Version"));
	expect_texts(scene, (const char *const[]){"one", "two", "three", NULL});
	assert_int_equal(counters()->samples, 6);
	assert_int_equal(counters()->failed, 0);
	assert_int_equal(counters()->bytes, shipping.bytes);
	assert_int_equal(counters()->highest_sent_ms, scene->time_ms);
	assert_string_equal(log_text(scene), "");
	end();
}

/* A stream may be in all of them. */
static void there_is_one_request_at_a_time(void **state)
{
	struct scene *scene = *state;

	ship(scene, (const char *const[]){HANG, NULL});
	put_three();
	run_until(scene, are_asked, 1);
	run_for(scene, 50);
	assert_int_equal(scene->servers[0]->count, 1);
	end();
}

static void what_is_for_later_is_sent_again_in_order(void **state)
{
	static const char *const later[] = {
	    STATUS("429 Too Many Requests"),
	    STATUS("500 Internal Server Error"),
	    STATUS("503 Service Unavailable"),
	    STATUS("529 Overloaded"),
	    CLOSE,
	};

	for (size_t i = 0; i < LENGTH(later); i++) {
		const char *answers[] = {OK, later[i], later[i], OK, NULL};
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		ship(scene, answers);
		put_three();
		run_until(scene, nothing_waits, 0);
		/* curl itself tries once more what ends a kept connection. */
		if (i + 1 < LENGTH(later)) {
			expect_texts(scene,
				     (const char *const[]){"one", "two", "two", "two",
							   "three", NULL});
			assert_int_equal(counters()->retried, 4);
		}
		assert_int_equal(counters()->samples, 6);
		assert_int_equal(counters()->failed, 0);
		assert_non_null(strstr(
		    log_text(scene), "loki_write \"first\": cannot send, will retry"));
		assert_non_null(strstr(scene->log, "works again"));
		end();
		if (i + 1 < LENGTH(later))
			tear_down(state);
	}
}

static void what_is_refused_is_counted_and_not_sent_again(void **state)
{
	/* 260: accepted, as it seems, and not stored. */
	static const char *const never[] = {
	    STATUS("260 Blocked"), STATUS("400 No"), STATUS("401 No"),
	    STATUS("404 No"),      STATUS("413 No"), STATUS("304 No"),
	};

	for (size_t i = 0; i < LENGTH(never); i++) {
		const char *answers[] = {OK, never[i], OK, NULL};
		struct scene *scene;

		if (i)
			set_up(state);
		scene = *state;
		ship(scene, answers);
		put_three();
		run_until(scene, nothing_waits, 0);
		expect_texts(scene, (const char *const[]){"one", "two", "three", NULL});
		assert_int_equal(scene->servers[0]->count, 3);
		assert_int_equal(counters()->samples, 4);
		assert_int_equal(counters()->failed, 2);
		assert_int_equal(counters()->retried, 0);
		assert_non_null(strstr(log_text(scene),
				       "loki_write \"first\": refused 2 "
				       "entries, not retried: status "));
		end();
		if (i + 1 < LENGTH(never))
			tear_down(state);
	}
}

static void every_other_2xx_has_stored_them(void **state)
{
	static const char *const answers[] = {STATUS("200 OK"), STATUS("202 Accepted"),
					      OK, NULL};
	struct scene *scene = *state;

	ship(scene, answers);
	put_three();
	run_until(scene, nothing_waits, 0);
	assert_int_equal(scene->servers[0]->count, 3);
	assert_int_equal(counters()->samples, 6);
	end();
}

static void a_pause_that_was_asked_for_is_kept(void **state)
{
	static const char *const answers[] = {
	    "HTTP/1.1 429 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n", OK, NULL};
	struct scene *scene = *state;
	uint64_t waited_ms;

	ship(scene, answers);
	put_three();
	run_until(scene, nothing_waits, 0);
	waited_ms = first_request(scene, 1)->time_ms - first_request(scene, 0)->time_ms;
	assert_in_range(waited_ms, 1000, 1500);
	end();
}

static void a_refusal_is_logged_up_to_1024_bytes_escaped(void **state)
{
	static char answer[4096] = "HTTP/1.1 400 No\r\nContent-Length: 2000\r\n\r\n"
				   "entry\nfor stream {a=\"\x01\"}: ";
	const char *answers[] = {answer, NULL};
	struct scene *scene = *state;
	size_t shown;

	memset(answer + strlen(answer), 'x', 2000);
	ship(scene, answers);
	put_three();
	run_until(scene, nothing_waits, 0);
	assert_int_equal(occurrences(log_text(scene), "\n"), 1);
	assert_non_null(strstr(scene->log, "status 400: entry\\x0afor stream "
					   "{a=\"\\x01\"}: xxx"));
	shown = strspn(strstr(scene->log, "xxx"), "x");
	assert_int_equal(shown, 1024 - strlen("entry.for stream {a=\".\"}: "));
	end();
}

/* For as long as the spool keeps it. */
static void an_outage_ends_with_the_age_of_what_waits(void **state)
{
	struct scene *scene = *state;

	ship(scene, (const char *const[]){UNAVAILABLE, NULL});
	put_three();
	run_until(scene, was_retried, 20);
	assert_int_equal(waiting_of(&shipping.direct).samples, 6);
	spool_begin(shipping.direct.spool, scene->time_ms + 1000001);
	spool_commit(shipping.direct.spool, false);
	run_until(scene, nothing_waits, 0);
	assert_int_equal(waiting_of(&shipping.direct).dropped[SPOOL_TOO_OLD], 6);
	assert_int_equal(counters()->failed, 0);
	end();
}

static void what_waits_for_one_that_is_gone_is_told_by_its_name(void **state)
{
	struct scene *scene = *state;

	ship(scene, accept_all);
	endpoint_tell_orphan(NULL, "loki:gone", 7);
	assert_non_null(strstr(log_text(scene),
			       "7 entries wait for loki_write \"gone\", "
			       "which is not configured any more: they go when they "
			       "are too old\n"));
	endpoint_tell_orphan(NULL, "loki:gone", 1);
	assert_non_null(strstr(log_text(scene),
			       "1 entry waits for loki_write \"gone\", "
			       "which is not configured any more: it goes when it is "
			       "too old\n"));
	end();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(a_request_has_the_headers_of_loki),
	    TEST(there_is_one_request_at_a_time),
	    TEST(what_is_for_later_is_sent_again_in_order),
	    TEST(what_is_refused_is_counted_and_not_sent_again),
	    TEST(every_other_2xx_has_stored_them),
	    TEST(a_pause_that_was_asked_for_is_kept),
	    TEST(a_refusal_is_logged_up_to_1024_bytes_escaped),
	    TEST(an_outage_ends_with_the_age_of_what_waits),
	    TEST(what_waits_for_one_that_is_gone_is_told_by_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
