/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buckets.h"
#include "probes.h"
#include "scrape.h"
#include "status.h"

static const struct scrape *scraper; /* NULL: nothing is scraped */
static size_t target_count;

/* Found before the library's: a page asks for nothing else of it. */
void scrape_each(const struct scrape *scrape, scrape_visit visit, void *context)
{
	struct scrape_view view = {
	    .job_name = "j<",
	    .url = "http://a/",
	    .state = "down",
	    .error = "HTTP status 500 & more",
	    .duration_s = 0.25,
	    .series = 7,
	};

	assert_ptr_equal(scrape, scraper);
	for (size_t i = 0; i < target_count; i++)
		visit(context, &view);
}

/* ledger.c names the reasons here and is not asked to collect. */
const struct tally_counters *probes_counters(const struct probes *probes)
{
	(void)probes;
	return NULL;
}

int probes_count_connections(const struct probes *probes,
			     probes_visit_connections visit, void *context)
{
	(void)probes;
	(void)visit;
	(void)context;
	return 0;
}

void probes_each_program(const struct probes *probes,
			 void (*visit)(void *context,
				       const struct objects_program *program),
			 void *context)
{
	(void)probes;
	(void)visit;
	(void)context;
}

uint64_t probes_map_bytes(const struct probes *probes)
{
	(void)probes;
	return 0;
}

/* --- a page ------------------------------------------------------------------- */

static uint32_t bucket_of(uint64_t duration_ns)
{
	return bucket_index(native_bounds_ns, NATIVE_BUCKETS - 1, duration_ns);
}

static const struct family server_duration = {"http_server_request_duration_seconds",
					      "h", "seconds", METRIC_HISTOGRAM, 1};
static const struct family client_duration = {"http_client_request_duration_seconds",
					      "h", "seconds", METRIC_HISTOGRAM, 2};
static const struct family server_first_byte = {
    "http_server_time_to_first_byte_seconds", "h", "seconds", METRIC_HISTOGRAM, 3};
static const struct family server_active = {"http_server_active_requests", "h", "",
					    METRIC_GAUGE, 4};
static const struct family server_open = {"http_server_open_connections", "h", "",
					  METRIC_GAUGE, 5};
static const struct family missed = {"bpftally_missed", "h", "", METRIC_COUNTER, 6};

struct scene {
	struct status *status;
	struct snapshot snapshot;
	struct buf page;
};

static int open_scene(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	assert_int_equal(status_create(&scene->status), 0);
	snapshot_init(&scene->snapshot, 0);
	scene->page = (struct buf)BUF_INIT((size_t)4 << 20);
	*state = scene;
	return 0;
}

static int close_scene(void **state)
{
	struct scene *scene = *state;

	status_free(&scene->status);
	assert_null(scene->status);
	snapshot_free(&scene->snapshot);
	buf_free(&scene->page);
	free(scene);
	return 0;
}

/* count requests, each of duration_ns */
static void add_requests(struct scene *scene, const struct family *family,
			 const char *service, const char *error, uint64_t count,
			 uint64_t duration_ns)
{
	static const double bounds[] = {1};
	const struct label labels[] = {
	    {"error_type", error},
	    {"service_name", service},
	};
	uint64_t *buckets = snapshot_alloc(&scene->snapshot, 2 * sizeof(*buckets));
	uint64_t *native =
	    snapshot_alloc(&scene->snapshot, NATIVE_BUCKETS * sizeof(*native));
	const struct histogram histogram = {
	    .bounds = bounds, .bound_count = 1, .buckets = buckets, .native = native};

	buckets[duration_ns > 1000000000] = count;
	native[bucket_of(duration_ns)] = count;
	snapshot_histogram(&scene->snapshot, family,
			   snapshot_labels(&scene->snapshot, labels, 2), &histogram);
}

