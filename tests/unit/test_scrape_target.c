/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "cleanup.h"
#include "config_case.h"
#include "length.h"
#include "scrape_target.h"

#define JOB                                                                            \
	"remote_write: [{url: http://r}]\nscrape_configs:\n- job_name: j\n"            \
	"  scrape_interval: 90s\n"

static struct scrape_discovered discovered; /* of the next target */

static int forget(void **state)
{
	(void)state;
	discovered = (struct scrape_discovered){.address = "a:1"};
	return 0;
}

/* Of the job with these keys: "URL {labels} interval timeout", "dropped", or the
 * error. */
static void describe(const char *keys, char ret_text[1024])
{
	CLEANUP(scrape_target_free) struct scrape_target *target = NULL;
	CLEANUP(relabel_free) struct relabel *relabel = NULL;
	struct loaded loaded;
	char yaml[2048];
	size_t len;

	snprintf(yaml, sizeof(yaml), JOB "%s", keys);
	load_text(yaml, &loaded);
	assert_string_equal(loaded.error, "");
	assert_int_equal(relabel_create(loaded.config.scrapes->relabels,
					loaded.config.scrapes->relabel_count, &relabel),
			 0);
	strcpy(ret_text, "dropped");
	if (scrape_target_create(loaded.config.scrapes, relabel, &discovered, &target,
				 ret_text)) {
		assert_null(target);
	} else if (target) {
		len = (size_t)sprintf(ret_text, "%s {", target->url);
		for (size_t i = 0; i < target->labels.count; i++)
			len += (size_t)sprintf(ret_text + len, "%s%s=%s", i ? "," : "",
					       target->labels.items[i].name,
					       target->labels.items[i].value);
		sprintf(ret_text + len, "} %llu %llu",
			(unsigned long long)target->interval_ms,
			(unsigned long long)target->timeout_ms);
	}
	config_free(&loaded.config);
}

static void assert_target(const char *keys, const char *want)
{
	char text[1024];

	describe(keys, text);
	assert_string_equal(text, want);
}

static void set_labels(const char *const (*pairs)[2], size_t count)
{
	static struct config_label items[8];
	static struct config_labels labels;

	assert_true(count <= LENGTH(items));
	for (size_t i = 0; i < count; i++)
		items[i] =
		    (struct config_label){(char *)pairs[i][0], (char *)pairs[i][1]};
	labels = (struct config_labels){items, count};
	discovered.labels = &labels;
}

static void an_address_alone_has_job_and_instance(void **state)
{
	(void)state;
	assert_target("", "http://a:1/metrics {instance=a:1,job=j} 90000 10000");
}

static void no_port_is_added(void **state)
{
	(void)state;
	discovered.address = "a";
	assert_target("  scheme: https\n",
		      "https://a/metrics {instance=a,job=j} 90000 10000");
}

static void labels_of_the_group_go_before_those_of_the_job(void **state)
{
	static const char *const pairs[][2] = {
	    {"zone", "z"}, {"job", "own"}, {"instance", "i"}, {"empty", ""}};

	(void)state;
	set_labels(pairs, LENGTH(pairs));
	assert_target("", "http://a:1/metrics {instance=i,job=own,zone=z} 90000 10000");
}

static void labels_with_two_underscores_say_how_to_ask(void **state)
{
	static const char *const pairs[][2] = {{"__scheme__", "https"},
					       {"__metrics_path__", "/p"},
					       {"__param_x", "y"},
					       {"__scrape_interval__", "1m"},
					       {"__scrape_timeout__", "1m0s"},
					       {"__address__", "no"},
					       {"__other", "o"}};

	(void)state;
	set_labels(pairs, LENGTH(pairs));
	assert_target("", "https://a:1/p?x=y {instance=a:1,job=j} 60000 60000");
}

static void rules_see_and_change_all_of_it(void **state)
{
	(void)state;
	discovered.more[0] = (struct label){"__meta_filepath", "/f"};
	assert_target(
	    "  params: {m: [n, o]}\n"
	    "  relabel_configs:\n"
	    "  - {source_labels: [__scrape_interval__, __scrape_timeout__, "
	    "__metrics_path__, __scheme__, __param_m, job, __meta_filepath],\n"
	    "     target_label: all}\n"
	    "  - {source_labels: [__address__], target_label: __param_target}\n"
	    "  - {target_label: __address__, replacement: 'b:2'}\n"
	    "  - {target_label: __scrape_timeout__, replacement: 500ms}\n",
	    "http://b:2/metrics?m=n&m=o&target=a%3A1 "
	    "{all=1m30s;10s;/metrics;http;n;j;/f,instance=b:2,job=j} 90000 500");
}

