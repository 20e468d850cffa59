/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "config_case.h"
#include "file_sd.h"
#include "log.h"
#include "observed.h"
#include "scrape_job.h"

#define JOB                                                                            \
	"remote_write: [{url: http://r}]\nscrape_configs:\n- job_name: j\n"            \
	"  file_sd_configs: [{files: [/f/t.yml]}]\n"

static struct loaded loaded;
static struct scrape_job job;
static char changes[1024];          /* "+URL " and "-URL " */
static const char *addresses[8];    /* of the file; NULL ends them */
static const char *process_address; /* NULL: none serves */
static bool is_full;

/* Found before the library's: what is discovered is the test's. */
void file_sd_each(const struct file_sd *files, const struct config_file_sd *config,
		  file_sd_visit visit, void *context)
{
	struct config_target_group group = {.targets = {.items = (char **)addresses}};
	const struct config_groups groups = {&group, 1};

	(void)files;
	assert_string_equal(config->files.items[0], "/f/t.yml");
	while (addresses[group.targets.count])
		group.targets.count++;
	visit(context, "/f/t.yml", &groups);
}

void observed_each(const struct observed *observed, observed_visit visit, void *context)
{
	const struct scrape_discovered discovered = {
	    .address = process_address,
	    .more = {{"instance", "host:1"}, {"service_name", "s"}},
	};

	(void)observed;
	if (process_address)
		visit(context, &discovered);
}

static bool on_begin(void *context, struct scraped *scraped)
{
	(void)context;
	if (is_full)
		return false;
	strcat(strcat(strcat(changes, "+"), scraped->target->url), " ");
	return true;
}

static void on_end(void *context, struct scraped *scraped)
{
	(void)context;
	strcat(strcat(strcat(changes, "-"), scraped->target->url), " ");
	scraped_free(&scraped);
}

static void load(const char *keys)
{
	char yaml[1024];

	snprintf(yaml, sizeof(yaml), JOB "%s", keys);
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(scrape_job_init(&job, loaded.config.scrapes), 0);
}

static void sync_job(void)
{
	const struct scrape_job_changes act = {on_begin, on_end, NULL};

	*changes = 0;
	assert_int_equal(scrape_job_sync(&job, NULL, (struct file_sd *)addresses,
					 (struct observed *)&job, &act),
			 0);
}

static int build(void **state)
{
	(void)state;
	memset(addresses, 0, sizeof(addresses));
	process_address = NULL;
	is_full = false;
	return 0;
}

static int destroy(void **state)
{
	(void)state;
	scrape_job_free(&job);
	config_free(&loaded.config);
	return 0;
}

/* Hashes say in which order. */
static void assert_changes(const char *first, const char *second)
{
	char other[256];

	snprintf(other, sizeof(other), "%s%s", second, first);
	if (strncmp(changes, first, strlen(first)) != 0)
		assert_string_equal(changes, other);
	else
		assert_string_equal(changes + strlen(first), second);
}

static void targets_are_of_the_configuration_of_files_and_of_processes(void **state)
{
	(void)state;
	load("  static_configs: [{targets: [a]}]\n");
	sync_job();
	assert_string_equal(changes, "+http://a/metrics ");
	addresses[0] = "b";
	sync_job();
	assert_string_equal(changes, "+http://b/metrics ");
	process_address = "c:1";
	sync_job();
	assert_string_equal(changes, "+http://c:1/metrics ");
	assert_int_equal(job.count, 3);
}

static void those_that_stay_are_left_alone(void **state)
{
	const struct scraped *a;

	(void)state;
	load("");
	addresses[0] = "a";
	addresses[1] = "b";
	sync_job();
	assert_changes("+http://a/metrics ", "+http://b/metrics ");
	addresses[0] = "c";
	addresses[1] = "a";
	a = strcmp(job.targets[0]->target->url, "http://a/metrics") ? job.targets[1]
								    : job.targets[0];
	sync_job();
	assert_changes("-http://b/metrics ", "+http://c/metrics ");
	assert_true(job.targets[0] == a || job.targets[1] == a);
	addresses[0] = NULL;
	sync_job();
	assert_changes("-http://a/metrics ", "-http://c/metrics ");
	assert_int_equal(job.count, 0);
}

static void one_that_is_found_twice_is_one(void **state)
{
	(void)state;
	load("  static_configs: [{targets: [a]}]\n"
	     "  relabel_configs: [{regex: __meta.*, action: labeldrop}]\n");
	addresses[0] = addresses[1] = "a";
	sync_job();
	assert_string_equal(changes, "+http://a/metrics ");
	sync_job();
	assert_string_equal(changes, "");
}

static void one_that_is_not_valid_is_left_out(void **state)
{
	(void)state;
	load("");
	addresses[0] = "http://a";
	addresses[1] = "b";
	sync_job();
	assert_string_equal(changes, "+http://b/metrics ");
}

static void rules_drop_targets_by_where_they_were_found(void **state)
{
	(void)state;
	load("  static_configs: [{targets: [a]}]\n"
	     "  relabel_configs: [{source_labels: [__meta_filepath], regex: /f/.*, "
	     "action: keep}]\n");
	addresses[0] = "b";
	sync_job();
	assert_string_equal(changes, "+http://b/metrics ");
}

static void above_the_limit_all_of_them_are(void **state)
{
	(void)state;
	load("  target_limit: 1\n");
	addresses[0] = "a";
	sync_job();
	assert_false(job.is_over_limit);
	addresses[1] = "b";
	sync_job();
	assert_true(job.is_over_limit);
	assert_int_equal(job.count, 2);
	addresses[1] = NULL;
	sync_job();
	assert_false(job.is_over_limit);
}

static void one_that_cannot_be_begun_is_tried_again(void **state)
{
	(void)state;
	load("");
	addresses[0] = "a";
	is_full = true;
	sync_job();
	assert_int_equal(job.count, 0);
	is_full = false;
	sync_job();
	assert_string_equal(changes, "+http://a/metrics ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, build, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(targets_are_of_the_configuration_of_files_and_of_processes),
	    TEST(those_that_stay_are_left_alone),
	    TEST(one_that_is_found_twice_is_one),
	    TEST(one_that_is_not_valid_is_left_out),
	    TEST(rules_drop_targets_by_where_they_were_found),
	    TEST(above_the_limit_all_of_them_are),
	    TEST(one_that_cannot_be_begun_is_tried_again),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