static void add_value(struct scene *scene, const struct family *family,
		      const char *label, const char *value, double number)
{
	const struct label labels = {label, value};

	snapshot_value(&scene->snapshot, family,
		       snapshot_labels(&scene->snapshot, &labels, 1), number);
}

static void write_page(struct scene *scene, const char *subject, double uptime_s)
{
	assert_int_equal(snapshot_finish(&scene->snapshot), 0);
	buf_clear(&scene->page);
	status_write(scene->status, &scene->page, &scene->snapshot, scraper, subject,
		     uptime_s);
	buf_append(&scene->page, "", 1);
	assert_int_equal(scene->page.error, 0);
	snapshot_free(&scene->snapshot);
	snapshot_init(&scene->snapshot, 0);
}

static void check_has(const struct scene *scene, const char *text)
{
	if (!strstr(scene->page.data, text))
		fail_msg("no \"%s\" in\n%s", text, scene->page.data);
}

static void check_lacks(const struct scene *scene, const char *text)
{
	if (strstr(scene->page.data, text))
		fail_msg("\"%s\" in\n%s", text, scene->page.data);
}

#define N(text) "<td class=\"n\">" text "</td>"

static void a_service_is_one_line_an_end(void **state)
{
	struct scene *scene = *state;

	add_requests(scene, &server_duration, "web", "", 90, 2000000);
	add_requests(scene, &server_duration, "web", "500", 10, 300000000);
	add_requests(scene, &server_first_byte, "web", "", 1000, 1);
	add_requests(scene, &client_duration, "web", "connection_closed", 1,
		     5000000000);
	add_value(scene, &server_active, "service_name", "web", 3);
	add_value(scene, &server_open, "service_name", "web", 4);
	write_page(scene, "every process", 50);
	check_has(scene,
		  "<tr><td>web</td><td>server</td>" N("100") N("–") N("2.0") N("10")
		      N("2.04 ms") N("310 ms") N("310 ms") N("3") N("4") "</tr>");
	check_has(scene, "<tr><td>web</td><td>client</td>" N("1") N("–") N("0.0") N("1")
			     N("4.97 s") N("4.97 s") N("4.97 s") N("0") N("0") "</tr>");
	check_has(scene, "observing every process, for 50 s");
	check_has(scene, "href=\"/metrics\"");
	check_lacks(scene, "<script");
}

static void a_service_without_requests_has_no_quantiles(void **state)
{
	struct scene *scene = *state;

	add_value(scene, &server_active, "service_name", "idle", 1);
	write_page(scene, "x", 10);
	check_has(scene, "<tr><td>idle</td><td>server</td>" N("0") N("–") N("0.0")
			     N("0") N("–") N("–") N("–") N("1") N("0") "</tr>");
}

static void rates_are_since_the_last_view(void **state)
{
	struct scene *scene = *state;

	add_requests(scene, &server_duration, "web", "", 100, 1000);
	write_page(scene, "x", 100);
	add_requests(scene, &server_duration, "web", "", 150, 1000);
	add_requests(scene, &server_duration, "new", "", 30, 1000);
	write_page(scene, "x", 110);
	check_has(scene, "/s, last 10 s");
	check_has(scene, "<tr><td>web</td><td>server</td>" N("150") N("5.0") N("1.4"));
	check_has(scene, "<tr><td>new</td><td>server</td>" N("30") N("3.0") N("0.3"));
	add_requests(scene, &server_duration, "web", "", 20, 1000); /* began anew */
	write_page(scene, "x", 120);
	check_has(scene, "<tr><td>web</td><td>server</td>" N("20") N("2.0") N("0.2"));
}

static void two_views_at_once_divide_by_nothing(void **state)
{
	struct scene *scene = *state;

	for (int i = 0; i < 2; i++) {
		add_requests(scene, &server_duration, "web", "", 100, 1000);
		write_page(scene, "x", 0);
		check_has(scene, N("100") N("–") N("–"));
	}
}