static void a_url_as_an_address_can_be_a_parameter(void **state)
{
	(void)state;
	discovered.address = "https://x/y?z=1 2";
	assert_target(
	    "  metrics_path: /probe\n"
	    "  relabel_configs:\n"
	    "  - {source_labels: [__address__], target_label: __param_target}\n"
	    "  - {source_labels: [__param_target], target_label: instance}\n"
	    "  - {target_label: __address__, replacement: 'b:2'}\n",
	    "http://b:2/probe?target=https%3A%2F%2Fx%2Fy%3Fz%3D1+2 "
	    "{instance=https://x/y?z=1 2,job=j} 90000 10000");
}

static void parameters_are_sorted_and_escaped(void **state)
{
	static const char *const pairs[][2] = {{"__param_b", "over"}};

	(void)state;
	set_labels(pairs, LENGTH(pairs));
	assert_target(
	    "  params: {'match[]': ['{a=\"b\"}'], b: [x, y], c: [], a: ['']}\n"
	    "  metrics_path: 'm/ü?%'\n",
	    "http://a:1/m/%C3%BC%3F%25?a=&b=over&b=y&match%5B%5D=%7Ba%3D%22b%22%7D "
	    "{instance=a:1,job=j} 90000 10000");
}

static void a_rule_drops_a_target(void **state)
{
	(void)state;
	assert_target("  relabel_configs: [{source_labels: [job], regex: j, action: "
		      "drop}]\n",
		      "dropped");
}

static void what_cannot_be_asked_says_why(void **state)
{
	static const char *const cases[][3] = {
	    {"__address__", "", "address '' is empty"},
	    {"__address__", "http://b",
	     "address 'http://b' must be a host and a port, without scheme or path"},
	    {"__scheme__", "ftp", "__scheme__ 'ftp' must be http or https"},
	    {"__scrape_interval__", "0s",
	     "__scrape_interval__ '0s' is not a duration above 0"},
	    {"__scrape_timeout__", "x",
	     "__scrape_timeout__ 'x' is not a duration above 0"},
	    {"__scrape_timeout__", "2m",
	     "__scrape_timeout__ '2m' is above __scrape_interval__"},
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		char keys[256];

		snprintf(keys, sizeof(keys),
			 "  relabel_configs: [{target_label: %s, replacement: '%s'}]\n",
			 cases[i][0], cases[i][1]);
		assert_target(keys, cases[i][2]);
	}
}

static void targets_with_the_same_url_and_labels_are_one(void **state)
{
	struct scrape_target *a = NULL, *b = NULL, *c = NULL;
	CLEANUP(relabel_free) struct relabel *relabel = NULL;
	char error[SCRAPE_TARGET_ERROR_LEN];
	struct loaded loaded;

	(void)state;
	load_text(JOB, &loaded);
	assert_int_equal(relabel_create(NULL, 0, &relabel), 0);
	scrape_target_create(loaded.config.scrapes, relabel, &discovered, &a, error);
	scrape_target_create(loaded.config.scrapes, relabel, &discovered, &b, error);
	discovered.more[0] = (struct label){"x", "y"};
	scrape_target_create(loaded.config.scrapes, relabel, &discovered, &c, error);
	assert_int_equal(scrape_target_compare(a, b), 0);
	assert_true(a->hash == b->hash && a->hash != c->hash);
	assert_int_not_equal(scrape_target_compare(a, c), 0);
	b->timeout_ms++;
	assert_int_not_equal(scrape_target_compare(a, b), 0);
	scrape_target_free(&a);
	scrape_target_free(&b);
	scrape_target_free(&c);
	config_free(&loaded.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(an_address_alone_has_job_and_instance, forget),
	    cmocka_unit_test_setup(no_port_is_added, forget),
	    cmocka_unit_test_setup(labels_of_the_group_go_before_those_of_the_job,
				   forget),
	    cmocka_unit_test_setup(labels_with_two_underscores_say_how_to_ask, forget),
	    cmocka_unit_test_setup(rules_see_and_change_all_of_it, forget),
	    cmocka_unit_test_setup(a_url_as_an_address_can_be_a_parameter, forget),
	    cmocka_unit_test_setup(parameters_are_sorted_and_escaped, forget),
	    cmocka_unit_test_setup(a_rule_drops_a_target, forget),
	    cmocka_unit_test_setup(what_cannot_be_asked_says_why, forget),
	    cmocka_unit_test_setup(targets_with_the_same_url_and_labels_are_one,
				   forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
