/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "documented.h"
#include "fake_client.h"
#include "fake_push.h"
#include "log.h"
#include "observer.h"
#include "scrape.h"

#define PATIENCE_MS 10000 /* of a test; nothing waits that long */
#define WRITE "remote_write: [{url: http://r}]\n"
#define A "http://a/metrics"

static struct loaded loaded;
static struct loop *loop;
static struct loop_timer *poller;
static struct scrape *scrape;
static bool (*is_reached)(void);
static unsigned int polls;
static char targets_path[64];

/* No test has processes. */
void observer_each_process(const struct observer *observer, observer_visit visit,
			   void *context)
{
	(void)observer;
	(void)visit;
	(void)context;
}

static void on_poll(void *context)
{
	(void)context;
	polls++;
	if (is_reached() || polls > PATIENCE_MS)
		loop_stop(loop);
}

static void await(bool (*condition)(void))
{
	is_reached = condition;
	polls = 0;
	assert_int_equal(loop_timer_arm(poller, 1, 1), 0);
	assert_int_equal(loop_run(loop), 0);
	loop_timer_disarm(poller);
	assert_true(condition());
}

static bool is_asking(void)
{
	return fake_sending() > 0;
}

static bool is_idle(void)
{
	return !fake_sending();
}

static bool has_marked(void)
{
	return strstr(fake_pushed, "stale@");
}

static void start(const char *yaml)
{
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(scrape_create(loop, &loaded.config, NULL, NULL, &scrape), 0);
}

static int build(void **state)
{
	(void)state;
	fake_now_ms = 1000;
	fake_push_forget();
	fake_is_open = false;
	return loop_create(&loop) || loop_timer_create(loop, on_poll, NULL, &poller);
}

static int destroy(void **state)
{
	(void)state;
	scrape_free(&scrape);
	config_free(&loaded.config);
	loop_timer_free(&poller);
	loop_free(&loop);
	return 0;
}

#define ONE                                                                            \
	WRITE "global: {scrape_interval: 100ms}\n"                                     \
	      "scrape_configs: [{job_name: j, static_configs: [{targets: [a]}]}]\n"

static void a_target_is_asked_and_asked_again(void **state)
{
	(void)state;
	start(ONE);
	await(is_asking);
	fake_answer(fake_find(A), 200, "text/plain", "m 1\n");
	assert_non_null(strstr(fake_pushed, "m{instance=a,job=j} 1@1000 "));
	assert_non_null(strstr(fake_pushed, "up{instance=a,job=j} 1@1000 "));
	fake_now_ms = 1100;
	await(is_asking);
	fake_answer(fake_find(A), 200, "text/plain", "m 2\n");
	assert_non_null(strstr(fake_pushed, "|m{instance=a,job=j} 2@1100 "));
}

static void every_target_has_its_turn(void **state)
{
	(void)state;
	start(WRITE "global: {scrape_interval: 100ms,\n"
		    "  external_labels: {cluster: c, job: no}}\n"
		    "scrape_configs:\n"
		    "- {job_name: j, static_configs: [{targets: [a, b]}]}\n"
		    "- {job_name: k, static_configs: [{targets: [a]}]}\n");
	for (size_t i = 0; i < 3; i++) {
		await(is_asking);
		for (size_t j = 0; j < FAKE_EXCHANGES_MAX; j++) {
			if (fake_exchanges[j] && fake_exchanges[j]->is_sending)
				fake_answer(fake_exchanges[j], 200, NULL, "m 1\n");
		}
	}
	assert_non_null(strstr(fake_pushed, "up{cluster=c,instance=a,job=j} 1@1000 "));
}

static void a_target_that_its_file_lost_is_stale(void **state)
{
	char yaml[512];
	int fd;

	(void)state;
	strcpy(targets_path, "/tmp/bpftally-scrape-XXXXXX.json");
	fd = mkstemps(targets_path, 5);
	assert_int_equal(write(fd, "[{\"targets\":[\"a\"]}]", 19), 19);
	snprintf(yaml, sizeof(yaml),
		 WRITE "global: {scrape_interval: 100ms}\n"
		       "scrape_configs: [{job_name: j, file_sd_configs: [{files: "
		       "['%s']}]}]\n",
		 targets_path);
	start(yaml);
	await(is_asking);
	fake_answer(fake_find(A), 200, NULL, "m 1\n");
	await(is_asking);
	/* Under way: given up. */
	fake_push_forget();
	assert_int_equal(unlink(targets_path), 0);
	close(fd);
	await(has_marked);
	assert_non_null(strstr(fake_pushed, "m{instance=a,job=j} stale@1001 "));
	assert_non_null(strstr(fake_pushed, "up{instance=a,job=j} stale@1001 "));
	assert_int_equal(fake_sending(), 0);
	/* What is freed was committed. */
	assert_int_equal(fake_pushed[strlen(fake_pushed) - 1], '|');
}