static void nothing_yet_is_said(void **state)
{
	struct scene *scene = *state;

	write_page(scene, "x", 1);
	check_has(scene, "No HTTP request was seen yet.");
	check_lacks(scene, "in flight");
}

static void what_was_missed_comes_first_and_is_explained(void **state)
{
	struct scene *scene = *state;
	const char *first, *second;

	add_value(scene, &missed, "reason", "compat", 0);
	add_value(scene, &missed, "reason", "tls", 12);
	write_page(scene, "x", 1);
	check_has(scene,
		  "<tr><td>tls</td>" N("12") "<td>connections that are encrypted</td>");
	check_lacks(scene, "<tr><td>compat");
	check_lacks(scene, "\"zero\"><td>tls");
	first = strstr(scene->page.data, "<td>tls</td>");
	second = strstr(scene->page.data, "<tr class=\"zero\"><td>compat</td>");
	assert_non_null(second);
	assert_true(first < second);
}

static void what_came_from_outside_is_escaped(void **state)
{
	struct scene *scene = *state;

	add_requests(scene, &server_duration, "<script>alert('\"&')", "", 1, 1);
	add_value(scene, &missed, "reason", "<b>", 1);
	write_page(scene, "exe \"<i>\"", 1);
	check_lacks(scene, "<script>");
	check_lacks(scene, "<b>");
	check_lacks(scene, "<i>");
	check_has(scene, "<td>&lt;script&gt;alert(&#39;&quot;&amp;&#39;)</td>");
	check_has(scene, "observing exe &quot;&lt;i&gt;&quot;,");
}

static void services_beyond_the_bound_are_only_mentioned(void **state)
{
	struct scene *scene = *state;
	char name[32];

	for (int i = 0; i < STATUS_ROWS_MAX + 5; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		add_value(scene, &server_open, "service_name",
			  strcpy(snapshot_alloc(&scene->snapshot, 32), name), 1);
	}
	write_page(scene, "x", 1);
	check_has(scene, "More services than this page shows");
	add_value(scene, &server_open, "service_name", "s", 1);
	write_page(scene, "x", 2);
	check_lacks(scene, "More services");
}

static void a_full_buffer_sticks(void **state)
{
	struct scene *scene = *state;
	struct buf out = BUF_INIT(100);

	status_write(scene->status, &out, &scene->snapshot, NULL, "x", 1);
	assert_int_equal(out.error, -E2BIG);
	buf_free(&out);
}

static void targets_are_there_where_something_is_scraped(void **state)
{
	struct scene *scene = *state;

	write_page(scene, "x", 1);
	assert_null(strstr(scene->page.data, "Targets"));
	scraper = (const struct scrape *)scene;
	target_count = 1;
	write_page(scene, "x", 1);
	assert_non_null(strstr(scene->page.data,
			       "<tr><td>j&lt;</td><td>http://a/</td><td>down</td>"
			       "<td class=\"n\">250 ms</td><td class=\"n\">7</td>"
			       "<td>HTTP status 500 &amp; more</td></tr>"));
	target_count = STATUS_ROWS_MAX + 3;
	write_page(scene, "x", 1);
	assert_non_null(strstr(scene->page.data, "<p>and 3 more.</p>"));
	scraper = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_scene, close_scene)
	const struct CMUnitTest tests[] = {
	    TEST(a_service_is_one_line_an_end),
	    TEST(targets_are_there_where_something_is_scraped),
	    TEST(a_service_without_requests_has_no_quantiles),
	    TEST(rates_are_since_the_last_view),
	    TEST(two_views_at_once_divide_by_nothing),
	    TEST(nothing_yet_is_said),
	    TEST(what_was_missed_comes_first_and_is_explained),
	    TEST(what_came_from_outside_is_escaped),
	    TEST(services_beyond_the_bound_are_only_mentioned),
	    TEST(a_full_buffer_sticks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