static bool was_refused(void)
{
	return strstr(fake_pushed, "up{instance=b,job=j} 0@") &&
	       strstr(fake_pushed, "up{instance=a,job=j} 0@");
}

static void above_the_target_limit_nobody_is_asked(void **state)
{
	(void)state;
	start(WRITE "global: {scrape_interval: 100ms}\n"
		    "scrape_configs: [{job_name: j, target_limit: 1,\n"
		    "  static_configs: [{targets: [a, b]}]}]\n");
	await(was_refused);
	assert_int_equal(fake_sending(), 0);
}

static void nothing_begins_after_the_stop(void **state)
{
	(void)state;
	start(ONE);
	await(is_asking);
	fake_push_forget();
	scrape_stop(scrape);
	assert_true(is_idle());
	assert_string_equal(fake_pushed, "");
}

static char views[512];

static void see(void *context, const struct scrape_view *view)
{
	(void)context;
	snprintf(views + strlen(views), sizeof(views) - strlen(views),
		 "%s %s %s '%s' %zu\n", view->job_name, view->url, view->state,
		 view->error, view->series);
}

static void people_see_each_target_without_secrets(void **state)
{
	(void)state;
	start(WRITE "global: {scrape_interval: 100ms}\n"
		    "scrape_configs: [{job_name: j, params: {key: [secret]},\n"
		    "  static_configs: [{targets: [a]}]}]\n");
	*views = 0;
	scrape_each(scrape, see, NULL);
	assert_string_equal(views, "j " A " unknown '' 0\n");
	await(is_asking);
	fake_answer(fake_find(A "?key=secret"), 200, NULL, "m 1\nn 1\n");
	*views = 0;
	scrape_each(scrape, see, NULL);
	assert_string_equal(views, "j " A " up '' 2\n");
	await(is_asking);
	fake_answer(fake_find(A "?key=secret"), 503, NULL, "no");
	*views = 0;
	scrape_each(scrape, see, NULL);
	assert_non_null(strstr(views, "j " A " down 'HTTP status 503'"));
}

static double value_of(const struct snapshot *snapshot, const char *name,
		       const char *label)
{
	for (size_t i = 0; i < snapshot->count; i++) {
		const struct metric *metric = &snapshot->metrics[i];
		const struct label_set *set = &metric->labels;

		if (strcmp(metric->family->name, name) != 0)
			continue;
		if (!label || !strcmp(set->labels[set->count - 1].value, label))
			return metric->value;
	}
	fail_msg("no %s of %s", name, label);
	return 0;
}

static void what_it_says_of_itself_is_documented_and_true(void **state)
{
	struct names documented, exposed;
	struct snapshot snapshot;

	(void)state;
	start(ONE);
	await(is_asking);
	fake_answer(fake_find(A), 200, NULL, "m 1\n");
	await(is_asking);
	fake_answer(fake_find(A), 0, NULL, "timed out");
	snapshot_init(&snapshot, 0);
	scrape_describe(scrape, &snapshot);
	assert_int_equal(snapshot_finish(&snapshot), 0);
	names_read(&documented, "Scraping");
	names_of_snapshot(&exposed, &snapshot);
	names_check_same(&documented, &exposed);
	/* Behind those of logs, before push's own of a collection. */
	for (size_t i = 0; i < snapshot.count; i++)
		assert_in_range(snapshot.metrics[i].family->order, 1080, 1099);
	assert_int_equal(value_of(&snapshot, "bpftally_scrape_targets", "down"), 1);
	assert_int_equal(value_of(&snapshot, "bpftally_scrape_targets", "up"), 0);
	assert_int_equal(value_of(&snapshot, "bpftally_scrapes", "ok"), 1);
	assert_int_equal(value_of(&snapshot, "bpftally_scrapes", "no_answer"), 1);
	assert_int_equal(value_of(&snapshot, "bpftally_scrapes", "bad_body"), 0);
	/* A sample, its marker, and two reports. */
	assert_int_equal(value_of(&snapshot, "bpftally_scrape_samples", NULL), 12);
	assert_int_equal(value_of(&snapshot, "bpftally_scrape_body_bytes", NULL), 4);
	snapshot_free(&snapshot);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_target_is_asked_and_asked_again),
	    TEST(every_target_has_its_turn),
	    TEST(a_target_that_its_file_lost_is_stale),
	    TEST(above_the_target_limit_nobody_is_asked),
	    TEST(nothing_begins_after_the_stop),
	    TEST(people_see_each_target_without_secrets),
	    TEST(what_it_says_of_itself_is_documented_and_true),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
